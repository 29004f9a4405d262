//! Another device of a real server: a plain IMAP client that takes NO for an answer.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::places::{Device, Held};
use crate::dovecot::PASSWORD;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A device; it signs in anew where the server was restarted.
#[derive(Debug)]
pub(super) struct Wire {
    port: u16,
    user: String,
    prefix: String,
    session: Mutex<Option<Session>>,
}

#[derive(Debug)]
struct Session {
    stream: BufReader<TcpStream>,
    tag: u32,
}

/// Untagged lines with their literals, and whether the tagged one was OK.
type Answer = (Vec<Vec<u8>>, bool);

impl Session {
    fn connect(port: u16, user: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let mut session = Self { stream: BufReader::new(stream), tag: 0 };
        session.line()?;
        match session.command(&format!("LOGIN \"{user}\" \"{PASSWORD}\""), None)? {
            (_, true) => Ok(session),
            _ => Err(io::Error::other("the server refuses the sign-in")),
        }
    }

    fn line(&mut self) -> io::Result<Vec<u8>> {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line)?;
        if line.is_empty() { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(line) }
    }

    /// A command; with a literal at its end where one is given.
    fn command(&mut self, text: &str, literal: Option<&[u8]>) -> io::Result<Answer> {
        self.tag += 1;
        let tag = format!("k{} ", self.tag);
        let end = literal.map_or(String::new(), |bytes| format!(" {{{}}}", bytes.len()));
        self.stream.get_mut().write_all(format!("{tag}{text}{end}\r\n").as_bytes())?;
        let mut lines = Vec::new();
        loop {
            let mut line = self.line()?;
            if line.starts_with(b"+") {
                let bytes = [literal.unwrap_or_default(), b"\r\n"].concat();
                self.stream.get_mut().write_all(&bytes)?;
                continue;
            }
            while let Some(length) = literal_of(&line) {
                let mut bytes = vec![0; length];
                self.stream.read_exact(&mut bytes)?;
                line.extend_from_slice(&bytes);
                line.extend_from_slice(&self.line()?);
            }
            if line.starts_with(tag.as_bytes()) {
                return Ok((lines, line[tag.len()..].starts_with(b"OK")));
            }
            lines.push(line);
        }
    }
}

fn literal_of(line: &[u8]) -> Option<usize> {
    let line = line.strip_suffix(b"}\r\n")?;
    let open = line.iter().rposition(|b| *b == b'{')?;
    std::str::from_utf8(&line[open + 1..]).ok()?.parse().ok()
}

impl Wire {
    pub(super) fn new(port: u16, user: &str, prefix: &str) -> Self {
        let (user, prefix) = (user.to_owned(), prefix.to_owned());
        Self { port, user, prefix, session: Mutex::new(None) }
    }

    /// Asks something, twice where the connection had ended.
    fn ask(&self, text: &str, literal: Option<&[u8]>) -> Answer {
        let mut held = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut error, mut ended) = (None, 0);
        for _ in 0..20 {
            let session = match held.take() {
                Some(session) => Ok(session),
                None => Session::connect(self.port, &self.user),
            };
            let connected = session.is_ok();
            match session.and_then(|mut session| {
                let answer = session.command(text, literal)?;
                Ok((session, answer))
            }) {
                Ok((session, answer)) => {
                    *held = Some(session);
                    return answer;
                }
                Err(met) => error = Some(met),
            }
            // A Courier hangs up at some renames, each time: that is a refusal.
            ended += u32::from(connected && text.starts_with("RENAME"));
            if ended > 2 {
                return (Vec::new(), false);
            }
            // A server on its way up.
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("another device cannot reach the server: {text}: {error:?}");
    }

    fn wire(&self, mailbox: &str) -> String {
        let delimiter = if self.prefix.is_empty() { "/" } else { "." };
        format!("\"{}\"", mailbox.replace('/', delimiter))
    }

    fn mailboxes(&self) -> Vec<String> {
        let (lines, _) = self.ask("LIST \"\" \"*\"", None);
        let mut names = Vec::new();
        for line in lines {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            let lower = text.to_ascii_lowercase();
            let hidden = lower.contains("\\noselect") || lower.contains("\\nonexistent");
            let Some(rest) = text.strip_prefix("* LIST (").filter(|_| !hidden) else { continue };
            let Some((_, rest)) = rest.split_once(") \"") else { continue };
            let Some((delimiter, name)) = rest.split_once("\" ") else { continue };
            let name = name.trim_matches('"').replace(delimiter, "/");
            names.push(if name.eq_ignore_ascii_case("INBOX") { "INBOX".to_owned() } else { name });
        }
        names
    }

