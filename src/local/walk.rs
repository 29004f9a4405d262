//! The mailboxes of a root: found by a walk, and made.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::reconcile::types::{Coverage, DirStamps, MailboxName};

use super::error::{At, LocalError, Scope, if_there};
use super::fs::{Kind, Meta, is_no_directory, may_be_link};
use super::layout::Layout;
use super::maildirpp::{self, FOLDER_MARK};
use super::root::{Root, make_dirs};
use super::whereabouts::Unknown;

/// Deeper than this no mailbox is looked for (directory levels).
const DEPTH_MAX: usize = 128;

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
    /// Every directory that is a mailbox or could lead to one, the root first.
    pub walked: Vec<PathBuf>,
    /// Directories with messages whose names mailtide would not write, relative to the root:
    /// other programs may have made them ([`Root::claim`]).
    pub foreign: Vec<PathBuf>,
    /// Directories with messages that are no mailboxes: what left a mailbox may be there.
    pub unmirrored: BTreeSet<PathBuf>,
    /// What could not be looked into or cannot be mirrored, each with its reason.
    pub problems: Vec<LocalError>,
    /// Other users' directories that cannot be read: none of ours, and left alone.
    pub others: Vec<LocalError>,
    /// Where something is that could not be looked at, or is not what a mailbox is.
    pub unknown: Unknown,
    /// `Partial` when something could not be looked into and it cannot be told what: then no
    /// mailbox that is missing may be called gone.
    pub coverage: Coverage,
}

/// A directory on the way.
#[derive(Debug)]
struct Place {
    /// Relative to the root.
    relative: PathBuf,
    depth: usize,
}

/// What a walk has yet to do, and where it was.
#[derive(Debug, Default)]
struct Way {
    /// Directories, by their path relative to the root.
    todo: BTreeMap<PathBuf, usize>,
    /// Links to directories, the oldest first: a link that is added later takes no mailbox
    /// away from the one that was there.
    links: BTreeMap<(i64, PathBuf), usize>,
    /// Device and inode of each directory that was met, and under what path.
    met: BTreeMap<(u64, u64), PathBuf>,
    /// Paths of directories that were met before.
    twice: BTreeSet<PathBuf>,
}

impl Way {
    /// The next directory; links only when no directory is left.
    fn next(&mut self) -> Option<Place> {
        let dir = self.todo.pop_first();
        let next = dir.or_else(|| self.links.pop_first().map(|((_, path), depth)| (path, depth)));
        next.map(|(relative, depth)| Place { relative, depth })
    }

    /// Notes a directory; gives the path of the same one, if it was met.
    fn meet(&mut self, meta: &Meta, path: &Path) -> Option<PathBuf> {
        if meta.stamp.ino == 0 {
            // No number, nothing to tell it by.
            return None;
        }
        let known = self.met.get(&(meta.dev, meta.stamp.ino)).cloned();
        if known.is_none() {
            self.met.insert((meta.dev, meta.stamp.ino), path.to_owned());
        }
        known
    }
}

/// What lies in a directory, as far as it concerns mailboxes.
#[derive(Debug, Default)]
struct Below {
    /// Directories, `cur`, `new` and `tmp` among them.
    dirs: Vec<Vec<u8>>,
    /// Symbolic links that may be followed.
    links: Vec<Vec<u8>>,
    /// Names where a directory could be, and what is there is none.
    odd: Vec<Vec<u8>>,
}

impl Below {
    fn has(&self, sub: &str) -> bool {
        self.dirs.iter().any(|name| name == sub.as_bytes())
    }

    fn is_odd(&self, sub: &str) -> bool {
        self.odd.iter().any(|name| name == sub.as_bytes())
    }
}

impl Root {
    /// Every mailbox of the root. In the nested layout a directory with a leading dot, in Maildir++
    /// one without, is none unless another program made it for a mailbox ([`Root::claim`]). A link
    /// to a directory is followed; a directory that was met under another path is named and not
    /// mirrored twice.
    ///
    /// # Errors
    /// Only when the root itself cannot be read; what is below becomes a problem.
    pub fn mailboxes(&self) -> Result<Mailboxes, LocalError> {
        let mut all = Mailboxes {
            found: Vec::new(),
            walked: Vec::new(),
            foreign: Vec::new(),
            unmirrored: BTreeSet::new(),
            problems: Vec::new(),
            others: Vec::new(),
            unknown: Unknown::new(self.options.layout),
            coverage: Coverage::Complete,
        };
        let mut way = Way::default();
        self.fs.refuse(BTreeSet::new());
        way.todo.insert(PathBuf::new(), 0);
        while let Some(place) = way.next() {
            let dir = self.path.join(&place.relative);
            if !self.enter(&dir, &mut way, &mut all) {
                continue;
            }
            let below = self.directories_in(&place, &dir, &mut all)?;
            let is_whole = below.has("cur") && below.has("new");
            if self.is_dotted(&place.relative) && !is_whole {
                continue;
            }
            all.walked.push(dir.clone());
            self.take(&place.relative, &dir, &below, &mut all);
            if place.depth == self.depth_max() {
                let deeper = below.dirs.iter().chain(&below.links).any(|name| may_be_link(name));
                if deeper && self.options.layout == Layout::Nested {
                    let why = "it lies too deep; move what is below it up";
                    all.problem(LocalError::Unmirrored { path: dir, why });
                }
                continue;
            }
            self.go_on(&place, below, &mut way, &mut all);
        }
        self.fs.refuse(way.twice);
        all.found.sort_by(|a, b| a.name.cmp(&b.name));
        let (found, twice) = all.found.into_iter().partition(|m| self.dir_of(&m.name) == m.dir);
        all.found = found;
        let twice: Vec<LocalMailbox> = twice;
        for LocalMailbox { dir: path, .. } in twice {
            let why = "another directory spells the same name with escapes; rename one";
            all.unmirrored.insert(path.clone());
            all.problem(LocalError::Unmirrored { path, why });
        }
        self.check_there()?;
        Ok(all)
    }

