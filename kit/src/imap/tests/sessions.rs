//! Sessions beside each other, profiles, snapshots, TLS and counting.

use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;

use super::Raw;
use crate::imap::{Literals, Profile, Server, certificate, name};

const MAIL: &[u8] = b"From: a\r\n\r\nbody\r\n";

fn server(profile: Profile) -> Server {
    let server = Server::new(profile);
    for _ in 0..3 {
        server.append("INBOX", MAIL, &[], Some(0));
    }
    server
}

#[tokio::test]
async fn no_extension_without_its_profile() {
    let server = server(Profile::plain());
    let mut raw = Raw::signed_in(&server).await;
    let select = raw.ask("SELECT INBOX").await;
    assert!(!select.contains("MODSEQ") && select.contains("UIDNEXT 4"), "{select}");
    for (command, expected) in [
        ("ENABLE CONDSTORE", "BAD"),
        ("UNSELECT", "BAD"),
        ("UID MOVE 1 INBOX", "BAD"),
        ("UID EXPUNGE 1", "BAD"),
        ("ID NIL", "BAD"),
        ("NAMESPACE", "BAD"),
        ("IDLE", "BAD"),
        ("SELECT INBOX (CONDSTORE)", "BAD"),
        ("SELECT INBOX", "OK"),
        ("FETCH 1 (MODSEQ)", "BAD"),
        ("FETCH 1 (EMAILID)", "BAD"),
        ("UID FETCH 1 (FLAGS) (CHANGEDSINCE 1)", "BAD"),
        ("UID SEARCH RETURN (ALL) ALL", "BAD"),
        ("STATUS INBOX (HIGHESTMODSEQ)", "BAD"),
        ("LIST \"\" % RETURN (STATUS (MESSAGES))", "BAD"),
        ("AUTHENTICATE PLAIN AHgAeQ==", "BAD"),
        ("UID COPY 1 INBOX", "OK Copy completed."),
        ("NOOP", "OK"),
    ] {
        let answer = raw.ask(command).await;
        assert!(answer.lines().last().unwrap().contains(expected), "{command}: {answer}");
    }
}

#[tokio::test]
async fn literals_as_the_profile_takes_them() {
    let server = server(Profile { append_limit: Some(5000), ..Profile::plain() });
    let mut raw = Raw::signed_in(&server).await;
    raw.send("a APPEND INBOX {3}\r\n").await;
    assert_eq!(raw.until(|g| g.ends_with("\r\n")).await, "+ OK\r\n");
    raw.send("abc\r\n").await;
    assert_eq!(raw.until(|g| g.ends_with("\r\n")).await, "a OK Append completed.\r\n");
    for (command, expected) in [
        ("a APPEND Nope {3}\r\n", "a NO [TRYCREATE] "),
        ("a APPEND INBOX {5001}\r\n", "a NO [TOOBIG] "),
        ("a APPEND INBOX {3+}\r\nabc\r\n", "a BAD "),
    ] {
        raw.send(command).await;
        let answer = raw.until(|g| g.ends_with("\r\n")).await;
        assert!(answer.starts_with(expected), "{command} {answer}");
    }
    server.configure(|p| p.literals = Literals::Minus);
    let many = "x".repeat(4097);
    assert!(raw.ask(&format!("APPEND INBOX {{4096+}}\r\n{}", &many[..4096])).await.contains("OK"));
    assert!(raw.ask(&format!("APPEND INBOX {{4097+}}\r\n{many}")).await.contains("BAD"));
    server.configure(|p| p.literals = Literals::Plus);
    assert!(raw.ask(&format!("APPEND INBOX {{4097+}}\r\n{many}")).await.contains("OK"));
    let answer = raw.ask(&format!("APPEND INBOX {{5001+}}\r\n{}", "x".repeat(5001))).await;
    assert!(answer.contains("NO [TOOBIG]"), "{answer}");
    assert!(raw.ask("LOGOUT").await.contains("BYE"));
}

#[tokio::test]
async fn octets_that_are_refused() {
    let server = server(Profile { refuse_nul: true, refuse_bare_lf: true, ..Profile::qresync() });
    let mut raw = Raw::signed_in(&server).await;
    for bad in ["a\0b", "a\nb", ""] {
        let answer = raw.ask(&format!("APPEND INBOX {{{}+}}\r\n{bad}", bad.len())).await;
        assert!(answer.contains(" NO "), "{answer}");
    }
    server.configure(|p| (p.refuse_nul, p.refuse_bare_lf) = (false, false));
    assert!(raw.ask("APPEND INBOX {5+}\r\na\0b\n\r").await.contains("OK"));
    assert_eq!(&server.list("INBOX")[3].body[..], b"a\0b\n\r");
}

#[tokio::test]
async fn keywords_that_are_not_permitted_are_dropped() {
    let server = server(Profile { permanent: vec!["Work".into()], ..Profile::qresync() });
    let mut raw = Raw::signed_in(&server).await;
    let select = raw.ask("SELECT INBOX").await;
    assert!(select.contains("\\Draft Work)] Flags") && !select.contains("\\*"), "{select}");
    assert!(raw.ask("UID STORE 1 +FLAGS (WORK other \\Seen)").await.contains("OK"));
    assert!(server.list("INBOX")[0].flags.iter().eq(["WORK", "\\Seen"]));
}

