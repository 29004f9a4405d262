use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;
use crate::reconcile::types::{
    GuardLimits as Guard, Layout, MailboxName, OnLocalDelete, OnRemoteDelete, SpecialUse, Tls,
};

const PATH: &str = "config.toml";

fn env() -> Env {
    Env::of(Path::new("/home/me"), &[])
}

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new(PATH), 0o600, &env())
}

/// An account with what it needs, and `more` from line 6 on.
fn with(more: &str) -> String {
    format!(
        "[accounts.me]\nhost = \"imap.example.org\"\nuser = \"me\"\n\
         password_env = \"PW\"\nmaildir = \"~/Mail\"\n{more}\n"
    )
}

fn error(text: &str) -> String {
    parse(text).expect_err(text).to_string()
}

#[test]
fn the_least_config_has_every_default() {
    let config = parse(&with("")).unwrap();
    assert_eq!(config.state_dir, Path::new("/home/me/.local/state/mailtide"));
    let expected = Account {
        name: "me".to_owned(),
        host: "imap.example.org".to_owned(),
        port: 993,
        tls: Tls::Implicit,
        tls_ca: None,
        tls_pin: None,
        allow_cleartext: false,
        user: "me".to_owned(),
        scram_only: false,
        secret: SecretSource::Env("PW".to_owned()),
        maildir: PathBuf::from("/home/me/Mail"),
        layout: Layout::Nested,
        info_separator: ':',
        direction: Direction::Both,
        mailboxes: Mailboxes::default(),
        on_local_delete: OnLocalDelete::Trash,
        on_remote_delete: OnRemoteDelete::Remove,
        poll: Duration::from_secs(300),
        on_change: Vec::new(),
        new_mail: Vec::new(),
        on_hold: Vec::new(),
        connections: 4,
        max_message_size: 1_000_000_000,
        min_free: 100_000_000,
        special_use: BTreeMap::new(),
        guard: Guard::default(),
        timeout: Duration::from_secs(60),
        maildrop: None,
    };
    assert_eq!(config.accounts, [expected]);
    assert_eq!(config.account("me"), config.accounts.first());
    assert_eq!(config.account("you"), None);
}

#[test]
fn every_key_is_read() {
    let config = parse(&with(
        r#"
protocol = "imap"
auth = "password"
direction = "pull"
port = 1_143
tls = "starttls"
tls_ca = "~/ca.pem"
tls_pin = "sha256:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
allow_cleartext = true
layout = "nested"
info_separator = ";"
mailboxes = { include = ["Work/*"], exclude = ["Spam"] }
on_local_delete = "expunge"
on_remote_delete = "keep"
poll = "1h"
on_change = ["~/bin/changed", "~/x"]
connections = 2
max_message_size = "200MB"
min_free = "1GB"
special_use = { trash = "Deleted Items", sent = "inbox/Sent" }
guard = { percent = 10 }
timeout = "2m"
"#,
    ))
    .unwrap();
    let account = &config.accounts[0];
    assert_eq!(
        (account.direction, account.tls, account.port),
        (Direction::Pull, Tls::StartTls, 1143)
    );
    assert_eq!(account.tls_ca.as_deref(), Some(Path::new("/home/me/ca.pem")));
    assert_eq!(account.tls_pin.unwrap().0[31], 31);
    assert!(account.allow_cleartext);
    assert_eq!(account.info_separator, ';');
    assert!(!account.mailboxes.mirror(&MailboxName::new("Spam")));
    assert_eq!(account.on_local_delete, OnLocalDelete::Expunge);
    assert_eq!(account.on_remote_delete, OnRemoteDelete::Keep);
    assert_eq!(account.poll, Duration::from_secs(3600));
    assert_eq!(account.on_change, ["/home/me/bin/changed", "~/x"]);
    assert_eq!((account.connections, account.max_message_size), (2, 200_000_000));
    assert_eq!(account.min_free, 1_000_000_000);
    assert_eq!(account.special_use[&SpecialUse::Sent].as_str(), "INBOX/Sent");
    assert_eq!(account.guard, Guard { percent: 10, messages: 1000, always: 0 });
    assert_eq!(account.timeout, Duration::from_secs(120));
}

