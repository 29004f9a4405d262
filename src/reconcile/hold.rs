//! Holds: changes that wait for an answer of the user.

use super::types::{MailboxId, RowId};

/// From which side messages leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// They would leave the server.
    FromRemote,
    /// They would leave the disk.
    FromLocal,
}

/// Kinds of steps that the guard counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Messages leave a side.
    Removal,
    /// Flags are taken off messages of a side.
    Flags,
    /// The server gets more copies of messages that a mailbox already holds.
    Copies,
}

impl Direction {
    /// The side that would be changed, for programs: `server` or `disk`.
    #[must_use]
    pub fn side(self) -> &'static str {
        match self {
            Self::FromRemote => "server",
            Self::FromLocal => "disk",
        }
    }
}

impl Kind {
    /// For programs: `removal`, `flags` or `copies`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Removal => "removal",
            Self::Flags => "flags",
            Self::Copies => "copies",
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
