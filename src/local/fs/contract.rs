//! What `local` asks of a file system, and what it is told.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::local::reserved::{OWN, RESERVED};
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
    /// The user whose it is.
    pub owner: u32,
}

/// Whether a symbolic link under this name may be followed on the way to a mailbox.
#[must_use]
pub fn may_be_link(name: &[u8]) -> bool {
    !RESERVED.iter().chain(&[OWN]).any(|fixed| name == fixed.as_bytes())
}

/// Directories that were met under another path: no call goes to or through one of them.
#[derive(Debug, Default)]
pub struct Refused(Mutex<BTreeSet<PathBuf>>);

impl Refused {
    /// Refuses these and no others.
    pub fn set(&self, paths: BTreeSet<PathBuf>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = paths;
    }

    /// Refuses a path at or below one of them.
    ///
    /// # Errors
    /// In words: never "not found".
    pub fn check(&self, path: &Path) -> io::Result<()> {
        let refused = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.is_empty() || !path.ancestors().any(|above| refused.contains(above)) {
            return Ok(());
        }
        Err(io::Error::other("a second path to a mirrored directory"))
    }
}

/// The error of a link whose target is not there.
#[must_use]
pub fn leads_nowhere() -> io::Error {
    let words = "a symbolic link that leads nowhere; is the disk of its target mounted?";
    io::Error::new(io::ErrorKind::NotADirectory, words)
}

/// Whether a path led to something that is no directory: not to nothing, which is said as in
/// [`leads_nowhere`].
pub(in crate::local) fn is_no_directory(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotADirectory && error.get_ref().is_none()
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
    /// The same file system, which resolves every path at and below `root` by the rule for paths,
    /// from the directory that `root` is now. It serves no other path.
    ///
    /// # Errors
    /// As the system says, for this and all below.
    fn rooted(&self, root: &Path) -> io::Result<Arc<dyn Fs>>;
    /// Refuses every later call at or below these paths; only for a rooted one.
    fn refuse(&self, paths: BTreeSet<PathBuf>);
    /// The clock that stamps files, in seconds since 1970.
    fn now_s(&self) -> i64;
    /// `lstat`.
    fn lstat(&self, path: &Path) -> io::Result<Meta>;
    /// `stat` of a directory: follows links, below a root by the rule for paths.
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
