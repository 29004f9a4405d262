//! What is seen, from the events that led there: no clock, no terminal but a simulated one.

use std::time::Duration;

use kit::terminal::Terminal;

use super::board::Board;
use super::events::{Events, Told};
use super::lines::{Line, Size, lines};
use super::region::Region;
use crate::account::Skip;
use crate::account::progress::{Event, Way};
use crate::cli::output::Style;
use crate::reconcile::types::MailboxName;

const WIDE: Size = Size { columns: 120, rows: 24 };

fn at(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Name, messages, octets.
type Mailbox<'a> = (&'a str, u64, u64);

/// Accounts that bring the bodies of these mailboxes down.
fn pulling(accounts: &[(&str, &[Mailbox<'_>])]) -> Board {
    let names: Vec<&str> = accounts.iter().map(|(name, _)| *name).collect();
    let mut board = Board::new(&names);
    for (n, (_, mailboxes)) in accounts.iter().enumerate() {
        for (name, messages, octets) in *mailboxes {
            let (mailbox, way) = (&MailboxName::new(name), Way::Down);
            let (messages, octets) = (*messages, *octets);
            board.tell(n, &Event::Planned { mailbox, way, messages, octets }, at(0));
        }
        if let Some((name, ..)) = mailboxes.first() {
            let (mailbox, way) = (&MailboxName::new(name), Way::Down);
            board.tell(n, &Event::Began { mailbox, way }, at(0));
        }
    }
    board
}

/// Bodies of so many octets arrive, the last one at this instant, one each `step`.
fn arrive(board: &mut Board, mailbox: &str, bodies: u64, count: u64, step: Duration) -> Duration {
    let (mailbox, way) = (&MailboxName::new(mailbox), Way::Down);
    let mut now = at(0);
    for _ in 0..bodies {
        now += step;
        board.tell(0, &Event::Octets { mailbox, way, count }, now);
        board.tell(0, &Event::Message { mailbox, way }, now);
    }
    now
}

fn texts(board: &Board, now: Duration, size: Size) -> Vec<String> {
    lines(board, now, size, Style::PLAIN).into_iter().map(|line| line.text).collect()
}

#[test]
fn an_account_tells_its_totals_and_the_mailbox_in_hand() {
    let mut board = pulling(&[("work", &[("Lists/rust", 40, 4_000_000), ("Sent", 60, 6_000_000)])]);
    let now = arrive(&mut board, "Lists/rust", 20, 100_000, at(100));
    assert_eq!(
        texts(&board, now, WIDE),
        [
            "work  20 of 100 messages  2.0 MB of 10.0 MB  1.0 MB/s  9 s left  mailbox 1 of 2",
            "  Lists/rust  down  20 of 40 messages  2.0 MB of 4.0 MB",
        ]
    );
    let (mailbox, way) = (&MailboxName::new("Lists/rust"), Way::Down);
    board.tell(0, &Event::Ended { mailbox, way }, now);
    let mailbox = &MailboxName::new("Sent");
    board.tell(0, &Event::Began { mailbox, way }, now);
    // The twenty that did not come are not waited for.
    let shown = texts(&board, now, WIDE);
    assert!(shown[0].starts_with("work  20 of 80 messages  2.0 MB of 8.0 MB"), "{shown:?}");
    assert!(shown[0].ends_with("mailbox 2 of 2"), "{shown:?}");
    assert_eq!(shown[1], "  Sent  down  0 of 60 messages  0 B of 6.0 MB");
}

#[test]
fn what_is_not_a_transfer_has_words() {
    let mut board = Board::new(&["a", "b", "c", "d"]);
    board.tell(1, &Event::Connecting, at(0));
    let mailbox = &MailboxName::new("Lists");
    board.tell(2, &Event::Looking { mailbox, at: 3, of: 31 }, at(0));
    board.end(3, false);
    assert_eq!(
        texts(&board, at(0), WIDE),
        ["a  starting", "b  connecting", "c  looking, 3 of 31  Lists", "d  not done"]
    );
}

#[test]
fn the_rate_is_that_of_late_and_falls_when_nothing_comes() {
    let mut board = pulling(&[("work", &[("INBOX", 1000, 100_000_000)])]);
    let now = arrive(&mut board, "INBOX", 100, 100_000, at(200));
    let rate = |board: &Board, now| {
        let account = &board.accounts[0];
        account.pace.rate(now, account.done).unwrap()
    };
    assert!((450_000..=550_000).contains(&rate(&board, now)), "{}", rate(&board, now));
    let account = &board.accounts[0];
    let left = account.left(now).unwrap().as_secs();
    assert!((170..=190).contains(&left), "900 messages at 5 a second: {left}");
    let later = rate(&board, now + at(9_000));
    assert!(later < 100_000, "{later}");
    assert!(rate(&board, now + at(600_000)) < 1000, "long after");
    // Nothing is known at the start, and no number is made up.
    let fresh = pulling(&[("work", &[("INBOX", 1000, 1)])]);
    assert_eq!((fresh.accounts[0].pace.rate(at(900), fresh.accounts[0].done)), None);
    assert_eq!(fresh.accounts[0].left(at(5_000)), None);
}

#[test]
fn one_large_message_moves_by_its_octets() {
    let mut board = pulling(&[("work", &[("INBOX", 1, 50_000_000)])]);
    let (mailbox, way) = (&MailboxName::new("INBOX"), Way::Down);
    for second in 1..=4 {
        board.tell(0, &Event::Octets { mailbox, way, count: 10_000_000 }, at(second * 1000));
    }
    let shown = texts(&board, at(4000), WIDE);
    assert_eq!(shown[0], "work  0 of 1 messages  40.0 MB of 50.0 MB  10.0 MB/s  2 s left");
}

#[test]
fn a_server_that_lies_about_sizes_breaks_no_sum() {
    let mut board = pulling(&[("work", &[("A", 2, 10), ("B", u64::MAX, u64::MAX)])]);
    let now = arrive(&mut board, "A", 5, u64::MAX / 2, at(1000));
    let shown = texts(&board, now, WIDE);
    assert!(shown[0].starts_with("work  5 of "), "{shown:?}");
    assert!(shown[1].starts_with("  A  down  5 of 5 messages  18.4 EB of 18.4 EB"), "{shown:?}");
}

#[test]
fn names_are_neutral_and_no_line_is_too_wide() {
    let names = [
        "\u{1b}[2J\u{9b}31m\u{7}\u{202e}gnp.exe".to_owned(),
        "受信箱/お知らせ/".repeat(40),
        "e\u{301}".repeat(200),
        format!("x{}", "\u{301}".repeat(100_000)),
        "😀👨‍👩‍👧‍👦".repeat(50),
        "plain".to_owned(),
    ];
    for name in &names {
        for columns in 0..140 {
            let account = format!("acc{name}");
            let mut board = pulling(&[(&account, &[(name, 1_234_567, 4_000_000_000)])]);
            let now = arrive(&mut board, name, 40, 1_000_000, at(100));
            let mailbox = &MailboxName::new(name);
            let size = Size { columns, rows: 10 };
            let mut terminal = Terminal::new(columns.max(1), 10);
            for step in 0..2 {
                for Line { text, columns: wide } in lines(&board, now, size, Style::PLAIN) {
                    assert!(wide < columns.max(1), "{columns} columns: {wide} {text:?}");
                    assert!(text.len() < 16 * columns.max(1), "{} bytes", text.len());
                    terminal.feed(&format!("{text}\r\n"));
                }
                if step == 0 {
                    board.tell(0, &Event::Looking { mailbox, at: 1, of: 2 }, now);
                }
            }
        }
    }
}

#[test]
fn numbers_give_way_before_names_do() {
    let name = "a mailbox with a long name";
    let board = {
        let mut board = pulling(&[("personal", &[(name, 5_000, 40_000_000), ("B", 1, 1)])]);
        arrive(&mut board, name, 20, 100_000, at(100));
        board
    };
    let line = |columns| texts(&board, at(2000), Size { columns, rows: 10 });
    assert_eq!(
        line(80)[1],
        "  a mailbox with a long name  down  20 of 5,000 messages  2.0 MB of 40.0 MB"
    );
    assert_eq!(line(60)[1], "  a mailbox with a long name  down  20 of 5,000 messages");
    assert_eq!(line(46)[1], "  a mailbox with…  down  20 of 5,000 messages");
    assert_eq!(line(10)[1], "  a mail…");
    assert_eq!(
        line(60)[0],
        "personal  20 of 5,001 messages  8 min 10 s left",
        "octets and rate are worth less than the end"
    );
}

#[test]
fn many_accounts_fit_into_few_rows() {
    let mailboxes: &[(&str, u64, u64)] = &[("INBOX", 3, 300)];
    let names: Vec<String> = (0..30).map(|n| format!("account{n}")).collect();
    let accounts: Vec<_> = names.iter().map(|name| (name.as_str(), mailboxes)).collect();
    let board = pulling(&accounts);
    let shown = |rows| texts(&board, at(0), Size { columns: 80, rows });
    assert_eq!(shown(61).len(), 60, "each with its mailbox");
    assert_eq!(shown(60).len(), 30, "the mailboxes give way");
    let few = shown(10);
    assert_eq!((few.len(), few[8].as_str()), (9, "… and 22 more accounts"));
    for rows in 0..70 {
        assert!(shown(rows).len() < rows.max(1), "{rows} rows");
    }
}

fn plain(texts: &[&str]) -> Vec<Line> {
    let line = |text: &&str| Line { text: (*text).to_owned(), columns: text.chars().count() };
    texts.iter().map(line).collect()
}

#[test]
fn the_region_is_redrawn_in_place_below_what_is_said() {
    let (mut region, mut terminal) = (Region::new(), Terminal::new(40, 8));
    terminal.feed("$ mailtide sync\n");
    terminal.feed(&region.draw(plain(&["one", "  two, longer"]), 40));
    assert_eq!(terminal.lines(), ["$ mailtide sync", "one", "  two, longer"]);
    terminal.feed(&region.draw(plain(&["one more", "  2", "third"]), 40));
    assert_eq!(terminal.lines(), ["$ mailtide sync", "one more", "  2", "third"]);
    terminal.feed(&region.say("warn: something\n", 40));
    assert_eq!(
        terminal.lines(),
        ["$ mailtide sync", "warn: something", "one more", "  2", "third"]
    );
    terminal.feed(&region.draw(plain(&["x"]), 40));
    assert_eq!(terminal.lines(), ["$ mailtide sync", "warn: something", "x"]);
    assert!(terminal.is_ready(), "a shell could go on here, were this the end");
    terminal.feed(&region.draw(Vec::new(), 40));
    assert_eq!(terminal.lines(), ["$ mailtide sync", "warn: something"]);
    assert!(terminal.is_ready());
    assert_eq!(region.say("and nothing else\n", 40), "and nothing else\n");
}

#[test]
fn a_picture_that_stays_costs_nothing_and_none_blanks_what_stays() {
    let mut region = Region::new();
    let first = region.draw(plain(&["one", "two"]), 80);
    assert!(!first.is_empty());
    assert_eq!(region.draw(plain(&["one", "two"]), 80), "");
    // Nothing is erased before the text that takes its place: no flicker.
    let next = region.draw(plain(&["one", "2"]), 80);
    let (text, erase) = (next.find("one").unwrap(), next.find("\u{1b}[K").unwrap());
    assert!(text < erase && next.find("\u{1b}[J").unwrap() > next.find('2').unwrap(), "{next:?}");
}

#[test]
fn a_terminal_made_narrower_keeps_no_ruins() {
    let mut region = Region::new();
    let wide = "x".repeat(79);
    let _ = region.draw(plain(&[&wide, "two"]), 80);
    // The terminal has wrapped the first line into two.
    let next = region.draw(plain(&["short", "two"]), 40);
    assert!(next.starts_with("\r\u{1b}[3A"), "{next:?}");
}

#[test]
fn a_program_hears_of_each_mailbox_and_of_counts_now_and_then() {
    let mut events = Events::default();
    let mailbox = &MailboxName::new("Lists/rust");
    let way = Way::Down;
    let mut heard = Vec::new();
    let skip = Skip { what: "Lists".to_owned(), why: "NO \u{1b}[2J".to_owned() };
    let mut tell = |event: Event<'_>, millis| {
        let told = events.tell("work", &event, at(millis));
        heard.extend(told.map(|told: Told<'_>| serde_json::to_value(told).unwrap()));
    };
    tell(Event::Connecting, 0);
    tell(Event::Planned { mailbox, way, messages: 1000, octets: 5000 }, 0);
    tell(Event::Began { mailbox, way }, 0);
    for n in 1..=1000 {
        tell(Event::Octets { mailbox, way, count: 5 }, n);
        tell(Event::Message { mailbox, way }, n);
    }
    tell(Event::Skipped(&skip), 1000);
    tell(Event::Ended { mailbox, way }, 1001);
    tell(Event::Ended { mailbox, way }, 1002);
    let count = |done: u64, bytes: u64| {
        serde_json::json!({ "event": "messages", "account": "work", "mailbox": "Lists/rust",
            "way": "down", "done": done, "of": 1000, "bytes": bytes })
    };
    let expected = [
        serde_json::json!({ "event": "mailbox", "account": "work", "mailbox": "Lists/rust",
            "way": "down", "messages": 1000, "bytes": 5000 }),
        count(499, 2500),
        count(999, 5000),
        serde_json::json!({ "event": "skipped", "account": "work", "what": "Lists",
            "why": "NO \u{1b}[2J" }),
        count(1000, 5000),
    ];
    assert_eq!(heard, expected);
}
