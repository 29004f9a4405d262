//! Making a store, opening it again, and what is refused with which words.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rusqlite::Connection;

use super::super::schema::{self, MIGRATIONS};
use super::*;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    PathBuf::from(format!("{}{suffix}", path.display()))
}

#[test]
fn a_store_is_made_fresh_and_keeps_its_identity() {
    let mut fixture = Fixture::new();
    let (path, id) = (fixture.path(), fixture.store.id());
    assert!(fixture.store.is_fresh().unwrap());
    fixture.mailbox("INBOX");
    assert!(!fixture.store.is_fresh().unwrap());
    drop(fixture.store);
    let again = Store::open(&path).unwrap();
    assert_eq!(again.id(), id);
    assert!(!again.is_fresh().unwrap());
    assert_ne!(Fixture::new().store.id(), id);
}

#[test]
fn every_commit_is_durable_and_nothing_is_mapped() {
    let fixture = Fixture::new();
    let writer = &fixture.store;
    let reader = Store::open_existing_readonly(&fixture.path()).unwrap().unwrap();
    for store in [writer, &reader] {
        let pragma = |name: &str| -> String {
            let sql = format!("SELECT CAST({name} AS TEXT) FROM pragma_{name}");
            store.one("ask", &sql, (), |row| row.get(0)).unwrap().unwrap()
        };
        assert_eq!(pragma("synchronous"), "2");
        assert_eq!(pragma("journal_mode"), "wal");
        assert_eq!(pragma("foreign_keys"), "1");
        assert_eq!(pragma("application_id"), schema::APPLICATION_ID.to_string());
        assert_eq!(pragma("user_version"), MIGRATIONS.len().to_string());
    }
    let mapped: Option<i64> = writer.one("ask", "PRAGMA mmap_size", (), |row| row.get(0)).unwrap();
    assert_eq!(mapped.unwrap_or(0), 0);
}

/// The umask belongs to the process, so this one gets a process of its own.
#[test]
fn only_its_owner_may_read_it_whatever_the_umask() {
    const CHILD: &str = "MAILTIDE_TEST_UMASK";
    if let Some(path) = std::env::var_os(CHILD) {
        rustix::process::umask(rustix::fs::Mode::empty());
        let mut store = Store::open(Path::new(&path)).unwrap();
        store.transaction(|tx| tx.set_meta("a", "b")).unwrap();
        let path = store.path();
        for file in [path.to_owned(), beside(path, "-wal"), beside(path, "-shm")] {
            assert_eq!(mode(&file), 0o600, "{}", file.display());
        }
        assert_eq!(mode(path.parent().unwrap()), 0o700);
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let name = "state::tests::open::only_its_owner_may_read_it_whatever_the_umask";
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name])
        .env(CHILD, dir.path().join("deep/er/state.db"))
        .output()
        .unwrap();
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
    assert!(dir.path().join("deep/er/state.db").exists(), "the child did nothing");
}

#[test]
fn a_file_that_others_may_read_is_taken_from_them() {
    let fixture = Fixture::new();
    let path = fixture.path();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    drop(Store::open(&path).unwrap());
    assert_eq!(mode(&path), 0o600);
}

#[test]
fn reading_makes_nothing_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("none/state.db");
    assert!(Store::open_existing_readonly(&path).unwrap().is_none());
    assert!(Store::open_existing(&path).unwrap().is_none());
    assert!(!path.parent().unwrap().exists());
    // An empty file (killed right after it was made) holds nothing yet.
    let empty = dir.path().join("empty.db");
    fs::write(&empty, "").unwrap();
    assert!(Store::open_existing_readonly(&empty).unwrap().is_none());
    assert!(Store::open_existing(&empty).unwrap().is_none());
    assert!(Store::open(&empty).unwrap().is_fresh().unwrap());

    // Also when the last writer is gone, and its log with it.
    let mut reader = Store::open_existing_readonly(&empty).unwrap().unwrap();
    assert!(reader.mailboxes().unwrap().is_empty());
    assert!(reader.transaction(|tx| tx.set_meta("a", "b")).is_err());
}

