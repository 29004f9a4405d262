//! The only writer of the state store: every change of a row or a cursor goes through here.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use super::{AccountError, Report, Run};
use crate::reconcile::guard::Direction;
use crate::reconcile::messages::is_settled;
use crate::reconcile::types::{Mailbox, MailboxId, MailboxName, Row, RowId, SpecialUse};
use crate::reconcile::{HoldReason, MailboxView, Plan, Policy};
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

    /// Counts removals for the guard.
    ///
    /// # Errors
    /// Where the store cannot be written.
    pub fn departed(
        &self,
        now: i64,
        mailbox: MailboxId,
        direction: Direction,
        count: u64,
    ) -> Result<(), StateError> {
        self.tx.add_departure(now, mailbox, direction, count)
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

    /// What the user configured, with the mailbox that is \Trash.
    pub(super) fn policy(&self) -> Result<Policy, AccountError> {
        Ok(Policy {
            pull_only: self.settings.pull_only,
            on_local_delete: self.settings.on_local_delete,
            on_remote_delete: self.settings.on_remote_delete,
            trash: Some(self.trash()),
            guard: self.settings.guard,
        })
    }

    /// The mailbox for deleted messages: the user's word, the server's, else the usual name.
    pub(super) fn trash(&self) -> MailboxName {
        let configured = self.settings.special_use.iter();
        let configured = configured.filter(|(s, _)| *s == SpecialUse::Trash).map(|(_, n)| n);
        let listed = self.seen.listed.iter();
        let listed = listed.filter(|m| m.special_use == Some(SpecialUse::Trash)).map(|m| &m.name);
        configured.chain(listed).next().cloned().unwrap_or_else(|| self.usual_trash())
    }

    /// The usual name, at the top, or below INBOX where all that the server has lies there.
    fn usual_trash(&self) -> MailboxName {
        let (top, below) = (MailboxName::new(TRASH), MailboxName::new(&format!("INBOX/{TRASH}")));
        let has = |name: &MailboxName| self.seen.listed.iter().any(|m| m.name == *name);
        let mut others = self.seen.listed.iter().filter(|m| !m.name.is_inbox()).peekable();
        let inbox = MailboxName::new(MailboxName::INBOX);
        let prefixed = others.peek().is_some() && others.all(|m| m.name.is_inferior_of(&inbox));
        if !has(&top) && (has(&below) || prefixed) { below } else { top }
    }

    /// Advances the counter that the root's marker and the store share, once a run, before
    /// its first effect: whichever is older next time was restored from somewhere.
    pub(super) fn mark(&mut self) -> Result<(), AccountError> {
        if self.marked {
            return Ok(());
        }
        super::restate::advance(&self.settings, &mut self.store, &self.root)?;
        self.marked = true;
        Ok(())
    }

    /// Replaces the holds of the last plan by those of this one; a person's answer stays with
    /// exactly the rows it was given for.
    pub(super) fn record_holds(&mut self, plan: &Plan) -> Result<(), AccountError> {
        let old = self.store.holds()?;
        let known = old.iter().all(|hold| hold.state == HoldState::Pending);
        if known && old.iter().map(|h| &h.id).eq(plan.holds.iter().map(|h| &h.id)) {
            return Ok(());
        }
        let mut open = BTreeSet::new();
        for row in old.iter().flat_map(|hold| &hold.rows) {
            if self.store.row(*row)?.is_some_and(|row| row.local.is_some() != row.remote.is_some())
            {
                open.insert(*row);
            }
        }
        let now = self.outside.clock.now();
        let mailboxes = self.store.mailboxes()?;
        self.record(|w| {
            for hold in &old {
                let waits = match hold.state {
                    HoldState::Pending => plan.holds.iter().any(|new| new.id == hold.id),
                    // An answer is kept until its last row is done with.
                    _ => hold.rows.iter().any(|row| open.contains(row)),
                };
                if !waits {
                    w.tx().delete_hold(&hold.id)?;
                }
            }
            for hold in &plan.holds {
                if old.iter().any(|known| known.id == hold.id) {
                    continue;
                }
                let name = mailboxes.iter().find(|m| Some(m.id) == hold.mailbox);
                w.tx().put_hold(&Hold {
                    id: hold.id.clone(),
                    created: now,
                    mailbox: hold.mailbox,
                    mailbox_name: name.map_or_else(String::new, |m| m.name.as_str().to_owned()),
                    direction: hold.direction,
                    why: why(&hold.reason),
                    rows: hold.rows.clone(),
                    state: HoldState::Pending,
                })?;
            }
            Ok(())
        })
    }

    /// A run that identified everything in its restated mailboxes ends their state.
    pub(super) fn finish_restated(&mut self) -> Result<(), AccountError> {
        for mailbox in self.store.mailboxes()?.into_iter().filter(|m| m.restated) {
            let unknown = self.store.new_remotes_beyond(mailbox.id, 0)?;
            if unknown == 0 && self.store.restated_count(mailbox.id)? == 0 {
                self.record(|w| w.mailbox(&Mailbox { restated: false, ..mailbox.clone() }))?;
            }
        }
        Ok(())
    }
}

/// The reason of a hold in words for a person.
#[must_use]
pub fn why(reason: &HoldReason) -> String {
    match reason {
        HoldReason::TooMany { now, before: 0, limit } => {
            format!("{now} messages would be removed at once; up to {limit} in 24 hours pass")
        }
        HoldReason::TooMany { now, before, limit } => format!(
            "{now} messages would be removed after {before} in the last 24 hours; up to {limit} pass"
        ),
        HoldReason::Emptied { now } => {
            format!("all {now} messages would be removed and the mailbox left empty")
        }
        HoldReason::FlagsRemoved { now, limit } => {
            format!("flags would be removed from {now} messages at once; up to {limit} pass")
        }
        HoldReason::SurplusCopies { now } => {
            format!("{now} more copies of messages that the mailbox already holds would be made")
        }
    }
}

/// Writes down a run that ended before anything was looked at.
pub(super) fn end_failed(
    store: &mut Store,
    number: i64,
    now: i64,
    error: &AccountError,
) -> Result<(), StateError> {
    let outcome = serde_json::json!({ "failure": error.to_string() }).to_string();
    store.transaction(|tx| tx.end_run(number, now, &outcome))
}

/// Writes down how a run ended.
pub(super) fn end_run(run: &mut Run, result: &Result<(), AccountError>) -> Result<(), StateError> {
    let outcome = outcome(&run.report, result);
    let (number, now) = (run.number, run.outside.clock.now());
    run.store.transaction(|tx| tx.end_run(number, now, &outcome))
}

/// What came of a run, as the store keeps it.
pub(super) fn outcome(report: &Report, result: &Result<(), AccountError>) -> String {
    let failure = result.as_ref().err().map(ToString::to_string);
    let skipped: Vec<_> =
        report.skipped.iter().map(|s| [s.what.as_str(), s.why.as_str()]).collect();
    let interrupted = report.interrupted;
    serde_json::json!({ "failure": failure, "skipped": skipped, "interrupted": interrupted })
        .to_string()
}
