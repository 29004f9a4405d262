//! The Maildir root: opened once, locked, and where things lie in it.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::reconcile::types::{DirStamps, FileStamp, MailboxName, Stem};

use super::error::{At, LocalError, Scope, if_there};
use super::fs::{Fs, Kind, Lock, LockGuard, may_be_link};
use super::layout::Layout;
use super::name::{FileName, SEPARATOR, StemMaker, split};
use super::reserved::{ID_FILE, KEYWORDS_FILE, OWN};
use super::spelling::Spelling;

/// The lock of the account whose root it is.
const LOCK: &str = "lock";
/// Its marker.
pub(super) const MARKER: &str = "marker";

/// How a root is opened.
#[derive(Debug, Clone)]
pub struct RootOptions {
    /// Makes the root when it is missing. Only for an account that never had one: a missing
    /// root is otherwise a disk that is not mounted.
    pub create: bool,
    /// The lock that is taken, by the name of its file in our own directory; none for who only
    /// looks. A guest, which places files in the root of another account, has one of its own.
    pub lock: Option<String>,
    /// The name of our marker's file in our own directory.
    pub marker: String,
    /// Who we are, for whoever finds the root locked: `pid@host`.
    pub holder: String,
    /// Host name, as a part of new file names.
    pub host: String,
    /// Our store's random id: unfinished files carry it, so that only their owner cleans.
    pub store_id: String,
    /// Tells the file names of this process apart from all others.
    pub random: u64,
    /// How mailboxes lie in the root.
    pub layout: Layout,
    /// What stands between stem and info part.
    pub separator: u8,
    /// Copies within the root may be hard links (servers with one message in many mailboxes).
    pub hard_links: bool,
}

impl RootOptions {
    /// The usual options: locked, not created, `:` as the separator.
    #[must_use]
    pub fn new(store_id: &str, host: &str) -> Self {
        Self {
            create: false,
            lock: Some(LOCK.to_owned()),
            marker: MARKER.to_owned(),
            holder: format!("{}@{host}", std::process::id()),
            host: host.to_owned(),
            store_id: store_id.to_owned(),
            random: fastrand::u64(..),
            layout: Layout::default(),
            separator: SEPARATOR,
            hard_links: false,
        }
    }
}

/// A Maildir root. All calls block.
#[derive(Debug)]
pub struct Root {
    pub(super) fs: Arc<dyn Fs>,
    pub(super) path: PathBuf,
    pub(super) options: RootOptions,
    stems: StemMaker,
    pub(super) spelling: Spelling,
    /// Ids of our stores that were lost: what they left in `tmp/` is nobody's any more.
    pub(super) former: Vec<String>,
    /// The device that it lay on when it was opened.
    disk: u64,
    /// Given back when the root is dropped.
    lock: Option<Box<dyn LockGuard>>,
}

impl Root {
    /// Opens the root, following a link to it, and takes its lock.
    ///
    /// # Errors
    /// [`LocalError::NoRoot`] when it is missing, [`LocalError::Locked`] when another has it.
    pub fn open(fs: Arc<dyn Fs>, path: &Path, options: RootOptions) -> Result<Self, LocalError> {
        let own = path.join(OWN);
        match if_there(fs.stat(path)).at(Scope::Root, "look at", path)? {
            Some(meta) if meta.kind == Kind::Dir => {
                let is_new = if_there(fs.lstat(&own)).at(Scope::Root, "look at", &own)?.is_none();
                if let Some(parent) = path.parent().filter(|_| is_new) {
                    // If we made it, and were killed before it was durable; not everybody may
                    // do this to the parent of a directory that was there before.
                    let _ = fs.sync_dir(parent);
                }
            }
            Some(_) => {
                let error = io::ErrorKind::NotADirectory;
                return Err(error.into()).at(Scope::Root, "open the Maildir root", path);
            }
            None if options.create => make_dirs(fs.as_ref(), path, Scope::Root)?,
            None => return Err(LocalError::NoRoot { path: path.to_owned() }),
        }
        // From here on by one rule, below the directory that the root is now (hazard 62).
        let fs = fs.rooted(path).at(Scope::Root, "open the Maildir root", path)?;
        let lock = if let Some(name) = &options.lock {
            make_dirs(fs.as_ref(), &own, Scope::Root)?;
            let file = own.join(name);
            match fs.lock(&file, &options.holder).at(Scope::Root, "lock", &file)? {
                Lock::Taken(guard) => Some(guard),
                Lock::Held(by) => return Err(LocalError::Locked { path: path.to_owned(), by }),
            }
        } else {
            None
        };
        let stems = StemMaker::new(&options.host, options.random);
        let (path, spelling) = (path.to_owned(), Spelling::default());
        let (former, disk) = (Vec::new(), fs.stat(path.as_path()).map_or(0, |meta| meta.dev));
        let mut root = Self { fs, path, options, stems, spelling, former, disk, lock };
        root.load_spelling()?;
        if root.options.lock.as_deref() == Some(LOCK) {
            root.former = root.former_stores()?;
            // The store that wrote the marker may be lost by now; a foreign one ends the run.
            let other = root.marker().ok().flatten().map(|marker| marker.store_id);
            root.former.extend(other.filter(|id| *id != root.options.store_id));
            if let Err(error) = root.settle_removal() {
                // Its disk may not be mounted: the note stays for a later run.
                tracing::warn!(%error, "the removal of a mailbox is not finished yet");
            }
        }
        root.load_given()?;
        Ok(root)
    }

