//! How an author writes a world down.
//!
//! ```text
//! msg  base  local   remote
//! A    S     S       SF        # starred on the phone
//! B    S     gone    S         # deleted in mutt
//! C    -     -       new       # arrived
//! D    S     Work:S  S         # filed in mutt
//! E    S     in:Work S         # the same, flags as they were
//! ```
//!
//! A cell names what lies on a side: `-` or `gone` nothing, `.` or `new` a message without
//! flags, letters a message with those flags, `Work:S` one in another mailbox (`in:Work` with
//! the flags of the base), `S+Work:S` two. Messages with the same letter have the same bytes:
//! `A` and `A2`. A mailbox that is named is on both sides and agreed; lines `mailbox Work: local`
//! (or `remote`, `none`, `trash`, `junk`, `drafts`, `excluded`) say otherwise.

use std::collections::{BTreeMap, BTreeSet};

use mailtide::reconcile::types::{
    Base, Flags, Mailbox, MailboxName, MailboxStatus, Remote, Row, ServerFacts, SpecialUse, System,
    Uid,
};

use super::model::{Ladder, Mail, Model};
use super::observe::local_of;

/// Reads a table into a world that a run has never looked at since it agreed.
///
/// # Panics
/// Where the table cannot be read: the author has to mend it.
#[must_use]
pub fn parse(table: &str) -> Model {
    parse_with(table, Ladder::default())
}

/// The same, with a server of a given kind.
///
/// # Panics
/// As [`parse`].
#[must_use]
pub fn parse_with(table: &str, ladder: Ladder) -> Model {
    let mut model = Model::default();
    model.ladder = ladder;
    let inbox = MailboxName::new(MailboxName::INBOX);
    model.have(&inbox);
    let lines = table.lines().map(|line| line.split('#').next().unwrap_or("").trim());
    let lines: Vec<&str> =
        lines.filter(|line| !line.is_empty() && !line.starts_with("msg")).collect();
    let mailboxes = || lines.iter().filter_map(|line| line.strip_prefix("mailbox "));
    mailboxes().for_each(|line| model.read_mailbox(line));
    for line in lines.iter().filter(|line| !line.starts_with("mailbox ")) {
        let cells: Vec<&str> = line.split_whitespace().collect();
        let [name, base, local, remote] = cells[..] else {
            panic!("a message, a base, a local and a remote, not {line:?}")
        };
        let body = name.chars().next().unwrap_or('?');
        let base = copies(base, &inbox, None);
        let home = base.first().map_or_else(|| inbox.clone(), |(place, _)| place.clone());
        let past = base.first().map(|(_, flags)| flags.clone());
        let (local, remote) =
            (copies(local, &home, past.as_ref()), copies(remote, &home, past.as_ref()));
        model.put(body, base.first(), &local, &remote);
    }
    mailboxes().for_each(|line| model.lose_sides(line));
    model.settle_cursors();
    model
}

type Copy = (MailboxName, Flags);

fn copies(cell: &str, home: &MailboxName, past: Option<&Flags>) -> Vec<Copy> {
    if matches!(cell, "-" | "gone") {
        return Vec::new();
    }
    let copy = |part: &str| match part.split_once(':') {
        Some(("in", place)) => (MailboxName::new(place), past.cloned().unwrap_or_default()),
        Some((place, letters)) => (MailboxName::new(place), flags(letters)),
        None => (home.clone(), flags(part)),
    };
    cell.split('+').map(copy).collect()
}

/// Flags by their Maildir letters; small letters are keywords.
///
/// # Panics
/// Where a letter is none.
#[must_use]
pub fn flags(letters: &str) -> Flags {
    let mut out = Flags::default();
    if matches!(letters, "." | "new") {
        return out;
    }
    for letter in letters.chars() {
        match System::from_letter(letter) {
            Some(bit) => out.system = out.system.union(bit),
            None if letter.is_ascii_lowercase() => out.insert_imap(&letter.to_string()),
            None => panic!("{letter:?} is no flag"),
        }
    }
    out
}

impl Model {
    /// Makes a mailbox on both sides, agreed.
    pub fn have(&mut self, name: &MailboxName) {
        if self.disk.contains_key(name) {
            return;
        }
        let id = self.store.mailbox(name);
        self.server.entry(name.clone()).or_default();
        self.disk.entry(name.clone()).or_default();
        if let Some(mailbox) = self.store.mailboxes.get_mut(&id) {
            (mailbox.local, mailbox.remote, mailbox.base) = (true, true, true);
            mailbox.restated = false;
        }
    }

