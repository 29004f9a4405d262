//! What is to be seen on either side, and what became different: for the eye only.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use kit::imap::{Msg, Server};
use mailtide::reconcile::types::printable;

/// Longest part of a file that is searched for its subject, in bytes.
const HEAD: u64 = 16 * 1024;

/// The server's messages at one moment.
#[derive(Debug, Default)]
pub(crate) struct ServerSight {
    mailboxes: BTreeSet<String>,
    /// By what a move does not change, then by mailbox and UID.
    messages: BTreeMap<String, BTreeMap<(String, u32), Seen>>,
}

#[derive(Debug)]
struct Seen {
    subject: String,
    flags: BTreeSet<String>,
}

impl ServerSight {
    pub(crate) fn of(server: &Server) -> Self {
        let mut sight = Self::default();
        for (mailbox, messages) in server.everything() {
            for message in messages {
                let Msg { uid, flags, body, email_id, .. } = message;
                let seen = Seen { subject: subject(&body), flags };
                let places = sight.messages.entry(email_id).or_default();
                places.insert((mailbox.clone(), uid), seen);
            }
            sight.mailboxes.insert(mailbox);
        }
        sight
    }

    /// How many mailboxes and messages there are.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.mailboxes.len(), self.messages.values().map(BTreeMap::len).sum())
    }

    /// What is different from `before`, a line each.
    pub(crate) fn since(&self, before: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        for name in self.mailboxes.difference(&before.mailboxes) {
            lines.push(format!("new mailbox {}", printable(name)));
        }
        let none = BTreeMap::new();
        let ids: BTreeSet<&String> = self.messages.keys().chain(before.messages.keys()).collect();
        for id in ids {
            let old = before.messages.get(id).unwrap_or(&none);
            message_lines(old, self.messages.get(id).unwrap_or(&none), &mut lines);
        }
        for name in before.mailboxes.difference(&self.mailboxes) {
            lines.push(format!("mailbox {} is gone", printable(name)));
        }
        lines
    }
}

/// What became of one message and its copies.
fn message_lines(
    old: &BTreeMap<(String, u32), Seen>,
    new: &BTreeMap<(String, u32), Seen>,
    lines: &mut Vec<String>,
) {
    let mut gone = old.iter().filter(|(place, _)| !new.contains_key(*place));
    for (place, seen) in new {
        let (mailbox, subject) = (printable(&place.0), &seen.subject);
        if let Some(same) = old.get(place) {
            lines.extend(flag_line(&same.flags, seen, &mailbox));
        } else if let Some(((from, _), was)) = gone.next() {
            lines.push(format!("moved {subject} {} → {mailbox}", printable(from)));
            lines.extend(flag_line(&was.flags, seen, &mailbox));
        } else if old.is_empty() {
            lines.push(format!("new message {subject} in {mailbox}"));
        } else {
            lines.push(format!("copied {subject} → {mailbox}"));
        }
    }
    for ((mailbox, _), seen) in gone {
        lines.push(format!("{} is gone from {}", seen.subject, printable(mailbox)));
    }
}

fn flag_line(before: &BTreeSet<String>, now: &Seen, mailbox: &str) -> Option<String> {
    let word = |flag: &String| match flag.as_str() {
        "\\Seen" => "read".to_owned(),
        "\\Flagged" => "flagged".to_owned(),
        "\\Answered" => "answered".to_owned(),
        "\\Draft" => "a draft".to_owned(),
        "\\Deleted" => "marked as deleted".to_owned(),
        keyword => format!("tagged {}", printable(keyword)),
    };
    let gained = now.flags.difference(before).map(word);
    let lost = before.difference(&now.flags).map(|flag| format!("no longer {}", word(flag)));
    let changes = gained.chain(lost).collect::<Vec<_>>().join(", ");
    (!changes.is_empty()).then(|| format!("{} in {mailbox} is now {changes}", now.subject))
}

/// The files of the Maildir at one moment, by their inodes, which a rename does not change.
#[derive(Debug, Default)]
pub(crate) struct DiskSight {
    files: BTreeMap<u64, PathBuf>,
}

impl DiskSight {
    /// Looks below `root`; what cannot be looked at is not there.
    pub(crate) fn of(root: &Path) -> Self {
        let mut sight = Self::default();
        let mut todo = vec![root.to_owned()];
        while let Some(dir) = todo.pop() {
            let holds_mail = dir.ends_with("cur")
                || dir.ends_with("new")
                || dir.starts_with(root.join(".mailtide/trash"));
            for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
                match entry.metadata() {
                    Ok(meta) if meta.is_dir() => todo.push(entry.path()),
                    Ok(meta) if meta.is_file() && holds_mail => {
                        sight.files.insert(meta.ino(), entry.path());
                    }
                    _ => {}
                }
            }
        }
        sight
    }

    /// How many files there are, those in the trash not counted.
    pub(crate) fn count(&self) -> usize {
        let in_trash = |path: &&PathBuf| path.components().any(|part| part.as_os_str() == "trash");
        self.files.values().filter(|path| !in_trash(path)).count()
    }

    /// What is different from `before`, a line each; `base` is left out of the paths. Of what
    /// is gone nothing is said: mailtide renames and never unlinks, so that was the user.
    pub(crate) fn since(&self, before: &Self, base: &Path) -> Vec<String> {
        let shown =
            |path: &Path| printable(&path.strip_prefix(base).unwrap_or(path).to_string_lossy());
        let mut lines = Vec::new();
        for (inode, path) in &self.files {
            let what = match before.files.get(inode) {
                Some(same) if same == path => continue,
                Some(was) if was.parent() == path.parent() => "renamed",
                Some(_) => "moved",
                None => "new",
            };
            lines.push(format!("{what} {} {}", subject_of(path), shown(path)));
        }
        lines
    }
}

fn subject_of(path: &Path) -> String {
    let mut head = Vec::new();
    if let Ok(file) = fs::File::open(path) {
        // A file that vanished meanwhile has no subject; nothing depends on it.
        let _ = file.take(HEAD).read_to_end(&mut head);
    }
    subject(&head)
}

/// The subject of a message in quotes, fit for a terminal.
fn subject(message: &[u8]) -> String {
    let text = String::from_utf8_lossy(&message[..message.len().min(1 << 14)]);
    let header = text.lines().take_while(|line| !line.is_empty());
    let mut named = header.filter_map(|line| line.split_once(':'));
    let found = named.find(|(name, _)| name.eq_ignore_ascii_case("subject"));
    match found.map(|(_, value)| value.trim()).filter(|value| !value.is_empty()) {
        Some(value) => format!("“{}”", printable(&value.chars().take(60).collect::<String>())),
        None => "a message without a subject".to_owned(),
    }
}
