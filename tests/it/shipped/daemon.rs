//! `mailtide run` beside the simulated server: faults, commands to it, and how it ends.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use kit::imap::{Fault, When};
use rustix::process::Signal;

use super::{Mirror, Said, mail};
use crate::running::{Running, until};

/// A mirror that is in step and watched.
fn running() -> (Mirror, Running) {
    let mirror = Mirror::in_step();
    let running = Running::start(mirror.command());
    running.says("start:", 1);
    until("it listens", || now(&mirror).contains("in sync") && now(&mirror).contains("by idle"));
    (mirror, running)
}

/// What `status` says of now.
fn now(mirror: &Mirror) -> String {
    let said = mirror.run(&["status"]).text;
    said.lines().find(|line| line.trim_start().starts_with("now ")).unwrap_or_default().to_owned()
}

fn arrives(mirror: &Mirror, subject: &str) {
    let before = mirror.files("INBOX").len();
    mirror.server.append("INBOX", &mail(subject), &["\\Seen"], Some(99));
    until("it comes down", || mirror.files("INBOX").len() > before);
}

fn leaves(mirror: &Mirror, subject: &str) {
    let before = mirror.server.list("Work").len();
    mirror.deliver("Work", subject);
    until("it goes up", || mirror.server.list("Work").len() > before);
}

/// What came or went is dealt with: a run that is cut off in its middle is a failure more, after
/// which the next attempt is later.
fn in_step(mirror: &Mirror) {
    until("it is in sync", || now(mirror).contains("in sync"));
}

#[test]
fn a_lost_connection_is_made_again_and_nothing_is_missed() {
    let (mirror, running) = running();
    for n in 0..5 {
        mirror.server.drop_connections();
        arrives(&mirror, &format!("down {n}"));
        leaves(&mirror, &format!("up {n}"));
        in_step(&mirror);
    }
    for fault in [Fault::Bye("going down".to_owned()), Fault::CutBefore, Fault::CutAfter] {
        let struck = mirror.server.inject(fault, When::verb("LIST").nth(1));
        mirror.server.append("INBOX", &mail("during a fault"), &[], Some(7));
        until("the fault struck", || struck.hits() == 1);
        mirror.server.withdraw(&struck);
        arrives(&mirror, "after a fault");
        in_step(&mirror);
    }
    assert_eq!(running.end().0.code(), Some(0));
    mirror.agree();
}

#[test]
fn a_refused_sign_in_is_said_and_tried_again_when_somebody_asks() {
    let mirror = Mirror::in_step();
    let wrong = Some(("me".to_owned(), "other".to_owned()));
    mirror.server.configure(|p| p.credentials = wrong);
    let running = Running::start(mirror.command());
    until("it says so", || now(&mirror).contains("not signed in"));
    let tries = mirror.server.counters().connections;
    mirror.server.configure(|p| p.credentials = None);
    // By itself it would wait for a minute.
    assert_eq!(mirror.server.counters().connections, tries);
    mirror.run(&["sync"]).expect(0, &["in sync"]);
    arrives(&mirror, "signed in");
    running.end();
}

#[test]
fn without_push_it_polls_and_file_events_work_all_the_same() {
    let mirror = Mirror::in_step();
    mirror.server.configure(|p| p.idle = false);
    mirror.configure("poll = \"1m\"\n");
    let running = Running::start(mirror.command());
    running.says("start:", 1);
    until("it polls", || now(&mirror).contains("in sync") && now(&mirror).contains("by poll"));
    leaves(&mirror, "up");
    mirror.server.append("INBOX", &mail("down"), &[], Some(7));
    // The next cause is one for both sides.
    mirror.run(&["sync", "me"]).expect(0, &["in sync"]);
    assert_eq!(mirror.files("INBOX").len(), 4);
    running.end();
}

