//! Every question about rows. None reads more than its answer and an index (a `count` reads
//! the index of what it counts), so that none slows down with the size of the account.

use super::error::Result;
use super::schema::DIFFERING;
use super::store::View;
use crate::reconcile::types::{ContentId, MailboxId, Row, RowId, Stem, Uid};

/// At most so many rows answer a question for equals (by content, words or object id).
///
/// More equals than this cannot be told apart by whoever asks; the earliest rows are given.
pub const MATCHES: u32 = 64;

/// Figures of an account, for `status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Mailboxes known on any side.
    pub mailboxes: u64,
    /// Rows of all kinds.
    pub messages: u64,
    /// Rows that are to be planned, set aside or not.
    pub unsettled: u64,
    /// Messages on the server that are only to be pulled.
    pub new_remotes: u64,
    /// Rows that are set aside, not counting those that stay on one side by policy.
    pub set_aside: u64,
}

/// A file as the store knows it by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownFile<'a> {
    /// Its row.
    pub row: RowId,
    /// Its stem.
    pub stem: &'a [u8],
    /// Whether it lies in `new/`.
    pub in_new: bool,
    /// Its info part.
    pub info: &'a str,
    /// Its inode.
    pub ino: u64,
}

impl View {
    /// A row.
    ///
    /// # Errors
    /// When the database cannot be read (so for every question here).
    pub fn row(&self, id: RowId) -> Result<Option<Row>> {
        self.rows("WHERE id = ?1", [id.0]).map(first)
    }

