//! Looks at one directory that changed: which files are new, which have another name, which are
//! gone.

use std::collections::BTreeMap;

use super::absent::Absent;
use super::edited::{QUIET, is_quiet, reexamine};
use super::examine::examine_one;
use super::unsent::{is_no_message, is_too_large};
use super::{letters, names};
use crate::account::error::AccountError;
use crate::local::{Examined, Listed};
use crate::mail::removed;
use crate::mail::run::Run;
use crate::mail::writer::Writer;
use crate::reconcile::hold::Direction;
use crate::reconcile::types::{
    Coverage, FileStamp, Journal, Local, Mailbox, MailboxId, Row, RowId, ServerFacts, SetAside,
    SetAsideKind,
};
use crate::state::StateError;

/// Compares the names of a mailbox with its rows until no new one appears. Gives how many files
/// left, and whether all of it was seen.
pub(super) async fn scan(
    run: &mut Run,
    mailbox: Mailbox,
    absent: Absent,
) -> Result<(usize, Coverage), AccountError> {
    let mut left = 0;
    loop {
        let part = scan_part(run, &mailbox, absent).await?;
        left += part.left;
        // What is still being written comes again in every comparison.
        if !part.more || part.written == 0 {
            // A file that could not be read to its end may be what went missing elsewhere.
            let whole = !part.again && !part.more;
            return Ok((left, if whole { Coverage::Complete } else { Coverage::Partial }));
        }
    }
}

/// What came of one comparison.
struct Part {
    left: usize,
    again: bool,
    more: bool,
    written: usize,
}

async fn scan_part(run: &mut Run, mailbox: &Mailbox, absent: Absent) -> Result<Part, AccountError> {
    let before = run.root.stamps(&mailbox.name)?;
    let mut difference = names::compare(run, mailbox)?;
    // After the names: whoever gives a new letter writes it into the table first (hazard 58).
    let table = letters::read(run, mailbox, &mut difference);
    let examined = examine(run, mailbox, std::mem::take(&mut difference.new)).await?;
    let after = run.root.stamps(&mailbox.name)?;
    let now = run.environment.clock.now_ns();
    let (again, more) = (examined.again || difference.open, difference.more);
    let whole = before == after && !again && !more;
    let stamps = (whole && !difference.strange && is_quiet(&after, now)).then_some(after);
    let id = mailbox.id;
    let missing: Vec<Row> = rows(run, difference.missing.values())?;
    let (removed, missing) = removed_by_us(run, mailbox, missing)?;
    let left = missing.len() + examined.vanished;
    let rewritten = rewritten(run, mailbox, &difference.renamed)?;
    let renamed: Vec<Row> = rows(run, difference.renamed.iter().map(|(id, _)| id))?;
    let names: BTreeMap<RowId, Listed> = difference.renamed.into_iter().collect();
    let before_table = mailbox.keyword_table.clone();
    let name = |listed: &Listed| run.root.local_of(listed, &table, FileStamp::default());
    let mut names: BTreeMap<RowId, Local> =
        names.iter().map(|(id, listed)| (*id, name(listed))).collect();
    let files: Vec<(Local, Examined)> =
        examined.files.into_iter().map(|(listed, found)| (name(&listed), found)).collect();
    let written = removed.len() + missing.len() + renamed.len() + files.len();
    let keyword_table = table.slots().to_vec();
    make_durable(run, mailbox, written)?;
    let (home, local_id) = (mailbox.home, mailbox.local_id.clone());
    let limit = run.settings.max_message_size;
    removed::forget(run, mailbox, &removed, Direction::FromLocal)?;
    run.record(|w| {
        let Some(mailbox) = w.tx().mailbox(id)? else { return Ok(()) };
        if mailbox.home.is_some() && mailbox.home != home {
            forget_placing(w, id)?;
        }
        w.mailbox(&Mailbox { stamps, home, local_id, keyword_table, ..mailbox })?;
        for mut row in missing {
            row.letters = letters::meanings(w, &row, &before_table)?;
            forget_file(w, row, false, absent)?;
        }
        for mut row in renamed {
            if let (Some(now), Some(local)) = (names.remove(&row.id), row.local.as_mut()) {
                // The file stays the one that was hashed, whatever it is called now.
                let flags = letters::reread(local, now.flags, &now.info, (&before_table, &table));
                letters::follow(&mut row.journal, &local.flags, &flags);
                *local = Local { stamp: local.stamp, flags, ..now };
                w.update(&row)?;
            }
        }
        for (local, examined) in files {
            insert(w, id, local, examined, limit)?;
        }
        Ok(())
    })?;
    for id in rewritten {
        reexamine(run, id)?;
    }
    Ok(Part { left, again, more, written })
}

