//! What both sides of a row agree on.

use super::flags::{Merge, agreed_now, merge};
use super::plan_input::{MailboxView, Policy};
use super::row_state::{RowState, state_of};
use super::types::{FlagDelta, Flags, Journal, Row};

/// The flags of a paired row, merged.
#[must_use]
pub fn merge_row(row: &Row, view: &MailboxView, policy: &Policy) -> Option<Merge> {
    let (local, remote) = (row.local.as_ref()?, row.remote.as_ref()?);
    let base = row.base.as_ref().map(|b| &b.flags);
    // What was taken off here under other settings is set there still: it comes back.
    let united = base.filter(|_| policy.brings_back.flags);
    let united = united.map(|base| base.difference(&base.difference(&local.flags)));
    let base = united.as_ref().or(base);
    let (local_mask, remote_mask) = (view.local_mask(), view.remote_mask(row));
    let mut merged = merge(base, (&local.flags, &local_mask), (&remote.flags, &remote_mask));
    if policy.pull_only {
        merged.remote = FlagDelta::default();
    }
    Some(merged)
}

/// The base of a paired row after facts.
#[must_use]
pub fn base_now(row: &Row, view: &MailboxView) -> Option<Flags> {
    let (local, remote) = (row.local.as_ref()?, row.remote.as_ref()?);
    let base = row.base.as_ref().map(|b| &b.flags);
    let (local_mask, remote_mask) = (view.local_mask(), view.remote_mask(row));
    Some(agreed_now(base, (&local.flags, &local_mask), (&remote.flags, &remote_mask)))
}

/// Whether no round needs to look at the row again before a look changes it.
#[must_use]
pub fn is_settled(row: &Row, view: &MailboxView, policy: &Policy) -> bool {
    if row.is_set_aside() {
        return true;
    }
    let quiet = matches!(row.journal, Journal::Idle | Journal::Pushed { .. });
    if !quiet || row.restated {
        return false;
    }
    match state_of(row) {
        RowState::Paired => {
            let agreed = merge_row(row, view, policy).is_some_and(|m| m.is_agreed());
            agreed && row.base.as_ref().map(|b| &b.flags) == base_now(row, view).as_ref()
        }
        RowState::LocalNew => policy.pull_only,
        _ => false,
    }
}
