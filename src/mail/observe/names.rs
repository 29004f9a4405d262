//! Compares the names in a directory with those that the store knows.
//!
//! Neither is held: of each known file there are 16 bytes, hashed with keys that nobody
//! outside can guess, against which the directory streams by. Only what differs is looked at by
//! name, and not more of it than [`SOME`] at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher as _, RandomState};

use super::twins;
use crate::account::error::AccountError;
use crate::local::{Entry, Listed};
use crate::mail::run::Run;
use crate::reconcile::types::{Local, Mailbox, RowId, Stem};

/// Differences that are dealt with at a time.
pub(super) const SOME: usize = 10_000;
/// Second looks for names that seem gone before their directory counts as Partial.
const FINDS_MAX: u32 = 3;

/// A listing compared with the rows of its mailbox.
#[derive(Debug, Default)]
pub(super) struct Difference {
    /// Known stems under another name.
    pub(super) renamed: Vec<(RowId, Listed)>,
    /// Stems that no row has.
    pub(super) new: Vec<Listed>,
    /// Stems that were not seen.
    pub(super) missing: BTreeMap<Stem, RowId>,
    /// There is more, for a further comparison after this is dealt with.
    pub(super) more: bool,
    /// Some files wait: two have one unique name still, or letters cannot be read.
    pub(super) open: bool,
    /// There are links or special files, to be named again by the next run.
    pub(super) strange: bool,
}

/// What a known file is called, in 16 bytes.
#[derive(Debug, Clone, Copy)]
struct Known {
    /// Of its stem; no two have the same.
    stem: u64,
    /// Of the rest: place, info part, inode.
    rest: u64,
}

/// The files that the store knows of a mailbox, and which of them were seen.
#[derive(Debug)]
struct Register {
    keys: (RandomState, RandomState),
    known: Vec<Known>,
    seen: Vec<bool>,
}

/// What a name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tick {
    /// The one that is known.
    AsKnown,
    /// A new one, or another one of a known stem.
    Other,
    /// A further one of a known stem.
    Again,
}

impl Register {
    fn load(run: &Run, mailbox: &Mailbox) -> Result<Self, AccountError> {
        loop {
            let keys = (RandomState::new(), RandomState::new());
            let mut known: Vec<Known> = Vec::new();
            run.store.for_each_local(mailbox.id, |file| {
                let rest = keys.1.hash_one((file.in_new, file.info, file.ino));
                known.push(Known { stem: keys.0.hash_one(file.stem), rest });
            })?;
            known.sort_unstable_by_key(|known| known.stem);
            // Two stems with one hash are told apart by other keys.
            if known.array_windows().all(|[a, b]| a.stem != b.stem) {
                let seen = vec![false; known.len()];
                return Ok(Self { keys, known, seen });
            }
        }
    }

    fn find(&self, stem: &[u8]) -> Option<usize> {
        let hash = self.keys.0.hash_one(stem);
        self.known.binary_search_by_key(&hash, |known| known.stem).ok()
    }

    /// Ticks a name off.
    fn tick(&mut self, entry: &Entry<'_>) -> Tick {
        let Some(at) = self.find(entry.stem) else { return Tick::Other };
        if std::mem::replace(&mut self.seen[at], true) {
            return Tick::Again;
        }
        let info = String::from_utf8_lossy(entry.info);
        let rest = self.keys.1.hash_one((entry.in_new, &*info, entry.ino));
        if self.known[at].rest == rest { Tick::AsKnown } else { Tick::Other }
    }

    /// Files that were not seen, some of them.
    fn missing(&self, run: &Run, mailbox: &Mailbox) -> Result<Difference, AccountError> {
        let mut out = Difference::default();
        if self.seen.iter().all(|seen| *seen) {
            return Ok(out);
        }
        run.store.for_each_local(mailbox.id, |file| {
            if self.find(file.stem).is_none_or(|at| self.seen[at]) {
                return;
            }
            if out.missing.len() < SOME {
                out.missing.insert(Stem(file.stem.to_vec()), file.row);
            } else {
                out.more = true;
            }
        })?;
        Ok(out)
    }
}

