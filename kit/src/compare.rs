//! Compares what a server has with a Maildir, message by message; shares no code with what it
//! checks but the names of flags.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::dovecot::Client;
use crate::imap::name;

/// A message, in the same words for both sides.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Message {
    /// BLAKE3 of its bytes with every LF that follows no CR made CRLF.
    pub content: String,
    /// Flags and keywords by their IMAP names in lower case.
    pub flags: BTreeSet<String>,
    /// Seconds since 1970.
    pub date: i64,
}

/// Messages of each mailbox, sorted.
pub type Mail = BTreeMap<String, Vec<Message>>;

/// BLAKE3 of f(bytes).
#[must_use]
pub fn content(bytes: &[u8]) -> String {
    let mut wire = Vec::with_capacity(bytes.len() + bytes.len() / 32);
    let mut last = 0;
    for byte in bytes {
        if *byte == b'\n' && last != b'\r' {
            wire.push(b'\r');
        }
        wire.push(*byte);
        last = *byte;
    }
    blake3::hash(&wire).to_hex()[..16].to_owned()
}

/// Everything that a server has of an account.
pub fn remote(client: &mut Client) -> Mail {
    let mut mail = Mail::new();
    for mailbox in client.mailboxes() {
        let mut messages: Vec<Message> = client
            .messages(&mailbox)
            .into_iter()
            .map(|seen| Message {
                content: content(&seen.bytes),
                flags: seen.flags.iter().map(|flag| flag.to_ascii_lowercase()).collect(),
                date: internal_date(&seen.date),
            })
            .collect();
        messages.sort();
        mail.insert(name::decode(mailbox.as_bytes()).unwrap_or(mailbox), messages);
    }
    mail
}

/// Everything in a nested Maildir.
///
/// # Panics
/// If it cannot be read.
#[must_use]
pub fn maildir(root: &Path) -> Mail {
    let mut mail = Mail::new();
    let mut todo = vec![PathBuf::new()];
    while let Some(relative) = todo.pop() {
        let dir = root.join(&relative);
        let below = fs::read_dir(&dir).expect("the directory").map(|entry| entry.expect("entry"));
        let names: BTreeSet<String> = below
            .filter(|entry| entry.path().is_dir())
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        if names.contains("cur") && names.contains("new") {
            mail.insert(relative.to_string_lossy().into_owned(), messages(&dir));
        }
        let deeper = names.iter().filter(|n| !["cur", "new", "tmp"].contains(&n.as_str()));
        todo.extend(deeper.filter(|n| !n.starts_with('.')).map(|n| relative.join(n)));
    }
    mail
}

fn messages(dir: &Path) -> Vec<Message> {
    let table = fs::read_to_string(dir.join("dovecot-keywords")).unwrap_or_default();
    let keywords: BTreeMap<char, String> = table
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(at, word)| Some((char::from(b'a' + at.parse::<u8>().ok()?), word)))
        .map(|(letter, word)| (letter, word.to_ascii_lowercase()))
        .collect();
    let mut messages = Vec::new();
    for sub in ["new", "cur"] {
        for entry in fs::read_dir(dir.join(sub)).expect("a message directory") {
            let path = entry.expect("an entry").path();
            let file = path.file_name().expect("a name").to_string_lossy().into_owned();
            let info = file.rsplit_once(":2,").map_or("", |(_, info)| info);
            let modified = fs::metadata(&path).expect("its metadata").modified().expect("a time");
            let since = modified.duration_since(std::time::UNIX_EPOCH).expect("after 1970");
            messages.push(Message {
                content: content(&fs::read(&path).expect("its bytes")),
                flags: info.chars().map(|letter| flag(letter, &keywords)).collect(),
                date: i64::try_from(since.as_secs()).expect("a date"),
            });
        }
    }
    messages.sort();
    messages
}

fn flag(letter: char, keywords: &BTreeMap<char, String>) -> String {
    match letter {
        'D' => "\\draft".to_owned(),
        'F' => "\\flagged".to_owned(),
        'P' => "$forwarded".to_owned(),
        'R' => "\\answered".to_owned(),
        'S' => "\\seen".to_owned(),
        'T' => "\\deleted".to_owned(),
        other => keywords.get(&other).cloned().unwrap_or_else(|| format!("?{other}")),
    }
}

/// `17-Jul-1996 02:44:25 -0700` in seconds since 1970.
fn internal_date(text: &str) -> i64 {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let part = |range: std::ops::Range<usize>| text.get(range).unwrap_or("").trim();
    let number = |range| part(range).parse::<i64>().unwrap_or(0);
    let month = MONTHS.find(part(3..6)).map_or(1, |at| at as i64 / 3 + 1);
    let (day, year) = (number(0..2), number(7..11));
    // Days from the civil calendar, years beginning in March.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719_468;
    let seconds = number(12..14) * 3600 + number(15..17) * 60 + number(18..20);
    let zone = number(22..24) * 3600 + number(24..26) * 60;
    let zone = if part(21..22) == "-" { -zone } else { zone };
    days * 86_400 + seconds - zone
}

/// What differs, a line for each message; empty when both sides are equal.
#[must_use]
pub fn differences(remote: &Mail, local: &Mail) -> Vec<String> {
    let mut out = Vec::new();
    let names: BTreeSet<&String> = remote.keys().chain(local.keys()).collect();
    for mailbox in names {
        match (remote.get(mailbox), local.get(mailbox)) {
            (Some(remote), Some(local)) => {
                let mut rest = local.clone();
                for message in remote {
                    match rest.iter().position(|other| other == message) {
                        Some(at) => drop(rest.remove(at)),
                        None => out.push(format!("{mailbox}: only on the server: {message:?}")),
                    }
                }
                out.extend(rest.iter().map(|m| format!("{mailbox}: only in the Maildir: {m:?}")));
            }
            (Some(_), None) => out.push(format!("{mailbox}: no directory")),
            (None, _) => out.push(format!("{mailbox}: not on the server")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_instants() {
        assert_eq!(internal_date("01-Jan-1970 00:00:00 +0000"), 0);
        assert_eq!(internal_date("17-Jul-1996 02:44:25 -0700"), 837_596_665);
        assert_eq!(internal_date(" 1-Mar-2024 00:00:00 +0100"), 1_709_247_600);
    }

    #[test]
    fn line_ends_make_no_difference_of_content() {
        assert_eq!(content(b"a\nb\r\n"), content(b"a\r\nb\n"));
        assert_ne!(content(b"a\r\r\n"), content(b"a\r\n"));
    }
}
