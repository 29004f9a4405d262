//! The file system of the machine.

use std::collections::BTreeSet;
use std::fs::{File, TryLockError};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, Timespec, Timestamps, UTIME_NOW};
use rustix::io::Errno;

use super::contract::{Fs, FsFile, Kind, Lock, LockGuard, Meta};
use super::resolve::{Below, Spot, directory, spot, way};
use crate::reconcile::types::FileStamp;

/// The file system of the machine, whole or from a root on.
#[derive(Debug, Default)]
pub struct RealFs {
    below: Option<Below>,
}

const FILE_MODE: u32 = 0o600;
const DIR_MODE: u32 = 0o700;
/// A lock file says who holds it in a few words.
const LOCK_TEXT_MAX: u64 = 256;
/// A file: never a link, and never waited for.
const FILE: OFlags =
    OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

#[derive(Debug)]
struct RealFile(File);

#[derive(Debug)]
struct FlockGuard {
    /// Closing it releases the lock.
    _file: File,
}

impl LockGuard for FlockGuard {}

impl FsFile for RealFile {
    fn meta(&self) -> io::Result<Meta> {
        Ok(meta_of(&rustix::fs::fstat(&self.0)?))
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        loop {
            match FileExt::read_at(&self.0, buf, offset) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn set_mtime(&mut self, mtime_s: i64) -> io::Result<()> {
        let times = Timestamps {
            last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_NOW },
            last_modification: Timespec { tv_sec: mtime_s, tv_nsec: 0 },
        };
        Ok(rustix::fs::futimens(&self.0, &times)?)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_all()
    }
}

impl RealFs {
    fn spot<'a>(&self, path: &'a Path) -> io::Result<Spot<'a>> {
        spot(self.below.as_ref(), path)
    }
}

impl Fs for RealFs {
    fn rooted(&self, root: &Path) -> io::Result<Arc<dyn Fs>> {
        Ok(Arc::new(Self { below: Some(Below::open(root)?) }))
    }

    fn refuse(&self, paths: BTreeSet<PathBuf>) {
        if let Some(below) = &self.below {
            below.refused.set(paths);
        }
    }

    fn now_s(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        since.ok().and_then(|d| i64::try_from(d.as_secs()).ok()).unwrap_or(0)
    }

    fn lstat(&self, path: &Path) -> io::Result<Meta> {
        let at = self.spot(path)?;
        Ok(meta_of(&rustix::fs::statat(at.dir(), at.name, AtFlags::SYMLINK_NOFOLLOW)?))
    }

    fn stat(&self, path: &Path) -> io::Result<Meta> {
        match &self.below {
            Some(below) => Ok(meta_of(&rustix::fs::fstat(way(Some(below), path)?)?)),
            None => Ok(meta_of(&rustix::fs::stat(path)?)),
        }
    }

    fn read_dir(&self, dir: &Path, each: &mut dyn FnMut(&[u8], Kind, u64)) -> io::Result<()> {
        let fd = directory(self.below.as_ref(), dir)?;
        let mut entries = rustix::fs::Dir::read_from(&fd)?;
        while let Some(entry) = entries.read() {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            let kind = match entry.file_type() {
                FileType::Unknown => {
                    // The file system does not say: ask. What left meanwhile is no entry.
                    let flags = AtFlags::SYMLINK_NOFOLLOW;
                    match rustix::fs::statat(&fd, entry.file_name(), flags) {
                        Ok(stat) => kind_of(FileType::from_raw_mode(stat.st_mode)),
                        Err(Errno::NOENT) => continue,
                        Err(e) => return Err(e.into()),
                    }
                }
                known => kind_of(known),
            };
            each(name, kind, entry.ino());
        }
        Ok(())
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn FsFile>> {
        Ok(Box::new(RealFile(open(&self.spot(path)?)?)))
    }

    fn create_new(&self, path: &Path) -> io::Result<Box<dyn FsFile>> {
        Ok(Box::new(RealFile(create(&self.spot(path)?)?)))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let at = self.spot(path)?;
        let mode = Mode::from_raw_mode(DIR_MODE);
        rustix::fs::mkdirat(at.dir(), at.name, mode)?;
        // A umask can take the owner's own bits away.
        let made = rustix::fs::statat(at.dir(), at.name, AtFlags::SYMLINK_NOFOLLOW)?;
        if meta_of(&made).mode & 0o777 != DIR_MODE {
            rustix::fs::chmodat(at.dir(), at.name, mode, AtFlags::empty())?;
        }
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from, to) = (self.spot(from)?, self.spot(to)?);
        Ok(rustix::fs::renameat(from.dir(), from.name, to.dir(), to.name)?)
    }