/// Missing files that a run removed which was cut short before it wrote that down, and the other
/// ones. A row of the former would take another file of the same text for its own (hazard 193).
fn removed_by_us(
    run: &Run,
    mailbox: &Mailbox,
    missing: Vec<Row>,
) -> Result<(Vec<RowId>, Vec<Row>), AccountError> {
    let is_sent =
        |row: &Row| matches!(row.journal, Journal::Pushing { .. } | Journal::Moving { .. });
    let may_be = |row: &Row| row.base.is_some() && row.remote.is_none() && !is_sent(row);
    let files = missing.iter().filter(|row| may_be(row)).filter_map(|row| row.local.as_ref());
    let trashed = run.root.trashed(&mailbox.name, files)?;
    let is_ours = |row: &Row| {
        may_be(row) && row.local.as_ref().is_some_and(|file| trashed.contains(&file.stamp.ino))
    };
    let (removed, other): (Vec<Row>, Vec<Row>) = missing.into_iter().partition(is_ours);
    Ok((removed.into_iter().map(|row| row.id).collect(), other))
}

/// Makes the names that a look found durable before they are recorded, since both sides may agree
/// on them in that moment. A rename that only the memory of the system holds, ours before a crash
/// or a reader's, is taken back by a power cut, which would look like a change made here
/// (hazard 140).
fn make_durable(run: &Run, mailbox: &Mailbox, found: usize) -> Result<(), AccountError> {
    if run.attempt.dry_run || found == 0 {
        return Ok(());
    }
    Ok(run.root.sync_dirs(&mailbox.name)?)
}

/// Files that got another name and are not the ones that were hashed any more.
fn rewritten(
    run: &Run,
    mailbox: &Mailbox,
    renamed: &[(RowId, Listed)],
) -> Result<Vec<RowId>, AccountError> {
    let mut out = Vec::new();
    for (id, listed) in renamed {
        let Some(local) = run.store.row(*id)?.and_then(|row| row.local) else { continue };
        let now = run.root.stat(&mailbox.name, &listed.name)?;
        if now.is_some_and(|stamp| stamp != local.stamp) {
            out.push(*id);
        }
    }
    Ok(out)
}

fn rows<'a>(run: &Run, ids: impl Iterator<Item = &'a RowId>) -> Result<Vec<Row>, AccountError> {
    let mut out = Vec::new();
    for id in ids {
        out.extend(run.store.row(*id)?);
    }
    Ok(out)
}

#[derive(Debug, Default)]
struct Looked {
    files: Vec<(Listed, Examined)>,
    /// A file was still being written, or left while it was read: the directory is not done with.
    again: bool,
    /// Files that left while they were looked at: they may be anywhere by now (hazard 53).
    vanished: usize,
}

