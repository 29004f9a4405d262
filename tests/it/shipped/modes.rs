//! Directories and files that may not be read or written: named with the reason, nothing is
//! concluded from what could not be seen, the rest goes on, and it heals.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use kit::unprivileged;

use super::{Mirror, Said, mail, set_mode, touch};

const DENIED: &str = "Permission denied";

#[test]
fn an_unreadable_cur_is_named_and_is_no_empty_mailbox() {
    let mirror = Mirror::in_step();
    let cur = mirror.root().join("Work/cur");
    touch(&cur);
    set_mode(&cur, 0o000);
    mirror.server.append("INBOX", &mail("fresh"), &[], Some(9));
    mirror.deliver("INBOX", "written");
    mirror.sync().expect(1, &["Work", DENIED]);
    mirror.run(&["status"]).expect(0, &["not yet agreed", "Work: skipped", DENIED]);
    assert_eq!(mirror.subjects("Work"), ["Work 1", "Work 2", "Work 3"]);
    assert_eq!(mirror.files("INBOX").len(), 5, "other mailboxes go on");
    assert!(mirror.subjects("INBOX").contains(&"written".to_owned()));
    set_mode(&cur, 0o700);
    mirror.agree();
    assert!(!mirror.run(&["status"]).text.contains("skipped"));
}

#[test]
fn a_mailbox_that_cannot_be_looked_into_is_not_removed() {
    let mirror = Mirror::in_step();
    mirror.server.append("Work/Below", &mail("below"), &[], Some(9));
    mirror.agree();
    let dir = mirror.root().join("Work");
    // What is in it cannot be listed; then not even reached.
    for mode in [0o300, 0o000] {
        set_mode(&dir, mode);
        mirror.deliver("INBOX", &format!("written {mode}"));
        mirror.sync().expect(1, &["Work", DENIED]);
        assert_eq!(mirror.subjects("Work").len(), 3, "{mode:o}");
        assert_eq!(mirror.subjects("Work/Below"), ["below"]);
    }
    assert_eq!(mirror.subjects("INBOX").len(), 5, "other mailboxes go on");
    set_mode(&dir, 0o700);
    mirror.agree();
}

#[test]
fn a_root_that_takes_no_mailbox_keeps_those_that_it_has_in_step() {
    let mirror = Mirror::in_step();
    set_mode(&mirror.root(), 0o500);
    mirror.server.append("Far", &mail("far"), &[], Some(9));
    mirror.server.append("INBOX", &mail("fresh"), &[], Some(9));
    mirror.deliver("Work", "written");
    for _ in 0..2 {
        mirror.sync().expect(1, &["Far", DENIED]);
        assert_eq!((mirror.files("INBOX").len(), mirror.subjects("Work").len()), (4, 4));
    }
    set_mode(&mirror.root(), 0o700);
    mirror.agree();
}

#[test]
fn what_may_have_gone_where_nobody_can_look_is_not_deleted() {
    let mirror = Mirror::in_step();
    let (moved, cur) = (mirror.file("INBOX", "INBOX 2"), mirror.root().join("Work/cur"));
    fs::rename(&moved, cur.join(moved.file_name().unwrap())).unwrap();
    set_mode(&cur, 0o300);
    mirror.sync().expect(1, &["Work", DENIED]);
    assert_eq!(mirror.subjects("INBOX").len(), 3);
    set_mode(&cur, 0o700);
    mirror.agree();
    assert_eq!(mirror.subjects("Work"), ["Work 1", "Work 2", "Work 3", "INBOX 2"]);
    assert_eq!(mirror.server.list("Trash").len(), 0);
}

#[test]
fn a_read_only_cur_keeps_its_names_and_gets_its_changes_later() {
    let mirror = Mirror::in_step();
    let before = mirror.server.commands().len();
    let cur = mirror.root().join("Work/cur");
    set_mode(&cur, 0o500);
    mirror.server.set_flags("Work", 1, &["\\Flagged"], &[]);
    mirror.server.expunge("Work", &[2]);
    mirror.server.append("Work", &mail("fresh"), &["\\Seen"], Some(9));
    mirror.server.append("INBOX", &mail("other"), &["\\Seen"], Some(9));
    for _ in 0..2 {
        mirror.sync().expect(1, &["Work", DENIED]);
        assert_eq!((mirror.files("Work").len(), mirror.files("INBOX").len()), (3, 4));
        assert_eq!(mirror.subjects("Work"), ["Work 1", "Work 3", "fresh"]);
    }
    let commands = mirror.server.commands().into_iter().skip(before);
    let bodies: Vec<_> = commands.filter(|c| c.line.contains("BODY.PEEK[]")).collect();
    assert_eq!(bodies.len(), 2, "what waits in tmp is not fetched again: {bodies:#?}");
    set_mode(&cur, 0o700);
    mirror.agree();
}

#[test]
fn a_copy_that_cannot_be_placed_is_made_once() {
    let mirror = Mirror::in_step();
    set_mode(&mirror.root().join("Work/cur"), 0o500);
    mirror.server.copy("INBOX", 1, "Work");
    let said = mirror.sync();
    said.expect(1, &["Work", DENIED]);
    assert!(!said.text.contains("moved"), "{}", said.text);
    let tmp = || fs::read_dir(mirror.root().join("Work/tmp")).unwrap().count();
    assert_eq!(tmp(), 1, "{}", said.text);
    set_mode(&mirror.root().join("Work/cur"), 0o700);
    mirror.agree();
    assert_eq!(tmp(), 0);
}

