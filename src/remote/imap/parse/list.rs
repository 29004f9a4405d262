//! LIST and STATUS (RFC 9051 §7.3): which mailboxes there are, and how they stand.

use std::borrow::Cow;

use super::cursor::{Cursor, Value, is, number};
use super::fetch::object_id;
use crate::reconcile::types::{MailboxStatus, SpecialUse};

/// A LIST response.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Listed<'a> {
    /// Whether it can be selected.
    pub(crate) selectable: bool,
    /// What it is for (RFC 6154); the first if several are stated.
    pub(crate) special_use: Option<SpecialUse>,
    /// The hierarchy delimiter, none where names are flat.
    pub(crate) delimiter: Option<char>,
    /// The name as it came.
    pub(crate) raw: Cow<'a, [u8]>,
}

/// Reads what follows `* LIST`. Extended data after the name is passed over.
pub(crate) fn list(rest: &[u8]) -> Option<Listed<'_>> {
    let mut cursor = Cursor::new(rest);
    let attributes = cursor.parenthesised()?;
    let delimiter = delimiter(&mut cursor)?;
    let raw = name(&mut cursor)?;
    let mut listed = Listed { selectable: true, special_use: None, delimiter, raw };
    for attribute in attributes.split(u8::is_ascii_whitespace) {
        if is(attribute, "\\Noselect") || is(attribute, "\\NonExistent") {
            listed.selectable = false;
        } else if let Ok(attribute) = std::str::from_utf8(attribute) {
            listed.special_use = listed.special_use.or(SpecialUse::from_imap(attribute));
        }
    }
    Some(listed)
}

fn delimiter(cursor: &mut Cursor<'_>) -> Option<Option<char>> {
    // A backslash that is not escaped, as some servers send it.
    if cursor.rest().starts_with(b"\"\\\" ") {
        cursor.word();
        return Some(Some('\\'));
    }
    match cursor.value()? {
        Value::Nil => Some(None),
        Value::Bytes(bytes) => match *bytes {
            [byte] if byte.is_ascii() => Some(Some(char::from(byte))),
            [] => Some(None),
            _ => None,
        },
        Value::Announced(_) => None,
    }
}

/// An astring, or whatever stands there up to the next blank: some servers quote nothing.
fn name<'a>(cursor: &mut Cursor<'a>) -> Option<Cow<'a, [u8]>> {
    match cursor.peek()? {
        b'"' | b'{' => cursor.value()?.bytes(),
        // Here NIL is a name like any other.
        _ => Some(Cow::Borrowed(cursor.word())),
    }
}

/// A STATUS response.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct StatusLine<'a> {
    /// The name as it came.
    pub(crate) raw: Cow<'a, [u8]>,
    /// What was said; zero and none for what was not.
    pub(crate) gate: MailboxStatus,
    /// MAILBOXID (RFC 8474).
    pub(crate) object_id: Option<String>,
    /// What was said for MAILBOXID is none.
    pub(crate) has_bad_id: bool,
}

/// Reads what follows `* STATUS`. Items that we do not know are passed over.
pub(crate) fn mailbox_status(rest: &[u8]) -> Option<StatusLine<'_>> {
    let mut cursor = Cursor::new(rest);
    let raw = name(&mut cursor)?;
    let mut items = Cursor::new(cursor.parenthesised()?);
    let mut status =
        StatusLine { raw, gate: MailboxStatus::default(), object_id: None, has_bad_id: false };
    loop {
        let item = items.atom();
        if item.is_empty() {
            return Some(status);
        }
        if is(item, "MAILBOXID") {
            status.object_id = items.parenthesised().and_then(object_id);
            status.has_bad_id = status.object_id.is_none();
            continue;
        }
        let before = items;
        items.skip_value()?;
        let value = number(Cursor::new(before.rest()).atom());
        let small = value.and_then(|n| u32::try_from(n).ok()).unwrap_or(0);
        match item {
            _ if is(item, "UIDVALIDITY") => status.gate.uid_validity = small,
            _ if is(item, "UIDNEXT") => status.gate.uid_next = small,
            _ if is(item, "MESSAGES") => status.gate.messages = value.map(|_| small)?,
            // Zero stands for "none here" (RFC 7162 §3.1.2.2), or for a broken server.
            _ if is(item, "HIGHESTMODSEQ") => {
                status.gate.highest_modseq = value.filter(|&n| n > 0);
            }
            _ => {}
        }
    }
}
