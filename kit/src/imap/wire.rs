//! The octets of one connection: lines and literals in, answers out, and where it is cut.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::respond::Out;

/// How much is read or gathered at once.
const CHUNK: usize = 64 * 1024;

/// A stream in both directions.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// The connection is over: closed by the client, cut by a fault, or broken.
#[derive(Debug)]
pub(super) struct Gone;

/// A line was longer than the server takes.
#[derive(Debug)]
pub(super) enum LineError {
    /// It is dropped up to its end; these are its first octets.
    TooLong(Vec<u8>),
    /// There is no connection any more.
    Gone,
}

/// One connection.
pub(super) struct Wire {
    io: Box<dyn Duplex>,
    buffer: Vec<u8>,
    at: usize,
    /// Octets that may still be sent before the connection is cut.
    pub(super) send_left: Option<u64>,
    /// Octets that may still be taken before the connection is cut.
    pub(super) receive_left: Option<u64>,
    /// The delay before each octet sent.
    pub(super) drip: Option<Duration>,
    /// Octets sent and received, not yet booked.
    pub(super) sent: u64,
    pub(super) received: u64,
}

impl Wire {
    pub(super) fn new(io: Box<dyn Duplex>) -> Self {
        Self {
            io,
            buffer: Vec::new(),
            at: 0,
            send_left: None,
            receive_left: None,
            drip: None,
            sent: 0,
            received: 0,
        }
    }

    /// Takes the stream out to encrypt it; what the client sent in clear after STARTTLS goes
    /// (RFC 3501 §6.2.1, against command injection).
    pub(super) fn take_stream(&mut self) -> Box<dyn Duplex> {
        self.buffer.clear();
        self.at = 0;
        let none = tokio::io::join(tokio::io::empty(), tokio::io::sink());
        std::mem::replace(&mut self.io, Box::new(none))
    }

    /// Goes on with another stream.
    pub(super) fn put_stream(&mut self, io: Box<dyn Duplex>) {
        self.io = io;
    }

    /// Octets that are here and may be taken.
    fn ready(&self) -> &[u8] {
        let here = &self.buffer[self.at..];
        let allowed = self
            .receive_left
            .map_or(here.len(), |n| usize::try_from(n).map_or(here.len(), |n| n.min(here.len())));
        &here[..allowed]
    }

    fn take(&mut self, n: usize) -> Vec<u8> {
        let taken = self.buffer[self.at..self.at + n].to_vec();
        self.at += n;
        if self.at == self.buffer.len() {
            self.buffer.clear();
            self.at = 0;
        }
        let n = n as u64;
        self.received += n;
        self.receive_left = self.receive_left.map(|left| left.saturating_sub(n));
        taken
    }

    /// Waits for more octets; safe to be dropped half-way.
    async fn fill(&mut self) -> Result<(), Gone> {
        if self.receive_left.is_some_and(|left| (self.buffer.len() - self.at) as u64 >= left) {
            return Err(Gone);
        }
        if self.at > CHUNK {
            self.buffer.drain(..self.at);
            self.at = 0;
        }
        self.buffer.reserve(CHUNK);
        match self.io.read_buf(&mut self.buffer).await {
            Ok(n) if n > 0 => Ok(()),
            _ => Err(Gone),
        }
    }

    /// The next line without its CRLF (a bare LF ends it too); safe to be dropped half-way.
    pub(super) async fn line(&mut self, max: usize) -> Result<Vec<u8>, LineError> {
        let mut searched = 0;
        let mut dropped: Option<Vec<u8>> = None;
        loop {
            let ready = self.ready();
            if let Some(at) = memchr::memchr(b'\n', &ready[searched..]) {
                let mut line = self.take(searched + at + 1);
                line.pop();
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                if dropped.is_some() || line.len() > max {
                    let mut start = dropped.unwrap_or(line);
                    start.truncate(64);
                    return Err(LineError::TooLong(start));
                }
                return Ok(line);
            }
            searched = ready.len();
            if searched > max {
                let part = self.take(searched);
                searched = 0;
                dropped.get_or_insert_with(|| part[..part.len().min(64)].to_vec());
            }
            self.fill().await.map_err(|Gone| LineError::Gone)?;
        }
    }

    /// Exactly `n` octets, or none of them kept when `keep` is false.
    pub(super) async fn exact(&mut self, n: u64, keep: bool) -> Result<Vec<u8>, Gone> {
        let mut got = Vec::new();
        let mut left = n;
        while left > 0 {
            let here = self.ready().len();
            if here == 0 {
                self.fill().await?;
                continue;
            }
            let part = usize::try_from(left).map_or(here, |left| left.min(here));
            let octets = self.take(part);
            left -= part as u64;
            if keep {
                got.extend(octets);
            }
        }
        Ok(got)
    }

    /// Sends an answer, up to where the connection is to be cut.
    pub(super) async fn send(&mut self, out: &Out) -> Result<(), Gone> {
        let mut gathered: Vec<u8> = Vec::new();
        for slice in out.slices() {
            if gathered.len() + slice.len() <= CHUNK {
                gathered.extend_from_slice(slice);
                continue;
            }
            self.write(&gathered).await?;
            gathered.clear();
            for chunk in slice.chunks(CHUNK) {
                self.write(chunk).await?;
            }
        }
        self.write(&gathered).await?;
        self.io.flush().await.map_err(|_| Gone)
    }

    async fn write(&mut self, octets: &[u8]) -> Result<(), Gone> {
        let allowed = self.send_left.map_or(octets.len(), |n| {
            usize::try_from(n).map_or(octets.len(), |n| n.min(octets.len()))
        });
        let now = &octets[..allowed];
        match self.drip {
            None => self.io.write_all(now).await.map_err(|_| Gone)?,
            Some(delay) => {
                for octet in now {
                    tokio::time::sleep(delay).await;
                    self.io.write_all(&[*octet]).await.map_err(|_| Gone)?;
                    self.io.flush().await.map_err(|_| Gone)?;
                }
            }
        }
        self.sent += allowed as u64;
        self.send_left = self.send_left.map(|left| left.saturating_sub(allowed as u64));
        if self.send_left == Some(0) {
            let _ = self.io.flush().await;
            return Err(Gone);
        }
        Ok(())
    }

    /// Takes and drops whatever comes until the client ends the connection.
    pub(super) async fn drain(&mut self) {
        let mut void = vec![0; 4096];
        while matches!(self.io.read(&mut void).await, Ok(n) if n > 0) {}
    }

    /// Ends the connection in order, so that what was sent arrives.
    pub(super) async fn close(&mut self) {
        let _ = self.io.shutdown().await;
    }
}
