//! Directories of other programs that were recognised: which mailbox has which.
//!
//! Both are recorded before anything is done by it, and that stays, whatever the server lists
//! later. Mailboxes below such a one lie in its directory; a mailbox whose own spelling is the
//! directory of another has its level escaped whole.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::layout::{Layout, last_level, prefixes};
use super::percent::percent_decoded;
use crate::reconcile::types::MailboxName;

/// Mailboxes whose directory is not spelled as the layout would spell it.
#[derive(Debug, Clone, Default)]
pub(super) struct Given {
    dirs: BTreeMap<MailboxName, PathBuf>,
    names: BTreeMap<PathBuf, MailboxName>,
}

impl Given {
    pub(super) fn is_empty(&self) -> bool {
        self.dirs.is_empty()
    }

    /// Records a mailbox and its directory, unless either is another's already.
    pub(super) fn insert(&mut self, name: MailboxName, dir: PathBuf) -> bool {
        if self.dirs.contains_key(&name) || self.names.contains_key(&dir) {
            return false;
        }
        self.names.insert(dir.clone(), name.clone());
        self.dirs.insert(name, dir);
        true
    }

    /// Records all of another list that is not another's already.
    pub(super) fn extend(&mut self, more: Self) {
        more.dirs.into_iter().for_each(|(name, dir)| {
            self.insert(name, dir);
        });
    }

    /// The mailbox of exactly this directory.
    pub(super) fn name_of(&self, dir: &Path) -> Option<&MailboxName> {
        self.names.get(dir)
    }

    /// Whether this directory is that of another mailbox than the one named.
    pub(super) fn is_others(&self, dir: &Path, name: &str) -> bool {
        self.names.get(dir).is_some_and(|other| other.as_str() != name)
    }

    /// The nearest mailbox above this one, or itself, that is recorded, and its directory.
    pub(super) fn base_of<'n>(&self, name: &'n MailboxName) -> Option<(&'n str, &Path)> {
        let base =
            |prefix: &'n str| Some((prefix, self.dirs.get(&MailboxName::new(prefix))?.as_path()));
        prefixes(name).filter_map(base).last()
    }

    /// The nearest directory above this one, or itself, that is recorded.
    pub(super) fn above(&self, dir: &Path) -> Option<(&MailboxName, &Path)> {
        dir.ancestors().find_map(|dir| self.names.get_key_value(dir)).map(|(d, n)| (n, d.as_path()))
    }

    /// The last level of a mailbox whose directory was called so and is not among `there`.
    pub(super) fn level_of(&self, last: &OsStr, there: &BTreeSet<PathBuf>) -> Option<&str> {
        let mut gone = self.dirs.iter().filter(|(_, dir)| !there.contains(*dir));
        gone.find(|(_, dir)| dir.file_name() == Some(last))
            .map(|(name, _)| last_level(name.as_str()))
    }

    /// What is recorded below a mailbox, named and placed as after a rename of it.
    pub(super) fn renamed(&self, from: &MailboxName, to: &MailboxName, dirs: [&Path; 2]) -> Self {
        let mut out = Self::default();
        for (name, dir) in self.dirs.iter().filter(|(name, _)| name.is_inferior_of(from)) {
            if let (Some(rest), Ok(below)) =
                (name.as_str().strip_prefix(from.as_str()), dir.strip_prefix(dirs[0]))
            {
                out.insert(
                    MailboxName::new(&format!("{}{rest}", to.as_str())),
                    dirs[1].join(below),
                );
            }
        }
        out
    }

    pub(super) fn to_text(&self) -> Vec<u8> {
        let mut text = Vec::new();
        for (name, dir) in &self.dirs {
            text.extend_from_slice(Layout::Nested.path_of(name).as_os_str().as_bytes());
            text.push(b'\t');
            for byte in dir.as_os_str().as_bytes() {
                match byte {
                    b' '..=b'~' if *byte != b'%' => text.push(*byte),
                    byte => text.extend_from_slice(format!("%{byte:02X}").as_bytes()),
                }
            }
            text.push(b'\n');
        }
        text
    }

    pub(super) fn from_text(text: &[u8]) -> Option<Self> {
        let mut given = Self::default();
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let tab = line.iter().position(|byte| *byte == b'\t')?;
            let name =
                Layout::Nested.name_of(Path::new(std::str::from_utf8(&line[..tab]).ok()?))?;
            let mut dir = Vec::new();
            percent_decoded(&line[tab + 1..], &mut dir)?;
            given.insert(name, PathBuf::from(OsString::from_vec(dir)));
        }
        Some(given)
    }
}

