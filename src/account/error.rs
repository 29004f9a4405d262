//! What ends the run of an account, and what a person can do about it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::local::LocalError;
use crate::remote::{Code, RemoteError};
use crate::state::StateError;

/// What ended a run. Smaller trouble is a [`super::Skip`] in the report.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// The server or the way to it.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// The Maildir as a whole.
    #[error(transparent)]
    Local(#[from] LocalError),
    /// The state store: without it nothing may be done.
    #[error(transparent)]
    State(#[from] StateError),
    /// The Maildir belongs to another state store.
    #[error(
        "the Maildir {maildir} belongs to another mailtide ({owner}); if that is gone for good, \
         run `mailtide adopt {account}` to take it over (nothing is deleted)"
    )]
    Foreign {
        /// Its root.
        maildir: String,
        /// Who the marker says keeps it.
        owner: String,
        /// The account's name.
        account: String,
    },
    /// What was pulled into the Maildir is there no more, nor is its marker.
    #[error(
        "the Maildir {maildir} is not the one used before: is its disk mounted? If that is gone \
         for good, run `mailtide adopt {account}`: mail still on the server is pulled again, \
         nothing is deleted"
    )]
    Gone {
        /// Its root.
        maildir: String,
        /// The name of the account that owns it.
        account: String,
    },
    /// The names of the files have another separator than the configuration says.
    #[error(
        "the files in the Maildir {maildir} are named with info_separator = \"{made}\", which \
         cannot be changed in place: restore that setting, or give the account a new directory \
         as its maildir (its mail is fetched again, nothing is deleted)"
    )]
    Separator {
        /// Root of the Maildir.
        maildir: String,
        /// Separator in the names of its files.
        made: char,
    },
    /// The mailboxes lie in the Maildir in another way than the configuration says.
    #[error(
        "the Maildir {maildir} was made with layout = \"{made}\", which cannot be changed in \
         place: restore that setting, or give the account a new directory as its maildir (its \
         mail is fetched again, nothing is deleted)"
    )]
    Layout {
        /// Its root.
        maildir: String,
        /// The layout that it has.
        made: &'static str,
    },
}

/// What kind of trouble ended a run, and so when to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// The server, the way to it, or the disk: it may be well in a moment.
    Lost,
    /// The server refuses the sign-in.
    SignIn,
    /// Somebody has to do something first: mend the configuration, let go of a lock.
    Person,
}

/// A rest that a server asks for; no longer than a day.
#[must_use]
pub fn rest(seconds: u64) -> Duration {
    const MOST: u64 = 24 * 60 * 60;
    Duration::from_secs(seconds.min(MOST))
}

/// The kind of error that ended a run, as the store keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FailureKind {
    /// The server cannot be reached, does not let us in, or went away.
    Unreachable,
    /// Another process works with the account.
    Locked,
    /// The config does not fit what is there.
    Config,
    /// Anything else.
    Failed,
}

impl AccountError {
    /// The kind under which the store keeps a run that this error ended.
    #[must_use]
    pub fn kind(&self) -> FailureKind {
        match self {
            Self::Remote(
                RemoteError::Connect { .. }
                | RemoteError::Tls { .. }
                | RemoteError::Cleartext { .. }
                | RemoteError::SignIn { .. },
            ) => FailureKind::Unreachable,
            Self::Remote(error) if error.ends_session() => FailureKind::Unreachable,
            Self::Local(LocalError::Locked { .. }) => FailureKind::Locked,
            Self::Foreign { .. }
            | Self::Gone { .. }
            | Self::Layout { .. }
            | Self::Separator { .. } => FailureKind::Config,
            _ => FailureKind::Failed,
        }
    }

    /// What kind of trouble it is.
    #[must_use]
    pub fn trouble(&self) -> Trouble {
        match self {
            Self::Remote(RemoteError::SignIn { .. }) => Trouble::SignIn,
            Self::Remote(RemoteError::Cleartext { .. } | RemoteError::Tls { .. })
            | Self::Foreign { .. }
            | Self::Gone { .. }
            | Self::Layout { .. }
            | Self::Separator { .. }
            | Self::Remote(RemoteError::Busy { .. } | RemoteError::Throttled { .. })
            | Self::Local(LocalError::Locked { .. }) => Trouble::Person,
            Self::Remote(_) | Self::Local(_) | Self::State(_) => Trouble::Lost,
        }
    }

    /// What the server said, as it came.
    #[must_use]
    pub fn words(&self) -> Option<&str> {
        match self {
            Self::Remote(error) => error.words(),
            _ => None,
        }
    }

    /// How long the server wants to be left alone, where it says so in seconds.
    #[must_use]
    pub fn wait(&self) -> Option<Duration> {
        match self {
            Self::Remote(error) => match error.code()? {
                Code::LoginDelay(seconds) => seconds.map(rest),
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether the connection was lost over what was asked for.
    #[must_use]
    pub fn is_loss(&self) -> bool {
        matches!(self, Self::Remote(error) if error.is_loss())
    }

    /// Whether the connection to the server cannot be used any more.
    #[must_use]
    pub fn ends_session(&self) -> bool {
        matches!(self, Self::Remote(error) if error.ends_session())
    }
}
