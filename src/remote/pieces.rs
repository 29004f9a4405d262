//! What the fuzzing of each protocol reads from.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A peer that says what it was given, in pieces of odd lengths, then hangs up.
#[derive(Debug)]
pub(crate) struct Pieces {
    data: Vec<u8>,
    at: usize,
    /// Lengths of the pieces, taken in turn; with none, all at once.
    lengths: Vec<u8>,
    turn: usize,
    /// The last poll gave nothing.
    paused: bool,
}

impl Pieces {
    pub(crate) fn new(data: &[u8], lengths: &[u8]) -> Self {
        let (data, lengths) = (data.to_vec(), lengths.to_vec());
        Self { data, at: 0, lengths, turn: 0, paused: false }
    }
}

impl AsyncRead for Pieces {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let peer = self.get_mut();
        let length = match peer.lengths.len() {
            0 => usize::MAX,
            count => usize::from(peer.lengths[peer.turn % count]),
        };
        peer.turn = peer.turn.wrapping_add(1);
        if length == 0 && !peer.paused {
            peer.paused = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        peer.paused = false;
        let rest = &peer.data[peer.at..];
        let count = length.max(1).min(rest.len()).min(room.remaining());
        room.put_slice(&rest[..count]);
        peer.at += count;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Pieces {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, b: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(b.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