#[test]
fn defaults_stand_behind_every_account() {
    let text = r#"
state_dir = "/var/mailtide"
[defaults]
host = "imap.example.org"
password_command = ["pass", "show", "x"]
poll = "1m"
guard = { percent = 5 }
[accounts.b]
user = "b"
maildir = "/mail/b"
poll = "2m"
password_env = "PW"
[accounts.a]
user = "a"
maildir = "/mail/a"
guard = { messages = 7 }
"#;
    let config = parse(text).unwrap();
    assert_eq!(config.state_dir, Path::new("/var/mailtide"));
    let [b, a] = &config.accounts[..] else { panic!("two accounts") };
    assert_eq!((a.name.as_str(), b.name.as_str()), ("a", "b"));
    assert_eq!((a.poll.as_secs(), b.poll.as_secs()), (60, 120));
    assert_eq!(b.secret, SecretSource::Env("PW".to_owned()));
    assert_eq!(a.secret, SecretSource::Command(["pass", "show", "x"].map(str::to_owned).into()));
    // A table of the account replaces the whole table of the defaults.
    assert_eq!(a.guard, Guard { percent: 20, messages: 7, always: 50 });
}

#[test]
fn each_mistake_is_told_with_its_line() {
    let table = [
        ("hsot = \"x\"", "unknown key \"hsot\" in [accounts.me]; did you mean \"host\"?"),
        (
            "mailboxes = { inclde = [] }",
            "unknown key \"inclde\" in mailboxes; did you mean \"include\"?",
        ),
        (
            "guard = { limit = 3 }",
            "unknown key \"limit\" in guard; known here: percent, messages, always",
        ),
        (
            "\"\\u001b[2J\" = 1",
            "unknown key \"\\u{1b}[2J\" in [accounts.me]; known here: protocol, ",
        ),
        ("port = \"993\"", "\"port\" must be a whole number from 1 to 65535, not a string"),
        ("port = 70000", "\"port\" must be a whole number from 1 to 65535, not 70000"),
        ("tls = \"ssl\"", "\"tls\" must be \"implicit\", \"starttls\" or \"none\", not \"ssl\""),
        ("tls = true", "\"tls\" must be a string in quotes, not true or false"),
        (
            "tls = \"none\"",
            "tls = \"none\" would send the password in the clear: use \"implicit\" or \
             \"starttls\", or say allow_cleartext = true",
        ),
        ("allow_cleartext = 1", "\"allow_cleartext\" must be true or false, not a number"),
        (
            "tls_pin = \"sha256:xyz\"",
            "\"tls_pin\" must be \"sha256:\" and the SHA-256 of the server's public key, \
             in hex or base64, not \"sha256:xyz\"",
        ),
        ("tls_ca = \"ca.pem\"", "\"tls_ca\" is relative: begin it with / or ~"),
        ("direction = \"push\"", "\"direction\" must be \"both\" or \"pull\", not \"push\""),
        (
            "on_local_delete = \"remove\"",
            "\"on_local_delete\" must be \"trash\", \"expunge\" or \"keep\", not \"remove\"",
        ),
        (
            "on_remote_delete = \"trash\"",
            "\"on_remote_delete\" must be \"remove\" or \"keep\", not \"trash\"",
        ),
        (
            "poll = 5",
            "\"poll\" must be a whole number and a unit (s, m, h or d), like \"30s\" or \"5m\", not 5",
        ),
        ("poll = \"1s\"", "\"poll\" must be from 10s to 86400s"),
        (
            "min_free = \"much\"",
            "\"min_free\" must be a whole number and a unit (B, kB, MB, GB, TB or KiB, MiB, GiB, \
             TiB), like \"200MB\", not \"much\"",
        ),
        ("connections = 0", "\"connections\" must be a whole number from 1 to 32, not 0"),
        (
            "on_change = \"notmuch new\"",
            "\"on_change\" must be a list of strings, like [\"one\", \"two\"], not a string",
        ),
        ("mailboxes = [\"*\"]", "\"mailboxes\" must be a table, like { … }, not a list"),
        (
            "mailboxes = { exclude = [\"/x\"] }",
            "the pattern \"/x\" has an empty level: no mailbox begins or ends with \"/\" \
             or has two in a row",
        ),
        (
            "special_use = { bin = \"x\" }",
            "unknown key \"bin\" in special_use; known here: \
             all, archive, drafts, flagged, junk, sent, trash",
        ),
        ("info_separator = \"x\"", "\"info_separator\" must be \":\", \";\" or \"!\", not \"x\""),
        ("protocol = \"jmap\"", "\"protocol\" must be \"imap\" or \"pop3\", not \"jmap\""),
        ("layout = \"flat\"", "\"layout\" must be \"nested\" or \"maildir++\", not \"flat\""),
        ("auth = \"xoauth2\"", "auth = \"xoauth2\" is not in this version yet"),
        ("keep = \"30d\"", "\"keep\" cannot be used with protocol = \"imap\""),
        ("deliver_to = {}", "\"deliver_to\" cannot be used with protocol = \"imap\""),
        ("oauth = {}", "\"oauth\" is not in this version yet"),
        (
            "password = \"x\"",
            "[accounts.me] has several passwords (password_env, password): keep one",
        ),
        ("poll = ", "this is not TOML: "),
    ];
    for (line, expected) in table {
        let shown = error(&with(line));
        let place = if line.starts_with("password ") { 4 } else { 6 };
        let expected = format!("{PATH}:{place}: {expected}");
        assert!(shown.starts_with(&expected), "{line}\n  said {shown}\n  not  {expected}");
        assert!(!shown.contains('\n'), "{line}: {shown}");
        assert!(!shown.contains('\u{1b}'), "{line}");
    }
}

