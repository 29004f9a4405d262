//! Whom mailtide trusts and how it signs in, on a real Dovecot with TLS.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Output;

use kit::certificate::Issued;
use kit::dovecot::{Dovecot, Options, PASSWORD};

/// A Dovecot with one message and a certificate that no system trusts.
struct Secured {
    server: Dovecot,
    identity: Issued,
    dir: tempfile::TempDir,
}

/// How an account is configured, besides its name and place.
#[derive(Clone, Copy)]
struct Keys<'a> {
    host: &'a str,
    tls: &'a str,
    password: &'a str,
    more: &'a str,
}

const FROM_ENV: &str = "password_env = \"MAIL_PASSWORD\"";

impl Secured {
    fn new(options: &Options) -> Self {
        let identity = Issued::new();
        let server = Dovecot::start_tls(options, &identity);
        let date = "05-Feb-2021 10:00:00 +0000";
        server.client("me").append("INBOX", "", date, b"Subject: there\r\n\r\nx\r\n");
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("ca.pem"), &identity.ca_pem).unwrap();
        fs::write(dir.path().join("other.pem"), Issued::new().ca_pem).unwrap();
        Self { server, identity, dir }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The config key that trusts this authority.
    fn trusting(&self, file: &str) -> String {
        format!("tls_ca = {:?}", self.file(file))
    }

    /// Runs `sync` on a Maildir of its own, with every command of the conversation in the log.
    fn sync(&self, keys: Keys<'_>) -> Output {
        let Keys { host, tls, password, more } = keys;
        let port = if tls == "implicit" { self.server.tls_port } else { self.server.port };
        let text = format!(
            "state_dir = {:?}\n[accounts.me]\nhost = \"{host}\"\nport = {port}\ntls = \"{tls}\"\n\
             user = \"me\"\nmaildir = {:?}\n{password}\n{more}\n",
            self.file("state"),
            self.file("Mail"),
        );
        let config = self.file("config.toml");
        fs::write(&config, text).unwrap();
        fs::set_permissions(&config, PermissionsExt::from_mode(0o600)).unwrap();
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_mailtide"));
        command.args(["sync", "--config"]).arg(config).env("MAIL_PASSWORD", PASSWORD);
        command.env("RUST_LOG", "mailtide=trace").output().unwrap()
    }

    /// A run that brings the message down; gives its log.
    #[track_caller]
    fn agrees(&self, keys: Keys<'_>) -> String {
        let output = self.sync(keys);
        let log = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{log}\n{}", self.server.log());
        assert!(!log.contains(PASSWORD) && !log.contains("AG1lAHBhc3M"), "{log}");
        let new = self.file("Mail/INBOX/new");
        assert_eq!(fs::read_dir(&new).unwrap().count(), 1);
        for place in ["Mail", "state"] {
            fs::remove_dir_all(self.file(place)).unwrap();
        }
        log
    }

    /// A run that ends before the sign-in, for this reason; nothing is mirrored.
    #[track_caller]
    fn refuses(&self, code: i32, keys: Keys<'_>, why: &[&str]) {
        let output = self.sync(keys);
        let log = String::from_utf8(output.stderr).unwrap();
        let text = String::from_utf8(output.stdout).unwrap() + &log;
        assert_eq!(output.status.code(), Some(code), "{text}");
        why.iter().for_each(|part| assert!(text.contains(part), "nothing of {part:?}: {text}"));
        assert!(!log.contains("C: AUTHENTICATE") && !log.contains("C: LOGIN"), "{log}");
        assert!(!self.file("Mail/INBOX").exists());
    }
}

#[test]
fn a_server_is_trusted_by_its_authority_or_by_its_key_and_by_nothing_else() {
    let there = Secured::new(&Options::default());
    let (ours, others) = (there.trusting("ca.pem"), there.trusting("other.pem"));
    let pin = format!("tls_pin = \"sha256:{}\"", there.identity.pin);
    let wrong_pin = format!("tls_pin = \"sha256:{}\"", "07".repeat(32));
    let missing = there.trusting("missing.pem");
    let advice = "name it with tls_ca or tls_pin";
    for tls in ["implicit", "starttls"] {
        let keys = |more| Keys { host: "localhost", tls, password: FROM_ENV, more };
        there.agrees(keys(&ours));
        let elsewhere = |more| Keys { host: "127.0.0.1", ..keys(more) };
        there.refuses(3, elsewhere(&ours), &["127.0.0.1", "not valid for name", advice]);
        there.agrees(keys(&pin));
        // A pin alone decides, whatever name the certificate is for.
        there.agrees(elsewhere(&pin));
        there.refuses(3, keys(""), &["localhost", "certificate", advice]);
        there.refuses(3, keys(&others), &["localhost", "certificate", advice]);
        there.refuses(
            3,
            keys(&wrong_pin),
            &["not the pinned one", "someone intercepts the connection"],
        );
        there.refuses(3, keys(&missing), &["missing.pem"]);
    }
}

