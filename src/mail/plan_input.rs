//! Loads what a plan is made from: rows whose columns differ, and what they could match.

use std::collections::{BTreeMap, BTreeSet};

use super::postponed::Unread;
use super::run::Run;
use super::scope;
use crate::account::error::AccountError;
use crate::reconcile;
use crate::reconcile::row_state::{RowState, state_of};
use crate::reconcile::types::{ContentId, Coverage, Journal, Mailbox, MailboxId, Row, RowId};
use crate::reconcile::{MailboxView, Plan, PlanInput, Policy, guard};
use crate::state::{Departure, Hold, HoldState, StateError};

/// New server messages that one plan looks at; the next page follows when they are done.
const PAGE: usize = 4000;
/// Unsettled rows that one plan looks at.
pub(super) const UNSETTLED_MAX: usize = 200_000;
/// Rows that are set aside and could be what was pushed.
const ASIDE_MAX: usize = 1000;
/// Tried and failed arrivals that a page steps over: with more of them the next look goes on.
const TRIED_MAX: usize = 50_000;
/// The guard's window, in seconds.
pub(super) const WINDOW_S: i64 = 24 * 60 * 60;

/// Loads one round's world, and notes from which mailboxes messages leave.
fn load(run: &mut Run) -> Result<PlanInput, AccountError> {
    let holds = run.store.holds()?;
    let of = |state| holds.iter().filter(move |hold| hold.state == state).map(planned);
    let (pending, approved): (Vec<_>, Vec<_>) =
        (of(HoldState::Pending).collect(), of(HoldState::Approved).collect());
    let mut rows = load_rows(run, pending.iter().chain(&approved))?;
    let unseen = without_misplaced(run, &mut rows);
    let held = pending.iter().chain(&approved).flat_map(|hold| &hold.rows).copied();
    let unseen_held = held.filter(|row| unseen.rows.contains(row)).collect();
    let since = run.environment.clock.now() - WINDOW_S;
    let left = Left { waves: note_waves(run, &rows)?, departed: run.store.departed(since)? };
    let mut mailboxes = views(run, &rows, &left)?;
    let unread = unread(run, unseen.waiting)?;
    super::postponed::release(run, &rows, &mut mailboxes, &unread)?;
    Ok(PlanInput {
        mailboxes,
        rows: rows.into_values().collect(),
        policy: Policy { brings_back: scope::pending(&run.store)?, ..run.policy()? },
        run: run.attempt.number,
        unseen_held,
        unseen_texts: unseen.texts,
        unseen_arrivals: unread.is_any(),
        passed: super::observe::passed::is_noted(run)?,
        disk_seen: run.attempt.seen.walk == Coverage::Complete
            && run.attempt.seen.misplaced.is_empty(),
        outside: run.attempt.seen.outside.clone(),
        somewhere: run.attempt.seen.somewhere.clone(),
        departures: run.store.departures(since)?,
        approved,
        pending,
        store: run.store.id(),
    })
}

/// The next plan.
pub(super) fn plan(run: &mut Run) -> Result<Plan, AccountError> {
    Ok(reconcile::plan(&load(run)?))
}

/// A hold of the store, as the planner takes it.
fn planned(hold: &Hold) -> reconcile::Hold {
    reconcile::Hold {
        id: hold.id.clone(),
        mailbox: hold.mailbox,
        direction: hold.direction,
        reason: hold.reason.clone(),
        rows: hold.rows.clone(),
        added: 0,
        replaces: None,
    }
}

/// What left lately, and what is leaving.
struct Left {
    waves: BTreeMap<MailboxId, RowId>,
    departed: Vec<Departure>,
}

impl Left {
    /// The last row of a mailbox that was known when its messages began to leave, and how many
    /// of the messages that were known then have left.
    fn of(&self, mailbox: MailboxId) -> (RowId, u64) {
        let departed = || self.departed.iter().filter(|d| d.mailbox == mailbox);
        let wave = self.waves.get(&mailbox).copied();
        let newest = departed().filter_map(|d| d.newest).chain(wave).min();
        let newest = newest.unwrap_or(RowId(i64::MAX));
        let known = departed().filter(|d| d.row.is_none_or(|row| row <= newest));
        (newest, known.fold(0, |sum, d| sum.saturating_add(d.count)))
    }
}

