//! A transaction is kept whole or not at all: by errors, panics, hooks, kills and power cuts,
//! and beside other processes.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

/// Moves the cursor together with the row that it covers, then ends as it is told.
fn advance(store: &mut Store, mut inbox: Mailbox, end: Result<()>) -> Result<()> {
    store.transaction(|tx| {
        inbox.cursor =
            Some(MailboxStatus { uid_validity: 1, uid_next: 8, ..MailboxStatus::default() });
        tx.put_mailbox(&inbox)?;
        tx.insert_row(&new_remote(inbox.id, 7), false)?;
        end
    })
}

#[test]
fn a_cursor_and_its_rows_are_kept_together_or_not_at_all() {
    let mut fixture = Fixture::new();
    let id = fixture.mailbox("INBOX");
    let store = &mut fixture.store;
    let inbox = store.mailbox(id).unwrap().unwrap();

    let stop = Err(StateError::Stopped("cut".to_owned()));
    let error = advance(store, inbox.clone(), stop).unwrap_err();
    assert_eq!(error.to_string(), "cut");
    assert_eq!(store.mailbox(id).unwrap().unwrap(), inbox);
    assert_eq!(store.by_uid(id, Uid(7)).unwrap(), None);

    advance(store, inbox, Ok(())).unwrap();
    assert!(store.mailbox(id).unwrap().unwrap().cursor.is_some());
    assert!(store.by_uid(id, Uid(7)).unwrap().is_some());
}

#[test]
fn a_panic_rolls_back_and_the_store_goes_on() {
    let mut fixture = Fixture::new();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        fixture.store.transaction(|tx| -> Result<()> {
            tx.set_meta("a", "b")?;
            panic!("on purpose")
        })
    }));
    assert!(panicked.is_err());
    assert_eq!(fixture.store.meta("a").unwrap(), None);
    fixture.store.transaction(|tx| tx.set_meta("a", "c")).unwrap();
    assert_eq!(fixture.store.meta("a").unwrap().as_deref(), Some("c"));
}

#[test]
fn the_hook_sees_every_commit_and_may_refuse_it() {
    let mut fixture = Fixture::new();
    let store = &mut fixture.store;
    let commits = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&commits);
    store.set_commit_hook(Some(Box::new(move || match counter.fetch_add(1, Ordering::Relaxed) {
        1 => Err(StateError::Stopped("the second".to_owned())),
        _ => Ok(()),
    })));
    let mut set = |value| store.transaction(|tx| tx.set_meta("a", value));
    set("1").unwrap();
    set("2").unwrap_err();
    assert_eq!(store.meta("a").unwrap().as_deref(), Some("1"));
    store.transaction(|tx| tx.set_meta("a", "3")).unwrap();
    let failed: Result<()> =
        store.transaction(|_| Err(StateError::Stopped("not counted".to_owned())));
    failed.unwrap_err();
    assert_eq!(commits.load(Ordering::Relaxed), 3);
    store.set_commit_hook(None);
    store.transaction(|tx| tx.set_meta("a", "4")).unwrap();
    assert_eq!(commits.load(Ordering::Relaxed), 3);
}

#[test]
fn another_process_reads_what_was_committed_while_a_write_is_open() {
    let mut fixture = Fixture::new();
    let inbox = fixture.mailbox("INBOX");
    let reader = Store::open_existing_readonly(&fixture.path()).unwrap().unwrap();
    let seen = |reader: &Store| reader.counts().unwrap().messages;
    fixture
        .store
        .transaction(|tx| {
            tx.insert_row(&new_remote(inbox, 1), false)?;
            assert_eq!(tx.remote_count(inbox)?, 1, "the transaction sees its own");
            assert_eq!(seen(&reader), 0, "nobody else does");
            Ok(())
        })
        .unwrap();
    assert_eq!(seen(&reader), 1);

    // Several questions of one state.
    let figures = reader.snapshot(|view| {
        let before = view.counts()?.messages;
        fixture.store.transaction(|tx| tx.insert_row(&new_remote(inbox, 2), false))?;
        Ok((before, view.counts()?.messages))
    });
    assert_eq!(figures.unwrap(), (1, 1));
    assert_eq!(seen(&reader), 2);
}

