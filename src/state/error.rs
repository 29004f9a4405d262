//! What can go wrong with the state store: what, where, and what to do about it.

use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

use crate::reconcile::types::printable;

/// A result of the state store.
pub type Result<T, E = StateError> = std::result::Result<T, E>;

/// Why the state store could not do what was asked. Nothing of a failed transaction is kept.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The store would lie where locks and write order cannot be relied on.
    #[error(
        "{} is on a network file system ({kind}), where its locks are unreliable: \
         set `state_dir` to a directory on a local disk",
        shown(.path)
    )]
    Network {
        /// The store.
        path: PathBuf,
        /// The file system, by its common name.
        kind: String,
    },
    /// A database, but not one of ours.
    #[error(
        "{} is a database of another program (application id {application_id:#010x}): \
         move it away, or set `state_dir` to another directory",
        shown(.path)
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Its `application_id`; 0 when it has none.
        application_id: i32,
    },
    /// Written by a later version, which may mean other things by the same words.
    #[error(
        "{} was written by a newer mailtide (format {found}, this one knows up to {known}): \
         update mailtide, or move the file away to start anew (nothing is deleted then)",
        shown(.path)
    )]
    Newer {
        /// The store.
        path: PathBuf,
        /// Its `user_version`.
        found: i32,
        /// The highest that this program knows.
        known: i32,
    },
    /// Opened for reading only, so it cannot be brought up to date here.
    #[error(
        "{} was written by an older mailtide (format {found}, this one needs {known}): \
         run `mailtide sync` once to bring it up to date",
        shown(.path)
    )]
    Outdated {
        /// The store.
        path: PathBuf,
        /// Its `user_version`.
        found: i32,
        /// The one that this program reads.
        known: i32,
    },
    /// Its content is not what was written. It is never repaired or replaced unasked.
    #[error(
        "{} is damaged ({}): stop mailtide, keep a copy, then move it and its -wal and -shm files \
         away; the next run matches what both sides hold and deletes nothing",
        shown(.path), printable(.detail)
    )]
    Damaged {
        /// The store.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// Another process held the write lock for longer than the busy timeout (5 s).
    #[error("{} is in use by another process (while trying to {doing}): try again", shown(.path))]
    Busy {
        /// The store.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
    },
    /// No space for the store itself.
    #[error("no space to {doing} in {}: free some on that disk", shown(.path))]
    Full {
        /// The store.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
    },
    /// The write would contradict what is stored: a UID, a stem or a name that is taken, or a
    /// mailbox that is not there. Nothing was overwritten.
    #[error(
        "could not {doing} in {}: {} (this is a fault of mailtide: please report it)",
        shown(.path), printable(.detail)
    )]
    Conflict {
        /// The store.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// The constraint, as SQLite names it.
        detail: String,
    },
    /// What should be changed is not in the store.
    #[error("could not {doing} in {}: there is none with id {id}", shown(.path))]
    Missing {
        /// The store.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// Its identity.
        id: String,
    },
    /// The file or its directory could not be made or reached.
    #[error("could not {doing} {}: {source}", shown(.path))]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// Anything else that SQLite refuses.
    #[error("could not {doing} in {}: {source}", shown(.path))]
    Sql {
        /// The store.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// The caller (or the commit hook) ended the transaction for a reason of its own.
    #[error("{0}")]
    Stopped(String),
}

impl StateError {
    /// Sorts what SQLite said by what a person would have to do about it.
    pub(super) fn from_sql(path: &Path, doing: &'static str, source: rusqlite::Error) -> Self {
        use rusqlite::Error as Sql;
        let path = path.to_owned();
        match &source {
            Sql::SqliteFailure(failure, words) => match failure.code {
                ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Self::Busy { path, doing },
                ErrorCode::DiskFull => Self::Full { path, doing },
                ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => {
                    Self::Damaged { path, detail: source.to_string() }
                }
                ErrorCode::ConstraintViolation => {
                    let detail = words.clone().unwrap_or_else(|| source.to_string());
                    Self::Conflict { path, doing, detail }
                }
                _ => Self::Sql { path, doing, source },
            },
            // STRICT tables hold the types, so a value that does not decode was not ours.
            Sql::FromSqlConversionFailure(..)
            | Sql::IntegralValueOutOfRange(..)
            | Sql::InvalidColumnType(..)
            | Sql::Utf8Error(..) => Self::Damaged { path, detail: source.to_string() },
            _ => Self::Sql { path, doing, source },
        }
    }
}

/// A path fit for a terminal.
fn shown(path: &Path) -> String {
    printable(&path.to_string_lossy())
}
