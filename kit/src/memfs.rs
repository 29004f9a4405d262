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
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mailtide::local::fs::{Fs, FsFile, Kind, Lock, LockGuard, Meta};
use mailtide::reconcile::types::FileStamp;

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

const ROOT: u64 = 1;
/// Each mutating call takes this long by the file system's clock (nanoseconds).
const TICK_NS: i64 = 1_000;
const CRASH: &str = "the simulated machine is down";

type Name = Vec<u8>;
type Entries = BTreeMap<Name, u64>;

/// The file system; clones share it.
#[derive(Clone)]
pub struct MemFs {
    inner: Arc<Mutex<Inner>>,
    fault: Arc<Mutex<Option<Fault>>>,
}

struct Inner {
    nodes: BTreeMap<u64, Node>,
    next_ino: u64,
    /// Changes of directories that are not durable, in order.
    pending: Vec<Change>,
    now_ns: i64,
    order: u64,
    steps: u64,
    crash_at: Option<u64>,
    down: bool,
    trace: Vec<String>,
    denied: BTreeSet<PathBuf>,
    /// Held locks, each with the number of its guard: an old guard releases no new lock.
    locks: BTreeMap<PathBuf, u64>,
    guards: u64,
}

#[derive(Clone)]
struct Node {
    body: Body,
    mtime_ns: i64,
    ctime_ns: i64,
    mode: u32,
}

#[derive(Clone)]
enum Body {
    File {
        data: Arc<Vec<u8>>,
        /// Data and modification time at the last sync.
        durable: Option<(Arc<Vec<u8>>, i64)>,
    },
    Dir {
        entries: Entries,
        durable: Entries,
    },
}

/// Entries taken away, then entries put in: (directory, name, inode).
#[derive(Clone, Default)]
struct Change {
    gone: Vec<(u64, Name)>,
    come: Vec<(u64, Name, u64)>,
}

impl Change {
    fn places(&self) -> impl Iterator<Item = (u64, &Name)> {
        let come = self.come.iter().map(|(dir, name, _)| (*dir, name));
        self.gone.iter().map(|(dir, name)| (*dir, name)).chain(come)
    }

