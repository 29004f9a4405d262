//! One mailbox: messages, UIDs, mod-sequences and what vanished.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mailtide::reconcile::types::Flags;

/// The system flags that a client may set, as the server spells them.
pub(super) const SYSTEM: [&str; 5] = ["\\Answered", "\\Flagged", "\\Deleted", "\\Seen", "\\Draft"];

/// A message as the server holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Msg {
    /// Its UID.
    pub uid: u32,
    /// Its flags by their IMAP names, keywords among them; `\Recent` is never here.
    pub flags: BTreeSet<String>,
    /// INTERNALDATE in seconds since 1970.
    pub date: i64,
    /// Its octets.
    pub body: Arc<[u8]>,
    /// Mod-sequence of its last change (kept even where the profile does not show it).
    pub modseq: u64,
    /// EMAILID: the same for copies (RFC 8474 §5.1).
    pub email_id: String,
}

impl Msg {
    /// The flags in mailtide's words.
    #[must_use]
    pub fn flag_set(&self) -> Flags {
        let mut flags = Flags::default();
        for name in &self.flags {
            flags.insert_imap(name);
        }
        flags
    }

    /// Octets of the header: up to and with the first empty line, or all without one.
    #[must_use]
    pub fn header_len(&self) -> usize {
        let mut start = 0;
        while let Some(at) = memchr::memchr(b'\n', &self.body[start..]) {
            let line = &self.body[start..start + at];
            start += at + 1;
            if line.is_empty() || line == b"\r" {
                return start;
            }
        }
        self.body.len()
    }
}

/// What a STORE does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    /// FLAGS.
    Set,
    /// +FLAGS.
    Add,
    /// -FLAGS.
    Remove,
}

/// What is new about a message that is added.
#[derive(Debug, Clone)]
pub(super) struct Arrival {
    /// Octets.
    pub(super) body: Arc<[u8]>,
    /// Flags, already canonical.
    pub(super) flags: BTreeSet<String>,
    /// INTERNALDATE in seconds since 1970.
    pub(super) date: i64,
    /// EMAILID.
    pub(super) email_id: String,
}

/// A mailbox, or a `\Noselect` level of the hierarchy.
#[derive(Debug, Clone)]
pub(super) struct Mailbox {
    /// Tells this mailbox from another of the same name later; sessions notice by it.
    pub(super) identity: u64,
    pub(super) uid_validity: u32,
    pub(super) uid_next: u32,
    pub(super) highest_modseq: u64,
    /// Rises with every change, whatever mod-sequences do.
    pub(super) changes: u64,
    pub(super) messages: BTreeMap<u32, Arc<Msg>>,
    /// (mod-sequence, UID) of what was expunged, ascending in the former.
    pub(super) vanished: Vec<(u64, u32)>,
    /// Keywords that were ever used here, in their first spelling.
    pub(super) keywords: Vec<String>,
    /// The first UID that no session was told of as `\Recent`.
    pub(super) recent_from: u32,
    pub(super) noselect: bool,
    /// Mod-sequences do not rise, whatever happens.
    pub(super) still: bool,
    /// UIDs that are not shown yet.
    pub(super) hidden: BTreeSet<u32>,
    /// MAILBOXID (RFC 8474 §4.1).
    pub(super) mailbox_id: String,
}

impl Mailbox {
    pub(super) fn new(identity: u64, uid_validity: u32, noselect: bool) -> Self {
        Self {
            identity,
            uid_validity,
            uid_next: 1,
            highest_modseq: 1,
            changes: 1,
            messages: BTreeMap::new(),
            vanished: Vec::new(),
            keywords: Vec::new(),
            recent_from: 1,
            noselect,
            still: false,
            hidden: BTreeSet::new(),
            mailbox_id: format!("F{identity}"),
        }
    }

    /// Messages that a client may see: all, or the newest `window`.
    pub(super) fn visible(&self, window: Option<usize>) -> impl Iterator<Item = &Arc<Msg>> {
        let below = window.map_or(0, |n| self.messages.len().saturating_sub(n));
        self.messages.values().skip(below).filter(|m| !self.hidden.contains(&m.uid))
    }

    /// The keyword as this mailbox first saw it.
    pub(super) fn spell(&mut self, keyword: &str) -> String {
        match self.keywords.iter().find(|k| k.eq_ignore_ascii_case(keyword)) {
            Some(known) => known.clone(),
            None => {
                self.keywords.push(keyword.to_owned());
                keyword.to_owned()
            }
        }
    }

    /// Flags with keywords in this mailbox's spelling.
    pub(super) fn spell_all(&mut self, flags: &BTreeSet<String>) -> BTreeSet<String> {
        let spelled = |f: &String| if f.starts_with('\\') { f.clone() } else { self.spell(f) };
        flags.iter().map(spelled).collect()
    }

    fn next_modseq(&mut self) -> u64 {
        self.changes += 1;
        self.highest_modseq += u64::from(!self.still);
        self.highest_modseq
    }

    /// Adds a message under the next UID.
    pub(super) fn add(&mut self, arrival: Arrival) -> u32 {
        let uid = self.skip_uid();
        let flags = self.spell_all(&arrival.flags);
        let Arrival { body, date, email_id, .. } = arrival;
        let modseq = self.next_modseq();
        self.messages.insert(uid, Arc::new(Msg { uid, flags, date, body, modseq, email_id }));
        uid
    }

    /// Hands out a UID that nothing gets.
    pub(super) fn skip_uid(&mut self) -> u32 {
        let uid = self.uid_next;
        self.uid_next = self.uid_next.saturating_add(1);
        uid
    }