/// Reads new files whole; one that is still being written gets two seconds of quiet.
async fn examine(
    run: &mut Run,
    mailbox: &Mailbox,
    new: Vec<Listed>,
) -> Result<Looked, AccountError> {
    let mut out = Looked::default();
    let mut growing = Vec::new();
    for listed in new {
        // Hashing waits for nobody: others of this thread have their turn in between.
        tokio::task::yield_now().await;
        run.keep_awake().await?;
        if run.environment.is_stopping() {
            out.again = true;
            return Ok(out);
        }
        let now = run.environment.clock.now_ns();
        match examine_one(run, mailbox, &listed, now) {
            Ok(Examined::NotRegular) => {}
            // Under the name that it has now it is met by another comparison.
            Ok(Examined::Gone) => out.vanished += 1,
            Ok(Examined::Changing) => growing.push(listed),
            Ok(examined) => out.files.push((listed, examined)),
            Err(error) => {
                run.report.skip(format!("{}: {:?}", mailbox.name, listed.stem), error.to_string());
                out.again = true;
            }
        }
    }
    out.again |= out.vanished > 0;
    if growing.is_empty() {
        return Ok(out);
    }
    if !run.waits {
        run.attempt.growing = true;
        out.again = true;
        return Ok(out);
    }
    tokio::time::sleep(QUIET).await;
    for listed in growing {
        let now = run.environment.clock.now_ns();
        match examine_one(run, mailbox, &listed, now)? {
            Examined::NotRegular => {}
            Examined::Gone => {
                out.vanished += 1;
                out.again = true;
            }
            Examined::Changing => {
                let what = format!("{}: {:?}", mailbox.name, listed.stem);
                let why = "the file is still being written; it is uploaded once that is done";
                run.report.skip(what, why);
                out.again = true;
            }
            examined => out.files.push((listed, examined)),
        }
    }
    Ok(out)
}

/// The file of a row was seen to be gone.
pub(super) fn forget_file(
    w: &Writer<'_>,
    mut row: Row,
    restated: bool,
    absent: Absent,
) -> Result<(), StateError> {
    debug_assert!(absent.covers(&row), "a look at another mailbox");
    row.local = None;
    row.restated |= restated;
    // Its message may turn up on the server: that is this row's then (hazard 55).
    let sent = matches!(row.journal, Journal::Pushing { .. } | Journal::Moving { .. });
    if row.base.is_none() && row.remote.is_none() && !sent {
        return w.delete(row.id);
    }
    if row.set_aside.as_ref().is_some_and(|s| s.kind != SetAsideKind::Remove) {
        row.set_aside = None;
    }
    w.update(&row)
}

/// Another directory is that of the mailbox now: it says nothing of what was put into `tmp/` of
/// the former one, which comes down again (hazard 51).
fn forget_placing(w: &Writer<'_>, mailbox: MailboxId) -> Result<(), StateError> {
    let placing = w.tx().placing(mailbox)?.into_iter();
    placing.map(|row| Row { journal: Journal::Idle, ..row }).try_for_each(|row| w.update(&row))
}

fn insert(
    w: &Writer<'_>,
    mailbox: MailboxId,
    mut local: Local,
    examined: Examined,
    limit: u64,
) -> Result<(), StateError> {
    let mut row = Row::new(mailbox);
    match examined {
        Examined::Message { summary, stamp, mtime_s, .. } => {
            local.stamp = stamp;
            row.content = Some(summary.content);
            row.header = Some(summary.header);
            let size = summary.wire_size;
            row.words = Some(ServerFacts { size, date: mtime_s, object_id: None });
            row.set_aside = summary.is_binary.then(is_no_message);
        }
        Examined::Empty => {
            row.set_aside = Some(SetAside {
                kind: SetAsideKind::Read,
                words: "the file is empty".to_owned(),
                times: 1,
            });
        }
        Examined::Large { stamp } => {
            local.stamp = stamp;
            row.set_aside = Some(is_too_large(limit));
        }
        Examined::Changing | Examined::Gone | Examined::NotRegular => return Ok(()),
    }
    row.local = Some(local);
    w.insert(&row)?;
    Ok(())
}
