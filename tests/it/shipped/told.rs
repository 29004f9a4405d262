//! What a running mailtide tells: its log, `status --watch`, the user's programs; and what it
//! says where it cannot watch.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Stdio;

use kit::dovecot::PASSWORD;
use kit::imap::{Fault, When};
use kit::unprivileged;

use super::{Mirror, mail};
use crate::running::{Running, until};

/// Watched, by a server that tells of all mailboxes.
fn running(mirror: &Mirror) -> Running {
    mirror.server.configure(|p| p.notify = true);
    let running = Running::start(mirror.command());
    running.says("me: start:", 1);
    until("it listens", || mirror.run(&["status"]).text.contains("by notify"));
    running
}

#[test]
fn a_protocol_trace_can_be_had_and_ended_and_holds_no_secret() {
    let mirror = Mirror::in_step();
    let running = running(&mirror);
    assert!(!running.log().contains("trace:"));
    mirror.run(&["log", "trace", "me"]).expect(0, &[]);
    // It signs in anew, and a body comes down.
    mirror.server.append("INBOX", &mail("a body of nobody's business"), &["\\Seen"], Some(7));
    mirror.server.drop_connections();
    until("it comes down", || mirror.files("INBOX").len() == 4);
    running.says("trace: me: C: AUTHENTICATE PLAIN ***", 1);
    running.says("trace: me: S: ", 5);
    let log = running.log();
    assert!(!log.contains(PASSWORD) && !log.contains("business"), "{log}");
    mirror.run(&["log", "default"]).expect(0, &[]);
    mirror.run(&["sync"]).expect(0, &["in sync"]);
    let lines = running.log().matches("trace:").count();
    mirror.run(&["sync"]).expect(0, &["in sync"]);
    assert_eq!(running.log().matches("trace:").count(), lines);
    mirror.run(&["log", "trace", "you"]).expect(1, &["no such account"]);
    mirror.run(&["log", "loud"]).expect(2, &["trace"]);
    running.end();
    mirror.run(&["log", "trace"]).expect(1, &["no mailtide is running"]);
}

#[test]
fn status_shows_changes_as_they_happen() {
    let mirror = Mirror::in_step();
    let running = running(&mirror);
    let mut command = mirror.command();
    command.args(["status", "--watch", "--json"]).stdout(Stdio::piped());
    let mut watching = command.spawn().unwrap();
    let mut lines = BufReader::new(watching.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut next = |state: &str| {
        let is = |line: &String| {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            value["accounts"][0]["state"] == state
        };
        assert!(lines.any(|line| is(&line)), "it never says {state}");
    };
    next("in_step");
    mirror.run(&["pause"]).expect(0, &["paused"]);
    next("paused");
    mirror.run(&["resume"]).expect(0, &[]);
    next("in_step");
    running.end();
    // Nobody is left to ask, and it says so.
    assert_eq!(watching.wait().unwrap().code(), Some(1));
}

#[test]
fn new_mail_is_told_with_its_files() {
    let mirror = Mirror::in_step();
    let (seen, script) =
        (mirror.root().with_file_name("seen"), mirror.root().with_file_name("new-mail.sh"));
    let text = format!(
        "#!/bin/sh\necho \"$MAILTIDE_NEW $MAILTIDE_MAILBOXES\" >> {seen:?}\n\
         grep -h Subject: \"$MAILTIDE_FILES\" >> {seen:?}\n"
    );
    fs::write(&script, text).unwrap();
    unprivileged::give(&script);
    super::set_mode(&script, 0o755);
    mirror.configure(&format!("new_mail = [{script:?}]\n"));
    let running = running(&mirror);
    // What somebody has read already is no news.
    mirror.server.append("INBOX", &mail("read elsewhere"), &["\\Seen"], Some(7));
    until("it comes down", || mirror.files("INBOX").len() == 4);
    mirror.server.append("Work", &mail("for you"), &[], Some(8));
    let told = || fs::read_to_string(&seen).unwrap_or_default();
    until("it is told", || told() == "1 Work\nSubject: for you\n");
    running.end();
    // A run by hand tells the same.
    mirror.server.append("INBOX", &mail("by hand"), &[], Some(9));
    mirror.run(&["sync"]).expect(0, &[]);
    assert_eq!(told(), "1 Work\nSubject: for you\n1 INBOX\nSubject: by hand\n");
}

/// In a user namespace of its own the limit is one for this process alone.
#[test]
fn where_too_little_can_be_watched_it_says_so_and_looks_by_itself() {
    let unshare = Path::new("/usr/bin/unshare");
    let mirror = Mirror::in_step();
    let mut attempt = unprivileged::command(unshare, mirror.dir.path());
    let allowed = attempt.args(["-Ur", "true"]).stderr(Stdio::null()).status();
    if !allowed.is_ok_and(|status| status.success()) {
        kit::skipped("this system forbids user namespaces");
        return;
    }
    let mailtide = mirror.command().get_program().to_owned();
    let mut command = unprivileged::command(unshare, mirror.dir.path());
    mirror.arm(&mut command);
    let limit = "echo 3 > /proc/sys/user/max_inotify_watches && exec \"$0\" \"$@\"";
    command.args(["-Ur", "sh", "-c", limit]).arg(mailtide);
    let running = Running::start(command);
    running.says("fs.inotify.max_user_watches", 1);
    running.says("looked at every 30 s", 1);
    mirror.server.append("INBOX", &mail("down all the same"), &[], Some(7));
    until("it comes down", || mirror.files("INBOX").len() == 4);
    // What it cannot see it finds by the next cause at the latest.
    mirror.deliver("Work", "up all the same");
    mirror.run(&["sync"]).expect(0, &["in sync"]);
    assert_eq!(mirror.server.list("Work").len(), 4);
    running.end();
}

/// What systemd hears (sd_notify(3)): of a server that answers late, of one that answers, of life
/// and of the end.
#[test]
fn the_service_manager_is_kept_informed() {
    let mirror = Mirror::in_step();
    let path = mirror.dir.path().join("manager");
    let manager = UnixDatagram::bind(&path).unwrap();
    unprivileged::give(&path);
    let silent = mirror.server.inject(Fault::Hang, When::connect());
    let mut command = mirror.command();
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "400000");
    let running = Running::start(command);
    let hear = || {
        let mut text = [0; 4096];
        let size = manager.recv(&mut text).unwrap();
        String::from_utf8_lossy(&text[..size]).into_owned()
    };
    let mut heard = Vec::new();
    let mut until_hears = |words: &str| {
        while !heard.last().is_some_and(|text: &String| text.contains(words)) {
            heard.push(hear());
        }
        std::mem::take(&mut heard)
    };
    // It lives, and is not ready: the one account is neither signed in nor known not to be.
    let before = [until_hears("WATCHDOG=1"), until_hears("WATCHDOG=1")].concat();
    assert!(silent.hits() > 0 && !before.iter().any(|text| text.contains("READY=1")), "{before:?}");
    mirror.server.heal();
    mirror.server.drop_connections();
    until_hears("READY=1");
    until_hears("STATUS=1 in sync");
    until_hears("WATCHDOG=1");
    let ending = std::thread::spawn(move || running.end());
    until_hears("STOPPING=1");
    assert_eq!(ending.join().unwrap().0.code(), Some(0));
}
