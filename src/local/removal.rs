//! Removing a mailbox that has no message. Nothing that may be one goes with it: message
//! directories go only when they are empty, which the system tells in the same step; what else
//! lies in them is put into the trash first, file by file (hazard 185).
//!
//! A mailbox goes part by part, so it is noted first: what a crash left of it is finished by
//! the next run, or undone where mail came meanwhile (hazard 59).

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use crate::reconcile::types::MailboxName;

use super::error::{At, LocalError, Scope, if_there};
use super::layout::Layout;
use super::maildirpp::FOLDER_MARK;
use super::reserved::{ID_FILE, OWN, RESERVED};
use super::root::{Root, make_dirs};
use super::scan::is_message;

/// The mailbox that is being removed, in a file of ours.
const REMOVING: &str = "removing";
/// Longer than any mailbox name that a path has room for.
const NOTE_MAX: u64 = 64 * 1024;
/// How often a directory is emptied into the trash before it stays.
const TRIES: u32 = 3;

/// The outcome of removing a mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// It is gone.
    Removed,
    /// There was nothing of it.
    Absent,
    /// A message lies in it; it stays.
    Occupied,
}

impl Root {
    /// Removes the message directories and the keyword table of a mailbox that has no message.
    /// Mailboxes below it and files of other programs stay; what is left empty goes.
    /// May be repeated after a crash. `now_s` in seconds since 1970.
    ///
    /// # Errors
    /// As the system says.
    pub fn remove_mailbox(&self, mailbox: &MailboxName, now_s: i64) -> Result<Removal, LocalError> {
        let dir = self.dir_of(mailbox);
        let mut there = false;
        for part in RESERVED.into_iter().chain(["dovecot-keywords", FOLDER_MARK]) {
            let path = dir.join(part);
            there |= if_there(self.fs.lstat(&path)).at(Scope::Mailbox, "look at", &path)?.is_some();
        }
        if !there {
            return Ok(Removal::Absent);
        }
        self.write_own(REMOVING, mailbox.as_str().as_bytes())?;
        for part in ["new", "cur"] {
            if !self.remove_emptied(mailbox, part, now_s)? {
                self.make_whole(mailbox)?;
                return Ok(Removal::Occupied);
            }
        }
        for part in ["tmp", "dovecot-keywords", FOLDER_MARK] {
            self.remove_part(mailbox, part, now_s)?;
        }
        if !self.remove_shell(mailbox, now_s)? {
            self.make_whole(mailbox)?;
            return Ok(Removal::Occupied);
        }
        self.remove_own(REMOVING)?;
        Ok(Removal::Removed)
    }

    /// Removes a message directory, unless a message is in it.
    fn remove_emptied(
        &self,
        mailbox: &MailboxName,
        part: &str,
        now_s: i64,
    ) -> Result<bool, LocalError> {
        let path = self.dir_of(mailbox).join(part);
        for _ in 0..TRIES {
            match self.fs.remove_dir(&path) {
                Err(e) if e.kind() == io::ErrorKind::DirectoryNotEmpty => {}
                // A link: its name goes, and what it leads to stays.
                Err(e) if e.kind() == io::ErrorKind::NotADirectory => {
                    self.remove_part(mailbox, part, now_s)?;
                    return Ok(true);
                }
                other => {
                    if_there(other).at(Scope::Mailbox, "remove", &path)?;
                    return Ok(true);
                }
            }
            let (mut messages, mut others) = (false, Vec::new());
            let read = self.fs.read_dir(&path, &mut |name, kind, _| {
                messages |= is_message(name, kind);
                others.push(OsString::from_vec(name.to_vec()));
            });
            if_there(read).at(Scope::Mailbox, "read", &path)?;
            if messages {
                return Ok(false);
            }
            for name in others {
                let kept = self.put_aside(mailbox, &path.join(&name), &name, now_s)?;
                if let Some(trash) = kept.as_deref().and_then(Path::parent) {
                    self.fs.sync_dir(trash).at(Scope::Mailbox, "sync", trash)?;
                }
            }
        }
        Ok(false)
    }

    /// Removes a part that holds no messages; what is of use goes to the trash.
    fn remove_part(&self, mailbox: &MailboxName, part: &str, now_s: i64) -> Result<(), LocalError> {
        let path = self.dir_of(mailbox).join(part);
        if self.fs.remove_dir(&path).is_ok() {
            return Ok(());
        }
        // Never `cur` or `new`: no reader shall take the trash for a mailbox.
        let reserved = RESERVED.contains(&part);
        let aside = if reserved { format!("was-{part}") } else { part.to_owned() };
        let kept = self.put_aside(mailbox, &path, OsStr::new(&aside), now_s)?;
        let Some(trash) = kept.as_deref().and_then(Path::parent) else { return Ok(()) };
        self.fs.sync_dir(trash).at(Scope::Mailbox, "sync", trash)
    }

