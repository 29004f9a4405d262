//! What a run leaves alone: everything, when it is dry; other mailboxes; the server of a pull.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::{Mirror, mail};

/// Each file's bytes and time of change, each directory's time, by path.
type Tree = BTreeMap<PathBuf, (Vec<u8>, SystemTime)>;

fn tree(path: &Path) -> Tree {
    let (mut tree, mut todo) = (BTreeMap::new(), vec![path.to_owned()]);
    while let Some(path) = todo.pop() {
        let meta = fs::symlink_metadata(&path).unwrap();
        let bytes = if meta.is_dir() { Vec::new() } else { fs::read(&path).unwrap() };
        if meta.is_dir() {
            todo.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        // SQLite's table of who reads: whoever looks stands in it.
        if path.to_string_lossy().ends_with(".db-shm") {
            continue;
        }
        tree.insert(path, (bytes, meta.modified().unwrap()));
    }
    tree
}

/// Paths that are not the same in both.
fn changed(before: &Tree, after: &Tree) -> Vec<String> {
    let all: BTreeSet<&PathBuf> = before.keys().chain(after.keys()).collect();
    let changed = all.into_iter().filter(|path| before.get(*path) != after.get(*path));
    changed.map(|path| path.display().to_string()).collect()
}

/// New mail, some of it in a new mailbox.
fn arrivals(mirror: &Mirror) {
    mirror.server.append("INBOX", &mail("fresh"), &[], Some(9));
    mirror.server.append("Far", &mail("far"), &[], Some(9));
}

/// Something to do of every other kind, on both sides.
fn work(mirror: &Mirror) {
    mirror.server.set_flags("INBOX", 1, &["\\Flagged", "Later"], &[]);
    mirror.server.expunge("INBOX", &[2]);
    mirror.deliver("INBOX", "written");
    fs::remove_file(mirror.file("Work", "Work 1")).unwrap();
    let moved = mirror.file("Work", "Work 2");
    let name = moved.file_name().unwrap();
    fs::rename(&moved, mirror.root().join("INBOX/cur").join(name)).unwrap();
}

/// Runs dry and gives what was said; nothing on disk, in the store or on the server changes.
fn dry_run(mirror: &Mirror) -> String {
    let (disk, state) = (tree(&mirror.root()), tree(&mirror.state()));
    let server = mirror.server.world();
    mirror.server.reset_counters();
    let said = mirror.run(&["sync", "--dry-run"]);
    said.expect(0, &["dry run: would do"]);
    assert_eq!(changed(&disk, &tree(&mirror.root())), [""; 0]);
    assert_eq!(changed(&state, &tree(&mirror.state())), [""; 0]);
    assert_eq!(mirror.server.world(), server);
    let counters = mirror.server.counters();
    assert_eq!((counters.mutating, counters.bodies_sent), (0, 0));
    said.text
}

#[test]
fn a_dry_run_says_what_would_be_done_and_does_nothing() {
    let mirror = Mirror::in_step();
    work(&mirror);
    let text = dry_run(&mirror);
    let plan: Vec<&str> = text.lines().skip(1).map(str::trim).collect();
    assert_eq!(
        plan,
        [
            "make Trash on the server",
            "make the directory of Trash",
            "1  INBOX: change flags of the file",
            "1  INBOX: deleted on the server, move the file to the trash",
            "1  INBOX: upload",
            "1  Trash: download",
            "1  Work → INBOX: move on the server (no upload)",
            "1  Work: deleted here, move to Trash on the server",
        ]
    );
    arrivals(&mirror);
    let text = dry_run(&mirror);
    for part in ["make the directory of Far", "1  Far: download", "1  INBOX: download"] {
        assert!(text.contains(part), "{text}");
    }
    mirror.agree();
    assert!(dry_run(&mirror).contains("would do nothing"));
}

#[test]
fn a_dry_first_run_makes_nothing() {
    let mirror = Mirror::new();
    mirror.run(&["sync", "-n"]).expect(0, &["dry run", "INBOX", "Work"]);
    assert!(!mirror.root().exists() && !mirror.state().exists());
    assert_eq!(mirror.server.counters().mutating, 0);
}

#[test]
fn one_mailbox_is_brought_into_step_and_no_other_is_touched() {
    let mirror = Mirror::in_step();
    work(&mirror);
    // A file that came from another mailbox makes that one be looked at, too (hazard 77).
    let moved = mirror.file("INBOX", "Work 2");
    fs::rename(&moved, mirror.root().join("Work/cur").join(moved.file_name().unwrap())).unwrap();
    arrivals(&mirror);
    let (work_dir, server) = (tree(&mirror.root().join("Work")), mirror.server.world());
    mirror.run(&["sync", "me/INBOX"]).expect(0, &["pulled 1"]);
    assert_eq!(changed(&work_dir, &tree(&mirror.root().join("Work"))), [""; 0]);
    assert!(!mirror.root().join("Far").exists());
    let now = mirror.server.world();
    assert_eq!(now["Work"], server["Work"]);
    assert_ne!(now["INBOX"], server["INBOX"], "the written one went up");
    assert_eq!(mirror.file("INBOX", "fresh").parent().unwrap().file_name().unwrap(), "new");
    mirror.agree();
}

#[test]
fn a_pull_never_changes_the_server_and_goes_on_bringing_mail() {
    let mirror = Mirror::new();
    mirror.configure("direction = \"pull\"\n");
    mirror.agree();
    let server = mirror.server.world();
    mirror.server.reset_counters();
    mirror.deliver("INBOX", "written");
    fs::remove_file(mirror.file("INBOX", "INBOX 1")).unwrap();
    let file = mirror.file("INBOX", "INBOX 2");
    fs::rename(&file, mirror.root().join("Work/cur/moved:2,S")).unwrap();
    let file = mirror.file("INBOX", "INBOX 3");
    fs::rename(&file, format!("{}T", file.display())).unwrap();
    fs::write(mirror.file("Work", "Work 1"), mail("edited")).unwrap();
    for sub in ["cur", "new", "tmp"] {
        fs::create_dir_all(mirror.root().join("Mine").join(sub)).unwrap();
    }
    kit::unprivileged::give(&mirror.root());
    mirror.deliver("Mine", "mine");
    mirror.sync().expect(0, &[]);
    assert_eq!(mirror.server.world(), server);
    fs::remove_dir_all(mirror.root().join("Work")).unwrap();
    mirror.sync().expect(0, &[]);
    arrivals(&mirror);
    let server = mirror.server.world();
    mirror.sync().expect(0, &["pulled 2"]);
    mirror.file("INBOX", "fresh");
    mirror.file("Far", "far");
    fs::remove_dir_all(mirror.root()).unwrap();
    mirror.sync().expect(0, &["pulled"]);
    mirror.file("Work", "Work 1");
    assert_eq!(mirror.server.world(), server);
    assert_eq!(mirror.server.counters().mutating, 0);
}
