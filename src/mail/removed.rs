//! The record of removals that were carried out.

use std::collections::BTreeSet;

use super::run::Run;
use crate::account::error::AccountError;
use crate::reconcile::hold::{Direction, Kind};
use crate::reconcile::types::{Mailbox, RowId};
use crate::state::HoldState;

/// Rows whose removal a person approved: it does not count against the next removals.
pub(super) fn approved(run: &Run) -> Result<BTreeSet<RowId>, AccountError> {
    let holds = run.store.holds()?.into_iter();
    let approved = holds
        .filter(|hold| hold.state == HoldState::Approved && hold.reason.kind() == Kind::Removal);
    Ok(approved.flat_map(|hold| hold.rows).collect())
}

/// Deletes the rows of messages that were removed, and counts them for the guard.
pub(super) fn forget(
    run: &mut Run,
    mailbox: &Mailbox,
    rows: &[RowId],
    direction: Direction,
) -> Result<(), AccountError> {
    if rows.is_empty() {
        return Ok(());
    }
    let approved = approved(run)?;
    let now = run.environment.clock.now();
    run.record(|w| {
        for id in rows {
            let Some(row) = w.tx().row(*id)? else { continue };
            let rest_of_a_move = row.journal.is_moved() || row.base.is_none();
            if !approved.contains(id) && !rest_of_a_move {
                w.departed(now, &row, direction)?;
            }
            w.delete(*id)?;
        }
        Ok(())
    })?;
    match direction {
        Direction::FromRemote => run.report.removed_remote += rows.len() as u64,
        Direction::FromLocal => {
            run.report.removed_local += rows.len() as u64;
            run.report.touch(&mailbox.name);
        }
    }
    Ok(())
}
