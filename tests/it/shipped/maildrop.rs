//! An account that pulls, as an ordinary user runs it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use kit::dovecot::PASSWORD;
use kit::pop3::{Fault, Profile, Server, When};
use kit::unprivileged;

use super::Said;
use crate::running::{Running, until};

/// A maildrop, and an account that pulls from it.
struct Drop {
    server: Server,
    port: u16,
    dir: tempfile::TempDir,
}

impl Drop {
    fn new(count: u32, more: &str) -> Self {
        let bodies = (1..=count).map(|n| format!("Message-ID: <{n}@x>\r\n\r\nnumber {n}\r\n"));
        let server = Server::with(Profile::default(), bodies);
        let port = server.listen_on_thread().unwrap();
        let drop = Self { server, port, dir: unprivileged::directory() };
        drop.configure(more);
        drop
    }

    fn configure(&self, more: &str) {
        let dir = self.dir.path();
        let text = format!(
            "state_dir = {:?}\n[accounts.old]\nprotocol = \"pop3\"\nhost = \"127.0.0.1\"\n\
             port = {}\ntls = \"none\"\nuser = \"me\"\npassword_env = \"MAIL_PASSWORD\"\n{}\n",
            dir.join("state"),
            self.port,
            more.replace("DIR", &dir.to_string_lossy()),
        );
        fs::write(dir.join("config.toml"), text).unwrap();
        unprivileged::give(&dir.join("config.toml"));
    }

    fn command(&self, arguments: &[&str]) -> std::process::Command {
        let program = std::path::Path::new(env!("CARGO_BIN_EXE_mailtide"));
        let mut command = unprivileged::command(program, self.dir.path());
        command.env_clear().env("HOME", self.dir.path()).env("MAIL_PASSWORD", PASSWORD);
        command.env("MAILTIDE_CONFIG", self.dir.path().join("config.toml"));
        command.args(arguments);
        command
    }

    fn run(&self, arguments: &[&str]) -> Said {
        self.command(arguments).output().unwrap().into()
    }

    fn files(&self, place: &str) -> Vec<String> {
        let entries = fs::read_dir(self.dir.path().join(place)).into_iter().flatten();
        let mut texts: Vec<String> =
            entries.map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap()).collect();
        texts.sort();
        texts
    }

    /// A program of the user's.
    fn script(&self, text: &str) {
        let path = self.dir.path().join("mda");
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        unprivileged::give(&path);
    }
}

const MAILDIR: &str = "maildir = \"DIR/Mail\"";

#[test]
fn what_is_said_of_a_pull() {
    let drop = Drop::new(3, MAILDIR);
    drop.run(&["sync", "--dry-run"]).expect(0, &["3  fetch into INBOX, 1 MB"]);
    drop.run(&["sync"]).expect(0, &["agreed: pulled 3"]);
    drop.run(&["sync"]).expect(0, &["agreed: nothing to do"]);
    let told = drop.run(&["status"]);
    told.expect(0, &["me at 127.0.0.1 by POP3", "3 messages", "3 of them are still on the server"]);
    assert_eq!(drop.files("Mail/INBOX/new").len(), 3);

    drop.configure(&format!("{MAILDIR}\nkeep = \"until_pulled\"\nmax_message_size = \"30B\""));
    drop.server.deliver(format!("Subject: large\r\n\r\n{}\r\n", "x".repeat(99)).as_bytes());
    let told = drop.run(&["sync"]);
    told.expect(0, &["removed 3 on the server", "UIDL", "larger than max_message_size"]);
    let json = drop.run(&["status", "--json"]).text;
    let status: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(status["accounts"][0]["messages"], 3);
    assert_eq!(status["accounts"][0]["set_aside"].as_array().unwrap().len(), 1);

    let json = drop.run(&["sync", "--json"]).text;
    let last: serde_json::Value = serde_json::from_str(json.lines().last().unwrap()).unwrap();
    assert_eq!(last["exit"], 0, "{json}");
}

#[test]
fn what_is_verified() {
    let drop = Drop::new(3, MAILDIR);
    drop.run(&["verify"]).expect(1, &["no file to read; a sync would do this", "3  fetch into"]);
    drop.run(&["sync"]).expect(0, &["pulled 3"]);
    drop.run(&["verify", "old"]).expect(0, &["verified: 3 files are as recorded  ("]);
    let new = drop.dir.path().join("Mail/INBOX/new");
    let file = fs::read_dir(&new).unwrap().next().unwrap().unwrap().path();
    fs::remove_file(file).unwrap();
    drop.run(&["verify", "--bodies"]).expect(
        0,
        &[
            "verified: 2 files are as recorded, and 3 messages on the server",
            "note       pulled once, and not here as it came: 1 message (deleted,",
            "the server still has 1",
        ],
    );
    assert_eq!(drop.server.counters().verb("DELE"), 0);
    // Should that have been no wish:
    drop.run(&["adopt", "old"]).expect(0, &[]);
    drop.run(&["sync"]).expect(0, &["pulled 1"]);
    drop.run(&["verify"]).expect(0, &["verified: 3 files"]);
}

