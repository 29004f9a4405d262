use super::*;

#[tokio::test(start_paused = true)]
async fn few_flights_and_nothing_lost() {
    let peer = Peer::new().says("LIST", "* LIST () \"/\" INBOX\r\nT OK\r\n");
    let mut session = connect(&peer).await;
    assert!(!session.capabilities().qresync(), "not confirmed yet");
    assert_eq!(session.list_status().await.unwrap().len(), 1);
    assert!(session.capabilities().qresync());
    assert_eq!(session.counters().commands, 3);
    session.logout().await.unwrap();
    let plain = "AUTHENTICATE PLAIN AG1lAG9wZW4gc2VzYW1l";
    let list =
        "LIST \"\" \"*\" RETURN (SPECIAL-USE STATUS (UIDVALIDITY UIDNEXT MESSAGES HIGHESTMODSEQ))";
    assert_eq!(peer.seen(), [plain, "ENABLE QRESYNC", list, "LOGOUT"]);
}

#[tokio::test(start_paused = true)]
async fn capabilities_are_asked_again_after_the_sign_in() {
    let peer = Peer::able_to("IMAP4rev1 MOVE")
        .says("LOGIN", "T OK in\r\n")
        .says("CAPABILITY", "* CAPABILITY IMAP4rev1 IDLE ID\r\nT OK\r\n");
    let mut session = connect(&peer).await;
    assert!(!session.capabilities().can_move() && session.capabilities().has("idle"));
    session.noop(&mut |_| {}).await.unwrap();
    assert_eq!(peer.seen()[0], "LOGIN \"me\" \"open sesame\"");
    assert!(peer.seen()[2].starts_with("ID (\"name\" \"mailtide\""));
}

