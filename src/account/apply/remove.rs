//! Removals: each looks, in the session that removes, at what justifies it.

use std::collections::BTreeMap;

use super::mark::Marked;
use super::steps::{grouped, mailbox_of, select, trouble};
use super::{carry, mark, trashing};
use crate::account::error::AccountError;
use crate::account::restate;
use crate::account::run::Run;
use crate::local::TrashOutcome;
use crate::reconcile::guard::{Direction, Kind};
use crate::reconcile::types::{
    Flags, Gate, Journal, Mailbox, MailboxName, Place, Reach, Row, RowId, SetAside, SetAsideKind,
    Uid,
};
use crate::reconcile::{RemoteRemoval, Step};
use crate::remote::imap::{
    Command, CopyError, Existence, FetchItems, FetchRow, Select, UidSet, Untagged,
};

/// What a message is sent through on its way out.
const BY_EXPUNGE: [Command; 3] = [Command::Attributes, Command::Store, Command::Expunge];
const BY_MOVE: [Command; 5] =
    [Command::Attributes, Command::Copy, Command::Move, Command::Store, Command::Expunge];

pub(super) async fn apply(run: &mut Run, steps: &[Step]) -> Result<(), AccountError> {
    let remote = grouped(run, steps, |step| match step {
        Step::RemoveRemote { row, how } => Some((*row, how.clone())),
        Step::RemoveTwin { twin, .. } => Some((*twin, RemoteRemoval::Expunge)),
        _ => None,
    })?;
    let twins: Vec<(RowId, RowId)> = steps
        .iter()
        .filter_map(|step| match step {
            Step::RemoveTwin { twin, of } => Some((*twin, *of)),
            _ => None,
        })
        .collect();
    for (id, rows) in remote {
        let mut by_target: BTreeMap<Option<MailboxName>, Vec<RowId>> = BTreeMap::new();
        for (row, how) in rows {
            let target = match how {
                RemoteRemoval::Trash(name) | RemoteRemoval::MoveTo(name) => Some(name),
                RemoteRemoval::Expunge => None,
            };
            by_target.entry(target).or_default().push(row.id);
        }
        let mailbox = mailbox_of(run, id)?;
        for (target, rows) in by_target {
            if run.outside.is_stopping() {
                return Ok(());
            }
            let commands = match &target {
                Some(_) => &BY_MOVE[..],
                None => &BY_EXPUNGE[..],
            };
            for rows in run.in_company(commands, &mailbox, &rows)? {
                let removed = match &target {
                    Some(target) => move_away(run, &mailbox, target, &rows).await,
                    None => expunge(run, &mailbox, &rows).await,
                };
                run.go_on(removed).await?;
            }
        }
    }
    count_twins(run, &twins)?;
    remove_files(run, steps)
}

/// A twin that is gone does not turn up again.
fn count_twins(run: &mut Run, twins: &[(RowId, RowId)]) -> Result<(), AccountError> {
    run.record(|w| {
        for (twin, of) in twins {
            let Some(row) = w.tx().row(*of)? else { continue };
            let Journal::Pushed { uid_validity, uid_next, twins } = row.journal else { continue };
            if w.tx().row(*twin)?.is_none() {
                let twins = twins.saturating_sub(1);
                let journal = match twins {
                    0 => Journal::Idle,
                    twins => Journal::Pushed { uid_validity, uid_next, twins },
                };
                w.update(&Row { journal, ..row })?;
            }
        }
        Ok(())
    })
}

