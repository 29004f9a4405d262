//! What keeps deletions from being carried out, and until when (hazard 91).
//!
//! A message that left one mailbox may have been moved into one that cannot be looked at. So its
//! removal waits, row by row:
//! - for the server: not at all where the mailbox has the UIDNEXT of the last look, so that nothing
//!   can have come into it; otherwise until a second run has looked at everything else. What is
//!   removed here then goes to the local trash, and what the server still has comes down again.
//! - for the disk: until a second run, a day later, finds the file nowhere else.
//! - for a directory that cannot be looked at and whose mailbox has new mail on the server: not at
//!   all where none of that mail has the size of the message; otherwise as for the disk.

use std::collections::{BTreeMap, BTreeSet};

use super::run::Run;
use crate::account::error::AccountError;
use crate::reconcile::MailboxView;
use crate::reconcile::row_state::{RowState, state_of};
use crate::reconcile::types::{
    Coverage, Mailbox, MailboxId, MailboxName, MailboxStatus, Row, RowId,
};
use crate::state::{MATCHES, Waiting, meta};

/// Seconds for which a deletion here waits for a directory that cannot be looked at.
const DAY: i64 = 24 * 60 * 60;

/// New messages of the server that no plan looks at, since the files of their mailbox cannot be
/// looked at (hazard 87).
#[derive(Debug, Default)]
pub(super) struct Unread {
    /// Their mailboxes, and whether all of such a mailbox was looked at on the server.
    pub(super) mailboxes: BTreeMap<MailboxId, (MailboxName, bool)>,
    /// Those in other mailboxes whose text one of those files has.
    pub(super) waiting: BTreeSet<RowId>,
}

impl Unread {
    /// Whether there are any.
    pub(super) fn is_any(&self) -> bool {
        !self.mailboxes.is_empty() || !self.waiting.is_empty()
    }

    /// Whether one of them may be the message of a row, moved there. A message keeps its size.
    fn may_hold(&self, run: &Run, row: &Row) -> Result<bool, AccountError> {
        if !self.is_any() {
            return Ok(false);
        }
        if self.mailboxes.values().any(|(_, is_seen)| !is_seen) {
            return Ok(true);
        }
        let Some(words) = &row.words else { return Ok(true) };
        let same = run.store.by_size(words.size)?;
        let is_full = same.len() >= MATCHES as usize;
        let unread = |row: &Row| {
            let hidden =
                self.mailboxes.contains_key(&row.mailbox) || self.waiting.contains(&row.id);
            hidden && state_of(row) == RowState::RemoteNew
        };
        Ok(is_full || same.iter().any(unread))
    }
}

/// Marks the rows that need not wait any more, and names what the others wait for.
pub(super) fn release(
    run: &mut Run,
    rows: &BTreeMap<RowId, Row>,
    views: &mut BTreeMap<MailboxId, MailboxView>,
    unread: &Unread,
) -> Result<(), AccountError> {
    if run.attempt.focus.is_some() {
        // What was not looked at could be: the next whole run does that.
        return Ok(());
    }
    let put_off = put_off(run, views);
    let blind: BTreeSet<MailboxId> = views
        .iter()
        .filter(|(_, view)| view.remote_coverage == Coverage::Partial)
        .map(|(id, _)| *id)
        .collect();
    // A message that came before and was not read yet may be one that left elsewhere.
    let is_new = |row: &Row| state_of(row) == RowState::RemoteNew && !row.is_set_aside();
    let any_new = rows.values().any(|row| blind.contains(&row.mailbox) && is_new(row));
    let there = !blind.is_empty();
    let is_shut = |id: &MailboxId| run.attempt.seen.shut.contains(id) || put_off.contains(id);
    let shut_only = there && blind.iter().all(is_shut);
    let here = run.attempt.seen.walk != Coverage::Complete
        || !run.attempt.seen.misplaced.is_empty()
        || views.values().any(|view| view.local_coverage == Coverage::Partial);
    let waits = |row: &&Row| match state_of(row) {
        RowState::RemoteGone => (there || unread.is_any()) && !row.is_set_aside(),
        RowState::LocalGone => here && !row.is_set_aside(),
        _ => false,
    };
    let leaving: Vec<&Row> = rows.values().filter(waits).collect();
    let sealed = shut_only && !any_new && seal(run, &blind)?;
    let since = note(run, &leaving)?;
    let now = run.environment.clock.now();
    let mut hidden = BTreeSet::new();
    for row in leaving.iter().filter(|row| state_of(row) == RowState::RemoteGone) {
        hidden.extend(unread.may_hold(run, row)?.then_some(row.id));
    }
    let may_go = |row: &Row| {
        let Some(seen) = since.get(&row.id) else { return false };
        let again = seen.run < run.attempt.number;
        let a_day_later = again && now >= seen.at.saturating_add(DAY);
        match state_of(row) {
            RowState::RemoteGone => {
                (!there || shut_only && (sealed || again))
                    && (a_day_later || !hidden.contains(&row.id))
            }
            _ => a_day_later,
        }
    };
    let (free, held): (Vec<&Row>, Vec<&Row>) = leaving.into_iter().partition(|row| may_go(row));
    let new = |row: &&Row| since.get(&row.id).is_some_and(|seen| seen.run == run.attempt.number);
    run.attempt.waits_for_next |=
        shut_only && held.iter().any(|row| new(row) && state_of(row) == RowState::RemoteGone);
    mark(views, &free, &blind, shut_only);
    let remote = held.iter().any(|row| state_of(row) == RowState::RemoteGone);
    let local = held.iter().any(|row| state_of(row) == RowState::LocalGone);
    let hidden = held.iter().any(|row| hidden.contains(&row.id));
    let in_doubt = |row: &Row| row.restated && state_of(row) == RowState::LocalNew;
    let in_doubt = unread.is_any() && rows.values().any(in_doubt);
    tell(run, views, remote && there, local);
    for (name, _) in unread.mailboxes.values() {
        for why in [hidden.then_some(HIDDEN), in_doubt.then_some(IN_DOUBT)].into_iter().flatten() {
            run.report.skip(name.to_string(), why);
        }
    }
    Ok(())
}