    /// Whether a directory is none of this layout, and of no interest unless another program
    /// made it for a mailbox.
    fn is_dotted(&self, relative: &Path) -> bool {
        let has_dot = |dir: &&Path| dir.file_name().is_some_and(|n| n.as_bytes().starts_with(b"."));
        let unknown = relative.ancestors().take_while(|dir| !self.is_given(dir));
        self.options.layout == Layout::Nested && unknown.into_iter().any(|dir| has_dot(&dir))
    }

    fn depth_max(&self) -> usize {
        match self.options.layout {
            Layout::Nested => DEPTH_MAX,
            Layout::MaildirPlusPlus => 1,
        }
    }

    /// Whether a directory is to be walked: one that was not met under another path.
    fn enter(&self, dir: &Path, way: &mut Way, all: &mut Mailboxes) -> bool {
        // What cannot be looked at is said by whoever reads it.
        let Ok(meta) = self.fs.stat(dir) else { return true };
        let Some(met) = way.meet(&meta, dir) else { return true };
        way.twice.insert(dir.to_owned());
        let loops = dir.starts_with(&met);
        let why = match loops {
            true => "it leads back to a directory above it; remove the link",
            false => "it is a second path to a mirrored directory; remove the link or the mount",
        };
        all.set_aside(LocalError::Unmirrored { path: dir.to_owned(), why });
        false
    }

    /// Queues what lies below a directory.
    fn go_on(&self, place: &Place, below: Below, way: &mut Way, all: &mut Mailboxes) {
        let depth = place.depth + 1;
        for name in below.dirs.iter().filter(|name| may_be_link(name)) {
            way.todo.insert(place.relative.join(OsStr::from_bytes(name)), depth);
        }
        for name in below.links {
            let relative = place.relative.join(OsStr::from_bytes(&name));
            let path = self.path.join(&relative);
            let led = self.fs.lstat(&path).and_then(|link| Ok((link, self.fs.stat(&path)?)));
            match if_there(led).at(Scope::Mailbox, "follow", &path) {
                Ok(None) => {}
                Ok(Some((link, _))) => {
                    way.links.insert((link.stamp.mtime_ns, relative), depth);
                }
                // A link to a file: people keep those, too.
                Err(LocalError::Io { source, .. }) if is_no_directory(&source) => {
                    all.unknown.insert(path);
                }
                Err(error) => all.set_aside(error),
            }
        }
        for name in below.odd {
            all.unknown.insert(self.path.join(&place.relative).join(OsStr::from_bytes(&name)));
        }
    }

    /// Directories that are mailboxes or could lead to some.
    fn directories_in(
        &self,
        place: &Place,
        dir: &Path,
        all: &mut Mailboxes,
    ) -> Result<Below, LocalError> {
        let mut below = Below::default();
        let read = self.fs.read_dir(dir, &mut |name, kind, _| {
            // Those that are not of this layout are looked into all the same: other programs
            // may have made them.
            let dotted = match self.options.layout {
                Layout::MaildirPlusPlus => place.depth == 0 && maildirpp::is_candidate(name),
                Layout::Nested => place.depth > 0 || maildirpp::is_candidate(name),
            };
            if name.first() == Some(&b'.') && !dotted {
                return;
            }
            match kind {
                Kind::Dir => below.dirs.push(name.to_vec()),
                Kind::Symlink if may_be_link(name) => below.links.push(name.to_vec()),
                _ => below.odd.push(name.to_vec()),
            }
        });
        match read.at(Scope::Mailbox, "read", dir) {
            // Gone since its parent was read: not a failure to look.
            Err(LocalError::Io { source, .. })
                if place.depth > 0 && source.kind() == io::ErrorKind::NotFound => {}
            Err(e) if place.depth > 0 && self.is_foreign(dir, &e) => {
                all.unknown.insert(dir.to_owned());
                all.others.push(e);
            }
            Err(_) if self.is_dotted(&place.relative) => {}
            Err(e) if place.depth > 0 => {
                // What it holds, and whether it is a mailbox, is known of none that is new.
                all.unknown.insert(dir.to_owned());
                all.problem(e);
            }
            Err(LocalError::Io { doing, path, source, .. }) => {
                return Err(LocalError::Io { doing, path, scope: Scope::Root, source });
            }
            other => other?,
        }
        Ok(below)
    }