/// The UIDs of these rows that are still what the server said they are. A difference means
/// that the mailbox was numbered anew: nothing is removed then (hazard 5).
pub(super) async fn verify(
    run: &mut Run,
    mailbox: &Mailbox,
    rows: &[RowId],
) -> Result<BTreeMap<RowId, Uid>, AccountError> {
    let mut wanted: BTreeMap<Uid, Row> = BTreeMap::new();
    for row in rows {
        let Some(row) = run.store.row(*row)? else { continue };
        if let Some(remote) = &row.remote {
            wanted.insert(remote.uid, row);
        }
    }
    let mut set = UidSet::default();
    wanted.keys().for_each(|uid| {
        set.insert(*uid);
    });
    let items = FetchItems { flags: true, size: true, date: true, ..FetchItems::default() };
    let mut shown: Vec<FetchRow> = Vec::new();
    let mut sink = |row: FetchRow| shown.push(row);
    if let Err(error) = run.session.fetch(&set, items, None, &mut sink).await {
        trouble(run, mailbox, error)?;
        return Ok(BTreeMap::new());
    }
    let (mut verified, mut flagged) = (BTreeMap::new(), Vec::new());
    for fetched in shown {
        let Some(row) = wanted.get(&fetched.uid) else { continue };
        let (Some(size), Some(date)) = (fetched.size, fetched.date) else { continue };
        // Before a look confirmed it, the row's words are a guess from our own bytes.
        let confirmed = row.remote.as_ref().is_some_and(|remote| remote.confirmed);
        let same = row.words.as_ref().is_none_or(|w| w.size == size && w.date == date);
        if confirmed && !same {
            let why = "messages are not what they were: numbered anew; nothing is removed";
            run.report.skip(mailbox.name.to_string(), why);
            run.session.unselect().await?;
            restate::renumbered(run, mailbox.clone())?;
            run.attempt.seen.remote.insert(mailbox.id, Reach::Partial);
            return Ok(BTreeMap::new());
        }
        verified.insert(row.id, fetched.uid);
        flagged.extend(fetched.flags.map(|flags| (row.id, flags)));
    }
    note_flags(run, flagged)?;
    let absent: Vec<RowId> =
        wanted.values().map(|row| row.id).filter(|row| !verified.contains_key(row)).collect();
    run.look_again_for(mailbox, &absent);
    Ok(verified)
}

/// A copy gets the flags that a message has now, which may not be those of the last look.
fn note_flags(run: &mut Run, flagged: Vec<(RowId, Flags)>) -> Result<(), AccountError> {
    let mut changed = Vec::new();
    for (id, now) in flagged {
        let row = run.store.row(id)?;
        let other = |row: &Row| row.remote.as_ref().is_some_and(|remote| remote.flags != now);
        changed.extend(row.filter(other).map(|row| (row, now)));
    }
    if changed.is_empty() {
        return Ok(());
    }
    run.record(|w| {
        for (mut row, now) in changed {
            if let Some(remote) = row.remote.as_mut() {
                remote.flags = now;
            }
            w.update(&row)?;
        }
        Ok(())
    })
}

/// MOVE to \Trash (or to where the file was filed), journalled: COPY is not idempotent.
async fn move_away(
    run: &mut Run,
    mailbox: &Mailbox,
    target: &MailboxName,
    rows: &[RowId],
) -> Result<(), AccountError> {
    let rows = trashing::settle(run, mailbox, rows).await?;
    if rows.is_empty() {
        return Ok(());
    }
    let Some(before) = gate_of(run, target).await? else { return Ok(()) };
    let Gate { uid_validity, uid_next, .. } = before;
    if !select(run, mailbox).await? {
        return Ok(());
    }
    let verified = verify(run, mailbox, &rows).await?;
    if verified.is_empty() {
        return Ok(());
    }
    run.record(|w| {
        for id in verified.keys() {
            let Some(row) = w.tx().row(*id)? else { continue };
            let to = target.clone();
            let journal = Journal::Trashing { to, uid_validity, uid_next };
            w.update(&Row { journal, ..row })?;
        }
        Ok(())
    })?;
    let mut set = UidSet::default();
    verified.values().for_each(|uid| {
        set.insert(*uid);
    });
    let move_ = run.session.capabilities().can_move();
    let answer = if move_ {
        run.session.mv(&set, target, &mut |_| {}).await
    } else {
        run.session.copy(&set, target).await
    };
    let facts = match answer {
        Ok(facts) => facts,
        // What was stated before the refusal was done.
        Err(CopyError { error, copied }) => {
            trouble(run, mailbox, error)?;
            if copied.is_none() {
                run.attempt.copies_refused.extend(verified.keys());
                return Ok(());
            }
            copied
        }
    };
    // Without COPYUID the journal stays: the next round looks into the target first.
    let Some(facts) = facts else {
        run.attempt.copied.extend(verified.keys());
        run.attempt.unseen = true;
        return Ok(());
    };
    let place = |uid: Uid| Place { mailbox: target.clone(), uid_validity: facts.uid_validity, uid };
    let copy_of = |uid: &Uid| facts.pairs.iter().find(|(from, _)| from == uid).map(|(_, to)| *to);
    let done: Vec<(RowId, Place)> =
        verified.iter().filter_map(|(row, uid)| Some((*row, place(copy_of(uid)?)))).collect();
    let rows: Vec<RowId> = done.iter().map(|(row, _)| *row).collect();
    trashing::note_copies(run, target, before, &done)?;
    if move_ {
        return forget(run, mailbox, &rows, Direction::FromRemote);
    }
    release_all(run, done)?;
    expunge(run, mailbox, &rows).await
}

