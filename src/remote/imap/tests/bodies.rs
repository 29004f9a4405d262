use super::*;

const EVERYTHING: &[u8] = b"* 1 FETCH (UID 1 BODY[] {7}\r\nfirst\r\n)\r\n\
    * 2 FETCH (BODY[] {12}\r\nsecond {9}\r\n UID 2)\r\n\
    * 9 FETCH (UID 9 FLAGS (\\Seen))\r\n\
    * 3 FETCH (BODY[] \"th\\\"ird\" UID 3)\r\n\
    * 4 FETCH (UID 4 BODY[] NIL)\r\n\
    * 5 FETCH (UID 5 X ({3}\r\na)b) BODY[] ~{3}\r\n\0\xff\n FLAGS ())\r\n\
    * 6 FETCH (UID 6 BODY[] {0}\r\n)\r\n\
    * 8 FETCH (UID 8 BODY[] {3}\r\nno!)\r\n\
    * 1 FETCH (UID 1 BODY[] {5}\r\nagain)\r\n\
    * 7 FETCH (BODY[] {4}\r\nlost)\r\nT OK\r\n";

async fn opened(peer: &Peer) -> Session {
    let mut session = connect(peer).await;
    session.select(&inbox(), Select::ReadWrite, None, &mut |_| {}).await.unwrap();
    session
}

