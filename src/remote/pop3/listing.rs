//! The maildrop as one session shows it, and the lines that say so.

use std::collections::HashSet;
use std::sync::Arc;

use crate::remote::suspects::{Command, Thing};

/// The longest id that is taken. RFC 1939 §7 allows 70 octets; not all keep to it.
const ID: usize = 1_000;

/// A message of the maildrop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its number in this session.
    pub number: u32,
    /// Its unique id, as the server spells it; none if it has no usable one. Two messages may
    /// have the same: some servers make it of what a message says.
    pub uidl: Option<Arc<str>>,
    /// Its size in octets, as announced.
    pub size: Option<u64>,
}

/// The maildrop as a session shows it, by number.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    all: Arc<[Listed]>,
    /// It has an id twice.
    twins: bool,
}

impl Listing {
    pub(crate) fn new(all: Arc<[Listed]>) -> Self {
        let mut seen = HashSet::new();
        let twins = !all.iter().filter_map(|one| one.uidl.as_deref()).all(|id| seen.insert(id));
        Self { all, twins }
    }

    /// A message.
    pub(crate) fn get(&self, number: u32) -> Option<&Listed> {
        let at = self.all.binary_search_by_key(&number, |one| one.number).ok()?;
        self.all.get(at)
    }

    /// How many messages there are.
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether an id is that of two.
    #[must_use]
    pub fn has_twins(&self) -> bool {
        self.twins
    }

    /// All numbers.
    pub fn numbers(&self) -> impl Iterator<Item = u32> {
        self.all.iter().map(|one| one.number)
    }

    /// What a message is called in every session: by its unique id or, where that says nothing, by
    /// its number and size.
    #[must_use]
    pub fn name(&self, number: u32) -> String {
        let listed = self.get(number);
        let uidl = listed.and_then(|one| one.uidl.as_ref()).filter(|_| !self.twins);
        match (uidl.filter(|id| ***id != *number.to_string()), listed.and_then(|one| one.size)) {
            (Some(uidl), _) => format!("UIDL {uidl}"),
            (None, Some(size)) => format!("message {number} of {size} octets"),
            (None, None) => format!("message {number}"),
        }
    }

    /// A command about a message.
    #[must_use]
    pub fn thing(&self, command: Command, number: u32) -> Thing {
        Thing::in_maildrop(command, Some(self.name(number)))
    }
}

/// Reads a line: a number, and what `read` makes of the rest.
pub(crate) fn entry<T>(line: &[u8], read: fn(&[u8]) -> Option<T>) -> Option<(u32, Option<T>)> {
    let line = line.trim_ascii();
    let end = line.iter().position(u8::is_ascii_whitespace).unwrap_or(line.len());
    let number = std::str::from_utf8(&line[..end]).ok()?;
    // `parse` takes a sign as well.
    let number =
        number.bytes().all(|byte| byte.is_ascii_digit()).then(|| number.parse().ok())??;
    (number > 0).then(|| (number, read(line[end..].trim_ascii())))
}

pub(crate) fn id(rest: &[u8]) -> Option<Arc<str>> {
    let text = std::str::from_utf8(rest).ok()?;
    (!text.is_empty() && text.len() <= ID).then(|| text.into())
}

pub(crate) fn size(rest: &[u8]) -> Option<u64> {
    // What follows the size is the server's own affair (RFC 1939 §5, LIST).
    let word = rest.split(u8::is_ascii_whitespace).next()?;
    let digits = word.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(word).ok().filter(|_| digits)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line, and what it says.
    type Case<'a> = (&'a [u8], Option<(u32, Option<Arc<str>>)>);

    #[test]
    fn lines_of_every_make() {
        let text = |text: &str| Some(text.into());
        let long = "x".repeat(ID);
        let (kept, over) = (format!("3 {long}"), format!("3 {long}y"));
        let table: [Case<'_>; 13] = [
            (b"1 a", Some((1, text("a")))),
            (b"  2   b  ", Some((2, text("b")))),
            (b"2\tb c", Some((2, text("b c")))),
            (b"2", Some((2, None))),
            (b"2 ", Some((2, None))),
            (kept.as_bytes(), Some((3, Some(long.as_str().into())))),
            (over.as_bytes(), Some((3, None))),
            (b"4 \xff", Some((4, None))),
            (b"0 a", None),
            (b"+1 a", None),
            (b"4294967296 a", None),
            (b"a 1", None),
            (b"", None),
        ];
        for (line, expected) in table {
            assert_eq!(entry(line, id), expected, "{}", line.escape_ascii());
        }
        assert_eq!(entry(b"1 120 more", size), Some((1, Some(120))));
        assert_eq!(entry(b"1 -120", size), Some((1, None)));
        assert_eq!(entry(b"1 99999999999999999999", size), Some((1, None)));
    }
}
