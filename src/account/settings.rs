//! What an account needs to know of its configuration: plain data, already validated.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::progress::Progress;
use crate::config::{Account, Direction, Maildrop, Pattern, SecretSource};
use crate::local::fs::{Fs, RealFs};
use crate::reconcile::types::{
    GuardLimits, Layout, MailboxName, OnLocalDelete, OnRemoteDelete, SpecialUse,
};
use crate::remote::imap::Endpoint;
use crate::remote::{Connector, TcpConnector};

/// Decides which mailboxes are mirrored.
pub type Selects = Arc<dyn Fn(&MailboxName) -> bool + Send + Sync>;

/// One account, as its task sees it.
#[derive(Clone)]
pub struct Settings {
    /// The name in the configuration.
    pub name: String,
    /// Where and as whom to sign in.
    pub endpoint: Endpoint,
    /// The root of the Maildirs.
    pub maildir: PathBuf,
    /// How mailboxes lie in it.
    pub layout: Layout,
    /// The state store's file.
    pub store: PathBuf,
    /// Which mailboxes are mirrored.
    pub selects: Selects,
    /// What `selects` was made from: a change of it plans no removal.
    pub scope: String,
    /// The server is never changed.
    pub pull_only: bool,
    /// What a local deletion does on the server.
    pub on_local_delete: OnLocalDelete,
    /// What a deletion on the server does on disk.
    pub on_remote_delete: OnRemoteDelete,
    /// Limits of the guard.
    pub guard: GuardLimits,
    /// Special uses that the server does not tell, by the user's word.
    pub special_use: Vec<(SpecialUse, MailboxName)>,
    /// Messages above this many octets stay on the server.
    pub max_message_size: u64,
    /// Connections at most, 1 or more.
    pub connections: u8,
    /// Nothing is brought down while the disk has fewer bytes free than this.
    pub min_free: u64,
    /// The character before `2,FLAGS` in file names.
    pub info_separator: u8,
    /// The name of this machine, for file names and the lock.
    pub machine: String,
    /// What is pulled how, where the account is one of a maildrop.
    pub maildrop: Option<Maildrop>,
    /// The environment variable that the password is in: no other program gets it.
    pub secret_variable: Option<String>,
}

impl Settings {
    /// What a run needs of the config.
    #[must_use]
    pub fn of(account: &Account, state_dir: &Path, secret: &str) -> Self {
        let mirrored = account.mailboxes.clone();
        Self {
            name: account.name.clone(),
            endpoint: Endpoint {
                host: account.host.clone(),
                port: account.port,
                tls: account.tls,
                ca: account.tls_ca.clone(),
                pin: account.tls_pin.map(|pin| pin.0),
                allow_cleartext: account.allow_cleartext,
                user: account.user.clone(),
                secret: zeroize::Zeroizing::new(secret.to_owned()),
                timeout: account.timeout,
                scram_only: account.scram_only,
                disable: BTreeSet::new(),
            },
            maildir: account.maildir.clone(),
            layout: account.layout,
            store: store_path(state_dir, account),
            scope: scope(account),
            selects: Arc::new(move |name| mirrored.mirror(name)),
            pull_only: account.direction == Direction::Pull,
            on_local_delete: account.on_local_delete,
            on_remote_delete: account.on_remote_delete,
            guard: account.guard,
            special_use: account.special_use.iter().map(|(u, n)| (*u, n.clone())).collect(),
            max_message_size: account.max_message_size,
            connections: account.connections,
            min_free: account.min_free,
            info_separator: u8::try_from(account.info_separator).unwrap_or(b':'),
            machine: machine(),
            maildrop: account.maildrop.clone(),
            secret_variable: match &account.secret {
                SecretSource::Env(name) => Some(name.clone()),
                _ => None,
            },
        }
    }
}

/// Everything that decides which rows exist and what a missing side means, in a format that is
/// compared from run to run and hence never changes: a change of the settings removes nothing
/// (hazard 43).
fn scope(account: &Account) -> String {
    let patterns =
        |patterns: &[Pattern]| -> Vec<String> { patterns.iter().map(Pattern::text).collect() };
    serde_json::json!({
        "version": 1,
        "include": patterns(&account.mailboxes.include),
        "exclude": patterns(&account.mailboxes.exclude),
        "direction": account.direction,
        "on_local_delete": account.on_local_delete,
        "on_remote_delete": account.on_remote_delete,
    })
    .to_string()
}

fn machine() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The state store of an account.
#[must_use]
pub fn store_path(state_dir: &Path, account: &Account) -> PathBuf {
    state_dir.join(format!("{}.db", account.name))
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Asked before each commit of the store whether it may be.
pub type Commits = Arc<dyn Fn() -> bool + Send + Sync>;

/// The outer world of an account: replaced by the test kit, piece by piece.
#[derive(Clone)]
pub struct Environment {
    /// The file system under the Maildir.
    pub fs: Arc<dyn Fs>,
    /// How the server is dialled.
    pub connector: Arc<dyn Connector>,
    /// Wall-clock time.
    pub clock: Clock,
    /// Asked before each commit of the store; a false ends it: the test kit's crash points.
    pub commits: Option<Commits>,
    /// Told what the run comes to.
    pub progress: Progress,
    /// Set when the user asked to stop: the step in hand is finished, nothing new is begun.
    pub stop: Arc<AtomicBool>,
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment").field("fs", &self.fs).finish_non_exhaustive()
    }
}

impl Environment {
    /// The outer world as it is.
    #[must_use]
    pub fn real(progress: Progress, stop: Arc<AtomicBool>) -> Self {
        Self {
            fs: Arc::new(RealFs::default()),
            connector: Arc::new(TcpConnector),
            clock: Clock::system(),
            commits: None,
            progress,
            stop,
        }
    }

    /// Whether the user asked to stop.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// Wall-clock time: the system's, or one that a test sets.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> SystemTime + Send + Sync>);

impl Clock {
    /// The system's clock.
    #[must_use]
    pub fn system() -> Self {
        Self(Arc::new(SystemTime::now))
    }

    /// A clock of one's own.
    #[must_use]
    pub fn from_fn(now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// Nanoseconds since 1970.
    #[must_use]
    pub fn now_ns(&self) -> i64 {
        let since = (self.0)().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
    }

    /// Seconds since 1970.
    #[must_use]
    pub fn now(&self) -> i64 {
        self.now_ns() / 1_000_000_000
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}
