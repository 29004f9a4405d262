//! FETCH (RFC 9051 §7.5.2): the attributes of one message, item by item.
//!
//! An item that cannot be read is missing, never empty: "no flags" and "flags that we did
//! not understand" lead to opposite deeds.

use super::cursor::{Cursor, Value, is, number};
use crate::reconcile::types::{Flags, Uid};
use crate::remote::date;

/// The longest object id (RFC 8474 §4).
const OBJECT_ID: usize = 255;
/// Keywords of one message, and their octets. More of them are flags that cannot be read.
const KEYWORDS: usize = 256;
const KEYWORD_OCTETS: usize = 8 << 10;
/// Closing parentheses that are looked at closely in a list of flags.
const PARENTHESES: usize = 64;

/// What a FETCH response said of one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchRow {
    /// Its UID.
    pub uid: Uid,
    /// Its flags; none when they were not there, or could not be read.
    pub flags: Option<Flags>,
    /// RFC822.SIZE in bytes.
    pub size: Option<u64>,
    /// INTERNALDATE in seconds since 1970.
    pub date: Option<i64>,
    /// MODSEQ (RFC 7162).
    pub modseq: Option<u64>,
    /// EMAILID (RFC 8474), or X-GM-MSGID.
    pub object_id: Option<String>,
}

impl FetchRow {
    /// What it takes of memory beyond its own size, in octets.
    #[must_use]
    pub fn octets(&self) -> usize {
        let id = self.object_id.as_ref().map_or(0, String::len);
        let keywords = self.flags.iter().flat_map(|flags| &flags.keywords);
        // A node of a set beside the text.
        id + keywords.map(|keyword| keyword.as_str().len() + 48).sum::<usize>()
    }
}

/// The items of one response as they are gathered: the UID may come last.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    pub(crate) uid: Option<Uid>,
    flags: Option<Flags>,
    size: Option<u64>,
    date: Option<i64>,
    modseq: Option<u64>,
    object_id: Option<String>,
}

/// A part of a message's text that a response holds or announces.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Body<'a> {
    pub(crate) section: Section,
    pub(crate) value: Value<'a>,
}

/// Which part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Section {
    /// `BODY[]`, the whole message.
    Whole,
    /// `BODY[HEADER]`.
    Header,
    /// Another, or a piece of one.
    Other,
}

impl Gathered {
    /// Reads items up to the end, or up to a text, which is returned. What follows a
    /// text that lay beyond the slice is read by a further call.
    pub(crate) fn read<'a>(&mut self, cursor: &mut Cursor<'a>) -> Option<Body<'a>> {
        cursor.eat(b'(');
        loop {
            let name = cursor.item_name();
            if name.is_empty() {
                return None;
            }
            if let Some(section) = section(name) {
                // What is no string is no text: as if there were none.
                let value = cursor.nstring().unwrap_or(Value::Nil);
                return Some(Body { section, value });
            }
            self.item(name, cursor)?;
        }
    }

    /// Reads one item; none if its end cannot be found, so that nothing can follow.
    fn item(&mut self, name: &[u8], cursor: &mut Cursor<'_>) -> Option<()> {
        if is(name, "FLAGS") {
            // Before the value is walked through: its tokens are not those of other lists.
            self.flags = flags(cursor)?;
            return Some(());
        }
        let value = *cursor;
        cursor.skip_value()?;
        let mut value = value;
        match name {
            _ if is(name, "UID") => {
                let uid = number(value.atom()).and_then(|n| u32::try_from(n).ok());
                self.uid = uid.filter(|&n| n != 0).map(Uid).or(self.uid);
            }
            _ if is(name, "RFC822.SIZE") => self.size = number(value.atom()),
            _ if is(name, "INTERNALDATE") => {
                self.date =
                    value.value().and_then(Value::bytes).and_then(|text| date::parse(&text));
            }
            _ if is(name, "MODSEQ") => {
                let inner = value.parenthesised().unwrap_or_else(|| value.atom());
                self.modseq = number(inner.trim_ascii());
            }
            _ if is(name, "EMAILID") => {
                self.object_id =
                    value.parenthesised().and_then(object_id).or(self.object_id.take());
            }
            _ if is(name, "X-GM-MSGID") => {
                self.object_id = self.object_id.take().or_else(|| object_id(value.atom()));
            }
            _ => {}
        }
        Some(())
    }

    /// The row, if the response said whose it is.
    pub(crate) fn row(self) -> Option<FetchRow> {
        let Self { uid, flags, size, date, modseq, object_id } = self;
        Some(FetchRow { uid: uid?, flags, size, date, modseq, object_id })
    }
}

/// An `objectid` (RFC 8474 §4): up to 255 letters, digits, `-` and `_`. Anything else names nothing
/// that could be compared.
pub(crate) fn object_id(bytes: &[u8]) -> Option<String> {
    let id = bytes.trim_ascii();
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let is_one = !id.is_empty() && id.len() <= OBJECT_ID && id.iter().all(fits);
    is_one.then(|| String::from_utf8_lossy(id).into_owned())
}

/// Which text an item is; RFC822 and RFC822.HEADER are their elder names (RFC 3501).
fn section(name: &[u8]) -> Option<Section> {
    if is(name, "BODY[]") || is(name, "RFC822") || is(name, "BINARY[]") {
        return Some(Section::Whole);
    }
    if is(name, "BODY[HEADER]") || is(name, "RFC822.HEADER") {
        return Some(Section::Header);
    }
    let opens = name.len() >= 5 && is(&name[..5], "BODY[");
    (opens || is(name, "RFC822.TEXT")).then_some(Section::Other)
}

