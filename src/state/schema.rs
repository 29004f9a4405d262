//! The tables, and how a store of an older format is brought up to date.
//!
//! What is stored in what way:
//! - Flags are the bits of `System` beside a JSON array of keywords (NULL when there is none).
//! - 64-bit numbers without sign keep their bits; they are only ever compared for equality.
//! - A column group is absent when its first column is NULL (`stem`, `uid`, `base_system`,
//!   `size`, `aside`).
//! - Identities are `AUTOINCREMENT`: one that was given away is never given again, so a hold or
//!   a journal entry can never come to mean another message.

use super::error::{Result, StateError};
use super::store::{Rollback, View};
use crate::reconcile::types::printable;

/// `application_id` of a store: `mtid`.
pub(super) const APPLICATION_ID: i32 = 0x6d74_6964;

/// One step per format; the format of a store (`user_version`) is how many of them it has had.
pub(super) const MIGRATIONS: &[&str] = &[
    FORMAT_1,
    FORMAT_2,
    FORMAT_3,
    FORMAT_4,
    FORMAT_5,
    FORMAT_6,
    FORMAT_7,
    SUSPECTS,
    SUSPECT_MESSAGE,
    MAILDROP_START,
    OBJECT_IDS,
    DIFFERENCES,
    HOME_ROOT,
];

const FORMAT_1: &str = "
CREATE TABLE store (id BLOB NOT NULL CHECK (length(id) = 16)) STRICT;
INSERT INTO store (id) VALUES (randomblob(16));

CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE mailbox (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    name           TEXT NOT NULL UNIQUE,
    remote         INTEGER NOT NULL,
    local          INTEGER NOT NULL,
    base           INTEGER NOT NULL,
    uid_validity   INTEGER,          -- the cursor
    uid_next       INTEGER,
    messages       INTEGER,
    highest_modseq INTEGER,
    stamps         TEXT,             -- [ino, size, mtime_ns] of new/ and of cur/
    special_use    TEXT,
    mask_system    INTEGER,
    mask_keywords  TEXT,             -- NULL: any
    keyword_table  TEXT NOT NULL,
    restated       INTEGER NOT NULL,
    problem        TEXT
) STRICT;

CREATE TABLE message (
    id               INTEGER PRIMARY KEY AUTOINCREMENT,
    mailbox          INTEGER NOT NULL REFERENCES mailbox (id) ON DELETE CASCADE,
    stem             BLOB,           -- local
    in_new           INTEGER,
    info             TEXT,
    local_system     INTEGER,
    local_keywords   TEXT,
    ino              INTEGER,
    file_size        INTEGER,
    mtime_ns         INTEGER,
    uid              INTEGER,        -- remote
    remote_system    INTEGER,
    remote_keywords  TEXT,
    confirmed        INTEGER,
    base_system      INTEGER,        -- base
    base_keywords    TEXT,
    content          BLOB,
    header           BLOB,           -- hash, loose hash, has a Message-ID
    size             INTEGER,        -- the server's words
    date             INTEGER,
    object_id        TEXT,
    weak             INTEGER NOT NULL,
    restated         INTEGER NOT NULL,
    refused_keywords TEXT,
    journal          INTEGER NOT NULL,
    journal_stem     BLOB,
    journal_data     TEXT,
    aside            INTEGER,        -- set aside
    aside_words      TEXT,
    aside_times      INTEGER,
    settled          INTEGER NOT NULL,
    -- 0 settled, 1 to be planned, 2 only to be pulled, 3 set aside before it was ever pulled.
    -- Something under way is planned whatever `settled` says, or a crash would hide it;
    -- journal 3 (pushed) only waits for a twin. A removal (2) is tried three times.
    class INTEGER GENERATED ALWAYS AS (
        CASE
        WHEN settled AND (journal IN (0, 3) OR aside IS NOT NULL) THEN 0
        WHEN uid IS NULL OR stem IS NOT NULL OR base_system IS NOT NULL OR journal <> 0 THEN 1
        WHEN aside IS NULL OR (aside IN (1, 2) AND aside_times < 3) THEN 2
        ELSE 3
        END
    ) VIRTUAL
) STRICT;