    /// Whether a directory that may not be read belongs to another user, as `lost+found` does.
    pub(super) fn is_foreign(&self, dir: &Path, error: &LocalError) -> bool {
        let LocalError::Io { source, .. } = error else { return false };
        let own = self.fs.stat(&self.path).map(|meta| meta.owner);
        source.kind() == io::ErrorKind::PermissionDenied
            && self.fs.stat(dir).is_ok_and(|meta| own.is_ok_and(|own| own != meta.owner))
    }

    /// Takes a directory for a mailbox, where it has `cur` or `new`.
    fn take(&self, relative: &Path, dir: &Path, below: &Below, all: &mut Mailboxes) {
        let nested = self.options.layout == Layout::Nested;
        let may_be_mailbox = !nested || !relative.as_os_str().is_empty();
        for sub in ["cur", "new"] {
            if may_be_mailbox && below.is_odd(sub) {
                let path = dir.join(sub);
                let why = "it must be a directory, not a link; remove it, or put a directory there";
                all.problems.push(LocalError::Unmirrored { path, why });
                all.unknown.insert(dir.to_owned());
            }
        }
        let is_odd = below.is_odd("cur") || below.is_odd("new");
        if !is_odd && (below.has("cur") || below.has("new")) {
            self.take_mailbox(relative, dir, below.has("cur") && below.has("new"), all);
        }
    }

    fn take_mailbox(&self, relative: &Path, dir: &Path, whole: bool, all: &mut Mailboxes) {
        let unmirrored = |why| LocalError::Unmirrored { path: dir.to_owned(), why };
        let nested = self.options.layout == Layout::Nested;
        if nested && relative.as_os_str().is_empty() {
            all.unmirrored.insert(dir.to_owned());
            let why = "the root itself holds messages; move its cur, new and tmp into INBOX, \
                       or use layout = \"maildir++\" with a new state_dir";
            return all.problem(unmirrored(why));
        }
        let Some((name, escaped)) = self.read_path(relative) else {
            all.unmirrored.insert(dir.to_owned());
            if whole {
                all.foreign.push(relative.to_owned());
            }
            if self.is_dotted(relative) {
                // What is in it is looked at when something left elsewhere (hazard 124).
                let why = "its name begins with a dot and matches no mailbox on the server; \
                           rename it or exclude it";
                return all.problems.push(unmirrored(why));
            }
            let first = relative.as_os_str().as_bytes().first();
            let why = if !nested && first != Some(&b'.') {
                "in maildir++ a mailbox's directory begins with a dot; rename it"
            } else {
                "its name is not in mailtide's spelling; rename it"
            };
            return all.problem(unmirrored(why));
        };
        if !whole {
            if self.is_unfinished(dir) {
                return;
            }
            let why = "it has only one of cur and new; make the other";
            all.unmirrored.insert(dir.to_owned());
            return all.set_aside(unmirrored(why));
        }
        self.spelling.add(escaped);
        match self.stamps_in(dir) {
            Ok(stamps) => all.found.push(LocalMailbox { name, dir: dir.to_owned(), stamps }),
            Err(e) => all.set_aside(LocalError::Io {
                doing: "look into",
                path: dir.to_owned(),
                scope: Scope::Mailbox,
                source: io::Error::other(e.to_string()),
            }),
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
    /// As the system says; a name that the layout or a path has no room for is an error too.
    pub fn create_mailbox(&self, mailbox: &MailboxName) -> Result<(), LocalError> {
        if let Some(why) = self.options.layout.refuses(mailbox) {
            return Err(LocalError::Unmirrored { path: self.dir_of(mailbox), why });
        }
        self.spell_apart(mailbox)?;
        let dir = self.dir_of(mailbox);
        // `cur` last: with it the mailbox is there.
        for sub in ["tmp", "new"] {
            make_dirs(self.fs.as_ref(), &dir.join(sub), Scope::Mailbox)?;
        }
        if self.options.layout == Layout::MaildirPlusPlus && !mailbox.is_inbox() {
            let mark = dir.join(FOLDER_MARK);
            match self.fs.create_new(&mark) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                other => other.map(drop).at(Scope::Mailbox, "create", &mark)?,
            }
        }
        make_dirs(self.fs.as_ref(), &dir.join("cur"), Scope::Mailbox)
    }
}

impl Mailboxes {
    /// Whether the walk could not tell what is at this directory: a mailbox of it is not gone.
    #[must_use]
    pub fn is_unknown(&self, dir: &Path) -> bool {
        self.unknown.covers(dir)
    }

    /// Names what is wrong with one path; what is elsewhere is looked at all the same.
    fn set_aside(&mut self, error: LocalError) {
        self.unknown.insert(error.path().to_owned());
        self.problems.push(error);
    }

    pub(super) fn problem(&mut self, error: LocalError) {
        self.problems.push(error);
        self.coverage = Coverage::Partial;
    }
}
