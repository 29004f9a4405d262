//! The guard: a surprising number of removals waits for a person.
//!
//! It counts messages that leave the account after moves are folded (a MOVE to \Trash made for
//! a deletion counts as leaving), over a sliding 24 hours, per mailbox and for the account, in
//! each direction; also mass removal of flags and surplus copies. \Trash and \Junk are exempt.
//!
//! A hold is state (hazard 60): a row that was held once stays held, whatever the counts say
//! later, until a person answers or the row no longer needs its step.

use std::collections::{BTreeMap, BTreeSet};

use super::agree::merge_row;
use super::hold::{Direction, Hold, HoldReason, Kind};
use super::plan::{Plan, RemoteRemoval, Step};
use super::plan_input::PlanInput;
use super::row_state::{RowState, state_of};
use super::types::{
    ContentId, FlagDelta, Flags, GuardLimits, MailboxId, OnLocalDelete, OnRemoteDelete, Row, RowId,
    SpecialUse,
};

/// Fewer removals of flags and surplus copies than this are never held for their number: the
/// configured limits are about deletions.
const ALWAYS_FLAGS: u64 = 50;
/// "Emptied" counts from this many messages up.
const EMPTIED: u64 = 20;
/// More copies of one content than this in one mailbox are no user's doing.
const SURPLUS: u64 = 3;

/// Whether so many changes and departures could meet a limit at all: below that, how large the
/// mailboxes are decides nothing and need not be counted.
#[must_use]
pub fn asks_for_sizes(limits: GuardLimits, changes: u64) -> bool {
    changes > limits.always.min(limits.messages) || changes >= EMPTIED
}

/// Messages that may leave within 24 hours out of `known`:
/// min(`messages`, max(`always`, `percent` of them, rounded up)).
#[must_use]
pub fn limit(limits: GuardLimits, known: u64) -> u64 {
    let share = known.saturating_mul(limits.percent).div_ceil(100);
    limits.messages.min(limits.always.max(share))
}

/// The limit for flags and copies.
fn loose_limit(limits: GuardLimits, known: u64) -> u64 {
    ALWAYS_FLAGS.max(limit(limits, known))
}

/// Takes out of the plan what is over the limits or was held before, and puts it into holds.
pub fn hold(world: &PlanInput, plan: &mut Plan) {
    let mut guard = Guard::new(world);
    let removals = guard.hold_removals(plan);
    guard.hold_account(&removals);
    guard.hold_flags(plan);
    guard.hold_copies(plan);
    let steps = std::mem::take(&mut plan.steps);
    plan.steps = steps.into_iter().filter_map(|step| guard.without_held(step)).collect();
    plan.holds = guard.holds();
    plan.approved = world.approved.iter().map(|hold| guard.still_waiting(hold)).collect();
}

/// Which hold a row belongs to; at most one of each is pending.
type Topic = (Option<MailboxId>, Direction, Kind);

/// What is held under a topic in this plan.
#[derive(Debug)]
struct Held {
    /// The hold of an earlier plan.
    old: Option<Hold>,
    added: BTreeSet<RowId>,
    reason: HoldReason,
}

/// Rows that would leave now and are neither approved nor held, by where and from which side.
type Leaving = BTreeMap<(MailboxId, Direction), BTreeSet<RowId>>;

#[derive(Debug)]
struct Guard<'w> {
    world: &'w PlanInput,
    rows: BTreeMap<RowId, &'w Row>,
    /// Contents that the server holds, by mailbox.
    there: BTreeSet<(MailboxId, ContentId)>,
    approved: BTreeSet<(RowId, Direction, Kind)>,
    held: BTreeSet<(RowId, Direction, Kind)>,
    topics: BTreeMap<Topic, Held>,
    /// How many rows earlier plans held, by mailbox.
    pending: BTreeMap<(MailboxId, Direction, Kind), u64>,
}

