//! The log of runs: what `status` tells of the last ones, and the number a push remembers.

use super::error::Result;
use super::store::{Tx, View};

/// So many runs are kept; a daemon that runs for years must not fill the disk with its diary.
pub const RUNS_KEPT: i64 = 1000;

/// One run over the account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Its number: ascending, never given again.
    pub number: i64,
    /// When it began, in seconds since 1970.
    pub started: i64,
    /// When it ended; none while it goes on, and for ever if it was killed.
    pub ended: Option<i64>,
    /// What asked for it.
    pub cause: String,
    /// What came of it, as JSON of whoever ran it.
    pub outcome: Option<String>,
}

impl View {
    /// The last `n` runs, newest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn last_runs(&self, n: usize) -> Result<Vec<Run>> {
        const SQL: &str = "
            SELECT id, started, ended, cause, outcome FROM run ORDER BY id DESC LIMIT ?1";
        let limit = i64::try_from(n).unwrap_or(i64::MAX);
        self.all("read the log of runs", SQL, [limit], |row| {
            Ok(Run {
                number: row.get(0)?,
                started: row.get(1)?,
                ended: row.get(2)?,
                cause: row.get(3)?,
                outcome: row.get(4)?,
            })
        })
    }
}

impl Tx<'_> {
    /// Begins a run at `now` (seconds since 1970) and gives its number; all but the last
    /// [`RUNS_KEPT`] are forgotten.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn begin_run(&self, now: i64, cause: &str) -> Result<i64> {
        const DOING: &str = "begin a run";
        self.execute(DOING, "INSERT INTO run (started, cause) VALUES (?1, ?2)", (now, cause))?;
        let number = self.db.last_insert_rowid();
        self.execute(DOING, "DELETE FROM run WHERE id <= ?1", [number - RUNS_KEPT])?;
        Ok(number)
    }

    /// Ends a run at `now` with what came of it, as JSON.
    ///
    /// # Errors
    /// `Missing` when there is no such run.
    pub fn end_run(&self, number: i64, now: i64, outcome: &str) -> Result<()> {
        const DOING: &str = "end a run";
        const SQL: &str = "UPDATE run SET ended = ?2, outcome = ?3 WHERE id = ?1";
        let rows = self.execute(DOING, SQL, (number, now, outcome))?;
        self.touched(DOING, number, rows)
    }
}
