//! What is done with an account, whatever its protocol: a mirror, or a pull.

use std::sync::Arc;

use crate::account::{AccountError, Environment, Report, RunRequest, Settings, ownership};
use crate::local::fs::Fs;
use crate::local::{Root, RootOptions};
use crate::state::Store;
use crate::{mail, pull};

/// Brings both sides of an account in step, once; or only looks, as it is wished.
///
/// The report is given even where the run failed, since what was done is done.
pub async fn sync(
    settings: Settings,
    environment: Environment,
    request: RunRequest,
) -> (Report, Result<(), AccountError>) {
    const CAUSE: &str = "command";
    if let Some(terms) = settings.maildrop.clone() {
        return Box::pin(pull::pull(settings, terms, environment, &request, CAUSE)).await;
    }
    Box::pin(mail::sync(settings, environment, request, CAUSE)).await
}

/// Makes the Maildir of an account that of its own store, whoever kept it before. Nothing
/// else is touched: the next run pairs what both sides have and unites the rest.
///
/// # Errors
/// Where the store or the root cannot be opened, or another process holds the root.
pub fn adopt(settings: &Settings, fs: Arc<dyn Fs>) -> Result<(), AccountError> {
    let store = Store::open(&settings.store)?;
    let id = ownership::hex(store.id());
    let options = RootOptions {
        create: true,
        separator: settings.info_separator,
        layout: settings.layout,
        ..RootOptions::new(&id, &settings.machine)
    };
    let is_guest = settings.maildrop.as_ref().is_some_and(|drop| drop.owner.is_some());
    let options = if is_guest { pull::guest_options(options) } else { options };
    let root = Root::open(fs, &settings.maildir, options)?;
    // Any other trouble with the marker is what this replaces.
    let fits = ownership::check_layout(settings, &root);
    if let Err(error @ (AccountError::Layout { .. } | AccountError::Separator { .. })) = fits {
        return Err(error);
    }
    // A counter that the store does not know: the next run takes the root for restored.
    root.write_marker(&ownership::marker(settings, store.id(), u64::MAX))?;
    Ok(())
}
