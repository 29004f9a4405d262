//! Disks that are slow, or that do not answer at all.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, SystemTime};

use kit::imap::Profile;
use kit::world::{ROOT, World};
use mailtide::account::{AccountError, Clock, Environment, RunRequest};
use mailtide::daemon::cause::Cause;
use mailtide::daemon::state::State;
use mailtide::daemon::task::{Task, Wanted};
use mailtide::local::LocalError;
use mailtide::mail::Live;

use super::{agreed_on, settle, there};
use crate::months::{account, task_of};
use crate::running::until;
use crate::scenarios::with_text;

/// What a call to the slow disk takes.
const CALL_NS: i64 = 50_000_000;
const DAY_NS: i64 = 86_400_000_000_000;
const SECOND_NS: i64 = 1_000_000_000;

/// The outer world of an account whose clock is that of the disk.
fn by_the_disk(world: &World) -> Environment {
    let fs = world.fs.clone();
    let now = move || SystemTime::UNIX_EPOCH + Duration::from_nanos(fs.clock().unsigned_abs());
    Environment { clock: Clock::from_fn(now), ..world.environment() }
}

/// Opens the account for one run. Gives whether the disk is to be looked at again.
fn one_slice(world: &World) -> bool {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let mut live = Live::open(world.settings(), by_the_disk(world), "test").await.unwrap();
        let begun = world.fs.clock();
        live.run("test", &RunRequest::default()).await.1.unwrap();
        // A slice, one page beyond it, and what a run costs.
        assert!(world.fs.clock() - begun < 25 * SECOND_NS, "nobody else has a turn for so long");
        live.looks_again().is_some()
    })
}

#[test]
fn hazard_121_files_are_compared_in_slices_and_it_is_kept_how_far() {
    const COUNT: usize = 1_000;
    let world = World::new(Profile::qresync());
    for n in 0..COUNT {
        let text = format!("Message-ID: <{n}>\r\n\r\ntext {n}.\r\n");
        world.server.append("INBOX", text.as_bytes(), &[], Some(5));
    }
    settle(&world);
    let edited = with_text(&world, "INBOX", "text 999.");
    world.fs.write_file(&edited, b"Message-ID: <999>\n\nedited\n");
    world.fs.set_clock(world.fs.clock() + DAY_NS);
    let asked = Arc::new(AtomicUsize::new(0));
    let (fs, count) = (world.fs.clone(), Arc::clone(&asked));
    world.fs.set_fault(Some(Arc::new(move |call: &str, path: &Path| {
        fs.set_clock(fs.clock() + CALL_NS);
        if call == "lstat" && path.starts_with(format!("{ROOT}/INBOX/new")) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        None
    })));
    let mut slices = 0;
    // Ended after each slice, as by a kill, it goes on where it was.
    while one_slice(&world) {
        slices += 1;
        assert!(slices < 20, "never at its end");
    }
    world.fs.set_fault(None);
    assert!(slices >= 5, "{slices}");
    let asked = asked.load(Ordering::Relaxed);
    assert!((COUNT..COUNT + 50).contains(&asked), "{asked} files were asked for their size");
    settle(&world);
    assert_eq!((there(&world, "INBOX", "edited"), there(&world, "INBOX", "text 999.")), (1, 0));
}

#[test]
fn hazard_121_a_directory_that_cannot_be_read_ends_no_comparison() {
    let world = agreed_on(&Profile::qresync());
    let edited = with_text(&world, "Work", "text 8");
    world.fs.write_file(&edited, b"Message-ID: <8>\nSubject: 8\n\nedited\n");
    world.fs.deny(format!("{ROOT}/INBOX"));
    world.fs.set_clock(world.fs.clock() + DAY_NS);
    world.wait();
    world.sync().1.expect("a run");
    assert_eq!(there(&world, "Work", "edited"), 1, "the other mailbox was compared");
}

/// A disk that answers only as long as it is open.
#[derive(Default)]
struct MailboxStatus {
    is_shut: Mutex<bool>,
    opened: Condvar,
    somebody_waits: AtomicBool,
}

impl MailboxStatus {
    fn shut(&self, shut: bool) {
        *self.is_shut.lock().unwrap() = shut;
        self.opened.notify_all();
    }

    fn pass(&self) {
        let is_shut = self.is_shut.lock().unwrap();
        self.somebody_waits.fetch_or(*is_shut, Ordering::Relaxed);
        drop(self.opened.wait_while(is_shut, |is_shut| *is_shut).unwrap());
    }
}

#[test]
fn hazard_121_a_disk_that_does_not_answer_keeps_nobody_from_listening() {
    let world = World::new(Profile::qresync());
    let gate = Arc::new(MailboxStatus::default());
    let at = Arc::clone(&gate);
    world.fs.set_fault(Some(Arc::new(move |_: &str, _: &Path| {
        at.pass();
        None
    })));
    let state = tempfile::tempdir().unwrap();
    let (task, wanted) = task_of(&world, account(state.path()), state.path());
    let task = Task { beat: Some(Duration::from_millis(5)), ..task };
    let (board, causes) = (Arc::clone(&task.board), task.causes.clone());
    let thread = std::thread::spawn(move || task.run().unwrap());
    let view = || board.views().1.remove(0);
    until("it begins", || view().state == State::InStep && view().push != "poll");
    gate.shut(true);
    causes.nudge(Cause::Asked);
    until("it waits for the disk", || gate.somebody_waits.load(Ordering::Relaxed));
    // It still hears the server,
    world.server.append("INBOX", b"Subject: new\r\n\r\nnew\r\n", &[], Some(5));
    until("the server is heard", || !causes.is_empty());
    // shows that it is alive,
    let before = board.last_beat("me");
    until("it shows that it is alive", || board.last_beat("me") > before);
    // and ends when it is told to.
    wanted.send_replace(Wanted::Stopped);
    until("it ends", || thread.is_finished());
    gate.shut(false);
    thread.join().unwrap();
    // What it held is free once the disk answers.
    let is_locked = || {
        let result = world.sync().1;
        matches!(result, Err(AccountError::Local(LocalError::Locked { .. })))
    };
    until("its worker lets go", || !is_locked());
}
