//! What is seen and heard of a run while it goes on: on a terminal, elsewhere, by programs.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};

use kit::imap::{Action, Profile, Server};
use kit::terminal::Terminal;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

const COLUMNS: u16 = 60;
const ROWS: u16 = 12;
const WILD: &str = "\u{1b}[2J\u{9b}31m";

/// A server with two full mailboxes, and a config that mirrors it as two accounts.
struct Place {
    dir: tempfile::TempDir,
    server: Server,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::new(Profile::qresync());
        for mailbox in ["Lists/受信箱", "Sent"] {
            server.create(mailbox);
            for n in 0..30 {
                let id = format!("Message-ID: <{n}.{mailbox}@x>");
                let mail = format!("Subject: {n}\r\n{id}\r\n\r\n{}\r\n", "text ".repeat(200));
                server.append(mailbox, mail.as_bytes(), &[], Some(1_700_000_000 + n));
            }
        }
        let port = serve(&server);
        let mut config = format!("state_dir = {:?}\n", dir.path().join("state"));
        for name in ["home", "work"] {
            let mail = dir.path().join(name);
            config += &format!(
                "[accounts.{name}]\nhost = \"127.0.0.1\"\nport = {port}\ntls = \"none\"\n\
                 user = \"demo\"\npassword = \"demo\"\nmaildir = {mail:?}\n"
            );
        }
        let path = dir.path().join("config.toml");
        fs::write(&path, config).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        Self { dir, server }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mailtide"));
        command.env_clear().env("HOME", self.dir.path()).env("TERM", "xterm");
        command.env("MAILTIDE_CONFIG", self.dir.path().join("config.toml"));
        command.args(arguments).stdin(Stdio::null());
        command
    }

    fn files(&self, account: &str, mailbox: &str) -> usize {
        let new = self.dir.path().join(account).join(mailbox).join("new");
        fs::read_dir(new).map_or(0, Iterator::count)
    }

    /// Bodies of `Sent` are not given before the result is dropped or told to.
    fn hold_bodies(&self) -> Sender<()> {
        let (go, gone) = channel::<()>();
        let gone = Mutex::new(gone);
        let mut selected = false;
        self.server.on_command(Some(Box::new(move |command| {
            if command.contains("SELECT") {
                selected = command.contains("Sent");
            }
            if selected && command.contains("BODY.PEEK[]") {
                let _ = gone.lock().unwrap().recv();
            }
            Action::Continue
        })));
        go
    }
}

/// Serves on a thread of its own, which ends with the process.
fn serve(server: &Server) -> u16 {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = server.clone();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(server.serve(stream));
            }
        });
    });
    port
}

/// Both ends of a terminal that is so large.
fn pseudo_terminal(columns: u16) -> (File, File) {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let size = Winsize { ws_col: columns, ws_row: ROWS, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&ours, size).unwrap();
    let name = ptsname(&ours, Vec::new()).unwrap();
    let path = Path::new(name.to_str().unwrap());
    let theirs = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    (File::from(ours), theirs)
}

