//! A small mailbox full of friendly mail, for the demo: always the same, byte for byte.

use crate::imap::{Profile, Server};

/// Midnight of Saturday, 1 March 2025 (UTC): days of [`Letter`] count from here.
const MARCH: i64 = 1_740_787_200;

/// The mailbox that is large enough for the guard to notice when it is emptied.
pub const TIDES: &str = "Tide tables";

/// How many messages [`TIDES`] holds.
pub const TIDE_DAYS: i64 = 24;

/// A mailbox without messages.
const EMPTY: &str = "Archive";

/// A message and where it lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// The mailbox in UTF-8, levels apart by `/`.
    pub mailbox: &'static str,
    /// Flags and keywords by their IMAP names.
    pub flags: Vec<&'static str>,
    /// INTERNALDATE in seconds since 1970.
    pub date: i64,
    /// Header and body, with CRLF.
    pub body: Vec<u8>,
}

/// One row of the tables below.
struct Letter {
    mailbox: &'static str,
    flags: &'static str,
    /// Days since 1 March 2025.
    day: i64,
    from: &'static str,
    subject: &'static str,
    /// Further header fields, or empty.
    fields: &'static str,
    text: &'static str,
}

const ADA: &str = "Ada Marsh <ada@example.org>";
const BEN: &str = "Ben Ito <ben@example.org>";
const GRAN: &str = "Grandma <gran@example.net>";
const SHOP: &str = "Kettle & Co <shop@example.com>";
const YOU: &str = "You <you@example.org>";

/// Field that makes a text in UTF-8 what it says it is.
const EIGHT_BIT: &str = "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\
                         Content-Transfer-Encoding: 8bit\n";

/// In place of further fields: not even a Message-ID.
const BARE: &str = "bare";

macro_rules! letters {
    ($($mailbox:literal, $flags:literal, $day:literal, $from:expr, $subject:literal,
       $fields:expr, $text:literal;)*) => {
        &[$(Letter {
            mailbox: $mailbox, flags: $flags, day: $day, from: $from, subject: $subject,
            fields: $fields, text: $text,
        }),*]
    };
}

