//! The arguments of a command as a tree: atoms, strings, literals and lists.
//!
//! The server reads commands with this and nothing of mailtide's own parser, so that a mistake
//! there cannot hide behind the same mistake here.

/// How deep lists may nest.
const MAX_DEPTH: usize = 16;

/// A piece of a command as it came: text up to a literal, or a literal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// Text of a line, without CRLF and without the `{n}` that announced a literal.
    Text(Vec<u8>),
    /// The octets of a literal.
    Literal(Vec<u8>),
}

/// One argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Arg {
    /// Unquoted; `BODY[HEADER.FIELDS (A B)]<0.5>` is one atom.
    Atom(String),
    /// `"quoted"`, unescaped.
    Quoted(Vec<u8>),
    /// A literal.
    Literal(Vec<u8>),
    /// `( … )`.
    List(Vec<Arg>),
}

impl Arg {
    /// The atom's text.
    pub(super) fn atom(&self) -> Option<&str> {
        match self {
            Self::Atom(text) => Some(text),
            _ => None,
        }
    }

    /// Whether this is the atom `word` in any case.
    pub(super) fn is(&self, word: &str) -> bool {
        self.atom().is_some_and(|a| a.eq_ignore_ascii_case(word))
    }

    /// The octets of an atom, string or literal (`astring`).
    pub(super) fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Atom(text) => Some(text.as_bytes()),
            Self::Quoted(bytes) | Self::Literal(bytes) => Some(bytes),
            Self::List(_) => None,
        }
    }

    /// The text of an atom, string or literal when it is UTF-8.
    pub(super) fn text(&self) -> Option<&str> {
        self.bytes().and_then(|b| std::str::from_utf8(b).ok())
    }

    /// The members of a list.
    pub(super) fn list(&self) -> Option<&[Self]> {
        match self {
            Self::List(members) => Some(members),
            _ => None,
        }
    }
}

/// Reads a whole command's pieces; the error says in words what is wrong.
pub(super) fn parse(pieces: &[Piece]) -> Result<Vec<Arg>, &'static str> {
    let mut stack: Vec<Vec<Arg>> = vec![Vec::new()];
    for piece in pieces {
        match piece {
            Piece::Literal(bytes) => push(&mut stack, Arg::Literal(bytes.clone())),
            Piece::Text(text) => parse_text(text, &mut stack)?,
        }
    }
    let done = stack.pop().unwrap_or_default();
    if stack.is_empty() { Ok(done) } else { Err("Missing ')'") }
}

fn push(stack: &mut [Vec<Arg>], arg: Arg) {
    if let Some(top) = stack.last_mut() {
        top.push(arg);
    }
}

fn parse_text(text: &[u8], stack: &mut Vec<Vec<Arg>>) -> Result<(), &'static str> {
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        match byte {
            b' ' => at += 1,
            b'(' => {
                if stack.len() > MAX_DEPTH {
                    return Err("Too many '('");
                }
                stack.push(Vec::new());
                at += 1;
            }
            b')' => {
                let members = stack.pop().unwrap_or_default();
                if stack.is_empty() {
                    return Err("Unexpected ')'");
                }
                push(stack, Arg::List(members));
                at += 1;
            }
            b'"' => {
                let (bytes, next) = quoted(text, at + 1)?;
                push(stack, Arg::Quoted(bytes));
                at = next;
            }
            _ => {
                let (atom, next) = atom(text, at)?;
                push(stack, Arg::Atom(atom));
                at = next;
            }
        }
    }
    Ok(())
}

fn quoted(text: &[u8], mut at: usize) -> Result<(Vec<u8>, usize), &'static str> {
    let mut bytes = Vec::new();
    loop {
        match text.get(at) {
            None => return Err("Missing '\"'"),
            Some(b'"') => return Ok((bytes, at + 1)),
            Some(b'\\') => {
                let escaped = text.get(at + 1).filter(|b| matches!(b, b'"' | b'\\'));
                bytes.push(*escaped.ok_or("Escaped char not followed by '\"' or '\\'")?);
                at += 2;
            }
            Some(byte) => {
                bytes.push(*byte);
                at += 1;
            }
        }
    }
}

fn atom(text: &[u8], start: usize) -> Result<(String, usize), &'static str> {
    let mut at = start;
    let mut bracket = false;
    while let Some(byte) = text.get(at) {
        match byte {
            b'[' => bracket = true,
            b']' => bracket = false,
            b' ' | b'(' | b')' | b'"' if !bracket => break,
            _ if *byte < b' ' || *byte >= 0x7f => return Err("Invalid characters in atom"),
            _ => {}
        }
        at += 1;
    }
    if bracket {
        return Err("Missing ']'");
    }
    Ok((String::from_utf8_lossy(&text[start..at]).into_owned(), at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(t: &str) -> Piece {
        Piece::Text(t.as_bytes().to_vec())
    }

    #[test]
    fn a_tree() {
        let pieces = [
            text("A (\\Seen x) \"q\\\"\" "),
            Piece::Literal(b"l".to_vec()),
            text(" BODY[H (A B)]<0.5> ("),
        ];
        assert_eq!(parse(&pieces), Err("Missing ')'"));
        let args = parse(&pieces[..2]).unwrap();
        assert_eq!(args[0], Arg::Atom("A".into()));
        assert_eq!(args[1].list().unwrap().len(), 2);
        assert_eq!(args[2].bytes(), Some(&b"q\""[..]));
        assert_eq!(args[3], Arg::Literal(b"l".to_vec()));
        let one = parse(&[text("BODY[H (A B)]<0.5>")]).unwrap();
        assert_eq!(one, [Arg::Atom("BODY[H (A B)]<0.5>".into())]);
    }

    #[test]
    fn broken() {
        for bad in ["(", ")", "\"x", "\"\\x\"", "a\u{1}", "BODY[", &"(".repeat(99)] {
            assert!(parse(&[text(bad)]).is_err(), "{bad:?}");
        }
    }
}
