//! What keeps deletions from being carried out, and until when (hazard 91).
//!
//! A message that left one mailbox may have been moved into one that cannot be looked at. So its
//! removal waits, row by row:
//! - for the server: not at all where the mailbox has the UIDNEXT of the last look, so that nothing
//!   can have come into it; otherwise until a second run has looked at everything else. What is
//!   removed here then goes to the local trash, and what the server still has comes down again.
//! - for the disk: until a second run, a day later, finds the file nowhere else.

use std::collections::{BTreeMap, BTreeSet};

use super::{AccountError, Run};
use crate::reconcile::MailboxView;
use crate::reconcile::pairing::{Class, class};
use crate::reconcile::types::{Gate, Mailbox, MailboxId, Reach, Row, RowId};
use crate::state::Waiting;

/// Seconds for which a deletion here waits for a directory that cannot be looked at.
const DAY: i64 = 24 * 60 * 60;

/// Marks the rows that need not wait any more, and names what the others wait for.
pub(super) fn release(
    run: &mut Run,
    rows: &BTreeMap<RowId, Row>,
    views: &mut BTreeMap<MailboxId, MailboxView>,
) -> Result<(), AccountError> {
    if run.focus.is_some() {
        // What was not looked at could be: the next whole run does that.
        return Ok(());
    }
    let blind: BTreeSet<MailboxId> = views
        .iter()
        .filter(|(_, view)| view.remote_reach == Reach::Partial)
        .map(|(id, _)| *id)
        .collect();
    let there = !blind.is_empty();
    let shut_only = there && blind.iter().all(|id| run.seen.shut.contains(id));
    let here = run.seen.walk != Reach::Complete
        || !run.seen.misplaced.is_empty()
        || views.values().any(|view| view.local_reach == Reach::Partial);
    let waits = |row: &&Row| match class(row) {
        Class::RemoteGone => there && !row.is_set_aside(),
        Class::LocalGone => here && !row.is_set_aside(),
        _ => false,
    };
    let leaving: Vec<&Row> = rows.values().filter(waits).collect();
    let sealed = shut_only && seal(run, &blind)?;
    let since = note(run, &leaving)?;
    let now = run.outside.clock.now();
    let may_go = |row: &Row| {
        let Some(seen) = since.get(&row.id) else { return false };
        let again = seen.run < run.number;
        match class(row) {
            Class::RemoteGone => shut_only && (sealed || again),
            _ => again && now >= seen.at.saturating_add(DAY),
        }
    };
    let (free, held): (Vec<&Row>, Vec<&Row>) = leaving.into_iter().partition(|row| may_go(row));
    for row in free {
        if let Some(view) = views.get_mut(&row.mailbox) {
            view.waited.insert(row.id);
        }
    }
    for id in &blind {
        if let Some(view) = views.get_mut(id) {
            view.shut = shut_only;
        }
    }
    let remote = held.iter().any(|row| class(row) == Class::RemoteGone);
    let local = held.iter().any(|row| class(row) == Class::LocalGone);
    tell(run, views, remote, local);
    Ok(())
}

/// Notes which rows wait. Gives since when.
fn note(run: &mut Run, leaving: &[&Row]) -> Result<BTreeMap<RowId, Waiting>, AccountError> {
    let before = run.store.waiting()?;
    let (number, at) = (run.number, run.outside.clock.now());
    let new = |row: &Row| Waiting { row: row.id.0, run: number, at };
    let known = |row: &Row| before.iter().find(|one| one.row == row.id.0).copied();
    let now: Vec<Waiting> =
        leaving.iter().map(|row| known(row).unwrap_or_else(|| new(row))).collect();
    if now != before {
        run.store.transaction(|tx| tx.set_waiting(&now))?;
    }
    Ok(now.into_iter().map(|one| (RowId(one.row), one)).collect())
}

/// Whether nothing came into these mailboxes since they were looked at, or since an earlier run
/// asked how they stand.
fn seal(run: &mut Run, shut: &BTreeSet<MailboxId>) -> Result<bool, AccountError> {
    let mut sealed = true;
    for id in shut {
        let Some(mailbox) = run.store.mailbox(*id)? else { continue };
        let listed = run.seen.listed.iter().find(|listed| listed.name == mailbox.name);
        let Some(gate) = listed.and_then(|listed| listed.gate) else {
            sealed = false;
            continue;
        };
        sealed &= is_sealed(run, &mailbox, gate)?;
    }
    Ok(sealed)
}

fn is_sealed(run: &mut Run, mailbox: &Mailbox, gate: Gate) -> Result<bool, AccountError> {
    let same = |validity: u32, next: u32| {
        gate.uid_next > 0 && (validity, next) == (gate.uid_validity, gate.uid_next)
    };
    if mailbox.cursor.is_some_and(|cursor| same(cursor.uid_validity, cursor.uid_next)) {
        return Ok(true);
    }
    let key = format!("shut at {}", mailbox.id.0);
    let before = run.store.meta(&key)?;
    let mut words = before.as_deref().unwrap_or_default().split(' ').map(str::parse::<i64>);
    let mut next = || words.next().and_then(Result::ok).unwrap_or_default();
    let (number, validity, uid_next) = (next(), next(), next());
    if i64::from(gate.uid_validity) == validity && i64::from(gate.uid_next) == uid_next {
        return Ok(number < run.number && same(gate.uid_validity, gate.uid_next));
    }
    let text = format!("{} {} {}", run.number, gate.uid_validity, gate.uid_next);
    run.store.transaction(|tx| tx.set_meta(&key, &text))?;
    Ok(false)
}

/// Says what waits for which mailbox, and what would lift that.
fn tell(run: &mut Run, views: &BTreeMap<MailboxId, MailboxView>, remote: bool, local: bool) {
    for view in views.values() {
        let name = view.mailbox.name.to_string();
        if remote && view.remote_reach == Reach::Partial {
            let why = "it cannot be looked at on the server, so what left other mailboxes there is \
                       not removed here yet; that ends when it can be, or with the next run that \
                       finds it nowhere else";
            run.report.skip(name.clone(), why);
        }
        if local && view.local_reach == Reach::Partial {
            run.report.skip(name, LOCAL);
        }
    }
    let unnamed = !views.values().any(|view| view.local_reach == Reach::Partial);
    if local && unnamed {
        run.report.skip(run.root.path().display().to_string(), LOCAL);
    }
}

const LOCAL: &str = "not all of it could be looked at on the disk, so what left other mailboxes \
                     here is not removed on the server yet; that ends when it can be, or with a \
                     run a day later that finds it nowhere else";
