//! Which messages a mailbox holds, as UID SEARCH, EXISTS and FETCH agree on.

use crate::account::error::AccountError;
use crate::mail::run::Run;
use crate::reconcile::types::{MailboxId, Uid};
use crate::remote::imap::{FetchItems, FetchRow, UidSet};

/// All UIDs of the selected mailbox, or why the answer is no ground for a removal.
///
/// # Errors
/// A refusal, or what ends the session.
pub(super) async fn ask(
    run: &mut Run,
    mailbox: MailboxId,
) -> Result<Result<UidSet, String>, AccountError> {
    loop {
        let (all, exists) = run.session.search_all().await?;
        if all.len() != u64::from(exists) {
            return Ok(Err(format!(
                "the server counts {exists} messages but lists {}; nothing is removed meanwhile",
                all.len()
            )));
        }
        let there = left_out(run, mailbox, &all).await?;
        if there.is_empty() {
            return Ok(Ok(all));
        }
        tracing::info!(uids = %there, "FETCH shows messages that SEARCH left out");
        if !run.session.search_by_uid() {
            return Ok(Err(format!(
                "the server's SEARCH missed {} that FETCH returns; nothing is removed meanwhile",
                count(there.len())
            )));
        }
    }
}

/// Known UIDs that a search left out and the server shows all the same (hazard 127).
async fn left_out(run: &mut Run, mailbox: MailboxId, all: &UidSet) -> Result<UidSet, AccountError> {
    let mut missing = UidSet::default();
    run.store.for_each_uid(mailbox, (Uid(1), Uid(u32::MAX)), |uid| {
        if !all.contains(uid) {
            missing.insert(uid);
        }
    })?;
    let mut there = UidSet::default();
    if !missing.is_empty() {
        let items = FetchItems { flags: true, ..FetchItems::default() };
        let mut sink = |row: FetchRow| {
            there.insert(row.uid);
        };
        run.session.fetch(&missing, items, None, &mut sink).await?;
    }
    Ok(there)
}

fn count(messages: u64) -> String {
    format!("{messages} message{}", if messages == 1 { "" } else { "s" })
}
