//! Flag changes: by deltas, on each side; a keyword that is refused is refused alone.

use std::collections::BTreeMap;

use super::bookkeeping::settle_base;
use super::keywords;
use super::steps::{grouped, mailbox_of, select, trouble};
use crate::account::error::AccountError;
use crate::local::{Changed, KeywordTable};
use crate::mail::observe::note_flags_changed;
use crate::mail::run::Run;
use crate::reconcile::Step;
use crate::reconcile::types::{FlagDelta, Flags, Local, Mailbox, Row, RowId, Uid};
use crate::remote::RemoteError;
use crate::remote::imap::{Command, FetchItems, FetchRow, UidSet, Untagged};

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
            for rows in run.in_company(&[Command::Store, Command::Flags], &mailbox, &rows)? {
                if run.environment.is_stopping() {
                    return Ok(());
                }
                let stored = match select(run, &mailbox).await {
                    Ok(true) => store(run, &mailbox, &rows, add, &flags).await,
                    Ok(false) => break,
                    Err(error) => Err(error),
                };
                run.go_on(stored).await?;
            }
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
    let mut flags = delta.applied_to(&local.flags);
    let mut table = super::keyword_letters::table_for(run, mailbox, &flags)?;
    let keywords = if run.attempt.unread_tables.contains(&mailbox.id) {
        // The letters that the name has stay, with what they mean; none is added or taken away.
        table = KeywordTable::default();
        flags.keywords.clear();
        local.flags.keywords.clone()
    } else {
        let (_, unheld) = table.letters_for(&flags);
        flags.keywords.difference(&unheld).cloned().collect()
    };
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
    let Changed::Changed(now) = changed else { return run.list_again(mailbox.id).map(|()| None) };
    run.report.flags_local += 1;
    run.report.touch(&mailbox.name);
    // The stamp stays that of the bytes that were hashed: an edit since is still found.
    Ok(Some((row.id, now.local(held, local.stamp))))
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
    let change = Change { mailbox, rows, set: &set, add, flags };
    let mut shown = BTreeMap::new();
    let answer = run.session.store(&set, add, flags, &mut echo(&mut shown)).await;
    match answer {
        Ok(()) => changed(run, &change, shown).await,
        Err(error)
            if error.is_refusal() && !flags.keywords.is_empty() && flags_count(flags) > 1 =>
        {
            store_apart(run, &change).await
        }
        Err(error) => refused(run, &change, error),
    }
}

/// A keyword that is refused again and again is not asked for any more; anything else is tried by
/// the next run.
fn refused(run: &mut Run, change: &Change<'_>, error: RemoteError) -> Result<(), AccountError> {
    let Change { mailbox, rows, flags, .. } = *change;
    if let Some(keyword) = flags.keywords.first().filter(|_| error.is_refusal())
        && !error.is_for_now()
        && keywords::note(run, mailbox, keyword)?
    {
        run.report.skip(mailbox.name.to_string(), error.to_string());
        return refuse(run, rows, flags);
    }
    trouble(run, mailbox, error)
}

/// One STORE: flags added to or removed from messages of a mailbox.
struct Change<'a> {
    mailbox: &'a Mailbox,
    rows: &'a [RowId],
    set: &'a UidSet,
    add: bool,
    flags: &'a Flags,
}

/// Keeps the flags that the server shows, by UID.
fn echo(shown: &mut BTreeMap<Uid, Flags>) -> impl FnMut(Untagged) + '_ {
    move |untagged| {
        if let Untagged::Fetch(FetchRow { uid, flags: Some(flags), .. }) = untagged {
            shown.insert(uid, flags);
        }
    }
}

fn flags_count(flags: &Flags) -> usize {
    flags.imap_names().len()
}

/// Each flag by itself, so that one that is refused takes no other along (hazard 29).
async fn store_apart(run: &mut Run, change: &Change<'_>) -> Result<(), AccountError> {
    let Change { set, add, flags, .. } = *change;
    let keywords = flags
        .keywords
        .iter()
        .map(|keyword| Flags { keywords: [keyword.clone()].into(), ..Flags::default() });
    let system = Some(Flags::system(flags.system)).filter(|flags| !flags.is_empty());
    for flag in system.into_iter().chain(keywords) {
        let mut shown = BTreeMap::new();
        let answer = run.session.store(set, add, &flag, &mut echo(&mut shown)).await;
        match answer {
            Ok(()) => changed(run, &Change { flags: &flag, ..*change }, shown).await?,
            Err(error) if error.is_refusal() => {
                refused(run, &Change { flags: &flag, ..*change }, error)?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Records the flags that the server shows after a STORE. An OK says that the command was
/// understood, not that it met a message: a UID that is shown nowhere keeps its columns, and
/// the next look tells what became of it (hazard 57).
async fn changed(
    run: &mut Run,
    change: &Change<'_>,
    mut shown: BTreeMap<Uid, Flags>,
) -> Result<(), AccountError> {
    let Change { mailbox, rows, set, add, flags } = *change;
    if !flags.keywords.is_empty() {
        keywords::forget(run, mailbox, flags.keywords.iter())?;
    }
    // Some servers echo a keyword and drop it: only a FETCH afterwards tells (hazard 29).
    let with_keywords = add && !flags.keywords.is_empty();
    let ask: UidSet = set.iter().filter(|uid| with_keywords || !shown.contains_key(uid)).collect();
    if !ask.is_empty() {
        let items = FetchItems { flags: true, ..FetchItems::default() };
        let mut sink = |row: FetchRow| {
            shown.extend(row.flags.map(|flags| (row.uid, flags)));
        };
        if let Err(error) = run.session.fetch(&ask, items, None, &mut sink).await {
            trouble(run, mailbox, error)?;
        }
    }
    let (mut taken, mut not_taken, mut absent) = (0, 0, Vec::new());
    run.record(|w| {
        for id in rows {
            let Some(mut row) = w.tx().row(*id)? else { continue };
            let Some(remote) = row.remote.as_mut() else { continue };
            let Some(now) = shown.get(&remote.uid) else {
                absent.push(*id);
                continue;
            };
            let lacks = if add { flags.difference(now) } else { Flags::default() };
            let keeps =
                if add { Flags::default() } else { flags.difference(&flags.difference(now)) };
            match lacks.system.is_empty() && keeps.is_empty() {
                true => taken += 1,
                false => not_taken += 1,
            }
            remote.flags.clone_from(now);
            row.refused_keywords.extend(lacks.keywords);
            settle_base(w, row)?;
        }
        Ok(())
    })?;
    run.report.flags_remote += taken;
    if taken > 0 {
        note_flags_changed(run, mailbox)?;
    }
    if not_taken > 0 {
        let messages = if not_taken == 1 { "message" } else { "messages" };
        let why = format!("the server said OK but left flags of {not_taken} {messages} unchanged");
        run.report.skip(mailbox.name.to_string(), why);
    }
    run.look_again_for(mailbox, &absent);
    Ok(())
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
