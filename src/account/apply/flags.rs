//! Flag changes: by deltas, on each side; a keyword that is refused is refused alone.

use std::collections::BTreeMap;

use super::note::settle_base;
use super::{grouped, mailbox_of, select, trouble};
use crate::account::{AccountError, Run};
use crate::local::Changed;
use crate::reconcile::Step;
use crate::reconcile::types::{FlagDelta, Flags, Mailbox, Row, RowId};
use crate::remote::imap::{UidSet, Untagged};

pub(super) async fn apply(run: &mut Run, steps: &[Step]) -> Result<(), AccountError> {
    let wanted = grouped(run, steps, |step| match step {
        Step::Flags { row, local, remote } => Some((*row, (local.clone(), remote.clone()))),
        _ => None,
    })?;
    for (id, rows) in wanted {
        let mailbox = mailbox_of(run, id)?;
        let mut changes: BTreeMap<(Vec<String>, bool), (Flags, Vec<RowId>)> = BTreeMap::new();
        for (row, (local, remote)) in rows {
            if !local.is_empty() {
                change_file(run, &mailbox, &row, &local)?;
            }
            for (add, flags) in [(true, remote.add), (false, remote.remove)] {
                if !flags.is_empty() {
                    let names = flags.imap_names().into_iter().map(str::to_owned).collect();
                    changes.entry((names, add)).or_insert_with(|| (flags, vec![])).1.push(row.id);
                }
            }
        }
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
) -> Result<(), AccountError> {
    let Some(local) = row.local.clone() else { return Ok(()) };
    let flags = delta.applied_to(&local.flags);
    let table = super::file::letters(run, mailbox, &flags)?;
    let (_, unheld) = table.letters_for(&flags);
    let changed = match run.root.set_flags(&mailbox.name, &local, &flags, &table) {
        Ok(changed) => changed,
        Err(error) => {
            run.report.skip(format!("{}: {:?}", mailbox.name, local.stem), error.to_string());
            return Ok(());
        }
    };
    // Where a reader was quicker, the next look sees what it did.
    let Changed::Changed(now) = changed else { return Ok(()) };
    run.report.flags_local += 1;
    run.report.touch(&mailbox.name);
    let keywords = flags.keywords.difference(&unheld).cloned().collect();
    let flags = Flags { system: flags.system, keywords };
    let local = Some(super::file::named(now, flags));
    let id = row.id;
    run.record(|w| {
        let Some(row) = w.tx().row(id)? else { return Ok(()) };
        settle_base(w, Row { local, ..row })
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
        Ok(()) => changed(run, rows, add, flags),
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
            Ok(()) => changed(run, rows, add, &flag)?,
            Err(error) if error.is_refusal() => {
                run.report.skip(mailbox.name.to_string(), error.to_string());
                refuse(run, rows, &flag)?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// The server said OK; what it really took is seen by the next look.
fn changed(run: &mut Run, rows: &[RowId], add: bool, flags: &Flags) -> Result<(), AccountError> {
    run.report.flags_remote += rows.len() as u64;
    run.record(|w| {
        for id in rows {
            let Some(mut row) = w.tx().row(*id)? else { continue };
            if let Some(remote) = row.remote.as_mut() {
                remote.flags =
                    if add { remote.flags.union(flags) } else { remote.flags.difference(flags) };
                remote.confirmed = false;
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
