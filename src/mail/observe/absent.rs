//! What may be called gone, and on the ground of which look.

use crate::local::Missing;
use crate::reconcile::types::{Mailbox, MailboxId, Row};

/// Proof of a look by which messages of one mailbox may be called gone from one side. Nothing
/// else writes an absence into a row.
///
/// A look proves an absence if it saw all of the mailbox, in the directory that its files were
/// seen in or under the numbering that its UIDs were told under. What could not be looked at, or
/// is another directory or another numbering, proves nothing (hazards 4, 54 and 63).
#[derive(Debug, Clone, Copy)]
pub(in crate::mail) struct Absent(MailboxId);

impl Absent {
    /// Names that three listings of the directory that the mailbox has did not show. To be made
    /// only where that is known to be its directory, or to have taken its place.
    pub(super) fn from_directory(mailbox: &Mailbox) -> Self {
        Self(mailbox.id)
    }

    /// All files of a mailbox whose directory was looked for by its name.
    pub(super) fn with_directory(mailbox: &Mailbox, missing: Missing) -> Option<Self> {
        (missing == Missing::Gone).then_some(Self(mailbox.id))
    }

    /// UIDs that a count of the whole mailbox, under the same UIDVALIDITY, left out.
    pub(super) fn from_membership(mailbox: &Mailbox, uid_validity: u32) -> Option<Self> {
        let known = mailbox.cursor.is_none_or(|cursor| cursor.uid_validity == uid_validity);
        known.then_some(Self(mailbox.id))
    }

    /// All messages of a mailbox that the server, asked for it by name, does not have.
    pub(in crate::mail) fn with_mailbox(mailbox: &Mailbox) -> Self {
        Self(mailbox.id)
    }

    /// Whether the look was at the mailbox of this row.
    pub(super) fn covers(self, row: &Row) -> bool {
        self.0 == row.mailbox
    }
}