#[tokio::test]
async fn changes_are_told_in_idle_and_the_selected_mailbox_is_blind() {
    let server = server(Profile::qresync());
    let mut raw = Raw::signed_in(&server).await;
    raw.ask("SELECT INBOX").await;
    server.append("INBOX", MAIL, &[], None);
    let blind = raw.ask("STATUS INBOX (MESSAGES UIDNEXT)").await;
    assert!(blind.contains("MESSAGES 3 UIDNEXT 4"), "{blind}");
    raw.send("i IDLE\r\n").await;
    let told = raw.until(|g| g.contains("RECENT\r\n")).await;
    assert!(told.starts_with("+ idling\r\n* 4 EXISTS\r\n"), "{told}");
    server.set_flags("INBOX", 2, &["\\Seen"], &[]);
    let told = raw.until(|g| g.ends_with("\r\n")).await;
    assert_eq!(told, "* 2 FETCH (FLAGS (\\Seen \\Recent))\r\n");
    server.expunge("INBOX", &[1]);
    assert!(raw.until(|g| g.contains("EXPUNGE\r\n")).await.contains("* 1 EXPUNGE\r\n"));
    raw.send("DONE\r\n").await;
    assert!(raw.until(|g| g.contains("i OK")).await.contains("i OK"));
    let seeing = raw.ask("STATUS INBOX (MESSAGES UIDNEXT)").await;
    assert!(seeing.contains("MESSAGES 3 UIDNEXT 5"), "{seeing}");
}

#[tokio::test]
async fn a_silent_store_hides_nothing_that_others_did() {
    let server = server(Profile::qresync());
    let mut raw = Raw::signed_in(&server).await;
    raw.ask("ENABLE CONDSTORE").await;
    raw.ask("SELECT INBOX").await;
    server.set_flags("INBOX", 1, &["\\Flagged"], &[]);
    let told = raw.ask("UID STORE 1:2 +FLAGS.SILENT (\\Seen)").await;
    let modseq = server.list("INBOX")[0].modseq;
    assert!(told.contains(&format!("* 2 FETCH (UID 2 MODSEQ ({modseq}))\r\n")), "{told}");
    let full = format!("* 1 FETCH (UID 1 MODSEQ ({modseq}) FLAGS (\\Flagged \\Seen \\Recent))");
    assert!(told.contains(&full), "{told}");
}

#[tokio::test]
async fn backups_renumbering_and_restoring() {
    let server = server(Profile::qresync());
    let backup = server.snapshot();
    let before = server.world();
    let mut raw = Raw::signed_in(&server).await;
    raw.ask("SELECT INBOX").await;
    assert_eq!(server.append("INBOX", b"four", &[], None), 4);
    let validity = server.uid_validity("INBOX");
    server.restore_backup("INBOX", &backup);
    assert_eq!(server.append("INBOX", b"other", &[], None), 4);
    assert_eq!(server.uid_validity("INBOX"), validity);
    assert!(raw.ask("NOOP").await.starts_with("* BYE"));
    server.restore(&backup);
    assert_eq!(server.world(), before);
    server.renumber("INBOX");
    assert_ne!(server.uid_validity("INBOX"), validity);
    assert_eq!(server.world(), before);
    let fork = server.fork();
    fork.expunge("INBOX", &[1]);
    assert_eq!((fork.list("INBOX").len(), server.list("INBOX").len()), (2, 3));
}

#[tokio::test]
async fn the_world_by_the_hands_of_another_client() {
    let server = server(Profile { delimiter: '.', ..Profile::qresync() });
    assert!(server.create("Entwürfe.Neu") && !server.create("Entwürfe.Neu"));
    assert_eq!(server.mv("INBOX", 1, "Entwürfe.Neu"), Some(1));
    assert_eq!(server.copy("INBOX", 2, "Nope"), None);
    assert!(server.set_flags("Entwürfe.Neu", 1, &["\\Seen", "Work"], &[]));
    let world = server.world();
    assert_eq!(world.keys().collect::<Vec<_>>(), ["Entwürfe.Neu", "INBOX"]);
    assert!(world["Entwürfe.Neu"][0].flags.iter().eq(["\\Seen", "work"]));
    assert_eq!(server.get("Entwürfe.Neu", 1).unwrap().flag_set().imap_names(), ["\\Seen", "Work"]);
    let mut raw = Raw::signed_in(&server).await;
    let list = raw.ask("LIST \"\" \"%.%\"").await;
    let wire = name::encode("Entwürfe.Neu");
    assert!(list.contains(&format!("\".\" {wire}\r\n")), "{list}");
    assert!(server.rename_mailbox("Entwürfe", "Drafts") && server.delete_mailbox("Drafts.Neu"));
    assert_eq!(server.mailboxes(), ["INBOX"]);
}

