//! A table world as a real account: the same mail on a simulated server and disk, with the
//! engine between them; and the ends of both in the same words.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use mailtide::reconcile::OnLocalDelete;
use mailtide::reconcile::types::{Flags, MailboxName, Row, SetAsideKind, SpecialUse, System};
use mailtide::state::{Hold, HoldState};

use super::model::{Ladder, Mail, Model, Side};
use super::observe::stem_of;
use super::text::reason_text;
use crate::compare::content;
use crate::imap::{Modseq, Profile};
use crate::world::{Mail as Census, ROOT, World};

/// Where directories are that are not in the Maildir any more.
const GONE: &str = "/gone";
/// Runs that may follow the first one until nothing is left to do.
const RUNS_MAX: usize = 5;

/// What is left when nothing is left to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// Mailboxes and their messages on the disk, as [`Model::shown`].
    pub local: Vec<String>,
    /// The same of the server.
    pub remote: Vec<String>,
    /// Bodies in the local trash.
    pub trash: String,
    /// Bodies that went down and up.
    pub transfers: (u32, u32),
    /// What waits for a person.
    pub holds: Vec<String>,
    /// How many messages are set aside.
    pub set_aside: usize,
}

/// A table world with the engine at work in it.
#[derive(Debug)]
pub struct Engine {
    /// The account.
    pub world: World,
    transfers: (u32, u32),
}

impl Engine {
    /// Sets up what a model agreed on, lets the engine agree on it, too, and then makes both
    /// sides what they are in the model.
    ///
    /// # Panics
    /// Where the engine does not agree on it.
    #[must_use]
    pub fn of(model: &Model, modseq: Modseq) -> Self {
        let mut world = World::new(profile(model, modseq));
        let (guard, expunges) = (model.policy.guard, model.policy_now().trash.is_none());
        world.also(move |settings| {
            settings.guard = guard;
            if expunges {
                settings.on_local_delete = OnLocalDelete::Expunge;
            }
        });
        let mut engine = Self { world, transfers: (0, 0) };
        engine.agree(model);
        engine.change_server(model);
        engine.change_disk(model);
        engine.transfers = (0, 0);
        engine
    }

    fn agree(&mut self, model: &Model) {
        for mailbox in model.store.mailboxes.values() {
            self.world.server.create(mailbox.name.as_str());
            self.make_dir(&mailbox.name);
            let mut rows = model.rows_of(mailbox.id);
            rows.retain(|row| row.base.is_some());
            rows.sort_by_key(|row| row.remote.as_ref().map(|remote| remote.uid));
            for row in rows {
                let (Some(local), Some(remote)) = (&row.local, &row.remote) else { continue };
                let mail = Mail::new(letter(&row), remote.flags.clone());
                self.append(&mailbox.name, remote.uid.0, &mail);
                self.write(&mailbox.name, &stem_of(local), &mail);
            }
        }
        self.run_to_rest();
        for row in model.store.rows.values().filter(|row| row.base.is_some()) {
            let (Some(local), Some(remote)) = (&row.local, &row.remote) else { continue };
            let name = model.name(row.mailbox);
            let known = self.world.asked(|store| {
                let mailbox = store.mailbox_by_name(&name)?;
                mailbox.map_or(Ok(None), |mailbox| store.by_uid(mailbox.id, remote.uid))
            });
            let stem = known.and_then(|row| row.local).map(|local| local.stem);
            assert_eq!(stem.as_ref(), Some(&local.stem), "{name} {} is paired otherwise", row.id.0);
        }
    }

    fn change_server(&self, model: &Model) {
        let server = &self.world.server;
        // What was agreed, by its place; what has an object id is that message or a copy of it.
        let agreed: BTreeSet<(MailboxName, u32)> = rows(model)
            .filter_map(|row| Some((model.name(row.mailbox), row.remote.as_ref()?.uid.0)))
            .collect();
        let mut objects: BTreeMap<u32, (MailboxName, u32)> = BTreeMap::new();
        for row in rows(model) {
            let named = row.words.as_ref().and_then(|words| words.object_id.as_deref());
            let object = named.and_then(|id| id.trim_start_matches('M').parse().ok());
            if let (Some(object), Some(remote)) = (object, &row.remote) {
                objects.insert(object, (model.name(row.mailbox), remote.uid.0));
            }
        }
        for (name, folder) in &model.server {
            server.create(name.as_str());
            for (uid, mail) in &folder.mail {
                let place = (name.clone(), *uid);
                match objects.get(&mail.object).filter(|source| **source != place) {
                    _ if agreed.contains(&place) => {}
                    Some((from, source)) => {
                        self.skip_to(name, *uid);
                        server.copy(from.as_str(), *source, name.as_str());
                    }
                    None => {
                        self.append(name, *uid, mail);
                        objects.extend((mail.object != 0).then_some((mail.object, place)));
                    }
                }
                set_flags(&self.world, name, *uid, &mail.flags);
            }
        }
        for (name, uid) in &agreed {
            if !model.server.get(name).is_some_and(|folder| folder.mail.contains_key(uid)) {
                server.expunge(name.as_str(), &[*uid]);
            }
        }
        for mailbox in model.store.mailboxes.values() {
            if !model.server.contains_key(&mailbox.name) {
                server.delete_mailbox(mailbox.name.as_str());
            }
        }
    }

