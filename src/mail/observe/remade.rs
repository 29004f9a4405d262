//! Mailboxes that were deleted and made anew under their old names (hazard 56).
//!
//! A new UIDVALIDITY alone says that messages have new numbers, not that they are gone: a server
//! that was moved or restored does the same. Deleted and made anew is a mailbox only where other
//! mailboxes kept their numbers, and
//! - its MAILBOXID is another one (RFC 8474), or
//! - none of the messages that it held is seen in it.
//!
//! Then its messages are gone from it as if it had been deleted: what was moved before is found
//! in its new place, the rest leaves. In all other cases they stay in doubt, and are kept.

use std::collections::{BTreeMap, BTreeSet};

use super::absent::Absent;
use super::gone::forget_message;
use crate::account::error::AccountError;
use crate::mail::run::Run;
use crate::mail::writer::Writer;
use crate::reconcile::row_state::{RowState, is_in_doubt, state_of};
use crate::reconcile::types::{Mailbox, MailboxId, Row};
use crate::remote::imap::ListedMailbox;
use crate::state::StateError;
use crate::state::meta;
use crate::state::meta::Numbers;

/// Compares the numbers of all mailboxes at once, before any of them is looked into: a look that
/// is cut off would leave some with their new numbers, as if they had always had them.
pub(super) fn compare(run: &mut Run, listed: &[ListedMailbox]) -> Result<(), AccountError> {
    let (mut stayed, mut remade, mut renumbered) = (0_usize, Vec::new(), Vec::new());
    // Another mailbox that took the name of a deleted one looks as if its numbers had fallen.
    let (mut fell, mut inbox_fell) = (0_usize, false);
    let mut replacements = Vec::new();
    for shown in listed.iter().filter(|m| m.selectable && m.problem.is_none()) {
        let Some(known) = run.store.mailbox_by_name(&shown.name)?.filter(|m| m.remote) else {
            continue;
        };
        let objects = known.object_id.as_ref().zip(shown.object_id.as_ref());
        let numbers = known.cursor.zip(shown.gate).map(|(a, b)| (a.uid_validity, b.uid_validity));
        let numbers = numbers.filter(|(was, is)| *was != 0 && *is != 0);
        let differ = numbers.is_some_and(|(was, is)| was != is);
        let next = known.cursor.zip(shown.gate).map(|(a, b)| (a.uid_next, b.uid_next));
        let falls = next.is_some_and(|(was, is)| 0 < is && is < was);
        let looked_at = run.looks_at(&known.name);
        let replaced = run.attempt.seen.replaced.contains(&known.id);
        match objects {
            _ if replaced => replacements.push(known),
            Some((was, is)) if was != is && !known.name.is_inbox() => {
                remade.extend(looked_at.then(|| (known, is.clone())));
            }
            _ if differ => renumbered.extend(looked_at.then_some(known)),
            _ => {
                stayed += usize::from(numbers.is_some());
                fell += usize::from(falls);
                inbox_fell |= falls && known.name.is_inbox();
            }
        }
    }
    let moved = stayed == 0 && !renumbered.is_empty();
    run.attempt.seen.is_server_another |= inbox_fell || fell > 1 || moved;
    if remade.is_empty() && renumbered.is_empty() && replacements.is_empty() {
        return Ok(());
    }
    if stayed == 0 {
        renumbered.extend(remade.drain(..).map(|(known, _)| known));
    }
    run.attempt.seen.replaced.clear();
    run.record(|w| {
        for known in replacements {
            forget_all(w, &known)?;
            w.mailbox(&Mailbox { cursor: None, ..known })?;
        }
        for (known, object_id) in remade {
            tracing::info!(mailbox = %known.name, "deleted and made anew on the server");
            forget_all(w, &known)?;
            let object_id = Some(object_id);
            w.mailbox(&Mailbox { cursor: None, object_id, ..known })?;
        }
        for known in renumbered {
            let key = meta::numbers(known.id);
            // What was seen first counts: by now others may have been numbered anew, too.
            if !w.tx().has_fact(&key)? {
                let alone = stayed > 0 && !known.name.is_inbox();
                let numbers = if alone { Numbers::Alone } else { Numbers::WithOthers };
                w.tx().set_fact(&key, &numbers)?;
            }
        }
        Ok(())
    })
}

/// Every message that a mailbox was known to hold is gone from it.
pub(super) fn forget_all(w: &Writer<'_>, mailbox: &Mailbox) -> Result<(), StateError> {
    let absent = Absent::with_mailbox(mailbox);
    w.tx().for_each_row(mailbox.id, |row| match row.remote {
        Some(_) => forget_message(w, row, absent, None),
        None if row.journal.is_taken() => {
            let journal = row.journal.clone().of_former_numbers();
            w.update(&Row { journal, ..row })
        }
        None => Ok(()),
    })?;
    w.tx().delete_fact(&meta::looking(mailbox.id))?;
    w.tx().delete_fact(&meta::numbers(mailbox.id)).map(drop)
}

/// After a whole look at a mailbox: where its numbers alone had changed and nothing that it held
/// is in it, its rows are in doubt no more.
pub(super) fn judge(w: &Writer<'_>, mailbox: MailboxId) -> Result<(), StateError> {
    let key = meta::numbers(mailbox);
    let Some(noted) = w.tx().fact(&key)? else { return Ok(()) };
    w.tx().delete_fact(&key)?;
    if noted != Numbers::Alone {
        return Ok(());
    }
    let mut shown = Shown::default();
    w.tx().for_each_row(mailbox, |row| {
        shown.add(&row);
        Ok(())
    })?;
    let mut found = shown.paired;
    w.tx().for_each_row(mailbox, |row| {
        found |= is_in_doubt(&row) && shown.has(&row);
        Ok(())
    })?;
    if found {
        return Ok(());
    }
    w.tx().for_each_row(mailbox, |row| match is_in_doubt(&row) {
        true => w.update(&Row { restated: false, ..row }),
        false => Ok(()),
    })
}

/// What a mailbox shows under its new numbers.
#[derive(Debug, Default)]
struct Shown {
    /// Size and date, with what the header says where that is known.
    words: BTreeMap<(u64, i64), BTreeSet<Option<[u8; 16]>>>,
    headers: BTreeSet<[u8; 16]>,
    objects: BTreeSet<String>,
    /// Messages without a size, or that have their files already: they could be anything.
    paired: bool,
}

impl Shown {
    fn add(&mut self, row: &Row) {
        match (state_of(row), &row.words) {
            (RowState::Paired, _) | (RowState::RemoteNew, None) => self.paired = true,
            (RowState::RemoteNew, Some(words)) => {
                let header = row.header.map(|header| header.loose);
                self.words.entry((words.size, words.date)).or_default().insert(header);
                self.headers.extend(header);
                self.objects.extend(words.object_id.clone());
            }
            _ => {}
        }
    }

    /// Whether one of them could be the message of this row.
    fn has(&self, row: &Row) -> bool {
        let words = row.words.as_ref();
        let object = words.and_then(|words| words.object_id.as_ref());
        let alike = words.and_then(|words| self.words.get(&(words.size, words.date)));
        alike.is_some_and(|headers| row.header.is_none() || headers.contains(&None))
            || row.header.is_some_and(|header| self.headers.contains(&header.loose))
            || object.is_some_and(|object| self.objects.contains(object))
    }
}
