//! Whether commands and answers are still in step: what is known of it, and the questions.

use super::listing::{Listed, entry, id, size};

/// A question that only the server can answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    /// Its id.
    Uidl,
    /// Its size.
    List,
    /// How many messages there are.
    Stat,
}

impl Proof {
    /// Whether these words say what the listing said.
    pub(super) fn fits(self, words: &[u8], listed: &Listed, count: usize) -> bool {
        match self {
            Self::Uidl => entry(words, id) == Some((listed.number, listed.uidl.clone())),
            Self::List => entry(words, size) == Some((listed.number, listed.size)),
            Self::Stat => size(words) == Some(count as u64),
        }
    }
}

/// How the conversation stands.
#[derive(Debug, Default)]
pub(crate) struct Step {
    /// What is asked; none before it is known, and where the server answers neither.
    pub(super) proof: Option<Proof>,
    pub(super) is_known: bool,
    /// Bodies that came since it was asked last.
    pub(super) bodies: u32,
    /// The server answers about one message what it did not say of all: as this session found,
    /// or a former one.
    pub(super) is_odd: bool,
    pub(super) asks_nothing_of_one: bool,
}

impl Step {
    /// A body came.
    pub(crate) fn body(&mut self) {
        self.bodies = self.bodies.saturating_add(1);
    }
}
