//! Finds which rows speak of the same message.
//!
//! Four jobs, four keys, each as strict as a mistake would be costly:
//! *same bytes* = content id; *what the server says* = object id, else size, INTERNALDATE and
//! header hash as the server itself once reported them, with a Message-ID and one candidate;
//! *my own append* = UID ≥ the noted UIDNEXT, then a header key, counted; *what another tool
//! filed* = a loose key, for one file and one message of the same mailbox only.

mod evidence;
mod left;
mod sources;
mod versions;
mod waits;
mod words;

use std::collections::BTreeSet;

use super::alike::{date, have_one_object_id};
use super::coverage::{
    has_open_copy, is_searched, may_be_in_trash, may_be_there, ready_for_additions, takes_files,
};
use super::plan::Step;
use super::plan_input::PlanInput;
use super::row_index::{RowIndex, best};
use super::row_state::{RowState, is_active, is_claim, is_in_doubt, is_left, state_of};
use super::types::{HeaderKeys, Journal, Row, RowId, SetAsideKind};

pub use left::reclaim;
use sources::{Found, known_elsewhere, may_have_moved_on, past_of};

/// The rows of a world, and where only bodies tell messages apart.
#[must_use]
pub fn index(world: &PlanInput) -> RowIndex<'_> {
    let mut index = RowIndex::new(world);
    index.unproved = evidence::unproved(&index);
    index.replaced = versions::replaced(&index);
    index
}

/// Pairs files with server messages of the same mailbox; no transfer.
pub fn pair_in_place(index: &mut RowIndex<'_>, steps: &mut Vec<Step>) {
    let waits = index.open(RowState::LocalNew).next().is_some();
    if !waits && !index.open(RowState::BothGone).any(|row| is_claim(row) || is_left(row)) {
        return;
    }
    // Where a mailbox is gone, as the server says for the first time, nothing is there any more.
    let is_there = |row: &&Row| !index.is_refused(row.mailbox);
    let mut arrivals: Vec<&Row> = index.open(RowState::RemoteNew).filter(is_there).collect();
    left::order(index, &mut arrivals);
    for remote in arrivals {
        let found = pair_by_content(index, remote)
            .or_else(|| pair_own_append(index, remote))
            .or_else(|| words::pair_known_source(index, remote))
            .or_else(|| left::pair_claim(index, remote))
            .or_else(|| words::pair_by_header(index, remote))
            .or_else(|| left::pair(index, remote));
        let found = match found {
            Some((local, ..)) if left::is_file_of_copy(index, remote, local) => {
                let rest = left::pair_rest(index, remote);
                if rest.is_none() && remote.content.is_some() {
                    // Known and not told yet: it would come down beside the file.
                    index.take([remote.id]);
                }
                rest
            }
            found => found.filter(|(local, ..)| !has_older_file(index, remote, *local)),
        };
        if let Some((local, past, weak)) = found {
            // A message in doubt is its own past: another one that left is that of an equal text.
            let past = past.filter(|_| remote.base.is_none());
            index.take([local, remote.id]);
            index.take(past);
            steps.push(Step::Pair { local, remote: remote.id, past, weak });
        }
    }
}

/// Whether another file of the same bytes lost its message in this very mailbox: what came is that
/// one's, and the new file is a copy, which goes up (hazard 157).
fn has_older_file(index: &RowIndex<'_>, remote: &Row, local: RowId) -> bool {
    // What we sent or moved for the new file is its own.
    let local = index.row(local).filter(|row| row.journal == Journal::Idle);
    let content = local.and_then(|row| row.content);
    let mut same = content.into_iter().flat_map(|content| index.with_content(content));
    same.any(|row| {
        row.mailbox == remote.mailbox
            && state_of(row) == RowState::RemoteGone
            && is_active(row)
            && !index.is_taken(row)
    })
}

fn pair_by_content(index: &RowIndex<'_>, remote: &Row) -> Option<Found> {
    let content = remote.content?;
    let same = index.with_content(content).filter(|row| {
        row.mailbox == remote.mailbox
            && state_of(row) == RowState::LocalNew
            && is_active(row)
            && !index.is_taken(row)
    });
    let flags = remote.remote.as_ref().map(|r| r.flags.clone()).unwrap_or_default();
    let local = best(same, None, &flags, date(remote))?;
    // What was found to be the same but for other tools' fields bears the file's content.
    Some((local.id, past_of(index, local), local.weak || remote.weak))
}

