//! Opens what a run works with and settles what a crash left open: by looking, never by
//! guessing.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::record::Writer;
use super::{AccountError, Outside, Settings, Wish, apply};
use crate::local::fs::Fs;
use crate::local::{LocalError, Root, RootOptions};
use crate::reconcile::Policy;
use crate::reconcile::types::{Journal, Mailbox, Row};
use crate::state::{StateError, Store};

/// The store and the Maildir of an account, opened and locked.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) store: Store,
    pub(super) root: Root,
}

impl Place {
    /// Opens both. A dry run works on a copy of the store and makes no Maildir.
    pub(super) fn open(
        settings: &Settings,
        outside: &Outside,
        wish: &Wish,
    ) -> Result<Self, AccountError> {
        let store = open_store(settings, outside, wish)?;
        let options = options(settings, &store, wish);
        let root = open_root(settings, outside, wish, options)?;
        Ok(Self { store, root })
    }
}

/// Opens the store.
pub(super) fn open_store(
    settings: &Settings,
    outside: &Outside,
    wish: &Wish,
) -> Result<Store, AccountError> {
    let mut store = if wish.dry_run {
        Store::open_scratch(&settings.store)?
    } else {
        Store::open(&settings.store)?
    };
    if let Some(commits) = outside.commits.clone() {
        store.set_commit_hook(Some(Box::new(move || match commits() {
            true => Ok(()),
            false => Err(StateError::Stopped("stopped before a commit".to_owned())),
        })));
    }
    Ok(store)
}

/// How the account's own root is opened.
pub(super) fn options(settings: &Settings, store: &Store, wish: &Wish) -> RootOptions {
    let usual = RootOptions::new(&super::restate::hex(store.id()), &settings.machine);
    RootOptions {
        create: !wish.dry_run,
        lock: usual.lock.filter(|_| !wish.dry_run),
        separator: settings.info_separator,
        layout: settings.layout,
        ..usual
    }
}

/// Opens the root.
pub(super) fn open_root(
    settings: &Settings,
    outside: &Outside,
    wish: &Wish,
    options: RootOptions,
) -> Result<Root, AccountError> {
    Ok(match Root::open(outside.fs.clone(), &settings.maildir, options.clone()) {
        Err(LocalError::NoRoot { .. }) if wish.dry_run => empty_root(outside.fs.clone(), options)?,
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
pub(super) fn tidy_up(settings: &Settings, outside: &Outside, root: &Root) {
    if root.path() != settings.maildir {
        // Left behind, it is an empty directory among temporary files.
        let _ = outside.fs.remove_dir(root.path());
    }
}

/// Settles rows that a crash left *placing*: with its tmp file there the rename is done now;
/// without it the file was placed, and the scan that follows sees what became of it since.
pub(super) fn settle(
    settings: &Settings,
    store: &mut Store,
    root: &Root,
) -> Result<(), AccountError> {
    let policy = Policy { pull_only: settings.pull_only, ..Policy::default() };
    apply::unlock(store, root)?;
    for mailbox in store.mailboxes()? {
        let placing: Vec<Row> = store.placing(mailbox.id)?;
        let mut settled = Vec::new();
        for row in placing {
            match apply::settle(root, &mailbox, row) {
                Ok(row) => settled.push(row),
                // It stays *placing*, and the next run tries again.
                Err(error) => tracing::warn!(mailbox = %mailbox.name, %error, "not settled"),
            }
        }
        if !settled.is_empty() {
            if let Err(error) = root.sync_dirs(&mailbox.name) {
                // A directory that is gone has nothing to be made durable.
                tracing::warn!(mailbox = %mailbox.name, %error, "not made durable");
            }
            store.transaction(|tx| {
                let w = Writer::new(tx, &policy);
                w.mailbox(&Mailbox { stamps: None, ..mailbox.clone() })?;
                settled.iter().try_for_each(|row| w.update(row))
            })?;
        }
        if mailbox.local {
            let open = store.placing(mailbox.id)?.into_iter();
            let keep = open.filter_map(|row| match row.journal {
                Journal::Placing { stem, .. } => Some(stem),
                _ => None,
            });
            let keep: BTreeSet<_> = keep.collect();
            if let Err(error) = root.clean_tmp(&mailbox.name, &keep) {
                tracing::warn!(mailbox = %mailbox.name, %error, "tmp is not cleaned");
            }
        }
    }
    Ok(())
}
