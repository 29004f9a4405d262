//! A plan as lines of text that an author can write down beforehand.

use mailtide::reconcile::plan::MailboxStep;
use mailtide::reconcile::types::{FlagDelta, RowId};
use mailtide::reconcile::{HoldReason, Plan, RemoteRemoval, Step};

use super::model::Model;

impl Model {
    /// The steps and holds of a plan, a sorted line for each.
    #[must_use]
    pub fn describe(&self, plan: &Plan) -> Vec<String> {
        let mut lines: Vec<String> = plan.mailboxes.iter().map(|s| self.mailbox_line(s)).collect();
        let mut steps: Vec<String> = plan.steps.iter().map(|step| self.step_line(step)).collect();
        steps.sort();
        lines.append(&mut steps);
        for hold in &plan.holds {
            let reason = reason_text(&hold.reason);
            lines.push(format!("hold {} ({reason}, {:?})", hold.rows.len(), hold.direction));
        }
        lines
    }

    fn mailbox_line(&self, step: &MailboxStep) -> String {
        match step {
            MailboxStep::CreateLocal(id) => format!("{}: make here", self.name(*id)),
            MailboxStep::CreateRemote(id) => format!("{}: make there", self.name(*id)),
            MailboxStep::RemoveLocal(id) => format!("{}: remove here", self.name(*id)),
            MailboxStep::RemoveRemote(id) => format!("{}: remove there", self.name(*id)),
            MailboxStep::Forget(id) => format!("{}: forget", self.name(*id)),
            MailboxStep::Agree(id) => format!("{}: agree", self.name(*id)),
        }
    }

    fn step_line(&self, step: &Step) -> String {
        let row = |id: &RowId| self.row_name(*id);
        let place = |id: &RowId| self.place_name(*id);
        match step {
            Step::Pair { local, past, weak, .. } => {
                let past =
                    past.map_or_else(String::new, |p| format!(" from {}", self.place_name(p)));
                let weak = if *weak { " weakly" } else { "" };
                format!("{} pair{weak}{past}", row(local))
            }
            Step::Reattach { gone, .. } => format!("{} reattach", row(gone)),
            Step::Forget(id) => format!("{} forget", row(id)),
            Step::BringBack(id) => format!("{} bring back", row(id)),
            Step::Keep(id) => format!("{} keep", row(id)),
            Step::Flags { row: id, local, remote } => {
                format!("{} flags{}{}", row(id), change(" local", local), change(" remote", remote))
            }
            Step::Fetch(id) => format!("{} fetch", row(id)),
            Step::LocalCopy { from, to } => format!("{} local copy to {}", row(from), place(to)),
            Step::LocalMove { from, to, .. } => {
                format!("{} local move to {}", row(from), place(to))
            }
            Step::Push(id) => format!("{} push", row(id)),
            Step::RemoteCopy { from, to } => format!("{} remote copy to {}", row(from), place(to)),
            Step::RemoteMove { from, to } => format!("{} remote move to {}", row(from), place(to)),
            Step::RemoveRemote { row: id, how } => match how {
                RemoteRemoval::Trash(to) => format!("{} remote trash to {to}", row(id)),
                RemoteRemoval::MoveTo(to) => format!("{} remote file to {to}", row(id)),
                RemoteRemoval::Expunge => format!("{} remote expunge", row(id)),
            },
            Step::RemoveTwin { twin, .. } => format!("{} remote expunge twin", row(twin)),
            Step::RemoveLocal(id) => format!("{} local remove", row(id)),
        }
    }

    fn place_name(&self, id: RowId) -> String {
        self.row(id).map_or_else(String::new, |row| self.name(row.mailbox).to_string())
    }

    /// `A INBOX`: the body that lies behind a row, known to it or not, and its mailbox.
    fn row_name(&self, id: RowId) -> String {
        let Some(row) = self.row(id) else { return "?".to_owned() };
        let there = || {
            let folder = self.server.get(&self.name(row.mailbox))?;
            folder.mail.get(&row.remote.as_ref()?.uid.0).map(|mail| mail.body)
        };
        let known = row.content.map(|content| char::from(content.0[0]));
        let body = known.or_else(there).unwrap_or('?');
        format!("{body} {}", self.name(row.mailbox))
    }
}

/// The kind of a hold in two words.
pub(super) fn reason_text(reason: &HoldReason) -> &'static str {
    match reason {
        HoldReason::TooMany { .. } => "too many",
        HoldReason::Emptied { .. } => "emptied",
        HoldReason::FlagsRemoved { .. } => "flags removed",
        HoldReason::SurplusCopies { .. } => "surplus copies",
    }
}

fn change(side: &str, delta: &FlagDelta) -> String {
    let mut out = String::new();
    for (sign, flags) in [('+', &delta.add), ('-', &delta.remove)] {
        if !flags.is_empty() {
            out = format!("{out}{side} {sign}{flags:?}");
        }
    }
    out
}
