//! The server seen from inside: another client that needs no wire, and what tests compare.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Server;
use super::mailbox::{Mailbox, Msg, Op};
use super::state::State;

/// All mailboxes at one moment. Cheap to make and to keep.
#[derive(Debug, Clone)]
pub struct Snapshot(State);

/// One message as [`Server::world`] compares it: no UID, no mod-sequence.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// BLAKE3 of its octets, in hex.
    pub content: String,
    /// Its flags, keywords in lower case.
    pub flags: BTreeSet<String>,
    /// INTERNALDATE in seconds since 1970.
    pub date: i64,
}

/// Selectable mailboxes by name, each with its messages in an order of their own values.
pub type World = BTreeMap<String, Vec<Entry>>;

/// Access past the wire. Names are UTF-8 with the server's delimiter. What does not exist is
/// no error: nothing is done, and the answer says so.
impl Server {
    /// Adds a message; `flags` by their IMAP names, `date` in seconds since 1970 (none: now).
    /// The mailbox is made if it is not there. Gives the UID.
    pub fn append(&self, mailbox: &str, body: &[u8], flags: &[&str], date: Option<i64>) -> u32 {
        let flags = flags.iter().map(|f| (*f).to_owned()).collect();
        self.change(|state| {
            if state.get(mailbox).is_none() {
                // It cannot exist, and a name that cannot be gives UID 0 below.
                let _ = state.create(mailbox, false);
            }
            state.add(mailbox, Arc::from(body), flags, date).unwrap_or(0)
        })
    }

    /// Adds and removes flags of one message; false when it is not there.
    pub fn set_flags(&self, mailbox: &str, uid: u32, add: &[&str], remove: &[&str]) -> bool {
        let set = |list: &[&str]| list.iter().map(|f| (*f).to_owned()).collect::<BTreeSet<_>>();
        self.change(|state| {
            let Some(m) = state.get_mut(mailbox).filter(|m| m.messages.contains_key(&uid)) else {
                return false;
            };
            m.store(&[uid], Op::Add, &set(add));
            m.store(&[uid], Op::Remove, &set(remove));
            true
        })
    }

    /// Gives a message another body, under the same UID, as no server may (RFC 9051 §2.3.1.1).
    pub fn alter(&self, mailbox: &str, uid: u32, body: &[u8]) -> bool {
        self.change(|state| {
            let message = state.get_mut(mailbox).and_then(|m| m.messages.get_mut(&uid));
            message.map(|message| Arc::make_mut(message).body = Arc::from(body)).is_some()
        })
    }

    /// Copies a message; gives the new UID.
    pub fn copy(&self, from: &str, uid: u32, to: &str) -> Option<u32> {
        self.change(|state| copy(state, from, uid, to))
    }

    /// Moves a message; gives the new UID.
    pub fn mv(&self, from: &str, uid: u32, to: &str) -> Option<u32> {
        let raises = self.profile().expunge_raises_modseq;
        self.change(|state| {
            let new = copy(state, from, uid, to)?;
            state.get_mut(from)?.expunge(&[uid], raises);
            Some(new)
        })
    }

    /// Removes messages for good, `\Deleted` or not; gives how many were there.
    pub fn expunge(&self, mailbox: &str, uids: &[u32]) -> usize {
        let raises = self.profile().expunge_raises_modseq;
        self.change(|state| state.get_mut(mailbox).map_or(0, |m| m.expunge(uids, raises).len()))
    }

    /// Makes a mailbox; false when it is there or cannot be.
    pub fn create(&self, mailbox: &str) -> bool {
        let real_parents = self.profile().real_parents;
        self.change(|state| state.create(mailbox, real_parents).is_ok())
    }

    /// Deletes a mailbox with its messages; false when that cannot be.
    pub fn delete_mailbox(&self, mailbox: &str) -> bool {
        self.change(|state| state.delete(mailbox).is_ok())
    }

    /// Renames a mailbox and what lies below it; false when that cannot be.
    pub fn rename_mailbox(&self, from: &str, to: &str) -> bool {
        self.change(|state| state.rename(from, to).is_ok())
    }

    /// Subscribes to a name, whether it exists or not.
    pub fn subscribe(&self, mailbox: &str) {
        self.change(|state| state.subscribed.insert(mailbox.to_owned()));
    }

    /// The messages of a mailbox by UID; empty when it is not there.
    #[must_use]
    pub fn list(&self, mailbox: &str) -> Vec<Msg> {
        let inner = self.shared.lock();
        let messages = inner.state.get(mailbox).map(|m| m.messages.values());
        messages.into_iter().flatten().map(|m| Msg::clone(m)).collect()
    }

    /// One message.
    #[must_use]
    pub fn get(&self, mailbox: &str, uid: u32) -> Option<Msg> {
        let inner = self.shared.lock();
        inner.state.get(mailbox)?.messages.get(&uid).map(|m| Msg::clone(m))
    }

