//! Flag changes: by deltas, on each side; a keyword that is refused is refused alone.

use std::collections::BTreeMap;

use super::note::settle_base;
use super::{grouped, mailbox_of, select, trouble};
use crate::account::{AccountError, Run};
use crate::local::Changed;
use crate::reconcile::Step;
use crate::reconcile::types::{FlagDelta, Flags, Local, Mailbox, Row, RowId, Uid};
use crate::remote::imap::{FetchItems, FetchRow, UidSet, Untagged};

pub(super) async fn apply(run: &mut Run, steps: &[Step]) -> Result<(), AccountError> {
    let wanted = grouped(run, steps, |step| match step {
        Step::Flags { row, local, remote } => Some((*row, (local.clone(), remote.clone()))),
        _ => None,
    })?;
    for (id, rows) in wanted {
        let mailbox = mailbox_of(run, id)?;
        let mut renamed = Vec::new();
        let mut changes: BTreeMap<(Vec<String>, bool), (Flags, Vec<RowId>)> = BTreeMap::new();
        for (row, (local, remote)) in rows {
            if !local.is_empty() {
                renamed.extend(change_file(run, &mailbox, &row, &local)?);
            }
            for (add, flags) in [(true, remote.add), (false, remote.remove)] {
                if !flags.is_empty() {
                    let names = flags.imap_names().into_iter().map(str::to_owned).collect();
                    changes.entry((names, add)).or_insert_with(|| (flags, vec![])).1.push(row.id);
                }
            }
        }
        record_names(run, &mailbox, renamed)?;
        for ((_, add), (flags, rows)) in changes {
            if run.outside.is_stopping() || !select(run, &mailbox).await? {
                break;
            }
            store(run, &mailbox, &rows, add, &flags).await?;
        }
    }
    Ok(())
}

fn change_file(
    run: &mut Run,
    mailbox: &Mailbox,
    row: &Row,
    delta: &FlagDelta,
) -> Result<Option<(RowId, Local)>, AccountError> {
    let Some(local) = row.local.clone() else { return Ok(None) };
    let flags = delta.applied_to(&local.flags);
    let table = super::letters::table_for(run, mailbox, &flags)?;
    let (_, unheld) = table.letters_for(&flags);
    let keywords = flags.keywords.difference(&unheld).cloned().collect();
    let held = Flags { system: flags.system, keywords };
    if held == local.flags {
        // For want of a letter: nothing to be done here now.
        return Ok(None);
    }
    let changed = match run.root.set_flags(&mailbox.name, &local, &flags, &table) {
        Ok(changed) => changed,
        Err(error) => {
            run.report.skip(format!("{}: {:?}", mailbox.name, local.stem), error.to_string());
            return Ok(None);
        }
    };
    // Where a reader was quicker, the next look sees what it did.
    let Changed::Changed(now) = changed else { return Ok(None) };
    run.report.flags_local += 1;
    run.report.touch(&mailbox.name);
    // The stamp stays that of the bytes that were hashed: an edit since is still found.
    Ok(Some((row.id, super::file::named(now, held, local.stamp))))
}

/// New names are durable before they are recorded: a record that outlives its rename would
/// look, after a power loss, like flags that somebody removed.
fn record_names(
    run: &mut Run,
    mailbox: &Mailbox,
    renamed: Vec<(RowId, Local)>,
) -> Result<(), AccountError> {
    if renamed.is_empty() {
        return Ok(());
    }
    if let Err(error) = run.root.sync_dirs(&mailbox.name) {
        run.report.skip(mailbox.name.to_string(), error.to_string());
        return Ok(());
    }
    run.record(|w| {
        for (id, local) in renamed {
            let Some(row) = w.tx().row(id)? else { continue };
            settle_base(w, Row { local: Some(local), ..row })?;
        }
        Ok(())
    })
}

