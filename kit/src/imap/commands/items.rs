//! What FETCH can ask for (RFC 3501 §6.4.5), and cutting messages into sections.

use crate::imap::args::Arg;

/// One data item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item {
    Uid,
    Flags,
    InternalDate,
    Size,
    Modseq,
    EmailId,
    ThreadId,
    Octets(Octets),
}

/// Octets of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Octets {
    /// How the answer names it.
    pub(super) label: String,
    pub(super) section: Section,
    /// Whether it leaves `\Seen` alone.
    pub(super) peek: bool,
    /// First octet and number of octets.
    pub(super) partial: Option<(usize, usize)>,
}

/// A part of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Section {
    Whole,
    Header,
    Text,
    /// Only these fields, or all but these.
    Fields(Vec<String>, bool),
}

/// What the profile lets a client ask for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Allowed {
    pub(super) modseq: bool,
    pub(super) objectid: bool,
}

/// Reads the items of a FETCH: one, a macro or a list. The error names what is unknown.
pub(super) fn parse(arg: &Arg, allowed: Allowed) -> Result<Vec<Item>, String> {
    if arg.is("FAST") {
        return Ok(vec![Item::Flags, Item::InternalDate, Item::Size]);
    }
    let list = match arg {
        Arg::List(list) => list.as_slice(),
        one => std::slice::from_ref(one),
    };
    if list.is_empty() {
        return Err("FETCH list is empty".to_owned());
    }
    list.iter().map(|a| item(a, allowed)).collect()
}

fn item(arg: &Arg, allowed: Allowed) -> Result<Item, String> {
    let word = arg.atom().ok_or("FETCH list contains non-atoms")?.to_ascii_uppercase();
    let octets =
        |section, peek| Item::Octets(Octets { label: word.clone(), section, peek, partial: None });
    match word.as_str() {
        "UID" => Ok(Item::Uid),
        "FLAGS" => Ok(Item::Flags),
        "INTERNALDATE" => Ok(Item::InternalDate),
        "RFC822.SIZE" => Ok(Item::Size),
        "MODSEQ" if allowed.modseq => Ok(Item::Modseq),
        "EMAILID" if allowed.objectid => Ok(Item::EmailId),
        "THREADID" if allowed.objectid => Ok(Item::ThreadId),
        "RFC822" => Ok(octets(Section::Whole, false)),
        "RFC822.HEADER" => Ok(octets(Section::Header, true)),
        "RFC822.TEXT" => Ok(octets(Section::Text, false)),
        _ if word.starts_with("BODY[") || word.starts_with("BODY.PEEK[") => section(&word),
        _ => Err(format!("Unknown parameter: {word}")),
    }
}

/// `BODY[.PEEK][section]<first.count>`, in capitals.
fn section(word: &str) -> Result<Item, String> {
    let broken = || format!("Invalid BODY[..] parameter: {word}");
    let peek = word.starts_with("BODY.PEEK");
    let (_, rest) = word.split_once('[').ok_or_else(broken)?;
    let (name, after) = rest.rsplit_once(']').ok_or_else(broken)?;
    let section = match name {
        "" => Section::Whole,
        "HEADER" => Section::Header,
        "TEXT" => Section::Text,
        _ => {
            let (kind, fields) = name.split_once(" (").ok_or_else(broken)?;
            let fields = fields.strip_suffix(')').ok_or_else(broken)?;
            let fields = fields.split(' ').map(|f| f.trim_matches('"').to_owned()).collect();
            match kind {
                "HEADER.FIELDS" => Section::Fields(fields, true),
                "HEADER.FIELDS.NOT" => Section::Fields(fields, false),
                _ => return Err(broken()),
            }
        }
    };
    let (partial, suffix) = if after.is_empty() {
        (None, String::new())
    } else {
        let inner = after.strip_prefix('<').and_then(|a| a.strip_suffix('>')).ok_or_else(broken)?;
        let (first, count) = inner.split_once('.').ok_or_else(broken)?;
        let (first, count) = (first.parse().ok(), count.parse().ok());
        let partial = first.zip(count).ok_or_else(broken)?;
        (Some(partial), format!("<{}>", partial.0))
    };
    let label = format!("BODY[{name}]{suffix}");
    Ok(Item::Octets(Octets { label, section, peek, partial }))
}

/// The fields of a header: name and all octets of the field, its folded lines and CRLF included.
pub(super) fn fields(header: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = header;
    std::iter::from_fn(move || {
        let mut end = 0;
        loop {
            let line = memchr::memchr(b'\n', &rest[end..]).map_or(rest.len(), |at| end + at + 1);
            end = line;
            let folded = matches!(rest.get(end), Some(b' ' | b'\t'));
            if !folded || end >= rest.len() {
                break;
            }
        }
        if end == 0 {
            return None;
        }
        let (field, left) = rest.split_at(end);
        rest = left;
        let name = memchr::memchr(b':', field).map_or(&field[..0], |at| &field[..at]);
        Some((name, field))
    })
}

/// The fields asked for, with the empty line that ends them (RFC 3501 §6.4.5).
pub(super) fn chosen(header: &[u8], names: &[String], wanted: bool) -> Vec<u8> {
    let named = |field: &[u8]| names.iter().any(|n| n.as_bytes().eq_ignore_ascii_case(field));
    let mut out: Vec<u8> = fields(header)
        .filter(|(name, _)| !name.is_empty() && named(name) == wanted)
        .flat_map(|(_, octets)| octets.iter().copied())
        .collect();
    out.extend(b"\r\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Allowed = Allowed { modseq: true, objectid: true };

    #[test]
    fn items_are_read() {
        let one = |w: &str| parse(&Arg::Atom(w.to_owned()), ALL);
        assert_eq!(one("uid"), Ok(vec![Item::Uid]));
        let peek = |label: &str, section, partial| {
            Ok(vec![Item::Octets(Octets { label: label.to_owned(), section, peek: true, partial })])
        };
        assert_eq!(one("BODY.PEEK[]"), peek("BODY[]", Section::Whole, None));
        assert_eq!(one("body.peek[]<5.9>"), peek("BODY[]<5>", Section::Whole, Some((5, 9))));
        let fields = Section::Fields(vec!["SUBJECT".into(), "DATE".into()], true);
        let label = "BODY[HEADER.FIELDS (SUBJECT DATE)]";
        assert_eq!(one("BODY.PEEK[HEADER.FIELDS (Subject \"Date\")]").unwrap().len(), 1);
        assert_eq!(one("BODY.PEEK[HEADER.FIELDS (Subject Date)]"), peek(label, fields, None));
        for unknown in ["BOO", "BODY[1.2]", "BODY[]<x>", "BODY[]x", "ENVELOPE"] {
            assert!(one(unknown).is_err(), "{unknown}");
        }
        assert!(
            parse(&Arg::Atom("MODSEQ".into()), Allowed { modseq: false, objectid: false }).is_err()
        );
    }

    #[test]
    fn header_fields() {
        let header = b"A: 1\r\nB: 2\r\n 3\r\nno colon\r\nC: 4\r\n\r\n";
        assert_eq!(chosen(header, &["b".into()], true), b"B: 2\r\n 3\r\n\r\n");
        assert_eq!(chosen(header, &["b".into(), "a".into()], false), b"C: 4\r\n\r\n");
        assert_eq!(chosen(b"", &["b".into()], true), b"\r\n");
    }
}