/// Records that the messages of these rows have copies, so that only the rest of them is to go.
pub(super) fn release_all(run: &mut Run, rows: Vec<(RowId, Place)>) -> Result<(), AccountError> {
    let approved = approved(run)?;
    let now = run.outside.clock.now();
    run.record(|w| {
        for (id, copy) in rows {
            let Some(row) = w.tx().row(id)? else { continue };
            if !approved.contains(&id) {
                w.departed(now, &row, Direction::FromRemote)?;
            }
            w.update(&Row { journal: Journal::Moved { copy: Some(copy) }, ..row })?;
        }
        Ok(())
    })
}

/// How the mailbox stands that messages go to; made if it is not there.
async fn gate_of(run: &mut Run, target: &MailboxName) -> Result<Option<Gate>, AccountError> {
    let listed = run.attempt.seen.listed.iter().any(|m| m.name == *target && m.selectable);
    if !listed && !matches!(run.session.exists(target).await, Ok(Existence::Exists(_))) {
        match super::mailbox::create(run, target).await {
            Ok(()) => {}
            Err(error) if error.ends_session() => return Err(error.into()),
            Err(error) => {
                run.report.skip(target.to_string(), error.to_string());
                return Ok(None);
            }
        }
    }
    let mut ignore = |_: Untagged| {};
    match run.session.select(target, Select::ReadOnly, None, &mut ignore).await {
        Ok(selected) => Ok(Some(selected.gate)),
        Err(error) if error.ends_session() => Err(error.into()),
        Err(error) => {
            run.report.skip(target.to_string(), error.to_string());
            Ok(None)
        }
    }
}

/// \Deleted and UID EXPUNGE; the fact is that the UID was seen gone (hazard 38).
pub(super) async fn expunge(
    run: &mut Run,
    mailbox: &Mailbox,
    rows: &[RowId],
) -> Result<(), AccountError> {
    if rows.is_empty() || !select(run, mailbox).await? {
        return Ok(());
    }
    let verified = verify(run, mailbox, rows).await?;
    if verified.is_empty() {
        return Ok(());
    }
    let mut set = UidSet::default();
    verified.values().for_each(|uid| {
        set.insert(*uid);
    });
    let given = carry::given(run, mailbox, &verified)?;
    match mark::and_expunge(run, mailbox, &set, &given).await? {
        Ok(Marked::Expunged) => {}
        // Not asked for: no refusal by the server, and tried again by the next run.
        Ok(Marked::WithOthers) => return Ok(()),
        Ok(Marked::Changed(now)) => return carry::over(run, mailbox.id, &given, &now).await,
        Err(error) => return trouble(run, mailbox, error),
    }
    let mut left = UidSet::default();
    let items = FetchItems { flags: true, ..FetchItems::default() };
    let mut sink = |row: FetchRow| {
        left.insert(row.uid);
    };
    if let Err(error) = run.session.fetch(&set, items, None, &mut sink).await {
        return trouble(run, mailbox, error);
    }
    let (stayed, gone): (Vec<_>, Vec<_>) =
        verified.into_iter().partition(|(_, uid)| left.contains(*uid));
    refused(run, mailbox, &stayed)?;
    let gone: Vec<RowId> = gone.into_iter().map(|(row, _)| row).collect();
    forget(run, mailbox, &gone, Direction::FromRemote)
}

