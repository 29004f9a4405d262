//! Messages: what to do with each row whose columns differ.

use std::collections::BTreeSet;

use super::agree::{base_now, merge_row};
use super::coverage::{
    has_open_copy, is_claim_void, is_searched, may_be_in_trash, may_be_there, ready_for_additions,
    takes_files,
};
use super::doubt;
use super::pairing;
use super::plan::{Plan, RemoteRemoval, Step};
use super::plan_input::{MailboxView, PlanInput};
use super::row_index::RowIndex;
use super::row_state::{RowState, is_claim, is_in_doubt, is_left, state_of};
use super::types::{
    Coverage, FlagDelta, FlagMask, Flags, Journal, OnLocalDelete, OnRemoteDelete, Row, RowId,
    SpecialUse,
};

/// Plans the messages of one round. Removals wait until nothing that could explain them is
/// open: every new message identified, every look complete.
pub fn plan(world: &PlanInput, plan: &mut Plan) {
    let mut index = pairing::index(world);
    let seen = |coverage: Coverage| coverage != Coverage::Partial;
    let here = world.disk_seen && world.mailboxes.values().all(|view| seen(view.local_coverage));
    let there = world.mailboxes.values().all(|view| seen(view.remote_coverage));
    let steps = &mut plan.steps;
    pairing::reclaim(&mut index, steps);
    pairing::pair_in_place(&mut index, steps);
    if !world.policy.pull_only {
        doubt::refile(&mut index, steps);
    }
    pairing::reattach(&mut index, steps);
    pairing::arrive(&mut index, steps);
    if !world.policy.pull_only {
        twins(&mut index, steps);
    }
    fetch(&mut index, steps);
    let mut superseded = Vec::new();
    if !world.policy.pull_only {
        if there {
            superseded = find_superseded(&mut index);
        }
        pairing::depart(&mut index, steps);
        push(&mut index, steps);
    }
    flags(&mut index, steps);
    superseded.into_iter().for_each(|row| let_go(&index, steps, row));
    remove_remote(&mut index, steps, here);
    remove_local(&mut index, steps, there);
    // What left may be what came to a place that was not looked at: of that it is the past.
    if here && there && !world.unseen_arrivals {
        forget(&mut index, steps);
    }
}

fn twins(index: &mut RowIndex<'_>, steps: &mut Vec<Step>) {
    let sent_again: Vec<&Row> = index
        .open(RowState::Paired)
        .filter(|row| matches!(row.journal, Journal::Pushed { .. }))
        .collect();
    for of in sent_again {
        let Journal::Pushed { uid_next, twins, .. } = of.journal else { continue };
        let late: Vec<RowId> = index
            .open(RowState::RemoteNew)
            .filter(|row| row.mailbox == of.mailbox && is_twin(row, of, uid_next))
            .map(|row| row.id)
            .take(twins as usize)
            .collect();
        for twin in late {
            index.take([twin]);
            steps.push(Step::RemoveTwin { twin, of: of.id });
        }
    }
}

/// The same body, brought down and hashed, at or above the UIDNEXT noted before it was sent.
fn is_twin(row: &Row, of: &Row, uid_next: u32) -> bool {
    let above = row.remote.as_ref().is_some_and(|r| r.uid.0 >= uid_next);
    above && row.content.is_some() && row.content == of.content
}

fn fetch(index: &mut RowIndex<'_>, steps: &mut Vec<Step>) {
    // Asking each of many is dear, and there is rarely any.
    let doubt = index.open(RowState::LocalNew).any(is_in_doubt);
    let wanted: Vec<RowId> = index
        .open(RowState::RemoteNew)
        .filter(|row| {
            // A mailbox that is new here gets its directory before the steps are taken.
            let view = index.world.mailboxes.get(&row.mailbox);
            view.is_some_and(|view| (view.mailbox.local || !view.mailbox.base) && takes_files(view))
        })
        .filter(|row| !(doubt && index.waits_for_doubt(row)))
        .filter(|row| !is_being_moved(index, row) && !index.waits_for_refused(row))
        // A copy of ours comes down once a look has shown it.
        .filter(|row| row.remote.as_ref().is_some_and(|remote| remote.confirmed))
        .map(|row| row.id)
        .collect();
    steps.extend(wanted.into_iter().map(Step::Fetch));
}

