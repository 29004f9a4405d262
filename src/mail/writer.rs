//! Writes rows, mailboxes and departures; it knows which rows are settled.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::reconcile::agree::is_settled;
use crate::reconcile::hold::Direction;
use crate::reconcile::types::{Mailbox, MailboxId, Row, RowId};
use crate::reconcile::{MailboxView, Policy};
use crate::state::{StateError, Tx};

/// A transaction that knows which rows are settled.
pub(super) struct Writer<'a> {
    tx: &'a Tx<'a>,
    policy: &'a Policy,
    views: RefCell<BTreeMap<MailboxId, MailboxView>>,
}

impl<'a> Writer<'a> {
    /// Wraps a transaction.
    #[must_use]
    pub(super) fn new(tx: &'a Tx<'a>, policy: &'a Policy) -> Self {
        Self { tx, policy, views: RefCell::default() }
    }

    /// The transaction, for reads and for what is no row.
    #[must_use]
    pub(super) fn tx(&self) -> &'a Tx<'a> {
        self.tx
    }

    fn settled(&self, row: &Row) -> Result<bool, StateError> {
        let mut views = self.views.borrow_mut();
        if let Some(view) = views.get(&row.mailbox) {
            return Ok(is_settled(row, view, self.policy));
        }
        let Some(mailbox) = self.tx.mailbox(row.mailbox)? else { return Ok(false) };
        let view = MailboxView::of(mailbox);
        let settled = is_settled(row, &view, self.policy);
        views.insert(row.mailbox, view);
        Ok(settled)
    }

    /// Stores a new row; its id is ignored. Gives the id that it got.
    ///
    /// # Errors
    /// Where the store cannot be written, or the UID or stem is taken in its mailbox.
    pub(super) fn insert(&self, row: &Row) -> Result<RowId, StateError> {
        self.tx.insert_row(row, self.settled(row)?)
    }

    /// Stores a row anew.
    ///
    /// # Errors
    /// As [`Self::insert`].
    pub(super) fn update(&self, row: &Row) -> Result<(), StateError> {
        self.tx.update_row(row, self.settled(row)?)
    }

    /// Forgets a row.
    ///
    /// # Errors
    /// Where the store cannot be written.
    pub(super) fn delete(&self, row: RowId) -> Result<(), StateError> {
        self.tx.delete_row(row).map(|_| ())
    }

    /// Stores a mailbox; id 0 makes a new one. Gives its id.
    ///
    /// # Errors
    /// Where the store cannot be written.
    pub(super) fn mailbox(&self, mailbox: &Mailbox) -> Result<MailboxId, StateError> {
        let id = self.tx.put_mailbox(mailbox)?;
        self.views.borrow_mut().remove(&id);
        Ok(id)
    }

    /// A file was put into a mailbox by the name of its directory, or not found by that name. Which
    /// directory that was, the next listing tells (hazard 162).
    ///
    /// # Errors
    /// Where the store cannot be written.
    pub(super) fn list_again(&self, id: MailboxId) -> Result<(), StateError> {
        match self.tx.mailbox(id)?.filter(|mailbox| mailbox.stamps.is_some()) {
            Some(mailbox) => self.mailbox(&Mailbox { stamps: None, ..mailbox }).map(drop),
            None => Ok(()),
        }
    }

    /// Counts the removal of a message for the guard.
    ///
    /// # Errors
    /// Where the store cannot be written.
    pub(super) fn departed(
        &self,
        now: i64,
        row: &Row,
        direction: Direction,
    ) -> Result<(), StateError> {
        self.tx.add_departed(now, row.mailbox, direction, row.id)
    }
}
