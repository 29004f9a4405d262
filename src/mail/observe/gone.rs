//! Messages that a complete look did not show.

use super::absent::Absent;
use crate::mail::claim::claimed;
use crate::mail::writer::Writer;
use crate::reconcile::types::{MailboxStatus, Row, SetAsideKind};
use crate::state::StateError;

/// Records that a complete look did not show the message of a row. `now` is how its mailbox stands,
/// none where the mailbox itself is gone.
pub(super) fn forget_message(
    w: &Writer<'_>,
    mut row: Row,
    absent: Absent,
    now: Option<MailboxStatus>,
) -> Result<(), StateError> {
    debug_assert!(absent.covers(&row), "a look at another mailbox");
    let Some(remote) = row.remote.take() else { return Ok(()) };
    // What is in doubt with its root tells where a file of that root went (hazard 72).
    if row.local.is_none() && row.base.is_none() && (!row.restated || row.content.is_none()) {
        return w.delete(row.id);
    }
    // A UID that UIDNEXT has not reached was not given out yet, whatever APPENDUID or COPYUID
    // said (hazards 24 and 134). Any other one was, and another client moved or removed the
    // message before it was seen here: a departure as any other (hazard 55).
    let uid_next = now.map(|now| now.uid_next);
    let never_there = uid_next.is_some_and(|next| next > 0 && remote.uid.0 >= next);
    if !remote.confirmed && row.local.is_some() && never_there {
        row.base = None;
        if let Some(now) = now {
            row = claimed(row, now.uid_validity, remote.uid);
        }
    } else if row.set_aside.as_ref().is_some_and(|s| s.kind != SetAsideKind::Read) {
        row.set_aside = None;
    }
    w.update(&row)
}
