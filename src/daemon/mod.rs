//! `mailtide run`: every account kept in step for as long as the machine is on.
//!
//! Two threads an account: one for its [task], which listens and decides, and one for its
//! [worker], which may have to wait for the disk. Accounts share nothing but the
//! [board](state) that shows how they stand. Whatever happens (an event in the Maildir, a word
//! of the server, time, a person) is a [cause], and the answer to every cause is the
//! same run. There is no second way of syncing.

pub mod backoff;
pub mod cause;
pub mod control;
mod ending;
pub mod files;
pub mod hook;
pub mod notifications;
mod open_account;
pub mod progress;
mod pulls;
pub mod state;
pub mod systemd;
pub mod task;
mod telling;
pub mod volume;
pub mod wake;
pub mod worker;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use self::cause::{Cause, Causes};
use self::state::{Board, State};
use self::systemd::Manager;
use self::task::{Task, Wanted};
use self::volume::{ACCOUNT_THREAD, Level, Volume};
use crate::account::{Environment, Progress};
use crate::config::{Account, Config};

/// How long accounts may take to end.
const END: Duration = Duration::from_millis(4_700);
/// How long after an error of our own an account is begun anew.
const AFTER_PANIC: Duration = Duration::from_secs(10);

/// What the daemon is told from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// End, and leave nothing half done.
    End,
    /// Read the config again.
    Reload,
    /// Sync all accounts now.
    Sync,
}

/// Something for the supervisor.
#[derive(Debug)]
pub enum Event {
    /// Somebody wants something.
    Order(Order),
    /// The thread of an account has ended.
    Ended(String),
}

/// A running account.
#[derive(Debug)]
struct Handle {
    account: Account,
    causes: Causes,
    wanted: watch::Sender<Wanted>,
    volume: Volume,
}

/// What the supervisor and the control socket both work with.
#[derive(Debug)]
pub struct Shared {
    /// Where the stores lie.
    pub state_dir: PathBuf,
    /// The config file, as the system calls it.
    pub config: PathBuf,
    /// How the accounts stand.
    pub board: Arc<Board>,
    accounts: Mutex<BTreeMap<String, Handle>>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Handle>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with one account, or with all. False where there is no such account.
    fn each(&self, account: Option<&str>, mut what: impl FnMut(&Handle)) -> bool {
        let mut any = false;
        for (name, handle) in &*self.lock() {
            if account.is_none_or(|wanted| wanted == name) {
                what(handle);
                any = true;
            }
        }
        any
    }

    /// Whether there is this account, or any.
    #[must_use]
    pub fn has(&self, account: Option<&str>) -> bool {
        self.each(account, |_| {})
    }

    /// Gives a cause to one account, or to all. False where there is no such account.
    pub fn nudge(&self, account: Option<&str>, cause: Cause) -> bool {
        self.each(account, |handle| handle.causes.nudge(cause))
    }

    /// Lets one account, or all, go on or wait. False where there is no such account.
    pub fn want(&self, account: Option<&str>, what: Wanted) -> bool {
        self.each(account, |handle| {
            // Who was told to stop is not called back.
            handle.wanted.send_if_modified(|wanted| {
                let may = *wanted != Wanted::Stopped;
                if may {
                    *wanted = what;
                }
                may
            });
        })
    }

    /// Sets what is logged of one account, or of all. False where there is no such account.
    pub fn log(&self, account: Option<&str>, level: Level) -> bool {
        self.each(account, |handle| handle.volume.set(level))
    }
}

/// The daemon, which orders can be sent to.
#[derive(Debug)]
pub struct Daemon {
    shared: Arc<Shared>,
    events: Sender<Event>,
    inbox: Receiver<Event>,
    state_dir: PathBuf,
    manager: Arc<Manager>,
}

