//! What must hold whatever a disk holds: for the tests and for libFuzzer, not shipped.
//!
//! Each function takes any bytes and panics where something does not hold.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::content::{Digest, wire_form};
use super::header::{self, HeaderReader};
use super::keywords::KeywordTable;
use super::layout::Layout;
use super::name::{FileName, SEPARATOR, keyword_letters, split, system_flags, with_flags};
use super::reserved::RESERVED;
use crate::reconcile::types::{Flags, Keyword, KeywordMask, MailboxName, Stem, System};

/// Mailboxes as directories: every name has one directory that leads back to it, no part of
/// which is a file that a Maildir reader knows; a directory is taken for a mailbox only if
/// that is its spelling.
pub fn mailbox_path(bytes: &[u8]) {
    let name = MailboxName::new(&String::from_utf8_lossy(bytes));
    let path = Layout::Nested.path_of(&name);
    assert_eq!(Layout::Nested.name_of(&path).as_ref(), Some(&name), "{path:?}");
    assert!(path.is_relative());
    for part in path.components() {
        let std::path::Component::Normal(part) = part else { panic!("{path:?}") };
        let part = part.as_bytes();
        assert!(!part.is_empty() && part.len() <= 255 && part[0] != b'.', "{path:?}");
        assert!(!part.iter().any(u8::is_ascii_control), "{path:?}");
        assert!(!RESERVED.iter().any(|reserved| part == reserved.as_bytes()), "{path:?}");
    }
    let found = Path::new(OsStr::from_bytes(bytes));
    if let Some(name) = Layout::Nested.name_of(found) {
        assert_eq!(Layout::Nested.path_of(&name).as_path(), found);
    }
}

/// Keyword tables: what is read is written without loss, every letter means at most one
/// keyword and comes back from it, and an addition changes no other letter.
pub fn keyword_file(text: &[u8]) {
    let table = KeywordTable::parse(text);
    assert!(table.slots().len() <= 26);
    let written = table.print();
    let again = KeywordTable::parse(&written);
    assert_eq!(again, table, "{}", written.escape_ascii());
    // Every line that said something is still there, if only by its meaning.
    let lines = |text: &[u8]| text.split(|b| *b == b'\n').filter(|l| !l.is_empty()).count();
    assert_eq!(lines(&written), lines(text));
    letters_come_back(&table);

    let mut grown = table.clone();
    let full = table.mask() != KeywordMask::Any;
    let new = Keyword::new("mailtide-test-\u{e9}");
    let known = table.contains(&new);
    let hint = Some(text.len().to_le_bytes()[0]);
    assert!(known || grown.add(&new, hint, &BTreeMap::new()) != full);
    for (at, slot) in table.slots().iter().enumerate().filter(|(_, slot)| slot.is_some()) {
        assert_eq!(grown.slots()[at], *slot, "an addition took a letter away");
    }
    assert_eq!(KeywordTable::parse(&grown.print()), grown);
    letters_come_back(&grown);
}

fn letters_come_back(table: &KeywordTable) {
    let all: String = ('a'..='z').collect();
    let (flags, unknown) = table.flags_of(&format!("2,{all}"));
    let means = table.slots().iter().flatten().count();
    assert_eq!(unknown.len(), 26 - means);
    let (letters, without) = table.letters_for(&flags);
    assert!(without.is_empty(), "{without:?}");
    let (back, unknown) = table.flags_of(&format!("2,{letters}"));
    assert!(unknown.is_empty());
    // A flag of the six that a table names has its own letter in a file name.
    assert_eq!(back.keywords, flags.keywords);
}

/// Messages: their keys and their content do not depend on how they are cut into pieces, nor
/// on whether their lines end in LF or CRLF. The first bytes say where it is cut.
pub fn message(input: &[u8]) {
    let Some((cut, body)) = input.split_first_chunk::<2>() else { return };
    let cut = usize::from(u16::from_le_bytes(*cut)).min(body.len());
    let keys = header::keys(body);
    let mut reader = HeaderReader::default();
    reader.update(&body[..cut]);
    reader.update(&body[cut..]);
    assert_eq!(reader.finish(), keys);
    let wire = wire_form(body);
    assert_eq!(header::keys(&wire), keys, "CRLF");
    let mut digest = Digest::default();
    body.chunks(cut.max(1)).for_each(|chunk| digest.update(chunk));
    let summary = digest.finish();
    assert_eq!((summary.header, summary.wire_size), (keys, wire.len() as u64));
    let mut of_wire = Digest::default();
    of_wire.update(&wire);
    assert_eq!(of_wire.finish(), summary);
    assert_eq!(wire_form(&wire), wire);
}

/// File names: each comes apart and together again; new flags are read back as they were
/// set, once and for all, and what is not ours stays.
pub fn file_name(bytes: &[u8]) {
    for separator in [SEPARATOR, b';', b'!'] {
        let (stem, info) = split(bytes, separator);
        let Ok(info) = std::str::from_utf8(info) else { continue };
        let stem = Stem(stem.to_vec());
        let name = FileName::build(&stem, false, info, separator);
        assert_eq!(name.bytes, bytes);
        for system in [System::NONE, System::SEEN, System::ALL, System::PASSED] {
            for keywords in ["", "a", "bz"] {
                let set = with_flags(info, system, keywords);
                assert_eq!(system_flags(&set), system, "{set}");
                assert_eq!(keyword_letters(&set).collect::<String>(), keywords, "{set}");
                assert_eq!(with_flags(&set, system, keywords), set, "the second time");
                let named = FileName::build(&stem, false, &set, separator);
                let (same, part) = split(&named.bytes, separator);
                assert_eq!((same, part), (&stem.0[..], set.as_bytes()), "{set}");
                foreign_stays(info, &set);
            }
        }
    }
    let flags = KeywordTable::default().flags_of(&String::from_utf8_lossy(bytes)).0;
    assert_eq!(flags, Flags::system(flags.system));
}

/// Letters that are neither flags nor keywords, and further fields, are other programs'.
fn foreign_stays(old: &str, new: &str) {
    let Some(rest) = old.strip_prefix("2,") else { return };
    let (letters, fields) = rest.split_at(rest.find(',').unwrap_or(rest.len()));
    assert!(new.ends_with(fields), "{old} {new}");
    let ours = |c: char| System::from_letter(c).is_some() || c.is_ascii_lowercase();
    let kept = &new[..new.len() - fields.len()];
    assert!(letters.chars().filter(|c| !ours(*c)).all(|c| kept.contains(c)), "{old} {new}");
}
