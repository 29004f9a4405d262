//! Opening what a run works with: its store, and its Maildir on the disk it is known on.

use std::sync::Arc;

use super::error::AccountError;
use super::request::RunRequest;
use super::settings::{Environment, Settings};
use crate::local::fs::Fs;
use crate::local::{LocalError, Root, RootOptions};
use crate::reconcile::types::printable;
use crate::state::{StateError, Store, meta};

/// Opens the store.
pub(crate) fn open_store(
    settings: &Settings,
    environment: &Environment,
    request: &RunRequest,
) -> Result<Store, AccountError> {
    let mut store = if request.dry_run {
        Store::open_scratch(&settings.store)?
    } else {
        Store::open(&settings.store)?
    };
    if let Some(commits) = environment.commits.clone() {
        store.set_commit_hook(Some(Box::new(move || match commits() {
            true => Ok(()),
            false => Err(StateError::Stopped("stopped before a commit".to_owned())),
        })));
    }
    Ok(store)
}

/// A root that lay on another disk than what is found in its place now is not mounted: nothing is
/// put there, and nothing is taken for removed (hazard 64). One that was a directory of the same
/// disk was removed, and is filled anew.
pub(crate) fn check_disk(
    settings: &Settings,
    environment: &Environment,
    store: &Store,
) -> Result<(), AccountError> {
    let known = store.fact(&meta::ROOT_DISK)?;
    let is_another = known.is_some_and(|known| Some(known) != disk_of(settings, environment));
    let is_marked = || Root::has_marker(&*environment.fs, &settings.maildir);
    if is_another && !is_marked()? {
        let maildir = printable(&settings.maildir.display().to_string());
        return Err(AccountError::Gone { maildir, account: settings.name.clone() });
    }
    Ok(())
}

/// The device of the root, or of what is left of the way to it.
pub(crate) fn disk_of(settings: &Settings, environment: &Environment) -> Option<u64> {
    let metas = settings.maildir.ancestors().map(|path| environment.fs.stat(path));
    metas.flatten().map(|meta| meta.dev).next()
}

/// Notes the device that the root lies on: the same before and after it was found to be the right
/// one.
pub(crate) fn note_disk(
    settings: &Settings,
    environment: &Environment,
    store: &mut Store,
    before: Option<u64>,
) -> Result<(), AccountError> {
    let now = disk_of(settings, environment).filter(|now| before == Some(*now));
    if let Some(now) = now
        && store.fact(&meta::ROOT_DISK)? != Some(now)
    {
        store.transaction(|tx| tx.set_fact(&meta::ROOT_DISK, &now))?;
    }
    Ok(())
}

/// How the account's own root is opened.
pub(crate) fn options(settings: &Settings, store: &Store, request: &RunRequest) -> RootOptions {
    let usual = RootOptions::new(&super::ownership::hex(store.id()), &settings.machine);
    RootOptions {
        create: !request.dry_run,
        lock: usual.lock.filter(|_| !request.dry_run),
        separator: settings.info_separator,
        layout: settings.layout,
        ..usual
    }
}

/// Opens the root.
pub(crate) fn open_root(
    settings: &Settings,
    environment: &Environment,
    request: &RunRequest,
    options: RootOptions,
) -> Result<Root, AccountError> {
    Ok(match Root::open(environment.fs.clone(), &settings.maildir, options.clone()) {
        Err(LocalError::NoRoot { .. }) if request.dry_run => {
            empty_root(environment.fs.clone(), options)?
        }
        root => root?,
    })
}

/// What a dry run looks at in place of a Maildir that is not there yet.
fn empty_root(fs: Arc<dyn Fs>, options: RootOptions) -> Result<Root, LocalError> {
    // Accounts run side by side: each has its own.
    let name = format!("mailtide-dry-run-{}-{:016x}", std::process::id(), fastrand::u64(..));
    let path = std::env::temp_dir().join(name);
    Root::open(fs, &path, RootOptions { create: true, ..options })
}

/// Removes the stand-in of a dry run; a real root is none, and one that holds anything stays.
pub(crate) fn tidy_up(settings: &Settings, environment: &Environment, root: &Root) {
    if root.path() != settings.maildir {
        // Left behind, it is an empty directory among temporary files.
        let _ = environment.fs.remove_dir(root.path());
    }
}
