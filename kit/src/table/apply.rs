//! Performs steps: intent, effect, fact, in the order and with the records of the engine.

use mailtide::reconcile::guard::Direction;
use mailtide::reconcile::messages::base_now;
use mailtide::reconcile::pairing::{Class, class};
use mailtide::reconcile::plan::MailboxStep;
use mailtide::reconcile::types::{
    Base, FlagDelta, Flags, Journal, Local, Mailbox, MailboxName, Remote, Row, RowId, SetAside,
    SetAsideKind, Uid,
};
use mailtide::reconcile::{MailboxView, Plan, RemoteRemoval, Step};

use super::model::{Crash, Folder, Mail, Model, Outcome};
use super::observe::{local_of, stem_of};

type Done = Result<(), Crash>;

impl Model {
    /// Performs a plan: mailboxes, facts, moves on disk, moves on the server, pushes, fetches,
    /// flags, removals.
    ///
    /// # Errors
    /// The crash.
    pub fn apply(&mut self, plan: &Plan) -> Done {
        for step in &plan.mailboxes {
            match self.next_outcome() {
                Some(Outcome::Skipped | Outcome::Void) => {}
                outcome => self.apply_mailbox(step, outcome.is_some())?,
            }
        }
        let mut steps: Vec<&Step> = plan.steps.iter().collect();
        steps.sort_by_key(|step| phase(step));
        for step in steps {
            // A step that is a record and nothing else is done, or the process is.
            let outcome = if phase(step) == 0 { None } else { self.next_outcome() };
            if outcome != Some(Outcome::Skipped) {
                self.apply_step(step, outcome)?;
            }
        }
        Ok(())
    }

    fn next_outcome(&mut self) -> Option<Outcome> {
        let number = self.fate.steps;
        self.fate.steps += 1;
        self.fate.outcomes.get(&number).copied()
    }

    fn apply_mailbox(&mut self, step: &MailboxStep, mute: bool) -> Done {
        let (MailboxStep::CreateLocal(id)
        | MailboxStep::CreateRemote(id)
        | MailboxStep::RemoveLocal(id)
        | MailboxStep::RemoveRemote(id)
        | MailboxStep::Forget(id)
        | MailboxStep::Agree(id)) = step;
        let Some(mailbox) = self.store.mailboxes.get(id).cloned() else { return Ok(()) };
        let name = mailbox.name.clone();
        self.tick()?;
        let now = match step {
            MailboxStep::CreateLocal(_) => {
                self.disk.entry(name).or_default();
                Some(Mailbox { local: true, base: true, ..mailbox })
            }
            MailboxStep::CreateRemote(_) => {
                self.server.entry(name).or_default();
                Some(Mailbox { base: true, remote: false, ..mailbox })
            }
            MailboxStep::RemoveLocal(_) => {
                if self.disk.get(&name).is_some_and(|files| !files.is_empty()) {
                    return Ok(());
                }
                self.disk.remove(&name);
                None
            }
            MailboxStep::RemoveRemote(_) => {
                if self.server.get(&name).is_some_and(|folder| !folder.mail.is_empty()) {
                    return Ok(());
                }
                self.server.remove(&name);
                None
            }
            MailboxStep::Forget(_) => None,
            MailboxStep::Agree(_) => Some(Mailbox { base: true, ..mailbox }),
        };
        if mute {
            return Ok(());
        }
        self.tick()?;
        match now {
            Some(mailbox) => drop(self.store.mailboxes.insert(*id, mailbox)),
            None => self.store.delete_mailbox(*id),
        }
        Ok(())
    }

    fn apply_step(&mut self, step: &Step, outcome: Option<Outcome>) -> Done {
        match step {
            Step::Pair { local, remote, past, weak } => self.pair(*local, *remote, *past, *weak),
            Step::Reattach { gone, found } => self.reattach(*gone, *found),
            Step::Forget(row) => {
                self.tick()?;
                self.store.rows.remove(row);
                Ok(())
            }
            Step::Keep(row) => self.keep(*row),
            Step::Flags { row, local, remote } => self.change_flags(*row, local, remote, outcome),
            Step::Fetch(row) => self.fetch(*row, outcome),
            Step::LocalCopy { from, to } => self.copy_file(*from, *to, outcome),
            Step::LocalMove { from, to, past } => self.move_file(*from, *to, *past, outcome),
            Step::Push(row) => self.push(*row, outcome),
            Step::RemoteCopy { from, to } => self.transfer(*from, *to, false, outcome),
            Step::RemoteMove { from, to } => self.transfer(*from, *to, true, outcome),
            Step::RemoveRemote { row, how } => match how {
                RemoteRemoval::Trash(to) | RemoteRemoval::MoveTo(to) => {
                    self.move_away(*row, to, outcome)
                }
                RemoteRemoval::Expunge => self.expunge(*row, outcome),
            },
            Step::RemoveTwin { twin, .. } => self.expunge(*twin, outcome),
            Step::RemoveLocal(row) => self.remove_file(*row, outcome),
        }
    }

