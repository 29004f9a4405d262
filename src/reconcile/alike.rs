//! What two rows say of their messages, compared: the keys of [`super::pairing`], from the
//! server's own name of a text down to its size and header.

use super::types::{Journal, Row};

/// Seconds within which the time of a file is that in its name.
const MADE_WITHIN_S: u64 = 60;

/// The server says of both that they are the same message.
pub(super) fn same_words(a: &Row, b: &Row) -> bool {
    let (Some(x), Some(y)) = (&a.words, &b.words) else { return false };
    if let (Some(i), Some(j)) = (&x.object_id, &y.object_id) {
        return i == j;
    }
    let (Some(h), Some(k)) = (&a.header, &b.header) else { return false };
    x.size == y.size && x.date == y.date && h.hash == k.hash && h.has_message_id
}

/// Size and header agree; the date orders candidates, it does not exclude (hazard 20).
pub(super) fn same_size_and_header(a: &Row, b: &Row) -> bool {
    let (Some(x), Some(y)) = (&a.words, &b.words) else { return false };
    let (Some(h), Some(k)) = (&a.header, &b.header) else { return false };
    x.size == y.size && h.hash == k.hash && h.has_message_id
}

/// A row whose message was surely on the server once.
pub(super) fn has_been_remote(row: &Row) -> bool {
    // In doubt with its root, and gone since: only what was there is remembered so.
    let left = row.restated && row.local.is_none() && row.journal == Journal::Idle;
    !row.weak && (row.remote.is_some() || row.base.is_some() || left)
}

/// The server says by its own names that the texts are one.
pub(super) fn have_one_object_id(a: &Row, b: &Row) -> bool {
    let object = |row: &Row| row.words.as_ref().and_then(|words| words.object_id.clone());
    object(a).zip(object(b)).is_some_and(|(a, b)| a == b)
}

/// The file has the time that the server gives the message, as it was given when it came down or
/// went up, or the UID in its name, as isync and `OfflineIMAP` write it. An edit changes the time.
pub(super) fn is_of_one_time(local: &Row, remote: &Row) -> bool {
    let named = || {
        let stem = &local.local.as_ref()?.stem.0;
        let text = String::from_utf8_lossy(stem);
        let digits = text.split(",U=").nth(1)?.split(|c: char| !c.is_ascii_digit()).next()?;
        Some(digits.parse::<u32>().ok()? == remote.remote.as_ref()?.uid.0)
    };
    (date(local) == date(remote) && is_time_set(local)) || named() == Some(true)
}

/// The time of the file is one that it was given, and not that at which it was made, as its
/// name tells: two messages may well be made in one second.
fn is_time_set(row: &Row) -> bool {
    let made = || {
        let stem = String::from_utf8_lossy(&row.local.as_ref()?.stem.0).into_owned();
        stem.split(|c: char| !c.is_ascii_digit()).next()?.parse::<i64>().ok()
    };
    row.base.is_some()
        || made().zip(date(row)).is_some_and(|(made, date)| made.abs_diff(date) > MADE_WITHIN_S)
}

/// Both have an object id, and not the same.
pub(super) fn contradicts(local: &Row, remote: &Row) -> bool {
    let object = |row: &Row| row.words.as_ref().and_then(|words| words.object_id.clone());
    object(local).zip(object(remote)).is_some_and(|(a, b)| a != b)
}

/// The server once said of the file's message, under another number, what it says now.
pub(super) fn same_facts(local: &Row, remote: &Row) -> bool {
    let (Some(x), Some(y)) = (&local.words, &remote.words) else { return false };
    local.base.is_some() && x.size == y.size && x.date == y.date && !contradicts(local, remote)
}

/// INTERNALDATE, or the file's own before the server said one.
pub(super) fn date(row: &Row) -> Option<i64> {
    row.words.as_ref().map(|words| words.date)
}
