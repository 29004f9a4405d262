//! Mailbox names: modified UTF-7 (RFC 3501 §5.1.3), INBOX in any case, LIST patterns.

use base64::Engine as _;
use base64::alphabet::IMAP_MUTF7;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};

const ENGINE: GeneralPurpose = GeneralPurpose::new(&IMAP_MUTF7, NO_PAD);

/// Encodes a UTF-8 name as modified UTF-7.
#[must_use]
pub fn encode(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut shifted: Vec<u8> = Vec::new();
    for c in name.chars() {
        if matches!(c, ' '..='~') {
            unshift(&mut shifted, &mut out);
            out.push(c);
            if c == '&' {
                out.push('-');
            }
        } else {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                shifted.extend(unit.to_be_bytes());
            }
        }
    }
    unshift(&mut shifted, &mut out);
    out
}

fn unshift(shifted: &mut Vec<u8>, out: &mut String) {
    if !shifted.is_empty() {
        out.push('&');
        out.push_str(&ENGINE.encode(&*shifted));
        out.push('-');
        shifted.clear();
    }
}

/// Decodes modified UTF-7; none when it is not valid (raw 8-bit, bad base64, lone surrogates,
/// printable ASCII hidden in a shift).
#[must_use]
pub fn decode(wire: &[u8]) -> Option<String> {
    let text =
        std::str::from_utf8(wire).ok().filter(|t| t.chars().all(|c| (' '..='~').contains(&c)))?;
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        let end = at + rest[at..].find('-')?;
        let inner = &rest[at + 1..end];
        if inner.is_empty() {
            out.push('&');
        } else {
            let bytes = ENGINE.decode(inner).ok().filter(|b| b.len() % 2 == 0)?;
            let units: Vec<u16> =
                bytes.chunks(2).map(|p| u16::from_be_bytes([p[0], p[1]])).collect();
            let decoded = String::from_utf16(&units).ok()?;
            if decoded.chars().any(|c| (' '..='~').contains(&c)) {
                return None;
            }
            out.push_str(&decoded);
        }
        rest = &rest[end + 1..];
    }
    out.push_str(rest);
    Some(out)
}

/// The name with a leading `inbox` level in any case spelled `INBOX` (RFC 3501 §5.1).
#[must_use]
pub(super) fn canonical(name: &str, delimiter: char) -> String {
    let first = name.split(delimiter).next().unwrap_or_default();
    if first.eq_ignore_ascii_case("INBOX") {
        format!("INBOX{}", &name[first.len()..])
    } else {
        name.to_owned()
    }
}

/// The levels above a name, nearest first: `a/b/c` gives `a/b`, `a`.
pub(super) fn parents(name: &str, delimiter: char) -> impl Iterator<Item = &str> {
    name.rmatch_indices(delimiter).map(|(at, _)| &name[..at])
}

/// Whether `name` lies below `above`.
pub(super) fn is_below(name: &str, above: &str, delimiter: char) -> bool {
    name.strip_prefix(above).is_some_and(|rest| rest.starts_with(delimiter))
}

/// Why a name cannot be created, in the words that Dovecot uses.
pub(super) fn refusal(name: &str, delimiter: char, lax: bool) -> Option<&'static str> {
    let doubled: String = [delimiter, delimiter].iter().collect();
    if name.is_empty() {
        Some("Name is empty")
    } else if name.starts_with(delimiter) {
        Some("Begins with hierarchy separator")
    } else if name.contains(&doubled) {
        Some("Has adjacent hierarchy separators")
    } else if lax {
        None
    } else if name.split(delimiter).any(|part| part == "..") {
        Some("Contains '..' part")
    } else if name.chars().any(char::is_control) {
        Some("Contains control characters")
    } else if name.split(delimiter).any(|part| part.len() > 255) {
        Some("Mailbox name too long")
    } else {
        None
    }
}

/// Whether a LIST pattern matches: `*` anything, `%` anything within one level
/// (RFC 3501 §6.3.8). Takes time pattern × name at most.
#[must_use]
pub(super) fn matches(pattern: &str, name: &str, delimiter: char) -> bool {
    let pattern = canonical(pattern, delimiter);
    let name: Vec<char> = name.chars().collect();
    let inbox =
        name.starts_with(&['I', 'N', 'B', 'O', 'X']) && name.get(5).is_none_or(|c| *c == delimiter);
    // reached[i]: the pattern so far matches the first i characters.
    let mut reached = vec![false; name.len() + 1];
    reached[0] = true;
    for p in pattern.chars() {
        let mut next = vec![false; name.len() + 1];
        for at in 0..=name.len() {
            next[at] = match p {
                '*' | '%' => {
                    let passes = |c: char| p == '*' || c != delimiter;
                    reached[at] || (at > 0 && next[at - 1] && passes(name[at - 1]))
                }
                _ => {
                    let same = |c: char| c == p || (inbox && at <= 5 && c.eq_ignore_ascii_case(&p));
                    at > 0 && reached[at - 1] && same(name[at - 1])
                }
            };
        }
        reached = next;
    }
    reached[name.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modified_utf7_both_ways() {
        for (name, wire) in [
            ("INBOX", "INBOX"),
            ("a&b", "a&-b"),
            ("é", "&AOk-"),
            ("Entwürfe/日本語", "Entw&APw-rfe/&ZeVnLIqe-"),
            ("😀x", "&2D3eAA-x"),
        ] {
            assert_eq!(encode(name), wire);
            assert_eq!(decode(wire.as_bytes()).as_deref(), Some(name));
        }
        for bad in ["a&b", "&", "&AOk", "&2D0-", "&AGE-", "caf\u{e9}", "&A-"] {
            assert_eq!(decode(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn patterns() {
        for (pattern, name, expected) in [
            ("*", "a/b", true),
            ("%", "a/b", false),
            ("%", "a", true),
            ("a/%", "a/b", true),
            ("a/%", "a/b/c", false),
            ("a*c", "a/b/c", true),
            ("%/%", "a/b", true),
            ("in*", "INBOX/x", true),
            ("inbox", "INBOX", true),
            ("INBOX/X", "INBOX/x", false),
            ("inb*", "INBOXES", false),
            ("", "a", false),
            ("a", "ab", false),
        ] {
            assert_eq!(matches(pattern, name, '/'), expected, "{pattern} {name}");
        }
        let hostile = "%*".repeat(200);
        assert!(!matches(&format!("{hostile}z"), &"a".repeat(500), '/'));
    }

    #[test]
    fn names_that_are_refused() {
        for bad in ["", "/a", "a//b", "a/../b", "a\u{7}"] {
            assert!(refusal(bad, '/', false).is_some(), "{bad:?}");
        }
        assert_eq!(refusal("a/.b/..c", '/', false), None);
        assert_eq!(canonical("inBox/x", '/'), "INBOX/x");
        assert_eq!(parents("a/b/c", '/').collect::<Vec<_>>(), ["a/b", "a"]);
    }
}