impl<'w> Guard<'w> {
    fn new(world: &'w PlanInput) -> Self {
        let there = world.rows.iter().filter(|row| row.remote.is_some());
        let there = there.filter_map(|row| Some((row.mailbox, row.content?))).collect();
        let mut guard = Self {
            world,
            rows: world.rows.iter().map(|row| (row.id, row)).collect(),
            there,
            approved: BTreeSet::new(),
            held: BTreeSet::new(),
            topics: BTreeMap::new(),
            pending: BTreeMap::new(),
        };
        for hold in &world.approved {
            let of = |row: &RowId| (*row, hold.direction, hold.reason.kind());
            guard.approved.extend(hold.rows.iter().map(of));
        }
        for hold in &world.pending {
            let kind = hold.reason.kind();
            let hold = guard.still_waiting(hold);
            if hold.rows.is_empty() {
                continue;
            }
            guard.held.extend(hold.rows.iter().map(|row| (*row, hold.direction, kind)));
            for row in hold.rows.iter().filter_map(|row| guard.rows.get(row)) {
                let key = (row.mailbox, hold.direction, kind);
                *guard.pending.entry(key).or_default() += 1;
            }
            let topic = (hold.mailbox, hold.direction, kind);
            let reason = hold.reason.clone();
            guard.topics.insert(topic, Held { old: Some(hold), added: BTreeSet::new(), reason });
        }
        guard
    }

    /// A hold without the rows that were explained meanwhile.
    fn still_waiting(&self, hold: &Hold) -> Hold {
        let kind = hold.reason.kind();
        let waits = |row: &&RowId| self.waits(**row, hold.direction, kind);
        Hold { rows: hold.rows.iter().filter(waits).copied().collect(), ..hold.clone() }
    }

    /// Whether a row still needs the step that was held. It does not once the message is back in
    /// place, was found elsewhere, is gone on both sides, or is wanted to stay by the config.
    fn waits(&self, row: RowId, direction: Direction, kind: Kind) -> bool {
        let world = self.world;
        if world.unseen_held.contains(&row) {
            return true;
        }
        let Some(row) = self.rows.get(&row) else { return false };
        let Some(view) = world.mailboxes.get(&row.mailbox) else { return false };
        let policy = &world.policy;
        if policy.pull_only && (direction == Direction::FromRemote || kind == Kind::Copies) {
            return false;
        }
        match (kind, direction) {
            (Kind::Removal, Direction::FromRemote) => {
                state_of(row) == RowState::LocalGone
                    && !row.journal.is_moved()
                    && policy.on_local_delete != OnLocalDelete::Keep
                    && !world.outside.contains_key(&row.id)
                    && !world.somewhere.contains(&row.id)
            }
            (Kind::Removal, Direction::FromLocal) => {
                state_of(row) == RowState::RemoteGone
                    && !row.journal.is_moved()
                    && policy.on_remote_delete != OnRemoteDelete::Keep
            }
            (Kind::Flags, _) => {
                state_of(row) == RowState::Paired
                    && merge_row(row, view, policy).is_some_and(|merge| match direction {
                        Direction::FromRemote => !merge.remote.remove.is_empty(),
                        Direction::FromLocal => !merge.local.remove.is_empty(),
                    })
            }
            (Kind::Copies, _) => {
                state_of(row) == RowState::LocalNew && !row.is_set_aside() && self.is_doubled(row)
            }
        }
    }

    fn is_doubled(&self, row: &Row) -> bool {
        row.content.is_some_and(|content| self.there.contains(&(row.mailbox, content)))
    }

    /// Whether the guard has yet to decide on this row.
    fn is_free(&self, row: RowId, direction: Direction, kind: Kind) -> bool {
        let key = (row, direction, kind);
        !self.approved.contains(&key) && !self.held.contains(&key)
    }

    fn is_exempt(&self, mailbox: MailboxId) -> bool {
        let view = self.world.mailboxes.get(&mailbox);
        view.is_some_and(|view| view.is(SpecialUse::Trash) || view.is(SpecialUse::Junk))
    }

