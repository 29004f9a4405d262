//! Realistic awkward mail, from a seed: what a mirror meets in twenty years of an account.

use fastrand::Rng;

/// A message to be put somewhere.
#[derive(Debug, Clone)]
pub struct Mail {
    /// The mailbox, as on the wire.
    pub mailbox: &'static str,
    /// Flags as in an APPEND.
    pub flags: String,
    /// INTERNALDATE as in an APPEND.
    pub date: String,
    /// CRLF, unless it is one of those that are awkward about that.
    pub bytes: Vec<u8>,
}

/// Mailboxes of the corpus, as on the wire: hierarchy, spaces, modified UTF-7, `&`, a dot.
pub const MAILBOXES: [&str; 12] = [
    "INBOX",
    "Sent",
    "Drafts",
    "Trash",
    "Junk",
    "Archive",
    "Archive/2019",
    "Entw&APw-rfe",
    "Lists/rust users",
    "Work/Projects/Alpha",
    "Familie &- Freunde",
    "With.dot",
];

/// `count` messages; the same seed gives the same mail.
pub fn corpus(seed: u64, count: usize) -> impl Iterator<Item = Mail> {
    let mut rng = Rng::with_seed(seed);
    (0..count).map(move |at| mail(&mut rng, at))
}

fn mail(rng: &mut Rng, at: usize) -> Mail {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mailbox = MAILBOXES[if at < MAILBOXES.len() { at } else { rng.usize(..MAILBOXES.len()) }];
    let date = format!(
        "{:02}-{}-{} {:02}:{:02}:{:02} +0200",
        rng.u8(1..28),
        MONTHS[rng.usize(..12)],
        rng.u16(2004..2024),
        rng.u8(..24),
        rng.u8(..60),
        rng.u8(..60)
    );
    let kinds = ["\\Seen", "\\Answered", "\\Flagged", "$Forwarded", "Work", "\\Draft"];
    let odds = [7, 2, 1, 1, 1, 1];
    let flags = kinds.iter().zip(odds).filter(|(_, odds)| rng.u8(..10) < *odds);
    let flags = flags.map(|(flag, _)| *flag).collect::<Vec<_>>().join(" ");
    Mail { mailbox, flags, date, bytes: bytes(rng, at) }
}

fn bytes(rng: &mut Rng, at: usize) -> Vec<u8> {
    let trap = rng.u8(..40);
    if trap == 0 {
        // Exact duplicates, also of one another.
        return b"From: robot@example.org\r\nMessage-ID: <same@example.org>\r\n\r\nagain\r\n"
            .into();
    }
    let mut head = format!("From: \"Person\" <p{at}@example.org>\r\nSubject: Message {at}\r\n");
    head.push_str("Date: Wed, 01 Jan 2020 00:00:00 +0000\r\n");
    match trap {
        1 => {}
        2 => head.push_str(&format!("Message-ID: <dup.{}@example.org>\r\n", at % 3)),
        _ => head.push_str(&format!("Message-ID: <{at}.{}@example.org>\r\n", rng.u32(..))),
    }
    let mut mail = head.into_bytes();
    match trap {
        3 => return mail,
        4 => return [mail, b"\r\n".to_vec()].concat(),
        5 => mail.extend_from_slice(b"Subject: \xfcnencoded \xa18bit\r\n"),
        _ => {}
    }
    mail.extend_from_slice(b"\r\n");
    let length = if at % 97 == 96 { 700_000 } else { rng.usize(20..20_000) };
    while mail.len() < length {
        let line = rng.usize(1..76);
        mail.extend((0..line).map(|_| rng.alphanumeric() as u8));
        mail.extend_from_slice(b"\r\n");
    }
    match trap {
        6 => mail.extend_from_slice(b"From here on\r\n>From quoted\r\n.\r\n..\r\n"),
        7 => mail.extend_from_slice(b"bare\rcarriage\rreturns\r\n\r"),
        8 => mail.extend_from_slice(b"double\r\r\nends\r\r\n"),
        9 => mail.extend_from_slice(b"no line end"),
        10 => mail.extend(std::iter::repeat_n(b'L', 20_000)),
        11 => mail.retain(|byte| *byte != b'\r'),
        _ => {}
    }
    mail
}
