//! Servers that mean harm against the built program: what each costs it, in memory and time, and
//! that the account beside it is unharmed.
//!
//! `MAILTIDE_FULL=1` tries every input in `run` as well and prints a table: `cargo test --test it
//! besieged -- --nocapture --test-threads 1`. Its columns are the input, the protocol, `sync` or
//! `run`, the most memory, seconds, what was sent, octets of log, and how it ended.
//! `MAILTIDE_ONLY` chooses inputs by name. `MAILTIDE_PROGRAM` names another program;
//! `MAILTIDE_BESIDE=1` shows what mbsync does with the same inputs over IMAP.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use kit::hostile::{Hostile, Input, Protocol, inputs};
use kit::unprivileged;

use super::Mirror;
use crate::running::{Running, until_within};

/// The most memory that the process may ever have, in KiB.
const PEAK: u64 = 128 << 10;
/// How long a run may take: what is limited is octets, and a program without optimisation is slow.
const CEILING: Duration = Duration::from_secs(180);
/// After so long without anything new the server is not connected to again soon.
const QUIET: Duration = Duration::from_secs(15);
/// How much may be logged of an account in a run.
const LOG: usize = 32 << 10;

/// Two accounts: one on a decent server, one on a hostile one.
struct Siege {
    mirror: Mirror,
    hostile: Hostile,
    /// Connections that are served well first.
    spared: u64,
}

/// What a siege did to the program.
struct Cost {
    peak: u64,
    time: Duration,
    log: String,
    /// How it ended.
    end: String,
}

impl Siege {
    fn new(input: Input) -> Self {
        let (mirror, hostile) = (Mirror::new(), Hostile::start(input).unwrap());
        let dir = mirror.dir.path().join("Bad");
        let protocol = match input.protocol {
            Protocol::Imap => "imap",
            Protocol::Pop3 => "pop3",
        };
        mirror.configure(&format!(
            "[accounts.bad]\nprotocol = \"{protocol}\"\nhost = \"127.0.0.1\"\nport = {}\n\
             tls = \"none\"\nuser = \"u\"\npassword_env = \"MAIL_PASSWORD\"\nmaildir = {dir:?}\n\
             timeout = \"5s\"\nmax_message_size = \"4MiB\"\n",
            hostile.port
        ));
        Self { mirror, hostile, spared: input.spared }
    }

    fn command(&self) -> std::process::Command {
        let mut command = self.mirror.command();
        if let Some(other) = std::env::var_os("MAILTIDE_PROGRAM") {
            command = unprivileged::command(&PathBuf::from(other), self.mirror.dir.path());
            self.mirror.arm(&mut command);
        }
        command
    }

    fn assert_unharmed(&self, what: &str) {
        for mailbox in ["INBOX", "Work"] {
            assert_eq!(self.mirror.files(mailbox).len(), 3, "{what}: {mailbox} beside it");
        }
    }

    /// Runs until the server has nothing good left.
    fn prepare(&self) {
        while self.hostile.connections() < self.spared {
            let mut command = self.command();
            command.arg("sync").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            assert!(command.status().unwrap().success(), "a run before it");
        }
    }

