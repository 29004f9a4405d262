//! Moves and copies on disk: no body on the wire.

use super::note::{release, settle_base};
use super::pull::{Pulled, info, place};
use super::{grouped, mailbox_of};
use crate::account::observe::reexamine;
use crate::account::{AccountError, Run};
use crate::local::{Changed, Copied, KeywordTable, NowNamed};
use crate::reconcile::types::{FileStamp, Flags, Keyword, Local, Mailbox, Row, RowId};
use crate::reconcile::{MailboxView, Step};

pub(super) async fn apply(run: &mut Run, steps: &[Step]) -> Result<(), AccountError> {
    let moves = grouped(run, steps, |step| match step {
        Step::LocalMove { from, to, past } => Some((*to, (*from, *past))),
        _ => None,
    })?;
    for (id, rows) in moves {
        let mailbox = mailbox_of(run, id)?;
        for (to, (from, past)) in rows {
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
        copy_files(run, &mailbox, rows).await?;
    }
    Ok(())
}

/// The keyword table of a mailbox with letters for these keywords, where any are free.
pub(super) fn letters(
    run: &mut Run,
    mailbox: &Mailbox,
    flags: &Flags,
) -> Result<KeywordTable, AccountError> {
    let mut table = match run.root.keyword_table(&mailbox.name) {
        Ok(table) => table,
        Err(error) => {
            run.report.skip(mailbox.name.to_string(), error.to_string());
            return Ok(KeywordTable::default());
        }
    };
    if flags.keywords.iter().all(|keyword| table.contains(keyword)) {
        return Ok(table);
    }
    let others = run.store.mailboxes()?;
    // One keyword, one letter in the whole account where it is free: a moved file then says
    // the same in its new directory.
    let hint = |keyword: &Keyword| {
        let tables = others.iter().map(|mailbox| &mailbox.keyword_table);
        let mut known = tables
            .filter_map(|table| table.iter().position(|entry| entry.as_ref() == Some(keyword)));
        known.next().and_then(|letter| u8::try_from(letter).ok())
    };
    let added = run.root.add_keywords(&mailbox.name, &mut table, &flags.keywords, &hint);
    if let Err(error) = added {
        // Those without a letter stay in the row.
        run.report.skip(mailbox.name.to_string(), error.to_string());
        return Ok(table);
    }
    let entries = table.slots().to_vec();
    run.record(|w| {
        let Some(mailbox) = w.tx().mailbox(mailbox.id)? else { return Ok(()) };
        w.mailbox(&Mailbox { keyword_table: entries, ..mailbox })?;
        Ok(())
    })?;
    Ok(table)
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
    let table = letters(run, mailbox, &file.flags)?;
    if source.id == mailbox.id {
        // It left and came back: the file is where it belongs.
        return record_move(run, from, to, past, file);
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
    let Changed::Changed(now) = moved else { return Ok(()) };
    // The stamp stays that of the bytes that were hashed: an edit since is still found.
    let local = named(now, file.flags, file.stamp);
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
        w.delete(from.id)?;
        if let Some(past) = past {
            release(w, past)?;
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

async fn copy_files(
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
                copies.push(Pulled { row, delivered: copy });
            }
            Ok(Copied::Copied(_)) => {
                if let Err(error) = run.root.discard(&mailbox.name, &stem) {
                    tracing::debug!(%error, "a copy stays in tmp until the next run");
                }
                reexamine(run, from)?;
            }
            Ok(Copied::Changed) => reexamine(run, from)?,
            Ok(Copied::Gone) => {}
            Err(error) => run.report.skip(mailbox.name.to_string(), error.to_string()),
        }
    }
    let pulled = run.report.pulled;
    place(run, mailbox, copies).await?;
    // They were placed like bodies that came down, and none did.
    run.report.moved_local += run.report.pulled - pulled;
    run.report.pulled = pulled;
    Ok(())
}

/// The local column of a file that got another name.
pub(super) fn named(now: NowNamed, flags: Flags, stamp: FileStamp) -> Local {
    let NowNamed { stem, in_new, info, .. } = now;
    Local { stem, in_new, info, flags, stamp }
}

/// Flags of a message that its file can hold here.
pub(super) fn for_file(mailbox: &Mailbox, flags: &Flags) -> Flags {
    MailboxView::of(mailbox.clone()).local_mask().apply(flags)
}
