//! Loads what a plan is made from: rows whose columns differ, and what they could match.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::{AccountError, Run};
use crate::reconcile::pairing::{Class, class};
use crate::reconcile::plan::MailboxStep;
use crate::reconcile::types::{Journal, MailboxId, Reach, Row, RowId};
use crate::reconcile::{MailboxView, Plan, RemoteRemoval, Step, World, guard};
use crate::state::{HoldState, StateError};

/// New server messages that one plan looks at; the next page follows when they are done.
const PAGE: usize = 4000;
/// Unsettled rows that one plan looks at.
const UNSETTLED_MAX: usize = 200_000;
/// Rows that are set aside and could be what was pushed.
const ASIDE_MAX: usize = 1000;
/// Tried and failed arrivals that a page steps over: with more of them the next look goes on.
const TRIED_MAX: usize = 50_000;
/// The guard's window.
const WINDOW_S: i64 = 24 * 60 * 60;

/// Loads one round's world.
pub(super) fn load(run: &Run) -> Result<World, AccountError> {
    let rows = load_rows(run)?;
    let departures = run.store.departures(run.outside.clock.now() - WINDOW_S)?;
    let left: u64 = departures.values().sum();
    let mailboxes = views(run, &rows, left)?;
    let holds = run.store.holds()?.into_iter();
    let approved = holds.filter(|hold| hold.state == HoldState::Approved);
    Ok(World {
        mailboxes,
        rows: rows.into_values().collect(),
        policy: run.policy()?,
        run: run.number,
        outside: run.seen.outside.clone(),
        departures,
        approved: approved.flat_map(|hold| hold.rows).collect(),
    })
}

fn load_rows(run: &Run) -> Result<BTreeMap<RowId, Row>, AccountError> {
    let mut rows: BTreeMap<RowId, Row> = BTreeMap::new();
    let unsettled = run.store.unsettled(None, UNSETTLED_MAX)?;
    let arrivals = run.store.new_remotes(PAGE + run.tried.len().min(TRIED_MAX))?;
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
    Ok(rows)
}