/// Its file was moved away and the server was told, before the root was exchanged or the mailbox
/// numbered anew: whether that came to pass is seen first (hazards 72 and 84).
fn is_being_moved(index: &RowIndex<'_>, row: &Row) -> bool {
    let claims = |claim: &Row| match claim.journal {
        Journal::Moving { from, leaves, .. } => leaves && from == row.id,
        _ => false,
    };
    let is_void = |claim: &Row| is_claim(claim) && is_claim_void(index, claim);
    let waits = |claim: &Row| state_of(claim) == RowState::LocalNew || is_claim(claim);
    let mut under_way = index.open(RowState::BothGone).chain(index.open(RowState::LocalNew));
    row.restated && under_way.any(|claim| claims(claim) && waits(claim) && !is_void(claim))
}

fn push(index: &mut RowIndex<'_>, steps: &mut Vec<Step>) {
    let ready = ready_for_additions(index);
    let searched = is_searched(index);
    let wanted: Vec<RowId> = index
        .open(RowState::LocalNew)
        .filter(|row| ready.contains(&row.mailbox) && !waits_for_a_late_append(index.world, row))
        .filter(|row| !may_be_there(index, row) && !may_come_down(index, row))
        // What was numbered anew may have been moved to any mailbox (hazard 56).
        .filter(|row| searched || !is_in_doubt(row))
        .filter(|row| !index.may_be_unseen(row))
        .map(|row| row.id)
        .collect();
    index.take(wanted.iter().copied());
    steps.extend(wanted.into_iter().map(Step::Push));
}

/// The same message may be about to come down in another mailbox: once it is known, this one is
/// a copy of it. Sent beside it, and the answer lost, it would be taken for the one sent.
fn may_come_down(index: &RowIndex<'_>, row: &Row) -> bool {
    let size = |row: &Row| row.words.as_ref().map(|words| words.size);
    let loose = |row: &Row| row.header.map(|header| header.loose);
    let unlike = |other: &Row| loose(other).zip(loose(row)).is_some_and(|(a, b)| a != b);
    row.journal == Journal::Idle
        && index
            .open(RowState::RemoteNew)
            .any(|other| other.content.is_none() && size(other) == size(row) && !unlike(other))
}

/// A literal that was wholly sent may still be on its way: not again in this run, and not
/// beside a message that the server names and shows nothing of.
fn waits_for_a_late_append(world: &PlanInput, row: &Row) -> bool {
    let Journal::Pushing { sent, run, uid_next, .. } = row.journal else { return false };
    let could_be_ours = |other: &Row| {
        let above = other.remote.as_ref().is_some_and(|remote| remote.uid.0 >= uid_next);
        other.mailbox == row.mailbox && above && state_of(other) == RowState::RemoteNew
    };
    let unknown = |other: &&Row| other.words.is_none() && other.content.is_none();
    (sent && run >= world.run) || world.rows.iter().filter(unknown).any(could_be_ours)
}

fn flags(index: &mut RowIndex<'_>, steps: &mut Vec<Step>) {
    for row in index.open(RowState::Paired) {
        let Some(view) = index.world.mailboxes.get(&row.mailbox) else { continue };
        let Some(merged) = merge_row(row, view, &index.world.policy) else { continue };
        let base = row.base.as_ref().map(|b| &b.flags);
        if !merged.is_agreed() || base != base_now(row, view).as_ref() || row.restated {
            let (local, remote) = (merged.local, merged.remote);
            steps.push(Step::Flags { row: row.id, local, remote });
        }
    }
}

