//! Flags of a message that was copied and not expunged yet.
//!
//! Where a server has no MOVE, another device may set a flag on the old message after the COPY.
//! Before the EXPUNGE its flags are compared with those that were agreed on, and what differs is
//! stored on the copy (hazard 92).

use std::collections::BTreeMap;

use crate::account::error::AccountError;
use crate::mail::run::Run;
use crate::reconcile::MailboxView;
use crate::reconcile::types::{
    Base, FlagDelta, FlagMask, Flags, Journal, Mailbox, MailboxId, MailboxName, Place, Row, RowId,
    System, Uid,
};
use crate::remote::RemoteError;
use crate::remote::imap::{Select, UidSet, Untagged};

/// Flags of messages of the selected mailbox, by UID.
pub(super) type FlagsByUid = BTreeMap<Uid, Flags>;

/// What the copy of a message is known to have been given.
#[derive(Debug)]
pub(super) struct Given {
    agreed: Flags,
    /// What the server holds at all.
    mask: FlagMask,
}

impl Given {
    /// What another client changed on the old message, apart from the mark of an EXPUNGE.
    pub(super) fn difference(&self, now: &Flags) -> FlagDelta {
        let mark = Flags::system(System::TRASHED);
        let held = |flags: &Flags| self.mask.apply(flags).difference(&mark);
        FlagDelta::between(&held(&self.agreed), &held(now))
    }
}

/// What the copies of these messages were given, as far as there are copies.
pub(super) fn given(
    run: &Run,
    mailbox: &Mailbox,
    rows: &BTreeMap<RowId, Uid>,
) -> Result<BTreeMap<Uid, Given>, AccountError> {
    let view = MailboxView::of(mailbox.clone());
    let mut given = BTreeMap::new();
    for (id, uid) in rows {
        let Some(row) = run.store.row(*id)? else { continue };
        if let (Some(_), Some(base)) = (place(&row), &row.base) {
            let (agreed, mask) = (base.flags.clone(), view.remote_mask(&row));
            given.insert(*uid, Given { agreed, mask });
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

/// Stores on each copy what was changed on the old message since, and notes that it was.
pub(super) async fn over(
    run: &mut Run,
    mailbox: MailboxId,
    given: &BTreeMap<Uid, Given>,
    now: &FlagsByUid,
) -> Result<(), AccountError> {
    for (uid, now) in now {
        let Some(delta) = given.get(uid).map(|given| given.difference(now)) else { continue };
        let Some(row) = run.store.by_uid(mailbox, *uid)? else { continue };
        let Some(copy) = place(&row).cloned().filter(|_| !delta.is_empty()) else { continue };
        if !store(run, &copy, &delta).await? {
            continue;
        }
        run.record(|w| {
            let Some(row) = w.tx().row(row.id)? else { return Ok(()) };
            let base = row.base.map(|base| Base { flags: delta.applied_to(&base.flags) });
            w.update(&Row { base, ..row })
        })?;
    }
    Ok(())
}

/// False where the mailbox of the copy is not asked now: then the old message stays, for a run that
/// can ask.
async fn store(run: &mut Run, copy: &Place, delta: &FlagDelta) -> Result<bool, AccountError> {
    for place in places(run, &copy.mailbox, copy.uid_validity) {
        let mut ignore = |_: Untagged| {};
        match run.session.select(&place, Select::ReadWrite, None, &mut ignore).await {
            Ok(selected) if selected.gate.uid_validity == copy.uid_validity => {}
            Err(error) if error.ends_session() => return Err(error.into()),
            Err(error @ RemoteError::SetAside { .. }) => {
                run.report.skip(place.to_string(), error.to_string());
                return Ok(false);
            }
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
                Ok(()) => run.attempt.unseen = true,
            }
        }
    }
    Ok(true)
}

/// Where messages are now that were sent to a mailbox: it keeps its UIDVALIDITY when it is renamed
/// (hazard 85).
pub(super) fn places(run: &Run, to: &MailboxName, uid_validity: u32) -> Vec<MailboxName> {
    let listed = || run.attempt.seen.listed.iter().filter(|listed| listed.selectable);
    let validity = |name: &MailboxName| {
        let gate = listed().find(|listed| listed.name == *name).and_then(|listed| listed.gate);
        gate.map(|gate| gate.uid_validity)
    };
    if uid_validity != 0 && validity(to) != Some(uid_validity) {
        let same = listed().filter(|listed| validity(&listed.name) == Some(uid_validity));
        let renamed: Vec<MailboxName> = same.map(|listed| listed.name.clone()).collect();
        if !renamed.is_empty() {
            return renamed;
        }
    }
    vec![to.clone()]
}
