//! Servers that mean harm: well-behaved up to one command, then a stream of octets that no client
//! should have to hold. Over TCP, a thread for each connection, for the built program.

mod inputs;

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub use inputs::inputs;

/// Which protocol a server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// IMAP.
    Imap,
    /// POP3.
    Pop3,
}

/// A hostile answer, and the command that it is sent to.
#[derive(Debug, Clone, Copy)]
pub struct Input {
    /// A description for tables.
    pub name: &'static str,
    /// The protocol.
    pub protocol: Protocol,
    /// The command whose answer it is in, by its first words; `""` is the greeting.
    pub at: &'static str,
    /// Returns the n-th part, counted from 1; none at the end. The usual answer follows.
    pub part: fn(u64) -> Option<Vec<u8>>,
    /// Capabilities that the server announces besides the basic ones.
    pub can: &'static str,
    /// The number of messages that the server announces.
    pub messages: u32,
    /// So many connections are served well at first; afterwards the first message is gone.
    pub spared: u64,
}

/// A server that runs until the process ends.
#[derive(Debug, Clone)]
pub struct Hostile {
    /// Where it listens, on the loopback.
    pub port: u16,
    connections: Arc<AtomicU64>,
    sent: Arc<AtomicU64>,
}

impl Hostile {
    /// Starts one.
    ///
    /// # Errors
    /// The system gives no port or no thread.
    pub fn start(input: Input) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let server = Self { port, connections: Arc::default(), sent: Arc::default() };
        let shared = server.clone();
        std::thread::Builder::new().name("hostile".to_owned()).spawn(move || {
            for stream in listener.incoming().flatten() {
                let number = shared.connections.fetch_add(1, Ordering::Relaxed) + 1;
                let sent = Arc::clone(&shared.sent);
                std::thread::spawn(move || {
                    // That the client hangs up is what is wanted.
                    let _ = Talk { stream, input, number, sent }.serve();
                });
            }
        })?;
        Ok(server)
    }

    /// Returns the number of connections accepted so far.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Octets of its stream that went out.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}

/// One connection.
struct Talk {
    stream: TcpStream,
    input: Input,
    /// Which connection it is, counted from 1.
    number: u64,
    sent: Arc<AtomicU64>,
}

impl Talk {
    /// Whether the first message is gone by now.
    fn is_later(&self) -> bool {
        self.input.spared > 0 && self.number > self.input.spared
    }

    fn serve(&mut self) -> io::Result<()> {
        self.strike("")?;
        match self.input.protocol {
            Protocol::Imap => self.imap(),
            Protocol::Pop3 => self.pop3(),
        }
    }

    /// Sends the stream if it belongs to this command.
    fn strike(&mut self, command: &str) -> io::Result<()> {
        let at = self.input.at;
        let here = if at.is_empty() { command.is_empty() } else { command.starts_with(at) };
        if !here || self.number <= self.input.spared {
            return Ok(());
        }
        for n in 1.. {
            let Some(part) = (self.input.part)(n) else { break };
            self.stream.write_all(&part)?;
            self.sent.fetch_add(part.len() as u64, Ordering::Relaxed);
        }
        Ok(())
    }

    fn say(&mut self, text: &str) -> io::Result<()> {
        self.stream.write_all(text.as_bytes())
    }

    fn imap(&mut self) -> io::Result<()> {
        let can = format!("IMAP4rev1 UIDPLUS {}", self.input.can);
        // Without capabilities in the greeting the client asks for them.
        self.say("* OK ready\r\n")?;
        let mut lines = BufReader::new(self.stream.try_clone()?);
        loop {
            let mut line = String::new();
            if lines.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let Some((tag, command)) = line.trim_end().split_once(' ') else { return Ok(()) };
            let command = command.to_ascii_uppercase();
            self.strike(&command)?;
            if let Some(size) = literal(&command) {
                if !command.ends_with("+}") {
                    self.say("+ go on\r\n")?;
                }
                io::copy(&mut io::Read::take(&mut lines, size + 2), &mut io::sink())?;
            }
            let untagged = self.untagged(&command, &can);
            self.say(&format!("{untagged}{tag} OK done\r\n"))?;
        }
    }