/// An account of a maildrop, and `more` from line 7 on.
fn pop3(more: &str) -> String {
    with(&format!("protocol = \"pop3\"\n{more}"))
}

#[test]
fn a_maildrop_has_keys_of_its_own() {
    let account = |text: &str| parse(text).unwrap().accounts.remove(0);
    let plain = account(&pop3(""));
    let inbox = MailboxName::new("INBOX");
    let expected = Maildrop {
        mailbox: inbox.clone(),
        owner: None,
        keep: Keep::Forever,
        deliver_command: Vec::new(),
        token: false,
    };
    assert_eq!((plain.port, plain.maildrop), (995, Some(expected.clone())));
    assert_eq!(plain.maildir, Path::new("/home/me/Mail"));
    let more = "tls = \"starttls\"\nauth = \"oauthbearer\"\nkeep = \"30d\"\n\
                deliver_to = { mailbox = \"Old/Mail\" }";
    let other = account(&pop3(more));
    let mailbox = MailboxName::new("Old/Mail");
    let keep = Keep::Days(30);
    assert_eq!(other.port, 110);
    assert_eq!(other.maildrop, Some(Maildrop { mailbox, keep, token: true, ..expected.clone() }));
    let handed = pop3("deliver_command = [\"~/bin/mda\", \"-x\"]\nkeep = \"until_pulled\"");
    let handed = account(&handed.replace("maildir = \"~/Mail\"\n", ""));
    assert_eq!(handed.maildir, Path::new("/home/me/.local/state/mailtide/me.spool"));
    let (deliver_command, keep) =
        (vec!["/home/me/bin/mda".to_owned(), "-x".to_owned()], Keep::UntilPulled);
    assert_eq!(handed.maildrop, Some(Maildrop { deliver_command, keep, ..expected }));
}

