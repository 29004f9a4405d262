//! Mailboxes behind symbolic links, on other disks and under two names, as the shipped binary
//! meets them on a real disk.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use kit::unprivileged;
use tempfile::TempDir;

use super::{Mirror, mail};
use crate::running::{Running, until};

/// A directory on another device than the mirror's, where this machine has one.
fn elsewhere() -> TempDir {
    let memory = Path::new("/dev/shm");
    let dir = match memory.is_dir() {
        true => tempfile::tempdir_in(memory).unwrap(),
        false => tempfile::tempdir().unwrap(),
    };
    fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    dir
}

fn maildir(at: &Path) {
    for sub in ["cur", "new", "tmp"] {
        fs::create_dir_all(at.join(sub)).unwrap();
    }
    unprivileged::give(at);
}

/// Links a mailbox of a mirror, before its first run, to a Maildir on another disk.
fn linked(mailbox: &str, more: &str, name: &str) -> (Mirror, TempDir, PathBuf) {
    let (mirror, other) = (Mirror::new(), elsewhere());
    mirror.configure(more);
    let target = other.path().join("far");
    maildir(&target);
    fs::create_dir_all(mirror.root()).unwrap();
    unprivileged::give(&mirror.root());
    symlink(&target, mirror.root().join(name)).unwrap();
    assert_eq!(mirror.server.list(mailbox).len(), 3);
    (mirror, other, target)
}

fn count(maildir: &Path) -> usize {
    let in_sub = |sub: &str| fs::read_dir(maildir.join(sub)).unwrap().count();
    in_sub("cur") + in_sub("new")
}

#[test]
fn a_mailbox_behind_a_link_is_mirrored_like_any_other() {
    for (mailbox, more, name) in [
        ("Work", "", "Work"),
        ("INBOX", "", "INBOX"),
        ("Work", "layout = \"maildir++\"\n", ".Work"),
    ] {
        let (mirror, _other, target) = linked(mailbox, more, name);
        for round in 0..3 {
            let said = mirror.sync();
            said.expect(0, &[]);
            assert!(round == 0 || !said.text.contains("pulled"), "{}", said.text);
            assert_eq!((mirror.server.list(mailbox).len(), count(&target)), (3, 3), "{name}");
            assert_eq!(mirror.server.list("Trash").len(), 0, "{name}");
        }
        // A message of its own goes up, and its removal goes over; here to a trash beside it.
        fs::write(target.join("cur/own:2,S"), "Message-ID: <own@x>\nSubject: own\n\nx\n").unwrap();
        unprivileged::give(&target.join("cur/own:2,S"));
        super::touch(&target.join("cur"));
        let up = || mirror.subjects(mailbox).contains(&"own".to_owned());
        for _ in 0..3 {
            mirror.sync();
        }
        assert!(up(), "{name}");
        let uid = mirror.server.list(mailbox).iter().map(|m| m.uid).max().unwrap();
        mirror.server.expunge(mailbox, &[uid]);
        mirror.sync().expect(0, &[]);
        assert!(!target.join("cur/own:2,S").exists(), "{name}");
        let other_disk =
            fs::metadata(&target).unwrap().dev() != fs::metadata(mirror.root()).unwrap().dev();
        assert!(!other_disk || target.join(".mailtide/trash").is_dir(), "{name}");
        // Its disk goes away: nothing is taken for gone.
        let away = target.with_extension("away");
        fs::rename(&target, &away).unwrap();
        for _ in 0..2 {
            let said = mirror.sync();
            said.expect(1, &["leads nowhere"]);
            assert_eq!(mirror.server.list(mailbox).len(), 3, "{name}");
        }
        fs::rename(&away, &target).unwrap();
        mirror.sync().expect(0, &[]);
        assert_eq!((mirror.server.list(mailbox).len(), count(&target)), (3, 3), "{name}");
    }
}

