//! Which suspects are forgotten: of what is no more, and of what was innocent.

use std::collections::BTreeMap;

use super::{Command, Suspect, Suspects};
use crate::reconcile::types::MailboxName;
use crate::remote::imap::uid_set::UidSet;

impl Suspects {
    /// Forgets messages of a maildrop that are not there any more.
    pub fn retain_messages(&mut self, is_there: impl Fn(&str) -> bool) {
        let before = self.list.len();
        self.list.retain(|suspect| suspect.thing.message.as_deref().is_none_or(&is_there));
        self.changed |= before != self.list.len();
    }

    /// Leaves of a mailbox only messages that there are; rows of uploads are no messages.
    pub(crate) fn narrow(&mut self, mailbox: &MailboxName, uid_validity: u32, all: &UidSet) {
        let before = self.list.len();
        self.list.retain_mut(|suspect| {
            let thing = &mut suspect.thing;
            let other = thing.command == Command::Append || thing.uids.is_empty();
            if other || thing.mailbox.as_ref() != Some(mailbox) {
                return true;
            }
            if thing.uid_validity != uid_validity {
                return false;
            }
            let left = thing.uids.intersection(all);
            self.changed |= left != thing.uids;
            thing.uids = left;
            !thing.uids.is_empty()
        });
        self.changed |= before != self.list.len();
    }

    /// Forgets uploads of rows, in whatever mailbox.
    pub fn forget_uploads(&mut self, rows: &UidSet) {
        if rows.is_empty() {
            return;
        }
        self.list.retain_mut(|suspect| {
            let uids = &mut suspect.thing.uids;
            if suspect.thing.command != Command::Append || uids.intersection(rows).is_empty() {
                return true;
            }
            self.changed = true;
            *uids = uids.difference(rows);
            suspect.is_left_alone();
            !suspect.thing.uids.is_empty()
        });
    }

    /// Forgets what a whole run did not ask for again though it was time: nothing needs it any
    /// more. What is sent right after the sign-in is asked for by new connections only.
    pub fn forget_unneeded(&mut self) {
        let by_others = [Command::Extensions, Command::Capability];
        let put_off = |s: &Suspect| s.thing.mailbox.as_ref().is_some_and(|m| self.puts_off(m));
        let needed = |s: &Suspect| {
            by_others.contains(&s.thing.command) || self.rests(s) || self.was_tried(s) || put_off(s)
        };
        let kept: Vec<Suspect> = self.list.iter().filter(|s| needed(s)).cloned().collect();
        self.changed |= kept.len() != self.list.len();
        self.list = kept;
    }

    /// Forgets what no longer is: mailboxes by name, with the UIDVALIDITY that they have now.
    pub fn retain(&mut self, known: &BTreeMap<MailboxName, Option<u32>>) {
        let before = self.list.len();
        self.list.retain(|suspect| {
            let Some(mailbox) = &suspect.thing.mailbox else { return true };
            let validity = suspect.thing.uid_validity;
            known
                .get(mailbox)
                .is_some_and(|now| validity == 0 || now.is_none_or(|now| now == validity))
        });
        self.changed |= before != self.list.len();
    }
}
