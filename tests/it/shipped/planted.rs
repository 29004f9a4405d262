//! What is no mail, planted in a Maildir: nothing of it blocks a run, is followed, is sent or
//! is removed, and no mail is lost on either side.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use kit::unprivileged;

use super::{Mirror, Said, mail};

/// Longer than any of these runs takes: a FIFO that is opened would block it for ever.
const DEADLINE: Duration = Duration::from_secs(30);

/// Things that are no files.
const KINDS: [&str; 7] = ["symlink", "dangling", "loop", "fifo", "socket", "directory", "device"];

/// Makes one of them. False where this user may not.
fn plant(kind: &str, at: &Path, environment: &Path) -> bool {
    match kind {
        "symlink" => symlink(environment, at).unwrap(),
        "dangling" => symlink("/nowhere/at all", at).unwrap(),
        "loop" => symlink(at.file_name().unwrap(), at).unwrap(),
        "fifo" => made(Command::new("mkfifo").arg(at)),
        "socket" => drop(UnixListener::bind(at).unwrap()),
        "directory" => fs::create_dir(at).unwrap(),
        _ => {
            let mut command = Command::new("mknod");
            let made = command.arg(at).args(["c", "1", "3"]).stderr(Stdio::null()).status();
            return made.unwrap().success();
        }
    }
    true
}

fn skipped(what: &str) {
    kit::skipped(&format!("{what}: this user may not make one"));
}

fn made(command: &mut Command) {
    assert!(command.status().unwrap().success(), "{command:?}");
}

/// A run that ends before the deadline.
#[track_caller]
pub(super) fn sync(mirror: &Mirror) -> Said {
    let mut command = mirror.command();
    command.arg("sync").stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    let output = ended(child).wait_with_output().unwrap();
    output.into()
}

#[track_caller]
fn ended(mut child: Child) -> Child {
    let begun = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if begun.elapsed() > DEADLINE {
            child.kill().unwrap();
            panic!("it hangs");
        }
        std::thread::yield_now();
    }
    child
}

/// New mail on both sides reaches the other one.
#[track_caller]
fn goes_on(mirror: &Mirror, word: &str) {
    mirror.server.append("INBOX", &mail(&format!("there {word}")), &[], Some(9));
    mirror.deliver("INBOX", &format!("here {word}"));
    let said = sync(mirror);
    assert!(mirror.subjects("INBOX").contains(&format!("here {word}")), "{}", said.text);
    let down = mirror.files("INBOX").into_iter().filter(|file| fs::metadata(file).is_ok());
    let texts = down.filter(|file| file.is_file()).map(|file| fs::read(file).unwrap());
    let there = format!("Subject: there {word}\n");
    let came = |text: &Vec<u8>| String::from_utf8_lossy(text).contains(&there);
    assert_eq!(texts.filter(came).count(), 1, "{}", said.text);
}

#[test]
fn what_is_no_file_is_neither_opened_nor_sent_nor_removed() {
    let mirror = Mirror::in_step();
    let environment = mirror.dir.path().join("secret");
    fs::write(&environment, mail("nobody's business")).unwrap();
    unprivileged::give(&environment);
    for sub in ["cur", "new", "tmp"] {
        for kind in KINDS {
            let at = mirror.root().join(format!("INBOX/{sub}/{kind}:2,S"));
            let word = format!("{sub} {kind}");
            if !plant(kind, &at, &environment) {
                skipped(&word);
                continue;
            }
            goes_on(&mirror, &word);
            assert!(fs::symlink_metadata(&at).is_ok(), "{word} is gone");
            assert!(!mirror.subjects("INBOX").contains(&"nobody's business".to_owned()), "{word}");
            match kind {
                "directory" => fs::remove_dir(&at).unwrap(),
                _ => fs::remove_file(&at).unwrap(),
            }
        }
    }
    mirror.agree();
    assert_eq!(mirror.server.list("Trash").len(), 0);
}

#[test]
fn a_known_file_that_became_something_else_is_not_read_through_it() {
    for kind in KINDS {
        let mirror = Mirror::in_step();
        let environment = mirror.dir.path().join("secret");
        fs::write(&environment, mail("nobody's business")).unwrap();
        let file = mirror.file("INBOX", "INBOX 2");
        fs::remove_file(&file).unwrap();
        if !plant(kind, &file, &environment) {
            skipped(kind);
            continue;
        }
        goes_on(&mirror, kind);
        let subjects = [mirror.subjects("INBOX"), mirror.subjects("Trash")].concat();
        assert!(subjects.contains(&"INBOX 2".to_owned()), "{kind}: {subjects:?}");
        assert!(!subjects.contains(&"nobody's business".to_owned()), "{kind}");
    }
}

