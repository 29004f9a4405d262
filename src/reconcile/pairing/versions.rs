//! Messages that may be new versions of others which left the same mailbox.
//!
//! Another client edits a message by adding the new text and removing the old one. The new version
//! may have the header, the length and the second of a message that left another mailbox meanwhile,
//! and what the server says does not tell the two apart. Where a mailbox lost a message that came
//! to no other place, only the body tells what is new there (hazard 182).

use std::collections::{BTreeMap, BTreeSet};

use super::evidence::{Facts, facts};
use crate::reconcile::row_index::RowIndex;
use crate::reconcile::row_state::{RowState, is_active, state_of};
use crate::reconcile::types::{Journal, MailboxId, Row};

impl RowIndex<'_> {
    /// Whether what the server says of a new message proves no text: nobody saw all that came and
    /// left, or the message may be a new version of one that left its mailbox.
    pub(super) fn may_be_unknown(&self, remote: &Row) -> bool {
        self.world.passed || self.replaced.contains(&remote.mailbox)
    }
}

/// Mailboxes that a message left by another hand than ours, and that is nowhere else, as far as the
/// new messages elsewhere tell. One that may itself be a new version tells nothing.
pub(super) fn replaced(index: &RowIndex<'_>) -> BTreeSet<MailboxId> {
    let gone: Vec<&Row> = index.world.rows.iter().filter(|row| has_left(row)).collect();
    if gone.is_empty() {
        return BTreeSet::new();
    }
    let new = || index.world.rows.iter().filter(|row| state_of(row) == RowState::RemoteNew);
    let texts = counted(new().filter_map(|row| row.content));
    let mut told: BTreeMap<Facts, BTreeMap<MailboxId, usize>> = BTreeMap::new();
    for row in new().filter(|row| row.content.is_none()) {
        if let Some(facts) = facts(row) {
            *told.entry(facts).or_default().entry(row.mailbox).or_default() += 1;
        }
    }
    let texts_gone = counted(gone.iter().filter_map(|row| row.content));
    let told_gone = counted(gone.iter().filter_map(|row| facts(row)));
    let mut replaced = BTreeSet::new();
    loop {
        let has_come = |row: &Row| {
            let by_text = row.content.is_some_and(|content| {
                texts.get(&content).is_some_and(|came| came >= &texts_gone[&content])
            });
            let trusted =
                |mailbox: &MailboxId| *mailbox != row.mailbox && !replaced.contains(mailbox);
            by_text
                || facts(row).is_some_and(|facts| {
                    let came = told.get(&facts).into_iter().flatten();
                    let came = came.filter(|(mailbox, _)| trusted(mailbox)).map(|(_, count)| count);
                    came.sum::<usize>() >= told_gone[&facts]
                })
        };
        let lost = gone.iter().filter(|row| !has_come(row)).map(|row| row.mailbox);
        let more: BTreeSet<MailboxId> = lost.collect();
        if more == replaced {
            return replaced;
        }
        replaced = more;
    }
}

/// Whether the message of a row left its mailbox without a step of ours.
fn has_left(row: &Row) -> bool {
    let quiet =
        matches!(row.journal, Journal::Idle | Journal::Pushed { .. } | Journal::Replaced { .. });
    let gone = matches!(state_of(row), RowState::RemoteGone | RowState::BothGone);
    gone && quiet && row.base.is_some() && !row.restated && is_active(row)
}

fn counted<K: Ord>(keys: impl Iterator<Item = K>) -> BTreeMap<K, usize> {
    let mut counts = BTreeMap::new();
    for key in keys {
        *counts.entry(key).or_default() += 1;
    }
    counts
}
