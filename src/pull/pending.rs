//! What is done to a batch while the next ones come: its bodies are made durable, and get their
//! names. Both wait for the disk, so each has a thread; what the store has to know in between is
//! written by who waits for them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::JoinHandle;

use super::classify::Entry;
use super::read::Read;
use crate::local::{Delivered, LocalError, Placed, Root, Scope};
use crate::reconcile::types::{MailboxName, Stem};
use crate::state::{MaildropRow, Pull};

/// Work that goes on, or its result.
#[derive(Debug)]
enum Work<T> {
    Thread(JoinHandle<T>),
    /// Where no thread can be had, it is done at once.
    Done(T),
}

impl<T: Send + 'static> Work<T> {
    fn begin(name: &str, work: impl Fn() -> T + Clone + Send + 'static) -> Self {
        let again = work.clone();
        match std::thread::Builder::new().name(name.to_owned()).spawn(work) {
            Ok(thread) => Self::Thread(thread),
            Err(_) => Self::Done(again()),
        }
    }

    fn is_over(&self) -> bool {
        match self {
            Self::Thread(thread) => thread.is_finished(),
            Self::Done(_) => true,
        }
    }

    /// Waits for it; none where it died.
    fn wait(self) -> Option<T> {
        match self {
            Self::Thread(thread) => thread.join().ok(),
            Self::Done(result) => Some(result),
        }
    }
}

/// So many batches may be on their way to the disk.
const MOST: usize = 4;

/// What is under way behind the batch that comes, in order.
#[derive(Debug, Default)]
pub(super) struct Pipeline {
    batches: VecDeque<PendingBatch>,
    placement: Placement,
}

impl Pipeline {
    pub(super) fn put(&mut self, pending: PendingBatch) {
        self.batches.push_back(pending);
    }

    /// Whether nothing is left to be done.
    pub(super) fn is_empty(&self) -> bool {
        self.batches.is_empty() && self.placement.work.is_none()
    }

    /// Whether there is something to be done now. The last batch always waits for another: only
    /// what comes next says whether its last body was whole.
    pub(super) fn is_due(&self) -> bool {
        let is_ready = || {
            let first = self.batches.front().and_then(|pending| pending.syncing.as_ref());
            self.placement.work.as_ref().is_none_or(Work::is_over)
                && first.is_none_or(Work::is_over)
        };
        self.batches.len() > MOST || self.batches.len() > 1 && is_ready()
    }

    /// Takes what is done next.
    pub(super) fn take(&mut self) -> (Placement, PendingBatch) {
        (std::mem::take(&mut self.placement), self.batches.pop_front().unwrap_or_default())
    }

    pub(super) fn name(&mut self, placement: Placement) {
        self.placement = placement;
    }

    /// The last of all bodies is none.
    pub(super) fn drop_last(&mut self) {
        self.batches.back_mut().map(|pending| pending.bodies.pop());
    }
}

/// Bodies that are on their way to be durable.
#[derive(Debug, Default)]
pub(super) struct PendingBatch {
    bodies: Vec<Body>,
    /// None where they need not be.
    syncing: Option<Work<Result<(), LocalError>>>,
}

impl PendingBatch {
    /// Bodies that need not be durable.
    pub(super) fn as_they_are(bodies: Vec<Body>) -> Self {
        Self { bodies, syncing: None }
    }

    /// Begins to make bodies durable.
    pub(super) fn sync(root: &Arc<Root>, bodies: Vec<Body>) -> Self {
        if bodies.is_empty() {
            return Self::default();
        }
        let batch: Vec<Delivered> = bodies.iter().map(|body| body.read.delivered.clone()).collect();
        let (root, batch) = (Arc::clone(root), Arc::new(batch));
        let syncing = Some(Work::begin("sync", move || sync(&root, &batch)));
        Self { bodies, syncing }
    }

    /// Waits for it. Gives the bodies, and why they are not durable, if so.
    pub(super) fn take(mut self) -> (Vec<Body>, Result<(), LocalError>) {
        let bodies = std::mem::take(&mut self.bodies);
        let result = self.syncing.take().map_or(Some(Ok(())), Work::wait);
        (bodies, result.unwrap_or_else(|| Err(died())))
    }
}

impl Drop for PendingBatch {
    /// Whoever opens the Maildir next finds nobody at work in it.
    fn drop(&mut self) {
        // What it found out is of no use any more.
        self.syncing.take().map(Work::wait);
    }
}

fn sync(root: &Root, batch: &[Delivered]) -> Result<(), LocalError> {
    let files: Vec<&Delivered> = batch.iter().collect();
    if root.sync_many(&files)? { Ok(()) } else { root.sync_deliveries(&files) }
}

fn died() -> LocalError {
    let source = std::io::Error::other("the thread that syncs it died");
    LocalError::Io { doing: "sync", path: "tmp".into(), scope: Scope::Root, source }
}

/// What became of each name, and whether the names are durable.
type Names = (Vec<Result<Placed, LocalError>>, Result<(), LocalError>);

/// A row with its number in the session, and what became of its name.
pub(super) type Named = ((u32, MaildropRow), Result<Placed, LocalError>);

/// Bodies that get their names, each recorded as *placing*, with its number in the session.
#[derive(Debug, Default)]
pub(super) struct Placement {
    rows: Vec<(u32, MaildropRow)>,
    work: Option<Work<Names>>,
}

impl Placement {
    /// Begins to give names.
    pub(super) fn begin(
        root: &Arc<Root>,
        mailbox: &MailboxName,
        rows: Vec<(u32, MaildropRow)>,
    ) -> Self {
        if rows.is_empty() {
            return Self::default();
        }
        let stem = |(_, row): &(u32, MaildropRow)| match &row.pull {
            Pull::Placing(_, stem) => stem.clone(),
            _ => Stem(Vec::new()),
        };
        let stems: Arc<Vec<Stem>> = Arc::new(rows.iter().map(stem).collect());
        let (root, mailbox) = (Arc::clone(root), mailbox.clone());
        let name = move || {
            let place = |stem: &Stem| root.place(&mailbox, stem, true, "");
            let placed = stems.iter().map(place).collect();
            (placed, root.sync_dirs(&mailbox))
        };
        Self { rows, work: Some(Work::begin("name", name)) }
    }

    /// Waits for it. Gives each row with what became of its name, and whether the names are
    /// durable.
    pub(super) fn take(mut self) -> (Vec<Named>, Result<(), LocalError>) {
        let rows = std::mem::take(&mut self.rows);
        let Some(work) = self.work.take() else { return (Vec::new(), Ok(())) };
        match work.wait() {
            Some((placed, synced)) => (rows.into_iter().zip(placed).collect(), synced),
            // They stay *placing*, and the next pull settles them.
            None => (Vec::new(), Err(died())),
        }
    }
}

impl Drop for Placement {
    fn drop(&mut self) {
        self.work.take().map(Work::wait);
    }
}

/// A body in `tmp/`, whole and hashed, not yet durable.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) entry: Entry,
    pub(super) read: Read,
}
