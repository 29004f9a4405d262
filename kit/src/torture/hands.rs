//! People, readers and other devices in the simulated world: plain changes of one side, and the
//! census of it. Shares no code with what it checks but the spelling of mailbox names.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use mailtide::local::Layout;
use mailtide::reconcile::types::MailboxName;

use super::action::{Deed, Side};
use super::places::{Device, Disk};
use super::text;
use crate::oracle::{Census, Copy, Oracle};
use crate::world::ROOT;

/// Flags with their letters in file names.
pub(super) const LETTERS: [(char, &str); 5] = [
    ('D', "\\draft"),
    ('F', "\\flagged"),
    ('P', "$forwarded"),
    ('R', "\\answered"),
    ('S', "\\seen"),
];

/// Whoever acts on either side, with the oracle that is told of it.
#[derive(Debug, Clone)]
pub(super) struct Hands {
    pub(super) server: Arc<dyn Device>,
    pub(super) fs: Arc<dyn Disk>,
    pub(super) layout: Layout,
    pub(super) oracle: Arc<Mutex<Oracle>>,
    /// Makes names unique.
    pub(super) made: Arc<AtomicU64>,
}

impl Hands {
    /// Puts one message on both sides, as when a Maildir was filled before the first run.
    pub(super) fn fill(&self, token: u32, mailbox: &str) {
        for side in [Side::Here, Side::There] {
            self.act(side, &Deed::Add(token, mailbox.to_owned()));
        }
        self.oracle.lock().expect("no panic").same(token);
    }

