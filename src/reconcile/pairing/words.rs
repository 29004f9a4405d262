//! Messages told by what the server says of them (size, time, header), without their bodies.
//!
//! That is no proof of a text: a draft that is saved again, a resent message, or a list's copy may
//! have the same header and length, and the same second. It tells a text only where nothing else
//! could be meant: no other text is known by these facts, and no more messages came with them than
//! left (hazard 97). In all other cases the bodies are fetched and compared.

use std::collections::{BTreeMap, BTreeSet};

use super::evidence;
use super::sources::{Found, past_of};
use crate::reconcile::alike::{
    contradicts, date, has_been_remote, have_one_object_id, is_of_one_time, same_facts,
    same_size_and_header, same_words,
};
use crate::reconcile::row_index::{RowIndex, best};
use crate::reconcile::row_state::{RowState, is_active, is_in_doubt, state_of};
use crate::reconcile::types::{ContentId, HeaderKeys, Journal, MailboxId, Row, RowId};

/// The text of a new message, where it came down, or the known one that the server's facts about
/// it stand for. None where they could stand for another one.
pub(super) fn text(index: &RowIndex<'_>, remote: &Row) -> Option<ContentId> {
    if remote.content.is_some() {
        return remote.content;
    }
    let others = || index.like(remote).filter(|row| row.id != remote.id);
    // Where the server names one of them by its object id, a row that it never named is no rival.
    let named = others().filter(|row| have_one_object_id(row, remote));
    let named = only(named.filter_map(|row| row.content));
    if named.is_some() || index.may_be_unknown(remote) {
        return named;
    }
    let alike: Vec<&Row> = others().filter(|row| may_have_same_words(row, remote)).collect();
    let text = only(alike.iter().filter_map(|row| row.content))?;
    (arrivals(&alike) < departures(index, &alike)).then_some(text)
}

fn only(mut contents: impl Iterator<Item = ContentId>) -> Option<ContentId> {
    let first = contents.next()?;
    contents.all(|content| content == first).then_some(first)
}

/// As [`same_words`]; a header that is not known may be the same.
fn may_have_same_words(a: &Row, b: &Row) -> bool {
    let facts = |row: &Row| row.words.as_ref().map(|words| (words.size, words.date));
    let unknown = a.header.is_none() && facts(a) == facts(b) && !contradicts(a, b);
    same_words(a, b) || unknown
}

/// Other new messages of which only these facts are known.
fn arrivals(alike: &[&Row]) -> usize {
    let new = |row: &&&Row| state_of(row) == RowState::RemoteNew && row.content.is_none();
    alike.iter().filter(new).count()
}

/// Messages that left their place on the server, or are to come to one.
fn departures(index: &RowIndex<'_>, alike: &[&Row]) -> usize {
    let ids: BTreeSet<RowId> = alike.iter().map(|row| row.id).collect();
    let comes = |row: &Row| match row.journal {
        Journal::Moving { from, .. } => ids.contains(&from) && row.remote.is_none(),
        _ => false,
    };
    let left = |row: &&&Row| row.remote.is_none() && has_been_remote(row) && !comes(row);
    let coming = index.moving.iter().filter(|row| comes(row)).count();
    alike.iter().filter(left).count() + coming
}

/// Whether a message that may be one of ours may as well be another that is known: the server said
/// the same of a text that is not among `ours`.
pub(super) fn may_be_another(
    index: &RowIndex<'_>,
    remote: &Row,
    ours: &BTreeSet<Option<ContentId>>,
) -> bool {
    let mut known = index.like(remote).filter(|row| row.id != remote.id && has_been_remote(row));
    known.any(|row| !ours.contains(&row.content) && same_words(row, remote))
}

