//! Making, opening and refusing a store.

use std::io;
use std::path::Path;
use std::time::Duration;

use rusqlite::backup::Backup;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::error::{Result, StateError};
use super::store::{Store, View};
use super::{disk, schema};

/// How long a write waits for one of another process.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How long to wait before a switch of the journal mode is tried again.
const RETRY: Duration = Duration::from_millis(10);

/// To this size the write-ahead log is cut back after a large transaction.
const WAL_LIMIT: i64 = 64 << 20;

/// Page cache in KiB (negative by SQLite's convention): holds the upper pages of every index of
/// a million rows, so that a batch of writes does not read them again.
const CACHE_KIB: i64 = -16 * 1024;

/// How a store is opened.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Create,
    Existing,
    ReadOnly,
}

impl Store {
    /// Opens the store of an account, and makes it first when there is none: the file with mode
    /// 0600 whatever the umask, missing directories with 0700.
    ///
    /// # Errors
    /// `Network`, `Foreign`, `Newer`, `Damaged`, `Busy`, `Io`; never replaces what it refuses.
    pub fn open(path: &Path) -> Result<Self> {
        match open(path, Mode::Create)? {
            Some(store) => Ok(store),
            None => Err(StateError::Damaged {
                path: path.to_owned(),
                detail: "it vanished while it was opened".to_owned(),
            }),
        }
    }

    /// Opens a store for reading and writing only if there is one: for commands that act on it
    /// from another process.
    ///
    /// # Errors
    /// As `open`.
    pub fn open_existing(path: &Path) -> Result<Option<Self>> {
        open(path, Mode::Existing)
    }

    /// Opens a copy of a store that is gone with its last use: for trying what a run would do.
    /// Where there is none, an empty one.
    ///
    /// # Errors
    /// As `open`, and when no copy can be made.
    pub fn open_scratch(path: &Path) -> Result<Self> {
        let fail = |source| StateError::from_sql(path, "copy the state store", source);
        let mut db = Connection::open("").map_err(fail)?;
        if let Some(existing) = Self::open_existing_readonly(path)? {
            let copy = Backup::new(&existing.db, &mut db).map_err(fail)?;
            copy.run_to_completion(1000, Duration::ZERO, None).map_err(fail)?;
        }
        let view = View { db, path: path.to_owned() };
        schema::migrate(&view, schema::MIGRATIONS)?;
        let id = view.one("read the identity", "SELECT id FROM store", (), |row| row.get(0))?;
        let detail = "it has lost its identity".to_owned();
        let id = id.ok_or(StateError::Damaged { path: path.to_owned(), detail })?;
        Ok(Self { view, id, hook: None })
    }

    /// Opens a store only for reading, if there is one; every write on it fails.
    ///
    /// # Errors
    /// As `open`, and `Outdated` for an older format, which it may not bring up to date.
    pub fn open_existing_readonly(path: &Path) -> Result<Option<Self>> {
        open(path, Mode::ReadOnly)
    }
}

fn open(path: &Path, mode: Mode) -> Result<Option<Store>> {
    let exists = disk::look(path)?.is_some();
    if !exists && mode != Mode::Create {
        return Ok(None);
    }
    if mode == Mode::Create {
        disk::make_directory(path)?;
    }
    disk::refuse_network(path)?;
    disk::refuse_orphaned_log(path)?;
    if !exists {
        disk::make_file(path)?;
    } else if mode != Mode::ReadOnly {
        disk::make_private(path)?;
    }

    let before = disk::look(path)?;
    let view = connect(path, mode)?;
    if disk::look(path)? != before {
        let source = io::Error::other("another file took its place meanwhile");
        return Err(StateError::Io { path: path.to_owned(), doing: "open", source });
    }
    let known = schema::MIGRATIONS.len();
    match (schema::format(&view, known)?, mode) {
        (0, Mode::Existing | Mode::ReadOnly) => return Ok(None),
        (format, Mode::ReadOnly) if format < known => {
            let number = |n| i32::try_from(n).unwrap_or(i32::MAX);
            let path = path.to_owned();
            return Err(StateError::Outdated { path, found: number(format), known: number(known) });
        }
        (_, Mode::ReadOnly) => {}
        (_, Mode::Create | Mode::Existing) => {
            prepare_for_writing(&view)?;
            schema::migrate(&view, schema::MIGRATIONS)?;
        }
    }
    let id = view.one("read the identity", "SELECT id FROM store", (), |row| row.get(0))?;
    let Some(id) = id else {
        let detail = "it has lost its identity".to_owned();
        return Err(StateError::Damaged { path: path.to_owned(), detail });
    };
    Ok(Some(Store { view, id, hook: None }))
}

/// Connects without writing anything: what the file is has not been told yet.
fn connect(path: &Path, mode: Mode) -> Result<View> {
    const DOING: &str = "open the state store";
    let access = match mode {
        Mode::ReadOnly => OpenFlags::SQLITE_OPEN_READ_ONLY,
        Mode::Create | Mode::Existing => OpenFlags::SQLITE_OPEN_READ_WRITE,
    };
    let fail = |source| StateError::from_sql(path, DOING, source);
    // One thread at a time by construction (a connection is not Sync): no mutex is needed.
    let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let db = Connection::open_with_flags(disk::resolved(path), flags).map_err(fail)?;
    db.busy_timeout(BUSY_TIMEOUT).map_err(fail)?;
    db.set_prepared_statement_cache_capacity(64);
    let settings = [
        // Every commit reaches the disk before it returns: no power cut takes one back.
        ("synchronous", "FULL"),
        // On macOS a plain fsync leaves the data in the drive's cache.
        ("fullfsync", "ON"),
        ("checkpoint_fullfsync", "ON"),
        ("foreign_keys", "ON"),
        // An I/O error under a memory map would be a signal, not an error.
        ("mmap_size", "0"),
        // The schema of a file that someone else gave us runs no functions.
        ("trusted_schema", "OFF"),
        ("cell_size_check", "ON"),
        ("temp_store", "MEMORY"),
    ];
    for (name, value) in settings {
        db.pragma_update(None, name, value).map_err(fail)?;
    }
    db.pragma_update(None, "cache_size", CACHE_KIB).map_err(fail)?;
    // Plans depend on the text of a question alone: else each bound value is a reason to
    // prepare it anew, a sixth of the time of a first download.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map_err(fail)?;
    // What somebody else put into the file does not run, not even before it is refused.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false).map_err(fail)?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false).map_err(fail)?;
    Ok(View { db, path: path.to_owned() })
}

/// Sets what is kept in the file itself, now that it is known to be ours.
fn prepare_for_writing(view: &View) -> Result<()> {
    const DOING: &str = "switch to write-ahead logging";
    let switch = || -> Result<String> {
        view.db
            .pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))
            .map_err(view.sql(DOING))
    };
    let mut mode = switch();
    // The busy timeout does not cover this switch; another process may be making it as well.
    for _ in 0..BUSY_TIMEOUT.as_millis() / RETRY.as_millis() {
        if !matches!(mode, Err(StateError::Busy { .. })) {
            break;
        }
        std::thread::sleep(RETRY);
        mode = switch();
    }
    let mode = mode?;
    if !mode.eq_ignore_ascii_case("wal") {
        let kind = format!("no write-ahead logging there, only {mode}");
        return Err(StateError::Network { path: view.path.clone(), kind });
    }
    view.db
        .pragma_update_and_check(None, "journal_size_limit", WAL_LIMIT, |_| Ok(()))
        .map_err(view.sql(DOING))
}