    fn add(&mut self, topic: Topic, reason: HoldReason, rows: &BTreeSet<RowId>) {
        let (_, direction, kind) = topic;
        self.held.extend(rows.iter().map(|row| (*row, direction, kind)));
        let new = Held { old: None, added: BTreeSet::new(), reason: reason.clone() };
        let held = self.topics.entry(topic).or_insert(new);
        held.added.extend(rows);
        held.reason = reason;
    }

    /// Rows of a mailbox that earlier plans held.
    fn pending(&self, mailbox: MailboxId, direction: Direction, kind: Kind) -> u64 {
        self.pending.get(&(mailbox, direction, kind)).copied().unwrap_or(0)
    }

    fn departed(&self, mailbox: MailboxId, direction: Direction) -> u64 {
        self.world.departures.get(&(mailbox, direction)).copied().unwrap_or(0)
    }

    /// Messages of a mailbox that were known within the window.
    fn known(&self, mailbox: MailboxId) -> u64 {
        let agreed = self.world.mailboxes.get(&mailbox).map_or(0, |view| view.agreed);
        [Direction::FromRemote, Direction::FromLocal]
            .iter()
            .fold(agreed, |sum, d| sum.saturating_add(self.departed(mailbox, *d)))
    }

    /// Holds removals by mailbox; gives those that no hold of a mailbox took.
    fn hold_removals(&mut self, plan: &Plan) -> Leaving {
        let mut leaving = Leaving::new();
        for (row, direction) in plan.steps.iter().filter_map(removal) {
            let Some(known) = self.rows.get(&row) else { continue };
            // The rest of a move does not leave the account.
            let counts = !known.journal.is_moved() && !self.is_exempt(known.mailbox);
            if counts && self.is_free(row, direction, Kind::Removal) {
                leaving.entry((known.mailbox, direction)).or_default().insert(row);
            }
        }
        let emptied = self.emptied(plan, &leaving);
        let all = leaving.clone();
        for ((mailbox, direction), rows) in all {
            let before = self.departed(mailbox, direction);
            let pending = self.pending(mailbox, direction, Kind::Removal);
            let limit = limit(self.world.policy.guard, self.known(mailbox));
            let now = rows.len() as u64;
            let reason = match emptied.get(&mailbox) {
                _ if before.saturating_add(pending + now) > limit => {
                    HoldReason::TooMany { now, before, limit }
                }
                Some(before) => HoldReason::Emptied { now, before: *before },
                None => continue,
            };
            self.add((Some(mailbox), direction, Kind::Removal), reason, &rows);
            leaving.remove(&(mailbox, direction));
        }
        leaving
    }

    /// Mailboxes that would lose the last message that they had when their messages began to
    /// leave, with how many of those are gone already. What arrived since then counts neither
    /// as left behind nor as leaving (hazard 61); what is filed elsewhere counts as left behind
    /// where that is more than what leaves.
    fn emptied(&self, plan: &Plan, leaving: &Leaving) -> BTreeMap<MailboxId, u64> {
        let mut filed: BTreeMap<MailboxId, u64> = BTreeMap::new();
        let moved = plan.steps.iter().filter_map(moved_from);
        for row in moved.filter_map(|row| self.rows.get(&row)) {
            *filed.entry(row.mailbox).or_default() += 1;
        }
        let mut now: BTreeMap<MailboxId, u64> = BTreeMap::new();
        for ((mailbox, _), rows) in leaving {
            let Some(view) = self.world.mailboxes.get(mailbox) else { continue };
            let known = rows.iter().filter(|row| **row <= view.newest_known).count() as u64;
            *now.entry(*mailbox).or_default() += known;
        }
        let mut emptied = BTreeMap::new();
        for (mailbox, now) in now.into_iter().filter(|(_, now)| *now > 0) {
            let Some(view) = self.world.mailboxes.get(&mailbox) else { continue };
            let pending = self.pending(mailbox, Direction::FromRemote, Kind::Removal)
                + self.pending(mailbox, Direction::FromLocal, Kind::Removal);
            let all = view.known_departed.saturating_add(pending + now);
            let filed = filed.get(&mailbox).copied().unwrap_or(0);
            if all >= EMPTIED && !view.keeps_known && filed < all {
                emptied.insert(mailbox, view.known_departed);
            }
        }
        emptied
    }

