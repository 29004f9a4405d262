//! Mailbox names that a directory has by the rules of other programs.
//!
//! mbsync writes modified UTF-7 as the server sends it, with the levels nested (Verbatim), as
//! `Parent/.Child` (Legacy) or as `.Parent.Child` (Maildir++). `OfflineIMAP` does the same with
//! any separator, often a dot. Dovecot writes modified UTF-7 or plain UTF-8, others `%XX`. A
//! reading is only a proposal: it counts where the server has a mailbox of that name.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::percent::percent_decoded;
use crate::reconcile::types::{MailboxName, decode_utf7};

/// A name that a directory has by the rules of another program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reading {
    /// The mailbox.
    pub(super) name: MailboxName,
    /// Characters were decoded, which is no chance; else only dots were read as levels.
    pub(super) decoded: bool,
    /// The same for the directories above it, where each holds one level.
    pub(super) above: Vec<(MailboxName, PathBuf)>,
}

type Decode = fn(&[u8]) -> Option<String>;

type Shape = fn(&[&[u8]]) -> Vec<Vec<u8>>;

/// How directories are taken apart into levels.
const SHAPES: [Shape; 2] = [one_each, at_dots];

/// How a level is decoded.
const DECODERS: [Decode; 4] = [plain, utf7, percent, percent_in_utf7];

/// Every name that a directory, relative to the root, may have. `below_inbox`: all mailboxes
/// of the server lie below its INBOX, which other programs leave out of the names on disk.
pub(super) fn readings(path: &Path, below_inbox: bool) -> Vec<Reading> {
    let mut out: Vec<Reading> = Vec::new();
    for (_, reading) in all_readings(path, below_inbox) {
        if !out.iter().any(|known| known.name == reading.name) {
            out.push(reading);
        }
    }
    out
}

/// The rules that gave a reading: the decoder, the shape, and which of the names.
type Rules = (usize, usize, usize);

/// The name that a directory has by the rules by which `before` was that of `name`; none where
/// those rules do not agree.
pub(super) fn read_alike(
    dir: &Path,
    before: &Path,
    name: &MailboxName,
    below_inbox: bool,
) -> Option<Reading> {
    let rules = all_readings(before, below_inbox).into_iter().filter(|(_, r)| r.name == *name);
    let rules: Vec<Rules> = rules.map(|(rules, _)| rules).collect();
    let now = all_readings(dir, below_inbox).into_iter();
    let mut now = now.filter(|(by, _)| rules.contains(by)).map(|(_, reading)| reading);
    let first = now.next()?;
    now.all(|other| other.name == first.name).then_some(first)
}

/// The readings by all rules; several may give one name.
fn all_readings(path: &Path, below_inbox: bool) -> Vec<(Rules, Reading)> {
    let parts: Vec<&[u8]> = path.iter().map(OsStrExt::as_bytes).collect();
    let mut out = Vec::new();
    for (d, decode) in DECODERS.into_iter().enumerate() {
        for (s, shape) in SHAPES.into_iter().enumerate() {
            let Some(levels) = decoded(shape(&parts), decode) else { continue };
            let is_decoded = levels.iter().any(|(_, changed)| *changed);
            let levels: Vec<String> = levels.into_iter().map(|(level, _)| level).collect();
            let mut names = vec![levels.join("/")];
            // Maildir++ below a directory of its INBOX: `INBOX/.Sent`.
            if parts.len() > 1 && parts[0] == b"INBOX" && parts[1].starts_with(b".") {
                names.push(levels[1..].join("/"));
            }
            if below_inbox {
                names.push(format!("{}/{}", MailboxName::INBOX, levels.join("/")));
            }
            for (n, name) in names.iter().enumerate() {
                let name = MailboxName::new(name);
                let nested = n == 0 && levels.len() == parts.len();
                let above = if nested { above(&levels, path) } else { Vec::new() };
                out.push(((d, s, n), Reading { name, decoded: is_decoded, above }));
            }
        }
    }
    out
}

/// A directory for each level.
fn one_each(parts: &[&[u8]]) -> Vec<Vec<u8>> {
    parts.iter().map(|part| without_dot(part).to_vec()).collect()
}

/// Levels between dots, too.
fn at_dots(parts: &[&[u8]]) -> Vec<Vec<u8>> {
    let levels = parts.iter().flat_map(|part| without_dot(part).split(|byte| *byte == b'.'));
    levels.map(<[u8]>::to_vec).collect()
}

fn without_dot(part: &[u8]) -> &[u8] {
    part.strip_prefix(b".").unwrap_or(part)
}

/// The levels as text, and whether that differs from what is written.
fn decoded(levels: Vec<Vec<u8>>, decode: Decode) -> Option<Vec<(String, bool)>> {
    let level = |bytes: Vec<u8>| {
        let text = decode(&bytes)?;
        let fits = !text.is_empty() && !text.contains(|c: char| c == '/' || c.is_control());
        let changed = text.as_bytes() != bytes;
        fits.then_some((text, changed))
    };
    levels.into_iter().map(level).collect()
}

