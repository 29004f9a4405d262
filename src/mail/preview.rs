//! What a plan would do, as a person reads it.

use std::collections::{BTreeMap, BTreeSet};

use super::run::Run;
use crate::account::error::AccountError;
use crate::reconcile::plan::MailboxStep;
use crate::reconcile::types::{MailboxId, RowId};
use crate::reconcile::{Plan, RemoteRemoval, Step};

impl Run {
    /// Reports what a run would do and what it would hold; a dry run has a store of its own.
    pub(super) fn describe(&mut self, plan: &Plan) -> Result<(), AccountError> {
        let lines = lines_of(self, plan)?;
        self.report_plan(lines, plan)
    }

    /// Reports a plan in these lines, with what it holds.
    pub(super) fn report_plan(
        &mut self,
        lines: Vec<String>,
        plan: &Plan,
    ) -> Result<(), AccountError> {
        self.report.plan = lines;
        self.record_holds(plan)?;
        self.report.holds = self.pending_holds()?;
        self.describe_renames();
        Ok(())
    }

    /// What a dry run says where a mailbox got another name: its messages would be seen there
    /// only once it is renamed, so the rest of the plan is not what would come.
    fn describe_renames(&mut self) {
        self.report.plan.append(&mut self.attempt.twins);
        if !self.attempt.dry_run_renames.is_empty() {
            self.report.plan = std::mem::take(&mut self.attempt.dry_run_renames);
            self.report.plan.push("whatever else there is, once that is done".to_owned());
        }
    }
}

/// Plans as a person reads them: a line for each kind of step in each mailbox.
#[derive(Debug, Default)]
pub(super) struct Lines {
    mailboxes: Vec<String>,
    counts: BTreeMap<String, u64>,
}

impl Lines {
    /// A line about a mailbox.
    pub(super) fn mailbox(&mut self, line: String) {
        if !self.mailboxes.contains(&line) {
            self.mailboxes.push(line);
        }
    }

    /// What a plan does.
    pub(super) fn add(&mut self, run: &Run, plan: &Plan) -> Result<(), AccountError> {
        let names = mailbox_names(run)?;
        let name = |id: &MailboxId| names.get(id).cloned().unwrap_or_default();
        plan.mailboxes.iter().for_each(|step| self.mailbox(mailbox_line(step, &name)));
        let mut mailbox_of = BTreeMap::new();
        for row in plan.steps.iter().flat_map(Step::rows).collect::<BTreeSet<_>>() {
            if let Some(row) = run.store.row(row)? {
                mailbox_of.insert(row.id, name(&row.mailbox));
            }
        }
        let place = |row: &RowId| mailbox_of.get(row).cloned().unwrap_or_default();
        for step in &plan.steps {
            *self.counts.entry(step_line(step, &place)).or_default() += 1;
        }
        Ok(())
    }

    /// All lines; what is held has a place of its own in the report.
    pub(super) fn finish(self) -> Vec<String> {
        let counts = self.counts.into_iter().map(|(line, n)| format!("{n:>7}  {line}"));
        self.mailboxes.into_iter().chain(counts).collect()
    }
}

fn mailbox_names(run: &Run) -> Result<BTreeMap<MailboxId, String>, AccountError> {
    Ok(run.store.mailboxes()?.into_iter().map(|m| (m.id, m.name.to_string())).collect())
}

/// One plan as a person reads it.
fn lines_of(run: &Run, plan: &Plan) -> Result<Vec<String>, AccountError> {
    let mut lines = Lines::default();
    lines.add(run, plan)?;
    Ok(lines.finish())
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
        Step::BringBack(row) => {
            format!("{}: removed before the settings changed, bring back", place(row))
        }
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
