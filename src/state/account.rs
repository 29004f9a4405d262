//! Questions of an account's run: rows by what is left to do with them, in one mailbox.

use super::View;
use super::error::Result;
use crate::reconcile::types::{MailboxId, Row, RowId, Stem};

/// Stem, row, whether in `new/`, info part and inode of a file.
pub type NameParts = (Stem, RowId, bool, String, u64);

/// Figures of one mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MailboxCounts {
    /// Rows with a base: messages that both sides once agreed on.
    pub agreed: u64,
    /// Rows with a file.
    pub with_local: u64,
    /// Rows with a message on the server.
    pub with_remote: u64,
}

impl View {
    /// Figures of a mailbox.
    ///
    /// # Errors
    /// When the database cannot be read (so for every question here).
    pub fn mailbox_counts(&self, mailbox: MailboxId) -> Result<MailboxCounts> {
        Ok(MailboxCounts {
            agreed: self.base_count(mailbox)?,
            with_local: self.local_count(mailbox)?,
            with_remote: self.remote_count(mailbox)?,
        })
    }

    /// Every row of a mailbox, in the order of their ids.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn all_rows(&self, mailbox: MailboxId) -> Result<Vec<Row>> {
        self.rows("INDEXED BY message_mailbox WHERE mailbox = ?1 ORDER BY id", [mailbox.0])
    }

    /// Name parts of every file of a mailbox: stem, row, whether in `new/`, info, inode.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn files(&self, mailbox: MailboxId) -> Result<Vec<NameParts>> {
        const SQL: &str = "
            SELECT stem, id, in_new, info, ino FROM message INDEXED BY message_mailbox
            WHERE mailbox = ?1 AND stem IS NOT NULL ORDER BY id";
        self.all("read file names", SQL, [mailbox.0], |row| {
            let ino: i64 = row.get(4)?;
            let (stem, id) = (Stem(row.get(0)?), RowId(row.get(1)?));
            Ok((stem, id, row.get(2)?, row.get(3)?, ino.cast_unsigned()))
        })
    }

    /// Rows of a mailbox with a file.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn rows_with_local(&self, mailbox: MailboxId) -> Result<Vec<Row>> {
        self.rows("WHERE mailbox = ?1 AND stem IS NOT NULL ORDER BY id", [mailbox.0])
    }

    /// Rows of a mailbox with a message on the server.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn rows_with_remote(&self, mailbox: MailboxId) -> Result<Vec<Row>> {
        self.rows("WHERE mailbox = ?1 AND uid IS NOT NULL ORDER BY id", [mailbox.0])
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
        const SQL: &str = "SELECT count(*) FROM message WHERE mailbox = ?1 AND journal = 3";
        Ok(self.count("count messages that were sent twice", SQL, [mailbox.0])? > 0)
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
