//! Pulls from the POP3 of a real Dovecot: the shipped binary, killed and called again.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use kit::compare::content;
use kit::corpus::corpus;
use kit::dovecot::{Client, Dovecot, Options, PASSWORD};

/// Runs are killed so often with each policy; `MAILTIDE_FULL=1` tries a hundred.
const KILLS: usize = 20;
/// What a pull does to the outside, by which a kill is placed.
const CALLS: [&str; 10] = [
    "openat",
    "pwrite64",
    "renameat2",
    "fsync",
    "fdatasync",
    "syncfs",
    "sendto",
    "recvfrom",
    "utimensat",
    "close",
];

/// A maildrop, the account that pulls from it and, maybe, one that takes it on.
struct Drop {
    server: Dovecot,
    dir: tempfile::TempDir,
}

impl Drop {
    fn new() -> Self {
        let server = Dovecot::start(&Options { pop3: true, ..Options::default() });
        let dir = tempfile::Builder::new().prefix("mailtide-it-").tempdir().unwrap();
        Self { server, dir }
    }

    /// Writes the config: `more` of the account that pulls, and whole accounts behind it.
    fn configure(&self, more: &str, accounts: &str) {
        let text = format!(
            "state_dir = {:?}\n[defaults]\nhost = \"127.0.0.1\"\ntls = \"none\"\n\
             password_env = \"MAIL_PASSWORD\"\n[accounts.old]\nprotocol = \"pop3\"\nport = {}\n\
             user = \"old\"\n{more}\n{accounts}",
            self.dir.path().join("state"),
            self.server.pop3_port,
        );
        fs::write(self.dir.path().join("config.toml"), text).unwrap();
    }

    /// The account has a Maildir of its own.
    fn own(&self, more: &str) {
        self.configure(&format!("maildir = {:?}\n{more}", self.root()), "");
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("Mail")
    }

    fn arm(&self, command: &mut Command) {
        command.env("MAIL_PASSWORD", PASSWORD).env_remove("RUST_LOG");
        command.env("MAILTIDE_CONFIG", self.dir.path().join("config.toml"));
    }

    /// A run that ends with 0; gives what it said.
    #[track_caller]
    fn agree(&self) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mailtide"));
        self.arm(&mut command);
        let output = command.arg("sync").output().unwrap();
        let text =
            String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{text}\n{}", self.server.log());
        text.into_owned()
    }

    /// Kills a run at the n-th call of a kind. Gives whether it came that far.
    fn killed_at(&self, call: &str, n: usize) -> bool {
        let mut command = Command::new("strace");
        self.arm(&mut command);
        command.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}")]);
        command.args(["-e", &format!("inject={call}:signal=SIGKILL:when={n}")]);
        command.arg(env!("CARGO_BIN_EXE_mailtide")).arg("sync");
        let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
        status.signal() == Some(9) || status.code() == Some(137)
    }

    /// How often a run does each of [`CALLS`].
    fn calls(&self) -> Vec<(&'static str, usize)> {
        let trace = self.dir.path().join("trace");
        let mut command = Command::new("strace");
        self.arm(&mut command);
        command.args(["-f", "-qq", "-o"]).arg(&trace);
        command.args(["-e", &format!("trace={}", CALLS.join(","))]);
        command.arg(env!("CARGO_BIN_EXE_mailtide")).arg("sync");
        assert!(command.stdout(Stdio::null()).status().unwrap().success());
        let text = fs::read_to_string(&trace).unwrap();
        let count = |call: &str| text.matches(&format!(" {call}(")).count();
        CALLS.into_iter().map(|call| (call, count(call))).filter(|(_, n)| *n > 0).collect()
    }

    /// What lies in a mailbox of the server, by content.
    fn there(&self, user: &str, mailbox: &str) -> BTreeMap<String, usize> {
        let messages = self.server.client(user).messages(mailbox);
        census(messages.into_iter().map(|message| message.bytes))
    }

    /// What lies in the INBOX on disk, by content.
    fn here(&self) -> BTreeMap<String, usize> {
        census(files(&self.root().join("INBOX")).iter().map(|file| fs::read(file).unwrap()))
    }
}

fn files(mailbox: &Path) -> Vec<PathBuf> {
    let entries = ["cur", "new"].map(|sub| fs::read_dir(mailbox.join(sub)));
    entries.into_iter().flatten().flatten().map(|entry| entry.unwrap().path()).collect()
}

/// How often each content is there. POP3 gives every message an end of its last line.
fn census(bodies: impl IntoIterator<Item = Vec<u8>>) -> BTreeMap<String, usize> {
    let mut census = BTreeMap::new();
    for mut body in bodies {
        if !body.ends_with(b"\n") {
            body.extend_from_slice(b"\r\n");
        }
        *census.entry(content(&body)).or_default() += 1;
    }
    census
}

fn fill(client: &mut Client, seed: u64, count: usize) {
    for mail in corpus(seed, count) {
        client.append("INBOX", "", &mail.date, &mail.bytes);
    }
}

