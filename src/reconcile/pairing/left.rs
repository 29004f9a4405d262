//! Messages whose files have left: numbered anew since (hazard 56), or ours of a lost answer
//! (hazard 55).

use std::collections::BTreeSet;

use super::{
    Cast, Class, Found, best, class, date, is_active, is_claim, is_told_by_words, past_of,
    same_words,
};
use crate::reconcile::types::{Journal, Row};

/// A message that was numbered anew after its file had left: under its new number it is this
/// row's, so that the file takes it along (hazard 56).
#[must_use]
pub fn is_left(row: &Row) -> bool {
    let under_way = matches!(row.journal, Journal::Idle | Journal::Replaced { .. });
    class(row) == Class::BothGone && row.restated && row.base.is_some() && under_way
}

/// The message of a file that was moved to another mailbox here, while the server numbered the
/// messages of this one anew. A file that was removed is in none: its message comes back.
pub(super) fn pair(cast: &Cast<'_>, remote: &Row) -> Option<Found> {
    let like = |row: &Row| match remote.content {
        Some(content) => row.content == Some(content),
        None => same_words(row, remote),
    };
    let same_text = remote.content.into_iter().flat_map(|content| cast.with_content(content));
    let known: Vec<&Row> = cast
        .like(remote)
        .chain(same_text)
        .filter(|row| row.mailbox == remote.mailbox && row.id != remote.id && like(row))
        .collect();
    // What the server says tells them apart only if it says so of no other text.
    let texts: BTreeSet<_> = known.iter().map(|row| row.content).collect();
    if texts.len() != 1 || texts.contains(&None) {
        return None;
    }
    let moved = |row: &Row| {
        let same = row.content.into_iter().flat_map(|content| cast.with_content(content));
        let mut files = same.filter(|file| class(file) == Class::LocalNew && is_active(file));
        files.any(|file| file.base.is_none() && !cast.is_taken(file))
    };
    let left = known.into_iter().filter(|row| is_left(row) && !row.weak && !cast.is_taken(row));
    let left = left.filter(|row| moved(row));
    let flags = remote.remote.as_ref().map(|r| r.flags.clone()).unwrap_or_default();
    best(left, None, &flags, date(remote)).map(|left| (left.id, None, false))
}

/// A copy of ours whose answer was lost and whose file is gone since, or an upload that only
/// its body tells (hazard 55).
pub(super) fn pair_claim(cast: &Cast<'_>, remote: &Row) -> Option<Found> {
    let claims = cast.open(Class::BothGone).filter(|row| {
        row.mailbox == remote.mailbox
            && is_claim(row)
            && !may_be_another(cast, row)
            && match (remote.content, &row.journal) {
                (Some(content), _) => row.content == Some(content),
                (None, Journal::Moving { from, .. }) => {
                    let source = cast.by_id.get(from);
                    let told = source.is_some_and(|from| same_words(from, remote));
                    (told || same_words(row, remote)) && is_told_by_words(cast, remote)
                }
                _ => false,
            }
    });
    let flags = remote.remote.as_ref().map(|r| r.flags.clone()).unwrap_or_default();
    let claim = best(claims, None, &flags, date(remote))?;
    Some((claim.id, past_of(cast, claim), claim.weak))
}

/// Another message of these bytes has left its mailbox there, and its file is still here: what
/// turns up is that one as well as the one that was sent, and taken for the latter, both would be
/// removed.
pub(super) fn may_be_another(cast: &Cast<'_>, claim: &Row) -> bool {
    let mut same = claim.content.into_iter().flat_map(|content| cast.with_content(content));
    same.any(|row| class(row) == Class::RemoteGone)
}
