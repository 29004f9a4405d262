//! What the guard remembers: how much left lately, and what is held for a person.

use std::collections::BTreeMap;

use rusqlite::Row as Columns;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};

use super::error::Result;
use super::{Tx, View};
use crate::reconcile::guard::Direction;
use crate::reconcile::types::{MailboxId, RowId};

/// What a person said of a hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HoldState {
    /// Nothing yet.
    Pending,
    /// Its rows, and no more, may pass.
    Approved,
    /// Its messages are to be brought back.
    Rejected,
}

/// Steps that are not done before a person agrees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// What a person types; it stands for exactly these rows.
    pub id: String,
    /// When it was first held, in seconds since 1970.
    pub created: i64,
    /// Where, or none when it is over the limit of the account.
    pub mailbox: Option<MailboxId>,
    /// The name of that mailbox at the time, for people (untrusted: print it neutralised).
    pub mailbox_name: String,
    /// Which side they would leave.
    pub direction: Direction,
    /// The reason in words.
    pub why: String,
    /// The rows; given back ascending, each once.
    pub rows: Vec<RowId>,
    /// What a person said.
    pub state: HoldState,
}

const SELECT_HOLD: &str = "
    SELECT id, created, mailbox, mailbox_name, direction, why, state FROM hold";

impl View {
    /// How many messages left a side since `since` (seconds since 1970, inclusive), of one
    /// mailbox or of the whole account. Entries from the future of a clock that was set back
    /// count as well.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn departures_since(
        &self,
        since: i64,
        mailbox: Option<MailboxId>,
        direction: Direction,
    ) -> Result<u64> {
        const SQL: &str = "
            SELECT count FROM departure INDEXED BY departure_at
            WHERE at >= ?1 AND (?2 IS NULL OR mailbox = ?2) AND direction = ?3";
        let values = (since, mailbox.map(|mailbox| mailbox.0), direction);
        // Added up here: an overflow is an error in SQL, and this number must never fail.
        let counts: Vec<i64> = self.all("count departures", SQL, values, |row| row.get(0))?;
        Ok(counts.into_iter().fold(0, |sum, count| sum.saturating_add(count.unsigned_abs())))
    }

    /// The same for every mailbox and direction from which anything left.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn departures(&self, since: i64) -> Result<BTreeMap<(MailboxId, Direction), u64>> {
        const SQL: &str = "
            SELECT mailbox, direction, count FROM departure INDEXED BY departure_at
            WHERE at >= ?1";
        let entries: Vec<(i64, Direction, i64)> =
            self.all("count departures", SQL, [since], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })?;
        let mut sums = BTreeMap::new();
        for (mailbox, direction, count) in entries {
            let sum: &mut u64 = sums.entry((MailboxId(mailbox), direction)).or_default();
            *sum = sum.saturating_add(count.unsigned_abs());
        }
        Ok(sums)
    }

    /// All holds, oldest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn holds(&self) -> Result<Vec<Hold>> {
        let sql = format!("{SELECT_HOLD} ORDER BY created, id");
        let mut holds = self.all("read holds", &sql, (), decode)?;
        for hold in &mut holds {
            hold.rows = self.held_rows(&hold.id)?;
        }
        Ok(holds)
    }

    /// The hold of an id.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn hold(&self, id: &str) -> Result<Option<Hold>> {
        let sql = format!("{SELECT_HOLD} WHERE id = ?1");
        let Some(mut hold) = self.one("read a hold", &sql, [id], decode)? else {
            return Ok(None);
        };
        hold.rows = self.held_rows(id)?;
        Ok(Some(hold))
    }

    fn held_rows(&self, id: &str) -> Result<Vec<RowId>> {
        let sql = "SELECT row FROM hold_row WHERE hold = ?1 ORDER BY row";
        self.all("read a hold", sql, [id], |row| row.get(0).map(RowId))
    }
}

impl Tx<'_> {
    /// Notes that messages left a side of a mailbox; `at` in seconds since 1970.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn add_departure(
        &self,
        at: i64,
        mailbox: MailboxId,
        direction: Direction,
        count: u64,
    ) -> Result<()> {
        const SQL: &str = "
            INSERT INTO departure (at, mailbox, direction, count) VALUES (?1, ?2, ?3, ?4)";
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.execute("note departures", SQL, (at, mailbox.0, direction, count)).map(|_| ())
    }

    /// Forgets departures before `before` (seconds since 1970); how many entries went.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn prune_departures(&self, before: i64) -> Result<usize> {
        self.execute("forget departures", "DELETE FROM departure WHERE at < ?1", [before])
    }

    /// Stores a hold with all its fields, in the place of one with the same id.
    ///
    /// A person may have decided since it was read: read it in this transaction.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn put_hold(&self, hold: &Hold) -> Result<()> {
        const DOING: &str = "store a hold";
        const SQL: &str = "
            INSERT INTO hold (id, created, mailbox, mailbox_name, direction, why, state)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        self.delete_hold(&hold.id)?;
        let mailbox = hold.mailbox.map(|mailbox| mailbox.0);
        let (name, why) = (&hold.mailbox_name, &hold.why);
        let values = (&hold.id, hold.created, mailbox, name, hold.direction, why, hold.state);
        self.execute(DOING, SQL, values)?;
        let sql = "INSERT OR IGNORE INTO hold_row (hold, row) VALUES (?1, ?2)";
        for row in &hold.rows {
            self.execute(DOING, sql, (&hold.id, row.0))?;
        }
        Ok(())
    }

    /// Notes what a person said of a hold; whether there is one of that id.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn set_hold_state(&self, id: &str, state: HoldState) -> Result<bool> {
        let sql = "UPDATE hold SET state = ?2 WHERE id = ?1";
        Ok(self.execute("decide a hold", sql, (id, state))? > 0)
    }

    /// Dissolves a hold; whether there was one.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn delete_hold(&self, id: &str) -> Result<bool> {
        Ok(self.execute("dissolve a hold", "DELETE FROM hold WHERE id = ?1", [id])? > 0)
    }
}

fn decode(row: &Columns<'_>) -> rusqlite::Result<Hold> {
    Ok(Hold {
        id: row.get(0)?,
        created: row.get(1)?,
        mailbox: row.get::<_, Option<i64>>(2)?.map(MailboxId),
        mailbox_name: row.get(3)?,
        direction: row.get(4)?,
        why: row.get(5)?,
        rows: Vec::new(),
        state: row.get(6)?,
    })
}

impl ToSql for Direction {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(match self {
            Self::FromRemote => 0,
            Self::FromLocal => 1,
        }))
    }
}

impl FromSql for Direction {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        match value.as_i64()? {
            0 => Ok(Self::FromRemote),
            1 => Ok(Self::FromLocal),
            other => Err(FromSqlError::OutOfRange(other)),
        }
    }
}

impl ToSql for HoldState {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(match self {
            Self::Pending => 0,
            Self::Approved => 1,
            Self::Rejected => 2,
        }))
    }
}

impl FromSql for HoldState {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        match value.as_i64()? {
            0 => Ok(Self::Pending),
            1 => Ok(Self::Approved),
            2 => Ok(Self::Rejected),
            other => Err(FromSqlError::OutOfRange(other)),
        }
    }
}
