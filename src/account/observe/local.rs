//! Looks at the Maildir: dirty directories only, by their stamps; every name in those.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::names;
use crate::account::record::Writer;
use crate::account::{AccountError, Run};
use crate::local::{Examined, Listed, LocalError, LocalMailbox, Mailboxes};
use crate::reconcile::types::{
    DirStamps, FileStamp, Journal, Local, Mailbox, MailboxId, Reach, Row, RowId, ServerWords,
    SetAside, SetAsideKind,
};
use crate::state::StateError;

/// A directory stamp this young may miss a change made within its granularity.
const QUIET_NS: i64 = 2_000_000_000;

/// Looks at every directory that changed. Gives how many departures were noticed.
pub(super) async fn look(run: &mut Run, walk: Option<Mailboxes>) -> Result<usize, AccountError> {
    let found = walk.map_or_else(|| run.root.mailboxes(), Ok)?;
    for problem in &found.problems {
        run.report.skip(problem.path().display().to_string(), problem.to_string());
    }
    let mut departed = note_missing_directories(run, &found.found, found.reach)?;
    run.seen.excluded.clear();
    run.seen.walk = found.reach;
    for directory in found.found {
        if !(run.settings.selects)(&directory.name) {
            run.seen.excluded.insert(directory.name);
            continue;
        }
        if !run.looks_at(&directory.name) {
            continue;
        }
        let mailbox = note_directory(run, &directory)?;
        let id = mailbox.id;
        let reach = match scan(run, mailbox, &directory).await {
            Ok((left, reach)) => {
                departed += left;
                reach
            }
            Err(AccountError::Local(error)) => {
                run.report.skip(directory.name.to_string(), error.to_string());
                Reach::Partial
            }
            Err(error) => return Err(error),
        };
        run.seen.local.insert(id, reach);
    }
    Ok(departed)
}

/// Directories that the store knows and the disk has not any more.
fn note_missing_directories(
    run: &mut Run,
    found: &[LocalMailbox],
    reach: Reach,
) -> Result<usize, AccountError> {
    let present: BTreeSet<_> = found.iter().map(|directory| &directory.name).collect();
    let known = run.store.mailboxes()?;
    let mut departed = 0;
    for mailbox in known.into_iter().filter(|m| !present.contains(&m.name)) {
        run.seen.local.insert(mailbox.id, reach);
        if !mailbox.local || reach != Reach::Complete || !run.looks_at(&mailbox.name) {
            continue;
        }
        tracing::info!(mailbox = %mailbox.name, "its directory is gone");
        // Nobody deletes the INBOX: it comes back with what the server has.
        let restated = mailbox.name.is_inbox();
        // As many as it held: it may not be the last that goes.
        departed +=
            usize::try_from(run.store.local_count(mailbox.id)?).unwrap_or(usize::MAX).max(1);
        run.record(|w| {
            w.tx().for_each_row(mailbox.id, |row| match row.local {
                Some(_) => forget_file(w, row, restated),
                None => Ok(()),
            })?;
            let stamps = None;
            w.mailbox(&Mailbox { local: false, stamps, restated, ..mailbox })?;
            Ok(())
        })?;
    }
    Ok(departed)
}

/// The mailbox row of a directory, made if it is new.
fn note_directory(run: &mut Run, directory: &LocalMailbox) -> Result<Mailbox, AccountError> {
    if let Some(known) = run.store.mailbox_by_name(&directory.name)? {
        if known.local {
            return Ok(known);
        }
        let known = Mailbox { local: true, stamps: None, ..known };
        run.record(|w| w.mailbox(&known))?;
        return Ok(known);
    }
    let new = Mailbox::new(directory.name.clone());
    let new = Mailbox { local: true, restated: true, ..new };
    let id = run.record(|w| w.mailbox(&new))?;
    Ok(Mailbox { id, ..new })
}