CREATE INDEX message_mailbox ON message (mailbox);
CREATE UNIQUE INDEX message_uid ON message (mailbox, uid) WHERE uid IS NOT NULL;
CREATE UNIQUE INDEX message_stem ON message (mailbox, stem) WHERE stem IS NOT NULL;
CREATE INDEX message_content ON message (substr(content, 1, 8)) WHERE content IS NOT NULL;
CREATE INDEX message_words ON message (size, date) WHERE size IS NOT NULL;
CREATE INDEX message_object_id ON message (object_id) WHERE object_id IS NOT NULL;
CREATE INDEX message_unsettled ON message (class) WHERE class = 1;
CREATE INDEX message_new ON message ((header IS NULL), mailbox, uid) WHERE class = 2;
-- What stays on one side by policy (5) is no problem.
CREATE INDEX message_aside ON message (id) WHERE aside <> 5;
CREATE INDEX message_not_agreed ON message (mailbox) WHERE base_system IS NULL;

-- Outlives the mailboxes it speaks of: what left still counts for the account.
CREATE TABLE departure (
    at        INTEGER NOT NULL,
    mailbox   INTEGER NOT NULL,
    direction INTEGER NOT NULL,
    count     INTEGER NOT NULL
) STRICT;
CREATE INDEX departure_at ON departure (at);