const LETTERS: &[Letter] = letters![
    "INBOX", "\\Seen", 20, ADA, "Lunch?", "",
    "Thursday at the harbour, half past twelve? They have the good soup again.";
    "INBOX", "\\Seen \\Answered", 21, BEN, "The ferry leaves at seven",
    "Message-ID: <ferry-1@example.org>\n",
    "Seven sharp, not half past. Bring the blue bag and something against the wind.";
    "INBOX", "\\Seen", 21, BEN, "Re: The ferry leaves at seven",
    "In-Reply-To: <ferry-2@example.org>\n\
     References: <ferry-1@example.org> <ferry-2@example.org>\n",
    "> The blue one?\n\nThe blue one. The green one still smells of fish.";
    "INBOX", "\\Seen \\Flagged", 18, GRAN, "Your postcard came", "",
    "It stands on the shelf beside the one from last year. Call on Sunday.";
    "INBOX", "\\Seen", 22, SHOP, "Cheap kettles, today only", "",
    "Kettles! Half price! You looked at one kettle once and we have not forgotten.";
    "INBOX", "", 23, ADA, "Photos from the lighthouse", "",
    "All 212 steps of it. The third one is you, out of breath.";
    "INBOX", "", 23, "The Library <desk@library.example>", "A book is due on Friday", "",
    "\"The Shipping News\" is due back on Friday. You may keep it two more weeks: just ask.";
    "INBOX", "\\Seen invoice", 16, "Tidewater Power <bill@power.example>",
    "Your bill for February", "",
    "31.40, to be drawn on the 28th. There is nothing you need to do.";
    "INBOX", "", 24, "cron <root@attic.example>", "backup: 0 errors", BARE,
    "This one was sent without a Message-ID, as some machines do.";
    "INBOX", "\\Seen", 19, BEN, "Käsekuchen", EIGHT_BIT,
    "250 g Mürbeteig, 500 g Quark, fünf Eier, Zitrone. Nicht öffnen, ehe er hoch ist!";
    "Work/Projects", "\\Seen", 4, "Mo Haddad <mo@work.example>", "Buoy 7: first readings", "",
    "Attached is nothing yet, the buoy is still drying. Numbers on Monday.";
    "Work/Projects", "\\Seen \\Answered", 7, "Mo Haddad <mo@work.example>",
    "Buoy 7: it floats", "Message-ID: <buoy-1@work.example>\n",
    "It floats, it blinks, it sends. Whom do we tell?";
    "Work/Projects", "\\Flagged", 22, "Mo Haddad <mo@work.example>",
    "Buoy 7: report by Friday", "",
    "Ten pages, no more. You write the one about the tide, I write the rest.";
    "Sent", "\\Seen", 21, YOU, "Re: The ferry leaves at seven",
    "Message-ID: <ferry-2@example.org>\nIn-Reply-To: <ferry-1@example.org>\n\
     References: <ferry-1@example.org>\n",
    "> Bring the blue bag\n\nThe blue one?";
    "Sent", "\\Seen", 7, YOU, "Re: Buoy 7: it floats",
    "In-Reply-To: <buoy-1@work.example>\nReferences: <buoy-1@work.example>\n",
    "Everybody.";
    "Sent", "\\Seen $Forwarded", 12, YOU, "Happy birthday, Gran", "",
    "Ninety! The card is in the post, the cake comes with me.";
    "Drafts", "\\Draft \\Seen", 22, YOU, "The page about the tide", "",
    "It comes in twice a day and it takes nothing with it that";
    "Trash", "\\Seen", 9, SHOP, "We miss you", "", "You have not looked at a kettle for a week.";
    "Trash", "\\Seen", 15, SHOP, "We still miss you", "", "Two weeks.";
    "Archive/2024", "\\Seen", -120, ADA, "The house with the red door", "",
    "It is sold, to people with a dog. The dog likes the door.";
    "Archive/2024", "\\Seen \\Flagged", -90, GRAN, "How to mend a net", "",
    "Start where it is whole, not at the hole.";
    "Archive/2024", "\\Seen \\Answered", -75, BEN, "New year at the pier", "",
    "Bring gloves. Last year nobody brought gloves.";
    "Grüße aus Köln", "\\Seen", 2, "Jürgen Öz <juergen@koeln.example>", "Gruesse vom Rhein",
    EIGHT_BIT, "Der Rhein steht hoch, die Fähre fährt trotzdem. Schöne Grüße!";
    "Grüße aus Köln", "", 14, "Jürgen Öz <juergen@koeln.example>", "Fotos vom Dom", EIGHT_BIT,
    "Fünfhundertdreiunddreißig Stufen. Ada hätte gezählt.";
];

/// All messages, in the order in which they arrived at the server.
#[must_use]
pub fn messages() -> Vec<Sample> {
    let letters = LETTERS.iter().enumerate().map(|(at, letter)| sample(at, letter));
    let mut all: Vec<Sample> = letters.chain((0..TIDE_DAYS).map(tide_table)).collect();
    all.sort_by_key(|sample| sample.date);
    all
}

/// A server that holds [`messages`] and lets in the user `demo` with the password `demo`.
///
/// Its mailboxes have UIDVALIDITY from `uid_validity` on: another number says that what is
/// remembered of a former server's UIDs is void (RFC 9051 §2.3.1.1).
#[must_use]
pub fn server(uid_validity: u32) -> Server {
    let credentials = Some(("demo".to_owned(), "demo".to_owned()));
    let server = Server::new(Profile { credentials, notify: true, ..Profile::qresync() });
    server.create(EMPTY);
    for sample in messages() {
        server.append(sample.mailbox, &sample.body, &sample.flags, Some(sample.date));
    }
    for (mailbox, number) in server.mailboxes().iter().zip(uid_validity..) {
        server.set_uid_validity(mailbox, number);
    }
    server
}

/// A message that arrives now: from whom, about what, and what it says. `date` is in seconds
/// since 1970.
#[must_use]
pub fn message(from: &str, subject: &str, text: &str, date: i64) -> Vec<u8> {
    let id = format!("Message-ID: <{date}@sample.example>\n");
    compose(from, subject, &id, text, date)
}

