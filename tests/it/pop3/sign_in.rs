//! Each way to sign in, taken and refused; what is never said in clear text.

use kit::pop3::{Fault, Profile, Server, When, certificate};
use mailtide::remote::pop3::{Auth, Session, Settings};
use mailtide::remote::{Code, Endpoint, RemoteError, Tls};

use super::endpoint;

fn able_to(sasl: &[&str]) -> Profile {
    Profile {
        sasl: sasl.iter().map(|&name| name.to_owned()).collect(),
        credentials: Some(("me".to_owned(), "open sesame".to_owned())),
        token: Some("ya29".to_owned()),
        ..Profile::default()
    }
}

/// The commands of a sign-in by `profile`, with the right secret or a wrong one.
async fn tried(profile: Profile, auth: Auth, right: bool) -> (Vec<String>, Option<RemoteError>) {
    let server = Server::with(profile, ["a"]);
    let mut endpoint = endpoint();
    endpoint.secret = match (auth, right) {
        (Auth::Token, true) => "ya29",
        (_, true) => "open sesame",
        (_, false) => "wrong",
    }
    .to_owned()
    .into();
    let settings = Settings { auth, utf8: false };
    let result = Session::connect_with(&endpoint, settings, &server.connector()).await;
    let commands = server.commands().into_iter().map(|logged| logged.line);
    (commands.filter(|line| line != "CAPA").collect(), result.err())
}