impl Daemon {
    /// A daemon without accounts.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let (events, inbox) = mpsc::channel();
        let state_dir = config.state_dir.clone();
        let manager = Arc::new(Manager::of_environment());
        let board = Board::new();
        let file = std::fs::canonicalize(&config.path).unwrap_or_else(|_| config.path.clone());
        let accounts = Mutex::default();
        let shared = Shared { state_dir: state_dir.clone(), config: file, board, accounts };
        Self { shared: Arc::new(shared), events, inbox, state_dir, manager }
    }

    /// Where orders go.
    #[must_use]
    pub fn orders(&self) -> Sender<Event> {
        self.events.clone()
    }

    /// What the control socket works with.
    #[must_use]
    pub fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// Keeps the accounts of a config in step until it is told to end. `reload` reads the
    /// config again.
    pub fn run(mut self, config: &Config, reload: &dyn Fn() -> Result<Config, String>) {
        self.adapt(config);
        let shared = self.shared();
        wake::watch(move |cause| {
            tracing::debug!("{cause}");
            shared.nudge(None, cause);
        });
        self.tell_manager();
        loop {
            match self.next() {
                Some(Event::Order(Order::End)) => return self.end(),
                Some(Event::Order(Order::Sync)) => {
                    self.shared.nudge(None, Cause::Asked);
                }
                Some(Event::Order(Order::Reload)) => {
                    self.manager.tell("RELOADING=1");
                    match reload() {
                        Ok(config) => {
                            self.shared.board.reload(true);
                            self.adapt(&config);
                            self.shared.board.reload(false);
                        }
                        Err(error) => {
                            tracing::error!("the config is kept as it was: {error}");
                        }
                    }
                    self.manager.tell("READY=1");
                }
                // It was told to, or it could not begin; it has said why.
                Some(Event::Ended(_)) | None => {}
            }
        }
    }

    /// The next event. Meanwhile the service manager is shown that all accounts are alive.
    fn next(&self) -> Option<Event> {
        let Some(watchdog) = self.manager.watchdog() else { return self.inbox.recv().ok() };
        match self.inbox.recv_timeout(watchdog / 4) {
            Ok(event) => Some(event),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                if self.shared.board.is_alive(watchdog) {
                    self.manager.tell("WATCHDOG=1");
                }
                None
            }
        }
    }

    /// Starts, ends and leaves alone accounts, so that they are those of the config.
    fn adapt(&mut self, config: &Config) {
        let moved = config.state_dir != self.state_dir;
        self.state_dir.clone_from(&config.state_dir);
        let stays = |handle: &Handle| {
            let new = config.account(&handle.account.name);
            !moved && new == Some(&handle.account)
        };
        let gone: Vec<String> = {
            let accounts = self.shared.lock();
            let gone = accounts.values().filter(|handle| !stays(handle));
            gone.map(|handle| handle.account.name.clone()).collect()
        };
        self.stop(&gone);
        for account in &config.accounts {
            if !self.shared.lock().contains_key(&account.name) {
                self.start(account);
            }
        }
    }

    fn start(&self, account: &Account) {
        let (wanted, receiver) = watch::channel(Wanted::Running);
        let (causes, volume) = (Causes::default(), Volume::default());
        let task = Task {
            account: account.clone(),
            state_dir: self.state_dir.clone(),
            environment: Environment::real(Progress::default(), Arc::default()),
            board: Arc::clone(&self.shared.board),
            causes: causes.clone(),
            wanted: receiver,
            volume: volume.clone(),
            beat: self.manager.watchdog().map(|time| time / 4),
        };
        let name = account.name.clone();
        self.shared.board.update(&name, |_| {});
        let handle = Handle { account: account.clone(), causes, wanted, volume };
        self.shared.lock().insert(name.clone(), handle);
        let events = self.events.clone();
        let thread = std::thread::Builder::new().name(format!("{ACCOUNT_THREAD}{name}"));
        let spawned = thread.spawn(move || {
            task.volume.of_this_thread();
            supervise(&task, AFTER_PANIC);
            let _ = events.send(Event::Ended(task.account.name.clone()));
        });
        if let Err(error) = spawned {
            tracing::error!(account = name, "cannot start: {error}");
            self.shared.lock().remove(&name);
        }
    }

    /// Ends accounts, and waits for them for a while.
    fn stop(&mut self, names: &[String]) {
        for name in names {
            self.shared.want(Some(name), Wanted::Stopped);
        }
        let deadline = Instant::now() + END;
        let mut open: Vec<&String> = names.iter().collect();
        let mut others = Vec::new();
        while !open.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.inbox.recv_timeout(left) {
                Ok(Event::Ended(name)) => open.retain(|open| **open != name),
                Ok(Event::Order(order)) => {
                    others.push(order);
                    if order == Order::End {
                        break;
                    }
                }
                Err(_) => break,
            }
        }
        for name in names {
            self.shared.lock().remove(name);
            self.shared.board.remove(name);
        }
        for order in others {
            let _ = self.events.send(Event::Order(order));
        }
    }

    fn end(mut self) {
        self.manager.tell("STOPPING=1");
        let names: Vec<String> = self.shared.lock().keys().cloned().collect();
        self.stop(&names);
    }

    /// Keeps the service manager informed. READY is said when every account has signed in, or
    /// it is known why not.
    fn tell_manager(&self) {
        let (manager, board) = (Arc::clone(&self.manager), Arc::clone(&self.shared.board));
        let told = std::thread::Builder::new().name("status".to_owned()).spawn(move || {
            let (mut version, mut views) = board.views();
            let (mut ready, mut said) = (false, String::new());
            loop {
                if !ready && views.iter().all(|view| view.state != State::Connecting) {
                    manager.tell("READY=1");
                    ready = true;
                }
                let status = format!("STATUS={}", summary(&views));
                if status != said {
                    manager.tell(&status);
                    said = status;
                }
                (version, views) = board.wait(version, Duration::from_secs(24 * 60 * 60));
            }
        });
        if let Err(error) = told {
            tracing::warn!("the service manager is not kept informed: {error}");
        }
    }
}

/// Runs an account until it is to stop, and anew after this pause when an error of our own ended
/// it. The others go on meanwhile.
pub fn supervise(task: &Task, pause: Duration) {
    loop {
        match catch_unwind(AssertUnwindSafe(|| task.run())) {
            Ok(Ok(())) => return,
            Ok(Err(error)) => {
                tracing::error!("cannot start: {error}");
                let why = Some(format!("cannot start: {error}"));
                task.board.begin(&task.account.name);
                return task.ends(State::BackingOff, None, why);
            }
            Err(_) => {
                let seconds = pause.as_secs();
                let why = format!("an error of mailtide itself; tried again in {seconds} s");
                tracing::error!("{why}; please report it");
                task.ends(State::BackingOff, None, Some(why));
                std::thread::sleep(pause);
            }
        }
    }
}

/// All accounts in a line.
fn summary(views: &[state::View]) -> String {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for view in views {
        *counts.entry(view.state.words()).or_default() += 1;
    }
    let parts: Vec<String> = counts.iter().map(|(words, n)| format!("{n} {words}")).collect();
    if parts.is_empty() { "no accounts".to_owned() } else { parts.join(", ") }
}
