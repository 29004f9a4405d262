//! Whose a Maildir is, and whether it is as it was left: its marker and the store tell the same.

use super::error::AccountError;
use super::settings::Settings;
use crate::local::{Marker, Root, UNKNOWN_SEPARATOR};
use crate::reconcile::types::printable;
use crate::state::meta::{Key, MARKER, MARKER_NEXT};
use crate::state::{StateError, Store};

/// In another layout every mailbox would seem gone, and all mail would be fetched beside the
/// old directories. With another separator no file would have flags, and they would be taken off
/// on the server (hazard 173).
pub(crate) fn check_layout(settings: &Settings, root: &Root) -> Result<(), AccountError> {
    match root.marker()? {
        Some(marker) if marker.layout != settings.layout => Err(AccountError::Layout {
            maildir: printable(&settings.maildir.display().to_string()),
            made: marker.layout.as_str(),
        }),
        Some(Marker { separator, .. })
            if ![settings.info_separator, UNKNOWN_SEPARATOR].contains(&separator) =>
        {
            Err(AccountError::Separator {
                maildir: printable(&settings.maildir.display().to_string()),
                made: char::from(separator),
            })
        }
        _ => Ok(()),
    }
}

pub(crate) fn identity(settings: &Settings) -> String {
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
        separator: settings.info_separator,
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
pub(crate) fn counter(store: &Store, key: &Key<u64>) -> Result<u64, StateError> {
    Ok(store.fact(key)?.unwrap_or(0))
}

/// A greater counter was written by `adopt`, or is damaged: it is no number of a run.
const COUNTER_MAX: u64 = u64::MAX / 2;

/// Advances the counter that the root's marker and the store share, past whatever any root may
/// bear: a run that was cut off here may have left the next number in a root that is not this one
/// (hazard 71).
pub(crate) fn advance(
    settings: &Settings,
    store: &mut Store,
    root: &Root,
) -> Result<(), AccountError> {
    let known = counter(store, &MARKER)?.max(counter(store, &MARKER_NEXT)?);
    // A store that was restored is older than the root; what `adopt` writes counts nothing.
    let found = root.marker()?.map(|marker| marker.counter).filter(|found| *found < COUNTER_MAX);
    let counter = Marker::after(known.max(found.unwrap_or(0)));
    store.transaction(|tx| tx.set_fact(&MARKER_NEXT, &counter))?;
    root.write_marker(&marker(settings, store.id(), counter))?;
    store.transaction(|tx| tx.set_fact(&MARKER, &counter))?;
    Ok(())
}

/// Whether marker and store tell the same story. A fresh store and an unmarked root do too:
/// there is nothing to restate.
pub(crate) fn is_our_root(
    settings: &Settings,
    store: &Store,
    root: &Root,
) -> Result<bool, AccountError> {
    let expected = [counter(store, &MARKER)?, counter(store, &MARKER_NEXT)?];
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
