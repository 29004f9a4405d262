//! UIDs that the server gave to messages which left again before a look showed them.
//!
//! Such a message may have been the new version of one that is known, and may be what appears in
//! another mailbox now: an edited draft often has the header, the length and the second of the one
//! that it takes the place of. Until all that left is accounted for, no message is told by what
//! the server says of it; its body is fetched and compared (hazard 154).

use crate::mail::run::Run;
use crate::mail::writer::Writer;
use crate::reconcile::types::{Journal, Mailbox, MailboxStatus, Row};
use crate::state::{StateError, Store, meta};

/// Rows that are looked through.
const ROWS_MAX: usize = 10_000;

/// Notes whether UIDs were given since the last complete look that no row has. `more` is how many
/// messages of this look get their row only afterwards.
pub(super) fn note(
    w: &Writer<'_>,
    mailbox: &Mailbox,
    now: MailboxStatus,
    more: u64,
) -> Result<(), StateError> {
    let Some(then) = mailbox.cursor else { return Ok(()) };
    let is_told = then.uid_next > 0 && then.uid_validity == now.uid_validity;
    if !is_told || now.uid_next <= then.uid_next {
        return Ok(());
    }
    let seen = w.tx().numbered(mailbox.id, then.uid_next, now.uid_next)?.saturating_add(more);
    if seen < u64::from(now.uid_next - then.uid_next) {
        tracing::debug!(mailbox = %mailbox.name, "messages came and left again");
        w.tx().set_fact(&meta::PASSED, &())?;
    }
    Ok(())
}

/// Notes that messages of ours came to a mailbox under numbers that no row has (hazard 181).
pub(in crate::mail) fn doubt(w: &Writer<'_>) -> Result<(), StateError> {
    w.tx().set_fact(&meta::PASSED, &())
}

/// Whether such messages were noted, and no run has accounted for all departures since.
pub(in crate::mail) fn is_noted(run: &Run) -> Result<bool, StateError> {
    run.store.has_fact(&meta::PASSED)
}

/// Ends the doubt: a complete run has accounted for all departures, and no upload is missed that
/// may have been one of them (hazard 166).
pub(in crate::mail) fn forget(store: &mut Store) -> Result<(), StateError> {
    if !store.has_fact(&meta::PASSED)? {
        return Ok(());
    }
    let is_missed =
        |row: &Row| row.remote.is_none() && matches!(row.journal, Journal::Pushing { .. });
    if !store.unsettled(None, ROWS_MAX)?.iter().any(is_missed) {
        store.transaction(|tx| tx.delete_fact(&meta::PASSED).map(drop))?;
    }
    Ok(())
}
