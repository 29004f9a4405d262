//! What `mailtide verify` says, beside what a dry run would.

use std::fmt::Write as _;

use serde::Serialize;

use super::output::{counted, grouped};
use super::problem::{Named, write_note};
use crate::account::{Skip, Verified};
use crate::reconcile::types::printable;

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct VerifiedView {
    /// Files that hold what was recorded of them.
    pub files: u64,
    /// Messages on the server that are what was recorded of them.
    pub bodies: u64,
    /// Messages that each side keeps in its own words, so that they were not compared.
    pub reworded: u64,
    /// Messages that were pulled from a maildrop, and that no file holds any more.
    pub left: u64,
    /// How many of those the server still has.
    pub left_on_server: u64,
    /// How many messages are not what they should be.
    pub differing: u64,
    /// Which, and how.
    pub differs: Vec<Named>,
}

impl VerifiedView {
    /// `20,000 files are as recorded, and 20,000 messages on the server`.
    pub(super) fn words(&self) -> String {
        let mut text = match self.files {
            0 => "no file to read".to_owned(),
            1 => "1 file is as recorded".to_owned(),
            files => format!("{} are as recorded", counted(files, "file")),
        };
        if self.bodies > 0 {
            let _ = write!(text, ", and {} on the server", counted(self.bodies, "message"));
        }
        if self.differing > 0 {
            let _ = write!(text, "; {} not", grouped(self.differing));
        }
        text
    }

    /// What else a person should know.
    fn notes(&self) -> Vec<String> {
        let (reworded, left) = (counted(self.reworded, "message"), counted(self.left, "message"));
        let reworded = format!(
            "not compared: {reworded} that the server stores rewritten; each side keeps its own"
        );
        let left = format!(
            "pulled once, and not here as it came: {left} (deleted, altered or taken elsewhere); \
             the server still has {}",
            grouped(self.left_on_server)
        );
        let notes = [(self.reworded, reworded), (self.left, left)];
        notes.into_iter().filter(|(count, _)| *count > 0).map(|(_, note)| note).collect()
    }

    /// The lines below that.
    pub(super) fn write(&self, out: &mut String) {
        self.notes().iter().for_each(|note| write_note(out, note));
        for named in &self.differs {
            let (place, words) = (printable(&named.mailbox), printable(&named.words));
            let _ = writeln!(out, "  differs    {place}: {words}");
        }
        let more = self.differing - self.differs.len() as u64;
        if more > 0 {
            let _ = writeln!(out, "  differs    and {} more", grouped(more));
        }
    }
}

impl From<&Verified> for VerifiedView {
    fn from(found: &Verified) -> Self {
        let named = |skip: &Skip| Named {
            mailbox: skip.what.clone(),
            message: None,
            what: "differs".to_owned(),
            words: skip.why.clone(),
        };
        Self {
            files: found.files,
            bodies: found.bodies,
            reworded: found.reworded,
            left: found.left,
            left_on_server: found.left_there,
            differing: found.differing,
            differs: found.differs.iter().map(named).collect(),
        }
    }
}
