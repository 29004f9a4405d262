//! Programs run as a user whom file modes bind: root, who often runs the tests, ignores them.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::dovecot::is_root;

/// The user and group in root's place: `nobody` nearly everywhere, and if not, nobody too.
const NOBODY: u32 = 65_534;

/// A temporary directory that is the unprivileged user's own; an ordinary user is one already.
///
/// # Panics
/// If there is no place for it.
#[must_use]
pub fn directory() -> TempDir {
    let dir = tempfile::Builder::new().prefix("mailtide-plain-").tempdir().expect("temp dir");
    give(dir.path());
    dir
}

/// Gives the unprivileged user what lies at a path, and all below it.
///
/// # Panics
/// If it is not there.
pub fn give(path: &Path) {
    if !is_root() {
        return;
    }
    let mut todo = vec![path.to_owned()];
    while let Some(path) = todo.pop() {
        if fs::symlink_metadata(&path).expect("it is there").is_dir() {
            let entries = fs::read_dir(&path).expect("root reads it");
            todo.extend(entries.map(|entry| entry.expect("an entry").path()));
        }
        chown(&path, Some(NOBODY), Some(NOBODY)).expect("root may give it away");
    }
}

/// Gives the unprivileged user one file or directory, where that is another than we are.
pub fn give_one(path: &Path) {
    if is_root() {
        // It may have gone meanwhile.
        let _ = chown(path, Some(NOBODY), Some(NOBODY));
    }
}

/// A command that runs a program as the unprivileged user, without root's groups. A program
/// where only root can reach it is first copied into `dir`, which that user can.
///
/// # Panics
/// If it cannot be copied.
#[must_use]
pub fn command(program: &Path, dir: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new(within_reach(program, dir));
    // Dropping root's user drops its groups and capabilities, too.
    command.uid(NOBODY).gid(NOBODY).current_dir(dir);
    command
}

fn within_reach(program: &Path, dir: &Path) -> PathBuf {
    let open = |place: &Path| fs::metadata(place).is_ok_and(|meta| meta.mode() & 0o001 != 0);
    if program.ancestors().filter(|place| !place.as_os_str().is_empty()).all(open) {
        return program.to_owned();
    }
    let copy = dir.join(program.file_name().expect("a program has a name"));
    if !copy.exists() {
        fs::copy(program, &copy).expect("room for a copy");
        fs::set_permissions(&copy, PermissionsExt::from_mode(0o755)).expect("its mode");
    }
    copy
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_bind_it_and_its_own_directory_does_not() {
        let dir = directory();
        let secret = dir.path().join("secret");
        fs::write(&secret, "x").expect("a file");
        give(&secret);
        fs::set_permissions(&secret, PermissionsExt::from_mode(0o000)).expect("its mode");
        let run = |program: &str, argument: &Path| {
            let output = command(Path::new(program), dir.path()).arg(argument).output();
            output.expect("it runs").status.success()
        };
        assert!(!run("/bin/cat", &secret), "what nobody may read was read");
        assert!(run("/usr/bin/touch", &dir.path().join("new")));
    }

    #[test]
    fn a_program_out_of_reach_is_copied() {
        let (closed, dir) = (tempfile::tempdir().expect("temp dir"), directory());
        let program = closed.path().join("cat");
        fs::copy("/bin/cat", &program).expect("a copy");
        let output = command(&program, dir.path()).arg("/dev/null").output().expect("it runs");
        assert!(output.status.success(), "{output:?}");
    }
}
