//! Status lines (RFC 1939 §3) and their response codes (RFC 2449 §8, RFC 3206).

use crate::remote::code::Code;
use crate::remote::error::RemoteError;

/// What a status line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// `+OK`, and what stands behind it.
    Ok(String),
    /// `-ERR`.
    Err(Refusal),
    /// `+`, in the middle of AUTH: its challenge, still in base64 (RFC 5034 §4).
    Challenge(Vec<u8>),
}

/// What stands behind `-ERR`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: Option<Code>,
    /// The human-readable text, as it came.
    pub(crate) words: String,
}

impl Answer {
    /// Reads a status line; none if it is none.
    pub(crate) fn parse(line: &[u8]) -> Option<Self> {
        let end = line.iter().position(u8::is_ascii_whitespace).unwrap_or(line.len());
        let (word, rest) = (&line[..end], line[end..].trim_ascii());
        if word.eq_ignore_ascii_case(b"+OK") {
            Some(Self::Ok(text(rest)))
        } else if word.eq_ignore_ascii_case(b"-ERR") {
            let (code, words) = split_code(rest);
            Some(Self::Err(Refusal { code: code.and_then(code_of), words: text(words) }))
        } else {
            (word == b"+").then(|| Self::Challenge(rest.to_vec()))
        }
    }
}

impl Refusal {
    /// As the error of a command.
    pub(crate) fn of(self, doing: &str) -> RemoteError {
        RemoteError::No { doing: doing.to_owned(), code: self.code, words: self.words }
    }
}

/// As much of a text as a person would read.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(1_000)]).into_owned()
}

/// Parts `[CODE] text`.
fn split_code(rest: &[u8]) -> (Option<&[u8]>, &[u8]) {
    let Some(body) = rest.strip_prefix(b"[") else { return (None, rest) };
    match body.iter().position(|&b| b == b']') {
        Some(end) => (Some(body[..end].trim_ascii()), body[end + 1..].trim_ascii()),
        None => (None, rest),
    }
}

/// In the words of IMAP, where it has one; none for an empty one.
fn code_of(code: &[u8]) -> Option<Code> {
    let told = String::from_utf8_lossy(code).to_ascii_uppercase();
    let mut words = told.split_ascii_whitespace();
    Some(match words.next()? {
        "IN-USE" => Code::InUse,
        "LOGIN-DELAY" => Code::LoginDelay(words.next().and_then(|word| word.parse().ok())),
        "SYS/TEMP" => Code::Unavailable,
        "SYS/PERM" => Code::Cannot,
        "AUTH" => Code::AuthenticationFailed,
        _ => Code::Other(text(code)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_lines() {
        let ok = |words: &str| Some(Answer::Ok(words.to_owned()));
        let refused = |code: Option<Code>, words: &str| {
            Some(Answer::Err(Refusal { code, words: words.to_owned() }))
        };
        let table = [
            ("+OK", ok("")),
            ("+ok  two messages ", ok("two messages")),
            ("+OK\t[x] y", ok("[x] y")),
            ("+OKAY", None),
            ("OK", None),
            ("", None),
            ("* OK", None),
            ("-ERR", refused(None, "")),
            ("-ERR [IN-USE] busy", refused(Some(Code::InUse), "busy")),
            ("-err [in-use]busy", refused(Some(Code::InUse), "busy")),
            ("-ERR [LOGIN-DELAY 60] wait", refused(Some(Code::LoginDelay(Some(60))), "wait")),
            ("-ERR [LOGIN-DELAY] wait", refused(Some(Code::LoginDelay(None)), "wait")),
            ("-ERR [SYS/TEMP] x", refused(Some(Code::Unavailable), "x")),
            ("-ERR [SYS/PERM] x", refused(Some(Code::Cannot), "x")),
            ("-ERR [AUTH]", refused(Some(Code::AuthenticationFailed), "")),
            ("-ERR [Odd y] x", refused(Some(Code::Other("Odd y".to_owned())), "x")),
            ("-ERR [] x", refused(None, "x")),
            ("-ERR [IN-USE busy", refused(None, "[IN-USE busy")),
            ("+ YWJj", Some(Answer::Challenge(b"YWJj".to_vec()))),
            ("+", Some(Answer::Challenge(Vec::new()))),
        ];
        for (line, expected) in table {
            assert_eq!(Answer::parse(line.as_bytes()), expected, "{line}");
        }
    }
}
