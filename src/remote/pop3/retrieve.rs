//! RETR and TOP: messages from the read buffer to the sink in pieces, whatever their length.

use std::io;

use super::ahead::Ahead;
use super::session::{MIXED, Session};
use crate::remote::broken::Broken;
use crate::remote::error::RemoteError;

/// Takes bodies, one after the other.
///
/// For each that the server gives: `begin`, any number of `chunk`, then `end` or `discard`.
pub trait BodySink {
    /// The body of a message begins; of `size` octets, as far as the server's word goes.
    ///
    /// # Errors
    /// Any error stops the delivery.
    fn begin(&mut self, number: u32, size: Option<u64>) -> io::Result<()>;

    /// Its next octets, as the server has them.
    ///
    /// # Errors
    /// As for `begin`.
    fn chunk(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// The body is whole.
    ///
    /// # Errors
    /// As for `begin`.
    fn end(&mut self, number: u32) -> io::Result<()>;

    /// What was begun will not be completed.
    fn discard(&mut self) {}

    /// The server does not give this one.
    fn refused(&mut self, number: u32, error: RemoteError);
}

/// A header, or the refusal.
pub type Header<'a> = Result<&'a [u8], RemoteError>;

/// How much is read for nothing, after the sink failed, before the connection is given up.
const DRAIN: u64 = 8 << 20;
/// How many octets of a header are handed on by [`Session::top`].
pub const HEADER: usize = 64 << 10;
/// How long an answer to TOP may be: some servers send the message as well.
const HEADER_DRAIN: u64 = 256 << 20;

const RETR: &str = "RETR";

/// What is delivered, to whom.
struct Delivery<'a> {
    sink: &'a mut dyn BodySink,
    failed: Option<io::Error>,
    drained: u64,
    /// Whether a `begin` awaits its `end` or `discard`.
    open: bool,
}

impl Delivery<'_> {
    /// Hands something to the sink, unless it has failed before.
    fn give(&mut self, what: impl FnOnce(&mut dyn BodySink) -> io::Result<()>) {
        if self.failed.is_none()
            && let Err(error) = what(self.sink)
        {
            self.failed = Some(error);
            self.close();
        }
    }

    fn close(&mut self) {
        if std::mem::take(&mut self.open) {
            self.sink.discard();
        }
    }

    fn begin(&mut self, number: u32, size: Option<u64>) {
        self.open = self.failed.is_none();
        self.give(|sink| sink.begin(number, size));
    }

    /// Hands on a piece, or counts what is read for nothing.
    fn piece(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        if self.failed.is_some() {
            self.drained += bytes.len() as u64;
            return if self.drained > DRAIN { Err(Broken::Closed) } else { Ok(()) };
        }
        self.give(|sink| sink.chunk(bytes));
        Ok(())
    }

    fn end(&mut self, number: u32) {
        self.give(|sink| sink.end(number));
        if self.failed.is_none() {
            self.open = false;
        }
    }
}

impl Drop for Delivery<'_> {
    /// Also when the connection fails in the middle.
    fn drop(&mut self) {
        self.close();
    }
}

/// Looks for lines of a text that look like answers (hazard 111). A message may have them: then it
/// is asked for again, with nothing ahead.
#[derive(Debug, Default)]
struct Answers {
    /// The end of what was looked at.
    end: Vec<u8>,
}

impl Answers {
    fn are_in(&mut self, piece: &[u8]) -> bool {
        let of = |text: &[u8]| {
            memchr::memmem::find(text, b"\n+OK").is_some()
                || memchr::memmem::find(text, b"\n-ERR").is_some()
        };
        self.end.extend_from_slice(&piece[..piece.len().min(4)]);
        let found = of(&self.end) || of(piece);
        if let Some(from) = piece.len().checked_sub(4) {
            self.end.clear();
            self.end.extend_from_slice(&piece[from..]);
        } else {
            let length = self.end.len();
            self.end.drain(..length - length.min(4));
        }
        found
    }
}

impl Session {
    /// Asks for messages that [`Self::retrieve`] is called for next, and for nothing else before:
    /// so the server is at it while something else is done here.
    ///
    /// # Errors
    /// What ends the session.
    pub async fn begin_retrieve(&mut self, numbers: &[u32]) -> Result<(), RemoteError> {
        let mut ahead = Ahead::bodies(numbers);
        let command = |number: u32| format!("{RETR} {number}");
        self.send_ahead(&mut ahead, RETR, &command)?;
        self.wire.send().await;
        self.begun = Some(ahead);
        Ok(())
    }

