//! A run over some mailboxes looks at those that its new files may come from, too (hazard 77).

use std::collections::BTreeSet;

use crate::account::error::AccountError;
use crate::mail::run::Run;
use crate::reconcile::row_state::{RowState, state_of};
use crate::reconcile::types::{MailboxId, Row};

/// New files that are looked up; with more of them the run looks at all mailboxes.
const FILES_MAX: usize = 1_000;

/// Adds the mailboxes that are known to hold the text of a new file or message: only a look at the
/// mailbox it comes from tells whether it was moved or copied. Gives whether there are any more to
/// look at.
pub(super) fn widen(run: &mut Run) -> Result<bool, AccountError> {
    if run.attempt.focus.is_none() {
        return Ok(false);
    }
    let unsettled = run.store.unsettled(None, FILES_MAX)?;
    if unsettled.len() == FILES_MAX {
        run.attempt.focus = None;
        return Ok(true);
    }
    let mut sources: BTreeSet<MailboxId> = BTreeSet::new();
    let is_new = |row: &&Row| state_of(row) == RowState::LocalNew && row.base.is_none();
    for row in unsettled.iter().filter(is_new) {
        let Some(content) = row.content else { continue };
        let known = run.store.by_content(&content)?;
        // Its message left the place that it had: it may be in any mailbox (hazard 174).
        if known.iter().any(|known| known.remote.is_none() && known.base.is_some()) {
            run.attempt.focus = None;
            return Ok(true);
        }
        sources.extend(known.iter().map(|known| known.mailbox));
    }
    // Where a message has its new place, what is left of it at the former one goes.
    sources.extend(unsettled.iter().filter(|row| row.journal.is_moved()).map(|row| row.mailbox));
    // Nor does a new message come down beside the file that it may have.
    for row in run.store.new_remotes(FILES_MAX)? {
        let Some(words) = &row.words else { continue };
        if row.header.is_some() {
            let known = run.store.by_words(words.size, words.date)?;
            let same = known.iter().filter(|known| known.header == row.header);
            // Its file may have been moved to any mailbox (hazard 139).
            if same.clone().any(|known| known.local.is_none() && known.base.is_some()) {
                run.attempt.focus = None;
                return Ok(true);
            }
            sources.extend(same.map(|known| known.mailbox));
        }
        if let Some(object) = &words.object_id {
            sources.extend(run.store.by_object_id(object)?.iter().map(|known| known.mailbox));
        }
    }
    let mut wider = false;
    for mailbox in run.store.mailboxes()?.into_iter().filter(|m| sources.contains(&m.id)) {
        if !run.looks_at(&mailbox.name) && (run.settings.selects)(&mailbox.name) {
            wider |= run.attempt.focus.as_mut().is_some_and(|focus| focus.insert(mailbox.name));
        }
    }
    Ok(wider)
}