    /// One record, in one transaction.
    fn pair(&mut self, local: RowId, remote: RowId, past: Option<RowId>, weak: bool) -> Done {
        let (Some(local), Some(remote)) = (self.row(local), self.row(remote)) else {
            return Ok(());
        };
        self.tick()?;
        let past = past.and_then(|past| self.row(past));
        let base = past.as_ref().and_then(|past| past.base.clone()).or(local.base.clone());
        self.store.rows.remove(&remote.id);
        if let Some(past) = past {
            self.release(past);
        }
        self.store.update(Row {
            remote: remote.remote,
            words: remote.words,
            header: remote.header.or(local.header),
            weak: weak || local.weak,
            restated: false,
            journal: after_push(&local.journal),
            base,
            set_aside: None,
            ..local
        });
        Ok(())
    }

    /// The row that a message left: what the server still has of it there is expunged.
    fn release(&mut self, past: Row) {
        if past.remote.is_none() {
            self.store.rows.remove(&past.id);
        } else {
            self.store.update(Row { journal: Journal::Moved, set_aside: None, ..past });
        }
    }

    fn reattach(&mut self, gone: RowId, found: RowId) -> Done {
        let (Some(gone), Some(found)) = (self.row(gone), self.row(found)) else { return Ok(()) };
        self.tick()?;
        self.store.rows.remove(&found.id);
        let (local, journal) = (found.local, Journal::Idle);
        self.store.update(Row { local, set_aside: None, journal, ..gone });
        Ok(())
    }

    fn keep(&mut self, row: RowId) -> Done {
        let Some(row) = self.row(row) else { return Ok(()) };
        self.tick()?;
        let kept = SetAside { kind: SetAsideKind::Kept, words: "kept".to_owned(), times: 1 };
        self.store.update(Row { set_aside: Some(kept), ..row });
        Ok(())
    }

    /// Writes a paired row with the base that its columns agree on now.
    fn settle_base(&mut self, mut row: Row) {
        if let Some(mailbox) = self.store.mailboxes.get(&row.mailbox)
            && let Some(flags) = base_now(&row, &MailboxView::of(mailbox.clone()))
        {
            row.base = Some(Base { flags });
            row.restated = false;
        }
        self.store.update(row);
    }

    fn change_flags(
        &mut self,
        id: RowId,
        local: &FlagDelta,
        remote: &FlagDelta,
        outcome: Option<Outcome>,
    ) -> Done {
        if local.is_empty() && remote.is_empty() {
            self.tick()?;
            if let Some(row) = self.row(id) {
                self.settle_base(row);
            }
            return Ok(());
        }
        // A refused STORE is no OK. One that says OK and takes nothing is the server's word on
        // its mailbox: the next look brings that down.
        if outcome == Some(Outcome::Void) {
            return Ok(());
        }
        if !local.is_empty() {
            self.change_file_flags(id, local, outcome)?;
        }
        if !remote.is_empty() {
            self.store_flags(id, remote, outcome)?;
        }
        Ok(())
    }

    fn change_file_flags(
        &mut self,
        id: RowId,
        delta: &FlagDelta,
        outcome: Option<Outcome>,
    ) -> Done {
        let Some(row) = self.row(id) else { return Ok(()) };
        let Some(local) = row.local.clone() else { return Ok(()) };
        let flags = delta.applied_to(&local.flags);
        let name = self.name(row.mailbox);
        self.tick()?;
        let files = self.disk.get_mut(&name);
        let Some(mail) = files.and_then(|files| files.get_mut(&stem_of(&local))) else {
            return Ok(());
        };
        // A reader was quicker: the next look sees what it did.
        if mail.flags != local.flags {
            return Ok(());
        }
        mail.flags.clone_from(&flags);
        if outcome == Some(Outcome::Mute) {
            return Ok(());
        }
        self.tick()?;
        self.settle_base(Row { local: Some(Local { flags, ..local }), ..row });
        Ok(())
    }

