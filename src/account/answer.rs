//! What a person's word does to the state: a hold rejected, a Maildir taken over.

use std::sync::Arc;

use super::{AccountError, Settings};
use crate::local::fs::Fs;
use crate::local::{Root, RootOptions};
use crate::reconcile::types::{Row, RowId};
use crate::state::{StateError, Store, Tx};

/// Brings back what was to be removed: the departed side of these rows counts as never
/// having been there, so the next run copies it from the side that still has it.
///
/// # Errors
/// Where the store cannot be written.
pub fn bring_back(tx: &Tx<'_>, rows: &[RowId]) -> Result<(), StateError> {
    for id in rows {
        let Some(row) = tx.row(*id)? else { continue };
        let departed = row.local.is_some() != row.remote.is_some();
        if departed {
            tx.update_row(&Row { base: None, ..row }, false)?;
        } else if row.local.is_some() {
            // Flags would have been removed from one side: as if there were no past, both
            // sides get what either has.
            tx.update_row(&Row { base: None, ..row }, false)?;
        }
    }
    Ok(())
}

/// Makes the Maildir of an account that of its own store, whoever kept it before. Nothing
/// else is touched: the next run pairs what both sides have and unites the rest.
///
/// # Errors
/// Where the store or the root cannot be opened, or another process holds the root.
pub fn adopt(settings: &Settings, fs: Arc<dyn Fs>) -> Result<(), AccountError> {
    let store = Store::open(&settings.store)?;
    let id = super::restate::hex(store.id());
    let options = RootOptions {
        create: true,
        separator: settings.info_separator,
        layout: settings.layout,
        ..RootOptions::new(&id, &settings.machine)
    };
    let is_guest = settings.maildrop.as_ref().is_some_and(|drop| drop.owner.is_some());
    let options = if is_guest { super::maildrop::guest_options(options) } else { options };
    let root = Root::open(fs, &settings.maildir, options)?;
    // Any other trouble with the marker is what this replaces.
    if let Err(error @ AccountError::Layout { .. }) = super::restate::check_layout(settings, &root)
    {
        return Err(error);
    }
    // A counter that the store does not know: the next run takes the root for restored.
    root.write_marker(&super::restate::marker(settings, store.id(), u64::MAX))?;
    Ok(())
}