/// Whether the removal of a row waits for no mailbox: all were looked at, or it waited long enough.
fn is_free(index: &RowIndex<'_>, row: &Row, all_seen: bool) -> bool {
    let waited = |view: &MailboxView| view.waited.contains(&row.id);
    all_seen || index.world.mailboxes.get(&row.mailbox).is_some_and(waited)
}

/// `here`: every directory was looked at.
fn remove_remote(index: &mut RowIndex<'_>, steps: &mut Vec<Step>, here: bool) {
    let policy = &index.world.policy;
    let gone: Vec<&Row> =
        index.open(RowState::LocalGone).filter(|row| is_free(index, row, here)).collect();
    for row in gone {
        if row.journal.is_moved() {
            // Half of a move whose other half is a fact: no deletion, no policy.
            let how = RemoteRemoval::Expunge;
            steps.push(Step::RemoveRemote { row: row.id, how });
        } else if index.world.somewhere.contains(&row.id) {
            // Filed where nothing is mirrored, and deleted by nobody (hazard 124).
            continue;
        } else if policy.pull_only || policy.on_local_delete == OnLocalDelete::Keep {
            steps.push(Step::Keep(row.id));
        } else if policy.brings_back.here
            && !is_under_way(row)
            && !is_explained_elsewhere(index, row)
        {
            steps.push(Step::BringBack(row.id));
        } else if !is_explained_elsewhere(index, row) {
            steps.push(Step::RemoveRemote { row: row.id, how: removal(index.world, row) });
        } else {
            continue;
        }
        index.take([row.id]);
    }
}

/// Its removal was begun under the former settings: a copy of it may be in the trash already, and
/// it would come back beside that (hazard 101).
fn is_under_way(row: &Row) -> bool {
    matches!(row.journal, Journal::Trashing { .. })
}

/// A new file that holds this content, or replaced it under the same name (it was edited),
/// could be where the message went: its removal waits until that file has its place. What may be in
/// the trash already is looked for there first, and removes nothing before.
fn is_explained_elsewhere(index: &RowIndex<'_>, gone: &Row) -> bool {
    let same_content = gone.content.into_iter().flat_map(|content| index.with_content(content));
    let moved =
        same_content.filter(|row| row.id != gone.id).any(|row| state_of(row) == RowState::LocalNew);
    let is_sought = is_under_way(gone) && may_be_in_trash(index, gone);
    has_open_copy(index, gone)
        || moved && !is_sought
        || index.edited_file_of(gone).is_some_and(|row| state_of(row) == RowState::LocalNew)
}

fn removal(world: &PlanInput, row: &Row) -> RemoteRemoval {
    if let Some(mailbox) = world.outside.get(&row.id) {
        return RemoteRemoval::MoveTo(mailbox.clone());
    }
    let in_trash = world.mailboxes.get(&row.mailbox).is_some_and(|v| v.is(SpecialUse::Trash));
    match &world.policy.trash {
        Some(trash) if world.policy.on_local_delete == OnLocalDelete::Trash && !in_trash => {
            RemoteRemoval::Trash(trash.clone())
        }
        _ => RemoteRemoval::Expunge,
    }
}

