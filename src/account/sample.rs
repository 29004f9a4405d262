//! What people recognise a message by: sender, subject and date.

use serde::{Deserialize, Serialize};

use crate::reconcile::types::printable;
use crate::state::Hold;

/// Characters of a field that are kept.
const FIELD_MAX: usize = 100;

/// What a message says of itself; each field is empty where it says nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// `From`, decoded.
    pub from: String,
    /// `Subject`, decoded.
    pub subject: String,
    /// `Date`, as it came.
    pub date: String,
}

impl Sample {
    /// Reads a header.
    #[must_use]
    pub fn of(header: &[u8]) -> Self {
        let field = |name| field(header, name).map(|text| shown(&text)).unwrap_or_default();
        Self { from: field("from"), subject: field("subject"), date: field("date") }
    }
}

/// The samples of a hold that were looked up.
#[must_use]
pub fn of_hold(hold: &Hold) -> Vec<Sample> {
    let stored = hold.samples.as_deref();
    stored.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

/// The first field of a name, unfolded.
fn field(header: &[u8], name: &str) -> Option<String> {
    let text = String::from_utf8_lossy(header);
    let mut lines = text.lines().take_while(|line| !line.is_empty());
    let is_it = |line: &&str| {
        line.split_once(':').is_some_and(|(found, _)| found.trim_end().eq_ignore_ascii_case(name))
    };
    let (_, first) = lines.find(is_it)?.split_once(':')?;
    let folded = lines.take_while(|line| line.starts_with([' ', '\t']));
    let value = std::iter::once(first).chain(folded).map(str::trim).collect::<Vec<_>>().join(" ");
    Some(value.chars().take(10 * FIELD_MAX).collect())
}

/// Decoded, cut, and harmless to a terminal.
fn shown(text: &str) -> String {
    let text: String = printable(&decoded(text)).chars().take(FIELD_MAX + 1).collect();
    match text.char_indices().nth(FIELD_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

/// With its encoded words (RFC 2047) decoded; those of an unknown charset stay as they are.
fn decoded(text: &str) -> String {
    let (mut out, mut rest) = (String::new(), text);
    let mut after_word = false;
    while let Some((before, word, after)) = next_word(rest) {
        // White space between two encoded words is not shown.
        if !(after_word && before.chars().all(char::is_whitespace)) {
            out.push_str(before);
        }
        out.push_str(&word);
        (rest, after_word) = (after, true);
    }
    out + rest
}

/// What stands before the next encoded word, the word decoded, and what follows.
fn next_word(text: &str) -> Option<(&str, String, &str)> {
    for (at, _) in text.match_indices("=?") {
        let mut parts = text[at + 2..].splitn(4, '?');
        let (charset, encoding, body) = (parts.next()?, parts.next()?, parts.next()?);
        let Some(after) = parts.next()?.strip_prefix('=') else { continue };
        if let Some(word) = unpacked(encoding, body).and_then(|bytes| in_charset(charset, &bytes)) {
            return Some((&text[..at], word, after));
        }
    }
    None
}

fn unpacked(encoding: &str, body: &str) -> Option<Vec<u8>> {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    match encoding {
        "B" | "b" => STANDARD.decode(body).ok(),
        "Q" | "q" => Some(quoted(body)),
        _ => None,
    }
}

fn quoted(body: &str) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::new(), body.as_bytes());
    while let Some((first, after)) = rest.split_first() {
        let hex = after.get(..2).filter(|_| *first == b'=');
        let hex = hex.and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                rest = &after[2..];
            }
            None => {
                out.push(if *first == b'_' { b' ' } else { *first });
                rest = after;
            }
        }
    }
    out
}

fn in_charset(charset: &str, bytes: &[u8]) -> Option<String> {
    // RFC 2231 allows a language after the charset.
    let charset = charset.split('*').next().unwrap_or_default().to_ascii_lowercase();
    match charset.as_str() {
        "utf-8" | "us-ascii" => Some(String::from_utf8_lossy(bytes).into_owned()),
        "iso-8859-1" | "iso-8859-15" | "windows-1252" => {
            Some(bytes.iter().map(|byte| char::from(*byte)).collect())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_becomes_three_harmless_fields() {
        let header = b"From: =?utf-8?Q?J=C3=BCrgen_M?= <j@example.org>\r\n\
            SUBJECT: =?ISO-8859-1?B?4mM=?=\r\n =?utf-8?q?!?= \x1b[31m end\r\n\
            Subject: another\r\n\r\nDate: not this\r\n";
        let sample = Sample::of(header);
        assert_eq!(sample.from, "J\u{fc}rgen M <j@example.org>");
        assert!(sample.subject.starts_with("\u{e2}c!"), "{}", sample.subject);
        assert!(!sample.subject.contains('\u{1b}'), "{}", sample.subject);
        assert_eq!(sample.date, "");
        let long = format!("Subject: {}\n\n", "\u{e4}".repeat(5000));
        assert_eq!(Sample::of(long.as_bytes()).subject.chars().count(), FIELD_MAX + 1);
    }

    #[test]
    fn what_is_no_encoded_word_stays_as_it_is() {
        for text in ["=?", "=?x?", "=?utf-8?Q?a", "=?koi8-r?Q?a?=", "=?utf-8?B?*?=", "a =?b?= c"] {
            assert_eq!(decoded(text), text);
        }
        assert_eq!(decoded("=?utf-8?Q?a?= =?utf-8?Q?b?= c"), "ab c");
        assert_eq!(decoded("=? =?utf-8*de?Q?=4?="), "=? =4");
    }
}
