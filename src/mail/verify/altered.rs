//! Bodies that are not what was recorded of them, compared more closely with their files
//! (hazard 70).
//!
//! Servers alter what they are sent: they drop or replace NUL, and change CRs that end no line.
//! Others add fields to the header. Two programs that filed one message give it headers of
//! their own. All of that is told from damage here; what is only cut off is damage.

use std::collections::BTreeMap;
use std::io;

use crate::local::{Digest, Examined, Listed, LocalError, Root};
use crate::reconcile::types::{Mailbox, Row, Uid};
use crate::remote::imap::BodySink;

/// What of a text survives the ways of servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Essence {
    /// Hash without CR, LF, NUL and 0x80, which Dovecot makes of NUL.
    plain: [u8; 32],
    /// The same of what follows the header.
    body: [u8; 32],
    /// Octets of that.
    body_octets: u64,
    /// Hash of Message-ID, Date, From and Subject.
    loose: [u8; 16],
    /// Octets of the whole in the form of the wire.
    pub(super) octets: u64,
    /// It holds what servers alter: NUL, or a CR that is not that of a CRLF.
    peculiar: bool,
}

/// How a file and the server's message relate that are not equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Relation {
    /// The server altered what servers alter, and nothing else.
    Same,
    /// The headers differ in fields that say nothing of which message it is.
    Reworded,
    /// The file holds less than the server's message.
    CutHere,
    /// Anything else.
    Different,
}

impl Essence {
    /// Compares a file with what the server gives; `told` is what the server once said of the
    /// size, `paired_loosely` that both were filed by others.
    pub(super) fn relation(&self, there: &Self, told: u64, paired_loosely: bool) -> Relation {
        let is_altered = self.peculiar && self.plain == there.plain;
        let says_the_same = self.loose == there.loose && self.body == there.body;
        // A message does not change on its server: what it added, it added on arrival.
        let on_arrival = told != self.octets && told == there.octets;
        if is_altered {
            return Relation::Same;
        }
        if says_the_same && (paired_loosely || on_arrival) {
            return Relation::Reworded;
        }
        let missing = there.body_octets.saturating_sub(self.body_octets);
        if missing > (there.body_octets / 8).max(64) {
            return Relation::CutHere;
        }
        if paired_loosely && self.loose == there.loose {
            return Relation::Reworded;
        }
        Relation::Different
    }
}

/// Takes a text in the form of the wire, in chunks of any size.
#[derive(Debug, Default)]
pub(super) struct Reader {
    plain: blake3::Hasher,
    body: blake3::Hasher,
    body_octets: u64,
    digest: Digest,
    /// The header is over.
    over: bool,
    /// The line so far is empty.
    empty: bool,
    after_cr: bool,
    peculiar: bool,
}

impl Reader {
    pub(super) fn take(&mut self, octets: &[u8]) {
        self.digest.update(octets);
        let mut plain = Vec::with_capacity(octets.len());
        let mut body_from = if self.over { Some(0) } else { None };
        for octet in octets {
            self.peculiar |= *octet == 0 || self.after_cr && *octet != b'\n';
            self.after_cr = *octet == b'\r';
            if !self.over {
                match octet {
                    b'\r' => {}
                    b'\n' if self.empty => {
                        self.over = true;
                        body_from = Some(plain.len());
                    }
                    b'\n' => self.empty = true,
                    _ => self.empty = false,
                }
            } else {
                self.body_octets += u64::from(!matches!(octet, b'\r' | b'\n'));
            }
            if !matches!(octet, b'\r' | b'\n' | 0 | 0x80) {
                plain.push(*octet);
            }
        }
        self.plain.update(&plain);
        if let Some(from) = body_from {
            self.body.update(&plain[from..]);
        }
    }

    pub(super) fn finish(self) -> Essence {
        let summary = self.digest.finish();
        Essence {
            plain: *self.plain.finalize().as_bytes(),
            body: *self.body.finalize().as_bytes(),
            body_octets: self.body_octets,
            loose: summary.header.loose,
            octets: summary.wire_size,
            peculiar: self.peculiar || self.after_cr,
        }
    }
}

/// The essences of bodies as they come.
#[derive(Debug, Default)]
pub(super) struct Essences {
    pub(super) found: BTreeMap<Uid, Essence>,
    open: Reader,
}

impl BodySink for Essences {
    fn begin(&mut self, _: Option<Uid>, _: u64) -> io::Result<()> {
        self.open = Reader::default();
        Ok(())
    }

    fn chunk(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.open.take(bytes);
        Ok(())
    }

    fn end(&mut self, uid: Uid) -> io::Result<()> {
        self.found.insert(uid, std::mem::take(&mut self.open).finish());
        Ok(())
    }
}

/// The essence of a row's file; none where it is not what was recorded, which is told elsewhere.
pub(super) fn of_file(
    root: &Root,
    mailbox: &Mailbox,
    row: &Row,
    separator: u8,
) -> Result<Option<Essence>, LocalError> {
    let Some(local) = &row.local else { return Ok(None) };
    let listed = Listed::expected(local, separator);
    let Examined::Message { summary, stamp, .. } = root.examine(&mailbox.name, &listed)? else {
        return Ok(None);
    };
    if Some(summary.content) != row.content {
        return Ok(None);
    }
    let mut file = root.open_for_push(&mailbox.name, &listed, stamp, summary.wire_size)?;
    let (mut reader, mut chunk) = (Reader::default(), vec![0; 64 << 10]);
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(Some(reader.finish())),
            read => reader.take(&chunk[..read]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Essence {
        let mut reader = Reader::default();
        for octet in text.as_bytes() {
            reader.take(&[*octet]);
        }
        let mut whole = Reader::default();
        whole.take(text.as_bytes());
        let essence = reader.finish();
        assert_eq!(whole.finish(), essence, "wherever it is cut");
        essence
    }

    #[test]
    fn what_servers_alter_is_told_from_damage() {
        use Relation::{CutHere, Different, Reworded, Same};
        let long = "x".repeat(400);
        let table = [
            ("a: b\r\n\r\na\0b\rc\r\r\nd\r", "a: b\r\n\r\nab\rc\r\nd", false, Same),
            ("a: b\r\n\r\na\0b\rc\r\n", "a: b\r\n\r\nab\r\nc\r\n", false, Same),
            ("a: b\r\n\r\na\0b\r\n", "a: b\r\n\r\nabd\r\n", false, Different),
            // Without anything peculiar no octet may differ.
            ("a: b\r\n\r\nab\r\n", "a: b\r\n\r\nacb\r\n", false, Different),
            ("a: b\r\n\r\nab\r\n", "x: y\r\na: b\r\n\r\nab\r\n", false, Reworded),
            ("a: b\r\n\r\nab\r\n", "x: y\r\na: b\r\n\r\nab\r\n", true, Reworded),
            ("a: b\r\n\r\nab\r\n", &format!("a: b\r\n\r\nab{long}\r\n"), true, CutHere),
            ("a: b\r\n\r\nab\r\n", "subject: b\r\n\r\nac\r\n", true, Different),
        ];
        for (here, there, loosely, expected) in table {
            let (file, server) = (of(here), of(there));
            let found = file.relation(&server, server.octets, loosely);
            assert_eq!(found, expected, "{} {}", here.escape_debug(), there.escape_debug());
        }
        let (file, server) = (of("a: b\r\n\r\nab\r\n"), of("x: y\r\na: b\r\n\r\nab\r\n"));
        assert_eq!(file.relation(&server, file.octets, false), Different, "it was not so before");
    }
}
