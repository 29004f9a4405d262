//! What is shown while accounts run: lines on a terminal, events for programs, or nothing.

pub mod board;
pub mod events;
pub mod lines;
pub mod region;
pub(super) mod screen;

#[cfg(test)]
mod tests;

use std::io::{self, IsTerminal as _};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use self::board::Board;
use self::events::{Events, Told};
use super::args::Global;
use super::output::{self, Style};
use super::report::AccountOutcome;
use crate::account::Progress;

/// A run that is over sooner draws nothing.
const DELAY: Duration = Duration::from_millis(500);
/// Time between two pictures.
const TICK: Duration = Duration::from_millis(150);

/// Who watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Audience {
    /// Nobody.
    Nobody,
    /// A person at a terminal.
    Terminal,
    /// A program that reads events.
    Program,
}

impl Audience {
    /// By the options, and by what stderr is.
    pub(super) fn of(global: &Global) -> Self {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        match (global.quiet, global.json) {
            (true, _) => Self::Nobody,
            (false, true) => Self::Program,
            (false, false) if io::stderr().is_terminal() && !dumb => Self::Terminal,
            (false, false) => Self::Nobody,
        }
    }
}

/// Watches all accounts of a run, until it is dropped.
pub(super) struct Watch {
    names: Vec<String>,
    started: Instant,
    audience: Audience,
    board: Arc<Mutex<Board>>,
    /// Dropped to end the drawing.
    drawing: Option<(Sender<()>, JoinHandle<()>)>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Watch {
    /// Begins to watch accounts of these names.
    pub(super) fn new(audience: Audience, names: &[&str]) -> Self {
        let board = Arc::new(Mutex::new(Board::new(names)));
        let started = Instant::now();
        let mut drawing = None;
        if audience == Audience::Terminal {
            let (end, ended) = channel();
            let board = Arc::clone(&board);
            let style = Style::of(true);
            let draw = move || {
                let mut pause = DELAY;
                while ended.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                    pause = TICK;
                    if in_foreground() {
                        let size = screen::size();
                        let lines = lines::lines(&lock(&board), started.elapsed(), size, style);
                        screen::show(lines, size.columns);
                    }
                }
                screen::show(Vec::new(), screen::size().columns);
            };
            // Without a thread nothing is drawn, and the mail is synced all the same.
            let thread = thread::Builder::new().name("progress".to_owned()).spawn(draw);
            drawing = thread.ok().map(|thread| (end, thread));
        }
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        Self { names, started, audience, board, drawing }
    }

    /// Where the n-th account tells what it comes to.
    pub(super) fn account(&self, n: usize, dry_run: bool) -> Progress {
        let started = self.started;
        match self.audience {
            Audience::Nobody => Progress::default(),
            Audience::Terminal => {
                let board = Arc::clone(&self.board);
                Progress::new(move |event| lock(&board).tell(n, event, started.elapsed()))
            }
            Audience::Program => {
                let name = self.names.get(n).cloned().unwrap_or_default();
                print(&Told::Started { account: &name, dry_run });
                let events = Mutex::new(Events::default());
                Progress::new(move |event| {
                    let told = lock(&events).tell(&name, event, started.elapsed());
                    told.iter().for_each(print);
                })
            }
        }
    }

    /// The n-th account has ended.
    pub(super) fn end(&self, n: usize, outcome: &AccountOutcome) {
        match self.audience {
            Audience::Nobody => {}
            Audience::Terminal => {
                lock(&self.board).end(n, outcome.exit() == super::exit::Exit::InSync);
            }
            Audience::Program => outcome.holds.iter().for_each(|hold| print(&Told::Held(hold))),
        }
    }
}

impl Drop for Watch {
    /// The terminal is as it was, before anything else is said.
    fn drop(&mut self) {
        if let Some((end, thread)) = self.drawing.take() {
            drop(end);
            let _ = thread.join();
        }
    }
}

/// Whether the terminal is ours to draw on: not that of a shell that put us in the background.
fn in_foreground() -> bool {
    let group = rustix::termios::tcgetpgrp(io::stderr());
    // A terminal that controls nobody has no foreground.
    group.map_or(true, |group| group == rustix::process::getpgrp())
}

/// A line on stdout. A reader that went away, or a full disk, is told at the end of the run.
fn print(told: &Told<'_>) {
    let _ = output::json_line(told).and_then(|text| output::print(&text));
}
