//! The way out: queued, coalesced, and never a deadlock with a server that talks.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::AsyncWrite as _;

use zeroize::Zeroize as _;

use super::Wire;
use crate::remote::broken::Broken;

/// What may wait to be written before it is pushed out.
const WRITE_AHEAD: usize = 64 << 10;

impl Wire {
    /// Keeps what is written until [`Self::uncork`]: commands share a packet and a TLS record.
    pub(crate) fn cork(&mut self) {
        self.corked = true;
    }

    /// Lets the next flush write again.
    pub(crate) fn uncork(&mut self) {
        self.corked = false;
    }

    /// Queues bytes, and pushes them out when there are many.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        self.out.extend_from_slice(bytes);
        if self.out.len() >= WRITE_AHEAD && !self.corked {
            self.flush().await?;
        }
        Ok(())
    }

    /// Writes all that is queued.
    pub(crate) async fn flush(&mut self) -> Result<(), Broken> {
        poll_fn(|cx| self.poll_write_out(cx)).await
    }

    pub(super) fn poll_write_out(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        if self.finished {
            return Poll::Ready(Err(Broken::Closed));
        }
        while self.written < self.out.len() {
            match Pin::new(&mut self.io).poll_write(cx, &self.out[self.written..]) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(Broken::Closed)),
                Poll::Ready(Ok(count)) => {
                    self.written += count;
                    self.counters.sent += count as u64;
                    self.allowance.writing.moved(count);
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(write_error(error))),
                Poll::Pending => return self.poll_stuck(cx),
            }
        }
        self.out.clear();
        self.written = 0;
        match Pin::new(&mut self.io).poll_flush(cx) {
            Poll::Ready(Ok(())) => {
                self.allowance.writing.met();
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(write_error(error))),
            Poll::Pending => self.poll_stuck(cx),
        }
    }

    /// The server takes nothing more for now. It may be waiting for us to read: take in what
    /// it says, within bounds, so that the two cannot block each other for ever.
    fn poll_stuck(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        while self.filled - self.start < self.allowance.budget().line {
            self.make_room();
            match self.poll_receive(cx) {
                Poll::Ready(Ok(_)) => {}
                // What the server said last is worth more than that it hung up.
                Poll::Ready(Err(broken)) => return Poll::Ready(Err(broken)),
                Poll::Pending => break,
            }
        }
        match self.allowance.writing.poll(cx) {
            Poll::Ready(after) => Poll::Ready(Err(Broken::TimedOut(after))),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Wipes what is left in memory of what was sent.
    pub(crate) fn forget_sent(&mut self) {
        self.out.zeroize();
    }
}

fn write_error(error: io::Error) -> Broken {
    match error.kind() {
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => Broken::Closed,
        _ => Broken::Io(error),
    }
}