/// The flags between parentheses; NIL is none. Only blanks and `)` end a flag: servers let keywords
/// hold braces, brackets, parentheses and 8-bit letters (hazard 132). The outer option is none if
/// the list does not end, the inner one if it was no list.
fn flags(cursor: &mut Cursor<'_>) -> Option<Option<Flags>> {
    if !cursor.eat(b'(') {
        let value = cursor.value()?;
        return Some((value == Value::Nil).then(Flags::default));
    }
    let mut flags = Some(Flags::default());
    let (mut octets, mut open, mut within) = (0, 0_usize, 0);
    loop {
        if cursor.eat(b')') {
            if open == 0 || within == PARENTHESES || ends_flags(cursor.rest()) {
                return Some(flags);
            }
            (open, within) = (open - 1, within + 1);
            continue;
        }
        let flag = cursor.flag();
        cursor.peek()?;
        octets += flag.len();
        open += flag.iter().filter(|byte| **byte == b'(').count();
        let many = flags.as_ref().is_some_and(|flags| flags.keywords.len() >= KEYWORDS);
        if octets > KEYWORD_OCTETS || many {
            flags = None;
        }
        let opening = flag.iter().take_while(|byte| **byte == b'(').count();
        let is_system = flag.get(opening) == Some(&b'\\');
        let flag = if is_system { &flag[opening..] } else { flag };
        // What is no text can be neither shown nor sent: like \Recent, it is no state of ours.
        // A parenthesis cannot be sent either.
        if let (Some(flags), Ok(flag)) = (&mut flags, std::str::from_utf8(flag))
            && !flag.chars().any(|c| c.is_control() || c == '(')
            && !flag.is_empty()
        {
            flags.insert_imap(flag);
        }
    }
}

/// Whether a list of flags, one of which holds an opening parenthesis, ends with the closing one
/// before this: what follows is the end of the response, or another item.
fn ends_flags(rest: &[u8]) -> bool {
    let rest = rest.trim_ascii();
    if rest.is_empty() || rest == b")" {
        return true;
    }
    let name = Cursor::new(rest).item_name();
    !name.is_empty() && is_item(name)
}

/// How a part of a response that holds a text begins and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    /// It is the first of its response; otherwise it stands behind a literal.
    pub(crate) first: bool,
    /// It is the last; otherwise it ends with the announcement of a literal.
    pub(crate) last: bool,
}

/// Whether a part of a FETCH response fits the grammar (RFC 9051 §9, `msg-att`): behind a
/// literal that is longer or shorter than announced it does not (hazard 67). There only items
/// that exist are taken for such, as text of a message looks like other ones.
pub(crate) fn fits(part: &[u8], how: Part) -> bool {
    let begins = if how.first { part.starts_with(b"(") } else { part.starts_with(b" ") };
    let mut cursor = Cursor::new(part);
    if how.first {
        cursor.eat(b'(');
    }
    let ends = !how.first && part.starts_with(b")");
    if !(begins || ends) {
        return false;
    }
    loop {
        if cursor.eat(b')') {
            return how.last && cursor.rest().is_empty();
        }
        let name = cursor.item_name();
        if name.is_empty() || !(how.first || is_item(name)) {
            return false;
        }
        let value = match cursor.peek() {
            Some(b'{' | b'~') => cursor.value(),
            _ if is(name, "FLAGS") => match flags(&mut cursor) {
                Some(_) => continue,
                None => return false,
            },
            _ if cursor.skip_value().is_some() => continue,
            // The literal that it ends with may stand within parentheses.
            peeked => return !how.last && peeked == Some(b'('),
        };
        let announces = matches!(value, Some(Value::Announced(_)));
        if announces || (!how.last && cursor.rest().is_empty()) {
            return !how.last && cursor.rest().is_empty();
        }
    }
}

/// Whether there is such an item, or could be one of an extension.
fn is_item(name: &[u8]) -> bool {
    const ITEMS: [&str; 16] = [
        "UID",
        "FLAGS",
        "RFC822.SIZE",
        "INTERNALDATE",
        "MODSEQ",
        "EMAILID",
        "THREADID",
        "ENVELOPE",
        "BODY",
        "BODYSTRUCTURE",
        "SAVEDATE",
        "PREVIEW",
        "SNIPPET",
        "RFC822",
        "RFC822.HEADER",
        "RFC822.TEXT",
    ];
    let opens = |prefix: &str| {
        name.get(..prefix.len()).is_some_and(|start| is(start, prefix)) && name.ends_with(b"]")
    };
    let is_origin = name.ends_with(b">") && name.get(..5).is_some_and(|start| is(start, "BODY["));
    ITEMS.iter().any(|item| is(name, item))
        || name.first().is_some_and(|first| first.eq_ignore_ascii_case(&b'X'))
        || opens("BODY[")
        || opens("BINARY[")
        || opens("BINARY.SIZE[")
        || is_origin
}

/// The row of a whole FETCH response that is not expected to hold a text.
pub(crate) fn row(rest: &[u8]) -> Option<FetchRow> {
    let mut gathered = Gathered::default();
    let mut cursor = Cursor::new(rest);
    while gathered.read(&mut cursor).is_some() {}
    gathered.row()
}
