//! Pulls from the POP3 of a real Dovecot: the shipped binary, killed and called again.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Deref;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};

use kit::corpus::corpus;
use kit::dovecot::{Client, Dovecot, Options};
use kit::pop3::plain;

use crate::puller::{Puller, census};

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
    puller: Puller,
}

impl Deref for Drop {
    type Target = Puller;

    fn deref(&self) -> &Puller {
        &self.puller
    }
}

impl Drop {
    fn new() -> Self {
        let server = Dovecot::start(&Options { pop3: true, ..Options::default() });
        let puller = Puller::new(server.pop3_port);
        Self { server, puller }
    }

    /// A run that ends with 0; gives what it said.
    #[track_caller]
    fn agree(&self) -> String {
        self.run(&["sync"], &|| self.server.log())
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
    assert_eq!(drop.here(), census(plain::bodies(drop.server.pop3_port, "old")));
    assert!(drop.agree().contains("nothing to do"));
    fill(&mut drop.server.client("old"), 4, 5);
    assert!(drop.agree().contains("pulled 5"));
    assert_eq!(drop.here(), drop.there("old", "INBOX"));
    let told = drop.run(&["verify", "--bodies"], &|| drop.server.log());
    let expected = "verified: 305 files are as recorded, and 305 messages on the server";
    assert!(told.contains(expected), "{told}");
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