/// Rows, settled or not, that could be the same message as this one.
fn could_match(run: &Run, row: &Row) -> Result<Vec<Row>, StateError> {
    let mut out = Vec::new();
    if let Some(content) = row.content.filter(|_| class(row) != Class::Paired) {
        out.extend(run.store.by_content(&content)?);
    }
    if class(row) == Class::RemoteNew
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
    left: u64,
) -> Result<BTreeMap<MailboxId, MailboxView>, AccountError> {
    let changes = rows.values().filter(|row| class(row) != Class::RemoteNew).count() as u64;
    // Counting reads an index through: only where the guard could ask for it.
    let guarded = guard::asks_for_sizes(changes + left);
    let mut shown: BTreeMap<MailboxId, u64> = BTreeMap::new();
    for row in rows.values().filter(|row| is_plain_arrival(row)) {
        *shown.entry(row.mailbox).or_default() += 1;
    }
    let mut views = BTreeMap::new();
    for mailbox in run.store.mailboxes()? {
        if !(run.settings.selects)(&mailbox.name) {
            continue;
        }
        let id = mailbox.id;
        let shown = shown.get(&id).copied().unwrap_or(0);
        let view = MailboxView {
            // Where the walk over the root could not look, a message may have gone.
            local_reach: match run.seen.walk {
                Reach::Partial => Reach::Partial,
                _ => run.seen.local.get(&id).copied().unwrap_or_default(),
            },
            remote_reach: run.seen.remote.get(&id).copied().unwrap_or_default(),
            agreed: if guarded { run.store.base_count(id)? } else { 0 },
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
    class(row) == Class::RemoteNew && row.base.is_none() && row.set_aside.is_none()
}

/// The plan as a person reads it, a line for each kind of step in each mailbox.
pub(super) fn describe(run: &Run, plan: &Plan) -> Result<Vec<String>, AccountError> {
    let names: BTreeMap<MailboxId, String> =
        run.store.mailboxes()?.into_iter().map(|m| (m.id, m.name.to_string())).collect();
    let name = |id: &MailboxId| names.get(id).cloned().unwrap_or_default();
    let mut lines: Vec<String> = plan.mailboxes.iter().map(|s| mailbox_line(s, &name)).collect();
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    let mut mailbox_of = BTreeMap::new();
    for row in plan.steps.iter().flat_map(Step::rows).collect::<BTreeSet<_>>() {
        if let Some(row) = run.store.row(row)? {
            mailbox_of.insert(row.id, name(&row.mailbox));
        }
    }
    let place = |row: &RowId| mailbox_of.get(row).cloned().unwrap_or_default();
    for step in &plan.steps {
        *counts.entry(step_line(step, &place)).or_default() += 1;
    }
    lines.extend(counts.into_iter().map(|(line, n)| format!("{n:>7}  {line}")));
    for hold in &plan.holds {
        let mut line = format!("   held  {}: ", hold.id);
        let _ = write!(line, "{}", super::record::why(&hold.reason));
        if let Some(mailbox) = hold.mailbox {
            let _ = write!(line, " ({})", name(&mailbox));
        }
        lines.push(line);
    }
    Ok(lines)
}

fn mailbox_line(step: &MailboxStep, name: &dyn Fn(&MailboxId) -> String) -> String {
    match step {
        MailboxStep::CreateLocal(id) => format!("make the directory of {}", name(id)),
        MailboxStep::CreateRemote(id) => format!("make {} on the server", name(id)),
        MailboxStep::RemoveLocal(id) => format!("move the directory of {} to the trash", name(id)),
        MailboxStep::RemoveRemote(id) => format!("delete {} on the server", name(id)),
        MailboxStep::Forget(id) => format!("forget {}, which is gone on both sides", name(id)),
        MailboxStep::Agree(id) => format!("note that both sides have {}", name(id)),
    }
}

fn step_line(step: &Step, place: &dyn Fn(&RowId) -> String) -> String {
    match step {
        Step::Pair { local, .. } => format!("{}: already on both sides, pair", place(local)),
        Step::Reattach { gone, .. } => format!("{}: renamed file, note", place(gone)),
        Step::Forget(row) => format!("{}: gone on both sides, forget", place(row)),
        Step::Keep(row) => format!("{}: removed on one side, keep on the other", place(row)),
        Step::Flags { row, local, remote } => match (local.is_empty(), remote.is_empty()) {
            (true, true) => format!("{}: flags agree, note", place(row)),
            (false, true) => format!("{}: change flags of the file", place(row)),
            (true, false) => format!("{}: change flags on the server", place(row)),
            (false, false) => format!("{}: change flags on both sides", place(row)),
        },
        Step::Fetch(row) => format!("{}: download", place(row)),
        Step::LocalCopy { from, to } => {
            format!("{} → {}: copy the file (no download)", place(from), place(to))
        }
        Step::LocalMove { from, to, .. } => {
            format!("{} → {}: move the file (no download)", place(from), place(to))
        }
        Step::Push(row) => format!("{}: upload", place(row)),
        Step::RemoteCopy { from, to } => {
            format!("{} → {}: copy on the server (no upload)", place(from), place(to))
        }
        Step::RemoteMove { from, to } => {
            format!("{} → {}: move on the server (no upload)", place(from), place(to))
        }
        Step::RemoveRemote { row, how } => match how {
            RemoteRemoval::Trash(trash) => {
                format!("{}: deleted here, move to {trash} on the server", place(row))
            }
            RemoteRemoval::MoveTo(to) => format!("{}: filed here, move to {to}", place(row)),
            RemoteRemoval::Expunge => format!("{}: deleted here, expunge", place(row)),
        },
        Step::RemoveTwin { twin, .. } => format!("{}: remove a doubled upload", place(twin)),
        Step::RemoveLocal(row) => {
            format!("{}: deleted on the server, move the file to the trash", place(row))
        }
    }
}
