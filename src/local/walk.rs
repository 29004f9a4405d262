//! The mailboxes of a root: found by a walk, and made.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::reconcile::types::{DirStamps, MailboxName, Reach};

use super::error::{At, LocalError, Scope};
use super::fs::Kind;
use super::layout::{Layout, RESERVED};
use super::maildirpp::{self, FOLDER_MARK};
use super::root::{Root, make_dirs};

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
    /// What could not be looked into or cannot be mirrored, each with its reason.
    pub problems: Vec<LocalError>,
    /// `Partial` when something could not be looked into: then no mailbox that is missing
    /// may be called gone.
    pub reach: Reach,
}

/// A directory on the way.
#[derive(Debug)]
struct Place {
    /// Relative to the root.
    relative: PathBuf,
    depth: usize,
}

impl Root {
    /// Every mailbox of the root. Links are none, nor are directories of other programs: in
    /// the nested layout those with a leading dot, in Maildir++ those without.
    ///
    /// # Errors
    /// Only when the root itself cannot be read; what is below becomes a problem.
    pub fn mailboxes(&self) -> Result<Mailboxes, LocalError> {
        let mut all = Mailboxes {
            found: Vec::new(),
            walked: Vec::new(),
            problems: Vec::new(),
            reach: Reach::Complete,
        };
        let mut todo = vec![Place { relative: PathBuf::new(), depth: 0 }];
        while let Some(place) = todo.pop() {
            let dir = self.path.join(&place.relative);
            let mut below = self.directories_in(&place, &dir, &mut all)?;
            all.walked.push(dir.clone());
            let has = |sub: &str| below.iter().any(|b| b == sub.as_bytes());
            if has("cur") || has("new") {
                self.take_mailbox(&place.relative, &dir, has("cur") && has("new"), &mut all);
            }
            below.retain(|b| !RESERVED.iter().any(|r| b == r.as_bytes()));
            let Place { relative, depth } = place;
            if depth == self.depth_max() && !below.is_empty() {
                if self.options.layout == Layout::Nested {
                    let why = "it lies too deep; move what is below it up";
                    all.problem(LocalError::Unmirrored { path: dir, why });
                }
                continue;
            }
            todo.extend(below.iter().map(|b| {
                let relative = relative.join(OsStr::from_bytes(b));
                Place { relative, depth: depth + 1 }
            }));
        }
        all.found.sort_by(|a, b| a.name.cmp(&b.name));
        let (found, twice) = all.found.into_iter().partition(|m| self.dir_of(&m.name) == m.dir);
        all.found = found;
        let twice: Vec<LocalMailbox> = twice;
        for LocalMailbox { dir: path, .. } in twice {
            let why = "another directory spells the same name with escapes; rename one";
            all.problem(LocalError::Unmirrored { path, why });
        }
        Ok(all)
    }

    fn depth_max(&self) -> usize {
        match self.options.layout {
            Layout::Nested => DEPTH_MAX,
            Layout::MaildirPlusPlus => 1,
        }
    }

    /// Directories that are mailboxes or could lead to some.
    fn directories_in(
        &self,
        place: &Place,
        dir: &Path,
        all: &mut Mailboxes,
    ) -> Result<Vec<Vec<u8>>, LocalError> {
        let mut below = Vec::new();
        let read = self.fs.read_dir(dir, &mut |name, kind, _| {
            let dotted = match self.options.layout {
                // What has no dot is looked into all the same: it may be of another layout.
                Layout::MaildirPlusPlus => place.depth == 0 && maildirpp::is_candidate(name),
                Layout::Nested => false,
            };
            if kind == Kind::Dir && (name.first() != Some(&b'.') || dotted) {
                below.push(name.to_vec());
            }
        });
        match read.at(Scope::Mailbox, "read", dir) {
            // Gone since its parent was read: not a failure to look.
            Err(LocalError::Io { source, .. })
                if place.depth > 0 && source.kind() == io::ErrorKind::NotFound => {}
            Err(e) if place.depth > 0 => all.problem(e),
            Err(LocalError::Io { doing, path, source, .. }) => {
                return Err(LocalError::Io { doing, path, scope: Scope::Root, source });
            }
            other => other?,
        }
        Ok(below)
    }

    fn take_mailbox(&self, relative: &Path, dir: &Path, whole: bool, all: &mut Mailboxes) {
        let unmirrored = |why| LocalError::Unmirrored { path: dir.to_owned(), why };
        let nested = self.options.layout == Layout::Nested;
        if nested && relative.as_os_str().is_empty() {
            let why = "the root itself holds messages; move its cur, new and tmp into INBOX, \
                       or use layout = \"maildir++\" in an empty state";
            return all.problem(unmirrored(why));
        }
        let Some((name, escaped)) = self.options.layout.read(relative) else {
            let first = relative.as_os_str().as_bytes().first();
            let why = if !nested && first != Some(&b'.') {
                "in maildir++ a mailbox's directory begins with a dot; rename it"
            } else {
                "its name is not one that mailtide would write; rename it"
            };
            return all.problem(unmirrored(why));
        };
        if !whole {
            if self.is_unfinished(dir) {
                return;
            }
            let why = "it has only one of cur and new; make the other";
            return all.problem(unmirrored(why));
        }
        self.spelling.add(escaped);
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
    fn problem(&mut self, error: LocalError) {
        self.problems.push(error);
        self.reach = Reach::Partial;
    }
}
