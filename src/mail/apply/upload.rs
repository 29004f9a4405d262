//! Bodies up: journalled before, a fact by APPENDUID or by the next look.
//!
//! What is tried for the first time goes up [side by side](super::window); what was refused
//! there, and what is tried again, goes alone.

use std::collections::{BTreeMap, BTreeSet};

use super::append::{Sent, append};
use super::append_pipeline;
use super::sent::{Taken, flags_up, pushed, refused, set_aside, unreadable};
use super::steps::{announce, grouped, mailbox_of, select, trouble};
use super::unlisted_uploads;
use crate::account::error::AccountError;
use crate::account::progress::{Event, Way};
use crate::mail::claim::claimed;
use crate::mail::limits::too_large;
use crate::mail::run::Run;
use crate::mail::survival::rows_of;
use crate::reconcile::Step;
use crate::reconcile::types::{Flags, Journal, Mailbox, Row, RowId, SetAsideKind, Uid};
use crate::remote::imap::{FetchItems, FetchRow, UidSet};

/// Rows that are looked through for refused ones.
const ASIDE_MAX: usize = 1000;
/// Pushes journalled in one transaction.
const BATCH: usize = 100;

pub(super) async fn apply(run: &mut Run, steps: &[Step]) -> Result<(), AccountError> {
    let wanted = grouped(run, steps, |step| match step {
        Step::Push(row) => Some((*row, ())),
        _ => None,
    })?;
    announce(run, Way::Up, &wanted)?;
    for (id, rows) in wanted {
        let mailbox = mailbox_of(run, id)?;
        run.environment.progress.tell(Event::Began { mailbox: &mailbox.name, way: Way::Up });
        let rows: Vec<Row> = rows.into_iter().map(|(row, ())| row).collect();
        let parts = run.in_company_up(&mailbox, rows);
        for batch in parts.iter().flat_map(|part| part.chunks(BATCH)) {
            if run.environment.is_stopping() {
                break;
            }
            match push_batch(run, &mailbox, batch).await {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => run.go_on(Err(error)).await?,
            }
        }
        run.environment.progress.tell(Event::Ended { mailbox: &mailbox.name, way: Way::Up });
    }
    Ok(())
}

/// Gives whether the mailbox can go on.
async fn push_batch(run: &mut Run, mailbox: &Mailbox, rows: &[Row]) -> Result<bool, AccountError> {
    if mailbox.cursor.is_none() || !select(run, mailbox).await? {
        return Ok(false);
    }
    let mut still = Vec::new();
    for row in leave_large(run, rows)? {
        if super::transfer::equals_are_there(run, &row)? {
            still.push(row);
        }
    }
    let rows = still;
    let rows = super::keyword_letters::before_push(run, mailbox, rows)?;
    let rows = note_before(run, mailbox, rows)?;
    let (ids, exists): (Vec<RowId>, _) =
        (rows.iter().map(|row| row.id).collect(), run.session.message_count());
    let goes_on = push_rows(run, mailbox, rows).await?;
    check_uploads(run, mailbox, &ids, exists).await?;
    Ok(goes_on)
}

