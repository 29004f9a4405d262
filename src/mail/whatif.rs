//! A dry run: what a run would do, to its end.
//!
//! A run goes on until a plan is idle, and a later plan follows from what an earlier one did:
//! files go up once every unknown message beside them is identified, a second page of
//! downloads follows the first, what goes to \Trash comes down there. So each plan is carried
//! out here, on the copy of the store that a dry run works on, and the next one is made from
//! that. Neither side is changed. Bodies that alone can tell whether a file is on the server
//! already are fetched, as a run would, and compared.

mod identify;

use std::collections::{BTreeSet, HashSet};
use std::mem::{Discriminant, discriminant};

use super::run::Run;
use super::writer::Writer;
use super::{apply, plan_input, preview};
use crate::account::error::AccountError;
use crate::reconcile::hold::Direction;
use crate::reconcile::plan::MailboxStep;
use crate::reconcile::types::{
    ContentId, Coverage, FileStamp, Flags, Journal, Local, Mailbox, MailboxId, MailboxStatus,
    Remote, Row, RowId, SpecialUse, Stem, Uid,
};
use crate::reconcile::{Plan, RemoteRemoval, Step};
use crate::state::{HoldState, StateError};

/// Plans after which it is given up: more than a run makes.
const PLANS_MAX: u32 = 100_000;

/// A mailbox that the server has just made.
const EMPTY: MailboxStatus =
    MailboxStatus { uid_validity: 1, uid_next: 1, messages: 0, highest_modseq: None };

/// What is done to the copy of the store, and told of.
#[derive(Debug, Default)]
struct WhatIf {
    lines: preview::Lines,
    /// Steps that were taken: a second time they would come to nothing, too.
    taken: HashSet<(Discriminant<Step>, RowId)>,
    /// UIDs that the server would give.
    uids: u32,
}

/// The lines of everything that a run would do.
pub(super) async fn describe(run: &mut Run) -> Result<(), AccountError> {
    let mut whatif = WhatIf::default();
    let mut last = Plan::default();
    for _ in 0..PLANS_MAX {
        last = plan_input::plan(run)?;
        let taken = &whatif.taken;
        last.steps.retain(|step| !key(step).is_some_and(|key| taken.contains(&key)));
        let known = identify::identify(run, &last.steps).await?;
        let plan = last.clone();
        last.steps.retain(|step| !matches!(step, Step::Fetch(row) if known.contains(row)));
        whatif.lines.add(run, &last)?;
        if plan.is_idle() || run.environment.is_stopping() {
            break;
        }
        whatif.taken.extend(last.steps.iter().filter_map(key));
        whatif.mailboxes(run, &plan.mailboxes)?;
        apply::note_facts(run, &plan.steps, &BTreeSet::new())?;
        whatif.steps(run, &plan.steps, &known)?;
        // Planning waits for nobody: others of this thread have their turn.
        tokio::task::yield_now().await;
    }
    // Nothing was done.
    (run.report.paired, run.report.noted) = (0, 0);
    let lines = whatif.lines.finish();
    run.report_plan(lines, &last)
}

fn key(step: &Step) -> Option<(Discriminant<Step>, RowId)> {
    let row = match step {
        Step::LocalCopy { to, .. } | Step::RemoteCopy { to, .. } => Some(*to),
        step => step.rows().first().copied(),
    };
    row.map(|row| (discriminant(step), row))
}

impl WhatIf {
    fn mailboxes(&mut self, run: &mut Run, steps: &[MailboxStep]) -> Result<(), AccountError> {
        for step in steps {
            match step {
                MailboxStep::CreateLocal(id) => {
                    let Some(mailbox) = run.store.mailbox(*id)? else { continue };
                    run.record(|w| w.mailbox(&Mailbox { local: true, base: true, ..mailbox }))?;
                    run.attempt.seen.local.insert(*id, Coverage::Complete);
                }
                MailboxStep::CreateRemote(id) => {
                    let Some(mailbox) = run.store.mailbox(*id)? else { continue };
                    let cursor = Some(EMPTY);
                    let made = Mailbox { remote: true, base: true, cursor, ..mailbox };
                    run.record(|w| w.mailbox(&made))?;
                    run.attempt.seen.remote.insert(*id, Coverage::Complete);
                }
                MailboxStep::Agree(id) => {
                    let Some(mailbox) = run.store.mailbox(*id)? else { continue };
                    run.record(|w| w.mailbox(&Mailbox { base: true, ..mailbox }))?;
                }
                MailboxStep::RemoveLocal(id)
                | MailboxStep::RemoveRemote(id)
                | MailboxStep::Forget(id) => {
                    run.record(|w| w.tx().delete_mailbox(*id).map(drop))?;
                }
            }
        }
        Ok(())
    }

