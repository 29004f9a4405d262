//! Writes what is seen into the seen columns, one mailbox and one side at a time.

use std::collections::BTreeSet;

use mailtide::reconcile::row_state::{RowState, is_in_doubt, state_of};
use mailtide::reconcile::types::{
    Base, Coverage, FileStamp, Flags, Journal, Local, Mailbox, MailboxId, MailboxName,
    MailboxStatus, Remote, Row, RowId, ServerFacts, SetAside, SetAsideKind, Stem, Uid,
};

use super::model::{Crash, Mail, Model, Side, Store};

/// Looks at one side after which departures are not believed.
const LOOKS_MAX: u32 = 3;

/// The local column of a file.
#[must_use]
pub fn local_of(stem: &str, flags: &Flags) -> Local {
    Local {
        stem: Stem(stem.as_bytes().to_vec()),
        in_new: false,
        info: String::new(),
        flags: flags.clone(),
        stamp: FileStamp::default(),
    }
}

/// The stem of a row's file.
#[must_use]
pub fn stem_of(local: &Local) -> String {
    String::from_utf8_lossy(&local.stem.0).into_owned()
}

impl Model {
    /// Looks at both sides until no further departure is noticed (hazard 4).
    ///
    /// # Errors
    /// The crash.
    pub fn observe(&mut self) -> Result<(), Crash> {
        for look in 1..=LOOKS_MAX {
            let left = self.look_locally()?;
            let gone = self.look_remotely()?;
            if !left && !gone {
                break;
            }
            if look == LOOKS_MAX {
                self.coverage.values_mut().for_each(|coverage| *coverage = Coverage::Partial);
            }
        }
        Ok(())
    }

    pub(super) fn is_blind(&self, side: Side, name: &MailboxName) -> bool {
        self.fate.blind.contains(&(side, name.clone()))
    }

    fn look_locally(&mut self) -> Result<bool, Crash> {
        let mut departed = false;
        for mailbox in self.store.mailboxes.values().cloned().collect::<Vec<_>>() {
            if self.disk.contains_key(&mailbox.name) {
                continue;
            }
            self.coverage.insert((mailbox.id, Side::Local), Coverage::Complete);
            if mailbox.local {
                departed = true;
                self.tick()?;
                let restated = mailbox.name.is_inbox();
                self.rows_of(mailbox.id).into_iter().for_each(|row| self.lose_file(row, restated));
                self.store
                    .mailboxes
                    .insert(mailbox.id, Mailbox { local: false, restated, ..mailbox });
            }
        }
        for name in self.disk.keys().cloned().collect::<Vec<_>>() {
            if self.excluded.contains(&name) {
                continue;
            }
            let id = self.store.mailbox(&name);
            let coverage = if self.is_blind(Side::Local, &name) {
                Coverage::Partial
            } else {
                Coverage::Complete
            };
            self.coverage.insert((id, Side::Local), coverage);
            if coverage == Coverage::Complete {
                self.tick()?;
                departed |= self.scan(id, &name);
            }
        }
        Ok(departed)
    }

    fn scan(&mut self, id: MailboxId, name: &MailboxName) -> bool {
        if let Some(mailbox) = self.store.mailboxes.get_mut(&id) {
            mailbox.local = true;
        }
        let files = self.disk.get(name).cloned().unwrap_or_default();
        let mut seen = BTreeSet::new();
        let mut departed = false;
        for mut row in self.rows_of(id) {
            let Some(local) = row.local.clone() else { continue };
            let stem = stem_of(&local);
            match files.get(&stem) {
                None => {
                    self.lose_file(row, false);
                    departed = true;
                    continue;
                }
                Some(mail) if row.content.is_some_and(|content| content != mail.content()) => {
                    self.note_edit(row, &stem, mail);
                }
                Some(mail) if mail.flags != local.flags => {
                    row.local = Some(Local { flags: mail.flags.clone(), ..local });
                    self.store.update(row);
                }
                Some(_) => {}
            }
            seen.insert(stem);
        }
        for (stem, mail) in files.iter().filter(|(stem, _)| !seen.contains(*stem)) {
            self.store.insert(file_row(id, stem, mail, Journal::Idle));
        }
        departed
    }

    /// An edited file is other content: its row loses it, and a new row that knows where it
    /// comes from has it (hazard 12).
    fn note_edit(&mut self, row: Row, stem: &str, mail: &Mail) {
        let edited = file_row(row.mailbox, stem, mail, Journal::Idle);
        let old = Row { local: None, ..row };
        self.store.update(old.clone());
        let by = self.store.insert(edited);
        if old.remote.is_some() {
            self.store.update(Row { journal: Journal::Replaced { by }, ..old });
        }
    }

    fn lose_file(&mut self, mut row: Row, restated: bool) {
        if row.local.take().is_none() {
            return;
        }
        row.restated |= restated;
        let sent = matches!(row.journal, Journal::Pushing { .. } | Journal::Moving { .. });
        if row.base.is_none() && row.remote.is_none() && !sent {
            self.store.rows.remove(&row.id);
            return;
        }
        if row.set_aside.as_ref().is_some_and(|s| s.kind != SetAsideKind::Remove) {
            row.set_aside = None;
        }
        self.store.update(row);
    }

