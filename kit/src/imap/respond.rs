//! What the server is about to send: text of its own and shared message octets.

use std::fmt::{self, Write as _};
use std::ops::Range;
use std::sync::Arc;

use super::name;

/// An answer under construction. Message octets are shared, not copied.
#[derive(Debug, Default)]
pub(super) struct Out {
    parts: Vec<Part>,
}

#[derive(Debug)]
enum Part {
    Own(Vec<u8>),
    Shared(Arc<[u8]>, Range<usize>),
}

impl Out {
    /// Appends octets of its own.
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        match self.parts.last_mut() {
            Some(Part::Own(own)) => own.extend_from_slice(bytes),
            _ => self.parts.push(Part::Own(bytes.to_vec())),
        }
    }

    /// Appends one line and its CRLF.
    pub(super) fn line(&mut self, line: fmt::Arguments<'_>) {
        // `write_str` below never fails.
        let _ = self.write_fmt(line);
        self.bytes(b"\r\n");
    }

    /// Appends text.
    pub(super) fn put(&mut self, text: fmt::Arguments<'_>) {
        let _ = self.write_fmt(text);
    }

    /// Appends a literal with its announcement.
    pub(super) fn literal(&mut self, body: &Arc<[u8]>, range: Range<usize>) {
        self.put(format_args!("{{{}}}\r\n", range.len()));
        self.parts.push(Part::Shared(Arc::clone(body), range));
    }

    /// Appends shared octets without announcing them.
    pub(super) fn raw(&mut self, body: &Arc<[u8]>) {
        self.parts.push(Part::Shared(Arc::clone(body), 0..body.len()));
    }

    /// The octets in order.
    pub(super) fn slices(&self) -> impl Iterator<Item = &[u8]> {
        self.parts.iter().map(|part| match part {
            Part::Own(own) => own.as_slice(),
            Part::Shared(body, range) => body.get(range.clone()).unwrap_or_default(),
        })
    }
}

impl fmt::Write for Out {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.bytes(text.as_bytes());
        Ok(())
    }
}

/// A mailbox name as it goes on the wire: modified UTF-7, quoted where an atom will not do.
pub(super) fn mailbox(utf8: &str) -> String {
    astring(&name::encode(utf8))
}

/// A hierarchy delimiter: NUL stands for none.
pub(super) fn delimiter(delimiter: char) -> String {
    if delimiter == '\0' { "NIL".to_owned() } else { quoted(&delimiter.to_string()) }
}

/// Printable ASCII as an atom, or else quoted.
pub(super) fn astring(text: &str) -> String {
    let special = |b: u8| b <= b' ' || b >= 0x7f || b"(){%*\"\\]".contains(&b);
    if !text.is_empty() && !text.bytes().any(special) && !text.eq_ignore_ascii_case("NIL") {
        text.to_owned()
    } else {
        quoted(text)
    }
}

/// Text as a quoted string.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_on_the_wire() {
        assert_eq!(mailbox("A/é"), "A/&AOk-");
        assert_eq!(mailbox("sp ace"), "\"sp ace\"");
        assert_eq!(mailbox("q\"\\"), "\"q\\\"\\\\\"");
        assert_eq!(mailbox("nil"), "\"nil\"");
    }

    #[test]
    fn parts_in_order() {
        let mut out = Out::default();
        out.put(format_args!("a "));
        out.literal(&Arc::from(&b"0123"[..]), 1..3);
        out.line(format_args!(")"));
        assert_eq!(out.slices().collect::<Vec<_>>().concat(), b"a {2}\r\n12)\r\n");
    }
}