    fn rename_noreplace(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from, to) = (self.spot(from)?, self.spot(to)?);
        match rename_exclusive(&from, &to) {
            Err(Errno::NOSYS | Errno::INVAL | Errno::NOTSUP) => rename_checked(&from, &to),
            other => Ok(other?),
        }
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from, to) = (self.spot(from)?, self.spot(to)?);
        Ok(link(&from, &to)?)
    }

    fn reflink(&self, from: &Path, to: &Path) -> io::Result<bool> {
        reflink(&self.spot(from)?, &self.spot(to)?)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let at = self.spot(path)?;
        Ok(rustix::fs::unlinkat(at.dir(), at.name, AtFlags::empty())?)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        let at = self.spot(path)?;
        Ok(rustix::fs::unlinkat(at.dir(), at.name, AtFlags::REMOVEDIR)?)
    }

    fn sync_file(&self, path: &Path) -> io::Result<()> {
        open(&self.spot(path)?)?.sync_all()
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        match rustix::fs::fsync(directory(self.below.as_ref(), dir)?) {
            // Some network and user-space file systems have no such call for directories:
            // there is nothing better to be had from them.
            Err(Errno::INVAL | Errno::NOTSUP) => Ok(()),
            other => Ok(other?),
        }
    }

    fn sync_fs(&self, dir: &Path) -> io::Result<bool> {
        sync_fs(directory(self.below.as_ref(), dir)?)
    }

    fn lock(&self, path: &Path, contents: &str) -> io::Result<Lock> {
        let at = self.spot(path)?;
        let mut file = match create(&at) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                let flags = FILE | OFlags::RDWR;
                File::from(rustix::fs::openat(at.dir(), at.name, flags, Mode::empty())?)
            }
            other => other?,
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = Vec::new();
                (&file).take(LOCK_TEXT_MAX).read_to_end(&mut text)?;
                let text = String::from_utf8_lossy(&text).trim().to_owned();
                return Ok(Lock::Held(text));
            }
            Err(TryLockError::Error(e)) => return Err(e),
        }
        // Another name of a file of somebody's would be cut (hazard 119).
        let stat = rustix::fs::fstat(&file)?;
        if kind_of(FileType::from_raw_mode(stat.st_mode)) != Kind::File || stat.st_nlink > 1 {
            let words = "the lock file has a hard link, or is not a regular file: remove it";
            return Err(io::Error::other(words));
        }
        file.set_len(0)?;
        file.write_all(contents.as_bytes())?;
        Ok(Lock::Taken(Box::new(FlockGuard { _file: file })))
    }
}

fn kind_of(kind: FileType) -> Kind {
    match kind {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Dir,
        FileType::Symlink => Kind::Symlink,
        _ => Kind::Other,
    }
}

// The types of these fields differ between systems.
#[allow(clippy::useless_conversion, clippy::cast_sign_loss, clippy::cast_possible_wrap)]
#[allow(clippy::unnecessary_cast)]
fn meta_of(stat: &Stat) -> Meta {
    let ns = |s: i64, n: i64| s.saturating_mul(1_000_000_000).saturating_add(n);
    let stamp = FileStamp {
        ino: stat.st_ino as u64,
        size: stat.st_size as u64,
        mtime_ns: ns(stat.st_mtime as i64, stat.st_mtime_nsec as i64),
    };
    Meta {
        kind: kind_of(FileType::from_raw_mode(stat.st_mode)),
        stamp,
        ctime_ns: ns(stat.st_ctime as i64, stat.st_ctime_nsec as i64),
        mode: u32::from(stat.st_mode) & 0o7777,
        dev: stat.st_dev as u64,
        owner: stat.st_uid,
    }
}

fn open(at: &Spot<'_>) -> io::Result<File> {
    Ok(rustix::fs::openat(at.dir(), at.name, FILE, Mode::empty())?.into())
}

fn create(at: &Spot<'_>) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let mode = Mode::from_raw_mode(FILE_MODE);
    let file = rustix::fs::openat(at.dir(), at.name, flags, mode)?;
    // A umask can take the owner's own bits away.
    if meta_of(&rustix::fs::fstat(&file)?).mode & 0o777 != FILE_MODE {
        rustix::fs::fchmod(&file, mode)?;
    }
    Ok(file.into())
}

fn link(from: &Spot<'_>, to: &Spot<'_>) -> Result<(), Errno> {
    rustix::fs::linkat(from.dir(), from.name, to.dir(), to.name, AtFlags::empty())
}

#[cfg(any(target_os = "linux", target_os = "macos"))]
fn rename_exclusive(from: &Spot<'_>, to: &Spot<'_>) -> Result<(), Errno> {
    let flags = rustix::fs::RenameFlags::NOREPLACE;
    rustix::fs::renameat_with(from.dir(), from.name, to.dir(), to.name, flags)
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
fn rename_exclusive(_: &Spot<'_>, _: &Spot<'_>) -> Result<(), Errno> {
    Err(Errno::NOSYS)
}

/// Where the system cannot rename without replacing: a second name, then the first one away.
/// Only where there are no second names either, a look and a plain rename.
fn rename_checked(from: &Spot<'_>, to: &Spot<'_>) -> io::Result<()> {
    match link(from, to) {
        Ok(()) => {
            return Ok(rustix::fs::unlinkat(from.dir(), from.name, AtFlags::empty())?);
        }
        Err(Errno::PERM | Errno::NOTSUP | Errno::NOSYS | Errno::MLINK) => {}
        Err(e) => return Err(e.into()),
    }
    match rustix::fs::statat(to.dir(), to.name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
        Err(Errno::NOENT) => Ok(rustix::fs::renameat(from.dir(), from.name, to.dir(), to.name)?),
        Err(e) => Err(e.into()),
    }
}

#[cfg(target_os = "linux")]
fn reflink(from: &Spot<'_>, to: &Spot<'_>) -> io::Result<bool> {
    let (source, target) = (open(from)?, create(to)?);
    let Err(errno) = rustix::fs::ioctl_ficlone(&target, &source) else { return Ok(true) };
    rustix::fs::unlinkat(to.dir(), to.name, AtFlags::empty())?;
    match errno {
        Errno::NOTSUP | Errno::XDEV | Errno::INVAL | Errno::NOTTY | Errno::NOSYS => Ok(false),
        other => Err(other.into()),
    }
}

#[cfg(not(target_os = "linux"))]
fn reflink(_: &Spot<'_>, _: &Spot<'_>) -> io::Result<bool> {
    Ok(false)
}

#[cfg(target_os = "linux")]
fn sync_fs(dir: impl AsFd) -> io::Result<bool> {
    rustix::fs::syncfs(dir)?;
    Ok(true)
}

#[cfg(not(target_os = "linux"))]
fn sync_fs(_: impl AsFd) -> io::Result<bool> {
    Ok(false)
}
