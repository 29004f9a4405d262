//! Changed settings remove nothing, and hide nothing (hazards 43 and 125).
//!
//! What a row needs is stored with it, as judged by the settings of that time: after a change every
//! row whose sides differ is judged anew. What left one side while that meant nothing, or before it
//! could be seen, comes back to that side.

use std::collections::BTreeMap;

use serde_json::Value;

use super::writer::Writer;
use crate::account::settings::Settings;
use crate::reconcile::agree::merge_row;
use crate::reconcile::row_state::{RowState, state_of};
use crate::reconcile::types::{Mailbox, Row, RowId, SetAsideKind};
use crate::reconcile::{BringsBack, MailboxView, OnLocalDelete, OnRemoteDelete, Policy};
use crate::state::{StateError, Store, Tx, View, meta};

/// Rows that are read at once.
const PAGE: usize = 1000;

/// What comes back after a change of the settings, from one text of `scope` to another.
#[must_use]
pub fn brings_back(old: &str, new: &str) -> BringsBack {
    let parsed = |text: &str| serde_json::from_str::<Value>(text).ok();
    let parsed = |text: &str| parsed(text).filter(|scope| scope["version"] == 1);
    let (Some(old), Some(new)) = (parsed(old), parsed(new)) else {
        return BringsBack { here: true, there: true, flags: false };
    };
    let differs = |key: &str| old[key] != new[key];
    let patterns = differs("include") || differs("exclude");
    let pulls = |scope: &Value| scope["direction"] == "pull";
    let sends_again = pulls(&old) && !pulls(&new);
    BringsBack {
        here: patterns || sends_again || differs("on_local_delete"),
        // A copy of the server follows it.
        there: (patterns && !pulls(&new)) || differs("on_remote_delete"),
        flags: sends_again,
    }
}

/// What still comes back after a change.
pub(super) fn pending(store: &View) -> Result<BringsBack, StateError> {
    Ok(store.fact(&meta::BRINGS_BACK)?.unwrap_or_default())
}

/// A whole look has shown what departed before it.
pub(super) fn finish(store: &mut Store) -> Result<(), StateError> {
    if store.has_fact(&meta::BRINGS_BACK)? {
        store.transaction(|tx| tx.delete_fact(&meta::BRINGS_BACK))?;
    }
    Ok(())
}

/// The settings are others than before, whose text was `old`.
pub(super) fn change(tx: &Tx<'_>, settings: &Settings, old: &str) -> Result<(), StateError> {
    let now = brings_back(old, &settings.scope);
    let before = pending(tx)?;
    let both = BringsBack {
        here: now.here || before.here,
        there: now.there || before.there,
        flags: now.flags || before.flags,
    };
    tx.set_fact(&meta::BRINGS_BACK, &both)?;
    judge(tx, settings, now)
}

/// Judges anew what differs, by the settings that there are now.
fn judge(tx: &Tx<'_>, settings: &Settings, back: BringsBack) -> Result<(), StateError> {
    let policy = Policy {
        pull_only: settings.pull_only,
        on_local_delete: settings.on_local_delete,
        on_remote_delete: settings.on_remote_delete,
        ..Policy::default()
    };
    let w = Writer::new(tx, &policy);
    let sends = !policy.pull_only;
    let here = back.here && sends && policy.on_local_delete != OnLocalDelete::Keep;
    let there = back.there && sends && policy.on_remote_delete != OnRemoteDelete::Keep;
    for mailbox in tx.mailboxes()?.into_iter().filter(|mailbox| mailbox.base) {
        // Nothing of it is left to come back: it is made anew as it is.
        let left_here = here && !mailbox.local && mailbox.remote;
        let left_there = there && mailbox.local && !mailbox.remote;
        if (left_here && tx.remote_count(mailbox.id)? == 0)
            || (left_there && tx.local_count(mailbox.id)? == 0)
        {
            w.mailbox(&Mailbox { base: false, ..mailbox })?;
        }
    }
    each_differing(tx, |row| {
        let kept = row.set_aside.as_ref().is_some_and(|aside| aside.kind == SetAsideKind::Kept);
        let comes_back = match state_of(&row) {
            RowState::LocalGone => here,
            RowState::RemoteGone => there,
            _ => false,
        };
        let set_aside = row.set_aside.clone().filter(|_| !(kept && comes_back));
        w.update(&Row { set_aside, ..row })
    })
}

/// Shows every settled row whose sides differ and which is not set aside for trouble.
fn each_differing(
    view: &View,
    mut show: impl FnMut(Row) -> Result<(), StateError>,
) -> Result<(), StateError> {
    let mut after: Option<RowId> = None;
    loop {
        let rows = view.differing(after, PAGE)?;
        let Some(last) = rows.last() else { return Ok(()) };
        after = Some(last.id);
        rows.into_iter().try_for_each(&mut show)?;
    }
}

/// How many changes of the disk are not sent while `direction = "pull"`: new and deleted messages,
/// changed flags, and mailboxes that are empty.
///
/// # Errors
/// Where the store cannot be read.
pub fn unsent(view: &View) -> Result<u64, StateError> {
    let mailboxes = view.mailboxes()?;
    let views: BTreeMap<_, _> =
        mailboxes.iter().map(|m| (m.id, MailboxView::of(m.clone()))).collect();
    let sends = Policy::default();
    let mut unsent = 0;
    each_differing(view, |row| {
        let differs = match (state_of(&row), views.get(&row.mailbox)) {
            (RowState::LocalNew, _) => row.set_aside.is_none(),
            (RowState::LocalGone, _) => true,
            (RowState::Paired, Some(view)) => {
                merge_row(&row, view, &sends).is_some_and(|merge| !merge.remote.is_empty())
            }
            _ => false,
        };
        unsent += u64::from(differs);
        Ok(())
    })?;
    for mailbox in mailboxes.iter().filter(|mailbox| mailbox.problem.is_none()) {
        let differs = match (mailbox.local, mailbox.remote) {
            (true, false) => view.local_count(mailbox.id)? == 0,
            (false, true) => mailbox.base && view.remote_count(mailbox.id)? == 0,
            _ => false,
        };
        unsent += u64::from(differs);
    }
    Ok(unsent)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(exclude: &str, direction: &str, local: &str, remote: &str) -> String {
        serde_json::json!({
            "version": 1, "include": ["*"], "exclude": [exclude], "direction": direction,
            "on_local_delete": local, "on_remote_delete": remote,
        })
        .to_string()
    }

    #[test]
    fn what_comes_back_is_what_the_change_is_about() {
        let usual = scope("", "both", "trash", "remove");
        let back = |here, there, flags| BringsBack { here, there, flags };
        for (old, new, expected) in [
            (scope("", "pull", "trash", "remove"), usual.clone(), back(true, false, true)),
            (usual.clone(), scope("", "pull", "trash", "remove"), back(false, false, false)),
            (scope("a", "both", "trash", "remove"), usual.clone(), back(true, true, false)),
            (
                scope("a", "pull", "trash", "remove"),
                scope("", "pull", "trash", "remove"),
                back(true, false, false),
            ),
            (scope("", "both", "keep", "remove"), usual.clone(), back(true, false, false)),
            (scope("", "both", "trash", "keep"), usual.clone(), back(false, true, false)),
            ("as an older version wrote it".to_owned(), usual, back(true, true, false)),
        ] {
            assert_eq!(brings_back(&old, &new), expected, "{old} {new}");
        }
    }
}
