//! Empty directories where mail was (hazard 63).
//!
//! The disk of the right one may not be mounted: nothing is concluded then. But where each of its
//! files has come to light in another mailbox and has no message there yet, somebody moved them
//! out and made the directory anew.

use std::collections::BTreeMap;

use crate::account::error::AccountError;
use crate::mail::run::Run;
use crate::reconcile::row_state::{RowState, state_of};
use crate::reconcile::types::{ContentId, Coverage, Mailbox, MailboxId, RowId};

/// Files that may be looked up; a mailbox with more waits for a person.
const FILES_MAX: usize = 10_000;

/// Whether all files of a mailbox were seen as new ones in other mailboxes. To be asked after the
/// look at those.
pub(super) fn was_moved_out(run: &Run, mailbox: &Mailbox) -> Result<bool, AccountError> {
    let mut files = Vec::new();
    run.store.for_each_local(mailbox.id, |file| {
        if files.len() <= FILES_MAX {
            files.push(file.row);
        }
    })?;
    if files.len() > FILES_MAX {
        return Ok(false);
    }
    let mut needed: BTreeMap<ContentId, usize> = BTreeMap::new();
    for row in files {
        let Some(content) = content(run, row)? else { return Ok(false) };
        let needed = needed.entry(content).or_default();
        *needed += 1;
        if new_files(run, mailbox.id, &content)? < *needed {
            return Ok(false);
        }
    }
    Ok(!needed.is_empty())
}

fn content(run: &Run, row: RowId) -> Result<Option<ContentId>, AccountError> {
    Ok(run.store.row(row)?.and_then(|row| row.content))
}

/// New files with this content in other mailboxes that were wholly looked at.
fn new_files(run: &Run, except: MailboxId, content: &ContentId) -> Result<usize, AccountError> {
    let same = run.store.by_content(content)?.into_iter();
    let seen = |id: MailboxId| run.attempt.seen.local.get(&id) == Some(&Coverage::Complete);
    let new = same.filter(|row| state_of(row) == RowState::LocalNew && row.base.is_none());
    Ok(new.filter(|row| row.mailbox != except && seen(row.mailbox)).count())
}
