//! Messages whose files have left: numbered anew since (hazard 56), or ours of a lost answer
//! (hazard 55).

use std::collections::BTreeSet;

use super::evidence;
use super::sources::{Found, past_of};
use super::words;
use crate::reconcile::alike::{date, have_one_object_id, same_words};
use crate::reconcile::coverage::has_open_copy;
use crate::reconcile::plan::Step;
use crate::reconcile::row_index::{RowIndex, best};
use crate::reconcile::row_state::{RowState, is_active, is_claim, is_ending, is_left, state_of};
use crate::reconcile::types::{Journal, MailboxId, Row, RowId};

/// Orders new messages: first those where a copy of ours is due. Found there, the message leaves
/// the place that it came from, also where that was numbered anew since (hazard 84).
pub(super) fn order(index: &RowIndex<'_>, arrivals: &mut [&Row]) {
    let is_due = |row: &&Row| matches!(row.journal, Journal::Moving { .. }) && row.remote.is_none();
    let due = index.world.rows.iter().filter(is_due);
    let due: BTreeSet<MailboxId> = due.map(|row| row.mailbox).collect();
    arrivals.sort_by_key(|row| !due.contains(&row.mailbox));
}

/// The message of a file that is not in its place, while the server numbered the messages of this
/// one anew: it is this row's, and in doubt. Its file may have been moved to another mailbox, or be
/// in a root that is not here. One that was removed is in none: its message comes back.
pub(super) fn pair(index: &RowIndex<'_>, remote: &Row) -> Option<Found> {
    pair_with(index, remote, |_| true)
}

/// The same where its message is known to be at its new place: what is left of it here is to go.
pub(super) fn pair_rest(index: &RowIndex<'_>, remote: &Row) -> Option<Found> {
    pair_with(index, remote, |row| row.journal.is_moved())
}

fn pair_with(
    index: &RowIndex<'_>,
    remote: &Row,
    is_wanted: impl Fn(&Row) -> bool,
) -> Option<Found> {
    let like = |row: &Row| match remote.content {
        Some(content) => row.content == Some(content),
        None => same_words(row, remote) && evidence::is_trusted(index, row, remote),
    };
    let same_text = remote.content.into_iter().flat_map(|content| index.with_content(content));
    let known: Vec<&Row> = index
        .like(remote)
        .chain(same_text)
        .filter(|row| row.mailbox == remote.mailbox && row.id != remote.id && like(row))
        .collect();
    // What the server says tells them apart only if it says so of no other text.
    if remote.content.is_none() {
        words::text(index, remote)?;
    }
    let texts: BTreeSet<_> = known.iter().map(|row| row.content).collect();
    if texts.len() != 1 || texts.contains(&None) {
        return None;
    }
    let left = known.into_iter().filter(|row| is_left(row) && !row.weak && !index.is_taken(row));
    let left = left.filter(|row| is_wanted(row));
    let proved = |row: &Row| remote.content.is_some() || have_one_object_id(row, remote);
    let left = left.filter(|row| !is_ending(row) || proved(row));
    let flags = remote.remote.as_ref().map(|r| r.flags.clone()).unwrap_or_default();
    best(left, None, &flags, date(remote)).map(|left| (left.id, None, false))
}

/// Whether a new file goes with a copy that we made of a message of this mailbox, which was
/// numbered anew since: the file was moved away, the copy made, and the file moved back. What the
/// server shows here under a new number may be what the move left behind (hazard 194).
pub(super) fn is_file_of_copy(index: &RowIndex<'_>, remote: &Row, local: RowId) -> bool {
    let file = index.row(local).filter(|row| state_of(row) == RowState::LocalNew);
    let file = file.filter(|row| row.journal == Journal::Idle && row.base.is_none());
    let same = || file.and_then(|file| file.content).into_iter();
    let same = || same().flat_map(|content| index.with_content(content));
    let is_there = || same().any(|row| row.mailbox != remote.mailbox && row.remote.is_some());
    let left = same().filter(|row| row.mailbox == remote.mailbox && is_left(row));
    let mut left = left.filter(|row| !row.weak);
    left.any(|row| has_open_copy(index, row) || row.journal.is_moved() && is_there())
}

/// A copy of ours whose answer was lost and whose file is gone since, or an upload that only
/// its body tells (hazard 55).
pub(super) fn pair_claim(index: &RowIndex<'_>, remote: &Row) -> Option<Found> {
    let claims = index.open(RowState::BothGone).filter(|row| {
        row.mailbox == remote.mailbox
            && is_claim(row)
            && !may_be_another(index, row)
            && match (remote.content, &row.journal) {
                (Some(content), _) => row.content == Some(content),
                (None, Journal::Moving { from, .. }) => {
                    let source = index.by_id.get(from);
                    let told = source.is_some_and(|from| same_words(from, remote));
                    (told || same_words(row, remote))
                        && words::text(index, remote).is_some()
                        && evidence::is_trusted(index, row, remote)
                }
                _ => false,
            }
    });
    let flags = remote.remote.as_ref().map(|r| r.flags.clone()).unwrap_or_default();
    let claim = best(claims, None, &flags, date(remote))?;
    Some((claim.id, past_of(index, claim), claim.weak))
}

/// Another message of these bytes has left its mailbox there, and its file is still here: what
/// turns up is that one as well as the one that was sent, and taken for the latter, both would be
/// removed.
pub(super) fn may_be_another(index: &RowIndex<'_>, claim: &Row) -> bool {
    let mut same = claim.content.into_iter().flat_map(|content| index.with_content(content));
    same.any(|row| state_of(row) == RowState::RemoteGone)
}

/// Files of claims that were in doubt with their root: each claim has its file again, and goes on
/// (hazard 72).
pub fn reclaim(index: &mut RowIndex<'_>, steps: &mut Vec<Step>) {
    let claims: Vec<&Row> = index.open(RowState::BothGone).filter(|row| row.restated).collect();
    for claim in claims.into_iter().filter(|row| is_claim(row)) {
        let same = claim.content.into_iter().flat_map(|content| index.with_content(content));
        let file = same.map(|file| (file.id, file)).find(|(_, file)| {
            file.mailbox == claim.mailbox
                && state_of(file) == RowState::LocalNew
                && file.base.is_none()
                && file.journal == Journal::Idle
                && is_active(file)
                && !index.is_taken(file)
        });
        if let Some((found, _)) = file {
            index.take([claim.id, found]);
            steps.push(Step::Reattach { gone: claim.id, found });
        }
    }
}
