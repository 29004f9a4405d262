//! Opens the Maildir and settles what a crash left open in it: by looking, never by guessing.

use std::collections::BTreeSet;

use super::apply;
use super::apply::placing::{absence_in, is_fresh};
use super::run::Run;
use super::writer::Writer;
use crate::account::error::AccountError;
use crate::account::opening::{check_disk, disk_of, note_disk, open_root, options};
use crate::account::request::RunRequest;
use crate::account::settings::{Environment, Settings};
use crate::local::Root;
use crate::reconcile::Policy;
use crate::reconcile::types::{Journal, Mailbox, Row};
use crate::state::Store;

/// Opens the Maildir of an account, locked, and settles what a crash left open in it. A dry run
/// works on a copy of the store and makes no Maildir.
pub(super) fn open_place(
    settings: &Settings,
    environment: &Environment,
    store: &mut Store,
    request: &RunRequest,
) -> Result<Root, AccountError> {
    check_disk(settings, environment, store)?;
    let options = options(settings, store, request);
    let root = open_root(settings, environment, request, options)?;
    let disk = disk_of(settings, environment);
    let restated = super::restate::check(settings, environment, store, &root)?;
    if !request.dry_run {
        if restated {
            crate::account::ownership::advance(settings, store, &root)?;
        }
        note_disk(settings, environment, store, disk)?;
        settle(settings, environment, store, &root)?;
    }
    Ok(root)
}

/// Settles rows that a crash left *placing*: with its tmp file there the rename is done now;
/// without it the file was placed, and the scan that follows sees what became of it since. Where
/// the directory is another one, they wait until it is known what became of it.
fn settle(
    settings: &Settings,
    environment: &Environment,
    store: &mut Store,
    root: &Root,
) -> Result<(), AccountError> {
    apply::unlock(store, root, environment.clock.now())?;
    let fresh = is_fresh(store, environment)?;
    let mailboxes = store.mailboxes()?;
    for mailbox in &mailboxes {
        settle_in(settings, store, root, mailbox, fresh)?;
    }
    let mut keep = BTreeSet::new();
    for mailbox in &mailboxes {
        keep.extend(store.placing(mailbox.id)?.into_iter().filter_map(|row| match row.journal {
            Journal::Placing { stem, .. } => Some(stem),
            _ => None,
        }));
    }
    for mailbox in mailboxes.iter().filter(|mailbox| mailbox.local) {
        if let Err(error) = root.clean_tmp(&mailbox.name, &keep) {
            tracing::warn!(mailbox = %mailbox.name, %error, "tmp is not cleaned");
        }
    }
    Ok(())
}

/// The same once it is known which mailboxes have another name now.
pub(super) fn settle_renamed(run: &mut Run) -> Result<(), AccountError> {
    let Run { settings, environment, store, root, .. } = run;
    let fresh = is_fresh(store, environment)?;
    for mailbox in store.mailboxes()? {
        settle_in(settings, store, root, &mailbox, fresh)?;
    }
    Ok(())
}

fn settle_in(
    settings: &Settings,
    store: &mut Store,
    root: &Root,
    mailbox: &Mailbox,
    fresh: bool,
) -> Result<(), AccountError> {
    let placing: Vec<Row> = store.placing(mailbox.id)?;
    if placing.is_empty() {
        return Ok(());
    }
    let policy = Policy { pull_only: settings.pull_only, ..Policy::default() };
    let absence = absence_in(root, mailbox, fresh);
    let mut settled = Vec::new();
    for row in placing {
        match apply::settle(root, mailbox, row, absence) {
            Ok(row) => settled.extend(row),
            // It stays *placing*, and the next run tries again.
            Err(error) => tracing::warn!(mailbox = %mailbox.name, %error, "not settled"),
        }
    }
    if settled.is_empty() {
        return Ok(());
    }
    if let Err(error) = root.sync_dirs(&mailbox.name) {
        // A directory that is gone has nothing to be made durable.
        tracing::warn!(mailbox = %mailbox.name, %error, "not made durable");
    }
    store.transaction(|tx| {
        let w = Writer::new(tx, &policy);
        w.mailbox(&Mailbox { stamps: None, ..mailbox.clone() })?;
        settled.iter().try_for_each(|row| w.update(row))
    })?;
    Ok(())
}