fn sample(at: usize, letter: &Letter) -> Sample {
    let hour = i64::try_from(at % 9).unwrap_or(0) + 9;
    let date = MARCH + letter.day * 86_400 + hour * 3_600 + 17 * 60;
    let fields = match letter.fields {
        BARE => String::new(),
        own if own.contains("Message-ID:") => own.to_owned(),
        more => format!("Message-ID: <{at}.{date}@sample.example>\n{more}"),
    };
    Sample {
        mailbox: letter.mailbox,
        flags: letter.flags.split_whitespace().collect(),
        date,
        body: compose(letter.from, letter.subject, &fields, letter.text, date),
    }
}

fn tide_table(day: i64) -> Sample {
    let date = MARCH + day * 86_400 + 5 * 3_600;
    let subject = format!("High water, {} March", day + 1);
    // The tide comes some fifty minutes later each day.
    let clock = |minutes: i64| format!("{:02}:{:02}", minutes / 60 % 24, minutes % 60);
    let first = 312 + day * 50;
    let text = format!(
        "High  {}\nLow   {}\nHigh  {}",
        clock(first),
        clock(first + 372),
        clock(first + 745)
    );
    let id = format!("Message-ID: <tide-{}@harbour.example>\n", day + 1);
    Sample {
        mailbox: TIDES,
        flags: vec!["\\Seen"],
        date,
        body: compose("Harbour Office <tides@harbour.example>", &subject, &id, &text, date),
    }
}

fn compose(from: &str, subject: &str, fields: &str, text: &str, date: i64) -> Vec<u8> {
    let to = if from == YOU { ADA } else { YOU };
    let date = header_date(date);
    format!("From: {from}\nTo: {to}\nSubject: {subject}\nDate: {date}\n{fields}\n{text}\n")
        .replace('\n', "\r\n")
        .into_bytes()
}

/// A date as in RFC 5322 §3.3, in UTC; from 1970 on.
fn header_date(seconds: i64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let weekday = usize::try_from(days.rem_euclid(7)).map_or("Thu", |day| DAYS[day]);
    let (mut year, mut day) = (1970, days);
    let leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    while day >= 365 + i64::from(leap(year)) {
        day -= 365 + i64::from(leap(year));
        year += 1;
    }
    let months = [
        ("Jan", 31),
        ("Feb", 28 + i64::from(leap(year))),
        ("Mar", 31),
        ("Apr", 30),
        ("May", 31),
        ("Jun", 30),
        ("Jul", 31),
        ("Aug", 31),
        ("Sep", 30),
        ("Oct", 31),
        ("Nov", 30),
        ("Dec", 31),
    ];
    let mut name = "Jan";
    for (month, length) in months {
        name = month;
        if day < length {
            break;
        }
        day -= length;
    }
    let (h, m, s) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{weekday}, {:02} {name} {year} {h:02}:{m:02}:{s:02} +0000", day + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_demo_speaks_of_is_there() {
        let all = messages();
        let text = |s: &Sample| String::from_utf8(s.body.clone()).unwrap();
        let with = |part: &str| all.iter().filter(|s| text(s).contains(part)).count();
        assert_eq!(with("Subject: Lunch?\r\n"), 1);
        assert_eq!(all.len() - with("Message-ID: <"), 1, "one has none");
        assert_eq!(with("\r\nReferences: "), 3);
        assert!(all.iter().any(|s| !s.body.is_ascii()));
        assert!(all.iter().any(|s| s.flags.contains(&"invoice")));
        assert_eq!(all.iter().filter(|s| s.mailbox == TIDES).count(), 24);
        let bare = all.iter().filter(|s| text(s).replace("\r\n", "").contains(['\r', '\n']));
        assert_eq!(bare.count(), 0);
        assert_eq!(header_date(MARCH + 5 * 3_600), "Sat, 01 Mar 2025 05:00:00 +0000");
        assert_eq!(header_date(1_709_164_799), "Wed, 28 Feb 2024 23:59:59 +0000");
        assert_eq!(header_date(1_709_164_800), "Thu, 29 Feb 2024 00:00:00 +0000");
    }

    #[test]
    fn it_fills_a_server() {
        let server = server(7);
        assert_eq!(server.list("Grüße aus Köln").len(), 2);
        assert!(server.mailboxes().contains(&EMPTY.to_owned()));
        let numbers: std::collections::BTreeSet<_> =
            server.mailboxes().iter().map(|name| server.uid_validity(name)).collect();
        assert_eq!(numbers.len(), server.mailboxes().len());
    }
}