    fn untagged(&self, command: &str, can: &str) -> String {
        let (n, gone) = (self.input.messages, u32::from(self.is_later()));
        let all = || (1..=n.min(3) - gone).map(|n| (n, 9 + gone + n));
        match command {
            _ if command.starts_with("CAPABILITY") => format!("* CAPABILITY {can}\r\n"),
            _ if command.starts_with("LIST") => {
                let status = format!("(UIDVALIDITY 7 UIDNEXT {} MESSAGES {})", 10 + n, n - gone);
                format!("* LIST () \"/\" INBOX\r\n* STATUS INBOX {status}\r\n")
            }
            _ if command.starts_with("STATUS") => {
                let (next, n) = (10 + n, n - gone);
                format!("* STATUS INBOX (UIDVALIDITY 7 UIDNEXT {next} MESSAGES {n})\r\n")
            }
            _ if command.starts_with("SELECT") || command.starts_with("EXAMINE") => {
                let (next, n) = (10 + n, n - gone);
                format!("* {n} EXISTS\r\n* OK [UIDVALIDITY 7] x\r\n* OK [UIDNEXT {next}] x\r\n")
            }
            _ if command.starts_with("UID SEARCH") => {
                let uids: Vec<String> = all().map(|(_, uid)| uid.to_string()).collect();
                format!("* SEARCH {}\r\n", uids.join(" "))
            }
            _ if command.starts_with("UID FETCH") && command.contains("BODY") => {
                let body = "Subject: x\r\n\r\nx\r\n";
                let row = |(n, uid)| {
                    format!("* {n} FETCH (UID {uid} BODY[] {{{}}}\r\n{body})\r\n", body.len())
                };
                all().map(row).collect()
            }
            _ if command.starts_with("UID FETCH") => {
                let date = "INTERNALDATE \" 1-Jan-2020 00:00:00 +0000\"";
                let row = |(n, uid)| {
                    format!("* {n} FETCH (UID {uid} FLAGS () RFC822.SIZE 17 {date})\r\n")
                };
                all().map(row).collect()
            }
            _ => String::new(),
        }
    }

    fn pop3(&mut self) -> io::Result<()> {
        self.say("+OK ready\r\n")?;
        let mut lines = BufReader::new(self.stream.try_clone()?);
        let n = self.input.messages;
        loop {
            let mut line = String::new();
            if lines.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let command = line.trim_end().to_ascii_uppercase();
            let listing = |row: &dyn Fn(u32) -> String| {
                let rows: String = (1..=n).map(row).collect();
                format!("+OK\r\n{rows}.\r\n")
            };
            let answer = match command.split_once(' ').unwrap_or((&command, "")) {
                ("UIDL", n) if !n.is_empty() => format!("+OK {n} id{n}\r\n"),
                ("LIST", n) if !n.is_empty() => format!("+OK {n} 17\r\n"),
                ("CAPA", _) => format!("+OK\r\nUSER\r\nUIDL\r\nTOP\r\n{}.\r\n", self.input.can),
                ("UIDL", _) if n > 3 => listing(&|n| format!("{n} {n}\r\n")),
                ("UIDL", _) => listing(&|n| format!("{n} id{n}\r\n")),
                ("LIST", _) => listing(&|n| format!("{n} 17\r\n")),
                ("RETR" | "TOP", _) => "+OK\r\nSubject: x\r\n\r\nx\r\n.\r\n".to_owned(),
                _ => "+OK\r\n".to_owned(),
            };
            // The stream stands between the status line and the rest of a long answer.
            match answer.strip_prefix("+OK\r\n") {
                Some(rest) if !rest.is_empty() && command.starts_with(self.input.at) => {
                    self.say("+OK\r\n")?;
                    self.strike(&command)?;
                    self.say(rest)?;
                }
                _ => {
                    self.strike(&command)?;
                    self.say(&answer)?;
                }
            }
        }
    }
}

/// The octets that a command announces.
fn literal(command: &str) -> Option<u64> {
    let digits = command.strip_suffix('}')?;
    let digits = digits.strip_suffix('+').unwrap_or(digits);
    digits.rsplit_once('{')?.1.parse().ok()
}