async fn push_rows(run: &mut Run, mailbox: &Mailbox, rows: Vec<Row>) -> Result<bool, AccountError> {
    let is_first = |row: &Row| matches!(row.journal, Journal::Pushing { attempts: 1, .. });
    let (first, again): (Vec<Row>, Vec<Row>) = rows.into_iter().partition(is_first);
    let Some(alone) = append_pipeline::push(run, mailbox, first).await? else { return Ok(false) };
    for row in alone.into_iter().chain(again) {
        if run.environment.is_stopping() {
            return Ok(false);
        }
        let goes_on = push(run, mailbox, row).await?;
        run.environment.progress.tell(Event::Message { mailbox: &mailbox.name, way: Way::Up });
        if !goes_on {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Looks at once for what the server said it took, while EXISTS tells whether it ever was there:
/// a later look cannot tell a message that the server swallowed (hazard 24) from one that
/// another client moved or removed before it was seen (hazard 55).
async fn check_uploads(
    run: &mut Run,
    mailbox: &Mailbox,
    ids: &[RowId],
    before: u32,
) -> Result<(), AccountError> {
    let mut named: BTreeMap<Uid, RowId> = BTreeMap::new();
    for id in ids {
        let remote = run.store.row(*id)?.and_then(|row| row.remote);
        named.extend(remote.filter(|r| !r.confirmed).map(|remote| (remote.uid, *id)));
    }
    let counted = run.session.message_count().saturating_sub(before) as usize;
    if named.is_empty() || counted >= named.len() {
        return Ok(());
    }
    let set: UidSet = named.keys().copied().collect();
    let items = FetchItems { flags: true, ..FetchItems::default() };
    let mut shown = BTreeSet::new();
    let mut sink = |row: FetchRow| {
        shown.insert(row.uid);
    };
    if let Err(error) = run.session.fetch(&set, items, None, &mut sink).await {
        return trouble(run, mailbox, error);
    }
    let uid_validity = mailbox.cursor.map(|cursor| cursor.uid_validity);
    run.is_view_old |= shown.len() < named.len();
    run.record(|w| {
        for (uid, id) in named.iter().filter(|(uid, _)| !shown.contains(*uid)) {
            let Some(row) = w.tx().row(*id)? else { continue };
            if row.remote.as_ref().is_some_and(|remote| remote.uid == *uid)
                && let Some(uid_validity) = uid_validity
            {
                w.update(&claimed(Row { base: None, ..row }, uid_validity, *uid))?;
            }
        }
        Ok(())
    })
}

/// What is larger than the server takes, or than we send, stays here. Gives the others.
fn leave_large(run: &mut Run, rows: &[Row]) -> Result<Vec<Row>, AccountError> {
    let (own, theirs) = (run.settings.max_message_size, run.session.capabilities().append_limit());
    let limit = theirs.unwrap_or(u64::MAX).min(own);
    let fits = |row: &Row| row.words.as_ref().is_none_or(|words| words.size <= limit);
    let (rows, large): (Vec<Row>, Vec<Row>) = rows.iter().cloned().partition(fits);
    for row in large {
        let words = match limit == own {
            true => too_large(own),
            false => format!("larger than the server takes ({limit} bytes)"),
        };
        set_aside(run, row, words)?;
    }
    Ok(rows)
}

/// Writes down that these are about to be sent, and from which UID on they may be found.
fn note_before(run: &mut Run, mailbox: &Mailbox, rows: Vec<Row>) -> Result<Vec<Row>, AccountError> {
    let Some(cursor) = mailbox.cursor else { return Ok(Vec::new()) };
    let number = run.attempt.number;
    run.record(|w| {
        let mut noted = Vec::new();
        for row in rows {
            let (uid_next, attempts) = match &row.journal {
                // The first attempt's UIDNEXT holds for every later one.
                Journal::Pushing { uid_validity, uid_next, attempts, .. }
                    if *uid_validity == cursor.uid_validity =>
                {
                    (*uid_next, attempts + 1)
                }
                _ => (cursor.uid_next, 1),
            };
            let uid_validity = cursor.uid_validity;
            let (sent, run) = (false, number);
            let journal = Journal::Pushing { uid_validity, uid_next, attempts, sent, run };
            let row = Row { journal, ..row };
            w.update(&row)?;
            noted.push(row);
        }
        Ok(noted)
    })
}

/// Pushes one by itself. Gives whether the mailbox can go on.
async fn push(run: &mut Run, mailbox: &Mailbox, row: Row) -> Result<bool, AccountError> {
    let flags = flags_up(mailbox, &row);
    let mut sent = append(run, mailbox, &row, flags.clone()).await;
    let refused_flags = matches!(&sent, Sent::Refused(failed) if failed.error.is_refusal());
    if refused_flags && !flags.keywords.is_empty() {
        // A keyword that is refused fails the whole APPEND: the message goes without any, and
        // each keyword is then refused alone (hazard 29).
        let plain = Flags::system(flags.system);
        sent = append(run, mailbox, &row, plain).await;
    }
    match sent {
        Sent::Taken { uid, flags, unchanged } => {
            pushed(run, mailbox, vec![Taken { row, uid, flags, unchanged }])?;
            Ok(true)
        }
        Sent::Refused(failed) => refused(run, mailbox, row, failed),
        Sent::Unreadable(error) => {
            unreadable(run, mailbox, &row, error)?;
            Ok(true)
        }
    }
}

/// Uploads that were refused, and that it is time to try again.
pub(in crate::mail) fn revive(run: &mut Run) -> Result<(), AccountError> {
    unlisted_uploads::resend_if_asked(run)?;
    let refused = |row: &Row| {
        row.set_aside.as_ref().is_some_and(|aside| aside.kind == SetAsideKind::Push)
            && row.local.is_some()
            && row.remote.is_none()
    };
    let mut again = Vec::new();
    for row in run.store.set_aside_rows(ASIDE_MAX)?.into_iter().filter(refused) {
        let Some(mailbox) = run.store.mailbox(row.mailbox)? else { continue };
        if run.suspects.lock().asks_again_for(&mailbox.name, &rows_of([row.id].into_iter())) {
            again.push(row);
        }
    }
    if again.is_empty() {
        return Ok(());
    }
    run.record(|w| {
        again.iter().try_for_each(|row| w.update(&Row { set_aside: None, ..row.clone() }))
    })
}