#[test]
fn a_pause_holds_both_ways_and_resume_catches_up() {
    let (mirror, running) = running();
    mirror.run(&["pause", "me"]).expect(0, &["paused"]);
    until("it is paused", || now(&mirror).contains("paused"));
    let said = mirror.server.counters().octets_received;
    mirror.server.append("INBOX", &mail("there"), &[], Some(7));
    mirror.deliver("Work", "here");
    mirror.run(&["status"]).expect(0, &["paused"]);
    assert_eq!(mirror.server.counters().octets_received, said, "nothing is said meanwhile");
    mirror.run(&["resume"]).expect(0, &[]);
    until("it catches up", || {
        mirror.files("INBOX").len() == 4 && mirror.server.list("Work").len() == 4
    });
    mirror.run(&["pause", "you"]).expect(2, &["you"]);
    running.end();
    mirror.run(&["pause"]).expect(1, &["no mailtide is running"]);
}

#[test]
fn what_is_held_waits_for_a_person_and_then_passes() {
    let mirror = Mirror::in_step();
    for n in 0..30 {
        mirror.server.append("INBOX", &mail(&format!("one of many {n}")), &[], Some(n));
    }
    mirror.run(&["sync"]).expect(0, &[]);
    let running = Running::start(mirror.command());
    until("it is in sync", || now(&mirror).contains("in sync"));
    for file in mirror.files("INBOX") {
        fs::remove_file(file).unwrap();
    }
    until("it is held", || now(&mirror).contains("held"));
    assert_eq!(mirror.server.list("INBOX").len(), 33);
    let holds = mirror.json(4, &["holds"]);
    let id = holds["holds"][0]["id"].as_str().unwrap();
    mirror.run(&["approve", id]).expect(0, &[]);
    until("it passes", || mirror.server.list("INBOX").is_empty());
    until("and is over", || now(&mirror).contains("in sync"));
    running.end();
}

/// Whatever is written to the socket: it answers or hangs up, and mail goes on.
#[test]
fn nonsense_on_the_control_socket_harms_nothing() {
    let (mirror, running) = running();
    let socket = mirror.state().join("control.sock");
    let mode = fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let long = "x".repeat(1 << 20);
    let deep = "[".repeat(10_000);
    for text in ["\n", "{}\n", "{\"do\":\"fly\"}\n", "\0\0\n", "", &long, &deep, "{\"do\":"] {
        let mut stream = UnixStream::connect(&socket).unwrap();
        // It may hang up before all is written.
        let _ = stream.write_all(text.as_bytes());
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        assert!(answer.is_empty() || answer.contains("\"error\""), "{answer}");
    }
    let silent: Vec<_> = (0..40).map(|_| UnixStream::connect(&socket).unwrap()).collect();
    arrives(&mirror, "all the same");
    drop(silent);
    until("it answers", || now(&mirror).contains("in sync"));
    running.end();
}

#[test]
fn a_second_one_leaves_the_first_alone() {
    let (mirror, running) = running();
    mirror.run(&["run"]).expect(5, &["a mailtide runs already"]);
    arrives(&mirror, "still");
    running.end();
}

#[test]
fn it_ends_within_seconds_whatever_it_waits_for() {
    // The server has fallen silent in the middle of a run.
    let (mirror, running) = running();
    let silent = mirror.server.inject(Fault::Hang, When::verb("LIST"));
    mirror.server.append("INBOX", &mail("never"), &[], Some(7));
    until("it waits", || silent.hits() > 0);
    let (ended, log) = running.end();
    assert_eq!(ended.code(), Some(0), "{log}");
    mirror.server.heal();
    // It cannot be reached.
    let port = mirror.port;
    mirror.configure_at(1, "");
    let running = Running::start(mirror.command());
    running.says("tried again in", 1);
    assert_eq!(running.end().0.code(), Some(0));
    mirror.configure_at(port, "");
    mirror.agree();
}

