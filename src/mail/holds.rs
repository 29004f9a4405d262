//! Holds as they are stored, and their reasons in words.

use std::collections::BTreeMap;

use super::run::Run;
use super::writer::Writer;
use crate::account::error::AccountError;
use crate::reconcile::hold::Direction;
use crate::reconcile::types::{Mailbox, RowId};
use crate::reconcile::{Hold as PlannedHold, HoldReason, Plan};
use crate::state::{Hold, HoldState, StateError};

/// Dissolves a hold that was explained; an answer is kept until its last row is done with, and
/// for no other row.
fn forget_answered(w: &Writer<'_>, plan: &Plan, hold: &Hold) -> Result<(), StateError> {
    if hold.state == HoldState::Pending {
        let goes_on = plan.holds.iter().any(|planned| {
            planned.id == hold.id || planned.replaces.as_deref() == Some(hold.id.as_str())
        });
        return if goes_on { Ok(()) } else { w.tx().delete_hold(&hold.id).map(drop) };
    }
    match plan.approved.iter().find(|planned| planned.id == hold.id) {
        // Answered since the plan was made.
        None => Ok(()),
        Some(planned) if planned.rows.is_empty() => w.tx().delete_hold(&hold.id).map(drop),
        Some(planned) => w.tx().put_hold(&Hold { rows: planned.rows.clone(), ..hold.clone() }),
    }
}

/// Whether the store says of holds what the plan does.
fn is_recorded(stored: &[Hold], plan: &Plan) -> bool {
    let same = |state: HoldState, planned: &[PlannedHold]| {
        let stored: BTreeMap<&str, &[RowId]> = stored
            .iter()
            .filter(|hold| hold.state == state)
            .map(|hold| (hold.id.as_str(), hold.rows.as_slice()))
            .collect();
        let planned = planned.iter().map(|hold| (hold.id.as_str(), hold.rows.as_slice()));
        stored == planned.collect()
    };
    same(HoldState::Pending, &plan.holds) && same(HoldState::Approved, &plan.approved)
}

/// A hold of a plan as it is stored; `known` is what was stored of it, or of the one that it
/// takes the place of.
pub(super) fn stored_hold(
    hold: &PlannedHold,
    known: Option<&Hold>,
    mailboxes: &[Mailbox],
    now: i64,
) -> Hold {
    let same = known.filter(|known| known.id == hold.id);
    let name = mailboxes.iter().find(|m| Some(m.id) == hold.mailbox);
    Hold {
        id: hold.id.clone(),
        created: same.map_or(now, |known| known.created),
        mailbox: hold.mailbox,
        mailbox_name: name.map_or_else(String::new, |m| m.name.as_str().to_owned()),
        direction: hold.direction,
        why: why(hold.direction, &hold.reason),
        reason: hold.reason.clone(),
        rows: hold.rows.clone(),
        samples: same.and_then(|known| known.samples.clone()),
        state: HoldState::Pending,
    }
}

/// The reason of a hold in words for a person.
#[must_use]
pub fn why(direction: Direction, reason: &HoldReason) -> String {
    match reason {
        HoldReason::TooMany { now, before: 0, limit } => {
            format!("{} would be removed; the limit is {limit} in 24 hours", messages(*now))
        }
        HoldReason::TooMany { now, before, limit } => format!(
            "{} would be removed after {before} in the last 24 hours; the limit is {limit}",
            messages(*now)
        ),
        HoldReason::Emptied { now, before: 0 } => {
            format!("{} would be removed and the mailbox left empty", messages(*now))
        }
        HoldReason::Emptied { now, before } => format!(
            "{} would be removed after {before} in the last 24 hours, leaving none of the \
             mailbox's messages",
            messages(*now)
        ),
        HoldReason::FlagsRemoved { now, limit } => {
            let side = match direction {
                Direction::FromRemote => "on the server",
                Direction::FromLocal => "of files",
            };
            format!("flags {side} would be removed from {}; the limit is {limit}", messages(*now))
        }
        HoldReason::SurplusCopies { now } => format!(
            "{now} more {} that the mailbox already holds would be made on the server",
            if *now == 1 { "copy of a message" } else { "copies of messages" }
        ),
    }
}

fn messages(count: u64) -> String {
    format!("{count} message{}", if count == 1 { "" } else { "s" })
}

impl Run {
    /// Stores the holds of a plan. A person may have answered since the plan was made: what was
    /// answered is left to the next plan.
    pub(super) fn record_holds(&mut self, plan: &Plan) -> Result<(), AccountError> {
        if is_recorded(&self.store.holds()?, plan) {
            return Ok(());
        }
        let now = self.environment.clock.now();
        let mailboxes = self.store.mailboxes()?;
        let new = self.record(|w| {
            let stored = w.tx().holds()?;
            let mut new = Vec::new();
            let pending = |id: &str| {
                stored.iter().find(|hold| hold.id == id && hold.state == HoldState::Pending)
            };
            for hold in &plan.holds {
                let replaced = hold.replaces.as_deref().map(|id| (id, pending(id)));
                let known = match (pending(&hold.id), replaced) {
                    (Some(known), _) | (None, Some((_, Some(known)))) => Some(known),
                    // Answered meanwhile.
                    (None, Some((_, None))) => continue,
                    (None, None) if hold.added == 0 => continue,
                    (None, None) => None,
                };
                let hold = stored_hold(hold, known, &mailboxes, now);
                w.tx().put_hold(&hold)?;
                new.extend(known.is_none_or(|known| known.id != hold.id).then_some(hold));
            }
            for hold in &plan.holds {
                if let Some(old) = hold.replaces.as_deref().filter(|id| pending(id).is_some()) {
                    w.tx().replace_hold(old, &hold.id, hold.added)?;
                }
            }
            for hold in &stored {
                forget_answered(w, plan, hold)?;
            }
            Ok(new)
        })?;
        self.report.holds.extend(new);
        Ok(())
    }

    /// What waits for a person.
    pub(super) fn pending_holds(&self) -> Result<Vec<Hold>, StateError> {
        let mut holds = self.store.holds()?;
        holds.retain(|hold| hold.state == HoldState::Pending);
        Ok(holds)
    }
}
