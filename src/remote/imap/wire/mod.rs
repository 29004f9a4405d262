//! The framed stream under the session: whole responses in, whole commands out.
//!
//! It knows where a response ends (lines and literals, RFC 9051 §2.2) and nothing of what it
//! means. Every wait has a deadline, every length a limit, and the end of the stream is an
//! error: a response that was cut never looks like a shorter one.
//!
//! async-imap sits on top for signing in. It is handed one response at a time, and only those
//! that it waits for (greeting, continuation, tagged status), in words of our own: its parser
//! never meets what a server made up, and its buffer is empty after each of them. From then on
//! we read by ourselves, borrowed from the buffer, with [`Wire::response`].

mod shell;
mod write;

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead as _, ReadBuf};

use super::parse::{self, Marker};
use crate::reconcile::types::printable;
use crate::remote::allowance::Allowance;
use crate::remote::broken::Broken;
use crate::remote::transport::{BoxStream, Counters};

/// The longest literal that is held in memory, unless the caller sets another limit.
pub(crate) const LITERAL_LIMIT: u64 = 1 << 20;
/// How many literals a response may hold: each makes a caller look at it once more.
pub(crate) const LITERALS: usize = 1_000;
/// A body is handed on in slices of at least this length (the last may be shorter).
pub(crate) const SLICE: usize = 64 << 10;
/// The read buffer between responses.
const BUFFER: usize = 256 << 10;

/// One step within a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// A line that announces a literal of this many bytes, which were not read yet.
    Literal(u64),
    /// The last line.
    Complete,
}

/// The connection.
pub(crate) struct Wire {
    io: BoxStream,
    /// Read bytes: `buf[start..end]` is the response in hand, `buf[end..filled]` lies ahead.
    buf: Vec<u8>,
    start: usize,
    end: usize,
    filled: usize,
    /// No line end in `buf[end..scan]`.
    scan: usize,
    /// Whether the response in hand has further parts.
    inside: bool,
    /// Literals that the response in hand has announced.
    literals: usize,
    /// Bytes of an announced literal that were not taken yet.
    literal: u64,
    /// The longest literal that [`Self::response`] takes into memory.
    pub(crate) literal_limit: u64,
    out: Vec<u8>,
    written: usize,
    /// Held back until the next command, to share its packet.
    corked: bool,
    allowance: Allowance,
    /// How many `+` are waited for by the command under way of async-imap.
    pub(crate) continues: u8,
    /// What async-imap is yet to read.
    handed: Vec<u8>,
    /// What passed below it, for whoever drives it.
    heard: Vec<Vec<u8>>,
    /// Whether the greeting was handed over, or will not come any more (after STARTTLS).
    pub(crate) greeted: bool,
    /// Why the connection is of no more use.
    broken: Option<Broken>,
    finished: bool,
    /// Whether lines may appear in a trace: not while a secret could be echoed.
    pub(crate) traced: bool,
    pub(crate) counters: Counters,
}

impl fmt::Debug for Wire {
    /// Without the buffers: they hold mail, and secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").field("io", &self.io).field("counters", &self.counters).finish()
    }
}

impl Wire {
    pub(crate) fn new(io: BoxStream, allowance: Allowance) -> Self {
        Self {
            io,
            buf: vec![0; 16 << 10],
            start: 0,
            end: 0,
            filled: 0,
            scan: 0,
            inside: false,
            literals: 0,
            literal: 0,
            literal_limit: LITERAL_LIMIT,
            out: Vec::new(),
            written: 0,
            corked: false,
            allowance,
            continues: 0,
            handed: Vec::new(),
            heard: Vec::new(),
            greeted: false,
            broken: None,
            finished: false,
            traced: true,
            counters: Counters::default(),
        }
    }

    /// The bare stream, if the server has said nothing beyond the response in hand: bytes
    /// behind an OK to STARTTLS were slipped in by somebody (RFC 9051 §11.1).
    pub(crate) fn into_io(self) -> Option<(BoxStream, Allowance)> {
        let nothing_more = self.end == self.filled && self.handed.is_empty();
        nothing_more.then_some((self.io, self.allowance))
    }