/// Notes mailboxes whose messages begin to leave. A plan comes before its effects, so whatever
/// is agreed on by now was known before; what arrives from now on was not (hazard 61).
fn note_waves(
    run: &mut Run,
    rows: &BTreeMap<RowId, Row>,
) -> Result<BTreeMap<MailboxId, RowId>, AccountError> {
    let gone = [RowState::LocalGone, RowState::RemoteGone, RowState::BothGone];
    let leaves = |row: &&Row| gone.contains(&state_of(row)) && !row.is_set_aside();
    let leaving: BTreeSet<MailboxId> =
        rows.values().filter(leaves).map(|row| row.mailbox).collect();
    let known = run.store.waves()?;
    if known.keys().eq(&leaving) {
        return Ok(known);
    }
    let mut waves = BTreeMap::new();
    for mailbox in &leaving {
        let newest = match known.get(mailbox) {
            Some(newest) => *newest,
            None => run.store.newest_agreed(*mailbox)?,
        };
        waves.insert(*mailbox, newest);
    }
    run.record(|w| {
        let ended = known.keys().filter(|mailbox| !leaving.contains(mailbox));
        ended.into_iter().try_for_each(|mailbox| w.tx().end_wave(*mailbox))?;
        waves.iter().try_for_each(|(mailbox, newest)| w.tx().begin_wave(*mailbox, *newest))
    })?;
    Ok(waves)
}

fn load_rows<'a>(
    run: &Run,
    holds: impl Iterator<Item = &'a reconcile::Hold>,
) -> Result<BTreeMap<RowId, Row>, AccountError> {
    let mut rows: BTreeMap<RowId, Row> = BTreeMap::new();
    let unsettled = run.store.unsettled(None, UNSETTLED_MAX)?;
    let arrivals = run.store.new_remotes(PAGE + run.attempt.tried.len().min(TRIED_MAX))?;
    let asked: Vec<Row> = unsettled.into_iter().chain(arrivals).collect();
    for row in &asked {
        for known in could_match(run, row)? {
            rows.insert(known.id, known);
        }
        if let Journal::Pushing { .. } = row.journal {
            // What the server shows nothing of could be what was pushed.
            let aside = run.store.set_aside_rows(ASIDE_MAX)?.into_iter();
            let aside = aside.filter(|aside| aside.mailbox == row.mailbox);
            rows.extend(aside.map(|row| (row.id, row)));
        }
        if let Journal::Replaced { by } = row.journal {
            // Set aside by the server, it is settled, and the old text stays all the same.
            rows.extend(run.store.row(by)?.map(|row| (row.id, row)));
        }
    }
    rows.extend(asked.into_iter().map(|row| (row.id, row)));
    for held in holds.flat_map(|hold| &hold.rows) {
        // Whatever else there is to plan: only a row that is looked at can be explained.
        if !rows.contains_key(held)
            && let Some(row) = run.store.row(*held)?
        {
            for known in could_match(run, &row)? {
                rows.entry(known.id).or_insert(known);
            }
            rows.insert(row.id, row);
        }
    }
    Ok(rows)
}

/// What a plan leaves out.
struct Unseen {
    rows: BTreeSet<RowId>,
    /// The texts of its messages.
    texts: BTreeSet<ContentId>,
    /// New messages of the server in other mailboxes that may be among them.
    waiting: BTreeSet<RowId>,
}

/// Leaves out files that are not where they were, and their messages with them (hazard 54).
fn without_misplaced(run: &Run, rows: &mut BTreeMap<RowId, Row>) -> Unseen {
    let misplaced = |row: &Row| run.attempt.seen.misplaced.contains(&row.mailbox);
    let unseen: BTreeMap<RowId, Row> = rows.extract_if(.., |_, row| misplaced(row)).collect();
    let texts: BTreeSet<ContentId> = unseen.values().filter_map(|row| row.content).collect();
    // What is new on either side and has the text of such a message waits, too (hazard 82).
    let agreed = unseen.values().filter(|row| row.remote.is_some() || row.base.is_some());
    let agreed: BTreeSet<ContentId> = agreed.filter_map(|row| row.content).collect();
    let is_new = |row: &Row| matches!(state_of(row), RowState::LocalNew | RowState::RemoteNew);
    let may_be = |row: &Row| row.content.is_some_and(|content| agreed.contains(&content));
    let waiting: Vec<Row> =
        rows.extract_if(.., |_, row| is_new(row) && may_be(row)).map(|(_, row)| row).collect();
    let waiting = waiting.into_iter().filter(|row| state_of(row) == RowState::RemoteNew);
    let waiting = waiting.map(|row| row.id).collect();
    Unseen { rows: unseen.into_keys().collect(), texts, waiting }
}

