//! Mailboxes that were deleted while another one took their name (hazard 137).
//!
//! Their UIDVALIDITY may be the same, as that of all mailboxes that were made in one second. Where
//! a mailbox is gone and another one shows its messages, those that it showed before tell whether
//! it is still itself.

use std::collections::{BTreeMap, BTreeSet};

use super::facts::{PAIRS_MAX, SAMPLE, SAMPLE_FROM, arrived, gone, holds_the_same, is_gone};
use crate::account::error::AccountError;
use crate::account::header::{HEADER_MAX, is_whole_header};
use crate::local::header;
use crate::mail::run::Run;
use crate::reconcile::renames::{Likeness, is_another, likeness};
use crate::reconcile::types::{HeaderKeys, Mailbox, MailboxId, MailboxName, Uid};
use crate::remote::imap::{ListedMailbox, Select, UidSet, Untagged};

/// Known mailboxes in whose place the server has another one under the same numbers.
pub(super) async fn find(
    run: &mut Run,
    listed: &[ListedMailbox],
) -> Result<BTreeSet<MailboxId>, AccountError> {
    let mut known = run.store.mailboxes()?;
    known.retain(|m| m.remote && m.cursor.is_some() && (run.settings.selects)(&m.name));
    let names: BTreeMap<&MailboxName, &ListedMailbox> =
        listed.iter().map(|shown| (&shown.name, shown)).collect();
    let (there, missing): (Vec<Mailbox>, Vec<Mailbox>) =
        known.into_iter().partition(|mailbox| names.contains_key(&mailbox.name));
    let (mut replaced, mut budget) = (BTreeSet::new(), PAIRS_MAX);
    for was in &missing {
        for mailbox in there.iter().filter(|mailbox| !mailbox.name.is_inbox()) {
            let Some(shown) = names.get(&mailbox.name).filter(|m| m.selectable) else { continue };
            let now = arrived(shown);
            let alike = likeness(&gone(was), &now) == Likeness::Likely;
            if !alike || is_another(&gone(mailbox), &now) || budget == 0 {
                continue;
            }
            budget -= 1;
            if is_gone(run, &was.name).await?
                && holds_the_same(run, was, &mailbox.name).await?
                && !is_itself(run, mailbox).await?
            {
                tracing::info!(mailbox = %mailbox.name, by = %was.name, "replaced on the server");
                replaced.insert(mailbox.id);
            }
        }
    }
    Ok(replaced)
}

/// Whether the headers of some known messages are what they were, as far as they are shown.
async fn is_itself(run: &mut Run, mailbox: &Mailbox) -> Result<bool, AccountError> {
    let rows = run.store.rows_in(mailbox.id, None, SAMPLE_FROM)?;
    let known = rows.iter().filter_map(|row| Some((row.remote.as_ref()?.uid, row.header?)));
    let known: Vec<(Uid, HeaderKeys)> = known.collect();
    let step = known.len().div_ceil(SAMPLE).max(1);
    let known: BTreeMap<Uid, HeaderKeys> = known.into_iter().step_by(step).collect();
    let set: UidSet = known.keys().copied().collect();
    if set.is_empty() {
        return Ok(true);
    }
    let mut is_itself = true;
    let mut sink = |uid: Uid, bytes: &[u8]| {
        let was = known.get(&uid).map(|keys| keys.loose);
        is_itself &= !is_whole_header(bytes, None) || was == Some(header::keys(bytes).loose);
    };
    let mut ignore = |_: Untagged| {};
    let selected =
        run.session.select(&mailbox.name, Select::ReadOnly, None, &mut ignore).await.map(drop);
    let fetched = match selected {
        Ok(()) => run.session.fetch_headers(&set, HEADER_MAX, &mut sink).await,
        refused => refused,
    };
    match fetched {
        Err(error) if error.ends_session() => return Err(error.into()),
        Err(_) => is_itself = true,
        Ok(()) => {}
    }
    run.session.unselect().await?;
    Ok(is_itself)
}
