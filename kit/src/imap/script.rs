//! Commands that the simulated server and a real one (Dovecot 2.3) are both asked, and what of
//! the answers is compared.
//!
//! [`play`] speaks the script on three connections: `a` enables QRESYNC, `b` CONDSTORE, `d`
//! neither. Answers are normalised: the words for people, UIDVALIDITY, mod-sequences, dates of
//! arrival, `\Recent` and orders that mean nothing are taken out.

use std::collections::BTreeMap;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};

/// One line per command: the connection, then what it sends. `\r\n` after `{n+}` is written as
/// it is; `$V(x)` stands for the UIDVALIDITY of mailbox x as STATUS last told it, `$M(x)` for
/// its HIGHESTMODSEQ. A line that starts with `~word` is known to be answered differently;
/// whoever compares knows the word and the reason.
pub const SCRIPT: &str = include_str!("script.txt");

/// A command of the script with its normalised answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// Under what word a difference of the answers is known, if it is.
    pub known: Option<&'static str>,
    /// The connection's letter and the command as sent, before anything was filled in.
    pub command: String,
    /// The lines of the answer, normalised; `EOF` when the connection ended.
    pub answer: Vec<String>,
}

/// A client that reads only as much as it must.
struct Client<S> {
    stream: BufReader<S>,
    tags: u32,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    /// The next line with its literals in it; none at the end.
    async fn line(&mut self) -> std::io::Result<Option<String>> {
        let mut octets = Vec::new();
        loop {
            if self.stream.read_until(b'\n', &mut octets).await? == 0 {
                return Ok(None);
            }
            let Some(size) = literal(&octets) else { break };
            let start = octets.len();
            octets.resize(start + size, 0);
            self.stream.read_exact(&mut octets[start..]).await?;
        }
        // Octets as characters of the same number: nothing is lost.
        Ok(Some(octets.iter().map(|b| char::from(*b)).collect()))
    }

    /// Sends a command; gives its answer up to the tagged line.
    async fn ask(&mut self, command: &str) -> Vec<String> {
        self.tags += 1;
        let tag = format!("t{}", self.tags);
        let octets: Vec<u8> = command.chars().map(|c| c as u8).collect();
        let sent = [tag.as_bytes(), b" ", &octets, b"\r\n"].concat();
        // That it has ended is seen when reading.
        let _ = self.stream.get_mut().write_all(&sent).await;
        let mut lines = Vec::new();
        loop {
            // A reset is an end like any other.
            let Some(line) = self.line().await.unwrap_or(None) else {
                lines.push("EOF".to_owned());
                return lines;
            };
            let line = line.trim_end_matches("\r\n").to_owned();
            if let Some(status) = line.strip_prefix(&format!("{tag} ")) {
                lines.push(format!("tagged {status}"));
                return lines;
            }
            lines.push(line);
        }
    }
}

fn literal(octets: &[u8]) -> Option<usize> {
    let text = octets.strip_suffix(b"}\r\n")?;
    let open = memchr::memrchr(b'{', text)?;
    std::str::from_utf8(&text[open + 1..]).ok()?.parse().ok()
}

/// Plays [`SCRIPT`] on connections that `connect` gives, as `user` with password `pass`.
///
/// # Errors
/// When a connection cannot be had or breaks where it should not.
pub async fn play<S, F>(connect: impl Fn() -> F, user: &str) -> std::io::Result<Vec<Exchange>>
where
    S: AsyncRead + AsyncWrite + Unpin,
    F: Future<Output = std::io::Result<S>>,
{
    let mut clients: BTreeMap<char, Client<S>> = BTreeMap::new();
    let mut kept: BTreeMap<String, String> = BTreeMap::new();
    let mut names = Names::default();
    let mut exchanges = Vec::new();
    for line in SCRIPT.lines().filter(|l| !l.is_empty() && !l.starts_with('#')) {
        let (known, line) = match line.strip_prefix('~').and_then(|l| l.split_once(' ')) {
            Some((word, line)) => (Some(word), line),
            None => (None, line),
        };
        let mut chars = line.chars();
        let Some(who) = chars.next() else { continue };
        let command = chars.as_str().trim_start().replace("\\r", "\r").replace("\\n", "\n");
        let mut filled = command.replace("\\0", "\0");
        for (key, value) in &kept {
            filled = filled.replace(key.as_str(), value);
        }
        let client = match clients.entry(who) {
            std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::btree_map::Entry::Vacant(new) => {
                let stream = BufReader::new(connect().await?);
                let client = new.insert(Client { stream, tags: 0 });
                client.line().await?;
                client.ask(&format!("LOGIN {user} pass")).await;
                client
            }
        };
        let raw = client.ask(&filled).await;
        if let Some(name) = command.strip_prefix("STATUS ").and_then(|c| c.split(' ').next()) {
            keep(&raw, name, &mut kept);
        }
        if raw.last().is_some_and(|l| l == "EOF") {
            clients.remove(&who);
        }
        let answer = names.normalise(&raw);
        exchanges.push(Exchange { known, command: line.to_owned(), answer });
    }
    Ok(exchanges)
}