    fn look_remotely(&mut self) -> Result<bool, Crash> {
        let mut departed = false;
        for mailbox in self.store.mailboxes.values().cloned().collect::<Vec<_>>() {
            if self.server.contains_key(&mailbox.name) {
                continue;
            }
            self.coverage.insert((mailbox.id, Side::Remote), Coverage::Complete);
            if mailbox.remote {
                departed = true;
                self.tick()?;
                self.rows_of(mailbox.id).into_iter().for_each(|row| self.lose_message(row, None));
                let gone = Mailbox { remote: false, cursor: None, ..mailbox };
                self.store.mailboxes.insert(gone.id, gone);
            }
        }
        for name in self.server.keys().cloned().collect::<Vec<_>>() {
            if self.excluded.contains(&name) {
                continue;
            }
            let id = self.store.mailbox(&name);
            let blind = self.is_blind(Side::Remote, &name);
            let coverage = if blind { Coverage::Partial } else { Coverage::Complete };
            self.coverage.insert((id, Side::Remote), coverage);
            if !blind {
                self.tick()?;
                departed |= self.list(id, &name);
            }
        }
        Ok(departed)
    }

    fn list(&mut self, id: MailboxId, name: &MailboxName) -> bool {
        let folder = self.server.get(name).cloned().unwrap_or_default();
        let gate = MailboxStatus {
            uid_validity: folder.uid_validity,
            uid_next: folder.uid_next,
            messages: u32::try_from(folder.mail.len()).unwrap_or(u32::MAX),
            highest_modseq: None,
        };
        let known = self.store.mailboxes.get(&id).and_then(|mailbox| mailbox.cursor);
        let renumbered = known
            .is_some_and(|k| k.uid_validity != gate.uid_validity || gate.uid_next < k.uid_next);
        if renumbered {
            self.restate_messages(id);
        }
        if let Some(known) = known.filter(|_| !renumbered) {
            let given = known.uid_next..gate.uid_next;
            let rows = self.rows_of(id).into_iter().filter_map(|row| row.remote.map(|r| r.uid.0));
            let seen: BTreeSet<u32> =
                rows.chain(folder.mail.keys().copied()).filter(|uid| given.contains(uid)).collect();
            self.store.passed |= seen.len() < given.len();
        }
        let (mask, special_use) = (self.mask.clone(), self.uses.get(name).copied());
        let waiting = self.rows_of(id).iter().any(|row| {
            let twins = matches!(row.journal, Journal::Pushed { .. } | Journal::Pushing { .. });
            twins || (row.local.is_some() && row.remote.is_none() && row.set_aside.is_none())
        });
        if let Some(mailbox) = self.store.mailboxes.get_mut(&id) {
            mailbox.remote = true;
            mailbox.cursor = Some(gate);
            mailbox.mask = Some(mask);
            mailbox.special_use = special_use;
        }
        let mut departed = false;
        let mut seen = BTreeSet::new();
        for row in self.rows_of(id) {
            let Some(uid) = row.remote.as_ref().map(|remote| remote.uid.0) else { continue };
            seen.insert(uid);
            if let Some(mail) = folder.mail.get(&uid) {
                self.see_again(row, mail);
            } else {
                departed |= row.base.is_some();
                self.lose_message(row, Some(folder.uid_next));
            }
        }
        for (uid, mail) in folder.mail.iter().filter(|(uid, _)| !seen.contains(uid)) {
            // A header is asked for only where it could tell something (hazard 44).
            let hit = self.store.rows.values().any(|row| {
                let same =
                    |w: &ServerFacts| w.size == mail.words().size && w.date == mail.words().date;
                row.content.is_some() && row.words.as_ref().is_some_and(same)
            });
            let remote = Remote { uid: Uid(*uid), flags: mail.flags.clone(), confirmed: true };
            self.store.insert(Row {
                remote: Some(remote),
                words: Some(mail.words()),
                header: (waiting || hit).then(|| mail.header()),
                ..Row::new(id)
            });
        }
        if renumbered {
            self.judge_renumbered(id);
        }
        departed
    }

    fn see_again(&mut self, mut row: Row, mail: &Mail) {
        let Some(remote) = row.remote.as_mut() else { return };
        if !remote.confirmed {
            // What we set and a look does not show was not taken (hazard 29).
            let missing = remote.flags.difference(&mail.flags);
            if let Some(base) = row.base.as_mut() {
                base.flags = base.flags.difference(&missing);
            }
            row.refused_keywords.extend(missing.keywords);
        }
        remote.flags.clone_from(&mail.flags);
        remote.confirmed = true;
        row.words = Some(mail.words());
        self.store.update(row);
    }

