//! Maildir++: the root is the INBOX, every other mailbox is one directory beside its `cur`,
//! `.Work.Alpha` for `Work/Alpha`, as Courier and Dovecot read and write it.
//!
//! What is not ASCII is spelled in modified UTF-7, which is what both expect there. What a
//! level holds of `.`, `/`, `%`, control characters, or a blank at its end is percent-escaped
//! first; other programs show such a name with its escapes.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::reconcile::types::{MailboxName, decode_utf7, encode_utf7};

use super::percent::{EMPTY, percent_decoded, percent_encoded};
use super::reserved::OWN;

/// The file that says that a directory belongs to the Maildir above it.
pub(super) const FOLDER_MARK: &str = "maildirfolder";

/// The directory of a mailbox, relative to the root. It may be too long for a file name.
pub(super) fn path_of<'a>(
    mailbox: &MailboxName,
    levels: impl Iterator<Item = (&'a str, bool)>,
) -> PathBuf {
    if mailbox.is_inbox() {
        return PathBuf::new();
    }
    let levels = levels.map(|(level, whole)| spell(level, whole));
    PathBuf::from(levels.fold(String::new(), |path, level| path + "." + &level))
}

/// What a directory is called, whether or not [`path_of`] would spell it so.
pub(super) fn name_of(path: &Path) -> Option<MailboxName> {
    let mut parts = path.iter();
    let Some(part) = parts.next() else { return Some(MailboxName::new(MailboxName::INBOX)) };
    if parts.next().is_some() {
        return None;
    }
    let levels = part.as_bytes().strip_prefix(b".")?.split(|byte| *byte == b'.');
    let levels: Option<Vec<String>> = levels.map(read).collect();
    Some(MailboxName::new(&levels?.join("/")))
}

/// Whether a directory could be a mailbox beside the INBOX: those of other programs have no
/// dot, ours is not one.
pub(super) fn is_candidate(name: &[u8]) -> bool {
    name.first() == Some(&b'.') && OsStr::from_bytes(name) != OWN
}

pub(super) fn spell(level: &str, whole: bool) -> String {
    if level.is_empty() {
        return EMPTY.to_owned();
    }
    let last = level.chars().count() - 1;
    let needs = |(i, c): (usize, char)| {
        whole || matches!(c, '.' | '/' | '%') || c.is_control() || (c == ' ' && i == last)
    };
    encode_utf7(&percent_encoded(level, needs).collect::<String>())
}

fn read(level: &[u8]) -> Option<String> {
    if level == EMPTY.as_bytes() {
        return Some(String::new());
    }
    let text = decode_utf7(std::str::from_utf8(level).ok()?)?;
    let mut bytes = Vec::new();
    percent_decoded(text.as_bytes(), &mut bytes)?;
    String::from_utf8(bytes).ok()
}
