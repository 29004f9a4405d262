//! What must hold whatever a server sends: for the tests and for libFuzzer, not shipped.
//!
//! Each function takes any bytes and panics where something does not hold.

use std::io;
use std::time::Duration;

use super::capabilities::Capabilities;
use super::listing::{Listed, entry, id, size};
use super::reply::Answer;
use super::retrieve::{BodySink, Header};
use super::session::Session;
use super::unstuff::Unstuffer;
use super::wire::{LINE_KEPT, Wire};
use crate::remote::allowance::Allowance;
use crate::remote::error::RemoteError;
use crate::remote::pieces::Pieces;
use crate::remote::sasl::Scram;

/// No peer of a test is silent for so long.
const HOUR: Duration = Duration::from_secs(3600);

/// What a whole conversation brought.
#[derive(Debug, Default, PartialEq, Eq)]
struct Heard {
    listed: Vec<Listed>,
    headers: Vec<(u32, usize)>,
    bodies: Vec<(u32, Vec<u8>)>,
    open: Option<Vec<u8>>,
    refused: usize,
    deleted: usize,
    /// How it ended.
    error: Option<String>,
}

impl BodySink for Heard {
    fn begin(&mut self, _: u32, _: Option<u64>) -> io::Result<()> {
        assert!(self.open.is_none(), "two at a time");
        self.open = Some(Vec::new());
        Ok(())
    }

    fn chunk(&mut self, bytes: &[u8]) -> io::Result<()> {
        assert!(!bytes.is_empty());
        self.open.as_mut().expect("a begin before").extend_from_slice(bytes);
        Ok(())
    }

    fn end(&mut self, number: u32) -> io::Result<()> {
        self.bodies.push((number, self.open.take().expect("a begin before")));
        Ok(())
    }

    fn discard(&mut self) {
        assert!(self.open.take().is_some());
    }

    fn refused(&mut self, _: u32, _: RemoteError) {
        self.refused += 1;
    }
}

/// A conversation: however the bytes are cut into pieces, the same comes out of it, and no
/// more than was sent. The first byte says how many of the next are lengths of pieces.
pub fn conversation(input: &[u8]) {
    let Some((count, rest)) = input.split_first() else { return };
    let (lengths, data) = rest.split_at(usize::from(count % 16).min(rest.len()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let Ok(runtime) = runtime else { return };
    let hear = |lengths: &[u8]| runtime.block_on(hear(data, lengths));
    let whole = hear(&[]);
    assert_eq!(whole, hear(lengths));
    let octets = whole.bodies.iter().map(|(_, body)| body.len());
    assert!(octets.sum::<usize>() + whole.listed.len() <= data.len());
}

async fn hear(data: &[u8], lengths: &[u8]) -> Heard {
    let wire = Wire::new(Box::new(Pieces::new(data, lengths)), Allowance::unlimited(HOUR));
    let mut session = Session::new(wire, Capabilities::default());
    let mut heard = Heard::default();
    if let Err(error) = talk(&mut session, &mut heard).await {
        assert!(error.ends_session() || matches!(error, RemoteError::No { .. }), "{error}");
        heard.error = Some(error.to_string());
    }
    assert!(heard.open.is_none());
    heard
}

async fn talk(session: &mut Session, heard: &mut Heard) -> Result<(), RemoteError> {
    session.ask_capabilities().await?;
    heard.listed = session.list().await?.to_vec();
    assert!(heard.listed.is_sorted_by(|one, next| one.number < next.number));
    let numbers: Vec<u32> = heard.listed.iter().map(|one| one.number).take(40).collect();
    let headers = &mut heard.headers;
    let mut keep = |number, header: Header<'_>| {
        headers.extend(header.ok().map(|header| (number, header.len())));
    };
    session.top(&numbers, 0, &mut keep).await?;
    session.retrieve(&numbers, heard).await?;
    heard.deleted = session.delete(&numbers).await?.len();
    session.noop().await
}

/// Lines: whatever one says, it is read, and what comes out is no larger than what went in.
pub fn line(line: &[u8]) {
    let length = line.len();
    match Answer::parse(line) {
        // A byte that is no text may become three.
        Some(Answer::Ok(words)) => assert!(words.len() <= 3 * length.min(1_000)),
        Some(Answer::Err(refusal)) => assert!(refusal.words.len() <= 3 * length.min(1_000)),
        Some(Answer::Challenge(asked)) => assert!(asked.len() <= length),
        None => {}
    }
    if let Some((number, uidl)) = entry(line, id) {
        assert!(number > 0 && uidl.is_none_or(|id| id.len() <= length && !id.is_empty()));
    }
    entry(line, size);
    let mut capabilities = Capabilities::default();
    capabilities.clear();
    line.split(|byte| *byte == b'\n').for_each(|line| capabilities.add(line));
    // A server that may ask for many rounds is one that we wait for, not one that is odd.
    let short = line.len() < LINE_KEPT && !line.windows(2).any(|pair| pair == b"i=");
    if let Some(mut scram) = Scram::new("user", "secret").filter(|_| short) {
        assert!(scram.respond(line).is_err() && !scram.is_proven());
    }
}

/// Bodies: cut anywhere they are what they are as a whole, and whatever is stuffed comes back.
pub fn body(input: &[u8]) {
    for bare in [false, true] {
        let whole = unstuffed(&[input], bare);
        let splits = if input.len() <= 64 { input.len() } else { 8 };
        for at in (0..=splits).map(|n| n * input.len() / splits.max(1)) {
            let (one, two) = input.split_at(at);
            assert_eq!(unstuffed(&[one, two], bare), whole, "cut at {at}");
        }
        let bytes: Vec<&[u8]> = input.chunks(1).collect();
        assert_eq!(unstuffed(&bytes, bare), whole, "byte by byte");
        let mut message = input.to_vec();
        message.extend_from_slice(if bare { b"\n" } else { b"\r\n" });
        let sent = [&stuffed(&message, bare)[..], b".\r\n"].concat();
        let with_more = [&sent[..], b"+OK\r\n.\r\n"].concat();
        assert_eq!(unstuffed(&[&with_more], bare), (message, sent.len(), true));
    }
}

/// What comes out of parts, how many bytes were taken, and whether the end was seen.
fn unstuffed(parts: &[&[u8]], bare: bool) -> (Vec<u8>, usize, bool) {
    let (mut out, mut taken) = (Vec::new(), 0);
    let mut unstuffer = Unstuffer::new(bare);
    for part in parts {
        taken += unstuffer.feed(part, &mut out);
    }
    (out, taken, unstuffer.is_ended())
}

/// As a server does it: a dot before each line that begins with one.
fn stuffed(message: &[u8], bare: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() + 16);
    for (at, byte) in message.iter().enumerate() {
        let before = &message[..at];
        let starts = at == 0 || before.ends_with(if bare { b"\n" } else { b"\r\n" });
        if starts && *byte == b'.' {
            out.push(b'.');
        }
        out.push(*byte);
    }
    out
}
