//! Walks through the tokens of a response, whatever they are.

use std::borrow::Cow;

/// Without the white space at both ends.
pub(crate) fn trim(text: &[u8]) -> &[u8] {
    text.trim_ascii()
}

/// Whether two ASCII words are equal in any case.
pub(crate) fn is(word: &[u8], name: &str) -> bool {
    word.eq_ignore_ascii_case(name.as_bytes())
}

/// A number as in `number64`, digits only.
pub(crate) fn number(digits: &[u8]) -> Option<u64> {
    let plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(digits).ok().filter(|_| plain)?.parse().ok()
}

/// A string-like value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    /// An atom, a quoted string (unescaped) or a literal.
    Bytes(Cow<'a, [u8]>),
    /// NIL.
    Nil,
    /// A literal of this length that lies beyond the slice.
    Announced(u64),
}

impl<'a> Value<'a> {
    /// The bytes, if there are any.
    pub(crate) fn bytes(self) -> Option<Cow<'a, [u8]>> {
        match self {
            Value::Bytes(bytes) => Some(bytes),
            Value::Nil | Value::Announced(_) => None,
        }
    }
}

/// A place in a response.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
}

/// How deep parentheses may nest before we lose interest.
const DEPTH: usize = 64;

impl<'a> Cursor<'a> {
    pub(crate) fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    /// What was not walked through, without leading blanks.
    pub(crate) fn rest(mut self) -> &'a [u8] {
        self.skip_blanks();
        self.rest
    }

    /// The next byte after blanks.
    pub(crate) fn peek(&mut self) -> Option<u8> {
        self.skip_blanks();
        self.rest.first().copied()
    }

    /// Steps over `byte` if it is next.
    pub(crate) fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        if found {
            self.rest = &self.rest[1..];
        }
        found
    }

    fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_ascii_start();
    }

    /// The bytes up to the next blank or parenthesis, maybe none.
    pub(crate) fn atom(&mut self) -> &'a [u8] {
        self.until(|b| matches!(b, b' ' | b'(' | b')' | b'\r' | b'\n' | b'\t'))
    }

    /// The bytes up to the next blank or closing parenthesis, maybe none.
    pub(crate) fn flag(&mut self) -> &'a [u8] {
        self.until(|b| b == b')' || b.is_ascii_whitespace())
    }

    /// The bytes up to the next blank, maybe none: parentheses belong to it.
    pub(crate) fn word(&mut self) -> &'a [u8] {
        self.until(|b| b.is_ascii_whitespace())
    }

    fn until(&mut self, stop: impl Fn(u8) -> bool) -> &'a [u8] {
        self.skip_blanks();
        let end = self.rest.iter().position(|&b| stop(b)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    /// The name of a FETCH item, with its section: `BODY[HEADER.FIELDS (X)]<0>`.
    pub(crate) fn item_name(&mut self) -> &'a [u8] {
        self.skip_blanks();
        let mut in_section = false;
        let end = self.rest.iter().position(|&b| {
            match b {
                b'[' => in_section = true,
                b']' => in_section = false,
                _ => {}
            }
            matches!(b, b'\r' | b'\n') || (!in_section && matches!(b, b' ' | b'(' | b')'))
        });
        let (name, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        name
    }

    /// An atom, a quoted string, a literal or NIL; none if nothing of that kind is next, or
    /// it does not end.
    pub(crate) fn value(&mut self) -> Option<Value<'a>> {
        match self.peek()? {
            b'"' => self.quoted().map(Value::Bytes),
            b'{' | b'~' => match self.literal() {
                Some(value) => Some(value),
                None => Some(Value::Bytes(Cow::Borrowed(self.atom()))),
            },
            b'(' | b')' => None,
            _ => {
                let atom = self.atom();
                Some(if is(atom, "NIL") { Value::Nil } else { Value::Bytes(Cow::Borrowed(atom)) })
            }
        }
    }

    /// A quoted string, a literal or NIL (`nstring`); none where something else is next.
    pub(crate) fn nstring(&mut self) -> Option<Value<'a>> {
        match self.peek()? {
            b'"' => self.quoted().map(Value::Bytes),
            b'{' | b'~' => self.literal(),
            _ => is(self.atom(), "NIL").then_some(Value::Nil),
        }
    }

    fn quoted(&mut self) -> Option<Cow<'a, [u8]>> {
        let body = self.rest.strip_prefix(b"\"")?;
        let mut escaped = false;
        let mut owned: Option<Vec<u8>> = None;
        for (at, &byte) in body.iter().enumerate() {
            if escaped {
                escaped = false;
            } else if byte == b'\\' {
                escaped = true;
                owned.get_or_insert_with(|| body[..at].to_vec());
                continue;
            } else if byte == b'"' {
                self.rest = &body[at + 1..];
                return Some(owned.map_or(Cow::Borrowed(&body[..at]), Cow::Owned));
            }
            if let Some(owned) = &mut owned {
                owned.push(byte);
            }
        }
        None
    }

    /// Looks no further than the marker goes: were the end of the line looked for, each brace
    /// of a long line would cost the whole line.
    fn literal(&mut self) -> Option<Value<'a>> {
        let open = self.rest.strip_prefix(b"~").unwrap_or(self.rest).strip_prefix(b"{")?;
        let digits = open.iter().take_while(|b| b.is_ascii_digit()).count();
        let (digits, close) = open.split_at(digits);
        let length = number(digits)?;
        let blanks = close.strip_prefix(b"+").unwrap_or(close).strip_prefix(b"}")?;
        // The marker must be all that is left of its line, as the framing saw it.
        let blank = |b: &&u8| b.is_ascii_whitespace() && **b != b'\n';
        let end = blanks.iter().take_while(blank).count();
        let after = blanks[end..].strip_prefix(b"\n")?;
        let Some(length_here) = usize::try_from(length).ok().filter(|&n| n <= after.len()) else {
            self.rest = after;
            return Some(Value::Announced(length));
        };
        let (bytes, rest) = after.split_at(length_here);
        self.rest = rest;
        Some(Value::Bytes(Cow::Borrowed(bytes)))
    }

    /// What stands between the next parentheses, strings in it respected; none if there is
    /// no such pair.
    pub(crate) fn parenthesised(&mut self) -> Option<&'a [u8]> {
        if self.peek() != Some(b'(') {
            return None;
        }
        let all = &self.rest[1..];
        let mut inner = Cursor::new(all);
        let mut depth = 1_usize;
        loop {
            match inner.peek()? {
                b'(' => {
                    depth += 1;
                    inner.rest = &inner.rest[1..];
                }
                b')' => {
                    depth -= 1;
                    inner.rest = &inner.rest[1..];
                    if depth == 0 {
                        self.rest = inner.rest;
                        return Some(&all[..all.len() - inner.rest.len() - 1]);
                    }
                }
                _ => {
                    if matches!(inner.value()?, Value::Announced(_)) {
                        return None;
                    }
                }
            }
            if depth > DEPTH {
                return None;
            }
        }
    }

    /// Steps over a value of any kind.
    pub(crate) fn skip_value(&mut self) -> Option<()> {
        match self.peek()? {
            b'(' => self.parenthesised().map(drop),
            b')' => None,
            _ => self.value().map(drop),
        }
    }
}