    /// Whether there is such a row and nothing is left to be done with it.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn is_settled(&self, id: RowId) -> Result<bool> {
        const SQL: &str = "SELECT class = 0 FROM message WHERE id = ?1";
        Ok(self.one("look at a message", SQL, [id.0], |row| row.get(0))?.unwrap_or(false))
    }

    /// Rows of a mailbox in the order of their ids, from the one after `after`.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn rows_in(
        &self,
        mailbox: MailboxId,
        after: Option<RowId>,
        limit: usize,
    ) -> Result<Vec<Row>> {
        let tail = "INDEXED BY message_mailbox WHERE mailbox = ?1 AND id > ?2 \
                    ORDER BY id LIMIT ?3";
        self.rows(tail, (mailbox.0, from(after), bound(limit)))
    }

    /// Rows that are not settled, in the order of their ids, from the one after `after`; without
    /// those that are only to be pulled (see [`Self::new_remotes`]), also when they are set
    /// aside.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn unsettled(&self, after: Option<RowId>, limit: usize) -> Result<Vec<Row>> {
        let tail = "INDEXED BY message_unsettled WHERE class = 1 AND id > ?1 ORDER BY id LIMIT ?2";
        self.rows(tail, (from(after), bound(limit)))
    }

    /// Settled rows whose sides differ, in the order of their ids, from the one after `after`;
    /// without those that are set aside for trouble.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn differing(&self, after: Option<RowId>, limit: usize) -> Result<Vec<Row>> {
        let tail = format!(
            "INDEXED BY message_differing WHERE {DIFFERING} AND id > ?1 ORDER BY id LIMIT ?2"
        );
        self.rows(&tail, (from(after), bound(limit)))
    }

    /// Rows that are on the server alone, with nothing under way and not set aside: those whose
    /// header is known first, then by mailbox and UID.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn new_remotes(&self, limit: usize) -> Result<Vec<Row>> {
        let tail = "INDEXED BY message_new WHERE class = 2 \
                    ORDER BY (header IS NULL), mailbox, uid LIMIT ?1";
        self.rows(tail, [bound(limit)])
    }

    /// How many of those a mailbox has.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn new_remote_count(&self, mailbox: MailboxId) -> Result<u64> {
        const SQL: &str = "
            SELECT count(*) FROM message INDEXED BY message_new
            WHERE class = 2 AND (header IS NULL) IN (0, 1) AND mailbox = ?1";
        self.count("count new messages", SQL, [mailbox.0])
    }

    /// Whether a mailbox has more of those than `shown`: 1 if so, else 0. Reads no more of them.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn new_remotes_beyond(&self, mailbox: MailboxId, shown: u64) -> Result<u64> {
        const SQL: &str = "
            SELECT count(*) FROM (
                SELECT 1 FROM message INDEXED BY message_new
                WHERE class = 2 AND (header IS NULL) IN (0, 1) AND mailbox = ?1
                LIMIT 1 OFFSET ?2)";
        let shown = i64::try_from(shown).unwrap_or(i64::MAX);
        self.count("look for more new messages", SQL, (mailbox.0, shown))
    }

    /// Rows with this content, at most [`MATCHES`].
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn by_content(&self, content: &ContentId) -> Result<Vec<Row>> {
        // The index holds the first eight bytes: as good as all, at a third of the size.
        let tail = "INDEXED BY message_content \
                    WHERE substr(content, 1, 8) = ?1 AND content = ?2 ORDER BY id LIMIT ?3";
        self.rows(tail, (&content.0[..8], content.0, MATCHES))
    }

    /// Rows of whose body the server said this size (octets) and date (seconds since 1970), at
    /// most [`MATCHES`].
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn by_words(&self, size: u64, date: i64) -> Result<Vec<Row>> {
        let tail = "INDEXED BY message_words WHERE size = ?1 AND date = ?2 ORDER BY id LIMIT ?3";
        self.rows(tail, (size.cast_signed(), date, MATCHES))
    }

    /// Rows of whose body the server said this size (octets), at most [`MATCHES`].
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn by_size(&self, size: u64) -> Result<Vec<Row>> {
        let tail = "INDEXED BY message_words WHERE size = ?1 ORDER BY id LIMIT ?2";
        self.rows(tail, (size.cast_signed(), MATCHES))
    }

    /// Rows with this EMAILID or X-GM-MSGID, at most [`MATCHES`].
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn by_object_id(&self, object_id: &str) -> Result<Vec<Row>> {
        let tail = "INDEXED BY message_object_id WHERE object_id = ?1 ORDER BY id LIMIT ?2";
        self.rows(tail, (object_id, MATCHES))
    }

    /// The row whose file in a mailbox has this stem.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn by_stem(&self, mailbox: MailboxId, stem: &Stem) -> Result<Option<Row>> {
        let tail = "INDEXED BY message_stem WHERE mailbox = ?1 AND stem = ?2";
        self.rows(tail, (mailbox.0, stem.0.as_slice())).map(first)
    }

    /// The row whose message in a mailbox has this UID.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn by_uid(&self, mailbox: MailboxId, uid: Uid) -> Result<Option<Row>> {
        let tail = "INDEXED BY message_uid WHERE mailbox = ?1 AND uid = ?2";
        self.rows(tail, (mailbox.0, uid.0)).map(first)
    }

    /// Rows of messages whose body is known, the highest UIDs of a mailbox first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn youngest_known(&self, mailbox: MailboxId, limit: u32) -> Result<Vec<Row>> {
        let tail = "INDEXED BY message_uid WHERE mailbox = ?1 AND uid IS NOT NULL
            AND content IS NOT NULL ORDER BY uid DESC LIMIT ?2";
        self.rows(tail, (mailbox.0, limit))
    }

    /// Rows with a file among the youngest rows of the account.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn youngest_files(&self, limit: u32) -> Result<Vec<Row>> {
        let tail = "WHERE id IN (SELECT id FROM message ORDER BY id DESC LIMIT ?1)
            AND stem IS NOT NULL ORDER BY id DESC";
        self.rows(tail, (limit,))
    }

    /// Shows the UIDs of a mailbox from `first` to `last`, ascending, one at a time.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn for_each_uid(
        &self,
        mailbox: MailboxId,
        (first, last): (Uid, Uid),
        mut show: impl FnMut(Uid),
    ) -> Result<()> {
        const DOING: &str = "read UIDs";
        const SQL: &str = "
            SELECT uid FROM message INDEXED BY message_uid
            WHERE mailbox = ?1 AND uid BETWEEN ?2 AND ?3 ORDER BY uid";
        let mut statement = self.db.prepare_cached(SQL).map_err(self.sql(DOING))?;
        let params = (mailbox.0, first.0, last.0);
        let mut rows = statement.query(params).map_err(self.sql(DOING))?;
        while let Some(row) = rows.next().map_err(self.sql(DOING))? {
            show(Uid(row.get(0).map_err(self.sql(DOING))?));
        }
        Ok(())
    }

    /// The largest UID of a mailbox.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn last_uid(&self, mailbox: MailboxId) -> Result<Option<Uid>> {
        const SQL: &str = "
            SELECT uid FROM message INDEXED BY message_uid
            WHERE mailbox = ?1 AND uid IS NOT NULL ORDER BY uid DESC LIMIT 1";
        self.one("read the last UID", SQL, [mailbox.0], |row| row.get(0).map(Uid))
    }

    /// Whether the content of any message is known.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn has_content(&self) -> Result<bool> {
        const SQL: &str = "
            SELECT 1 FROM message INDEXED BY message_content
            WHERE substr(content, 1, 8) > x'' AND content IS NOT NULL LIMIT 1";
        Ok(self.one("look for a known message", SQL, (), |_| Ok(()))?.is_some())
    }

    /// Whether the content of a message is known of which the server said this size (octets)
    /// and date (seconds since 1970).
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn words_are_known(&self, size: u64, date: i64) -> Result<bool> {
        const SQL: &str = "
            SELECT 1 FROM message INDEXED BY message_words
            WHERE size = ?1 AND date = ?2 AND content IS NOT NULL LIMIT 1";
        let found = self.one("look up words", SQL, (size.cast_signed(), date), |_| Ok(()))?;
        Ok(found.is_some())
    }

    /// Shows every file of a mailbox in the order of the rows, one at a time: a million need no
    /// memory.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn for_each_local(
        &self,
        mailbox: MailboxId,
        mut show: impl FnMut(KnownFile<'_>),
    ) -> Result<()> {
        const DOING: &str = "read file names";
        const SQL: &str = "
            SELECT id, stem, in_new, info, ino FROM message INDEXED BY message_mailbox
            WHERE mailbox = ?1 AND stem IS NOT NULL ORDER BY id";
        let mut statement = self.db.prepare_cached(SQL).map_err(self.sql(DOING))?;
        let mut rows = statement.query([mailbox.0]).map_err(self.sql(DOING))?;
        while let Some(row) = rows.next().map_err(self.sql(DOING))? {
            let decode = || -> rusqlite::Result<_> {
                Ok(KnownFile {
                    row: RowId(row.get(0)?),
                    stem: row.get_ref(1)?.as_blob()?,
                    in_new: row.get(2)?,
                    info: row.get_ref(3)?.as_str()?,
                    ino: row.get::<_, i64>(4)?.cast_unsigned(),
                })
            };
            show(decode().map_err(self.sql(DOING))?);
        }
        Ok(())
    }

    /// Whether any message of a mailbox has a file.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn has_local(&self, mailbox: MailboxId) -> Result<bool> {
        const SQL: &str = "
            SELECT 1 FROM message INDEXED BY message_stem
            WHERE mailbox = ?1 AND stem IS NOT NULL LIMIT 1";
        Ok(self.one("look for a file", SQL, [mailbox.0], |_| Ok(()))?.is_some())
    }

    /// How many messages of a mailbox have a file.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn local_count(&self, mailbox: MailboxId) -> Result<u64> {
        const SQL: &str = "
            SELECT count(*) FROM message INDEXED BY message_stem
            WHERE mailbox = ?1 AND stem IS NOT NULL";
        self.count("count files", SQL, [mailbox.0])
    }

    /// How many messages of a mailbox are on the server.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn remote_count(&self, mailbox: MailboxId) -> Result<u64> {
        const SQL: &str = "
            SELECT count(*) FROM message INDEXED BY message_uid
            WHERE mailbox = ?1 AND uid IS NOT NULL";
        self.count("count messages", SQL, [mailbox.0])
    }

    /// How many messages of a mailbox are known whose UIDs are `from` or above, and below `to`.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn numbered(&self, mailbox: MailboxId, from: u32, to: u32) -> Result<u64> {
        const SQL: &str = "
            SELECT count(*) FROM message INDEXED BY message_uid
            WHERE mailbox = ?1 AND uid >= ?2 AND uid < ?3";
        self.count("count messages", SQL, (mailbox.0, from, to))
    }

    /// How many rows of a mailbox have a base: what the guard measures against.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn base_count(&self, mailbox: MailboxId) -> Result<u64> {
        const DOING: &str = "count agreed messages";
        const ALL: &str = "
            SELECT count(*) FROM message INDEXED BY message_mailbox WHERE mailbox = ?1";
        // Few rows lack a base but during a first run: an index of those stays small.
        const WITHOUT: &str = "
            SELECT count(*) FROM message INDEXED BY message_not_agreed
            WHERE mailbox = ?1 AND base_system IS NULL";
        let all = self.count(DOING, ALL, [mailbox.0])?;
        Ok(all.saturating_sub(self.count(DOING, WITHOUT, [mailbox.0])?))
    }

    /// Rows that are set aside, in the order of their ids; without those that stay on one side
    /// by policy.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn set_aside_rows(&self, limit: usize) -> Result<Vec<Row>> {
        let tail = "INDEXED BY message_aside WHERE aside <> 5 ORDER BY id LIMIT ?1";
        self.rows(tail, [bound(limit)])
    }

    /// Whether a body of which the server said this size (octets) may be had without a fetch:
    /// from a row with a file, or one that was agreed on or has something under way and whose
    /// departure is pending. Rows of `except` do not count.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn size_is_known(&self, size: u64, except: Option<MailboxId>) -> Result<bool> {
        const SQL: &str = "
            SELECT 1 FROM message INDEXED BY message_words
            WHERE size = ?1 AND mailbox IS NOT ?2
                AND (stem IS NOT NULL OR base_system IS NOT NULL OR journal <> 0)
            LIMIT 1";
        let except = except.map(|mailbox| mailbox.0);
        let found = self.one("look up a size", SQL, (size.cast_signed(), except), |_| Ok(()))?;
        Ok(found.is_some())
    }

    /// Figures of the whole account.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn counts(&self) -> Result<Counts> {
        let count = |sql| self.count("count what is stored", sql, ());
        Ok(Counts {
            mailboxes: count("SELECT count(*) FROM mailbox")?,
            messages: count("SELECT count(*) FROM message")?,
            unsettled: count("SELECT count(*) FROM message WHERE class = 1")?,
            new_remotes: count("SELECT count(*) FROM message WHERE class = 2")?,
            set_aside: count("SELECT count(*) FROM message WHERE aside <> 5")?,
        })
    }
}

fn first(rows: Vec<Row>) -> Option<Row> {
    rows.into_iter().next()
}

/// Ids begin at 1.
fn from(after: Option<RowId>) -> i64 {
    after.map_or(0, |row| row.0)
}

/// A LIMIT; a negative one would mean none at all.
fn bound(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
