//! Two files with one unique name in a mailbox (hazard 65).
//!
//! With equal bytes they are one message under two names, as an interrupted copy leaves it: one
//! stays, with the flags of both, and the other goes to the local trash. With other bytes they
//! are two messages, as after a restore: all but one get a unique name of their own. Renames
//! only, so whatever a reader does meanwhile, no bytes are lost; a crash leaves what the next
//! look finds again.

use std::collections::BTreeSet;

use super::examine::examine_one;
use crate::account::error::AccountError;
use crate::local::{Changed, Examined, Listed, LocalError, TrashOutcome, name};
use crate::mail::run::Run;
use crate::reconcile::types::{ContentId, Local, Mailbox, Stem};

/// What came of a look at doubled unique names.
#[derive(Debug, Default)]
pub(super) struct Settled {
    /// Files that have a unique name of their own now.
    pub(super) apart: Vec<Listed>,
    /// Those that could not be settled: the look is partial, and the next one tries again.
    pub(super) open: BTreeSet<Stem>,
    /// In a dry run: the files that would keep their names, with those that they would be
    /// united with.
    pub(super) kept: Vec<Listed>,
}

/// Looks at one name that readers may change meanwhile.
const LOOKS_MAX: u32 = 3;

/// One of the files.
#[derive(Debug, Clone)]
struct Twin {
    listed: Listed,
    local: Local,
    /// None of an empty file.
    content: Option<ContentId>,
}

/// Settles doubled unique names, or tells of them where nothing is to be changed.
pub(super) fn settle(
    run: &mut Run,
    mailbox: &Mailbox,
    stems: &BTreeSet<Stem>,
) -> Result<Settled, AccountError> {
    let mut out = Settled::default();
    for stem in stems {
        match settle_one(run, mailbox, stem, &mut out) {
            Ok(true) => {}
            Ok(false) => {
                out.open.insert(stem.clone());
            }
            Err(AccountError::Local(error)) => {
                run.report.skip(format!("{}: {stem:?}", mailbox.name), error.to_string());
                out.open.insert(stem.clone());
            }
            Err(error) => return Err(error),
        }
    }
    Ok(out)
}

/// Gives whether there is one file of that name now.
fn settle_one(
    run: &mut Run,
    mailbox: &Mailbox,
    stem: &Stem,
    out: &mut Settled,
) -> Result<bool, AccountError> {
    let Some(mut twins) = look(run, mailbox, stem)? else { return Ok(false) };
    if twins.len() < 2 {
        // A name that was changed while the directory was read.
        return Ok(true);
    }
    let row = run.store.by_stem(mailbox.id, stem)?;
    let ino = row.as_ref().and_then(|row| Some(row.local.as_ref()?.stamp.ino));
    let content = row.as_ref().and_then(|row| row.content);
    // The file that is known keeps the name; where none is, the text that is known.
    let known = |twin: &Twin| Some(twin.local.stamp.ino) == ino;
    let alike = |twin: &Twin| content.is_some() && twin.content == content;
    let first = twins.iter().position(known).or_else(|| twins.iter().position(alike));
    twins.swap(0, first.unwrap_or(0));
    let (same, others): (Vec<Twin>, Vec<Twin>) = {
        let content = twins[0].content;
        // An empty file may still be written to by whoever has it open: it is moved apart.
        twins.into_iter().partition(|twin| content.is_some() && twin.content == content)
    };
    if let Some(first) = same.iter().chain(&others).next().filter(|_| run.attempt.dry_run) {
        let also = same.iter().skip(1).map(|twin| twin.listed.name.clone()).collect();
        out.kept.push(Listed { also, ..first.listed.clone() });
    }
    let mut settled = true;
    for other in others.into_iter().skip(usize::from(same.is_empty())) {
        settled &= set_apart(run, mailbox, &other, out)?;
    }
    if same.len() > 1 {
        settled &= unite(run, mailbox, &same)?;
    }
    Ok(settled)
}

/// Every file with that unique name, read; none where one of them is being written to, or
/// renamed again and again.
fn look(run: &mut Run, mailbox: &Mailbox, stem: &Stem) -> Result<Option<Vec<Twin>>, AccountError> {
    for _ in 0..LOOKS_MAX {
        let names = run.root.names_of(&mailbox.name, stem)?;
        let mut twins = Vec::new();
        for listed in &names {
            match read(run, mailbox, listed)? {
                Read::Twin(twin) => twins.push(*twin),
                Read::Gone => {}
                Read::Changing => {
                    run.attempt.growing = true;
                    return Ok(None);
                }
            }
        }
        // Of one file that is renamed meanwhile both names may have been read.
        let mut stay = twins.len() == names.len();
        for twin in &twins {
            let now = run.root.stat(&mailbox.name, &twin.listed.name)?;
            stay &= now == Some(twin.local.stamp);
        }
        if stay {
            return Ok(Some(twins));
        }
    }
    Ok(None)
}

