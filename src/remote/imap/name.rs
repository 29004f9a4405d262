//! Mailbox names: the server's spelling (modified UTF-7, its delimiter) and ours (UTF-8, `/`).
//!
//! Both ways must come out as they went in; a name that does not is reported with its
//! reason, never silently changed into another mailbox's name.

use std::collections::BTreeMap;

use crate::reconcile::types::{MailboxName, decode_utf7, decode_utf7_loosely, encode_utf7};

/// How the server spells the names of an account, as learned from LIST.
#[derive(Debug, Clone, Default)]
pub struct Names {
    pub(super) raw: BTreeMap<MailboxName, String>,
    /// The delimiter, once LIST has told it; none within for flat names.
    pub(super) delimiter: Option<Option<char>>,
}

impl Names {
    /// The server's spelling of a name that it did not list. What lies below a mailbox has that
    /// one's spelling in front, whichever that is (hazard 150).
    pub(super) fn spell(&self, name: &MailboxName) -> Result<String, String> {
        let delimiter = self.delimiter.flatten();
        let raw = encode(name, delimiter)?;
        let above = std::iter::successors(name.parent(), MailboxName::parent);
        let mut known = above.filter_map(|above| Some((self.raw.get(&above)?, above)));
        let Some(((prefix, above), delimiter)) = known.next().zip(delimiter) else {
            return Ok(raw);
        };
        match encode(&above, Some(delimiter)) {
            Ok(usual) if usual != *prefix => match raw.strip_prefix(&usual) {
                Some(rest) => Ok(format!("{prefix}{rest}")),
                None => Ok(raw),
            },
            _ => Ok(raw),
        }
    }
}

/// Our name of what the server calls `raw`, or the reason why it cannot be told exactly.
///
/// Names in plain UTF-8 are taken as such: some servers list them without being asked.
pub(crate) fn decode(raw: &[u8], delimiter: Option<char>) -> Result<MailboxName, String> {
    decode_by(&decode_utf7, raw, delimiter)
}

/// The same for what a server lists in a spelling that is not the only one (hazard 150): it is
/// known by that spelling alone, so that has to be kept. Gives whether it is the only one.
pub(crate) fn decode_loosely(
    raw: &[u8],
    delimiter: Option<char>,
) -> Result<(MailboxName, bool), String> {
    decode(raw, delimiter).map(|name| (name, true)).or_else(|why| {
        let loosely = |text: &str| Some(decode_utf7_loosely(text));
        // What has an exact spelling was refused for another reason.
        let is_exact = std::str::from_utf8(raw).is_ok_and(|text| decode_utf7(text).is_some());
        let name = if is_exact { Err(why) } else { decode_by(&loosely, raw, delimiter) };
        name.map(|name| (name, false))
    })
}

fn decode_by(
    utf7: &dyn Fn(&str) -> Option<String>,
    raw: &[u8],
    delimiter: Option<char>,
) -> Result<MailboxName, String> {
    let text = std::str::from_utf8(raw).map_err(|_| "it is not text in UTF-8".to_owned())?;
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    if text.contains(['\0', '\r', '\n']) {
        return Err("it holds a line break or a NUL".to_owned());
    }
    let decoded = if text.is_ascii() {
        utf7(text).ok_or("its modified UTF-7 does not stand for any text")?
    } else {
        text.to_owned()
    };
    let path = match delimiter {
        Some('/') => decoded,
        // It begins what is encoded: no name could be told from another.
        Some('&') => return Err("its delimiter is \"&\"".to_owned()),
        _ if decoded.contains('/') => {
            return Err("it holds a \"/\", which is not the server's delimiter".to_owned());
        }
        Some(delimiter) => {
            // A delimiter that came out of UTF-7 is a character of a name, not a delimiter.
            if text.is_ascii()
                && decoded.matches(delimiter).count() != text.matches(delimiter).count()
            {
                return Err("its delimiter is encoded".to_owned());
            }
            decoded.replace(delimiter, "/")
        }
        None => decoded,
    };
    if path.split('/').any(str::is_empty) {
        return Err("one of its levels is empty".to_owned());
    }
    Ok(MailboxName::new(&path))
}