/// Renumbered, lost state, or filed by another program, and told without the body: one file and
/// one message whose size, header and time agree. Where anything is left open the body is fetched
/// once and compared (hazard 52).
pub(super) fn pair_by_header(index: &RowIndex<'_>, remote: &Row) -> Option<Found> {
    let header = remote.header.as_ref()?;
    // A body that came down was compared with every file that it could be.
    if remote.content.is_some() || !header.has_message_id || index.holds_drafts(remote.mailbox) {
        return None;
    }
    // Where some came and left unseen, only the server's own name of it says that it is this one.
    let is_trusted = |row: &Row| {
        evidence::is_trusted(index, row, remote)
            && (!index.may_be_unknown(remote) || have_one_object_id(row, remote))
    };
    let files = || index.with_header(RowState::LocalNew, remote.mailbox, header);
    let others = || index.with_header(RowState::RemoteNew, remote.mailbox, header);
    let same = || files().filter(|row| same_size_and_header(row, remote));
    let rivals = others().filter(|row| same_size_and_header(row, remote)).count();
    let contents: BTreeSet<_> = same().map(|row| row.content).collect();
    // With more than one message of this header only their bodies can tell them apart.
    if contents.len() == 1 && rivals == 1 {
        let flags = remote.remote.as_ref().map(|r| r.flags.clone()).unwrap_or_default();
        let proved = same()
            .filter(|row| is_of_one_time(row, remote) && !contradicts(row, remote))
            .filter(|row| is_trusted(row))
            .filter(|row| have_one_object_id(row, remote) || is_one_everywhere(index, row, header));
        let local = best(proved, None, &flags, date(remote))?;
        // Moved to the same place on both sides: its past keeps flags from coming back. The message
        // that it had in this very mailbox is gone: what came may be another text (hazard 76).
        let past = past_of(index, local);
        let was_here = |id: RowId| index.row(id).is_some_and(|row| row.mailbox == remote.mailbox);
        return (!past.is_some_and(was_here)).then_some((local.id, past, local.weak));
    }
    // The server altered its text on the way up, and says of it what it always said.
    let (mut files, mut others) = (files(), others());
    match (files.next(), files.next(), others.next(), others.next()) {
        (Some(local), None, Some(_), None) if same_facts(local, remote) && is_trusted(local) => {
            Some((local.id, None, true))
        }
        _ => None,
    }
}

/// Whether all that is known of a file's size and header, in all mailboxes, is of one text, and on
/// both sides in the same places: else two that have moved since could be taken for each other.
fn is_one_everywhere(index: &RowIndex<'_>, file: &Row, header: &HeaderKeys) -> bool {
    let alike = index.by_loose.get(&header.loose).into_iter().flatten();
    let alike = || alike.clone().filter(|row| row.id == file.id || same_size_and_header(row, file));
    let mut surplus: BTreeMap<MailboxId, i64> = BTreeMap::new();
    for row in alike() {
        let surplus = surplus.entry(row.mailbox).or_default();
        *surplus += i64::from(row.local.is_some()) - i64::from(row.remote.is_some());
    }
    surplus.values().all(|surplus| *surplus == 0)
        && alike().all(|row| row.content.is_none() || row.content == file.content)
}

/// A COPY or MOVE of ours, or another client's move, of a message whose file is here already.
/// While the message is still at its old place, another client's copy is told by its body.
pub(super) fn pair_known_source(index: &RowIndex<'_>, remote: &Row) -> Option<Found> {
    let text = text(index, remote)?;
    // One whose own file waits here for its new number is no source of another file.
    let waits = |row: &Row| row.mailbox == remote.mailbox && is_in_doubt(row);
    // What left this very mailbox may have been replaced by a new version (hazard 188).
    let is_replaced = |row: &Row| {
        let gone = row.mailbox == remote.mailbox && row.remote.is_none();
        gone && remote.content.is_none() && !have_one_object_id(row, remote)
    };
    let is_source = |row: &&Row| {
        has_been_remote(row) && same_words(row, remote) && !waits(row) && !is_replaced(row)
    };
    let sources = index.like(remote).filter(is_source);
    let local = sources.filter(|source| source.content == Some(text)).find_map(|source| {
        index.with_content(text).find(|local| {
            let ours = matches!(local.journal, Journal::Moving { from, .. } if from == source.id);
            local.id != source.id
                && local.mailbox == remote.mailbox
                && state_of(local) == RowState::LocalNew
                && (ours || source.remote.is_none() || have_one_object_id(source, remote))
                && is_active(local)
                && !index.is_taken(local)
        })
    })?;
    Some((local.id, past_of(index, local), local.weak))
}
