//! Some messages of each hold, as people know them: sender, subject and date.
//!
//! They are looked up once, when the hold is made: of a message whose file is gone only the
//! server can say what it was, and `mailtide holds` asks no server.

use serde::{Deserialize, Serialize};

use super::error::AccountError;
use super::header::HEADER_MAX;
use super::run::Run;
use crate::local::Listed;
use crate::reconcile::types::{Mailbox, MailboxId, Row, Uid, printable};
use crate::remote::imap::{Select, UidSet, Untagged};
use crate::state::{Hold, HoldState};

/// Messages of a hold that are described.
pub const SAMPLES_MAX: usize = 10;
/// Characters of a field that are kept.
const FIELD_MAX: usize = 100;
/// Octets of a file that are read for its header.
const READ_MAX: usize = 16 << 10;

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

/// Describes the holds that nobody described yet. A server that does not tell keeps nothing from
/// going on.
pub(super) async fn look(run: &mut Run) -> Result<(), AccountError> {
    let holds = run.store.holds()?.into_iter();
    let new = holds.filter(|hold| hold.samples.is_none() && hold.state == HoldState::Pending);
    for hold in new.collect::<Vec<_>>() {
        let samples = samples(run, &hold).await?;
        let text = serde_json::to_string(&samples).unwrap_or_default();
        run.record(|w| w.tx().set_hold_samples(&hold.id, &text))?;
        if let Some(told) = run.report.holds.iter_mut().find(|told| told.id == hold.id) {
            told.samples = Some(text);
        }
    }
    Ok(())
}

async fn samples(run: &mut Run, hold: &Hold) -> Result<Vec<Sample>, AccountError> {
    let (mut samples, mut there) = (Vec::new(), Vec::<(MailboxId, Uid)>::new());
    for id in &hold.rows {
        if samples.len() + there.len() == SAMPLES_MAX {
            break;
        }
        let Some(row) = run.store.row(*id)? else { continue };
        match of_file(run, &row)? {
            Some(sample) => samples.push(sample),
            None => there.extend(row.remote.as_ref().map(|remote| (row.mailbox, remote.uid))),
        }
    }
    there.sort_unstable();
    for mailbox in there.chunk_by(|a, b| a.0 == b.0) {
        let mut set = UidSet::default();
        mailbox.iter().for_each(|(_, uid)| {
            set.insert(*uid);
        });
        if let Some(mailbox) = mailbox.first().map(|(id, _)| run.store.mailbox(*id)).transpose()? {
            samples.extend(match mailbox {
                Some(mailbox) => of_server(run, &mailbox, &set).await?,
                None => Vec::new(),
            });
        }
    }
    Ok(samples)
}

pub(super) fn of_file(run: &Run, row: &Row) -> Result<Option<Sample>, AccountError> {
    let Some(local) = &row.local else { return Ok(None) };
    let Some(mailbox) = run.store.mailbox(row.mailbox)? else { return Ok(None) };
    let listed = Listed::expected(local, run.settings.info_separator);
    let path = run.root.path_of(&mailbox.name, &listed.name);
    let mut header = vec![0; READ_MAX];
    let read = run.environment.fs.open(&path).and_then(|file| file.read_at(&mut header, 0));
    Ok(read.ok().map(|length| Sample::of(&header[..length.min(READ_MAX)])))
}

async fn of_server(
    run: &mut Run,
    mailbox: &Mailbox,
    set: &UidSet,
) -> Result<Vec<Sample>, AccountError> {
    let mut samples = Vec::new();
    let mut ignore = |_: Untagged| {};
    let selected = run.session.select(&mailbox.name, Select::ReadOnly, None, &mut ignore).await;
    let asked = match selected {
        Ok(selected)
            if mailbox.cursor.map(|c| c.uid_validity) == Some(selected.gate.uid_validity) =>
        {
            let mut sink = |_: Uid, bytes: &[u8]| samples.push(Sample::of(bytes));
            run.session.fetch_headers(set, HEADER_MAX, &mut sink).await
        }
        Ok(_) => Ok(()),
        Err(error) => Err(error),
    };
    match asked {
        Err(error) if error.ends_session() => return Err(error.into()),
        Err(error) => tracing::debug!(mailbox = %mailbox.name, %error, "a hold has no samples"),
        Ok(()) => {}
    }
    // It was only looked at: whoever changes something selects it anew.
    run.session.unselect().await?;
    Ok(samples)
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