/// Our own APPEND whose answer was lost: at or above the UIDNEXT noted before it.
fn pair_own_append(index: &RowIndex<'_>, remote: &Row) -> Option<Found> {
    let uid = remote.remote.as_ref()?.uid.0;
    let header = remote.header.as_ref()?;
    let validity = index.world.mailboxes.get(&remote.mailbox)?.mailbox.cursor?.uid_validity;
    let ours = |wanted: RowState| {
        index.with_header(wanted, remote.mailbox, header).filter(|row| match row.journal {
            Journal::Pushing { uid_validity, uid_next, .. } => {
                uid_validity == validity && uid >= uid_next
            }
            _ => false,
        })
    };
    if !is_our_append_alone(index, remote, header, ours) {
        return None;
    }
    let flags = remote.remote.as_ref().map(|r| r.flags.clone()).unwrap_or_default();
    let local = best(ours(RowState::LocalNew), None, &flags, date(remote))
        // Its file was moved, edited or removed meanwhile: the message is ours all the same.
        .or_else(|| {
            best(
                ours(RowState::BothGone).filter(|row| !left::may_be_another(index, row)),
                None,
                &flags,
                date(remote),
            )
        })?;
    Some((local.id, None, local.weak))
}

/// Whether nothing but an upload of ours can be meant: another message of that header, ours or
/// another client's, is told apart by its body (hazard 52). Where messages came and left unseen,
/// ours may be one of them, and this one an edited version of it (hazard 166).
fn is_our_append_alone<'w, I: Iterator<Item = &'w Row>>(
    index: &RowIndex<'w>,
    remote: &Row,
    header: &HeaderKeys,
    ours: impl Fn(RowState) -> I,
) -> bool {
    let sent = || ours(RowState::LocalNew).chain(ours(RowState::BothGone));
    let contents: BTreeSet<_> = sent().map(|row| row.content).collect();
    let others = || {
        let alike = index.with_header(RowState::RemoteNew, remote.mailbox, header);
        alike.filter(|row| row.id != remote.id)
    };
    match remote.content {
        // Each of the same bytes: it is of no matter which is which.
        None => {
            !index.may_be_unknown(remote)
                && contents.len() == 1
                && others().count() < sent().count()
                && !words::may_be_another(index, remote, &contents)
        }
        // The server altered it, unless ours is among those that came down or are yet to come, or
        // this is the text of another one.
        Some(content) => {
            others().all(|row| row.content.is_some() && !contents.contains(&row.content))
                && (contents.contains(&remote.content)
                    || !index.may_be_unknown(remote)
                        && index.with_content(content).all(|row| row.id == remote.id))
        }
    }
}

/// A file that only got another name: its row takes it back, nothing else happens.
pub fn reattach(index: &mut RowIndex<'_>, steps: &mut Vec<Step>) {
    let found: Vec<&Row> = index.open(RowState::LocalNew).collect();
    for found in found {
        let Some(content) = found.content else { continue };
        // In doubt the file is that of a message which the server still has, here or where it
        // may have been moved from, and not that of one which is deleted there.
        let is_wanted = index.with_content(content).any(|row| {
            let lost = state_of(row) == RowState::LocalGone && !index.is_taken(row);
            let moved = !index.world.policy.pull_only && is_active(row) && !row.weak;
            // What a claim was sent for is not found yet, or only now.
            (lost && (row.mailbox == found.mailbox || moved)) || is_claim(row)
        });
        let is_gone = |row: &Row| match state_of(row) {
            RowState::LocalGone => true,
            RowState::BothGone => !is_wanted,
            _ => false,
        };
        let gone = index.with_content(content).filter(|row| {
            row.mailbox == found.mailbox
                && row.id != found.id
                && is_gone(row)
                && row.base.is_some()
                // Its message is at its new place: a file that is here is another one of the
                // same text, or was moved back from there (hazard 83).
                && !row.journal.is_moved()
                // While our copy is looked for, its file may be the one that is here: given back to
                // this row, it would leave the copy without a file (hazard 194).
                && !has_open_copy(index, row)
                && !index.is_taken(row)
                && row.set_aside.as_ref().is_none_or(|s| s.kind == SetAsideKind::Kept)
        });
        let flags = found.local.as_ref().map(|l| l.flags.clone()).unwrap_or_default();
        let Some(gone) = best(gone, None, &flags, date(found)) else { continue };
        index.take([gone.id, found.id]);
        steps.push(Step::Reattach { gone: gone.id, found: found.id });
    }
}

/// New messages on the server whose bodies are here already: a copy or a rename on disk.
pub fn arrive(index: &mut RowIndex<'_>, steps: &mut Vec<Step>) {
    if index.by_content.is_empty() {
        return;
    }
    let mailboxes = &index.world.mailboxes;
    let takes_files = |row: &&Row| mailboxes.get(&row.mailbox).is_some_and(takes_files);
    let may_come = |row: &&Row| {
        takes_files(row) && !index.is_refused(row.mailbox) && !index.waits_for_refused(row)
    };
    let arrivals: Vec<&Row> = index.open(RowState::RemoteNew).filter(may_come).collect();
    for to in arrivals {
        if let Some(step) = arrival(index, to) {
            index.take(step.rows().into_iter().filter(|row| match &step {
                // The source of a copy may serve again.
                Step::LocalCopy { from, .. } => row != from,
                _ => true,
            }));
            steps.push(step);
        }
    }
}

