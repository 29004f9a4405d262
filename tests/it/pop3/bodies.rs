//! Messages come as the server has them, so many under way as was agreed.

use kit::pop3::{Fault, Profile, Server, When};
use mailtide::remote::RemoteError;
use mailtide::remote::pop3::Header;

use super::{Kept, connect};

/// Messages that are easily spoilt on the way; each ends in a line end.
fn awkward() -> Vec<Vec<u8>> {
    let texts: [&[u8]; 16] = [
        b"Subject: plain\r\n\r\nbody\r\n",
        b"\r\n",
        b".\r\n",
        b"..\r\n",
        b".a\r\n..b\r\n...c\r\n",
        b"a\r\n.\r\nb\r\n.\r\n\r\n.\r\n",
        b"a.\r\nb .\r\n",
        b"bare\n.\nline\n.\r\nfeeds\n\n.\n.\r\n",
        b"bare\r.\rreturns\r\r\n.\r\r\n",
        b".\r.\r\n",
        b"\n\r\n",
        b"nul\0\r\n.\0\r\n\0\r\n",
        b"\x80\xff\xfe\r\n.\xff\r\n",
        b"+OK\r\n-ERR\r\n.\r\n+OK 3 octets\r\n",
        b"A: 1\r\n\r\n\r\n\r\n",
        b"\x1a\x04\r\n",
    ];
    let long = [&b"."[..], &b"x".repeat(100_000), b"\r\n.\r\n", &b".".repeat(100_000), b"\r\n"];
    texts.into_iter().map(<[u8]>::to_vec).chain([long.concat()]).collect()
}

#[tokio::test(start_paused = true)]
async fn awkward_messages_come_as_they_are() {
    let messages = awkward();
    for (pipelining, bare_lf) in [(true, false), (false, false), (true, true)] {
        let server = Server::with(Profile { pipelining, bare_lf, ..Profile::default() }, &messages);
        let mut session = connect(&server).await;
        let numbers: Vec<u32> = session.list().await.unwrap().iter().map(|m| m.number).collect();
        let mut kept = Kept::default();
        // What looks like an answer comes alone, see below.
        let is_answer = |number: &&u32| messages[**number as usize - 1].starts_with(b"+OK");
        let alone = *numbers.iter().find(is_answer).unwrap();
        let (before, after) = numbers.split_at(alone as usize - 1);
        for some in [before, &after[..1], &after[1..]] {
            session.retrieve(some, &mut kept).await.unwrap();
        }
        for (at, (got, sent)) in kept.bodies().iter().zip(&messages).enumerate() {
            assert!(got == sent, "{at}: {} for {}", got.escape_ascii(), sent.escape_ascii());
        }
        assert_eq!(kept.whole.len(), messages.len());
        let sizes: Vec<_> = messages.iter().map(|body| Some(body.len() as u64)).collect();
        assert_eq!(kept.sizes, sizes);
        session.quit().await.unwrap();
    }
}

/// Where others are under way behind it, what looks like an answer is not believed: it may be one,
/// and this text without an end (hazard 111).
#[tokio::test(start_paused = true)]
async fn what_looks_like_an_answer_ends_a_session_that_asks_ahead() {
    for (pipelining, whole) in [(true, 1), (false, 3)] {
        let profile = Profile { pipelining, ..Profile::default() };
        let server = Server::with(profile, ["a\r\n", "b\r\n+OK 3 octets\r\n", "c\r\n"]);
        let mut session = connect(&server).await;
        session.list().await.unwrap();
        let mut kept = Kept::default();
        let result = session.retrieve(&[1, 2, 3], &mut kept).await;
        assert_eq!((kept.whole.len(), result.is_ok()), (whole, !pipelining));
    }
}

/// What has no line end gets one, and what is empty stays so.
#[tokio::test(start_paused = true)]
async fn the_last_line_has_an_end() {
    let server = Server::new(["", "a", "a\n", "a\r"]);
    let mut kept = Kept::default();
    connect(&server).await.retrieve(&[1, 2, 3, 4], &mut kept).await.unwrap();
    let expected: [&[u8]; 4] = [b"", b"a\r\n", b"a\n\r\n", b"a\r\r\n"];
    assert_eq!(kept.bodies(), expected);
    assert_eq!(kept.sizes, [None; 4], "nothing was listed");
}

#[tokio::test(start_paused = true)]
async fn a_large_body_comes_in_pieces() {
    let body = b"a line that is repeated\r\n".repeat(400_000);
    let server = Server::new([&body]);
    let mut kept = Kept::default();
    connect(&server).await.retrieve(&[1], &mut kept).await.unwrap();
    assert!(kept.bodies() == [body] && kept.largest <= 64 << 10, "{}", kept.largest);
}

