//! Sessions against scripted peers: in memory, with time at a standstill.

mod answers;
mod bodies;
mod ceilings;
mod cuts;
mod sign_in;
mod uploads;

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use zeroize::Zeroizing;

use super::*;
use crate::reconcile::types::{MailboxName, Uid};
use crate::remote::{BoxStream, Connecting, Connector, RemoteError};

/// Commands as the peer got them, without their tags.
pub(super) type Commands = Arc<Mutex<Vec<String>>>;

/// Answers each command by the first unused rule whose word it contains. `T ` at the start
/// of a line of the answer becomes the command's tag. Without a rule: OK.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    greeting: Vec<u8>,
    rules: Vec<(&'static str, Vec<u8>, bool)>,
    hangs_up: bool,
    pub(super) commands: Commands,
}

pub(super) const CAPABILITIES: &str = "IMAP4rev1 SASL-IR ENABLE LITERAL+ UIDPLUS MOVE ESEARCH \
    CONDSTORE QRESYNC LIST-STATUS SPECIAL-USE UNSELECT";

impl Peer {
    pub(super) fn new() -> Self {
        Self::able_to(CAPABILITIES)
    }

    pub(super) fn able_to(capabilities: &str) -> Self {
        Self {
            greeting: format!("* OK [CAPABILITY {capabilities} AUTH=PLAIN] hi {{5}}\r\n").into(),
            rules: vec![
                ("AUTHENTICATE", format!("T OK [CAPABILITY {capabilities}] in\r\n").into(), true),
                ("LOGIN", format!("T OK [CAPABILITY {capabilities}] in\r\n").into(), true),
                ("ENABLE QRESYNC", b"* ENABLED QRESYNC\r\nT OK\r\n".to_vec(), true),
                ("LOGOUT", b"* BYE\r\nT OK\r\n".to_vec(), true),
            ],
            hangs_up: false,
            commands: Commands::default(),
        }
    }

    pub(super) fn greets(mut self, line: &str) -> Self {
        self.greeting = line.into();
        self
    }

    /// What to say once to a command with this word, before all rules so far.
    pub(super) fn says(mut self, word: &'static str, answer: impl Into<Vec<u8>>) -> Self {
        let at = self.rules.iter().position(|(w, _, always)| *always || w.is_empty()).unwrap_or(0);
        self.rules.insert(at, (word, answer.into(), false));
        self
    }

    /// Hangs up after the last rule of [`Self::says`] was used.
    pub(super) fn then_hangs_up(mut self) -> Self {
        self.hangs_up = true;
        self
    }

    pub(super) fn seen(&self) -> Vec<String> {
        self.commands.lock().unwrap().clone()
    }

    async fn serve(mut self, mut stream: tokio::io::DuplexStream) -> io::Result<()> {
        stream.write_all(&self.greeting).await?;
        let mut got = Vec::new();
        loop {
            while !got.contains(&b'\n') {
                let mut room = [0; 4096];
                let count = stream.read(&mut room).await?;
                if count == 0 {
                    return Ok(());
                }
                got.extend_from_slice(&room[..count]);
            }
            let end = got.iter().position(|&b| b == b'\n').unwrap() + 1;
            let line = String::from_utf8(got.drain(..end).collect()).unwrap();
            let (tag, command) = line.trim_end().split_once(' ').unwrap_or(("", line.trim_end()));
            self.commands.lock().unwrap().push(command.to_owned());
            let Some(at) = self.rules.iter().position(|(word, ..)| line.contains(word)) else {
                let opens = command.starts_with("SELECT") || command.starts_with("EXAMINE");
                let said = if opens { "* OK [UIDVALIDITY 3]\r\n" } else { "" };
                stream.write_all(format!("{said}{tag} OK\r\n").as_bytes()).await?;
                continue;
            };
            let (_, answer, always) = self.rules[at].clone();
            if !always {
                self.rules.remove(at);
            }
            for part in answer.split_inclusive(|&b| b == b'\n') {
                if let Some(rest) = part.strip_prefix(b"T ") {
                    stream.write_all(format!("{tag} ").as_bytes()).await?;
                    stream.write_all(rest).await?;
                } else {
                    stream.write_all(part).await?;
                }
            }
            if self.hangs_up && self.rules.iter().all(|(_, _, always)| *always) {
                return Ok(());
            }
        }
    }
}

impl Connector for Peer {
    fn connect<'a>(&'a self, _: &'a str, _: u16) -> Connecting<'a> {
        Box::pin(async move {
            let (ours, theirs) = tokio::io::duplex(1 << 16);
            tokio::spawn(self.clone().serve(theirs));
            Ok(Box::new(ours) as BoxStream)
        })
    }
}

pub(super) fn endpoint() -> Endpoint {
    Endpoint {
        host: "localhost".to_owned(),
        port: 143,
        tls: Tls::None,
        ca: None,
        pin: None,
        allow_cleartext: false,
        user: "me".to_owned(),
        secret: Zeroizing::new("open sesame".to_owned()),
        timeout: Duration::from_secs(60),
        scram_only: false,
        disable: Default::default(),
    }
}

pub(super) async fn connect(peer: &Peer) -> Session {
    Session::connect(&endpoint(), peer).await.unwrap()
}

pub(super) fn inbox() -> MailboxName {
    MailboxName::new("INBOX")
}

pub(super) fn set(text: &str) -> UidSet {
    UidSet::parse(text.as_bytes()).unwrap()
}

/// A stream that plays a recording, and then ends or falls silent.
#[derive(Debug, Clone)]
pub(super) struct Recording {
    pub(super) bytes: Vec<u8>,
    pub(super) at: usize,
    pub(super) silent: bool,
    /// The most bytes that one read gives.
    pub(super) step: usize,
}

impl AsyncRead for Recording {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let count = room.remaining().min(self.bytes.len() - self.at).min(self.step);
        if count == 0 && self.silent {
            return Poll::Pending;
        }
        room.put_slice(&self.bytes[self.at..self.at + count]);
        self.at += count;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Recording {
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

impl Connector for Recording {
    fn connect<'a>(&'a self, _: &'a str, _: u16) -> Connecting<'a> {
        Box::pin(async move { Ok(Box::new(self.clone()) as BoxStream) })
    }
}

/// Keeps what it is given, or fails after some bytes.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub(super) whole: Vec<(u32, Vec<u8>)>,
    pub(super) open: Option<Vec<u8>>,
    pub(super) discarded: usize,
    pub(super) begun: Vec<(Option<Uid>, u64)>,
    pub(super) largest: usize,
    pub(super) fails_at: Option<usize>,
}

impl BodySink for Kept {
    fn begin(&mut self, uid: Option<Uid>, size: u64) -> io::Result<()> {
        assert!(self.open.is_none(), "begun twice");
        self.begun.push((uid, size));
        self.open = Some(Vec::new());
        Ok(())
    }
    fn chunk(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.largest = self.largest.max(bytes.len());
        let open = self.open.as_mut().unwrap();
        open.extend_from_slice(bytes);
        match self.fails_at {
            Some(limit) if open.len() >= limit => Err(io::ErrorKind::StorageFull.into()),
            _ => Ok(()),
        }
    }
    fn end(&mut self, uid: Uid) -> io::Result<()> {
        self.whole.push((uid.0, self.open.take().unwrap()));
        Ok(())
    }
    fn discard(&mut self) {
        self.open.take().unwrap();
        self.discarded += 1;
    }
}
