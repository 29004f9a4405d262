//! A batch in `tmp/` that is made durable while the next one comes.

use std::sync::Arc;
use std::thread::JoinHandle;

use super::fetch::Body;
use crate::local::{Delivered, LocalError, Root};

/// Bodies that are on their way to be durable.
#[derive(Debug)]
pub(super) struct Shelf {
    bodies: Vec<Body>,
    syncing: Option<JoinHandle<Result<(), LocalError>>>,
    /// Where no thread is at it.
    synced: Option<LocalError>,
}

impl Shelf {
    /// Bodies that need not be durable.
    pub(super) fn as_they_are(bodies: Vec<Body>) -> Self {
        Self { bodies, syncing: None, synced: None }
    }

    /// Begins to make bodies durable.
    pub(super) fn sync(root: &Arc<Root>, bodies: Vec<Body>) -> Self {
        let mut shelf = Self::as_they_are(bodies);
        if shelf.bodies.is_empty() {
            return shelf;
        }
        let files = || -> Vec<Delivered> {
            shelf.bodies.iter().map(|body| body.read.delivered.clone()).collect()
        };
        let (theirs, batch) = (Arc::clone(root), files());
        let work = move || sync(&theirs, &batch);
        match std::thread::Builder::new().name("sync".to_owned()).spawn(work) {
            Ok(thread) => shelf.syncing = Some(thread),
            Err(_) => shelf.synced = sync(root, &files()).err(),
        }
        shelf
    }

    /// Waits for it. Gives the bodies, and why they are not durable, if so.
    pub(super) fn take(mut self) -> (Vec<Body>, Result<(), LocalError>) {
        let bodies = std::mem::take(&mut self.bodies);
        let result = match self.syncing.take() {
            Some(thread) => thread.join().unwrap_or_else(|_| Err(died(&bodies))),
            None => self.synced.take().map_or(Ok(()), Err),
        };
        (bodies, result)
    }
}

impl Drop for Shelf {
    /// Whoever opens the Maildir next finds nobody at work in it.
    fn drop(&mut self) {
        if let Some(thread) = self.syncing.take() {
            // What it found out is of no use any more.
            let _ = thread.join();
        }
    }
}

fn sync(root: &Root, batch: &[Delivered]) -> Result<(), LocalError> {
    let files: Vec<&Delivered> = batch.iter().collect();
    if root.sync_many(&files)? { Ok(()) } else { root.sync_deliveries(&files) }
}

fn died(bodies: &[Body]) -> LocalError {
    let path = bodies.first().map(|body| body.read.delivered.path().to_owned());
    LocalError::Malformed { path: path.unwrap_or_default(), why: "the thread that syncs it died" }
}
