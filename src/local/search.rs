//! Where below the root something is that left its mailbox: no directory that lies there counts
//! as gone, and no file, because the walk does not take the place for a mailbox (hazards 123
//! and 124).

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::reconcile::types::{ContentId, MailboxName};

use super::error::{At, LocalError, Scope};
use super::foreign::readings;
use super::fs::{Kind, may_be_link};
use super::read::Examined;
use super::root::Root;

/// Deeper than this no directory is looked for (directory levels).
const DEPTH_MAX: usize = 128;

impl Root {
    /// The directory with this id ([`Root::mailbox_id`]), wherever below the root it lies and
    /// whatever it is called; `except`: directories that are known to have another one, or none.
    /// Links are not followed, and our own directory is left out.
    ///
    /// # Errors
    /// A directory of ours that cannot be read: it may lie below that.
    pub fn with_id(
        &self,
        id: &str,
        except: &BTreeSet<PathBuf>,
    ) -> Result<Option<PathBuf>, LocalError> {
        let mut todo = vec![(self.path.clone(), 0)];
        while let Some((dir, depth)) = todo.pop() {
            let mut below = Vec::new();
            let read = self.fs.read_dir(&dir, &mut |name, kind, _| {
                if matches!(kind, Kind::Dir | Kind::Symlink) && may_be_link(name) {
                    below.push((dir.join(OsStr::from_bytes(name)), kind));
                }
            });
            match read.at(Scope::Mailbox, "read", &dir) {
                Ok(()) => {}
                // Gone since its parent was read.
                Err(LocalError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
                Err(error) if self.is_foreign(&dir, &error) => {}
                Err(error) => return Err(error),
            }
            for (path, kind) in below {
                // A link to a directory has the id of that; any other one has none.
                let is_it = |id_there: Option<String>| id_there.as_deref() == Some(id);
                if !except.contains(&path) && self.id_in(&path).is_ok_and(is_it) {
                    return Ok(Some(path));
                }
                if kind == Kind::Dir && depth < DEPTH_MAX {
                    todo.push((path, depth + 1));
                }
            }
        }
        Ok(None)
    }

    /// Which of these texts files in a directory have. Each is looked for once.
    ///
    /// # Errors
    /// What cannot be read: such a file may be any of them.
    pub fn find_texts(
        &self,
        dir: &Path,
        wanted: &BTreeSet<ContentId>,
    ) -> Result<BTreeSet<ContentId>, LocalError> {
        let mut paths = Vec::new();
        for sub in ["new", "cur"] {
            let path = dir.join(sub);
            let read = self.fs.read_dir(&path, &mut |name, kind, _| {
                if kind == Kind::File && name.first() != Some(&b'.') {
                    paths.push(path.join(OsStr::from_bytes(name)));
                }
            });
            match read.at(Scope::Mailbox, "read", &path) {
                // It may have only one of the two.
                Err(LocalError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
                read => read?,
            }
        }
        let mut found = BTreeSet::new();
        for path in paths {
            if found.len() == wanted.len() {
                break;
            }
            if let Examined::Message { summary, .. } = self.examine_at(path)? {
                found.extend(wanted.get(&summary.content));
            }
        }
        Ok(found)
    }

    /// The names that a person may mean by a directory, as in a pattern: its path, that of the
    /// mailbox, and what other programs would call so.
    #[must_use]
    pub fn names_at(&self, dir: &Path) -> Vec<MailboxName> {
        let Ok(relative) = dir.strip_prefix(&self.path) else { return Vec::new() };
        if relative.as_os_str().is_empty() {
            return Vec::new();
        }
        let written = relative.to_str().map(MailboxName::new);
        let read = readings(relative, false).into_iter().map(|reading| reading.name);
        written.into_iter().chain(read).collect()
    }
}