    /// Removes what is left of a mailbox without its message directories; `false` where somebody
    /// made them again. Until that is durable the note of the removal stays: the shell alone
    /// would look like a disk that is not mounted (hazard 59).
    fn remove_shell(&self, mailbox: &MailboxName, now_s: i64) -> Result<bool, LocalError> {
        let dir = self.dir_of(mailbox);
        // Ours, and of no use without the mailbox.
        let id = dir.join(ID_FILE);
        if_there(self.fs.remove_file(&id)).at(Scope::Mailbox, "remove", &id)?;
        if_there(self.fs.sync_dir(&dir)).at(Scope::Mailbox, "sync", &dir)?;
        if dir == self.path {
            // The INBOX of Maildir++: the root stays.
            return Ok(true);
        }
        let mut removed = true;
        match self.fs.remove_dir(&dir) {
            Err(e) if e.kind() == io::ErrorKind::DirectoryNotEmpty => {
                removed = !self.is_mailbox(&dir)? && self.trash_rest(mailbox, &dir, now_s)?;
            }
            // A link to a directory, or a mount point: whoever made it removes it.
            Err(e)
                if matches!(
                    e.kind(),
                    io::ErrorKind::NotADirectory | io::ErrorKind::ResourceBusy
                ) => {}
            other => if_there(other).map(|_| ()).at(Scope::Mailbox, "remove", &dir)?,
        }
        let above = dir.parent().unwrap_or(&self.path);
        if_there(self.fs.sync_dir(above)).at(Scope::Mailbox, "sync", above)?;
        Ok(removed)
    }

    /// Mailboxes below it, or files of others: it stays, and is no mailbox. In Maildir++ nothing
    /// lies below, and other programs would go on to show what is left, so it goes as a whole.
    /// `false` where it became a mailbox again.
    fn trash_rest(
        &self,
        mailbox: &MailboxName,
        dir: &Path,
        now_s: i64,
    ) -> Result<bool, LocalError> {
        if self.options.layout != Layout::MaildirPlusPlus || mailbox.is_inbox() {
            return Ok(true);
        }
        let trash = self.trash_dir(&self.path, mailbox, now_s)?;
        let Some(kept) = self.rename_aside(dir, &trash, OsStr::new("rest"))? else {
            return Ok(true);
        };
        if self.is_mailbox(&kept)? {
            self.fs.rename_noreplace(&kept, dir).at(Scope::Mailbox, "bring back", &kept)?;
            return Ok(false);
        }
        Ok(true)
    }

    /// Whether a directory has message directories.
    fn is_mailbox(&self, dir: &Path) -> Result<bool, LocalError> {
        for part in ["new", "cur"] {
            let path = dir.join(part);
            if if_there(self.fs.lstat(&path)).at(Scope::Mailbox, "look at", &path)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Finishes [`Self::remove_mailbox`] where it was interrupted; where messages lie in what is
    /// left, the mailbox is made whole again instead.
    pub(super) fn settle_removal(&self) -> Result<(), LocalError> {
        let note = self.path.join(OWN).join(REMOVING);
        let Some(text) = self.read_small(&note, NOTE_MAX, Scope::Root)? else { return Ok(()) };
        let Ok(name) = String::from_utf8(text) else { return self.remove_own(REMOVING) };
        let mailbox = MailboxName::new(&name);
        let dir = self.dir_of(&mailbox);
        let mut subs = 0;
        for sub in ["new", "cur"] {
            let path = dir.join(sub);
            let there = if_there(self.fs.lstat(&path)).at(Scope::Mailbox, "look at", &path)?;
            subs += u32::from(there.is_some());
        }
        if subs < 2 {
            let now_s = self.fs.now_s();
            if self.remove_mailbox(&mailbox, now_s)? == Removal::Absent {
                self.remove_shell(&mailbox, now_s)?;
            }
        }
        self.remove_own(REMOVING)
    }

    /// Makes what a removal had begun to take a mailbox again.
    fn make_whole(&self, mailbox: &MailboxName) -> Result<(), LocalError> {
        for sub in RESERVED {
            make_dirs(self.fs.as_ref(), &self.dir_of(mailbox).join(sub), Scope::Mailbox)?;
        }
        self.remove_own(REMOVING)
    }
}
