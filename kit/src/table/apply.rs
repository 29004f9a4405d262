//! Performs steps: intent, effect, fact, in the order and with the records of the engine.

use mailtide::reconcile::agree::base_now;
use mailtide::reconcile::hold::Direction;
use mailtide::reconcile::plan::MailboxStep;
use mailtide::reconcile::row_state::{is_claim, is_ending};
use mailtide::reconcile::types::{
    Base, FlagDelta, Journal, Local, Mailbox, Row, RowId, SetAside, SetAsideKind,
};
use mailtide::reconcile::{MailboxView, Plan, RemoteRemoval, Step};

use super::model::{Crash, Model, Outcome, Side};
use super::observe::stem_of;

/// What a step gives: a crash ends it.
pub(super) type Done = Result<(), Crash>;

impl Model {
    /// Performs a plan: mailboxes, facts, moves on disk, moves on the server, pushes, fetches,
    /// flags, removals.
    ///
    /// # Errors
    /// The crash.
    pub fn apply(&mut self, plan: &Plan) -> Done {
        for step in &plan.mailboxes {
            match self.next_outcome() {
                Some(Outcome::Skipped | Outcome::Void) => {}
                outcome => self.apply_mailbox(step, outcome.is_some())?,
            }
        }
        let mut steps: Vec<&Step> = plan.steps.iter().collect();
        steps.sort_by_key(|step| phase(step));
        for step in steps {
            // A step that is a record and nothing else is done, or the process is.
            let outcome = if phase(step) == 0 { None } else { self.next_outcome() };
            if outcome != Some(Outcome::Skipped) && !self.is_shut(step) {
                self.apply_step(step, outcome)?;
            }
        }
        Ok(())
    }

    /// Whether a step needs a mailbox that the server does not open now.
    fn is_shut(&self, step: &Step) -> bool {
        let row = match step {
            Step::Fetch(row)
            | Step::RemoteCopy { from: row, .. }
            | Step::RemoteMove { from: row, .. }
            | Step::RemoveTwin { twin: row, .. }
            | Step::RemoveRemote { row, .. } => row,
            Step::Flags { row, remote, .. } if !remote.is_empty() => row,
            _ => return false,
        };
        self.row(*row).is_some_and(|row| self.is_blind(Side::Remote, &self.name(row.mailbox)))
    }

    fn next_outcome(&mut self) -> Option<Outcome> {
        let number = self.fate.steps;
        self.fate.steps += 1;
        self.fate.outcomes.get(&number).copied()
    }

    fn apply_mailbox(&mut self, step: &MailboxStep, mute: bool) -> Done {
        let (MailboxStep::CreateLocal(id)
        | MailboxStep::CreateRemote(id)
        | MailboxStep::RemoveLocal(id)
        | MailboxStep::RemoveRemote(id)
        | MailboxStep::Forget(id)
        | MailboxStep::Agree(id)) = step;
        let Some(mailbox) = self.store.mailboxes.get(id).cloned() else { return Ok(()) };
        let name = mailbox.name.clone();
        self.tick()?;
        let now = match step {
            MailboxStep::CreateLocal(_) => {
                self.disk.entry(name).or_default();
                Some(Mailbox { local: true, base: true, ..mailbox })
            }
            MailboxStep::CreateRemote(_) => {
                self.server.entry(name).or_default();
                Some(Mailbox { base: true, remote: false, ..mailbox })
            }
            MailboxStep::RemoveLocal(_) => {
                if self.disk.get(&name).is_some_and(|files| !files.is_empty()) {
                    return Ok(());
                }
                self.disk.remove(&name);
                None
            }
            MailboxStep::RemoveRemote(_) => {
                if self.server.get(&name).is_some_and(|folder| !folder.mail.is_empty()) {
                    return Ok(());
                }
                self.server.remove(&name);
                None
            }
            MailboxStep::Forget(_) => None,
            MailboxStep::Agree(_) => Some(Mailbox { base: true, ..mailbox }),
        };
        if mute {
            return Ok(());
        }
        self.tick()?;
        match now {
            Some(mailbox) => drop(self.store.mailboxes.insert(*id, mailbox)),
            None => self.store.delete_mailbox(*id),
        }
        Ok(())
    }

