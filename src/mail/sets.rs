//! Mailboxes that are sets: a copy of a message that they hold adds nothing to them (hazard 24).
//!
//! Gmail's are: `[Gmail]/All Mail` holds every message already, so that a file that is moved
//! there is archived by the removal from where it was.

use super::run::Run;
use crate::account::error::AccountError;
use crate::local::{FileName, TrashOutcome};
use crate::reconcile::row_state::{RowState, state_of};
use crate::reconcile::types::{Coverage, Journal, Mailbox, Row};

impl Run {
    /// Settles copies that the server agreed to and no look showed. Where the mailbox holds the
    /// very message, the file is a second one of it and goes to the local trash. The others are
    /// named, and the next run asks again.
    pub(super) fn settle_lost_copies(&mut self) -> Result<(), AccountError> {
        for row in self.attempt.copied.clone() {
            let Some(row) = self.store.row(row)?.filter(is_under_way) else { continue };
            let Some(mailbox) = self.store.mailbox(row.mailbox)? else { continue };
            let is_seen = self.attempt.seen.remote.get(&mailbox.id) == Some(&Coverage::Complete);
            let held = if is_seen { self.held(&mailbox, &row)? } else { None };
            if held.is_some() && self.drop_second_file(&mailbox, &row)? {
                continue;
            }
            let why = "the server acknowledged a copy but does not list it";
            self.report.skip(mailbox.name.to_string(), why);
        }
        Ok(())
    }

    /// The row of a message with the same bytes that is in this mailbox on both sides.
    fn held(&self, mailbox: &Mailbox, row: &Row) -> Result<Option<Row>, AccountError> {
        let Some(content) = row.content else { return Ok(None) };
        let is_held = |other: &Row| {
            other.mailbox == mailbox.id
                && other.id != row.id
                && state_of(other) == RowState::Paired
                && !other.weak
                && other.set_aside.is_none()
                && other.remote.as_ref().is_some_and(|remote| remote.confirmed)
        };
        let separator = self.settings.info_separator;
        for other in self.store.by_content(&content)?.into_iter().filter(is_held) {
            let Some(local) = &other.local else { continue };
            let there = self.root.stat(&mailbox.name, &FileName::of(local, separator))?;
            if there == Some(local.stamp) {
                return Ok(Some(other));
            }
        }
        Ok(None)
    }

    fn drop_second_file(&mut self, mailbox: &Mailbox, row: &Row) -> Result<bool, AccountError> {
        let Some(local) = &row.local else { return Ok(false) };
        let trashed = self.root.trash(&mailbox.name, local, self.environment.clock.now())?;
        if !matches!(trashed, TrashOutcome::Trashed(_)) {
            return Ok(false);
        }
        tracing::info!(mailbox = %mailbox.name, "the mailbox held the message that was moved to it");
        self.report.removed_local += 1;
        self.report.touch(&mailbox.name);
        self.record(|w| w.delete(row.id).map(drop))?;
        Ok(true)
    }
}

/// A copy that the server agreed to is nowhere to be seen yet.
fn is_under_way(row: &Row) -> bool {
    match row.journal {
        Journal::Moving { .. } => row.local.is_some() && row.remote.is_none(),
        Journal::Trashing { .. } => row.remote.is_some(),
        _ => false,
    }
}
