//! What is in a mailbox: the listing, compact enough for a million names.
//!
//! A directory that another program renames in while it is read can miss a name or show one
//! twice. So a listing is a first look: what seems gone or doubled is looked for again with
//! [`Root::find`] before it is believed.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use crate::reconcile::types::{FileStamp, Local, MailboxName, Stem};

use super::error::{At, LocalError, Scope, if_there};
use super::fs::Kind;
use super::name::{FileName, split};
use super::root::Root;

/// A message as its name shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its stem.
    pub stem: Stem,
    /// Its name, byte for byte.
    pub name: FileName,
    /// The info part, for reading flags; bytes that are no UTF-8 are replaced in it.
    pub info: String,
    /// Inode number as the directory shows it: a rename keeps it.
    pub ino: u64,
    /// Further names of the same stem: one message, its flags united by whoever reads them.
    pub also: Vec<FileName>,
}

impl Listed {
    /// The message as it was last seen, to be looked at under its expected name.
    #[must_use]
    pub fn expected(local: &Local, separator: u8) -> Self {
        Self {
            stem: local.stem.clone(),
            name: FileName::of(local, separator),
            info: local.info.clone(),
            ino: local.stamp.ino,
            also: Vec::new(),
        }
    }
}

/// One name of a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The whole name.
    pub name: &'a [u8],
    /// Its stem.
    pub stem: &'a [u8],
    /// Its info part, empty when there is none.
    pub info: &'a [u8],
    /// Whether it lies in `new/`.
    pub in_new: bool,
    /// Inode number as the directory shows it.
    pub ino: u64,
    /// Whether it is a file. A link or a FIFO is no message; of one that was there under its name
    /// it says nothing.
    pub is_file: bool,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    ino: u64,
    start: u32,
    len: u16,
    stem_len: u16,
    in_new: bool,
}

/// The messages of a mailbox, ordered by stem. About 24 bytes and the name for each.
#[derive(Debug, Default)]
pub struct Listing {
    names: Vec<u8>,
    slots: Vec<Slot>,
    /// Stems that have more than one name: doubtful until [`Root::find`] saw them again.
    pub doubled: Vec<Stem>,
}

impl Listing {
    /// Number of messages.
    #[must_use]
    pub fn len(&self) -> usize {
        self.messages().count()
    }

    /// Whether there is no message.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Every message once, by stem; of a doubled one the name in `cur/`.
    pub fn messages(&self) -> impl Iterator<Item = Entry<'_>> {
        let same = |a: &Slot, b: &Slot| self.stem(a) == self.stem(b);
        self.slots.chunk_by(same).filter_map(|group| group.first()).map(|slot| self.entry(slot))
    }

    /// A message with all its names.
    #[must_use]
    pub fn get(&self, stem: &Stem) -> Option<Listed> {
        let from = self.slots.partition_point(|slot| self.stem(slot) < &stem.0[..]);
        let group = self.slots[from..].iter().take_while(|slot| self.stem(slot) == stem.0);
        let mut entries = group.map(|slot| self.entry(slot));
        let first = entries.next()?;
        let also = entries.map(|e| e.file_name()).collect();
        Some(Listed { also, ..first.to_listed() })
    }

    fn stem(&self, slot: &Slot) -> &[u8] {
        let start = slot.start as usize;
        &self.names[start..start + usize::from(slot.stem_len)]
    }

    fn entry(&self, slot: &Slot) -> Entry<'_> {
        let start = slot.start as usize;
        let name = &self.names[start..start + usize::from(slot.len)];
        let stem = &name[..usize::from(slot.stem_len)];
        let info = name.get(stem.len() + 1..).unwrap_or_default();
        Entry { name, stem, info, in_new: slot.in_new, ino: slot.ino, is_file: true }
    }

    fn push(&mut self, name: &[u8], stem_len: usize, in_new: bool, ino: u64) -> bool {
        let start = u32::try_from(self.names.len());
        let (len, stem_len) = (u16::try_from(name.len()), u16::try_from(stem_len));
        let (Ok(start), Ok(len), Ok(stem_len)) = (start, len, stem_len) else { return false };
        self.names.extend_from_slice(name);
        self.slots.push(Slot { ino, start, len, stem_len, in_new });
        true
    }

    fn order(&mut self) {
        let mut slots = std::mem::take(&mut self.slots);
        // cur/ first: a message that was seen in both went from new/ to cur/.
        slots.sort_unstable_by(|a, b| {
            let key = |s: &Slot| (s.in_new, s.start);
            self.stem(a).cmp(self.stem(b)).then_with(|| key(a).cmp(&key(b)))
        });
        self.slots = slots;
        let groups = self.slots.chunk_by(|a, b| self.stem(a) == self.stem(b));
        let doubled = groups.filter(|g| g.len() > 1).filter_map(|g| g.first());
        self.doubled = doubled.map(|slot| Stem(self.stem(slot).to_vec())).collect();
    }
}

