//! Messages whose files are in doubt: the root, or a directory, is not the one that was left.
//!
//! What was agreed on is known still. A new file that holds the text of such a message in
//! another mailbox, while none in its own does, is that message, and was moved (hazard 64).

use super::coverage::{is_searched, ready_for_additions, takes_files};
use super::plan::Step;
use super::row_index::RowIndex;
use super::row_state::{RowState, state_of};
use super::types::{Coverage, Flags, Journal, Row};

/// A message of the server of which it is not known whether, or where, its file is.
fn misses_its_file(row: &Row) -> bool {
    state_of(row) == RowState::RemoteNew && row.restated && row.content.is_some() && !row.weak
}

/// Follows files that were moved while they were in doubt. What this root was known to hold where
/// the server has it was moved here. What came to its place under another root was moved there.
pub(super) fn refile(index: &mut RowIndex<'_>, steps: &mut Vec<Step>) {
    let seen = |view: &super::plan_input::MailboxView| view.local_coverage != Coverage::Partial;
    let here = index.world.disk_seen && index.world.mailboxes.values().all(seen);
    let missing: Vec<&Row> =
        index.open(RowState::RemoteNew).filter(|r| misses_its_file(r)).collect();
    let mut moved = Vec::new();
    for row in missing {
        match file_elsewhere(index, row) {
            Some(file) => {
                index.take([row.id, file.id]);
                moved.push((row, file));
            }
            // Its file may be where nobody could look (hazard 54).
            None if !here => index.take([row.id]),
            None => {}
        }
    }
    if !here || !is_searched(index) {
        return;
    }
    let ready = ready_for_additions(index);
    for (row, file) in moved.into_iter().filter(|(_, file)| ready.contains(&file.mailbox)) {
        if row.base.is_some() {
            steps.push(Step::RemoteMove { from: row.id, to: file.id });
        } else if index.world.mailboxes.get(&row.mailbox).is_some_and(takes_files) {
            steps.push(Step::LocalMove { from: file.id, to: row.id, past: None });
        }
    }
}

/// A new file with the text of a message, in another mailbox.
fn file_elsewhere<'w>(index: &RowIndex<'w>, row: &Row) -> Option<&'w Row> {
    let flags = row.base.as_ref().map(|base| base.flags.clone()).unwrap_or_default();
    let files = index.with_content(row.content?).filter(|file| {
        file.mailbox != row.mailbox
            && state_of(file) == RowState::LocalNew
            && file.base.is_none()
            && file.journal == Journal::Idle
            && !file.is_set_aside()
            && !file.weak
            && !index.is_taken(file)
    });
    let has = |file: &Row, flags: &Flags| file.local.as_ref().is_some_and(|l| l.flags == *flags);
    files.max_by_key(|file| (has(file, &flags), std::cmp::Reverse(file.id)))
}
