//! Who may ask, how many at a time, and for how long.

use std::collections::VecDeque;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _,
};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::client::{NoAnswer, ask};
use super::handler::{GLANCE, answer, refuse, stand};
use super::protocol::{Answer, Request, STILL_THERE};
use super::socket::{at, is_of_ours};
use crate::daemon::Shared;

/// The longest request, in octets.
const REQUEST_MAX: usize = 16 << 10;
/// How long a client may take to ask, however it drips.
const TO_ASK: Duration = Duration::from_secs(5);
/// How long an answer may take to be taken.
const TO_TAKE: Duration = Duration::from_secs(5);
/// Clients that have not asked yet; one more, and the oldest of them is turned away.
const ASKING_MAX: usize = 32;
/// Clients that wait for a run or look on. The others are answered at once, so that they need no
/// limit.
const WAITING_MAX: usize = 24;

/// A socket that clients find; dropped, it is not there any more.
#[derive(Debug)]
#[must_use = "nobody finds it once this is dropped"]
pub struct Socket {
    path: PathBuf,
    inode: Option<(u64, u64)>,
}

impl Drop for Socket {
    fn drop(&mut self) {
        // What was put in its place is somebody else's.
        if identity(&self.path) == self.inode {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    let meta = std::fs::symlink_metadata(path).ok()?;
    Some((meta.dev(), meta.ino()))
}

/// What came of [`serve`].
#[derive(Debug)]
pub enum Serving {
    /// Clients find this socket.
    At(Socket),
    /// A daemon answers there already.
    Taken(Answer),
}

/// Listens on a thread of its own until the process ends. A socket that no one answers is
/// replaced; anything else at its path is left alone.
///
/// # Errors
/// Something else is there, others may write to its directory, or the system refuses.
pub fn serve(path: &Path, shared: Arc<Shared>) -> io::Result<Serving> {
    if let Some(dir) = path.parent() {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        check_directory(dir)?;
    }
    match ask(path, &Request::Status) {
        Ok(mut answers) => match answers.next() {
            Some(Ok(answer)) => return Ok(Serving::Taken(answer)),
            Some(Err(error)) => return Err(error),
            None => return Err(other("something answers there and says nothing")),
        },
        Err(NoAnswer::Failed(error)) => return Err(error),
        Err(NoAnswer::Nobody) => {}
    }
    match std::fs::symlink_metadata(path) {
        Ok(meta) if !meta.file_type().is_socket() => {
            return Err(other("something that is no socket is in its place"));
        }
        Ok(_) => std::fs::remove_file(path)?,
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Err(_) => {}
    }
    // Its directory is for its owner alone before it has a mode of its own.
    let listener = at(path, |path| UnixListener::bind(path))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    let socket = Socket { path: path.to_owned(), inode: identity(path) };
    let desk = Arc::new(Desk::default());
    std::thread::Builder::new().name("control".to_owned()).spawn(move || {
        for stream in listener.incoming() {
            match stream {
                Ok(stream) => admit(stream, &shared, &desk),
                // Out of descriptors: later there may be some.
                Err(_) => std::thread::sleep(GLANCE),
            }
        }
    })?;
    Ok(Serving::At(socket))
}

fn other(words: &str) -> io::Error {
    io::Error::other(words.to_owned())
}

/// Whoever may write to the directory could put another socket in the place of ours.
fn check_directory(dir: &Path) -> io::Result<()> {
    let meta = std::fs::metadata(dir)?;
    let ours = meta.uid() == rustix::process::geteuid().as_raw();
    if !ours || meta.mode() & 0o022 != 0 {
        let words = format!(
            "others may write to its directory: chmod go-w {0}, and chown it to yourself",
            dir.display()
        );
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, words));
    }
    Ok(())
}

/// The clients.
#[derive(Debug, Default)]
struct Desk {
    /// Those that have not asked yet, oldest first.
    asking: Mutex<VecDeque<(u64, UnixStream)>>,
    numbers: AtomicU64,
    waiting: AtomicUsize,
}

