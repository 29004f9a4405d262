//! Whether the directory of a mailbox is the one that its files were seen in, and what it means
//! that it is not there (hazard 63).
//!
//! Only the same directory tells what is absent. It is known by a mark of ours in it
//! (`.mailtide-id`), which a copy bears as well: that has other inodes (hazard 161). Without a mark
//! it is known by its inodes, which another directory may be given again.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::reconcile::types::{DirStamps, Home, Mailbox};

use super::error::{At, LocalError, Scope, if_there};
use super::fs::Kind;
use super::layout::Layout;
use super::reserved::OWN;
use super::root::Root;
use super::scan::is_message;

/// A directory that was found under the name of a mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// The one that the files of the mailbox were seen in.
    Same,
    /// Nothing was seen in any directory of this mailbox yet.
    First,
    /// Another one, with mail in it.
    Another,
    /// Another one, with no mail in it: the disk of the right one may not be mounted.
    Hollow,
}

/// What it means that a mailbox was not found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// Its directory, or what makes it a mailbox, was removed or renamed.
    Gone,
    /// It cannot be known where its mail is.
    Unknown(&'static str),
}

/// Paths of which a walk could not tell what is there: no mailbox at or below one of them may be
/// called gone, or be made as a new one (hazards 62 and 74).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unknown {
    paths: BTreeSet<PathBuf>,
    /// Mailboxes lie below one another: then so do those that are unknown.
    nested: bool,
}

impl Unknown {
    pub(super) fn new(layout: Layout) -> Self {
        Self { paths: BTreeSet::new(), nested: layout == Layout::Nested }
    }

    pub(super) fn insert(&mut self, path: PathBuf) {
        self.paths.insert(path);
    }

    /// Whether it is not known what is at a directory.
    #[must_use]
    pub fn covers(&self, dir: &Path) -> bool {
        match self.nested {
            true => dir.ancestors().any(|above| self.paths.contains(above)),
            false => self.paths.contains(dir),
        }
    }
}

impl Root {
    /// Whether a directory that the walk found is the one that the files of `mailbox` were seen
    /// in; `holds_files`: there were any.
    ///
    /// # Errors
    /// The directory or the mark in it cannot be read.
    pub fn identify(
        &self,
        mailbox: &Mailbox,
        stamps: &DirStamps,
        holds_files: bool,
    ) -> Result<Found, LocalError> {
        if mailbox.stamps.as_ref() == Some(stamps) {
            return Ok(Found::Same);
        }
        let same_inodes =
            mailbox.home.map(|home| (home.new, home.cur) == (stamps.new.ino, stamps.cur.ino));
        let same = match (&mailbox.local_id, same_inodes) {
            (None, None) => return Ok(Found::First),
            (None, Some(same)) => same,
            (Some(id), inodes) => {
                let same = self.mailbox_id(&mailbox.name)?.as_ref() == Some(id);
                if same && holds_files && inodes != Some(true) {
                    match self.other_file_system(mailbox, stamps)? {
                        Some(true) => return Ok(Found::Hollow),
                        Some(false) => return Ok(Found::Another),
                        None => {}
                    }
                }
                // A copy of the directory has its mark, too: empty, it is no proof.
                if same && inodes != Some(true) && holds_files && !self.has_messages(mailbox)? {
                    return Ok(Found::Hollow);
                }
                same && !self.is_copy(mailbox, stamps)?
            }
        };
        Ok(match same {
            true => Found::Same,
            false if holds_files && !self.has_messages(mailbox)? => Found::Hollow,
            false => Found::Another,
        })
    }

    /// Whether a directory with the right mark is a copy that was put in the place of the one that
    /// mail was seen in, and lacks what came since it was made (hazard 161). Where our own
    /// directory in the root is another one as well, the whole root was copied, or its file system
    /// numbers everything anew when it is mounted; the marker tells then how it was left. So it may
    /// be with the mailbox alone where that lies on another disk.
    fn is_copy(&self, mailbox: &Mailbox, stamps: &DirStamps) -> Result<bool, LocalError> {
        let Some(home) = mailbox.home.filter(|home| home.root != 0 && !home.other_disk) else {
            return Ok(false);
        };
        let is_other = home.new != stamps.new.ino && home.cur != stamps.cur.ino;
        Ok(is_other && home.root == self.own_inode()?)
    }

    /// The inode of our own directory in the root; 0 where there is none.
    fn own_inode(&self) -> Result<u64, LocalError> {
        let path = self.path.join(OWN);
        let found = if_there(self.fs.stat(&path)).at(Scope::Root, "look at", &path)?;
        Ok(found.map_or(0, |found| found.stamp.ino))
    }

