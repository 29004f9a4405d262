//! Lost, restored, renumbered or foreign state is never "everything was deleted".
//!
//! What is unknown is stated anew: rows keep what was known of their content, lose the columns
//! that cannot be believed any more, and are paired again with what the next looks find. What
//! has no match on the other side is united, nothing is removed.

use super::record::Writer;
use super::{AccountError, Run, Settings};
use crate::local::{Marker, Root};
use crate::reconcile::Policy;
use crate::reconcile::types::{Journal, Mailbox, Row, SetAsideKind, printable};
use crate::state::{StateError, Store, Tx};

/// Messages that are set aside and looked at again when a limit changed.
const ASIDE_MAX: usize = 100_000;

/// Compares the root's marker, the account's identity and its scope with the store.
///
/// # Errors
/// [`AccountError::Foreign`] where the root belongs to another store,
/// [`AccountError::Layout`] where it is laid out otherwise, and what the store or the root
/// refuse.
pub(super) fn check(
    settings: &Settings,
    store: &mut Store,
    root: &Root,
) -> Result<(), AccountError> {
    check_layout(settings, root)?;
    let identity = identity(settings);
    let known = store.meta("identity")?;
    let moved_server = known.as_deref().is_some_and(|known| known != identity);
    let scope = store.meta("scope")?;
    let new_scope = scope.as_deref().is_some_and(|scope| scope != settings.scope);
    let limits = settings.max_message_size.to_string();
    let root_is_ours = is_our_root(settings, store, root)?;
    store.transaction(|tx| {
        if moved_server {
            tracing::info!("another server or user than before: both sides are united");
            restate_server(tx)?;
        }
        if !root_is_ours || moved_server {
            tracing::info!("the Maildir is not as it was left: both sides are united");
            restate_root(tx)?;
        }
        if new_scope {
            tracing::info!("the configuration changed: nothing is removed for that");
            drop_excluded(tx, settings)?;
            restate_root(tx)?;
        }
        if tx.meta("limits")?.as_deref() != Some(limits.as_str()) {
            try_again(tx, settings)?;
        }
        // Should it pull again one day, it will not know what came meanwhile.
        tx.delete_meta(super::maildrop::PULLS)?;
        tx.set_meta("identity", &identity)?;
        tx.set_meta("limits", &limits)?;
        tx.set_meta("scope", &settings.scope)
    })?;
    Ok(())
}

/// Another limit: what did not come down by the old one may.
fn try_again(tx: &Tx<'_>, settings: &Settings) -> Result<(), StateError> {
    let fits =
        |row: &Row| row.words.as_ref().is_some_and(|words| words.size <= settings.max_message_size);
    for row in tx.set_aside_rows(ASIDE_MAX)?.into_iter().filter(fits) {
        if row.set_aside.as_ref().is_some_and(|aside| aside.kind == SetAsideKind::Fetch) {
            tx.update_row(&Row { set_aside: None, ..row }, false)?;
        }
    }
    Ok(())
}

/// In another layout every mailbox would seem gone, and all mail would be fetched beside the
/// old directories.
pub(super) fn check_layout(settings: &Settings, root: &Root) -> Result<(), AccountError> {
    match root.marker()? {
        Some(marker) if marker.layout != settings.layout => Err(AccountError::Layout {
            maildir: printable(&settings.maildir.display().to_string()),
            made: marker.layout.as_str(),
        }),
        _ => Ok(()),
    }
}

pub(super) fn identity(settings: &Settings) -> String {
    format!("{}@{}", settings.endpoint.user, settings.endpoint.host)
}

/// The marker that this account writes into its root.
#[must_use]
pub fn marker(settings: &Settings, store_id: [u8; 16], counter: u64) -> Marker {
    Marker {
        store_id: hex(store_id),
        counter,
        account: identity(settings),
        machine: settings.machine.clone(),
        state_dir: settings.store.display().to_string(),
        layout: settings.layout,
    }
}

