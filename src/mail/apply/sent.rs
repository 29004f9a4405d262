//! What is noted of an upload: that it was sent, taken, refused, or cannot be read.

use crate::account::error::AccountError;
use crate::local::LocalError;
use crate::mail::observe::reexamine;
use crate::mail::run::Run;
use crate::mail::writer::Writer;
use crate::reconcile::MailboxView;
use crate::reconcile::agree::base_now;
use crate::reconcile::types::{
    Base, Flags, Journal, Mailbox, Remote, Row, SetAside, SetAsideKind, Uid,
};
use crate::remote::imap::AppendError;
use crate::state::StateError;

/// A message that was sent.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) row: Row,
    pub(super) uid: Option<(u32, Uid)>,
    pub(super) flags: Flags,
    /// Whether what was sent is what is known of the file.
    pub(super) unchanged: bool,
}

/// Answers that no look confirmed after which a message is not sent again.
const SENDS_MAX: u32 = 3;

/// The flags that the server's message is to begin with.
pub(super) fn flags_up(mailbox: &Mailbox, row: &Row) -> Flags {
    let flags = row.local.as_ref().map(|local| local.flags.clone()).unwrap_or_default();
    MailboxView::of(mailbox.clone()).remote_mask(row).apply(&flags)
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

pub(super) fn fact(w: &Writer<'_>, mailbox: &Mailbox, taken: Taken) -> Result<(), StateError> {
    let Taken { row, uid, flags, .. } = taken;
    let validity = mailbox.cursor.map(|cursor| cursor.uid_validity);
    let Some((_, uid)) = uid.filter(|(named, _)| Some(*named) == validity) else {
        // Without APPENDUID the row stays *pushing*: the next look finds the message.
        return mark_sent(w, row, Answer::Taken);
    };
    if w.tx().by_uid(row.mailbox, uid)?.is_some() {
        // A set, not a multiset: the server has this message already, under that UID.
        let words = "the server reports the upload as a message it already had".to_owned();
        let set_aside = Some(SetAside { kind: SetAsideKind::Undecided, words, times: 1 });
        return w.update(&Row { set_aside, journal: Journal::Idle, ..row });
    }
    let journal = super::bookkeeping::after_push(&row.journal);
    let remote = Some(Remote { uid, flags: flags.clone(), confirmed: false });
    let base = Some(row.base.clone().unwrap_or(Base { flags }));
    let mut row = Row { remote, base, journal, restated: false, set_aside: None, ..row };
    if let Some(flags) = base_now(&row, &MailboxView::of(mailbox.clone())) {
        row.base = Some(Base { flags });
    }
    w.update(&row)
}

pub(super) fn refused(
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
    let words = "the server refused it several times, and yet new messages appeared".to_owned();
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

pub(in crate::mail) fn set_aside(
    run: &mut Run,
    row: Row,
    words: String,
) -> Result<(), AccountError> {
    run.record(|w| {
        let Some(row) = w.tx().row(row.id)? else { return Ok(()) };
        let times = row.set_aside.as_ref().map_or(1, |s| s.times + 1);
        let set_aside = Some(SetAside { kind: SetAsideKind::Push, words, times });
        w.update(&Row { set_aside, ..row })
    })
}
