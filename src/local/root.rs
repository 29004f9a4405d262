//! The Maildir root: opened once, locked, marked, and the mailboxes in it.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::reconcile::types::{DirStamps, FileStamp, MailboxName, Reach, Stem};

use super::error::{At, LocalError, Scope, if_there};
use super::fs::{Fs, Kind, Lock, LockGuard};
use super::layout::{Layout, RESERVED};
use super::name::{FileName, SEPARATOR, StemMaker};

/// Our own directory in the root: no Maildir, and no program has to look into it.
pub(super) const OWN: &str = ".mailtide";
/// Deeper than this no mailbox is looked for (directory levels).
const DEPTH_MAX: usize = 128;

/// How a root is opened.
#[derive(Debug, Clone)]
pub struct RootOptions {
    /// Makes the root when it is missing. Only for an account that never had one: a missing
    /// root is otherwise a disk that is not mounted.
    pub create: bool,
    /// Takes the lock. A guest, which only places files in the root of another account of
    /// this process, does not.
    pub lock: bool,
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
            lock: true,
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
    /// Given back when the root is dropped.
    _lock: Option<Box<dyn LockGuard>>,
}

/// A mailbox that was found on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalMailbox {
    /// Its name.
    pub name: MailboxName,
    /// Its directory.
    pub dir: PathBuf,
    /// Stamps of its message directories.
    pub stamps: DirStamps,
}

/// What a walk over the root found.
#[derive(Debug)]
pub struct Mailboxes {
    /// The mailboxes, by name.
    pub found: Vec<LocalMailbox>,
    /// What could not be looked into or cannot be mirrored, each with its reason.
    pub problems: Vec<LocalError>,
    /// `Partial` when something could not be looked into: then no mailbox that is missing
    /// may be called gone.
    pub reach: Reach,
}

impl Root {
    /// Opens the root, following a link to it, and takes its lock.
    ///
    /// # Errors
    /// [`LocalError::NoRoot`] when it is missing, [`LocalError::Locked`] when another has it.
    pub fn open(fs: Arc<dyn Fs>, path: &Path, options: RootOptions) -> Result<Self, LocalError> {
        match if_there(fs.stat(path)).at(Scope::Root, "look at", path)? {
            Some(meta) if meta.kind == Kind::Dir => {}
            Some(_) => {
                let error = io::ErrorKind::NotADirectory;
                return Err(error.into()).at(Scope::Root, "open the Maildir root", path);
            }
            None if options.create => make_dirs(fs.as_ref(), path, Scope::Root)?,
            None => return Err(LocalError::NoRoot { path: path.to_owned() }),
        }
        let own = path.join(OWN);
        let lock = if options.lock {
            make_dirs(fs.as_ref(), &own, Scope::Root)?;
            let file = own.join("lock");
            match fs.lock(&file, &options.holder).at(Scope::Root, "lock", &file)? {
                Lock::Taken(guard) => Some(guard),
                Lock::Held(by) => return Err(LocalError::Locked { path: path.to_owned(), by }),
            }
        } else {
            None
        };
        let stems = StemMaker::new(&options.host, options.random);
        Ok(Self { fs, path: path.to_owned(), options, stems, _lock: lock })
    }

    /// Where the root is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A new stem that no other file has.
    #[must_use]
    pub fn new_stem(&self) -> Stem {
        self.stems.next(self.fs.now_s())
    }

    /// The directory of a mailbox, whether it exists or not.
    #[must_use]
    pub fn dir_of(&self, mailbox: &MailboxName) -> PathBuf {
        self.path.join(self.options.layout.path_of(mailbox))
    }

    /// The path of a message.
    #[must_use]
    pub fn path_of(&self, mailbox: &MailboxName, name: &FileName) -> PathBuf {
        let sub = if name.in_new { "new" } else { "cur" };
        self.dir_of(mailbox).join(sub).join(OsStr::from_bytes(&name.bytes))
    }

    /// The stamps of `new/` and `cur/`: while they stay, no name in them came or went.
    ///
    /// # Errors
    /// A directory that is not there is an error as well.
    pub fn stamps(&self, mailbox: &MailboxName) -> Result<DirStamps, LocalError> {
        self.stamps_in(&self.dir_of(mailbox))
    }

