//! A session that is cut at any byte ends in an error, never in a shorter success.

use super::*;

const SAID: &[u8] = b"* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] hi\r\n\
    A0001 OK [CAPABILITY IMAP4rev1 UIDPLUS CONDSTORE] in\r\n\
    * LIST () \"/\" INBOX\r\n* LIST () \"/\" {3}\r\na b\r\nA0002 OK\r\n\
    * STATUS INBOX (MESSAGES 3)\r\nA0003 OK\r\n* STATUS \"a b\" (MESSAGES 0)\r\nA0004 OK\r\n\
    * 3 EXISTS\r\n* OK [UIDVALIDITY 1] v\r\n* OK [UIDNEXT 12] n\r\nA0005 OK [READ-WRITE] sel\r\n\
    * SEARCH 1 10 11\r\nA0006 OK\r\n\
    * 1 FETCH (UID 1 FLAGS (\\Seen))\r\n* 2 FETCH (UID 10 FLAGS ())\r\nA0007 OK\r\n\
    * 1 FETCH (UID 1 BODY[] {12}\r\nSubject: x\r\n)\r\n* 2 FETCH (BODY[] \"q\" UID 10)\r\n\
    A0008 OK done\r\n";

#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    listed: usize,
    selected: Selected,
    uids: UidSet,
    rows: Vec<FetchRow>,
    bodies: Vec<(u32, Vec<u8>)>,
}

async fn play(recording: &Recording) -> Result<Outcome, RemoteError> {
    let mut session = Session::connect(&endpoint(), recording).await?;
    let listed = session.list_status().await?.len();
    let selected = session.select(&inbox(), Select::ReadWrite, None, &mut |_| {}).await?;
    let (uids, _) = session.search_all().await?;
    let mut rows = Vec::new();
    let items = FetchItems { flags: true, ..FetchItems::default() };
    session.fetch(&uids, items, None, &mut |row| rows.push(row)).await?;
    let mut kept = Kept::default();
    let fetched = session.fetch_bodies(&uids, 1 << 20, &mut kept).await;
    assert!(kept.open.is_none());
    for (uid, body) in &kept.whole {
        let right: &[u8] = if *uid == 1 { b"Subject: x\r\n" } else { b"q" };
        assert_eq!(body, right);
    }
    fetched?;
    Ok(Outcome { listed, selected, uids, rows, bodies: kept.whole })
}

#[tokio::test(start_paused = true)]
async fn at_each_byte() {
    let whole = Recording { bytes: SAID.to_vec(), at: 0, silent: false, step: usize::MAX };
    let outcome = play(&whole).await.unwrap();
    assert_eq!((outcome.listed, outcome.rows.len(), outcome.bodies.len()), (2, 2, 2));
    for cut in 0..SAID.len() {
        for silent in [false, true] {
            let bytes = SAID[..cut].to_vec();
            let error = play(&Recording { bytes, silent, ..whole.clone() }).await.unwrap_err();
            assert!(error.ends_session(), "{cut}: {error}");
            assert_eq!(silent, matches!(error, RemoteError::Timeout { .. }), "{cut}: {error}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn byte_by_byte_is_the_same() {
    for step in [1, 2, 3, 7, 64] {
        let bytes = SAID.to_vec();
        let dripping = Recording { bytes, at: 0, silent: false, step };
        assert_eq!(play(&dripping).await.unwrap().bodies.len(), 2);
    }
    // Line ends without CR, as some gateways make them; the bodies keep theirs.
    let text = String::from_utf8(SAID.to_vec()).unwrap();
    let (before, body) = text.split_once("{12}\r\nSubject: x\r\n").unwrap();
    let bare =
        [&before.replace('\r', ""), "{12}\nSubject: x\r\n", &body.replace('\r', "")].concat();
    let bare = bare.replace("{3}\r\n", "{3}\n").into_bytes();
    let bare = Recording { bytes: bare, at: 0, silent: false, step: 5 };
    assert_eq!(play(&bare).await.unwrap().bodies.len(), 2);
}
