//! What a mailbox's directory is known by when it gets another name: a small file in it.

use std::path::Path;

use crate::reconcile::types::{DirStamps, MailboxName};

use super::error::{At, LocalError, Scope, if_there};
use super::fs::Kind;
use super::layout::Layout;
use super::reserved::ID_FILE;
use super::root::{Root, make_dirs};

/// Digits of an id.
const LEN: usize = 32;

impl Root {
    /// The id of a mailbox's directory; none where there is none, or one that is not ours.
    ///
    /// # Errors
    /// As the system says.
    pub fn mailbox_id(&self, mailbox: &MailboxName) -> Result<Option<String>, LocalError> {
        self.id_in(&self.dir_of(mailbox))
    }

    /// The id of a directory.
    pub(super) fn id_in(&self, dir: &Path) -> Result<Option<String>, LocalError> {
        let path = dir.join(ID_FILE);
        let text = match self.read_small(&path, LEN as u64 + 1, Scope::Mailbox) {
            Err(LocalError::Malformed { .. }) => return Ok(None),
            text => text?,
        };
        let text = text.and_then(|bytes| String::from_utf8(bytes).ok());
        let id = text.map(|text| text.trim_end().to_owned());
        Ok(id.filter(|id| id.len() == LEN && id.bytes().all(|b| b.is_ascii_hexdigit())))
    }

    /// Gives a mailbox's directory an id, durably, in place of any other.
    ///
    /// # Errors
    /// As the system says; the old one stays then.
    pub fn set_mailbox_id(&self, mailbox: &MailboxName, id: &str) -> Result<(), LocalError> {
        let dir = self.dir_of(mailbox);
        // Beside it: the mailbox may lie on another disk than the root.
        let (path, next) = (dir.join(ID_FILE), dir.join(format!("{ID_FILE}.next")));
        // Left by a crash: ours, and never read.
        if_there(self.fs.remove_file(&next)).at(Scope::Mailbox, "remove", &next)?;
        let mut file = self.fs.create_new(&next).at(Scope::Mailbox, "create", &next)?;
        file.write_at(format!("{id}\n").as_bytes(), 0)
            .and_then(|()| file.sync())
            .and_then(|()| self.fs.rename(&next, &path))
            .and_then(|()| self.fs.sync_dir(&dir))
            .at(Scope::Mailbox, "write", &path)
    }

    /// As [`Self::set_mailbox_id`], for the directory that has these stamps: where another one, or
    /// an empty one, took its place meanwhile, that gets no id (hazard 63).
    ///
    /// # Errors
    /// As the system says, or another directory is in its place.
    pub fn mark_mailbox(
        &self,
        mailbox: &MailboxName,
        id: &str,
        seen: &DirStamps,
    ) -> Result<(), LocalError> {
        let is_same = || -> Result<bool, LocalError> {
            let now = self.stamps(mailbox)?;
            Ok((now.new.ino, now.cur.ino) == (seen.new.ino, seen.cur.ino))
        };
        let path = self.dir_of(mailbox);
        let why = "another directory is in its place";
        let another = || LocalError::Malformed { path: path.clone(), why };
        if !is_same()? {
            return Err(another());
        }
        self.set_mailbox_id(mailbox, id)?;
        match is_same() {
            Ok(true) => Ok(()),
            other => {
                let file = path.join(ID_FILE);
                if_there(self.fs.remove_file(&file)).at(Scope::Mailbox, "remove", &file)?;
                other.and(Err(another()))
            }
        }
    }

    /// Renames a mailbox's directory; in the nested layout all below it goes along. What is
    /// there under the new name is never replaced.
    ///
    /// # Errors
    /// As the system says; a name that the layout has no room for is an error too.
    pub fn rename_mailbox(&self, from: &MailboxName, to: &MailboxName) -> Result<(), LocalError> {
        if let Some(why) = self.options.layout.refuses(to) {
            return Err(LocalError::Unmirrored { path: self.dir_of(to), why });
        }
        self.spell_apart(to)?;
        self.give_renamed(from, to)?;
        let (old, new) = (self.dir_of(from), self.dir_of(to));
        let parents = [&old, &new].map(|dir| dir.parent().unwrap_or(&self.path).to_owned());
        let is = self.fs.lstat(&old).at(Scope::Mailbox, "look at", &old)?.kind;
        if is == Kind::Symlink && parents[0] != parents[1] {
            // Its target may be relative to where it is.
            let why = "it is a symbolic link and would go to another directory; move it by hand";
            return Err(LocalError::Unmirrored { path: old, why });
        }
        if self.options.layout == Layout::Nested && parents[1] != self.path {
            make_dirs(self.fs.as_ref(), &parents[1], Scope::Mailbox)?;
        }
        self.fs.rename_noreplace(&old, &new).at(Scope::Mailbox, "rename", &old)?;
        for dir in parents {
            self.fs.sync_dir(&dir).at(Scope::Mailbox, "sync", &dir)?;
        }
        Ok(())
    }

    /// A new id that no other directory has.
    #[must_use]
    pub fn new_mailbox_id() -> String {
        format!("{:032x}", fastrand::u128(..))
    }
}
