//! What a body turns out to be while it is written: its date, and by what it is known again.

use super::sort::header_hash;
use crate::local::{Delivered, Delivery, LocalError};
use crate::remote::date;
use crate::remote::pop3::HEADER;

/// How much of what follows the header says whether two texts are the same, with its length.
const TEXT_MAX: u64 = 16 << 10;
/// A date may be so many seconds in the future: clocks differ.
const AHEAD: i64 = 86_400;

/// A body that is whole.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) number: u32,
    pub(super) delivered: Delivered,
    /// Fewer octets came than the server announced, and the same ones when asked again.
    pub(super) short: bool,
    /// Hash of its header.
    pub(super) header: [u8; 32],
    /// Hash of the beginning of what follows, its length, and what its author wrote into the
    /// header.
    pub(super) text: [u8; 32],
}

impl Read {
    /// Whether its author gave it a name of its own.
    pub(super) fn has_message_id(&self) -> bool {
        self.delivered.summary.header.has_message_id
    }
}

/// A body that is coming.
#[derive(Debug)]
pub(super) struct Reading {
    number: u32,
    delivery: Delivery,
    header: Header,
    /// Of the beginning of what follows the header.
    beginning: blake3::Hasher,
    /// Octets of all of that.
    length: u64,
    /// Octets of the whole message so far.
    octets: u64,
}

impl Reading {
    pub(super) fn new(number: u32, delivery: Delivery) -> Self {
        let (header, beginning) = (Header::default(), blake3::Hasher::new());
        Self { number, delivery, header, beginning, length: 0, octets: 0 }
    }

    /// The number of the message.
    pub(super) fn number(&self) -> u32 {
        self.number
    }

    /// How much of it came.
    pub(super) fn octets(&self) -> u64 {
        self.octets
    }

    /// Takes the next octets of the wire.
    pub(super) fn take(&mut self, octets: &[u8]) -> Result<(), LocalError> {
        self.octets += octets.len() as u64;
        let text = self.header.take(octets);
        let room = TEXT_MAX.saturating_sub(self.beginning.count());
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        self.beginning.update(&text[..text.len().min(room)]);
        self.length += text.len() as u64;
        self.delivery.write(octets)
    }

    /// The end of the body, at this time.
    pub(super) fn finish(self, now: i64) -> Result<Read, LocalError> {
        let header = self.header.text;
        let date = date::of_header(&header).filter(|date| *date < now + AHEAD);
        let delivered = self.delivery.finish(date.unwrap_or(now))?;
        let mut hasher = blake3::Hasher::new();
        hasher.update(&delivered.summary.header.loose).update(&self.length.to_le_bytes());
        hasher.update(self.beginning.finalize().as_bytes());
        let text = *hasher.finalize().as_bytes();
        let (number, header) = (self.number, header_hash(&header));
        Ok(Read { number, delivered, short: false, header, text })
    }
}

/// What an answer to TOP says of a message: the hash of its header. Some servers send the text as
/// well, and a header that is blank says nothing.
pub(super) fn header_of(answer: &[u8]) -> Option<[u8; 32]> {
    let mut header = Header::default();
    header.take(answer);
    (!header.text.trim_ascii().is_empty()).then(|| header_hash(&header.text))
}

/// The lines up to the first empty one, as TOP gives them; of more than [`HEADER`] octets the
/// first.
#[derive(Debug, Default)]
struct Header {
    text: Vec<u8>,
    /// Where the last line begins.
    line: usize,
    over: bool,
}

impl Header {
    /// Takes what belongs to the header. Gives the rest.
    fn take<'a>(&mut self, octets: &'a [u8]) -> &'a [u8] {
        let mut rest = octets;
        while !self.over && !rest.is_empty() {
            let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
            let (part, after) = rest.split_at(end);
            let room = HEADER - self.text.len();
            self.text.extend_from_slice(&part[..part.len().min(room)]);
            rest = after;
            if part.ends_with(b"\n") {
                let line = &self.text[self.line..];
                self.over = line.iter().all(|octet| matches!(octet, b'\r' | b'\n'));
                self.line = self.text.len();
            }
            self.over |= self.text.len() == HEADER;
        }
        rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_ends_with_its_first_empty_line_wherever_it_is_cut() {
        let table: [(&[u8], &[u8], &[u8]); 7] = [
            (b"a: b\r\n\r\ntext", b"a: b\r\n\r\n", b"text"),
            (b"a: b\r\n\r\n\r\ntext", b"a: b\r\n\r\n", b"\r\ntext"),
            (b"a: b\n\ntext\n\n", b"a: b\n\n", b"text\n\n"),
            (b"a: b\r\r\n\r\r\ntext", b"a: b\r\r\n\r\r\n", b"text"),
            (b"\r\ntext", b"\r\n", b"text"),
            (b"a: b\r\n", b"a: b\r\n", b""),
            (b"", b"", b""),
        ];
        for (message, expected, text) in table {
            for cut in 0..=message.len() {
                let mut header = Header::default();
                let mut rest = header.take(&message[..cut]).to_vec();
                rest.extend_from_slice(header.take(&message[cut..]));
                let shown = message.escape_ascii();
                assert_eq!((&header.text[..], &rest[..]), (expected, text), "{shown} at {cut}");
            }
        }
        let mut header = Header::default();
        header.take(&vec![b'x'; 3 * HEADER]);
        assert_eq!(header.text.len(), HEADER);
    }
}