    fn list(&self, mailbox: &str) -> Option<Vec<Held>> {
        if !self.ask(&format!("EXAMINE {}", self.wire(mailbox)), None).1 {
            return None;
        }
        let (lines, _) = self.ask("UID FETCH 1:* (UID FLAGS BODY.PEEK[])", None);
        // A server may tell of a message twice in one answer.
        let held = lines.iter().filter_map(|line| held(line)).map(|held| (held.uid, held));
        Some(held.collect::<BTreeMap<_, _>>().into_values().collect())
    }

    fn select(&self, mailbox: &str) -> bool {
        self.ask(&format!("SELECT {}", self.wire(mailbox)), None).1
    }

    fn vanish(&self, uid: u32) {
        self.ask(&format!("UID STORE {uid} +FLAGS.SILENT (\\Deleted)"), None);
        if !self.ask(&format!("UID EXPUNGE {uid}"), None).1 {
            self.ask("EXPUNGE", None);
        }
    }
}

fn held(line: &[u8]) -> Option<Held> {
    let open = memchr::memmem::find(line, b"BODY[] {")?;
    let head_end = open + memchr::memmem::find(&line[open..], b"\r\n")?;
    let length = literal_of(&line[..head_end + 2])?;
    let body = line.get(head_end + 2..head_end + 2 + length)?.to_vec();
    let rest = [&line[..open], b" ", &line[head_end + 2 + length..]].concat();
    let rest = String::from_utf8_lossy(&rest).into_owned();
    let after = |word: &str| rest.split_once(word).map(|(_, rest)| rest.to_owned());
    let uid = after("UID ")?;
    let uid = uid.split([' ', ')']).next()?.parse().ok()?;
    let flags = after("FLAGS (")?;
    let words = flags.split(')').next()?.split_whitespace();
    let flags: BTreeSet<String> =
        words.map(str::to_ascii_lowercase).filter(|flag| flag != "\\recent").collect();
    Some(Held { uid, flags, body })
}

impl Device for Wire {
    fn prefix(&self) -> String {
        self.prefix.clone()
    }

    fn everything(&self) -> BTreeMap<String, Vec<Held>> {
        let names = self.mailboxes().into_iter();
        names.filter_map(|name| self.list(&name).map(|list| (name, list))).collect()
    }

    fn append(&self, mailbox: &str, body: &[u8], date: i64) {
        let name = self.wire(mailbox);
        let (hour, minute, second) = (date / 3600 % 24, date / 60 % 60, date % 60);
        let time = format!("{hour:02}:{minute:02}:{second:02}");
        let command = format!("APPEND {name} () \"02-Nov-2026 {time} +0000\"");
        if !self.ask(&command, Some(body)).1 {
            self.create(mailbox);
            self.ask(&command, Some(body));
        }
    }

    fn expunge(&self, mailbox: &str, uid: u32) {
        if self.select(mailbox) {
            self.vanish(uid);
        }
    }

    fn mv(&self, mailbox: &str, uid: u32, to: &str) {
        let to = self.wire(to);
        if self.select(mailbox)
            && !self.ask(&format!("UID MOVE {uid} {to}"), None).1
            && self.ask(&format!("UID COPY {uid} {to}"), None).1
        {
            self.vanish(uid);
        }
    }

    fn copy(&self, mailbox: &str, uid: u32, to: &str) {
        if self.select(mailbox) {
            self.ask(&format!("UID COPY {uid} {}", self.wire(to)), None);
        }
    }

    fn flag(&self, mailbox: &str, uid: u32, flag: &str, set: bool) {
        if self.select(mailbox) {
            let sign = if set { '+' } else { '-' };
            self.ask(&format!("UID STORE {uid} {sign}FLAGS ({flag})"), None);
        }
    }

    fn create(&self, mailbox: &str) {
        self.ask(&format!("CREATE {}", self.wire(mailbox)), None);
    }

    fn delete(&self, mailbox: &str) {
        // No server deletes what is selected.
        self.ask("EXAMINE INBOX", None);
        self.ask(&format!("DELETE {}", self.wire(mailbox)), None);
    }

    fn rename(&self, from: &str, to: &str) {
        self.ask("EXAMINE INBOX", None);
        self.ask(&format!("RENAME {} {}", self.wire(from), self.wire(to)), None);
    }

    fn renumber(&self, _mailbox: &str) {
        // No server does that when it is asked to.
    }
}
