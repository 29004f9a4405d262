//! The lock files of keyword tables that a crash of ours may have left behind. Other programs wait
//! for them (hazards 145 and 180).

use serde::{Deserialize, Serialize};

use crate::account::error::AccountError;
use crate::account::run::Run;
use crate::local::Root;
use crate::reconcile::types::{Mailbox, MailboxName};
use crate::state::{StateError, Store, Tx};

/// Where notes are kept.
const LOCKS: &str = "keywords_locks";
/// Age, in seconds, after which the note of a lock is dropped even if the lock could not be
/// removed: by then every program treats it as stale.
const FORGOTTEN_S: i64 = 10 * 60;

/// A table that is being changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Lock {
    /// The mailbox, by the name that it had then.
    mailbox: String,
    /// The id of its directory, which may have another name by the time the lock is removed, or
    /// lie in a root that is not here.
    id: Option<String>,
    /// When it was noted, in seconds since 1970.
    noted_s: i64,
}

/// Notes that the table of a mailbox is about to be locked.
pub(super) fn note(run: &mut Run, mailbox: &Mailbox) -> Result<Lock, AccountError> {
    let id = mailbox.local_id.clone();
    let noted_s = run.outside.clock.now();
    let lock = Lock { mailbox: mailbox.name.as_str().to_owned(), id, noted_s };
    run.record(|w| {
        let mut locks = read(w.tx().meta(LOCKS)?);
        locks.push(lock.clone());
        write(w.tx(), &locks)
    })?;
    Ok(lock)
}

/// The lock of this note is gone.
pub(super) fn forget(tx: &Tx<'_>, lock: &Lock) -> Result<(), StateError> {
    let mut locks = read(tx.meta(LOCKS)?);
    locks.retain(|known| known != lock);
    write(tx, &locks)
}

/// Removes the lock files that a crash of ours left behind. The note of one whose directory is not
/// here stays: the root that it lies in may come back (hazard 180).
pub(in crate::account) fn unlock(
    store: &mut Store,
    root: &Root,
    now_s: i64,
) -> Result<(), AccountError> {
    let locks = read(store.meta(LOCKS)?);
    if locks.is_empty() {
        return Ok(());
    }
    let stays = |lock: &Lock| {
        let is_young = (now_s - lock.noted_s).abs() <= FORGOTTEN_S;
        let mailbox = MailboxName::new(&lock.mailbox);
        match root.drop_keywords_lock(&mailbox, lock.id.as_deref()) {
            Ok(is_here) => !is_here && is_young,
            Err(error) => {
                tracing::warn!(%mailbox, %error, "the lock of the keywords stays");
                is_young
            }
        }
    };
    let left: Vec<Lock> = locks.into_iter().filter(stays).collect();
    Ok(store.transaction(|tx| write(tx, &left))?)
}

fn read(text: Option<String>) -> Vec<Lock> {
    text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
}

fn write(tx: &Tx<'_>, locks: &[Lock]) -> Result<(), StateError> {
    match locks {
        [] => tx.delete_meta(LOCKS).map(drop),
        locks => tx.set_meta(LOCKS, &serde_json::to_string(locks).unwrap_or_default()),
    }
}
