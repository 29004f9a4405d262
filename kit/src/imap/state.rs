//! Everything the server would keep on its disk.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::mailbox::{Arrival, Mailbox};
use super::name;

/// The server's clock starts here (2024-01-01) and moves a second with each message, so that
/// runs repeat exactly.
const CLOCK_START: i64 = 1_704_067_200;

/// All mailboxes. Cloning is cheap: mailboxes are copied when they are next written.
#[derive(Debug, Clone)]
pub(super) struct State {
    pub(super) mailboxes: BTreeMap<String, Arc<Mailbox>>,
    pub(super) subscribed: BTreeSet<String>,
    /// Rises with every change of anything.
    pub(super) changes: u64,
    delimiter: char,
    lax_names: bool,
    identities: u64,
    uid_validities: u32,
    email_ids: u64,
    clock: i64,
}

/// Why a mailbox could not be made, renamed or deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// It is not there.
    Missing,
    /// It is there already.
    Exists,
    /// It has inferiors and is only a level.
    HasChildren,
    /// INBOX cannot go.
    Inbox,
    /// A mailbox cannot move below itself.
    BelowItself,
    /// The name cannot be.
    Name(&'static str),
}

impl State {
    pub(super) fn new(delimiter: char, lax_names: bool) -> Self {
        let mut state = Self {
            mailboxes: BTreeMap::new(),
            subscribed: BTreeSet::new(),
            changes: 1,
            delimiter,
            lax_names,
            identities: 0,
            uid_validities: 1_700_000_000,
            email_ids: 0,
            clock: CLOCK_START,
        };
        state.make("INBOX", false);
        state
    }

    fn make(&mut self, name: &str, noselect: bool) {
        self.identities += 1;
        self.uid_validities += 1;
        let mailbox = Mailbox::new(self.identities, self.uid_validities, noselect);
        self.mailboxes.insert(name.to_owned(), Arc::new(mailbox));
        self.changes += 1;
    }

    /// A selectable mailbox.
    pub(super) fn get(&self, name: &str) -> Option<&Mailbox> {
        self.mailboxes.get(name).map(Arc::as_ref).filter(|m| !m.noselect)
    }

    /// A selectable mailbox, to be changed.
    pub(super) fn get_mut(&mut self, name: &str) -> Option<&mut Mailbox> {
        let mailbox = self.mailboxes.get_mut(name).filter(|m| !m.noselect)?;
        self.changes += 1;
        Some(Arc::make_mut(mailbox))
    }

    /// Whether anything lies below a name.
    pub(super) fn has_children(&self, name: &str) -> bool {
        self.mailboxes.keys().any(|other| name::is_below(other, name, self.delimiter))
    }

    /// A new EMAILID.
    pub(super) fn email_id(&mut self) -> String {
        self.email_ids += 1;
        format!("M{}", self.email_ids)
    }

    /// The time, a second later at each call.
    pub(super) fn now(&mut self) -> i64 {
        self.clock += 1;
        self.clock
    }

    /// Stores a message; none when there is no such mailbox.
    pub(super) fn add(
        &mut self,
        mailbox: &str,
        body: Arc<[u8]>,
        flags: BTreeSet<String>,
        date: Option<i64>,
    ) -> Option<u32> {
        let now = self.now();
        let email_id = self.email_id();
        let date = date.unwrap_or(now);
        self.get_mut(mailbox).map(|m| m.add(Arrival { body, flags, date, email_id }))
    }

    /// CREATE; levels above become `\Noselect` or, with `real_parents`, mailboxes. A name that
    /// ends in the delimiter becomes a level.
    pub(super) fn create(&mut self, name: &str, real_parents: bool) -> Result<(), Trouble> {
        let (name, level) = match name.strip_suffix(self.delimiter) {
            Some(level) => (level, true),
            None => (name, false),
        };
        if let Some(why) = name::refusal(name, self.delimiter, self.lax_names) {
            return Err(Trouble::Name(why));
        }
        match self.mailboxes.get(name) {
            Some(known) if level || !known.noselect => return Err(Trouble::Exists),
            _ => {}
        }
        self.make_parents(name, !real_parents);
        self.make(name, level);
        Ok(())
    }

    fn make_parents(&mut self, name: &str, noselect: bool) {
        let missing: Vec<String> = name::parents(name, self.delimiter)
            .filter(|above| !self.mailboxes.contains_key(*above))
            .map(str::to_owned)
            .collect();
        for above in missing {
            self.make(&above, noselect);
        }
    }

    /// DELETE; with inferiors the mailbox becomes a level and its messages go.
    pub(super) fn delete(&mut self, name: &str) -> Result<(), Trouble> {
        if name == "INBOX" {
            return Err(Trouble::Inbox);
        }
        let known = self.mailboxes.get(name).ok_or(Trouble::Missing)?;
        if self.has_children(name) {
            if known.noselect {
                return Err(Trouble::HasChildren);
            }
            self.make(name, true);
        } else {
            self.mailboxes.remove(name);
            self.changes += 1;
        }
        Ok(())
    }

