//! Uploads that the server said it took, and does not show (hazards 120, 134 and 164).
//!
//! Some servers show a message when its mailbox is selected again, others a moment later. Another
//! client may have moved or removed it before it was seen; then its number was given out all the
//! same, and looks of later runs, over other connections, tell. Where no number was given out
//! nobody knows what became of it, and a person is asked.

use std::collections::{BTreeMap, BTreeSet};

use crate::account::{AccountError, Run};
use crate::reconcile::pairing::{Class, class};
use crate::reconcile::types::{Base, Journal, Mailbox, MailboxId, Reach, Row};

/// Rows that are looked through.
const ROWS_MAX: usize = 10_000;
/// So many runs after the one that sent it do not show a message before it counts as gone.
const MISSES: u32 = 3;

/// A person who names a mailbox has what the server took there and never showed sent once more.
pub(super) fn doubt(run: &mut Run) -> Result<(), AccountError> {
    let Some(focus) = run.focus.clone() else { return Ok(()) };
    let number = run.number;
    let taken = run.store.unsettled(None, ROWS_MAX)?.into_iter();
    for row in taken.filter(|row| row.journal.is_taken()) {
        let Journal::Pushing { uid_validity, uid_next, attempts, sent, .. } = row.journal else {
            continue;
        };
        let named = run.store.mailbox(row.mailbox)?.is_some_and(|m| focus.contains(&m.name));
        if named {
            let run_before = number.saturating_sub(1);
            let journal =
                Journal::Pushing { uid_validity, uid_next, attempts, sent, run: run_before };
            run.record(|w| w.update(&Row { journal, ..row }))?;
        }
    }
    Ok(())
}

/// Names what the server said it took and does not show, and ends the claims of what it had. Gives
/// whether there were such: their files are to be dealt with.
pub(in crate::account) fn end_taken(run: &mut Run) -> Result<bool, AccountError> {
    let rows = run.store.unsettled(None, ROWS_MAX)?;
    let is_new = |row: &&Row| class(row) == Class::LocalNew && !row.journal.is_taken();
    let waiting: BTreeSet<_> = rows.iter().filter(is_new).filter_map(|row| row.content).collect();
    // Filed elsewhere meanwhile, the file waits for the message.
    let waits = |row: &Row| row.content.is_some_and(|content| waiting.contains(&content));
    let mut taken: BTreeMap<MailboxId, Vec<Row>> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.journal.is_taken()) {
        if row.local.is_some() || waits(row) {
            taken.entry(row.mailbox).or_default().push(row.clone());
        }
    }
    // Selected again, the mailbox showed what was missed.
    run.is_view_old &= !taken.is_empty() || run.waits_for_next;
    let mut ended = false;
    for (id, rows) in taken {
        let Some(mailbox) = run.store.mailbox(id)? else { continue };
        let was_given = were_numbered(run, &mailbox, &rows)?;
        if was_given && is_missed_at_last(run, &mailbox, rows.len())? {
            count_as_gone(run, rows)?;
            ended = true;
            continue;
        }
        name(run, &mailbox, rows.len(), was_given);
    }
    Ok(ended)
}

fn name(run: &mut Run, mailbox: &Mailbox, count: usize, was_given: bool) {
    let messages = if count == 1 { "message" } else { "messages" };
    let end = match was_given {
        true => "what later runs do not see either counts as removed there".to_owned(),
        false => format!(
            "they are not sent again unless you ask for it: mailtide sync '{}/{}'",
            run.settings.name, mailbox.name
        ),
    };
    let why = format!("the server said that it took {count} {messages} and does not show them yet");
    run.report.skip(mailbox.name.to_string(), format!("{why}; {end}"));
}

/// Whether the server gave out a number for each of these: a whole look showed fewer messages above
/// the UIDNEXT from before they were sent than numbers were given out since.
fn were_numbered(run: &Run, mailbox: &Mailbox, rows: &[Row]) -> Result<bool, AccountError> {
    let Some(now) = mailbox.cursor.filter(|now| now.uid_next > 0) else { return Ok(false) };
    if run.seen.remote.get(&mailbox.id) != Some(&Reach::Complete) {
        return Ok(false);
    }
    let before = rows.iter().filter_map(|row| match row.journal {
        Journal::Pushing { uid_validity, uid_next, .. } => {
            (uid_validity == now.uid_validity).then_some(uid_next)
        }
        _ => None,
    });
    let before: Vec<u32> = before.collect();
    let Some(first) = before.iter().min().filter(|_| before.len() == rows.len()) else {
        return Ok(false);
    };
    let shown = run.store.numbered(mailbox.id, *first, now.uid_next)?;
    let given = u64::from(now.uid_next.saturating_sub(*first));
    Ok(given.saturating_sub(shown) >= rows.len() as u64)
}

/// Counts the runs that missed as many; true with the last one.
fn is_missed_at_last(run: &mut Run, mailbox: &Mailbox, count: usize) -> Result<bool, AccountError> {
    let key = format!("taken {}", mailbox.id.0);
    let noted = run.store.meta(&key)?;
    let noted = noted.as_deref().and_then(parse).filter(|(_, _, rows)| *rows >= count);
    let (misses, by) = noted.map_or((0, run.number), |(misses, by, _)| (misses, by));
    let misses = misses + u32::from(by != run.number);
    let is_last = misses >= MISSES;
    // Another connection may show more.
    run.is_view_old |= !is_last;
    let text = format!("{misses} {} {count}", run.number);
    run.store.transaction(|tx| match is_last {
        true => tx.delete_meta(&key).map(drop),
        false => tx.set_meta(&key, &text),
    })?;
    Ok(is_last)
}

/// How many runs missed how many messages, and which was the last of them.
fn parse(text: &str) -> Option<(u32, i64, usize)> {
    let mut parts = text.split(' ');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// They were there and left again: a departure as any other.
fn count_as_gone(run: &mut Run, rows: Vec<Row>) -> Result<(), AccountError> {
    run.record(|w| {
        for row in rows {
            let base = row.local.as_ref().map(|local| Base { flags: local.flags.clone() });
            w.update(&Row { base, journal: Journal::Idle, ..row })?;
        }
        Ok(())
    })
}
