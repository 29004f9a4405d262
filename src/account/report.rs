//! What a run did, for the log, `status` and the exit code.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::reconcile::types::{MailboxName, printable};
use crate::state::Hold;

/// What a report lists of one kind at most.
const LISTED_MAX: usize = 1000;

/// Counts of what a run did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Bodies brought down.
    pub pulled: u64,
    /// Bodies sent up.
    pub pushed: u64,
    /// Messages moved or copied on disk without a body on the wire.
    pub moved_local: u64,
    /// Messages moved or copied on the server without a body on the wire.
    pub moved_remote: u64,
    /// Files whose flags were changed.
    pub flags_local: u64,
    /// Server messages whose flags were changed.
    pub flags_remote: u64,
    /// Files renamed into the local trash.
    pub removed_local: u64,
    /// Messages removed from their mailbox on the server.
    pub removed_remote: u64,
    /// Files and server messages found to be the same.
    pub paired: u64,
    /// Facts that were only written down.
    pub noted: u64,
    /// Mailboxes made or removed on either side.
    pub mailboxes: u64,
    /// Octets received from and sent to the server.
    pub received: u64,
    /// See `received`.
    pub sent: u64,
    /// Changes of the disk that are not sent, since nothing is (`direction = "pull"`).
    pub unsent: u64,
    /// What could not be done now and a retry may mend.
    pub skipped: Vec<Skip>,
    /// What was held first by this run; of a dry run, all that would be held.
    pub holds: Vec<Hold>,
    /// Mailboxes whose files changed.
    pub touched: BTreeSet<MailboxName>,
    /// Mail that came down and that nobody has read.
    pub arrivals: Arrivals,
    /// Plan of a dry run, line by line.
    pub plan: Vec<String>,
    /// The run was asked to stop before it was through.
    pub interrupted: bool,
    /// Rounds taken.
    pub rounds: u32,
    /// For how long the server wants no other sign-in.
    pub rest: Option<Duration>,
    /// Seconds after which another run is of use though nothing is told: something was put off, or
    /// is believed only if it is found twice.
    pub again: Option<u64>,
    /// What a verification found; none of a run.
    pub verified: Option<Verified>,
}

impl Report {
    /// How much was done so far: facts, on either side or in the store.
    #[must_use]
    pub fn done(&self) -> u64 {
        self.pulled
            + self.pushed
            + self.moved_local
            + self.moved_remote
            + self.flags_local
            + self.flags_remote
            + self.removed_local
            + self.removed_remote
            + self.mailboxes
            + self.paired
            + self.noted
    }

    /// What a verification has found so far.
    pub(crate) fn verified(&mut self) -> &mut Verified {
        self.verified.get_or_insert_default()
    }

    /// Notes that files of a mailbox changed.
    pub fn touch(&mut self, mailbox: &MailboxName) {
        if !self.touched.contains(mailbox) {
            self.touched.insert(mailbox.clone());
        }
    }

    /// Takes back what was skipped for such a reason.
    pub(crate) fn unskip(&mut self, is_such: impl Fn(&Skip) -> bool) {
        self.skipped.retain(|skip| !is_such(skip));
    }

    /// Notes something that could not be done now.
    pub fn skip(&mut self, what: impl Into<String>, why: impl Into<String>) {
        let skip = Skip { what: what.into(), why: why.into() };
        tracing::warn!(what = %printable(&skip.what), why = %printable(&skip.why), "skipped");
        // A server that refuses everything must not fill the memory with its refusals.
        if self.skipped.len() < LISTED_MAX && !self.skipped.contains(&skip) {
            self.skipped.push(skip);
        }
    }
}

impl fmt::Display for Report {
    /// In a few words: `3 down, 1 flagged there`, or `nothing to do`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            (self.pulled, "down"),
            (self.pushed, "up"),
            (self.moved_local, "moved here"),
            (self.moved_remote, "moved there"),
            (self.flags_local, "flagged here"),
            (self.flags_remote, "flagged there"),
            (self.removed_local, "removed here"),
            (self.removed_remote, "removed there"),
            (self.mailboxes, "mailboxes"),
            (self.skipped.len() as u64, "skipped"),
            (self.unsent, "not sent"),
        ];
        let mut parts = parts.into_iter().filter(|(count, _)| *count > 0);
        let Some((count, what)) = parts.next() else {
            return f.write_str(if self.done() > 0 { "noted" } else { "nothing to do" });
        };
        write!(f, "{count} {what}")?;
        parts.try_for_each(|(count, what)| write!(f, ", {count} {what}"))
    }
}

/// What a verification found, beside the plan of what a sync would mend.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    /// Files that hold what was recorded of them.
    pub files: u64,
    /// Bodies of the server that are what was recorded of them.
    pub bodies: u64,
    /// Messages that each side keeps in its own words, so that they were not compared.
    pub reworded: u64,
    /// Messages that were pulled from a maildrop, and that no file holds any more.
    pub left: u64,
    /// How many of those the server still has.
    pub left_there: u64,
    /// How many messages are not what they should be.
    pub differing: u64,
    /// Which, and how; a thousand at most.
    pub differs: Vec<Skip>,
}

impl Verified {
    /// A message is not what it should be.
    pub(crate) fn differs(&mut self, what: impl Into<String>, why: impl Into<String>) {
        self.differing += 1;
        if self.differs.len() < LISTED_MAX {
            self.differs.push(Skip { what: what.into(), why: why.into() });
        }
    }
}

/// New mail: unread, and in a mailbox that mail arrives in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Arrivals {
    /// How many messages.
    pub count: u64,
    /// Where.
    pub mailboxes: BTreeSet<MailboxName>,
    /// Their files, up to a hundred.
    pub files: Vec<PathBuf>,
}

impl Arrivals {
    /// A program is told of no more files than this: a first run brings more than anybody is
    /// to be shown.
    const FILES_MAX: usize = 100;

    /// Notes a message.
    pub fn note(&mut self, mailbox: &MailboxName, file: impl FnOnce() -> PathBuf) {
        self.count += 1;
        if !self.mailboxes.contains(mailbox) {
            self.mailboxes.insert(mailbox.clone());
        }
        if self.files.len() < Self::FILES_MAX {
            self.files.push(file());
        }
    }
}

/// A step that was not taken, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skip {
    /// The mailbox or message.
    pub what: String,
    /// The reason, with the words of whoever refused.
    pub why: String,
}
