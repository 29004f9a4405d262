//! The demo, step by step: what it offers to try does what it says.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

#[allow(dead_code, reason = "its main is for the one who runs it by hand")]
#[path = "../../examples/demo.rs"]
mod example;

use crate::running::{PATIENCE, until};
use example::Demo;

const CHILD: &str = "MAILTIDE_TEST_DEMO_CHILD";

fn started(base: &Path) -> (Demo, String) {
    let mut demo = Demo::start(base).unwrap();
    let text = demo.greeting() + &demo.first_sync().unwrap();
    (demo, text)
}

/// The file of a message in a mailbox, by its subject.
fn file(base: &Path, mailbox: &str, subject: &str) -> PathBuf {
    let dirs = ["cur", "new"].map(|dir| base.join("demo-mail").join(mailbox).join(dir));
    let mut files = dirs.iter().flat_map(|dir| fs::read_dir(dir).unwrap());
    let found = files.find_map(|entry| {
        let path = entry.unwrap().path();
        let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
        text.contains(&format!("Subject: {subject}")).then_some(path)
    });
    found.unwrap_or_else(|| panic!("no {subject:?} in {mailbox}"))
}

fn count(base: &Path, dir: &str) -> usize {
    fs::read_dir(base.join("demo-mail").join(dir)).unwrap().count()
}

/// Looks until it says this. Gives all that it said until then.
#[track_caller]
fn says(demo: &mut Demo, part: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut heard = |lines: &mut Vec<String>| {
        lines.extend(demo.look());
        lines.iter().any(|line| line.contains(part))
    };
    let begun = std::time::Instant::now();
    while !heard(&mut lines) {
        assert!(begun.elapsed() < PATIENCE, "nothing of {part:?}:\n{lines:#?}");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    lines
}

#[test]
fn what_is_done_on_disk_is_seen_on_the_server() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path();
    let (mut demo, text) = started(base);
    assert!(text.contains("48 of 48 messages in 9 mailboxes"), "{text}");
    assert_eq!(demo.look(), [""; 0], "quiet when nothing happens");

    let lunch = file(base, "INBOX", "Lunch?");
    let name = lunch.file_name().unwrap();
    fs::rename(&lunch, base.join("demo-mail/Archive/2024/cur").join(name)).unwrap();
    says(&mut demo, "server:  moved “Lunch?” INBOX → Archive/2024");

    let bill = file(base, "INBOX", "Your bill");
    fs::rename(&bill, format!("{}F", bill.display())).unwrap();
    says(&mut demo, "“Your bill for February” in INBOX is now flagged");

    fs::remove_file(file(base, "INBOX", "Cheap")).unwrap();
    says(&mut demo, "moved “Cheap kettles, today only” INBOX → Trash");

    let hello = base.join("demo-mail/Drafts/tmp/hello");
    fs::write(&hello, "Subject: Hello\n\nWritten on disk.\n").unwrap();
    fs::rename(&hello, base.join("demo-mail/Drafts/cur/hello:2,D")).unwrap();
    says(&mut demo, "new message “Hello” in Drafts");

    for part in ["cur", "new", "tmp"] {
        fs::create_dir_all(base.join("demo-mail/Recipes").join(part)).unwrap();
    }
    says(&mut demo, "new mailbox Recipes");
}

#[test]
fn a_slip_is_held_and_a_disaster_is_no_deletion() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path();
    let (mut demo, _) = started(base);
    for entry in fs::read_dir(base.join("demo-mail/Tide tables/cur")).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    let lines = says(&mut demo, "24 messages of Tide tables");
    assert_eq!(demo.server.list("Tide tables").len(), 24);
    assert_eq!(demo.look(), [""; 0], "said once");

    // What it says to type, without cargo.
    let reject = lines.iter().find(|line| line.starts_with("held:")).unwrap();
    let reject = reject.split("bring them back:").nth(1).unwrap();
    let words: Vec<&str> = reject.split(" -- ").nth(1).unwrap().split_whitespace().collect();
    let mut command = Command::new(env!("CARGO_BIN_EXE_mailtide"));
    let output = command.args(words).current_dir(base).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    says(&mut demo, "is settled");
    until("they are back", || count(base, "Tide tables/cur") == 24);

    fs::remove_dir_all(base.join("demo-mail")).unwrap();
    says(&mut demo, "demo-mail was gone as a whole");
    assert_eq!(demo.server.list("INBOX").len(), 10);
    assert_eq!((count(base, "Tide tables/cur"), count(base, "INBOX/cur")), (24, 7));
}

#[test]
fn what_the_phone_does_arrives_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    let (mut demo, _) = started(dir.path());
    let mut heard = Vec::new();
    while let Some(act) = demo.phone_acts() {
        if !act.contains("goes to sleep") {
            println!("{act}");
            let lines = says(&mut demo, "disk:");
            assert!(lines.iter().all(|line| line.starts_with("disk:")), "{lines:#?}");
        }
        heard.push(act);
    }
    assert_eq!(heard.len(), 6, "{heard:#?}");
    assert_eq!(count(dir.path(), "Boats/cur"), 1);
}

#[test]
fn it_can_be_started_again_and_not_twice() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path();
    let (first, text) = started(base);
    assert!(!text.contains("put aside"));
    fs::write(base.join("demo-mail/INBOX/new/mine"), "Subject: mine\n\n").unwrap();
    let refused = Demo::start(base).err().unwrap();
    assert!(refused.contains("another demo is running here"), "{refused}");
    drop(first);
    let (_, text) = started(base);
    assert!(text.contains("it is demo-mail-old-1 now") && text.contains("48 of 48"), "{text}");
    assert!(base.join("demo-mail-old-1/INBOX/new/mine").exists());

    let other = tempfile::tempdir().unwrap();
    fs::create_dir(other.path().join("demo-mail")).unwrap();
    fs::write(other.path().join("demo-mail/thesis"), "").unwrap();
    let refused = Demo::start(other.path()).err().unwrap();
    assert!(refused.contains("is not from a demo"), "{refused}");
}

/// What the called process does: nothing, unless it was called for this.
#[test]
fn child() {
    if std::env::var_os(CHILD).is_some() {
        example::run().unwrap();
    }
}

#[test]
fn ctrl_c_ends_it_with_a_word() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "demo::child", "--nocapture"]).env(CHILD, "1");
    command.current_dir(dir.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("Ctrl-C ends it") {
        line.clear();
        assert!(stdout.read_line(&mut line).unwrap() > 0, "it ended early");
    }
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("Clean up with: rm -r demo-mail*"), "{rest}");
    assert!(child.wait().unwrap().success());
}