/// Marks the rows that may go, and the mailboxes that nobody waits for.
fn mark(
    views: &mut BTreeMap<MailboxId, MailboxView>,
    free: &[&Row],
    blind: &BTreeSet<MailboxId>,
    shut_only: bool,
) {
    for row in free {
        if let Some(view) = views.get_mut(&row.mailbox) {
            view.waited.insert(row.id);
        }
    }
    for id in blind {
        if let Some(view) = views.get_mut(id) {
            view.shut = shut_only;
        }
    }
}

/// Mailboxes that are not worked in yet, since the server fell silent in them: what came into them
/// is not known, as if they could not be looked at.
fn put_off(run: &Run, views: &mut BTreeMap<MailboxId, MailboxView>) -> BTreeSet<MailboxId> {
    let suspects = run.suspects.lock();
    let put_off = views.iter_mut().filter(|(_, view)| suspects.puts_off(&view.mailbox.name));
    put_off
        .map(|(id, view)| {
            view.remote_coverage = Coverage::Partial;
            *id
        })
        .collect()
}

/// Notes which rows wait. Gives since when.
fn note(run: &mut Run, leaving: &[&Row]) -> Result<BTreeMap<RowId, Waiting>, AccountError> {
    let before = run.store.waiting()?;
    let (number, at) = (run.attempt.number, run.environment.clock.now());
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
        let listed = run.attempt.seen.listed.iter().find(|listed| listed.name == mailbox.name);
        let Some(gate) = listed.and_then(|listed| listed.gate) else {
            sealed = false;
            continue;
        };
        sealed &= is_sealed(run, &mailbox, gate)?;
    }
    Ok(sealed)
}

fn is_sealed(run: &mut Run, mailbox: &Mailbox, gate: MailboxStatus) -> Result<bool, AccountError> {
    let same = |validity: u32, next: u32| {
        gate.uid_next > 0 && (validity, next) == (gate.uid_validity, gate.uid_next)
    };
    if mailbox.cursor.is_some_and(|cursor| same(cursor.uid_validity, cursor.uid_next)) {
        return Ok(true);
    }
    let key = meta::shut_at(mailbox.id);
    let (number, validity, uid_next) = run.store.fact(&key)?.unwrap_or_default();
    if (gate.uid_validity, gate.uid_next) == (validity, uid_next) {
        return Ok(number < run.attempt.number && same(gate.uid_validity, gate.uid_next));
    }
    let now = (run.attempt.number, gate.uid_validity, gate.uid_next);
    run.store.transaction(|tx| tx.set_fact(&key, &now))?;
    Ok(false)
}

/// Says what waits for which mailbox, and what would lift that.
fn tell(run: &mut Run, views: &BTreeMap<MailboxId, MailboxView>, remote: bool, local: bool) {
    // What an earlier round waited for may have been looked at since.
    run.report.unskip(|skip| [REMOTE, LOCAL, HIDDEN, IN_DOUBT].contains(&skip.why.as_str()));
    run.attempt.skips_told = run.attempt.skips_told.min(run.report.skipped.len());
    for view in views.values() {
        let name = view.mailbox.name.to_string();
        if remote && view.remote_coverage == Coverage::Partial {
            run.report.skip(name.clone(), REMOTE);
        }
        if local && view.local_coverage == Coverage::Partial {
            run.report.skip(name, LOCAL);
        }
    }
    let unnamed = !views.values().any(|view| view.local_coverage == Coverage::Partial);
    if local && unnamed {
        run.report.skip(run.root.path().display().to_string(), LOCAL);
    }
}

const REMOTE: &str = "cannot be read on the server: messages missing from other mailboxes there \
                      stay here until it can, or until the next run finds them nowhere else";
const LOCAL: &str = "could not be read completely on disk: messages whose files are missing from \
                     other mailboxes stay on the server until it can, or until a run a day later \
                     finds them nowhere else";
const HIDDEN: &str = "its directory cannot be read, and its new mail on the server may be what \
                      left other mailboxes: that stays here until the directory can be read, or \
                      until a run a day later";
const IN_DOUBT: &str = "its directory cannot be read, and its new mail on the server may match \
                        local files that are not identified yet: they are not uploaded until it \
                        can be read";
