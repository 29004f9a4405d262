//! Facts that need no effect: pairs, renamed files, agreements, what is forgotten.

use std::collections::BTreeSet;

use super::keyword_letters;
use crate::account::error::AccountError;
use crate::mail::run::Run;
use crate::mail::writer::Writer;
use crate::reconcile::agree::base_now;
use crate::reconcile::row_state::{is_claim, is_ending};
use crate::reconcile::types::{Base, Journal, Place, Row, RowId, SetAside, SetAsideKind};
use crate::reconcile::{MailboxView, Step};
use crate::state::StateError;

pub(super) fn apply(run: &mut Run, steps: &[Step]) -> Result<(), AccountError> {
    let unread = keyword_letters::relabel_found(
        run,
        steps.iter().filter_map(|step| match step {
            Step::Pair { local, past, .. } => Some((*local, *past)),
            _ => None,
        }),
    )?;
    write(run, steps, &unread)
}

/// Writes facts down, without those of files whose letters could not be read.
pub(in crate::mail) fn write(
    run: &mut Run,
    steps: &[Step],
    unread: &BTreeSet<RowId>,
) -> Result<(), AccountError> {
    let (mut paired, mut noted) = (0, 0);
    run.record(|w| {
        for step in steps {
            match step {
                Step::Pair { local, remote, past, weak } if !unread.contains(local) => {
                    pair(w, *local, *remote, *past, *weak)?;
                    paired += 1;
                }
                Step::Reattach { gone, found } => {
                    reattach(w, *gone, *found)?;
                    noted += 1;
                }
                Step::Forget(row) => {
                    w.delete(*row)?;
                    noted += 1;
                }
                Step::BringBack(row) => {
                    bring_back(w, *row)?;
                    noted += 1;
                }
                Step::Keep(row) => {
                    keep(w, *row)?;
                    noted += 1;
                }
                Step::Flags { row, local, remote } if local.is_empty() && remote.is_empty() => {
                    agree(w, *row)?;
                    noted += 1;
                }
                _ => {}
            }
        }
        Ok(())
    })?;
    run.report.paired += paired;
    run.report.noted += noted;
    Ok(())
}

fn pair(
    w: &Writer<'_>,
    local: RowId,
    remote: RowId,
    past: Option<RowId>,
    weak: bool,
) -> Result<(), StateError> {
    let (Some(local), Some(remote)) = (w.tx().row(local)?, w.tx().row(remote)?) else {
        return Ok(());
    };
    let past = match past {
        Some(past) => w.tx().row(past)?,
        None => None,
    };
    let ends = local.local.is_none() && is_ending(&local);
    let journal = if ends { local.journal.clone() } else { after_push(&local.journal) };
    let base = match (&past, &local.journal) {
        // Copied by us, the answer lost: as if it had come (hazard 28).
        (None, Journal::Moving { from, .. }) => w.tx().row(*from)?.and_then(|from| from.base),
        (past, _) => past.as_ref().and_then(|past| past.base.clone()),
    };
    let base = match &local.journal {
        Journal::Moving { keywords, .. } => {
            keyword_letters::base_held(base, keywords, local.local.as_ref())
        }
        _ => base,
    };
    let base = base.or(local.base.clone());
    // From now on what leaves one side has left it, also before the next step unites their flags:
    // without a past nothing that is set is lost (hazard 73). So it is with a claim whose file is
    // gone: flags may have been set there since it was sent.
    let base = Some(base.unwrap_or_default());
    // A claim in doubt: its file may be in the root that is not here. What was being removed
    // was removed for certain.
    let restated = local.local.is_none() && local.restated && !ends;
    w.delete(remote.id)?;
    if let Some(past) = past {
        release(w, past, &remote)?;
    }
    let row = Row {
        remote: remote.remote,
        words: remote.words,
        header: remote.header.or(local.header),
        weak: weak || local.weak,
        restated,
        journal,
        base,
        set_aside: None,
        ..local
    };
    w.update(&row)
}

/// A push that was sent more than once may still bring twins.
pub(super) fn after_push(journal: &Journal) -> Journal {
    match journal {
        Journal::Pushing { uid_validity, uid_next, attempts, .. } if *attempts > 1 => {
            let (uid_validity, uid_next) = (*uid_validity, *uid_next);
            Journal::Pushed { uid_validity, uid_next, twins: attempts - 1 }
        }
        Journal::Pushed { .. } => journal.clone(),
        _ => Journal::Idle,
    }
}

/// The row that a message left: what the server still has of it there is expunged, since its
/// new place, the message of the row `to`, is a fact.
pub(super) fn release(w: &Writer<'_>, past: Row, to: &Row) -> Result<(), StateError> {
    // Numbered anew and not found yet, it may still be there (hazard 84). Found in the very
    // mailbox, it did not leave (hazard 190).
    let has_left = past.local.is_none() && past.mailbox != to.mailbox;
    let may_be_there = past.restated && has_left && past.base.is_some();
    if past.remote.is_none() && !may_be_there {
        return w.delete(past.id);
    }
    let target = w.tx().mailbox(to.mailbox)?;
    let copy = target.zip(to.remote.as_ref()).and_then(|(target, remote)| {
        let uid_validity = target.cursor?.uid_validity;
        Some(Place { mailbox: target.name, uid_validity, uid: remote.uid })
    });
    let (journal, restated) = (Journal::Moved { copy }, past.remote.is_none());
    w.update(&Row { journal, restated, set_aside: None, ..past })
}

fn reattach(w: &Writer<'_>, gone: RowId, found: RowId) -> Result<(), StateError> {
    let (Some(gone), Some(found)) = (w.tx().row(gone)?, w.tx().row(found)?) else {
        return Ok(());
    };
    w.delete(found.id)?;
    w.update(&reattached(gone, found))
}

/// The row of a file that came back. What was sent of it may still turn up on the server.
fn reattached(gone: Row, found: Row) -> Row {
    let journal = if is_claim(&gone) { gone.journal } else { Journal::Idle };
    let restated = gone.restated && gone.base.is_some();
    Row { local: found.local, set_aside: None, journal, restated, ..gone }
}

fn keep(w: &Writer<'_>, row: RowId) -> Result<(), StateError> {
    let Some(row) = w.tx().row(row)? else { return Ok(()) };
    let words = "removed on one side and kept on the other, as configured".to_owned();
    let kept = SetAside { kind: SetAsideKind::Kept, words, times: 1 };
    w.update(&Row { set_aside: Some(kept), ..row })
}

/// The side that it departed from counts as never looked at.
fn bring_back(w: &Writer<'_>, row: RowId) -> Result<(), StateError> {
    let Some(row) = w.tx().row(row)? else { return Ok(()) };
    w.update(&Row { restated: true, set_aside: None, journal: Journal::Idle, ..row })
}

fn agree(w: &Writer<'_>, row: RowId) -> Result<(), StateError> {
    let Some(row) = w.tx().row(row)? else { return Ok(()) };
    settle_base(w, row)
}

/// Writes a paired row with the base that its columns agree on now.
pub(in crate::mail) fn settle_base(w: &Writer<'_>, mut row: Row) -> Result<(), StateError> {
    if let Some(mailbox) = w.tx().mailbox(row.mailbox)?
        && let Some(flags) = base_now(&row, &MailboxView::of(mailbox))
    {
        row.base = Some(Base { flags });
        row.restated = false;
    }
    w.update(&row)
}
