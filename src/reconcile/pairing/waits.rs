//! What waits for a look that has not been made: new messages and new files that may be ones which
//! are known, from places that could not be looked at.

use super::sources::known_elsewhere;
use crate::reconcile::row_index::RowIndex;
use crate::reconcile::row_state::{RowState, is_active, is_in_doubt};
use crate::reconcile::types::{MailboxId, Row};

impl RowIndex<'_> {
    /// Whether a new message waits: it is that of a file in doubt, whose own mailbox has to be
    /// seen first. What could also be that of a file beside it is looked into at once.
    #[must_use]
    pub fn waits_for_doubt(&self, to: &Row) -> bool {
        let Some(known) = known_elsewhere(self, to) else { return false };
        let mut doubt = known.into_iter().filter(|row| is_in_doubt(row) && is_active(row));
        let elsewhere = doubt.any(|row| row.mailbox != to.mailbox && !self.is_lost(row));
        let beside = |row: &Row| {
            let loose = |row: &Row| row.header.map(|header| header.loose);
            let unlike = loose(row).zip(loose(to)).is_some_and(|(a, b)| a != b);
            row.mailbox == to.mailbox && !unlike
        };
        elsewhere
            && (to.content.is_some()
                || !self.open(RowState::LocalNew).any(|row| is_in_doubt(row) && beside(row)))
    }

    /// Whether a new file may be one that lay where nobody can look now.
    #[must_use]
    pub fn may_be_unseen(&self, row: &Row) -> bool {
        row.content.is_some_and(|content| self.world.unseen_texts.contains(&content))
    }

    /// Whether the server said, for the first time, that it has no such mailbox: what it showed of
    /// it before is no place for anything (hazard 187).
    #[must_use]
    pub fn is_refused(&self, mailbox: MailboxId) -> bool {
        self.world.mailboxes.get(&mailbox).is_some_and(|view| view.refused)
    }

    /// Whether a new message waits for one run more: a mailbox that the server no longer has, as
    /// it said for the first time, held its text, and the message may be that one (hazard 78).
    #[must_use]
    pub fn waits_for_refused(&self, to: &Row) -> bool {
        let refused = |row: &Row| self.is_refused(row.mailbox);
        self.world.mailboxes.values().any(|view| view.refused)
            && known_elsewhere(self, to).is_some_and(|known| known.into_iter().any(refused))
    }
}