#[tokio::test(start_paused = true)]
async fn enabled_is_believed_only_when_said() {
    let peer = Peer::new().says("ENABLE", "* ENABLED\r\nT OK\r\n");
    let mut session = connect(&peer).await;
    session.settle().await.unwrap();
    assert!(!session.capabilities().qresync() && session.capabilities().condstore());
    let since = QresyncSince { uid_validity: 1, highest_modseq: 2 };
    let selected =
        session.select(&inbox(), Select::ReadWrite, Some(since), &mut |_| {}).await.unwrap();
    assert!(!selected.resynced);
    assert_eq!(peer.seen()[2], "SELECT \"INBOX\" (CONDSTORE)");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_says_why_and_not_the_secret() {
    let echo = "T NO [AUTHENTICATIONFAILED] no \"open sesame\" AG1lAG9wZW4gc2VzYW1l\u{1b}[2J\r\n";
    let error = Session::connect(&endpoint(), &Peer::new().says("AUTH", echo)).await.unwrap_err();
    assert_eq!(error.code(), Some(&Code::AuthenticationFailed));
    assert!(error.ends_session());
    let told = format!("{error} {error:?} {:?}", endpoint());
    assert!(!told.contains("sesame") && !told.contains("AG1l"), "{told}");
    assert!(!error.to_string().contains('\u{1b}'));
}

#[tokio::test(start_paused = true)]
async fn bad_tries_another_way_and_no_does_not() {
    let peer = Peer::new().says("AUTHENTICATE", "T BAD what?\r\n");
    connect(&peer).await;
    assert!(peer.seen()[1].starts_with("LOGIN"));
    let peer = Peer::new().says("AUTHENTICATE", "T NO wrong\r\n");
    assert!(Session::connect(&endpoint(), &peer).await.is_err());
    assert_eq!(peer.seen().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn odd_secrets_go_by_plain() {
    for secret in ["pä\"ss", "line\r\nbreak"] {
        let peer = Peer::able_to("IMAP4rev1")
            .says("AUTHENTICATE PLAIN", "+ \r\n")
            .says("", "A0001 OK in\r\n");
        let mut endpoint = endpoint();
        endpoint.secret = Zeroizing::new(secret.to_owned());
        Session::connect(&endpoint, &peer).await.unwrap();
        assert_eq!(peer.seen()[0], "AUTHENTICATE PLAIN");
    }
    let mut endpoint = endpoint();
    endpoint.secret = Zeroizing::new("a\r\nb".to_owned());
    let peer = Peer::able_to("IMAP4rev1").greets("* OK [CAPABILITY IMAP4rev1] x\r\n");
    let error = Session::connect(&endpoint, &peer).await.unwrap_err();
    assert!(matches!(error, RemoteError::SignIn { .. }), "{error}");
    assert!(peer.seen().is_empty());
}

#[tokio::test(start_paused = true)]
async fn login_that_is_disabled_is_not_tried() {
    let peer = Peer::new().greets("* OK [CAPABILITY IMAP4rev1 LOGINDISABLED] x\r\n");
    assert!(Session::connect(&endpoint(), &peer).await.is_err());
    assert!(peer.seen().is_empty());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_said_in_clear_text() {
    let mut endpoint = endpoint();
    endpoint.host = "imap.example.org".to_owned();
    let error = Session::connect(&endpoint, &Peer::new()).await.unwrap_err();
    assert!(matches!(error, RemoteError::Cleartext { .. }));
    endpoint.allow_cleartext = true;
    Session::connect(&endpoint, &Peer::new()).await.unwrap();
    for host in ["127.0.0.1", "::1", "LOCALHOST"] {
        endpoint = super::endpoint();
        endpoint.host = host.to_owned();
        Session::connect(&endpoint, &Peer::new()).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn starttls_is_never_done_without() {
    let mut endpoint = endpoint();
    endpoint.tls = Tls::StartTls;
    let error = Session::connect(&endpoint, &Peer::new()).await.unwrap_err();
    assert!(error.to_string().contains("does not offer STARTTLS"), "{error}");
    // What an attacker slips in behind the OK would be taken for the server's.
    let peer = Peer::able_to("IMAP4rev1 STARTTLS")
        .says("STARTTLS", "T OK go\r\n* CAPABILITY IMAP4rev1 LOGINDISABLED\r\n");
    let error = Session::connect(&endpoint, &peer).await.unwrap_err();
    assert!(error.to_string().contains("slipped") || matches!(error, RemoteError::Tls { .. }));
    assert_eq!(peer.seen(), ["STARTTLS"]);
    let peer = Peer::able_to("IMAP4rev1 STARTTLS").says("STARTTLS", "T NO later\r\n");
    let error = Session::connect(&endpoint, &peer).await.unwrap_err();
    assert_eq!(error.to_string(), "STARTTLS: the server refused: later");
}

#[tokio::test(start_paused = true)]
async fn greetings_that_are_none() {
    for (greeting, told) in [
        ("* BYE too many connections\r\n", "too many connections"),
        ("* PREAUTH welcome\r\n", "PREAUTH"),
        ("* BYE", "closed"),
        ("HTTP/1.1 400 Bad Request\r\n\r\n", "closed"),
    ] {
        let recording =
            Recording { bytes: greeting.into(), at: 0, silent: false, step: usize::MAX };
        let error = Session::connect(&endpoint(), &recording).await.unwrap_err();
        assert!(error.to_string().contains(told), "{error}");
    }
    let silent = Recording { bytes: vec![], at: 0, silent: true, step: 1 };
    let error = Session::connect(&endpoint(), &silent).await.unwrap_err();
    assert_eq!(error.to_string(), "the greeting: no answer for 60 s");
}

#[tokio::test(start_paused = true)]
async fn odd_text_does_not_upset_the_shell() {
    // Each of these makes async-imap's own parser fail or panic.
    let peer = Peer::new().says(
        "AUTH",
        "* OK [ALERT]\u{e9}\r\n* NAMESPACE ((\"\" \"/\")) NIL NIL\r\n\r\n* FETCH ()\r\n\
         * LIST () \"/\" {3}\r\na\r\n\r\nT OK [CAPABILITY IMAP4rev1]\u{e9}\r\n",
    );
    assert!(connect(&peer).await.capabilities().has("IMAP4rev1"));
}

#[test]
fn async_imap_cannot_trace_the_secret() {
    assert!(log::STATIC_MAX_LEVEL < log::LevelFilter::Trace);
}
