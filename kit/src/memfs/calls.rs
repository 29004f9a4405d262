//! The calls of the program under test: each counted, traced, and refused where told to.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mailtide::local::fs::{Fs, FsFile, Kind, Lock, LockGuard, Meta};

use super::ELOOP;
use super::MemFs;
use super::disk::{Body, dev_of, shown};

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
        let data = match &inner.node(self.ino)?.body {
            Body::File { data, .. } => data,
            // Nobody writes into it.
            Body::Fifo => return Ok(0),
            _ => return Err(io::ErrorKind::IsADirectory.into()),
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
    fn rooted(&self, root: &Path) -> io::Result<Arc<dyn Fs>> {
        self.stat(root)?;
        let refused = Arc::default();
        Ok(Arc::new(Self { root: Some(root.to_owned()), refused, ..self.clone() }))
    }

    fn refuse(&self, paths: BTreeSet<PathBuf>) {
        self.refused.set(paths);
    }

    fn now_s(&self) -> i64 {
        self.clock().div_euclid(1_000_000_000)
    }

    fn lstat(&self, path: &Path) -> io::Result<Meta> {
        let inner = self.enter("lstat", path, None, false)?;
        inner.meta(inner.resolve_itself(path)?)
    }

    fn stat(&self, path: &Path) -> io::Result<Meta> {
        let inner = self.enter("stat", path, None, false)?;
        let meta = inner.meta(inner.resolve(path)?)?;
        if self.root.is_some() && meta.kind != Kind::Dir {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Ok(meta)
    }

    fn read_dir(&self, dir: &Path, each: &mut dyn FnMut(&[u8], Kind, u64)) -> io::Result<()> {
        let inner = self.enter("readdir", dir, None, false)?;
        let mut all = Vec::new();
        for (name, ino) in inner.entries(inner.resolve(dir)?)? {
            all.push((name.clone(), inner.meta(*ino)?.kind, shown(*ino)));
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
        let ino = inner.resolve_itself(path)?;
        if inner.meta(ino)?.kind == Kind::Symlink {
            return Err(io::Error::from_raw_os_error(ELOOP));
        }
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
        inner.put(path, Body::dir(), 0o700).map(|_| ())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.enter("rename", from, Some(to), true)?.do_rename(from, to, true)
    }

    fn rename_noreplace(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.enter("rename", from, Some(to), true)?.do_rename(from, to, false)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.enter("link", from, Some(to), true)?.do_link(from, to)
    }

    fn reflink(&self, from: &Path, _to: &Path) -> io::Result<bool> {
        // A file system that cannot: the copying path is the one to be tried.
        self.enter("open", from, None, false)?.resolve_itself(from).map(|_| false)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.enter("unlink", path, None, true)?.do_unlink(path, false)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.enter("rmdir", path, None, true)?.do_unlink(path, true)
    }

    fn sync_file(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.enter("fsync", path, None, true)?;
        let ino = inner.resolve_itself(path)?;
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
        let dev = dev_of(inner.resolve(dir)?);
        inner.sync_devices(|other| other == dev);
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
