//! Expunging messages on the server, after the look that justifies it.

use std::collections::BTreeMap;

use super::mark::Marked;
use super::steps::{select, trouble};
use super::{carry, mark};
use crate::account::error::AccountError;
use crate::mail::removed::{approved, forget};
use crate::mail::restate;
use crate::mail::run::Run;
use crate::reconcile::hold::Direction;
use crate::reconcile::types::{
    Coverage, Flags, Journal, Mailbox, Place, Row, RowId, SetAside, SetAsideKind, Uid,
};
use crate::remote::imap::{Command, FetchItems, FetchRow, UidSet};

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
            let why = "known UIDs now belong to other messages; nothing is removed";
            run.report.skip(mailbox.name.to_string(), why);
            run.session.unselect().await?;
            restate::renumbered(run, mailbox.clone())?;
            run.attempt.seen.remote.insert(mailbox.id, Coverage::Partial);
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

/// Records that the messages of these rows have copies, so that only the rest of them is to go.
pub(super) fn release_all(run: &mut Run, rows: Vec<(RowId, Place)>) -> Result<(), AccountError> {
    let approved = approved(run)?;
    let now = run.environment.clock.now();
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

/// The server says OK and the message stays: after a few times it is left alone.
fn refused(run: &mut Run, mailbox: &Mailbox, rows: &[(RowId, Uid)]) -> Result<(), AccountError> {
    if rows.is_empty() {
        return Ok(());
    }
    let messages = if rows.len() == 1 { "message" } else { "messages" };
    let why = format!("the server did not remove {} {messages}", rows.len());
    run.report.skip(mailbox.name.to_string(), why);
    run.record(|w| {
        for (id, _) in rows {
            let Some(row) = w.tx().row(*id)? else { continue };
            let times = row.set_aside.as_ref().map_or(1, |s| s.times + 1);
            let words = "EXPUNGE did not remove the message".to_owned();
            let set_aside = Some(SetAside { kind: SetAsideKind::Remove, words, times });
            w.update(&Row { set_aside, ..row })?;
        }
        Ok(())
    })
}

/// Commands that remove a message by EXPUNGE.
pub(super) const BY_EXPUNGE: [Command; 3] = [Command::Attributes, Command::Store, Command::Expunge];
