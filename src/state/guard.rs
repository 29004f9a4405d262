//! What the guard remembers: how much left lately, and what is held for a person.

use std::collections::BTreeMap;

use rusqlite::Row as Columns;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};

use super::error::Result;
use super::store::{Tx, View};
use crate::reconcile::HoldReason;
use crate::reconcile::hold::Direction;
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
    /// Why it is held; counts `rows`.
    pub reason: HoldReason,
    /// The reason in words.
    pub why: String,
    /// Some of its messages as JSON of whoever looked them up; none before that.
    pub samples: Option<String>,
    /// The rows; given back ascending, each once.
    pub rows: Vec<RowId>,
    /// What a person said.
    pub state: HoldState,
}

const SELECT_HOLD: &str = "
    SELECT id, created, mailbox, mailbox_name, direction, why, state, reason, before, most,
        samples FROM hold";

/// Messages that left a side of a mailbox at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Departure {
    /// The mailbox that they left.
    pub mailbox: MailboxId,
    /// The side that they left.
    pub direction: Direction,
    /// How many.
    pub count: u64,
    /// Which, where it is known of a single one.
    pub row: Option<RowId>,
    /// The last row of the mailbox that was agreed on when its messages began to leave.
    pub newest: Option<RowId>,
}

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

    /// Everything that left since `since`.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn departed(&self, since: i64) -> Result<Vec<Departure>> {
        const SQL: &str = "
            SELECT mailbox, direction, count, row, newest
            FROM departure INDEXED BY departure_at WHERE at >= ?1";
        self.all("count departures", SQL, [since], |row| {
            Ok(Departure {
                mailbox: MailboxId(row.get(0)?),
                direction: row.get(1)?,
                count: row.get::<_, i64>(2)?.unsigned_abs(),
                row: row.get::<_, Option<i64>>(3)?.map(RowId),
                newest: row.get::<_, Option<i64>>(4)?.map(RowId),
            })
        })
    }

    /// The same for every mailbox and direction from which anything left.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn departures(&self, since: i64) -> Result<BTreeMap<(MailboxId, Direction), u64>> {
        let mut sums = BTreeMap::new();
        for Departure { mailbox, direction, count, .. } in self.departed(since)? {
            let sum: &mut u64 = sums.entry((mailbox, direction)).or_default();
            *sum = sum.saturating_add(count);
        }
        Ok(sums)
    }

    /// Mailboxes from which messages are leaving, with the last row that was agreed on before.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn waves(&self) -> Result<BTreeMap<MailboxId, RowId>> {
        let sql = "SELECT mailbox, newest FROM wave";
        let waves = self.all("read what is leaving", sql, (), |row| {
            Ok((MailboxId(row.get(0)?), RowId(row.get(1)?)))
        })?;
        Ok(waves.into_iter().collect())
    }

    /// The last row that was ever given a number; 0 where none was.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn newest_row(&self) -> Result<RowId> {
        const SQL: &str = "SELECT seq FROM sqlite_sequence WHERE name = 'message'";
        let newest = self.one("look for the last row", SQL, (), |row| row.get(0))?;
        Ok(RowId(newest.unwrap_or(0)))
    }

    /// The last row of a mailbox that was agreed on; 0 where none was.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn newest_agreed(&self, mailbox: MailboxId) -> Result<RowId> {
        const SQL: &str = "
            SELECT id FROM message INDEXED BY message_mailbox
            WHERE mailbox = ?1 AND base_system IS NOT NULL ORDER BY id DESC LIMIT 1";
        let newest = self.one("look for the last message", SQL, [mailbox.0], |row| row.get(0))?;
        Ok(RowId(newest.unwrap_or(0)))
    }

    /// Whether a message of a mailbox that was agreed on, up to the row `newest`, is on both
    /// sides.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn keeps_agreed(&self, mailbox: MailboxId, newest: RowId) -> Result<bool> {
        const SQL: &str = "
            SELECT 1 FROM message INDEXED BY message_mailbox
            WHERE mailbox = ?1 AND id <= ?2 AND base_system IS NOT NULL
                AND stem IS NOT NULL AND uid IS NOT NULL LIMIT 1";
        let found = self.one("look for a message", SQL, (mailbox.0, newest.0), |_| Ok(()))?;
        Ok(found.is_some())
    }

    /// The pending hold that took the place of the one with this id, and how many messages it
    /// has that were not shown under that.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn replacement(&self, id: &str) -> Result<Option<(String, u64)>> {
        let sql = "SELECT new, more FROM hold_replaced WHERE old = ?1";
        self.one("read a hold", sql, [id], |row| {
            Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs()))
        })
    }

    /// Ids of holds, and of those that were replaced, that begin with `prefix`.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn hold_ids(&self, prefix: &str) -> Result<Vec<String>> {
        const SQL: &str = "
            SELECT id FROM hold WHERE substr(id, 1, length(?1)) = ?1
            UNION SELECT old FROM hold_replaced WHERE substr(old, 1, length(?1)) = ?1";
        self.all("read holds", SQL, [prefix], |row| row.get(0))
    }

    /// All holds, oldest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn holds(&self) -> Result<Vec<Hold>> {
        let sql = format!("{SELECT_HOLD} ORDER BY created, id");
        let mut holds = self.all("read holds", &sql, (), decode)?;
        for hold in &mut holds {
            self.fill(hold)?;
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
        self.fill(&mut hold)?;
        Ok(Some(hold))
    }

    fn fill(&self, hold: &mut Hold) -> Result<()> {
        let sql = "SELECT row FROM hold_row WHERE hold = ?1 ORDER BY row";
        hold.rows = self.all("read a hold", sql, [&hold.id], |row| row.get(0).map(RowId))?;
        hold.reason = hold.reason.clone().with_count(hold.rows.len() as u64);
        Ok(())
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

    /// Notes that one message left a side of a mailbox, as part of its wave.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn add_departed(
        &self,
        at: i64,
        mailbox: MailboxId,
        direction: Direction,
        row: RowId,
    ) -> Result<()> {
        const SQL: &str = "
            INSERT INTO departure (at, mailbox, direction, count, row, newest) VALUES
                (?1, ?2, ?3, 1, ?4, (SELECT newest FROM wave WHERE mailbox = ?2))";
        self.execute("note departures", SQL, (at, mailbox.0, direction, row.0)).map(|_| ())
    }

    /// Notes that messages of a mailbox begin to leave, all that is agreed on up to `newest`.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn begin_wave(&self, mailbox: MailboxId, newest: RowId) -> Result<()> {
        let sql = "INSERT OR IGNORE INTO wave (mailbox, newest) VALUES (?1, ?2)";
        self.execute("note what is leaving", sql, (mailbox.0, newest.0)).map(|_| ())
    }

    /// Notes that no message of a mailbox is leaving any more.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn end_wave(&self, mailbox: MailboxId) -> Result<()> {
        let sql = "DELETE FROM wave WHERE mailbox = ?1";
        self.execute("note what is leaving", sql, [mailbox.0]).map(|_| ())
    }

    /// Notes that a pending hold (stored already) takes the place of another one, with `more`
    /// messages that were not shown under the old id.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn replace_hold(&self, old: &str, new: &str, more: u64) -> Result<()> {
        const DOING: &str = "replace a hold";
        let more = i64::try_from(more).unwrap_or(i64::MAX);
        let sql = "UPDATE hold_replaced SET new = ?2, more = more + ?3 WHERE new = ?1";
        self.execute(DOING, sql, (old, new, more))?;
        let sql = "INSERT OR REPLACE INTO hold_replaced (old, new, more) VALUES (?1, ?2, ?3)";
        self.execute(DOING, sql, (old, new, more))?;
        self.delete_hold(old).map(|_| ())
    }

    /// Stores what some messages of a hold are, as JSON.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn set_hold_samples(&self, id: &str, samples: &str) -> Result<()> {
        let sql = "UPDATE hold SET samples = ?2 WHERE id = ?1";
        self.execute("describe a hold", sql, (id, samples)).map(|_| ())
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
        // Not deleted and made anew: what it replaced hangs on it.
        const SQL: &str = "
            INSERT INTO hold (id, created, mailbox, mailbox_name, direction, why, state, reason,
                before, most, samples)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
            ON CONFLICT (id) DO UPDATE SET created = ?2, mailbox = ?3, mailbox_name = ?4,
                direction = ?5, why = ?6, state = ?7, reason = ?8, before = ?9, most = ?10,
                samples = ?11";
        let mailbox = hold.mailbox.map(|mailbox| mailbox.0);
        let (name, why) = (&hold.mailbox_name, &hold.why);
        let (reason, before, most) = encode(&hold.reason);
        let values = (&hold.id, hold.created, mailbox, name, hold.direction, why, hold.state);
        let (id, created, mailbox, name, direction, why, state) = values;
        let values = rusqlite::params![
            id,
            created,
            mailbox,
            name,
            direction,
            why,
            state,
            reason,
            before,
            most,
            hold.samples
        ];
        self.execute(DOING, SQL, values)?;
        self.execute(DOING, "DELETE FROM hold_row WHERE hold = ?1", [&hold.id])?;
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
    let number = |at| row.get::<_, i64>(at).map(i64::unsigned_abs);
    let (before, limit) = (number(8)?, number(9)?);
    let reason = match row.get::<_, i64>(7)? {
        1 => HoldReason::Emptied { now: 0, before },
        2 => HoldReason::FlagsRemoved { now: 0, limit },
        3 => HoldReason::SurplusCopies { now: 0 },
        _ => HoldReason::TooMany { now: 0, before, limit },
    };
    Ok(Hold {
        id: row.get(0)?,
        created: row.get(1)?,
        mailbox: row.get::<_, Option<i64>>(2)?.map(MailboxId),
        mailbox_name: row.get(3)?,
        direction: row.get(4)?,
        reason,
        why: row.get(5)?,
        rows: Vec::new(),
        samples: row.get(10)?,
        state: row.get(6)?,
    })
}

/// The reason in columns: which, how many before, the limit.
fn encode(reason: &HoldReason) -> (i64, i64, i64) {
    let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    match reason {
        HoldReason::TooMany { before, limit, .. } => (0, number(*before), number(*limit)),
        HoldReason::Emptied { before, .. } => (1, number(*before), 0),
        HoldReason::FlagsRemoved { limit, .. } => (2, 0, number(*limit)),
        HoldReason::SurplusCopies { .. } => (3, 0, 0),
    }
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
