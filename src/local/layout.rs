//! Mailbox names as directories, and back: what one program spells, the other reads exactly.
//!
//! *Nested*: each level of the name is a directory level. A level that the disk or a Maildir
//! reader would take for something else is percent-escaped: `cur`, `new`, `tmp`, the names of
//! files that a Maildir holds, a leading dot, a trailing space or dot, control characters, and
//! `%` itself. A level longer than a file name may be continues in a subdirectory; the part that
//! goes on ends in a lone `%`.
//!
//! *Maildir++* is in `maildirpp`: flat, so a name may be too long for it.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::maildirpp;
use super::percent::{EMPTY, Unit, percent_decoded, percent_encoded};
use super::reserved::RESERVED;
use crate::reconcile::types::MailboxName;

pub use crate::reconcile::types::Layout;

/// No file system that we know takes a longer name (bytes).
const NAME_MAX: usize = 255;
/// Levels of one name that may be escaped whole: more are not ours.
const ESCAPED_MAX: usize = 32;
/// At the end of a directory name: the level goes on in the subdirectory.
const GOES_ON: u8 = b'%';

/// Files that a mailbox's directory holds, ours and those of servers that share it: no directory
/// takes their place (hazard 133). Those that begin with a dot are escaped as such.
const FILES: [&str; 10] = [
    "dovecot-keywords",
    "dovecot-uidlist",
    "dovecot-uidvalidity",
    "dovecot-acl",
    "dovecot-acl-list",
    "maildirfolder",
    "maildirsize",
    "subscriptions",
    "courierimapkeywords",
    "courierimapuiddb",
];

impl Layout {
    /// The layout's name in the configuration and in the marker.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Nested => "nested",
            Self::MaildirPlusPlus => "maildir++",
        }
    }

    /// The directory of a mailbox, relative to the root.
    #[must_use]
    pub fn path_of(self, mailbox: &MailboxName) -> PathBuf {
        self.spell(mailbox, &BTreeSet::new())
    }

    /// The directory of a mailbox, where the last level of some names is escaped whole.
    pub(super) fn spell(self, mailbox: &MailboxName, escaped: &BTreeSet<MailboxName>) -> PathBuf {
        let longest = escaped.iter().map(|name| name.as_str().len()).max().unwrap_or(0);
        let levels = prefixes(mailbox).map(|prefix| {
            let whole = prefix.len() <= longest && escaped.contains(&MailboxName::new(prefix));
            (last_level(prefix), whole)
        });
        if self == Self::MaildirPlusPlus {
            return maildirpp::path_of(mailbox, levels);
        }
        let mut path = PathBuf::new();
        levels.for_each(|(level, whole)| push_level(&mut path, level, whole));
        path
    }

    /// The directory of a mailbox below a given one, which is that of the mailbox above it.
    pub(super) fn below(self, dir: &Path, mailbox: &str, whole: bool) -> PathBuf {
        let mut path = dir.to_owned();
        push_level(&mut path, last_level(mailbox), whole);
        path
    }

    /// A level by itself, with what stands before it in a path.
    fn spell_level(self, level: &str, first: bool, whole: bool) -> Vec<u8> {
        match self {
            Self::MaildirPlusPlus => format!(".{}", maildirpp::spell(level, whole)).into_bytes(),
            Self::Nested => {
                let mut path = PathBuf::new();
                push_level(&mut path, level, whole);
                let slash = if first { &b""[..] } else { b"/" };
                [slash, path.as_os_str().as_bytes()].concat()
            }
        }
    }

    /// The mailbox of a directory, relative to the root; `None` for one that we would have
    /// spelled differently.
    #[must_use]
    pub fn name_of(self, path: &Path) -> Option<MailboxName> {
        self.read(path).filter(|(_, escaped)| escaped.is_empty()).map(|(name, _)| name)
    }

    /// As [`Self::name_of`], with the names whose last level is escaped whole.
    #[must_use]
    pub fn read(self, path: &Path) -> Option<(MailboxName, BTreeSet<MailboxName>)> {
        let name = match self {
            Self::Nested => nested_name_of(path)?,
            Self::MaildirPlusPlus => maildirpp::name_of(path)?,
        };
        let mut escaped = BTreeSet::new();
        if self.path_of(&name) == path {
            return Some((name, escaped));
        }
        // One directory per name: what we would not write is not taken for ours.
        let mut rest = path.as_os_str().as_bytes();
        for (n, prefix) in prefixes(&name).enumerate() {
            let level = last_level(prefix);
            let follows = |spelled: &[u8]| {
                let rest = rest.strip_prefix(spelled)?;
                matches!(rest.first(), None | Some(b'/' | b'.')).then_some(rest)
            };
            rest = match follows(&self.spell_level(level, n == 0, false)) {
                Some(rest) => rest,
                None if escaped.len() < ESCAPED_MAX => {
                    escaped.insert(MailboxName::new(prefix));
                    follows(&self.spell_level(level, n == 0, true))?
                }
                None => return None,
            };
        }
        (rest.is_empty() && self.spell(&name, &escaped) == path).then_some((name, escaped))
    }

    /// The mailboxes whose directories have to be there for this one, itself the last.
    pub(super) fn directories_of(self, mailbox: &MailboxName) -> Vec<MailboxName> {
        match self {
            Self::Nested => prefixes(mailbox).map(MailboxName::new).collect(),
            Self::MaildirPlusPlus => vec![mailbox.clone()],
        }
    }

    /// Why a mailbox cannot have a directory, if it cannot.
    #[must_use]
    pub fn refuses(self, mailbox: &MailboxName) -> Option<&'static str> {
        let too_long = self.path_of(mailbox).iter().any(|part| part.len() > NAME_MAX);
        too_long.then_some(
            "its name is too long for one directory, which is all that maildir++ has; shorten it or \
             use layout = \"nested\"",
        )
    }
}

