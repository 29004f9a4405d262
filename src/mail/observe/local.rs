//! Looks at the Maildir: dirty directories only, by their stamps; every name in those.

use std::collections::{BTreeMap, BTreeSet};

use super::absent::Absent;
use super::edited::{QUIET, is_quiet, reexamine};
use super::examine::examine_one;
use super::unsent::{is_no_message, is_too_large};
use super::{hollow, letters, names};
use crate::account::error::AccountError;
use crate::local::{Examined, Found, Listed, LocalMailbox, Mailboxes, Missing};
use crate::mail::run::Run;
use crate::mail::writer::Writer;
use crate::mail::{removed, restate};
use crate::reconcile::hold::Direction;
use crate::reconcile::types::{
    Coverage, FileStamp, Journal, Local, Mailbox, MailboxId, Row, RowId, ServerWords, SetAside,
    SetAsideKind,
};
use crate::state::StateError;

/// Looks at every directory that changed. Gives how many departures were noticed.
pub(super) async fn look(run: &mut Run, walk: Option<Mailboxes>) -> Result<usize, AccountError> {
    let found = match walk {
        Some(walk) => walk,
        None => super::walk(run)?,
    };
    run.attempt.seen.unknown.clone_from(&found.unknown);
    run.attempt.seen.unmirrored.clone_from(&found.unmirrored);
    name_problems(run, &found);
    let mut departed = note_missing_directories(run, &found)?;
    run.attempt.seen.excluded.clear();
    run.attempt.seen.walk = found.coverage;
    let mut last = Vec::new();
    for directory in &found.found {
        if !(run.settings.selects)(&directory.name) {
            run.attempt.seen.excluded.insert(directory.name.clone());
        } else if run.looks_at(&directory.name) {
            departed += look_at(run, directory, &found, Some(&mut last)).await?;
        }
    }
    for directory in last {
        departed += look_at(run, directory, &found, None).await?;
    }
    Ok(departed)
}

/// Looks at one directory, or puts an empty one off until the others were looked at. Gives how
/// many departures were noticed.
async fn look_at<'f>(
    run: &mut Run,
    directory: &'f LocalMailbox,
    found: &Mailboxes,
    later: Option<&mut Vec<&'f LocalMailbox>>,
) -> Result<usize, AccountError> {
    let mailbox = note_directory(run, directory)?;
    let id = mailbox.id;
    let (left, coverage) = match look_in(run, mailbox, directory, found, later.is_some()).await {
        Ok(Some(looked)) => looked,
        Ok(None) => {
            later.into_iter().for_each(|later| later.push(directory));
            return Ok(0);
        }
        Err(AccountError::Local(error)) => {
            run.report.skip(directory.name.to_string(), error.to_string());
            run.attempt.seen.misplaced.insert(id);
            (0, Coverage::Partial)
        }
        Err(error) => return Err(error),
    };
    run.attempt.seen.local.insert(id, coverage);
    Ok(left)
}

/// Says what of the disk is not mirrored, but for what is not to be.
fn name_problems(run: &mut Run, walk: &Mailboxes) {
    for problem in &walk.problems {
        let names = match run.root.name_at(problem.path()) {
            Some(name) => vec![name],
            None => run.root.names_at(problem.path()),
        };
        if names.iter().all(|name| (run.settings.selects)(name)) {
            run.report.skip(problem.path().display().to_string(), problem.to_string());
        }
    }
    for problem in &walk.others {
        tracing::debug!(%problem, "left alone");
    }
}

