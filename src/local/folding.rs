//! Whether the disk takes different names for one, and the list of those that are escaped for it.

use std::io;
use std::path::Path;

use super::error::{At, LocalError, Scope, if_there};
use super::layout::Layout;
use super::reserved::OWN;
use super::root::{Root, make_dirs};
use crate::reconcile::types::MailboxName;

/// The file in [`OWN`]: a name a line, spelled as a path of the nested layout.
const FILE: &str = "escaped";
const FILE_MAX: u64 = 1 << 20;
/// Names that some disks take for one: in case, and in how an accent is written.
const PROBE: &str = "probe-A-\u{e9}";
const ALIKE: [&str; 2] = ["probe-a-\u{e9}", "probe-A-e\u{301}"];

impl Root {
    /// Reads what an earlier run wrote.
    pub(super) fn load_spelling(&self) -> Result<(), LocalError> {
        let path = self.path.join(OWN).join(FILE);
        let text = self.read_small(&path, FILE_MAX, Scope::Root)?.unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        self.spelling.add(text.lines().filter_map(|l| Layout::Nested.name_of(Path::new(l))));
        Ok(())
    }

    /// Sees to it that the directory of a mailbox, which is about to be made, is not that of
    /// another one.
    pub(super) fn spell_apart(&self, mailbox: &MailboxName) -> Result<(), LocalError> {
        if !self.folds()? {
            return Ok(());
        }
        for name in self.options.layout.directories_of(mailbox) {
            let dir = self.dir_of(&name);
            let known = self.spelling.with(|escaped| escaped.contains(&name));
            if !known && self.is_taken(&dir)? {
                self.escape(name)?;
            }
        }
        Ok(())
    }

    /// Whether a path leads to something that is spelled differently.
    fn is_taken(&self, dir: &Path) -> Result<bool, LocalError> {
        if dir == self.path {
            return Ok(false);
        }
        let (Some(parent), Some(name)) = (dir.parent(), dir.file_name()) else { return Ok(false) };
        if if_there(self.fs.lstat(dir)).at(Scope::Mailbox, "look at", dir)?.is_none() {
            return Ok(false);
        }
        Ok(!self.has_entry(parent, name.as_encoded_bytes())?)
    }

    fn has_entry(&self, dir: &Path, wanted: &[u8]) -> Result<bool, LocalError> {
        let mut has = false;
        let read = self.fs.read_dir(dir, &mut |name, _, _| has |= name == wanted);
        read.at(Scope::Mailbox, "read", dir).map(|()| has)
    }

    /// Whether the disk takes different names for one. Asked once.
    fn folds(&self) -> Result<bool, LocalError> {
        if let Some(known) = self.spelling.folds.get() {
            return Ok(*known);
        }
        let own = self.path.join(OWN);
        make_dirs(self.fs.as_ref(), &own, Scope::Root)?;
        let probe = own.join(PROBE);
        match self.fs.create_new(&probe) {
            // Left by a crash.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            other => other.map(drop).at(Scope::Root, "create", &probe)?,
        }
        let mut folds = !self.has_entry(&own, PROBE.as_bytes())?;
        for alike in ALIKE {
            let alike = own.join(alike);
            folds |= if_there(self.fs.lstat(&alike)).at(Scope::Root, "look at", &alike)?.is_some();
        }
        if_there(self.fs.remove_file(&probe)).at(Scope::Root, "remove", &probe)?;
        Ok(*self.spelling.folds.get_or_init(|| folds))
    }

    /// Written down, durably, before the first directory is made by it.
    fn escape(&self, name: MailboxName) -> Result<(), LocalError> {
        self.spelling.add([name]);
        let mut text = Vec::new();
        self.spelling.with(|escaped| {
            for name in escaped {
                text.extend_from_slice(Layout::Nested.path_of(name).as_os_str().as_encoded_bytes());
                text.push(b'\n');
            }
        });
        self.write_own(FILE, &text)
    }
}
