//! The lock files of keyword tables that a crash of ours may have left behind. Other programs wait
//! for them (hazards 145 and 180).

use crate::account::error::AccountError;
use crate::local::Root;
use crate::mail::run::Run;
use crate::reconcile::types::{Mailbox, MailboxName};
use crate::state::meta;
use crate::state::meta::KeywordsLock;
use crate::state::{StateError, Store, Tx};

/// Age, in seconds, after which the note of a lock is dropped even if the lock could not be
/// removed: by then every program treats it as stale.
const FORGOTTEN_S: i64 = 10 * 60;

/// Notes that the table of a mailbox is about to be locked.
pub(super) fn note(run: &mut Run, mailbox: &Mailbox) -> Result<KeywordsLock, AccountError> {
    let id = mailbox.local_id.clone();
    let noted_s = run.environment.clock.now();
    let lock = KeywordsLock { mailbox: mailbox.name.as_str().to_owned(), id, noted_s };
    run.record(|w| {
        let mut locks = w.tx().fact(&meta::KEYWORDS_LOCKS)?.unwrap_or_default();
        locks.push(lock.clone());
        write(w.tx(), &locks)
    })?;
    Ok(lock)
}

/// The lock of this note is gone.
pub(super) fn forget(tx: &Tx<'_>, lock: &KeywordsLock) -> Result<(), StateError> {
    let mut locks = tx.fact(&meta::KEYWORDS_LOCKS)?.unwrap_or_default();
    locks.retain(|known| known != lock);
    write(tx, &locks)
}

/// Removes the lock files that a crash of ours left behind. The note of one whose directory is not
/// here stays: the root that it lies in may come back (hazard 180).
pub(in crate::mail) fn unlock(
    store: &mut Store,
    root: &Root,
    now_s: i64,
) -> Result<(), AccountError> {
    let locks = store.fact(&meta::KEYWORDS_LOCKS)?.unwrap_or_default();
    if locks.is_empty() {
        return Ok(());
    }
    let stays = |lock: &KeywordsLock| {
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
    let left: Vec<KeywordsLock> = locks.into_iter().filter(stays).collect();
    Ok(store.transaction(|tx| write(tx, &left))?)
}

fn write(tx: &Tx<'_>, locks: &Vec<KeywordsLock>) -> Result<(), StateError> {
    match locks.is_empty() {
        true => tx.delete_fact(&meta::KEYWORDS_LOCKS).map(drop),
        false => tx.set_fact(&meta::KEYWORDS_LOCKS, locks),
    }
}
