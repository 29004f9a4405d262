//! The inputs, a line each.

use super::{Input, Protocol};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// Repeats a part without an end.
macro_rules! endless {
    ($part:expr) => {
        |_| Some($part.to_vec())
    };
}

fn letters(count: usize) -> String {
    "x".repeat(count)
}

fn imap(name: &'static str, at: &'static str, part: fn(u64) -> Option<Vec<u8>>) -> Input {
    Input { name, protocol: Protocol::Imap, at, part, can: "", messages: 3, spared: 0 }
}

fn pop3(name: &'static str, at: &'static str, part: fn(u64) -> Option<Vec<u8>>) -> Input {
    Input { name, protocol: Protocol::Pop3, at, part, can: "", messages: 3, spared: 0 }
}

/// All of them.
#[must_use]
pub fn inputs() -> Vec<Input> {
    [before_sign_in(), listings(), rows(), texts(), talk(), maildrops()].concat()
}

/// A `+` that nobody asked for, with 65 kB behind it.
fn goes_on(_: u64) -> Option<Vec<u8>> {
    Some(format!("+ {}\r\n", "z".repeat(65_000)).into())
}

/// A line that does not end.
fn line(_: u64) -> Option<Vec<u8>> {
    Some(vec![b'x'; 64 * KIB])
}

fn capabilities(n: u64) -> Option<Vec<u8>> {
    match n {
        1 => Some("* CAPABILITY IMAP4rev1".into()),
        2..=480 => Some(format!(" {}", letters(64 * KIB)).into()),
        481 => Some("\r\n".into()),
        _ => None,
    }
}

fn before_sign_in() -> Vec<Input> {
    let can_plain = "AUTH=PLAIN SASL-IR";
    vec![
        imap("`+` without end as the greeting", "", goes_on),
        imap("`+` without end at CAPABILITY", "CAPABILITY", goes_on),
        imap("`+` without end at LOGIN", "LOGIN", goes_on),
        Input {
            can: can_plain,
            ..imap("`+` without end at AUTHENTICATE", "AUTHENTICATE", goes_on)
        },
        imap("a greeting without an end of line", "", line),
        imap("untagged OK without end at LOGIN", "LOGIN", endless!(b"* OK wait\r\n")),
        imap("a CAPABILITY line of 30 MB", "CAPABILITY", capabilities),
        imap("NULs without end at the greeting", "", endless!([0; 4096])),
        imap("tagged OKs to nothing at LOGIN", "LOGIN", endless!(b"zz OK x\r\n")),
    ]
}

fn listings() -> Vec<Input> {
    let status = "LIST-STATUS OBJECTID";
    vec![
        imap("199,000 names of 10 kB", "LIST", |n| {
            let row = format!("* LIST () \"/\" \"{n}{}\"\r\n", letters(10_000));
            (n <= 199_000).then(|| row.into())
        }),
        imap("200,000 short names", "LIST", |n| {
            (n <= 200_000).then(|| format!("* LIST () \"/\" \"name {n}\"\r\n").into())
        }),
        imap("LIST without end, one name", "LIST", endless!(b"* LIST () \"/\" a\r\n")),
        imap("`+` without end at LIST", "LIST", goes_on),
        Input {
            can: status,
            ..imap("MAILBOXIDs of 200 kB", "LIST", |n| {
                let id = letters(200 * KIB);
                Some(format!("* STATUS m{n} (MESSAGES 1 MAILBOXID ({id}))\r\n").into())
            })
        },
        Input {
            can: status,
            ..imap("STATUS of mailboxes that are not there", "LIST", |n| {
                Some(format!("* STATUS m{n} (MESSAGES 1)\r\n").into())
            })
        },
        imap("a LIST row of many literals", "LIST", |n| match n {
            1 => Some("* LIST () \"/\"".into()),
            _ => Some(format!(" {{{}}}\r\n{}", MIB / 2, letters(MIB / 2)).into()),
        }),
    ]
}

