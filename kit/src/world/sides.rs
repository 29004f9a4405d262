//! The mail of both sides of a simulated account.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use mailtide::local::Layout;

use super::ROOT;
use crate::compare::content;
use crate::imap::Server;
use crate::memfs::MemFs;

/// Mailbox (with `/` between its levels) → content and flags, sorted.
pub type Mail = BTreeMap<String, Vec<(String, Vec<String>)>>;

/// Both sides of a simulated account.
#[derive(Debug, Clone)]
pub struct Sides {
    /// The server.
    pub server: Server,
    /// The disk that the Maildir lies on.
    pub fs: MemFs,
    /// How mailboxes lie in the Maildir.
    pub layout: Layout,
    /// Symbolic links to directories, and where they point.
    pub links: Vec<(PathBuf, PathBuf)>,
}

impl Sides {
    /// What is on the disk, with the targets of links shown at the links.
    fn tree(&self) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
        let mut tree = self.fs.tree();
        for (link, target) in &self.links {
            let there: Vec<_> = tree
                .iter()
                .filter_map(|(path, body)| Some((path.strip_prefix(target).ok()?, body)))
                .map(|(below, body)| (link.join(below), body.clone()))
                .collect();
            tree.extend(there);
        }
        tree
    }

    /// Messages of the server: mailbox (with `/` between its levels) → content and flags,
    /// sorted.
    #[must_use]
    pub fn remote(&self) -> Mail {
        let mut out = BTreeMap::new();
        let delimiter = self.server.profile().delimiter;
        for mailbox in self.server.mailboxes() {
            let mut messages: Vec<_> = self
                .server
                .list(&mailbox)
                .iter()
                .map(|message| {
                    let flags = message.flag_set();
                    let mut names: Vec<String> =
                        flags.imap_names().iter().map(|n| n.to_ascii_lowercase()).collect();
                    names.sort();
                    (content(&message.body), names)
                })
                .collect();
            messages.sort();
            out.insert(mailbox.replace(delimiter, "/"), messages);
        }
        out
    }

    /// The same of the Maildir; a directory that stands for no name is called as it is.
    #[must_use]
    pub fn local(&self) -> Mail {
        let mut out: Mail = BTreeMap::new();
        let tree = self.tree();
        let layout = self.layout;
        for (path, bytes) in &tree {
            let Ok(relative) = path.strip_prefix(ROOT) else { continue };
            let text = relative.to_string_lossy().into_owned();
            if text.starts_with(".mailtide") {
                continue;
            }
            let parts: Vec<&str> = text.split('/').collect();
            let Some(at) = parts.iter().position(|part| *part == "cur" || *part == "new") else {
                continue;
            };
            let dir: PathBuf = parts[..at].iter().collect();
            let name = layout.read(&dir).map(|(name, _)| name.as_str().to_owned());
            let name = name.unwrap_or_else(|| dir.to_string_lossy().into_owned());
            let messages = out.entry(name).or_default();
            let (Some(bytes), Some(name)) = (bytes, parts.get(at + 1)) else { continue };
            let info = name.rsplit_once(":2,").map_or("", |(_, info)| info);
            let table = Path::new(ROOT).join(&dir).join("dovecot-keywords");
            let table = tree.get(&table).and_then(Option::as_deref).unwrap_or_default();
            let mut flags: Vec<String> = info
                .chars()
                .filter_map(|letter| flag(letter).or_else(|| keyword(table, letter)))
                .collect();
            flags.sort();
            messages.push((content(bytes), flags));
        }
        out.values_mut().for_each(|messages| messages.sort());
        out
    }
}

/// The keyword that a letter stands for, by its mailbox's `dovecot-keywords`.
fn keyword(table: &[u8], letter: char) -> Option<String> {
    let number = u32::from(letter).checked_sub(u32::from('a'))?.to_string();
    let text = String::from_utf8_lossy(table);
    let mut lines = text.lines().filter_map(|line| line.split_once(' '));
    lines.find(|(n, _)| *n == number).map(|(_, name)| name.to_ascii_lowercase())
}

fn flag(letter: char) -> Option<String> {
    let name = match letter {
        'D' => "\\draft",
        'F' => "\\flagged",
        'P' => "$forwarded",
        'R' => "\\answered",
        'S' => "\\seen",
        'T' => "\\deleted",
        _ => return None,
    };
    Some(name.to_owned())
}
