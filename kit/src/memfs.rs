//! A file system in memory that loses power, fills up and fails at any counted call.
//!
//! Every change has two states. It is *volatile* at once: whoever looks sees it. It is
//! *durable* when it was synced: the data of a file by `sync` of the file, an entry of a
//! directory by `sync_dir` of the directory, everything by `sync_fs`. [`MemFs::power_loss`]
//! goes back to what is durable, plus (by seed) some of what is not.
//!
//! A rename is one change of two directories: it survives whole or not at all, and syncing
//! either directory makes it durable. What an operation builds on is durable with it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mailtide::local::fs::Refused;

use disk::{Body, Inner, close_backwards, torn};

mod calls;
mod disk;
mod print;

#[cfg(test)]
mod tests;

/// Decides whether a call fails: its name (as in [`MemFs::trace`]) and its path.
pub type Fault = Arc<dyn Fn(&str, &Path) -> Option<io::Error> + Send + Sync>;

/// Raw number of "no space left on device".
pub const ENOSPC: i32 = 28;
/// Raw number of "input/output error".
pub const EIO: i32 = 5;
/// Raw number of "permission denied".
pub const EACCES: i32 = 13;
/// Raw number of "device or resource busy".
const EBUSY: i32 = 16;
/// Raw number of "invalid cross-device link".
const EXDEV: i32 = 18;
/// Raw number of "too many levels of symbolic links".
const ELOOP: i32 = 40;

const ROOT: u64 = 1;
/// Each mutating call takes this long by the file system's clock (nanoseconds).
const TICK_NS: i64 = 1_000;
const CRASH: &str = "the simulated machine is down";

/// The file system; clones share it.
#[derive(Clone)]
pub struct MemFs {
    inner: Arc<Mutex<Inner>>,
    fault: Arc<Mutex<Option<Fault>>>,
    /// Below it the rule for paths holds, and no other path is served.
    root: Option<PathBuf>,
    refused: Arc<Refused>,
}

impl fmt::Debug for MemFs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemFs(step {})", self.steps())
    }
}

impl Default for MemFs {
    fn default() -> Self {
        Self::new()
    }
}

/// For tests: none of these counts as a step, fails by a fault or is lost with the power.
impl MemFs {
    /// An empty root directory `/`.
    #[must_use]
    pub fn new() -> Self {
        let mut inner = Inner {
            nodes: BTreeMap::new(),
            last_ino: BTreeMap::new(),
            mounts: BTreeMap::new(),
            last_mount: 0,
            disks: BTreeMap::new(),
            pending: Vec::new(),
            now_ns: 1_700_000_000_000_000_000,
            user: rustix::process::geteuid().as_raw(),
            order: 0,
            steps: 0,
            crash_at: None,
            down: false,
            trace: Vec::new(),
            denied: BTreeSet::new(),
            locks: BTreeMap::new(),
            guards: 0,
            folds: false,
        };
        inner.add(Body::dir(), 0o700, 1);
        let fault = Arc::new(Mutex::new(None));
        Self { inner: Arc::new(Mutex::new(inner)), fault, root: None, refused: Arc::default() }
    }

    /// A disk of its own with the same content, and no faults or locks.
    #[must_use]
    pub fn fork(&self) -> Self {
        let mut inner = self.lock_inner().clone();
        inner.locks.clear();
        let fork = Self::new();
        *fork.lock_inner() = inner;
        fork
    }