#[tokio::test]
async fn what_is_counted() {
    let server = server(Profile::qresync());
    let mut raw = Raw::signed_in(&server).await;
    raw.ask("SELECT INBOX").await;
    raw.ask("UID FETCH 1:2 (BODY.PEEK[])").await;
    raw.ask("UID FETCH 1:3 (FLAGS BODY.PEEK[HEADER])").await;
    raw.ask("APPEND INBOX (\\Seen) {3+}\r\nabc").await;
    let counters = server.counters();
    assert_eq!((counters.bodies_sent, counters.body_octets_sent), (2, 34));
    assert_eq!((counters.header_octets_sent, counters.append_octets_received), (33, 3));
    assert_eq!((counters.verb("FETCH"), counters.mutating, counters.selects), (2, 1, 1));
    assert_eq!((counters.connections, counters.octets_received > 100), (1, true));
    let commands = server.commands();
    let lines: Vec<&str> = commands.iter().map(|c| c.line.as_str()).collect();
    assert_eq!(lines[0], "LOGIN ***");
    assert_eq!(lines[4], "APPEND INBOX (\\Seen) {3}");
    assert_eq!(commands[4].selected.as_deref(), Some("INBOX"));
    server.reset_counters();
    assert!(server.commands().is_empty());
}

#[tokio::test]
async fn signing_in() {
    let profile =
        Profile { credentials: Some(("me".into(), "secret".into())), ..Profile::qresync() };
    let server = Server::new(profile);
    let mut raw = Raw::new(&server).await;
    assert!(raw.ask("SELECT INBOX").await.contains("BAD"));
    assert!(raw.ask("LOGIN me wrong").await.contains("NO [AUTHENTICATIONFAILED]"));
    raw.send("x AUTHENTICATE PLAIN\r\n").await;
    assert_eq!(raw.until(|g| g.ends_with("\r\n")).await, "+ \r\n");
    raw.send("AG1lAHNlY3JldA==\r\n").await;
    assert!(raw.until(|g| g.ends_with("\r\n")).await.contains("x OK [CAPABILITY"));
    server.drop_connections();
    assert_eq!(raw.ask("NOOP").await, "EOF");
}

fn connector() -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(certificate()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

#[tokio::test]
async fn tls_from_the_start_and_by_starttls() {
    let profile = Profile { starttls: true, login_disabled: true, ..Profile::qresync() };
    let server = Server::new(profile);
    let name = ServerName::try_from("localhost").unwrap();
    let (client, end) = tokio::io::duplex(4096);
    tokio::spawn(server.serve_tls(end));
    let mut tls = connector().connect(name.clone(), client).await.unwrap();
    let mut greeting = [0; 4];
    tls.read_exact(&mut greeting).await.unwrap();
    assert_eq!(&greeting, b"* OK");

    let mut raw = Raw::new(&server).await;
    assert!(raw.ask("CAPABILITY").await.contains("STARTTLS LOGINDISABLED"));
    assert!(raw.ask("LOGIN u p").await.contains("NO [PRIVACYREQUIRED]"));
    // What is sent in clear behind STARTTLS must never be carried out.
    raw.send("s STARTTLS\r\nevil CAPABILITY\r\n").await;
    assert!(raw.until(|g| g.ends_with("\r\n")).await.starts_with("s OK"));
    let mut tls = connector().connect(name, raw.stream).await.unwrap();
    tls.write_all(b"l LOGIN u p\r\n").await.unwrap();
    let mut answer = [0; 4];
    tls.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"l OK");
}

#[tokio::test]
async fn a_port_on_loopback() {
    let server = server(Profile::qresync());
    let address = server.listen_tcp().await.unwrap();
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(b"a LOGIN u p\r\nb SELECT INBOX\r\nc LOGOUT\r\n").await.unwrap();
    let mut all = String::new();
    stream.read_to_string(&mut all).await.unwrap();
    assert!(all.contains("* 3 EXISTS") && all.ends_with("c OK Logout completed.\r\n"), "{all}");
}

#[tokio::test]
async fn nonsense_ends_no_session() {
    let server = server(Profile { max_line: 200, ..Profile::qresync() });
    let mut raw = Raw::signed_in(&server).await;
    for nonsense in [
        "",
        "UID",
        "UID FETCH",
        "SELECT",
        "FETCH 1 (",
        "LIST \"",
        "STATUS INBOX",
        "SELECT INBOX (QRESYNC (x))",
        "SELECT \u{e9}",
        "UID SEARCH UID",
        "UID SEARCH OR ALL",
        "UID STORE 1",
        "UID COPY 1",
        "LIST (SUBSCRIBED)",
        "LIST \"\" * RETURN (STATUS)",
        "APPEND INBOX ({3+}\r\nabc",
    ] {
        let answer = raw.ask(nonsense).await;
        assert!(answer.contains(" BAD") || answer.contains(" OK"), "{nonsense:?}: {answer}");
    }
    assert!(raw.ask(&format!("NOOP {}", "x".repeat(5000))).await.contains("BAD"));
    raw.send("* NOOP\r\n\r\n \r\n").await;
    raw.until(|g| g.matches("* BAD").count() == 3).await;
    assert!(raw.ask("NOOP").await.contains("OK"));
}
