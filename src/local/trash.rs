//! The local trash, `.mailtide/trash/DAY/MAILBOX/NAME`: renames only, nothing is unlinked.
//!
//! There is no `cur` or `new` in it, so that no reader takes it for mailboxes. The day (UTC)
//! comes first, so that what is old can go as a whole. A mailbox on another disk than the root,
//! behind a link or a mount, has a trash of its own: `.mailtide/trash/…` in its directory.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::reconcile::types::{FileStamp, Local, MailboxName};

use super::error::{At, LocalError, Scope, if_there};
use super::layout::flat;
use super::name::FileName;
use super::reserved::OWN;
use super::root::{Root, make_dirs};
use super::scan::Listed;

/// A name that is taken gets a number behind it, up to this one.
const TWINS_MAX: u32 = 10_000;

/// The outcome of trashing a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TrashOutcome {
    /// It lies there now.
    Trashed(PathBuf),
    /// It was not in its mailbox under any name.
    Gone,
    /// It is not the file that it was; it stays.
    Changed,
    /// Another program renamed it meanwhile; it stays.
    Moved(Listed),
}

impl Root {
    /// Renames a message into the trash, if it is still the file that was seen.
    /// `now_s` in seconds since 1970. [`Root::sync_dirs`] makes it durable.
    ///
    /// # Errors
    /// As the system says; the message stays then.
    pub fn trash(
        &self,
        mailbox: &MailboxName,
        seen: &Local,
        now_s: i64,
    ) -> Result<TrashOutcome, LocalError> {
        let name = FileName::of(seen, self.options.separator);
        let path = self.path_of(mailbox, &name);
        match self.stat(mailbox, &name)? {
            None => return self.trash_missing(mailbox, seen),
            Some(stamp) if stamp != seen.stamp => return Ok(TrashOutcome::Changed),
            Some(_) => {}
        }
        let aside = OsStr::from_bytes(&name.bytes);
        let Some(kept) = self.put_aside(mailbox, &path, aside, now_s)? else {
            return self.trash_missing(mailbox, seen);
        };
        let now = if_there(self.fs.lstat(&kept)).at(Scope::Message, "look at", &kept)?;
        if now.is_some_and(|meta| meta.stamp != seen.stamp) {
            // Written to between the look and the rename: back with it. Should the name be
            // taken already, nothing is lost either: it stays in the trash.
            match self.fs.rename_noreplace(&kept, &path) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                other => other.at(Scope::Message, "bring back", &kept)?,
            }
            return Ok(TrashOutcome::Changed);
        }
        Ok(TrashOutcome::Trashed(kept))
    }

    /// Brings a message back from the trash. Where its name is taken meanwhile, it stays there.
    ///
    /// # Errors
    /// As the system says; it stays in the trash then.
    pub fn bring_back(
        &self,
        kept: &Path,
        mailbox: &MailboxName,
        name: &FileName,
    ) -> Result<(), LocalError> {
        match self.fs.rename_noreplace(kept, &self.path_of(mailbox, name)) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other.at(Scope::Message, "bring back", kept),
        }
    }

    /// Inodes of those of these files that lie unchanged in the trash of their mailbox.
    ///
    /// # Errors
    /// The trash cannot be read.
    pub fn trashed<'f>(
        &self,
        mailbox: &MailboxName,
        files: impl Iterator<Item = &'f Local>,
    ) -> Result<BTreeSet<u64>, LocalError> {
        let wanted: BTreeMap<u64, FileStamp> = files.map(|f| (f.stamp.ino, f.stamp)).collect();
        let mut found = BTreeSet::new();
        if wanted.is_empty() {
            return Ok(found);
        }
        for top in BTreeSet::from([self.path.clone(), self.dir_of(mailbox)]) {
            let trash = top.join(OWN).join("trash");
            for day in self.entries(&trash, |_| true)? {
                let dir = trash.join(day).join(OsStr::from_bytes(&flat(mailbox)));
                for name in self.entries(&dir, |ino| wanted.contains_key(&ino))? {
                    let path = dir.join(name);
                    let meta =
                        if_there(self.fs.lstat(&path)).at(Scope::Message, "look at", &path)?;
                    let same = meta.filter(|m| wanted.get(&m.stamp.ino) == Some(&m.stamp));
                    found.extend(same.map(|meta| meta.stamp.ino));
                }
            }
        }
        Ok(found)
    }

    /// Names in a directory by their inodes; none where there is no directory.
    fn entries(
        &self,
        dir: &Path,
        is_wanted: impl Fn(u64) -> bool,
    ) -> Result<Vec<OsString>, LocalError> {
        let mut names = Vec::new();
        let read = self.fs.read_dir(dir, &mut |name, _, ino| {
            if is_wanted(ino) {
                names.push(OsStr::from_bytes(name).to_owned());
            }
        });
        if_there(read).at(Scope::Mailbox, "look into", dir)?;
        Ok(names)
    }

    fn trash_missing(
        &self,
        mailbox: &MailboxName,
        seen: &Local,
    ) -> Result<TrashOutcome, LocalError> {
        for _ in 0..3 {
            if let Some(listed) = self.find_one(mailbox, &seen.stem)? {
                return Ok(TrashOutcome::Moved(listed));
            }
        }
        Ok(TrashOutcome::Gone)
    }

    /// Renames something of a mailbox into its trash, which is on the same disk; `None` when it
    /// is not there.
    pub(super) fn put_aside(
        &self,
        mailbox: &MailboxName,
        path: &Path,
        name: &OsStr,
        now_s: i64,
    ) -> Result<Option<PathBuf>, LocalError> {
        let dir = self.dir_of(mailbox);
        let dev = |path: &Path| Ok(self.fs.stat(path).at(Scope::Mailbox, "look at", path)?.dev);
        if dev(&self.path)? == dev(&dir)? {
            let trash = self.trash_dir(&self.path, mailbox, now_s)?;
            match self.rename_aside(path, &trash, name) {
                // Mounted from the same disk, which is a border too.
                Err(error) if error.is_cross_device() => {}
                other => return other,
            }
        }
        let trash = self.trash_dir(&dir, mailbox, now_s)?;
        self.rename_aside(path, &trash, name)
    }

    /// The trash of a mailbox for a day, in the root or in its own directory; made if need be.
    pub(super) fn trash_dir(
        &self,
        top: &Path,
        mailbox: &MailboxName,
        now_s: i64,
    ) -> Result<PathBuf, LocalError> {
        let own = top.join(OWN);
        let dir = own.join("trash").join(day(now_s)).join(OsStr::from_bytes(&flat(mailbox)));
        if if_there(self.fs.lstat(&dir)).at(Scope::Root, "look at", &dir)?.is_none() {
            make_dirs(self.fs.as_ref(), &dir, Scope::Root)?;
            // Mail indexers leave a directory with this file alone.
            let noindex = own.join(".noindex");
            match self.fs.create_new(&noindex) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                other => other.map(|_| ()).at(Scope::Root, "create", &noindex)?,
            }
        }
        Ok(dir)
    }

    /// Renames under a free name in `dir`; `None` when there is nothing to rename.
    pub(super) fn rename_aside(
        &self,
        path: &Path,
        dir: &Path,
        name: &OsStr,
    ) -> Result<Option<PathBuf>, LocalError> {
        for twin in 0..TWINS_MAX {
            let mut free = OsString::from(name);
            if twin > 0 {
                free.push(format!("~{twin}"));
            }
            let target = dir.join(free);
            match self.fs.rename_noreplace(path, &target) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                other => {
                    let done = if_there(other).at(Scope::Message, "move to the trash", path)?;
                    return Ok(done.map(|()| target));
                }
            }
        }
        Err(io::ErrorKind::AlreadyExists.into()).at(Scope::Message, "move to the trash", path)
    }
}

/// `YYYY-MM-DD` (UTC) of a time in seconds since 1970.
fn day(now_s: i64) -> String {
    // Days since 0000-03-01, so that the leap day is the last of its year (Gregorian).
    let days = now_s.div_euclid(86_400) + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let date = of_year - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    format!("{:04}-{month:02}-{date:02}", year + era * 400 + carry)
}

#[cfg(test)]
mod tests {
    use super::day;

    #[test]
    fn days_are_right() {
        for (now, expected) in [
            (0, "1970-01-01"),
            (-1, "1969-12-31"),
            (951_782_399, "2000-02-28"),
            (951_782_400, "2000-02-29"),
            (951_868_800, "2000-03-01"),
            (1_795_392_000, "2026-11-23"),
            (4_107_542_399, "2100-02-28"),
            (4_107_542_400, "2100-03-01"),
        ] {
            assert_eq!(day(now), expected);
        }
    }
}