#[test]
fn the_password_is_not_said_where_scram_is_demanded() {
    let mechanisms = Some("plain scram-sha-256");
    let there = Secured::new(&Options { mechanisms, ..Options::default() });
    let demanding = format!("auth = \"scram-sha-256\"\n{}", there.trusting("ca.pem"));
    let keys = Keys { host: "localhost", tls: "implicit", password: FROM_ENV, more: &demanding };
    let log = there.agrees(keys);
    assert!(log.contains("AUTHENTICATE SCRAM-SHA-256"), "{log}");
    let plain = Secured::new(&Options::default());
    let demanding = format!("auth = \"scram-sha-256\"\n{}", plain.trusting("ca.pem"));
    plain.refuses(3, Keys { more: &demanding, ..keys }, &["does not offer SCRAM-SHA-256"]);
}

#[test]
fn the_clear_is_for_this_machine_only() {
    let there = Secured::new(&Options::default());
    for host in ["127.0.0.1", "localhost"] {
        there.agrees(Keys { host, tls: "none", password: FROM_ENV, more: "" });
    }
    let far = Keys { host: "imap.example.org", tls: "none", password: FROM_ENV, more: "" };
    there.refuses(2, far, &["config.toml:5", "in the clear", "allow_cleartext"]);
}

#[test]
fn a_server_without_starttls_gets_no_password() {
    let identity = Issued::new();
    let there = Secured::new(&Options::default());
    let there = Secured { server: Dovecot::start(&Options::default()), identity, ..there };
    let trusting = there.trusting("ca.pem");
    let keys = Keys { host: "localhost", tls: "starttls", password: FROM_ENV, more: &trusting };
    there.refuses(3, keys, &["does not offer STARTTLS"]);
}

#[test]
fn a_password_may_come_from_each_of_its_sources() {
    let there = Secured::new(&Options::default());
    let trusting = there.trusting("ca.pem");
    let file = there.file("password");
    fs::write(&file, format!("{PASSWORD}\nnot this\n")).unwrap();
    fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
    let keys = |password| Keys { host: "localhost", tls: "implicit", password, more: &trusting };
    let (inline, from_file) =
        (format!("password = \"{PASSWORD}\""), format!("password_file = {file:?}"));
    let from_command = r#"password_command = ["sh", "-c", "echo pa''ss; echo more"]"#;
    for password in [FROM_ENV, &inline, &from_file, from_command] {
        there.agrees(keys(password));
    }
    fs::set_permissions(&file, PermissionsExt::from_mode(0o640)).unwrap();
    there.refuses(3, keys(&from_file), &["chmod 600"]);
    there.refuses(3, keys("password_command = [\"false\"]"), &["no password", "failed"]);
    let wrong = there.sync(keys("password = \"wrong\""));
    assert_eq!(wrong.status.code(), Some(3));
    let text = String::from_utf8(wrong.stdout).unwrap();
    assert!(
        text.contains("refused the sign-in") && text.contains("[AUTHENTICATIONFAILED]"),
        "{text}"
    );
}

#[test]
fn plain_where_it_saves_a_round_trip_and_login_elsewhere() {
    for (without, way, other) in
        [(vec![], "AUTHENTICATE PLAIN", "C: LOGIN"), (vec!["SASL-IR"], "C: LOGIN", "AUTHENTICATE")]
    {
        let there = Secured::new(&Options { without, ..Options::default() });
        let trusting = there.trusting("ca.pem");
        let keys = Keys { host: "localhost", tls: "implicit", password: FROM_ENV, more: &trusting };
        let log = there.agrees(keys);
        assert!(log.contains(way) && !log.contains(other), "{log}");
    }
}
