//! UIDNEXT, as far as the messages of the mailbox bear it out (hazard 128).

use std::collections::BTreeMap;

use super::rows::merge;
use crate::account::error::AccountError;
use crate::mail::run::Run;
use crate::reconcile::types::{Mailbox, MailboxStatus, Uid};
use crate::remote::imap::{FetchItems, FetchRow, UidSet};

/// How the selected mailbox stands, with no UIDNEXT (0) where the server shows a message at or
/// above the one that it tells. One that shows other messages under known UIDs keeps it: these
/// UIDs were handed out twice (hazard 5).
///
/// # Errors
/// A refusal, or what ends the session.
pub(super) async fn check(
    run: &mut Run,
    mailbox: &Mailbox,
    gate: MailboxStatus,
) -> Result<MailboxStatus, AccountError> {
    if gate.uid_next == 0 || gate.messages == 0 || !is_doubtful(run, mailbox, &gate)? {
        return Ok(gate);
    }
    let next = gate.uid_next;
    let mut shown: BTreeMap<Uid, FetchRow> = BTreeMap::new();
    let mut sink = |row: FetchRow| {
        // `n:*` names the last message even below n (RFC 9051 §9, seq-range).
        if row.uid.0 >= next {
            merge(&mut shown, row);
        }
    };
    let items = FetchItems { size: true, date: true, ..FetchItems::default() };
    let set = UidSet::from_range(Uid(next), Uid(u32::MAX));
    run.session.fetch(&set, items, None, &mut sink).await?;
    if shown.is_empty() {
        return Ok(gate);
    }
    for (uid, row) in &shown {
        let known = run.store.by_uid(mailbox.id, *uid)?.and_then(|known| known.words);
        let told = row.size.zip(row.date);
        if known.zip(told).is_some_and(|(known, told)| (known.size, known.date) != told) {
            return Ok(gate);
        }
    }
    tracing::info!(mailbox = %mailbox.name, next, "the server shows messages above its UIDNEXT");
    Ok(MailboxStatus { uid_next: 0, ..gate })
}

/// Whether UIDNEXT is not above all that is known, or there is more than is known below it.
fn is_doubtful(run: &Run, mailbox: &Mailbox, gate: &MailboxStatus) -> Result<bool, AccountError> {
    if mailbox.cursor.is_some_and(|cursor| cursor.uid_validity != gate.uid_validity) {
        return Ok(false);
    }
    let last = run.store.last_uid(mailbox.id)?.map_or(0, |uid| uid.0);
    let first_new = mailbox.cursor.map_or(1, |cursor| cursor.uid_next.max(1));
    let more = || -> Result<bool, AccountError> {
        Ok(run.store.remote_count(mailbox.id)? < u64::from(gate.messages))
    };
    Ok(last >= gate.uid_next || (first_new >= gate.uid_next && more()?))
}
