//! What the looks behind a plan have covered: whether a message that is not seen can still be
//! somewhere.

use std::collections::BTreeSet;

use super::plan_input::MailboxView;
use super::row_index::RowIndex;
use super::row_state::{RowState, is_active, is_claim, is_left, state_of};
use super::types::{Coverage, Journal, MailboxId, Row};

/// Mailboxes on the server in which every new message is accounted for: nothing may be pushed
/// beside one that could be the very same message.
#[must_use]
pub fn ready_for_additions(index: &RowIndex<'_>) -> BTreeSet<MailboxId> {
    let rows = index.world.rows.iter();
    let open: BTreeSet<MailboxId> =
        rows.filter(|row| is_unknown(row) && !index.is_taken(row)).map(|row| row.mailbox).collect();
    let ready = index.world.mailboxes.iter().filter(|(id, view)| {
        view.mailbox.remote
            && view.mailbox.cursor.is_some()
            && !open.contains(id)
            && view.remotes_beyond == 0
            && view.remote_coverage != Coverage::Partial
    });
    ready.map(|(id, _)| *id).collect()
}

/// Whether every mailbox was seen, none is left out, and no new message is left that could be one
/// which is looked for: only then is what is in doubt known to be nowhere.
pub(super) fn is_searched(index: &RowIndex<'_>) -> bool {
    let whole =
        |view: &MailboxView| view.remote_coverage != Coverage::Partial && view.remotes_beyond == 0;
    !index.world.unseen_arrivals
        && index.world.mailboxes.values().all(whole)
        && index.open(RowState::RemoteNew).next().is_none()
}

/// A server message that nobody has looked into yet.
#[must_use]
pub fn is_unknown(row: &Row) -> bool {
    state_of(row) == RowState::RemoteNew && !row.is_set_aside()
}

/// Whether a file may be put into a mailbox. While its rows are in doubt, one that was not seen may
/// be the very message: all of its directory has to be (hazard 54).
#[must_use]
pub fn takes_files(view: &MailboxView) -> bool {
    !view.mailbox.restated || view.local_coverage == Coverage::Complete
}

/// The message may be on the server already, from where it only has to be moved: the file came
/// from a place that still has a claim, or was sent and may have been moved on (hazard 55).
pub(super) fn may_be_there(index: &RowIndex<'_>, row: &Row) -> bool {
    let claims = row.content.into_iter().flat_map(|content| index.with_content(content));
    let mut claims = claims.filter(|other| other.id != row.id);
    let open = |row: &Row| index.is_taken(row) || !is_claim_void(index, row);
    let may_be = |other: &Row| match is_claim(other) {
        true => !is_claim_void(index, other),
        false => is_left(other) && open(other),
    };
    if claims.any(may_be) || may_be_in_trash(index, row) || may_be_unread(index, row) {
        return true;
    }
    let sent = match row.journal {
        Journal::Pushing { .. } => true,
        // As a copy that another client moved on before it was seen.
        Journal::Moving { .. } => index.world.passed,
        _ => false,
    };
    let beyond = || index.world.mailboxes.values().any(|view| view.remotes_beyond > 0);
    sent && (beyond()
        || index
            .world
            .rows
            .iter()
            .any(|other| is_unknown(other) && other.content.is_none() && !index.is_taken(other)))
}

/// A message of these bytes left its place on both sides, and new ones are where no plan looks
/// (hazard 87): it may be one of those.
fn may_be_unread(index: &RowIndex<'_>, row: &Row) -> bool {
    let mut same = row.content.into_iter().flat_map(|content| index.with_content(content));
    index.world.unseen_arrivals
        && same.any(|other| state_of(other) == RowState::BothGone && other.base.is_some())
}

/// Whether a copy of ours, whose answer was lost and whose file is gone from its place, may be on
/// the server: until it is found or known not to be there, what is done with the message would be
/// done with the copy once more (hazard 192).
pub(super) fn has_open_copy(index: &RowIndex<'_>, of: &Row) -> bool {
    index.moves_of(of).any(|to| is_claim(to) && !is_claim_void(index, to))
}

/// A claim ends when a later look, complete, shows nothing that it could be for. What the server
/// said it took may be shown by any look to come (hazard 134).
pub(super) fn is_claim_void(index: &RowIndex<'_>, claim: &Row) -> bool {
    if claim.journal.is_taken() {
        return false;
    }
    let in_this_run = match claim.journal {
        Journal::Pushing { run, sent, .. } => sent && run == index.world.run,
        _ => false,
    };
    let Some(view) = index.world.mailboxes.get(&claim.mailbox) else { return true };
    let mut rows = index.world.rows.iter();
    let unknown = rows.any(|row| row.mailbox == claim.mailbox && is_unknown(row));
    let seen = view.remote_coverage == Coverage::Complete && view.remotes_beyond == 0;
    seen && !unknown && !in_this_run
}

/// Whether one message of these bytes may be in the trash already, while its copy there or another
/// one has lost its file as well: a new file may be that of either, and waits until the trash was
/// looked into (hazard 165).
#[must_use]
pub fn may_be_in_trash(index: &RowIndex<'_>, row: &Row) -> bool {
    let same = || row.content.into_iter().flat_map(|content| index.with_content(content));
    let is_sent = |row: &Row| matches!(row.journal, Journal::Trashing { .. });
    let mut left = same().filter(|row| state_of(row) == RowState::LocalGone && is_active(row));
    let (mut sent, mut others) = (false, false);
    left.any(|row| {
        *(if is_sent(row) { &mut sent } else { &mut others }) = true;
        sent && others
    })
}