#[test]
fn a_guest_has_the_maildir_of_its_owner() {
    let owner = with("layout = \"maildir++\"\ninfo_separator = \"!\"");
    let guest = |to: &str| {
        let guest = pop3(&format!("deliver_to = {{ account = \"{to}\" }}"));
        guest.replace(".me]", ".you]").replace("maildir = \"~/Mail\"\n", "")
    };
    // In either order.
    for text in [owner.clone() + &guest("me"), guest("me") + &owner] {
        let config = parse(&text).unwrap();
        let you = config.account("you").unwrap();
        assert_eq!(you.maildir, Path::new("/home/me/Mail"));
        assert_eq!((you.layout, you.info_separator), (Layout::MaildirPlusPlus, '!'));
        assert_eq!(you.maildrop.as_ref().unwrap().owner.as_deref(), Some("me"));
    }
    for nobody in ["nobody", "you"] {
        let told = error(&(owner.clone() + &guest(nobody)));
        let expected =
            format!("{nobody:?} in \"deliver_to\" is no account with a Maildir of its own");
        assert_eq!(told, format!("config.toml:13: {expected}"));
    }
}

#[test]
fn each_mistake_of_a_maildrop_is_told_with_its_line() {
    let table = [
        ("direction = \"pull\"", "\"direction\" cannot be used with protocol = \"pop3\""),
        ("mailboxes = {}", "\"mailboxes\" cannot be used with protocol = \"pop3\""),
        ("guard = {}", "\"guard\" cannot be used with protocol = \"pop3\""),
        (
            "keep = \"30h\"",
            "\"keep\" must be \"forever\", \"until_pulled\" or a number of days, like \"30d\", \
             not \"30h\"",
        ),
        ("keep = \"0d\"", "\"keep\" must be "),
        ("keep = 30", "\"keep\" must be a string in quotes, not a number"),
        ("deliver_to = \"x\"", "\"deliver_to\" must be a table, like { … }, not a string"),
        (
            "deliver_to = { mailbx = \"x\" }",
            "unknown key \"mailbx\" in deliver_to; did you mean \"mailbox\"?",
        ),
        ("deliver_to = { mailbox = \"../x\" }", "\"../x\" cannot be the name of a mailbox"),
        ("deliver_command = []", "\"deliver_command\" is empty"),
        ("auth = \"cram\"", "\"auth\" must be \"password\", \"scram-sha-256\", "),
    ];
    for (line, expected) in table {
        let shown = error(&pop3(line));
        let expected = format!("{PATH}:7: {expected}");
        assert!(shown.lines().any(|shown| shown.starts_with(&expected)), "{line}: {shown}");
    }
    let both = error(&pop3("deliver_command = [\"x\"]"));
    assert_eq!(
        both,
        "config.toml:5: \"maildir\" cannot be used with \"deliver_command\": keep one"
    );
    let both = error(&pop3("deliver_to = { account = \"me\" }"));
    assert!(both.contains("\"maildir\" cannot be used here"), "{both}");
    // What [defaults] say of mirrors is for those.
    let text = "[defaults]\nconnections = 2\nkeep = \"30d\"\n".to_owned();
    parse(&(text.clone() + &with(""))).unwrap();
    parse(&(text + &pop3(""))).unwrap();
}

#[test]
fn what_is_missing_is_named() {
    let table = [
        ("", "config.toml: no account: add a table [accounts.NAME] with host, user, maildir"),
        (
            "[accounts]",
            "config.toml: no account: add a table [accounts.NAME] with host, user, maildir",
        ),
        ("accounts = 3", "config.toml:1: \"accounts\" must be a table, like { … }, not a number"),
        (
            "[acounts.x]",
            "config.toml:1: unknown key \"acounts\" in the top of the file; did you mean \"accounts\"?",
        ),
        ("\n[accounts]\nx = 1", "config.toml:3: \"accounts.x\" must be a table: [accounts.x]"),
        (
            "[accounts.x]",
            "config.toml:1: [accounts.x] needs \"host\"\n\
             config.toml:1: [accounts.x] needs \"user\"\n\
             config.toml:1: [accounts.x] needs a password: one of password_command, \
             password_file, password_env, password_credential, password\n\
             config.toml:1: [accounts.x] needs \"maildir\"",
        ),
    ];
    for (text, expected) in table {
        assert_eq!(error(text), expected, "{text}");
    }
}