async fn scan(
    run: &mut Run,
    mailbox: Mailbox,
    directory: &LocalMailbox,
) -> Result<(usize, Reach), AccountError> {
    if mailbox.stamps.is_some_and(|stamps| stamps == directory.stamps) {
        return Ok((0, Reach::Complete));
    }
    let mut left = 0;
    loop {
        let part = scan_part(run, &mailbox).await?;
        left += part.left;
        // What is still being written comes again in every comparison.
        if !part.more || part.written == 0 {
            // A file that could not be read to its end may be what went missing elsewhere.
            let whole = !part.again && !part.more;
            return Ok((left, if whole { Reach::Complete } else { Reach::Partial }));
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

async fn scan_part(run: &mut Run, mailbox: &Mailbox) -> Result<Part, AccountError> {
    let before = run.root.stamps(&mailbox.name)?;
    let table = run.root.keyword_table(&mailbox.name)?;
    let mut difference = names::compare(run, mailbox)?;
    let left = difference.missing.len();
    let examined = examine(run, mailbox, std::mem::take(&mut difference.new)).await?;
    let after = run.root.stamps(&mailbox.name)?;
    let now = run.outside.clock.now_ns();
    let (again, more) = (examined.again, difference.more);
    let whole = before == after && !again && !more;
    let stamps = (whole && is_quiet(&after, now)).then_some(after);
    let id = mailbox.id;
    let missing: Vec<Row> = rows(run, difference.missing.values())?;
    let rewritten = rewritten(run, mailbox, &difference.renamed)?;
    let renamed: Vec<Row> = rows(run, difference.renamed.iter().map(|(id, _)| id))?;
    let names: BTreeMap<RowId, Listed> = difference.renamed.into_iter().collect();
    let name = |listed: &Listed| run.root.local_of(listed, &table, FileStamp::default());
    let mut names: BTreeMap<RowId, Local> =
        names.iter().map(|(id, listed)| (*id, name(listed))).collect();
    let files: Vec<(Local, Examined)> =
        examined.files.into_iter().map(|(listed, found)| (name(&listed), found)).collect();
    let written = missing.len() + renamed.len() + files.len();
    let keyword_table = table.slots().to_vec();
    run.record(|w| {
        let Some(mailbox) = w.tx().mailbox(id)? else { return Ok(()) };
        w.mailbox(&Mailbox { stamps, keyword_table, ..mailbox })?;
        for row in missing {
            forget_file(w, row, false)?;
        }
        for mut row in renamed {
            if let (Some(now), Some(local)) = (names.remove(&row.id), row.local.as_mut()) {
                // The file stays the one that was hashed, whatever it is called now.
                *local = Local { stamp: local.stamp, ..now };
                w.update(&row)?;
            }
        }
        for (local, examined) in files {
            insert(w, id, local, examined)?;
        }
        Ok(())
    })?;
    for id in rewritten {
        reexamine(run, id)?;
    }
    Ok(Part { left, again, more, written })
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

fn is_quiet(stamps: &DirStamps, now_ns: i64) -> bool {
    stamps.new.mtime_ns.max(stamps.cur.mtime_ns) < now_ns - QUIET_NS
}

/// So long after its last change a file counts as written.
pub(in crate::account) const QUIET: Duration =
    Duration::from_nanos(QUIET_NS.unsigned_abs() + 50_000_000);

#[derive(Debug, Default)]
struct Looked {
    files: Vec<(Listed, Examined)>,
    /// A file was still being written: the directory is not done with.
    again: bool,
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
        if run.outside.is_stopping() {
            out.again = true;
            return Ok(out);
        }
        let now = run.outside.clock.now_ns();
        match examine_one(run, mailbox, &listed, now) {
            Ok(Examined::Gone | Examined::NotRegular) => {}
            Ok(Examined::Changing) => growing.push(listed),
            Ok(examined) => out.files.push((listed, examined)),
            Err(error) => {
                run.report.skip(format!("{}: {:?}", mailbox.name, listed.stem), error.to_string());
                out.again = true;
            }
        }
    }
    if growing.is_empty() {
        return Ok(out);
    }
    if !run.waits {
        run.growing = true;
        out.again = true;
        return Ok(out);
    }
    tokio::time::sleep(QUIET).await;
    for listed in growing {
        let now = run.outside.clock.now_ns();
        match examine_one(run, mailbox, &listed, now)? {
            Examined::Gone | Examined::NotRegular => {}
            Examined::Changing => {
                let what = format!("{}: {:?}", mailbox.name, listed.stem);
                run.report.skip(what, "the file is still being written; it is sent once it rests");
                out.again = true;
            }
            examined => out.files.push((listed, examined)),
        }
    }
    Ok(out)
}

fn examine_one(
    run: &Run,
    mailbox: &Mailbox,
    listed: &Listed,
    now_ns: i64,
) -> Result<Examined, LocalError> {
    let examined = run.root.examine(&mailbox.name, listed)?;
    match &examined {
        // A rename moves the change time past the last write: such a file came whole. A time in
        // the future was given to it, and not by writing.
        Examined::Message { stamp, ctime_ns, .. }
            if stamp.mtime_ns.min(*ctime_ns) > now_ns - QUIET_NS
                && *ctime_ns <= stamp.mtime_ns
                && !run.hints.arrived.contains(&run.root.path_of(&mailbox.name, &listed.name)) =>
        {
            Ok(Examined::Changing)
        }
        _ => Ok(examined),
    }
}

/// The file of a row was seen to be gone.
fn forget_file(w: &Writer<'_>, mut row: Row, restated: bool) -> Result<(), StateError> {
    row.local = None;
    row.restated |= restated;
    let sent = matches!(row.journal, Journal::Pushing { .. });
    if row.base.is_none() && row.remote.is_none() && !sent {
        return w.delete(row.id);
    }
    if row.set_aside.as_ref().is_some_and(|s| s.kind != SetAsideKind::Remove) {
        row.set_aside = None;
    }
    w.update(&row)
}

fn insert(
    w: &Writer<'_>,
    mailbox: MailboxId,
    mut local: Local,
    examined: Examined,
) -> Result<(), StateError> {
    let mut row = Row::new(mailbox);
    match examined {
        Examined::Message { summary, stamp, mtime_s, .. } => {
            local.stamp = stamp;
            row.content = Some(summary.content);
            row.header = Some(summary.header);
            let size = summary.wire_size;
            row.words = Some(ServerWords { size, date: mtime_s, object_id: None });
        }
        Examined::Empty => {
            row.set_aside = Some(SetAside {
                kind: SetAsideKind::Read,
                words: "the file is empty".to_owned(),
                times: 1,
            });
        }
        Examined::Changing | Examined::Gone | Examined::NotRegular => return Ok(()),
    }
    row.local = Some(local);
    w.insert(&row)?;
    Ok(())
}

/// Looks whether a row's file is still the one that was hashed. An edited file is other
/// content: the row loses it, and a new row that knows its past has it (hazard 12).
pub(in crate::account) fn reexamine(run: &mut Run, id: RowId) -> Result<(), AccountError> {
    let Some(row) = run.store.row(id)? else { return Ok(()) };
    let Some(local) = row.local.clone() else { return Ok(()) };
    let Some(mailbox) = run.store.mailbox(row.mailbox)? else { return Ok(()) };
    let listed = Listed::expected(&local, run.settings.info_separator);
    let examined = run.root.examine(&mailbox.name, &listed)?;
    let Examined::Message { summary, stamp, mtime_s, .. } = examined else {
        return Ok(());
    };
    run.record(|w| {
        if row.content == Some(summary.content) {
            let local = Some(Local { stamp, ..local });
            return w.update(&Row { local, ..row });
        }
        let size = summary.wire_size;
        let edited = Row {
            local: Some(Local { stamp, ..local }),
            content: Some(summary.content),
            header: Some(summary.header),
            words: Some(ServerWords { size, date: mtime_s, object_id: None }),
            ..Row::new(row.mailbox)
        };
        // What was said of the former text is not said of this one.
        let set_aside = row.set_aside.clone().filter(|s| s.kind == SetAsideKind::Remove);
        // The name is free for the new row only once the old one has left it.
        let old = Row { local: None, set_aside, ..row };
        w.update(&old)?;
        let by = w.insert(&edited)?;
        let on_server = old.remote.is_some();
        let journal = if on_server { Journal::Replaced { by } } else { old.journal.clone() };
        w.update(&Row { journal, ..old })
    })
}