#[tokio::test(start_paused = true)]
async fn no_more_is_under_way_than_was_agreed() {
    let small = |count: usize| vec![b"small\r\n".to_vec(); count];
    let large = |count: usize| vec![b"x".repeat(600 << 10); count];
    let table = [
        ("small ones", true, small(200), true, 64),
        ("small ones that were not listed", true, small(100), false, 17),
        ("large ones", true, large(12), true, 7),
        ("a large one among small ones", true, [small(3), large(2), small(3)].concat(), true, 8),
        ("without PIPELINING", false, small(10), true, 1),
    ];
    for (what, pipelining, messages, listed, most) in table {
        let server = Server::with(Profile { pipelining, ..Profile::default() }, &messages);
        let mut session = connect(&server).await;
        if listed {
            session.list().await.unwrap();
        }
        server.reset_counters();
        let numbers: Vec<u32> = (1..).take(messages.len()).collect();
        let mut kept = Kept::default();
        session.retrieve(&numbers, &mut kept).await.unwrap();
        assert_eq!(kept.whole.len(), messages.len(), "{what}");
        let waited = server.counters().most_waiting;
        assert!(waited <= most && (most == 1 || waited > 1), "{what}: {waited}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_is_refused_stops_no_other() {
    for pipelining in [true, false] {
        let server =
            Server::with(Profile { pipelining, ..Profile::default() }, ["a\r\n", "b\r\n", "c\r\n"]);
        server.inject(Fault::RefuseMessage(2), When::always());
        let mut session = connect(&server).await;
        let mut kept = Kept::default();
        session.retrieve(&[1, 2, 3, 9], &mut kept).await.unwrap();
        assert_eq!(kept.whole, [(1, b"a\r\n".to_vec()), (3, b"c\r\n".to_vec())]);
        let refused = |number| format!("RETR {number}: the server refused: no such message");
        assert_eq!(kept.refused, [(2, refused(2)), (9, refused(9))]);
        let mut seen = Vec::new();
        let mut keep = |number: u32, header: Header<'_>| {
            seen.push((number, header.ok().map(<[u8]>::to_vec)));
        };
        session.top(&[1, 2], 0, &mut keep).await.unwrap();
        assert_eq!(seen, [(1, Some(b"a\r\n".to_vec())), (2, None)]);
        let deleted = session.delete(&[1, 2, 3]).await.unwrap();
        let ok: Vec<(u32, bool)> = deleted.iter().map(|(n, done)| (*n, done.is_ok())).collect();
        assert_eq!(ok, [(1, true), (2, false), (3, true)]);
        session.quit().await.unwrap();
        assert_eq!(server.bodies(), [b"b\r\n"]);
    }
}

#[tokio::test(start_paused = true)]
async fn headers_come_alone_and_are_no_longer_than_they_may_be() {
    let long = format!("A: {}\r\n\r\nbody\r\n", "x".repeat(100_000));
    let server = Server::new(["A: 1\r\n\r\n.x\r\ny\r\n", &long, "no header", ""]);
    let mut session = connect(&server).await;
    let mut seen = Vec::new();
    let mut keep = |_: u32, header: Header<'_>| {
        seen.push(header.unwrap().to_vec());
    };
    session.top(&[1, 2, 3, 4], 0, &mut keep).await.unwrap();
    session.top(&[1], 1, &mut keep).await.unwrap();
    assert_eq!(seen[0], b"A: 1\r\n\r\n");
    assert_eq!(seen[1], &long.as_bytes()[..64 << 10]);
    assert_eq!(&seen[2..], [&b"no header\r\n"[..], b"", b"A: 1\r\n\r\n.x\r\n"]);
    session.noop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_server_that_adds_a_header_gives_it() {
    let server = Server::new(["a\r\n"]);
    server.inject(Fault::AddHeader, When::verb("RETR"));
    let mut session = connect(&server).await;
    let mut kept = Kept::default();
    session.retrieve(&[1], &mut kept).await.unwrap();
    session.retrieve(&[1], &mut kept).await.unwrap();
    assert_eq!(kept.bodies(), [b"X-Retrieved: 1\r\na\r\n", b"X-Retrieved: 2\r\na\r\n"]);
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_fails_keeps_the_session_if_little_is_left() {
    for (length, ended) in [(10_000, false), (10 << 20, true)] {
        let server = Server::new([b"x".repeat(length), b"b\r\n".to_vec(), b"c\r\n".to_vec()]);
        let mut session = connect(&server).await;
        session.list().await.unwrap();
        let mut kept = Kept { fails_at: Some(500), ..Kept::default() };
        let error = session.retrieve(&[1, 2, 3], &mut kept).await.unwrap_err();
        assert!(matches!(error, RemoteError::Sink { .. }), "{error}");
        assert_eq!(error.ends_session(), ended);
        assert_eq!((kept.whole.len(), kept.discarded), (0, 1));
        assert_eq!(session.noop().await.is_ok(), !ended);
    }
}