fn arrival(index: &RowIndex<'_>, to: &Row) -> Option<Step> {
    let known = known_elsewhere(index, to)?;
    let contents: BTreeSet<_> = known.iter().map(|row| row.content).collect();
    if contents.len() != 1 {
        return None;
    }
    let content = known.first()?.content?;
    if to.content.is_none() && words::text(index, to) != Some(content) {
        return None;
    }
    let flags = to.remote.as_ref().map(|r| r.flags.clone()).unwrap_or_default();
    let of = |wanted: RowState| {
        known.iter().copied().filter(move |row| state_of(row) == wanted && !index.is_taken(row))
    };
    let lost =
        of(RowState::RemoteGone).chain(of(RowState::LocalNew).filter(|row| index.is_lost(row)));
    if let Some(from) = best(lost, None, &flags, date(to)) {
        return Some(Step::LocalMove { from: from.id, to: to.id, past: None });
    }
    // Moved on both sides: the file lies where the reader put it; the remote's place wins.
    if let Some(past) = best(of(RowState::BothGone), None, &flags, date(to)) {
        let files = index.open(RowState::LocalNew).filter(|row| row.content == Some(content));
        if let Some(from) = best(files, None, &flags, date(to)) {
            return Some(Step::LocalMove { from: from.id, to: to.id, past: Some(past.id) });
        }
    }
    // Sent from here and moved on by another client before a look showed it.
    let sent = known.iter().copied().filter(|row| {
        state_of(row) == RowState::LocalNew
            && !index.is_taken(row)
            && may_have_moved_on(index.world, row)
            // With an equal message elsewhere nothing tells which of them it is.
            && index.with_content(content).all(|other| other.id == row.id || other.id == to.id)
    });
    let copied = of(RowState::LocalNew).filter(|row| sources::is_copy_gone(index, row));
    if let Some(from) = best(sent.chain(copied), None, &flags, date(to)) {
        return Some(Step::LocalMove { from: from.id, to: to.id, past: None });
    }
    // Where the original stays another text may have the same words: only the server's own name
    // of it, or its body, tells that it is a copy (hazard 52).
    let copied =
        of(RowState::Paired).filter(|row| to.content.is_some() || have_one_object_id(row, to));
    let from = best(copied, None, &flags, date(to))?;
    Some(Step::LocalCopy { from: from.id, to: to.id })
}

/// New files whose content the server has already: COPY or MOVE there. A departure that is
/// explained by what was found needs no look at the rest of the account (hazard 4).
pub fn depart(index: &mut RowIndex<'_>, steps: &mut Vec<Step>) {
    let ready = ready_for_additions(index);
    let seen = |row: &&Row| !index.may_be_unseen(row);
    let arrivals: Vec<&Row> = index.open(RowState::LocalNew).filter(seen).collect();
    let searched = is_searched(index);
    let may_go = |row: &&Row| ready.contains(&row.mailbox) && (searched || !is_in_doubt(row));
    for to in arrivals.into_iter().filter(may_go) {
        let Some(content) = to.content else { continue };
        let flags = to.local.as_ref().map(|l| l.flags.clone()).unwrap_or_default();
        let stem = to.local.as_ref().map(|l| &l.stem);
        let sources = || {
            index.with_content(content).filter(|row| {
                row.id != to.id
                    && !row.weak
                    && row.remote.is_some()
                    && !row.journal.is_moved()
                    && !index.is_taken(row)
            })
        };
        let is_left = |row: &Row| state_of(row) == RowState::LocalGone && is_active(row);
        let left = || sources().filter(|row| is_left(row) && !has_open_copy(index, row));
        let moved = sources::source_of(to, sources());
        let waits = match moved {
            Some(from) => has_open_copy(index, from),
            None => may_be_in_trash(index, to),
        };
        if waits {
            continue;
        }
        let moved = moved.or_else(|| best(left(), stem, &flags, date(to)));
        if let Some(from) = moved {
            index.take([from.id, to.id]);
            steps.push(Step::RemoteMove { from: from.id, to: to.id });
        } else if may_be_there(index, to) {
            continue;
        } else if let Some(from) = best(sources(), stem, &flags, date(to)) {
            index.take([to.id]);
            steps.push(Step::RemoteCopy { from: from.id, to: to.id });
        }
    }
}