/// A message that says when it came.
fn dated(n: usize) -> String {
    format!(
        "Received: from a by b; Sat, 0{} Feb 2020 1{}:00:{:02} +0100\r\nMessage-ID: <{n}@old>\r\n\
         Date: Thu, 01 Jan 1970 00:00:00 +0000\r\nSubject: {n}\r\n\r\n{}\r\n",
        1 + n % 9,
        n % 10,
        n % 60,
        "text ".repeat(n % 100)
    )
}

#[test]
fn awkward_mail_comes_as_it_is_and_once() {
    let drop = Drop::new();
    fill(&mut drop.server.client("old"), 3, 300);
    drop.own("");
    let told = drop.agree();
    assert!(told.contains("pulled 300"), "{told}");
    assert_eq!(drop.here(), drop.there("old", "INBOX"));
    assert!(drop.agree().contains("nothing to do"));
    fill(&mut drop.server.client("old"), 4, 5);
    assert!(drop.agree().contains("pulled 5"));
    assert_eq!(drop.here(), drop.there("old", "INBOX"));
}

/// Killed at random moments: every message is here exactly once, and none has left the server
/// that is not here.
#[test]
fn killed_at_any_moment() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    let kills = if std::env::var_os("MAILTIDE_FULL").is_some() { 100 } else { KILLS };
    for keep in ["forever", "until_pulled", "1d"] {
        let drop = Drop::new();
        drop.own(&format!("keep = {keep:?}"));
        let mut expected = BTreeMap::new();
        let mut deliver = |n: usize| {
            let mut client = drop.server.client("old");
            let new: Vec<Vec<u8>> = (0..4).map(|k| dated(4 * n + k).into_bytes()).collect();
            new.iter().for_each(|body| client.append("INBOX", "", DATE, body));
            for (content, count) in census(new) {
                *expected.entry(content).or_insert(0) += count;
            }
            expected.clone()
        };
        deliver(0);
        let calls = drop.calls();
        let mut hits = 0;
        for n in 1.. {
            let expected = deliver(n);
            let (call, count) = calls[rng.usize(..calls.len())];
            let at = 1 + rng.usize(..count);
            hits += usize::from(drop.killed_at(call, at));
            let (here, there) = (drop.here(), drop.there("old", "INBOX"));
            let what = format!("{keep}, {n}: {call} {at}");
            for content in expected.keys() {
                assert!(here.contains_key(content) || there.contains_key(content), "{what}: lost");
                assert!(here.get(content).is_none_or(|count| *count == 1), "{what}: doubled");
            }
            if hits == kills {
                drop.agree();
                drop.agree();
                assert_eq!(drop.here(), expected, "{what}");
                break;
            }
            assert!(n < 4 * kills, "{keep}: only {hits} of {kills} kills were placed");
        }
        let left = drop.there("old", "INBOX").len();
        assert_eq!(left == 0, keep == "until_pulled", "{keep}: {left}");
    }
}

/// The server's own date, which POP3 does not tell.
const DATE: &str = "05-Feb-2021 10:00:00 +0000";

/// From POP3 to IMAP by the config alone, killed on the way, and run again and again.
#[test]
fn a_maildrop_moves_to_imap() {
    let count = if std::env::var_os("MAILTIDE_FULL").is_some() { 1_000 } else { 200 };
    let drop = Drop::new();
    let mut client = drop.server.client("old");
    let bodies: Vec<Vec<u8>> = (0..count).map(|n| dated(n).into_bytes()).collect();
    bodies.iter().for_each(|body| client.append("INBOX", "", DATE, body));
    let more = "deliver_to = { account = \"new\", mailbox = \"From old\" }";
    let new = format!(
        "[accounts.new]\nport = {}\nuser = \"new\"\nmaildir = {:?}",
        drop.server.port,
        drop.root()
    );
    drop.configure(more, &new);
    for (call, at) in [("renameat2", 7), ("sendto", 9), ("pwrite64", 40), ("fsync", 12)] {
        drop.killed_at(call, at);
    }
    for _ in 0..3 {
        drop.agree();
    }
    let there = drop.server.client("new").messages("From old");
    assert_eq!(census(there.iter().map(|one| one.bytes.clone())), census(bodies.clone()));
    for message in &there {
        let text = String::from_utf8_lossy(&message.bytes);
        let received = text.split("; Sat, ").nth(1).unwrap().split("\r\n").next().unwrap();
        let (date, time) = (&received[..11].replace(' ', "-"), &received[12..20]);
        let at: u32 = time[..2].parse().unwrap();
        let expected = format!("{date} {:02}{} +0000", at - 1, &time[2..]);
        assert_eq!(message.date, expected, "{text}");
    }
    assert!(drop.agree().contains("nothing to do"));
    assert_eq!(drop.there("old", "INBOX").len(), count, "nothing is deleted there");
}
