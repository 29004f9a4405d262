//! Files between `tmp` and their place: what a run that was cut off left, and what became of it.

use crate::account::error::AccountError;
use crate::account::settings::Environment;
use crate::local::{Found, LocalError, Placed, Root};
use crate::mail::run::Run;
use crate::reconcile::MailboxView;
use crate::reconcile::agree::base_now;
use crate::reconcile::types::{Base, FileStamp, Flags, Journal, Local, Mailbox, Row};
use crate::state::Store;

/// Meaning of a file of a *placing* row that is missing from `tmp/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::mail) enum Absence {
    /// It was placed.
    Proves,
    /// It was placed, or another program has cleaned `tmp/` meanwhile: it comes down again, or is
    /// found under its name.
    IsStale,
    /// The directory is another one, or gone.
    ProvesNothing,
}

/// Settles a row that was left *placing*: with its tmp file there the rename is done now;
/// without it the file was placed, and the scan that follows sees what became of it since.
///
/// Only the directory that the file lay in proves that it was placed, by not having it in `tmp/`
/// any more (hazard 51). Gives none where nothing is proved.
///
/// # Errors
/// The file cannot be renamed.
pub(in crate::mail) fn settle(
    root: &Root,
    mailbox: &Mailbox,
    row: Row,
    absence: Absence,
) -> Result<Option<Row>, LocalError> {
    let Journal::Placing { stem, in_new, info } = row.journal.clone() else {
        return Ok(Some(row));
    };
    let stamp = match root.place(&mailbox.name, &stem, in_new, &info)? {
        Placed::Placed(stamp) => stamp,
        Placed::NotInTmp => match absence {
            Absence::Proves => FileStamp::default(),
            Absence::IsStale => return Ok(Some(Row { journal: Journal::Idle, ..row })),
            Absence::ProvesNothing => return Ok(None),
        },
        // Another file has its name: it comes down again under a new one.
        Placed::Exists => return Ok(Some(Row { journal: Journal::Idle, ..row })),
    };
    let local = Local { stem, in_new, info, flags: Flags::default(), stamp };
    Ok(Some(placed(mailbox, row, local)))
}

/// The row of a file that has its place, with the flags that its name was given.
pub(super) fn placed(mailbox: &Mailbox, row: Row, local: Local) -> Row {
    let agreed = row.remote.as_ref().map(|remote| remote.flags.clone()).unwrap_or_default();
    let local = Some(Local { flags: super::keyword_letters::held(mailbox, &agreed), ..local });
    let wanted = agreed.keywords.clone();
    let base =
        super::keyword_letters::base_held(Some(Base { flags: agreed }), &wanted, local.as_ref());
    let mut row = Row { local, base, journal: Journal::Idle, restated: false, ..row };
    row.set_aside = None;
    if let Some(flags) = base_now(&row, &MailboxView::of(mailbox.clone())) {
        row.base = Some(Base { flags });
    }
    row
}

/// Meaning of a missing `tmp/` file in this mailbox.
pub(in crate::mail) fn absence(run: &Run, mailbox: &Mailbox) -> Result<Absence, AccountError> {
    let fresh = is_fresh(&run.store, &run.environment)?;
    Ok(absence_in(&run.root, mailbox, fresh))
}

pub(in crate::mail) fn absence_in(root: &Root, mailbox: &Mailbox, fresh: bool) -> Absence {
    let found = root.stamps(&mailbox.name).and_then(|now| root.identify(mailbox, &now, true));
    match found {
        Ok(Found::Same) if fresh => Absence::Proves,
        Ok(Found::Same) => Absence::IsStale,
        // Nobody knows which directory it was put into.
        Ok(Found::First | Found::Another | Found::Hollow) | Err(_) => Absence::ProvesNothing,
    }
}

/// True if the previous run is recent enough that no other program has cleaned `tmp/` since.
pub(in crate::mail) fn is_fresh(
    store: &Store,
    environment: &Environment,
) -> Result<bool, AccountError> {
    let before = store.last_runs(2)?.into_iter().nth(1).map(|run| run.ended.unwrap_or(run.started));
    let age = before.map_or(0, |before| environment.clock.now().saturating_sub(before));
    Ok((0..TMP_IS_CLEANED_S).contains(&age))
}

/// After so long other programs clean `tmp/` (36 hours by the Maildir specification), in seconds.
const TMP_IS_CLEANED_S: i64 = 24 * 60 * 60;
