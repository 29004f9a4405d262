//! Takes what FETCH shows into the store while it comes, a window at a time.
//!
//! A million messages need the memory of one window. What is written before a look is through
//! is no more than *seen*: the cursor stays where it was, so a look that is cut off is made
//! again and finds what it wrote before (hazard 1). A mailbox without a cursor notes, with its
//! first window, under which UIDVALIDITY its UIDs were seen.

use std::collections::BTreeMap;

use super::rows;
use super::unshown::is_unshown;
use crate::mail::writer::Writer;
use crate::reconcile::Policy;
use crate::reconcile::types::{HeaderKeys, Mailbox, MailboxId, Uid};
use crate::remote::imap::{FetchRow, UidSet};
use crate::state::{StateError, Store, meta};

/// So many messages are written at a time.
const WINDOW: usize = 4096;

/// What a FETCH is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shows {
    /// All that is kept of new messages.
    New,
    /// The flags of known ones.
    Flags,
}

/// A window of what was shown, and what became of the windows before.
#[derive(Debug)]
pub(super) struct Intake<'r> {
    store: &'r mut Store,
    policy: Policy,
    mailbox: MailboxId,
    /// To be noted with the first window of a mailbox without a cursor.
    validity: Option<u32>,
    shows: Shows,
    /// Files wait to be paired by their headers.
    waiting: bool,
    /// Some body is known, so that size and date could hit it.
    any_known: bool,
    window: BTreeMap<Uid, FetchRow>,
    /// Above this UID no row is known.
    known_to: u32,
    taken: Taken,
    failed: Option<StateError>,
}

/// What came in beside rows.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// New messages whose headers could tell something: not written yet (hazard 44).
    pub(super) wanted: UidSet,
    /// Messages that were shown without flags: not written.
    pub(super) mute: UidSet,
}

impl<'r> Intake<'r> {
    pub(super) fn new(
        store: &'r mut Store,
        policy: Policy,
        mailbox: &Mailbox,
        validity: u32,
    ) -> Result<Self, StateError> {
        let id = mailbox.id;
        Ok(Self {
            policy,
            mailbox: id,
            validity: mailbox.cursor.is_none().then_some(validity),
            shows: Shows::Flags,
            waiting: store.new_local_count(id)? > 0 || store.may_have_twins(id)?,
            any_known: store.has_content()?,
            window: BTreeMap::new(),
            known_to: store.last_uid(id)?.map_or(0, |uid| uid.0),
            taken: Taken::default(),
            failed: None,
            store,
        })
    }

    /// Says what the next rows are asked for.
    pub(super) fn expect(&mut self, shows: Shows) {
        self.flush(true);
        self.shows = shows;
    }

    /// Takes one row.
    pub(super) fn take(&mut self, row: FetchRow) {
        if self.failed.is_some() {
            return;
        }
        rows::merge(&mut self.window, row);
        if self.window.len() >= WINDOW {
            self.flush(false);
        }
    }

    /// Writes the last window and tells what else came.
    pub(super) fn finish(mut self) -> Result<Taken, StateError> {
        self.flush(true);
        match self.failed {
            Some(error) => Err(error),
            None => Ok(self.taken),
        }
    }

    /// Writes a window. What is said of in several rows waits for the rest of it, unless it is
    /// the last window or a server says everything in pieces.
    fn flush(&mut self, last: bool) {
        let mut ready = std::mem::take(&mut self.window);
        let shows = self.shows;
        if !last {
            self.window = ready.extract_if(.., |_, row| !is_whole(row, shows)).collect();
            if self.window.len() >= WINDOW / 2 {
                ready.append(&mut self.window);
            }
        }
        if ready.is_empty() || self.failed.is_some() {
            return;
        }
        if let Err(error) = self.write(ready.into_values()) {
            self.failed = Some(error);
        }
    }

    fn write(&mut self, rows: impl Iterator<Item = FetchRow>) -> Result<(), StateError> {
        let Self { store, policy, mailbox, validity, taken, known_to, .. } = self;
        let (id, shows) = (*mailbox, self.shows);
        let (waiting, any_known) = (self.waiting, self.any_known);
        store.transaction(|tx| {
            let w = Writer::new(tx, policy);
            if let Some(validity) = validity.take() {
                tx.set_fact(&meta::looking(id), &validity)?;
            }
            for row in rows {
                if row.flags.is_none() {
                    taken.mute.insert(row.uid);
                    continue;
                }
                let known = if row.uid.0 > *known_to { None } else { tx.by_uid(id, row.uid)? };
                match known {
                    // It is shown at last: all of it is asked for, with its header.
                    Some(known) if is_unshown(&known) => drop(taken.wanted.insert(row.uid)),
                    Some(known) => rows::update(&w, known, &row)?,
                    None if shows == Shows::Flags => {}
                    None => {
                        // What lacks its size or date is asked for once more.
                        let wanted = row.size.zip(row.date).is_none_or(|_| waiting)
                            || (any_known && may_be_known(&w, &row)?);
                        if wanted {
                            taken.wanted.insert(row.uid);
                        } else {
                            rows::insert(&w, id, &row, None)?;
                            *known_to = (*known_to).max(row.uid.0);
                        }
                    }
                }
            }
            Ok(())
        })
    }

    /// Writes new messages with what their headers say.
    pub(super) fn write_with_headers(
        store: &mut Store,
        policy: &Policy,
        mailbox: MailboxId,
        rows: &BTreeMap<Uid, FetchRow>,
        headers: &BTreeMap<Uid, HeaderKeys>,
    ) -> Result<UidSet, StateError> {
        let mut mute = UidSet::default();
        store.transaction(|tx| {
            let w = Writer::new(tx, policy);
            for (uid, row) in rows {
                if row.flags.is_none() {
                    mute.insert(*uid);
                    continue;
                }
                match tx.by_uid(mailbox, *uid)? {
                    None => {}
                    Some(known) if is_unshown(&known) && is_whole(row, Shows::New) => {
                        w.delete(known.id)?;
                    }
                    Some(_) => continue,
                }
                rows::insert(&w, mailbox, row, headers.get(uid).copied())?;
            }
            Ok(())
        })?;
        Ok(mute)
    }
}

fn is_whole(row: &FetchRow, shows: Shows) -> bool {
    let told = row.size.is_some() && row.date.is_some();
    row.flags.is_some() && (shows == Shows::Flags || told)
}

/// Whether a known body has this size and date.
fn may_be_known(w: &Writer<'_>, row: &FetchRow) -> Result<bool, StateError> {
    match (row.size, row.date) {
        (Some(size), Some(date)) => w.tx().words_are_known(size, date),
        _ => Ok(false),
    }
}