/// Directories that the store knows and the disk has not any more.
fn note_missing_directories(run: &mut Run, walk: &Mailboxes) -> Result<usize, AccountError> {
    let present: BTreeSet<_> = walk.found.iter().map(|directory| &directory.name).collect();
    let known = run.store.mailboxes()?;
    let mut departed = 0;
    for mailbox in known.into_iter().filter(|m| !present.contains(&m.name)) {
        if !run.looks_at(&mailbox.name) {
            continue;
        }
        let absent = look_for(run, &mailbox, Some(walk))?;
        let whole = walk.coverage == Coverage::Complete;
        let Some(absent) = absent.filter(|_| mailbox.local && whole) else {
            continue;
        };
        tracing::info!(mailbox = %mailbox.name, "its directory is gone");
        // Nobody deletes the INBOX: it comes back with what the server has.
        let restated = mailbox.name.is_inbox();
        // As many as it held: it may not be the last that goes.
        departed +=
            usize::try_from(run.store.local_count(mailbox.id)?).unwrap_or(usize::MAX).max(1);
        run.record(|w| {
            w.tx().for_each_row(mailbox.id, |row| match (&row.local, &row.journal) {
                (Some(_), _) => {
                    let letters = letters::meanings(w, &row, &mailbox.keyword_table)?;
                    forget_file(w, Row { letters, ..row }, restated, absent)
                }
                // Its file went with the directory before anybody saw it.
                (None, Journal::Placing { .. }) => w.update(&Row { journal: Journal::Idle, ..row }),
                (None, _) => Ok(()),
            })?;
            let (stamps, home) = (None, None);
            w.mailbox(&Mailbox { local: false, stamps, home, restated, ..mailbox })?;
            Ok(())
        })?;
    }
    Ok(departed)
}

/// Looks for the directory of a mailbox that the walk did not find, by its name.
fn look_for(
    run: &mut Run,
    mailbox: &Mailbox,
    walk: Option<&Mailboxes>,
) -> Result<Option<Absent>, AccountError> {
    let dir = run.root.dir_of(&mailbox.name);
    // A second look that has more luck says nothing of what the walk did not see.
    if run.attempt.seen.unknown.covers(&dir) {
        let is_problem =
            |walk: &Mailboxes| walk.problems.iter().any(|problem| dir.starts_with(problem.path()));
        let is_named = walk.is_none_or(is_problem);
        let why = "it is not a directory that can be read, so its mail is not known to be gone";
        doubt(run, mailbox, (!is_named).then_some(why));
        return Ok(None);
    }
    let is_elsewhere = walk.is_some_and(|walk| is_found(run, mailbox, walk));
    let missing = match run.root.missing(mailbox) {
        Ok(Missing::Unknown(_)) if is_elsewhere => Missing::Gone,
        Ok(Missing::Gone) if !is_elsewhere && lies_elsewhere(run, mailbox, walk) => {
            return Ok(None);
        }
        Ok(missing) => missing,
        Err(error) => {
            doubt(run, mailbox, Some(&error.to_string()));
            return Ok(None);
        }
    };
    if let Missing::Unknown(why) = missing {
        doubt(run, mailbox, Some(why));
        return Ok(None);
    }
    run.attempt.seen.local.insert(mailbox.id, Coverage::Complete);
    Ok(Absent::with_directory(mailbox, missing))
}

/// Looks for a directory of a mailbox that is new on the server.
pub(super) fn look_for_new(run: &mut Run, mailbox: &Mailbox) -> Result<(), AccountError> {
    if !mailbox.local && !run.attempt.seen.local.contains_key(&mailbox.id) {
        look_for(run, mailbox, None)?;
    }
    Ok(())
}

/// Whether the directory of a mailbox was found under another name.
fn is_found(run: &Run, mailbox: &Mailbox, walk: &Mailboxes) -> bool {
    let Some(id) = &mailbox.local_id else { return false };
    let mut others = walk.found.iter().filter(|found| found.name != mailbox.name);
    others.any(|found| run.root.mailbox_id(&found.name).ok().flatten().as_ref() == Some(id))
}

/// Whether the directory of a mailbox lies somewhere below the root where no mailbox can be, or
/// may lie there: then it is not gone, and the mailbox is left alone (hazard 123).
fn lies_elsewhere(run: &mut Run, mailbox: &Mailbox, walk: Option<&Mailboxes>) -> bool {
    let (Some(id), Some(walk)) = (mailbox.local_id.as_ref().filter(|_| mailbox.local), walk) else {
        return false;
    };
    let mut found: BTreeSet<_> = walk.found.iter().map(|found| found.dir.clone()).collect();
    // Its own, without `cur` and `new`: its mail was removed, the mailboxes below it were not.
    found.insert(run.root.dir_of(&mailbox.name));
    let why = match run.root.with_id(id, &found) {
        Ok(None) => return false,
        Ok(Some(dir)) => format!(
            "its directory is {} now, which is no mailbox; rename it to the mailbox that it is \
             to be, or remove it",
            dir.display()
        ),
        Err(error) => format!("its directory may lie where nobody can look: {error}"),
    };
    doubt(run, mailbox, Some(&why));
    true
}

