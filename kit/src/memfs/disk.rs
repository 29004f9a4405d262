//! The state of the disk: what is seen, what is durable, and what lies between.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use mailtide::local::fs::{Kind, Meta, leads_nowhere, may_be_link};
use mailtide::reconcile::types::FileStamp;

use super::{EBUSY, EIO, ELOOP, EXDEV, ROOT};

pub(super) type Name = Vec<u8>;
pub(super) type Entries = BTreeMap<Name, u64>;

/// Bits of a node's number that are its inode number; the device is above them. So two devices
/// have the same inode numbers, as real ones do.
const INO_BITS: u32 = 40;
/// So many links are followed on one path, as on Linux.
const LINKS_MAX: usize = 40;

/// The inode number that is shown for a node.
pub(super) fn shown(node: u64) -> u64 {
    node & ((1 << INO_BITS) - 1)
}

/// The device of a node; the first one is 1.
pub(super) fn dev_of(node: u64) -> u64 {
    (node >> INO_BITS) + 1
}

/// Where a path led to: a node, and the mount in which it was reached (0: that of `/`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Reached {
    pub(super) node: u64,
    pub(super) mount: u64,
}

#[derive(Clone)]
pub(super) struct Inner {
    pub(super) nodes: BTreeMap<u64, Node>,
    /// The last number given out on each device.
    pub(super) last_ino: BTreeMap<u64, u64>,
    /// What covers directories, by the place that is covered: the number of the mount and the
    /// root that is seen there.
    pub(super) mounts: BTreeMap<Reached, Reached>,
    pub(super) last_mount: u64,
    /// The root of each further device, mounted or not.
    pub(super) disks: BTreeMap<u64, u64>,
    /// Changes of directories that are not durable, in order.
    pub(super) pending: Vec<Change>,
    pub(super) now_ns: i64,
    /// The user that this process runs as.
    pub(super) user: u32,
    pub(super) order: u64,
    pub(super) steps: u64,
    pub(super) crash_at: Option<u64>,
    pub(super) down: bool,
    pub(super) trace: Vec<String>,
    pub(super) denied: BTreeSet<PathBuf>,
    /// Held locks, each with the number of its guard: an old guard releases no new lock.
    pub(super) locks: BTreeMap<PathBuf, u64>,
    pub(super) guards: u64,
    /// Names that differ only in case, or in how an accent is written, are one.
    pub(super) folds: bool,
}

#[derive(Clone)]
pub(super) struct Node {
    pub(super) body: Body,
    pub(super) mtime_ns: i64,
    pub(super) ctime_ns: i64,
    pub(super) mode: u32,
    pub(super) owner: u32,
}

#[derive(Clone)]
pub(super) enum Body {
    File {
        data: Arc<Vec<u8>>,
        /// Data and modification time at the last sync.
        durable: Option<(Arc<Vec<u8>>, i64)>,
    },
    Dir {
        entries: Entries,
        durable: Entries,
    },
    /// A symbolic link and where it points.
    Link(PathBuf),
    Fifo,
}

impl Body {
    pub(super) fn dir() -> Self {
        Self::Dir { entries: Entries::new(), durable: Entries::new() }
    }
}

/// Entries taken away, then entries put in: (directory, name, inode).
#[derive(Clone, Default)]
pub(super) struct Change {
    pub(super) gone: Vec<(u64, Name)>,
    pub(super) come: Vec<(u64, Name, u64)>,
}

impl Change {
    pub(super) fn places(&self) -> impl Iterator<Item = (u64, &Name)> {
        let come = self.come.iter().map(|(dir, name, _)| (*dir, name));
        self.gone.iter().map(|(dir, name)| (*dir, name)).chain(come)
    }

    pub(super) fn touches(&self, dir: u64) -> bool {
        self.places().any(|(d, _)| d == dir)
    }
}

/// A change is only kept together with the earlier ones of the same entries.
pub(super) fn close_backwards(changes: &[Change], kept: &mut [bool]) {
    let mut needed: BTreeSet<(u64, &Name)> = BTreeSet::new();
    for (change, kept) in changes.iter().zip(kept).rev() {
        *kept |= change.places().any(|place| needed.contains(&place));
        if *kept {
            needed.extend(change.places());
        }
    }
}