/// The server says OK and the message stays: after a few times it is left alone.
fn refused(run: &mut Run, mailbox: &Mailbox, rows: &[(RowId, Uid)]) -> Result<(), AccountError> {
    if rows.is_empty() {
        return Ok(());
    }
    let why = format!("the server keeps {} messages that were removed", rows.len());
    run.report.skip(mailbox.name.to_string(), why);
    run.record(|w| {
        for (id, _) in rows {
            let Some(row) = w.tx().row(*id)? else { continue };
            let times = row.set_aside.as_ref().map_or(1, |s| s.times + 1);
            let words = "the server does not let the message go".to_owned();
            let set_aside = Some(SetAside { kind: SetAsideKind::Remove, words, times });
            w.update(&Row { set_aside, ..row })?;
        }
        Ok(())
    })
}

fn approved(run: &Run) -> Result<std::collections::BTreeSet<RowId>, AccountError> {
    let holds = run.store.holds()?.into_iter();
    let approved = holds.filter(|hold| {
        hold.state == crate::state::HoldState::Approved && hold.reason.kind() == Kind::Removal
    });
    Ok(approved.flat_map(|hold| hold.rows).collect())
}

/// Removed, as a fact. What a person approved does not count against the next removals.
fn forget(
    run: &mut Run,
    mailbox: &Mailbox,
    rows: &[RowId],
    direction: Direction,
) -> Result<(), AccountError> {
    if rows.is_empty() {
        return Ok(());
    }
    let approved = approved(run)?;
    let now = run.outside.clock.now();
    run.record(|w| {
        for id in rows {
            let Some(row) = w.tx().row(*id)? else { continue };
            let rest_of_a_move = row.journal.is_moved() || row.base.is_none();
            if !approved.contains(id) && !rest_of_a_move {
                w.departed(now, &row, direction)?;
            }
            w.delete(*id)?;
        }
        Ok(())
    })?;
    match direction {
        Direction::FromRemote => run.report.removed_remote += rows.len() as u64,
        Direction::FromLocal => {
            run.report.removed_local += rows.len() as u64;
            run.report.touch(&mailbox.name);
        }
    }
    Ok(())
}

/// Renames files into the local trash; one that was edited since is not what was deleted.
fn remove_files(run: &mut Run, steps: &[Step]) -> Result<(), AccountError> {
    let wanted = grouped(run, steps, |step| match step {
        Step::RemoveLocal(row) => Some((*row, ())),
        _ => None,
    })?;
    for (id, rows) in wanted {
        let mailbox = mailbox_of(run, id)?;
        let mut gone = Vec::new();
        for (row, ()) in rows {
            if run.outside.is_stopping() {
                break;
            }
            let Some(local) = &row.local else { continue };
            match run.root.trash(&mailbox.name, local, run.outside.clock.now()) {
                Ok(TrashOutcome::Trashed(_)) => gone.push(row.id),
                Ok(TrashOutcome::Changed) => crate::account::observe::reexamine(run, row.id)?,
                // Removed or re-flagged by a reader, or in another directory: the next look tells.
                Ok(TrashOutcome::Gone | TrashOutcome::Moved(_)) => {
                    run.list_again(mailbox.id)?;
                    run.attempt.unseen = true;
                }
                Err(error) => {
                    let what = format!("{}: {:?}", mailbox.name, local.stem);
                    run.report.skip(what, error.to_string());
                }
            }
        }
        if !gone.is_empty() {
            if let Err(error) = run.root.sync_dirs(&mailbox.name) {
                // The next look tells whether they are gone.
                run.report.skip(mailbox.name.to_string(), error.to_string());
                continue;
            }
            forget(run, &mailbox, &gone, Direction::FromLocal)?;
        }
    }
    Ok(())
}
