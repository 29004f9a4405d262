//! The guard: a surprising number of removals waits for a person.
//!
//! It counts what leaves the account after moves are folded (a MOVE to \Trash made for a
//! deletion counts as leaving), over a sliding 24 hours, per mailbox and for the account, in
//! each direction; also mass removal of flags and surplus copies. \Trash and \Junk are exempt.

use std::collections::{BTreeMap, BTreeSet};

use super::plan::{Hold, HoldReason, Plan, Step};
use super::types::{ContentId, Journal, MailboxId, Row, RowId, SpecialUse};
use super::world::{GuardLimits, World};

/// From which side messages leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// They would leave the server.
    FromRemote,
    /// They would leave the disk.
    FromLocal,
}

/// Up to this many messages may always leave within 24 hours.
const ALWAYS: u64 = 50;
/// "Emptied" counts from this many messages up.
const EMPTIED: u64 = 20;
/// More copies of one content than this in one mailbox are no user's doing.
const SURPLUS: u64 = 3;

/// Whether so many changes and departures could meet a limit at all: below that, how large the
/// mailboxes are decides nothing and need not be counted.
#[must_use]
pub fn asks_for_sizes(changes: u64) -> bool {
    changes >= EMPTIED.min(ALWAYS)
}

/// max(50, min(percent of `size`, messages)).
fn limit(limits: GuardLimits, size: u64) -> u64 {
    ALWAYS.max((size.saturating_mul(limits.percent) / 100).min(limits.messages))
}

/// Takes out of the plan what is over the limits and puts it into holds.
pub fn hold(world: &World, plan: &mut Plan) {
    let rows: BTreeMap<RowId, &Row> = world.rows.iter().map(|row| (row.id, row)).collect();
    let mut holds = Vec::new();
    hold_removals(world, &rows, plan, &mut holds);
    hold_flags(world, &rows, plan, &mut holds);
    hold_copies(world, &rows, plan, &mut holds);
    let held: BTreeSet<RowId> = holds.iter().flat_map(|h| h.rows.iter().copied()).collect();
    plan.steps.retain(|step| !is_guarded(step) || !step.rows().iter().any(|r| held.contains(r)));
    plan.holds = holds;
}

/// Steps that a hold on their row takes out; facts and additions go on.
fn is_guarded(step: &Step) -> bool {
    matches!(
        step,
        Step::RemoveRemote { .. }
            | Step::RemoveLocal(_)
            | Step::Flags { .. }
            | Step::RemoteCopy { .. }
            | Step::Push(_)
    )
}

fn new_hold(
    mailbox: Option<MailboxId>,
    direction: Direction,
    reason: HoldReason,
    mut rows: Vec<RowId>,
) -> Hold {
    rows.sort_unstable();
    let mut hasher = blake3::Hasher::new();
    hasher.update(format!("{direction:?}").as_bytes());
    for row in &rows {
        hasher.update(&row.0.to_le_bytes());
    }
    let id = hasher.finalize().to_hex()[..8].to_owned();
    Hold { id, mailbox, direction, reason, rows }
}

fn removal(step: &Step) -> Option<(RowId, Direction)> {
    match step {
        Step::RemoveRemote { row, how: super::RemoteRemoval::MoveTo(_) } => {
            let _ = row; // Filed elsewhere by the user: it does not leave the account.
            None
        }
        Step::RemoveRemote { row, .. } => Some((*row, Direction::FromRemote)),
        Step::RemoveLocal(row) => Some((*row, Direction::FromLocal)),
        _ => None,
    }
}

fn hold_removals(world: &World, rows: &BTreeMap<RowId, &Row>, plan: &Plan, holds: &mut Vec<Hold>) {
    let mut leaving: BTreeMap<(MailboxId, Direction), Vec<RowId>> = BTreeMap::new();
    for (row, direction) in plan.steps.iter().filter_map(removal) {
        let Some(known) = rows.get(&row) else { continue };
        let mailbox = known.mailbox;
        // The rest of a move does not leave the account.
        if known.journal == Journal::Moved {
            continue;
        }
        if !is_exempt(world, mailbox) && !world.approved.contains(&row) {
            leaving.entry((mailbox, direction)).or_default().push(row);
        }
    }
    for ((mailbox, direction), leaving) in &leaving {
        let before = world.departures.get(&(*mailbox, *direction)).copied().unwrap_or(0);
        let size = world.mailboxes.get(mailbox).map_or(0, |view| view.agreed);
        if let Some(reason) = reason(world.policy.guard, leaving.len() as u64, before, size) {
            holds.push(new_hold(Some(*mailbox), *direction, reason, leaving.clone()));
        }
    }
    for direction in [Direction::FromRemote, Direction::FromLocal] {
        hold_account(world, direction, &leaving, holds);
    }
}

