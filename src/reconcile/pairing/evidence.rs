//! Mailboxes that were numbered anew: whether they hold the messages that were known there.
//!
//! A renumbering and a mailbox that was deleted and made anew look the same to a client. What the
//! server says of one message (size, time, header) does not tell its text. Where it says of most
//! messages what it said before, they are the same ones under new numbers. Where it does so of one
//! alone, or of few, the bodies are compared (hazard 80).

use std::collections::{BTreeMap, BTreeSet};

use crate::reconcile::alike::have_one_object_id;
use crate::reconcile::row_index::RowIndex;
use crate::reconcile::row_state::{RowState, state_of};
use crate::reconcile::types::{Journal, MailboxId, Row};

/// One message found again proves nothing of itself.
const FOUND_LEAST: usize = 2;

/// What the server says of a message, without its own name for it.
pub(super) type Facts = (u64, i64, [u8; 16]);

pub(super) fn facts(row: &Row) -> Option<Facts> {
    let header = row.header.filter(|header| header.has_message_id)?;
    row.words.as_ref().map(|words| (words.size, words.date, header.hash))
}

/// Whether the message of a row lost its number by a renumbering. What was under way to the mailbox
/// is found there because we sent it, and proves nothing of the others.
fn is_unnumbered(row: &Row) -> bool {
    let under_way = matches!(row.journal, Journal::Moving { .. } | Journal::Pushing { .. });
    row.restated
        && row.base.is_some()
        && !under_way
        && matches!(state_of(row), RowState::LocalNew | RowState::BothGone)
}

/// Mailboxes in which too few messages were found again for what the server says to prove a
/// text.
pub(super) fn unproved(index: &RowIndex<'_>) -> BTreeSet<MailboxId> {
    let rows = || index.world.rows.iter().filter(|row| !index.is_taken(row));
    let mut known: BTreeMap<MailboxId, Vec<Facts>> = BTreeMap::new();
    for row in rows().filter(|row| is_unnumbered(row)) {
        known.entry(row.mailbox).or_default().extend(facts(row));
    }
    if known.is_empty() {
        return BTreeSet::new();
    }
    let mut shown: BTreeMap<MailboxId, BTreeSet<Facts>> = BTreeMap::new();
    for row in rows().filter(|row| state_of(row) == RowState::RemoteNew) {
        shown.entry(row.mailbox).or_default().extend(facts(row));
    }
    let is_proved = |mailbox: &MailboxId, known: &[Facts]| {
        let shown = shown.get(mailbox);
        let found = known.iter().filter(|facts| shown.is_some_and(|shown| shown.contains(*facts)));
        let found = found.count();
        found >= FOUND_LEAST && found * 2 >= known.len()
    };
    let unproved = known.into_iter().filter(|(mailbox, known)| !is_proved(mailbox, known));
    unproved.map(|(mailbox, _)| mailbox).collect()
}

/// Whether what the server says of a new message may pair it with a row of its mailbox.
pub(super) fn is_trusted(index: &RowIndex<'_>, row: &Row, remote: &Row) -> bool {
    !(row.restated && index.unproved.contains(&remote.mailbox)) || have_one_object_id(row, remote)
}
