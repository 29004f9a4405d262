//! The framed stream under the session: lines and bodies in, commands out.
//!
//! Every wait has a deadline, every length a limit, and the end of the stream is an error.
//! Commands are queued and go out when something has to be waited for, so that those that
//! may be sent together share a packet.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use zeroize::Zeroize as _;

use super::unstuff::Unstuffer;
use crate::reconcile::types::printable;
use crate::remote::allowance::Allowance;
use crate::remote::broken::Broken;
use crate::remote::transport::{BoxStream, Counters};

/// How much of a line is kept; what is beyond is read and dropped.
pub(crate) const LINE_KEPT: usize = 8 << 10;
/// The read buffer.
const BUFFER: usize = 64 << 10;

/// The connection.
pub(crate) struct Wire {
    io: BoxStream,
    /// Read bytes: `buf[start..filled]` lies ahead.
    buf: Box<[u8]>,
    start: usize,
    filled: usize,
    /// The line in hand, without its end.
    line: Vec<u8>,
    /// Whether the line in hand ended in a bare LF.
    bare: bool,
    /// Undoes the stuffing of the body that is being read.
    unstuffer: Option<Unstuffer>,
    /// A piece of that body.
    piece: Vec<u8>,
    out: Vec<u8>,
    written: usize,
    allowance: Allowance,
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
            buf: vec![0; BUFFER].into_boxed_slice(),
            start: 0,
            filled: 0,
            line: Vec::new(),
            bare: false,
            unstuffer: None,
            piece: Vec::new(),
            out: Vec::new(),
            written: 0,
            allowance,
            finished: false,
            traced: true,
            counters: Counters::default(),
        }
    }

    /// The bare stream, if the server has said nothing beyond the line in hand: bytes behind
    /// the answer to STLS were slipped in by somebody (RFC 2595 §4).
    pub(crate) fn into_io(self) -> Option<(BoxStream, Allowance)> {
        (self.start == self.filled).then_some((self.io, self.allowance))
    }

    /// What the server may still send, and how long it may take.
    pub(crate) fn allowance(&mut self) -> &mut Allowance {
        &mut self.allowance
    }

    /// Lets nothing more through: a command was left half written, or an answer half read.
    pub(crate) fn finish(&mut self) {
        self.finished = true;
        self.out.zeroize();
        self.written = 0;
    }

    /// Whether [`Self::finish`] was called.
    pub(crate) fn is_finished(&self) -> bool {
        self.finished
    }

    /// Queues a line, given without its end. It goes out with the next wait.
    pub(crate) fn queue(&mut self, line: &str) {
        self.allowance.met();
        self.out.extend_from_slice(line.as_bytes());
        self.out.extend_from_slice(b"\r\n");
    }

    /// Sends of what is queued as much as goes out at once.
    pub(crate) async fn send(&mut self) {
        poll_fn(|cx| {
            self.poll_write_out(cx);
            Poll::Ready(())
        })
        .await;
    }

    /// The line in hand, without its end.
    pub(crate) fn in_hand(&self) -> &[u8] {
        &self.line
    }

    /// Reads one line, ended by CRLF or a bare LF.
    pub(crate) async fn line(&mut self) -> Result<(), Broken> {
        self.line.clear();
        let mut length = 0_usize;
        poll_fn(|cx| self.poll_line(cx, &mut length)).await?;
        self.trace();
        Ok(())
    }

    /// What follows the status line in hand is a body.
    pub(crate) fn begin_body(&mut self) {
        self.unstuffer = Some(Unstuffer::new(self.bare));
    }

    /// The next piece of the body, without what was stuffed into it; none at its end.
    pub(crate) async fn piece(&mut self) -> Result<Option<&[u8]>, Broken> {
        poll_fn(|cx| self.poll_piece(cx)).await?;
        Ok((!self.piece.is_empty()).then_some(&self.piece))
    }

    fn poll_line(&mut self, cx: &mut Context<'_>, length: &mut usize) -> Poll<Result<(), Broken>> {
        loop {
            let ahead = &self.buf[self.start..self.filled];
            let end = memchr::memchr(b'\n', ahead);
            let part = &ahead[..end.unwrap_or(ahead.len())];
            // One more than is kept: it may be the CR of a line that just fits.
            let room = (LINE_KEPT + 1).saturating_sub(self.line.len());
            self.line.extend_from_slice(&part[..part.len().min(room)]);
            *length += part.len();
            self.start += part.len() + usize::from(end.is_some());
            if end.is_some() {
                self.allowance.fits(*length, 0)?;
                self.allowance.reading.met();
                self.bare = *length > LINE_KEPT + 1 || self.line.last() != Some(&b'\r');
                if !self.bare {
                    self.line.pop();
                }
                self.line.truncate(LINE_KEPT);
                return Poll::Ready(Ok(()));
            }
            self.allowance.fits(*length, 0)?;
            ready!(self.poll_fill(cx))?;
        }
    }

    /// Ready with a piece, which is empty only at the end of the body.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        self.piece.clear();
        while let Some(unstuffer) = self.unstuffer.as_mut() {
            let ahead = &self.buf[self.start..self.filled];
            let taken = unstuffer.feed(ahead, &mut self.piece);
            self.start += taken;
            if unstuffer.is_ended() {
                self.allowance.reading.met();
                self.unstuffer = None;
            } else if self.piece.is_empty() {
                ready!(self.poll_fill(cx))?;
                continue;
            }
            break;
        }
        Poll::Ready(Ok(()))
    }

    fn trace(&self) {
        if self.traced && tracing::enabled!(tracing::Level::TRACE) {
            let shown = String::from_utf8_lossy(&self.line[..self.line.len().min(200)]);
            tracing::trace!("S: {}", printable(&shown));
        }
    }

    /// Writes what is queued and reads what there is, at least a byte; both, since the server
    /// may take nothing more before it is listened to.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        if self.finished {
            return Poll::Ready(Err(Broken::Closed));
        }
        if self.start == self.filled {
            (self.start, self.filled) = (0, 0);
        }
        self.poll_write_out(cx);
        match self.poll_receive(cx) {
            Poll::Ready(received) => Poll::Ready(received),
            Poll::Pending => match self.allowance.reading.poll(cx) {
                Poll::Ready(after) => Poll::Ready(Err(Broken::TimedOut(after))),
                Poll::Pending => Poll::Pending,
            },
        }
    }

    /// What fails here is seen by reading, too: the server's last words, or that it hung up.
    fn poll_write_out(&mut self, cx: &mut Context<'_>) {
        while self.written < self.out.len() {
            match Pin::new(&mut self.io).poll_write(cx, &self.out[self.written..]) {
                Poll::Ready(Ok(count)) if count > 0 => {
                    self.written += count;
                    self.counters.sent += count as u64;
                    self.allowance.reading.moved(count);
                }
                Poll::Ready(_) => break,
                Poll::Pending => return,
            }
        }
        // Wiped, since a secret may have been among it.
        self.out.zeroize();
        self.written = 0;
        let _ = Pin::new(&mut self.io).poll_flush(cx);
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
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
        Poll::Ready(self.allowance.take(received))
    }
}