    /// STORE: an OK says that it was understood; what was taken is seen by the next look.
    fn store_flags(&mut self, id: RowId, delta: &FlagDelta, outcome: Option<Outcome>) -> Done {
        let Some(mut row) = self.row(id) else { return Ok(()) };
        let name = self.name(row.mailbox);
        let mask = self.mask.clone();
        let Some(remote) = row.remote.as_mut() else { return Ok(()) };
        self.tick()?;
        let folder = self.server.get_mut(&name);
        if let Some(mail) = folder.and_then(|folder| folder.mail.get_mut(&remote.uid.0)) {
            let taken = mask.apply(&delta.applied_to(&mail.flags));
            mail.flags = taken;
        }
        if outcome == Some(Outcome::Mute) {
            return Ok(());
        }
        self.tick()?;
        remote.flags = delta.applied_to(&remote.flags);
        remote.confirmed = false;
        self.settle_base(row);
        Ok(())
    }

    fn fetch(&mut self, id: RowId, outcome: Option<Outcome>) -> Done {
        let Some(row) = self.row(id) else { return Ok(()) };
        let name = self.name(row.mailbox);
        let Some(remote) = row.remote.clone() else { return Ok(()) };
        let folder = self.server.get(&name);
        let Some(mail) = folder.and_then(|folder| folder.mail.get(&remote.uid.0)).cloned() else {
            return Ok(());
        };
        if !self.disk.contains_key(&name) {
            return Ok(());
        }
        self.transfers.0 += 1;
        let known = row.content;
        let content = Some(mail.content());
        let row = Row { content, header: Some(mail.header()), set_aside: None, ..row };
        // The second time it is fetched, nothing was found to pair it with.
        if known != content && self.waits_for(&row) {
            self.tick()?;
            self.store.update(row);
            return Ok(());
        }
        self.place(row, Mail { flags: remote.flags, ..mail }, outcome)
    }

    /// Whether a file that lost its message, or waits for one here, has this content.
    fn waits_for(&self, row: &Row) -> bool {
        let same = self.store.rows.values().filter(|o| o.id != row.id && o.content == row.content);
        same.into_iter().any(|other| match class(other) {
            Class::LocalNew => other.mailbox == row.mailbox && other.set_aside.is_none(),
            Class::RemoteGone => true,
            _ => false,
        })
    }

    /// Durable in `tmp/`, noted, renamed into place, recorded.
    fn place(&mut self, row: Row, mut mail: Mail, outcome: Option<Outcome>) -> Done {
        let name = self.name(row.mailbox);
        if let Some(mailbox) = self.store.mailboxes.get(&row.mailbox) {
            let mask = MailboxView::of(mailbox.clone()).local_mask();
            mail.flags = mask.apply(&mail.flags);
        }
        let stem = self.new_stem();
        self.tmp.insert((name.clone(), stem.clone()), mail);
        self.tick()?;
        let journal_stem = local_of(&stem, &Flags::default()).stem;
        let journal = Journal::Placing { stem: journal_stem, in_new: false, info: String::new() };
        let row = Row { journal, ..row };
        self.store.update(row.clone());
        if outcome == Some(Outcome::Void) {
            return Ok(());
        }
        self.tick()?;
        self.rename(&name, &stem);
        // A directory that cannot be made durable ends the run.
        if outcome == Some(Outcome::Mute) {
            return Err(Crash);
        }
        self.tick()?;
        self.placed(row, &stem);
        Ok(())
    }

    fn rename(&mut self, name: &MailboxName, stem: &str) {
        if let Some(mail) = self.tmp.remove(&(name.clone(), stem.to_owned())) {
            self.disk.entry(name.clone()).or_default().insert(stem.to_owned(), mail);
        }
    }

    /// The row of a file that has its place, with the flags that its name was given.
    fn placed(&mut self, row: Row, stem: &str) {
        let flags = row.remote.as_ref().map(|remote| remote.flags.clone()).unwrap_or_default();
        let held = self.store.mailboxes.get(&row.mailbox).map_or_else(
            || flags.clone(),
            |mailbox| MailboxView::of(mailbox.clone()).local_mask().apply(&flags),
        );
        let (local, base) = (Some(local_of(stem, &held)), Some(Base { flags }));
        let journal = Journal::Idle;
        self.store.update(Row { local, base, journal, restated: false, set_aside: None, ..row });
    }