/// `there`: every mailbox of the server was looked at.
fn remove_local(index: &mut RowIndex<'_>, steps: &mut Vec<Step>, there: bool) {
    // A new message that nobody has looked into yet could be where a departed one went. Of what
    // the server does not show nobody can tell: rows wait for that, but not for ever.
    let whole = |v: &MailboxView| {
        v.shut || (v.remote_coverage != Coverage::Partial && v.remotes_beyond == 0)
    };
    let identified = index.world.mailboxes.values().all(whole);
    // Nor of what came into a mailbox whose files cannot be looked at (hazard 87).
    let there = there && !index.world.unseen_arrivals;
    let is_shut = |row: &&Row| index.world.mailboxes.get(&row.mailbox).is_some_and(|v| v.shut);
    if !identified || index.open(RowState::RemoteNew).any(|row| !is_shut(&row)) {
        return;
    }
    let gone = index.open(RowState::RemoteGone).filter(|row| is_free(index, row, there));
    let gone = gone.filter(|row| !could_be_taken_for(index, row) && !waits_with_flags(index, row));
    let gone: Vec<RowId> = gone.map(|row| row.id).collect();
    for row in gone {
        index.take([row]);
        let policy = &index.world.policy;
        // Where nothing is sent, it comes back when that changes (hazard 125).
        let stays = policy.brings_back.there && policy.pull_only;
        if policy.on_remote_delete == OnRemoteDelete::Keep || stays {
            steps.push(Step::Keep(row));
        } else if policy.brings_back.there && !came_down_elsewhere(index, row) {
            steps.push(Step::BringBack(row));
        } else {
            let_go(index, steps, row);
        }
    }
}

/// Whether what was changed on a file may be due to one that is given its message in this very
/// plan: it is carried there by the next one (hazard 178).
fn waits_with_flags(index: &RowIndex<'_>, gone: &Row) -> bool {
    let agreed = gone.base.as_ref().map(|base| &base.flags);
    let mut same = gone.content.into_iter().flat_map(|content| index.with_content(content));
    gone.local.as_ref().map(|file| &file.flags) != agreed
        && same.any(|row| {
            row.mailbox != gone.mailbox
                && state_of(row) == RowState::LocalNew
                && index.is_taken(row)
        })
}

/// Removes a file, once what was changed on it is carried to the message that came down elsewhere
/// because its move was not seen as one (hazards 159 and 178).
fn let_go(index: &RowIndex<'_>, steps: &mut Vec<Step>, gone: RowId) {
    let Some(step) = carried(index, steps, gone) else {
        return steps.push(Step::RemoveLocal(gone));
    };
    let rows = step.rows();
    steps.retain(|other| !matches!(other, Step::Flags { .. }) || other.rows() != rows);
    steps.push(step);
}

/// The flags that were changed on a file which goes, for the message that came down elsewhere. That
/// one still has the agreed flags; one with others is a copy that somebody made. Of a file that was
/// in another root nothing is agreed: what it has is set there, too.
fn carried(index: &RowIndex<'_>, steps: &[Step], gone: RowId) -> Option<Step> {
    let gone = index.row(gone)?;
    let (file, base) = (gone.local.as_ref()?, gone.base.as_ref()?);
    let changed = FlagDelta::between(&base.flags, &file.flags);
    let same = index.with_content(gone.content?).filter(|row| is_where_it_came(row, gone));
    let same: Vec<&Row> = same.collect();
    let alone = same.first().filter(|_| same.len() == 1 && gone.restated && base.flags.is_empty());
    let twin = same.iter().find(|row| row.base == gone.base).or(alone)?;
    let view = index.world.mailboxes.get(&twin.mailbox)?;
    let merged = merge_row(twin, view, &index.world.policy)?;
    // Another file of this text may go in the same plan, with changes of its own.
    let planned = steps.iter().find_map(|step| match step {
        Step::Flags { row, local, remote } if *row == twin.id => Some([local, remote]),
        _ => None,
    });
    let planned = planned.into_iter().flatten();
    let agreed = planned.fold(merged.agreed, |agreed, delta| delta.applied_to(&agreed));
    let agreed = changed.applied_to(&agreed);
    let delta = |flags: &Flags, mask: &FlagMask| {
        FlagDelta::between(&mask.apply(flags), &mask.apply(&agreed))
    };
    let local = delta(&twin.local.as_ref()?.flags, &view.local_mask());
    let mut remote = delta(&twin.remote.as_ref()?.flags, &view.remote_mask(twin));
    if index.world.policy.pull_only {
        remote = FlagDelta::default();
    }
    let is_same = local == merged.local && remote == merged.remote;
    (!is_same).then_some(Step::Flags { row: twin.id, local, remote })
}

