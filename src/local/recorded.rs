//! The list of directories of other programs that a root keeps, and the names it gives.

use std::collections::BTreeSet;
use std::path::Path;

use super::error::{LocalError, Scope};
use super::given::Given;
use super::layout::Layout;
use super::reserved::OWN;
use super::root::Root;
use crate::reconcile::types::MailboxName;

/// The file in [`OWN`]: a line for each mailbox; its name as a path of the nested layout, a
/// tab, and its directory, relative to the root, with `%XX` for what is not printable ASCII.
const FILE: &str = "directories";
const FILE_MAX: u64 = 1 << 22;

impl Root {
    /// Reads what an earlier run recorded.
    pub(super) fn load_given(&self) -> Result<(), LocalError> {
        let path = self.path.join(OWN).join(FILE);
        let Some(text) = self.read_small(&path, FILE_MAX, Scope::Root)? else { return Ok(()) };
        // Without it mail would be sent to mailboxes that the server does not have.
        let given = Given::from_text(&text)
            .ok_or(LocalError::Malformed { path, why: "not a list of mailboxes" })?;
        self.spelling.give(given);
        Ok(())
    }

    /// Records directories, durably unless only a plan is made.
    pub(super) fn give(&self, more: Given, durable: bool) -> Result<(), LocalError> {
        let mut all = self.spelling.given();
        all.extend(more);
        if durable {
            self.write_own(FILE, &all.to_text())?;
        }
        self.spelling.give(all);
        Ok(())
    }

    /// Before a mailbox is renamed: what lies below it in directories of other programs keeps
    /// them.
    pub(super) fn give_renamed(
        &self,
        from: &MailboxName,
        to: &MailboxName,
    ) -> Result<(), LocalError> {
        let relative = |name| {
            let dir = self.dir_of(name);
            dir.strip_prefix(&self.path).map(Path::to_owned).unwrap_or_default()
        };
        let (old, new) = (relative(from), relative(to));
        let more = self.spelling.given().renamed(from, to, [&old, &new]);
        if more.is_empty() { Ok(()) } else { self.give(more, true) }
    }

    /// The mailbox of a directory, relative to the root, and the names whose last level is
    /// escaped whole in it.
    pub(super) fn read_path(&self, path: &Path) -> Option<(MailboxName, BTreeSet<MailboxName>)> {
        let layout = self.options.layout;
        self.spelling.with_given(|given| {
            if let Some(name) = given.name_of(path) {
                return Some((name.clone(), BTreeSet::new()));
            }
            let base = if layout == Layout::Nested { given.above(path) } else { None };
            let Some((base, dir)) = base else { return layout.read(path) };
            let (rest, escaped) = layout.read(path.strip_prefix(dir).ok()?)?;
            let below = |name: &MailboxName| {
                MailboxName::new(&format!("{}/{}", base.as_str(), name.as_str()))
            };
            Some((below(&rest), escaped.iter().map(below).collect()))
        })
    }
}
