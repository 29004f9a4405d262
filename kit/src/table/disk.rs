//! Steps on the disk: bodies placed, files copied, moved and removed.

use mailtide::reconcile::MailboxView;
use mailtide::reconcile::hold::Direction;
use mailtide::reconcile::row_state::{RowState, is_claim, state_of};
use mailtide::reconcile::types::{Base, Flags, Journal, Local, MailboxName, Row, RowId};

use super::apply::Done;
use super::model::{Crash, Mail, Model, Outcome};
use super::observe::{local_of, stem_of};

impl Model {
    pub(super) fn fetch(&mut self, id: RowId, outcome: Option<Outcome>) -> Done {
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
        // The same text but for what the server changed of the header.
        let alike = self.store.rows.values().find(|other| {
            other.mailbox == row.mailbox
                && state_of(other) == RowState::LocalNew
                && other.set_aside.is_none()
                && other.content.map(|c| c.0[0]) == row.content.map(|c| c.0[0])
        });
        if known.is_none()
            && let Some(content) = alike.map(|other| other.content)
        {
            self.tick()?;
            self.store.update(Row { content, weak: true, ..row });
            return Ok(());
        }
        self.place(Row { weak: false, ..row }, Mail { flags: remote.flags, ..mail }, outcome)
    }

    /// Whether a file that lost its message, or waits for one here, has this content.
    pub(super) fn waits_for(&self, row: &Row) -> bool {
        let same =
            || self.store.rows.values().filter(|o| o.id != row.id && o.content == row.content);
        let moved = || same().any(|o| state_of(o) == RowState::LocalNew && o.base.is_none());
        same().any(|other| match state_of(other) {
            RowState::LocalNew if matches!(other.journal, Journal::Pushing { .. }) => true,
            RowState::LocalNew => other.mailbox == row.mailbox && other.set_aside.is_none(),
            RowState::BothGone => {
                // Moved to one place here and to another there, or there and back.
                let parted = (other.base.is_some() || other.restated) && !other.weak && moved();
                parted || (other.mailbox == row.mailbox && is_claim(other))
            }
            RowState::RemoteGone => true,
            // It may be the twin of one that was sent twice.
            RowState::Paired => {
                other.mailbox == row.mailbox && matches!(other.journal, Journal::Pushed { .. })
            }
            _ => false,
        })
    }

    /// Durable in `tmp/`, noted, renamed into place, recorded.
    pub(super) fn place(&mut self, row: Row, mut mail: Mail, outcome: Option<Outcome>) -> Done {
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

    pub(super) fn rename(&mut self, name: &MailboxName, stem: &str) {
        if let Some(mail) = self.tmp.remove(&(name.clone(), stem.to_owned())) {
            self.disk.entry(name.clone()).or_default().insert(stem.to_owned(), mail);
        }
    }

    /// The row of a file that has its place, with the flags that its name was given.
    pub(super) fn placed(&mut self, row: Row, stem: &str) {
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

    pub(super) fn copy_file(&mut self, from: RowId, to: RowId, outcome: Option<Outcome>) -> Done {
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

    pub(super) fn move_file(
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
        // A reader may have moved it here and back since the look: a stem that a row of the target
        // still holds is not used again.
        let taken = self
            .rows_of(to.mailbox)
            .iter()
            .any(|row| row.local.as_ref().is_some_and(|local| local.stem == file.stem));
        let stem = if taken { self.new_stem() } else { stem };
        let file = Local { stem: local_of(&stem, &file.flags).stem, ..file };
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

    pub(super) fn remove_file(&mut self, id: RowId, outcome: Option<Outcome>) -> Done {
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
