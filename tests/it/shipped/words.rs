//! What is said: JSON for programs, no foreign control characters, and the server's own words
//! about what it refuses.

use std::fs;

use kit::imap::{Fault, When};
use kit::unprivileged;
use serde_json::Value;

use super::{Mirror, mail, set_mode};

#[track_caller]
fn has_keys(value: &Value, keys: &[&str]) {
    let object = value.as_object().unwrap();
    for key in keys {
        assert!(object.contains_key(*key), "no {key:?} in {value}");
    }
}

const SYNC: [&str; 20] = [
    "account",
    "dry_run",
    "agreed",
    "failure",
    "pulled",
    "pushed",
    "moved",
    "paired",
    "flags_local",
    "flags_remote",
    "removed_local",
    "removed_remote",
    "skipped",
    "set_aside",
    "problems",
    "holds",
    "plan",
    "seconds",
    "bytes_down",
    "bytes_up",
];
const STATUS: [&str; 10] = [
    "account",
    "remote",
    "maildir",
    "last_run",
    "mailboxes",
    "messages",
    "waiting",
    "set_aside",
    "problems",
    "holds",
];
const HOLD: [&str; 8] = ["id", "account", "mailbox", "what", "messages", "why", "since", "decided"];
const NAMED: [&str; 4] = ["mailbox", "message", "what", "words"];

#[test]
fn json_has_its_fields() {
    let mirror = Mirror::new();
    for n in 1..=60 {
        mirror.server.append("Many", &mail(&format!("many {n}")), &["\\Seen"], Some(n));
    }
    let never = mirror.json(0, &["status"]);
    assert_eq!(never["accounts"][0]["last_run"], Value::Null);
    let first = mirror.json(0, &["sync"]);
    has_keys(&first["accounts"][0], &SYNC);
    assert_eq!(
        (&first["accounts"][0]["pulled"], &first["accounts"][0]["agreed"]),
        (&Value::from(66), &Value::from(true))
    );
    assert_eq!(mirror.json(0, &["holds"])["holds"], Value::Array(Vec::new()));
    mirror.files("Many").iter().for_each(|file| fs::remove_file(file).unwrap());
    let held = mirror.json(4, &["sync"]);
    has_keys(&held["accounts"][0]["holds"][0], &HOLD);
    let status = mirror.json(4, &["status"]);
    has_keys(&status["accounts"][0], &STATUS);
    has_keys(&status["accounts"][0]["last_run"], &["at", "exit", "failure"]);
    let hold = &mirror.json(4, &["holds"])["holds"][0];
    assert_eq!((&hold["mailbox"], &hold["messages"]), (&"Many".into(), &60.into()));
    let id = hold["id"].as_str().unwrap();
    let approved = mirror.json(0, &["approve", id]);
    assert_eq!(approved["hold"]["decided"], "approved");
    set_mode(&mirror.deliver("INBOX", "locked"), 0o000);
    let skipped = mirror.json(1, &["sync"]);
    has_keys(&skipped["accounts"][0]["problems"][0], &NAMED);
    mirror.deliver("INBOX", "open");
    let dry = mirror.json(1, &["sync", "--dry-run"]);
    assert!(!dry["accounts"][0]["plan"].as_array().unwrap().is_empty(), "{dry}");
}

