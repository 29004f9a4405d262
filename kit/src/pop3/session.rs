//! One connection, from the greeting to its end.

use std::sync::Arc;

use super::fault::Fault;
use super::log::Logged;
use super::wire::{Gone, Wire};
use super::{Message, Shared};
use crate::imap::fault::{Active, CONNECT};
use crate::imap::wire::Duplex;

/// A message as this session sees it.
pub(super) struct Held {
    pub(super) message: Message,
    pub(super) deleted: bool,
    pub(super) retrieved: bool,
}

/// What comes after a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    Command,
    End,
}

/// A connection and what it has been told so far.
pub(super) struct Session {
    pub(super) shared: Arc<Shared>,
    pub(super) wire: Wire,
    pub(super) id: u64,
    pub(super) encrypted: bool,
    /// The maildrop as it was at the sign-in; none before.
    pub(super) maildrop: Option<Vec<Held>>,
    /// Who USER named.
    pub(super) user: Option<String>,
    pub(super) out: Vec<u8>,
    /// So long before each octet from here on.
    drip: Option<std::time::Duration>,
    pub(super) line_end: &'static str,
}

impl Drop for Session {
    fn drop(&mut self) {
        let mut inner = self.shared.lock();
        if inner.holder == Some(self.id) {
            inner.holder = None;
        }
        inner.log.counters.octets_sent += std::mem::take(&mut self.wire.sent);
        inner.log.counters.octets_received += std::mem::take(&mut self.wire.received);
    }
}

/// Serves one connection.
pub(super) async fn run(shared: Arc<Shared>, io: Box<dyn Duplex>, encrypted: bool) {
    let mut dropped = shared.dropped.subscribe();
    let (id, bare) = {
        let mut inner = shared.lock();
        inner.connections += 1;
        inner.log.counters.connections += 1;
        (inner.connections, inner.profile.bare_lf)
    };
    let mut session = Session {
        shared,
        wire: Wire::new(io),
        id,
        encrypted,
        maildrop: None,
        user: None,
        out: Vec::new(),
        drip: None,
        line_end: if bare { "\n" } else { "\r\n" },
    };
    tokio::select! {
        _ = dropped.changed() => {}
        _ = session.talk() => {}
    }
    session.wire.close().await;
}

impl Session {
    async fn talk(&mut self) -> Result<(), Gone> {
        let faults = self.shared.lock().faults.at(CONNECT, [None, None], b"");
        self.cut(&faults);
        if faults.is(&Fault::Hang) {
            self.wire.drain().await;
            return Err(Gone);
        }
        match faults.find(|fault| match fault {
            Fault::Say(octets) => Some(octets.clone()),
            Fault::Refuse(words) => Some(format!("-ERR {words}\r\n").into_bytes()),
            _ => None,
        }) {
            Some(octets) => self.out.extend(octets),
            None => {
                let stamp = self.timestamp();
                self.say(&format!("+OK simulated, ready {stamp}"));
            }
        }
        if faults.find(|fault| matches!(fault, Fault::Refuse(_)).then_some(())).is_some() {
            return self.flush().await;
        }
        loop {
            // What waits is answered first: the answers share a packet.
            if self.wire.lines() == 0 {
                self.flush().await?;
            }
            let waiting = self.wire.lines();
            let line = self.wire.line().await?;
            let waiting = waiting.max(1).max(self.wire.lines() + 1);
            let line = String::from_utf8_lossy(&line).into_owned();
            if self.command(&line, waiting).await? == Next::End {
                return self.flush().await;
            }
        }
    }

    /// What APOP digests; empty where there is none.
    pub(super) fn timestamp(&self) -> String {
        let apop = self.shared.lock().profile.apop;
        if apop { format!("<{}@simulated.test>", self.id) } else { String::new() }
    }

    /// Adds a line to the answer.
    pub(super) fn say(&mut self, line: &str) {
        self.out.extend_from_slice(line.as_bytes());
        self.out.extend_from_slice(self.line_end.as_bytes());
    }

    /// Refuses a command; the code is told where the server has codes.
    pub(super) fn refuse(&mut self, code: &str, words: &str) {
        let codes = self.shared.lock().profile.resp_codes && !code.is_empty();
        let code = if codes { format!("[{code}] ") } else { String::new() };
        self.say(&format!("-ERR {code}{words}"));
    }

    /// Sends what was said so far.
    pub(super) async fn flush(&mut self) -> Result<(), Gone> {
        let out = std::mem::take(&mut self.out);
        let Some(delay) = self.drip else {
            return if out.is_empty() { Ok(()) } else { self.wire.send(&out).await };
        };
        for octet in out.chunks(1) {
            tokio::time::sleep(delay).await;
            self.wire.send(octet).await?;
        }
        Ok(())
    }

    fn cut(&mut self, faults: &Active<Fault>) {
        let sent = faults.find(|fault| match fault {
            Fault::CutAfterSent(octets) => Some(*octets),
            _ => None,
        });
        let received = faults.find(|fault| match fault {
            Fault::CutAfterReceived(octets) => Some(*octets),
            _ => None,
        });
        // What was said to former commands is on its way already.
        let queued = self.out.len() as u64;
        self.wire.send_left = sent.map(|octets| octets + queued).or(self.wire.send_left);
        self.wire.receive_left = received.or(self.wire.receive_left);
    }

    async fn command(&mut self, line: &str, waiting: u64) -> Result<Next, Gone> {
        let (verb, arguments) = line.split_once(' ').unwrap_or((line, ""));
        let verb = verb.to_ascii_uppercase();
        let faults = {
            let mut inner = self.shared.lock();
            let (connection, line) = (self.id, masked(&verb, arguments));
            inner.log.note(Logged { connection, verb: verb.clone(), line }, waiting);
            inner.faults.at(&verb, [None, None], arguments.as_bytes())
        };
        self.cut(&faults);
        let drip = faults.find(|fault| match fault {
            Fault::Drip(delay) => Some(*delay),
            _ => None,
        });
        if self.drip.is_none() && drip.is_some() {
            self.flush().await?;
            self.drip = drip;
        }
        if faults.is(&Fault::CutBefore) {
            return Err(Gone);
        }
        if faults.is(&Fault::Hang) {
            self.flush().await?;
            self.wire.drain().await;
            return Err(Gone);
        }
        let said = faults.find(|fault| match fault {
            Fault::Say(octets) => Some(octets.clone()),
            _ => None,
        });
        if let Some(octets) = said {
            self.out.extend(octets);
            return Ok(Next::Command);
        }
        let refused = faults.find(|fault| match fault {
            Fault::Refuse(words) => Some(words.clone()),
            _ => None,
        });
        if let Some(words) = refused {
            self.say(&format!("-ERR {words}"));
            return Ok(if verb == "QUIT" { Next::End } else { Next::Command });
        }
        let next = self.carry_out(&verb, arguments.trim(), &faults).await?;
        if faults.is(&Fault::CutAfter) {
            return Err(Gone);
        }
        Ok(next)
    }
}

/// A line as it may be logged.
fn masked(verb: &str, arguments: &str) -> String {
    let first = arguments.split(' ').next().unwrap_or_default();
    match verb {
        "PASS" => "PASS ***".to_owned(),
        "APOP" => format!("APOP {first} ***"),
        "AUTH" if first.len() < arguments.len() => format!("AUTH {first} ***"),
        _ if arguments.is_empty() => verb.to_owned(),
        _ => format!("{verb} {arguments}"),
    }
}