#[test]
fn what_is_not_ours_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    let refuse = |words: &str| {
        let before = fs::read(&path).unwrap();
        for open in
            [Store::open, |path: &Path| Store::open_existing_readonly(path).map(Option::unwrap)]
        {
            let error = open(&path).unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
            assert!(error.to_string().contains("state.db"), "{error}");
        }
        assert_eq!(fs::read(&path).unwrap(), before, "{words}");
    };

    let other = Connection::open(&path).unwrap();
    other.execute_batch("CREATE TABLE t (a); PRAGMA application_id = 77").unwrap();
    refuse("of another program (application id 0x0000004d)");
    other.execute_batch("PRAGMA application_id = 0").unwrap();
    refuse("of another program");
    let ours = format!("PRAGMA application_id = {}", schema::APPLICATION_ID);
    other.execute_batch(&ours).unwrap();
    refuse("is damaged (it has format 0)");
    other.execute_batch("PRAGMA user_version = 99").unwrap();
    refuse("by a newer mailtide (format 99");
    drop(other);

    fs::write(&path, "Subject: not a database\n".repeat(400)).unwrap();
    refuse("is damaged");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let error = Store::open(&path).unwrap_err();
    assert!(matches!(error, StateError::Io { .. }), "{error}");
}

#[test]
fn damage_is_an_error_and_never_a_new_store() {
    let mut fixture = Fixture::new();
    let inbox = fixture.mailbox("INBOX");
    let filled = fixture.store.transaction(|tx| {
        (1..=2000).try_for_each(|uid| {
            tx.insert_row(&agreed(inbox, uid, &format!("stem{uid}")), true).map(|_| ())
        })
    });
    filled.unwrap();
    fixture.store.check().unwrap();
    let path = fixture.path();
    fixture.store.checkpoint().unwrap();
    drop(fixture.store);
    let whole = fs::read(&path).unwrap();

    // Every page but the first overwritten; then cut in half; each opens with an error, or
    // answers with one.
    let mut scribbled = whole.clone();
    scribbled[4096..].fill(0x5a);
    for bytes in [&scribbled, &whole[..whole.len() / 2]] {
        fs::write(&path, bytes).unwrap();
        let outcome = Store::open(&path).and_then(|store| store.check());
        let error = outcome.unwrap_err();
        assert!(matches!(error, StateError::Damaged { .. }), "{error}");
        assert_eq!(fs::read(&path).unwrap(), *bytes, "it was left alone");
    }
}

#[test]
fn a_log_without_its_database_is_not_thrown_away() {
    let mut fixture = Fixture::new();
    fixture.mailbox("INBOX");
    let elsewhere = fixture.dir.path().join("lost.db");
    fs::copy(beside(&fixture.path(), "-wal"), beside(&elsewhere, "-wal")).unwrap();
    for _ in 0..2 {
        let error = Store::open(&elsewhere).unwrap_err();
        assert!(error.to_string().contains("-wal"), "{error}");
        assert!(beside(&elsewhere, "-wal").exists());
        // The second time with an empty file.
        fs::write(&elsewhere, "").unwrap();
    }
}

#[test]
fn a_value_that_nobody_wrote_is_damage_not_a_panic() {
    let mut fixture = Fixture::new();
    let inbox = fixture.mailbox("INBOX");
    let id = fixture.insert(&agreed(inbox, 1, "x"));
    let raw = Connection::open(fixture.path()).unwrap();
    for nonsense in [
        "journal = 9",
        "journal = 1",
        "journal = 2, journal_data = '[1]'",
        "journal = 6, journal_data = 'x'",
        "aside = 77",
        "uid = -4",
        "remote_system = NULL",
        "remote_system = 999",
        "content = x'00'",
        "header = x'0011'",
        "base_keywords = '{'",
        "in_new = NULL",
    ] {
        let change = format!("UPDATE message SET {nonsense} WHERE id = {}", id.0);
        raw.execute_batch(&change).unwrap();
        let error = fixture.store.row(id).unwrap_err();
        assert!(matches!(error, StateError::Damaged { .. }), "{nonsense}: {error}");
        raw.execute_batch("DELETE FROM message WHERE true").unwrap();
        let row = Row { set_aside: None, ..agreed(inbox, 1, "x") };
        let again = fixture.insert(&row);
        raw.execute("UPDATE message SET id = ?1 WHERE id = ?2", (id.0, again.0)).unwrap();
    }
}

