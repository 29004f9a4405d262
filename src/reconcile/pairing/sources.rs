//! Rows that a file or a message came from.

use super::evidence;
use crate::reconcile::alike::{date, has_been_remote, have_one_object_id, same_words};
use crate::reconcile::plan_input::{MailboxView, PlanInput};
use crate::reconcile::row_index::{RowIndex, best};
use crate::reconcile::row_state::{RowState, is_active, state_of};
use crate::reconcile::types::{Coverage, Flags, Journal, Row, RowId, SpecialUse};

pub(super) type Found = (RowId, Option<RowId>, bool);

/// The row that a file left, if moving it is what made the file new here.
pub(super) fn past_of(index: &RowIndex<'_>, local: &Row) -> Option<RowId> {
    if local.base.is_some() {
        return None;
    }
    if let Journal::Moving { from, leaves, .. } = local.journal {
        // Copied and not yet removed there, or gone from there: the source either way.
        let gone = index.by_id.get(&from).filter(|row| {
            let left = matches!(state_of(row), RowState::BothGone | RowState::LocalGone)
                || leaves && is_source_in_doubt(row);
            left && row.content == local.content
        });
        return gone.map(|row| row.id).filter(|id| !index.taken.contains(id));
    }
    let gone = index.with_content(local.content?).filter(|row| {
        state_of(row) == RowState::BothGone && row.base.is_some() && !index.is_taken(row)
    });
    let stem = local.local.as_ref().map(|l| &l.stem);
    best(gone, stem, &Flags::default(), date(local)).map(|row| row.id)
}

/// Rows whose body a new server message has, as far as a trustworthy key tells (hazard 9).
pub(super) fn known_elsewhere<'w>(index: &RowIndex<'w>, to: &Row) -> Option<Vec<&'w Row>> {
    let has_moved_on = |row: &Row| may_have_moved_on(index.world, row) || is_copy_gone(index, row);
    let elsewhere = |row: &&Row| {
        row.id != to.id
            && row.content.is_some()
            && (has_been_remote(row) || (!row.weak && has_moved_on(row)))
            && (row.mailbox != to.mailbox || row.remote.is_none())
    };
    if let Some(content) = to.content {
        // Its body was brought down and hashed: the content itself is the key.
        return Some(index.with_content(content).filter(elsewhere).collect());
    }
    to.words.as_ref()?;
    let drafts = index.is(to.mailbox, SpecialUse::Drafts);
    let same: Vec<&Row> = index
        .like(to)
        .filter(elsewhere)
        // What was only sent has no words of the server's: its body is compared.
        .filter(|row| has_been_remote(row) && same_words(row, to))
        .collect();
    let beside = |row: &Row| row.mailbox == to.mailbox && !have_one_object_id(row, to);
    // It may be one that is known to be here, which only its body tells (hazard 80).
    if same.iter().any(|row| beside(row) && !evidence::is_trusted(index, row, to)) {
        return None;
    }
    // Under the same numbers another text may have taken its place: an edited draft is often as
    // long, of the same second, and keeps its header. Its body tells (hazard 76).
    let same = same.into_iter().filter(|row| row.restated || !beside(row));
    let same = same.filter(|row| !(drafts && index.is(row.mailbox, SpecialUse::Drafts)));
    Some(same.collect())
}

/// A message whose file was moved away before its root was exchanged for another one: in doubt,
/// and its move still under way.
pub(super) fn is_source_in_doubt(row: &Row) -> bool {
    state_of(row) == RowState::RemoteNew && row.restated && row.base.is_some()
}

/// The row that a file left, as it was noted before the message was first to follow. Numbered anew
/// meanwhile that row is in doubt, and its file left all the same (hazard 84).
pub(super) fn source_of<'w>(
    to: &Row,
    mut sources: impl Iterator<Item = &'w Row>,
) -> Option<&'w Row> {
    let Journal::Moving { from, leaves, .. } = to.journal else { return None };
    let left = |row: &Row| state_of(row) == RowState::LocalGone && is_active(row);
    sources.find(|row| row.id == from && (left(row) || leaves && is_source_in_doubt(row)))
}

/// Whether a copy that the server made for this file has moved on before it was seen: its mailbox
/// was looked at wholly, and numbers were given out that no message has (hazard 176).
pub(super) fn is_copy_gone(index: &RowIndex<'_>, row: &Row) -> bool {
    let view = index.world.mailboxes.get(&row.mailbox);
    let seen =
        view.is_some_and(|v| v.remote_coverage != Coverage::Partial && v.remotes_beyond == 0);
    index.world.passed && seen && matches!(row.journal, Journal::Moving { leaves: false, .. })
}

/// Whether an upload of this row may have been carried out, and its message moved on by
/// another client before it was seen: the server has handed out numbers since.
pub(super) fn may_have_moved_on(world: &PlanInput, row: &Row) -> bool {
    let Journal::Pushing { uid_validity, uid_next, .. } = row.journal else { return false };
    // Numbered anew, gone under its name, or not seen, the mailbox does not tell (hazard 84).
    let told = |view: &MailboxView| {
        let seen = view.mailbox.remote && view.remote_coverage != Coverage::Partial;
        view.mailbox.cursor.filter(|now| seen && now.uid_validity == uid_validity)
    };
    let now = world.mailboxes.get(&row.mailbox).and_then(told);
    row.remote.is_none() && now.is_none_or(|now| now.uid_next > uid_next)
}
