//! Uploads that the server said it took, and does not show (hazards 120, 134 and 164).
//!
//! Some servers show a message when its mailbox is selected again, others a moment later. Or
//! another client moved or removed it before it was seen: then a number was given out for it all
//! the same, and looks of later runs, over other connections, tell. Where none was given out nobody
//! knows what became of the message, and a person is asked.

use std::collections::{BTreeMap, BTreeSet};

use crate::account::error::AccountError;
use crate::mail::run::Run;
use crate::reconcile::row_state::{RowState, state_of};
use crate::reconcile::types::{Base, Coverage, Journal, Mailbox, MailboxId, Row, RowId};
use crate::state::meta;
use crate::state::meta::Missed;

/// Rows that are looked through.
const ROWS_MAX: usize = 10_000;
/// So many runs after the one that sent it do not show a message before it counts as gone.
const MISSES: u32 = 3;
/// And so many seconds have to pass: some servers are late.
const LATE: i64 = 60;

type All = BTreeMap<RowId, Missed>;

/// A person who names a mailbox has what the server took there and never showed sent once more.
pub(super) fn resend_if_asked(run: &mut Run) -> Result<(), AccountError> {
    let Some(focus) = run.attempt.focus.clone() else { return Ok(()) };
    let number = run.attempt.number;
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

/// Names uploads that are not shown; those that were missed often enough count as gone from the
/// server. Gives whether there were such: what follows from that is still to be done.
pub(in crate::mail) fn settle_taken(run: &mut Run) -> Result<bool, AccountError> {
    let rows = run.store.unsettled(None, ROWS_MAX)?;
    let is_new = |row: &&Row| state_of(row) == RowState::LocalNew && !row.journal.is_taken();
    let waiting: BTreeSet<_> = rows.iter().filter(is_new).filter_map(|row| row.content).collect();
    // Filed elsewhere meanwhile, the file waits for the message.
    let waits = |row: &Row| row.content.is_some_and(|content| waiting.contains(&content));
    let mut taken: BTreeMap<MailboxId, Vec<&Row>> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.journal.is_taken()) {
        taken.entry(row.mailbox).or_default().push(row);
    }
    // Selected again, the mailbox showed what was missed.
    run.is_view_old &= !taken.is_empty() || run.attempt.waits_for_next;
    // Only of what is still missed: whatever was shown or is sent again begins anew.
    let (before, mut now) = (read(run)?, All::new());
    let mut gone = Vec::new();
    for (id, rows) in taken {
        let Some(mailbox) = run.store.mailbox(id)? else { continue };
        let known = look(run, &mailbox, &rows, &before)?;
        let is_gone = |row: &Row| known.get(&row.id).is_some_and(|missed| is_over(run, *missed));
        let (over, open): (Vec<&Row>, Vec<&Row>) = rows.into_iter().partition(|row| is_gone(row));
        gone.extend(over.into_iter().cloned());
        now.extend(open.iter().filter_map(|row| Some((row.id, *known.get(&row.id)?))));
        let named: Vec<&Row> =
            open.into_iter().filter(|row| row.local.is_some() || waits(row)).collect();
        name(run, &mailbox, &named, &now);
    }
    write(run, &now)?;
    let any = !gone.is_empty();
    count_as_gone(run, gone)?;
    Ok(any)
}

/// Takes down what this run tells of the uploads into a mailbox that are not shown.
fn look(
    run: &mut Run,
    mailbox: &Mailbox,
    rows: &[&Row],
    before: &All,
) -> Result<All, AccountError> {
    let mut known: All =
        rows.iter().filter_map(|row| Some((row.id, *before.get(&row.id)?))).collect();
    if run.attempt.seen.remote.get(&mailbox.id) != Some(&Coverage::Complete) {
        return Ok(known);
    }
    for missed in known.values_mut().filter(|missed| missed.run != run.attempt.number) {
        (missed.misses, missed.run) = (missed.misses + 1, run.attempt.number);
    }
    let new: Vec<&Row> = rows.iter().copied().filter(|row| !known.contains_key(&row.id)).collect();
    if !new.is_empty() {
        // By the first whole look: later on others may have come and gone. A former upload without
        // a number may have got one of these.
        let former = known.values().filter(|missed| !missed.numbered).count();
        let numbered = were_numbered(run, mailbox, &new, former)?;
        let (number, since) = (run.attempt.number, run.environment.clock.now());
        let missed = Missed { misses: 0, run: number, since, numbered };
        known.extend(new.into_iter().map(|row| (row.id, missed)));
    }
    // Another connection may show more.
    run.is_view_old |= known.values().any(|missed| missed.numbered);
    Ok(known)
}

fn is_over(run: &Run, missed: Missed) -> bool {
    let is_late = run.environment.clock.now() - missed.since >= LATE;
    missed.numbered && missed.misses >= MISSES && is_late
}

/// Whether the server gave out a number for each of these and for `former` ones: a whole look shows
/// fewer messages above the UIDNEXT from before they were sent than numbers were given out since.
fn were_numbered(
    run: &Run,
    mailbox: &Mailbox,
    rows: &[&Row],
    former: usize,
) -> Result<bool, AccountError> {
    let Some(now) = mailbox.cursor.filter(|now| now.uid_next > 0) else { return Ok(false) };
    let mut first = u32::MAX;
    for row in rows {
        match row.journal {
            Journal::Pushing { uid_validity, uid_next, .. } if uid_validity == now.uid_validity => {
                first = first.min(uid_next);
            }
            _ => return Ok(false),
        }
    }
    let shown = run.store.numbered(mailbox.id, first, now.uid_next)?;
    let given = u64::from(now.uid_next.saturating_sub(first));
    Ok(given.saturating_sub(shown) >= (rows.len() + former) as u64)
}

fn name(run: &mut Run, mailbox: &Mailbox, rows: &[&Row], known: &All) {
    if rows.is_empty() {
        return;
    }
    let (messages, them, count) = match rows.len() {
        1 => ("message", "it", "it counts"),
        _ => ("messages", "them", "they count"),
    };
    let is_numbered = |row: &&Row| known.get(&row.id).is_some_and(|missed| missed.numbered);
    // Without a number it may be nowhere.
    let end = match rows.iter().all(is_numbered) {
        true => format!("if later runs do not see {them} either, {count} as deleted there"),
        false => "not uploaded again unless you ask for it".to_owned(),
    };
    let why = format!(
        "the server accepted {} {messages} but does not list {them} yet; {end}; to upload {them} \
         again: mailtide sync '{}/{}'",
        rows.len(),
        run.settings.name,
        mailbox.name
    );
    run.report.skip(mailbox.name.to_string(), why);
}

/// They were there and left again: a departure as any other.
fn count_as_gone(run: &mut Run, rows: Vec<Row>) -> Result<(), AccountError> {
    if rows.is_empty() {
        return Ok(());
    }
    run.record(|w| {
        for row in rows {
            let base = row.local.as_ref().map(|local| Base { flags: local.flags.clone() });
            w.update(&Row { base, journal: Journal::Idle, ..row })?;
        }
        Ok(())
    })
}

fn read(run: &Run) -> Result<All, AccountError> {
    Ok(run.store.list(&meta::TAKEN)?.into_iter().collect())
}

fn write(run: &mut Run, all: &All) -> Result<(), AccountError> {
    let all: Vec<_> = all.iter().map(|(row, missed)| (*row, *missed)).collect();
    if run.store.list(&meta::TAKEN)? != all {
        run.store.transaction(|tx| tx.set_list(&meta::TAKEN, all))?;
    }
    Ok(())
}