    fn read_mailbox(&mut self, line: &str) {
        let (name, words) = line.split_once(':').unwrap_or((line, ""));
        let name = MailboxName::new(name.trim());
        self.have(&name);
        for word in words.split_whitespace() {
            match word {
                "local" | "remote" => {}
                "trash" => drop(self.uses.insert(name.clone(), SpecialUse::Trash)),
                "junk" => drop(self.uses.insert(name.clone(), SpecialUse::Junk)),
                "drafts" => drop(self.uses.insert(name.clone(), SpecialUse::Drafts)),
                "excluded" => {
                    let id = self.store.mailbox(&name);
                    self.store.delete_mailbox(id);
                    self.excluded.insert(name.clone());
                }
                // Only one side has it, and the other never had.
                "new" => {
                    let id = self.store.mailbox(&name);
                    self.store.delete_mailbox(id);
                }
                other => panic!("{other:?} says nothing of a mailbox"),
            }
        }
    }

    fn lose_sides(&mut self, line: &str) {
        let (name, words) = line.split_once(':').unwrap_or((line, ""));
        let name = MailboxName::new(name.trim());
        for word in words.split_whitespace() {
            match word {
                "local" => drop(self.server.remove(&name)),
                "remote" => drop(self.disk.remove(&name)),
                _ => {}
            }
        }
    }

    /// Puts one message: what was agreed, and where its copies lie now. The first copy of a
    /// side is the agreed one, moved or not; every other one is an addition.
    pub fn put(&mut self, body: char, base: Option<&Copy>, local: &[Copy], remote: &[Copy]) {
        for (place, _) in base.iter().copied().chain(local).chain(remote) {
            self.have(place);
        }
        let object = self.new_object();
        let mut stem = None;
        let mut agreed_uid = None;
        if let Some((home, flags)) = base {
            let name = self.new_stem();
            let mail = Mail { object, ..Mail::new(body, flags.clone()) };
            let folder = self.server.entry(home.clone()).or_default();
            let uid = folder.add(mail.clone());
            let mailbox = self.store.mailbox(home);
            self.store.insert(Row {
                local: Some(local_of(&name, flags)),
                remote: Some(Remote { uid: Uid(uid), flags: flags.clone(), confirmed: true }),
                base: Some(Base { flags: flags.clone() }),
                content: Some(mail.content()),
                header: Some(mail.header()),
                words: Some(ServerFacts { ..mail.words() }),
                ..Row::new(mailbox)
            });
            stem = Some(name);
            agreed_uid = Some((home.clone(), uid));
        }
        for (place, flags) in local {
            let name = stem.take().unwrap_or_else(|| self.new_stem());
            let mail = Mail::new(body, flags.clone());
            self.disk.entry(place.clone()).or_default().insert(name, mail);
        }
        self.put_remote(Mail { object, ..Mail::new(body, Flags::default()) }, agreed_uid, remote);
    }

    fn put_remote(&mut self, mail: Mail, agreed: Option<(MailboxName, u32)>, remote: &[Copy]) {
        let mut stays = false;
        for (at, (place, flags)) in remote.iter().enumerate() {
            let mail = Mail { flags: flags.clone(), ..mail.clone() };
            let folder = self.server.entry(place.clone()).or_default();
            match &agreed {
                Some((home, uid)) if at == 0 && home == place => {
                    folder.mail.insert(*uid, mail);
                    stays = true;
                }
                _ => drop(folder.add(mail)),
            }
        }
        if let Some((home, uid)) = agreed.filter(|_| !stays)
            && let Some(folder) = self.server.get_mut(&home)
        {
            folder.mail.remove(&uid);
        }
    }

    /// The cursors of a run that saw everything that was agreed.
    pub fn settle_cursors(&mut self) {
        let uses = self.uses.clone();
        for mailbox in self.store.mailboxes.values_mut() {
            mailbox.special_use = uses.get(&mailbox.name).copied();
            let highest = self.store.rows.values().filter(|row| row.mailbox == mailbox.id);
            let highest = highest.filter_map(|row| row.remote.as_ref()).map(|r| r.uid.0).max();
            let gate = MailboxStatus {
                uid_validity: 1,
                uid_next: highest.unwrap_or(0) + 1,
                ..MailboxStatus::default()
            };
            *mailbox =
                Mailbox { cursor: Some(gate), mask: Some(self.mask.clone()), ..mailbox.clone() };
        }
        self.number_arrivals();
        self.store.number_rows();
    }

    /// What came after the last run has numbers above all that was known then.
    fn number_arrivals(&mut self) {
        for mailbox in self.store.mailboxes.values() {
            let rows = self.store.rows.values().filter(|row| row.mailbox == mailbox.id);
            let known: BTreeSet<u32> =
                rows.filter_map(|row| row.remote.as_ref()).map(|remote| remote.uid.0).collect();
            let Some(folder) = self.server.get_mut(&mailbox.name) else { continue };
            let (old, new) = std::mem::take(&mut folder.mail)
                .into_iter()
                .partition::<BTreeMap<_, _>, _>(|(uid, _)| known.contains(uid));
            (folder.mail, folder.uid_next) = (old, known.last().map_or(1, |last| last + 1));
            for mail in new.into_values() {
                folder.add(mail);
            }
        }
    }
}
