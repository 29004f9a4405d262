//! `%XX` in the names of directories.

use std::fmt::Write as _;

/// An empty level (`a//b`), which no directory can spell.
pub(super) const EMPTY: &str = "%-";

/// A character as it is spelled: itself, or the `%XX` of its UTF-8.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unit {
    pub(super) c: char,
    escaped: bool,
}

impl Unit {
    /// Bytes of its spelling.
    pub(super) fn len(self) -> usize {
        self.c.len_utf8() * if self.escaped { 3 } else { 1 }
    }
}

impl FromIterator<Unit> for String {
    fn from_iter<I: IntoIterator<Item = Unit>>(units: I) -> Self {
        let mut text = Self::new();
        for Unit { c, escaped } in units {
            if escaped {
                for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                    // Writing to a string cannot fail.
                    let _ = write!(text, "%{byte:02X}");
                }
            } else {
                text.push(c);
            }
        }
        text
    }
}

/// The characters of a text, those that need it escaped.
pub(super) fn percent_encoded(
    text: &str,
    needs: impl Fn((usize, char)) -> bool,
) -> impl Iterator<Item = Unit> {
    text.chars().enumerate().map(move |(i, c)| Unit { c, escaped: needs((i, c)) })
}

/// Appends what `%XX` and plain bytes stand for.
pub(super) fn percent_decoded(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        if *byte != b'%' {
            out.push(*byte);
            continue;
        }
        let mut digit = || char::from(*rest.next()?).to_digit(16);
        out.push(u8::try_from(digit()? * 16 + digit()?).ok()?);
    }
    Some(())
}
