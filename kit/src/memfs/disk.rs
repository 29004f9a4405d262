//! The state of the disk: what is seen, what is durable, and what lies between.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use mailtide::local::fs::{Kind, Meta};
use mailtide::reconcile::types::FileStamp;

use super::{EIO, ROOT};

pub(super) type Name = Vec<u8>;
pub(super) type Entries = BTreeMap<Name, u64>;

pub(super) struct Inner {
    pub(super) nodes: BTreeMap<u64, Node>,
    pub(super) next_ino: u64,
    /// Changes of directories that are not durable, in order.
    pub(super) pending: Vec<Change>,
    pub(super) now_ns: i64,
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
    pub(super) fn add(&mut self, body: Body, mode: u32) -> u64 {
        let ino = self.next_ino;
        self.next_ino += 1;
        let now = self.now_ns;
        self.nodes.insert(ino, Node { body, mtime_ns: now, ctime_ns: now, mode });
        ino
    }

    pub(super) fn node(&mut self, ino: u64) -> io::Result<&mut Node> {
        // A handle from before the power loss.
        self.nodes.get_mut(&ino).ok_or_else(|| io::Error::from_raw_os_error(EIO))
    }

    pub(super) fn entries(&self, dir: u64) -> io::Result<&Entries> {
        match self.nodes.get(&dir).map(|node| &node.body) {
            Some(Body::Dir { entries, .. }) => Ok(entries),
            Some(Body::File { .. }) => Err(io::ErrorKind::NotADirectory.into()),
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

    pub(super) fn resolve(&self, path: &Path) -> io::Result<u64> {
        let mut at = ROOT;
        for part in path.components() {
            match part {
                Component::RootDir => at = ROOT,
                Component::Normal(name) => {
                    let known = self.known_as(at, name.as_bytes())?;
                    let found = known.and_then(|known| self.entries(at).ok()?.get(known));
                    at = *found.ok_or(io::ErrorKind::NotFound)?;
                }
                _ => return Err(io::ErrorKind::InvalidInput.into()),
            }
        }
        Ok(at)
    }

    /// The directory of a path and the name in it.
    pub(super) fn place(&self, path: &Path) -> io::Result<(u64, Name)> {
        let (parent, name) =
            path.parent().zip(path.file_name()).ok_or(io::ErrorKind::InvalidInput)?;
        let dir = self.resolve(parent)?;
        self.entries(dir)?;
        if name.len() > 255 {
            return Err(io::ErrorKind::InvalidFilename.into());
        }
        let known = self.known_as(dir, name.as_bytes())?;
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
        let ino = self.add(body, mode);
        self.change(Change { gone: Vec::new(), come: vec![(dir, name, ino)] });
        Ok(ino)
    }

    pub(super) fn do_rename(&mut self, from: &Path, to: &Path, replace: bool) -> io::Result<()> {
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

    pub(super) fn do_unlink(&mut self, path: &Path, is_dir: bool) -> io::Result<()> {
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

    pub(super) fn sync_everything(&mut self) {
        for change in std::mem::take(&mut self.pending) {
            self.make_durable(&change);
        }
        let inos: Vec<u64> = self.nodes.keys().copied().collect();
        for ino in inos {
            let _ = self.sync_data(ino);
        }
    }

    pub(super) fn forget_unreachable(&mut self) {
        let mut seen = BTreeSet::from([ROOT]);
        let mut todo = vec![ROOT];
        while let Some(ino) = todo.pop() {
            if let Body::Dir { entries, .. } = &self.nodes[&ino].body {
                todo.extend(entries.values().filter(|ino| seen.insert(**ino)));
            }
        }
        self.nodes.retain(|ino, _| seen.contains(ino));
    }

    pub(super) fn meta(&self, ino: u64) -> io::Result<Meta> {
        let node = self.nodes.get(&ino).ok_or_else(|| io::Error::from_raw_os_error(EIO))?;
        let (kind, size) = match &node.body {
            Body::File { data, .. } => (Kind::File, data.len()),
            Body::Dir { entries, .. } => (Kind::Dir, entries.len()),
        };
        let stamp = FileStamp { ino, size: size as u64, mtime_ns: node.mtime_ns };
        Ok(Meta { kind, stamp, ctime_ns: node.ctime_ns, mode: node.mode, dev: 1 })
    }
}