/// What a terminal shows of a run, whenever something is written: `watch` sees each picture.
/// Gives the last one and the raw output.
fn on_a_terminal(
    mut command: Command,
    columns: u16,
    mut watch: impl FnMut(&Terminal),
) -> (Terminal, String) {
    let (mut ours, theirs) = pseudo_terminal(columns);
    let mut child = command.stdout(theirs.try_clone().unwrap()).stderr(theirs).spawn().unwrap();
    drop(command);
    let mut terminal = Terminal::new(columns.into(), ROWS.into());
    let (mut raw, mut pending, mut chunk) = (String::new(), Vec::new(), [0; 4096]);
    loop {
        match ours.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => pending.extend_from_slice(&chunk[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            // Nobody has the other end any more.
            Err(error) if error.raw_os_error() == Some(5) => break,
            Err(error) => panic!("{error}"),
        }
        // A character may have come in part.
        let whole = match std::str::from_utf8(&pending) {
            Ok(text) => text.len(),
            Err(error) => error.valid_up_to(),
        };
        let text = String::from_utf8(pending.drain(..whole).collect()).unwrap();
        terminal.feed(&text);
        raw += &text;
        watch(&terminal);
    }
    assert!(child.wait().unwrap().success(), "{raw}");
    (terminal, raw)
}

/// Some line has all of these words.
fn shows(terminal: &Terminal, words: &[&str]) -> bool {
    terminal.lines().iter().any(|line| words.iter().all(|word| line.contains(word)))
}

#[test]
fn a_terminal_shows_each_account_and_is_clean_afterwards() {
    let place = Place::new();
    let mut held = Some(place.hold_bodies());
    let mut widest = 0;
    let (terminal, raw) = on_a_terminal(place.command(&["sync"]), COLUMNS, |terminal| {
        widest = widest.max(terminal.lines().len());
        let both = ["home", "work"].iter().all(|name| shows(terminal, &[name, "of 60 messages"]));
        if both && shows(terminal, &["  Sent", "down", "0 of 30 messages"]) {
            held = None;
        }
    });
    assert!(held.is_none(), "never drawn:\n{raw}");
    let lines = terminal.lines();
    assert_eq!(lines.len(), 2, "only the summary stays: {lines:#?}");
    for (line, name) in lines.iter().zip(["home", "work"]) {
        assert!(line.starts_with(&format!("{name}  agreed: pulled 60")), "{lines:#?}");
    }
    assert!(terminal.is_ready() && widest <= 4, "{widest} lines");
    assert!(is_styled(&raw), "colour, where it may be");
    assert_eq!(place.files("work", "Sent") + place.files("home", "Lists/受信箱"), 60);
}

#[test]
fn log_lines_do_not_tear_the_picture_and_colour_is_a_choice() {
    let place = Place::new();
    let mut held = Some(place.hold_bodies());
    let mut command = place.command(&["sync", "-vvv"]);
    command.env("NO_COLOR", "1");
    let is_log = |line: &&String| line.starts_with("trace: ") || line.starts_with("warn: ");
    let count = |terminal: &Terminal| terminal.lines().iter().filter(is_log).count();
    let mut before = None;
    // So wide that no log line is wrapped.
    let (terminal, raw) = on_a_terminal(command, 1000, |terminal| {
        if shows(terminal, &["Sent", "0 of 30"]) && held.take().is_some() {
            before = Some(count(terminal));
        }
    });
    let before = before.unwrap_or_else(|| panic!("never drawn:\n{raw}"));
    assert!(count(&terminal) > before, "nothing was said while the picture stood:\n{raw}");
    let lines = terminal.lines();
    let rest: Vec<_> = lines.iter().filter(|line| !is_log(line)).collect();
    assert_eq!(rest.len(), 2, "only log lines and the summary: {rest:#?}");
    assert!(rest.iter().all(|line| line.contains("agreed: pulled 60")), "{rest:#?}");
    assert!(!is_styled(&raw), "{raw:?}");
}

/// Whether a colour or a weight was chosen (SGR: ends with `m`); moving the cursor is neither.
fn is_styled(raw: &str) -> bool {
    let is_parameter = |c: char| c.is_ascii_digit() || c == ';';
    let mut sequences = raw.split("\u{1b}[").skip(1);
    sequences.any(|rest| rest.trim_start_matches(is_parameter).starts_with('m'))
}

#[test]
fn nothing_is_drawn_where_nobody_looks() {
    let quiet: &[&str] = &["sync", "--quiet"];
    let cases = [(quiet, "xterm"), (&["sync"], "dumb"), (&["sync", "--json"], "xterm")];
    for (arguments, term) in cases {
        let place = Place::new();
        let mut command = place.command(arguments);
        command.env("TERM", term);
        let (terminal, raw) = on_a_terminal(command, COLUMNS, |_| {});
        assert!(!raw.contains('\u{1b}'), "{arguments:?} {term}: {raw:?}");
        assert_eq!(terminal.lines().is_empty(), arguments == quiet, "{raw:?}");
    }
    let place = Place::new();
    let output = place.command(&["sync"]).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(stderr, "", "a pipe is no terminal");
}

/// What `--json` prints: an object a line.
fn told(output: &[u8]) -> Vec<serde_json::Value> {
    let text = std::str::from_utf8(output).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Keys of an object, sorted.
fn keys(value: &serde_json::Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn a_program_hears_events_and_the_summary_last() {
    let place = Place::new();
    let fault = kit::imap::Fault::No(format!("[LIMIT] not now {WILD}"));
    place.server.create("Bad");
    place.server.inject(fault, kit::imap::When::verb("SELECT").mailbox("Bad"));
    place.server.inject(
        kit::imap::Fault::No(format!("[LIMIT] not now {WILD}")),
        kit::imap::When::verb("EXAMINE").mailbox("Bad"),
    );
    let output = place.command(&["sync", "work", "--json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let lines = told(&output.stdout);
    let of = |event: &str| lines.iter().filter(|l| l["event"] == event).collect::<Vec<_>>();
    assert_eq!(
        lines[0],
        serde_json::json!({"event": "started", "account": "work", "dry_run": false})
    );
    let mailboxes = of("mailbox");
    assert_eq!(mailboxes.len(), 2, "{lines:#?}");
    assert_eq!(keys(mailboxes[0]), ["account", "bytes", "event", "mailbox", "messages", "way"]);
    assert_eq!(mailboxes[0]["mailbox"], "Lists/受信箱");
    assert_eq!(mailboxes[0]["messages"], 30);
    let counts = of("messages");
    assert_eq!(keys(counts[0]), ["account", "bytes", "done", "event", "mailbox", "of", "way"]);
    for mailbox in ["Lists/受信箱", "Sent"] {
        let last = counts.iter().rfind(|count| count["mailbox"] == mailbox).unwrap();
        assert_eq!((&last["done"], &last["of"]), (&30.into(), &30.into()), "{lines:#?}");
        let promised = mailboxes.iter().find(|m| m["mailbox"] == mailbox).unwrap();
        assert_eq!(last["bytes"], promised["bytes"], "{lines:#?}");
    }
    let skipped = of("skipped");
    assert_eq!(keys(skipped[0]), ["account", "event", "what", "why"]);
    assert!(skipped[0]["why"].as_str().unwrap().contains("not now"), "{lines:#?}");
    let done = lines.last().unwrap();
    assert_eq!(keys(done), ["accounts", "event", "exit"]);
    assert_eq!((&done["event"], &done["exit"]), (&"done".into(), &1.into()));
    assert_eq!(done["accounts"][0]["pulled"], 60);
    assert!(!output.stdout.contains(&0x1b), "{output:?}");
}

#[test]
fn a_program_hears_of_what_is_held_and_of_failure() {
    let place = Place::new();
    let sync = |more: &[&str]| {
        let output = place.command(&[&["sync", "work"], more].concat()).output().unwrap();
        (output.status.code().unwrap(), told(&output.stdout))
    };
    let (code, lines) = sync(&["--json", "--quiet"]);
    assert_eq!((code, lines.len()), (0, 1), "only the summary: {lines:#?}");
    let uids: Vec<u32> = place.server.list("Sent").iter().map(|message| message.uid).collect();
    place.server.expunge("Sent", &uids);
    let (code, lines) = sync(&["--json"]);
    assert_eq!(code, 4);
    let held = lines.iter().find(|line| line["event"] == "held").unwrap();
    assert_eq!((&held["account"], &held["messages"]), (&"work".into(), &30.into()));
    assert_eq!(held["id"], lines.last().unwrap()["accounts"][0]["holds"][0]["id"]);

    let output = place.command(&["sync", "nobody", "--json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let lines = told(&output.stdout);
    assert_eq!((lines.len(), keys(&lines[0])), (1, vec!["error", "event", "exit"]));
    assert_eq!(lines[0]["event"], "done");
}