/// Compares a directory with the store.
pub(super) fn compare(run: &mut Run, mailbox: &Mailbox) -> Result<Difference, AccountError> {
    let mut register = Register::load(run, mailbox)?;
    let mut odd = Odd::default();
    let mut strange = Strange::default();
    run.root.each_name(&mailbox.name, &mut |entry| match register.tick(entry) {
        _ if !entry.is_file => strange.add(entry.name),
        Tick::AsKnown => {}
        _ if odd.once.len() + odd.doubled.len() >= SOME => odd.more = true,
        Tick::Other => odd.add(entry.to_listed()),
        Tick::Again => odd.double(Stem(entry.stem.to_vec())),
    })?;
    let mut out = register.missing(run, mailbox)?;
    out.more |= odd.more;
    out.strange = strange.name_all(run, mailbox);
    let doubled = settled(run, mailbox, &odd.doubled, &mut out)?;
    sort_out(run, mailbox, odd.once.into_values().chain(doubled), &mut out)?;
    find_missing(run, mailbox, &mut out)?;
    Ok(out)
}

/// Links and special files (hazard 170). What had the name of one of them is unknown, not gone.
#[derive(Debug, Default)]
struct Strange {
    count: usize,
    first: Option<String>,
}

impl Strange {
    fn add(&mut self, name: &[u8]) {
        self.count += 1;
        self.first.get_or_insert_with(|| String::from_utf8_lossy(name).into_owned());
    }

    /// Names them, and gives whether there are any.
    fn name_all(&self, run: &mut Run, mailbox: &Mailbox) -> bool {
        let Some(first) = &self.first else { return false };
        let what = format!("{}: {first}", mailbox.name);
        let more = match self.count {
            1 => String::new(),
            count => format!(" (and {} more here)", count - 1),
        };
        let why = "a link or special file, not a message: it is not uploaded, and a message that \
                   had this name is kept; replace it with a file";
        run.report.skip(what, format!("{why}{more}"));
        true
    }
}

/// Names that are not as the store has them.
#[derive(Debug, Default)]
struct Odd {
    once: BTreeMap<Stem, Listed>,
    /// Stems with more than one name.
    doubled: BTreeSet<Stem>,
    more: bool,
}

impl Odd {
    fn add(&mut self, listed: Listed) {
        if self.once.contains_key(&listed.stem) || self.doubled.contains(&listed.stem) {
            self.double(listed.stem);
        } else {
            self.once.insert(listed.stem.clone(), listed);
        }
    }

    fn double(&mut self, stem: Stem) {
        self.once.remove(&stem);
        self.doubled.insert(stem);
    }
}

/// Settles unique names that two files have (hazard 65), and gives what has them then.
fn settled(
    run: &mut Run,
    mailbox: &Mailbox,
    doubled: &BTreeSet<Stem>,
    out: &mut Difference,
) -> Result<Vec<Listed>, AccountError> {
    if doubled.is_empty() {
        return Ok(Vec::new());
    }
    let settled = twins::settle(run, mailbox, doubled)?;
    out.new.extend(settled.apart);
    out.open |= !settled.open.is_empty();
    if run.attempt.dry_run {
        return Ok(settled.kept);
    }
    let mut found = run.root.find(&mailbox.name, doubled)?;
    found.retain(|listed| {
        // Which of two is the one that is known nobody can tell at this moment.
        let one = listed.also.is_empty() && !settled.open.contains(&listed.stem);
        out.open |= !one;
        one
    });
    Ok(found)
}

/// Tells new names from new names of known files.
fn sort_out(
    run: &Run,
    mailbox: &Mailbox,
    names: impl Iterator<Item = Listed>,
    out: &mut Difference,
) -> Result<(), AccountError> {
    for listed in names {
        match run.store.by_stem(mailbox.id, &listed.stem)? {
            Some(row) if row.local.as_ref().is_some_and(|local| is_at(local, &listed)) => {}
            Some(row) => out.renamed.push((row.id, listed)),
            None => out.new.push(listed),
        }
    }
    Ok(())
}

/// Whether a file is where the row has it. Another inode under the same name is another file:
/// looked into like a new name.
fn is_at(local: &Local, listed: &Listed) -> bool {
    let place = (local.in_new, local.stamp.ino) == (listed.name.in_new, listed.ino);
    place && local.info == listed.info
}

/// A listing that races with a reader's rename can miss a name: only the doubtful ones are
/// looked for again (hazard 23).
fn find_missing(
    run: &Run,
    mailbox: &Mailbox,
    difference: &mut Difference,
) -> Result<(), AccountError> {
    for _ in 0..FINDS_MAX {
        if difference.missing.is_empty() {
            return Ok(());
        }
        let stems: BTreeSet<Stem> = difference.missing.keys().cloned().collect();
        let found = run.root.find(&mailbox.name, &stems)?;
        if found.is_empty() {
            return Ok(());
        }
        for listed in found {
            if let Some(id) = difference.missing.remove(&listed.stem) {
                difference.renamed.push((id, listed));
            }
        }
    }
    Ok(())
}