    fn change_disk(&self, model: &Model) {
        let fs = &self.world.fs;
        let agreed: BTreeMap<String, (MailboxName, Row)> = rows(model)
            .filter_map(|row| Some((stem_of(row.local.as_ref()?), (model.name(row.mailbox), row))))
            .map(|(stem, (name, row))| (stem, (name, row.clone())))
            .collect();
        for (name, files) in &model.disk {
            self.make_dir(name);
            for (stem, mail) in files {
                match agreed.get(stem) {
                    Some((from, row)) => {
                        let flags = row.local.as_ref().map(|local| &local.flags);
                        let old = self.path(from, stem, flags.unwrap_or(&mail.flags));
                        let path = self.path(name, stem, &mail.flags);
                        fs.move_file(old, &path);
                        if letter(row) != mail.body {
                            fs.write_file(path, &text(mail.body, false));
                        }
                    }
                    None => self.write(name, stem, mail),
                }
            }
        }
        let left = |stem: &String| model.disk.values().any(|files| files.contains_key(stem));
        for (stem, (name, row)) in agreed.iter().filter(|(stem, _)| !left(stem)) {
            let flags = row.local.as_ref().map(|local| local.flags.clone()).unwrap_or_default();
            fs.delete_file(self.path(name, stem, &flags));
        }
        for mailbox in model.store.mailboxes.values() {
            if !model.disk.contains_key(&mailbox.name) {
                self.world.fs.mkdir_all(GONE);
                let name = mailbox.name.as_str();
                fs.move_file(self.world.dir_of(name), PathBuf::from(GONE).join(name));
            }
        }
    }

    /// Another directory takes the place of a mailbox's, with copies of its files.
    pub fn replace_directory(&self, name: &MailboxName) {
        let (fs, dir) = (&self.world.fs, self.world.dir_of(name.as_str()));
        fs.mkdir_all(GONE);
        let gone = PathBuf::from(GONE).join("replaced");
        fs.move_file(&dir, &gone);
        self.make_dir(name);
        for (path, bytes) in fs.tree() {
            let below = path.strip_prefix(&gone).ok().filter(|below| below.starts_with("cur"));
            if let (Some(below), Some(bytes)) = (below, bytes) {
                let mail = Mail::new(letter_of(&content(&bytes)), Flags::default());
                self.write_at(&dir.join(below), &mail);
            }
        }
    }

    /// A person lets everything pass that waits.
    pub fn approve(&self) {
        for hold in self.world.asked(|store| store.holds()) {
            let approved = HoldState::Approved;
            self.world.asked(|store| store.transaction(|tx| tx.set_hold_state(&hold.id, approved)));
        }
    }

    /// One run; gives whether anything is left to do.
    pub fn run(&mut self) -> bool {
        self.world.wait();
        let (report, result) = self.world.sync();
        if super::is_loud() {
            eprintln!("the engine did {report} {result:?} {:?}", report.skipped);
        }
        let count = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        self.transfers.0 += count(self.world.server.counters().bodies_sent);
        self.transfers.1 += count(report.pushed);
        self.world.server.reset_counters();
        report.done() > 0 || result.is_err()
    }

    /// Runs until nothing is left to do.
    ///
    /// # Panics
    /// Where that takes too many.
    pub fn run_to_rest(&mut self) {
        assert!((0..RUNS_MAX).any(|_| !self.run()), "the engine never comes to rest");
    }

    /// What is left.
    #[must_use]
    pub fn end(&self) -> End {
        End {
            local: shown(&self.world.local()),
            remote: shown(&self.world.remote()),
            trash: self.trash(),
            transfers: self.transfers,
            holds: self.holds(),
            set_aside: self.world.set_aside().len(),
        }
    }

    fn trash(&self) -> String {
        let trash = PathBuf::from(ROOT).join(".mailtide/trash");
        let files = self.world.fs.tree().into_iter();
        let files = files.filter(|(path, _)| path.starts_with(&trash));
        let mut bodies: Vec<char> =
            files.filter_map(|(_, body)| Some(letter_of(&content(&body?)))).collect();
        bodies.sort_unstable();
        bodies.into_iter().collect()
    }

    fn holds(&self) -> Vec<String> {
        let holds = self.world.asked(|store| store.holds()).into_iter();
        let holds = holds.filter(|hold| hold.state == HoldState::Pending);
        let line = |hold: Hold| {
            let reason = reason_text(&hold.reason);
            format!("hold {} ({reason}, {:?})", hold.rows.len(), hold.direction)
        };
        let mut lines: Vec<String> = holds.map(line).collect();
        lines.sort();
        lines
    }

    fn make_dir(&self, name: &MailboxName) {
        let dir = self.world.dir_of(name.as_str());
        ["tmp", "new", "cur"].iter().for_each(|sub| self.world.fs.mkdir_all(dir.join(sub)));
    }