/// The names of a mailbox and of all that it lies below, the topmost first.
pub(super) fn prefixes(mailbox: &MailboxName) -> impl Iterator<Item = &str> {
    let text = mailbox.as_str();
    let ends = text.match_indices('/').map(|(at, _)| at).chain([text.len()]);
    ends.map(move |end| &text[..end])
}

pub(super) fn last_level(name: &str) -> &str {
    name.rsplit_once('/').map_or(name, |(_, level)| level)
}

fn nested_name_of(path: &Path) -> Option<MailboxName> {
    let mut name = Vec::new();
    let mut goes_on = true;
    for part in path {
        if !goes_on {
            name.push(b'/');
        }
        goes_on = decode(part.as_bytes(), &mut name)?;
    }
    Some(MailboxName::new(&String::from_utf8(name).ok()?))
}

/// A name as one file name, for the places that are flat.
pub(super) fn flat(mailbox: &MailboxName) -> Vec<u8> {
    const ROOM: usize = 200;
    let level = mailbox.as_str().replace('%', "%25").replace('/', "%2F");
    let mut bytes = escape(&level, Escape::Odd).collect::<String>().into_bytes();
    if bytes.len() > ROOM {
        let hash = blake3::hash(mailbox.as_str().as_bytes()).to_hex();
        bytes.truncate(ROOM);
        bytes.extend_from_slice(&hash.as_bytes()[..16]);
    }
    bytes
}

/// What is escaped of a level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Escape {
    /// What a disk or a Maildir reader would misread.
    Odd,
    /// That, and `%`.
    Plain,
    /// All of it.
    Whole,
}

/// The characters of a level, escaped where they need it.
fn escape(level: &str, what: Escape) -> impl Iterator<Item = Unit> {
    let reserved = RESERVED.contains(&level) || FILES.contains(&level);
    let last = level.chars().count().saturating_sub(1);
    percent_encoded(level, move |(i, c)| {
        let first = i == 0 && (reserved || c == '.');
        let end = i == last && matches!(c, ' ' | '.');
        let odd = first || end || c == '/' || c.is_control();
        odd || what == Escape::Whole || (what == Escape::Plain && c == '%')
    })
}

