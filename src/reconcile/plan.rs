//! The plan: a plain value, printable and comparable.

use super::hold::Hold;
use super::types::{FlagDelta, MailboxId, MailboxName, RowId};

/// What one round is going to do, and what it refuses to do until a person agrees.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// Mailboxes to make or remove.
    pub mailboxes: Vec<MailboxStep>,
    /// Steps over messages: facts to write down first, then additions, then removals.
    pub steps: Vec<Step>,
    /// Steps refused until a person agrees: holds of earlier plans, and new ones.
    pub holds: Vec<Hold>,
    /// Approvals, with the rows that still need them; without any they are done with.
    pub approved: Vec<Hold>,
}

impl Plan {
    /// Whether there is nothing to do (holds are nothing to do).
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.mailboxes.is_empty() && self.steps.is_empty()
    }
}

/// A step over mailboxes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MailboxStep {
    /// Make the directory of a mailbox that is new on the server.
    CreateLocal(MailboxId),
    /// CREATE a mailbox that is new on disk.
    CreateRemote(MailboxId),
    /// Rename the directory of a mailbox that is gone on the server into the local trash.
    RemoveLocal(MailboxId),
    /// DELETE a mailbox that is gone on disk; only at 0 EXISTS, unselected.
    RemoveRemote(MailboxId),
    /// Both sides are gone.
    Forget(MailboxId),
    /// Both sides have it: write that down.
    Agree(MailboxId),
}

/// How a message leaves its mailbox on the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RemoteRemoval {
    /// MOVE to \Trash, journalled.
    Trash(MailboxName),
    /// MOVE to a mailbox that is not mirrored, where its file was found.
    MoveTo(MailboxName),
    /// \Deleted and UID EXPUNGE.
    Expunge,
}

/// A step over messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A file and a server message are the same: one row from now on, with the base of `past`
    /// where there is one. No transfer.
    Pair {
        /// The row that has the file; it stays.
        local: RowId,
        /// The row that has the server's message; it is merged into `local`.
        remote: RowId,
        /// The row whose base and words the pair inherits; it is forgotten.
        past: Option<RowId>,
        /// Paired by a loose key: the bytes may differ.
        weak: bool,
    },
    /// A file got another name in its mailbox: the row that lost it takes it back.
    Reattach {
        /// The row whose file was gone.
        gone: RowId,
        /// The row made for the new name; it is merged into `gone`.
        found: RowId,
    },
    /// Neither side has it any more.
    Forget(RowId),
    /// By policy it stays on one side.
    Keep(RowId),
    /// It goes back to the side that it departed from.
    BringBack(RowId),
    /// Change flags by deltas.
    Flags {
        /// The row.
        row: RowId,
        /// What the file's flags change by.
        local: FlagDelta,
        /// What the server's flags change by.
        remote: FlagDelta,
    },
    /// Bring the body down.
    Fetch(RowId),
    /// Place a copy of another row's file; no body on the wire.
    LocalCopy {
        /// The row that has the file.
        from: RowId,
        /// The row that has the server's message.
        to: RowId,
    },
    /// Rename another row's file; no body on the wire.
    LocalMove {
        /// The row that has the file and lost its server message.
        from: RowId,
        /// The row that has the server's message.
        to: RowId,
        /// The row whose base the move takes along, where it is not `from`.
        past: Option<RowId>,
    },
    /// APPEND.
    Push(RowId),
    /// COPY on the server; no body on the wire.
    RemoteCopy {
        /// The row that has the server's message.
        from: RowId,
        /// The row that has the file.
        to: RowId,
    },
    /// MOVE on the server (or COPY, the fact of it, then removal of the source).
    RemoteMove {
        /// The row that has the server's message and lost its file.
        from: RowId,
        /// The row that has the file.
        to: RowId,
    },
    /// Remove a message from its mailbox on the server.
    RemoveRemote {
        /// The row.
        row: RowId,
        /// How.
        how: RemoteRemoval,
    },
    /// Remove a second copy that an unanswered APPEND of ours left behind.
    RemoveTwin {
        /// The twin.
        twin: RowId,
        /// The row that it doubles.
        of: RowId,
    },
    /// Rename a file into the local trash.
    RemoveLocal(RowId),
}

impl Step {
    /// The rows that the step touches.
    #[must_use]
    pub fn rows(&self) -> Vec<RowId> {
        match self {
            Self::Pair { local, remote, past, .. } => {
                [Some(*local), Some(*remote), *past].into_iter().flatten().collect()
            }
            Self::Reattach { gone: a, found: b }
            | Self::LocalCopy { from: a, to: b }
            | Self::RemoteCopy { from: a, to: b }
            | Self::RemoteMove { from: a, to: b }
            | Self::RemoveTwin { twin: a, of: b } => vec![*a, *b],
            Self::LocalMove { from, to, past } => {
                [Some(*from), Some(*to), *past].into_iter().flatten().collect()
            }
            Self::Forget(row)
            | Self::Keep(row)
            | Self::BringBack(row)
            | Self::Fetch(row)
            | Self::Push(row)
            | Self::RemoveLocal(row)
            | Self::Flags { row, .. }
            | Self::RemoveRemote { row, .. } => vec![*row],
        }
    }
}
