//! The claim of a row on a message that the server named and does not show.

use crate::reconcile::types::{Journal, Row, Uid};

/// The row of a message that the server says it has under this UID, and does not show. Some show it
/// when the mailbox is selected again, or a moment later: the row keeps its claim (hazard 134).
pub(in crate::mail) fn claimed(row: Row, uid_validity: u32, uid: Uid) -> Row {
    let (uid_next, attempts) = match row.journal {
        // Its twins may lie below it.
        Journal::Pushed { uid_next, twins, .. } => (uid_next.min(uid.0), twins + 1),
        _ => (uid.0, 1),
    };
    let (sent, run) = (true, Journal::TAKEN);
    let journal = Journal::Pushing { uid_validity, uid_next, attempts, sent, run };
    Row { journal, remote: None, set_aside: None, ..row }
}
