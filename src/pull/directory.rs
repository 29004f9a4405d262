//! Recognises the directory that mail is delivered into (hazard 144).
//!
//! The marker in the root says nothing of a mailbox below it: another Maildir may have been put in
//! its place, or be hidden by one that is mounted over it. What was delivered there is not in this
//! one, and is no ground to delete anything from the server.

use super::destination::{Found, gone};
use super::run::{Home, Run};
use crate::account::error::AccountError;
use crate::local::{Found as Seen, Root};
use crate::reconcile::types::{DirStamps, Mailbox};
use crate::state::meta;
use crate::state::meta::MailboxDirectory;

impl Run {
    /// The Maildir counts as another one where only the mailbox is.
    pub(super) fn with_directory(&self, found: Found) -> Result<Found, AccountError> {
        if found != Found::AsLeft || !self.has_marker() {
            return Ok(found);
        }
        Ok(match self.directory()? {
            Seen::Same | Seen::First => found,
            Seen::Another => {
                let mailbox = &self.terms.mailbox;
                tracing::info!(%mailbox, "another directory: what it lacks is pulled once more");
                Found::Changed
            }
            Seen::Hollow => return Err(gone(&self.settings)),
        })
    }

    /// Checks, just before a deletion, that the directory is still the one delivered into.
    pub(super) fn is_same_directory(&self) -> Result<bool, AccountError> {
        Ok(matches!(self.directory()?, Seen::Same | Seen::First))
    }

    fn directory(&self) -> Result<Seen, AccountError> {
        let mailbox = &self.terms.mailbox;
        let known = self.store.fact(&meta::MAILBOX_DIRECTORY)?;
        let Some(known) = known.filter(|known| known.mailbox == *mailbox) else {
            return Ok(Seen::First);
        };
        let (home, local_id) = (Some(known.home), known.mark);
        let known = Mailbox { home, local_id, ..Mailbox::new(known.mailbox) };
        // One that was removed is made anew, and is another one then; so is one that lacks a part.
        if !self.root.has_dir(mailbox)? {
            return Ok(Seen::Another);
        }
        let Ok(stamps) = self.root.stamps(mailbox) else { return Ok(Seen::Another) };
        // The mark in the directory of a guest is its owner's, who may write another one.
        if self.home == Home::Guest && has_inodes(&known, &stamps) {
            return Ok(Seen::Same);
        }
        let seen = self.root.identify(&known, &stamps, true)?;
        // A copy of the directory, with its mark: no disk is waited for.
        let is_copy = || -> Result<bool, AccountError> {
            Ok(known.local_id.is_some() && self.root.mailbox_id(mailbox)? == known.local_id)
        };
        Ok(if seen == Seen::Hollow && is_copy()? { Seen::Another } else { seen })
    }

    /// Writes down which directory is delivered into from now on, and marks our own.
    pub(super) fn note_directory(&mut self) -> Result<(), AccountError> {
        if !self.has_marker() {
            return Ok(());
        }
        let mailbox = Mailbox::new(self.terms.mailbox.clone());
        let stamps = self.root.stamps(&mailbox.name)?;
        let mut mark = self.root.mailbox_id(&mailbox.name)?;
        if mark.is_none() && self.home == Home::Own {
            let new = Root::new_mailbox_id();
            self.root.mark_mailbox(&mailbox.name, &new, &stamps)?;
            mark = Some(new);
        }
        let home = self.root.home_of(&mailbox, &stamps)?;
        let now = MailboxDirectory { home, mark, mailbox: mailbox.name };
        if self.store.fact(&meta::MAILBOX_DIRECTORY)?.as_ref() != Some(&now) {
            self.store.transaction(|tx| tx.set_fact(&meta::MAILBOX_DIRECTORY, &now))?;
        }
        Ok(())
    }
}

fn has_inodes(known: &Mailbox, stamps: &DirStamps) -> bool {
    known.home.is_some_and(|home| (home.new, home.cur) == (stamps.new.ino, stamps.cur.ino))
}