#[test]
fn all_mistakes_are_told_at_once_and_once() {
    let text = "[defaults]\npoll = 1\nhots = 2\n".to_owned()
        + &with("port = 0")
        + &with("prot = 0").replace(".me]", ".you]").replace("Mail", "Post");
    let told = error(&text);
    let lines: Vec<&str> = told.lines().map(|l| l.split(' ').next().unwrap()).collect();
    assert_eq!(lines, ["config.toml:2:", "config.toml:3:", "config.toml:9:", "config.toml:15:"]);
}

#[test]
fn hosts() {
    let host = |text: &str| {
        let text = with("").replace("imap.example.org", text);
        parse(&text).map(|c| c.accounts[0].host.clone()).map_err(|e| e.to_string())
    };
    for good in ["imap.example.org", "localhost", "127.0.0.1", "::1", "2001:db8::1"] {
        assert_eq!(host(good).as_deref(), Ok(good));
    }
    let table = [
        ("imaps://x.org", "without a scheme: \"tls\" says how to connect, not \"imaps://x.org\""),
        ("x.org:993", "the port goes into \"port\", not \"x.org:993\""),
        ("x org", "or an address, not \"x org\""),
        ("", "\"host\" is empty"),
    ];
    for (bad, expected) in table {
        assert!(host(bad).unwrap_err().ends_with(expected), "{bad}: {:?}", host(bad));
    }
}

#[test]
fn cleartext_only_at_home_or_in_words() {
    for host in ["localhost", "127.0.0.1", "127.3.2.1", "::1"] {
        let text = with("tls = \"none\"").replace("imap.example.org", host);
        assert_eq!(parse(&text).unwrap().accounts[0].port, 143, "{host}");
    }
    let text = with("tls = \"none\"\nallow_cleartext = true");
    assert_eq!(parse(&text).unwrap().accounts[0].tls, Tls::None);
    let text = with("tls = \"none\"").replace("imap.example.org", "localhost.example.org");
    assert!(error(&text).contains("in the clear"));
}

#[test]
fn account_names() {
    let named = |name: &str| with("").replace("accounts.me", &format!("accounts.{name}"));
    for good in ["a", "work-2", "_x", "\"me.example\""] {
        parse(&named(good)).expect(good);
    }
    for bad in ["\"\"", "\"a/b\"", "\"..\"", "\".x\"", "-x", "\"a b\"", "\"ä\"", &"x".repeat(65)] {
        assert!(error(&named(bad)).contains("is no account name"), "{bad}");
    }
    let twins = with("") + &with("").replace(".me]", ".ME]").replace("~/Mail", "~/Post");
    assert!(error(&twins).ends_with(":7: \"ME\" and \"me\" differ in case only"));
}

#[test]
fn a_root_has_one_owner() {
    let two = |a: &str, b: &str| {
        with("").replace("~/Mail", a) + &with("").replace(".me]", ".you]").replace("~/Mail", b)
    };
    parse(&two("~/Mail/a", "~/Mail/b")).unwrap();
    parse(&two("~/Mail/a", "~/Mail/ab")).unwrap();
    let same = error(&two("~/Mail", "/home/me/Mail/"));
    assert_eq!(same, "config.toml:11: \"maildir\" of you is also that of me: choose another");
    for (a, b) in [("~/Mail", "~/Mail/b"), ("~/Mail/b", "~/Mail")] {
        let nested = error(&two(a, b));
        assert_eq!(nested, "config.toml:11: one \"maildir\" of you and me contains the other");
    }
    let state = error(&("state_dir = \"~/Mail/.state\"\n".to_owned() + &with("")));
    assert!(state.ends_with("keep them apart"), "{state}");
}

#[test]
fn a_linked_root_is_seen_through() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("mail")).unwrap();
    std::os::unix::fs::symlink(dir.path().join("mail"), dir.path().join("link")).unwrap();
    let at = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
    let text = with("").replace("~/Mail", &at("mail"))
        + &with("").replace(".me]", ".you]").replace("~/Mail", &at("link/sub"));
    assert!(error(&text).contains("contains the other"));
}

