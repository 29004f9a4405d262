//! The octets of one connection: lines in, answers out, and where it is cut.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::imap::wire::Duplex;

/// How much is read or written at once.
const CHUNK: usize = 64 * 1024;

/// The connection is over: closed by the client, cut by a fault, or broken.
#[derive(Debug)]
pub(super) struct Gone;

/// One connection.
pub(super) struct Wire {
    io: Box<dyn Duplex>,
    buffer: Vec<u8>,
    at: usize,
    /// Octets that may still be sent before the connection is cut.
    pub(super) send_left: Option<u64>,
    /// Octets that may still be taken before the connection is cut.
    pub(super) receive_left: Option<u64>,
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
            sent: 0,
            received: 0,
        }
    }

    /// Takes the stream out to encrypt it; what the client sent in clear goes.
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
        let allowed = self.receive_left.and_then(|left| usize::try_from(left).ok());
        &here[..allowed.map_or(here.len(), |left| left.min(here.len()))]
    }

    /// How many whole lines are here.
    pub(super) fn lines(&self) -> u64 {
        memchr::memchr_iter(b'\n', self.ready()).count() as u64
    }

    /// The next line without its end.
    pub(super) async fn line(&mut self) -> Result<Vec<u8>, Gone> {
        loop {
            if let Some(end) = memchr::memchr(b'\n', self.ready()) {
                let mut line = self.buffer[self.at..=self.at + end].to_vec();
                self.at += line.len();
                self.received += line.len() as u64;
                let taken = line.len() as u64;
                self.receive_left = self.receive_left.map(|left| left.saturating_sub(taken));
                line.pop();
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                return Ok(line);
            }
            let here = (self.buffer.len() - self.at) as u64;
            if self.receive_left.is_some_and(|left| here >= left) {
                return Err(Gone);
            }
            self.buffer.drain(..self.at);
            self.at = 0;
            self.buffer.reserve(CHUNK);
            match self.io.read_buf(&mut self.buffer).await {
                Ok(n) if n > 0 => {}
                _ => return Err(Gone),
            }
        }
    }

    /// Sends octets, up to where the connection is to be cut.
    pub(super) async fn send(&mut self, octets: &[u8]) -> Result<(), Gone> {
        let allowed = self.send_left.and_then(|left| usize::try_from(left).ok());
        let allowed = allowed.map_or(octets.len(), |left| left.min(octets.len()));
        for chunk in octets[..allowed].chunks(CHUNK) {
            self.io.write_all(chunk).await.map_err(|_| Gone)?;
        }
        self.io.flush().await.map_err(|_| Gone)?;
        self.sent += allowed as u64;
        self.send_left = self.send_left.map(|left| left.saturating_sub(allowed as u64));
        if self.send_left == Some(0) { Err(Gone) } else { Ok(()) }
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