    fn stamps_in(&self, dir: &Path) -> Result<DirStamps, LocalError> {
        let stamp = |sub: &str| -> Result<FileStamp, LocalError> {
            let path = dir.join(sub);
            Ok(self.fs.lstat(&path).at(Scope::Mailbox, "look at", &path)?.stamp)
        };
        Ok(DirStamps { new: stamp("new")?, cur: stamp("cur")? })
    }

    /// Every mailbox of the root. Links and directories with a leading dot are none.
    ///
    /// # Errors
    /// Only when the root itself cannot be read; what is below becomes a problem.
    pub fn mailboxes(&self) -> Result<Mailboxes, LocalError> {
        let mut all = Mailboxes { found: Vec::new(), problems: Vec::new(), reach: Reach::Complete };
        let mut todo = vec![(PathBuf::new(), 0)];
        while let Some((relative, depth)) = todo.pop() {
            let dir = self.path.join(&relative);
            let mut below = Vec::new();
            let read = self.fs.read_dir(&dir, &mut |name, kind, _| {
                if kind == Kind::Dir && name.first() != Some(&b'.') {
                    below.push(name.to_vec());
                }
            });
            match read.at(Scope::Mailbox, "read", &dir) {
                // Gone since its parent was read: not a failure to look.
                Err(LocalError::Io { source, .. })
                    if depth > 0 && source.kind() == io::ErrorKind::NotFound => {}
                Err(e) if depth > 0 => all.problem(e),
                Err(LocalError::Io { doing, path, source, .. }) => {
                    return Err(LocalError::Io { doing, path, scope: Scope::Root, source });
                }
                other => other?,
            }
            let has = |sub: &str| below.iter().any(|b| b == sub.as_bytes());
            if has("cur") || has("new") {
                self.take_mailbox(&relative, &dir, has("cur") && has("new"), &mut all);
            }
            below.retain(|b| !RESERVED.iter().any(|r| b == r.as_bytes()));
            if depth == DEPTH_MAX && !below.is_empty() {
                let why = "it lies too deep; move what is below it up";
                all.problem(LocalError::Unmirrored { path: dir, why });
            } else {
                todo.extend(below.iter().map(|b| (relative.join(OsStr::from_bytes(b)), depth + 1)));
            }
        }
        all.found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    fn take_mailbox(&self, relative: &Path, dir: &Path, whole: bool, all: &mut Mailboxes) {
        let unmirrored = |why| LocalError::Unmirrored { path: dir.to_owned(), why };
        if relative.as_os_str().is_empty() {
            let why = "the root itself holds messages; move its cur, new and tmp into INBOX";
            return all.problem(unmirrored(why));
        }
        let Some(name) = self.options.layout.name_of(relative) else {
            let why = "its name is not one that mailtide would write; rename it";
            return all.problem(unmirrored(why));
        };
        if !whole {
            if self.is_unfinished(dir) {
                return;
            }
            let why = "it has only one of cur and new; make the other";
            return all.problem(unmirrored(why));
        }
        match self.stamps_in(dir) {
            Ok(stamps) => all.found.push(LocalMailbox { name, dir: dir.to_owned(), stamps }),
            Err(e) => all.problem(e),
        }
    }

    /// Whether [`Root::create_mailbox`] was interrupted here: no `cur` yet, nothing in `new`.
    fn is_unfinished(&self, dir: &Path) -> bool {
        let mut empty = true;
        let read = self.fs.read_dir(&dir.join("new"), &mut |_, _, _| empty = false);
        read.is_ok() && empty
    }

    /// Makes the directories of a mailbox, durably; those that exist stay as they are.
    ///
    /// # Errors
    /// As the system says; a name too long for a path is an error too.
    pub fn create_mailbox(&self, mailbox: &MailboxName) -> Result<(), LocalError> {
        let dir = self.dir_of(mailbox);
        // `cur` last: with it the mailbox is there.
        for sub in ["tmp", "new", "cur"] {
            make_dirs(self.fs.as_ref(), &dir.join(sub), Scope::Mailbox)?;
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

impl Mailboxes {
    fn problem(&mut self, error: LocalError) {
        self.problems.push(error);
        self.reach = Reach::Partial;
    }
}

/// Makes a directory and what is missing above it, each durable in its parent.
pub(super) fn make_dirs(fs: &dyn Fs, path: &Path, scope: Scope) -> Result<(), LocalError> {
    match fs.create_dir(path) {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            return match fs.stat(path).at(scope, "look at", path)?.kind {
                Kind::Dir => Ok(()),
                _ => Err(e).at(scope, "make the directory", path),
            };
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
