//! What a body turns out to be while it is written: its date, and by what it is known again.

use crate::local::{Delivered, Delivery, LocalError};
use crate::remote::date;
use crate::remote::pop3::HEADER;
use crate::state::MaildropRow;

/// How much of what follows the header says whether two texts are the same, with its length.
const TEXT_MAX: u64 = 16 << 10;
/// A date may be so many seconds in the future: clocks differ.
const AHEAD: i64 = 86_400;

/// Lines of its text by which a message is known, beside its header.
const LINES: u32 = 64;
/// Lines that are asked for: not all servers count them alike.
pub(super) const ASKED: u32 = LINES + 2;

/// How a message begins, as TOP gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Top {
    /// Hash of its header.
    pub(super) header: [u8; 32],
    /// Hash of that and the first [`LINES`] of its text.
    pub(super) start: [u8; 32],
}

/// What is known of how a message began when it was pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KnownTop {
    /// All of it.
    Start([u8; 32]),
    /// Its header.
    Header([u8; 32]),
}

impl KnownTop {
    pub(super) fn of(row: &MaildropRow) -> Option<Self> {
        row.start.map(Self::Start).or(row.header.map(Self::Header))
    }

    /// Whether a message that begins so may be the one.
    pub(super) fn fits(&self, top: &Top) -> bool {
        match self {
            Self::Start(start) => *start == top.start,
            Self::Header(header) => *header == top.header,
        }
    }
}

/// A body that is whole.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) number: u32,
    pub(super) delivered: Delivered,
    /// Fewer octets came than the server announced, and the same ones when asked again.
    pub(super) short: bool,
    /// How it begins.
    pub(super) top: Top,
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
    start: Start,
    /// Of the beginning of what follows the header.
    beginning: blake3::Hasher,
    /// Octets of all of that.
    length: u64,
    /// Octets of the whole message so far.
    octets: u64,
}

impl Reading {
    pub(super) fn new(number: u32, delivery: Delivery) -> Self {
        let (header, start) = (Header::default(), Start::default());
        let beginning = blake3::Hasher::new();
        Self { number, delivery, header, start, beginning, length: 0, octets: 0 }
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
        self.start.take(text);
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
        let (number, top) = (self.number, Top::of(&header, &self.start));
        Ok(Read { number, delivered, short: false, top, text })
    }
}

/// What an answer to TOP says of a message. Some servers send more of the text than they were asked
/// for, and a header that is blank says nothing.
pub(super) fn top_of(answer: &[u8]) -> Option<Top> {
    let (mut header, mut start) = (Header::default(), Start::default());
    start.take(header.take(answer));
    (!header.text.trim_ascii().is_empty()).then(|| Top::of(&header.text, &start))
}

impl Top {
    fn of(header: &[u8], start: &Start) -> Self {
        let mut all = header.to_vec();
        all.extend_from_slice(
            &start.text[..start.text.len().min(HEADER.saturating_sub(all.len()))],
        );
        Self { header: hash_of(header), start: hash_of(&all) }
    }
}

/// The first lines of a text; of more than [`HEADER`] octets the first.
#[derive(Debug, Default)]
struct Start {
    text: Vec<u8>,
    lines: u32,
}

impl Start {
    fn take(&mut self, octets: &[u8]) {
        let mut rest = octets;
        while self.lines < LINES && self.text.len() < HEADER && !rest.is_empty() {
            let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
            let (part, after) = rest.split_at(end);
            self.text.extend_from_slice(&part[..part.len().min(HEADER - self.text.len())]);
            self.lines += u32::from(part.ends_with(b"\n"));
            rest = after;
        }
    }
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

/// The hash of a header, or of the beginning of a message, as TOP and RETR give it.
pub(super) fn hash_of(text: &[u8]) -> [u8; 32] {
    *blake3::hash(text.trim_ascii_end()).as_bytes()
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

    #[test]
    fn a_message_begins_as_top_says() {
        let message = |lines: u32| {
            let text: String = (0..lines).map(|n| format!("line {n}\r\n")).collect();
            format!("a: b\r\n\r\n{text}")
        };
        let of = |text: &str| top_of(text.as_bytes()).unwrap();
        let cut: String =
            message(LINES * 2).split_inclusive('\n').take(LINES as usize + 2).collect();
        assert_eq!(of(&message(LINES * 2)), of(&cut));
        assert_eq!(of(&message(LINES)), of(&cut));
        let (short, other) = (of(&message(3)), of("a: b\r\n\r\nline 9\r\n"));
        assert_eq!(short.header, other.header);
        assert!(short.start != other.start && short.start != of(&cut).start);
        // Line ends that the one gives and the other does not say nothing.
        assert_eq!(of("a: b\r\n\r\nx\r\n\r\n"), of("a: b\r\n\r\nx"));
        assert_eq!(top_of(b"\r\n\r\nx"), None);
    }
}