    fn lose_message(&mut self, mut row: Row, uid_next: Option<u32>) {
        let Some(remote) = row.remote.take() else { return };
        if row.local.is_none() && row.base.is_none() && (!row.restated || row.content.is_none()) {
            self.store.rows.remove(&row.id);
            return;
        }
        let never_there = uid_next.is_some_and(|next| remote.uid.0 >= next);
        if !remote.confirmed && row.local.is_some() && never_there {
            // The server said that it took the message, and never gave that number (hazard 24).
            row.base = None;
            let words = "not there".to_owned();
            row.set_aside = Some(SetAside { kind: SetAsideKind::Push, words, times: 1 });
        } else if row.set_aside.as_ref().is_some_and(|s| s.kind != SetAsideKind::Read) {
            row.set_aside = None;
        }
        self.store.update(row);
    }

    /// No UID of a mailbox can be believed any more (hazards 5 and 20).
    fn restate_messages(&mut self, id: MailboxId) {
        if let Some(mailbox) = self.store.mailboxes.get_mut(&id) {
            mailbox.restated = true;
        }
        for row in self.rows_of(id) {
            // Its file may have been moved, with its message to follow (hazards 55 and 56).
            let moving = matches!(row.journal, Journal::Moving { .. });
            if row.local.is_none() && row.base.is_none() && !moving {
                self.store.rows.remove(&row.id);
                continue;
            }
            let journal = match row.journal {
                Journal::Pushed { .. } | Journal::Pushing { .. } => Journal::Idle,
                journal => journal,
            };
            let restated = row.base.is_some();
            self.store.update(Row { remote: None, restated, journal, ..row });
        }
    }

    /// Where nothing of what a mailbox held is in it, and others kept their numbers, it was made
    /// anew: its rows are in doubt no more (hazard 56).
    fn judge_renumbered(&mut self, id: MailboxId) {
        let others = self.store.mailboxes.values().filter(|m| m.id != id && m.cursor.is_some());
        if others.count() == 0 || self.name(id).is_inbox() {
            return;
        }
        let rows = self.rows_of(id);
        let doubtful: Vec<&Row> = rows.iter().filter(|row| is_in_doubt(row)).collect();
        let words = |row: &Row| row.words.as_ref().map(|words| (words.size, words.date));
        let shown = rows.iter().filter(|row| state_of(row) == RowState::RemoteNew);
        let found =
            shown.into_iter().any(|row| doubtful.iter().any(|old| words(old) == words(row)));
        let paired = rows.iter().any(|row| state_of(row) == RowState::Paired);
        if !found && !paired {
            for row in doubtful {
                self.store.update(Row { restated: false, ..row.clone() });
            }
        }
    }

    /// The root is not the one that the store knew: no directory can be believed (hazard 13).
    pub fn restate_files(&mut self) {
        for id in self.store.mailboxes.keys().copied().collect::<Vec<_>>() {
            self.restate_directory(id, false);
        }
    }

    /// No file of a mailbox can be believed; `there`: it has a directory (hazard 63).
    pub fn restate_directory(&mut self, id: MailboxId, there: bool) {
        if let Some(mailbox) = self.store.mailboxes.get_mut(&id) {
            mailbox.restated = true;
            (mailbox.base, mailbox.local) = (there && mailbox.base, there);
        }
        for row in self.rows_of(id) {
            let under_way = matches!(row.journal, Journal::Pushing { .. } | Journal::Moving { .. });
            let ends = matches!(row.journal, Journal::Moved { .. } | Journal::Trashing { .. });
            if ends && row.local.is_none() && row.remote.is_some() && !row.restated {
                continue;
            }
            if row.remote.is_none() && under_way {
                let (local, restated, set_aside) = (None, true, None);
                self.store.update(Row { local, restated, set_aside, ..row });
                continue;
            }
            if row.remote.is_none() && row.base.is_none() {
                self.store.rows.remove(&row.id);
                continue;
            }
            let set_aside = row.set_aside.filter(|_| row.base.is_none());
            let (base, journal) = (row.base.map(|_| Base::default()), Journal::Idle);
            self.store.update(Row { local: None, base, restated: true, set_aside, journal, ..row });
        }
    }

    /// The state is lost: all that is there is new.
    pub fn lose_state(&mut self) {
        self.store = Store::default();
    }

    /// The rows of a mailbox.
    #[must_use]
    pub fn rows_of(&self, id: MailboxId) -> Vec<Row> {
        self.store.rows.values().filter(|row| row.mailbox == id).cloned().collect()
    }

    /// A row of the store.
    #[must_use]
    pub fn row(&self, id: RowId) -> Option<Row> {
        self.store.rows.get(&id).cloned()
    }
}

/// The row of a file that none has.
fn file_row(mailbox: MailboxId, stem: &str, mail: &Mail, journal: Journal) -> Row {
    Row {
        local: Some(local_of(stem, &mail.flags)),
        content: Some(mail.content()),
        header: Some(mail.header()),
        words: Some(ServerFacts { object_id: None, ..mail.words() }),
        journal,
        ..Row::new(mailbox)
    }
}