impl Entry<'_> {
    /// The name by itself.
    #[must_use]
    pub fn file_name(&self) -> FileName {
        FileName { in_new: self.in_new, bytes: self.name.to_vec() }
    }

    /// The message by itself, without its further names.
    #[must_use]
    pub fn to_listed(&self) -> Listed {
        Listed {
            stem: Stem(self.stem.to_vec()),
            name: self.file_name(),
            info: String::from_utf8_lossy(self.info).into_owned(),
            ino: self.ino,
            also: Vec::new(),
        }
    }
}

impl Root {
    /// Lists a mailbox, `new/` before `cur/`, so that a message on its way is not missed.
    ///
    /// # Errors
    /// A directory that cannot be read to its end is an error, never an empty one.
    pub fn list(&self, mailbox: &MailboxName) -> Result<Listing, LocalError> {
        self.list_some(mailbox, &|_| true)
    }

    /// Shows every name of a mailbox, `new/` before `cur/`, one at a time and unordered: a
    /// million need no memory. Links and special files are shown, too. The reservations of
    /// [`Root::list`] hold here as well.
    ///
    /// # Errors
    /// As [`Root::list`].
    pub fn each_name(
        &self,
        mailbox: &MailboxName,
        each: &mut dyn FnMut(&Entry<'_>),
    ) -> Result<(), LocalError> {
        let (dir, separator) = (self.dir_of(mailbox), self.options.separator);
        for (sub, in_new) in [("new", true), ("cur", false)] {
            let path = dir.join(sub);
            let read = self.fs.read_dir(&path, &mut |name, kind, ino| {
                let is_file = kind == Kind::File;
                if is_message(name, kind) || is_strange(name, kind) {
                    let (stem, _) = split(name, separator);
                    let info = name.get(stem.len() + 1..).unwrap_or_default();
                    each(&Entry { name, stem, info, in_new, ino, is_file });
                }
            });
            read.at(Scope::Mailbox, "read", &path)?;
        }
        Ok(())
    }

    /// Looks again, for these stems only. One more look, with the same reservation: what is
    /// missing three times is gone, what differs three times is in doubt.
    ///
    /// # Errors
    /// As [`Root::list`].
    pub fn find(
        &self,
        mailbox: &MailboxName,
        stems: &BTreeSet<Stem>,
    ) -> Result<Vec<Listed>, LocalError> {
        let wanted: BTreeSet<&[u8]> = stems.iter().map(|s| &s.0[..]).collect();
        let listing = self.list_some(mailbox, &|stem| wanted.contains(stem))?;
        Ok(stems.iter().filter_map(|stem| listing.get(stem)).collect())
    }

    /// Every file with this stem, each by itself; the one in `cur/` first.
    ///
    /// # Errors
    /// As [`Root::list`].
    pub fn names_of(&self, mailbox: &MailboxName, stem: &Stem) -> Result<Vec<Listed>, LocalError> {
        let listing = self.list_some(mailbox, &|s| s == stem.0)?;
        Ok(listing.slots.iter().map(|slot| listing.entry(slot).to_listed()).collect())
    }

    /// Where one stem is now.
    pub(super) fn find_one(
        &self,
        mailbox: &MailboxName,
        stem: &Stem,
    ) -> Result<Option<Listed>, LocalError> {
        let listing = self.list_some(mailbox, &|s| s == stem.0)?;
        Ok(listing.get(stem))
    }

    fn list_some(
        &self,
        mailbox: &MailboxName,
        wanted: &dyn Fn(&[u8]) -> bool,
    ) -> Result<Listing, LocalError> {
        let dir = self.dir_of(mailbox);
        let mut listing = Listing::default();
        for (sub, in_new) in [("new", true), ("cur", false)] {
            self.list_dir(&dir.join(sub), in_new, wanted, &mut listing)?;
        }
        listing.order();
        Ok(listing)
    }

    fn list_dir(
        &self,
        dir: &Path,
        in_new: bool,
        wanted: &dyn Fn(&[u8]) -> bool,
        listing: &mut Listing,
    ) -> Result<(), LocalError> {
        let separator = self.options.separator;
        let mut fits = true;
        let read = self.fs.read_dir(dir, &mut |name, kind, ino| {
            if !is_message(name, kind) {
                return;
            }
            let (stem, _) = split(name, separator);
            if wanted(stem) {
                fits &= listing.push(name, stem.len(), in_new, ino);
            }
        });
        let read = read.and_then(|()| fits.then_some(()).ok_or(io::ErrorKind::OutOfMemory.into()));
        read.at(Scope::Mailbox, "read", dir)
    }

    /// The stamp of a message under the name that it had; `None` when it is not there.
    ///
    /// # Errors
    /// As the system says; a file that cannot be looked at is not gone.
    pub fn stat(
        &self,
        mailbox: &MailboxName,
        name: &FileName,
    ) -> Result<Option<FileStamp>, LocalError> {
        let path = self.path_of(mailbox, name);
        let meta = if_there(self.fs.lstat(&path)).at(Scope::Message, "look at", &path)?;
        Ok(meta.map(|m| m.stamp))
    }
}

/// Dot files and what is no regular file are no messages.
pub(super) fn is_message(name: &[u8], kind: Kind) -> bool {
    kind == Kind::File && name.first() != Some(&b'.')
}

/// What is neither a file nor a directory, under a name that a message may have.
fn is_strange(name: &[u8], kind: Kind) -> bool {
    !matches!(kind, Kind::File | Kind::Dir) && name.first() != Some(&b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(names: &[(&str, bool)]) -> Listing {
        let mut listing = Listing::default();
        for (i, (name, in_new)) in names.iter().enumerate() {
            let stem = split(name.as_bytes(), b':').0.len();
            assert!(listing.push(name.as_bytes(), stem, *in_new, i as u64));
        }
        listing.order();
        listing
    }

    #[test]
    fn one_stem_is_one_message_and_all_its_names_are_known() {
        let l = listing(&[("b", true), ("a:2,S", false), ("b:2,F", false), ("b:2,", false)]);
        assert_eq!(l.len(), 2);
        assert_eq!(l.doubled, [Stem(b"b".to_vec())]);
        let b = l.get(&Stem(b"b".to_vec())).unwrap();
        assert_eq!((b.info.as_str(), b.name.in_new), ("2,F", false));
        assert_eq!(b.also.len(), 2);
        assert_eq!(l.get(&Stem(b"a".to_vec())).unwrap().info, "2,S");
        assert_eq!(l.get(&Stem(b"aa".to_vec())), None);
    }

    #[test]
    fn a_slot_is_small() {
        assert!(size_of::<Slot>() <= 24);
    }
}
