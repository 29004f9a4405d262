//! Reads responses: tolerant, on borrowed slices, and no line is fatal.
//!
//! What a line is about is told apart here; what it says is read by the module of its kind.
//! Whatever is not understood becomes [`Response::Other`], and the session goes on.

pub(crate) mod cursor;
pub(crate) mod fetch;
pub(crate) mod list;
pub(crate) mod status;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::uid_set::{Collector, UidSet};
use cursor::{Cursor, is, number, trim};
use status::{Condition, Status};

/// What the end of a line says of what follows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Marker {
    /// The line is the last of its response.
    None,
    /// A literal of this many bytes follows.
    Literal(u64),
    /// A literal follows whose length is no number that we could count to.
    TooLong,
}

/// Whether a line ends in `{n}` or `{n+}` (RFC 9051 §4.3), after a space, `(` or `~`.
///
/// Only in lines of data: see [`may_hold_literal`].
pub(crate) fn literal_marker(line: &[u8]) -> Marker {
    let Some(body) = line.trim_ascii_end().strip_suffix(b"}") else { return Marker::None };
    let body = body.strip_suffix(b"+").unwrap_or(body);
    let digits = body.iter().rev().take_while(|b| b.is_ascii_digit()).count();
    let (before, digits) = body.split_at(body.len() - digits);
    let placed = matches!(before, [.., b' ' | b'(' | b'~', b'{']);
    if digits.is_empty() || !placed {
        return Marker::None;
    }
    match number(digits) {
        Some(length) => Marker::Literal(length),
        None => Marker::TooLong,
    }
}

/// Whether the first line of a response can announce a literal: human-readable text cannot,
/// however much it looks like it (`* OK See ticket {5}`).
pub(crate) fn may_hold_literal(response: &[u8]) -> bool {
    match response.strip_prefix(b"* ") {
        Some(rest) => Condition::of(Cursor::new(rest).atom()).is_none(),
        None => false,
    }
}

