//! Paths below a root, resolved from its descriptor by the rule for paths.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::contract::{Refused, leads_nowhere, may_be_link};

/// An open root.
#[derive(Debug)]
pub(super) struct Below {
    fd: OwnedFd,
    path: PathBuf,
    pub(super) refused: Refused,
}

/// A directory and a name in it, for the `*at` calls.
#[derive(Debug)]
pub(super) struct Spot<'a> {
    dir: Option<OwnedFd>,
    pub(super) name: &'a Path,
}

impl Spot<'_> {
    /// The directory; without a root that of the process, where names are whole paths.
    pub(super) fn dir(&self) -> BorrowedFd<'_> {
        self.dir.as_ref().map_or(CWD, AsFd::as_fd)
    }
}

/// Opens a directory only to look names up in it.
#[cfg(any(target_os = "linux", target_os = "android"))]
const WAY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const WAY: OFlags = READ;
/// Opens a directory to read it or to make it durable; never waits for a pipe.
const READ: OFlags =
    OFlags::DIRECTORY.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

impl Below {
    /// Opens a root, following a link to it.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let fd = rustix::fs::open(path, READ, Mode::empty())?;
        Ok(Self { fd, path: path.to_owned(), refused: Refused::default() })
    }

    fn relative<'a>(&self, path: &'a Path) -> io::Result<&'a Path> {
        self.refused.check(path)?;
        let environment = |_| io::Error::new(io::ErrorKind::InvalidInput, "not below the root");
        path.strip_prefix(&self.path).map_err(environment)
    }

    /// The directory and the name of a path below the root.
    fn spot<'a>(&self, path: &'a Path) -> io::Result<Spot<'a>> {
        let relative = self.relative(path)?;
        let (parent, name) = match relative.parent().zip(relative.file_name()) {
            Some(spot) => spot,
            // The root itself.
            None if relative.as_os_str().is_empty() => (relative, OsStr::new(".")),
            None => return Err(io::ErrorKind::InvalidInput.into()),
        };
        Ok(Spot { dir: Some(self.directory(parent, WAY)?), name: Path::new(name) })
    }

    /// Opens a directory by its path relative to the root.
    fn directory(&self, relative: &Path, flags: OFlags) -> io::Result<OwnedFd> {
        if relative.as_os_str().is_empty() {
            return Ok(rustix::fs::openat(&self.fd, c".", flags, Mode::empty())?);
        }
        match open_at_once(self.fd.as_fd(), relative, flags) {
            // A link on the way, or a system without that call.
            Err(Errno::LOOP | Errno::NOSYS | Errno::PERM | Errno::AGAIN | Errno::INVAL) => {}
            other => return Ok(other?),
        }
        let mut at: Option<OwnedFd> = None;
        let mut parts = relative.iter().peekable();
        while let Some(part) = parts.next() {
            let dir = at.as_ref().map_or(self.fd.as_fd(), AsFd::as_fd);
            let flags = if parts.peek().is_some() { WAY } else { flags };
            at = Some(step(dir, part, flags)?);
        }
        at.ok_or_else(|| io::ErrorKind::InvalidInput.into())
    }
}

/// One part of the way.
fn step(dir: BorrowedFd<'_>, part: &OsStr, flags: OFlags) -> io::Result<OwnedFd> {
    if part == ".." || part == "/" {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let may = may_be_link(part.as_bytes());
    let flags = if may { flags } else { flags | OFlags::NOFOLLOW };
    match rustix::fs::openat(dir, part, flags, Mode::empty()) {
        Err(Errno::NOENT) if may && is_link(dir, part) => Err(leads_nowhere()),
        // As the kernel says of what is no directory, a link or anything else.
        Err(Errno::LOOP) if !may => Err(Errno::NOTDIR.into()),
        other => Ok(other?),
    }
}

fn is_link(dir: BorrowedFd<'_>, name: &OsStr) -> bool {
    let found = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW);
    found.is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink)
}

/// The whole way in one call, where there is no link on it.
#[cfg(target_os = "linux")]
fn open_at_once(dir: BorrowedFd<'_>, way: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    use rustix::fs::ResolveFlags;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(dir, way, flags, Mode::empty(), resolve)
}

#[cfg(not(target_os = "linux"))]
fn open_at_once(_: BorrowedFd<'_>, _: &Path, _: OFlags) -> Result<OwnedFd, Errno> {
    Err(Errno::NOSYS)
}

/// Where a path is.
pub(super) fn spot<'a>(below: Option<&Below>, path: &'a Path) -> io::Result<Spot<'a>> {
    match below {
        Some(below) => below.spot(path),
        None => Ok(Spot { dir: None, name: path }),
    }
}

/// Opens a directory, links followed by the rule.
pub(super) fn directory(below: Option<&Below>, path: &Path) -> io::Result<OwnedFd> {
    match below {
        Some(below) => below.directory(below.relative(path)?, READ),
        None => Ok(rustix::fs::open(path, READ, Mode::empty())?),
    }
}

/// As [`directory`], only to be looked at: no right to read it is needed.
pub(super) fn way(below: Option<&Below>, path: &Path) -> io::Result<OwnedFd> {
    match below {
        Some(below) => below.directory(below.relative(path)?, WAY),
        None => Ok(rustix::fs::open(path, WAY, Mode::empty())?),
    }
}