    /// To be asked after something was read or written, before that is believed: a root whose disk
    /// was unmounted meanwhile, or that was removed as a whole, holds nothing, and what was put
    /// there is not in it (hazard 64).
    ///
    /// # Errors
    /// [`LocalError::NoRoot`] where it is not the one that was opened.
    pub fn check_there(&self) -> Result<(), LocalError> {
        if self.lock.is_none() {
            return Ok(());
        }
        let own = self.path.join(OWN);
        let root = if_there(self.fs.stat(&self.path)).at(Scope::Root, "look at", &self.path)?;
        let is_same = root.is_some_and(|root| root.dev == self.disk);
        if is_same && if_there(self.fs.lstat(&own)).at(Scope::Root, "look at", &own)?.is_some() {
            return Ok(());
        }
        Err(LocalError::NoRoot { path: self.path.clone() })
    }

    /// Where the root is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many octets the disk under it has left for us; none where it does not say.
    #[must_use]
    pub fn free_octets(&self) -> Option<u64> {
        let stat = rustix::fs::statvfs(&self.path).ok()?;
        Some(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    /// A new stem that no other file has.
    #[must_use]
    pub fn new_stem(&self) -> Stem {
        self.stems.next(self.fs.now_s())
    }

    /// The directory of a mailbox, whether it exists or not.
    #[must_use]
    pub fn dir_of(&self, mailbox: &MailboxName) -> PathBuf {
        self.path.join(self.spelling.path_of(self.options.layout, mailbox))
    }

    /// The mailbox of a directory, if there can be one; that of `cur` in it as well.
    #[must_use]
    pub fn name_at(&self, dir: &Path) -> Option<MailboxName> {
        let relative = dir.strip_prefix(&self.path).ok()?;
        let is_sub = relative.file_name().is_some_and(|name| !may_be_link(name.as_bytes()));
        let relative = if is_sub { relative.parent()? } else { relative };
        self.options.layout.read(relative).map(|(name, _)| name)
    }

    /// Whether a mailbox has its directory.
    ///
    /// # Errors
    /// As the system says: not knowing is not "no".
    pub fn has_dir(&self, mailbox: &MailboxName) -> Result<bool, LocalError> {
        let path = self.dir_of(mailbox).join("cur");
        Ok(if_there(self.fs.lstat(&path)).at(Scope::Mailbox, "look at", &path)?.is_some())
    }

    /// Whether a mailbox is a directory with nothing in it but what we may have put there before
    /// we knew: a table of keywords, an id.
    ///
    /// # Errors
    /// As the system says.
    pub fn is_hollow(&self, mailbox: &MailboxName) -> Result<bool, LocalError> {
        let dir = self.dir_of(mailbox);
        let mut empty = true;
        let is_ours = |name: &[u8]| {
            name.starts_with(KEYWORDS_FILE.as_bytes()) || name.starts_with(ID_FILE.as_bytes())
        };
        let read = self.fs.read_dir(&dir, &mut |name, _, _| empty &= is_ours(name));
        let is_there = if_there(read).at(Scope::Mailbox, "read", &dir)?.is_some();
        Ok(is_there && empty)
    }

    /// The path of a message.
    #[must_use]
    pub fn path_of(&self, mailbox: &MailboxName, name: &FileName) -> PathBuf {
        let sub = if name.in_new { "new" } else { "cur" };
        self.dir_of(mailbox).join(sub).join(OsStr::from_bytes(&name.bytes))
    }

    /// The mailbox and the stem of a message's file, wherever it lies in the root.
    #[must_use]
    pub fn locate(&self, path: &Path) -> Option<(MailboxName, Stem)> {
        let sub = path.parent()?;
        if !matches!(sub.file_name()?.as_bytes(), b"cur" | b"new") {
            return None;
        }
        let relative = sub.parent()?.strip_prefix(&self.path).ok()?;
        let (mailbox, _) = self.read_path(relative)?;
        let (stem, _) = split(path.file_name()?.as_bytes(), self.options.separator);
        Some((mailbox, Stem(stem.to_vec())))
    }

    /// The stamps of `new/` and `cur/`: while they stay, no name in them came or went.
    ///
    /// # Errors
    /// A directory that is not there is an error as well.
    pub fn stamps(&self, mailbox: &MailboxName) -> Result<DirStamps, LocalError> {
        self.stamps_in(&self.dir_of(mailbox))
    }

    pub(super) fn stamps_in(&self, dir: &Path) -> Result<DirStamps, LocalError> {
        let stamp = |sub: &str| -> Result<FileStamp, LocalError> {
            let path = dir.join(sub);
            Ok(self.fs.lstat(&path).at(Scope::Mailbox, "look at", &path)?.stamp)
        };
        Ok(DirStamps { new: stamp("new")?, cur: stamp("cur")? })
    }

    /// Writes a small file of ours in [`OWN`], durably, in the place of an older one.
    pub(super) fn write_own(&self, name: &str, text: &[u8]) -> Result<(), LocalError> {
        let own = self.path.join(OWN);
        let (path, next) = (own.join(name), own.join(format!("{name}.next")));
        // Left by a crash: ours, and never read.
        if_there(self.fs.remove_file(&next)).at(Scope::Root, "remove", &next)?;
        let mut file = self.fs.create_new(&next).at(Scope::Root, "create", &next)?;
        file.write_at(text, 0)
            .and_then(|()| file.sync())
            .and_then(|()| self.fs.rename(&next, &path))
            .and_then(|()| self.fs.sync_dir(&own))
            .at(Scope::Root, "write", &path)
    }

    /// Removes a small file of ours in [`OWN`], durably.
    pub(super) fn remove_own(&self, name: &str) -> Result<(), LocalError> {
        let own = self.path.join(OWN);
        let path = own.join(name);
        if if_there(self.fs.remove_file(&path)).at(Scope::Root, "remove", &path)?.is_some() {
            self.fs.sync_dir(&own).at(Scope::Root, "sync", &own)?;
        }
        Ok(())
    }

    /// A small file of ours, whole; `None` when it is not there.
    pub(super) fn read_small(
        &self,
        path: &Path,
        max: u64,
        scope: Scope,
    ) -> Result<Option<Vec<u8>>, LocalError> {
        let Some(file) = if_there(self.fs.open(path)).at(scope, "open", path)? else {
            return Ok(None);
        };
        let meta = file.meta().at(scope, "look at", path)?;
        if meta.kind != Kind::File || meta.stamp.size > max {
            return Err(LocalError::Malformed { path: path.to_owned(), why: "too large" });
        }
        let mut text = vec![0; usize::try_from(max.min(meta.stamp.size)).unwrap_or(0)];
        let mut len = 0;
        while len < text.len() {
            match file.read_at(&mut text[len..], len as u64).at(scope, "read", path)? {
                0 => break,
                n => len += n,
            }
        }
        text.truncate(len);
        Ok(Some(text))
    }
}

/// Makes a directory and what is missing above it, each durable in its parent.
pub(super) fn make_dirs(fs: &dyn Fs, path: &Path, scope: Scope) -> Result<(), LocalError> {
    match fs.create_dir(path) {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            if fs.stat(path).at(scope, "look at", path)?.kind != Kind::Dir {
                return Err(e).at(scope, "make the directory", path);
            }
            // Whoever made it may have been killed before it was durable.
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let Some(parent) = path.parent() else { return Err(e).at(scope, "make", path) };
            make_dirs(fs, parent, scope)?;
            fs.create_dir(path).at(scope, "make the directory", path)?;
        }
        Err(e) => return Err(e).at(scope, "make the directory", path),
    }
    match path.parent() {
        Some(parent) => fs.sync_dir(parent).at(scope, "sync", parent),
        None => Ok(()),
    }
}
