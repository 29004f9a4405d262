//! What can go wrong on the disk, in words that name the place and the way out.

use std::io;
use std::path::{Path, PathBuf};

use crate::reconcile::types::printable;

/// How much an error concerns: everything outside it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// One message; the others of its mailbox go on.
    Message,
    /// One mailbox; the others of its root go on.
    Mailbox,
    /// The whole root: nothing in it may be called absent.
    Root,
}

/// A failure of the local side.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// The file system refused.
    #[error("cannot {doing} {}: {source}{}", shown(path), advice(source))]
    Io {
        /// What was tried, as a verb.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// How far it reaches.
        scope: Scope,
        /// What the system said.
        source: io::Error,
    },
    /// Another process holds the root.
    #[error("{} is in use by {}; stop that one first", shown(path), printable(by))]
    Locked {
        /// The root.
        path: PathBuf,
        /// What the holder wrote into the lock: its process and host.
        by: String,
    },
    /// The root is not there and was not to be made.
    #[error("the Maildir root {} is not there; is its disk mounted?", shown(path))]
    NoRoot {
        /// The root.
        path: PathBuf,
    },
    /// A file of ours cannot be understood.
    #[error("{} is invalid ({why}); nothing is deleted until it is fixed", shown(path))]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A directory that cannot be mirrored as it stands.
    #[error("{} is not mirrored: {why}", shown(path))]
    Unmirrored {
        /// The directory.
        path: PathBuf,
        /// Why, and what to do.
        why: &'static str,
    },
    /// The file is not the one that was looked at before.
    #[error("{} changed while being read; retried once it no longer changes", shown(path))]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// Another program is writing the keyword table.
    #[error("{} is locked by another program; if none is running, remove it", shown(path))]
    KeywordsBusy {
        /// The lock file.
        path: PathBuf,
    },
}

impl LocalError {
    /// How far the failure reaches.
    #[must_use]
    pub fn scope(&self) -> Scope {
        match self {
            Self::Io { scope, .. } => *scope,
            Self::Locked { .. } | Self::NoRoot { .. } | Self::Malformed { .. } => Scope::Root,
            Self::Unmirrored { .. } | Self::KeywordsBusy { .. } => Scope::Mailbox,
            Self::Changed { .. } => Scope::Message,
        }
    }

    /// Whether the disk or the quota is full: further deliveries would fail alike.
    #[must_use]
    pub fn is_no_space(&self) -> bool {
        let kind = self.io_kind();
        matches!(kind, Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
    }

    /// Whether a rename would have to cross file systems: copy instead.
    #[must_use]
    pub fn is_cross_device(&self) -> bool {
        self.io_kind() == Some(io::ErrorKind::CrossesDevices)
    }

    /// Where it happened.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::Io { path, .. }
            | Self::Locked { path, .. }
            | Self::NoRoot { path }
            | Self::Malformed { path, .. }
            | Self::Unmirrored { path, .. }
            | Self::Changed { path }
            | Self::KeywordsBusy { path } => path,
        }
    }

    fn io_kind(&self) -> Option<io::ErrorKind> {
        match self {
            Self::Io { source, .. } => Some(source.kind()),
            _ => None,
        }
    }
}

/// Turns an [`io::Error`] into a [`LocalError`] that names what and where.
pub(super) trait At<T> {
    fn at(self, scope: Scope, doing: &'static str, path: &Path) -> Result<T, LocalError>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, scope: Scope, doing: &'static str, path: &Path) -> Result<T, LocalError> {
        self.map_err(|source| LocalError::Io { doing, path: path.to_owned(), scope, source })
    }
}

/// `None` where the thing is not there, any other failure stays one.
pub(super) fn if_there<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

fn shown(path: &Path) -> String {
    printable(&path.to_string_lossy())
}

fn advice(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::StorageFull => "; make room",
        io::ErrorKind::QuotaExceeded => "; make room or raise the quota",
        io::ErrorKind::PermissionDenied => "; it must belong to the user that runs mailtide",
        io::ErrorKind::ReadOnlyFilesystem => "; mount it writable",
        _ => "",
    }
}
