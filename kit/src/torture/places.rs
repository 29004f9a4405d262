//! The two sides as whoever acts on them meets them: a disk and a device's view of a server,
//! simulated or real.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::path::{Path, PathBuf};

use crate::imap::Server;
use crate::memfs::MemFs;

/// Every path with its content (`None` for a directory), in order.
pub(super) type Tree = BTreeMap<PathBuf, Option<Vec<u8>>>;

/// What a reader does to a disk. What is not there is no error: nothing is done.
pub(super) trait Disk: Debug + Send + Sync {
    fn tree(&self) -> Tree;
    fn read(&self, path: &Path) -> Option<Vec<u8>>;
    fn make_dirs(&self, path: &Path);
    fn write(&self, path: &Path, bytes: &[u8]);
    fn rename(&self, from: &Path, to: &Path);
    fn remove(&self, path: &Path);
}

/// A message as a device sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) uid: u32,
    /// Flags and keywords in lower case, without `\recent`.
    pub(super) flags: BTreeSet<String>,
    pub(super) body: Vec<u8>,
}

/// What another device does on a server, names with `/` between their levels. What is not there
/// is no error: nothing is done.
pub(super) trait Device: Debug + Send + Sync {
    /// What all names but INBOX begin with (`INBOX/`), or nothing.
    fn prefix(&self) -> String;
    fn everything(&self) -> BTreeMap<String, Vec<Held>>;
    fn append(&self, mailbox: &str, body: &[u8], date: i64);
    fn expunge(&self, mailbox: &str, uid: u32);
    fn mv(&self, mailbox: &str, uid: u32, to: &str);
    fn copy(&self, mailbox: &str, uid: u32, to: &str);
    fn flag(&self, mailbox: &str, uid: u32, flag: &str, set: bool);
    fn create(&self, mailbox: &str);
    fn delete(&self, mailbox: &str);
    fn rename(&self, from: &str, to: &str);
    fn renumber(&self, mailbox: &str);
}

impl Disk for MemFs {
    fn tree(&self) -> Tree {
        Self::tree(self)
    }

    fn read(&self, path: &Path) -> Option<Vec<u8>> {
        self.read_file(path)
    }

    fn make_dirs(&self, path: &Path) {
        self.mkdir_all(path);
    }

    fn write(&self, path: &Path, bytes: &[u8]) {
        self.write_file(path, bytes);
    }

    fn rename(&self, from: &Path, to: &Path) {
        self.move_file(from, to);
    }

    fn remove(&self, path: &Path) {
        self.delete_file(path);
    }
}

/// A device of the simulated server, which needs no wire.
#[derive(Debug, Clone)]
pub(super) struct Inside(pub(super) Server);

impl Inside {
    fn name(&self, mailbox: &str) -> String {
        mailbox.replace('/', &self.0.profile().delimiter.to_string())
    }
}

impl Device for Inside {
    fn prefix(&self) -> String {
        let profile = self.0.profile();
        profile.prefix.replace(profile.delimiter, "/")
    }

    fn everything(&self) -> BTreeMap<String, Vec<Held>> {
        let delimiter = self.0.profile().delimiter;
        let held = |message: crate::imap::Msg| Held {
            uid: message.uid,
            flags: message.flags.iter().map(|flag| flag.to_ascii_lowercase()).collect(),
            body: message.body.to_vec(),
        };
        let all = self.0.everything().into_iter();
        all.map(|(name, list)| (name.replace(delimiter, "/"), list.into_iter().map(held).collect()))
            .collect()
    }

    fn append(&self, mailbox: &str, body: &[u8], date: i64) {
        self.0.append(&self.name(mailbox), body, &[], Some(date));
    }

    fn expunge(&self, mailbox: &str, uid: u32) {
        self.0.expunge(&self.name(mailbox), &[uid]);
    }

    fn mv(&self, mailbox: &str, uid: u32, to: &str) {
        self.0.mv(&self.name(mailbox), uid, &self.name(to));
    }

    fn copy(&self, mailbox: &str, uid: u32, to: &str) {
        self.0.copy(&self.name(mailbox), uid, &self.name(to));
    }

    fn flag(&self, mailbox: &str, uid: u32, flag: &str, set: bool) {
        let (add, remove): (&[&str], &[&str]) = if set { (&[flag], &[]) } else { (&[], &[flag]) };
        self.0.set_flags(&self.name(mailbox), uid, add, remove);
    }

    fn create(&self, mailbox: &str) {
        self.0.create(&self.name(mailbox));
    }

    fn delete(&self, mailbox: &str) {
        self.0.delete_mailbox(&self.name(mailbox));
    }

    fn rename(&self, from: &str, to: &str) {
        self.0.rename_mailbox(&self.name(from), &self.name(to));
    }

    fn renumber(&self, mailbox: &str) {
        self.0.renumber(&self.name(mailbox));
    }
}
