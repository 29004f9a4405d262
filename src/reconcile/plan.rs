//! The plan: a plain value, printable and comparable.

use super::guard::{Direction, Kind};
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

/// Why steps are held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HoldReason {
    /// More would leave within 24 hours than the limit allows.
    TooMany {
        /// How many would leave now.
        now: u64,
        /// How many left within the last 24 hours.
        before: u64,
        /// The limit.
        limit: u64,
    },
    /// The last message that the mailbox had when its messages began to leave would go.
    Emptied {
        /// How many would leave now.
        now: u64,
        /// How many of those left within the last 24 hours.
        before: u64,
    },
    /// More flags would be removed than the limit allows.
    FlagsRemoved {
        /// On how many messages.
        now: u64,
        /// The limit.
        limit: u64,
    },
    /// More copies of what the mailbox already holds than anyone makes by hand.
    SurplusCopies {
        /// How many.
        now: u64,
    },
}

impl HoldReason {
    /// The kind of step that is held.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::TooMany { .. } | Self::Emptied { .. } => Kind::Removal,
            Self::FlagsRemoved { .. } => Kind::Flags,
            Self::SurplusCopies { .. } => Kind::Copies,
        }
    }

    /// The same for so many messages.
    #[must_use]
    pub fn with_count(mut self, count: u64) -> Self {
        let (Self::TooMany { now, .. }
        | Self::Emptied { now, .. }
        | Self::FlagsRemoved { now, .. }
        | Self::SurplusCopies { now }) = &mut self;
        *now = count;
        self
    }
}

/// Steps that wait for a person. Nothing of a hold is done; everything else goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Stays while rows are explained and the hold shrinks; rows that are added give it another
    /// one, so that an approval never covers what was not shown.
    pub id: String,
    /// The mailbox, or none where the account as a whole is over its limit.
    pub mailbox: Option<MailboxId>,
    /// From which side the messages would leave.
    pub direction: Direction,
    /// Why.
    pub reason: HoldReason,
    /// The rows, ascending.
    pub rows: Vec<RowId>,
    /// How many of them this plan adds to what was held before; 0 for a hold that goes on.
    pub added: u64,
    /// The id of the pending hold that this one takes the place of.
    pub replaces: Option<String>,
}
