//! Memory and work by the changes, not by the size: under a limit that the system keeps.

use std::fs;
use std::process::Command;

use kit::unprivileged;

use super::{Mirror, Said, mail};

/// What a process may use of its own memory, in KiB; below the 64 MB that are promised.
const LIMIT_KIB: u64 = 48 << 10;
const LARGE: usize = 100 << 20;

/// Runs mailtide where it gets no more memory than that.
fn limited(mirror: &Mirror, arguments: &str) -> Said {
    let script = format!("ulimit -d {LIMIT_KIB}; exec \"$MAILTIDE\" {arguments}");
    let mut command: Command =
        unprivileged::command(std::path::Path::new("/bin/sh"), mirror.dir.path());
    mirror.arm(&mut command);
    command.env("MAILTIDE", env!("CARGO_BIN_EXE_mailtide")).args(["-c", &script]);
    command.output().unwrap().into()
}

fn large(subject: &str) -> Vec<u8> {
    let mut text = mail(subject);
    let line = format!("{}\r\n", "0123456789abcdef".repeat(4));
    while text.len() < LARGE {
        text.extend_from_slice(line.as_bytes());
    }
    text
}

fn on_disk(text: &[u8]) -> Vec<u8> {
    String::from_utf8_lossy(text).replace("\r\n", "\n").into_bytes()
}

#[test]
fn the_limit_would_be_felt() {
    let mirror = Mirror::new();
    let script = format!("ulimit -d {}; exec \"$MAILTIDE\" sync", 512);
    let mut command = unprivileged::command(std::path::Path::new("/bin/sh"), mirror.dir.path());
    mirror.arm(&mut command);
    command.env("MAILTIDE", env!("CARGO_BIN_EXE_mailtide")).args(["-c", &script]);
    assert!(!command.output().unwrap().status.success(), "half a MiB is not enough");
}

#[test]
fn a_message_of_100_mb_travels_either_way_as_a_stream() {
    let mirror = Mirror::in_step();
    mirror.server.append("INBOX", &large("down"), &["\\Seen"], Some(9));
    let up = mirror.deliver("Work", "up");
    fs::write(&up, on_disk(&large("up"))).unwrap();
    let said = limited(&mirror, "sync");
    said.expect(0, &[]);
    let down = fs::read(mirror.file("INBOX", "down")).unwrap();
    assert!(down == on_disk(&large("down")), "{} octets came down", down.len());
    let there = mirror.server.list("Work").into_iter().max_by_key(|m| m.body.len()).unwrap();
    assert!(there.body[..] == large("up"), "{} octets went up", there.body.len());
    limited(&mirror, "sync").expect(0, &[]);
}

/// What a run with a few changes on both sides sends and receives.
fn few_changes(messages: u32) -> (u64, u64, u64) {
    let mirror = Mirror::new();
    for n in 0..messages {
        let text = format!("Message-ID: <{n}@many>\r\nSubject: many {n}\r\n\r\n{n}\r\n");
        mirror.server.append("Many", text.as_bytes(), &["\\Seen"], Some(i64::from(n)));
    }
    limited(&mirror, "sync").expect(0, &[]);
    assert_eq!(mirror.files("Many").len(), messages as usize);
    mirror.server.reset_counters();
    limited(&mirror, "sync").expect(0, &[]);
    let idle = mirror.server.counters();
    assert_eq!((idle.selects, idle.mutating), (0, 0), "{messages} messages, nothing new");
    for uid in [1, messages / 2, messages] {
        mirror.server.set_flags("Many", uid, &["\\Flagged"], &[]);
    }
    let files = mirror.files("Many");
    for at in [0, files.len() / 2, files.len() - 1] {
        let name = files[at].to_str().unwrap();
        fs::rename(&files[at], name.replace(":2,", ":2,R")).unwrap();
    }
    mirror.server.reset_counters();
    limited(&mirror, "sync").expect(0, &[]);
    let after = mirror.server.counters();
    (after.octets_sent, after.octets_received, after.verbs.values().sum())
}

#[test]
fn a_few_changes_cost_the_same_among_many_messages_as_among_few() {
    let (few, many) = (few_changes(300), few_changes(30_000));
    // Longer numbers, nothing else.
    assert!(many.0 <= few.0 + 600 && many.1 <= few.1 + 300, "{few:?} {many:?}");
    assert_eq!(many.2, few.2, "commands");
}
