//! The server spoken to in raw IMAP.

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::script;
use super::*;

mod faults;
mod sessions;

/// A client that sends raw octets and reads up to its tag.
pub(super) struct Raw {
    stream: DuplexStream,
    got: String,
    tags: u32,
}

impl Raw {
    /// Connects and reads the greeting.
    pub(super) async fn new(server: &Server) -> Self {
        let mut raw = Self { stream: server.connect(), got: String::new(), tags: 0 };
        raw.until(|got| got.ends_with("\r\n")).await;
        raw
    }

    /// Connects and signs in.
    pub(super) async fn signed_in(server: &Server) -> Self {
        let mut raw = Self::new(server).await;
        assert!(raw.ask("LOGIN u pass").await.contains("t1 OK"));
        raw
    }

    pub(super) async fn send(&mut self, octets: &str) {
        // A server that has cut the connection is seen when reading.
        let _ = self.stream.write_all(octets.as_bytes()).await;
    }

    /// Reads until `done` or the end; what was read is given and forgotten.
    pub(super) async fn until(&mut self, done: impl Fn(&str) -> bool) -> String {
        let mut buffer = vec![0; 64 * 1024];
        while !done(&self.got) {
            match self.stream.read(&mut buffer).await {
                Ok(n) if n > 0 => self.got.push_str(&String::from_utf8_lossy(&buffer[..n])),
                _ => {
                    self.got.push_str("EOF");
                    break;
                }
            }
        }
        std::mem::take(&mut self.got)
    }

    /// Sends a command; gives all up to and with its tagged line, or up to `EOF`.
    pub(super) async fn ask(&mut self, command: &str) -> String {
        self.tags += 1;
        let tag = format!("t{}", self.tags);
        self.send(&format!("{tag} {command}\r\n")).await;
        let (start, inner) = (format!("{tag} "), format!("\r\n{tag} "));
        self.until(|got| {
            let at =
                if got.starts_with(&start) { Some(0) } else { got.find(&inner).map(|i| i + 2) };
            at.is_some_and(|at| got[at..].contains("\r\n"))
        })
        .await
    }
}

async fn play_simulated() -> Vec<script::Exchange> {
    let server = Server::new(Profile::qresync());
    let connect = || std::future::ready(Ok(server.connect()));
    script::play(connect, "u").await.unwrap()
}

#[tokio::test]
async fn the_script_is_answered_throughout() {
    let exchanges = play_simulated().await;
    assert!(exchanges.len() > 150);
    let ended: Vec<_> = exchanges
        .iter()
        .filter(|e| e.answer.last().unwrap() == "EOF")
        .map(|e| &e.command)
        .collect();
    assert_eq!(ended, ["d NOOP", "c NOOP"]);
}
