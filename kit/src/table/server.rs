//! Steps on the server: pushed, carried, trashed, expunged.

use mailtide::reconcile::MailboxView;
use mailtide::reconcile::hold::Direction;
use mailtide::reconcile::types::{
    Base, Flags, Journal, MailboxName, Remote, Row, RowId, SetAside, SetAsideKind, Uid,
};

use super::apply::{Done, after_push};
use super::model::{Folder, Mail, Model, Outcome};
use super::observe::stem_of;

impl Model {
    /// APPEND: noted before; a fact by APPENDUID, else by the next look.
    pub(super) fn push(&mut self, id: RowId, outcome: Option<Outcome>) -> Done {
        let Some(row) = self.row(id) else { return Ok(()) };
        let name = self.name(row.mailbox);
        let cursor = self.store.mailboxes.get(&row.mailbox).and_then(|mailbox| mailbox.cursor);
        let (Some(cursor), Some(local)) = (cursor, row.local.clone()) else { return Ok(()) };
        let (uid_next, attempts) = match &row.journal {
            // The first attempt's UIDNEXT holds for every later one.
            Journal::Pushing { uid_validity, uid_next, attempts, .. }
                if *uid_validity == cursor.uid_validity =>
            {
                (*uid_next, attempts + 1)
            }
            _ => (cursor.uid_next, 1),
        };
        let (uid_validity, sent, run) = (cursor.uid_validity, false, self.run);
        let journal = Journal::Pushing { uid_validity, uid_next, attempts, sent, run };
        self.tick()?;
        let row = Row { journal, ..row };
        self.store.update(row.clone());
        let files = self.disk.get(&name);
        let mail = files.and_then(|files| files.get(&stem_of(&local))).cloned();
        let Some(mail) = mail.filter(|mail| row.content == Some(mail.content())) else {
            return Ok(());
        };
        if outcome == Some(Outcome::Void) {
            return Ok(());
        }
        self.tick()?;
        let Some(uid) = self.append(&name, &row, mail, &local.flags) else { return Ok(()) };
        if outcome == Some(Outcome::Mute) || !self.ladder.uidplus {
            return Ok(());
        }
        self.tick()?;
        let flags = self.sendable(&row, &local.flags);
        let journal = after_push(&row.journal);
        let base = Some(row.base.clone().unwrap_or(Base { flags: flags.clone() }));
        let remote = Some(Remote { uid: Uid(uid), flags, confirmed: false });
        let row = Row { remote, base, journal, restated: false, set_aside: None, ..row };
        self.settle_base(row);
        Ok(())
    }

    pub(super) fn sendable(&self, row: &Row, flags: &Flags) -> Flags {
        let mailbox = self.store.mailboxes.get(&row.mailbox).cloned();
        mailbox.map_or_else(
            || flags.clone(),
            |mailbox| MailboxView::of(mailbox).remote_mask(row).apply(flags),
        )
    }

    pub(super) fn append(
        &mut self,
        name: &MailboxName,
        row: &Row,
        mail: Mail,
        flags: &Flags,
    ) -> Option<u32> {
        let flags = self.mask.apply(&self.sendable(row, flags));
        let (rewritten, object) = (self.ladder.rewrites, self.new_object());
        let folder = self.server.get_mut(name)?;
        self.transfers.1 += 1;
        Some(folder.add(Mail { flags, rewritten, object, ..mail }))
    }

    /// COPY or MOVE: neither may be repeated blindly, so the target's row is noted before.
    pub(super) fn transfer(
        &mut self,
        from: RowId,
        to: RowId,
        moves: bool,
        outcome: Option<Outcome>,
    ) -> Done {
        let (Some(source), Some(target)) = (self.row(from), self.row(to)) else { return Ok(()) };
        let Some(uid) = self.verified(&source) else { return Ok(()) };
        let (left, name) = (self.name(source.mailbox), self.name(target.mailbox));
        if !matches!(&target.journal, Journal::Moving { from, .. } if *from == source.id) {
            self.tick()?;
            let keywords =
                target.local.as_ref().map(|l| l.flags.keywords.clone()).unwrap_or_default();
            let journal = Journal::Moving { from: source.id, leaves: moves, keywords };
            self.store.update(Row { journal, ..target.clone() });
            if moves && source.restated {
                self.store.update(Row { restated: false, ..source.clone() });
            }
        }
        if outcome == Some(Outcome::Void) || !self.server.contains_key(&name) {
            return Ok(());
        }
        let at_once = moves && self.ladder.can_move;
        self.tick()?;
        let Some(new_uid) = self.carry(&left, uid, &name, at_once) else { return Ok(()) };
        if outcome == Some(Outcome::Mute) || !self.ladder.uidplus {
            return Ok(());
        }
        self.tick()?;
        let Some(target) = self.row(to).filter(|target| target.local.is_some()) else {
            return Ok(());
        };
        let flags = source.remote.as_ref().map(|r| r.flags.clone()).unwrap_or_default();
        let journal = match target.journal {
            Journal::Moving { .. } => Journal::Idle,
            journal => journal,
        };
        let row = Row {
            remote: Some(Remote { uid: Uid(new_uid), flags, confirmed: false }),
            words: source.words.clone(),
            header: source.header.or(target.header),
            base: source.base.clone(),
            journal,
            restated: false,
            ..target
        };
        if !moves {
            self.settle_base(row);
            return Ok(());
        }
        if at_once {
            self.store.rows.remove(&source.id);
        } else {
            self.release(source);
        }
        self.settle_base(row);
        if at_once { Ok(()) } else { self.expunge(from, None) }
    }

