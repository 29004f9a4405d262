//! What happens to a message that is there: its flags, its mailbox. Renames only, and none
//! that overwrites. Another program may have renamed it first: then that is reported.

use std::io;

use super::copy::Copied;
use super::deliver::Placed;
use super::error::{At, LocalError, Scope, if_there};
use super::keywords::KeywordTable;
use super::name::{FileName, keyword_letters, split, system_flags, with_flags};
use super::root::Root;
use super::scan::Listed;
use crate::reconcile::types::{FileStamp, Flags, Local, MailboxName, Stem};

/// The outcome of a change of name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    /// The name is as wanted.
    Changed(NowNamed),
    /// Another program renamed it meanwhile, or it has two names; nothing was done.
    Moved(Listed),
    /// It is not in its mailbox under any name.
    Gone,
    /// The wanted name is taken by another message; nothing was done.
    Exists,
}

/// How a message is called now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NowNamed {
    /// Its stem.
    pub stem: Stem,
    /// Whether it lies in `new/`.
    pub in_new: bool,
    /// Its info part, empty when there is none.
    pub info: String,
    /// The file.
    pub stamp: FileStamp,
}

impl NowNamed {
    /// The local column of the message, with these flags. The stamp is that of its file, which may
    /// be known better than from the change.
    #[must_use]
    pub fn local(self, flags: Flags, stamp: FileStamp) -> Local {
        let Self { stem, in_new, info, .. } = self;
        Local { stem, in_new, info, flags, stamp }
    }
}

impl Root {
    /// Gives a message exactly these flags, as far as names hold them: keywords without a
    /// letter in `table` are left to the caller. Letters that mean nothing in `table`, and
    /// whatever else other programs put into the info part, stay.
    ///
    /// A message in `new/` goes to `cur/` when it gets flags; one in `cur/` stays there.
    ///
    /// # Errors
    /// As the system says.
    pub fn set_flags(
        &self,
        mailbox: &MailboxName,
        seen: &Local,
        target: &Flags,
        table: &KeywordTable,
    ) -> Result<Changed, LocalError> {
        let (mut letters, _) = table.letters_for(target);
        letters.push_str(&table.flags_of(&seen.info).1);
        let info = with_flags(&seen.info, target.system, &letters);
        let now: String = keyword_letters(&seen.info).collect();
        if info == with_flags(&seen.info, system_flags(&seen.info), &now) {
            // Nothing to rename, but only if it is still called that.
            let name = FileName::of(seen, self.options.separator);
            return match self.stat(mailbox, &name)? {
                Some(stamp) => Ok(Changed::Changed(named(seen, stamp))),
                None => self.elsewhere(mailbox, &seen.stem),
            };
        }
        self.rename_message(mailbox, seen, mailbox, &seen.stem, false, &info)
    }

    /// Moves a message to another mailbox, or gives it another stem, without reading it.
    /// `in_new` only for a message without flags; `info` is in the letters of the target. To a
    /// mailbox on another disk it is copied: the copy is durable and has its name before the
    /// source goes to the trash, so that after a crash there are two of it and never none.
    ///
    /// # Errors
    /// As the system says.
    pub fn move_to(
        &self,
        from: &MailboxName,
        seen: &Local,
        to: &MailboxName,
        stem: &Stem,
        in_new: bool,
        info: &str,
    ) -> Result<Changed, LocalError> {
        let info = if in_new { "" } else { info };
        match self.rename_message(from, seen, to, stem, in_new, info) {
            Err(error) if error.is_cross_device() => {
                self.move_across(from, seen, to, stem, in_new, info)
            }
            other => other,
        }
    }

    /// [`Self::move_to`] where no rename leads.
    fn move_across(
        &self,
        from: &MailboxName,
        seen: &Local,
        to: &MailboxName,
        stem: &Stem,
        in_new: bool,
        info: &str,
    ) -> Result<Changed, LocalError> {
        let date_s = seen.stamp.mtime_ns.div_euclid(1_000_000_000);
        let copy = match self.copy_to(from, seen, to, stem, date_s)? {
            Copied::Copied(copy) => copy,
            // Edited since: the next look sees that.
            Copied::Gone | Copied::Changed => return self.elsewhere(from, &seen.stem),
        };
        self.sync_deliveries(&[&copy])?;
        let stamp = match self.place(to, stem, in_new, info)? {
            Placed::Placed(stamp) => stamp,
            Placed::NotInTmp | Placed::Exists => {
                self.discard(to, stem)?;
                return Ok(Changed::Exists);
            }
        };
        self.sync_dirs(to)?;
        let (stem, info) = (stem.clone(), info.to_owned());
        let now = NowNamed { stem, in_new, info, stamp };
        // Written to or renamed meanwhile, the source stays, as a message of its own.
        self.trash(from, seen, self.fs.now_s())?;
        Ok(Changed::Changed(now))
    }

    fn rename_message(
        &self,
        from: &MailboxName,
        seen: &Local,
        to: &MailboxName,
        stem: &Stem,
        in_new: bool,
        info: &str,
    ) -> Result<Changed, LocalError> {
        let old = self.path_of(from, &FileName::of(seen, self.options.separator));
        let new_name = FileName::build(stem, in_new, info, self.options.separator);
        let new = self.path_of(to, &new_name);
        let before = if_there(self.fs.lstat(&old)).at(Scope::Message, "look at", &old)?;
        let Some(before) = before else { return self.elsewhere(from, &seen.stem) };
        match self.fs.rename_noreplace(&old, &new) {
            Ok(()) => Ok(Changed::Changed(NowNamed {
                stem: stem.clone(),
                in_new,
                info: info.to_owned(),
                stamp: before.stamp,
            })),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                if from == to && *stem == seen.stem {
                    return self.elsewhere(from, stem);
                }
                Ok(Changed::Exists)
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                // Either it left since the look above, or the target's directory is missing.
                match if_there(self.fs.lstat(&old)).at(Scope::Message, "look at", &old)? {
                    Some(_) => Err(e).at(Scope::Mailbox, "move a message to", &new),
                    None => self.elsewhere(from, &seen.stem),
                }
            }
            Err(e) => Err(e).at(Scope::Message, "rename", &old),
        }
    }

    /// Where a message is that is not where it was.
    fn elsewhere(&self, mailbox: &MailboxName, stem: &Stem) -> Result<Changed, LocalError> {
        // One listing can miss a name that is being changed.
        for _ in 0..3 {
            if let Some(listed) = self.find_one(mailbox, stem)? {
                return Ok(Changed::Moved(listed));
            }
        }
        Ok(Changed::Gone)
    }

    /// A message as a row keeps it, from what a listing showed of it.
    #[must_use]
    pub fn local_of(&self, listed: &Listed, table: &KeywordTable, stamp: FileStamp) -> Local {
        // Flags of all its names are united: one of them is left from an interrupted copy.
        let mut flags = table.flags_of(&listed.info).0;
        for name in &listed.also {
            let (_, info) = split(&name.bytes, self.options.separator);
            flags = flags.union(&table.flags_of(&String::from_utf8_lossy(info)).0);
        }
        Local {
            stem: listed.stem.clone(),
            in_new: listed.name.in_new,
            info: listed.info.clone(),
            flags,
            stamp,
        }
    }
}

fn named(seen: &Local, stamp: FileStamp) -> NowNamed {
    let Local { stem, in_new, info, .. } = seen.clone();
    NowNamed { stem, in_new, info, stamp }
}
