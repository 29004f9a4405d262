use super::*;
use crate::reconcile::types::{Flags, Keyword, System};
use crate::remote::allowance::Allowance;

struct Text(Vec<u8>, usize);

impl BodySource for Text {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let count = room.len().min(self.0.len() - self.1);
        room[..count].copy_from_slice(&self.0[self.1..self.1 + count]);
        self.1 += count;
        Ok(count)
    }
}

async fn append(
    peer: &Peer,
    text: &[u8],
    size: u64,
) -> (Session, Result<Option<(u32, Uid)>, AppendError>) {
    let mut session = connect(peer).await;
    let mut flags = Flags::system(System::SEEN);
    flags.keywords.insert(Keyword::new("x y"));
    let mut body = Text(text.to_vec(), 0);
    let upload = Upload { flags: &flags, date: Some(0), size, body: &mut body };
    let done = session.append(&inbox(), upload).await;
    (session, done)
}

#[tokio::test(start_paused = true)]
async fn in_one_flight_where_allowed() {
    let peer =
        Peer::new().says("APPEND", "").says("hello", "* 6 EXISTS\r\nA0003 OK [APPENDUID 9 4]\r\n");
    let (mut session, done) = append(&peer, b"hello\r\n", 7).await;
    assert_eq!(done.unwrap(), Some((9, Uid(4))));
    let command = "APPEND \"INBOX\" (\\Seen) \"01-Jan-1970 00:00:00 +0000\" {7+}";
    assert!(peer.seen().iter().any(|c| c == command), "{:?}", peer.seen());
    assert_eq!(session.take_pending().seen, [Untagged::Exists(6)]);
}

#[tokio::test(start_paused = true)]
async fn waits_for_the_go_ahead_through_other_news() {
    let peer = Peer::able_to("IMAP4rev1 UIDPLUS")
        .says("APPEND", "* 6 EXISTS\r\n* OK still {5}\r\n+ go\r\n")
        .says("hello", "A0002 OK [APPENDUID 9 4:5] odd\r\n");
    let (mut session, done) = append(&peer, b"hello\r\n", 7).await;
    assert_eq!(done.unwrap(), None, "two UIDs for one message tell nothing");
    assert_eq!(session.take_pending().seen, [Untagged::Exists(6)]);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_in_place_of_the_go_ahead() {
    let peer = Peer::able_to("IMAP4rev1 LITERAL-").says("APPEND", "T NO [TRYCREATE] none\r\n");
    let (mut session, done) = append(&peer, &[b'x'; 5_000], 5_000).await;
    let error = done.unwrap_err();
    assert_eq!(error.error.code(), Some(&Code::TryCreate));
    assert!(!error.literal_sent);
    assert!(peer.seen().last().unwrap().ends_with("{5000}"));
    session.noop(&mut |_| {}).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_source_that_ends_early_ends_the_connection() {
    let peer = Peer::able_to("IMAP4rev1").says("APPEND", "+ go\r\n");
    let (mut session, done) = append(&peer, b"short", 9).await;
    let error = done.unwrap_err();
    assert!(matches!(error.error, RemoteError::Source { .. }) && error.error.ends_session());
    assert!(!error.literal_sent);
    assert!(session.noop(&mut |_| {}).await.is_err());
    assert!(!peer.seen().iter().any(|c| c.contains("short")));
}

#[tokio::test(start_paused = true)]
async fn silence_after_the_literal_leaves_it_open() {
    let peer = Peer::able_to("IMAP4rev1").says("APPEND", "+ go\r\n").says("hello", "");
    let (_, done) = append(&peer, b"hello\r\n", 7).await;
    let error = done.unwrap_err();
    assert!(error.literal_sent && matches!(error.error, RemoteError::Timeout { .. }));
}

/// A server that does not read on before we have read what it says.
#[tokio::test(start_paused = true)]
async fn a_talkative_server_and_a_large_message_do_not_block_each_other() {
    let (ours, mut theirs) = tokio::io::duplex(1024);
    let server = tokio::spawn(async move {
        let said = "* 1 EXISTS\r\n".repeat(10_000);
        theirs.write_all(said.as_bytes()).await.unwrap();
        let mut got = vec![0; 100_000];
        theirs.read_exact(&mut got).await.unwrap();
        theirs.write_all(b"done\r\n").await.unwrap();
    });
    let mut wire =
        super::wire::Wire::new(Box::new(ours), Allowance::unlimited(Duration::from_secs(60)));
    wire.write(&[b'x'; 100_000]).await.unwrap();
    wire.flush().await.unwrap();
    for _ in 0..10_000 {
        wire.response().await.unwrap();
        assert_eq!(wire.in_hand(), b"* 1 EXISTS\r\n");
    }
    wire.response().await.unwrap();
    assert_eq!(wire.in_hand(), b"done\r\n");
    server.await.unwrap();
}