async fn store(
    run: &mut Run,
    mailbox: &Mailbox,
    rows: &[RowId],
    add: bool,
    flags: &Flags,
) -> Result<(), AccountError> {
    let mut set = UidSet::default();
    for row in rows {
        if let Some(remote) = run.store.row(*row)?.and_then(|row| row.remote) {
            set.insert(remote.uid);
        }
    }
    let mut ignore = |_: Untagged| {};
    match run.session.store(&set, add, flags, &mut ignore).await {
        Ok(()) => {
            changed(run, rows, add, flags)?;
            check_keywords(run, rows, &set, add, flags).await
        }
        Err(error)
            if error.is_refusal() && !flags.keywords.is_empty() && flags_count(flags) > 1 =>
        {
            store_apart(run, mailbox, rows, &set, add, flags).await
        }
        Err(error) if error.is_refusal() && !flags.keywords.is_empty() => {
            run.report.skip(mailbox.name.to_string(), error.to_string());
            refuse(run, rows, flags)
        }
        Err(error) => trouble(run, mailbox, error),
    }
}

fn flags_count(flags: &Flags) -> usize {
    flags.imap_names().len()
}

/// Each flag by itself, so that one that is refused takes no other along (hazard 29).
async fn store_apart(
    run: &mut Run,
    mailbox: &Mailbox,
    rows: &[RowId],
    set: &UidSet,
    add: bool,
    flags: &Flags,
) -> Result<(), AccountError> {
    let keywords = flags
        .keywords
        .iter()
        .map(|keyword| Flags { keywords: [keyword.clone()].into(), ..Flags::default() });
    let system = Some(Flags::system(flags.system)).filter(|flags| !flags.is_empty());
    for flag in system.into_iter().chain(keywords) {
        let mut ignore = |_: Untagged| {};
        match run.session.store(set, add, &flag, &mut ignore).await {
            Ok(()) => {
                changed(run, rows, add, &flag)?;
                check_keywords(run, rows, set, add, &flag).await?;
            }
            Err(error) if error.is_refusal() => {
                run.report.skip(mailbox.name.to_string(), error.to_string());
                refuse(run, rows, &flag)?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Some servers say OK to a keyword and drop it: a look tells, so that its absence is no
/// removal by anybody later (hazard 29).
async fn check_keywords(
    run: &mut Run,
    rows: &[RowId],
    set: &UidSet,
    add: bool,
    flags: &Flags,
) -> Result<(), AccountError> {
    if !add || flags.keywords.is_empty() {
        return Ok(());
    }
    let mut shown: BTreeMap<Uid, Flags> = BTreeMap::new();
    let items = FetchItems { flags: true, ..FetchItems::default() };
    let mut sink = |row: FetchRow| {
        shown.extend(row.flags.map(|flags| (row.uid, flags)));
    };
    run.session.fetch(set, items, None, &mut sink).await?;
    run.record(|w| {
        for id in rows {
            let Some(mut row) = w.tx().row(*id)? else { continue };
            let Some(remote) = row.remote.as_mut() else { continue };
            let Some(now) = shown.get(&remote.uid) else { continue };
            let dropped: Vec<_> = flags.keywords.difference(&now.keywords).cloned().collect();
            if !dropped.is_empty() {
                remote.flags.keywords.retain(|keyword| !dropped.contains(keyword));
                row.refused_keywords.extend(dropped);
                settle_base(w, row)?;
            }
        }
        Ok(())
    })
}

/// The server said OK to these flags.
fn changed(run: &mut Run, rows: &[RowId], add: bool, flags: &Flags) -> Result<(), AccountError> {
    run.report.flags_remote += rows.len() as u64;
    run.record(|w| {
        for id in rows {
            let Some(mut row) = w.tx().row(*id)? else { continue };
            if let Some(remote) = row.remote.as_mut() {
                remote.flags =
                    if add { remote.flags.union(flags) } else { remote.flags.difference(flags) };
            }
            settle_base(w, row)?;
        }
        Ok(())
    })
}

fn refuse(run: &mut Run, rows: &[RowId], flags: &Flags) -> Result<(), AccountError> {
    run.record(|w| {
        for id in rows {
            let Some(mut row) = w.tx().row(*id)? else { continue };
            row.refused_keywords.extend(flags.keywords.iter().cloned());
            settle_base(w, row)?;
        }
        Ok(())
    })
}
