//! Each fault strikes where it should, and what the client can see of it.

use std::time::Duration;

use tokio::io::AsyncReadExt;

use super::Raw;
use crate::imap::{Action, Fault, Profile, Server, When};

const MAIL: &str = "From: a\r\n\r\nbody\r\n";

fn append(mailbox: &str) -> String {
    format!(
        "APPEND {mailbox} (\\Seen k) \"01-Jan-2020 10:00:00 +0000\" {{{}+}}\r\n{MAIL}",
        MAIL.len()
    )
}

/// Two messages in INBOX, one other mailbox, the first connection.
async fn start() -> (Server, Raw) {
    let server = Server::new(Profile::qresync());
    server.append("INBOX", MAIL.as_bytes(), &[], Some(0));
    server.append("INBOX", MAIL.as_bytes(), &[], Some(0));
    server.create("A");
    let mut raw = Raw::signed_in(&server).await;
    raw.ask("SELECT INBOX").await;
    (server, raw)
}

#[tokio::test]
async fn the_lost_answer_and_the_lost_command() {
    for (fault, done, last) in [
        (Fault::CutBefore, 0, "EOF"),
        (Fault::CutAfter, 1, "EOF"),
        (Fault::LoseTagged, 1, "EOF"),
        (Fault::No("[OVERQUOTA] full".into()), 0, "t3 NO [OVERQUOTA] full\r\n"),
        (Fault::Bad("Request is throttled.".into()), 0, "t3 BAD Request is throttled.\r\n"),
        (Fault::Bye("later".into()), 0, "* BYE later\r\nEOF"),
        (Fault::OkUndone, 0, "t3 OK Completed.\r\n"),
        (Fault::LateAppend(None), 0, "EOF"),
    ] {
        let (server, mut raw) = start().await;
        let hits = server.inject(fault.clone(), When::verb("APPEND"));
        assert_eq!(raw.ask(&append("A")).await, last, "{fault:?}");
        assert_eq!((server.list("A").len(), hits.hits()), (done, 1), "{fault:?}");
    }
}

#[tokio::test]
async fn a_move_whose_untagged_answer_still_comes() {
    let (server, mut raw) = start().await;
    server.inject(Fault::LoseTagged, When::verb("UID MOVE").nth(2));
    assert!(raw.ask("UID MOVE 1 A").await.contains("t3 OK"));
    let answer = raw.ask("UID MOVE 2 A").await;
    assert!(
        answer.contains("[COPYUID") && answer.ends_with("* 1 EXPUNGE\r\n* 0 RECENT\r\nEOF"),
        "{answer}"
    );
    assert_eq!(server.list("A").len(), 2);
}

#[tokio::test]
async fn cuts_by_octets() {
    let (server, mut raw) = start().await;
    server.inject(Fault::CutAfterReceived(5), When::verb("APPEND").nth(1));
    assert_eq!(raw.ask(&append("A")).await, "EOF");
    assert!(server.list("A").is_empty());
    let mut raw = Raw::signed_in(&server).await;
    raw.ask("SELECT INBOX").await;
    server.inject(Fault::CutAfterSent(9), When::verb("FETCH"));
    assert_eq!(raw.ask("UID FETCH 1 BODY.PEEK[]").await, "* 1 FETCHEOF");
    server.heal();
    server.inject(Fault::CutAfterSent(4), When::connect());
    let mut raw = Raw { stream: server.connect(), got: String::new(), tags: 0 };
    assert_eq!(raw.until(|_| false).await, "* OKEOF");
    server.heal();
    server.inject(Fault::CutAfterReceived(15), When::connect());
    let mut raw = Raw::new(&server).await;
    assert!(raw.ask("LOGIN u p").await.contains("t1 OK"));
    assert_eq!(raw.ask("NOOP").await, "EOF");
}

#[tokio::test(start_paused = true)]
async fn a_late_append() {
    let (server, mut raw) = start().await;
    server.inject(Fault::LateAppend(Some(Duration::from_secs(5))), When::verb("APPEND").nth(1));
    server.inject(Fault::LateAppend(None), When::verb("APPEND").nth(2));
    assert_eq!(raw.ask(&append("A")).await, "EOF");
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(server.list("A").is_empty());
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(server.list("A").len(), 1);
    let mut raw = Raw::signed_in(&server).await;
    assert_eq!(raw.ask(&append("A")).await, "EOF");
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!((server.list("A").len(), server.finish_late()), (1, 1));
    assert_eq!(server.list("A")[1].date, 1_577_872_800);
}