    /// Whether `new/` or `cur/` lies on another file system than before while the directory around
    /// it, with its mark, is the same: a disk was mounted on it, or is not mounted any more
    /// (hazard 142). None where neither does, else whether such a one is empty.
    fn other_file_system(
        &self,
        mailbox: &Mailbox,
        stamps: &DirStamps,
    ) -> Result<Option<bool>, LocalError> {
        let Some(home) = mailbox.home else { return Ok(None) };
        let dir = self.dir_of(&mailbox.name);
        let dev = |path: &Path| Ok(self.fs.stat(path).at(Scope::Mailbox, "look at", path)?.dev);
        let around = dev(&dir)?;
        let mut found = None;
        for (sub, before, now) in
            [("new", home.new, stamps.new.ino), ("cur", home.cur, stamps.cur.ino)]
        {
            if before == now {
                continue;
            }
            let path = dir.join(sub);
            let is_mount = dev(&path)? != around;
            let is_empty = self.is_empty(&path)?;
            // It may have lain on a disk of its own before: then it is not as it was left.
            let was_mount = home.other_disk && !is_mount && !self.is_on_other_disk(&path)?;
            if is_mount && !home.other_disk {
                found = Some(found.unwrap_or(false) || is_empty);
            } else if was_mount && is_empty {
                found = Some(true);
            }
        }
        Ok(found)
    }

    /// Whether a directory holds no message.
    fn is_empty(&self, dir: &Path) -> Result<bool, LocalError> {
        let mut empty = true;
        let read = self.fs.read_dir(dir, &mut |name, kind, _| empty &= !is_message(name, kind));
        read.at(Scope::Mailbox, "read", dir)?;
        Ok(empty)
    }

    /// Why a mailbox that the walk did not find is not there.
    ///
    /// # Errors
    /// Something on the way to it cannot be looked at.
    pub fn missing(&self, mailbox: &Mailbox) -> Result<Missing, LocalError> {
        const MOUNT: Missing = Missing::Unknown("it lay on another disk; is that mounted?");
        let dir = self.dir_of(&mailbox.name);
        let on_other_disk = mailbox.home.is_some_and(|home| home.other_disk);
        let there = if_there(self.fs.stat(&dir)).at(Scope::Mailbox, "look at", &dir)?;
        match there {
            None if if_there(self.fs.lstat(&dir))
                .at(Scope::Mailbox, "look at", &dir)?
                .is_some() =>
            {
                Ok(Missing::Unknown("a broken link is in its place"))
            }
            None if on_other_disk && !self.parent_is_on_other_disk(&dir)? => Ok(MOUNT),
            None => Ok(Missing::Gone),
            Some(meta) if meta.kind != Kind::Dir => {
                Ok(Missing::Unknown("something that is not a directory is in its place"))
            }
            Some(_) => {
                let mark = self.mailbox_id(&mailbox.name)?;
                if mark.is_some() && mark == mailbox.local_id {
                    return Ok(Missing::Gone);
                }
                if on_other_disk && !self.is_on_other_disk(&dir)? {
                    return Ok(MOUNT);
                }
                // One that never had files may be an empty directory, as one that leads to others.
                let had_files = mailbox.local || mailbox.home.is_some();
                if had_files && self.is_hollow(&mailbox.name)? {
                    let why = "an empty directory is in its place; is a disk to be mounted there? \
                               If not, remove that directory";
                    return Ok(Missing::Unknown(why));
                }
                Ok(Missing::Gone)
            }
        }
    }

    /// What is kept of a directory, to know it again.
    ///
    /// # Errors
    /// It cannot be looked at.
    pub fn home_of(&self, mailbox: &Mailbox, stamps: &DirStamps) -> Result<Home, LocalError> {
        let other_disk = self.is_on_other_disk(&self.dir_of(&mailbox.name).join("cur"))?;
        Ok(Home { new: stamps.new.ino, cur: stamps.cur.ino, other_disk, root: self.own_inode()? })
    }

    fn has_messages(&self, mailbox: &Mailbox) -> Result<bool, LocalError> {
        let mut any = false;
        self.each_name(&mailbox.name, &mut |_| any = true)?;
        Ok(any)
    }

    fn is_on_other_disk(&self, path: &Path) -> Result<bool, LocalError> {
        let root = self.fs.stat(&self.path).at(Scope::Root, "look at", &self.path)?;
        Ok(self.fs.stat(path).at(Scope::Mailbox, "look at", path)?.dev != root.dev)
    }

    /// Whether what is left of the way to a directory lies on another disk than the root.
    fn parent_is_on_other_disk(&self, dir: &Path) -> Result<bool, LocalError> {
        let above = dir.ancestors().skip(1).take_while(|path| path.starts_with(&self.path));
        for path in above {
            if if_there(self.fs.stat(path)).at(Scope::Mailbox, "look at", path)?.is_some() {
                return self.is_on_other_disk(path);
            }
        }
        Ok(false)
    }
}