impl Layout {
    /// The directory of a mailbox, where some have one of another program.
    pub(super) fn spell_given(
        self,
        mailbox: &MailboxName,
        escaped: &BTreeSet<MailboxName>,
        given: &Given,
    ) -> PathBuf {
        let whole = |prefix: &str| escaped.contains(&MailboxName::new(prefix));
        if self == Self::MaildirPlusPlus {
            if let Some(dir) = given.dirs.get(mailbox) {
                return dir.clone();
            }
            let path = self.spell(mailbox, escaped);
            if !given.is_others(&path, mailbox.as_str()) {
                return path;
            }
            let mut escaped = escaped.clone();
            escaped.insert(mailbox.clone());
            return self.spell(mailbox, &escaped);
        }
        let (base, mut path) = match given.base_of(mailbox) {
            Some((base, dir)) => (base.len(), Cow::Borrowed(dir)),
            None => (0, Cow::Owned(PathBuf::new())),
        };
        for prefix in prefixes(mailbox).filter(|prefix| prefix.len() > base) {
            let spelled = self.below(&path, prefix, whole(prefix));
            let taken = given.is_others(&spelled, prefix);
            path = Cow::Owned(if taken { self.below(&path, prefix, true) } else { spelled });
        }
        path.into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(pairs: &[(&str, &str)]) -> Given {
        let mut given = Given::default();
        for (name, dir) in pairs {
            assert!(given.insert(MailboxName::new(name), PathBuf::from(dir)));
        }
        given
    }

    #[test]
    fn what_is_recorded_is_read_again() {
        let given =
            given(&[("Entwürfe", "Entw&APw-rfe"), ("100%/\u{7f}", "100%/\t\n%"), ("a", "ä")]);
        let back = Given::from_text(&given.to_text()).unwrap();
        assert_eq!((back.dirs, back.names), (given.dirs, given.names));
        assert!(Given::from_text(b"no tab\n").is_none());
    }

    #[test]
    fn what_lies_below_follows_and_a_taken_directory_is_nobody_elses() {
        let given = given(&[("Entwürfe", "Entw&APw-rfe"), ("B/Ü", "B/&ANw-")]);
        let none = BTreeSet::new();
        for (name, dir) in [
            ("Entwürfe", "Entw&APw-rfe"),
            ("Entwürfe/x", "Entw&APw-rfe/x"),
            ("Entw&APw-rfe", "%45%6E%74%77%26%41%50%77%2D%72%66%65"),
            ("Entw&APw-rfe/x", "%45%6E%74%77%26%41%50%77%2D%72%66%65/x"),
            ("B", "B"),
            ("B/Ü/y", "B/&ANw-/y"),
            ("B/&ANw-", "B/%26%41%4E%77%2D"),
        ] {
            let path = Layout::Nested.spell_given(&MailboxName::new(name), &none, &given);
            assert_eq!(path, Path::new(dir), "{name}");
        }
        let flat = self::given(&[("Ü", ".Ü"), ("y", ".&ANw-")]);
        let path = Layout::MaildirPlusPlus.spell_given(&MailboxName::new("Ü"), &none, &flat);
        assert_eq!(path, Path::new(".Ü"));
    }

    #[test]
    fn a_rename_takes_along_what_lies_below() {
        let given = given(&[("A", "&A"), ("A/Ü", "&A/&ANw-"), ("AB", "x")]);
        let (a, b) = (MailboxName::new("A"), MailboxName::new("B"));
        let now = given.renamed(&a, &b, [Path::new("&A"), Path::new("B")]);
        assert_eq!(
            now.dirs,
            BTreeMap::from(
                [("B/Ü", "B/&ANw-")].map(|(n, d)| { (MailboxName::new(n), PathBuf::from(d)) })
            )
        );
    }
}