#[test]
fn formats_follow_one_another_and_a_failed_step_leaves_the_one_before() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    let view = View { db: Connection::open(&path).unwrap(), path: path.clone() };
    let known = MIGRATIONS.len() + 1;
    assert_eq!(schema::format(&view, known).unwrap(), 0);
    schema::migrate(&view, MIGRATIONS).unwrap();
    let first = MIGRATIONS.len();
    assert_eq!(schema::format(&view, known).unwrap(), first);
    let id = |view: &View| -> [u8; 16] {
        view.one("read", "SELECT id FROM store", (), |row| row.get(0)).unwrap().unwrap()
    };
    let before = id(&view);

    let next = "ALTER TABLE mailbox ADD COLUMN colour TEXT; INSERT INTO meta VALUES ('a', 'b')";
    let broken = "INSERT INTO meta VALUES ('c', 'd'); SELECT no_such_thing()";
    let steps: Vec<&str> = MIGRATIONS.iter().copied().chain([next, broken]).collect();
    assert!(schema::migrate(&view, &steps).is_err());
    assert_eq!(schema::format(&view, known).unwrap(), first + 1);
    assert_eq!(view.meta("a").unwrap().as_deref(), Some("b"));
    assert_eq!(view.meta("c").unwrap(), None, "half a step");
    assert_eq!(id(&view), before);
    schema::migrate(&view, &steps[..=first]).unwrap();

    // This program now finds a format that it does not know.
    drop(view);
    let error = Store::open(&path).unwrap_err();
    assert!(matches!(error, StateError::Newer { .. }), "{error}");
}

#[test]
fn hazard_119_a_store_that_is_a_link_is_refused_and_its_target_left_alone() {
    let fixture = Fixture::new();
    let (path, dir) = (fixture.path(), tempfile::tempdir().unwrap());
    drop(fixture.store);
    let target = dir.path().join("target.db");
    fs::copy(&path, &target).unwrap();
    fs::set_permissions(&target, fs::Permissions::from_mode(0o644)).unwrap();
    let link: [fn(&Path, &Path) -> std::io::Result<()>; 2] =
        [|target, link| std::os::unix::fs::symlink(target, link), |a, b| fs::hard_link(a, b)];
    for link in link {
        let place = dir.path().join("linked.db");
        link(&target, &place).unwrap();
        for opened in [Store::open(&place).err(), Store::open_existing_readonly(&place).err()] {
            let words = opened.unwrap().to_string();
            assert!(words.contains("symbolic link") || words.contains("another name"), "{words}");
        }
        assert_eq!(mode(&target), 0o644);
        fs::remove_file(&place).unwrap();
    }
    // The directory may be reached by a link.
    let way = dir.path().join("way");
    std::os::unix::fs::symlink(dir.path(), &way).unwrap();
    Store::open(&way.join("target.db")).unwrap();
}

#[test]
fn hazard_119_what_somebody_put_into_the_file_does_not_run() {
    for code in [
        "CREATE TRIGGER t AFTER INSERT ON meta BEGIN DELETE FROM mailbox; END",
        "CREATE VIEW v AS SELECT * FROM meta",
    ] {
        let fixture = Fixture::new();
        let path = fixture.path();
        drop(fixture.store);
        Connection::open(&path).unwrap().execute_batch(code).unwrap();
        for opened in [Store::open(&path).err(), Store::open_existing_readonly(&path).err()] {
            let words = opened.unwrap().to_string();
            assert!(words.contains("trigger t") || words.contains("view v"), "{words}");
        }
    }
}
