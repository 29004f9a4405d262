//! What was pulled from a maildrop (POP3), for as long as the account is kept: a message that
//! the user has deleted since must not come again when the server gives it another name.

use crate::reconcile::types::{ContentId, MailboxName, Stem};

use super::error::Result;
use super::store::{Tx, View};

/// How far a message of the maildrop has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pull {
    /// Its body is durable in `tmp/` under this stem, and gets its name in this mailbox.
    Placing(MailboxName, Stem),
    /// It was delivered as it is, so from here on the server's copy may go.
    Pulled,
    /// What was delivered before says the same, but for what servers write into a header.
    Alike,
    /// It stays on the server: why, and how often it was asked for.
    Left(String, u32),
    /// It lay in the Maildir before anything was pulled: the first that comes and is the same is
    /// that.
    Found,
    /// As pulled, and the server still had it so often after it said that it was deleted.
    Kept(u32),
}

impl Pull {
    /// How often a deletion has to be in vain before the server is left its message.
    const DELETIONS: u32 = 5;

    /// Whether the server's copy may go.
    #[must_use]
    pub fn may_go(&self) -> bool {
        match self {
            Self::Pulled => true,
            Self::Kept(times) => *times < Self::DELETIONS,
            Self::Placing(..) | Self::Alike | Self::Left(..) | Self::Found => false,
        }
    }

    /// What it is when it is met again after it was deleted.
    #[must_use]
    pub fn met_again(&self) -> Self {
        match self {
            Self::Kept(times) => Self::Kept(times.saturating_add(1)),
            _ => Self::Kept(1),
        }
    }
}

/// Whether the server still has a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// It was in the last listing that was worked through.
    Listed,
    /// It went without our doing, or got another name.
    Vanished,
    /// It went when names changed: it may be back under any.
    Renamed,
    /// We deleted it, and the server has not said so yet.
    Deleting,
    /// We deleted it, and the server said so.
    Deleted,
}

/// A message of the maildrop, as it was seen there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaildropRow {
    /// Its identity in the store; 0 before it was stored.
    pub id: i64,
    /// What the server calls it (UIDL); none where that says nothing.
    pub uidl: Option<String>,
    /// BLAKE3 of its header.
    pub header: Option<[u8; 32]>,
    /// BLAKE3 of its header and the beginning of its text, as TOP gives them.
    pub start: Option<[u8; 32]>,
    /// Its octets as the server announces them; none where it does not.
    pub size: Option<u64>,
    /// BLAKE3 of what was delivered.
    pub content: Option<ContentId>,
    /// BLAKE3 of its body and of the header fields that its author wrote.
    pub text: Option<[u8; 32]>,
    /// How far it has come.
    pub pull: Pull,
    /// On how many days it was seen after the one on which it was pulled.
    pub days: u32,
    /// The last of those days, since 1970.
    pub last_day: i64,
    /// Whether the server still has it.
    pub presence: Presence,
    /// The body that came was clearly shorter than the server announced. It never changes back,
    /// and such a message is never deleted from the server.
    pub short: bool,
}

impl MaildropRow {
    /// Whether the server's copy may be deleted (hazard 67).
    #[must_use]
    pub fn may_go(&self) -> bool {
        self.pull.may_go() && !self.short
    }
}

/// Numbers of rows for `status`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DropCounts {
    /// Messages that were pulled, ever.
    pub pulled: u64,
    /// Those of them that the server still has.
    pub kept: u64,
    /// Those of these that only say the same as one that was pulled.
    pub alike: u64,
    /// Those of these that the server has kept though we deleted them.
    pub undeletable: u64,
}

const COLUMNS: &str = "id, uidl, header, size, content, text, state, mailbox, stem, words, times, \
                       days, last_day, presence, short, start";

fn decode(row: &rusqlite::Row<'_>) -> rusqlite::Result<MaildropRow> {
    let pull = match row.get::<_, i64>(6)? {
        0 => {
            let mailbox: String = row.get(7)?;
            Pull::Placing(MailboxName::new(&mailbox), Stem(row.get(8)?))
        }
        1 => Pull::Pulled,
        2 => Pull::Alike,
        4 => Pull::Found,
        5 => Pull::Kept(row.get(10)?),
        _ => Pull::Left(row.get(9)?, row.get(10)?),
    };
    Ok(MaildropRow {
        id: row.get(0)?,
        uidl: row.get(1)?,
        header: row.get(2)?,
        size: row.get::<_, Option<i64>>(3)?.map(i64::cast_unsigned),
        content: row.get::<_, Option<[u8; 32]>>(4)?.map(ContentId),
        text: row.get(5)?,
        pull,
        days: row.get(11)?,
        last_day: row.get(12)?,
        presence: match row.get::<_, i64>(13)? {
            0 => Presence::Listed,
            1 => Presence::Vanished,
            3 => Presence::Renamed,
            4 => Presence::Deleting,
            _ => Presence::Deleted,
        },
        short: row.get(14)?,
        start: row.get(15)?,
    })
}

