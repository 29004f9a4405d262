//! The server spoken to in raw POP3.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

/// Says all at once and gives what comes back up to the end.
async fn ask(server: &Server, said: &str) -> String {
    let mut stream = server.connect();
    stream.write_all(said.replace('\n', "\r\n").as_bytes()).await.unwrap();
    let mut got = Vec::new();
    stream.read_to_end(&mut got).await.unwrap();
    String::from_utf8(got).unwrap().replace("\r\n", "\n")
}

#[tokio::test]
async fn a_whole_session() {
    let server = Server::new(["A: 1\r\n\r\n.x\r\ny\r\n", "B"]);
    let got = ask(
        &server,
        "CAPA\nUSER u\nPASS p\nSTAT\nUIDL\nLIST\nLIST 2\nRETR 1\nTOP 1 1\nRETR 2\nRETR 3\nDELE 1\n\
         LIST\nRETR 1\nRSET\nDELE 2\nNOOP\nWHAT\nQUIT\n",
    )
    .await;
    let expected = "+OK simulated, ready \n+OK\nTOP\nUIDL\nUSER\nSASL PLAIN\nRESP-CODES\n\
        AUTH-RESP-CODE\nPIPELINING\nIMPLEMENTATION simulated\n.\n+OK\n+OK welcome\n+OK 2 16\n\
        +OK\n1 000100000001\n2 000100000002\n.\n+OK\n1 15\n2 1\n.\n+OK 2 1\n\
        +OK 15 octets\nA: 1\n\n..x\ny\n.\n+OK 12 octets\nA: 1\n\n..x\n.\n\
        +OK 1 octets\nB\n.\n-ERR no such message\n+OK\n+OK\n2 1\n.\n-ERR no such message\n\
        +OK\n+OK\n+OK\n-ERR unknown command\n+OK goodbye\n";
    assert_eq!(got, expected);
    assert_eq!(server.bodies(), [b"A: 1\r\n\r\n.x\r\ny\r\n"]);
    let counters = server.counters();
    assert_eq!((counters.bodies_sent, counters.body_octets_sent), (2, 16));
    assert_eq!((counters.sign_ins, counters.verb("RETR"), counters.connections), (1, 4, 1));
    assert_eq!(counters.octets_sent, got.replace('\n', "\r\n").len() as u64);
    assert_eq!(server.commands()[2].line, "PASS ***");
}

#[tokio::test]
async fn deletions_count_at_the_end_and_a_session_is_a_snapshot() {
    let server = Server::new(["a", "b"]);
    server.inject(Fault::CutAfter, When::verb("NOOP"));
    let got = ask(&server, "USER u\nPASS p\nDELE 1\nNOOP\n").await;
    assert!(!got.contains("goodbye"));
    assert_eq!(server.messages().len(), 2);
    server.heal();
    server.inject(Fault::KeepDeleted, When::verb("QUIT").nth(1));
    assert!(ask(&server, "USER u\nPASS p\nDELE 1\nQUIT\n").await.ends_with("+OK goodbye\n"));
    assert_eq!(server.messages().len(), 2);
    assert!(ask(&server, "USER u\nPASS p\nDELE 1\nQUIT\n").await.ends_with("+OK goodbye\n"));
    assert_eq!(server.bodies(), [b"b"]);
}

#[tokio::test]
async fn what_gmail_gave_once_is_not_listed_again() {
    let server = Server::with(Profile::gmail(), ["a", "b"]);
    let session = |user: &str| format!("USER {user}\nPASS p\nRETR 1\nSTAT\nQUIT\n");
    assert!(ask(&server, &session("u")).await.contains("+OK 2 2\n"));
    assert!(ask(&server, &session("u")).await.contains("+OK 1 1\n"));
    assert!(ask(&server, &session("u")).await.contains("+OK 0 0\n"));
    assert!(ask(&server, &session("recent:u")).await.contains("+OK 2 2\n"));
    assert_eq!(server.messages().len(), 2);
}

#[tokio::test]
async fn one_holder_and_ids_that_change() {
    let server = Server::with(Profile { lock: true, ..Profile::default() }, ["a"]);
    let mut first = server.connect();
    first.write_all(b"USER u\r\nPASS p\r\n").await.unwrap();
    let mut got = [0; "+OK simulated, ready \r\n+OK\r\n+OK welcome\r\n".len()];
    first.read_exact(&mut got).await.unwrap();
    let second = "USER u\nPASS p\nQUIT\n";
    assert!(ask(&server, second).await.contains("-ERR [IN-USE] unable to lock maildrop\n"));
    drop(first);
    tokio::task::yield_now().await;
    assert!(ask(&server, second).await.contains("+OK welcome\n"));
    let before = server.messages();
    server.renew_uidls();
    assert_ne!(before[0].uidl, server.messages()[0].uidl);
    server.set_uidl(0, None);
    assert!(ask(&server, "USER u\nPASS p\nUIDL\nQUIT\n").await.contains("+OK\n1\n.\n"));
}
