//! The control socket: a line of JSON asks, lines of JSON answer. Only its owner can reach it.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::Shared;
use super::cause::Cause;
use super::state::{State, View};
use super::task::Wanted;
use super::volume::Level;

/// The longest request, in octets.
const REQUEST_MAX: u64 = 16 << 10;
/// Clients at a time; more are turned away.
const CLIENTS_MAX: usize = 32;
/// How long a client may take to ask.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a run that was asked for may take before the client is told to look later.
const RUN_MAX: Duration = Duration::from_secs(30 * 60);

/// How long a daemon may take for an answer that waits for no run.
const ANSWER_MAX: Duration = Duration::from_secs(20);

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Request {
    /// How all accounts stand.
    Status,
    /// The same, again after each change, until the client hangs up.
    Watch,
    /// A run now, of one account or of all; answered when it is over.
    Sync {
        /// Which one.
        account: Option<String>,
    },
    /// The same, answered at once.
    Nudge {
        /// Which one.
        account: Option<String>,
    },
    /// The account, or all, are left alone until `resume`.
    Pause {
        /// Which one.
        account: Option<String>,
    },
    /// The account, or all, go on.
    Resume {
        /// Which one.
        account: Option<String>,
    },
    /// What is logged of the account, or of all.
    Log {
        /// Which one.
        account: Option<String>,
        /// How much.
        level: Level,
    },
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The state directory of the daemon, by which a client knows that it is the right one.
    pub state_dir: PathBuf,
    /// How all accounts stand.
    #[serde(default)]
    pub accounts: Vec<View>,
    /// Why it was not done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Where the socket of a daemon with these directories is: the first of them. A client looks at
/// all, since a service may have a runtime directory where its user has none.
#[must_use]
pub fn paths(runtime_dir: Option<&Path>, state_dir: &Path) -> Vec<PathBuf> {
    let dirs = runtime_dir.into_iter().chain([state_dir]);
    dirs.map(|dir| dir.join("control.sock")).collect()
}

/// A socket that clients find; dropped, it is not there any more.
#[derive(Debug)]
#[must_use = "nobody finds it once this is dropped"]
pub struct Socket(PathBuf);

impl Drop for Socket {
    fn drop(&mut self) {
        // It may have been replaced or removed by hand; then nobody finds us anyway.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Listens on a thread of its own until the process ends. A socket that no one answers is
/// replaced.
///
/// # Errors
/// Another daemon answers there, or the system refuses.
pub fn serve(path: &Path, shared: Arc<Shared>) -> io::Result<Socket> {
    if let Some(dir) = path.parent() {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    }
    if UnixStream::connect(path).is_ok() {
        return Err(io::Error::new(io::ErrorKind::AddrInUse, "another mailtide answers there"));
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // Its directory is for its owner alone before it has a mode of its own.
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    let clients = Arc::new(AtomicUsize::new(0));
    std::thread::Builder::new().name("control".to_owned()).spawn(move || {
        for stream in listener.incoming() {
            match stream {
                Ok(stream) => admit(stream, &shared, &clients),
                // Out of descriptors: later there may be some.
                Err(_) => std::thread::sleep(Duration::from_secs(1)),
            }
        }
    })?;
    Ok(Socket(path.to_owned()))
}

fn admit(stream: UnixStream, shared: &Arc<Shared>, clients: &Arc<AtomicUsize>) {
    if clients.fetch_add(1, Ordering::SeqCst) >= CLIENTS_MAX {
        clients.fetch_sub(1, Ordering::SeqCst);
        return;
    }
    let (shared, count) = (Arc::clone(shared), Arc::clone(clients));
    let thread = std::thread::Builder::new().name("client".to_owned());
    let spawned = thread.spawn(move || {
        if let Err(error) = converse(&stream, &shared) {
            tracing::debug!("a client of the control socket: {error}");
        }
        count.fetch_sub(1, Ordering::SeqCst);
    });
    if spawned.is_err() {
        clients.fetch_sub(1, Ordering::SeqCst);
    }
}

fn converse(stream: &UnixStream, shared: &Shared) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = Vec::new();
    BufReader::new(stream.take(REQUEST_MAX)).read_until(b'\n', &mut line)?;
    match serde_json::from_slice(&line) {
        Ok(Request::Watch) => watch(stream, shared),
        Ok(request) => say(stream, &answer(&request, shared)),
        Err(error) => say(stream, &refuse(shared, format!("not understood: {error}"))),
    }
}

fn say(mut stream: &UnixStream, answer: &Answer) -> io::Result<()> {
    let mut line = serde_json::to_vec(answer)?;
    line.push(b'\n');
    stream.write_all(&line)
}

fn stand(shared: &Shared) -> Answer {
    let (state_dir, accounts) = (shared.state_dir.clone(), shared.board.views().1);
    Answer { state_dir, accounts, error: None }
}

fn refuse(shared: &Shared, error: String) -> Answer {
    Answer { error: Some(error), ..stand(shared) }
}

fn watch(stream: &UnixStream, shared: &Shared) -> io::Result<()> {
    let (mut version, mut accounts) = shared.board.views();
    loop {
        say(stream, &Answer { accounts, ..stand(shared) })?;
        // A client that has gone is noticed by the next word to it.
        (version, accounts) = shared.board.wait(version, Duration::from_secs(60));
    }
}

fn answer(request: &Request, shared: &Shared) -> Answer {
    let (account, done) = match request {
        Request::Status | Request::Watch => (None, true),
        Request::Sync { account } => return sync(account.as_deref(), shared),
        Request::Nudge { account } => {
            (account.as_deref(), shared.nudge(account.as_deref(), Cause::Asked))
        }
        Request::Pause { account } => {
            (account.as_deref(), shared.want(account.as_deref(), Wanted::Paused))
        }
        Request::Resume { account } => {
            (account.as_deref(), shared.want(account.as_deref(), Wanted::Running))
        }
        Request::Log { account, level } => {
            (account.as_deref(), shared.log(account.as_deref(), *level))
        }
    };
    match request {
        _ if !done && account.is_some() => {
            refuse(shared, "there is no such account here".to_owned())
        }
        Request::Pause { .. } => settled(account, shared, |state| state == State::Paused),
        Request::Resume { .. } => settled(account, shared, |state| state != State::Paused),
        _ => stand(shared),
    }
}

/// Waits a while until accounts have come to this.
fn settled(account: Option<&str>, shared: &Shared, is_so: fn(State) -> bool) -> Answer {
    let deadline = Instant::now() + PATIENCE;
    let (mut version, mut accounts) = shared.board.views();
    let asked = |view: &&View| account.is_none_or(|account| view.account == account);
    while accounts.iter().filter(asked).any(|view| !is_so(view.state)) {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        (version, accounts) = shared.board.wait(version, left);
    }
    Answer { accounts, ..stand(shared) }
}

/// Asks for a run and waits until one has ended that began after that: one that is on has looked
/// already. Each has a number, and this is no count of states: a run that begins and ends between
/// two looks at the board is one as well. A reload is lived through.
fn sync(account: Option<&str>, shared: &Shared) -> Answer {
    let deadline = Instant::now() + RUN_MAX;
    let ticket = shared.board.ticket();
    let asked = |view: &&View| account.is_none_or(|account| view.account == account);
    let mut nudged = false;
    loop {
        let (version, accounts, complete) = shared.board.all_views();
        let there = account.is_none() || accounts.iter().any(|view| asked(&view));
        if complete && !there && !shared.has(account) {
            let why = match nudged {
                false => "there is no such account here",
                true => "the account is not in the config any more, which was read again",
            };
            return refuse(shared, why.to_owned());
        }
        // An account that is begun anew after this looks by itself.
        nudged = nudged || shared.nudge(account, Cause::Asked);
        let through = || accounts.iter().filter(asked).all(|view| is_through(view, ticket));
        if complete && there && through() {
            return Answer { accounts, ..stand(shared) };
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return refuse(shared, "it is still at it".to_owned());
        }
        let _ = shared.board.wait(version, left);
    }
}

/// Whether an account has ended a run with this number or a later one.
fn is_through(view: &View, ticket: u64) -> bool {
    match view.state {
        State::Paused => true,
        State::InStep | State::Held | State::BackingOff | State::SignIn => view.ended >= ticket,
        State::Connecting | State::Syncing => false,
    }
}

/// Asks a running daemon.
///
/// # Errors
/// None runs, or it does not answer.
pub fn ask(
    path: &Path,
    request: &Request,
) -> io::Result<impl Iterator<Item = io::Result<Answer>> + use<>> {
    let mut stream = UnixStream::connect(path)?;
    // Whoever answers has a deadline of its own; this is for one that hangs.
    stream.set_write_timeout(Some(ANSWER_MAX))?;
    stream.set_read_timeout(match request {
        Request::Watch => None,
        Request::Sync { .. } => Some(RUN_MAX + ANSWER_MAX),
        _ => Some(ANSWER_MAX),
    })?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let lines = BufReader::new(stream).lines();
    Ok(lines.map(|line| line.and_then(|line| Ok(serde_json::from_str(&line)?))))
}
