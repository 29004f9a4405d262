//! What became of each message of a maildrop: knows how often it came, who took it away, and so
//! how many copies must be there and how many may.

use std::collections::BTreeMap;

use crate::oracle::{Fault, Kind};

/// Copies of messages by their tokens.
pub(super) type Tokens = BTreeMap<u32, usize>;

/// The account of one message.
#[derive(Debug, Clone, Default)]
struct Entry {
    /// It arrived on the server so often.
    came: usize,
    /// Another client took so many from the server.
    taken: usize,
    /// So many files went by a person's hand, or with a Maildir that was put back.
    removed: usize,
    /// So many came back with a Maildir that was put back.
    returned: usize,
    /// So many went into another directory in the place of the Maildir.
    astray: usize,
    /// So many may be delivered again: what was known of them is not any more.
    again: usize,
}

/// The accounts of all messages of a round.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    entries: BTreeMap<u32, Entry>,
    /// Nothing is remembered for sure until the next whole pull.
    unsure: bool,
}

impl Ledger {
    fn entry(&mut self, token: u32) -> &mut Entry {
        self.entries.entry(token).or_default()
    }

    /// A message arrived.
    pub(super) fn came(&mut self, token: u32) {
        self.entry(token).came += 1;
    }

    /// Another client took a message from the server.
    pub(super) fn taken(&mut self, token: u32) {
        self.entry(token).taken += 1;
    }

    /// Files went or came by another hand than ours.
    pub(super) fn changed_here(&mut self, before: &Tokens, after: &Tokens) {
        let count = |of: &Tokens, token: &u32| of.get(token).copied().unwrap_or(0);
        let unsure = self.unsure;
        for token in before.keys().chain(after.keys()).copied().collect::<Vec<_>>() {
            let (was, is) = (count(before, &token), count(after, &token));
            let entry = self.entry(token);
            if before.contains_key(&token) || !after.contains_key(&token) {
                entry.removed += was.saturating_sub(is);
                entry.again += if unsure { was.saturating_sub(is) } else { 0 };
            }
            if !before.contains_key(&token) {
                entry.returned += is;
            }
        }
    }

    /// Messages went into another directory in the place of the Maildir.
    pub(super) fn went_astray(&mut self, delivered: &Tokens) {
        for (token, count) in delivered {
            self.entry(*token).astray += count;
        }
        self.forgot();
    }

    /// What was known of what was pulled is lost or an old one.
    pub(super) fn forgot(&mut self) {
        self.unsure = true;
        for entry in self.entries.values_mut() {
            entry.again = entry.removed;
        }
    }

    /// A whole pull ended in order: what is removed from here on is remembered.
    pub(super) fn settled(&mut self) {
        self.unsure = false;
    }

    /// What is not here though the server was wholly pulled.
    pub(super) fn missing(&self, here: &Tokens) -> Vec<Fault> {
        let missing = self.entries.iter().filter(|(token, entry)| {
            let here = here.get(*token).copied().unwrap_or(0);
            here + entry.removed + entry.taken + entry.astray < entry.came + entry.returned
        });
        let fault = |(token, entry): (&u32, &Entry)| Fault {
            kind: Kind::Lost,
            what: format!("{token} is not here after a whole pull: {entry:?}"),
        };
        missing.map(fault).collect()
    }

    /// What is wrong at any moment: lost on both sides, doubled here, or deleted on the server
    /// though it was to stay.
    pub(super) fn judge(&self, here: &Tokens, there: &Tokens, stays: bool) -> Vec<Fault> {
        let mut faults = Vec::new();
        for (token, entry) in &self.entries {
            let count = |of: &Tokens| of.get(token).copied().unwrap_or(0);
            let (here, there) = (count(here), count(there));
            let mut fault = |kind| {
                let what = format!("{token}: {here} here, {there} on the server, {entry:?}");
                faults.push(Fault { kind, what });
            };
            let left = entry.removed + entry.taken + entry.astray;
            if here + there + left < entry.came + entry.returned {
                fault(Kind::Lost);
            }
            let most = entry.came + entry.returned + entry.again;
            if here + entry.removed > most {
                fault(Kind::Doubled);
            }
            if stays && there + entry.taken < entry.came {
                fault(Kind::Discarded);
            }
        }
        faults
    }
}
