//! Results of the last look at both sides.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::local::Unknown;
use crate::reconcile::types::{Coverage, MailboxId, MailboxName, RowId};
use crate::remote::imap::ListedMailbox;

/// What the last look saw, beside the columns in the store.
#[derive(Debug, Default)]
pub struct Seen {
    /// How far the walk over the root reached.
    pub walk: Coverage,
    /// Paths of which the last walk could not tell what is there.
    pub unknown: Unknown,
    /// How far the look at each directory reached.
    pub local: BTreeMap<MailboxId, Coverage>,
    /// Mailboxes whose files are not where they were: nothing of them is planned.
    pub misplaced: BTreeSet<MailboxId>,
    /// How far the look at each mailbox on the server reached.
    pub remote: BTreeMap<MailboxId, Coverage>,
    /// The server is not as it was left: restored from a backup, or another one under its name.
    /// What it lacks was deleted by nobody (hazard 175).
    pub is_server_another: bool,
    /// Mailboxes that the server says, for the first time, it has not.
    pub refused: BTreeSet<MailboxId>,
    /// Mailboxes that the server does not let us look at.
    pub shut: BTreeSet<MailboxId>,
    /// Mailboxes in whose place the server has another one, under the same numbers.
    pub replaced: BTreeSet<MailboxId>,
    /// HIGHESTMODSEQ is not believed.
    pub no_modseq: bool,
    /// Mailboxes that SELECT once showed with other numbers than LIST, just before.
    pub stale: BTreeSet<MailboxId>,
    /// What LIST said, mirrored or not.
    pub listed: Vec<ListedMailbox>,
    /// Directories that are not mirrored.
    pub excluded: BTreeSet<MailboxName>,
    /// Rows whose file was found in a directory that is not mirrored.
    pub outside: BTreeMap<RowId, MailboxName>,
    /// Directories with messages that are no mailboxes.
    pub unmirrored: BTreeSet<PathBuf>,
    /// Rows whose file was found in one of those.
    pub somewhere: BTreeSet<RowId>,
}

impl Seen {
    /// How far the files of all mailboxes were seen.
    pub(super) fn files(&self) -> Coverage {
        let whole = self.walk == Coverage::Complete && self.misplaced.is_empty();
        let partly = self.local.values().any(|coverage| *coverage == Coverage::Partial);
        if whole && !partly { Coverage::Complete } else { Coverage::Partial }
    }

    /// Notes that the server did not let us look at a mailbox, though it was asked.
    pub(super) fn shut(&mut self, mailbox: MailboxId) {
        self.remote.insert(mailbox, Coverage::Partial);
        self.shut.insert(mailbox);
    }
}
