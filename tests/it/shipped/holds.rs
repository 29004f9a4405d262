//! Holds as people meet them: `sync`, `run`, `holds`, `approve`, `reject`, hooks, exit codes.

use std::fs;

use super::{Mirror, mail};
use crate::running::{Running, until};

/// Thirty messages more in INBOX, in step.
fn filled() -> Mirror {
    let mirror = Mirror::in_step();
    for n in 0..30 {
        mirror.server.append("INBOX", &mail(&format!("one of many {n}")), &["\\Seen"], Some(n));
    }
    mirror.agree();
    mirror
}

fn remove_all(mirror: &Mirror, mailbox: &str) {
    mirror.files(mailbox).iter().for_each(|file| fs::remove_file(file).unwrap());
}

/// The id of the one hold.
#[track_caller]
fn id(mirror: &Mirror) -> String {
    let holds = mirror.json(4, &["holds"]);
    let list = holds["holds"].as_array().unwrap();
    assert_eq!(list.len(), 1, "{holds}");
    list[0]["id"].as_str().unwrap().to_owned()
}

#[test]
fn a_hold_waits_for_an_answer_and_says_what_it_is() {
    let mirror = filled();
    remove_all(&mirror, "INBOX");
    let dry = mirror.run(&["sync", "--dry-run"]);
    dry.expect(4, &["remove from the server, 33 messages"]);
    assert!(!dry.text.contains("approve"), "nothing to answer yet:\n{}", dry.text);
    mirror.sync().expect(4, &["held", "remove from the server", "mailtide approve"]);
    let first = id(&mirror);
    // New mail, on either side, releases nothing.
    mirror.server.append("INBOX", &mail("fresh"), &["\\Seen"], Some(99));
    mirror.deliver("Work", "written");
    for _ in 0..2 {
        mirror.sync().expect(4, &["held", &first]);
    }
    assert_eq!(mirror.server.list("INBOX").len(), 34);
    mirror.run(&["status"]).expect(4, &["something is held", &first]);
    let status = mirror.json(4, &["status"]);
    assert_eq!(status["accounts"][0]["last_run"]["exit"], 4, "{status}");
    let shown = mirror.run(&["holds", "me"]);
    shown.expect(4, &["a@example.org", "one of many", "and 23 more"]);
    let json = mirror.json(4, &["holds"]);
    let hold = &json["holds"][0];
    assert_eq!((&hold["kind"], &hold["side"]), (&"removal".into(), &"server".into()), "{json}");
    assert_eq!(hold["samples"].as_array().unwrap().len(), 10, "{json}");
    mirror.run(&["holds", "you"]).expect(2, &["you"]);
    mirror.run(&["approve", ""]).expect(2, &["nothing is held"]);
    mirror.run(&["approve", &first[..4]]).expect(0, &["approved"]);
    mirror.sync().expect(0, &["removed 33 on the server"]);
    assert_eq!(mirror.subjects("INBOX"), ["fresh"]);
    mirror.run(&["holds"]).expect(0, &["nothing is held"]);
    mirror.agree();
}

#[test]
fn an_id_that_was_replaced_answers_nothing() {
    let mirror = filled();
    for n in 0..60 {
        mirror.server.append("Work", &mail(&format!("work {n}")), &["\\Seen"], Some(n));
    }
    mirror.agree();
    let files = mirror.files("Work");
    files.iter().take(55).for_each(|file| fs::remove_file(file).unwrap());
    mirror.sync().expect(4, &[]);
    let old = id(&mirror);
    files.iter().skip(55).take(3).for_each(|file| fs::remove_file(file).unwrap());
    mirror.sync().expect(4, &[]);
    let new = id(&mirror);
    assert_ne!(old, new);
    let said = mirror.run(&["approve", &old]);
    said.expect(4, &[&old, "was replaced by", &new, "58 messages, 3 of them since"]);
    assert_eq!(mirror.server.list("Work").len(), 63);
    mirror.run(&["reject", &new]).expect(0, &["brings them back"]);
    mirror.agree();
    assert_eq!((mirror.server.list("Work").len(), mirror.files("Work").len()), (63, 63));
}

#[test]
fn run_tells_of_a_hold_once_and_runs_the_hook() {
    let mirror = filled();
    let heard = mirror.dir.path().join("heard");
    let hook = format!(
        "echo $MAILTIDE_ACCOUNT $MAILTIDE_HOLD $MAILTIDE_KIND $MAILTIDE_SIDE $MAILTIDE_COUNT \
         $MAILTIDE_MAILBOX >> {}",
        heard.display()
    );
    mirror.configure(&format!("on_hold = [\"sh\", \"-c\", {hook:?}]\n"));
    let running = Running::start(mirror.command());
    running.says("start:", 1);
    remove_all(&mirror, "INBOX");
    until("it is held", || mirror.run(&["holds"]).code == 4);
    let id = id(&mirror);
    until("the hook heard", || fs::read_to_string(&heard).is_ok_and(|text| text.ends_with('\n')));
    mirror.server.append("INBOX", &mail("fresh"), &["\\Seen"], Some(99));
    until("new mail comes", || mirror.files("INBOX").len() == 1);
    mirror.run(&["sync"]).expect(4, &["held for approval"]);
    assert_eq!(mirror.server.list("INBOX").len(), 34);
    let told = fs::read_to_string(&heard).unwrap();
    assert_eq!(told, format!("me {id} removal server 33 INBOX\n"));
    let log = running.log();
    assert_eq!(log.matches(&format!("mailtide approve {id}")).count(), 1, "{log}");
    mirror.run(&["reject", &id]).expect(0, &[]);
    until("they are back", || mirror.files("INBOX").len() == 34);
    until("nothing is held", || mirror.run(&["holds"]).code == 0);
    running.end();
    mirror.agree();
}

#[test]
fn a_run_that_could_not_connect_is_remembered_as_that() {
    let mirror = Mirror::in_step();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    mirror.configure_at(nobody, "");
    mirror.sync().expect(3, &[]);
    let status = mirror.json(0, &["status"]);
    assert_eq!(status["accounts"][0]["last_run"]["exit"], 3, "{status}");
}

#[test]
fn limits_are_printed_in_words() {
    let mirror = Mirror::new();
    for (guard, words) in [
        ("", "at most 20 % of its messages (or 50, if that is more), and at most 1000 in all,"),
        ("guard = { messages = 10 }\n", "at most 10 messages may leave"),
        ("guard = { percent = 5 }\n", "at most 5 % of its messages, and at most 1000 in all,"),
        ("guard = { messages = 0 }\n", "no message may leave"),
        ("guard = { percent = 0 }\n", "no message may leave"),
    ] {
        mirror.configure(guard);
        mirror.run(&["check"]).expect(0, &[words]);
    }
}

#[test]
fn a_sync_that_is_asked_for_is_answered_through_reloads() {
    let mirror = Mirror::in_step();
    let running = Running::start(mirror.command());
    running.says("start:", 1);
    for n in 0..12 {
        // Another limit each time: the account is let go and begun anew.
        mirror.configure(&format!("guard = {{ messages = {} }}\n", 100 + n));
        running.signal(rustix::process::Signal::HUP);
        let mut asked = mirror.command().args(["sync", "me"]).spawn().unwrap();
        until("it is answered", || asked.try_wait().unwrap().is_some());
        assert_eq!(asked.wait().unwrap().code(), Some(0));
    }
    running.end();
    mirror.agree();
}
