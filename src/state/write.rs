//! Every write of a row.

use std::sync::LazyLock;

use super::error::Result;
use super::row::{COLUMNS, Keywords, bind};
use super::store::Tx;
use crate::reconcile::types::{Flags, MailboxId, Row, RowId, Uid};

static INSERT: LazyLock<String> = LazyLock::new(|| {
    let holes = vec!["?"; COLUMNS.len() + 1].join(", ");
    format!("INSERT INTO message ({}, settled) VALUES ({holes})", COLUMNS.join(", "))
});

/// A row never leaves its mailbox; were that column written, each change would be checked
/// against the mailboxes, and journalled in memory for the case that it fails.
static UPDATE: LazyLock<String> = LazyLock::new(|| {
    let columns: Vec<String> = (2..)
        .zip(COLUMNS.iter().skip(1).chain(&["settled"]))
        .map(|(at, column)| format!("{column} = ?{at}"))
        .collect();
    let id = COLUMNS.len() + 2;
    format!("UPDATE message SET {} WHERE mailbox = ?1 AND id = ?{id}", columns.join(", "))
});

impl Tx<'_> {
    /// Stores a new row; its `id` is not looked at, the one it got is returned and was never
    /// given to another.
    ///
    /// `settled` takes it out of [`View::unsettled`](super::View::unsettled) and
    /// [`View::new_remotes`](super::View::new_remotes). With something under way (any journal
    /// but `Idle` and `Pushed`) that is not set aside it stays in there whatever is said: a
    /// crash would hide it otherwise.
    ///
    /// # Errors
    /// `Conflict` when the mailbox is unknown or the UID or stem is taken in it.
    pub fn insert_row(&self, row: &Row, settled: bool) -> Result<RowId> {
        const DOING: &str = "store a message";
        let mut statement = self.db.prepare_cached(&INSERT).map_err(self.sql(DOING))?;
        bind(&mut statement, row, settled).map_err(self.sql(DOING))?;
        statement.raw_execute().map_err(self.sql(DOING))?;
        Ok(RowId(self.db.last_insert_rowid()))
    }

    /// Replaces a row by its `id`. A UID or stem that goes from one row to another must leave
    /// the one before it enters the other.
    ///
    /// # Errors
    /// `Missing` without such a row in its mailbox; `Conflict` as for `insert_row`.
    pub fn update_row(&self, row: &Row, settled: bool) -> Result<()> {
        const DOING: &str = "change a message";
        let mut statement = self.db.prepare_cached(&UPDATE).map_err(self.sql(DOING))?;
        let at = bind(&mut statement, row, settled).map_err(self.sql(DOING))?;
        statement.raw_bind_parameter(at, row.id.0).map_err(self.sql(DOING))?;
        let rows = statement.raw_execute().map_err(self.sql(DOING))?;
        self.touched(DOING, row.id.0, rows)
    }

    /// Forgets a row; whether there was one.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn delete_row(&self, id: RowId) -> Result<bool> {
        let sql = "DELETE FROM message WHERE id = ?1";
        Ok(self.execute("forget a message", sql, [id.0])? > 0)
    }

    /// Notes flags that the server showed: the message is confirmed, and no longer settled if
    /// they differ from those last seen. Whether anything changed (nothing does for a UID
    /// without a row).
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn set_remote_flags(&self, mailbox: MailboxId, uid: Uid, flags: &Flags) -> Result<bool> {
        const SQL: &str = "
            UPDATE message SET
                settled = settled AND remote_system = ?3 AND remote_keywords IS ?4,
                remote_system = ?3, remote_keywords = ?4, confirmed = 1
            WHERE mailbox = ?1 AND uid = ?2
                AND (remote_system <> ?3 OR remote_keywords IS NOT ?4 OR NOT confirmed)";
        let keywords = Keywords(&flags.keywords);
        let values = (mailbox.0, uid.0, flags.system.0, keywords);
        Ok(self.execute("store flags", SQL, values)? > 0)
    }

    /// Notes that a look showed messages to be gone from the server; how many rows had one.
    ///
    /// The rows stay, to be planned; also those that have nothing left on any side.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn remote_gone(&self, mailbox: MailboxId, uids: &[Uid]) -> Result<u64> {
        const SQL: &str = "
            UPDATE message SET uid = NULL, remote_system = NULL, remote_keywords = NULL,
                confirmed = NULL, settled = 0
            WHERE mailbox = ?1 AND uid = ?2";
        let mut gone = 0;
        for uid in uids {
            gone += self.execute("note a departure", SQL, (mailbox.0, uid.0))? as u64;
        }
        Ok(gone)
    }
}