/// Leaves a mailbox alone whose files are not where they were, until they are.
fn doubt(run: &mut Run, mailbox: &Mailbox, why: Option<&str>) {
    if let Some(why) = why.filter(|_| (run.settings.selects)(&mailbox.name)) {
        run.report.skip(mailbox.name.to_string(), format!("{why}; nothing is changed meanwhile"));
    }
    run.attempt.seen.local.insert(mailbox.id, Coverage::Partial);
    run.attempt.seen.misplaced.insert(mailbox.id);
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

/// Looks into the directory that was found under the name of a mailbox; none where it is empty
/// and `first` the others are to be looked at.
async fn look_in(
    run: &mut Run,
    mailbox: Mailbox,
    directory: &LocalMailbox,
    walk: &Mailboxes,
    first: bool,
) -> Result<Option<(usize, Coverage)>, AccountError> {
    if mailbox.stamps.is_some_and(|stamps| stamps == directory.stamps) {
        return Ok(Some((0, Coverage::Complete)));
    }
    let holds_files = run.store.has_local(mailbox.id)?;
    let found = run.root.identify(&mailbox, &directory.stamps, holds_files)?;
    let mailbox = match found {
        Found::Same | Found::First => mailbox,
        // The right one was seen under another name: what was in it left with it.
        _ if is_found(run, &mailbox, walk) => Mailbox { local_id: None, ..mailbox },
        Found::Another => {
            tracing::info!(mailbox = %mailbox.name, "another directory: both sides are united");
            restate::moved_directory(run, mailbox)?
        }
        Found::Hollow if first => return Ok(None),
        Found::Hollow if hollow::was_moved_out(run, &mailbox)? => {
            tracing::info!(mailbox = %mailbox.name, "made anew, its files are elsewhere");
            Mailbox { local_id: None, ..mailbox }
        }
        Found::Hollow => {
            let account = &run.settings.name;
            let why = format!(
                "an empty mailbox is where its mail was; is a disk to be mounted there? If its \
                 mail is to come back, `mailtide adopt {account}`; if not, remove it, without the \
                 mailboxes below it"
            );
            doubt(run, &mailbox, Some(&why));
            return Ok(Some((0, Coverage::Partial)));
        }
    };
    if mailbox.home.is_none() {
        clean_tmp(run, &mailbox)?;
    }
    let home = Some(run.root.home_of(&mailbox, &directory.stamps)?);
    let absent = Absent::from_directory(&mailbox);
    scan(run, Mailbox { home, ..mailbox }, absent).await.map(Some)
}

/// A store that is lost may have left files in a directory that this one sees for the first time.
pub(in crate::mail) fn clean_tmp(run: &Run, mailbox: &Mailbox) -> Result<(), AccountError> {
    if run.attempt.dry_run {
        return Ok(());
    }
    let placing = run.store.placing(mailbox.id)?.into_iter();
    let keep = placing.filter_map(|row| match row.journal {
        Journal::Placing { stem, .. } => Some(stem),
        _ => None,
    });
    if let Err(error) = run.root.clean_tmp(&mailbox.name, &keep.collect()) {
        tracing::warn!(mailbox = %mailbox.name, %error, "tmp is not cleaned");
    }
    Ok(())
}

async fn scan(
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
                run.report.skip(what, "the file is still being written; it is sent once it rests");
                out.again = true;
            }
            examined => out.files.push((listed, examined)),
        }
    }
    Ok(out)
}

/// The file of a row was seen to be gone.
fn forget_file(
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
            row.words = Some(ServerWords { size, date: mtime_s, object_id: None });
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