enum Read {
    Twin(Box<Twin>),
    Gone,
    Changing,
}

fn read(run: &Run, mailbox: &Mailbox, listed: &Listed) -> Result<Read, AccountError> {
    let table = run.root.keyword_table(&mailbox.name)?;
    let now = run.environment.clock.now_ns();
    let (content, stamp) = match examine_one(run, mailbox, listed, now)? {
        Examined::Message { summary, stamp, .. } => (Some(summary.content), stamp),
        Examined::Empty => match run.root.stat(&mailbox.name, &listed.name)? {
            Some(stamp) => (None, stamp),
            None => return Ok(Read::Gone),
        },
        Examined::Changing | Examined::Large { .. } => return Ok(Read::Changing),
        Examined::Gone | Examined::NotRegular => return Ok(Read::Gone),
    };
    let local = run.root.local_of(listed, &table, stamp);
    Ok(Read::Twin(Box::new(Twin { listed: listed.clone(), local, content })))
}

/// Gives a file a unique name of its own.
fn set_apart(
    run: &mut Run,
    mailbox: &Mailbox,
    twin: &Twin,
    out: &mut Settled,
) -> Result<bool, AccountError> {
    let stem = run.root.new_stem();
    let mut listed = twin.listed.clone();
    listed.stem = stem.clone();
    if run.attempt.dry_run {
        let line = "give a file a unique name of its own: another message has the same";
        run.attempt.twins.push(format!("{}: {line}", mailbox.name));
        out.apart.push(listed);
        return Ok(true);
    }
    let in_new = twin.local.in_new && twin.local.info.is_empty();
    let name = &mailbox.name;
    let moved = run.root.move_to(name, &twin.local, name, &stem, in_new, &twin.local.info)?;
    let Changed::Changed(now) = moved else { return Ok(false) };
    tracing::info!(mailbox = %mailbox.name, stem = ?twin.local.stem, "two messages had this name");
    let local = Local { stem, in_new: now.in_new, info: now.info, ..twin.local.clone() };
    out.apart.push(Listed::expected(&local, run.settings.info_separator));
    Ok(true)
}

/// Leaves one of several equal files, with the flags of all.
fn unite(run: &mut Run, mailbox: &Mailbox, same: &[Twin]) -> Result<bool, AccountError> {
    if run.attempt.dry_run {
        let line = "unite two files of one message, move the spare to the trash";
        run.attempt.twins.extend(same[1..].iter().map(|_| format!("{}: {line}", mailbox.name)));
        return Ok(true);
    }
    let infos: Vec<&str> = same.iter().map(|twin| twin.local.info.as_str()).collect();
    let info = name::united(&infos);
    let has_it = |twin: &&Twin| twin.local.info == info && (info.is_empty() || !twin.local.in_new);
    let mut kept = same.iter().find(has_it).unwrap_or(&same[0]).clone();
    let is_spare = |twin: &&Twin| twin.listed.name != kept.listed.name;
    let spares: Vec<Twin> = same.iter().filter(is_spare).cloned().collect();
    if !has_it(&&kept) {
        let (name, stem) = (&mailbox.name, &kept.local.stem);
        let moved = run.root.move_to(name, &kept.local, name, stem, info.is_empty(), &info)?;
        let Changed::Changed(now) = moved else { return Ok(false) };
        kept.local = Local { in_new: now.in_new, info: now.info, ..kept.local };
        kept.listed = Listed::expected(&kept.local, run.settings.info_separator);
    }
    let mut settled = true;
    for spare in &spares {
        settled &= prune(run, mailbox, &kept, spare)?;
    }
    run.root.sync_dirs(&mailbox.name)?;
    Ok(settled)
}

/// Moves one of two equal files to the trash, as long as the other is there.
fn prune(
    run: &mut Run,
    mailbox: &Mailbox,
    kept: &Twin,
    spare: &Twin,
) -> Result<bool, AccountError> {
    let (root, name) = (&run.root, &mailbox.name);
    let now = run.environment.clock.now();
    let TrashOutcome::Trashed(path) = root.trash(name, &spare.local, now)? else {
        return Ok(false);
    };
    let is_kept = |listed: &Listed| -> Result<bool, LocalError> {
        Ok(root.stat(name, &listed.name)?.is_some_and(|stamp| stamp == kept.local.stamp))
    };
    let mut there = is_kept(&kept.listed)?;
    for listed in root.names_of(name, &kept.local.stem)? {
        there |= is_kept(&listed)?;
    }
    if there {
        tracing::info!(mailbox = %name, stem = ?kept.local.stem, "one message had two files");
        return Ok(true);
    }
    // A reader took the other one away at this moment.
    root.bring_back(&path, name, &spare.listed.name)?;
    Ok(false)
}
