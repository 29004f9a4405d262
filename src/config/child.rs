//! Programs of the user: without our secrets, in a process group of their own, for a limited time,
//! with bounded output that is kept off ours.

use std::collections::BTreeSet;
use std::io::{self, IsTerminal as _};
use std::process::{ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};

/// Names of all variables that a config has told to hold a secret.
static SECRETS: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
/// What the service manager means for this process alone.
const OURS: [&str; 6] = [
    "CREDENTIALS_DIRECTORY",
    "LISTEN_FDS",
    "LISTEN_PID",
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
];
/// How much of what a program prints is kept, in bytes.
const KEPT: u64 = 4 << 10;
/// How long pipes are read after a program ended: a helper that it left behind may keep them.
const LEFTOVER: Duration = Duration::from_secs(1);
/// How long a group has between TERM and KILL, in so many looks at it.
const GRACE: (u32, Duration) = (20, Duration::from_millis(25));

/// No program sees this variable from now on.
pub(super) fn keep_secret(variable: &str) {
    SECRETS.lock().unwrap_or_else(PoisonError::into_inner).insert(variable.to_owned());
}

/// A command without any account's secrets in its environment.
#[must_use]
pub fn command(program: &str, arguments: &[String]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    for name in SECRETS.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        command.env_remove(name);
    }
    OURS.iter().for_each(|name| {
        command.env_remove(name);
    });
    // One that may ask a person at the terminal has to stay in its foreground.
    if !io::stdin().is_terminal() {
        command.process_group(0);
    }
    command
}

/// The process group of a program; dropped before it has ended, it is ended: TERM, then KILL.
#[derive(Debug)]
pub struct Group(Option<Pid>);

impl Group {
    /// The group of a program that [`command`] has started.
    #[must_use]
    pub fn of(child: &Child) -> Self {
        let own = !io::stdin().is_terminal();
        let pid = child.id().filter(|_| own).and_then(|id| i32::try_from(id).ok());
        Self(pid.and_then(Pid::from_raw))
    }

    /// It has ended by itself: what it has left behind on purpose may stay.
    pub fn ended(&mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let Some(group) = self.0 else { return };
        if kill_process_group(group, Signal::TERM).is_err() {
            return;
        }
        for _ in 0..GRACE.0 {
            if test_kill_process_group(group).is_err() {
                return;
            }
            std::thread::sleep(GRACE.1);
        }
        let _ = kill_process_group(group, Signal::KILL);
    }
}

/// How a program ended.
#[derive(Debug)]
pub struct Ended {
    /// Its status; none if it took too long and was ended.
    pub status: Option<ExitStatus>,
    /// The first of what it printed, on either stream.
    pub printed: String,
}

/// Runs a command to its end, `input` on its standard input, for at most so long.
///
/// # Errors
/// It cannot be started.
pub async fn run(mut command: Command, input: &[u8], limit: Duration) -> io::Result<Ended> {
    if !input.is_empty() {
        command.stdin(Stdio::piped());
    }
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let mut group = Group::of(&child);
    let (stdin, out, err) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (mut printed, mut complained) = (Vec::new(), Vec::new());
    let talk = async {
        let feed = async {
            if let Some(mut stdin) = stdin {
                // A program needs not read it.
                let _ = stdin.write_all(input).await;
            }
        };
        tokio::join!(feed, drain(out, &mut printed), drain(err, &mut complained));
    };
    let ended = tokio::time::timeout(limit, async {
        let mut talk = std::pin::pin!(talk);
        let status = tokio::select! {
            status = child.wait() => Some(status),
            () = &mut talk => None,
        };
        match status {
            Some(status) => {
                let _ = tokio::time::timeout(LEFTOVER, talk).await;
                status
            }
            None => child.wait().await,
        }
    })
    .await;
    let status = match ended {
        Ok(status) => Some(status?),
        Err(_) => None,
    };
    if status.is_some() {
        group.ended();
    }
    complained.extend_from_slice(&printed);
    let printed = String::from_utf8_lossy(&complained).trim().to_owned();
    Ok(Ended { status, printed })
}

/// Reads a pipe to its end, keeping the first bytes.
async fn drain(pipe: Option<impl AsyncRead + Unpin>, into: &mut Vec<u8>) {
    let Some(mut pipe) = pipe else { return };
    let _ = (&mut pipe).take(KEPT).read_to_end(into).await;
    let _ = tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await;
}
