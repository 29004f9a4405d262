//! Bodies up: journalled before, a fact by APPENDUID or by the next look.
//!
//! What is tried for the first time goes up [side by side](super::window); what was refused
//! there, and what is tried again, goes alone.

use std::collections::{BTreeMap, BTreeSet};

use super::steps::{announce, grouped, mailbox_of, select, trouble};
use super::taken;
use super::upload::{Sent, append};
use super::window::{self, Taken};
use crate::account::error::AccountError;
use crate::account::observe::{reexamine, too_large};
use crate::account::progress::{Event, Way};
use crate::account::run::Run;
use crate::account::suspects::rows_of;
use crate::account::writer::Writer;
use crate::local::LocalError;
use crate::reconcile::MailboxView;
use crate::reconcile::Step;
use crate::reconcile::messages::base_now;
use crate::reconcile::types::{
    Base, Flags, Journal, Mailbox, Remote, Row, RowId, SetAside, SetAsideKind, Uid,
};
use crate::remote::imap::{AppendError, FetchItems, FetchRow, UidSet};
use crate::state::StateError;

/// Answers that no look confirmed after which a message is not sent again.
const SENDS_MAX: u32 = 3;
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
        run.outside.progress.tell(Event::Began { mailbox: &mailbox.name, way: Way::Up });
        let rows: Vec<Row> = rows.into_iter().map(|(row, ())| row).collect();
        let parts = run.in_company_up(&mailbox, rows);
        for batch in parts.iter().flat_map(|part| part.chunks(BATCH)) {
            if run.outside.is_stopping() {
                break;
            }
            match push_batch(run, &mailbox, batch).await {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => run.go_on(Err(error)).await?,
            }
        }
        run.outside.progress.tell(Event::Ended { mailbox: &mailbox.name, way: Way::Up });
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
    let rows = super::letters::before_push(run, mailbox, rows)?;
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
    let Some(alone) = window::push(run, mailbox, first).await? else { return Ok(false) };
    for row in alone.into_iter().chain(again) {
        if run.outside.is_stopping() {
            return Ok(false);
        }
        let goes_on = push(run, mailbox, row).await?;
        run.outside.progress.tell(Event::Message { mailbox: &mailbox.name, way: Way::Up });
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

/// The row of a message that the server says it has under this UID, and does not show. Some show it
/// when the mailbox is selected again, or a moment later: the row keeps its claim (hazard 134).
pub(in crate::account) fn claimed(row: Row, uid_validity: u32, uid: Uid) -> Row {
    let (uid_next, attempts) = match row.journal {
        // Its twins may lie below it.
        Journal::Pushed { uid_next, twins, .. } => (uid_next.min(uid.0), twins + 1),
        _ => (uid.0, 1),
    };
    let (sent, run) = (true, Journal::TAKEN);
    let journal = Journal::Pushing { uid_validity, uid_next, attempts, sent, run };
    Row { journal, remote: None, set_aside: None, ..row }
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

/// The flags that the server's message is to begin with.
pub(super) fn flags_up(mailbox: &Mailbox, row: &Row) -> Flags {
    let flags = row.local.as_ref().map(|local| local.flags.clone()).unwrap_or_default();
    MailboxView::of(mailbox.clone()).remote_mask(row).apply(&flags)
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

/// The file is not what it was, or cannot be read.
pub(super) fn unreadable(
    run: &mut Run,
    mailbox: &Mailbox,
    row: &Row,
    error: LocalError,
) -> Result<(), AccountError> {
    run.record(|w| not_sent(w, row))?;
    let stem = row.local.as_ref().map(|local| local.stem.clone());
    match error {
        // Edited, or renamed by a reader: what is there now is looked at first.
        LocalError::Changed { .. } => reexamine(run, row.id)?,
        error => {
            let what = stem.map_or(String::new(), |stem| format!(": {stem:?}"));
            run.report.skip(format!("{}{what}", mailbox.name), error.to_string());
        }
    }
    Ok(())
}

/// Records what the server took.
pub(super) fn pushed(
    run: &mut Run,
    mailbox: &Mailbox,
    taken: Vec<Taken>,
) -> Result<(), AccountError> {
    // Written to while it was sent: what the server has now is another message, which the next
    // look brings down; this file is looked at again.
    let (taken, changed): (Vec<Taken>, Vec<Taken>) =
        taken.into_iter().partition(|taken| taken.unchanged);
    run.report.pushed += taken.len() as u64;
    run.record(|w| {
        changed.iter().try_for_each(|changed| not_sent(w, &changed.row))?;
        taken.into_iter().try_for_each(|taken| fact(w, mailbox, taken))
    })?;
    changed.into_iter().try_for_each(|changed| reexamine(run, changed.row.id))
}

fn fact(w: &Writer<'_>, mailbox: &Mailbox, taken: Taken) -> Result<(), StateError> {
    let Taken { row, uid, flags, .. } = taken;
    let validity = mailbox.cursor.map(|cursor| cursor.uid_validity);
    let Some((_, uid)) = uid.filter(|(named, _)| Some(*named) == validity) else {
        // Without APPENDUID the row stays *pushing*: the next look finds the message.
        return mark_sent(w, row, Answer::Taken);
    };
    if w.tx().by_uid(row.mailbox, uid)?.is_some() {
        // A set, not a multiset: the server has this message already, under that UID.
        let words = "the server says that it has this very message already".to_owned();
        let set_aside = Some(SetAside { kind: SetAsideKind::Undecided, words, times: 1 });
        return w.update(&Row { set_aside, journal: Journal::Idle, ..row });
    }
    let journal = super::note::after_push(&row.journal);
    let remote = Some(Remote { uid, flags: flags.clone(), confirmed: false });
    let base = Some(row.base.clone().unwrap_or(Base { flags }));
    let mut row = Row { remote, base, journal, restated: false, set_aside: None, ..row };
    if let Some(flags) = base_now(&row, &MailboxView::of(mailbox.clone())) {
        row.base = Some(Base { flags });
    }
    w.update(&row)
}

fn refused(
    run: &mut Run,
    mailbox: &Mailbox,
    row: Row,
    failed: AppendError,
) -> Result<bool, AccountError> {
    let AppendError { error, literal_sent } = failed;
    if error.ends_session() {
        if literal_sent {
            run.record(|w| mark_sent(w, row, Answer::Lost))?;
        }
        return Err(error.into());
    }
    run.record(|w| not_sent(w, &row))?;
    if error.is_for_now() {
        run.note_refusal(&error);
        let goes_on = run.losses.is_refused_for_now(&error);
        run.report.skip(mailbox.name.to_string(), error.to_string());
        return Ok(goes_on);
    }
    // It is asked again ever more rarely.
    run.note_refusal(&error);
    set_aside(run, row, error.to_string())?;
    Ok(true)
}

/// Uploads that were refused, and that it is time to try again.
pub(in crate::account) fn revive(run: &mut Run) -> Result<(), AccountError> {
    taken::resend_if_asked(run)?;
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

/// What is known of a message that was sent whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// The server said that it took it, and not under which UID.
    Taken,
    /// There was none.
    Lost,
    /// The server refused it, and shows more than it did.
    Refused,
}

/// The server may have it: not again in this run, and only after a look did not find it; not at all
/// where it said that it has it (hazard 120).
pub(super) fn mark_sent(w: &Writer<'_>, row: Row, answer: Answer) -> Result<(), StateError> {
    let Journal::Pushing { uid_validity, uid_next, attempts, run, .. } = row.journal else {
        return Ok(());
    };
    let run = if answer == Answer::Taken { Journal::TAKEN } else { run };
    let journal = Journal::Pushing { uid_validity, uid_next, attempts, sent: true, run };
    // Where the connection was lost, that thing is asked for ever more rarely (hazard 90).
    if attempts < SENDS_MAX || answer != Answer::Refused {
        return w.update(&Row { journal, ..row });
    }
    let words = "the server refused it several times and shows something else".to_owned();
    let set_aside = Some(SetAside { kind: SetAsideKind::Undecided, words, times: attempts });
    w.update(&Row { journal, set_aside, ..row })
}

/// A tagged refusal is an answer: this attempt left nothing behind.
pub(super) fn not_sent(w: &Writer<'_>, row: &Row) -> Result<(), StateError> {
    let journal = match row.journal.clone() {
        Journal::Pushing { uid_validity, uid_next, attempts, run, .. } if attempts > 1 => {
            let (attempts, sent) = (attempts - 1, false);
            Journal::Pushing { uid_validity, uid_next, attempts, sent, run }
        }
        _ => Journal::Idle,
    };
    w.update(&Row { journal, ..row.clone() })
}

fn set_aside(run: &mut Run, row: Row, words: String) -> Result<(), AccountError> {
    run.record(|w| {
        let Some(row) = w.tx().row(row.id)? else { return Ok(()) };
        let times = row.set_aside.as_ref().map_or(1, |s| s.times + 1);
        let set_aside = Some(SetAside { kind: SetAsideKind::Push, words, times });
        w.update(&Row { set_aside, ..row })
    })
}