/// Whether a mailbox is left out of the plan because its directory is not known, or cannot be
/// looked at.
fn is_left_out(run: &Run, mailbox: &Mailbox) -> bool {
    run.attempt.seen.misplaced.contains(&mailbox.id) || run.attempt.doubtful.contains(&mailbox.name)
}

/// Where the server has, or may have, new messages that no plan looks at (hazard 87).
fn unread(run: &Run, waiting: BTreeSet<RowId>) -> Result<Unread, StateError> {
    let mut unread = Unread { waiting, ..Unread::default() };
    for mailbox in run.store.mailboxes()? {
        let mirrored = mailbox.remote && (run.settings.selects)(&mailbox.name);
        if !mirrored || !is_left_out(run, &mailbox) {
            continue;
        }
        let is_seen = run.attempt.seen.remote.get(&mailbox.id) == Some(&Coverage::Complete);
        if !is_seen || run.store.new_remotes_beyond(mailbox.id, 0)? > 0 {
            unread.mailboxes.insert(mailbox.id, (mailbox.name, is_seen));
        }
    }
    Ok(unread)
}

/// Rows, settled or not, that could be the same message as this one.
fn could_match(run: &Run, row: &Row) -> Result<Vec<Row>, StateError> {
    let mut out = Vec::new();
    if let Some(content) = row.content.filter(|_| state_of(row) != RowState::Paired) {
        out.extend(run.store.by_content(&content)?);
    }
    if state_of(row) == RowState::RemoteNew
        && let Some(words) = &row.words
    {
        if row.header.is_some() {
            out.extend(run.store.by_words(words.size, words.date)?);
        }
        if let Some(object) = &words.object_id {
            out.extend(run.store.by_object_id(object)?);
        }
    }
    Ok(out)
}

fn views(
    run: &Run,
    rows: &BTreeMap<RowId, Row>,
    left: &Left,
) -> Result<BTreeMap<MailboxId, MailboxView>, AccountError> {
    let changes = rows.values().filter(|row| state_of(row) != RowState::RemoteNew).count() as u64;
    // Counting reads an index through: only where the guard could ask for it.
    let departed = left.departed.iter().fold(0_u64, |sum, d| sum.saturating_add(d.count));
    let guarded = guard::asks_for_sizes(run.settings.guard, changes.saturating_add(departed));
    let mut shown: BTreeMap<MailboxId, u64> = BTreeMap::new();
    for row in rows.values().filter(|row| is_plain_arrival(row)) {
        *shown.entry(row.mailbox).or_default() += 1;
    }
    let mut views = BTreeMap::new();
    for mailbox in run.store.mailboxes()? {
        if is_left_out(run, &mailbox) || !(run.settings.selects)(&mailbox.name) {
            continue;
        }
        let id = mailbox.id;
        let shown = shown.get(&id).copied().unwrap_or(0);
        let (newest_known, known_departed) = left.of(id);
        let asks = guarded && left.waves.contains_key(&id);
        let view = MailboxView {
            local_coverage: run.attempt.seen.local.get(&id).copied().unwrap_or_default(),
            remote_coverage: run.attempt.seen.remote.get(&id).copied().unwrap_or_default(),
            refused: run.attempt.seen.refused.contains(&id),
            agreed: if guarded { run.store.base_count(id)? } else { 0 },
            newest_known,
            keeps_known: !asks || run.store.keeps_agreed(id, newest_known)?,
            known_departed,
            // A mailbox goes only where one side has lost it.
            with_local: if mailbox.remote { 0 } else { run.store.local_count(id)? },
            with_remote: if mailbox.local { 0 } else { run.store.remote_count(id)? },
            remotes_beyond: run.store.new_remotes_beyond(id, shown)?,
            ..MailboxView::of(mailbox)
        };
        views.insert(id, view);
    }
    Ok(views)
}

/// The rows that `new_remote_count` counts: nothing but a server message.
fn is_plain_arrival(row: &Row) -> bool {
    state_of(row) == RowState::RemoteNew && row.base.is_none() && row.set_aside.is_none()
}