impl Desk {
    /// A client comes; the oldest that has not asked yet may have to go for it.
    fn enter(&self, stream: &UnixStream) -> io::Result<u64> {
        let number = self.numbers.fetch_add(1, Ordering::SeqCst);
        let mut asking = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
        if asking.len() >= ASKING_MAX
            && let Some((_, oldest)) = asking.pop_front()
        {
            let _ = oldest.shutdown(std::net::Shutdown::Both);
        }
        asking.push_back((number, stream.try_clone()?));
        Ok(number)
    }

    /// It has asked, or gone.
    fn leave(&self, number: u64) {
        let mut asking = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
        asking.retain(|(other, _)| *other != number);
    }
}

fn admit(stream: UnixStream, shared: &Arc<Shared>, desk: &Arc<Desk>) {
    if let Err(error) = is_of_ours(&stream) {
        tracing::warn!("a client of the control socket is turned away: {error}");
        return;
    }
    let Ok(number) = desk.enter(&stream) else { return };
    let (shared, own) = (Arc::clone(shared), Arc::clone(desk));
    let spawned = std::thread::Builder::new().name("client".to_owned()).spawn(move || {
        let request = request(&stream);
        own.leave(number);
        if let Err(error) = request.and_then(|request| converse(&stream, &shared, &own, &request)) {
            tracing::debug!("a client of the control socket: {error}");
        }
    });
    if spawned.is_err() {
        desk.leave(number);
    }
}

/// Reads a line, within a time and a length.
fn request(mut stream: &UnixStream) -> io::Result<Vec<u8>> {
    let deadline = Instant::now() + TO_ASK;
    let (mut line, mut room) = (Vec::new(), [0; 4096]);
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        let count = stream.read(&mut room)?;
        line.extend_from_slice(&room[..count]);
        if count == 0 || line.contains(&b'\n') || line.len() > REQUEST_MAX {
            line.truncate(line.iter().position(|&b| b == b'\n').unwrap_or(line.len()));
            return Ok(line);
        }
    }
}

fn converse(stream: &UnixStream, shared: &Shared, desk: &Desk, line: &[u8]) -> io::Result<()> {
    stream.set_write_timeout(Some(TO_TAKE))?;
    let request = match serde_json::from_slice(line) {
        _ if line.len() > REQUEST_MAX => {
            return say(stream, &refuse(shared, "the request is too long".to_owned()));
        }
        Ok(request) => request,
        Err(error) => return say(stream, &refuse(shared, format!("not understood: {error}"))),
    };
    let waits = matches!(request, Request::Watch | Request::Sync { .. });
    if waits && desk.waiting.fetch_add(1, Ordering::SeqCst) >= WAITING_MAX {
        desk.waiting.fetch_sub(1, Ordering::SeqCst);
        let words = format!("{WAITING_MAX} clients are waiting already; try again later");
        return say(stream, &refuse(shared, words));
    }
    let done = match request {
        Request::Watch => watch(stream, shared),
        request => say(stream, &answer(&request, shared, &|| is_gone(stream))),
    };
    if waits {
        desk.waiting.fetch_sub(1, Ordering::SeqCst);
    }
    done
}

/// Whether the client has hung up. One that only says nothing more is still there.
fn is_gone(stream: &UnixStream) -> bool {
    let mut fds = [PollFd::new(stream, PollFlags::empty())];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    let polled = poll(&mut fds, Some(&at_once));
    polled.is_ok() && fds[0].revents().intersects(PollFlags::HUP | PollFlags::ERR)
}

fn say(mut stream: &UnixStream, answer: &Answer) -> io::Result<()> {
    let mut line = serde_json::to_vec(answer)?;
    line.push(b'\n');
    stream.write_all(&line)
}

fn watch(stream: &UnixStream, shared: &Shared) -> io::Result<()> {
    let (mut version, mut accounts) = shared.board.views();
    let mut said = Instant::now();
    loop {
        say(stream, &Answer { accounts, ..stand(shared) })?;
        let before = version;
        loop {
            (version, accounts) = shared.board.wait(version, GLANCE);
            if is_gone(stream) {
                return Ok(());
            }
            if version != before || said.elapsed() >= STILL_THERE {
                break;
            }
        }
        said = Instant::now();
    }
}
