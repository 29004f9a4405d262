//! How every account stands, in words that a person understands.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// What an account is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It fetches its password, dials, signs in.
    Connecting,
    /// A run is on.
    Syncing,
    /// Both sides are the same, as far as is known, and changes are waited for.
    InStep,
    /// Something is held until a person decides.
    Held,
    /// Something failed; it is tried again.
    BackingOff,
    /// The server refused the sign-in; that is tried again, more rarely.
    SignIn,
    /// A person asked it to wait.
    Paused,
}

impl State {
    /// As people say it.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Syncing => "syncing",
            Self::InStep => "in sync",
            Self::Held => "held for approval",
            Self::BackingOff => "waiting to retry",
            Self::SignIn => "not signed in",
            Self::Paused => "paused",
        }
    }
}

/// An account as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// Its name.
    pub account: String,
    /// What it is at.
    pub state: State,
    /// Since when, in seconds since 1970.
    pub since: i64,
    /// When the next attempt is made, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<i64>,
    /// Why it is not in step, or how far a run has come.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// How it hears of changes on the server: `notify`, `idle` or `poll`.
    pub push: String,
    /// Why nothing is heard at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unheard: Option<String>,
    /// What the last run did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// What the last run that did something did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<String>,
    /// Runs and failed attempts since the account was begun.
    pub runs: u64,
    /// The number of the last run or attempt that began (see [`Board::begin`]).
    #[serde(skip)]
    pub begun: u64,
    /// The number of the last one that has ended.
    #[serde(skip)]
    pub ended: u64,
}

impl View {
    /// An account that has just begun.
    #[must_use]
    pub fn new(account: &str) -> Self {
        Self {
            account: account.to_owned(),
            state: State::Connecting,
            since: 0,
            until: None,
            why: None,
            push: "poll".to_owned(),
            unheard: None,
            run: None,
            last: None,
            runs: 0,
            begun: 0,
            ended: 0,
        }
    }
}

/// A worker that shows no sign of life for so long hangs. It may be silent as long as one call to
/// a slow disk takes, or one file to read, and a restart makes neither faster.
const HANGS: Duration = Duration::from_secs(60 * 60);

/// All accounts. Whoever is interested waits for a change.
#[derive(Debug, Default)]
pub struct Board {
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Inner {
    version: u64,
    views: BTreeMap<String, View>,
    /// When the loop of an account went round last.
    alive: BTreeMap<String, Instant>,
    /// When the worker of an account that has work showed a sign of life last.
    at_work: BTreeMap<String, Instant>,
    /// Runs and attempts of all accounts, numbered as they begin; never the same number again,
    /// also where an account is let go and begun anew.
    begun: u64,
    /// The config is being read again: accounts that are not here may be in a moment.
    reloads: bool,
}

impl Board {
    /// An empty board.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the view of an account, which is made if need be.
    pub fn update(&self, account: &str, change: impl FnOnce(&mut View)) {
        let mut inner = self.lock();
        let view = inner.views.entry(account.to_owned()).or_insert_with(|| View::new(account));
        let before = view.clone();
        change(view);
        if *view != before {
            inner.version += 1;
            self.changed.notify_all();
        }
    }

    /// A run of an account begins, or an attempt to have one.
    pub fn begin(&self, account: &str) {
        let mut inner = self.lock();
        inner.begun += 1;
        let number = inner.begun;
        let view = inner.views.entry(account.to_owned()).or_insert_with(|| View::new(account));
        view.begun = number;
    }

    /// A number that only runs and attempts have which begin from now on, or a greater one.
    #[must_use]
    pub fn ticket(&self) -> u64 {
        self.lock().begun + 1
    }

    /// The config is being read again, or that is done.
    pub fn reload(&self, goes_on: bool) {
        let mut inner = self.lock();
        inner.reloads = goes_on;
        inner.version += 1;
        self.changed.notify_all();
    }

    /// As [`Self::views`], and whether all accounts of the config are among them: not while it
    /// is being read again.
    #[must_use]
    pub fn all_views(&self) -> (u64, Vec<View>, bool) {
        let inner = self.lock();
        (inner.version, inner.views.values().cloned().collect(), !inner.reloads)
    }

    /// An account is none of ours any more.
    pub fn remove(&self, account: &str) {
        let mut inner = self.lock();
        inner.views.remove(account);
        inner.alive.remove(account);
        inner.at_work.remove(account);
        inner.version += 1;
        self.changed.notify_all();
    }

    /// All accounts, and the number of the state they are in.
    #[must_use]
    pub fn views(&self) -> (u64, Vec<View>) {
        let inner = self.lock();
        (inner.version, inner.views.values().cloned().collect())
    }

    /// Waits until the state is another than this one, for so long at most.
    #[must_use]
    pub fn wait(&self, version: u64, time: Duration) -> (u64, Vec<View>) {
        let same = |inner: &mut Inner| inner.version == version;
        let waited = self.changed.wait_timeout_while(self.lock(), time, same);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
        self.views()
    }

    /// The loop of an account goes round.
    pub fn beat(&self, account: &str) {
        self.lock().alive.insert(account.to_owned(), Instant::now());
    }

    /// When the loop of an account went round last.
    #[must_use]
    pub fn last_beat(&self, account: &str) -> Option<Instant> {
        self.lock().alive.get(account).copied()
    }

    /// The worker of an account has work, and goes on with it.
    pub fn works(&self, account: &str) {
        self.lock().at_work.insert(account.to_owned(), Instant::now());
    }

    /// The worker of an account has no work.
    pub fn rests(&self, account: &str) {
        self.lock().at_work.remove(account);
    }

    /// Whether every account has shown a sign of life within this time, and no worker hangs.
    #[must_use]
    pub fn is_alive(&self, within: Duration) -> bool {
        let inner = self.lock();
        inner.alive.values().all(|at| at.elapsed() < within)
            && inner.at_work.values().all(|at| at.elapsed() < within.max(HANGS))
    }
}

/// Seconds since 1970.
pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