/// Keeps what STATUS told of a mailbox: `$V(name)` is its UIDVALIDITY, `$M(name)` its
/// HIGHESTMODSEQ when it was last asked for.
fn keep(lines: &[String], name: &str, kept: &mut BTreeMap<String, String>) {
    for (item, letter) in [("UIDVALIDITY ", 'V'), ("HIGHESTMODSEQ ", 'M')] {
        let told = lines.iter().filter(|l| l.starts_with("* STATUS")).find_map(|l| after(l, item));
        if let Some(value) = told {
            kept.insert(format!("${letter}({name})"), value);
        }
    }
}

/// The number after a word.
fn after(line: &str, word: &str) -> Option<String> {
    let (_, rest) = line.split_once(word)?;
    let number: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Some(number).filter(|n| !n.is_empty())
}

/// UIDVALIDITYs by the order in which they first appeared.
#[derive(Default)]
struct Names {
    validities: Vec<String>,
}

impl Names {
    fn normalise(&mut self, raw: &[String]) -> Vec<String> {
        let mut lines: Vec<String> = raw.iter().filter_map(|l| self.line(l)).collect();
        // Orders that mean nothing: of LIST rows and their STATUS.
        let listed = |l: &String| l.starts_with("* LIST") || l.starts_with("* STATUS");
        if lines.iter().filter(|l| listed(l)).count() > 1 {
            let tagged = lines.pop();
            lines.sort();
            lines.extend(tagged);
        }
        lines
    }

    fn line(&mut self, line: &str) -> Option<String> {
        if line.ends_with(" RECENT") || line.starts_with("* OK [HIGHESTMODSEQ") {
            return None;
        }
        let mut line = self.codes(line);
        for word in ["HIGHESTMODSEQ ", "MODSEQ (", "(MODSEQ ", "RECENT "] {
            line = replace_number(&line, word, "M");
        }
        if let Some((head, rest)) = line.split_once("INTERNALDATE \"") {
            // The date of arrival is today's; those that were given are of 2020.
            let (date, tail) = rest.split_once('"').unwrap_or((rest, ""));
            let date = if date.contains("-2020 ") { date } else { "NOW" };
            line = format!("{head}INTERNALDATE \"{date}\"{tail}");
        }
        line = line.replace("\\Recent", "").replace("\\Marked", "").replace("\\UnMarked", "");
        Some(sort_lists(&line))
    }

    /// Status lines without the words for people; UIDVALIDITYs by number.
    fn codes(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.splitn(3, ' ').collect();
        let mut line = match words.as_slice() {
            [who, status @ ("OK" | "NO" | "BAD" | "BYE"), text] => {
                let code = text.starts_with('[').then(|| text.split_once(']')).flatten();
                let code = code.map(|(code, _)| format!(" {code}]")).unwrap_or_default();
                format!("{who} {status}{code}")
            }
            _ => line.to_owned(),
        };
        for word in ["UIDVALIDITY ", "APPENDUID ", "COPYUID "] {
            if let Some(number) = after(&line, word) {
                let known = self.validities.iter().position(|v| *v == number);
                let at = known.unwrap_or_else(|| {
                    self.validities.push(number.clone());
                    self.validities.len() - 1
                });
                line = line.replacen(&format!("{word}{number}"), &format!("{word}V{at}"), 1);
            }
        }
        line
    }
}

fn replace_number(line: &str, word: &str, by: &str) -> String {
    match after(line, word) {
        Some(number) => line.replace(&format!("{word}{number}"), &format!("{word}{by}")),
        None => line.to_owned(),
    }
}

/// Sorts the words of the first parenthesis after FLAGS and of LIST attributes, whose order
/// means nothing.
fn sort_lists(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    for start in ["FLAGS (", "LIST ("] {
        let Some((head, tail)) = rest.split_once(start) else { continue };
        let Some((inner, tail)) = tail.split_once(')') else { continue };
        let mut words: Vec<&str> = inner.split_whitespace().collect();
        words.sort_unstable();
        out.push_str(&format!("{head}{start}{})", words.join(" ")));
        rest = tail;
    }
    out + rest
}

/// A command that two servers answered differently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Under what word it is known, if it is.
    pub known: Option<&'static str>,
    /// The command and both answers, for a person.
    pub text: String,
}

/// Where two runs of the script differ, in its order.
#[must_use]
pub fn differences(left: &[Exchange], right: &[Exchange]) -> Vec<Difference> {
    let pairs = left.iter().zip(right).filter(|(l, r)| l.answer != r.answer);
    pairs
        .map(|(l, r)| {
            let (left, right) = (l.answer.join("\n    "), r.answer.join("\n    "));
            let text = format!("{}\n  left:\n    {left}\n  right:\n    {right}", l.command);
            Difference { known: l.known, text }
        })
        .collect()
}