    /// Settles what a crash left open: with its tmp file there the rename is done now; without
    /// it the file was placed, and the look that follows sees what became of it since.
    pub(super) fn recover(&mut self) -> Done {
        for row in self.store.rows.values().cloned().collect::<Vec<_>>() {
            let Journal::Placing { stem, .. } = &row.journal else { continue };
            let stem = String::from_utf8_lossy(&stem.0).into_owned();
            self.tick()?;
            self.rename(&self.name(row.mailbox), &stem);
            self.tick()?;
            self.placed(row, &stem);
        }
        self.tmp.clear();
        Ok(())
    }

    fn copy_file(&mut self, from: RowId, to: RowId, outcome: Option<Outcome>) -> Done {
        let (Some(from), Some(to)) = (self.row(from), self.row(to)) else { return Ok(()) };
        let (Some(file), Some(remote)) = (&from.local, &to.remote) else { return Ok(()) };
        let files = self.disk.get(&self.name(from.mailbox));
        let Some(mail) = files.and_then(|files| files.get(&stem_of(file))).cloned() else {
            return Ok(());
        };
        if !self.disk.contains_key(&self.name(to.mailbox)) || Some(mail.content()) != from.content {
            return Ok(());
        }
        let flags = remote.flags.clone();
        self.place(Row { content: from.content, ..to }, Mail { flags, ..mail }, outcome)
    }

    fn move_file(
        &mut self,
        from: RowId,
        to: RowId,
        past: Option<RowId>,
        outcome: Option<Outcome>,
    ) -> Done {
        let (Some(from), Some(to)) = (self.row(from), self.row(to)) else { return Ok(()) };
        let Some(file) = from.local.clone() else { return Ok(()) };
        let (source, target) = (self.name(from.mailbox), self.name(to.mailbox));
        let stem = stem_of(&file);
        if outcome == Some(Outcome::Void) || !self.disk.contains_key(&target) {
            return Ok(());
        }
        self.tick()?;
        let files = self.disk.get_mut(&source);
        let Some(mail) = files.and_then(|files| files.remove(&stem)) else { return Ok(()) };
        self.disk.entry(target).or_default().insert(stem, mail);
        if outcome == Some(Outcome::Mute) {
            return Ok(());
        }
        self.tick()?;
        let past = past.and_then(|past| self.row(past));
        let base = past.as_ref().map_or(from.base.clone(), |past| past.base.clone());
        self.store.rows.remove(&from.id);
        if let Some(past) = past {
            self.release(past);
        }
        self.settle_base(Row {
            local: Some(file),
            base,
            content: from.content,
            header: to.header.or(from.header),
            restated: false,
            weak: from.weak,
            ..to
        });
        Ok(())
    }