    /// Acts, and tells the oracle.
    pub(super) fn act(&self, side: Side, deed: &Deed) {
        let deed = &deed.with_names(|mailbox| self.full(mailbox));
        let before = self.census(side);
        match side {
            Side::Here => self.act_here(deed),
            Side::There => self.act_there(deed),
        }
        let after = self.census(side);
        let mut oracle = self.oracle.lock().expect("no panic");
        // A level that is no mailbox is renamed with those below it.
        let is_in = |mailbox: &str, name: &str| {
            mailbox.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let has = |census: &Census, name: &str| census.keys().any(|known| is_in(known, name));
        if let Deed::Rename(from, to) = deed
            && has(&before, from)
            && has(&after, to)
            && after.keys().all(|known| is_in(known, to) || !is_in(known, from))
        {
            oracle.renamed(from, to);
        }
        oracle.saw(side as usize, &before, &after);
    }

    /// Whether a device would change the flags of a message marked `\Deleted` during the command
    /// that expunges it. No answer reports such a change, so no client could apply it to a copy.
    pub(super) fn is_late(&self, command: &str, side: Side, deed: &Deed) -> bool {
        let (Side::There, Deed::Set(token, _) | Deed::Clear(token, _)) = (side, deed) else {
            return false;
        };
        let is_marked = |(mailbox, uid): (String, u32)| {
            let everything = self.server.everything();
            let mut messages = everything.get(&mailbox).into_iter().flatten();
            messages.any(|held| held.uid == uid && held.flags.contains("\\deleted"))
        };
        command.strip_prefix("UID ").unwrap_or(command).starts_with("EXPUNGE")
            && self.find_there(*token).is_some_and(is_marked)
    }

    pub(super) fn census(&self, side: Side) -> Census {
        match side {
            Side::Here => self.census_here(),
            Side::There => self.census_there(),
        }
    }

    fn census_there(&self) -> Census {
        let mut census = Census::new();
        for (mailbox, messages) in self.server.everything() {
            let copies = messages.into_iter().map(|message| Copy {
                token: text::token(&message.body),
                whole: text::is_whole(&message.body),
                flags: message.flags,
            });
            let mut copies: Vec<Copy> = copies.collect();
            copies.sort();
            census.insert(mailbox, copies);
        }
        census
    }

    fn census_here(&self) -> Census {
        let mut census = Census::new();
        let tree = self.fs.tree();
        for (path, bytes) in &tree {
            let Some((dir, file)) = message_place(path) else { continue };
            let messages = census.entry(self.mailbox_of(&dir)).or_default();
            let (Some(file), Some(bytes)) = (file, bytes) else { continue };
            let table = Path::new(ROOT).join(&dir).join("dovecot-keywords");
            let table = tree.get(&table).and_then(Option::as_deref).unwrap_or_default();
            let info = file.rsplit_once(":2,").map_or("", |(_, info)| info);
            messages.push(Copy {
                token: text::token(bytes),
                flags: info.chars().map(|letter| flag(letter, table)).collect(),
                whole: text::is_whole(bytes),
            });
        }
        census.values_mut().for_each(|messages| messages.sort());
        // A directory that was renamed while it was made is no mailbox.
        let has = |mailbox: &str, part| tree.contains_key(&self.dir(mailbox).join(part));
        let is_whole = |mailbox: &str| has(mailbox, "cur") && has(mailbox, "new");
        census.retain(|mailbox, messages| !messages.is_empty() || is_whole(mailbox));
        census
    }

    fn mailbox_of(&self, dir: &Path) -> String {
        let name = self.layout.read(dir).map(|(name, _)| name.as_str().to_owned());
        name.unwrap_or_else(|| dir.to_string_lossy().into_owned())
    }

    /// A mailbox's name on this server: below the INBOX where all are.
    pub(super) fn full(&self, mailbox: &str) -> String {
        if mailbox == "INBOX" { mailbox.to_owned() } else { self.server.prefix() + mailbox }
    }

    pub(super) fn dir(&self, mailbox: &str) -> PathBuf {
        Path::new(ROOT).join(self.layout.path_of(&MailboxName::new(mailbox)))
    }

    pub(super) fn next(&self) -> u64 {
        self.made.fetch_add(1, Ordering::SeqCst)
    }

    /// The first copy of a message on the server: outside of the trash if there is one.
    fn find_there(&self, token: u32) -> Option<(String, u32)> {
        let everything = self.server.everything();
        let found = everything.iter().flat_map(|(mailbox, messages)| {
            messages
                .iter()
                .filter(|m| text::token(&m.body) == Some(token))
                .map(move |m| (mailbox, m.uid))
        });
        let found = found.min_by_key(|(mailbox, _)| mailbox.ends_with("Trash"));
        found.map(|(mailbox, uid)| (mailbox.clone(), uid))
    }

    fn act_there(&self, deed: &Deed) {
        let server = &self.server;
        match deed {
            Deed::Add(token, to) => {
                server.append(to, &text::of(*token), text::date(*token));
            }
            Deed::Remove(token) => {
                if let Some((mailbox, uid)) = self.find_there(*token) {
                    server.expunge(&mailbox, uid);
                }
            }
            Deed::Move(token, to) | Deed::Copy(token, to) => {
                let Some((mailbox, uid)) = self.find_there(*token) else { return };
                if mailbox == *to {
                    return;
                }
                server.create(to);
                if matches!(deed, Deed::Move(..)) {
                    server.mv(&mailbox, uid, to);
                } else {
                    server.copy(&mailbox, uid, to);
                }
            }
            Deed::Set(token, flag) | Deed::Clear(token, flag) => {
                let Some((mailbox, uid)) = self.find_there(*token) else { return };
                server.flag(&mailbox, uid, flag, matches!(deed, Deed::Set(..)));
            }
            Deed::Edit(token, new) => {
                let Some((mailbox, uid)) = self.find_there(*token) else { return };
                server.append(&mailbox, &text::of(*new), 1_650_000_000);
                server.expunge(&mailbox, uid);
            }
            Deed::Make(mailbox) => server.create(mailbox),
            Deed::Drop(mailbox) => server.delete(mailbox),
            Deed::Rename(from, to) => server.rename(from, to),
            Deed::Remake(mailbox, to) => {
                let everything = server.everything();
                let Some(messages) = everything.get(mailbox).filter(|_| mailbox != to) else {
                    return;
                };
                server.create(to);
                messages.iter().for_each(|message| server.mv(mailbox, message.uid, to));
                server.delete(mailbox);
                server.create(mailbox);
            }
            Deed::Renumber(mailbox) => server.renumber(mailbox),
            Deed::Twin(..) | Deed::Unname(_) => {}
        }
    }

    fn find_here(&self, token: u32) -> Option<(PathBuf, Vec<u8>)> {
        let tree = self.fs.tree();
        let found = tree.into_iter().filter_map(|(path, bytes)| {
            message_place(&path)?.1?;
            bytes.filter(|bytes| text::token(bytes) == Some(token)).map(|bytes| (path, bytes))
        });
        found.min_by_key(|(path, _)| path.to_string_lossy().contains("Trash"))
    }

    fn make_here(&self, mailbox: &str) {
        let dir = self.dir(mailbox);
        for sub in ["tmp", "new", "cur"] {
            self.fs.make_dirs(&dir.join(sub));
        }
    }

    fn has_here(&self, mailbox: &str) -> bool {
        self.fs.tree().contains_key(&self.dir(mailbox).join("cur"))
    }

    pub(super) fn act_here(&self, deed: &Deed) {
        match deed {
            Deed::Add(token, to) => {
                self.make_here(to);
                let place = if token % 2 == 0 { "new" } else { "cur" };
                let info = if token % 2 == 0 { "" } else { ":2," };
                let name = format!("r{}.host{info}", self.next());
                self.fs.write(&self.dir(to).join(place).join(name), &text::of_here(*token));
            }
            Deed::Remove(token) => {
                if let Some((path, _)) = self.find_here(*token) {
                    self.fs.remove(&path);
                }
            }
            Deed::Move(token, to) => {
                let Some((path, _)) = self.find_here(*token) else { return };
                let to = self.file_in(&path, to);
                self.fs.rename(&path, &to);
            }
            Deed::Copy(token, to) => {
                let Some((path, bytes)) = self.find_here(*token) else { return };
                self.make_here(to);
                let info = self.info_in(&path, to);
                let to = self.dir(to).join("cur").join(format!("r{}.host:2,{info}", self.next()));
                self.fs.write(&to, &bytes);
            }
            Deed::Set(token, flag) | Deed::Clear(token, flag) => {
                self.mark_here(*token, flag, matches!(deed, Deed::Set(..)));
            }
            Deed::Edit(token, new) => {
                let Some((path, _)) = self.find_here(*token) else { return };
                let name = format!("r{}.host:2,{}", self.next(), info_of(&path));
                let dir = path.parent().and_then(Path::parent).expect("below the root");
                self.fs.write(&dir.join("cur").join(name), &text::of_here(*new));
                self.fs.remove(&path);
            }
            Deed::Make(mailbox) => self.make_here(mailbox),
            Deed::Drop(mailbox) => self.put_away(mailbox),
            Deed::Rename(from, to) => self.rename_here(from, to),
            Deed::Remake(mailbox, to) => {
                if !self.has_here(mailbox) {
                    return;
                }
                let dir = self.dir(mailbox);
                for path in self.fs.tree().into_keys() {
                    let sub = path.parent().and_then(Path::parent);
                    if sub == Some(&dir) && message_place(&path).is_some_and(|p| p.1.is_some()) {
                        let to = self.file_in(&path, to);
                        self.fs.rename(&path, &to);
                    }
                }
                self.put_away(mailbox);
                self.make_here(mailbox);
            }
            Deed::Renumber(_) | Deed::Twin(..) | Deed::Unname(_) => {}
        }
    }

    /// Where a reader files a message: half of them keep the unique name.
    fn file_in(&self, path: &Path, mailbox: &str) -> PathBuf {
        self.make_here(mailbox);
        let name = path.file_name().expect("a file").to_string_lossy().into_owned();
        let unique = name.split(":2,").next().unwrap_or_default().to_owned();
        let next = self.next();
        let unique = if next.is_multiple_of(2) { unique } else { format!("r{next}.host") };
        let info = self.info_in(path, mailbox);
        self.dir(mailbox).join("cur").join(format!("{unique}:2,{info}"))
    }

    /// The letters of a file that goes to another mailbox: where one means another keyword there
    /// they are exchanged, else they are taken along as by who knows of no tables. One that meant
    /// nothing so far is not given a meaning by that.
    fn info_in(&self, path: &Path, mailbox: &str) -> String {
        let to = self.dir(mailbox);
        let from = path.parent().and_then(Path::parent).expect("below the root");
        let table = |dir: &Path| self.fs.read(&dir.join("dovecot-keywords")).unwrap_or_default();
        let (old, new) = (table(from), table(&to));
        let letters: Vec<char> = info_of(path).chars().collect();
        let names = |letter: &char| (flag(*letter, &old), flag(*letter, &new));
        let is_same = |(had, has): (String, String)| had == has || has.starts_with('?');
        if letters.iter().map(names).all(is_same) {
            return letters.into_iter().collect();
        }
        let letters = letters.into_iter().filter_map(|letter| match flag(letter, &old) {
            _ if !letter.is_ascii_lowercase() => Some(letter),
            had if had.starts_with('?') => flag(letter, &new).starts_with('?').then_some(letter),
            had => Some(self.keyword_letter(&to, &had)),
        });
        letters.collect::<BTreeSet<_>>().into_iter().collect()
    }

    fn flags_of(&self, path: &Path) -> BTreeSet<String> {
        let dir = path.parent().and_then(Path::parent).expect("below the root");
        let table = self.fs.read(&dir.join("dovecot-keywords")).unwrap_or_default();
        info_of(path).chars().map(|letter| flag(letter, &table)).collect()
    }

    fn mark_here(&self, token: u32, flag: &str, set: bool) {
        let Some((path, _)) = self.find_here(token) else { return };
        let dir = path.parent().and_then(Path::parent).expect("below the root").to_owned();
        let known = LETTERS.iter().find(|(_, name)| name.eq_ignore_ascii_case(flag));
        if !set && known.is_none() && !self.flags_of(&path).contains(flag) {
            return;
        }
        let letter = known.map_or_else(|| self.keyword_letter(&dir, flag), |(letter, _)| *letter);
        let mut letters: BTreeSet<char> = info_of(&path).chars().collect();
        let changed = if set { letters.insert(letter) } else { letters.remove(&letter) };
        if changed {
            let name = path.file_name().expect("a file").to_string_lossy().into_owned();
            let unique = name.split(":2,").next().unwrap_or_default();
            let info: String = letters.into_iter().collect();
            self.fs.rename(&path, &dir.join("cur").join(format!("{unique}:2,{info}")));
        }
    }

    /// The letter of a keyword, put into the table where it is not there. One that a name bears
    /// already, whatever it may mean, is taken, as with Dovecot.
    fn keyword_letter(&self, dir: &Path, keyword: &str) -> char {
        let table = dir.join("dovecot-keywords");
        let bytes = self.fs.read(&table).unwrap_or_default();
        let mut text = String::from_utf8_lossy(&bytes).into_owned();
        let mut last = 0;
        for line in text.lines() {
            let Some((n, word)) = line.split_once(' ') else { continue };
            let n: u8 = n.parse().unwrap_or_default();
            if word.eq_ignore_ascii_case(keyword) {
                return char::from(b'a' + n);
            }
            last = n + 1;
        }
        let tree = self.fs.tree();
        let mine = tree.keys().filter(|path| path.parent().and_then(Path::parent) == Some(dir));
        let borne = mine.flat_map(|path| info_of(path).chars().collect::<Vec<_>>());
        let borne = borne.filter(char::is_ascii_lowercase).max();
        last = borne.map_or(last, |letter| last.max(letter as u8 - b'a' + 1));
        text += &format!("{last} {keyword}\n");
        self.fs.write(&table, text.as_bytes());
        char::from(b'a' + last)
    }

    /// Takes a mailbox out of the Maildir, as a file manager's trash does.
    pub(super) fn put_away(&self, mailbox: &str) {
        if !self.has_here(mailbox) || mailbox == "INBOX" {
            return;
        }
        self.fs.make_dirs(Path::new("/gone"));
        self.fs.rename(&self.dir(mailbox), Path::new(&format!("/gone/{}", self.next())));
    }

    fn rename_here(&self, from: &str, to: &str) {
        if !self.has_here(from) || self.has_here(to) {
            return;
        }
        let (old, new) = (self.dir(from), self.dir(to));
        let tree = self.fs.tree();
        if new.starts_with(&old) || old.starts_with(&new) || tree.contains_key(&new) {
            return;
        }
        self.fs.make_dirs(new.parent().expect("below the root"));
        let mut below = Vec::new();
        if self.layout == Layout::MaildirPlusPlus {
            let prefix = format!("{}.", old.display());
            for path in tree.keys().filter(|path| path.parent() == Some(Path::new(ROOT))) {
                if let Some(rest) = path.to_string_lossy().strip_prefix(&prefix) {
                    below.push((path, PathBuf::from(format!("{}.{rest}", new.display()))));
                }
            }
        }
        if below.iter().any(|(_, to)| tree.contains_key(to)) {
            return;
        }
        below.iter().for_each(|(from, to)| self.fs.rename(from, to));
        self.fs.rename(&old, &new);
    }
}

/// The letters of a file name.
fn info_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    name.rsplit_once(":2,").map(|(_, info)| info.to_owned()).unwrap_or_default()
}