/// The server's spelling of `name`, or the reason why it cannot have one there.
pub(crate) fn encode(name: &MailboxName, delimiter: Option<char>) -> Result<String, String> {
    let path = name.as_str();
    if path.split('/').any(str::is_empty) {
        return Err("one of its levels is empty".to_owned());
    }
    let raw = match delimiter {
        Some('/') => encode_utf7(path),
        Some(delimiter) if path.contains(delimiter) => {
            return Err(format!("it holds {delimiter:?}, the server's delimiter"));
        }
        Some(delimiter) => {
            let levels: Vec<String> = path.split('/').map(encode_utf7).collect();
            levels.join(&delimiter.to_string())
        }
        None if path.contains('/') => return Err("the server has no hierarchy".to_owned()),
        None => encode_utf7(path),
    };
    match decode(raw.as_bytes(), delimiter) {
        Ok(back) if back == *name => Ok(raw),
        Ok(_) => Err("it would come back as another name".to_owned()),
        Err(why) => Err(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_of_real_names() {
        for (raw, delimiter, ours) in [
            ("INBOX", Some('/'), "INBOX"),
            ("inbox", Some('.'), "INBOX"),
            ("INBOX.Sent Items", Some('.'), "INBOX/Sent Items"),
            ("Entw&APw-rfe", Some('/'), "Entwürfe"),
            ("~peter/mail/&U,BTFw-/&ZeVnLIqe-", Some('/'), "~peter/mail/台北/日本語"),
            ("Tom &- Jerry", Some('/'), "Tom & Jerry"),
            ("&2D3eAA-", Some('/'), "😀"),
            ("a.b", Some('/'), "a.b"),
            ("a\\b", Some('\\'), "a/b"),
            ("flat", None, "flat"),
            ("Gelöscht", Some('/'), "Gelöscht"),
        ] {
            let name = decode(raw.as_bytes(), delimiter).unwrap();
            assert_eq!(name.as_str(), ours);
            if raw.is_ascii() && raw != "inbox" {
                assert_eq!(encode(&name, delimiter).unwrap(), raw);
            }
        }
    }

    #[test]
    fn what_cannot_come_back_is_reported() {
        for (raw, delimiter) in [
            (&b"&AGE-"[..], Some('/')), // a printable character in BASE64
            (b"&AOk-&AOk-", Some('/')), // two shifts for one run
            (b"&", Some('/')),          // never closed
            (b"&AO-", Some('/')),       // half a unit
            (b"&2D0-", Some('/')),      // half a surrogate pair
            (b"&AOl-", Some('/')),      // stray bits at the end
            (b"a/b", Some('.')),        // a slash inside a level
            (b"a/b", None),
            (b"&AC8-", Some('.')),
            (b"a&-b", Some('&')),
            (b"a//b", Some('/')),
            (b"a.", Some('.')),
            (b"", Some('/')),
            (b"caf\xe9", Some('/')),
            (b"a\r\nb", Some('/')),
        ] {
            assert!(decode(raw, delimiter).is_err(), "{}", raw.escape_ascii());
        }
        for (ours, delimiter) in
            [("a.b", Some('.')), ("a/b", None), ("a//b", Some('/')), ("", None)]
        {
            assert!(encode(&MailboxName::new(ours), delimiter).is_err(), "{ours}");
        }
    }

    #[test]
    fn hazard_150_spellings_that_are_not_the_only_ones_are_read_all_the_same() {
        for (raw, delimiter, ours) in [
            ("&BBAEMQQyACYEMwQ0BDU-", '/', "Абв&где"),
            ("&AEE-bc", '/', "Abc"),
            ("&Jjo-&Jjo-", '/', "☺☺"),
            ("x&", '/', "x&"),
            ("y&AAAA", '/', "y&AAAA"),
            ("&2D0-", '/', "&2D0-"),
            ("&AC8-a&", '/', "&AC8-a&"),
            ("a&.b", '.', "a&/b"),
        ] {
            let read = decode_loosely(raw.as_bytes(), Some(delimiter));
            assert_eq!(read, Ok((MailboxName::new(ours), false)), "{raw}");
        }
        for exact in ["Entw&APw-rfe", "a &- b", "Gelöscht"] {
            assert!(decode_loosely(exact.as_bytes(), Some('/')).is_ok_and(|(_, exact)| exact));
        }
        for refused in ["a//b", "a&-//b", "", "a\r\nb"] {
            assert!(decode_loosely(refused.as_bytes(), Some('/')).is_err(), "{refused:?}");
        }
        // A delimiter that comes out of a shift is part of a name.
        assert!(decode_loosely(b"&AC4AYQ-", Some('.')).is_err());
    }

    #[test]
    fn every_character_comes_back() {
        for c in (1..=0x2_0000_u32).filter_map(char::from_u32).filter(|c| !"/\r\n.".contains(*c)) {
            let name = MailboxName::new(&format!("x{c}y&/{c}"));
            let raw = encode(&name, Some('.')).unwrap();
            assert!(raw.bytes().all(|b| matches!(b, b' '..=b'~')), "{raw}");
            assert_eq!(decode(raw.as_bytes(), Some('.')).unwrap(), name);
        }
    }
}
