//! The file system as `local` needs it: a narrow contract, and the real one behind it.
//!
//! It is a trait so that a file system in memory can stand in which loses power, fills up and
//! fails at any counted call. Paths are absolute; every call blocks.

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{
    DirBuilderExt, FileExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt,
};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Timespec, Timestamps, UTIME_NOW};
use rustix::io::Errno;

use crate::reconcile::types::FileStamp;

/// What a directory entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// A symbolic link.
    Symlink,
    /// A socket, pipe or device.
    Other,
}

/// What is known of a file without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meta {
    /// What it is.
    pub kind: Kind,
    /// Inode number, length in bytes, modification time.
    pub stamp: FileStamp,
    /// Change time in nanoseconds since 1970: moves with every write, rename and link.
    pub ctime_ns: i64,
    /// Permission bits.
    pub mode: u32,
    /// The file system that it lies on.
    pub dev: u64,
}

/// The outcome of asking for a lock.
#[derive(Debug)]
pub enum Lock {
    /// It is ours until the guard is dropped or the process ends.
    Taken(Box<dyn LockGuard>),
    /// Another holds it; what it wrote into the file (at most 256 bytes).
    Held(String),
}

/// Holds a lock until dropped.
pub trait LockGuard: Send + Sync + fmt::Debug {}

/// An open file. Offsets are the caller's business.
pub trait FsFile: Send + fmt::Debug {
    /// `fstat`.
    ///
    /// # Errors
    /// As the system says.
    fn meta(&self) -> io::Result<Meta>;
    /// Reads into `buf` at `offset`; 0 at the end.
    ///
    /// # Errors
    /// As the system says.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    /// As the system says; part of it may have been written.
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Sets the modification time (seconds since 1970), and the access time to now.
    ///
    /// # Errors
    /// As the system says.
    fn set_mtime(&mut self, mtime_s: i64) -> io::Result<()>;
    /// Makes data, length and times durable (`fsync`, never `fdatasync`).
    ///
    /// # Errors
    /// As the system says: the data may be lost, and asking again proves nothing.
    fn sync(&mut self) -> io::Result<()>;
}

/// What `local` asks of a file system.
pub trait Fs: Send + Sync + fmt::Debug {
    /// The clock that stamps files, in seconds since 1970.
    fn now_s(&self) -> i64;
    /// `lstat`.
    ///
    /// # Errors
    /// As the system says, for this and all below.
    fn lstat(&self, path: &Path) -> io::Result<Meta>;
    /// `stat`: follows links. For the root only.
    fn stat(&self, path: &Path) -> io::Result<Meta>;
    /// Calls `each` with name, kind and inode number of every entry but `.` and `..`.
    fn read_dir(&self, dir: &Path, each: &mut dyn FnMut(&[u8], Kind, u64)) -> io::Result<()>;
    /// Opens for reading; never follows a link in the last part, never waits on a pipe.
    fn open(&self, path: &Path) -> io::Result<Box<dyn FsFile>>;
    /// Creates for reading and writing, mode 0600 under any umask; fails where a name exists.
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn FsFile>>;
    /// Creates a directory, mode 0700 under any umask.
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    /// Renames and replaces. For files of our own only, never for mail.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Renames a file or directory, or fails with `AlreadyExists`.
    fn rename_noreplace(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Makes a second name for a file.
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Makes a new file that shares the blocks of another; false where that is not supported.
    fn reflink(&self, from: &Path, to: &Path) -> io::Result<bool>;
    /// Unlinks. For files of our own in `tmp/` only, never for mail.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Removes an empty directory.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;
    /// Makes a closed file durable.
    fn sync_file(&self, path: &Path) -> io::Result<()>;
    /// Makes the entries of a directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Makes the whole file system of `dir` durable; false where that is not supported.
    fn sync_fs(&self, dir: &Path) -> io::Result<bool>;
    /// Takes the lock file `path` if nobody has it, and writes `contents` into it.
    fn lock(&self, path: &Path, contents: &str) -> io::Result<Lock>;
}

/// The file system of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealFs;

const FILE_MODE: u32 = 0o600;
const DIR_MODE: u32 = 0o700;
/// A lock file says who holds it in a few words.
const LOCK_TEXT_MAX: u64 = 256;

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
        self.0.metadata().map(|m| meta_of(&m))
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

impl Fs for RealFs {
    fn now_s(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        since.ok().and_then(|d| i64::try_from(d.as_secs()).ok()).unwrap_or(0)
    }

    fn lstat(&self, path: &Path) -> io::Result<Meta> {
        std::fs::symlink_metadata(path).map(|m| meta_of(&m))
    }

    fn stat(&self, path: &Path) -> io::Result<Meta> {
        std::fs::metadata(path).map(|m| meta_of(&m))
    }

    fn read_dir(&self, dir: &Path, each: &mut dyn FnMut(&[u8], Kind, u64)) -> io::Result<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(dir, flags, Mode::empty())?;
        let mut entries = rustix::fs::Dir::new(fd)?;
        while let Some(entry) = entries.read() {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            let kind = match entry.file_type() {
                FileType::RegularFile => Kind::File,
                FileType::Directory => Kind::Dir,
                FileType::Symlink => Kind::Symlink,
                FileType::Unknown => {
                    // The file system does not say: ask. What left meanwhile is no entry.
                    match self.lstat(&dir.join(std::ffi::OsStr::from_bytes(name))) {
                        Ok(meta) => meta.kind,
                        Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                        Err(e) => return Err(e),
                    }
                }
                _ => Kind::Other,
            };
            each(name, kind, entry.ino());
        }
        Ok(())
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn FsFile>> {
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = OpenOptions::new().read(true).custom_flags(raw(flags)).open(path)?;
        Ok(Box::new(RealFile(file)))
    }