#[test]
fn two_writers_wait_for_each_other_and_lose_nothing() {
    let fixture = Fixture::new();
    let path = fixture.path();
    let count = |view: &View| -> u32 {
        view.meta("count").unwrap().map_or(0, |count| count.parse().unwrap())
    };
    let add = |_| {
        let path = path.clone();
        std::thread::spawn(move || {
            let mut store = Store::open(&path).unwrap();
            for _ in 0..30 {
                // What was read must still be true when it is written.
                let add = |tx: &Tx<'_>| tx.set_meta("count", &(count(tx) + 1).to_string());
                store.transaction(add).unwrap();
            }
        })
    };
    let writers: Vec<_> = (0..3).map(add).collect();
    writers.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(count(&fixture.store), 90);
}

#[test]
fn a_store_that_several_make_at_once_is_one_store() {
    for _ in 0..10 {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.db");
        let open = |_| {
            let path = path.clone();
            std::thread::spawn(move || Store::open(&path).unwrap().id())
        };
        let threads: Vec<_> = (0..4).map(open).collect();
        let ids: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    }
}

const CHILD: &str = "MAILTIDE_TEST_KILLED_WRITER";

/// Commits one row, then writes far more than the cache holds and waits to be killed.
fn killed_writer(path: &Path) {
    let mut store = Store::open(path).unwrap();
    let inbox = store.transaction(|tx| tx.put_mailbox(&mailbox("INBOX"))).unwrap();
    store.transaction(|tx| tx.insert_row(&agreed(inbox, 1, "kept"), true)).unwrap();
    store.db.pragma_update(None, "cache_size", 10).unwrap();
    let _ = store.transaction(|tx| {
        for uid in 2..5000 {
            tx.insert_row(&agreed(inbox, uid, &format!("lost{uid}")), true)?;
        }
        tx.delete_row(RowId(1))?;
        println!("\nready"); // The parent waits for this line.
        std::thread::park();
        Ok(())
    });
}

#[test]
fn a_killed_writer_leaves_what_it_had_committed() {
    if let Some(path) = std::env::var_os(CHILD) {
        return killed_writer(Path::new(&path));
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    let name = "state::tests::crash::a_killed_writer_leaves_what_it_had_committed";
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(CHILD, &path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let ready = lines.map_while(std::io::Result::ok).any(|line| line == "ready");
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(ready, "the child never came so far");

    let mut store = Store::open(&path).unwrap();
    store.check().unwrap();
    let inbox = store.mailbox_by_name(&MailboxName::new("INBOX")).unwrap().unwrap().id;
    let rows = store.rows_in(inbox, None, 9).unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].local, Some(local("kept")));
    store.transaction(|tx| tx.insert_row(&new_remote(inbox, 2), false)).unwrap();
}

/// What a power cut leaves: the files as they were synced, and of the log, which the disk may
/// have written in part, any beginning.
#[test]
fn a_torn_log_gives_back_a_state_that_was_committed() {
    let mut fixture = Fixture::new();
    let inbox = fixture.mailbox("INBOX");
    fixture.store.checkpoint().unwrap();
    for uid in 1..=5 {
        fixture.insert(&agreed(inbox, uid, &format!("s{uid}")));
    }
    let database = std::fs::read(fixture.path()).unwrap();
    let log = std::fs::read(format!("{}-wal", fixture.path().display())).unwrap();
    let mut states = Vec::new();
    for cut in (0..=log.len()).step_by(1777).chain([log.len()]) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.db");
        std::fs::write(&path, &database).unwrap();
        std::fs::write(dir.path().join("state.db-wal"), &log[..cut]).unwrap();
        let store = Store::open(&path).unwrap();
        store.check().unwrap();
        let uids = uids(&store, inbox);
        assert_eq!(uids, (1..=uids.len() as u32).collect::<Vec<_>>(), "in the order written");
        states.push(uids.len());
    }
    assert!(states.is_sorted(), "{states:?}");
    assert_eq!((states.first(), states.last()), (Some(&0), Some(&5)), "{states:?}");
}

#[test]
fn a_store_goes_from_thread_to_thread() {
    fn sent<T: Send>() {}
    sent::<Store>();
}
