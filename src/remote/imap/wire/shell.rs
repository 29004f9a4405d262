//! What async-imap gets to see, and what it writes.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Wire;
use crate::remote::broken::Broken;
use crate::remote::imap::parse;

impl Wire {
    fn poll_hand_over(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        while self.handed.is_empty() {
            ready!(self.poll_response(cx))?;
            let response = &self.buf[self.start..self.end];
            let is_continue = response.starts_with(b"+");
            match parse::for_the_shell(response, !self.greeted) {
                Some(_) if is_continue && self.continues == 0 => {
                    return Poll::Ready(Err(Broken::Unasked));
                }
                Some(simple) => {
                    self.greeted = true;
                    self.continues = self.continues.saturating_sub(u8::from(is_continue));
                    self.handed = simple;
                }
                None => {}
            }
            // No more than the budget of the sign-in allows to come.
            self.heard.push(response.to_vec());
        }
        Poll::Ready(Ok(()))
    }

    /// Keeps the reason of a failure for [`Self::take_broken`].
    fn remember<T>(&mut self, result: Result<T, Broken>) -> io::Result<T> {
        result.map_err(|broken| {
            let told = match &broken {
                Broken::Closed => io::ErrorKind::UnexpectedEof.into(),
                Broken::TimedOut(_) => io::ErrorKind::TimedOut.into(),
                Broken::Io(error) => error.kind().into(),
                Broken::Limit(..) | Broken::Unasked => io::ErrorKind::InvalidData.into(),
            };
            self.broken = Some(broken);
            told
        })
    }
}

impl AsyncRead for Wire {
    /// One response at most, in simple words; the end of the stream is an error.
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let wire = self.get_mut();
        let ready = ready!(wire.poll_hand_over(cx));
        wire.remember(ready)?;
        let count = wire.handed.len().min(room.remaining());
        room.put_slice(&wire.handed[..count]);
        wire.handed.drain(..count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let wire = self.get_mut();
        wire.out.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let wire = self.get_mut();
        if wire.corked {
            return Poll::Ready(Ok(()));
        }
        let flushed = ready!(wire.poll_write_out(cx));
        Poll::Ready(wire.remember(flushed))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}
