//! Removals: each looks, in the session that removes, at what justifies it.

use std::collections::BTreeMap;

use super::expunge::{BY_EXPUNGE, expunge, release_all, verify};
use super::steps::{grouped, mailbox_of, select, trouble};
use super::trashing;
use crate::account::error::AccountError;
use crate::local::TrashOutcome;
use crate::mail::removed::forget;
use crate::mail::run::Run;
use crate::reconcile::hold::Direction;
use crate::reconcile::types::{
    Journal, Mailbox, MailboxName, MailboxStatus, Place, Row, RowId, Uid,
};
use crate::reconcile::{RemoteRemoval, Step};
use crate::remote::imap::{Command, CopyError, Existence, Select, UidSet, Untagged};

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
            if run.environment.is_stopping() {
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
    let MailboxStatus { uid_validity, uid_next, .. } = before;
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

/// Status of the mailbox that messages go to. Creates it if it does not exist.
async fn gate_of(
    run: &mut Run,
    target: &MailboxName,
) -> Result<Option<MailboxStatus>, AccountError> {
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
            if run.environment.is_stopping() {
                break;
            }
            let Some(local) = &row.local else { continue };
            match run.root.trash(&mailbox.name, local, run.environment.clock.now()) {
                Ok(TrashOutcome::Trashed(_)) => gone.push(row.id),
                Ok(TrashOutcome::Changed) => crate::mail::observe::reexamine(run, row.id)?,
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
