//! Moves and copies on disk: no body on the wire.

use super::bookkeeping::{release, settle_base};
use super::keyword_letters;
use super::place::{info, place};
use super::steps::{grouped, mailbox_of};
use crate::account::error::AccountError;
use crate::local::{Changed, Copied};
use crate::mail::fetch::take::Pulled;
use crate::mail::observe::reexamine;
use crate::mail::run::Run;
use crate::reconcile::Step;
use crate::reconcile::types::{Local, Mailbox, Row, RowId};

/// A mailbox that could not be made takes nothing: a later run finishes it first.
pub(super) fn apply(run: &mut Run, steps: &[Step]) -> Result<(), AccountError> {
    let moves = grouped(run, steps, |step| match step {
        Step::LocalMove { from, to, past } => Some((*to, (*from, *past))),
        _ => None,
    })?;
    for (id, rows) in moves {
        let mailbox = mailbox_of(run, id)?;
        if !mailbox.local {
            continue;
        }
        // Its letters are those of the mailbox that it left, not of the one where it lies.
        let found = rows.iter().map(|(_, (from, past))| (*from, *past));
        let unread = keyword_letters::relabel_found(run, found)?;
        for (to, (from, past)) in rows {
            if unread.contains(&from) {
                continue;
            }
            if let Some(from) = run.store.row(from)? {
                move_file(run, &mailbox, from, to, past)?;
            }
        }
        if let Err(error) = run.root.sync_dirs(&mailbox.name) {
            run.report.skip(mailbox.name.to_string(), error.to_string());
        }
    }
    let copies = grouped(run, steps, |step| match step {
        Step::LocalCopy { from, to } => Some((*to, *from)),
        _ => None,
    })?;
    for (id, rows) in copies {
        let mailbox = mailbox_of(run, id)?;
        if mailbox.local {
            copy_files(run, &mailbox, rows)?;
        }
    }
    Ok(())
}

/// Renames a file into the mailbox where the server has its message now.
fn move_file(
    run: &mut Run,
    mailbox: &Mailbox,
    from: Row,
    to: Row,
    past: Option<RowId>,
) -> Result<(), AccountError> {
    let Some(file) = from.local.clone() else { return Ok(()) };
    let source = mailbox_of(run, from.mailbox)?;
    let table = keyword_letters::table_for(run, mailbox, &file.flags)?;
    if source.id == mailbox.id {
        // It left and came back: the file is where it belongs.
        return record_move(run, from, to, past, file);
    }
    let mut only_here = file.flags.keywords.clone();
    let there = to.remote.iter().flat_map(|remote| &remote.flags.keywords);
    there.for_each(|keyword| _ = only_here.remove(keyword));
    if keyword_letters::waits(run, mailbox, &table, &only_here) {
        // Nothing but its name says that it has them (hazard 200).
        return Ok(());
    }
    let taken = run.store.by_stem(mailbox.id, &file.stem)?.is_some();
    let stem = if taken { run.root.new_stem() } else { file.stem.clone() };
    let in_new = file.flags.is_empty();
    let name = if in_new { String::new() } else { info(&table, &file.flags) };
    let root = &run.root;
    let moved = root.move_to(&source.name, &file, &mailbox.name, &stem, in_new, &name);
    let moved = match moved {
        Ok(moved) => moved,
        Err(error) => {
            run.report.skip(source.name.to_string(), error.to_string());
            return Ok(());
        }
    };
    // Where a reader was quicker, the next look sees what became of the file.
    let Changed::Changed(now) = moved else { return run.list_again(source.id) };
    // The stamp stays that of the bytes that were hashed: an edit since is still found.
    let local =
        now.local(keyword_letters::held(&mailbox_of(run, mailbox.id)?, &file.flags), file.stamp);
    if let Err(error) = run.root.sync_dirs(&source.name) {
        run.report.skip(source.name.to_string(), error.to_string());
    }
    run.report.touch(&mailbox.name);
    run.report.touch(&source.name);
    record_move(run, from, to, past, local)
}

/// Records a file at its message's new place.
fn record_move(
    run: &mut Run,
    from: Row,
    to: Row,
    past: Option<RowId>,
    local: Local,
) -> Result<(), AccountError> {
    run.report.moved_local += 1;
    run.record(|w| {
        let past = match past {
            Some(past) => w.tx().row(past)?,
            None => None,
        };
        let base = past.as_ref().map_or(from.base.clone(), |past| past.base.clone());
        let wanted = from.local.as_ref().map(|file| file.flags.keywords.clone());
        let base = keyword_letters::base_held(base, &wanted.unwrap_or_default(), Some(&local));
        w.delete(from.id)?;
        w.list_again(to.mailbox)?;
        if let Some(past) = past {
            release(w, past, &to)?;
        }
        let row = Row {
            local: Some(local),
            base,
            content: from.content,
            header: to.header.or(from.header),
            restated: false,
            weak: from.weak,
            ..to
        };
        settle_base(w, row)
    })
}

fn copy_files(
    run: &mut Run,
    mailbox: &Mailbox,
    rows: Vec<(Row, RowId)>,
) -> Result<(), AccountError> {
    let mut copies = Vec::new();
    for (to, from) in rows {
        let Some(source) = run.store.row(from)? else { continue };
        let Some(file) = source.local.clone() else { continue };
        let place = mailbox_of(run, source.mailbox)?;
        let stem = run.root.new_stem();
        let date = to.words.as_ref().map_or(0, |words| words.date);
        match run.root.copy_to(&place.name, &file, &mailbox.name, &stem, date) {
            Ok(Copied::Copied(copy)) if Some(copy.summary.content) == source.content => {
                // Known already: placing it must not wait for a match.
                let row = Row { content: source.content, ..to };
                copies.push(Pulled {
                    row,
                    delivered: copy,
                    octets: 0,
                    short: false,
                    looks_whole: true,
                });
            }
            Ok(Copied::Copied(_)) => {
                if let Err(error) = run.root.discard(&mailbox.name, &stem) {
                    tracing::debug!(%error, "a copy stays in tmp until the next run");
                }
                reexamine(run, from)?;
            }
            Ok(Copied::Changed) => reexamine(run, from)?,
            Ok(Copied::Gone) => run.list_again(place.id)?,
            Err(error) => run.report.skip(mailbox.name.to_string(), error.to_string()),
        }
    }
    let pulled = run.report.pulled;
    place(run, copies)?;
    // They were placed like bodies that came down, and none did.
    run.report.moved_local += run.report.pulled - pulled;
    run.report.pulled = pulled;
    Ok(())
}
