//! How a person responds to the reasons for which a run skipped something.

use std::path::{Path, PathBuf};

use super::action::{Deed, Side};
use super::hands::Hands;
use super::text;

/// An empty directory where mail was.
const HOLLOW: &str = "its directory is empty; is its disk mounted?";
/// The same of a directory that is no mailbox any more.
const EMPTY: &str = "an empty directory is in its place";
/// A mailbox of which one directory is lost, or was never made.
const HALF: &str = "it has only one of cur and new; make the other";
/// A lock file of a process that died.
const LOCKED: &str = " is locked by another program; if none is running, remove it";
/// Marks that another device left, or carried along while it moved a message.
const MARKED: &str = "nothing is expunged: other clients marked messages as deleted";

impl Hands {
    /// Responds to one skipped item, as a person who knows that no disk is to be mounted there and
    /// that no other program is running.
    pub(super) fn heed(&self, what: &str, why: &str) {
        if why.starts_with(HOLLOW) {
            self.put_away_alone(what);
        } else if why.starts_with(EMPTY) {
            self.put_away_empty(what);
        } else if why.ends_with(HALF) {
            for part in ["new", "cur", "tmp"] {
                self.fs.make_dirs(&Path::new(what).join(part));
            }
        } else if let Some(lock) = why.strip_suffix(LOCKED) {
            self.fs.remove(Path::new(lock));
        } else if why.starts_with(MARKED) {
            self.take_marks_back(what);
        }
    }

    fn take_marks_back(&self, mailbox: &str) {
        let messages = self.server.everything().remove(mailbox).unwrap_or_default();
        let marked = messages.iter().filter(|m| m.flags.contains("\\deleted"));
        for token in marked.filter_map(|m| text::token(&m.body)) {
            self.act(Side::There, &Deed::Clear(token, "\\Deleted".to_owned()));
        }
    }

    /// Takes a directory out of the Maildir in which nothing is.
    fn put_away_empty(&self, mailbox: &str) {
        let dir = self.dir(mailbox);
        if self.fs.tree().keys().all(|path| !path.starts_with(&dir) || *path == dir) {
            self.fs.make_dirs(Path::new("/gone"));
            self.fs.rename(&dir, Path::new(&format!("/gone/{}", self.next())));
        }
    }

    /// Takes an empty mailbox out of the Maildir, and nothing of what lies below it.
    fn put_away_alone(&self, mailbox: &str) {
        let dir = self.dir(mailbox);
        let tree = self.fs.tree();
        let below = |path: &PathBuf| path.starts_with(&dir) && path.ends_with("cur");
        let others = tree.keys().any(|path| below(path) && *path != dir.join("cur"));
        if !others && mailbox != "INBOX" {
            return self.put_away(mailbox);
        }
        self.fs.make_dirs(Path::new("/gone"));
        for part in ["new", "cur", "tmp"] {
            self.fs.rename(&dir.join(part), Path::new(&format!("/gone/{}", self.next())));
        }
    }
}