    fn apply_step(&mut self, step: &Step, outcome: Option<Outcome>) -> Done {
        match step {
            Step::Pair { local, remote, past, weak } => self.pair(*local, *remote, *past, *weak),
            Step::Reattach { gone, found } => self.reattach(*gone, *found),
            Step::Forget(row) => {
                self.tick()?;
                self.store.rows.remove(row);
                Ok(())
            }
            Step::Keep(row) => self.keep(*row),
            Step::BringBack(row) => self.bring_back(*row),
            Step::Flags { row, local, remote } => self.change_flags(*row, local, remote, outcome),
            Step::Fetch(row) => self.fetch(*row, outcome),
            Step::LocalCopy { from, to } => self.copy_file(*from, *to, outcome),
            Step::LocalMove { from, to, past } => self.move_file(*from, *to, *past, outcome),
            Step::Push(row) => self.push(*row, outcome),
            Step::RemoteCopy { from, to } => self.transfer(*from, *to, false, outcome),
            Step::RemoteMove { from, to } => self.transfer(*from, *to, true, outcome),
            Step::RemoveRemote { row, how } => match how {
                RemoteRemoval::Trash(to) | RemoteRemoval::MoveTo(to) => {
                    self.move_away(*row, to, outcome)
                }
                RemoteRemoval::Expunge => self.expunge(*row, outcome),
            },
            Step::RemoveTwin { twin, of } => {
                self.expunge(*twin, outcome)?;
                self.count_twin(*twin, *of);
                Ok(())
            }
            Step::RemoveLocal(row) => self.remove_file(*row, outcome),
        }
    }

    /// One record, in one transaction.
    fn pair(&mut self, local: RowId, remote: RowId, past: Option<RowId>, weak: bool) -> Done {
        let (Some(local), Some(remote)) = (self.row(local), self.row(remote)) else {
            return Ok(());
        };
        self.tick()?;
        let past = past.and_then(|past| self.row(past));
        let base = match (&past, &local.journal) {
            (None, Journal::Moving { from, .. }) => self.row(*from).and_then(|from| from.base),
            (past, _) => past.as_ref().and_then(|past| past.base.clone()),
        };
        let base = base.or(local.base.clone());
        let base = match local.local {
            Some(_) => base,
            None => {
                base.or_else(|| remote.remote.as_ref().map(|r| Base { flags: r.flags.clone() }))
            }
        };
        let base = Some(base.unwrap_or_default());
        let ends = local.local.is_none() && is_ending(&local);
        let journal = if ends { local.journal.clone() } else { after_push(&local.journal) };
        let restated = local.local.is_none() && local.restated && !ends;
        self.store.rows.remove(&remote.id);
        if let Some(past) = past {
            self.release(past);
        }
        self.store.update(Row {
            remote: remote.remote,
            words: remote.words,
            header: remote.header.or(local.header),
            weak: weak || local.weak,
            restated,
            journal,
            base,
            set_aside: None,
            ..local
        });
        Ok(())
    }

    /// The row that a message left: what the server still has of it there is expunged.
    pub(super) fn release(&mut self, past: Row) {
        if past.remote.is_none() {
            self.store.rows.remove(&past.id);
        } else {
            let (journal, restated) = (Journal::Moved { copy: None }, false);
            self.store.update(Row { journal, restated, set_aside: None, ..past });
        }
    }

    fn reattach(&mut self, gone: RowId, found: RowId) -> Done {
        let (Some(gone), Some(found)) = (self.row(gone), self.row(found)) else { return Ok(()) };
        self.tick()?;
        self.store.rows.remove(&found.id);
        let journal = if is_claim(&gone) { gone.journal.clone() } else { Journal::Idle };
        let (local, restated) = (found.local, gone.restated && gone.base.is_some());
        self.store.update(Row { local, set_aside: None, journal, restated, ..gone });
        Ok(())
    }

    fn bring_back(&mut self, row: RowId) -> Done {
        let Some(row) = self.row(row) else { return Ok(()) };
        self.tick()?;
        let (restated, journal) = (true, Journal::Idle);
        self.store.update(Row { restated, journal, set_aside: None, ..row });
        Ok(())
    }

    fn keep(&mut self, row: RowId) -> Done {
        let Some(row) = self.row(row) else { return Ok(()) };
        self.tick()?;
        let kept = SetAside { kind: SetAsideKind::Kept, words: "kept".to_owned(), times: 1 };
        self.store.update(Row { set_aside: Some(kept), ..row });
        Ok(())
    }