#[test]
fn a_program_is_told_of_changes_one_at_a_time() {
    let mirror = Mirror::in_step();
    let seen = mirror.root().with_file_name("seen");
    let script = mirror.root().with_file_name("hook.sh");
    let lock = mirror.root().with_file_name("lock");
    let text = format!(
        "#!/bin/sh\nmkdir {0:?} || echo twice >> {1:?}\n\
         echo \"$MAILTIDE_ACCOUNT $MAILTIDE_NEW $MAILTIDE_MAILBOXES\" >> {1:?}\nrmdir {0:?}\n",
        lock, seen
    );
    fs::write(&script, text).unwrap();
    kit::unprivileged::give(&script);
    super::set_mode(&script, 0o755);
    mirror.configure(&format!("on_change = [{script:?}]\n"));
    let running = Running::start(mirror.command());
    running.says("start:", 1);
    for n in 0..6 {
        arrives(&mirror, &format!("hook {n}"));
    }
    let told = || {
        let text = fs::read_to_string(&seen).unwrap_or_default();
        let new = |line: &str| line.split(' ').nth(1).and_then(|n| n.parse::<u64>().ok());
        let sum = text.lines().filter_map(new).sum::<u64>();
        (sum, text)
    };
    until("it is told of each message", || told().0 == 6);
    assert!(!told().1.contains("twice"), "{}", told().1);
    running.end();
}

/// Idle, nobody says anything on the wire.
#[test]
fn what_only_we_did_is_not_asked_about() {
    let (mirror, running) = running();
    leaves(&mirror, "up");
    until("it is in sync", || now(&mirror).contains("in sync"));
    arrives(&mirror, "down");
    mirror.run(&["sync"]).expect(0, &["in sync"]);
    mirror.server.reset_counters();
    // Names of ours, and readers: none of it is a reason to ask.
    for file in mirror.files("INBOX") {
        fs::read(&file).unwrap();
    }
    fs::write(mirror.root().join("INBOX/tmp/draft"), "not yet").unwrap();
    mirror.run(&["status"]).expect(0, &["in sync"]);
    let Said { text, .. } = mirror.run(&["status", "--json"]);
    assert!(text.contains("\"state\": \"in_step\""), "{text}");
    assert_eq!(mirror.server.counters().octets_received, 0);
    running.end();
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let (mirror, mut running) = running();
    let silent = mirror.server.inject(Fault::Hang, When::verb("LIST"));
    mirror.server.append("INBOX", &mail("never"), &[], Some(7));
    until("it waits", || silent.hits() > 0);
    running.signal(Signal::TERM);
    running.signal(Signal::INT);
    let begun = Instant::now();
    until("it ends", || running.ended().is_some());
    assert_eq!(running.ended().unwrap().code(), Some(130));
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    mirror.server.heal();
    mirror.agree();
}

/// Directories come one by one; the first of them is no mailbox yet.
#[test]
fn a_mailbox_may_be_made_in_parts() {
    let (mirror, running) = running();
    for (n, parts) in [["", "tmp", "new", "cur"], ["", "cur", "new", "tmp"]].iter().enumerate() {
        let dir = mirror.root().join(format!("Made {n}"));
        for part in parts {
            let part = dir.join(part);
            fs::create_dir(&part).unwrap();
            kit::unprivileged::give(&part);
            // It has looked in between, and may have complained of a half.
            let _ = mirror.run(&["sync"]);
        }
        mirror.deliver(&format!("Made {n}"), "first");
        until("it goes up", || mirror.server.list(&format!("Made {n}")).len() == 1);
    }
    running.end();
}

/// A watch goes with its directory; what takes its place at once is watched all the same.
#[test]
fn a_mailbox_that_is_made_anew_is_watched_anew() {
    let (mirror, running) = running();
    let dir = mirror.root().join("Fresh");
    for n in 0..5 {
        let _ = fs::remove_dir_all(&dir);
        for part in ["tmp", "new", "cur"] {
            fs::create_dir_all(dir.join(part)).unwrap();
        }
        kit::unprivileged::give(&dir);
        let _ = mirror.run(&["sync"]);
        until("it is in sync", || now(&mirror).contains("in sync"));
        let subject = format!("fresh {n}");
        mirror.deliver("Fresh", &subject);
        until("it goes up", || mirror.subjects("Fresh").contains(&subject));
    }
    running.end();
}