/// One response, told apart.
#[derive(Debug)]
pub(crate) enum Response<'a> {
    /// The answer to a command.
    Tagged { tag: &'a [u8], status: Status },
    /// `+`: the server waits for more.
    Continue,
    /// Untagged OK, NO, BAD, PREAUTH, BYE.
    Status(Status),
    /// The list of an untagged CAPABILITY.
    Capability(&'a [u8]),
    /// The list of an ENABLED (RFC 5161).
    Enabled(&'a [u8]),
    /// What follows LIST.
    List(&'a [u8]),
    /// What follows STATUS.
    MailboxStatus(&'a [u8]),
    /// What follows SEARCH.
    Search(&'a [u8]),
    /// What follows ESEARCH.
    Esearch(&'a [u8]),
    /// VANISHED (RFC 7162 §3.2.10); no set if it could not be read.
    Vanished { earlier: bool, uids: Option<UidSet> },
    /// The number of messages.
    Exists(u32),
    /// The message with this sequence number is gone.
    Expunge(u32),
    /// What follows FETCH, its parentheses included.
    Fetch(&'a [u8]),
    /// Anything else.
    Other,
}

impl<'a> Response<'a> {
    /// Tells a whole response apart (literals inline).
    pub(crate) fn parse(response: &'a [u8]) -> Self {
        if let Some(rest) = response.strip_prefix(b"* ") {
            return Self::untagged(rest);
        }
        if response.starts_with(b"+") {
            return Self::Continue;
        }
        let mut cursor = Cursor::new(response);
        let tag = cursor.atom();
        if tag.is_empty() || tag == b"*" {
            return Self::Other;
        }
        match Status::parse(cursor.rest()) {
            Some(status) => Self::Tagged { tag, status },
            None => Self::Other,
        }
    }

    fn untagged(rest: &'a [u8]) -> Self {
        if let Some(status) = Status::parse(rest) {
            return Self::Status(status);
        }
        let mut cursor = Cursor::new(rest);
        let word = cursor.atom();
        if let Some(number) = number(word).and_then(|n| u32::try_from(n).ok()) {
            let kind = cursor.atom();
            return match kind {
                _ if is(kind, "EXISTS") => Self::Exists(number),
                _ if is(kind, "EXPUNGE") => Self::Expunge(number),
                _ if is(kind, "FETCH") => Self::Fetch(cursor.rest()),
                _ => Self::Other,
            };
        }
        let rest = cursor.rest();
        match word {
            _ if is(word, "CAPABILITY") => Self::Capability(trim(rest)),
            _ if is(word, "ENABLED") => Self::Enabled(trim(rest)),
            _ if is(word, "LIST") => Self::List(rest),
            _ if is(word, "STATUS") => Self::MailboxStatus(rest),
            _ if is(word, "SEARCH") => Self::Search(trim(rest)),
            _ if is(word, "ESEARCH") => Self::Esearch(trim(rest)),
            _ if is(word, "VANISHED") => Self::vanished(rest),
            _ => Self::Other,
        }
    }

    fn vanished(rest: &[u8]) -> Self {
        let mut cursor = Cursor::new(rest);
        let earlier = cursor.parenthesised().is_some();
        // Blanks after commas were seen in the wild.
        let set = cursor.rest().trim_ascii();
        let uids = match set.iter().any(u8::is_ascii_whitespace) {
            false => UidSet::parse(set),
            true => {
                let blank = |b: &u8| b.is_ascii_whitespace();
                UidSet::parse(&set.iter().copied().filter(|b| !blank(b)).collect::<Vec<u8>>())
            }
        };
        Self::Vanished { earlier, uids }
    }
}

/// The UIDs of a SEARCH line; none if anything in it is neither a UID nor `(MODSEQ n)`.
pub(crate) fn search(line: &[u8]) -> Option<UidSet> {
    let line = line.split(|&b| b == b'(').next()?;
    let mut found = Collector::default();
    for word in line.split(|&b| b == b' ').filter(|w| !w.is_empty()) {
        let uid = u32::try_from(number(word)?).ok().filter(|&uid| uid != 0)?;
        found.add(uid, uid);
    }
    Some(found.finish())
}

/// The ALL of an ESEARCH line (RFC 4731), empty where there is none; none if it makes no sense.
pub(crate) fn esearch(line: &[u8]) -> Option<UidSet> {
    let mut cursor = Cursor::new(line);
    cursor.parenthesised();
    let mut set = UidSet::new();
    loop {
        let name = cursor.atom();
        if name.is_empty() {
            return cursor.rest().is_empty().then_some(set);
        }
        if is(name, "UID") {
            continue;
        }
        if is(name, "ALL") {
            set = UidSet::parse(cursor.atom())?;
        } else {
            cursor.skip_value()?;
        }
    }
}

/// A challenge of AUTHENTICATE; one that is none is passed on as a NUL, which no mechanism takes
/// for an answer.
fn challenge(response: &[u8]) -> Vec<u8> {
    let text = response.get(1..).unwrap_or_default().trim_ascii();
    match STANDARD.decode(text) {
        Ok(octets) if !octets.is_empty() => [b"+ ", text, b"\r\n"].concat(),
        _ => b"+ AA==\r\n".to_vec(),
    }
}

/// A response in the words that async-imap's parser surely knows, if it is to see it at all.
pub(crate) fn for_the_shell(response: &[u8], greeting: bool) -> Option<Vec<u8>> {
    match Response::parse(response) {
        Response::Tagged { tag, status } => {
            let mut line = tag.to_vec();
            line.extend_from_slice(match status.condition {
                Condition::Ok => b" OK -\r\n",
                Condition::No => b" NO -\r\n",
                _ => b" BAD -\r\n",
            });
            Some(line)
        }
        Response::Continue => Some(challenge(response)),
        Response::Status(_) if greeting => Some(b"* OK -\r\n".to_vec()),
        _ => None,
    }
}

/// The tagged status among responses.
pub(crate) fn tagged(heard: &[Vec<u8>]) -> Option<Status> {
    heard.iter().find_map(|response| match Response::parse(response) {
        Response::Tagged { status, .. } => Some(status),
        _ => None,
    })
}

#[cfg(test)]
mod tests;
