//! The control socket: a line of JSON asks, lines of JSON answer. Only its owner can reach it.

mod serve;

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub use serve::{Serving, Socket, serve};

use serde::{Deserialize, Serialize};

use super::Shared;
use super::cause::Cause;
use super::state::{State, View};
use super::task::Wanted;
use super::volume::Level;

/// How long a pause may take to be settled.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a run that was asked for may take before the client is told to look later.
const RUN_MAX: Duration = Duration::from_secs(30 * 60);

/// How long nobody looks whether a client that waits is still there.
const GLANCE: Duration = Duration::from_secs(1);

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
    /// Its config file: another one with the same state directory is a mistake.
    #[serde(default)]
    pub config: PathBuf,
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

/// Octets that the path of a socket may have (`sun_path`, with its NUL, on macOS; Linux has four
/// more).
const ADDRESS_MAX: usize = 104;

/// Calls with the address of a socket. A path that is too long for one is put as its name below a
/// descriptor of its directory (hazard 149).
///
/// # Errors
/// Those of the call; `InvalidInput` where the system has no such paths.
fn at<T>(path: &Path, call: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    if path.as_os_str().len() < ADDRESS_MAX {
        return call(path);
    }
    #[cfg(target_os = "linux")]
    if let (Some(dir), Some(name)) = (path.parent(), path.file_name()) {
        use std::os::fd::AsRawFd as _;

        use rustix::fs::{Mode, OFlags};

        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::open(dir, flags, Mode::empty())?;
        return call(&Path::new(&format!("/proc/self/fd/{}", dir.as_raw_fd())).join(name));
    }
    let words = format!(
        "its path has more than {ADDRESS_MAX} octets: set XDG_RUNTIME_DIR, or choose a shorter \
         state_dir"
    );
    Err(io::Error::new(io::ErrorKind::InvalidInput, words))
}

fn stand(shared: &Shared) -> Answer {
    let (state_dir, config) = (shared.state_dir.clone(), shared.config.clone());
    Answer { state_dir, config, accounts: shared.board.views().1, error: None }
}

fn refuse(shared: &Shared, error: String) -> Answer {
    Answer { error: Some(error), ..stand(shared) }
}

/// Does what is asked. `is_gone` tells whether anybody still waits for it.
fn answer(request: &Request, shared: &Shared, is_gone: &dyn Fn() -> bool) -> Answer {
    let (account, done) = match request {
        Request::Status | Request::Watch => (None, true),
        Request::Sync { account } => return sync(account.as_deref(), shared, is_gone),
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
fn sync(account: Option<&str>, shared: &Shared, is_gone: &dyn Fn() -> bool) -> Answer {
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
        if is_gone() {
            return refuse(shared, "nobody waits for it".to_owned());
        }
        let _ = shared.board.wait(version, left.min(GLANCE));
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

/// Why nothing can be had of a daemon.
#[derive(Debug)]
pub enum NoAnswer {
    /// None runs there.
    Nobody,
    /// One runs, or something in its place, and does not do as it should.
    Failed(io::Error),
}

/// Asks a running daemon.
///
/// # Errors
/// None runs, it belongs to another user, or it does not answer.
pub fn ask(
    path: &Path,
    request: &Request,
) -> Result<impl Iterator<Item = io::Result<Answer>> + use<>, NoAnswer> {
    let mut stream =
        at(path, |path| UnixStream::connect(path)).map_err(|error| match error.kind() {
            // A socket that cannot be there is answered by nobody.
            io::ErrorKind::NotFound
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::InvalidInput => NoAnswer::Nobody,
            _ => NoAnswer::Failed(error),
        })?;
    serve::is_of_ours(&stream).map_err(NoAnswer::Failed)?;
    let sent = || {
        // Whoever answers has a deadline of its own; this is for one that hangs.
        stream.set_write_timeout(Some(ANSWER_MAX))?;
        stream.set_read_timeout(Some(match request {
            Request::Watch => serve::STILL_THERE + ANSWER_MAX,
            Request::Sync { .. } => RUN_MAX + ANSWER_MAX,
            _ => ANSWER_MAX,
        }))?;
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        stream.write_all(&line)
    };
    let mut sent = sent;
    sent().map_err(NoAnswer::Failed)?;
    let lines = BufReader::new(stream).lines();
    Ok(lines.map(|line| match line {
        Ok(line) => Ok(serde_json::from_str(&line)?),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            Err(io::Error::new(io::ErrorKind::TimedOut, "it stays silent"))
        }
        Err(error) => Err(error),
    }))
}
