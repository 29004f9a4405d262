//! The simulated server against a real Dovecot: most other tests stand on the simulated one,
//! so it must answer as a real one does.

use kit::dovecot::{Dovecot, Options};
use kit::imap::script::{self, Difference, Exchange};
use kit::imap::{Profile, Server};

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
