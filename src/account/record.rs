//! The only writer of the state store: every change of a row or a cursor goes through here.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::error::AccountError;
use super::report::Report;
use super::run::Run;
use crate::reconcile::guard::Direction;
use crate::reconcile::messages::is_settled;
use crate::reconcile::types::{Mailbox, MailboxId, MailboxName, Reach, Row, RowId, SpecialUse};
use crate::reconcile::{BringsBack, Hold as PlannedHold, HoldReason, MailboxView, Plan, Policy};
use crate::state::{Hold, HoldState, StateError, Store, Tx};

/// Where deleted messages go when the server names no \Trash.
const TRASH: &str = "Trash";

/// A transaction that knows which rows are settled.
pub struct Writer<'a> {
    tx: &'a Tx<'a>,
    policy: &'a Policy,
    views: RefCell<BTreeMap<MailboxId, MailboxView>>,
}

impl<'a> Writer<'a> {
    /// Wraps a transaction.
    #[must_use]
    pub fn new(tx: &'a Tx<'a>, policy: &'a Policy) -> Self {
        Self { tx, policy, views: RefCell::default() }
    }

    /// The transaction, for reads and for what is no row.
    #[must_use]
    pub fn tx(&self) -> &'a Tx<'a> {
        self.tx
    }

    fn settled(&self, row: &Row) -> Result<bool, StateError> {
        let mut views = self.views.borrow_mut();
        if let Some(view) = views.get(&row.mailbox) {
            return Ok(is_settled(row, view, self.policy));
        }
        let Some(mailbox) = self.tx.mailbox(row.mailbox)? else { return Ok(false) };
        let view = MailboxView::of(mailbox);
        let settled = is_settled(row, &view, self.policy);
        views.insert(row.mailbox, view);
        Ok(settled)
    }

    /// Stores a new row; its id is ignored. Gives the id that it got.
    ///
    /// # Errors
    /// Where the store cannot be written, or the UID or stem is taken in its mailbox.
    pub fn insert(&self, row: &Row) -> Result<RowId, StateError> {
        self.tx.insert_row(row, self.settled(row)?)
    }

    /// Stores a row anew.
    ///
    /// # Errors
    /// As [`Self::insert`].
    pub fn update(&self, row: &Row) -> Result<(), StateError> {
        self.tx.update_row(row, self.settled(row)?)
    }

    /// Forgets a row.
    ///
    /// # Errors
    /// Where the store cannot be written.
    pub fn delete(&self, row: RowId) -> Result<(), StateError> {
        self.tx.delete_row(row).map(|_| ())
    }

    /// Stores a mailbox; id 0 makes a new one. Gives its id.
    ///
    /// # Errors
    /// Where the store cannot be written.
    pub fn mailbox(&self, mailbox: &Mailbox) -> Result<MailboxId, StateError> {
        let id = self.tx.put_mailbox(mailbox)?;
        self.views.borrow_mut().remove(&id);
        Ok(id)
    }

    /// A file was put into a mailbox by the name of its directory, or not found by that name. Which
    /// directory that was, the next listing tells (hazard 162).
    ///
    /// # Errors
    /// Where the store cannot be written.
    pub fn list_again(&self, id: MailboxId) -> Result<(), StateError> {
        match self.tx.mailbox(id)?.filter(|mailbox| mailbox.stamps.is_some()) {
            Some(mailbox) => self.mailbox(&Mailbox { stamps: None, ..mailbox }).map(drop),
            None => Ok(()),
        }
    }

    /// Counts the removal of a message for the guard.
    ///
    /// # Errors
    /// Where the store cannot be written.
    pub fn departed(&self, now: i64, row: &Row, direction: Direction) -> Result<(), StateError> {
        self.tx.add_departed(now, row.mailbox, direction, row.id)
    }
}