impl View {
    /// Rows of messages that the server called so, the latest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn drop_rows_called(&self, uidl: &str) -> Result<Vec<MaildropRow>> {
        // More than a few are of a server whose names say nothing.
        let sql =
            format!("SELECT {COLUMNS} FROM maildrop WHERE uidl = ?1 ORDER BY id DESC LIMIT 8");
        self.all("find a message of the maildrop", &sql, [uidl], decode)
    }

    /// Rows of messages that begin so, the latest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn drop_rows_beginning(&self, start: &[u8; 32]) -> Result<Vec<MaildropRow>> {
        let sql = format!("SELECT {COLUMNS} FROM maildrop WHERE start = ?1 ORDER BY id DESC");
        self.all("find a message of the maildrop", &sql, [&start[..]], decode)
    }

    /// Rows of messages with this content, the earliest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn drop_rows_of(&self, content: &ContentId) -> Result<Vec<MaildropRow>> {
        let sql = format!("SELECT {COLUMNS} FROM maildrop WHERE content = ?1 ORDER BY id");
        self.all("find what was pulled", &sql, [&content.0[..]], decode)
    }

    /// Rows of messages that say the same, the earliest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn drop_rows_saying(&self, text: &[u8; 32]) -> Result<Vec<MaildropRow>> {
        let sql = format!("SELECT {COLUMNS} FROM maildrop WHERE text = ?1 ORDER BY id");
        self.all("find what was pulled", &sql, [&text[..]], decode)
    }

    /// Whether a message was pulled that the server has a name for.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn drop_has_names(&self) -> Result<bool> {
        let sql = "SELECT 1 FROM maildrop WHERE uidl IS NOT NULL AND state <> 3 LIMIT 1";
        Ok(self.one("read the names of the maildrop", sql, (), |_| Ok(()))?.is_some())
    }

    /// Whether a message went without our doing, ever.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn drop_has_vanished(&self) -> Result<bool> {
        let sql = "SELECT 1 FROM maildrop WHERE presence IN (1, 3) LIMIT 1";
        Ok(self.one("read what vanished", sql, (), |_| Ok(()))?.is_some())
    }

    /// One row.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn drop_row(&self, id: i64) -> Result<Option<MaildropRow>> {
        let sql = format!("SELECT {COLUMNS} FROM maildrop WHERE id = ?1");
        self.one("read a message of the maildrop", &sql, [id], decode)
    }

    /// The rows of messages that were in the last listing, by identity.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn drop_listed(&self) -> Result<Vec<i64>> {
        let sql = "SELECT id FROM maildrop WHERE presence = 0 ORDER BY id";
        self.all("read the last listing", sql, (), |row| row.get(0))
    }

    /// The rows of messages whose deletion was not answered, by identity.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn drop_deleting(&self) -> Result<Vec<i64>> {
        let sql = "SELECT id FROM maildrop WHERE presence = 4 ORDER BY id";
        self.all("read what is being deleted", sql, (), |row| row.get(0))
    }

    /// Rows that are *placing*.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn drop_placing(&self) -> Result<Vec<MaildropRow>> {
        let sql = format!("SELECT {COLUMNS} FROM maildrop WHERE state = 0 ORDER BY id");
        self.all("read what is being placed", &sql, (), decode)
    }

    /// Messages that stay on the server, up to `most`.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn drop_left(&self, most: usize) -> Result<Vec<MaildropRow>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM maildrop WHERE state = 3 AND presence = 0 ORDER BY id LIMIT ?1"
        );
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        self.all("read what stays on the server", &sql, [most], decode)
    }

    /// Messages on the server whose body came clearly shorter than announced, up to `most`.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn drop_short(&self, most: usize) -> Result<Vec<MaildropRow>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM maildrop WHERE short AND presence IN (0, 4) ORDER BY id LIMIT ?1"
        );
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        self.all("read what came shorter than announced", &sql, [most], decode)
    }

    /// The contents of all that was pulled, with their rows.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn drop_contents(&self) -> Result<Vec<(i64, ContentId)>> {
        let sql =
            "SELECT id, content FROM maildrop WHERE state IN (0, 1, 2, 5) AND content IS NOT NULL";
        let decode = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, ContentId(row.get(1)?)));
        self.all("read what was pulled", sql, (), decode)
    }

    /// The contents of what lay in the Maildir before anything was pulled, with their rows.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn drop_found(&self) -> Result<Vec<(i64, ContentId)>> {
        let sql = "SELECT id, content FROM maildrop WHERE state = 4 AND content IS NOT NULL";
        let decode = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, ContentId(row.get(1)?)));
        self.all("read what was found", sql, (), decode)
    }

    /// How many messages were pulled.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn drop_counts(&self) -> Result<DropCounts> {
        let sql = "SELECT count(*), ifnull(sum(presence IN (0, 4)), 0), \
                   ifnull(sum(presence = 0 AND state = 2), 0), \
                   ifnull(sum(presence = 0 AND state = 5), 0) \
                   FROM maildrop WHERE state IN (0, 1, 2, 5)";
        let count = |row: &rusqlite::Row<'_>| {
            let [pulled, kept, alike, undeletable] =
                [row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?].map(i64::cast_unsigned);
            Ok(DropCounts { pulled, kept, alike, undeletable })
        };
        Ok(self.one("count what was pulled", sql, (), count)?.unwrap_or_default())
    }
}