/// A file whose data was on its way to the disk.
pub(super) fn torn(data: &[u8], old: &[u8], rng: &mut fastrand::Rng) -> Vec<u8> {
    let cut = rng.usize(..=data.len());
    match rng.u8(..4) {
        0 => data.to_vec(),
        1 => data[..cut].to_vec(),
        2 => vec![0; data.len()],
        _ => data[..cut].iter().chain(old.iter().skip(cut)).copied().collect(),
    }
}

/// What is left of a name on a disk that folds names, of those that the tests use.
fn fold(name: &[u8]) -> String {
    String::from_utf8_lossy(name).to_lowercase().replace("e\u{301}", "\u{e9}")
}

impl Inner {
    /// A new node on a device.
    pub(super) fn add(&mut self, body: Body, mode: u32, dev: u64) -> u64 {
        let last = self.last_ino.entry(dev).or_default();
        *last += 1;
        let node = *last | (dev - 1) << INO_BITS;
        let (now, owner) = (self.now_ns, self.user);
        self.nodes.insert(node, Node { body, mtime_ns: now, ctime_ns: now, mode, owner });
        node
    }

    pub(super) fn node(&mut self, ino: u64) -> io::Result<&mut Node> {
        // A handle from before the power loss.
        self.nodes.get_mut(&ino).ok_or_else(|| io::Error::from_raw_os_error(EIO))
    }

    pub(super) fn entries(&self, dir: u64) -> io::Result<&Entries> {
        match self.nodes.get(&dir).map(|node| &node.body) {
            Some(Body::Dir { entries, .. }) => Ok(entries),
            Some(_) => Err(io::ErrorKind::NotADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// The name under which a directory has this entry.
    fn known_as(&self, dir: u64, name: &[u8]) -> io::Result<Option<&Name>> {
        let entries = self.entries(dir)?;
        let exact = entries.get_key_value(name).map(|(name, _)| name);
        if exact.is_some() || !self.folds {
            return Ok(exact);
        }
        Ok(entries.keys().find(|known| fold(known) == fold(name)))
    }

    /// The node at a path, after following all links.
    pub(super) fn resolve(&self, path: &Path) -> io::Result<u64> {
        Ok(self.walk(path, true)?.node)
    }

    /// As [`Self::resolve`], but for a link in the last part.
    pub(super) fn resolve_itself(&self, path: &Path) -> io::Result<u64> {
        Ok(self.walk(path, false)?.node)
    }

    /// Follows a path as Linux does: links, `..`, and what is mounted.
    pub(super) fn walk(&self, path: &Path, follow_last: bool) -> io::Result<Reached> {
        let way = self.way(path, follow_last)?;
        way.last().copied().ok_or_else(|| io::ErrorKind::InvalidInput.into())
    }

    /// Refuses a path below a root that the rule for paths refuses: a link where none may be,
    /// or one that leads nowhere. The last part counts where it is a directory's.
    pub(super) fn obey(&self, root: &Path, path: &Path, is_dir: bool) -> io::Result<()> {
        let Ok(below) = path.strip_prefix(root) else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not below the root"));
        };
        let mut at = root.to_owned();
        let mut parts = below.iter().peekable();
        while let Some(part) = parts.next() {
            at.push(part);
            if parts.peek().is_none() && !is_dir {
                break;
            }
            let Ok(node) = self.resolve_itself(&at) else { break };
            if self.meta(node)?.kind != Kind::Symlink {
                continue;
            }
            if !may_be_link(part.as_bytes()) {
                return Err(io::ErrorKind::NotADirectory.into());
            }
            match self.resolve(&at) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(leads_nowhere()),
                other => other?,
            };
        }
        Ok(())
    }

    /// Whether a directory is above a path.
    fn is_on_the_way(&self, node: u64, path: &Path) -> io::Result<bool> {
        let parent = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.way(parent, true)?.iter().any(|at| at.node == node))
    }

    /// What a path leads to, below all that is above it.
    fn way(&self, path: &Path, follow_last: bool) -> io::Result<Vec<Reached>> {
        let top = self.over(Reached { node: ROOT, mount: 0 });
        let mut above = vec![top];
        let mut todo: Vec<OsString> = parts(path)?;
        let mut links = 0;
        while let Some(part) = todo.pop() {
            if part == ".." {
                above.truncate(above.len().saturating_sub(1).max(1));
                continue;
            }
            let at = above.last().copied().unwrap_or(top);
            let known = self.known_as(at.node, part.as_bytes())?;
            let found = known.and_then(|known| self.entries(at.node).ok()?.get(known));
            let next = Reached { node: *found.ok_or(io::ErrorKind::NotFound)?, ..at };
            let follows = follow_last || !todo.is_empty();
            match self.nodes.get(&next.node).map(|node| &node.body) {
                Some(Body::Link(target)) if follows => {
                    links += 1;
                    if links > LINKS_MAX {
                        return Err(io::Error::from_raw_os_error(ELOOP));
                    }
                    if target.is_absolute() {
                        above.truncate(1);
                    }
                    todo.extend(parts(target)?);
                }
                _ => above.push(self.over(next)),
            }
        }
        Ok(above)
    }

