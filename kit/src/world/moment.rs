//! A foreign hand: somebody else acts on the disk or the server at one point of a run.
//!
//! Points are the calls to the file system from which something is learnt or by which names
//! change, the commands when they arrive at the server, and their answers before they are sent.
//! They are counted from 1; without threads that race they are the same in each run.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};

use mailtide::account::RunRequest;

use super::{Outcome, World};
use crate::imap::Action;

/// Calls at which nothing of others is seen: a hand there is as one at the next point.
const BLIND: [&str; 6] = ["write", "utimens", "fsync", "syncfs", "fstat", "lock"];

/// What is about to happen when the hand acts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Moment {
    /// A call to the file system, by its name in the trace.
    Call(String, PathBuf),
    /// A command is carried out.
    Command(String),
    /// A command was carried out and is answered.
    Answer(String),
}

/// What follows after the hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ending {
    /// Nothing: the run goes on.
    Alone,
    /// The process dies at that very point: what was about to happen does not.
    Crash,
    /// What was about to happen does, and the process dies then.
    CrashAfter,
    /// The next answer of the server is lost with its connection.
    LostAnswer,
}

impl Ending {
    /// All of them, with their names.
    pub const ALL: [(&str, Self); 4] = [
        ("alone", Self::Alone),
        ("crash", Self::Crash),
        ("crash-after", Self::CrashAfter),
        ("lost-answer", Self::LostAnswer),
    ];
}

/// What somebody else does. It may use all methods of the disk and the server that are meant
/// for tests.
pub type Hand = Box<dyn FnOnce(&Moment) + Send>;

struct Moments {
    at: u64,
    ending: Ending,
    passed: AtomicU64,
    hand: Mutex<Option<Hand>>,
    acted: AtomicBool,
    dead: AtomicBool,
    lost: AtomicBool,
}

impl Moments {
    /// Passes something that happens; false when the process is dead.
    fn pass(&self, moment: Option<impl FnOnce() -> Moment>) -> bool {
        if self.dead.load(SeqCst) {
            return false;
        }
        if self.acted.load(SeqCst) && self.ending == Ending::CrashAfter {
            self.dead.store(true, SeqCst);
            return false;
        }
        let Some(moment) = moment else { return true };
        if self.passed.fetch_add(1, SeqCst) + 1 != self.at {
            return true;
        }
        if let Some(hand) = self.hand.lock().expect("no panic").take() {
            hand(&moment());
        }
        self.acted.store(true, SeqCst);
        self.dead.store(self.ending == Ending::Crash, SeqCst);
        self.ending != Ending::Crash
    }

    fn call(&self, call: &str, path: &Path) -> Option<io::Error> {
        let seen = !BLIND.contains(&call);
        let alive = self.pass(seen.then_some(|| Moment::Call(call.to_owned(), path.to_owned())));
        (!alive).then(|| io::Error::other("the process is dead"))
    }

    fn command(&self, line: &str) -> Action {
        match self.pass(Some(|| Moment::Command(line.to_owned()))) {
            true => Action::Continue,
            false => Action::CutBefore,
        }
    }

    fn answer(&self, line: &str) -> bool {
        let alive = self.pass(Some(|| Moment::Answer(line.to_owned())));
        let loses = self.ending == Ending::LostAnswer && self.acted.load(SeqCst);
        let is_lost = loses && !self.lost.swap(true, SeqCst);
        alive && !is_lost
    }
}

impl World {
    /// One run in which somebody else acts at the `at`-th point (0: nobody does). Gives what it
    /// reported and how many points it passed.
    pub fn run_with(&self, at: u64, ending: Ending, hand: Hand) -> (Outcome, u64) {
        let moments = Arc::new(Moments {
            at,
            ending,
            passed: AtomicU64::new(0),
            hand: Mutex::new(Some(hand)),
            acted: AtomicBool::new(false),
            dead: AtomicBool::new(false),
            lost: AtomicBool::new(false),
        });
        let of = Arc::clone(&moments);
        self.fs.set_fault(Some(Arc::new(move |call: &str, path: &Path| of.call(call, path))));
        let of = Arc::clone(&moments);
        self.server.on_command(Some(Box::new(move |line| of.command(line))));
        let of = Arc::clone(&moments);
        self.server.on_answer(Some(Box::new(move |line| of.answer(line))));
        let of = Arc::clone(&moments);
        let commits = move || of.pass(None::<fn() -> Moment>);
        let outcome = self.go(Arc::new(commits), RunRequest::default());
        self.fs.set_fault(None);
        self.server.on_command(None);
        self.server.on_answer(None);
        (outcome, moments.passed.load(SeqCst))
    }
}