/// The account as a whole: many mailboxes, each a little under its limit.
fn hold_account(
    world: &World,
    direction: Direction,
    leaving: &BTreeMap<(MailboxId, Direction), Vec<RowId>>,
    holds: &mut Vec<Hold>,
) {
    let held: BTreeSet<RowId> = holds.iter().flat_map(|h| h.rows.iter().copied()).collect();
    let open: Vec<RowId> = leaving
        .iter()
        .filter(|((_, d), _)| *d == direction)
        .flat_map(|(_, rows)| rows.iter().copied())
        .filter(|row| !held.contains(row))
        .collect();
    let before: u64 = world
        .departures
        .iter()
        .filter(|((mailbox, d), _)| *d == direction && !is_exempt(world, *mailbox))
        .map(|(_, n)| n)
        .sum();
    let size: u64 = world.mailboxes.values().map(|view| view.agreed).sum();
    let now = open.len() as u64;
    let limit = limit(world.policy.guard, size);
    if now > 0 && now + before > limit {
        let reason = HoldReason::TooMany { now, before, limit };
        holds.push(new_hold(None, direction, reason, open));
    }
}

fn reason(limits: GuardLimits, now: u64, before: u64, size: u64) -> Option<HoldReason> {
    let limit = limit(limits, size);
    if now + before > limit {
        Some(HoldReason::TooMany { now, before, limit })
    } else if now >= EMPTIED && now >= size {
        Some(HoldReason::Emptied { now })
    } else {
        None
    }
}

fn is_exempt(world: &World, mailbox: MailboxId) -> bool {
    world
        .mailboxes
        .get(&mailbox)
        .is_some_and(|view| view.is(SpecialUse::Trash) || view.is(SpecialUse::Junk))
}

/// A copy over FAT or a zip round trip drops every `:2,…`: that is no reading of 50,000 mails.
fn hold_flags(world: &World, rows: &BTreeMap<RowId, &Row>, plan: &Plan, holds: &mut Vec<Hold>) {
    let mut losing: BTreeMap<(MailboxId, Direction), Vec<RowId>> = BTreeMap::new();
    for step in &plan.steps {
        let Step::Flags { row, local, remote } = step else { continue };
        let Some(mailbox) = rows.get(row).map(|r| r.mailbox) else { continue };
        if world.approved.contains(row) {
            continue;
        }
        if !remote.remove.is_empty() {
            losing.entry((mailbox, Direction::FromRemote)).or_default().push(*row);
        }
        if !local.remove.is_empty() {
            losing.entry((mailbox, Direction::FromLocal)).or_default().push(*row);
        }
    }
    for ((mailbox, direction), losing) in losing {
        let size = world.mailboxes.get(&mailbox).map_or(0, |view| view.agreed);
        let (now, limit) = (losing.len() as u64, limit(world.policy.guard, size));
        if now > limit {
            let reason = HoldReason::FlagsRemoved { now, limit };
            holds.push(new_hold(Some(mailbox), direction, reason, losing));
        }
    }
}

/// Two engines on one Maildir double what they see in each other, without end.
fn hold_copies(world: &World, rows: &BTreeMap<RowId, &Row>, plan: &Plan, holds: &mut Vec<Hold>) {
    let mut held_there: BTreeMap<(MailboxId, ContentId), u64> = BTreeMap::new();
    for row in world.rows.iter().filter(|row| row.remote.is_some()) {
        if let Some(content) = row.content {
            *held_there.entry((row.mailbox, content)).or_default() += 1;
        }
    }
    let mut surplus: BTreeMap<MailboxId, Vec<(ContentId, RowId)>> = BTreeMap::new();
    for step in &plan.steps {
        let Step::RemoteCopy { to, .. } = step else { continue };
        let Some(row) = rows.get(to) else { continue };
        let Some(content) = row.content else { continue };
        let doubled = held_there.contains_key(&(row.mailbox, content));
        if doubled && !world.approved.contains(to) {
            surplus.entry(row.mailbox).or_default().push((content, *to));
        }
    }
    for (mailbox, copies) in surplus {
        let size = world.mailboxes.get(&mailbox).map_or(0, |view| view.agreed);
        let mut each: BTreeMap<ContentId, u64> = BTreeMap::new();
        for (content, _) in &copies {
            *each.entry(*content).or_default() += 1;
        }
        let now = copies.len() as u64;
        let many = now > limit(world.policy.guard, size);
        if many || each.values().any(|n| *n > SURPLUS) {
            let copies = copies.into_iter().map(|(_, row)| row).collect();
            let reason = HoldReason::SurplusCopies { now };
            holds.push(new_hold(Some(mailbox), Direction::FromLocal, reason, copies));
        }
    }
}