#[tokio::test(start_paused = true)]
async fn bodies_of_every_make() {
    let peer = Peer::new().says("UID FETCH", EVERYTHING);
    let mut session = opened(&peer).await;
    let mut kept = Kept::default();
    session.fetch_bodies(&set("1:7"), 1 << 20, &mut kept).await.unwrap();
    let whole: Vec<(u32, &[u8])> = kept.whole.iter().map(|(uid, b)| (*uid, &b[..])).collect();
    let expected: [(u32, &[u8]); 5] =
        [(1, b"first\r\n"), (2, b"second {9}\r\n"), (3, b"th\"ird"), (5, b"\0\xff\n"), (6, b"")];
    assert_eq!(whole, expected);
    assert_eq!(kept.begun[1], (None, 12));
    assert!(kept.open.is_none());
    assert_eq!(peer.seen().last().unwrap(), "UID FETCH 1:7 (UID BODY.PEEK[])");
    // Flags that came along are news as well.
    let pending = session.take_pending().seen;
    let uids: Vec<u32> = pending
        .iter()
        .map(|untagged| match untagged {
            Untagged::Fetch(row) => row.uid.0,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(uids, [9, 5]);
}

#[tokio::test(start_paused = true)]
async fn a_large_body_comes_in_slices() {
    let body: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let mut answer = format!("* 1 FETCH (UID 1 BODY[] {{{}}}\r\n", body.len()).into_bytes();
    answer.extend_from_slice(&body);
    answer.extend_from_slice(b" FLAGS ())\r\nT OK\r\n");
    let mut session = opened(&Peer::new().says("UID FETCH", answer)).await;
    let mut kept = Kept::default();
    session.fetch_bodies(&set("1"), 1 << 30, &mut kept).await.unwrap();
    assert!(kept.whole == [(1, body)]);
    assert!(kept.largest >= 64 << 10);
    session.noop(&mut |_| {}).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn too_long_names_the_message() {
    for length in ["4294967295", "1025"] {
        let answer = format!("* 1 FETCH (UID 7 BODY[] {{{length}}}\r\nx");
        let mut session = opened(&Peer::new().says("UID FETCH", answer)).await;
        let mut kept = Kept::default();
        let error = session.fetch_bodies(&set("7"), 1024, &mut kept).await.unwrap_err();
        assert!(matches!(error, RemoteError::Limit { uid: Some(Uid(7)), limit: 1024, .. }));
        assert!(error.ends_session() && kept.begun.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_leaves_what_came_before() {
    let answer = "* 1 FETCH (UID 1 BODY[] {2}\r\nab)\r\nT NO [UNAVAILABLE] the other\r\n";
    let mut session = opened(&Peer::new().says("UID FETCH", answer)).await;
    let mut kept = Kept::default();
    let error = session.fetch_bodies(&set("1:2"), 1024, &mut kept).await.unwrap_err();
    assert_eq!(error.code(), Some(&Code::Unavailable));
    assert_eq!(kept.whole, [(1, b"ab".to_vec())]);
    session.noop(&mut |_| {}).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_fails_keeps_the_session_if_little_is_left() {
    for (rest, ended) in [(1_000, false), (9 << 20, true)] {
        let mut answer = format!("* 1 FETCH (UID 1 BODY[] {{{rest}}}\r\n").into_bytes();
        answer.resize(answer.len() + rest, b'x');
        answer.extend_from_slice(b")\r\n* 2 FETCH (UID 2 BODY[] {2}\r\nab)\r\nT OK\r\n");
        let mut session = opened(&Peer::new().says("UID FETCH", answer)).await;
        let mut kept = Kept { fails_at: Some(500), ..Kept::default() };
        let error = session.fetch_bodies(&set("1:2"), 1 << 30, &mut kept).await.unwrap_err();
        assert!(matches!(error, RemoteError::Sink { .. }));
        assert_eq!(error.ends_session(), ended);
        assert_eq!((kept.whole.len(), kept.discarded), (0, 1));
        assert_eq!(session.noop(&mut |_| {}).await.is_ok(), !ended);
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_cut_is_discarded() {
    let answer = "* 1 FETCH (UID 1 BODY[] {200}\r\nabc";
    let peer = Peer::new().says("UID FETCH", answer).then_hangs_up();
    let mut session = opened(&peer).await;
    let mut kept = Kept::default();
    let error = session.fetch_bodies(&set("1"), 1024, &mut kept).await.unwrap_err();
    assert!(matches!(error, RemoteError::Closed { .. }));
    assert_eq!((kept.whole.len(), kept.discarded), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn headers_come_whole_or_not_at_all() {
    let long = "y".repeat(2_000);
    let answer = format!(
        "* 1 FETCH (UID 1 BODY[HEADER] {{4}}\r\na:b\n)\r\n* 2 FETCH (UID 2 BODY[HEADER] {{2000}}\r\n{long})\r\n\
         * 3 FETCH (BODY[HEADER] \"c: d\" UID 3)\r\nT OK\r\n"
    );
    let peer = Peer::new().says("UID FETCH", answer);
    let mut session = opened(&peer).await;
    let mut seen = Vec::new();
    let mut sink = |uid: Uid, header: &[u8]| seen.push((uid.0, header.to_vec()));
    session.fetch_headers(&set("1:3"), 1_000, &mut sink).await.unwrap();
    assert_eq!(seen, [(1, b"a:b\n".to_vec()), (3, b"c: d".to_vec())]);
    assert_eq!(peer.seen().last().unwrap(), "UID FETCH 1:3 (UID BODY.PEEK[HEADER])");
}

/// Behind a literal of another length than was announced nothing can be read.
#[tokio::test(start_paused = true)]
async fn a_literal_of_another_length_ends_the_session() {
    let table: [(&str, Option<u32>); 7] = [
        ("* 1 FETCH (UID 1 BODY[] {2}\r\nabc)\r\nT OK\r\n", Some(1)),
        ("* 1 FETCH (UID 1 BODY[] {2}\r\nab c d)\r\nT OK\r\n", Some(1)),
        ("* 1 FETCH (UID 1 BODY[] {2}\r\nab)\r more\r\nT OK\r\n", Some(1)),
        ("* 1 FETCH (UID 1 BODY[] {2}\r\nab FLAGS () text {9}\r\n)\r\nT OK\r\n", Some(1)),
        ("* 1 FETCH (UID 1 BODY[] {2}\r\nab\r\n* VANISHED 1:9\r\n)\r\nT OK\r\n", Some(1)),
        ("* 1 FETCH (BODY[] {2}\r\nabc UID 1)\r\nT OK\r\n", None),
        ("* 1 FETCH (UID 1 BODY[] {9}\r\nab)\r\n* 2 FETCH (UID 2 BODY[] {1}\r\nc)\r\n", Some(1)),
    ];
    for (answer, expected) in table {
        let mut session = opened(&Peer::new().says("UID FETCH", answer)).await;
        let mut kept = Kept::default();
        let error = session.fetch_bodies(&set("1:2"), 1024, &mut kept).await.unwrap_err();
        let RemoteError::Framing { uid, .. } = &error else { panic!("{answer:?}: {error}") };
        assert_eq!(uid.map(|uid| uid.0), expected, "{answer:?}");
        assert!(error.ends_session() && kept.whole.is_empty(), "{answer:?}");
        assert!(session.take_pending().seen.is_empty(), "{answer:?}");
    }
}

/// Texts that are none, or of which nobody can say whose they are.
#[tokio::test(start_paused = true)]
async fn what_is_no_body_is_not_delivered() {
    let table = [
        "* 1 FETCH (UID 1 BODY[] text)\r\nT OK\r\n",
        "* 1 FETCH (UID 1 BODY[]<0> {2}\r\nab)\r\nT OK\r\n",
        "* 1 FETCH (UID 1 BODY[HEADER] {2}\r\nab)\r\nT OK\r\n",
        "* 1 FETCH (UID 1 BODY[] \"ab\" oops)\r\nT OK\r\n",
        "* 1 FETCH (UID 1 BODY[] {2}\r\nab BODY[] {3}\r\nabc)\r\nT OK\r\n",
        "* 1 FETCH (UID 1 BODY[] \"ab\" BODY[] \"abc\")\r\nT OK\r\n",
        "* 1 FETCH (UID 1 BODY[] {2}\r\nab UID 2)\r\nT OK\r\n",
        "* 1 FETCH (UID 9 BODY[] {2}\r\nab)\r\nT OK\r\n",
    ];
    for answer in table {
        let mut session = opened(&Peer::new().says("UID FETCH", answer)).await;
        let mut kept = Kept::default();
        session.fetch_bodies(&set("1:2"), 1024, &mut kept).await.unwrap();
        assert!(kept.whole.is_empty() && kept.open.is_none(), "{answer:?}: {:?}", kept.whole);
        session.noop(&mut |_| {}).await.unwrap();
    }
}