/// What it is called, what the server is, and with which code it refuses.
type Case = (&'static str, fn(&mut Profile), Option<Code>);

#[tokio::test(start_paused = true)]
async fn every_way_is_taken_and_refused() {
    let table: [(&str, Profile, Auth, &[&str]); 9] = [
        (
            "SCRAM before all others",
            Profile { apop: true, ..able_to(&["PLAIN", "SCRAM-SHA-256"]) },
            Auth::Password,
            &["AUTH SCRAM-SHA-256 ***"],
        ),
        (
            "SCRAM without a first response",
            able_to(&["SCRAM-SHA-256"]),
            Auth::Password,
            &["AUTH SCRAM-SHA-256 ***"],
        ),
        (
            "APOP, where there is no TLS",
            Profile { apop: true, ..able_to(&["PLAIN"]) },
            Auth::Password,
            &["APOP me ***"],
        ),
        ("PLAIN", able_to(&["PLAIN"]), Auth::Password, &["AUTH PLAIN ***"]),
        ("USER and PASS", able_to(&[]), Auth::Password, &["USER me", "PASS ***"]),
        (
            "without CAPA",
            Profile { capa: false, ..able_to(&["PLAIN"]) },
            Auth::Password,
            &["USER me", "PASS ***"],
        ),
        (
            "one after the other",
            Profile { pipelining: false, ..able_to(&[]) },
            Auth::Password,
            &["USER me", "PASS ***"],
        ),
        (
            "XOAUTH2 in two steps",
            Profile { sasl_ir: false, ..able_to(&["PLAIN", "XOAUTH2"]) },
            Auth::Token,
            &["AUTH XOAUTH2"],
        ),
        ("OAUTHBEARER", able_to(&["PLAIN", "OAUTHBEARER"]), Auth::Token, &["AUTH OAUTHBEARER"]),
    ];
    for (what, profile, auth, expected) in table {
        let (commands, error) = tried(profile.clone(), auth, true).await;
        assert!(error.is_none(), "{what}: {error:?}");
        assert_eq!(commands, expected, "{what}");
        let (commands, error) = tried(profile, auth, false).await;
        let error = error.unwrap();
        assert!(matches!(error, RemoteError::SignIn { .. }), "{what}: {error:?}");
        assert_eq!(error.code(), Some(&Code::AuthenticationFailed), "{what}");
        assert_eq!(commands, expected, "{what}: a wrong secret is said once");
    }
}

#[tokio::test(start_paused = true)]
async fn no_way_at_all() {
    let profile = Profile { user: false, ..able_to(&["XOAUTH2"]) };
    let (commands, error) = tried(profile, Auth::Password, true).await;
    assert!(commands.is_empty());
    assert!(error.unwrap().to_string().contains("no supported sign-in mechanism"));
    let (commands, error) = tried(able_to(&["PLAIN"]), Auth::Token, true).await;
    assert!(commands.is_empty() && matches!(error, Some(RemoteError::SignIn { .. })));
    // What cannot be said in a line can be said in base64.
    let server = Server::with(Profile { credentials: None, ..able_to(&["PLAIN"]) }, ["a"]);
    let odd = Endpoint { secret: "a\r\nDELE 1".to_owned().into(), ..endpoint() };
    Session::connect(&odd, &server.connector()).await.unwrap();
    server.configure(|profile| profile.sasl.clear());
    server.reset_counters();
    let error = Session::connect(&odd, &server.connector()).await.unwrap_err();
    assert!(matches!(error, RemoteError::SignIn { .. }));
    assert_eq!(server.counters().verb("PASS"), 0);
}

/// A long first response does not fit into the line (RFC 5034 §4).
#[tokio::test(start_paused = true)]
async fn a_long_secret_goes_in_a_line_of_its_own() {
    for (length, expected) in [(100, "AUTH PLAIN ***"), (200, "AUTH PLAIN")] {
        let secret = "x".repeat(length);
        let credentials = Some(("me".to_owned(), secret.clone()));
        let server = Server::with(Profile { credentials, ..able_to(&["PLAIN"]) }, ["a"]);
        let endpoint = Endpoint { secret: secret.into(), ..endpoint() };
        Session::connect(&endpoint, &server.connector()).await.unwrap();
        assert_eq!(server.commands()[1].line, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_lock_is_no_wrong_password() {
    let table: [Case; 4] = [
        ("locked", |profile| profile.locked = true, Some(Code::InUse)),
        ("too soon", |profile| profile.too_soon = true, Some(Code::LoginDelay(None))),
        (
            "locked, and without codes",
            |profile| (profile.locked, profile.resp_codes) = (true, false),
            None,
        ),
        (
            "a lock that is told to APOP",
            |profile| (profile.locked, profile.apop) = (true, true),
            Some(Code::InUse),
        ),
    ];
    for (what, change, code) in table {
        for sasl in [&["PLAIN"][..], &["SCRAM-SHA-256"], &[]] {
            let mut profile = able_to(sasl);
            change(&mut profile);
            let (_, error) = tried(profile, Auth::Password, true).await;
            let error = error.unwrap();
            assert!(matches!(error, RemoteError::Busy { .. }), "{what}: {error:?}");
            assert!(error.code() == code.as_ref() && error.ends_session(), "{what}");
        }
    }
    for (words, busy) in [
        ("[SYS/TEMP] try later", true),
        ("[LOGIN-DELAY 300] not yet", true),
        ("[SYS/PERM] ask somebody", false),
    ] {
        for verb in ["CONNECT", "AUTH"] {
            let server = Server::new(["a"]);
            server.inject(Fault::Refuse(words.to_owned()), When::verb(verb));
            let error = Session::connect(&endpoint(), &server.connector()).await.unwrap_err();
            assert_eq!(matches!(error, RemoteError::Busy { .. }), busy, "{verb}: {error}");
            assert!(!matches!(error, RemoteError::SignIn { .. }), "{verb}: {error}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_says_why_and_not_the_secret() {
    let server = Server::with(able_to(&["PLAIN"]), ["a"]);
    let words = "what is \"AUTH PLAIN AG1lAG9wZW4gc2VzYW1l\" or open sesame\u{1b}[2J?";
    server.inject(Fault::Refuse(format!("[open sesame] {words}")), When::verb("AUTH"));
    let error = Session::connect(&endpoint(), &server.connector()).await.unwrap_err();
    let told = format!("{error} {error:?} {:?}", endpoint());
    assert!(!told.contains("sesame") && !told.contains("AG1l"), "{told}");
    assert!(told.contains("what is") && !error.to_string().contains('\u{1b}'));
    // Cut in the middle of the secret.
    let secret = "s".repeat(40) + &"t".repeat(40);
    let words = format!("[AUTH] {}{secret}", "x".repeat(960));
    server.heal();
    server.inject(Fault::Refuse(words), When::verb("AUTH"));
    let endpoint = Endpoint { secret: secret.into(), ..endpoint() };
    let error = Session::connect(&endpoint, &server.connector()).await.unwrap_err();
    assert!(!format!("{error:?}").contains("sss"), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn apop_that_is_only_pretended() {
    // Greeted with a timestamp, refused without a code: the password by another way.
    let server = Server::with(Profile { apop: true, ..able_to(&["PLAIN"]) }, ["a"]);
    server.inject(Fault::Refuse("not for you".to_owned()), When::verb("APOP"));
    Session::connect(&endpoint(), &server.connector()).await.unwrap();
    assert_eq!(server.counters().verb("AUTH"), 1);
    // A timestamp that is none is not digested.
    let server = Server::with(able_to(&["PLAIN"]), ["a"]);
    server.inject(Fault::Say(b"+OK <\xc3\xa9@x>\r\n".to_vec()), When::connect());
    Session::connect(&endpoint(), &server.connector()).await.unwrap();
    assert_eq!(server.counters().verb("APOP"), 0);
}

/// Who does not know the password cannot pretend that it was right.
#[tokio::test(start_paused = true)]
async fn a_server_that_proves_nothing_is_nobody() {
    for said in ["+OK welcome\r\n", "+ dj1BQUFB\r\n", "+ \r\n", "+\r\n+OK\r\n"] {
        let server = Server::with(able_to(&["SCRAM-SHA-256"]), ["a"]);
        server.inject(Fault::Say(said.into()), When::verb("AUTH"));
        let error = Session::connect(&endpoint(), &server.connector()).await.unwrap_err();
        assert!(matches!(error, RemoteError::Protocol { .. }), "{said}: {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_said_in_clear_text() {
    let server = Server::new(["a"]);
    let mut endpoint = Endpoint { host: "pop.example.org".to_owned(), ..endpoint() };
    let error = Session::connect(&endpoint, &server.connector()).await.unwrap_err();
    assert!(matches!(error, RemoteError::Cleartext { .. }));
    assert_eq!(server.counters().connections, 0);
    endpoint.allow_cleartext = true;
    Session::connect(&endpoint, &server.connector()).await.unwrap();
}

/// With the certificate of the simulated servers, in a file.
fn trusting(tls: Tls) -> (Endpoint, tempfile::NamedTempFile) {
    use base64::Engine as _;
    use std::io::Write as _;
    let base64 = base64::engine::general_purpose::STANDARD.encode(certificate());
    let mut file = tempfile::NamedTempFile::new().unwrap();
    write!(file, "-----BEGIN CERTIFICATE-----\n{base64}\n-----END CERTIFICATE-----\n").unwrap();
    (Endpoint { tls, ca: Some(file.path().to_owned()), ..endpoint() }, file)
}

#[tokio::test]
async fn tls_from_the_start_and_later() {
    let profile =
        Profile { stls: true, needs_tls: true, apop: true, ..able_to(&["SCRAM-SHA-256"]) };
    let server = Server::with(profile, ["a"]);
    let (implicit, _file) = trusting(Tls::Implicit);
    Session::connect(&implicit, &server.tls_connector()).await.unwrap();
    let (later, _file) = trusting(Tls::StartTls);
    server.reset_counters();
    let session = Session::connect(&later, &server.connector()).await.unwrap();
    assert!(!session.capabilities().has("STLS") && session.capabilities().has("USER"));
    let commands: Vec<String> = server.commands().into_iter().map(|c| c.line).collect();
    assert_eq!(commands, ["STLS", "CAPA", "AUTH SCRAM-SHA-256 ***", "CAPA"]);
    // APOP is not for TLS, whatever the greeting offers.
    server.configure(|profile| profile.sasl.clear());
    server.reset_counters();
    Session::connect(&later, &server.connector()).await.unwrap();
    assert_eq!((server.counters().verb("APOP"), server.counters().verb("PASS")), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn stls_is_never_done_without() {
    let endpoint = Endpoint { tls: Tls::StartTls, ..endpoint() };
    let server = Server::new(["a"]);
    let error = Session::connect(&endpoint, &server.connector()).await.unwrap_err();
    assert!(matches!(error, RemoteError::Tls { .. }) && error.to_string().contains("STLS"));
    // What an attacker slips in behind the answer would be taken for the server's.
    server.inject(Fault::Say(b"+OK go\r\n+OK welcome\r\n".to_vec()), When::verb("STLS"));
    let error = Session::connect(&endpoint, &server.connector()).await.unwrap_err();
    assert!(error.to_string().contains("behind the answer"), "{error}");
    assert_eq!(server.counters().verb("AUTH") + server.counters().verb("PASS"), 0);
}

#[tokio::test(start_paused = true)]
async fn greetings_that_are_none() {
    for (greeting, told) in [
        ("-ERR too many connections\r\n", "hung up: too many connections"),
        ("* OK IMAP4rev1\r\n", "neither +OK nor -ERR"),
        ("+ hello\r\n", "neither +OK nor -ERR"),
    ] {
        let server = Server::new(["a"]);
        server.inject(Fault::Say(greeting.into()), When::connect());
        let error = Session::connect(&endpoint(), &server.connector()).await.unwrap_err();
        assert!(error.to_string().contains(told), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_server_says_it_can_do() {
    let profile = Profile {
        utf8: true,
        login_delay: Some(300),
        expire: Some("30".to_owned()),
        ..Profile::default()
    };
    let server = Server::with(profile, ["a"]);
    let settings = Settings { utf8: true, ..Settings::default() };
    let connector = server.connector();
    let session = Session::connect_with(&endpoint(), settings, &connector).await.unwrap();
    let can = session.capabilities();
    assert_eq!((can.login_delay(), can.expire(), can.pipelining()), (Some(300), Some(30), true));
    assert_eq!(server.counters().verb("UTF8"), 1);
    assert_eq!(session.counters().commands, 4);
    // What the configuration says to ignore is not there.
    let mut endpoint = endpoint();
    endpoint.disable = ["PIPELINING", "PLAIN", "UTF8"].map(str::to_owned).into();
    let session = Session::connect_with(&endpoint, settings, &connector).await.unwrap();
    assert!(!session.capabilities().pipelining());
    assert_eq!((server.counters().verb("UTF8"), server.counters().verb("PASS")), (1, 1));
}