    /// Carries a message on the server; gives its new UID.
    pub(super) fn carry(
        &mut self,
        from: &MailboxName,
        uid: u32,
        to: &MailboxName,
        moves: bool,
    ) -> Option<u32> {
        let source = self.server.get_mut(from)?;
        let mail = if moves { source.mail.remove(&uid)? } else { source.mail.get(&uid)?.clone() };
        Some(self.server.get_mut(to)?.add(mail))
    }

    /// The UID of a row that is still what the server said it was (hazard 5).
    pub(super) fn verified(&self, row: &Row) -> Option<u32> {
        let remote = row.remote.as_ref()?;
        let mailbox = self.store.mailboxes.get(&row.mailbox)?;
        let folder = self.server.get(&mailbox.name)?;
        let mail = folder.mail.get(&remote.uid.0)?;
        let same = |w: &mailtide::reconcile::types::ServerFacts| {
            w.size == mail.words().size && w.date == mail.words().date
        };
        let known = !remote.confirmed || row.words.as_ref().is_none_or(same);
        let numbered = mailbox.cursor.map(|c| c.uid_validity) == Some(folder.uid_validity);
        (known && numbered).then_some(remote.uid.0)
    }

    /// MOVE to \Trash, or to where the file was filed: journalled, and settled by a look.
    pub(super) fn move_away(
        &mut self,
        id: RowId,
        to: &MailboxName,
        outcome: Option<Outcome>,
    ) -> Done {
        let Some(row) = self.row(id) else { return Ok(()) };
        if !self.server.contains_key(to) {
            self.tick()?;
            self.server.insert(to.clone(), Folder::default());
        }
        let there = self.server.get(to).cloned().unwrap_or_default();
        if let Journal::Trashing { uid_next, .. } = row.journal {
            let words = row.words.clone().map(|w| (w.size, w.date));
            // Counted: one copy there answers for one row.
            let found = there.mail.range(uid_next..).find(|(uid, mail)| {
                let same = Some((mail.words().size, mail.words().date)) == words;
                same && !self.fate.answered.contains(&(to.clone(), **uid))
            });
            if let Some((uid, _)) = found {
                self.fate.answered.insert((to.clone(), *uid));
                self.tick()?;
                self.departed(&row, Direction::FromRemote);
                self.store.update(Row { journal: Journal::Moved { copy: None }, ..row });
                return self.expunge(id, None);
            }
        }
        let Some(uid) = self.verified(&row) else { return Ok(()) };
        self.tick()?;
        let (uid_validity, uid_next) = (there.uid_validity, there.uid_next);
        let journal = Journal::Trashing { to: to.clone(), uid_validity, uid_next };
        let row = Row { journal, ..row };
        self.store.update(row.clone());
        if outcome == Some(Outcome::Void) {
            return Ok(());
        }
        self.tick()?;
        let at_once = self.ladder.can_move;
        if self.carry(&self.name(row.mailbox), uid, to, at_once).is_none() {
            return Ok(());
        }
        if outcome == Some(Outcome::Mute) || !self.ladder.uidplus {
            return Ok(());
        }
        self.tick()?;
        self.departed(&row, Direction::FromRemote);
        if at_once {
            self.store.rows.remove(&id);
            return Ok(());
        }
        self.store.update(Row { journal: Journal::Moved { copy: None }, ..row });
        self.expunge(id, None)
    }

    /// \Deleted and UID EXPUNGE; the fact is that the UID was seen gone (hazard 38).
    pub(super) fn expunge(&mut self, id: RowId, outcome: Option<Outcome>) -> Done {
        let Some(row) = self.row(id) else { return Ok(()) };
        let Some(uid) = self.verified(&row) else { return Ok(()) };
        self.tick()?;
        if outcome != Some(Outcome::Void)
            && let Some(folder) = self.server.get_mut(&self.name(row.mailbox))
        {
            folder.mail.remove(&uid);
        }
        match outcome {
            Some(Outcome::Mute) => return Ok(()),
            Some(_) => {
                self.tick()?;
                let times = row.set_aside.as_ref().map_or(1, |s| s.times + 1);
                let words = "stayed".to_owned();
                let set_aside = Some(SetAside { kind: SetAsideKind::Remove, words, times });
                self.store.update(Row { set_aside, ..row });
                return Ok(());
            }
            None => {}
        }
        self.tick()?;
        if row.base.is_some() && !row.journal.is_moved() {
            self.departed(&row, Direction::FromRemote);
        }
        self.store.rows.remove(&id);
        Ok(())
    }

    /// In the record of the twin's removal: it was counted, and answers for one attempt.
    pub(super) fn count_twin(&mut self, twin: RowId, of: RowId) {
        if self.row(twin).is_some() {
            return;
        }
        let Some(row) = self.row(of) else { return };
        let Journal::Pushed { uid_validity, uid_next, twins } = row.journal else { return };
        let journal = match twins.saturating_sub(1) {
            0 => Journal::Idle,
            twins => Journal::Pushed { uid_validity, uid_next, twins },
        };
        self.store.update(Row { journal, ..row });
    }
}
