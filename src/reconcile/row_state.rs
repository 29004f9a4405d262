//! What a row is, judged by its columns alone.

use super::types::{Journal, Row};

/// What a row is, judged by its columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowState {
    /// On both sides.
    Paired,
    /// Agreed, and the file is gone.
    LocalGone,
    /// Agreed, and the server's message is gone.
    RemoteGone,
    /// Gone on both sides.
    BothGone,
    /// A file without a server message.
    LocalNew,
    /// A server message without a file.
    RemoteNew,
}

/// Judges a row. A restated row's missing side is unknown, not departed.
#[must_use]
pub fn state_of(row: &Row) -> RowState {
    let agreed = row.base.is_some() && !row.restated;
    match (agreed, row.local.is_some(), row.remote.is_some()) {
        (_, true, true) => RowState::Paired,
        (true, false, true) => RowState::LocalGone,
        (true, true, false) => RowState::RemoteGone,
        (_, false, false) => RowState::BothGone,
        (false, true, false) => RowState::LocalNew,
        (false, false, true) => RowState::RemoteNew,
    }
}

/// Whether the row's file is gone while an APPEND, COPY or MOVE of it may have been carried
/// out: what turns up on the server is its message, wherever the file went (hazard 55).
#[must_use]
pub fn is_claim(row: &Row) -> bool {
    let under_way = matches!(row.journal, Journal::Pushing { .. } | Journal::Moving { .. });
    under_way && state_of(row) == RowState::BothGone && is_active(row)
}

/// A file whose message was numbered anew and not found under its new number yet: it may have
/// gone to another mailbox, or away.
#[must_use]
pub fn is_in_doubt(row: &Row) -> bool {
    state_of(row) == RowState::LocalNew && row.restated && row.base.is_some()
}

/// Whether a row takes part in decisions at all.
pub(super) fn is_active(row: &Row) -> bool {
    !row.is_set_aside()
}

/// A message that was numbered anew after its file had left: under its new number it is this
/// row's, so that the file takes it along (hazard 56).
#[must_use]
pub fn is_left(row: &Row) -> bool {
    let quiet = matches!(row.journal, Journal::Idle | Journal::Replaced { .. }) || is_ending(row);
    state_of(row) == RowState::BothGone && row.restated && row.base.is_some() && quiet
}

/// Whether the message was on its way to another place, or there already, when its mailbox was
/// numbered anew: what the server still has of it is removed, once its body or its object id tells
/// that it is this one.
#[must_use]
pub fn is_ending(row: &Row) -> bool {
    matches!(row.journal, Journal::Moved { .. } | Journal::Trashing { .. })
}
