//! The message of a token: the same octets each time, and some messages alike but for the body.

/// The octets of a message as a server has them.
#[must_use]
pub fn of(token: u32) -> Vec<u8> {
    let head = head(token);
    let id = if token % 7 == 5 { String::new() } else { format!("Message-ID: <m{head}@here>\r\n") };
    let filler = "More of it. ".repeat((head % 5) as usize * 9);
    format!(
        "{id}Date: Mon, 2 Nov 2026 10:00:{:02} +0000\r\nFrom: a@example.org\r\n\
         Subject: message {head}\r\n\r\ntoken {token:06}.\r\n{filler}\r\n",
        head % 60
    )
    .into_bytes()
}

/// The token whose header a message has: each fifth has that of the one before it, with its length.
#[must_use]
pub fn head(token: u32) -> u32 {
    if token % 5 == 4 { token - 1 } else { token }
}

/// INTERNALDATE of a message, in seconds since 1970.
#[must_use]
pub fn date(token: u32) -> i64 {
    1_600_000_000 + i64::from(token)
}

/// The octets of a message as a mail reader writes them: with LF alone.
#[must_use]
pub fn of_here(token: u32) -> Vec<u8> {
    let mut bytes = of(token);
    bytes.retain(|byte| *byte != b'\r');
    bytes
}

/// The token in a message's body.
#[must_use]
pub fn token(bytes: &[u8]) -> Option<u32> {
    let at = memchr::memmem::find(bytes, b"\ntoken ")? + 7;
    std::str::from_utf8(bytes.get(at..at + 6)?).ok()?.parse().ok()
}

/// Whether these are the octets of a message, line ends aside.
#[must_use]
pub fn is_whole(bytes: &[u8]) -> bool {
    let Some(token) = token(bytes) else { return false };
    bytes.iter().filter(|byte| **byte != b'\r').eq(of_here(token).iter())
}