#[tokio::test(start_paused = true)]
async fn hanging_and_dripping() {
    let (server, mut raw) = start().await;
    server.inject(Fault::Drip(Duration::from_secs(1)), When::verb("NOOP"));
    let before = tokio::time::Instant::now();
    assert_eq!(raw.ask("NOOP").await, "t3 OK NOOP completed.\r\n");
    assert_eq!(before.elapsed().as_secs(), 23);
    let before = tokio::time::Instant::now();
    raw.ask("CHECK").await;
    assert_eq!(before.elapsed().as_secs(), 0);
    server.inject(Fault::Hang, When::verb("CHECK"));
    let asked = tokio::time::timeout(Duration::from_secs(3600), raw.ask("CHECK")).await;
    assert!(asked.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_hostile_literal() {
    let (server, mut raw) = start().await;
    server.inject(Fault::HostileLiteral(99_999_999_999), When::verb("FETCH"));
    raw.send("x UID FETCH 1:2 (BODY.PEEK[])\r\n").await;
    let got = raw.until(|got| got.contains("body\r\n")).await;
    assert!(got.starts_with("* 1 FETCH (UID 1 BODY[] {99999999999}\r\nFrom"), "{got}");
    let mut more = [0];
    let more = tokio::time::timeout(Duration::from_secs(60), raw.stream.read(&mut more)).await;
    assert!(more.is_err());
}

#[tokio::test]
async fn codes_and_additions_that_go_missing() {
    let (server, mut raw) = start().await;
    server.inject(Fault::LoseUidCode, When::verb("APPEND"));
    server.inject(Fault::LoseUidCode, When::verb("COPY").times(1));
    assert_eq!(raw.ask(&append("A")).await, "t3 OK Append completed.\r\n");
    assert_eq!(raw.ask("UID COPY 1 A").await, "t4 OK Copy completed.\r\n");
    assert!(raw.ask("UID COPY 1 A").await.contains("[COPYUID"));
    server.heal();
    let swallow = server.inject(Fault::SwallowAddition, When::always());
    let answer = raw.ask(&append("A")).await;
    assert!(answer.contains("[APPENDUID") && answer.contains(" 4]"), "{answer}");
    assert!(raw.ask("UID COPY 1 A").await.contains(" 1 5]"));
    assert_eq!((server.list("A").len(), server.uid_next("A")), (3, Some(6)));
    assert_eq!(swallow.hits(), 2);
}

#[tokio::test]
async fn what_servers_make_of_a_message() {
    let (server, mut raw) = start().await;
    server.inject(Fault::AddHeader("X-Seen-By: us\r\n".into()), When::verb("APPEND").nth(1));
    server.inject(Fault::LoseFlags, When::verb("APPEND").nth(2));
    server.inject(Fault::LoseDate, When::verb("APPEND").nth(3));
    server.inject(Fault::DropKeyword("K".into()), When::verb("APPEND").nth(4));
    server.inject(Fault::RewriteOctets, When::verb("APPEND").nth(5));
    for _ in 0..4 {
        raw.ask(&append("A")).await;
    }
    raw.ask("APPEND A {6+}\r\na\0b\n\r\r").await;
    let mails = server.list("A");
    assert!(mails[0].body.starts_with(b"X-Seen-By: us\r\nFrom"));
    assert!(mails[1].flags.is_empty() && mails[0].flags.len() == 2);
    assert!(mails[2].date > mails[0].date);
    assert!(mails[3].flags.iter().eq(["\\Seen"]));
    assert_eq!(&mails[4].body[..], b"a\x80b\r\n\r");
    server.inject(Fault::LoseDate, When::verb("MOVE"));
    raw.ask("SELECT A").await;
    raw.ask("UID MOVE 1 INBOX").await;
    assert_ne!(server.list("INBOX")[2].date, mails[0].date);
}

#[tokio::test]
async fn fetches_that_lie() {
    let (server, mut raw) = start().await;
    let all = "UID FETCH 1:2 (FLAGS RFC822.SIZE BODY.PEEK[])";
    for (fault, expected) in [
        (Fault::SizeLie(3), "RFC822.SIZE 20"),
        (Fault::SizeLie(-3), "RFC822.SIZE 14"),
        (Fault::FetchNo(vec![1], "[UNAVAILABLE] no".into()), "NO [UNAVAILABLE] no"),
        (Fault::FetchNoFlags, "(UID 1 RFC822.SIZE"),
        (Fault::FetchNoBody(vec![1]), "(UID 1 FLAGS (\\Recent) RFC822.SIZE 17)\r\n"),
        (Fault::Inject(b"* garbage\r\n".to_vec()), "* garbage\r\n* 1 FETCH"),
    ] {
        let injected = server.inject(fault.clone(), When::verb("FETCH").mailbox("INBOX"));
        let answer = raw.ask(all).await;
        assert!(answer.contains(expected) && answer.contains("* 2 FETCH"), "{fault:?} {answer}");
        assert!(injected.hits() > 0);
        server.withdraw(&injected);
    }
    server.inject(Fault::FetchSilent(vec![1]), When::verb("FETCH"));
    let answer = raw.ask(all).await;
    assert!(!answer.contains("* 1 FETCH") && answer.contains("OK Fetch"), "{answer}");
    server.inject(Fault::FetchNo(vec![], "no".into()), When::verb("FETCH"));
    assert!(raw.ask("UID FETCH 2 (FLAGS)").await.contains("OK Fetch"));
}

#[tokio::test]
async fn messages_that_do_not_go_and_lists_that_lie() {
    let (server, mut raw) = start().await;
    raw.ask("UID STORE 1:2 +FLAGS.SILENT (\\Deleted)").await;
    let keep = server.inject(Fault::KeepExpunged(vec![2]), When::always());
    assert!(raw.ask("UID EXPUNGE 1:2").await.starts_with("* 1 EXPUNGE\r\n* 1 RECENT\r\nt4 OK"));
    raw.ask("UID MOVE 2 A").await;
    raw.ask("CLOSE").await;
    assert_eq!((server.list("INBOX").len(), server.list("A").len()), (1, 1));
    assert_eq!(keep.hits(), 3);
    server.create("B/C");
    server.inject(Fault::OmitFromList("B".into()), When::verb("LIST"));
    let list = raw.ask("LIST \"\" *").await;
    assert!(list.contains(" A\r\n") && !list.contains(" B"), "{list}");
    raw.ask("ENABLE QRESYNC").await;
    server.inject(Fault::WrongVanished, When::verb("SELECT"));
    let validity = server.uid_validity("INBOX").unwrap();
    let answer = raw.ask(&format!("SELECT INBOX (QRESYNC ({validity} 1))")).await;
    assert!(answer.contains("* 1 EXISTS") && answer.contains("(EARLIER) 1:2\r\n"), "{answer}");
}

#[tokio::test]
async fn only_the_newest_are_shown() {
    let (server, mut raw) = start().await;
    server.set_window(Some(2));
    assert!(raw.ask("SELECT INBOX").await.contains("* 2 EXISTS"));
    server.append("INBOX", MAIL.as_bytes(), &[], None);
    let told = raw.ask("NOOP").await;
    assert!(told.starts_with("* 1 EXPUNGE\r\n* 2 EXISTS\r\n"), "{told}");
    assert!(raw.ask("UID SEARCH ALL").await.starts_with("* SEARCH 2 3\r\n"));
    assert!(raw.ask("UNSELECT").await.contains("OK"));
    assert!(raw.ask("STATUS INBOX (MESSAGES)").await.contains("MESSAGES 2"));
    assert_eq!(server.list("INBOX").len(), 3);
}

#[tokio::test]
async fn the_crash_point_hook() {
    let (server, _) = start().await;
    for (action, expected, done) in [
        (Action::CutBefore, "EOF", 0),
        (Action::CutAfter, "EOF", 1),
        (Action::Continue, "t2 OK", 2),
    ] {
        let other = server.clone();
        server.on_command(Some(Box::new(move |command| {
            // Another client may act in just this moment.
            other.append("INBOX", MAIL.as_bytes(), &[], None);
            if command.starts_with("APPEND A") { action } else { Action::Continue }
        })));
        let mut raw = Raw::signed_in(&server).await;
        assert!(raw.ask(&append("A")).await.starts_with(expected));
        assert_eq!(server.list("A").len(), done, "{action:?}");
        server.on_command(None);
    }
    assert_eq!(server.list("INBOX").len(), 8);
}

#[tokio::test]
async fn more_arrive_than_the_window_shows() {
    let (server, mut raw) = start().await;
    server.set_window(Some(1));
    raw.ask("SELECT INBOX").await;
    for _ in 0..3 {
        server.append("INBOX", MAIL.as_bytes(), &[], None);
    }
    assert!(raw.ask("NOOP").await.starts_with("* 1 EXPUNGE\r\n* 1 EXISTS\r\n"));
    assert!(raw.ask("UID SEARCH ALL").await.starts_with("* SEARCH 5\r\n"));
}