#[test]
fn a_mailbox_directory_that_became_something_else_deletes_no_mail() {
    for kind in KINDS {
        let mirror = Mirror::in_step();
        let (work, away) = (mirror.root().join("Work"), mirror.dir.path().join("away"));
        fs::rename(&work, &away).unwrap();
        if !plant(kind, &work, &away) {
            skipped(kind);
            continue;
        }
        for round in 0..2 {
            goes_on(&mirror, &format!("{kind} {round}"));
            let kept = [mirror.subjects("Work"), mirror.subjects("Trash")].concat();
            for n in 1..=3 {
                assert!(kept.contains(&format!("Work {n}")), "{kind}: {kept:?}");
            }
        }
        match kind {
            "directory" => fs::remove_dir_all(&work).unwrap(),
            _ => fs::remove_file(&work).unwrap(),
        }
        if !work.exists() {
            fs::rename(&away, &work).unwrap();
        }
        goes_on(&mirror, "again");
    }
}

#[test]
fn a_table_of_keywords_that_is_no_file_is_named_and_others_go_on() {
    for kind in KINDS {
        let mirror = Mirror::in_step();
        let environment = mirror.dir.path().join("table");
        fs::write(&environment, "0 Later\n").unwrap();
        if !plant(kind, &mirror.root().join("Work/dovecot-keywords"), &environment) {
            skipped(kind);
            continue;
        }
        mirror.server.set_flags("Work", 1, &["Urgent"], &[]);
        goes_on(&mirror, kind);
        let said = sync(&mirror);
        said.expect(1, &["Work/dovecot-keywords"]);
        assert!(!said.text.contains("keeps changing"), "{}", said.text);
        assert_eq!((mirror.subjects("Work").len(), mirror.files("Work").len()), (3, 3), "{kind}");
        assert_eq!(fs::read(&environment).unwrap(), b"0 Later\n", "{kind}: not written through");
    }
}

#[test]
fn a_root_whose_own_directory_is_no_directory_is_refused() {
    for kind in ["dangling", "loop", "fifo", "socket"] {
        let mirror = Mirror::in_step();
        let own = mirror.root().join(".mailtide");
        fs::remove_dir_all(&own).unwrap();
        assert!(plant(kind, &own, Path::new("/nowhere")));
        let said = sync(&mirror);
        assert_ne!(said.code, 0, "{kind}: {}", said.text);
        assert!(said.text.contains(".mailtide"), "{kind}: {}", said.text);
        assert_eq!((mirror.server.list("INBOX").len(), mirror.files("INBOX").len()), (3, 3));
        fs::remove_file(&own).unwrap();
        mirror.agree();
    }
}

#[test]
fn a_root_that_went_away_or_was_exchanged_deletes_nothing() {
    let mirror = Mirror::in_step();
    let (root, away) = (mirror.root(), mirror.dir.path().join("away"));
    fs::rename(&root, &away).unwrap();
    mirror.agree();
    assert_eq!(mirror.files("INBOX").len(), 3, "it came down again");
    // Another Maildir takes its place, then the old one comes back.
    fs::remove_dir_all(&root).unwrap();
    for sub in ["cur", "new", "tmp"] {
        fs::create_dir_all(root.join("INBOX").join(sub)).unwrap();
    }
    unprivileged::give(&root);
    mirror.deliver("INBOX", "of the other");
    mirror.agree();
    assert_eq!(mirror.subjects("INBOX"), ["INBOX 1", "INBOX 2", "INBOX 3", "of the other"]);
    fs::remove_dir_all(&root).unwrap();
    fs::rename(&away, &root).unwrap();
    mirror.agree();
    assert_eq!(mirror.subjects("INBOX"), ["INBOX 1", "INBOX 2", "INBOX 3", "of the other"]);
    assert_eq!(mirror.server.list("Trash").len(), 0);
    // A root that is not even a directory.
    for kind in ["fifo", "dangling", "loop"] {
        fs::rename(&root, &away).unwrap();
        assert!(plant(kind, &root, Path::new("/nowhere")));
        assert!(
            fs::symlink_metadata(&root).is_ok_and(|m| m.is_symlink() || m.file_type().is_fifo())
        );
        let said = sync(&mirror);
        assert_ne!(said.code, 0, "{kind}: {}", said.text);
        assert_eq!(mirror.subjects("INBOX").len(), 4, "{kind}: {}", said.text);
        fs::remove_file(&root).unwrap();
        fs::rename(&away, &root).unwrap();
        mirror.agree();
    }
}