    /// The selectable mailboxes.
    #[must_use]
    pub fn mailboxes(&self) -> Vec<String> {
        let inner = self.shared.lock();
        let selectable = inner.state.mailboxes.iter().filter(|(_, m)| !m.noselect);
        selectable.map(|(name, _)| name.clone()).collect()
    }

    /// UIDVALIDITY of a mailbox.
    #[must_use]
    pub fn uid_validity(&self, mailbox: &str) -> Option<u32> {
        self.shared.lock().state.get(mailbox).map(|m| m.uid_validity)
    }

    /// UIDNEXT of a mailbox.
    #[must_use]
    pub fn uid_next(&self, mailbox: &str) -> Option<u32> {
        self.shared.lock().state.get(mailbox).map(|m| m.uid_next)
    }

    /// HIGHESTMODSEQ of a mailbox.
    #[must_use]
    pub fn highest_modseq(&self, mailbox: &str) -> Option<u64> {
        self.shared.lock().state.get(mailbox).map(|m| m.highest_modseq)
    }

    /// Mod-sequences rise no more in any mailbox there is, or do again.
    pub fn stop_modseq(&self, still: bool) {
        self.change(|state| {
            let mailboxes = state.mailboxes.values_mut();
            mailboxes.for_each(|mailbox| Arc::make_mut(mailbox).still = still);
        });
    }

    /// Leaves out `n` UIDs (as if messages had come and gone).
    pub fn skip_uids(&self, mailbox: &str, n: u32) {
        self.change(|state| {
            if let Some(mailbox) = state.get_mut(mailbox) {
                mailbox.uid_next = mailbox.uid_next.saturating_add(n);
            }
        });
    }

    /// Gives a mailbox a new UIDVALIDITY and all messages new UIDs from 1.
    pub fn renumber(&self, mailbox: &str) {
        self.change(|state| state.renumber(mailbox));
    }

    /// Sets UIDVALIDITY alone (0 and repeated values occur in the wild).
    pub fn set_uid_validity(&self, mailbox: &str, value: u32) {
        self.change(|state| {
            if let Some(mailbox) = state.get_mut(mailbox) {
                mailbox.uid_validity = value;
            }
        });
    }

    /// All mailboxes as they are.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot(self.shared.lock().state.clone())
    }

    /// All messages of all mailboxes at one moment.
    #[must_use]
    pub fn everything(&self) -> BTreeMap<String, Vec<Msg>> {
        let inner = self.shared.lock();
        let all = inner.state.mailboxes.iter().filter(|(_, mailbox)| !mailbox.noselect);
        let messages =
            |mailbox: &Mailbox| mailbox.messages.values().map(|m| Msg::clone(m)).collect();
        all.map(|(name, mailbox)| (name.clone(), messages(mailbox))).collect()
    }

    /// Puts all mailboxes back; sessions that have one selected end at their next command.
    pub fn restore(&self, snapshot: &Snapshot) {
        self.shared.lock().late.clear();
        self.change(|state| state.become_again(&snapshot.0));
    }

    /// Puts one mailbox back as from a backup: UIDVALIDITY stays, UIDNEXT and HIGHESTMODSEQ
    /// fall, and UIDs will be handed out a second time.
    pub fn restore_backup(&self, mailbox: &str, snapshot: &Snapshot) {
        self.change(|state| state.put_back(mailbox, &snapshot.0));
    }

    /// A server of its own with the same profile and mailboxes, and no faults, hook or log.
    #[must_use]
    pub fn fork(&self) -> Self {
        let fork = Self::new(self.profile());
        fork.shared.lock().state = self.shared.lock().state.clone();
        fork
    }

    /// What is there, to be compared: mailboxes and their messages without any numbers.
    #[must_use]
    pub fn world(&self) -> World {
        let snapshot = self.snapshot();
        let selectable = snapshot.0.mailboxes.iter().filter(|(_, m)| !m.noselect);
        selectable.map(|(name, mailbox)| (name.clone(), entries(mailbox))).collect()
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.shared.lock().state);
        self.shared.tell_change();
        result
    }
}

fn entries(mailbox: &Mailbox) -> Vec<Entry> {
    let entry = |m: &Arc<Msg>| {
        let spell = |f: &String| if f.starts_with('\\') { f.clone() } else { f.to_lowercase() };
        let content = blake3::hash(&m.body).to_hex().to_string();
        Entry { content, flags: m.flags.iter().map(spell).collect(), date: m.date }
    };
    let mut entries: Vec<Entry> = mailbox.messages.values().map(entry).collect();
    entries.sort();
    entries
}

fn copy(state: &mut State, from: &str, uid: u32, to: &str) -> Option<u32> {
    let message = state.get(from)?.messages.get(&uid).map(|m| Msg::clone(m))?;
    let Msg { flags, date, body, email_id, .. } = message;
    let target = state.get_mut(to)?;
    Some(target.add(super::mailbox::Arrival { body, flags, date, email_id }))
}