    /// A `sync` of both.
    fn sync(&self) -> Cost {
        self.prepare();
        let path = self.mirror.dir.path().join("log");
        let log = fs::File::create(&path).unwrap();
        let mut command = self.command();
        command.args(["sync", "-v"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let begun = Instant::now();
        let mut child = command.spawn().unwrap();
        let (mut peak, mut end) = (0, String::new());
        until_within(CEILING, "the run ends", || {
            peak = peak.max(high_water(&child));
            let ended = child.try_wait().unwrap();
            end = ended
                .and_then(|ended| ended.code())
                .map_or("killed".into(), |c| format!("exit {c}"));
            ended.is_some()
        });
        Cost { peak, time: begun.elapsed(), log: fs::read_to_string(&path).unwrap(), end }
    }

    /// A `run` that is besieged until it was connected to twice.
    fn run(&self) -> Cost {
        self.prepare();
        let begun = Instant::now();
        let running = Running::start(self.command());
        // Some inputs are never met, and after others the next sign-in is a minute later.
        let least = self.spared + 2;
        let (mut before, mut since) = ((0, 0), Instant::now());
        until_within(CEILING, "it is besieged twice", || {
            let now = (self.hostile.connections(), self.hostile.sent());
            if now != before {
                (before, since) = (now, Instant::now());
            }
            now.0 >= least || now.0 > self.spared && since.elapsed() > QUIET
        });
        let here = |mailbox: &str| {
            let dir = self.mirror.root().join(mailbox).join("cur");
            fs::read_dir(dir).map_or(0, Iterator::count)
        };
        let both = || here("INBOX") + here("Work") == 6;
        until_within(CEILING, "the account beside it is in sync", both);
        let log = running.log();
        let (peak, time) = (running.peak(), begun.elapsed());
        let ended = running.end().0.code();
        assert_eq!(ended, Some(0));
        Cost { peak, time, log, end: "ran on, ended by SIGTERM with 0".to_owned() }
    }
}

/// One run of mbsync against the same server; it gets no more than 1 GiB and 30 s.
fn mbsync(hostile: &Hostile) -> (u64, Duration, bool) {
    const MOST: Duration = Duration::from_secs(30);
    let dir = tempfile::tempdir().unwrap();
    let (base, port) = (dir.path().display(), hostile.port);
    let config = format!(
        "IMAPAccount bad\nHost 127.0.0.1\nPort {port}\nUser u\nPass x\nSSLType None\n\
         AuthMechs LOGIN\nTimeout 5\n\nIMAPStore far\nAccount bad\n\nMaildirStore near\n\
         Path {base}/mail/\nInbox {base}/mail/INBOX\nSubFolders Verbatim\n\nChannel all\n\
         Far :far:\nNear :near:\nPatterns *\nCreate Near\nSyncState *\n"
    );
    fs::create_dir(dir.path().join("mail")).unwrap();
    fs::write(dir.path().join("mbsyncrc"), config).unwrap();
    let mut command = std::process::Command::new("prlimit");
    command.args(["--as=1073741824", "mbsync", "-q", "-c"]).arg(dir.path().join("mbsyncrc"));
    command.args(["-a"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let (begun, mut peak) = (Instant::now(), 0);
    let mut child = command.spawn().unwrap();
    while begun.elapsed() < MOST && child.try_wait().unwrap().is_none() {
        peak = peak.max(high_water(&child));
        std::thread::sleep(Duration::from_millis(2));
    }
    let ended = child.try_wait().unwrap().is_some();
    child.kill().unwrap();
    child.wait().unwrap();
    (peak, begun.elapsed(), ended)
}

#[test]
fn what_mbsync_does_with_them() {
    if std::env::var_os("MAILTIDE_BESIDE").is_none() {
        return;
    }
    for input in inputs().into_iter().filter(|input| input.protocol == Protocol::Imap) {
        let hostile = Hostile::start(input).unwrap();
        let (peak, time, ended) = mbsync(&hostile);
        let how = if ended { "" } else { ", killed" };
        let (name, peak, time) = (input.name, peak >> 10, time.as_secs_f64());
        let row = format!("| {name} | mbsync | {peak} MB | {time:.1} s{how} |\n");
        std::io::stderr().write_all(row.as_bytes()).unwrap();
    }
}

/// The most memory that a process had so far, in KiB; 0 when it has ended.
fn high_water(child: &Child) -> u64 {
    crate::running::peak(child.id())
}

fn show(input: &Input, mode: &str, cost: &Cost, siege: &Siege) {
    let (seconds, sent) = (cost.time.as_secs_f64(), siege.hostile.sent() / 1000);
    let (name, peak, log, end) = (input.name, cost.peak >> 10, cost.log.len(), &cost.end);
    let protocol = format!("{:?}", input.protocol).to_uppercase();
    let row = format!(
        "| {name} | {protocol} | {mode} | {peak} MB | {seconds:.1} s | {sent} kB | {log} | \
         {end} |\n"
    );
    if std::env::var_os("MAILTIDE_FULL").is_some() {
        let _ = std::io::stderr().write_all(row.as_bytes());
    }
}

#[track_caller]
fn assert_cheap(input: &Input, mode: &str, cost: &Cost) {
    let (name, log) = (input.name, &cost.log);
    assert!(cost.peak < PEAK, "{name}, {mode}: {} KiB\n{log}", cost.peak);
    assert!(cost.log.len() < LOG, "{name}, {mode}: logged {} bytes", cost.log.len());
    assert!(!log.contains("panicked") && !log.contains("an error of mailtide itself"), "{log}");
}

/// Every input of one kind in turn.
fn besiege(kind: impl Fn(&Input) -> bool) {
    let full = std::env::var_os("MAILTIDE_FULL").is_some();
    let only = std::env::var("MAILTIDE_ONLY").unwrap_or_default();
    let chosen = |input: &Input| kind(input) && input.name.contains(&only);
    let mut failed = Vec::new();
    for input in inputs().into_iter().filter(chosen) {
        let tried = std::panic::catch_unwind(|| {
            let siege = Siege::new(input);
            let cost = siege.sync();
            show(&input, "sync", &cost, &siege);
            siege.assert_unharmed(input.name);
            assert_cheap(&input, "sync", &cost);
            if full {
                let siege = Siege::new(input);
                let cost = siege.run();
                show(&input, "run", &cost, &siege);
                siege.assert_unharmed(input.name);
                assert_cheap(&input, "run", &cost);
            }
        });
        if tried.is_err() {
            failed.push(input.name);
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn hazard_105_no_imap_server_fills_the_memory_or_holds_a_run() {
    besiege(|input| input.protocol == Protocol::Imap);
}

#[test]
fn hazard_105_no_pop3_server_fills_the_memory_or_holds_a_run() {
    besiege(|input| input.protocol == Protocol::Pop3);
}
