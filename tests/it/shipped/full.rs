//! A disk that is really full: a small tmpfs in a mount namespace of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use kit::compare::{self, differences};
use kit::dovecot::Client;

use super::{Mirror, mail};

/// Runs a script of the shell where `disk` is a tmpfs of this size. None where this machine
/// lets nobody mount.
fn with_small_disk(mirror: &Mirror, disk: &Path, size: &str, script: &str) -> Option<Output> {
    let run = |how: &str, script: &str| {
        let mut command = Command::new("unshare");
        mirror.arm(command.args([how, "sh", "-c", script]));
        let path = std::env::var_os("PATH").unwrap_or_default();
        command.env("PATH", path).env("DISK", disk).env("SIZE", size);
        command.env("MAILTIDE", env!("CARGO_BIN_EXE_mailtide"));
        command.output()
    };
    let mount = "mount -t tmpfs -o size=$SIZE,mode=700 tmpfs $DISK";
    if kit::dovecot::is_root() {
        // Config and directory belong to whoever runs the program.
        let config = mirror.root().with_file_name("config.toml");
        for path in [config.parent().unwrap(), &config] {
            std::os::unix::fs::chown(path, Some(0), None).unwrap();
        }
    }
    for how in ["-m", "-rm"] {
        if run(how, mount).is_ok_and(|output| output.status.success()) {
            return Some(run(how, &format!("{mount} && {script}")).unwrap());
        }
    }
    kit::skipped("this machine lets nobody mount");
    None
}

/// Six messages of 300 kB in Large, beside the few of every mirror.
fn with_large_mail(keys: &str) -> Mirror {
    let mirror = Mirror::new();
    for n in 1..=6 {
        let mut body = mail(&format!("large {n}"));
        (0..6000)
            .for_each(|_| body.extend(b"forty-eight octets of text make one line, nearly\r\n"));
        mirror.server.append("Large", &body, &["\\Seen"], Some(n));
    }
    mirror.configure(&format!("min_free = \"0B\"\n{keys}"));
    mirror
}

/// Syncs on a full disk, twice, then with room, and keeps what is on the disk in the end.
const SCRIPT: &str = "$MAILTIDE sync; echo full: $?; $MAILTIDE sync; echo full: $?; \
    mount -o remount,size=64m $DISK; $MAILTIDE sync; echo room: $?; cp -a $DISK $DISK.kept";

#[track_caller]
fn heals(mirror: &Mirror, output: &Output, root: &Path) {
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let warned = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(said.matches("full: 1\n").count(), 2, "{said}{warned}");
    let all = said.clone() + &warned;
    assert!(all.contains("No space left on device") || all.contains("full"), "{all}");
    assert!(said.contains("room: 0\n"), "{all}");
    assert_eq!(mirror.subjects("Large").len(), 6, "{all}");
    let remote = compare::remote(&mut Client::connect(mirror.port, "me"));
    let differences = differences(&remote, &compare::maildir(root));
    assert!(differences.is_empty(), "{all}\n{differences:#?}");
}

fn kept(disk: &Path) -> PathBuf {
    disk.with_file_name(format!("{}.kept", disk.file_name().unwrap().to_str().unwrap()))
}

#[test]
fn a_maildir_without_room_takes_what_fits_and_the_rest_when_there_is_room() {
    let mirror = with_large_mail("");
    let disk = mirror.root();
    std::fs::create_dir(&disk).unwrap();
    let Some(output) = with_small_disk(&mirror, &disk, "1m", SCRIPT) else { return };
    heals(&mirror, &output, &kept(&disk));
}

#[test]
fn a_store_without_room_begins_nothing_that_it_cannot_write_down() {
    let mirror = with_large_mail("");
    let disk = mirror.state();
    std::fs::create_dir(&disk).unwrap();
    let Some(output) = with_small_disk(&mirror, &disk, "128k", SCRIPT) else { return };
    heals(&mirror, &output, &mirror.root());
}