    fn touches(&self, dir: u64) -> bool {
        self.places().any(|(d, _)| d == dir)
    }
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
            next_ino: ROOT,
            pending: Vec::new(),
            now_ns: 1_700_000_000_000_000_000,
            order: 0,
            steps: 0,
            crash_at: None,
            down: false,
            trace: Vec::new(),
            denied: BTreeSet::new(),
            locks: BTreeMap::new(),
            guards: 0,
        };
        inner.add(Body::Dir { entries: Entries::new(), durable: Entries::new() }, 0o700);
        Self { inner: Arc::new(Mutex::new(inner)), fault: Arc::new(Mutex::new(None)) }
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
                Body::Dir { entries, durable } => *entries = durable.clone(),
                Body::File { data, durable } => {
                    let old = durable.clone().unwrap_or_else(|| (Arc::new(Vec::new()), now));
                    if seed == 0 || rng.bool() {
                        (*data, node.mtime_ns) = old;
                    } else if **data != *old.0 {
                        *data = Arc::new(torn(data, &old.0, &mut rng));
                    }
                    *durable = Some((Arc::clone(data), node.mtime_ns));
                }
            }
        }
        inner.forget_unreachable();
        inner.locks.clear();
        inner.down = false;
        inner.crash_at = None;
    }

    /// Everything so far is durable.
    pub fn settle(&self) {
        self.lock_inner().sync_everything();
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
                let body = Body::Dir { entries: Entries::new(), durable: Entries::new() };
                inner.put(&at, body, 0o700).expect("the parent was made");
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

    /// The bytes of a file.
    #[must_use]
    pub fn read_file(&self, path: impl AsRef<Path>) -> Option<Vec<u8>> {
        let inner = self.lock_inner();
        let ino = inner.resolve(path.as_ref()).ok()?;
        match &inner.nodes.get(&ino)?.body {
            Body::File { data, .. } => Some(data.to_vec()),
            Body::Dir { .. } => None,
        }
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

    /// Another program removes a file.
    ///
    /// # Panics
    /// When it is not there.
    pub fn delete_file(&self, path: impl AsRef<Path>) {
        let mut inner = self.lock_inner();
        inner.now_ns += TICK_NS;
        inner.do_unlink(path.as_ref(), false).expect("the test removes what is there");
        inner.settle_last();
    }

    /// Every path with its content (`None` for a directory), in order.
    #[must_use]
    pub fn tree(&self) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
        let inner = self.lock_inner();
        let mut tree = BTreeMap::new();
        let mut todo = vec![(PathBuf::from("/"), ROOT)];
        while let Some((path, ino)) = todo.pop() {
            let Body::Dir { entries, .. } = &inner.nodes[&ino].body else { continue };
            for (name, ino) in entries {
                let path = path.join(std::ffi::OsStr::from_bytes(name));
                match &inner.nodes[ino].body {
                    Body::File { data, .. } => tree.insert(path, Some(data.to_vec())),
                    Body::Dir { .. } => {
                        todo.push((path.clone(), *ino));
                        tree.insert(path, None)
                    }
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
        failed.map_or(Ok(inner), Err)
    }
}

/// A change is only kept together with the earlier ones of the same entries.
fn close_backwards(changes: &[Change], kept: &mut [bool]) {
    let mut needed: BTreeSet<(u64, &Name)> = BTreeSet::new();
    for (change, kept) in changes.iter().zip(kept).rev() {
        *kept |= change.places().any(|place| needed.contains(&place));
        if *kept {
            needed.extend(change.places());
        }
    }
}

/// A file whose data was on its way to the disk.
fn torn(data: &[u8], old: &[u8], rng: &mut fastrand::Rng) -> Vec<u8> {
    let cut = rng.usize(..=data.len());
    match rng.u8(..4) {
        0 => data.to_vec(),
        1 => data[..cut].to_vec(),
        2 => vec![0; data.len()],
        _ => data[..cut].iter().chain(old.iter().skip(cut)).copied().collect(),
    }
}

impl Inner {
    fn add(&mut self, body: Body, mode: u32) -> u64 {
        let ino = self.next_ino;
        self.next_ino += 1;
        let now = self.now_ns;
        self.nodes.insert(ino, Node { body, mtime_ns: now, ctime_ns: now, mode });
        ino
    }

    fn node(&mut self, ino: u64) -> io::Result<&mut Node> {
        // A handle from before the power loss.
        self.nodes.get_mut(&ino).ok_or_else(|| io::Error::from_raw_os_error(EIO))
    }

    fn entries(&self, dir: u64) -> io::Result<&Entries> {
        match self.nodes.get(&dir).map(|node| &node.body) {
            Some(Body::Dir { entries, .. }) => Ok(entries),
            Some(Body::File { .. }) => Err(io::ErrorKind::NotADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn resolve(&self, path: &Path) -> io::Result<u64> {
        let mut at = ROOT;
        for part in path.components() {
            match part {
                Component::RootDir => at = ROOT,
                Component::Normal(name) => {
                    let found = self.entries(at)?.get(name.as_bytes());
                    at = *found.ok_or(io::ErrorKind::NotFound)?;
                }
                _ => return Err(io::ErrorKind::InvalidInput.into()),
            }
        }
        Ok(at)
    }

    /// The directory of a path and the name in it.
    fn place(&self, path: &Path) -> io::Result<(u64, Name)> {
        let (parent, name) =
            path.parent().zip(path.file_name()).ok_or(io::ErrorKind::InvalidInput)?;
        let dir = self.resolve(parent)?;
        self.entries(dir)?;
        if name.len() > 255 {
            return Err(io::ErrorKind::InvalidFilename.into());
        }
        Ok((dir, name.as_bytes().to_vec()))
    }

    /// Makes a change seen, and notes that it is not durable.
    fn change(&mut self, change: Change) {
        let now = self.now_ns;
        for (dir, _) in change.places() {
            if let Some(node) = self.nodes.get_mut(&dir) {
                (node.mtime_ns, node.ctime_ns) = (now, now);
            }
        }
        for (_, _, ino) in &change.come {
            if let Some(node) = self.nodes.get_mut(ino) {
                node.ctime_ns = now;
            }
        }
        self.apply(&change, false);
        self.pending.push(change);
    }

    fn make_durable(&mut self, change: &Change) {
        self.apply(change, true);
    }

    fn apply(&mut self, change: &Change, to_durable: bool) {
        let mut entries = |dir: &u64, act: &mut dyn FnMut(&mut Entries)| {
            if let Some(Node { body: Body::Dir { entries, durable }, .. }) = self.nodes.get_mut(dir)
            {
                act(if to_durable { durable } else { entries });
            }
        };
        for (dir, name) in &change.gone {
            entries(dir, &mut |e| {
                e.remove(name);
            });
        }
        for (dir, name, ino) in &change.come {
            entries(dir, &mut |e| {
                e.insert(name.clone(), *ino);
            });
        }
    }

    fn put(&mut self, path: &Path, body: Body, mode: u32) -> io::Result<u64> {
        let (dir, name) = self.place(path)?;
        if self.entries(dir)?.contains_key(&name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let ino = self.add(body, mode);
        self.change(Change { gone: Vec::new(), come: vec![(dir, name, ino)] });
        Ok(ino)
    }

    fn do_rename(&mut self, from: &Path, to: &Path, replace: bool) -> io::Result<()> {
        // In the order of Linux: both directories, the old name, the new one, then the rest.
        let (from_dir, from_name) = self.place(from)?;
        let (to_dir, to_name) = self.place(to)?;
        let ino = *self.entries(from_dir)?.get(&from_name).ok_or(io::ErrorKind::NotFound)?;
        let there = self.entries(to_dir)?.get(&to_name).copied();
        if there.is_some() && !replace {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if to.starts_with(from) && to != from {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        if from.starts_with(to) && to != from {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        if let Some(there) = there {
            if there == ino {
                return Ok(());
            }
            let is_dir = |ino| matches!(self.nodes[&ino].body, Body::Dir { .. });
            match (is_dir(ino), is_dir(there)) {
                (false, true) => return Err(io::ErrorKind::IsADirectory.into()),
                (true, false) => return Err(io::ErrorKind::NotADirectory.into()),
                (true, true) if !self.entries(there)?.is_empty() => {
                    return Err(io::ErrorKind::DirectoryNotEmpty.into());
                }
                _ => {}
            }
        }
        let come = vec![(to_dir, to_name, ino)];
        self.change(Change { gone: vec![(from_dir, from_name)], come });
        Ok(())
    }

    fn do_unlink(&mut self, path: &Path, is_dir: bool) -> io::Result<()> {
        let ino = self.resolve(path)?;
        let (dir, name) = self.place(path)?;
        match &self.nodes[&ino].body {
            Body::File { .. } if is_dir => return Err(io::ErrorKind::NotADirectory.into()),
            Body::Dir { .. } if !is_dir => return Err(io::ErrorKind::IsADirectory.into()),
            Body::Dir { entries, .. } if !entries.is_empty() => {
                return Err(io::ErrorKind::DirectoryNotEmpty.into());
            }
            _ => {}
        }
        self.change(Change { gone: vec![(dir, name)], come: Vec::new() });
        Ok(())
    }

    fn sync_data(&mut self, ino: u64) -> io::Result<()> {
        let node = self.node(ino)?;
        let mtime = node.mtime_ns;
        if let Body::File { data, durable } = &mut node.body {
            *durable = Some((Arc::clone(data), mtime));
        }
        Ok(())
    }

    fn sync_entries(&mut self, dir: u64) {
        let done = self.pending.iter().map(|change| change.touches(dir)).collect();
        self.settle_some(done);
    }

    /// What another program just did is durable, with what it builds on.
    fn settle_last(&mut self) {
        let last = self.pending.len();
        self.settle_some((1..=last).map(|n| n == last).collect());
    }

    fn settle_some(&mut self, mut done: Vec<bool>) {
        let pending = std::mem::take(&mut self.pending);
        close_backwards(&pending, &mut done);
        for (change, done) in pending.into_iter().zip(done) {
            if done {
                self.make_durable(&change);
            } else {
                self.pending.push(change);
            }
        }
    }

    fn sync_everything(&mut self) {
        for change in std::mem::take(&mut self.pending) {
            self.make_durable(&change);
        }
        let inos: Vec<u64> = self.nodes.keys().copied().collect();
        for ino in inos {
            let _ = self.sync_data(ino);
        }
    }

    fn forget_unreachable(&mut self) {
        let mut seen = BTreeSet::from([ROOT]);
        let mut todo = vec![ROOT];
        while let Some(ino) = todo.pop() {
            if let Body::Dir { entries, .. } = &self.nodes[&ino].body {
                todo.extend(entries.values().filter(|ino| seen.insert(**ino)));
            }
        }
        self.nodes.retain(|ino, _| seen.contains(ino));
    }

    fn meta(&self, ino: u64) -> io::Result<Meta> {
        let node = self.nodes.get(&ino).ok_or_else(|| io::Error::from_raw_os_error(EIO))?;
        let (kind, size) = match &node.body {
            Body::File { data, .. } => (Kind::File, data.len()),
            Body::Dir { entries, .. } => (Kind::Dir, entries.len()),
        };
        let stamp = FileStamp { ino, size: size as u64, mtime_ns: node.mtime_ns };
        Ok(Meta { kind, stamp, ctime_ns: node.ctime_ns, mode: node.mode, dev: 1 })
    }
}

#[derive(Debug)]
struct MemFile {
    fs: MemFs,
    path: PathBuf,
    ino: u64,
}

impl FsFile for MemFile {
    fn meta(&self) -> io::Result<Meta> {
        self.fs.enter("fstat", &self.path, None, false)?.meta(self.ino)
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut inner = self.fs.enter("read", &self.path, None, false)?;
        let Body::File { data, .. } = &inner.node(self.ino)?.body else {
            return Err(io::ErrorKind::IsADirectory.into());
        };
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(data.len());
        let n = buf.len().min(data.len() - from);
        buf[..n].copy_from_slice(&data[from..from + n]);
        Ok(n)
    }

    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut inner = self.fs.enter("write", &self.path, None, true)?;
        let now = inner.now_ns;
        let node = inner.node(self.ino)?;
        let Body::File { data, .. } = &mut node.body else {
            return Err(io::ErrorKind::IsADirectory.into());
        };
        let from = usize::try_from(offset).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let data = Arc::make_mut(data);
        if data.len() < from + bytes.len() {
            data.resize(from + bytes.len(), 0);
        }
        data[from..from + bytes.len()].copy_from_slice(bytes);
        (node.mtime_ns, node.ctime_ns) = (now, now);
        Ok(())
    }

    fn set_mtime(&mut self, mtime_s: i64) -> io::Result<()> {
        let mut inner = self.fs.enter("utimens", &self.path, None, true)?;
        let now = inner.now_ns;
        let node = inner.node(self.ino)?;
        node.mtime_ns = mtime_s.saturating_mul(1_000_000_000);
        node.ctime_ns = now;
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.fs.enter("fsync", &self.path, None, true)?.sync_data(self.ino)
    }
}

impl Fs for MemFs {
    fn now_s(&self) -> i64 {
        self.clock().div_euclid(1_000_000_000)
    }

    fn lstat(&self, path: &Path) -> io::Result<Meta> {
        let inner = self.enter("lstat", path, None, false)?;
        inner.meta(inner.resolve(path)?)
    }

    fn stat(&self, path: &Path) -> io::Result<Meta> {
        let inner = self.enter("stat", path, None, false)?;
        inner.meta(inner.resolve(path)?)
    }

    fn read_dir(&self, dir: &Path, each: &mut dyn FnMut(&[u8], Kind, u64)) -> io::Result<()> {
        let inner = self.enter("readdir", dir, None, false)?;
        let mut all = Vec::new();
        for (name, ino) in inner.entries(inner.resolve(dir)?)? {
            all.push((name.clone(), inner.meta(*ino)?.kind, *ino));
        }
        if inner.order != 0 {
            fastrand::Rng::with_seed(inner.order).shuffle(&mut all);
        }
        drop(inner);
        all.iter().for_each(|(name, kind, ino)| each(name, *kind, *ino));
        Ok(())
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn FsFile>> {
        let inner = self.enter("open", path, None, false)?;
        let ino = inner.resolve(path)?;
        drop(inner);
        Ok(Box::new(MemFile { fs: self.clone(), path: path.to_owned(), ino }))
    }

    fn create_new(&self, path: &Path) -> io::Result<Box<dyn FsFile>> {
        let mut inner = self.enter("create", path, None, true)?;
        let ino = inner.put(path, Body::File { data: Arc::default(), durable: None }, 0o600)?;
        drop(inner);
        Ok(Box::new(MemFile { fs: self.clone(), path: path.to_owned(), ino }))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.enter("mkdir", path, None, true)?;
        let body = Body::Dir { entries: Entries::new(), durable: Entries::new() };
        inner.put(path, body, 0o700).map(|_| ())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.enter("rename", from, Some(to), true)?.do_rename(from, to, true)
    }

    fn rename_noreplace(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.enter("rename", from, Some(to), true)?.do_rename(from, to, false)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut inner = self.enter("link", from, Some(to), true)?;
        let ino = inner.resolve(from)?;
        let (dir, name) = inner.place(to)?;
        if inner.entries(dir)?.contains_key(&name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if inner.meta(ino)?.kind == Kind::Dir {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        inner.change(Change { gone: Vec::new(), come: vec![(dir, name, ino)] });
        Ok(())
    }

    fn reflink(&self, from: &Path, _to: &Path) -> io::Result<bool> {
        // A file system that cannot: the copying path is the one to be tried.
        self.enter("open", from, None, false)?.resolve(from).map(|_| false)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.enter("unlink", path, None, true)?.do_unlink(path, false)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.enter("rmdir", path, None, true)?.do_unlink(path, true)
    }

    fn sync_file(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.enter("fsync", path, None, true)?;
        let ino = inner.resolve(path)?;
        inner.sync_data(ino)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut inner = self.enter("fsync", dir, None, true)?;
        let ino = inner.resolve(dir)?;
        inner.entries(ino)?;
        inner.sync_entries(ino);
        Ok(())
    }

    fn sync_fs(&self, dir: &Path) -> io::Result<bool> {
        let mut inner = self.enter("syncfs", dir, None, true)?;
        inner.resolve(dir)?;
        inner.sync_everything();
        Ok(true)
    }

    fn lock(&self, path: &Path, contents: &str) -> io::Result<Lock> {
        let mut inner = self.enter("lock", path, None, true)?;
        if inner.locks.contains_key(path) {
            drop(inner);
            let held = self.read_file(path).unwrap_or_default();
            return Ok(Lock::Held(String::from_utf8_lossy(&held).into_owned()));
        }
        let ino = match inner.resolve(path) {
            Ok(ino) => ino,
            Err(_) => inner.put(path, Body::File { data: Arc::default(), durable: None }, 0o600)?,
        };
        if let Body::File { data, .. } = &mut inner.node(ino)?.body {
            *data = Arc::new(contents.as_bytes().to_vec());
        }
        inner.guards += 1;
        let guard = inner.guards;
        inner.locks.insert(path.to_owned(), guard);
        drop(inner);
        Ok(Lock::Taken(Box::new(MemLock { fs: self.clone(), path: path.to_owned(), guard })))
    }
}

#[derive(Debug)]
struct MemLock {
    fs: MemFs,
    path: PathBuf,
    guard: u64,
}

impl LockGuard for MemLock {}

impl Drop for MemLock {
    fn drop(&mut self) {
        let mut inner = self.fs.lock_inner();
        if inner.locks.get(&self.path) == Some(&self.guard) {
            inner.locks.remove(&self.path);
        }
    }
}