    /// Writes a paired row with the base that its columns agree on now.
    pub(super) fn settle_base(&mut self, mut row: Row) {
        if let Some(mailbox) = self.store.mailboxes.get(&row.mailbox)
            && let Some(flags) = base_now(&row, &MailboxView::of(mailbox.clone()))
        {
            row.base = Some(Base { flags });
            row.restated = false;
        }
        self.store.update(row);
    }

    fn change_flags(
        &mut self,
        id: RowId,
        local: &FlagDelta,
        remote: &FlagDelta,
        outcome: Option<Outcome>,
    ) -> Done {
        if local.is_empty() && remote.is_empty() {
            self.tick()?;
            if let Some(row) = self.row(id) {
                self.settle_base(row);
            }
            return Ok(());
        }
        // A refused STORE is no OK. One that says OK and takes nothing is the server's word on
        // its mailbox: the next look brings that down.
        if outcome == Some(Outcome::Void) {
            return Ok(());
        }
        if !local.is_empty() {
            self.change_file_flags(id, local, outcome)?;
        }
        if !remote.is_empty() {
            self.store_flags(id, remote, outcome)?;
        }
        Ok(())
    }

    fn change_file_flags(
        &mut self,
        id: RowId,
        delta: &FlagDelta,
        outcome: Option<Outcome>,
    ) -> Done {
        let Some(row) = self.row(id) else { return Ok(()) };
        let Some(local) = row.local.clone() else { return Ok(()) };
        let flags = delta.applied_to(&local.flags);
        let name = self.name(row.mailbox);
        self.tick()?;
        let files = self.disk.get_mut(&name);
        let Some(mail) = files.and_then(|files| files.get_mut(&stem_of(&local))) else {
            return Ok(());
        };
        // A reader was quicker: the next look sees what it did.
        if mail.flags != local.flags {
            return Ok(());
        }
        mail.flags.clone_from(&flags);
        if outcome == Some(Outcome::Mute) {
            return Ok(());
        }
        self.tick()?;
        self.settle_base(Row { local: Some(Local { flags, ..local }), ..row });
        Ok(())
    }

    /// STORE: an OK says that it was understood; what was taken is seen by the next look.
    fn store_flags(&mut self, id: RowId, delta: &FlagDelta, outcome: Option<Outcome>) -> Done {
        let Some(mut row) = self.row(id) else { return Ok(()) };
        let name = self.name(row.mailbox);
        let mask = self.mask.clone();
        let Some(remote) = row.remote.as_mut() else { return Ok(()) };
        self.tick()?;
        let folder = self.server.get_mut(&name);
        if let Some(mail) = folder.and_then(|folder| folder.mail.get_mut(&remote.uid.0)) {
            let taken = mask.apply(&delta.applied_to(&mail.flags));
            mail.flags = taken;
        }
        if outcome == Some(Outcome::Mute) {
            return Ok(());
        }
        self.tick()?;
        remote.flags = delta.applied_to(&remote.flags);
        remote.confirmed = false;
        self.settle_base(row);
        Ok(())
    }

    pub(super) fn departed(&mut self, row: &Row, direction: Direction) {
        if !self.store.approved.contains(&row.id) {
            *self.store.departures.entry((row.mailbox, direction)).or_default() += 1;
        }
    }
}

/// The order in which kinds of steps are performed.
fn phase(step: &Step) -> u8 {
    match step {
        Step::Pair { .. }
        | Step::Reattach { .. }
        | Step::Forget(_)
        | Step::Keep(_)
        | Step::BringBack(_) => 0,
        Step::Flags { local, remote, .. } if local.is_empty() && remote.is_empty() => 0,
        Step::LocalMove { .. } => 1,
        Step::LocalCopy { .. } => 2,
        Step::RemoteCopy { .. } | Step::RemoteMove { .. } => 3,
        Step::Push(_) => 4,
        Step::Fetch(_) => 5,
        Step::Flags { .. } => 6,
        Step::RemoveRemote { .. } | Step::RemoveTwin { .. } => 7,
        Step::RemoveLocal(_) => 8,
    }
}

/// A push that was sent more than once may still bring twins.
pub(super) fn after_push(journal: &Journal) -> Journal {
    match journal {
        Journal::Pushing { uid_validity, uid_next, attempts, .. } if *attempts > 1 => {
            let (uid_validity, uid_next) = (*uid_validity, *uid_next);
            Journal::Pushed { uid_validity, uid_next, twins: attempts - 1 }
        }
        Journal::Pushed { .. } => journal.clone(),
        _ => Journal::Idle,
    }
}
