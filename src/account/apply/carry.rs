//! Flags of a message that was copied and not expunged yet.
//!
//! Where a server has no MOVE, another device may set a flag on the old message after the COPY.
//! Before the EXPUNGE its flags are compared with those that were agreed on, and what differs is
//! stored on the copy (hazard 92).

use std::collections::BTreeMap;

use super::trashing;
use crate::account::{AccountError, Run};
use crate::reconcile::MailboxView;
use crate::reconcile::types::{
    Base, FlagDelta, Flags, Journal, Mailbox, MailboxId, Place, Row, RowId, System, Uid,
};
use crate::remote::imap::{Select, UidSet, Untagged};

/// Flags of messages of the selected mailbox, by UID.
pub(super) type FlagsByUid = BTreeMap<Uid, Flags>;

/// The flags that the copies of these messages were given, as far as there are copies.
pub(super) fn given(
    run: &Run,
    mailbox: &Mailbox,
    rows: &BTreeMap<RowId, Uid>,
) -> Result<FlagsByUid, AccountError> {
    let view = MailboxView::of(mailbox.clone());
    let mut given = FlagsByUid::new();
    for (id, uid) in rows {
        let Some(row) = run.store.row(*id)? else { continue };
        if let (Some(_), Some(base)) = (place(&row), &row.base) {
            given.insert(*uid, view.remote_mask(&row).apply(&base.flags));
        }
    }
    Ok(given)
}

fn place(row: &Row) -> Option<&Place> {
    match &row.journal {
        Journal::Moved { copy } => copy.as_ref(),
        _ => None,
    }
}

/// What another client changed, apart from the mark that an EXPUNGE needs.
pub(super) fn difference(given: &Flags, now: &Flags) -> FlagDelta {
    let mark = Flags::system(System::TRASHED);
    FlagDelta::between(&given.difference(&mark), &now.difference(&mark))
}

/// Stores on each copy what was changed on the old message since, and notes that it was.
pub(super) async fn over(
    run: &mut Run,
    mailbox: MailboxId,
    given: &FlagsByUid,
    now: &FlagsByUid,
) -> Result<(), AccountError> {
    for (uid, now) in now {
        let Some(delta) = given.get(uid).map(|given| difference(given, now)) else { continue };
        let Some(row) = run.store.by_uid(mailbox, *uid)? else { continue };
        let Some(copy) = place(&row).cloned().filter(|_| !delta.is_empty()) else { continue };
        store(run, &copy, &delta).await?;
        run.record(|w| {
            let Some(row) = w.tx().row(row.id)? else { return Ok(()) };
            let base = row.base.map(|base| Base { flags: delta.applied_to(&base.flags) });
            w.update(&Row { base, ..row })
        })?;
    }
    Ok(())
}

async fn store(run: &mut Run, copy: &Place, delta: &FlagDelta) -> Result<(), AccountError> {
    for place in trashing::places(run, &copy.mailbox, copy.uid_validity) {
        let mut ignore = |_: Untagged| {};
        match run.session.select(&place, Select::ReadWrite, None, &mut ignore).await {
            Ok(selected) if selected.gate.uid_validity == copy.uid_validity => {}
            Err(error) if error.ends_session() => return Err(error.into()),
            // Numbered anew or gone: nothing tells the copy any more.
            Ok(_) | Err(_) => continue,
        }
        let set = UidSet::from_range(copy.uid, copy.uid);
        for (add, flags) in [(true, &delta.add), (false, &delta.remove)] {
            if flags.is_empty() {
                continue;
            }
            match run.session.store(&set, add, flags, &mut ignore).await {
                Err(error) if error.ends_session() => return Err(error.into()),
                Err(error) => run.report.skip(place.to_string(), error.to_string()),
                Ok(()) => run.unseen = true,
            }
        }
    }
    Ok(())
}
