//! Which mailboxes hold the same messages, as far as facts tell.

use std::collections::BTreeMap;

use crate::account::error::AccountError;
use crate::mail::run::Run;
use crate::reconcile::renames::{Arrived, Gone, same_messages};
use crate::reconcile::types::{Mailbox, MailboxName, ServerFacts, Uid};
use crate::remote::RemoteError;
use crate::remote::imap::{
    Existence, FetchItems, FetchRow, ListedMailbox, Select, UidSet, Untagged,
};

/// Pairs of mailboxes whose messages are compared in one look.
pub(super) const PAIRS_MAX: usize = 200;

/// Messages that are compared where the server has no MAILBOXID.
pub(super) const SAMPLE: usize = 8;

/// Rows from which the sample is taken.
pub(super) const SAMPLE_FROM: usize = 500;

pub(super) fn arrived(mailbox: &ListedMailbox) -> Arrived {
    Arrived { name: mailbox.name.clone(), object_id: mailbox.object_id.clone(), gate: mailbox.gate }
}

pub(super) fn gone(mailbox: &Mailbox) -> Gone {
    Gone {
        id: mailbox.id,
        object_id: mailbox.object_id.clone(),
        cursor: mailbox.cursor,
        renaming: mailbox.renaming.clone(),
        renamed_as: None,
    }
}

/// Compares some messages of a mailbox with those that another one shows under their UIDs:
/// mailboxes made in the same second may have one UIDVALIDITY.
pub(super) async fn holds_the_same(
    run: &mut Run,
    mailbox: &Mailbox,
    now: &MailboxName,
) -> Result<bool, AccountError> {
    let rows = run.store.rows_in(mailbox.id, None, SAMPLE_FROM)?;
    let known = rows.iter().filter_map(|row| Some((row.remote.as_ref()?.uid, row.words.clone()?)));
    let known: Vec<(Uid, ServerFacts)> = known.collect();
    let step = known.len().div_ceil(SAMPLE).max(1);
    let known: BTreeMap<Uid, ServerFacts> = known.into_iter().step_by(step).collect();
    let mut set = UidSet::default();
    for uid in known.keys() {
        set.insert(*uid);
    }
    if set.is_empty() {
        return Ok(false);
    }
    match shown(run, now, &set).await {
        Ok(shown) => Ok(same_messages(&known, &shown)),
        Err(error) if error.ends_session() => Err(error.into()),
        Err(error) => {
            tracing::debug!(mailbox = %now, %error, "cannot be compared");
            Ok(false)
        }
    }
}

/// LIST may omit what is there (hazard 42): it is asked for by name.
pub(super) async fn is_gone(run: &mut Run, name: &MailboxName) -> Result<bool, AccountError> {
    match run.session.exists(name).await {
        Ok(Existence::Gone | Existence::Refused(_)) => Ok(true),
        Ok(Existence::Exists(_)) => Ok(false),
        Err(error) if error.ends_session() => Err(error.into()),
        Err(_) => Ok(false),
    }
}

pub(super) async fn shown(
    run: &mut Run,
    name: &MailboxName,
    set: &UidSet,
) -> Result<BTreeMap<Uid, ServerFacts>, RemoteError> {
    let mut ignore = |_: Untagged| {};
    run.session.select(name, Select::ReadOnly, None, &mut ignore).await?;
    let items = FetchItems { size: true, date: true, object_id: true, ..FetchItems::default() };
    let mut shown = BTreeMap::new();
    let mut sink = |row: FetchRow| {
        if let (Some(size), Some(date)) = (row.size, row.date) {
            shown.insert(row.uid, ServerFacts { size, date, object_id: row.object_id });
        }
    };
    let fetched = run.session.fetch(set, items, None, &mut sink).await;
    run.session.unselect().await?;
    fetched.map(|()| shown)
}
