//! Whether a file and a body that came down are one message, whatever servers and other programs
//! write into headers.

use crate::reconcile::types::MailboxName;

use super::deliver::Delivered;
use super::error::{At, LocalError, Scope, if_there};
use super::fs::Kind;
use super::read::CHUNK;
use super::root::Root;
use super::scan::Listed;

/// Octets above which messages are not compared: they would be read into memory.
pub const TEXT_MAX: u64 = 64 << 20;

/// Fields that servers and mail programs add or change; all that begin with `X-` as well.
const FOREIGN: [&str; 8] = [
    "status",
    "content-length",
    "lines",
    "received",
    "return-path",
    "delivered-to",
    "envelope-to",
    "delivery-date",
];

/// How a file relates to a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Likeness {
    /// The same but for the fields of servers and other programs, and for line ends.
    Same,
    /// The file is the beginning of the body, and less than half of it.
    CutOff,
    /// Two texts, or one that cannot be read now.
    Different,
}

impl Root {
    /// Compares a file with the text of a body, in the form of the disk or of the wire.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn compare(
        &self,
        mailbox: &MailboxName,
        file: &Listed,
        body: &[u8],
    ) -> Result<Likeness, LocalError> {
        let file = self.text_of(&self.path_of(mailbox, &file.name))?;
        Ok(file.map_or(Likeness::Different, |file| likeness(&file, body)))
    }

    /// Returns the text of a body in `tmp/`; none where it is too large to be compared.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn delivered_text(&self, body: &Delivered) -> Result<Option<Vec<u8>>, LocalError> {
        self.text_of(body.path())
    }

    /// The bytes of a file; none where it is gone, is no file or is too large.
    fn text_of(&self, path: &std::path::Path) -> Result<Option<Vec<u8>>, LocalError> {
        let Some(file) = if_there(self.fs.open(path)).at(Scope::Message, "open", path)? else {
            return Ok(None);
        };
        let meta = file.meta().at(Scope::Message, "look at", path)?;
        if meta.kind != Kind::File || meta.stamp.size > TEXT_MAX {
            return Ok(None);
        }
        let (mut text, mut chunk) = (Vec::new(), vec![0; CHUNK]);
        loop {
            let read = file.read_at(&mut chunk, text.len() as u64);
            match read.at(Scope::Message, "read", path)? {
                0 => return Ok(Some(text)),
                n => text.extend_from_slice(&chunk[..n]),
            }
        }
    }
}

/// Compares two texts in the form of the disk or of the wire.
#[must_use]
pub fn likeness(file: &[u8], body: &[u8]) -> Likeness {
    let (file, body) = (plain(file), plain(body));
    if file.trim_ascii_end() == body.trim_ascii_end() || parts(&file) == parts(&body) {
        return Likeness::Same;
    }
    let cut_off = file.len() * 2 < body.len() && body.starts_with(file.trim_ascii_end());
    if cut_off { Likeness::CutOff } else { Likeness::Different }
}

/// Without CRs, and with what servers put in the place of NUL (hazard 17).
fn plain(text: &[u8]) -> Vec<u8> {
    let bytes = text.iter().copied().filter(|b| *b != b'\r');
    bytes.map(|b| if b == 0 { 0x80 } else { b }).collect()
}

/// The fields that are a message's own, sorted, and its body.
fn parts(text: &[u8]) -> (Vec<Vec<u8>>, &[u8]) {
    let mut fields: Vec<Vec<u8>> = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        let line = &rest[..end];
        rest = rest.get(end + 1..).unwrap_or_default();
        if line.is_empty() {
            break;
        }
        match fields.last_mut() {
            Some(last) if line[0].is_ascii_whitespace() => last.extend_from_slice(line),
            _ => fields.push(line.to_vec()),
        }
    }
    fields.retain(|field| is_own(field));
    let words = |field: Vec<u8>| {
        let words = field.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        words.collect::<Vec<_>>().join(&b' ')
    };
    let mut fields: Vec<Vec<u8>> = fields.into_iter().map(words).collect();
    fields.sort();
    (fields, rest.trim_ascii_end())
}

fn is_own(field: &[u8]) -> bool {
    let name = field.split(|b| *b == b':').next().unwrap_or_default();
    let name = String::from_utf8_lossy(name).trim().to_ascii_lowercase();
    !name.starts_with("x-") && !FOREIGN.contains(&name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_other_programs_do_not_matter_and_all_else_does() {
        let text = b"Message-ID: <1>\r\nTo: a\r\n\r\nbody\r\n";
        for (other, expected) in [
            (&b"X-TUID: abc\nMessage-ID: <1>\nStatus: RO\nTo: a\n\nbody\n"[..], Likeness::Same),
            (b"To:\n a\nMessage-ID: <1>\n\nbody", Likeness::Same),
            (b"Message-ID: <1>\nTo: b\n\nbody\n", Likeness::Different),
            (b"Message-ID: <1>\nTo: a\n\nbodY\n", Likeness::Different),
            (b"Message-ID: <1>\nTo: a\n\nbo", Likeness::Different),
            (b"Message-ID: <", Likeness::CutOff),
        ] {
            assert_eq!(likeness(other, text), expected, "{:?}", String::from_utf8_lossy(other));
        }
    }
}
