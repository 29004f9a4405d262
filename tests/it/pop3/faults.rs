//! Sessions that are cut, that hang, and how they end.

use std::time::Duration;

use kit::pop3::{Fault, Profile, Server, When};
use mailtide::remote::pop3::{Listed, Session};
use mailtide::remote::{Endpoint, RemoteError};
use tokio::time::Instant;

use super::{Kept, connect, endpoint};

const MESSAGES: [&str; 4] =
    ["Subject: a\r\n\r\n.dots\r\n.\r\n", "b\r\n", "\r\n", "Subject: d\r\n\r\n..\r\nlast\r\n"];

fn server(profile: &Profile) -> Server {
    Server::with(profile.clone(), MESSAGES)
}

/// A whole session; what was kept is right however it ends.
async fn play(server: &Server, kept: &mut Kept) -> Result<Vec<Listed>, RemoteError> {
    let mut session = Session::connect(&endpoint(), &server.connector()).await?;
    let listed = session.list().await?;
    let numbers: Vec<u32> = listed.iter().map(|one| one.number).collect();
    session.top(&numbers, 0, &mut |_, _| {}).await?;
    session.retrieve(&numbers, kept).await?;
    session.delete(&[1, 2]).await?;
    session.quit().await?;
    Ok(listed.to_vec())
}