#[test]
fn a_read_only_tmp_keeps_mail_out_and_loses_none() {
    let mirror = Mirror::in_step();
    let tmp = mirror.root().join("Work/tmp");
    set_mode(&tmp, 0o500);
    mirror.server.set_flags("Work", 1, &["\\Flagged"], &[]);
    mirror.server.append("Work", &mail("fresh"), &[], Some(9));
    mirror.server.append("INBOX", &mail("fresh"), &[], Some(9));
    mirror.sync().expect(1, &["Work", DENIED]);
    assert_eq!((mirror.files("Work").len(), mirror.files("INBOX").len()), (3, 4));
    assert!(mirror.file("Work", "Work 1").to_string_lossy().ends_with(":2,FS"));
    set_mode(&tmp, 0o700);
    mirror.agree();
}

#[test]
fn an_unreadable_file_is_named_and_others_go_up() {
    let mirror = Mirror::in_step();
    let locked = mirror.deliver("INBOX", "locked");
    set_mode(&locked, 0o000);
    mirror.deliver("INBOX", "open");
    mirror.deliver("Work", "beside");
    mirror.sync().expect(1, &["locked", DENIED]);
    assert_eq!(mirror.subjects("INBOX"), ["INBOX 1", "INBOX 2", "INBOX 3", "open"]);
    assert_eq!(mirror.subjects("Work").len(), 4);
    set_mode(&locked, 0o600);
    mirror.agree();
    assert_eq!(mirror.subjects("INBOX").len(), 5);
}

#[test]
fn a_moved_file_that_cannot_be_read_is_not_deleted() {
    let mirror = Mirror::in_step();
    let file = mirror.file("INBOX", "INBOX 2");
    let moved = mirror.root().join("Work/cur").join(file.file_name().unwrap());
    fs::rename(&file, &moved).unwrap();
    set_mode(&moved, 0o000);
    mirror.sync().expect(1, &["Work", DENIED]);
    assert_eq!(mirror.subjects("INBOX").len(), 3);
    set_mode(&moved, 0o600);
    mirror.agree();
    assert_eq!(mirror.subjects("Work").last().unwrap(), "INBOX 2");
}

#[test]
fn a_root_that_cannot_be_written_ends_the_run_before_anything_is_done() {
    let mirror = Mirror::new();
    let base = mirror.root();
    fs::create_dir(&base).unwrap();
    unprivileged::give(&base);
    set_mode(&base, 0o500);
    mirror.sync().expect(1, &["Mail", DENIED]);
    set_mode(&base, 0o000);
    mirror.sync().expect(1, &["Mail", DENIED]);
    assert_eq!(mirror.server.counters().mutating, 0);
    set_mode(&base, 0o700);
    mirror.agree();
    // One that was writable once: it is full of mail that must not be taken for gone.
    set_mode(&base, 0o000);
    mirror.sync().expect(1, &["Mail", DENIED]);
    set_mode(&base, 0o700);
    mirror.agree();
    assert_eq!(mirror.subjects("INBOX").len(), 3);
}

#[test]
fn a_state_directory_that_cannot_be_written_ends_the_run_before_anything_is_done() {
    let mirror = Mirror::new();
    fs::create_dir(mirror.state()).unwrap();
    unprivileged::give(&mirror.state());
    set_mode(&mirror.state(), 0o500);
    mirror.sync().expect(1, &["state", DENIED]);
    assert_eq!(mirror.server.counters().connections, 0);
    assert!(!mirror.root().exists());
    set_mode(&mirror.state(), 0o700);
    mirror.agree();
    mirror.deliver("INBOX", "waits");
    // What it remembers of the mail cannot be reached: that is not a first run.
    set_mode(&mirror.state(), 0o000);
    mirror.sync().expect(1, &["state", DENIED]);
    set_mode(&mirror.state(), 0o700);
    let store = mirror.state().join("me.db");
    set_mode(&store, 0o000);
    mirror.sync().expect(1, &["me.db"]);
    assert_eq!(mirror.subjects("INBOX").len(), 3);
    set_mode(&store, 0o600);
    mirror.agree();
    assert_eq!(mirror.subjects("INBOX").len(), 4);
}

/// Everything at and below a path that is open to others, with its mode.
fn exposed(path: &Path) -> Vec<String> {
    let (mut exposed, mut todo) = (Vec::new(), vec![path.to_owned()]);
    while let Some(path) = todo.pop() {
        let meta = fs::symlink_metadata(&path).unwrap();
        let (mode, private) = (meta.mode() & 0o7777, if meta.is_dir() { 0o700 } else { 0o600 });
        if mode != private {
            exposed.push(format!("{} {mode:04o}", path.display()));
        }
        if meta.is_dir() {
            todo.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    exposed
}

#[test]
fn what_is_made_is_private_under_any_umask() {
    for umask in ["000", "077"] {
        let mirror = Mirror::new();
        let run = || {
            let sync = format!("umask {umask}; exec {:?} sync", mirror.command().get_program());
            let mut shell = unprivileged::command(Path::new("/bin/sh"), mirror.dir.path());
            mirror.arm(&mut shell);
            Said::from(shell.args(["-c", &sync]).output().unwrap()).expect(0, &["agreed"]);
        };
        run();
        // A keyword table, the local trash, a mailbox and a copy are made by the second run.
        mirror.server.set_flags("Work", 1, &["Later"], &[]);
        mirror.server.expunge("Work", &[2]);
        mirror.server.append("Deep/Down", &mail("deep"), &[], Some(9));
        mirror.server.copy("INBOX", 1, "Work");
        run();
        assert!(mirror.root().join("Work/dovecot-keywords").exists());
        for place in [mirror.root(), mirror.state()] {
            assert_eq!(exposed(&place), [""; 0], "umask {umask}");
        }
    }
}