fn push_level(path: &mut PathBuf, level: &str, whole: bool) {
    let what = if whole { Escape::Whole } else { Escape::Plain };
    if level.is_empty() {
        path.push(EMPTY);
        return;
    }
    if escape(level, what).map(Unit::len).sum::<usize>() <= NAME_MAX {
        path.push(escape(level, what).collect::<String>());
        return;
    }
    // Room is left for the mark and for escapes that the cut itself makes necessary.
    let mut rest = level;
    while !rest.is_empty() {
        let mut taken = 0;
        let mut len = 0;
        // More does not fit into a part, and a name may be a megabyte long.
        let near = rest.char_indices().nth(NAME_MAX).map_or(rest, |(at, _)| &rest[..at]);
        for unit in escape(near, what) {
            if len + unit.len() > NAME_MAX - 8 {
                break;
            }
            len += unit.len();
            taken += unit.c.len_utf8();
        }
        let mut part = escape(&rest[..taken], what).collect::<String>().into_bytes();
        rest = &rest[taken..];
        if !rest.is_empty() {
            part.push(GOES_ON);
        }
        path.push(OsStr::from_bytes(&part));
    }
}

/// Appends what a directory name stands for; true if the level goes on below.
fn decode(part: &[u8], name: &mut Vec<u8>) -> Option<bool> {
    if part == EMPTY.as_bytes() {
        return Some(false);
    }
    let (part, goes_on) = match part.strip_suffix(&[GOES_ON]) {
        Some(part) => (part, true),
        None => (part, false),
    };
    percent_decoded(part, name)?;
    Some(goes_on)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dir(name: &str) -> String {
        let path = Layout::Nested.path_of(&MailboxName::new(name));
        path.to_str().unwrap().to_owned()
    }

    #[test]
    fn what_a_disk_would_take_for_another_name_is_escaped_whole() {
        let escaped = BTreeSet::from(["work", "a/b/c"].map(MailboxName::new));
        for (name, nested, flat) in [
            ("work", "%77%6F%72%6B", ".%77%6F%72%6B"),
            ("work/x", "%77%6F%72%6B/x", ".%77%6F%72%6B.x"),
            ("a/b/c/d", "a/b/%63/d", ".a.b.%63.d"),
            ("works", "works", ".works"),
        ] {
            let name = MailboxName::new(name);
            for (layout, path) in [(Layout::Nested, nested), (Layout::MaildirPlusPlus, flat)] {
                let path = Path::new(path);
                assert_eq!(layout.spell(&name, &escaped), path);
                let (read, marked) = layout.read(path).unwrap();
                assert_eq!((read, layout.spell(&name, &marked)), (name.clone(), path.into()));
                assert!(marked.is_subset(&escaped), "{marked:?}");
                assert_eq!(layout.name_of(path).is_some(), marked.is_empty());
            }
        }
        let long = MailboxName::new(&"é".repeat(200));
        let escaped = BTreeSet::from([long.clone()]);
        let path = Layout::Nested.spell(&long, &escaped);
        assert!(path.iter().all(|part| part.len() <= NAME_MAX), "{path:?}");
        assert_eq!(Layout::Nested.read(&path), Some((long, escaped)));
    }

    #[test]
    fn plain_names_stay_plain() {
        assert_eq!(dir("inbox"), "INBOX");
        assert_eq!(dir("Work/Projects/Älpha & co"), "Work/Projects/Älpha & co");
    }

    #[test]
    fn what_the_disk_would_misread_is_escaped() {
        assert_eq!(dir("cur"), "%63ur");
        assert_eq!(dir("a/new/tmp"), "a/%6Eew/%74mp");
        assert_eq!(dir("../x"), "%2E%2E/x");
        assert_eq!(dir("."), "%2E");
        assert_eq!(dir("a. "), "a.%20");
        assert_eq!(dir("a."), "a%2E");
        assert_eq!(dir("100%"), "100%25");
        assert_eq!(dir("a\0b\n\u{85}"), "a%00b%0A%C2%85");
        assert_eq!(dir("/a//b/"), "%-/a/%-/b/%-");
    }

    #[test]
    fn every_name_comes_back() {
        let long = "\u{fc}".repeat(300);
        let dots = format!("{}cur", ".".repeat(255));
        let cut = format!("{}cur", "x".repeat(247));
        let names = [
            "INBOX/a",
            "cur",
            "INBOX/dovecot-keywords",
            "subscriptions",
            "...",
            " ",
            "%",
            "%41",
            "a%",
            "a//b",
            "",
            &long,
            &dots,
            &cut,
            "%-",
        ];
        for name in names {
            let name = MailboxName::new(name);
            let path = Layout::Nested.path_of(&name);
            assert_eq!(Layout::Nested.name_of(&path), Some(name), "{path:?}");
            for part in &path {
                assert!(part.len() <= NAME_MAX);
                assert!(!RESERVED.iter().chain(&FILES).any(|r| part == *r), "hazard 133");
                assert!(part.as_bytes()[0] != b'.');
            }
        }
    }

    #[test]
    fn random_names_come_back() {
        let mut rng = fastrand::Rng::with_seed(41);
        let alphabet: Vec<char> = "cur/.% -aA2\0\u{7f}\u{e9}\u{1f4e7}newtmp".chars().collect();
        for _ in 0..5000 {
            let len = if rng.u8(..) < 8 { rng.usize(240..800) } else { rng.usize(..12) };
            let name: String = (0..len).map(|_| alphabet[rng.usize(..alphabet.len())]).collect();
            let name = MailboxName::new(&name);
            let path = Layout::Nested.path_of(&name);
            assert_eq!(Layout::Nested.name_of(&path), Some(name.clone()), "{path:?}");
            let path = Layout::MaildirPlusPlus.path_of(&name);
            assert_eq!(Layout::MaildirPlusPlus.name_of(&path), Some(name), "{path:?}");
        }
    }

    #[test]
    fn maildirpp_is_what_courier_and_dovecot_write() {
        let dir = |name: &str| {
            let path = Layout::MaildirPlusPlus.path_of(&MailboxName::new(name));
            path.to_str().unwrap().to_owned()
        };
        for (name, expected) in [
            ("INBOX", ""),
            ("inbox/Lists", ".INBOX.Lists"),
            ("Work/Alpha", ".Work.Alpha"),
            ("Sent Items", ".Sent Items"),
            ("Entwürfe/日本語", ".Entw&APw-rfe.&ZeVnLIqe-"),
            ("Tom & Jerry", ".Tom &- Jerry"),
            ("cur", ".cur"),
            ("v1.2/.hidden", ".v1%2E2.%2Ehidden"),
            ("..", ".%2E%2E"),
            ("50%/a ", ".50%25.a%20"),
            ("a\n\u{85}", ".a%0A%C2%85"),
            ("a//b", ".a.%-.b"),
        ] {
            assert_eq!(dir(name), expected);
            let name = MailboxName::new(name);
            assert_eq!(Layout::MaildirPlusPlus.name_of(Path::new(expected)), Some(name));
        }
        for odd in ["..x", ".x.", ".INBOX", ".inbox.x", ".50%", ".&AGE-", ".Entwürfe", "x", ".a/b"]
        {
            assert_eq!(Layout::MaildirPlusPlus.name_of(Path::new(odd)), None, "{odd}");
        }
        let long = |n| MailboxName::new(&"é/".repeat(n));
        assert_eq!(Layout::MaildirPlusPlus.refuses(&long(10)), None);
        assert!(Layout::MaildirPlusPlus.refuses(&long(100)).is_some());
        assert_eq!(Layout::Nested.refuses(&MailboxName::new(&"é".repeat(500))), None);
    }

    #[test]
    fn what_we_would_spell_differently_is_not_ours() {
        for dir in ["%41", "inbox", "a ", "50%", "a%zz", "%2f", ".hidden", "%"] {
            assert_eq!(Layout::Nested.name_of(Path::new(dir)), None, "{dir}");
        }
        assert_eq!(Layout::Nested.name_of(Path::new(OsStr::from_bytes(b"a\xff"))), None);
    }

    #[test]
    fn flat_names_are_one_part_and_differ() {
        assert_eq!(flat(&MailboxName::new("Work/cur")), b"Work%2Fcur");
        assert_eq!(flat(&MailboxName::new("cur")), b"%63ur");
        assert_eq!(flat(&MailboxName::new("a%2Fb")), b"a%252Fb");
        assert!(flat(&MailboxName::new(&"x/".repeat(500))).len() <= 220);
    }
}