    /// The account as a whole: many mailboxes, each a little under its limit.
    fn hold_account(&mut self, leaving: &Leaving) {
        for direction in [Direction::FromRemote, Direction::FromLocal] {
            let open = leaving.iter().filter(|((_, d), _)| *d == direction);
            let open: BTreeSet<RowId> = open.flat_map(|(_, rows)| rows).copied().collect();
            let departures = self.world.departures.iter();
            let before = departures
                .filter(|((mailbox, d), _)| *d == direction && !self.is_exempt(*mailbox))
                .fold(0_u64, |sum, (_, n)| sum.saturating_add(*n));
            let topic = (None, direction, Kind::Removal);
            let old = self.topics.get(&topic).and_then(|held| held.old.as_ref());
            let pending = old.map_or(0, |hold| hold.rows.len() as u64);
            let agreed = self.world.mailboxes.values().map(|view| view.agreed);
            let known = agreed.chain(self.world.departures.values().copied());
            let known = known.fold(0_u64, u64::saturating_add);
            let (now, limit) = (open.len() as u64, limit(self.world.policy.guard, known));
            if now > 0 && before.saturating_add(pending + now) > limit {
                let reason = HoldReason::TooMany { now, before, limit };
                self.add(topic, reason, &open);
            }
        }
    }

    /// A copy over FAT or a zip round trip drops every `:2,…`: that is no reading of 50,000
    /// mails.
    fn hold_flags(&mut self, plan: &Plan) {
        let mut losing = Leaving::new();
        for step in &plan.steps {
            let Step::Flags { row, local, remote } = step else { continue };
            let Some(mailbox) = self.rows.get(row).map(|r| r.mailbox) else { continue };
            for (delta, direction) in
                [(remote, Direction::FromRemote), (local, Direction::FromLocal)]
            {
                if !delta.remove.is_empty() && self.is_free(*row, direction, Kind::Flags) {
                    losing.entry((mailbox, direction)).or_default().insert(*row);
                }
            }
        }
        for ((mailbox, direction), rows) in losing {
            let pending = self.pending(mailbox, direction, Kind::Flags);
            let limit = loose_limit(self.world.policy.guard, self.known(mailbox));
            let now = rows.len() as u64;
            if pending + now > limit {
                let reason = HoldReason::FlagsRemoved { now, limit };
                self.add((Some(mailbox), direction, Kind::Flags), reason, &rows);
            }
        }
    }

    /// Two engines on one Maildir double what they see in each other, without end.
    fn hold_copies(&mut self, plan: &Plan) {
        let mut surplus: BTreeMap<MailboxId, BTreeSet<RowId>> = BTreeMap::new();
        for step in &plan.steps {
            let Step::RemoteCopy { to, .. } = step else { continue };
            let Some(row) = self.rows.get(to) else { continue };
            if self.is_doubled(row) && self.is_free(*to, Direction::FromLocal, Kind::Copies) {
                surplus.entry(row.mailbox).or_default().insert(*to);
            }
        }
        for (mailbox, rows) in surplus {
            let topic = (Some(mailbox), Direction::FromLocal, Kind::Copies);
            let old = self.topics.get(&topic).and_then(|held| held.old.as_ref());
            let pending: Vec<RowId> = old.map(|hold| hold.rows.clone()).unwrap_or_default();
            let mut each: BTreeMap<ContentId, u64> = BTreeMap::new();
            for row in pending.iter().chain(&rows).filter_map(|row| self.rows.get(row)) {
                if let Some(content) = row.content {
                    *each.entry(content).or_default() += 1;
                }
            }
            let total = (pending.len() + rows.len()) as u64;
            let many = total > loose_limit(self.world.policy.guard, self.known(mailbox));
            if many || each.values().any(|n| *n > SURPLUS) {
                let reason = HoldReason::SurplusCopies { now: rows.len() as u64 };
                self.add(topic, reason, &rows);
            }
        }
    }