CREATE TABLE hold (
    id           TEXT PRIMARY KEY,
    created      INTEGER NOT NULL,
    mailbox      INTEGER,
    mailbox_name TEXT NOT NULL,
    direction    INTEGER NOT NULL,
    why          TEXT NOT NULL,
    state        INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE hold_row (
    hold TEXT NOT NULL REFERENCES hold (id) ON DELETE CASCADE,
    row  INTEGER NOT NULL,
    PRIMARY KEY (hold, row)
) STRICT, WITHOUT ROWID;

CREATE TABLE run (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    started INTEGER NOT NULL,
    ended   INTEGER,
    cause   TEXT NOT NULL,
    outcome TEXT
) STRICT;
";

/// What tells a renamed mailbox from a new one.
const FORMAT_2: &str = "
ALTER TABLE mailbox ADD COLUMN object_id TEXT; -- MAILBOXID
ALTER TABLE mailbox ADD COLUMN local_id TEXT;  -- what is in .mailtide-id
ALTER TABLE mailbox ADD COLUMN renaming TEXT;  -- the new name, while it is under way
";

/// What was pulled from a maildrop.
const FORMAT_3: &str = "
CREATE TABLE maildrop (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    uidl     TEXT,
    header   BLOB,
    size     INTEGER,
    content  BLOB,
    text     BLOB,
    state    INTEGER NOT NULL,  -- 0 placing, 1 pulled, 2 alike, 3 left, 4 found, 5 kept
    mailbox  TEXT,              -- of 0
    stem     BLOB,
    words    TEXT,              -- of 3
    times    INTEGER,           -- of 3 and 5
    days     INTEGER NOT NULL,
    last_day INTEGER NOT NULL,
    presence INTEGER NOT NULL   -- 0 listed, 1 vanished, 2 deleted, 3 renamed, 4 deleting
) STRICT;
CREATE INDEX maildrop_uidl ON maildrop (uidl) WHERE uidl IS NOT NULL;
CREATE INDEX maildrop_header ON maildrop (header) WHERE header IS NOT NULL;
CREATE INDEX maildrop_content ON maildrop (content) WHERE content IS NOT NULL;
CREATE INDEX maildrop_text ON maildrop (text) WHERE text IS NOT NULL;
CREATE INDEX maildrop_listed ON maildrop (id) WHERE presence = 0;
CREATE INDEX maildrop_vanished ON maildrop (id) WHERE presence IN (1, 3);
CREATE INDEX maildrop_deleting ON maildrop (id) WHERE presence = 4;
CREATE INDEX maildrop_placing ON maildrop (id) WHERE state = 0;
";

/// The directory that the files of a mailbox were seen in.
const FORMAT_4: &str = "
ALTER TABLE mailbox ADD COLUMN home TEXT; -- [inode of new/, inode of cur/, on another disk,
                                      -- inode of .mailtide in the root]
CREATE INDEX message_restated ON message (mailbox) WHERE restated;
";

/// Holds that stay until they are answered, and what was known when mail began to leave.
const FORMAT_5: &str = "
ALTER TABLE hold ADD COLUMN reason INTEGER NOT NULL DEFAULT 0; -- 0 too many, 1 emptied, 2 flags,
                                                               -- 3 copies
ALTER TABLE hold ADD COLUMN before INTEGER NOT NULL DEFAULT 0; -- of 0 and 1
ALTER TABLE hold ADD COLUMN most INTEGER NOT NULL DEFAULT 0;   -- the limit of 0 and 2
ALTER TABLE hold ADD COLUMN samples TEXT;                      -- JSON; NULL: not looked up yet
UPDATE hold SET reason = CASE
    WHEN why LIKE 'all %' THEN 1
    WHEN why LIKE 'flags %' THEN 2
    WHEN why LIKE '% more copies of %' THEN 3
    ELSE 0 END;

CREATE TABLE hold_replaced (
    old  TEXT PRIMARY KEY,
    new  TEXT NOT NULL REFERENCES hold (id) ON DELETE CASCADE,
    more INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

ALTER TABLE departure ADD COLUMN row INTEGER;    -- of a single message
ALTER TABLE departure ADD COLUMN newest INTEGER; -- of the wave it belongs to

-- Mailboxes from which messages are leaving, and the last row that was agreed on before that.
CREATE TABLE wave (
    mailbox INTEGER PRIMARY KEY,
    newest  INTEGER NOT NULL
) STRICT;
";

/// Bodies that are not what was announced.
const FORMAT_6: &str = "
ALTER TABLE maildrop ADD COLUMN short INTEGER NOT NULL DEFAULT 0;
CREATE INDEX maildrop_short ON maildrop (id) WHERE short;
";

/// What the keyword letters of a file meant when it left.
const FORMAT_7: &str = "
ALTER TABLE message ADD COLUMN letters TEXT; -- letter to keyword, JSON
";

/// Ids of mailboxes that are none (RFC 8474), and would differ from the true ones.
const OBJECT_IDS: &str = "
UPDATE mailbox SET object_id = NULL WHERE object_id GLOB '*[^A-Za-z0-9_-]*';
";

/// Things at which connections were lost.
const SUSPECTS: &str = "
CREATE TABLE suspect (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    command      TEXT NOT NULL,
    mailbox      TEXT NOT NULL,    -- empty: the account
    uid_validity INTEGER NOT NULL,
    uids         TEXT NOT NULL,    -- a sequence set; empty: the whole mailbox
    losses       INTEGER NOT NULL,
    next         INTEGER NOT NULL, -- seconds since 1970
    next_run     INTEGER NOT NULL,
    words        TEXT NOT NULL,
    title        TEXT
) STRICT;

-- Messages that left one side while a mailbox could not be looked at, and since which run.
CREATE TABLE waiting (
    row INTEGER PRIMARY KEY,
    run INTEGER NOT NULL,
    at  INTEGER NOT NULL           -- seconds since 1970
) STRICT;
";

/// Messages of a maildrop at which connections were lost.
const SUSPECT_MESSAGE: &str = "
ALTER TABLE suspect ADD COLUMN message TEXT NOT NULL DEFAULT '';
";

/// The beginnings of what was pulled, text and all: two messages may have one header.
const MAILDROP_START: &str = "
ALTER TABLE maildrop ADD COLUMN start BLOB;
CREATE INDEX maildrop_start ON maildrop (start) WHERE start IS NOT NULL;
";

/// The root that a mailbox lay below.
const HOME_ROOT: &str = "
UPDATE mailbox SET home = json_insert(home, '$[#]', 0) WHERE home IS NOT NULL;
";

/// Rows with nothing to do by the settings, though the sides differ. [`DIFFERING`] says
/// the same: a partial index serves only questions with the same words.
const DIFFERENCES: &str = "
CREATE INDEX message_differing ON message (id)
    WHERE settled AND (aside IS NULL OR aside = 5) AND (stem IS NULL OR uid IS NULL
        OR local_system <> remote_system OR local_keywords IS NOT remote_keywords);
";

/// Which rows the index of that name has.
pub(super) const DIFFERING: &str = "settled AND (aside IS NULL OR aside = 5) \
    AND (stem IS NULL OR uid IS NULL \
        OR local_system <> remote_system OR local_keywords IS NOT remote_keywords)";

/// The format of a file that was opened: 0 for an empty one, an error for what is not ours.
///
/// # Errors
/// `Foreign`, `Newer`, and `Damaged` when it cannot be read as a database at all.
pub(super) fn format(view: &View, known: usize) -> Result<usize> {
    const DOING: &str = "read the format";
    // In one statement, so from one state: another process may be making the store right now.
    const SQL: &str = "
        SELECT application_id, user_version, (SELECT count(*) FROM sqlite_schema)
        FROM pragma_application_id, pragma_user_version";
    let (application_id, found, objects): (i32, i32, i64) = view
        .db
        .query_row(SQL, (), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .map_err(view.sql(DOING))?;
    if application_id == 0 && found == 0 && objects == 0 {
        return Ok(0);
    }
    if application_id != APPLICATION_ID {
        return Err(StateError::Foreign { path: view.path.clone(), application_id });
    }
    // We make neither: what is there would run with our next write (hazard 119).
    const CODE: &str = "
        SELECT type || ' ' || name FROM sqlite_schema WHERE type IN ('trigger', 'view') LIMIT 1";
    if let Some(object) = view.one("read the schema", CODE, (), |row| row.get::<_, String>(0))? {
        let detail = format!("somebody put a {} into it", printable(&object));
        return Err(StateError::Damaged { path: view.path.clone(), detail });
    }
    let newer = || StateError::Newer {
        path: view.path.clone(),
        found,
        known: i32::try_from(known).unwrap_or(i32::MAX),
    };
    match usize::try_from(found) {
        Ok(0) | Err(_) => {
            let detail = format!("it has format {found}");
            Err(StateError::Damaged { path: view.path.clone(), detail })
        }
        Ok(format) if format > known => Err(newer()),
        Ok(format) => Ok(format),
    }
}

/// Takes a store to the newest format, step by step, each step in a transaction of its own.
///
/// # Errors
/// Those of `format`; a step that fails leaves the store as it was before that step.
pub(super) fn migrate(view: &View, migrations: &[&str]) -> Result<()> {
    const DOING: &str = "bring the format up to date";
    loop {
        if format(view, migrations.len())? == migrations.len() {
            return Ok(());
        }
        let rollback = Rollback::begin(view)?;
        // Read again under the lock: another process may have done the step meanwhile.
        let found = format(view, migrations.len())?;
        if let Some(step) = migrations.get(found) {
            view.db.execute_batch(step).map_err(view.sql(DOING))?;
            let next = i32::try_from(found + 1).unwrap_or(i32::MAX);
            view.db.pragma_update(None, "user_version", next).map_err(view.sql(DOING))?;
            view.db
                .pragma_update(None, "application_id", APPLICATION_ID)
                .map_err(view.sql(DOING))?;
        }
        rollback.commit()?;
    }
}
