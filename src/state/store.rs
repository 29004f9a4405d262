//! A store that is open: transactions, and how one question or one write goes to SQLite.

use std::fmt;
use std::ops::Deref;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension as _, Params};

use super::error::{Result, StateError};

/// Called before each commit; an error from it rolls the transaction back.
pub type CommitHook = Box<dyn FnMut() -> Result<()> + Send>;

/// The state store of one account, open.
///
/// Used from the thread that owns the account; other processes may read, and write between
/// its transactions, at the same time.
pub struct Store {
    pub(super) view: View,
    pub(super) id: [u8; 16],
    pub(super) hook: Option<CommitHook>,
}

/// What is stored, as it can be asked: by a store and within a transaction.
pub struct View {
    pub(super) db: Connection,
    pub(super) path: PathBuf,
}

/// A transaction under way: everything written through it is kept together, or not at all.
pub struct Tx<'s> {
    view: &'s View,
}

impl Store {
    /// The random identity that this store was made with; a lost and remade store has another.
    #[must_use]
    pub fn id(&self) -> [u8; 16] {
        self.id
    }

    /// Does all that `f` writes, durably, or nothing of it when `f` fails or panics.
    ///
    /// The write lock is taken at once (`BEGIN IMMEDIATE`), so what `f` reads cannot change
    /// under it.
    ///
    /// # Errors
    /// What `f` or the commit hook returns; `Busy` when another process keeps the write lock
    /// for more than 5 s; `Full`, `Damaged`, `Sql`.
    pub fn transaction<T>(&mut self, f: impl FnOnce(&Tx<'_>) -> Result<T>) -> Result<T> {
        let rollback = Rollback::begin(&self.view)?;
        let value = f(&Tx { view: &self.view })?;
        if let Some(hook) = &mut self.hook {
            hook()?;
        }
        rollback.commit()?;
        Ok(value)
    }

    /// Brings the write-ahead log home and empties it, for when there is nothing else to do.
    /// Harmless, and without effect, while another process reads.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn checkpoint(&self) -> Result<()> {
        let sql = "PRAGMA wal_checkpoint(TRUNCATE)";
        self.one("empty the write-ahead log", sql, (), |_| Ok(())).map(|_| ())
    }

    /// Sets what is called before each commit: a crash-point counter of tests.
    pub fn set_commit_hook(&mut self, hook: Option<CommitHook>) {
        self.hook = hook;
    }
}

impl View {
    /// Where the database lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether no mailbox and no message was ever stored here: new, or made anew after a loss.
    /// The log of runs and `meta` do not count.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn is_fresh(&self) -> Result<bool> {
        const SQL: &str = "SELECT count(*) FROM sqlite_sequence \
                           WHERE name IN ('mailbox', 'message', 'maildrop') AND seq > 0";
        Ok(self.count("read whether anything was stored", SQL, ())? == 0)
    }

    /// Gives back memory that only helps while there is much to do.
    pub fn shrink(&self) {
        // Nothing depends on it.
        let _ = self.db.execute_batch("PRAGMA shrink_memory");
    }

    /// Asks several questions of one and the same state, whatever is committed meanwhile.
    ///
    /// Not to be called within a transaction, which is such a state already.
    ///
    /// # Errors
    /// What `f` returns, and when the database cannot be read.
    pub fn snapshot<T>(&self, f: impl FnOnce(&Self) -> Result<T>) -> Result<T> {
        self.db.execute_batch("BEGIN DEFERRED").map_err(self.sql("begin to read"))?;
        let _end = Rollback { view: self };
        f(self)
    }

    /// Reads the whole database for damage (seconds for a million rows).
    ///
    /// # Errors
    /// `Damaged` with the first thing found.
    pub fn check(&self) -> Result<()> {
        let found: Option<String> =
            self.one("check", "PRAGMA quick_check(1)", (), |row| row.get(0))?;
        match found.as_deref() {
            Some("ok") => Ok(()),
            other => {
                let detail = other.unwrap_or("no answer").to_owned();
                Err(StateError::Damaged { path: self.path.clone(), detail })
            }
        }
    }

    /// Names what was tried and where, for an error of SQLite.
    pub(super) fn sql(&self, doing: &'static str) -> impl FnOnce(rusqlite::Error) -> StateError {
        move |source| StateError::from_sql(&self.path, doing, source)
    }

    /// The first row of an answer.
    pub(super) fn one<T>(
        &self,
        doing: &'static str,
        sql: &str,
        params: impl Params,
        decode: impl FnOnce(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>> {
        let mut statement = self.db.prepare_cached(sql).map_err(self.sql(doing))?;
        statement.query_row(params, decode).optional().map_err(self.sql(doing))
    }

    /// Every row of an answer.
    pub(super) fn all<T>(
        &self,
        doing: &'static str,
        sql: &str,
        params: impl Params,
        decode: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>> {
        let mut statement = self.db.prepare_cached(sql).map_err(self.sql(doing))?;
        let rows = statement.query_map(params, decode).map_err(self.sql(doing))?;
        rows.collect::<rusqlite::Result<_>>().map_err(self.sql(doing))
    }

    /// The number that a `count(*)` gives.
    pub(super) fn count(&self, doing: &'static str, sql: &str, params: impl Params) -> Result<u64> {
        let count = self.one(doing, sql, params, |row| row.get::<_, i64>(0))?;
        Ok(count.and_then(|n| u64::try_from(n).ok()).unwrap_or(0))
    }
}

impl Tx<'_> {
    /// Writes, and says how many rows it touched.
    pub(super) fn execute(
        &self,
        doing: &'static str,
        sql: &str,
        params: impl Params,
    ) -> Result<usize> {
        let mut statement = self.db.prepare_cached(sql).map_err(self.sql(doing))?;
        statement.execute(params).map_err(self.sql(doing))
    }

    /// An error unless a write touched something.
    pub(super) fn touched(
        &self,
        doing: &'static str,
        id: impl fmt::Display,
        rows: usize,
    ) -> Result<()> {
        if rows == 0 {
            return Err(StateError::Missing { path: self.path.clone(), doing, id: id.to_string() });
        }
        Ok(())
    }
}

/// Ends a transaction when it goes out of scope uncommitted, by an error or by a panic.
pub(super) struct Rollback<'v> {
    view: &'v View,
}

impl<'v> Rollback<'v> {
    pub(super) fn begin(view: &'v View) -> Result<Self> {
        view.db.execute_batch("BEGIN IMMEDIATE").map_err(view.sql("begin to write"))?;
        Ok(Self { view })
    }

    pub(super) fn commit(self) -> Result<()> {
        self.view.db.execute_batch("COMMIT").map_err(self.view.sql("commit"))
    }
}

impl Drop for Rollback<'_> {
    fn drop(&mut self) {
        // After a commit, or an error that ended the transaction itself, there is nothing to do.
        if !self.view.db.is_autocommit()
            && let Err(error) = self.view.db.execute_batch("ROLLBACK")
        {
            tracing::warn!(%error, "could not roll back");
        }
    }
}

impl Deref for Store {
    type Target = View;

    fn deref(&self) -> &View {
        &self.view
    }
}

impl Deref for Tx<'_> {
    type Target = View;

    fn deref(&self) -> &View {
        self.view
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("path", &self.view.path).finish_non_exhaustive()
    }
}