    fn lock_inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Mutating calls so far, including those that failed.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.lock_inner().steps
    }

    /// The mutating calls so far, one readable line each.
    #[must_use]
    pub fn trace(&self) -> Vec<String> {
        self.lock_inner().trace.clone()
    }

    /// The `n`-th mutating call from now (1 = the next one) does not happen, and nothing works
    /// after it until [`MemFs::restart`] or [`MemFs::power_loss`].
    pub fn crash_after(&self, n: u64) {
        let mut inner = self.lock_inner();
        inner.crash_at = Some(inner.steps + n);
    }

    /// Whether the crash has come.
    #[must_use]
    pub fn is_down(&self) -> bool {
        self.lock_inner().down
    }

    /// Whether an error is that of a crash.
    #[must_use]
    pub fn is_crash(error: &io::Error) -> bool {
        error.to_string() == CRASH
    }

    /// The process was killed and starts again: what it did stays, its locks do not.
    pub fn restart(&self) {
        let mut inner = self.lock_inner();
        inner.down = false;
        inner.crash_at = None;
        inner.locks.clear();
    }

    /// The power fails and returns. Seed 0 loses all that was not durable; another keeps some
    /// of the changes of directories, and of unsynced files nothing, a part, zeros or all.
    pub fn power_loss(&self, seed: u64) {
        let mut inner = self.lock_inner();
        let mut rng = fastrand::Rng::with_seed(seed);
        let pending = std::mem::take(&mut inner.pending);
        let mut kept: Vec<bool> = pending.iter().map(|_| seed != 0 && rng.bool()).collect();
        close_backwards(&pending, &mut kept);
        for (change, _) in pending.iter().zip(&kept).filter(|(_, kept)| **kept) {
            inner.make_durable(change);
        }
        let now = inner.now_ns;
        for node in inner.nodes.values_mut() {
            match &mut node.body {
                Body::Dir { entries, durable } => {
                    // The time of a directory goes back with its names.
                    if entries != durable {
                        node.mtime_ns = now;
                    }
                    *entries = durable.clone();
                }
                Body::File { data, durable } => {
                    let old = durable.clone().unwrap_or_else(|| (Arc::new(Vec::new()), now));
                    if seed == 0 || rng.bool() {
                        (*data, node.mtime_ns) = old;
                    } else if **data != *old.0 {
                        *data = Arc::new(torn(data, &old.0, &mut rng));
                    }
                    *durable = Some((Arc::clone(data), node.mtime_ns));
                }
                Body::Link(_) | Body::Fifo => {}
            }
        }
        inner.forget_unreachable();
        inner.locks.clear();
        inner.down = false;
        inner.crash_at = None;
    }

    /// Everything so far is durable.
    pub fn settle(&self) {
        self.lock_inner().sync_devices(|_| true);
    }

    /// Installs a rule by which calls fail. It is asked before each call and may itself change
    /// the file system through the calls of this block: so another program acts in between.
    pub fn set_fault(&self, fault: Option<Fault>) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    /// Refuses every access to this path and what is below it.
    pub fn deny(&self, path: impl AsRef<Path>) {
        self.lock_inner().denied.insert(path.as_ref().to_owned());
    }

    /// Takes [`MemFs::deny`] back.
    pub fn allow(&self, path: impl AsRef<Path>) {
        self.lock_inner().denied.remove(path.as_ref());
    }

    /// Sets the clock, in nanoseconds since 1970; each mutating call moves it on a little.
    pub fn set_clock(&self, now_ns: i64) {
        self.lock_inner().now_ns = now_ns;
    }

    /// The clock, in nanoseconds since 1970.
    #[must_use]
    pub fn clock(&self) -> i64 {
        self.lock_inner().now_ns
    }

    /// The order in which directories show their names: by name for 0, else shuffled.
    pub fn set_order(&self, seed: u64) {
        self.lock_inner().order = seed;
    }

    /// Makes a directory and those above it.
    pub fn mkdir_all(&self, path: impl AsRef<Path>) {
        let mut inner = self.lock_inner();
        let mut at = PathBuf::from("/");
        for part in path.as_ref().components().skip(1) {
            at.push(part);
            if inner.resolve(&at).is_err() {
                inner.put(&at, Body::dir(), 0o700).expect("the parent was made");
                inner.settle_last();
            }
        }
    }

    /// Another program writes a file whole, in place if it is there.
    pub fn write_file(&self, path: impl AsRef<Path>, bytes: &[u8]) {
        let path = path.as_ref();
        self.mkdir_all(path.parent().expect("a file has a directory"));
        let mut inner = self.lock_inner();
        inner.now_ns += TICK_NS;
        let fresh = || Body::File { data: Arc::default(), durable: None };
        let found = inner.resolve(path).ok();
        let ino = match found {
            Some(ino) => ino,
            None => {
                let ino = inner.put(path, fresh(), 0o600).expect("the parent was made");
                inner.settle_last();
                ino
            }
        };
        let now = inner.now_ns;
        let node = inner.nodes.get_mut(&ino).expect("resolved");
        let Body::File { data, durable } = &mut node.body else { panic!("{path:?}: directory") };
        *data = Arc::new(bytes.to_vec());
        *durable = Some((Arc::clone(data), now));
        (node.mtime_ns, node.ctime_ns) = (now, now);
    }

    /// The disk gives back another octet than was written, and no time tells.
    ///
    /// # Panics
    /// When there is no such file, or nothing in it.
    pub fn rot(&self, path: impl AsRef<Path>) {
        let mut inner = self.lock_inner();
        let ino = inner.resolve(path.as_ref()).expect("a file");
        let node = inner.nodes.get_mut(&ino).expect("resolved");
        let Body::File { data, .. } = &mut node.body else { panic!("a directory") };
        *Arc::make_mut(data).last_mut().expect("something to rot") ^= 1;
    }

    /// The bytes of a file.
    #[must_use]
    pub fn read_file(&self, path: impl AsRef<Path>) -> Option<Vec<u8>> {
        let inner = self.lock_inner();
        let ino = inner.resolve(path.as_ref()).ok()?;
        match &inner.nodes.get(&ino)?.body {
            Body::File { data, .. } => Some(data.to_vec()),
            _ => None,
        }
    }

    /// Another program makes a symbolic link; `target` is taken as it stands, there or not.
    ///
    /// # Panics
    /// When the name is taken, or its directory is not there.
    pub fn symlink(&self, target: impl AsRef<Path>, path: impl AsRef<Path>) {
        let body = Body::Link(target.as_ref().to_owned());
        self.plant(path.as_ref(), body).expect("a free name in a directory");
    }

    /// Another program makes a named pipe.
    ///
    /// # Panics
    /// As [`MemFs::symlink`].
    pub fn mkfifo(&self, path: impl AsRef<Path>) {
        self.plant(path.as_ref(), Body::Fifo).expect("a free name in a directory");
    }

    /// Gives a file or a directory to a user; this process is another.
    ///
    /// # Panics
    /// When it is not there.
    pub fn chown(&self, path: impl AsRef<Path>, owner: u32) {
        let mut inner = self.lock_inner();
        let node = inner.resolve(path.as_ref()).expect("it is there");
        inner.nodes.get_mut(&node).expect("resolved").owner = owner;
    }

    fn plant(&self, path: &Path, body: Body) -> io::Result<()> {
        let mut inner = self.lock_inner();
        inner.now_ns += TICK_NS;
        inner.put(path, body, 0o700)?;
        inner.settle_last();
        Ok(())
    }

    /// Mounts a device over a directory, which is made if need be. What was written to the
    /// device is there again when it is mounted again. The disk of `/` is 1; others are 2 and
    /// more, and their inode numbers begin anew.
    ///
    /// # Panics
    /// When the path is no directory.
    pub fn mount(&self, dir: impl AsRef<Path>, dev: u64) {
        self.mkdir_all(dir.as_ref());
        let mut inner = self.lock_inner();
        let root = inner.disk(dev);
        inner.do_mount(dir.as_ref(), Some(root)).expect("a directory");
    }

    /// Makes a directory be seen at another place too (`mount --bind`).
    ///
    /// # Panics
    /// When one of the paths is no directory.
    pub fn bind(&self, dir: impl AsRef<Path>, at: impl AsRef<Path>) {
        self.mkdir_all(at.as_ref());
        let mut inner = self.lock_inner();
        let root = inner.resolve(dir.as_ref()).expect("a directory");
        inner.do_mount(at.as_ref(), Some(root)).expect("a directory");
    }

    /// Takes [`MemFs::mount`] or [`MemFs::bind`] back: what was covered is seen again.
    ///
    /// # Panics
    /// When the path is no directory.
    pub fn unmount(&self, dir: impl AsRef<Path>) {
        self.lock_inner().do_mount(dir.as_ref(), None).expect("a directory");
    }

    /// Another program renames; it replaces what is there.
    ///
    /// # Panics
    /// When there is nothing to rename.
    pub fn move_file(&self, from: impl AsRef<Path>, to: impl AsRef<Path>) {
        let mut inner = self.lock_inner();
        inner.now_ns += TICK_NS;
        inner.do_rename(from.as_ref(), to.as_ref(), true).expect("the test renames what is there");
        inner.settle_last();
    }

    /// Another program removes a file, a link or a pipe.
    ///
    /// # Panics
    /// When it is not there.
    pub fn delete_file(&self, path: impl AsRef<Path>) {
        let mut inner = self.lock_inner();
        inner.now_ns += TICK_NS;
        inner.do_unlink(path.as_ref(), false).expect("the test removes what is there");
        inner.settle_last();
    }

    /// Another program removes an empty directory.
    ///
    /// # Panics
    /// When it is not there, or not empty.
    pub fn delete_dir(&self, path: impl AsRef<Path>) {
        let mut inner = self.lock_inner();
        inner.now_ns += TICK_NS;
        inner.do_unlink(path.as_ref(), true).expect("the test removes what is there");
        inner.settle_last();
    }

    /// From now on names are folded, as on the disks of other systems.
    pub fn fold_names(&self) {
        self.lock_inner().folds = true;
    }

    /// Every path with its content (`None` for a directory), in order; what is mounted is shown
    /// where it is, and neither links nor pipes are.
    #[must_use]
    pub fn tree(&self) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
        let inner = self.lock_inner();
        let mut tree = BTreeMap::new();
        let mut todo = vec![PathBuf::from("/")];
        while let Some(dir) = todo.pop() {
            let Ok(entries) = inner.resolve(&dir).and_then(|node| inner.entries(node)) else {
                continue;
            };
            for (name, node) in entries {
                let path = dir.join(std::ffi::OsStr::from_bytes(name));
                match &inner.nodes[node].body {
                    Body::File { data, .. } => tree.insert(path, Some(data.to_vec())),
                    Body::Dir { .. } => {
                        todo.push(path.clone());
                        tree.insert(path, None)
                    }
                    Body::Link(_) | Body::Fifo => None,
                };
            }
        }
        tree
    }

    /// What every call goes through: faults, denials, the crash, the count.
    fn enter(
        &self,
        call: &str,
        path: &Path,
        to: Option<&Path>,
        mutates: bool,
    ) -> io::Result<MutexGuard<'_, Inner>> {
        let fault = self.fault.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let failed = fault.and_then(|fault| fault(call, path));
        let mut inner = self.lock_inner();
        if mutates && !inner.down {
            inner.steps += 1;
            inner.now_ns += TICK_NS;
            inner.down = inner.crash_at.is_some_and(|at| inner.steps >= at);
            let to = to.map(|to| format!(" -> {}", to.display())).unwrap_or_default();
            let note = if inner.down { " (crash)" } else { "" };
            let line = format!("{call} {}{to}{note}", path.display());
            inner.trace.push(line);
        }
        if inner.down {
            return Err(io::Error::other(CRASH));
        }
        let denied = |p: &Path| inner.denied.iter().any(|d| p.starts_with(d));
        if denied(path) || to.is_some_and(denied) {
            return Err(io::Error::from_raw_os_error(EACCES));
        }
        if let Some(root) = &self.root {
            let is_dir = matches!(call, "readdir" | "stat" | "syncfs" | "fsync");
            self.refused.check(path)?;
            to.map_or(Ok(()), |to| self.refused.check(to))?;
            inner.obey(root, path, is_dir)?;
            to.map_or(Ok(()), |to| inner.obey(root, to, false))?;
        }
        failed.map_or(Ok(inner), Err)
    }
}
