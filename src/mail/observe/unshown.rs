//! Messages that the server lists and shows nothing of, and bodies that it did not give: one
//! missing answer is no verdict (hazard 68).
//!
//! They are asked for again in each of the next runs, then ever more rarely, and are named all
//! the while.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::account::error::AccountError;
use crate::mail::run::Run;
use crate::mail::short;
use crate::reconcile::types::{MailboxId, Row, SetAside, SetAsideKind, Uid};
use crate::remote::imap::{Command, UidSet};
use crate::state::meta;

/// Rows that are looked through.
const MOST: usize = 1000;
/// Runs that ask for what was not shown, one after the other.
const RUNS: u32 = 3;
/// Seconds after which is asked once more, at first and at most.
const WAITS: (i64, i64) = (60 * 60, 24 * 60 * 60);

/// UIDs of a mailbox that are asked for again in this run.
pub(super) type Due = BTreeMap<MailboxId, UidSet>;

/// Whether nothing but the UID of a message is known, since the server showed nothing of it.
pub(super) fn is_unshown(row: &Row) -> bool {
    let only_listed = row.remote.is_some() && row.local.is_none() && row.base.is_none();
    let of_fetch = |aside: &SetAside| aside.kind == SetAsideKind::Fetch && aside.is_final();
    only_listed
        && row.words.is_none()
        && row.content.is_none()
        && row.set_aside.as_ref().is_some_and(of_fetch)
}

/// What is asked for again in this run; a body that was refused for good gets one more try.
pub(super) fn due(run: &mut Run) -> Result<Due, AccountError> {
    let of_fetch = |row: &Row| {
        let aside = row.set_aside.as_ref();
        aside.is_some_and(|aside| aside.kind == SetAsideKind::Fetch && aside.is_final())
    };
    let mut rows = run.store.set_aside_rows(MOST)?;
    rows.retain(of_fetch);
    let before = run.store.fact(&meta::ASK_AGAIN)?;
    if rows.is_empty() {
        before.map(|_| run.store.transaction(|tx| tx.delete_fact(&meta::ASK_AGAIN))).transpose()?;
        return Ok(Due::new());
    }
    let (number, now) = (run.attempt.number, run.environment.clock.now());
    let (asked, next, wait) = before.unwrap_or((0, i64::MAX, 0));
    if asked == number {
        return Ok(Due::new());
    }
    let is_time = now >= next;
    let mut looked_at = BTreeMap::new();
    for row in &rows {
        if let Entry::Vacant(entry) = looked_at.entry(row.mailbox) {
            let mailbox = run.store.mailbox(row.mailbox)?;
            entry.insert(mailbox.is_some_and(|m| run.looks_at(&m.name)));
        }
    }
    rows.retain(|row| looked_at.get(&row.mailbox) == Some(&true));
    let mut due = Due::new();
    let times = |row: &Row| row.set_aside.as_ref().map_or(0, |aside| aside.times);
    for row in rows.iter().filter(|row| is_unshown(row)) {
        if let Some(remote) = &row.remote
            && (is_time || times(row) < SetAside::TRIES + RUNS)
        {
            due.entry(row.mailbox).or_default().insert(remote.uid);
        }
    }
    let most = run.settings.max_message_size;
    let fits = |row: &Row| row.words.as_ref().is_some_and(|words| words.size <= most);
    let (names, suspects) = (run.store.mailboxes()?, run.suspects.clone());
    let short = short::due(run)?;
    // A connection was lost over it: that says when it is asked for again.
    let asks = |row: &Row| {
        let mailbox = names.iter().find(|mailbox| mailbox.id == row.mailbox);
        let (Some(mailbox), Some(remote)) = (mailbox, &row.remote) else { return is_time };
        let validity = mailbox.cursor.map_or(0, |cursor| cursor.uid_validity);
        let suspects = suspects.lock();
        let of = |uids: UidSet| uids.contains(remote.uid);
        let due = of(suspects.due(Command::Bodies, &mailbox.name, validity));
        (due || short.contains(&row.id))
            || is_time && !of(suspects.resting(Command::Bodies, &mailbox.name, validity))
    };
    let again: Vec<Row> = rows.into_iter().filter(|row| fits(row) && asks(row)).collect();
    let (wait, next) = match (before.is_some(), is_time) {
        (false, _) => (WAITS.0, now + WAITS.0),
        (true, false) => (wait, next),
        (true, true) => {
            let wait = wait.saturating_mul(2).clamp(WAITS.0, WAITS.1);
            (wait, now.saturating_add(wait))
        }
    };
    run.record(|w| {
        for row in again {
            let set_aside = row.set_aside.clone();
            let set_aside = set_aside.map(|aside| SetAside { times: SetAside::TRIES - 1, ..aside });
            w.update(&Row { set_aside, ..row })?;
        }
        w.tx().set_fact(&meta::ASK_AGAIN, &(number, next, wait))
    })?;
    Ok(due)
}

/// Those of `asked` that were not shown this time either.
pub(super) fn in_vain(
    run: &Run,
    mailbox: MailboxId,
    asked: &UidSet,
) -> Result<Vec<Uid>, AccountError> {
    let mut left = Vec::new();
    for uid in asked.iter() {
        if run.store.by_uid(mailbox, uid)?.is_some_and(|row| is_unshown(&row)) {
            left.push(uid);
        }
    }
    Ok(left)
}