    /// Changes flags; gives the UIDs that were really changed, all under one mod-sequence.
    pub(super) fn store(&mut self, uids: &[u32], op: Op, flags: &BTreeSet<String>) -> Vec<u32> {
        let flags = self.spell_all(flags);
        let target = |old: &BTreeSet<String>| -> BTreeSet<String> {
            match op {
                Op::Set => flags.clone(),
                Op::Add => old.union(&flags).cloned().collect(),
                Op::Remove => old.difference(&flags).cloned().collect(),
            }
        };
        let changes: Vec<(u32, BTreeSet<String>)> = uids
            .iter()
            .filter_map(|uid| self.messages.get(uid))
            .map(|m| (m, target(&m.flags)))
            .filter(|(m, new)| m.flags != *new)
            .map(|(m, new)| (m.uid, new))
            .collect();
        if changes.is_empty() {
            return Vec::new();
        }
        let modseq = self.next_modseq();
        for (uid, new) in &changes {
            if let Some(message) = self.messages.get_mut(uid) {
                let message = Arc::make_mut(message);
                message.flags.clone_from(new);
                message.modseq = modseq;
            }
        }
        changes.into_iter().map(|(uid, _)| uid).collect()
    }

    /// Removes messages for good; gives those that were there.
    pub(super) fn expunge(&mut self, uids: &[u32], raises_modseq: bool) -> Vec<u32> {
        let gone: Vec<u32> =
            uids.iter().copied().filter(|uid| self.messages.remove(uid).is_some()).collect();
        if gone.is_empty() {
            return gone;
        }
        if raises_modseq {
            self.next_modseq();
        } else {
            self.changes += 1;
        }
        let modseq = self.highest_modseq;
        self.vanished.extend(gone.iter().map(|uid| (modseq, *uid)));
        gone
    }

    /// UIDs that were expunged after a mod-sequence, ascending.
    pub(super) fn vanished_since(&self, modseq: u64) -> Vec<u32> {
        let from = self.vanished.partition_point(|(at, _)| *at <= modseq);
        let uids: BTreeSet<u32> = self.vanished[from..].iter().map(|(_, uid)| *uid).collect();
        uids.into_iter().filter(|uid| !self.messages.contains_key(uid)).collect()
    }
}

/// Why a flag cannot be set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum BadFlag {
    /// `\Recent` or a system flag that there is not.
    System(String),
    /// A keyword that is no atom.
    Keyword,
}

/// A flag in its canonical spelling (system flags only; keywords stay as they are).
pub(super) fn canonical_flag(flag: &str) -> Result<String, BadFlag> {
    if flag.starts_with('\\') {
        let known = SYSTEM.iter().find(|s| s.eq_ignore_ascii_case(flag));
        return known.map(|s| (*s).to_owned()).ok_or_else(|| BadFlag::System(flag.to_uppercase()));
    }
    let refused = |b: u8| b <= b' ' || b >= 0x7f || b"(){%*\"\\]".contains(&b);
    if flag.is_empty() || flag.bytes().any(refused) {
        return Err(BadFlag::Keyword);
    }
    Ok(flag.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrival(flags: &[&str]) -> Arrival {
        let flags = flags.iter().map(|f| (*f).to_owned()).collect();
        Arrival { body: Arc::from(&b"a: b\r\n\r\nc"[..]), flags, date: 0, email_id: "E".into() }
    }

    fn set(flags: &[&str]) -> BTreeSet<String> {
        flags.iter().map(|f| (*f).to_owned()).collect()
    }

    #[test]
    fn modseq_rises_with_every_change_and_only_then() {
        let mut mailbox = Mailbox::new(1, 1, false);
        assert_eq!((mailbox.add(arrival(&[])), mailbox.add(arrival(&["Work"]))), (1, 2));
        assert_eq!(mailbox.highest_modseq, 3);
        assert_eq!(mailbox.store(&[1, 2, 9], Op::Add, &set(&["work"])), [1]);
        assert_eq!(mailbox.messages[&1].flags, set(&["Work"]));
        assert_eq!(mailbox.store(&[1], Op::Add, &set(&["WORK"])), [0; 0]);
        assert_eq!(mailbox.highest_modseq, 4);
        assert_eq!(mailbox.expunge(&[1, 7], true), [1]);
        assert_eq!((mailbox.highest_modseq, mailbox.vanished_since(4)), (5, vec![1]));
        assert!(mailbox.vanished_since(5).is_empty());
        assert_eq!(mailbox.expunge(&[2], false), [2]);
        assert_eq!(mailbox.highest_modseq, 5);
        assert_eq!(mailbox.add(arrival(&[])), 3);
    }

    #[test]
    fn flags_are_checked() {
        assert_eq!(canonical_flag("\\sEEN"), Ok("\\Seen".into()));
        assert_eq!(canonical_flag("\\Recent"), Err(BadFlag::System("\\RECENT".into())));
        assert_eq!(canonical_flag("a]b"), Err(BadFlag::Keyword));
        assert_eq!(canonical_flag("$Forwarded"), Ok("$Forwarded".into()));
    }

    #[test]
    fn header_ends_at_the_first_empty_line() {
        let msg = |body: &[u8]| Msg {
            uid: 1,
            flags: BTreeSet::new(),
            date: 0,
            body: Arc::from(body),
            modseq: 1,
            email_id: String::new(),
        };
        assert_eq!(msg(b"a: b\r\n\r\nc").header_len(), 8);
        assert_eq!(msg(b"a: b\n\nc\n\n").header_len(), 6);
        assert_eq!(msg(b"a: b").header_len(), 4);
        assert_eq!(msg(b"\r\nx").header_len(), 2);
    }
}