/// What could drive a terminal, or deceive the one who reads it.
fn is_wild(c: char) -> bool {
    (c.is_control() && c != '\n')
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[test]
fn nothing_that_a_server_or_a_file_name_says_reaches_the_terminal_raw() {
    const WILD: &str = "\u{1b}[2J\u{1b}]0;x\u{7}\u{9b}31m\u{202e}";
    let mirror = Mirror::in_step();
    // `&ABs-` is the escape character in a name on the wire.
    let list = b"* LIST () \"/\" \"box&ABs-[2J\"\r\n* LIST () \"/\" \"raw\x1b[2J\"\r\n".to_vec();
    mirror.server.inject(Fault::Inject(list), When::verb("LIST"));
    mirror.deliver("INBOX", &format!("name{WILD}"));
    fs::create_dir_all(mirror.root().join(format!("dir{WILD}/cur"))).unwrap();
    let no = format!("[CANNOT] no{WILD}");
    mirror.server.inject(Fault::No(no), When::verb("APPEND"));
    let mut all = String::new();
    let mut hear = |arguments: &[&str]| all += &mirror.run(arguments).text;
    hear(&["sync", "--dry-run"]);
    hear(&["sync", "-vv"]);
    hear(&["sync", "--json"]);
    hear(&["status"]);
    hear(&["status", "--json"]);
    mirror
        .server
        .inject(Fault::No(format!("[AUTHENTICATIONFAILED] no{WILD}")), When::verb("AUTHENTICATE"));
    hear(&["sync"]);
    mirror.server.inject(Fault::Bye(format!("bye{WILD}")), When::connect());
    hear(&["sync"]);
    hear(&["sync", &format!("me{WILD}")]);
    hear(&["approve", WILD]);
    let wild: Vec<&str> = all.lines().filter(|line| line.contains(is_wild)).collect();
    assert!(wild.is_empty(), "{wild:#?}");
    // It was all said, escaped.
    for part in ["box\\u{1b}", "name\\u{1b}", "dir\\u{1b}", "no\\u{1b}", "bye\\u{1b}"] {
        assert!(all.contains(part), "nothing of {part}:\n{all}");
    }
}

/// Refusals are final for what is refused: set aside in the server's words, no second attempt
/// before it changes.
#[track_caller]
fn is_set_aside(mirror: &Mirror, words: &str) {
    let appends = || mirror.server.counters().verb("APPEND");
    mirror.sync().expect(0, &["set aside", words]);
    let tried = appends();
    for _ in 0..8 {
        mirror.sync().expect(0, &["set aside", words]);
    }
    assert!(appends() - tried <= 10, "tried ever more rarely while it is the same");
    mirror.run(&["status"]).expect(0, &["set aside", words]);
}

#[test]
fn what_is_too_large_for_the_server_waits_until_it_is_smaller() {
    let mirror = Mirror::in_step();
    let large = mirror.deliver("INBOX", "large");
    mirror.server.configure(|p| p.append_limit = Some(50));
    mirror.deliver("Work", "second");
    is_set_aside(&mirror, "INBOX");
    mirror.server.configure(|p| p.append_limit = Some(100));
    fs::remove_file(&large).unwrap();
    mirror.deliver("INBOX", "s");
    mirror.sync().expect(0, &["pushed 1"]);
    assert_eq!(mirror.subjects("INBOX").len(), 4);
}

/// A message that the server refuses for good, until its file holds another one.
fn refused_and_edited(mirror: &Mirror) {
    let file = mirror.deliver("INBOX", "refused");
    mirror.deliver("Work", "welcome");
    let no = Fault::No("[CANNOT] smells of fish".to_owned());
    mirror.server.inject(no, When::verb("APPEND").mailbox("INBOX"));
    is_set_aside(mirror, "smells of fish");
    assert_eq!(mirror.subjects("Work").len(), 4, "others go up");
    assert_eq!(mirror.subjects("INBOX").len(), 3);
    assert!(file.exists());
    mirror.server.heal();
    let edited = mirror.root().join("INBOX/tmp/edited");
    fs::write(&edited, String::from_utf8(mail("edited")).unwrap().replace('\r', "")).unwrap();
    fs::rename(&edited, &file).unwrap();
    unprivileged::give(&file);
    mirror.agree();
    assert_eq!(mirror.subjects("INBOX").len(), 4);
}

#[test]
fn what_the_server_refuses_waits_until_the_file_changes() {
    refused_and_edited(&Mirror::in_step());
}

#[test]
fn what_was_edited_and_taken_is_set_aside_no_more() {
    let mirror = Mirror::in_step();
    refused_and_edited(&mirror);
    let status = mirror.run(&["status"]);
    assert!(!status.text.contains("set aside"), "{}", status.text);
}

#[test]
fn a_full_mailbox_is_tried_again_by_each_run() {
    let mirror = Mirror::in_step();
    mirror.deliver("INBOX", "waits");
    let full = Fault::No("[OVERQUOTA] no room".to_owned());
    mirror.server.inject(full, When::verb("APPEND"));
    for tried in 1..=2 {
        mirror.sync().expect(1, &["no room"]);
        assert_eq!(mirror.server.counters().verb("APPEND"), tried);
    }
    mirror.server.heal();
    mirror.agree();
    assert_eq!(mirror.subjects("INBOX").len(), 4);
}