/// Whether a message of the same text is younger, and elsewhere.
fn is_where_it_came(row: &Row, gone: &Row) -> bool {
    let is_elsewhere = row.mailbox != gone.mailbox && !row.weak;
    row.id > gone.id && is_elsewhere && state_of(row) == RowState::Paired
}

/// Files in doubt whose messages were moved there, and came down at their new place while these
/// files could not be seen: they go to the local trash, and are not sent once more (hazard 75).
fn find_superseded(index: &mut RowIndex<'_>) -> Vec<RowId> {
    if index.world.policy.on_remote_delete == OnRemoteDelete::Keep || !is_searched(index) {
        return Vec::new();
    }
    let doubtful = index.open(RowState::LocalNew).filter(|row| index.is_lost(row));
    let left = doubtful.filter(|row| row.journal == Journal::Idle && !row.weak);
    let left: Vec<RowId> =
        left.map(|row| row.id).filter(|row| came_down_elsewhere(index, *row)).collect();
    index.take(left.iter().copied());
    left
}

/// The message was moved there and came down at its new place, as a row that is younger: brought
/// back, there would be two of it (hazard 75).
fn came_down_elsewhere(index: &RowIndex<'_>, gone: RowId) -> bool {
    let Some(gone) = index.row(gone) else { return false };
    let mut same = gone.content.into_iter().flat_map(|content| index.with_content(content));
    same.any(|row| is_where_it_came(row, gone))
}

/// A new file of the same bytes in the same mailbox: cut short after the removal, the next run
/// would take it for the removed file under another name. It gets its own message first.
fn could_be_taken_for(index: &RowIndex<'_>, gone: &Row) -> bool {
    let mut same = gone.content.into_iter().flat_map(|content| index.with_content(content));
    !index.world.policy.pull_only
        && same.any(|row| {
            row.mailbox == gone.mailbox
                && state_of(row) == RowState::LocalNew
                && !row.is_set_aside()
        })
}

/// Rows gone on both sides serve as the past of what is new; they go last.
fn forget(index: &mut RowIndex<'_>, steps: &mut Vec<Step>) {
    let open: BTreeSet<_> = index
        .open(RowState::LocalNew)
        .chain(index.open(RowState::RemoteNew))
        .filter_map(|row| row.content)
        .collect();
    // What is not told yet may be one of those that left: as long as both are known, its body
    // tells (hazard 156).
    let facts = |row: &Row| row.words.as_ref().map(|words| (words.size, words.date));
    let untold = || index.open(RowState::RemoteNew).filter(|row| row.content.is_none());
    let waits: BTreeSet<_> = untold().map(|row| row.mailbox).collect();
    let untold: BTreeSet<_> = untold().filter_map(facts).collect();
    // A file that goes up in this round still needs its past for the letters of its name.
    let files = index.world.rows.iter().filter(|row| state_of(row) == RowState::LocalNew);
    let pushed: BTreeSet<_> =
        files.filter(|row| !row.is_set_aside()).filter_map(|row| row.content).collect();
    // Or a new version of one that left its mailbox (hazard 182).
    let gone = index.open(RowState::BothGone).filter(|row| !waits.contains(&row.mailbox));
    let gone = gone.filter(|row| facts(row).is_none_or(|facts| !untold.contains(&facts)));
    let gone = gone.filter(|row| match row.content {
        Some(content) => {
            !open.contains(&content) && (row.letters.is_empty() || !pushed.contains(&content))
        }
        None => true,
    });
    let is_looked_for = |row: &Row| is_claim(row) || is_left(row);
    let gone = gone.filter(|row| !is_looked_for(row) || is_claim_void(index, row));
    let gone: Vec<RowId> = gone.map(|row| row.id).collect();
    steps.extend(gone.into_iter().map(Step::Forget));
}