    /// APPEND: noted before; a fact by APPENDUID, else by the next look.
    fn push(&mut self, id: RowId, outcome: Option<Outcome>) -> Done {
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

    fn sendable(&self, row: &Row, flags: &Flags) -> Flags {
        let mailbox = self.store.mailboxes.get(&row.mailbox).cloned();
        mailbox.map_or_else(
            || flags.clone(),
            |mailbox| MailboxView::of(mailbox).remote_mask(row).apply(flags),
        )
    }

    fn append(&mut self, name: &MailboxName, row: &Row, mail: Mail, flags: &Flags) -> Option<u32> {
        let flags = self.mask.apply(&self.sendable(row, flags));
        let (rewritten, object) = (self.ladder.rewrites, self.new_object());
        let folder = self.server.get_mut(name)?;
        self.transfers.1 += 1;
        Some(folder.add(Mail { flags, rewritten, object, ..mail }))
    }

    /// COPY or MOVE: neither may be repeated blindly, so the target's row is noted before.
    fn transfer(&mut self, from: RowId, to: RowId, moves: bool, outcome: Option<Outcome>) -> Done {
        let (Some(source), Some(target)) = (self.row(from), self.row(to)) else { return Ok(()) };
        let Some(uid) = self.verified(&source) else { return Ok(()) };
        let (left, name) = (self.name(source.mailbox), self.name(target.mailbox));
        if !matches!(&target.journal, Journal::Moving { from, .. } if *from == source.id) {
            self.tick()?;
            let keywords =
                target.local.as_ref().map(|l| l.flags.keywords.clone()).unwrap_or_default();
            let journal = Journal::Moving { from: source.id, keywords };
            self.store.update(Row { journal, ..target.clone() });
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
            base: if moves { source.base.clone() } else { None },
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
    fn carry(
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
    fn verified(&self, row: &Row) -> Option<u32> {
        let remote = row.remote.as_ref()?;
        let mailbox = self.store.mailboxes.get(&row.mailbox)?;
        let folder = self.server.get(&mailbox.name)?;
        let mail = folder.mail.get(&remote.uid.0)?;
        let same = |w: &mailtide::reconcile::types::ServerWords| {
            w.size == mail.words().size && w.date == mail.words().date
        };
        let known = !remote.confirmed || row.words.as_ref().is_none_or(same);
        let numbered = mailbox.cursor.map(|c| c.uid_validity) == Some(folder.uid_validity);
        (known && numbered).then_some(remote.uid.0)
    }

    /// MOVE to \Trash, or to where the file was filed: journalled, and settled by a look.
    fn move_away(&mut self, id: RowId, to: &MailboxName, outcome: Option<Outcome>) -> Done {
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
                self.store.update(Row { journal: Journal::Moved, ..row });
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
        self.store.update(Row { journal: Journal::Moved, ..row });
        self.expunge(id, None)
    }

    /// \Deleted and UID EXPUNGE; the fact is that the UID was seen gone (hazard 38).
    fn expunge(&mut self, id: RowId, outcome: Option<Outcome>) -> Done {
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
        if row.base.is_some() && row.journal != Journal::Moved {
            self.departed(&row, Direction::FromRemote);
        }
        self.store.rows.remove(&id);
        Ok(())
    }

    fn departed(&mut self, row: &Row, direction: Direction) {
        if !self.store.approved.contains(&row.id) {
            *self.store.departures.entry((row.mailbox, direction)).or_default() += 1;
        }
    }

    fn remove_file(&mut self, id: RowId, outcome: Option<Outcome>) -> Done {
        let Some(row) = self.row(id) else { return Ok(()) };
        let Some(local) = row.local.clone() else { return Ok(()) };
        if outcome == Some(Outcome::Void) {
            return Ok(());
        }
        self.tick()?;
        let name = self.name(row.mailbox);
        let stem = stem_of(&local);
        if let Some(files) = self.disk.get_mut(&name)
            && let Some(mail) = files.get(&stem)
        {
            // Edited or re-flagged by a reader meanwhile: the next look decides.
            if Some(mail.content()) != row.content || mail.flags != local.flags {
                return Ok(());
            }
            self.trash.extend(files.remove(&stem));
        }
        if outcome == Some(Outcome::Mute) {
            return Ok(());
        }
        self.tick()?;
        self.departed(&row, Direction::FromLocal);
        self.store.rows.remove(&id);
        Ok(())
    }
}

/// The order in which kinds of steps are performed.
fn phase(step: &Step) -> u8 {
    match step {
        Step::Pair { .. } | Step::Reattach { .. } | Step::Forget(_) | Step::Keep(_) => 0,
        Step::Flags { local, remote, .. } if local.is_empty() && remote.is_empty() => 0,
        Step::LocalMove { .. } => 1,
        Step::LocalCopy { .. } => 2,
        Step::RemoteCopy { .. } | Step::RemoteMove { .. } => 3,
        Step::Push(_) => 4,
        Step::Fetch(_) => 5,
        Step::Flags { .. } => 6,
        Step::RemoveRemote { .. } | Step::RemoveTwin { .. } => 7,
        Step::RemoveLocal(_) => 8,
    }
}

/// A push that was sent more than once may still bring twins.
fn after_push(journal: &Journal) -> Journal {
    match journal {
        Journal::Pushing { uid_validity, uid_next, attempts, .. } if *attempts > 1 => {
            let (uid_validity, uid_next) = (*uid_validity, *uid_next);
            Journal::Pushed { uid_validity, uid_next, twins: attempts - 1 }
        }
        Journal::Pushed { .. } => journal.clone(),
        _ => Journal::Idle,
    }
}