fn above(levels: &[String], path: &Path) -> Vec<(MailboxName, PathBuf)> {
    let dirs = path.ancestors().skip(1).filter(|dir| !dir.as_os_str().is_empty());
    let names = (1..levels.len()).rev().map(|n| MailboxName::new(&levels[..n].join("/")));
    names.zip(dirs.map(Path::to_owned)).collect()
}

fn plain(level: &[u8]) -> Option<String> {
    String::from_utf8(level.to_vec()).ok()
}

fn utf7(level: &[u8]) -> Option<String> {
    decode_utf7(std::str::from_utf8(level).ok()?)
}

fn percent(level: &[u8]) -> Option<String> {
    let mut bytes = Vec::new();
    percent_decoded(level, &mut bytes)?;
    String::from_utf8(bytes).ok()
}

fn percent_in_utf7(level: &[u8]) -> Option<String> {
    percent(utf7(level)?.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_of_other_programs_are_read() {
        for (path, name) in [
            ("Entw&APw-rfe", "Entwürfe"),
            ("Gesendete Objekte/&ANw-brig", "Gesendete Objekte/Übrig"),
            ("Gesendete Objekte/.&ANw-brig", "Gesendete Objekte/Übrig"),
            (".Gesendete Objekte.&ANw-brig", "Gesendete Objekte/Übrig"),
            (".Gesendete Objekte.Übrig", "Gesendete Objekte/Übrig"),
            ("Gesendete Objekte.&ANw-brig", "Gesendete Objekte/Übrig"),
            ("INBOX/.Gesendete Objekte.&ANw-brig", "Gesendete Objekte/Übrig"),
            ("INBOX/.Alt", "INBOX/Alt"),
            ("&ZeVnLIqe-", "日本語"),
            ("%E6%97%A5%E6%9C%AC%E8%AA%9E", "日本語"),
            ("Tom &- Jerry", "Tom & Jerry"),
            ("100%", "100%"),
            ("100%25", "100%"),
            ("Entw%c3%bcrfe", "Entwürfe"),
        ] {
            let names = readings(Path::new(path), false);
            assert!(names.iter().any(|r| r.name.as_str() == name), "{path}: {names:?}");
        }
        let names = readings(Path::new("Sent"), true);
        assert!(names.iter().any(|r| r.name.as_str() == "INBOX/Sent"));
        assert!(readings(Path::new("a..b"), false).iter().all(|r| r.name.as_str() == "a..b"));
        assert!(readings(Path::new("a%2Fb"), false).iter().all(|r| r.name.as_str() == "a%2Fb"));
    }

    #[test]
    fn a_renamed_directory_is_read_by_the_rules_of_its_former_name() {
        for (before, name, dir, now) in [
            (".Lists.rust", "Lists/rust", ".Lists.go", Some("Lists/go")),
            (".Work", "Work", ".Werk", Some("Werk")),
            // A level with a dot, or two levels: nothing tells.
            (".Work", "Work", ".Lists.new", None),
            ("Entw&APw-rfe", "Entwürfe", "Entw&APw-rfe2", Some("Entwürfe2")),
            ("Parent/.&ANw-", "Parent/Ü", "Parent/.&AOQ-", Some("Parent/ä")),
            (".Work", "Other", ".Werk", None),
        ] {
            let name = MailboxName::new(name);
            let read = read_alike(Path::new(dir), Path::new(before), &name, false);
            assert_eq!(read.as_ref().map(|r| r.name.as_str()), now, "{before} {dir}");
        }
    }

    #[test]
    fn only_what_was_decoded_is_called_so() {
        let decoded = |path: &str, name: &str| {
            let all = readings(Path::new(path), false);
            all.iter().find(|r| r.name.as_str() == name).map(|r| r.decoded)
        };
        assert_eq!(decoded("v1.2", "v1/2"), Some(false));
        assert_eq!(decoded(".Sent", "Sent"), Some(false));
        assert_eq!(decoded("a.&ANw-", "a/Ü"), Some(true));
        assert_eq!(decoded("a.&ANw-", "a.Ü"), Some(true));
    }

    #[test]
    fn the_directories_above_get_their_names() {
        let all = readings(Path::new("B&APw-cher/.&ANw-/Neu"), false);
        let found = all.iter().find(|r| r.name.as_str() == "Bücher/Ü/Neu").unwrap();
        let dir = |name: &str, dir: &str| (MailboxName::new(name), PathBuf::from(dir));
        assert_eq!(
            found.above,
            [dir("Bücher/Ü", "B&APw-cher/.&ANw-"), dir("Bücher", "B&APw-cher")]
        );
    }
}