#[test]
fn secrets() {
    let source = |line: &str| {
        let text = with("").replace("password_env = \"PW\"", line);
        let env = Env::of(Path::new("/home/me"), &[("CREDENTIALS_DIRECTORY", "/run/cred")]);
        let config = Config::parse(&text, Path::new(PATH), 0o600, &env);
        config.map(|c| c.accounts[0].secret.clone()).map_err(|e| e.to_string())
    };
    let command = vec!["/home/me/bin/pw".to_owned(), "~/x".to_owned()];
    let credential = SecretSource::Credential {
        name: "imap".to_owned(),
        file: Some(PathBuf::from("/run/cred/imap")),
    };
    let inline = SecretSource::Inline(Secret::new("hunter2".to_owned().into()));
    let table = [
        ("password_command = [\"~/bin/pw\", \"~/x\"]", SecretSource::Command(command)),
        ("password_file = \"~/.pw\"", SecretSource::File(PathBuf::from("/home/me/.pw"))),
        ("password_credential = \"imap\"", credential),
        ("password = \"hunter2\"", inline),
    ];
    for (line, expected) in table {
        assert_eq!(source(line).unwrap(), expected, "{line}");
    }
    let table = [
        ("password_command = []", "\"password_command\" is empty"),
        (
            "password_command = [\"\"]",
            "\"password_command\" begins with a program and holds no NUL",
        ),
        ("password_command = \"pass\"", "like [\"one\", \"two\"], not a string"),
        ("password_file = \"pw\"", "\"password_file\" is relative: begin it with / or ~"),
        ("password_env = \"$PW\"", "is the name of a variable, without $ and value"),
        ("password_credential = \"../x\"", "is a name as in LoadCredential=, no path"),
        ("password = \"\"", "\"password\" is empty"),
        ("password_keyring = \"x\"", "\"password_keyring\" is not in this version yet"),
    ];
    for (line, expected) in table {
        assert!(source(line).unwrap_err().ends_with(expected), "{line}: {:?}", source(line));
    }
}

#[test]
fn no_error_quotes_a_password() {
    let lines = [
        "password = \"hunter2\" \"",
        "password = 'hunter2",
        "password = [\"hunter2\"]",
        "password = hunter2",
        "pasword = \"hunter2\"",
        "password = \"hunter2\"\nport = 0",
    ];
    for line in lines {
        let text = with("").replace("password_env = \"PW\"", line);
        let failure = parse(&text).expect_err(line);
        assert!(!format!("{failure} {failure:?}").contains("hunter2"), "{failure}");
    }
    let config = parse(&with("").replace("password_env = \"PW\"", "password = \"hunter2\""));
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn a_file_with_a_password_is_private() {
    let text = with("").replace("password_env = \"PW\"", "password = \"hunter2\"");
    let parsed = |text: &str, mode| Config::parse(text, Path::new(PATH), mode, &env());
    for mode in [0o600, 0o400, 0o700] {
        parsed(&text, mode).unwrap();
    }
    for mode in [0o644, 0o640, 0o604, 0o622] {
        let told = parsed(&text, mode).unwrap_err().to_string();
        let expected = format!(
            "config.toml:4: a password stands here, and others may read this file (mode {mode:04o}): \
             chmod 600 it, or use password_command"
        );
        assert_eq!(told, expected);
    }
    parsed(&with(""), 0o644).unwrap();
    let behind = "[defaults]\npassword = \"hunter2\"\n".to_owned() + &with("");
    assert!(parsed(&behind, 0o644).unwrap_err().to_string().starts_with("config.toml:2: "));
}

#[test]
fn the_file_is_read_with_its_own_mode() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.toml");
    let missing = Config::load(Some(&path), &env()).unwrap_err().to_string();
    assert!(missing.ends_with("copy config.example.toml there and edit it"), "{missing}");
    std::fs::write(&path, with("").replace("password_env", "password")).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
    let open = Config::load(Some(&path), &env()).unwrap_err().to_string();
    assert!(open.contains("(mode 0644)"), "{open}");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    assert_eq!(Config::load(Some(&path), &env()).unwrap().path, path);
    std::fs::write(&path, [0xff, 0xfe]).unwrap();
    assert!(Config::load(Some(&path), &env()).unwrap_err().to_string().contains("cannot be read"));
}
