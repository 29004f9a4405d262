//! What a person's word does to the state: a hold is rejected.

use crate::reconcile::hold::{Direction, Kind};
use crate::reconcile::row_state::{RowState, state_of};
use crate::reconcile::types::{Base, Journal, Row, SetAside, SetAsideKind};
use crate::state::{Hold, StateError, Tx};

/// Undoes what was held: the next run brings back what one side lost. A row that changed since
/// it was held is left as it is.
///
/// # Errors
/// Where the store cannot be written.
pub fn bring_back(tx: &Tx<'_>, hold: &Hold) -> Result<(), StateError> {
    for id in &hold.rows {
        let Some(row) = tx.row(*id)? else { continue };
        let kept = match (hold.reason.kind(), hold.direction, state_of(&row)) {
            // As if the side that lost it had never had it.
            (Kind::Removal, Direction::FromRemote, RowState::LocalGone)
            | (Kind::Removal, Direction::FromLocal, RowState::RemoteGone) => {
                Row { base: None, journal: Journal::Idle, set_aside: None, ..row }
            }
            (Kind::Flags, direction, RowState::Paired) => with_flags(row, direction),
            // The file stays here, and here alone.
            (Kind::Copies, _, RowState::LocalNew) => {
                let words = "you rejected the copy on the server".to_owned();
                let set_aside = Some(SetAside { kind: SetAsideKind::Kept, words, times: 1 });
                tx.update_row(&Row { set_aside, ..row }, true)?;
                continue;
            }
            _ => continue,
        };
        tx.update_row(&kept, false)?;
    }
    Ok(())
}

/// As if the flags that one side lost had never been agreed on: they are new on the other one.
fn with_flags(row: Row, direction: Direction) -> Row {
    let (Some(base), Some(local), Some(remote)) = (&row.base, &row.local, &row.remote) else {
        return row;
    };
    let lost = match direction {
        Direction::FromRemote => remote.flags.difference(&local.flags),
        Direction::FromLocal => local.flags.difference(&remote.flags),
    };
    let base = Some(Base { flags: base.flags.difference(&lost) });
    Row { base, ..row }
}