    /// What the server may still send, and how long it may take.
    pub(crate) fn allowance(&mut self) -> &mut Allowance {
        &mut self.allowance
    }

    /// Takes the reason of a failure that async-imap was told of as an `io::Error`.
    pub(crate) fn take_broken(&mut self) -> Option<Broken> {
        self.broken.take()
    }

    /// Lets nothing more through: a command was left half written, or an answer half read.
    pub(crate) fn finish(&mut self) {
        self.finished = true;
        self.out.clear();
    }

    /// Whether [`Self::finish`] was called.
    pub(crate) fn is_finished(&self) -> bool {
        self.finished
    }

    /// Every response that passed below async-imap since the last call, as it was sent.
    pub(crate) fn take_heard(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.heard)
    }

    /// What was read but not looked at yet: the last words of a server that hung up.
    pub(crate) fn ahead(&self) -> &[u8] {
        &self.buf[self.end..self.filled]
    }

    /// The response in hand, with its literals inline as they were sent.
    pub(crate) fn in_hand(&self) -> &[u8] {
        &self.buf[self.start..self.end]
    }

    /// Reads one whole response into the buffer.
    pub(crate) async fn response(&mut self) -> Result<(), Broken> {
        poll_fn(|cx| self.poll_response(cx)).await
    }

    /// Waits until something lies ahead of the response in hand; nothing is taken, so that the
    /// wait may be given up at any time.
    pub(crate) async fn wait_ahead(&mut self) -> Result<(), Broken> {
        poll_fn(|cx| self.poll_ahead(cx, 1)).await
    }

    /// Reads up to the next line end of the response in hand, or of a new one. A literal that
    /// it announces is either streamed next ([`Self::slice`]) or [taken in](Self::inline).
    pub(crate) async fn step(&mut self) -> Result<Step, Broken> {
        poll_fn(|cx| self.poll_step(cx)).await
    }

    /// Takes the announced literal into the response in hand.
    pub(crate) async fn inline(&mut self) -> Result<(), Broken> {
        poll_fn(|cx| self.poll_inline(cx)).await
    }

    /// Lets go of what was read of the response in hand, so that its literal can be streamed.
    pub(crate) fn release(&mut self) {
        self.start = self.end;
    }

    /// The next slice of the announced literal, none at its end.
    pub(crate) async fn slice(&mut self) -> Result<Option<&[u8]>, Broken> {
        if self.literal == 0 {
            self.release();
            return Ok(None);
        }
        self.release();
        let want = usize::try_from(self.literal).unwrap_or(usize::MAX).min(SLICE);
        poll_fn(|cx| self.poll_ahead(cx, want)).await?;
        let length =
            usize::try_from(self.literal).unwrap_or(usize::MAX).min(self.filled - self.end);
        self.take(length);
        Ok(Some(&self.buf[self.start..self.end]))
    }

    /// Moves `length` bytes of the announced literal into the response in hand.
    fn take(&mut self, length: usize) {
        self.end += length;
        self.scan = self.end;
        self.literal -= length as u64;
        self.allowance.reading.met();
    }

    fn poll_response(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        loop {
            if self.literal > 0 {
                ready!(self.poll_inline(cx))?;
            }
            if ready!(self.poll_step(cx))? == Step::Complete {
                return Poll::Ready(Ok(()));
            }
        }
    }

    fn poll_inline(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        if self.literal > self.literal_limit {
            return Poll::Ready(Err(Broken::Limit("a literal", self.literal_limit)));
        }
        let want = usize::try_from(self.literal).unwrap_or(usize::MAX);
        self.allowance.fits(0, (self.end - self.start).saturating_add(want))?;
        ready!(self.poll_ahead(cx, want))?;
        self.take(want);
        Poll::Ready(Ok(()))
    }

    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Result<Step, Broken>> {
        if !self.inside {
            self.start = self.end;
            self.literals = 0;
        }
        let line = loop {
            let from = self.scan.max(self.end);
            if let Some(at) = memchr::memchr(b'\n', &self.buf[from..self.filled]) {
                let line = self.end;
                self.end = from + at + 1;
                self.scan = self.end;
                break line;
            }
            self.scan = self.filled;
            self.allowance.fits(self.filled - self.end, self.filled - self.start)?;
            ready!(self.poll_fill(cx))?;
        };
        self.allowance.fits(self.end - line, self.end - self.start)?;
        self.allowance.reading.met();
        self.trace(line);
        let may_announce = self.inside || parse::may_hold_literal(self.in_hand());
        self.inside = false;
        Poll::Ready(match parse::literal_marker(&self.buf[line..self.end]) {
            Marker::Literal(_) if may_announce && self.literals >= LITERALS => {
                Err(Broken::Limit("the literals of a response", LITERALS as u64))
            }
            Marker::Literal(length) if may_announce => {
                self.literals += 1;
                self.inside = true;
                self.literal = length;
                Ok(Step::Literal(length))
            }
            Marker::TooLong if may_announce => Err(Broken::Limit("a literal", u64::MAX)),
            _ => Ok(Step::Complete),
        })
    }

    fn trace(&self, line: usize) {
        if self.traced && tracing::enabled!(tracing::Level::TRACE) {
            let line = &self.buf[line..self.end];
            let shown = String::from_utf8_lossy(&line[..line.len().min(200)]);
            tracing::trace!("S: {}", printable(shown.trim_end()));
        }
    }

    /// Ready when at least `want` bytes lie ahead of the response in hand.
    fn poll_ahead(&mut self, cx: &mut Context<'_>, want: usize) -> Poll<Result<(), Broken>> {
        while self.filled - self.end < want {
            ready!(self.poll_fill(cx))?;
        }
        Poll::Ready(Ok(()))
    }

    /// Reads what there is, at least a byte.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, Broken>> {
        if self.finished {
            return Poll::Ready(Err(Broken::Closed));
        }
        self.make_room();
        match self.poll_receive(cx) {
            Poll::Ready(received) => Poll::Ready(received),
            Poll::Pending => match self.allowance.reading.poll(cx) {
                Poll::Ready(after) => Poll::Ready(Err(Broken::TimedOut(after))),
                Poll::Pending => Poll::Pending,
            },
        }
    }

    fn make_room(&mut self) {
        if self.start == self.filled {
            (self.start, self.end, self.scan, self.filled) = (0, 0, 0, 0);
            // One long line does not keep its memory for the rest of the session.
            if self.buf.len() > 4 * BUFFER {
                self.buf.truncate(BUFFER);
                self.buf.shrink_to_fit();
            }
        }
        if self.filled < self.buf.len() {
            return;
        }
        if self.start > 0 {
            self.buf.copy_within(self.start..self.filled, 0);
            self.end -= self.start;
            self.scan = self.scan.saturating_sub(self.start);
            self.filled -= self.start;
            self.start = 0;
        }
        if self.filled > self.buf.len() / 2 {
            self.buf.resize((self.buf.len() * 2).max(BUFFER), 0);
        }
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, Broken>> {
        let mut room = ReadBuf::new(&mut self.buf[self.filled..]);
        match ready!(Pin::new(&mut self.io).poll_read(cx, &mut room)) {
            Ok(()) => {}
            // A TLS peer that hangs up without a closing alert has hung up all the same.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Poll::Ready(Err(Broken::Closed));
            }
            Err(error) => return Poll::Ready(Err(Broken::Io(error))),
        }
        let received = room.filled().len();
        if received == 0 {
            return Poll::Ready(Err(Broken::Closed));
        }
        self.filled += received;
        self.counters.received += received as u64;
        Poll::Ready(self.allowance.take(received).map(|()| received))
    }
}