impl Run {
    /// Writes in one transaction, durable when this returns.
    pub(super) fn record<T>(
        &mut self,
        write: impl FnOnce(&Writer<'_>) -> Result<T, StateError>,
    ) -> Result<T, AccountError> {
        let policy = self.policy()?;
        Ok(self.store.transaction(|tx| write(&Writer::new(tx, &policy)))?)
    }

    /// What was to be done with a file met none: the next look tells what became of it.
    pub(super) fn list_again(&mut self, mailbox: MailboxId) -> Result<(), AccountError> {
        self.record(|w| w.list_again(mailbox))
    }

    /// What the user configured, with the mailbox that is \Trash.
    pub(super) fn policy(&self) -> Result<Policy, AccountError> {
        Ok(Policy {
            pull_only: self.settings.pull_only,
            on_local_delete: self.settings.on_local_delete,
            on_remote_delete: self.settings.on_remote_delete,
            trash: Some(self.trash()),
            brings_back: BringsBack::default(),
            guard: self.settings.guard,
        })
    }

    /// The mailbox for deleted messages: the user's word, the server's, else the usual name.
    pub(super) fn trash(&self) -> MailboxName {
        let configured = self.settings.special_use.iter();
        let configured = configured.filter(|(s, _)| *s == SpecialUse::Trash).map(|(_, n)| n);
        let listed = self.attempt.seen.listed.iter();
        let listed = listed.filter(|m| m.special_use == Some(SpecialUse::Trash)).map(|m| &m.name);
        configured.chain(listed).next().cloned().unwrap_or_else(|| self.usual_trash())
    }

    /// The usual name, at the top, or below INBOX where all that the server has lies there.
    fn usual_trash(&self) -> MailboxName {
        let (top, below) = (MailboxName::new(TRASH), MailboxName::new(&format!("INBOX/{TRASH}")));
        let has = |name: &MailboxName| self.attempt.seen.listed.iter().any(|m| m.name == *name);
        let mut others = self.attempt.seen.listed.iter().filter(|m| !m.name.is_inbox()).peekable();
        let inbox = MailboxName::new(MailboxName::INBOX);
        let prefixed = others.peek().is_some() && others.all(|m| m.name.is_inferior_of(&inbox));
        if !has(&top) && (has(&below) || prefixed) { below } else { top }
    }

    /// Advances the counter that the root's marker and the store share, once a run, before
    /// its first effect: whichever is older next time was restored from somewhere.
    pub(super) fn mark(&mut self) -> Result<(), AccountError> {
        if self.attempt.marked {
            return Ok(());
        }
        super::restate::advance(&self.settings, &mut self.store, &self.root)?;
        self.attempt.marked = true;
        Ok(())
    }

    /// Stores the holds of a plan. A person may have answered since the plan was made: what was
    /// answered is left to the next plan.
    pub(super) fn record_holds(&mut self, plan: &Plan) -> Result<(), AccountError> {
        if is_recorded(&self.store.holds()?, plan) {
            return Ok(());
        }
        let now = self.outside.clock.now();
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

    /// A look at everything, after a change of the settings, has shown what departed before it.
    pub(super) fn finish_change(&mut self) -> Result<(), AccountError> {
        let mailboxes = self.store.mailboxes()?;
        let selects = &self.settings.selects;
        let whole = mailboxes.iter().filter(|m| selects(&m.name)).all(|m| self.has_seen(m));
        if whole {
            super::scope::finish(&mut self.store)?;
            super::observe::passed::forget(&mut self.store)?;
            super::restate::end_uniting(&mut self.store)?;
        }
        Ok(())
    }

    /// Whether both sides of a mailbox were looked at, wholly.
    fn has_seen(&self, mailbox: &Mailbox) -> bool {
        let sides = [&self.attempt.seen.local, &self.attempt.seen.remote];
        sides.iter().all(|side| side.get(&mailbox.id) == Some(&Reach::Complete))
    }

    /// A run that identified everything in its restated mailboxes ends their state.
    pub(super) fn finish_restated(&mut self) -> Result<(), AccountError> {
        // Of what was not looked at nothing was identified.
        let mut restated = self.store.mailboxes()?;
        restated.retain(|mailbox| mailbox.restated && self.has_seen(mailbox));
        for mailbox in restated {
            let unknown = self.store.new_remotes_beyond(mailbox.id, 0)?;
            if unknown == 0 && self.store.restated_count(mailbox.id)? == 0 {
                self.record(|w| w.mailbox(&Mailbox { restated: false, ..mailbox.clone() }))?;
            }
        }
        Ok(())
    }
}

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
            format!("{} would be removed; up to {limit} in 24 hours pass", messages(*now))
        }
        HoldReason::TooMany { now, before, limit } => format!(
            "{} would be removed after {before} in the last 24 hours; up to {limit} pass",
            messages(*now)
        ),
        HoldReason::Emptied { now, before: 0 } => {
            format!("{} would be removed and the mailbox left empty", messages(*now))
        }
        HoldReason::Emptied { now, before } => format!(
            "{} would be removed after {before} in the last 24 hours, and nothing would be left \
             of what the mailbox held",
            messages(*now)
        ),
        HoldReason::FlagsRemoved { now, limit } => {
            let side = match direction {
                Direction::FromRemote => "on the server",
                Direction::FromLocal => "of files",
            };
            format!("flags {side} would be removed from {}; up to {limit} pass", messages(*now))
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

/// Writes down a run that ended before anything was looked at.
pub(super) fn end_failed(
    store: &mut Store,
    number: i64,
    now: i64,
    error: &AccountError,
) -> Result<(), StateError> {
    let kind = error.kind();
    let outcome = serde_json::json!({ "failure": error.to_string(), "kind": kind }).to_string();
    store.transaction(|tx| tx.end_run(number, now, &outcome))
}

/// Writes down how a run ended.
pub(super) fn end_run(run: &mut Run, result: &Result<(), AccountError>) -> Result<(), StateError> {
    let held = !run.pending_holds()?.is_empty();
    let outcome = outcome(&run.report, result, held);
    let (number, now) = (run.attempt.number, run.outside.clock.now());
    run.store.transaction(|tx| {
        tx.prune_departures(now - 2 * super::world::WINDOW_S)?;
        tx.end_run(number, now, &outcome)
    })
}

/// What came of a run, as the store keeps it.
pub(super) fn outcome(report: &Report, result: &Result<(), AccountError>, held: bool) -> String {
    let kind = result.as_ref().err().map(AccountError::kind);
    let failure = result.as_ref().err().map(ToString::to_string);
    let skipped: Vec<_> =
        report.skipped.iter().map(|s| [s.what.as_str(), s.why.as_str()]).collect();
    let interrupted = report.interrupted;
    serde_json::json!({
        "failure": failure,
        "kind": kind,
        "skipped": skipped,
        "interrupted": interrupted,
        "held": held,
    })
    .to_string()
}