    /// What of a step is not held; facts and additions go on.
    fn without_held(&self, step: Step) -> Option<Step> {
        let is_held = |row, direction, kind| self.held.contains(&(row, direction, kind));
        if let Some((row, direction)) = removal(&step) {
            return (!is_held(row, direction, Kind::Removal)).then_some(step);
        }
        match step {
            Step::Flags { row, local, remote } => {
                let strip = |delta: FlagDelta, direction| match is_held(row, direction, Kind::Flags)
                {
                    true => FlagDelta { remove: Flags::default(), ..delta },
                    false => delta,
                };
                let was_note = local.is_empty() && remote.is_empty();
                let local = strip(local, Direction::FromLocal);
                let remote = strip(remote, Direction::FromRemote);
                let idle = local.is_empty() && remote.is_empty();
                (was_note || !idle).then_some(Step::Flags { row, local, remote })
            }
            Step::RemoteCopy { to: row, .. } | Step::Push(row)
                if is_held(row, Direction::FromLocal, Kind::Copies) =>
            {
                None
            }
            step => Some(step),
        }
    }

    fn holds(&self) -> Vec<Hold> {
        let holds = self.topics.iter().map(|((mailbox, direction, _), held)| {
            let old = held.old.as_ref();
            let mut rows: BTreeSet<RowId> = held.added.clone();
            rows.extend(old.into_iter().flat_map(|hold| hold.rows.iter().copied()));
            let replaced = old.filter(|_| !held.added.is_empty()).map(|hold| hold.id.clone());
            let id = match old {
                Some(hold) if held.added.is_empty() => hold.id.clone(),
                _ => id(self.world, *direction, &held.reason, replaced.as_deref(), &rows),
            };
            Hold {
                id,
                mailbox: *mailbox,
                direction: *direction,
                reason: held.reason.clone().with_count(rows.len() as u64),
                rows: rows.into_iter().collect(),
                added: held.added.len() as u64,
                replaces: replaced,
            }
        });
        holds.collect()
    }
}

/// Names exactly these rows of this account, and what was shown before under another name.
fn id(
    world: &PlanInput,
    direction: Direction,
    reason: &HoldReason,
    replaces: Option<&str>,
    rows: &BTreeSet<RowId>,
) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&world.store);
    hasher.update(format!("{direction:?} {:?} {replaces:?}", reason.kind()).as_bytes());
    for row in rows {
        hasher.update(&row.0.to_le_bytes());
    }
    hasher.finalize().to_hex()[..8].to_owned()
}

/// The row that a step removes, and from which side. Filed elsewhere, it does not leave.
fn removal(step: &Step) -> Option<(RowId, Direction)> {
    match step {
        Step::RemoveRemote { how: RemoteRemoval::MoveTo(_), .. } => None,
        Step::RemoveRemote { row, .. } => Some((*row, Direction::FromRemote)),
        Step::RemoveLocal(row) => Some((*row, Direction::FromLocal)),
        _ => None,
    }
}

/// The row that a step takes to another mailbox.
fn moved_from(step: &Step) -> Option<RowId> {
    match step {
        Step::RemoteMove { from, .. } | Step::LocalMove { from, .. } => Some(*from),
        Step::RemoveRemote { row, how: RemoteRemoval::MoveTo(_) } => Some(*row),
        _ => None,
    }
}