    /// What is seen at a place: the root of what is mounted there.
    fn over(&self, mut at: Reached) -> Reached {
        while let Some(root) = self.mounts.get(&at) {
            at = *root;
        }
        at
    }

    fn is_covered(&self, node: u64) -> bool {
        self.mounts.keys().any(|at| at.node == node)
    }

    /// The directory of a path and the name in it.
    pub(super) fn place(&self, path: &Path) -> io::Result<(u64, Name)> {
        self.place_in(path).map(|(dir, name)| (dir.node, name))
    }

    fn place_in(&self, path: &Path) -> io::Result<(Reached, Name)> {
        let (parent, name) =
            path.parent().zip(path.file_name()).ok_or(io::ErrorKind::InvalidInput)?;
        let dir = self.walk(parent, true)?;
        self.entries(dir.node)?;
        if name.len() > 255 {
            return Err(io::ErrorKind::InvalidFilename.into());
        }
        let known = self.known_as(dir.node, name.as_bytes())?;
        Ok((dir, known.map_or_else(|| name.as_bytes().to_vec(), Clone::clone)))
    }

    /// Makes a change seen, and notes that it is not durable.
    pub(super) fn change(&mut self, change: Change) {
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

    pub(super) fn make_durable(&mut self, change: &Change) {
        self.apply(change, true);
    }

    pub(super) fn apply(&mut self, change: &Change, to_durable: bool) {
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

    pub(super) fn put(&mut self, path: &Path, body: Body, mode: u32) -> io::Result<u64> {
        let (dir, name) = self.place(path)?;
        if self.entries(dir)?.contains_key(&name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let ino = self.add(body, mode, dev_of(dir));
        self.change(Change { gone: Vec::new(), come: vec![(dir, name, ino)] });
        Ok(ino)
    }

    pub(super) fn do_rename(&mut self, from: &Path, to: &Path, replace: bool) -> io::Result<()> {
        // In the order of Linux: both directories, the old name, the new one, then the rest.
        let (from_dir, from_name) = self.place_in(from)?;
        let (to_dir, to_name) = self.place_in(to)?;
        if (from_dir.mount, dev_of(from_dir.node)) != (to_dir.mount, dev_of(to_dir.node)) {
            return Err(io::Error::from_raw_os_error(EXDEV));
        }
        let (from_dir, to_dir) = (from_dir.node, to_dir.node);
        let ino = *self.entries(from_dir)?.get(&from_name).ok_or(io::ErrorKind::NotFound)?;
        let there = self.entries(to_dir)?.get(&to_name).copied();
        if there.is_some() && !replace {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if self.is_on_the_way(ino, to)? {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        if self.is_covered(ino) || there.is_some_and(|node| self.is_covered(node)) {
            return Err(io::Error::from_raw_os_error(EBUSY));
        }
        if let Some(there) = there
            && self.is_on_the_way(there, from)?
        {
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

    pub(super) fn do_link(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let source = self.walk(from, false)?;
        let (dir, name) = self.place_in(to)?;
        if self.entries(dir.node)?.contains_key(&name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if (source.mount, dev_of(source.node)) != (dir.mount, dev_of(dir.node)) {
            return Err(io::Error::from_raw_os_error(EXDEV));
        }
        if self.meta(source.node)?.kind == Kind::Dir {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        self.change(Change { gone: Vec::new(), come: vec![(dir.node, name, source.node)] });
        Ok(())
    }

    pub(super) fn do_unlink(&mut self, path: &Path, is_dir: bool) -> io::Result<()> {
        let (dir, name) = self.place(path)?;
        let ino = *self.entries(dir)?.get(&name).ok_or(io::ErrorKind::NotFound)?;
        match &self.nodes[&ino].body {
            Body::Dir { .. } if !is_dir => return Err(io::ErrorKind::IsADirectory.into()),
            Body::Dir { .. } if self.is_covered(ino) => {
                return Err(io::Error::from_raw_os_error(EBUSY));
            }
            Body::Dir { entries, .. } if !entries.is_empty() => {
                return Err(io::ErrorKind::DirectoryNotEmpty.into());
            }
            Body::Dir { .. } => {}
            _ if is_dir => return Err(io::ErrorKind::NotADirectory.into()),
            _ => {}
        }
        self.change(Change { gone: vec![(dir, name)], come: Vec::new() });
        Ok(())
    }

    /// Covers a directory with the root of a device, made when it is new, or uncovers it.
    pub(super) fn do_mount(&mut self, dir: &Path, root: Option<u64>) -> io::Result<()> {
        let at = self.walk(dir, true)?;
        self.entries(at.node)?;
        match root {
            Some(node) => {
                self.last_mount += 1;
                self.mounts.insert(at, Reached { node, mount: self.last_mount });
            }
            None => self.mounts.retain(|_, root| root.mount != at.mount),
        }
        Ok(())
    }

    /// The root of a device.
    pub(super) fn disk(&mut self, dev: u64) -> u64 {
        if let Some(root) = self.disks.get(&dev) {
            return *root;
        }
        let root = self.add(Body::dir(), 0o700, dev);
        self.disks.insert(dev, root);
        root
    }

    pub(super) fn sync_data(&mut self, ino: u64) -> io::Result<()> {
        let node = self.node(ino)?;
        let mtime = node.mtime_ns;
        if let Body::File { data, durable } = &mut node.body {
            *durable = Some((Arc::clone(data), mtime));
        }
        Ok(())
    }

    pub(super) fn sync_entries(&mut self, dir: u64) {
        let done = self.pending.iter().map(|change| change.touches(dir)).collect();
        self.settle_some(done);
    }

    /// What another program just did is durable, with what it builds on.
    pub(super) fn settle_last(&mut self) {
        let last = self.pending.len();
        self.settle_some((1..=last).map(|n| n == last).collect());
    }

    pub(super) fn settle_some(&mut self, mut done: Vec<bool>) {
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

    /// Makes all that is on the devices that `is_meant` durable.
    pub(super) fn sync_devices(&mut self, is_meant: impl Fn(u64) -> bool) {
        let meant = |change: &Change| change.places().all(|(dir, _)| is_meant(dev_of(dir)));
        let done = self.pending.iter().map(meant).collect();
        self.settle_some(done);
        let nodes: Vec<u64> = self.nodes.keys().copied().filter(|n| is_meant(dev_of(*n))).collect();
        for node in nodes {
            let _ = self.sync_data(node);
        }
    }

    pub(super) fn forget_unreachable(&mut self) {
        let mut todo: Vec<u64> = self.disks.values().copied().chain([ROOT]).collect();
        let mut seen: BTreeSet<u64> = todo.iter().copied().collect();
        while let Some(ino) = todo.pop() {
            if let Some(Body::Dir { entries, .. }) = self.nodes.get(&ino).map(|node| &node.body) {
                todo.extend(entries.values().filter(|ino| seen.insert(**ino)));
            }
        }
        self.nodes.retain(|ino, _| seen.contains(ino));
        self.mounts.retain(|at, root| [at, root].iter().all(|end| seen.contains(&end.node)));
    }

    pub(super) fn meta(&self, node: u64) -> io::Result<Meta> {
        let found = self.nodes.get(&node).ok_or_else(|| io::Error::from_raw_os_error(EIO))?;
        let (kind, size) = match &found.body {
            Body::File { data, .. } => (Kind::File, data.len()),
            Body::Dir { entries, .. } => (Kind::Dir, entries.len()),
            Body::Link(target) => (Kind::Symlink, target.as_os_str().len()),
            Body::Fifo => (Kind::Other, 0),
        };
        let (ctime_ns, mode) = (found.ctime_ns, found.mode);
        let stamp = FileStamp { ino: shown(node), size: size as u64, mtime_ns: found.mtime_ns };
        Ok(Meta { kind, stamp, ctime_ns, mode, dev: dev_of(node), owner: found.owner })
    }
}

/// The parts of a path, the last one first.
fn parts(path: &Path) -> io::Result<Vec<OsString>> {
    let mut parts = Vec::new();
    for part in path.components().rev() {
        match part {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(name) => parts.push(name.to_owned()),
            Component::ParentDir => parts.push("..".into()),
            Component::Prefix(_) => return Err(io::ErrorKind::InvalidInput.into()),
        }
    }
    Ok(parts)
}
