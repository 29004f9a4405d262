//! The simulated server against a real Dovecot: most other tests stand on the simulated one,
//! so it must answer as a real one does.

use std::collections::BTreeSet;

use kit::dovecot::{Dovecot, Options, PASSWORD};
use kit::imap::script::{self, Difference, Exchange};
use kit::imap::{Profile, Server};
use kit::pop3;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};

/// What the two answer differently, by its word in `kit/src/imap/script.txt`, and why that is
/// left so.
const KNOWN: [(&str, &str); 5] = [
    ("refused-literal", "Dovecot reads the literal of an APPEND that it refused as a command"),
    ("gone-by-number", "Dovecot still tells the last flags of what another session expunged"),
    ("gone-by-number-again", "the same, to a session without QRESYNC"),
    ("gone-by-uid", "the same, asked for by UID; it repeats HIGHESTMODSEQ as well"),
    ("modseq-0", "RFC 7162 has no mod-sequence 0 in CHANGEDSINCE; Dovecot takes it"),
];

async fn played_by_dovecot() -> Vec<Exchange> {
    let server = Dovecot::start(&Options::default());
    let connect = || tokio::net::TcpStream::connect(("127.0.0.1", server.port));
    script::play(connect, "script").await.unwrap()
}

async fn played_by_the_simulated_server() -> Vec<Exchange> {
    let server = Server::new(Profile::qresync());
    let connect = || std::future::ready(Ok(server.connect()));
    script::play(connect, "script").await.unwrap()
}

#[tokio::test]
async fn the_simulated_server_answers_as_dovecot_does() {
    let (real, simulated) = (played_by_dovecot().await, played_by_the_simulated_server().await);
    assert_eq!(real.len(), simulated.len());
    let found = script::differences(&real, &simulated);
    let new = |d: &&Difference| d.known.is_none_or(|w| KNOWN.iter().all(|(known, _)| *known != w));
    let new: Vec<&str> = found.iter().filter(new).map(|d| d.text.as_str()).collect();
    assert!(new.is_empty(), "left: Dovecot, right: simulated\n{}", new.join("\n"));
    for (word, why) in KNOWN {
        let still = found.iter().any(|difference| difference.known == Some(word));
        assert!(still, "{word} is no difference any more; take it off the list ({why})");
    }
}

/// Mail with everything that a line of POP3 can be mistaken for.
const DROP: [&str; 5] = [
    "Subject: a\r\n\r\n.dots\r\n.\r\n..\r\nend\r\n",
    "Subject: no empty line\r\n",
    "Subject: nothing\r\n\r\n",
    "Subject: long\r\nX: folded\r\n\there\r\n\r\none\r\n\r\ntwo\r\nthree\r\n",
    "Subject: +OK\r\n\r\n+OK\r\n-ERR\r\n",
];

/// What is said in two sessions; `*` is followed by lines.
const SAID: [&[&str]; 2] = [
    &[
        "XYZZY",
        "STAT",
        "USER old",
        "PASS pass",
        "STAT",
        "*LIST",
        "LIST 2",
        "LIST 9",
        "LIST 0",
        "*UIDL",
        "UIDL 3",
        "UIDL 9",
        "*RETR 1",
        "*RETR 2",
        "*RETR 3",
        "*RETR 4",
        "*RETR 5",
        "RETR 6",
        "RETR",
        "RETR x",
        "*TOP 1 0",
        "*TOP 4 0",
        "*TOP 4 2",
        "*TOP 4 9",
        "TOP 9 0",
        "DELE 1",
        "DELE 1",
        "RETR 1",
        "LIST 1",
        "*LIST",
        "STAT",
        "RSET",
        "STAT",
        "NOOP",
        "DELE 2",
        "DELE 5",
        "QUIT",
    ],
    &["USER old", "PASS pass", "STAT", "*LIST", "*RETR 2", "DELE 1"],
];

/// Both sides of the conversation, without what each server says in its own words.
async fn converse<S: AsyncRead + AsyncWrite + Unpin>(stream: S, said: &[&str]) -> Vec<String> {
    let mut stream = BufReader::new(stream);
    let mut line = Vec::new();
    stream.read_until(b'\n', &mut line).await.unwrap();
    let mut heard = Vec::new();
    for command in said {
        let text = command.trim_start_matches('*');
        stream.get_mut().write_all(format!("{text}\r\n").as_bytes()).await.unwrap();
        line.clear();
        stream.read_until(b'\n', &mut line).await.unwrap();
        let answer = String::from_utf8_lossy(&line).into_owned();
        let words = answer.split_whitespace();
        // Numbers mean something; other words are for people.
        let kept = match text.split(' ').next() {
            Some("STAT" | "LIST") if answer.starts_with("+OK") && *command == text => 3,
            _ => 1,
        };
        heard.push(format!("{command}: {}", words.take(kept).collect::<Vec<_>>().join(" ")));
        while command.starts_with('*') && !line.is_empty() && line != b".\r\n" {
            line.clear();
            stream.read_until(b'\n', &mut line).await.unwrap();
            let text = String::from_utf8_lossy(&line).into_owned();
            let is_name = *command == "*UIDL" && text != ".\r\n";
            let shown = if is_name { text.split(' ').next().unwrap_or("").into() } else { text };
            heard.push(format!("    {}", shown.escape_default()));
        }
    }
    heard
}

#[tokio::test]
async fn the_simulated_maildrop_answers_as_dovecots_does() {
    assert_eq!(PASSWORD, "pass");
    let real = Dovecot::start(&Options { pop3: true, ..Options::default() });
    let mut client = real.client("old");
    for body in DROP {
        client.append("INBOX", "", "05-Feb-2021 10:00:00 +0000", body.as_bytes());
    }
    let simulated = pop3::Server::new(DROP);
    for said in SAID {
        let stream = tokio::net::TcpStream::connect(("127.0.0.1", real.pop3_port)).await.unwrap();
        let (by_dovecot, by_ours) =
            (converse(stream, said).await, converse(simulated.connect(), said).await);
        assert_eq!(by_ours, by_dovecot);
    }
    // What it announces by default is no more than Dovecot does.
    let stream = tokio::net::TcpStream::connect(("127.0.0.1", real.pop3_port)).await.unwrap();
    let capa = ["*CAPA", "QUIT"];
    let words = |heard: Vec<String>| -> BTreeSet<String> {
        let names = heard.iter().filter_map(|line| line.split_whitespace().next());
        names.map(|name| name.trim_end_matches("\\r\\n").to_owned()).collect()
    };
    let there = words(converse(stream, &capa).await);
    let mut ours = words(converse(simulated.connect(), &capa).await);
    ours.remove("IMPLEMENTATION");
    assert!(ours.is_subset(&there), "{ours:?} {there:?}");
}