impl Tx<'_> {
    /// Stores a row; gives its identity.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn put_maildrop_row(&self, row: &MaildropRow) -> Result<i64> {
        const SQL: &str = "INSERT INTO maildrop \
            (id, uidl, header, size, content, text, state, mailbox, stem, words, times, days, \
            last_day, presence, short, start) \
            VALUES (nullif(?1, 0), ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, \
            ?16) \
            ON CONFLICT (id) DO UPDATE SET uidl = ?2, header = ?3, size = ?4, content = ?5, \
            text = ?6, state = ?7, mailbox = ?8, stem = ?9, words = ?10, times = ?11, days = ?12, \
            last_day = ?13, presence = ?14, short = ?15, start = ?16";
        let (state, mailbox, stem, words, times) = match &row.pull {
            Pull::Placing(mailbox, stem) => (0, Some(mailbox.as_str()), Some(&stem.0), None, None),
            Pull::Pulled => (1, None, None, None, None),
            Pull::Alike => (2, None, None, None, None),
            Pull::Left(words, times) => (3, None, None, Some(words.as_str()), Some(*times)),
            Pull::Found => (4, None, None, None, None),
            Pull::Kept(times) => (5, None, None, None, Some(*times)),
        };
        let presence = match row.presence {
            Presence::Listed => 0,
            Presence::Vanished => 1,
            Presence::Deleted => 2,
            Presence::Renamed => 3,
            Presence::Deleting => 4,
        };
        self.execute(
            "write a message of the maildrop",
            SQL,
            rusqlite::params![
                row.id,
                row.uidl,
                row.header,
                row.size.map(u64::cast_signed),
                row.content.map(|content| content.0),
                row.text,
                state,
                mailbox,
                stem,
                words,
                times,
                row.days,
                row.last_day,
                presence,
                row.short,
                row.start
            ],
        )?;
        Ok(if row.id == 0 { self.db.last_insert_rowid() } else { row.id })
    }

    /// What was *placing* is pulled. Touches nothing else of the row, and no index but one.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn maildrop_row_is_pulled(&self, id: i64) -> Result<()> {
        const SQL: &str =
            "UPDATE maildrop SET state = 1, mailbox = NULL, stem = NULL WHERE id = ?1";
        self.execute("write that a message was pulled", SQL, [id]).map(drop)
    }

    /// Names mean nothing any more: the server is another one. What was pulled is known by its
    /// content; what was left there is not known at all.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn forget_drop_names(&self) -> Result<()> {
        const DOING: &str = "forget the names of the maildrop";
        self.execute(DOING, "DELETE FROM maildrop WHERE state = 3", ())?;
        self.execute(DOING, "UPDATE maildrop SET uidl = NULL", ())?;
        // What was deleted there is not to be met here.
        self.execute(DOING, "UPDATE maildrop SET presence = 3 WHERE presence <> 2", ()).map(drop)
    }

    /// What was left on the server is asked for as if it never had been.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn retry_drop_rows(&self) -> Result<()> {
        const SQL: &str = "UPDATE maildrop SET times = 0 WHERE state = 3";
        self.execute("ask for messages once more", SQL, ()).map(drop)
    }

    /// Forgets a row: its message is to be pulled once more.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn forget_maildrop_row(&self, id: i64) -> Result<()> {
        self.execute("forget a pull", "DELETE FROM maildrop WHERE id = ?1", [id]).map(drop)
    }
}
