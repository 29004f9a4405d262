//! Copies that the server named, under a UID that it has reached, and does not show (hazard 134).
//!
//! Another client may have moved or removed them before they were seen, or the server shows them
//! later: to another session, or after a moment. A look of a later run tells.

use super::attributes::Looked;
use crate::account::error::AccountError;
use crate::mail::run::Run;
use crate::reconcile::types::{Coverage, Mailbox};
use crate::remote::imap::UidSet;
use crate::state::meta;
use crate::state::meta::List;

/// Takes what was named and is missed for the first time from what is gone: until a later run
/// misses it, too, its file stays.
pub(super) fn wait_for(
    run: &mut Run,
    mailbox: &Mailbox,
    looked: &mut Looked,
) -> Result<(), AccountError> {
    let key = meta::missed(mailbox.id, looked.gate.uid_validity);
    let before = run.store.fact(&key)?;
    let is_noted = before.is_some();
    let (number, List(missed)) = before.unwrap_or((0, List(Vec::new())));
    let missed: UidSet = missed.into_iter().collect();
    let mut first = UidSet::default();
    let next = looked.gate.uid_next;
    for uid in looked.gone.iter().copied().filter(|uid| next == 0 || uid.0 < next) {
        let Some(row) = run.store.by_uid(mailbox.id, uid)?.filter(|row| row.local.is_some()) else {
            continue;
        };
        let missed_before = number != run.attempt.number && missed.contains(uid);
        if row.remote.is_some_and(|remote| !remote.confirmed) && !missed_before {
            first.insert(uid);
        }
    }
    if first.is_empty() {
        if is_noted && number != run.attempt.number {
            run.store.transaction(|tx| tx.delete_fact(&key))?;
        }
        return Ok(());
    }
    looked.gone.retain(|uid| !first.contains(*uid));
    looked.coverage = Coverage::Partial;
    looked.problems.push(format!(
        "the server reported {} that it does not list; considered gone if the next run does not \
         see {} either",
        match first.len() {
            1 => "a message".to_owned(),
            n => format!("{n} messages"),
        },
        if first.len() == 1 { "it" } else { "them" }
    ));
    run.attempt.waits_for_next = true;
    run.is_view_old = true;
    let now = (run.attempt.number, List(first.iter().collect()));
    run.store.transaction(|tx| tx.set_fact(&key, &now))?;
    Ok(())
}