#[test]
fn trouble_has_its_code_and_its_words() {
    let drop = Drop::new(2, MAILDIR);
    drop.server.configure(|profile| profile.locked = true);
    drop.run(&["sync"]).expect(3, &["is refusing sign-ins for now"]);
    drop.server.configure(|profile| {
        (profile.locked, profile.credentials) = (false, Some(("me".to_owned(), "x".to_owned())));
    });
    drop.run(&["sync"]).expect(3, &["refused the sign-in"]);
    drop.server.configure(|profile| profile.credentials = None);
    drop.server.inject(Fault::RefuseMessage(1), When::verb("RETR"));
    drop.run(&["sync"]).expect(1, &["pulled 1", "RETR 1: the server refused"]);
    drop.server.heal();
    drop.run(&["sync"]).expect(0, &["pulled 1"]);
    // Another disk, or none, where the Maildir was.
    let mail = drop.dir.path().join("Mail");
    fs::rename(&mail, drop.dir.path().join("elsewhere")).unwrap();
    drop.run(&["sync"]).expect(2, &["is its disk mounted?", "mailtide adopt old"]);
    assert!(!mail.exists());
    drop.run(&["status"]).expect(0, &["failed:", "is its disk mounted?"]);
    drop.run(&["adopt", "old"]).expect(0, &[]);
    drop.run(&["sync", "--dry-run"]).expect(0, &["2  fetch into INBOX"]);
    drop.run(&["sync"]).expect(0, &["pulled 2"]);
}

#[test]
fn a_program_takes_each_message() {
    let drop = Drop::new(4, "deliver_command = [\"DIR/mda\", \"out\"]\nkeep = \"until_pulled\"");
    drop.script(
        "dir=$(dirname \"$0\"); text=$(cat)\n\
         case \"$text\" in *\"$(cat \"$dir/bad\" 2>/dev/null || echo none)\"*) exit ${1:+67};; esac\n\
         mkdir -p \"$dir/$1\"; printf '%s\\n%s\\n' \"$MAILTIDE_ACCOUNT\" \"$text\" > \"$dir/$1/$$\"",
    );
    fs::write(drop.dir.path().join("bad"), "number 2").unwrap();
    drop.run(&["sync"]).expect(1, &["pulled 3", "removed 3 on the server", "exit status: 67"]);
    assert_eq!(drop.files("out")[0], "old\nMessage-ID: <1@x>\n\nnumber 1\n");
    assert_eq!(drop.server.messages().len(), 1);
    fs::remove_file(drop.dir.path().join("bad")).unwrap();
    drop.run(&["sync"]).expect(0, &["pulled 1", "removed 1 on the server"]);
    drop.run(&["sync"]).expect(0, &["nothing to do"]);
    assert_eq!(drop.files("out").len(), 4);
    assert!(drop.files("state/old.spool/INBOX/new").is_empty());
    assert!(drop.files("state/old.spool/INBOX/tmp").is_empty());
    // "Not now" is for the others as well.
    drop.script("cat >/dev/null; echo x >> $(dirname \"$0\")/tries; exit 75");
    (5..9).for_each(|n| drop.server.deliver(format!("Subject: {n}\r\n\r\n.\r\n").as_bytes()));
    drop.run(&["sync"]).expect(1, &["exit status: 75"]);
    assert_eq!(fs::read_to_string(drop.dir.path().join("tries")).unwrap(), "x\n");
    assert_eq!(drop.server.messages().len(), 4);
}

#[test]
fn a_program_that_says_not_now_to_one_message() {
    let drop = Drop::new(4, "deliver_command = [\"DIR/mda\"]\nkeep = \"until_pulled\"");
    drop.script(
        "dir=$(dirname \"$0\"); text=$(cat)\n\
         case \"$text\" in *\"number 2\"*) exit 75;; esac\n\
         mkdir -p \"$dir/out\"; printf '%s\\n' \"$text\" > \"$dir/out/$$\"",
    );
    for _ in 0..2 {
        drop.run(&["sync"]).expect(1, &["exit status: 75"]);
    }
    assert_eq!((drop.files("out").len(), drop.server.messages().len()), (3, 1));
}

#[test]
fn the_daemon_pulls_and_hooks_are_told() {
    let more = format!("{MAILDIR}\nnew_mail = [\"DIR/mda\"]\nkeep = \"until_pulled\"");
    let drop = Drop::new(2, &more);
    drop.script("printenv MAILTIDE_NEW >> $(dirname \"$0\")/told");
    let running = Running::start(drop.command(&[]));
    let told = || fs::read_to_string(drop.dir.path().join("told")).unwrap_or_default();
    until("both came", || told() == "2\n" && drop.server.messages().is_empty());
    drop.server.deliver(b"Subject: three\r\n\r\nthree\r\n");
    drop.run(&["sync"]).expect(0, &["in sync"]);
    until("it was told", || told() == "2\n1\n");
    until("it says so", || drop.run(&["status"]).text.contains("now in sync"));
    drop.run(&["pause"]).expect(0, &[]);
    until("it is paused", || drop.run(&["status"]).text.contains("now paused"));
    drop.run(&["resume"]).expect(0, &[]);
    until("it goes on", || drop.run(&["status"]).text.contains("now in sync"));
    assert_eq!(running.end().0.code(), Some(0));
}