/// The digits of a store's identity.
#[must_use]
pub fn hex(id: [u8; 16]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn same_owner(settings: &Settings, marker: &Marker) -> bool {
    let ours = self::marker(settings, [0; 16], 0);
    (&marker.machine, &marker.state_dir) == (&ours.machine, &ours.state_dir)
}

/// A counter in the store; 0 where it was never written.
pub(super) fn counter(store: &Store, key: &str) -> Result<u64, StateError> {
    Ok(store.meta(key)?.and_then(|text| text.parse().ok()).unwrap_or(0))
}

/// Advances the counter that the root's marker and the store share.
pub(super) fn advance(
    settings: &Settings,
    store: &mut Store,
    root: &Root,
) -> Result<(), AccountError> {
    let counter = counter(store, "marker")? + 1;
    store.transaction(|tx| tx.set_meta("marker_next", &counter.to_string()))?;
    root.write_marker(&marker(settings, store.id(), counter))?;
    store.transaction(|tx| tx.set_meta("marker", &counter.to_string()))?;
    Ok(())
}

/// Whether marker and store tell the same story. A fresh store and an unmarked root do too:
/// there is nothing to restate.
pub(super) fn is_our_root(
    settings: &Settings,
    store: &Store,
    root: &Root,
) -> Result<bool, AccountError> {
    let expected = [counter(store, "marker")?, counter(store, "marker_next")?];
    match root.marker()? {
        None => Ok(expected == [0, 0]),
        Some(marker) if marker.store_id == hex(store.id()) => {
            Ok(expected.contains(&marker.counter))
        }
        // The store that knew this root is lost, and this one took its place.
        Some(marker) if same_owner(settings, &marker) => Ok(false),
        Some(marker) => Err(foreign(settings, &marker)),
    }
}

fn foreign(settings: &Settings, marker: &Marker) -> AccountError {
    AccountError::Foreign {
        maildir: settings.maildir.display().to_string(),
        owner: format!("{} on {}", printable(&marker.account), printable(&marker.machine)),
        account: settings.name.clone(),
    }
}

/// No directory can be believed: files are found again by the next look and paired by content.
fn restate_root(tx: &Tx<'_>) -> Result<(), StateError> {
    let policy = Policy::default();
    let w = Writer::new(tx, &policy);
    for mailbox in tx.mailboxes()? {
        let (id, local) = (mailbox.id, false);
        w.mailbox(&Mailbox { stamps: None, restated: true, base: false, local, ..mailbox })?;
        tx.for_each_row(id, |row| {
            if row.remote.is_none() {
                return w.delete(row.id);
            }
            let set_aside = row.set_aside.filter(|_| row.base.is_none());
            let journal = Journal::Idle;
            w.update(&Row { local: None, restated: true, set_aside, journal, ..row })
        })?;
    }
    Ok(())
}

/// No UID can be believed, in any mailbox.
fn restate_server(tx: &Tx<'_>) -> Result<(), StateError> {
    let policy = Policy::default();
    let w = Writer::new(tx, &policy);
    for mailbox in tx.mailboxes()? {
        restate_remote(&w, mailbox)?;
    }
    Ok(())
}

fn restate_remote(w: &Writer<'_>, mailbox: Mailbox) -> Result<Mailbox, StateError> {
    let mailbox = Mailbox { cursor: None, restated: true, ..mailbox };
    w.mailbox(&mailbox)?;
    w.tx().for_each_row(mailbox.id, |row| {
        if row.local.is_none() {
            return w.delete(row.id);
        }
        let journal = match row.journal {
            // The new numbers say nothing of an old UIDNEXT: it is found by its header.
            Journal::Pushed { .. } | Journal::Pushing { .. } => Journal::Idle,
            journal => journal,
        };
        let restated = row.base.is_some();
        w.update(&Row { remote: None, restated, journal, ..row })
    })?;
    Ok(mailbox)
}

/// A mailbox that the server numbered anew.
pub(super) fn renumbered(run: &mut Run, mailbox: Mailbox) -> Result<Mailbox, AccountError> {
    run.record(|w| restate_remote(w, mailbox))
}

/// Mailboxes that are not mirrored any more lose their rows, and nothing else.
fn drop_excluded(tx: &Tx<'_>, settings: &Settings) -> Result<(), StateError> {
    for mailbox in tx.mailboxes()? {
        if !(settings.selects)(&mailbox.name) {
            tx.delete_mailbox(mailbox.id)?;
        }
    }
    Ok(())
}