fn rows() -> Vec<Input> {
    let with_ids = "OBJECTID";
    vec![
        Input {
            can: with_ids,
            ..imap("EMAILIDs of 5 MB", "UID FETCH", |n| {
                let id = letters(5 * MIB);
                Some(format!("* {n} FETCH (UID {n} FLAGS () EMAILID ({id}))\r\n").into())
            })
        },
        imap("unasked FETCH with 1 MB of flags", "UID FETCH", |n| {
            let flags: String = (0..10_000).map(|k| format!("{k}{} ", letters(95))).collect();
            Some(format!("* {n} FETCH (UID {n} FLAGS ({flags}))\r\n").into())
        }),
        Input {
            messages: 4_000_000_000,
            ..imap("rows of 30 kB of keywords", "UID FETCH 1:*", |n| {
                let flags: String = (0..255).map(|k| format!("{n}-{k}{} ", letters(110))).collect();
                Some(format!("* {n} FETCH (UID {n} FLAGS ({flags}) RFC822.SIZE 1)\r\n").into())
            })
        },
        imap("parentheses without end", "UID FETCH", |n| match n {
            1 => Some("* 1 FETCH (BODYSTRUCTURE ".into()),
            _ => Some(vec![b'('; 64 * KIB]),
        }),
        Input {
            spared: 1,
            ..imap("a SEARCH line of UIDs that repeat", "UID SEARCH", |n| match n {
                1 => Some("* SEARCH".into()),
                _ => Some(" 1 3".repeat(16 * KIB).into()),
            })
        },
        Input {
            spared: 1,
            ..imap("SEARCH lines without end", "UID SEARCH", |n| {
                let uid = |k: u64| format!(" {}", n * 20_000 + 2 * k);
                let uids: String = (0..10_000).map(uid).collect();
                Some(format!("* SEARCH{uids}\r\n").into())
            })
        },
        Input {
            can: "ESEARCH",
            spared: 1,
            ..imap("ESEARCH sets of single UIDs without end", "UID SEARCH", |n| {
                let uid = |k: u64| (n * 20_000 + 2 * k).to_string();
                let uids: Vec<String> = (0..10_000).map(uid).collect();
                Some(format!("* ESEARCH UID ALL {}\r\n", uids.join(",")).into())
            })
        },
        Input {
            can: "ENABLE QRESYNC CONDSTORE",
            ..imap("VANISHED of every other UID", "SELECT", |n| {
                let uids: Vec<String> =
                    (0..10_000).map(|k| (n * 20_000 + 2 * k).to_string()).collect();
                Some(format!("* VANISHED (EARLIER) {}\r\n", uids.join(",")).into())
            })
        },
        imap("EXPUNGE without end", "SELECT", endless!(b"* 1 EXPUNGE\r\n".repeat(1000))),
        imap("EXISTS without end", "SELECT", |n| Some(format!("* {n} EXISTS\r\n").into())),
    ]
}

fn texts() -> Vec<Input> {
    vec![
        imap("one body again and again", "UID FETCH 10", |_| {
            let text = letters(MIB);
            Some(format!("* 1 FETCH (UID 10 BODY[] {{{MIB}}}\r\n{text})\r\n").into())
        }),
        imap("bodies of messages that nobody asked for", "UID FETCH 10", |n| {
            let (text, uid) = (letters(MIB), 1_000 + n);
            Some(format!("* 1 FETCH (UID {uid} BODY[] {{{MIB}}}\r\n{text})\r\n").into())
        }),
        imap("a body of 4 GB", "UID FETCH 10", |n| match n {
            1 => Some("* 1 FETCH (UID 10 BODY[] {4294967296}\r\n".into()),
            _ => Some(vec![b'x'; MIB]),
        }),
        imap("a quoted body without end", "UID FETCH 10", |n| match n {
            1 => Some("* 1 FETCH (UID 10 BODY[] \"".into()),
            _ => Some(vec![b'x'; 64 * KIB]),
        }),
    ]
}