    fn create_new(&self, path: &Path) -> io::Result<Box<dyn FsFile>> {
        Ok(Box::new(RealFile(create(path)?)))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        std::fs::DirBuilder::new().mode(DIR_MODE).create(path)?;
        // A umask can take the owner's own bits away.
        if std::fs::symlink_metadata(path)?.mode() & 0o777 != DIR_MODE {
            let mode = Mode::from_raw_mode(DIR_MODE);
            rustix::fs::chmodat(CWD, path, mode, AtFlags::empty())?;
        }
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn rename_noreplace(&self, from: &Path, to: &Path) -> io::Result<()> {
        match rename_exclusive(from, to) {
            Err(Errno::NOSYS | Errno::INVAL | Errno::NOTSUP) => rename_checked(from, to),
            other => Ok(other?),
        }
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        Ok(rustix::fs::linkat(CWD, from, CWD, to, AtFlags::empty())?)
    }

    fn reflink(&self, from: &Path, to: &Path) -> io::Result<bool> {
        reflink(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_dir(path)
    }

    fn sync_file(&self, path: &Path) -> io::Result<()> {
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        OpenOptions::new().read(true).custom_flags(raw(flags)).open(path)?.sync_all()
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        match File::open(dir)?.sync_all() {
            // Some network and user-space file systems have no such call for directories:
            // there is nothing better to be had from them.
            Err(e) if matches!(Errno::from_io_error(&e), Some(Errno::INVAL | Errno::NOTSUP)) => {
                Ok(())
            }
            other => other,
        }
    }

    fn sync_fs(&self, dir: &Path) -> io::Result<bool> {
        sync_fs(dir)
    }

    fn lock(&self, path: &Path, contents: &str) -> io::Result<Lock> {
        let mut file = match create(path) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => OpenOptions::new()
                .read(true)
                .write(true)
                .custom_flags(raw(OFlags::NOFOLLOW | OFlags::NONBLOCK))
                .open(path)?,
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
        file.set_len(0)?;
        file.write_all(contents.as_bytes())?;
        Ok(Lock::Taken(Box::new(FlockGuard { _file: file })))
    }
}

fn raw(flags: OFlags) -> i32 {
    flags.bits().cast_signed()
}

fn meta_of(m: &std::fs::Metadata) -> Meta {
    let kind = match m.file_type() {
        t if t.is_file() => Kind::File,
        t if t.is_dir() => Kind::Dir,
        t if t.is_symlink() => Kind::Symlink,
        t => {
            debug_assert!(
                t.is_fifo() || t.is_socket() || t.is_char_device() || t.is_block_device()
            );
            Kind::Other
        }
    };
    let ns = |s: i64, n: i64| s.saturating_mul(1_000_000_000).saturating_add(n);
    let stamp = FileStamp { ino: m.ino(), size: m.size(), mtime_ns: ns(m.mtime(), m.mtime_nsec()) };
    Meta {
        kind,
        stamp,
        ctime_ns: ns(m.ctime(), m.ctime_nsec()),
        mode: m.mode() & 0o7777,
        dev: m.dev(),
    }
}

fn create(path: &Path) -> io::Result<File> {
    let file =
        OpenOptions::new().read(true).write(true).create_new(true).mode(FILE_MODE).open(path)?;
    // A umask can take the owner's own bits away.
    if file.metadata()?.mode() & 0o777 != FILE_MODE {
        file.set_permissions(std::fs::Permissions::from_mode(FILE_MODE))?;
    }
    Ok(file)
}

#[cfg(any(target_os = "linux", target_os = "macos"))]
fn rename_exclusive(from: &Path, to: &Path) -> Result<(), Errno> {
    rustix::fs::renameat_with(CWD, from, CWD, to, rustix::fs::RenameFlags::NOREPLACE)
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
fn rename_exclusive(_from: &Path, _to: &Path) -> Result<(), Errno> {
    Err(Errno::NOSYS)
}

/// Where the system cannot rename without replacing: a second name, then the first one away.
/// Only where there are no second names either, a look and a plain rename.
fn rename_checked(from: &Path, to: &Path) -> io::Result<()> {
    match rustix::fs::linkat(CWD, from, CWD, to, AtFlags::empty()) {
        Ok(()) => return std::fs::remove_file(from),
        Err(Errno::PERM | Errno::NOTSUP | Errno::NOSYS | Errno::MLINK) => {}
        Err(e) => return Err(e.into()),
    }
    match std::fs::symlink_metadata(to) {
        Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => std::fs::rename(from, to),
        Err(e) => Err(e),
    }
}

#[cfg(target_os = "linux")]
fn reflink(from: &Path, to: &Path) -> io::Result<bool> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let source = OpenOptions::new().read(true).custom_flags(raw(flags)).open(from)?;
    let target = create(to)?;
    let Err(errno) = rustix::fs::ioctl_ficlone(&target, &source) else { return Ok(true) };
    std::fs::remove_file(to)?;
    match errno {
        Errno::NOTSUP | Errno::XDEV | Errno::INVAL | Errno::NOTTY | Errno::NOSYS => Ok(false),
        other => Err(other.into()),
    }
}

#[cfg(not(target_os = "linux"))]
fn reflink(_from: &Path, _to: &Path) -> io::Result<bool> {
    Ok(false)
}

#[cfg(target_os = "linux")]
fn sync_fs(dir: &Path) -> io::Result<bool> {
    rustix::fs::syncfs(File::open(dir)?)?;
    Ok(true)
}

#[cfg(not(target_os = "linux"))]
fn sync_fs(_dir: &Path) -> io::Result<bool> {
    Ok(false)
}