    fn path(&self, name: &MailboxName, stem: &str, flags: &Flags) -> PathBuf {
        let table = System::TABLE.iter().filter(|(bit, _, _)| flags.system.contains(*bit));
        let letters: String = table.map(|(_, letter, _)| *letter).collect();
        self.world.dir_of(name.as_str()).join(format!("cur/{stem}:2,{letters}"))
    }

    fn write(&self, name: &MailboxName, stem: &str, mail: &Mail) {
        self.write_at(&self.path(name, stem, &mail.flags), mail);
    }

    /// A reader writes a file and gives it the time of its message.
    fn write_at(&self, path: &Path, mail: &Mail) {
        let fs = &self.world.fs;
        let now = fs.clock();
        fs.set_clock(mail.date() * 1_000_000_000);
        fs.write_file(path, &text(mail.body, false));
        fs.set_clock(now);
        // The directory changes now, whatever time its file is given.
        let passing = path.with_file_name("passing");
        fs.write_file(&passing, b"");
        fs.delete_file(&passing);
    }

    fn append(&self, name: &MailboxName, uid: u32, mail: &Mail) {
        self.skip_to(name, uid);
        let server = &self.world.server;
        let given = server.append(name.as_str(), &text(mail.body, true), &[], Some(mail.date()));
        assert_eq!(given, uid, "the number of a message in {name}");
        set_flags(&self.world, name, uid, &mail.flags);
    }

    fn skip_to(&self, name: &MailboxName, uid: u32) {
        let server = &self.world.server;
        let next = server.uid_next(name.as_str()).unwrap_or(1);
        server.skip_uids(name.as_str(), uid.saturating_sub(next));
    }
}

/// What is left of a model, in the same words.
#[must_use]
pub fn end_of(model: &Model) -> End {
    let mut trash: Vec<char> = model.trash.iter().map(|mail| mail.body).collect();
    trash.sort_unstable();
    let mut holds = model.describe(&model.plan());
    holds.retain(|line| line.starts_with("hold"));
    holds.sort();
    End {
        local: with_names(model.shown(Side::Local), model.disk.keys()),
        remote: with_names(model.shown(Side::Remote), model.server.keys()),
        trash: trash.into_iter().collect(),
        transfers: model.transfers,
        holds,
        set_aside: model.store.rows.values().filter(|row| is_problem(row)).count(),
    }
}

fn with_names<'a>(
    mut lines: Vec<String>,
    names: impl Iterator<Item = &'a MailboxName>,
) -> Vec<String> {
    lines.extend(names.map(ToString::to_string));
    lines.sort();
    lines
}

fn is_problem(row: &Row) -> bool {
    row.set_aside.as_ref().is_some_and(|aside| aside.kind != SetAsideKind::Kept)
}

fn rows(model: &Model) -> impl Iterator<Item = &Row> {
    model.store.rows.values().filter(|row| row.base.is_some())
}

/// A server of the model's kind.
fn profile(model: &Model, modseq: Modseq) -> Profile {
    let Ladder { can_move, uidplus, object_ids, rewrites } = model.ladder;
    assert!(!rewrites, "the simulated server rewrites nothing");
    let attribute = |special_use: &SpecialUse| format!("\\{special_use:?}");
    let special = model.uses.iter();
    let special = special.map(|(name, special_use)| (name.to_string(), attribute(special_use)));
    Profile {
        modseq,
        move_: can_move,
        uidplus,
        objectid: object_ids,
        special: special.collect(),
        ..Profile::qresync()
    }
}

fn set_flags(world: &World, name: &MailboxName, uid: u32, flags: &Flags) {
    let now = world.server.get(name.as_str(), uid).map(|message| message.flag_set());
    let now = now.unwrap_or_default();
    let (more, less) = (flags.difference(&now), now.difference(flags));
    if !more.is_empty() || !less.is_empty() {
        world.server.set_flags(name.as_str(), uid, &more.imap_names(), &less.imap_names());
    }
}

/// The octets that a letter stands for; a server has them with CRLF.
fn text(body: char, on_server: bool) -> Vec<u8> {
    let head = body.to_ascii_uppercase();
    let id = match head {
        'X'..='Z' => String::new(),
        head => format!("Message-ID: <{head}@table>\n"),
    };
    let more = ".".repeat(usize::try_from(u32::from(head)).unwrap_or(0));
    let text = format!("{id}From: a@example.org\nSubject: {head}\n\n{body}{more}\n");
    if on_server { text.replace('\n', "\r\n").into_bytes() } else { text.into_bytes() }
}

fn letter(row: &Row) -> char {
    row.content.map_or('?', |content| char::from(content.0[0]))
}

/// The letter whose octets have this content.
fn letter_of(hash: &str) -> char {
    let mut letters = ('A'..='Z').chain('a'..='z');
    letters.find(|letter| content(&text(*letter, false)) == hash).unwrap_or('?')
}

fn shown(side: &Census) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, messages) in side {
        lines.push(name.clone());
        for (hash, names) in messages {
            let mut flags = Flags::default();
            names.iter().for_each(|name| flags.insert_imap(name));
            lines.push(format!("{name} {} {flags:?}", letter_of(hash)));
        }
    }
    lines.sort();
    lines
}