fn talk() -> Vec<Input> {
    vec![
        imap("alerts without end", "LIST", |n| {
            Some(format!("* OK [ALERT] look at this, {n}\r\n").into())
        }),
        imap("untagged lines without end", "SELECT", endless!(b"* OK still at it\r\n")),
        imap("BYE without end", "SELECT", endless!(b"* BYE\r\n")),
        imap("a line of garbage without end", "SELECT", line),
        imap("codes without end in a line", "SELECT", |n| match n {
            1 => Some("* OK [".into()),
            _ => Some(vec![b'C'; 64 * KIB]),
        }),
        imap("PERMANENTFLAGS of many keywords", "SELECT", |n| {
            let flags: String = (0..5_000).map(|k| format!("{n}-{k} ")).collect();
            Some(format!("* OK [PERMANENTFLAGS ({flags})] x\r\n").into())
        }),
    ]
}

fn maildrops() -> Vec<Input> {
    vec![
        pop3("POP3: a greeting without an end of line", "", line),
        pop3("POP3: CAPA without end", "CAPA", |n| Some(format!("X-{n} a b c\r\n").into())),
        pop3("POP3: `+` without end at USER", "USER", endless!(b"+ \r\n".repeat(1000))),
        pop3("POP3: 1.9 million ids of 100 octets", "UIDL", |n| {
            (n <= 1_900_000).then(|| format!("{n} {n:0>100}\r\n").into())
        }),
        pop3("POP3: ids without end", "UIDL", |n| Some(format!("{n} {n}\r\n").into())),
        pop3("POP3: sizes without end", "LIST", |n| Some(format!("{n} 1\r\n").into())),
        pop3("POP3: a line of a listing without end", "UIDL", line),
        pop3("POP3: a body without end", "RETR", endless!(b"0123456789\r\n".repeat(1000))),
        pop3("POP3: a body of one line without end", "RETR", line),
        Input {
            spared: 1,
            ..pop3(
                "POP3: a header without end",
                "TOP",
                endless!(b"X-A: 0123456789\r\n".repeat(1000)),
            )
        },
        Input { spared: 1, ..pop3("POP3: a header of one line without end", "TOP", line) },
        pop3("POP3: +OK without an end of line at PASS", "PASS", |n| match n {
            1 => Some("+OK ".into()),
            n => line(n),
        }),
        pop3("POP3: -ERR without an end of line at RETR", "RETR", |n| match n {
            1 => Some("-ERR ".into()),
            n => line(n),
        }),
        pop3("POP3: +OK without end at UIDL 1", "UIDL 1", endless!(b"+OK\r\n".repeat(1000))),
        pop3("POP3: ids of 5 MB", "UIDL", |n| Some(format!("{n} {}\r\n", letters(5 * MIB)).into())),
        pop3("POP3: ids of 60 kB", "UIDL", |n| {
            Some(format!("{n} {n}{}\r\n", letters(60 * KIB)).into())
        }),
        pop3("POP3: LIST of ten million lines", "LIST", |n| {
            let lines = |k: u64| format!("{k} 17\r\n");
            (n <= 10_000).then(|| (n * 1000..n * 1000 + 1000).map(lines).collect::<String>().into())
        }),
        pop3("POP3: one number in ten million lines", "LIST", |n| {
            (n <= 10_000).then(|| b"1 17\r\n".repeat(1000))
        }),
        pop3("POP3: sizes beyond all measure", "LIST", |n| {
            let sizes =
                ["9223372036854775807", "9223372036854775808", "18446744073709551615", "-1"];
            let line = |(k, size): (u64, &&str)| format!("{k} {size}\r\n");
            (n == 1).then(|| (1..).zip(&sizes).map(line).collect::<String>().into())
        }),
        pop3("POP3: ids with NUL, LF and escape sequences", "UIDL", |n| {
            let odd =
                b"1 a\0b\r\n2 \x1b[2J\x1b]0;x\x07\r\n2 c\n3\r\n3 \xe2\x80\xae\r\n1 \x1b[2J\r\n";
            (n == 1).then(|| odd.to_vec())
        }),
        pop3("POP3: refusals full of escape sequences", "RETR", |n| {
            (n == 1).then(|| b"-ERR \x1b[2J\x1b]0;x\x07\0\r\n".to_vec())
        }),
        Input {
            messages: 400_000,
            ..pop3("POP3: 400,000 messages whose ids are their numbers", "UIDL", |_| None)
        },
        pop3("POP3: numbers without end at DELE and QUIT", "QUIT", |n| {
            Some(format!("{n}\r\n").into())
        }),
    ]
}