    fn steps(
        &mut self,
        run: &mut Run,
        steps: &[Step],
        known: &BTreeSet<RowId>,
    ) -> Result<(), AccountError> {
        let (now, trash) = (run.environment.clock.now(), self.trash(run, steps)?);
        let holds = run.store.holds()?.into_iter();
        let approved = holds.filter(|hold| hold.state == HoldState::Approved);
        let approved: BTreeSet<RowId> = approved.flat_map(|hold| hold.rows).collect();
        run.record(|w| {
            for step in steps {
                self.step(w, step, known)?;
                let (row, direction) = match step {
                    Step::RemoveRemote { row, .. } => (*row, Direction::FromRemote),
                    Step::RemoveLocal(row) => (*row, Direction::FromLocal),
                    _ => continue,
                };
                let Some(row) = w.tx().row(row)? else { continue };
                w.delete(row.id)?;
                if !row.journal.is_moved() && !approved.contains(&row.id) {
                    w.departed(now, &row, direction)?;
                }
                if let (Step::RemoveRemote { how: RemoteRemoval::Trash(_), .. }, Some(trash)) =
                    (step, trash)
                {
                    // It comes down there.
                    let remote = self.shown(row.remote.map(|r| r.flags).unwrap_or_default());
                    let (words, header) = (row.words, row.header);
                    w.insert(&Row { remote, words, header, ..Row::new(trash) })?;
                }
            }
            Ok(())
        })
    }

    /// The mailbox for what is deleted, if it is mirrored; a run makes it where there is none.
    fn trash(&mut self, run: &mut Run, steps: &[Step]) -> Result<Option<MailboxId>, AccountError> {
        let name = steps.iter().find_map(|step| match step {
            Step::RemoveRemote { how: RemoteRemoval::Trash(name), .. } => Some(name),
            _ => None,
        });
        let Some(name) = name.filter(|name| (run.settings.selects)(name)) else { return Ok(None) };
        let known = run.store.mailbox_by_name(name)?;
        if let Some(known) = known.as_ref().filter(|mailbox| mailbox.remote) {
            return Ok(Some(known.id));
        }
        self.lines.mailbox(format!("make {name} on the server"));
        let mailbox = known.unwrap_or_else(|| Mailbox::new(name.clone()));
        let special_use = Some(SpecialUse::Trash);
        let made = Mailbox { remote: true, cursor: Some(EMPTY), special_use, ..mailbox };
        let id = run.record(|w| w.mailbox(&made))?;
        run.attempt.seen.remote.insert(id, Coverage::Complete);
        run.attempt.seen.local.insert(id, Coverage::Complete);
        Ok(Some(id))
    }

    fn step(
        &mut self,
        w: &Writer<'_>,
        step: &Step,
        known: &BTreeSet<RowId>,
    ) -> Result<(), StateError> {
        match step {
            Step::Flags { row, local, remote } => {
                let Some(mut row) = w.tx().row(*row)? else { return Ok(()) };
                if let Some(file) = &mut row.local {
                    file.flags = local.applied_to(&file.flags);
                }
                if let Some(message) = &mut row.remote {
                    message.flags = remote.applied_to(&message.flags);
                }
                apply::settle_base(w, row)
            }
            // The next plan pairs it.
            Step::Fetch(row) if known.contains(row) => Ok(()),
            Step::Fetch(row) => fetched(w, *row),
            Step::LocalCopy { from, to } => {
                let (from, to) = (w.tx().row(*from)?, w.tx().row(*to)?);
                let (Some(from), Some(to)) = (from, to) else { return Ok(()) };
                placed(w, Row { content: from.content, ..to })
            }
            Step::LocalMove { from, to, past } => {
                let (Some(source), Some(to)) = (w.tx().row(*from)?, w.tx().row(*to)?) else {
                    return Ok(());
                };
                w.delete(*from)?;
                if let Some(past) = past {
                    w.delete(*past)?;
                }
                placed(w, Row { content: source.content, ..to })
            }
            Step::Push(row) | Step::RemoteCopy { to: row, .. } => self.sent(w, *row),
            Step::RemoteMove { from, to } => {
                w.delete(*from)?;
                self.sent(w, *to)
            }
            Step::RemoveTwin { twin, .. } => w.delete(*twin),
            _ => Ok(()),
        }
    }

    /// A file or a message went up.
    fn sent(&mut self, w: &Writer<'_>, id: RowId) -> Result<(), StateError> {
        let Some(row) = w.tx().row(id)? else { return Ok(()) };
        let flags = row.local.as_ref().map(|local| local.flags.clone()).unwrap_or_default();
        let (remote, journal) = (self.shown(flags), Journal::Idle);
        apply::settle_base(w, Row { remote, journal, ..row })
    }

    /// A message that the server would show.
    fn shown(&mut self, flags: Flags) -> Option<Remote> {
        self.uids += 1;
        // From above: those of the server are given from below.
        Some(Remote { uid: Uid(u32::MAX - self.uids), flags, confirmed: true })
    }
}

/// A body came down; one that was not looked into is taken for one that nothing else has.
fn fetched(w: &Writer<'_>, id: RowId) -> Result<(), StateError> {
    let Some(row) = w.tx().row(id)? else { return Ok(()) };
    let unlike = ContentId(*blake3::hash(&id.0.to_be_bytes()).as_bytes());
    let content = row.content.or(Some(unlike));
    placed(w, Row { content, ..row })
}

/// A message got its file.
fn placed(w: &Writer<'_>, row: Row) -> Result<(), StateError> {
    let flags = row.remote.as_ref().map(|remote| remote.flags.clone()).unwrap_or_default();
    let stem = Stem(format!("dry-run-{}", row.id.0).into_bytes());
    let (info, stamp) = (String::new(), FileStamp::default());
    let local = Some(Local { stem, in_new: false, info, flags, stamp });
    apply::settle_base(w, Row { local, restated: false, journal: Journal::Idle, ..row })
}