#[test]
fn run_watches_what_a_link_leads_to() {
    let (mirror, _other, target) = linked("Work", "", "Work");
    mirror.sync().expect(0, &[]);
    let running = Running::start(mirror.command());
    running.says("start:", 1);
    let in_step = || mirror.run(&["status"]).text.contains("in sync");
    until("it listens", in_step);
    mirror.deliver("Work", "filed");
    until("it goes up", || mirror.subjects("Work").contains(&"filed".to_owned()));
    mirror.server.append("Work", &mail("down"), &["\\Seen"], Some(9));
    until("it comes down", || count(&target) == 5);
    assert_eq!(running.end().0.code(), Some(0));
    assert_eq!(mirror.server.list("Trash").len(), 0);
}

#[test]
fn message_directories_that_are_no_directories_are_named_and_cost_nothing() {
    for sub in ["cur", "new"] {
        for kind in ["fifo", "link", "file"] {
            let mirror = Mirror::in_step();
            let secret = mirror.dir.path().join("secret");
            maildir(&secret);
            fs::write(secret.join(sub).join("s:2,S"), mail("nobody's business")).unwrap();
            unprivileged::give(&secret);
            let at = mirror.root().join("INBOX").join(sub);
            fs::rename(&at, mirror.dir.path().join("away")).unwrap();
            match kind {
                "fifo" => assert!(Command::new("mkfifo").arg(&at).status().unwrap().success()),
                "link" => symlink(secret.join(sub), &at).unwrap(),
                _ => fs::write(&at, "x").unwrap(),
            }
            mirror.server.append("INBOX", &mail("meanwhile"), &[], Some(9));
            mirror.server.append("Work", &mail("elsewhere"), &[], Some(9));
            for _ in 0..2 {
                let said = super::planted::sync(&mirror);
                said.expect(1, &[&format!("INBOX/{sub}")]);
                let subjects = mirror.subjects("INBOX");
                assert_eq!(subjects.len(), 4, "{sub} {kind}: {subjects:?}");
                assert_eq!(mirror.server.list("Trash").len(), 0, "{sub} {kind}");
            }
            assert_eq!(mirror.files("Work").len(), 4, "{sub} {kind}");
            fs::remove_file(&at).unwrap();
            fs::rename(mirror.dir.path().join("away"), &at).unwrap();
            mirror.agree();
        }
    }
}

#[test]
fn two_names_of_one_directory_and_loops_are_named_and_mirrored_once() {
    let mirror = Mirror::in_step();
    symlink("Work", mirror.root().join("Alias")).unwrap();
    symlink("..", mirror.root().join("Work/up")).unwrap();
    mirror.server.append("Alias", &mail("of alias"), &[], Some(9));
    for _ in 0..2 {
        let said = mirror.sync();
        said.expect(
            1,
            &["Alias", "a second path to a mirrored directory", "Work/up", "leads back"],
        );
        assert_eq!((mirror.files("Work").len(), mirror.server.list("Work").len()), (3, 3));
        assert_eq!(mirror.subjects("Alias"), ["of alias"]);
        assert_eq!(mirror.server.list("Trash").len(), 0);
    }
    fs::remove_file(mirror.root().join("Alias")).unwrap();
    fs::remove_file(mirror.root().join("Work/up")).unwrap();
    mirror.agree();
}

#[test]
fn a_directory_that_is_mounted_twice_is_mirrored_once() {
    let mirror = Mirror::in_step();
    let twin = mirror.root().join("Zwin");
    fs::create_dir(&twin).unwrap();
    let bind = Command::new("mount")
        .arg("--bind")
        .args([mirror.root().join("Work"), twin.clone()])
        .stderr(Stdio::null())
        .status();
    if !bind.is_ok_and(|status| status.success()) {
        // Only some machines let a test mount.
        return;
    }
    let said = mirror.sync();
    let mailboxes = mirror.server.mailboxes();
    assert!(Command::new("umount").arg(&twin).status().unwrap().success());
    said.expect(1, &["a second path to a mirrored directory"]);
    assert!(!mailboxes.contains(&"Zwin".to_owned()), "{mailboxes:?}");
    assert_eq!(mirror.server.list("Work").len(), 3);
}
