//! The first line of a command: tag, verb, and the literal it may announce.

use super::args::Piece;
use super::name;

/// Tag, verb in capitals (`UID FETCH` as one) and the rest of a line.
pub(super) fn split(line: &[u8]) -> Option<(String, String, Vec<u8>)> {
    let mut words = line.splitn(3, |b| *b == b' ');
    let tag = words.next().filter(|t| !t.is_empty())?;
    let special = |b: &u8| *b <= b' ' || *b >= 0x7f || b"(){%*\"\\+".contains(b);
    if tag.iter().any(special) {
        return None;
    }
    let word = |w: &[u8]| String::from_utf8_lossy(w).to_ascii_uppercase();
    let mut verb = word(words.next().unwrap_or_default());
    let mut rest = words.next().unwrap_or_default();
    if verb == "UID" {
        let end = memchr::memchr(b' ', rest).unwrap_or(rest.len());
        verb = format!("UID {}", word(&rest[..end]));
        rest = rest.get(end + 1..).unwrap_or_default();
    }
    Some((String::from_utf8_lossy(tag).into_owned(), verb, rest.to_vec()))
}

/// The mailbox that a command's first argument may name.
pub(super) fn first_name(rest: &[u8], delimiter: char) -> Option<String> {
    let wire: Vec<u8> = match rest.strip_prefix(b"\"") {
        Some(quoted) => quoted.iter().copied().take_while(|b| *b != b'"').collect(),
        None => rest.iter().copied().take_while(|b| *b != b' ').collect(),
    };
    name::decode(&wire).map(|decoded| name::canonical(&decoded, delimiter))
}

/// Where a line's text ends, the size of the literal that follows, and whether the client
/// waits for a go-ahead; none when no literal follows.
pub(super) fn announced(line: &[u8]) -> Option<(usize, u64, bool)> {
    let inner = line.strip_suffix(b"}")?;
    let (inner, sync) = inner.strip_suffix(b"+").map_or((inner, true), |i| (i, false));
    let open = memchr::memrchr(b'{', inner)?;
    let digits = &inner[open + 1..];
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let size = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some((open, size, sync))
}

/// The command as the log keeps it.
pub(super) fn shown(verb: &str, pieces: &[Piece]) -> String {
    if matches!(verb, "LOGIN" | "AUTHENTICATE") {
        return format!("{verb} ***");
    }
    let mut text = verb.to_owned();
    for piece in pieces {
        match piece {
            Piece::Text(t) if t.is_empty() => {}
            Piece::Text(t) => {
                text.push(' ');
                text.push_str(String::from_utf8_lossy(t).trim());
            }
            Piece::Literal(octets) => text.push_str(&format!(" {{{}}}", octets.len())),
        }
    }
    text
}
