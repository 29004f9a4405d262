//! Looks at the Maildir: dirty directories only, by their stamps; every name in those.

use std::collections::BTreeSet;

use super::absent::Absent;
use super::scan::{forget_file, scan};
use super::{hollow, letters};
use crate::account::error::AccountError;
use crate::local::{Found, LocalMailbox, Mailboxes, Missing};
use crate::mail::restate;
use crate::mail::run::Run;
use crate::reconcile::types::{Coverage, Journal, Mailbox, Row};

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
        let why = "not a readable directory, so its mail is not considered gone";
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
            "its directory is {} now, which is not a mailbox; rename it to the name of a mailbox, \
             or remove it",
            dir.display()
        ),
        Err(error) => format!("its directory may have been moved to an unreadable place: {error}"),
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
                "its directory is empty; is its disk mounted? To get the mail back: `mailtide \
                 adopt {account}`; to delete it on the server, too: remove this directory, but \
                 not the mailboxes below it"
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
