//! `mailtide verify` as a person meets it, and the way back from what it finds.

use std::fs;
use std::path::PathBuf;

use super::{Mirror, Said};
use crate::running::{Running, until};

fn run(mirror: &Mirror, arguments: &[&str]) -> Said {
    mirror.command().args(arguments).output().unwrap().into()
}

fn file(mirror: &Mirror) -> PathBuf {
    let mut entries = fs::read_dir(mirror.root().join("Work/cur")).unwrap();
    entries.next().unwrap().unwrap().path()
}

/// The disk gives back something else than was written, and the times say nothing of it.
fn rot(path: &PathBuf) {
    let modified = fs::metadata(path).unwrap().modified().unwrap();
    let mut bytes = fs::read(path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(path, bytes).unwrap();
    fs::File::options().write(true).open(path).unwrap().set_modified(modified).unwrap();
}

#[test]
fn a_disk_that_dies() {
    let mirror = Mirror::in_step();
    run(&mirror, &["verify"]).expect(0, &["verified: 6 files are as recorded  ("]);
    let path = file(&mirror);
    rot(&path);
    run(&mirror, &["sync"]).expect(0, &["nothing to do"]);
    run(&mirror, &["verify"]).expect(
        1,
        &["differs: 5 files are as recorded; 1 not", "  differs    Work: ", "check the disk"],
    );
    run(&mirror, &["verify", "me/INBOX"]).expect(0, &["verified: 3 files"]);
    // The way back, as README has it.
    fs::remove_file(path).unwrap();
    run(&mirror, &["verify", "--quiet"])
        .expect(1, &["a sync would do this", "1  Work: deleted here"]);
    run(&mirror, &["adopt", "me"]).expect(0, &[]);
    run(&mirror, &["sync"]).expect(0, &["pulled 1"]);
    let told = "verified: 6 files are as recorded, and 6 messages on the server";
    run(&mirror, &["verify", "--bodies"]).expect(0, &[told]);
    assert_eq!(mirror.server.list("Work").len(), 3);
}

#[test]
fn what_a_program_reads() {
    let mirror = Mirror::in_step();
    rot(&file(&mirror));
    let said = run(&mirror, &["verify", "--bodies", "--json"]);
    let lines: Vec<serde_json::Value> =
        said.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        (lines[0]["event"].as_str(), lines[0]["dry_run"].as_bool()),
        (Some("started"), Some(true))
    );
    let last = lines.last().unwrap();
    assert_eq!((last["event"].as_str(), last["exit"].as_i64()), (Some("done"), Some(1)));
    let verified = &last["accounts"][0]["verified"];
    assert_eq!((&verified["files"], &verified["bodies"]), (&5.into(), &6.into()));
    assert_eq!(verified["differs"].as_array().unwrap().len(), 1);
    // What is said of a run has no such key.
    let said = run(&mirror, &["sync", "--json"]);
    assert!(!said.text.contains("verified"), "{}", said.text);
}

/// It reads beside whoever has the Maildir.
#[test]
fn beside_a_daemon() {
    let mirror = Mirror::in_step();
    let running = Running::start(mirror.command());
    until("it is in sync", || run(&mirror, &["status"]).text.contains("now in sync"));
    run(&mirror, &["verify", "--bodies"]).expect(0, &["verified: 6 files"]);
    assert_eq!(running.end().0.code(), Some(0));
}
