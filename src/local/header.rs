//! What a header says of a message: one strict key and one that survives rewriting servers.
//!
//! The header is the lines up to the first empty one. It is read with CR*LF as LF and without
//! the line end before the empty line, so that a file, the wire and `BODY[HEADER]` agree even
//! for a message that has no empty line at all.

use crate::reconcile::types::HeaderKeys;

/// More than this of a header is not considered (octets after reading CR*LF as LF).
pub const HEADER_MAX: usize = 256 * 1024;

/// The fields of the loose key, in the order in which they are hashed.
const LOOSE: [&[u8]; 4] = [b"message-id", b"date", b"from", b"subject"];

/// The keys of a header or of a whole message (also: a `BODY[HEADER]` literal).
#[must_use]
pub fn keys(bytes: &[u8]) -> HeaderKeys {
    let mut reader = HeaderReader::default();
    reader.update(bytes);
    reader.finish()
}

/// Collects a header from chunks of any size; holds at most [`HEADER_MAX`] octets.
#[derive(Debug, Default)]
pub struct HeaderReader {
    text: Vec<u8>,
    /// CRs that may yet turn out to belong to a line end.
    crs: usize,
    done: bool,
}

impl HeaderReader {
    /// The next chunk of the message; free once the header is over.
    pub fn update(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !self.done && !rest.is_empty() {
            let plain = memchr::memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
            if plain > 0 {
                self.keep_crs();
                self.append(&rest[..plain]);
            }
            match rest.get(plain) {
                Some(b'\r') => self.crs += 1,
                Some(_) => self.line_end(),
                None => return,
            }
            rest = &rest[plain + 1..];
        }
    }

    /// The keys of what was seen.
    #[must_use]
    pub fn finish(mut self) -> HeaderKeys {
        if self.text.last() == Some(&b'\n') {
            self.text.pop();
        }
        let (loose, has_message_id) = loose(&self.text);
        HeaderKeys { hash: first_half(&blake3::hash(&self.text)), loose, has_message_id }
    }

    fn line_end(&mut self) {
        self.crs = 0;
        if self.text.last().is_none_or(|b| *b == b'\n') {
            self.done = true;
        } else {
            self.append(b"\n");
        }
    }

    fn keep_crs(&mut self) {
        let room = HEADER_MAX - self.text.len();
        self.text.extend(std::iter::repeat_n(b'\r', self.crs.min(room)));
        self.crs = 0;
    }

    fn append(&mut self, bytes: &[u8]) {
        let room = HEADER_MAX - self.text.len();
        self.text.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.done = bytes.len() >= room;
    }
}

fn first_half(hash: &blake3::Hash) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(&hash.as_bytes()[..16]);
    half
}

fn loose(header: &[u8]) -> ([u8; 16], bool) {
    let mut values: [Option<Vec<u8>>; LOOSE.len()] = Default::default();
    let mut current: Option<usize> = None;
    for line in header.split(|b| *b == b'\n') {
        if line.first().is_some_and(|b| *b == b' ' || *b == b'\t') {
            if let Some(value) = current.and_then(|i| values[i].as_mut()) {
                value.push(b' ');
                value.extend_from_slice(line);
            }
            continue;
        }
        current = None;
        let Some(colon) = memchr::memchr(b':', line) else { continue };
        let name = line[..colon].trim_ascii_end();
        let field = LOOSE.iter().position(|f| name.eq_ignore_ascii_case(f));
        // The first of a kind counts; a second one is somebody's addition.
        if let Some(i) = field.filter(|i| values[*i].is_none()) {
            values[i] = Some(line[colon + 1..].to_vec());
            current = Some(i);
        }
    }
    let mut hasher = blake3::Hasher::new();
    for value in &values {
        hasher.update(&unfolded(value.as_deref().unwrap_or_default()));
        hasher.update(b"\0");
    }
    let message_id = values[0].as_deref().unwrap_or_default();
    (first_half(&hasher.finalize()), !message_id.trim_ascii().is_empty())
}

/// Trimmed, runs of white space as one space: servers fold where they like.
fn unfolded(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    let words = value.split(u8::is_ascii_whitespace).filter(|w| !w.is_empty());
    for (i, word) in words.enumerate() {
        if i > 0 {
            out.push(b' ');
        }
        out.extend_from_slice(word);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIRE: &[u8] = b"Message-ID: <1@x>\r\nSubject: a\r\n b\r\n\r\nbody\r\n";

    #[test]
    fn line_ends_and_body_do_not_matter() {
        let lf = b"Message-ID: <1@x>\nSubject: a\n b\n\nother";
        let crcr = b"Message-ID: <1@x>\r\r\nSubject: a\r\r\n b\r\r\n\r\r\n";
        assert_eq!(keys(WIRE), keys(lf));
        assert_eq!(keys(WIRE), keys(crcr));
    }

    #[test]
    fn a_message_without_empty_line_equals_its_header_literal() {
        let bare = keys(b"Message-ID: <1@x>\r\nSubject: a");
        assert_eq!(bare, keys(b"Message-ID: <1@x>\r\nSubject: a\r\n"));
        assert_eq!(bare, keys(b"Message-ID: <1@x>\r\nSubject: a\r\n\r\n"));
        assert_eq!(bare, keys(b"Message-ID: <1@x>\nSubject: a\r"));
    }

    #[test]
    fn the_loose_key_survives_refolding_and_added_fields() {
        let added = b"X-Server: y\r\nmessage-id : \t<1@x>\r\nSubject:\r\n a b\r\n\r\n";
        assert_eq!(keys(WIRE).loose, keys(added).loose);
        assert_ne!(keys(WIRE).hash, keys(added).hash);
        assert!(keys(added).has_message_id);
    }

    #[test]
    fn an_empty_message_id_is_none() {
        assert!(!keys(b"Message-ID:  \r\n \r\nSubject: x\r\n\r\n").has_message_id);
        assert!(!keys(b"Subject: x\r\n\r\nMessage-ID: <in@body>\r\n").has_message_id);
        assert!(!keys(b"").has_message_id);
    }

    #[test]
    fn a_header_without_end_is_cut_at_the_same_place_however_it_comes() {
        let mut big = b"Message-ID: <1@x>\n".to_vec();
        big.extend(std::iter::repeat_n(b"X: \xff\r\r\n".as_slice(), 100_000).flatten());
        let mut reader = HeaderReader::default();
        for chunk in big.chunks(4093) {
            reader.update(chunk);
            assert!(reader.text.len() <= HEADER_MAX);
        }
        assert_eq!(reader.finish(), keys(&big));
        let mut crs = HeaderReader::default();
        for _ in 0..100 {
            crs.update(&[b'\r'; 65536]);
        }
        crs.update(b"x");
        assert_eq!(crs.text.len(), HEADER_MAX);
    }
}
