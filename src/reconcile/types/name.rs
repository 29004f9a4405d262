//! Names of mailboxes, and what of foreign text a terminal may see.

use std::fmt;

/// The path of a mailbox in UTF-8 with `/` between its levels, whatever server or disk call it.
///
/// `INBOX` in any case is stored as `INBOX` (RFC 9051 §5.1).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MailboxName(String);

impl MailboxName {
    /// The path that every account has.
    pub const INBOX: &'static str = "INBOX";

    /// Takes a UTF-8 path; a leading `inbox` level in any case becomes `INBOX`.
    #[must_use]
    pub fn new(path: &str) -> Self {
        let (first, rest) = path.split_at(path.find('/').unwrap_or(path.len()));
        if first.eq_ignore_ascii_case(Self::INBOX) {
            Self(format!("{}{rest}", Self::INBOX))
        } else {
            Self(path.to_owned())
        }
    }

    /// The path as UTF-8, as stored; not fit for a terminal before it is neutralised.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is the INBOX itself (not an inferior of it).
    #[must_use]
    pub fn is_inbox(&self) -> bool {
        self.0 == Self::INBOX
    }

    /// The path one level up, if there is one.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        self.0.rfind('/').map(|at| Self(self.0[..at].to_owned()))
    }

    /// Whether `self` lies below `other`.
    #[must_use]
    pub fn is_inferior_of(&self, other: &Self) -> bool {
        self.0.strip_prefix(&other.0).is_some_and(|rest| rest.starts_with('/'))
    }
}

impl fmt::Display for MailboxName {
    /// The path with control characters made visible, so that no name can drive a terminal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&printable(&self.0))
    }
}

/// Replaces what could drive a terminal (C0, DEL, C1 and bidirectional controls) by `\u{..}`.
///
/// Everything that a server, a file name or a message said passes through here before a
/// person sees it.
#[must_use]
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        // Directions, and what is not seen at all: two names that look alike are not one.
        let hidden = matches!(
            c,
            '\u{ad}'
                | '\u{34f}'
                | '\u{61c}'
                | '\u{115f}'..='\u{1160}'
                | '\u{180e}'
                | '\u{200b}'
                | '\u{200e}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{2069}'
                | '\u{3164}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e0fff}'
        );
        if c.is_control() || hidden {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn what_is_not_seen_is_spelled_out() {
        let blank = ['\u{ad}', '\u{180e}', '\u{2028}', '\u{3164}'];
        let known = ['\u{61c}', '\u{200b}', '\u{2060}', '\u{feff}', '\u{e0041}', '\u{7f}', '\n'];
        for hidden in known.into_iter().chain(blank) {
            let shown = printable(&format!("a{hidden}b"));
            assert!(shown.is_ascii() && shown.starts_with("a\\u{"), "{shown}");
        }
        assert_eq!(printable("grün \u{1f600}"), "grün \u{1f600}");
    }
}