    /// Gets whole messages, in the order of `numbers`, several under way where the server
    /// allows it. One that it refuses is told to the sink, and the others come.
    ///
    /// # Errors
    /// What ends the session: what was delivered before stands. `Sink` when the sink fails:
    /// the session is kept if little was left to be read.
    pub async fn retrieve(
        &mut self,
        numbers: &[u32],
        sink: &mut dyn BodySink,
    ) -> Result<(), RemoteError> {
        const DOING: &str = RETR;
        let mut delivery = Delivery { sink, failed: None, drained: 0, open: false };
        let mut ahead = self.begun.take().unwrap_or_else(|| Ahead::bodies(numbers));
        let command = |number: u32| format!("{DOING} {number}");
        while let Some(number) = self.advance(&mut ahead, DOING, &command)? {
            let read = self.body(DOING, number, &mut delivery).await;
            match (read, delivery.failed.is_some()) {
                (Ok(()), false) => {}
                (Ok(()), true) => ahead.stop(),
                (Err(error), false) => return Err(error),
                (Err(_), true) => break,
            }
        }
        match delivery.failed.take() {
            Some(source) => Err(RemoteError::Sink { source, ended: self.wire.is_finished() }),
            None => Ok(()),
        }
    }

    async fn body(
        &mut self,
        doing: &str,
        number: u32,
        delivery: &mut Delivery<'_>,
    ) -> Result<(), RemoteError> {
        if let Err(refusal) = self.opening(doing).await? {
            if delivery.failed.is_none() {
                delivery.sink.refused(number, refusal.of(&format!("{doing} {number}")));
            }
            return Ok(());
        }
        delivery.begin(number, self.size_of(number));
        self.pieces(doing, &mut |piece| delivery.piece(piece)).await?;
        delivery.end(number);
        Ok(())
    }

    /// Reads a body to its end, a piece at a time.
    async fn pieces(
        &mut self,
        doing: &str,
        each: &mut dyn FnMut(&[u8]) -> Result<(), Broken>,
    ) -> Result<(), RemoteError> {
        self.wire.begin_body();
        // Where nothing is asked ahead, a text without an end is followed by silence.
        let mut answers = (self.awaited.len() > 1).then(Answers::default);
        loop {
            // How long a text may be is for its taker to say.
            let (done, length) = match self.wire.piece().await {
                Ok(Some(piece))
                    if answers.as_mut().is_some_and(|answers| answers.are_in(piece)) =>
                {
                    return Err(self.lost(doing, MIXED));
                }
                Ok(Some(piece)) => (each(piece).map(|()| false), piece.len() as u64),
                Ok(None) => (Ok(true), 0),
                Err(broken) => (Err(broken), 0),
            };
            self.wire.allowance().grant(length);
            match done {
                Ok(false) => {}
                Ok(true) => {
                    self.settled();
                    return Ok(());
                }
                Err(broken) => return Err(self.broken(doing, broken)),
            }
        }
    }

    /// Gets headers, and `lines` of the body, each handed on whole; of a longer one its first
    /// 64 KiB. `sink` gets the refusal where the server does not give it.
    ///
    /// # Errors
    /// What ends the session: what was handed on before stands.
    pub async fn top(
        &mut self,
        numbers: &[u32],
        lines: u32,
        sink: &mut dyn FnMut(u32, Header<'_>),
    ) -> Result<(), RemoteError> {
        const DOING: &str = "TOP";
        let mut ahead = Ahead::headers(numbers);
        let mut held = Vec::new();
        let command = |number: u32| format!("{DOING} {number} {lines}");
        while let Some(number) = self.advance(&mut ahead, DOING, &command)? {
            if let Err(refusal) = self.opening(DOING).await? {
                sink(number, Err(refusal.of(&format!("{DOING} {number}"))));
                continue;
            }
            held.clear();
            let mut length = 0;
            let mut keep = |piece: &[u8]| {
                held.extend_from_slice(&piece[..piece.len().min(HEADER - held.len())]);
                length += piece.len() as u64;
                let over = length > HEADER_DRAIN;
                if over { Err(Broken::Limit("a header", HEADER_DRAIN)) } else { Ok(()) }
            };
            self.pieces(DOING, &mut keep).await?;
            sink(number, Ok(&held));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_found_wherever_a_text_is_cut() {
        let table: [(&[u8], bool); 5] = [
            (b"Subject: x\r\n+OK 3 octets\r\n", true),
            (b"Subject: x\n-ERR no\n", true),
            (b"Subject: +OK\r\n\r\n +OK\r\n", false),
            (b"-ER\r\n+ OK\r\n", false),
            (b"", false),
        ];
        for (text, expected) in table {
            for size in 1..=text.len().max(1) {
                let mut answers = Answers::default();
                let found = text.chunks(size).filter(|piece| answers.are_in(piece)).count() > 0;
                assert_eq!(found, expected, "{} by {size}", text.escape_ascii());
            }
        }
    }
}
