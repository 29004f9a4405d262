//! Questions of an account's run: rows by what is left to do with them, in one mailbox.

use super::error::Result;
use super::store::View;
use crate::reconcile::types::{MailboxId, Row};

/// Rows that are read at a time where all are.
const PAGE: usize = 1000;

impl View {
    /// Shows every row of a mailbox in the order of their ids, some at a time: whoever is shown
    /// them may write them.
    ///
    /// # Errors
    /// When the database cannot be read, and what `show` returns.
    pub fn for_each_row(
        &self,
        mailbox: MailboxId,
        mut show: impl FnMut(Row) -> Result<()>,
    ) -> Result<()> {
        let mut after = None;
        loop {
            let rows = self.rows_in(mailbox, after, PAGE)?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = Some(last.id);
            rows.into_iter().try_for_each(&mut show)?;
        }
    }

    /// Rows whose file may have been renamed into place without that being recorded.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn placing(&self, mailbox: MailboxId) -> Result<Vec<Row>> {
        let tail = "INDEXED BY message_unsettled \
                    WHERE class = 1 AND mailbox = ?1 AND journal = 1 ORDER BY id";
        self.rows(tail, [mailbox.0])
    }

    /// Rows whose file was moved or copied to a mailbox, and may have the letters of another one.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn moving(&self, mailbox: MailboxId) -> Result<Vec<Row>> {
        let tail = "INDEXED BY message_unsettled \
                    WHERE class = 1 AND mailbox = ?1 AND journal IN (4, 8) ORDER BY id";
        self.rows(tail, [mailbox.0])
    }

    /// How many files of a mailbox have no message on the server yet.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn new_local_count(&self, mailbox: MailboxId) -> Result<u64> {
        const SQL: &str = "
            SELECT count(*) FROM message INDEXED BY message_unsettled
            WHERE class = 1 AND mailbox = ?1 AND stem IS NOT NULL AND uid IS NULL
                AND (base_system IS NULL OR restated)";
        self.count("count new files", SQL, [mailbox.0])
    }

    /// Whether a message of a mailbox was sent so often that a twin of it may turn up.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn may_have_twins(&self, mailbox: MailboxId) -> Result<bool> {
        const SQL: &str = "SELECT count(*) FROM message WHERE mailbox = ?1 AND journal IN (2, 3)";
        Ok(self.count("count messages that were sent twice", SQL, [mailbox.0])? > 0)
    }

    /// Whether any row of the account waits to be identified anew.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn has_restated(&self) -> Result<bool> {
        const SQL: &str = "
            SELECT 1 FROM message INDEXED BY message_restated
            WHERE restated AND aside IS NULL LIMIT 1";
        Ok(self.one("look for restated messages", SQL, (), |_| Ok(()))?.is_some())
    }

    /// How many rows of a mailbox wait to be identified anew.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn restated_count(&self, mailbox: MailboxId) -> Result<u64> {
        const SQL: &str = "
            SELECT count(*) FROM message WHERE mailbox = ?1 AND restated AND aside IS NULL";
        self.count("count restated messages", SQL, [mailbox.0])
    }
}