#[tokio::test(start_paused = true)]
async fn cut_at_each_octet() {
    for profile in [
        Profile::default(),
        Profile { pipelining: false, ..Profile::default() },
        Profile { bare_lf: true, ..Profile::plain() },
    ] {
        let whole = server(&profile);
        let expected = play(&whole, &mut Kept::default()).await.unwrap();
        assert_eq!(whole.messages().len(), 2);
        let counters = whole.counters();
        let (sent, taken) = (counters.octets_sent, counters.octets_received);
        assert!(sent > 300 && taken > 60, "{counters:?}");
        let sent = (0..sent).map(Fault::CutAfterSent);
        for fault in sent.chain((0..taken).map(Fault::CutAfterReceived)) {
            let server = server(&profile);
            server.inject(fault.clone(), When::connect());
            let mut kept = Kept::default();
            let result = play(&server, &mut kept).await;
            for (number, body) in &kept.whole {
                assert_eq!(body, MESSAGES[*number as usize - 1].as_bytes(), "{fault:?}");
            }
            assert!(kept.open.is_none() && kept.refused.is_empty(), "{fault:?}");
            match result {
                // A line end in one octet fewer is as good.
                Ok(listed) => assert!(listed == expected && kept.whole.len() == 4, "{fault:?}"),
                Err(error) => {
                    assert!(error.ends_session(), "{fault:?}: {error}");
                    assert!(matches!(error, RemoteError::Closed { .. }), "{fault:?}: {error}");
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn silence_is_not_waited_for_longer_than_configured() {
    for verb in ["CONNECT", "CAPA", "AUTH", "UIDL", "LIST", "TOP", "RETR", "DELE", "QUIT"] {
        let server = server(&Profile::default());
        server.inject(Fault::Hang, When::verb(verb));
        let before = Instant::now();
        let error = play(&server, &mut Kept::default()).await.unwrap_err();
        assert!(matches!(error, RemoteError::Timeout { .. }), "{verb}: {error}");
        let took = before.elapsed();
        assert!(took >= Duration::from_secs(60) && took < Duration::from_secs(61), "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stops_in_the_middle() {
    let server = server(&Profile::default());
    let mut session = connect(&server).await;
    server.inject(Fault::Say(b"+OK\r\nonly the beg".to_vec()), When::verb("RETR"));
    let mut kept = Kept::default();
    let error = session.retrieve(&[1], &mut kept).await.unwrap_err();
    assert!(matches!(error, RemoteError::Timeout { .. }), "{error}");
    assert_eq!((kept.whole.len(), kept.discarded), (0, 1));
    assert!(matches!(session.noop().await, Err(RemoteError::Closed { .. })));
}

/// Only an answer to QUIT says that what was marked is gone.
#[tokio::test(start_paused = true)]
async fn what_is_deleted_goes_at_quit() {
    let server = server(&Profile::default());
    let mut session = connect(&server).await;
    session.delete(&[1]).await.unwrap();
    drop(session);
    tokio::task::yield_now().await;
    assert_eq!(server.messages().len(), 4, "hung up");
    for (fault, left) in [
        (Fault::CutBefore, 4),
        (Fault::Refuse("[SYS/PERM] some were not removed".to_owned()), 4),
        (Fault::Say(b"what?\r\n".to_vec()), 4),
        (Fault::CutAfter, 3),
    ] {
        server.heal();
        server.inject(fault.clone(), When::verb("QUIT"));
        let mut session = connect(&server).await;
        session.delete(&[1]).await.unwrap();
        session.quit().await.unwrap_err();
        assert_eq!(server.messages().len(), left, "{fault:?}");
    }
    server.heal();
    let mut session = connect(&server).await;
    session.delete(&[1]).await.unwrap();
    session.quit().await.unwrap();
    assert_eq!(server.messages().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_abandoned_command_ends_the_session() {
    let server = server(&Profile::default());
    server.inject(Fault::Hang, When::verb("LIST"));
    let mut session = connect(&server).await;
    let soon = Duration::from_secs(1);
    assert!(tokio::time::timeout(soon, session.list()).await.is_err());
    let error = session.noop().await.unwrap_err();
    assert!(matches!(error, RemoteError::Protocol { .. }), "{error}");
    assert!(matches!(session.noop().await, Err(RemoteError::Closed { .. })));
}

#[tokio::test(start_paused = true)]
async fn answers_that_are_none() {
    for said in ["what?\r\n", "+ \r\n", "\r\n", "OK\r\n"] {
        let server = server(&Profile::default());
        server.inject(Fault::Say(said.into()), When::verb("NOOP"));
        let mut session = connect(&server).await;
        let error = session.noop().await.unwrap_err();
        assert!(matches!(error, RemoteError::Protocol { .. }), "{said}: {error}");
    }
    // A line that never ends is not kept, and not read for ever.
    let server = server(&Profile::default());
    server.inject(Fault::Say([&b"+OK "[..], &b"x".repeat(40 << 20)].concat()), When::verb("NOOP"));
    let error = connect(&server).await.noop().await.unwrap_err();
    assert!(matches!(error, RemoteError::Limit { .. }), "{error}");
    // A long one is cut.
    server.heal();
    let long = [&b"-ERR "[..], &b"x".repeat(1 << 20), b"\r\n"].concat();
    server.inject(Fault::Say(long), When::verb("NOOP"));
    let mut session = connect(&server).await;
    let error = session.noop().await.unwrap_err();
    assert!(matches!(&error, RemoteError::No { words, .. } if words.len() == 1_000), "{error}");
    server.heal();
    session.noop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn two_sessions_of_a_maildrop_that_has_one_holder() {
    let server = server(&Profile { lock: true, ..Profile::default() });
    let mut first = connect(&server).await;
    let error = Session::connect(&endpoint(), &server.connector()).await.unwrap_err();
    assert!(matches!(error, RemoteError::Busy { .. }), "{error}");
    first.quit().await.unwrap();
    connect(&server).await;
}

/// A session of Gmail's: what was fetched and left is not listed any more, but to `recent:`.
#[tokio::test(start_paused = true)]
async fn gmail_lists_what_was_not_fetched() {
    let server = server(&Profile::gmail());
    let mut session = connect(&server).await;
    session.retrieve(&[1, 2], &mut Kept::default()).await.unwrap();
    session.quit().await.unwrap();
    assert_eq!(connect(&server).await.list().await.unwrap().len(), 2);
    let recent = Endpoint { user: "recent:me".to_owned(), ..endpoint() };
    let mut session = Session::connect(&recent, &server.connector()).await.unwrap();
    assert_eq!(session.list().await.unwrap().len(), 4);
}