    /// RENAME with all inferiors; INBOX gives its messages away and stays (RFC 3501 §6.3.5).
    pub(super) fn rename(&mut self, from: &str, to: &str) -> Result<(), Trouble> {
        if let Some(why) = name::refusal(to, self.delimiter, self.lax_names) {
            return Err(Trouble::Name(why));
        }
        if !self.mailboxes.contains_key(from) {
            return Err(Trouble::Missing);
        }
        if self.mailboxes.contains_key(to) {
            return Err(Trouble::Exists);
        }
        if name::is_below(to, from, self.delimiter) && from != "INBOX" {
            return Err(Trouble::BelowItself);
        }
        self.make_parents(to, true);
        let moved: Vec<String> = self
            .mailboxes
            .keys()
            .filter(|n| *n == from || (from != "INBOX" && name::is_below(n, from, self.delimiter)))
            .cloned()
            .collect();
        for old in moved {
            if let Some(mut mailbox) = self.mailboxes.remove(&old) {
                // Sessions that have it selected lose it.
                self.identities += 1;
                Arc::make_mut(&mut mailbox).identity = self.identities;
                self.mailboxes.insert(format!("{to}{}", &old[from.len()..]), mailbox);
            }
        }
        if from == "INBOX" {
            self.make("INBOX", false);
        }
        self.changes += 1;
        Ok(())
    }

    /// New UIDVALIDITY and new UIDs from 1 for all messages, in their order.
    pub(super) fn renumber(&mut self, name: &str) {
        self.identities += 1;
        self.uid_validities += 1;
        let (identity, uid_validity) = (self.identities, self.uid_validities);
        if let Some(mailbox) = self.get_mut(name) {
            let old = std::mem::replace(mailbox, Mailbox::new(identity, uid_validity, false));
            for message in old.messages.into_values() {
                let message = Arc::unwrap_or_clone(message);
                let (body, flags, date) = (message.body, message.flags, message.date);
                mailbox.add(Arrival { body, flags, date, email_id: message.email_id });
            }
            mailbox.recent_from = mailbox.uid_next;
        }
    }

    /// Puts an older state of one mailbox back: UIDs will be handed out again under the same
    /// UIDVALIDITY, and UIDNEXT and HIGHESTMODSEQ fall.
    pub(super) fn put_back(&mut self, name: &str, older: &Self) {
        self.identities += 1;
        let identity = self.identities;
        if let Some(mailbox) = older.mailboxes.get(name) {
            let mut mailbox = Mailbox::clone(mailbox);
            mailbox.identity = identity;
            self.mailboxes.insert(name.to_owned(), Arc::new(mailbox));
        }
        self.changes += 1;
    }

    /// Shows all that was hidden; gives how many messages that are.
    pub(super) fn show_hidden(&mut self) -> usize {
        let mut shown = 0;
        for mailbox in self.mailboxes.values_mut().filter(|m| !m.hidden.is_empty()) {
            let mailbox = Arc::make_mut(mailbox);
            shown += std::mem::take(&mut mailbox.hidden).len();
            mailbox.changes += 1;
        }
        self.changes += 1;
        shown
    }

    /// Makes every session look again.
    pub(super) fn touch_all(&mut self) {
        for mailbox in self.mailboxes.values_mut() {
            Arc::make_mut(mailbox).changes += 1;
        }
        self.changes += 1;
    }

    /// Becomes an older state in whole; sessions that have a mailbox selected lose it.
    pub(super) fn become_again(&mut self, older: &Self) {
        let identities = self.identities.max(older.identities);
        let changes = self.changes.max(older.changes) + 1;
        *self = older.clone();
        (self.identities, self.changes) = (identities, changes);
        for mailbox in self.mailboxes.values_mut() {
            self.identities += 1;
            Arc::make_mut(mailbox).identity = self.identities;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hierarchy() {
        let mut state = State::new('/', false);
        assert_eq!(state.create("A/B/C", false), Ok(()));
        assert!(state.get("A").is_none() && state.mailboxes.contains_key("A"));
        assert_eq!(state.create("A", false), Ok(()));
        assert_eq!(state.create("A", false), Err(Trouble::Exists));
        assert_eq!(state.delete("A"), Ok(()));
        assert_eq!(state.delete("A"), Err(Trouble::HasChildren));
        assert_eq!(state.rename("A", "A/B/x"), Err(Trouble::BelowItself));
        assert_eq!(state.rename("A", "X/Y"), Ok(()));
        let names: Vec<&String> = state.mailboxes.keys().collect();
        assert_eq!(names, ["INBOX", "X", "X/Y", "X/Y/B", "X/Y/B/C"]);
        assert_eq!(state.delete("INBOX"), Err(Trouble::Inbox));
    }

    #[test]
    fn a_restored_mailbox_hands_out_uids_again() {
        let mut state = State::new('/', false);
        let body: Arc<[u8]> = Arc::from(&b"x"[..]);
        state.add("INBOX", body.clone(), BTreeSet::new(), None);
        let backup = state.clone();
        assert_eq!(state.add("INBOX", body.clone(), BTreeSet::new(), None), Some(2));
        state.put_back("INBOX", &backup);
        assert_eq!(state.add("INBOX", body.clone(), BTreeSet::new(), None), Some(2));
        let before = state.get("INBOX").unwrap().uid_validity;
        state.renumber("INBOX");
        let after = state.get("INBOX").unwrap();
        assert!(after.uid_validity > before);
        assert_eq!(after.messages.keys().copied().collect::<Vec<_>>(), [1, 2]);
    }
}