/// The mailbox's directory below the root and the file's name, where a path is in `cur` or
/// `new`; no name where it is that directory itself.
fn message_place(path: &Path) -> Option<(PathBuf, Option<String>)> {
    let relative = path.strip_prefix(ROOT).ok()?.to_string_lossy().into_owned();
    if relative.starts_with(".mailtide") {
        return None;
    }
    let parts: Vec<&str> = relative.split('/').collect();
    let at = parts.iter().position(|part| matches!(*part, "cur" | "new"))?;
    let dir = parts[..at].iter().collect();
    Some((dir, parts.get(at + 1).map(|name| (*name).to_owned())))
}

fn flag(letter: char, table: &[u8]) -> String {
    if letter == 'T' {
        return "\\deleted".to_owned();
    }
    if let Some((_, name)) = LETTERS.iter().find(|(known, _)| *known == letter) {
        return (*name).to_owned();
    }
    let number = u32::from(letter).wrapping_sub(u32::from('a')).to_string();
    let text = String::from_utf8_lossy(table);
    let mut lines = text.lines().filter_map(|line| line.split_once(' '));
    let found = lines.find(|(n, _)| *n == number).map(|(_, name)| name.to_ascii_lowercase());
    found.unwrap_or_else(|| format!("?{letter}"))
}
