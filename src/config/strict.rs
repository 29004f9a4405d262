//! What must belong to the user, or to root, and be closed to others: as OpenSSH's StrictModes.
//!
//! Whoever may write to the config, to the program of a hook or to a directory above them decides
//! what this process runs; whoever may write to the state decides what it deletes.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::access::is_trusted_owner;
use super::error::Problem;
use super::secret::SecretSource;
use super::settings::Config;
use crate::reconcile::types::printable;

/// Bits that let the group, or everybody, write.
const GROUP_OR_OTHERS: u32 = 0o022;
const OTHERS: u32 = 0o002;
const STICKY: u32 = 0o1000;
/// What a user namespace shows in the place of users that it does not know (user_namespaces(7)).
const NOBODY: u32 = 65_534;

/// Everything that others could change under a config.
pub(super) fn problems(config: &Config) -> Vec<Problem> {
    let mut found = Vec::new();
    let mut look = |what: &str, path: &Path, bits: u32| {
        let complaint = complaint(what, path, bits);
        found.extend(complaint.map(|text| Problem { line: None, text }));
    };
    look("the config", &config.path, GROUP_OR_OTHERS);
    look("state_dir", &config.state_dir, GROUP_OR_OTHERS);
    for account in &config.accounts {
        let name = &account.name;
        // A Maildir may be shared with a group, as one of a mail host is.
        look(&format!("{name}: maildir"), &account.maildir, OTHERS);
        if let SecretSource::Command(argv) = &account.secret {
            look_at_program(&mut look, &format!("{name}: password_command"), argv);
        }
        let hooks = [
            ("on_change", &account.on_change),
            ("new_mail", &account.new_mail),
            ("on_hold", &account.on_hold),
        ];
        let delivers = account.maildrop.iter().map(|it| ("deliver_command", &it.deliver_command));
        for (key, argv) in hooks.into_iter().chain(delivers) {
            look_at_program(&mut look, &format!("{name}: {key}"), argv);
        }
    }
    found
}

fn look_at_program(look: &mut impl FnMut(&str, &Path, u32), what: &str, argv: &[String]) {
    if let Some(program) = argv.first().and_then(|program| resolved(program)) {
        look(what, &program, GROUP_OR_OTHERS);
    }
}

/// Where a program is found, if it is.
fn resolved(program: &str) -> Option<PathBuf> {
    if program.contains('/') {
        return Some(PathBuf::from(program));
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|file| file.is_file())
}

/// What is wrong with a path, or with a directory above it; none where it does not exist.
fn complaint(what: &str, path: &Path, bits: u32) -> Option<String> {
    // Links are followed: what they lead to is what is used.
    let real = std::fs::canonicalize(path).ok()?;
    let mut bits = bits;
    let is_mapped = is_mapped();
    for place in real.ancestors() {
        let meta = std::fs::metadata(place).ok()?;
        let shown = printable(&place.display().to_string());
        // In a user namespace root's directories seem to be nobody's.
        let is_roots = is_mapped && meta.uid() == NOBODY && place != real;
        if !is_trusted_owner(&meta) && !is_roots {
            let (user, owner) = (rustix::process::geteuid().as_raw(), meta.uid());
            return Some(format!(
                "{what}: {shown} belongs to user {owner}, who could change it: chown {user} {shown}"
            ));
        }
        let is_open = meta.mode() & bits != 0;
        let is_guarded = meta.is_dir() && meta.mode() & STICKY != 0 && place != real;
        if is_open && !is_guarded {
            let letters = if meta.mode() & bits & OTHERS != 0 { "o-w" } else { "g-w" };
            return Some(format!("{what}: others may write to {shown}: chmod {letters} {shown}"));
        }
        // Directories above are often the group's.
        bits = OTHERS;
    }
    None
}

/// Whether this process sees other numbers of users than the system does.
fn is_mapped() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let map: Vec<&str> = map.split_whitespace().collect();
    !(map.is_empty() || map == ["0", "0", "4294967295"])
}

#[cfg(test)]
mod tests {
    use std::fs::{create_dir, set_permissions, write};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_others_may_change_is_named_with_the_command_that_mends_it() {
        let dir = tempfile::tempdir().unwrap();
        let (inner, file) = (dir.path().join("a"), dir.path().join("a/file"));
        create_dir(&inner).unwrap();
        write(&file, "x").unwrap();
        let mode =
            |path: &Path, mode| set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
        // Of the directory, of the file, and what is to be done.
        for (above, own, bits, expected) in [
            (0o755, 0o644, GROUP_OR_OTHERS, None),
            (0o775, 0o644, GROUP_OR_OTHERS, None),
            (0o755, 0o664, GROUP_OR_OTHERS, Some("chmod g-w")),
            (0o755, 0o664, OTHERS, None),
            (0o755, 0o666, OTHERS, Some("chmod o-w")),
            (0o777, 0o600, GROUP_OR_OTHERS, Some("chmod o-w")),
            (0o1777, 0o600, GROUP_OR_OTHERS, None),
        ] {
            mode(&inner, above);
            mode(&file, own);
            let found = complaint("it", &file, bits);
            let shown = format!("{above:o} {own:o}: {found:?}");
            match (&found, expected) {
                (None, None) => {}
                (Some(text), Some(part)) => assert!(text.contains(part), "{shown}"),
                _ => panic!("{shown}"),
            }
        }
        assert_eq!(complaint("it", &dir.path().join("not there"), OTHERS), None);
    }
}
