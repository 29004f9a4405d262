//! Bodies of one mailbox over one connection, streamed into `tmp/`.
//!
//! A job knows nothing of the store, so that several of them go on side by side.

mod apart;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use self::apart::Apart;
use super::choose;
use crate::account::progress::{Event, Progress, Way};
use crate::local::{Delivered, Delivery, LocalError, Root};
use crate::reconcile::types::{Mailbox, MailboxName, Row, RowId, SetAside, Uid};
use crate::remote::RemoteError;
use crate::remote::imap::{BodySink, Session, Thing, UidSet};

/// Octets by which servers miscount, at least.
const MISCOUNTED: u64 = 64;

/// What every job works with.
#[derive(Debug, Clone)]
pub(super) struct Tools {
    pub(super) root: Arc<Root>,
    pub(super) progress: Progress,
    /// Bodies above this many octets are not taken.
    pub(super) limit: u64,
}

/// Messages of one mailbox to be fetched in one go.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) mailbox: Mailbox,
    pub(super) rows: Vec<Row>,
    /// A message whose body the server gave before.
    pub(super) witness: Option<Uid>,
}

/// A body in `tmp/`, whole and hashed, not yet durable.
#[derive(Debug)]
pub(super) struct Pulled {
    pub(super) row: Row,
    pub(super) delivered: Delivered,
    /// Octets that came, as they came.
    pub(super) octets: u64,
    /// It is clearly shorter than the server announced, twice.
    pub(super) short: bool,
}

/// A message that cannot be had: why, and whether it is not asked for again soon.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) row: RowId,
    pub(super) words: String,
    /// Counts of this refusal; [`SetAside::TRIES`] at once where asking again is no use.
    pub(super) times: u32,
}

/// What became of a job.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) mailbox: Mailbox,
    /// Octets that the server announced for it.
    pub(super) octets: u64,
    pub(super) done: Vec<Pulled>,
    pub(super) kept: Vec<Kept>,
    /// Why nothing more of this mailbox is asked for in this run.
    pub(super) trouble: Option<String>,
    /// Why the connection ended, and what was not fetched over it.
    pub(super) lost: Option<(RemoteError, Vec<Row>)>,
    /// What that connection was lost at, where something had been answered on it.
    pub(super) at: Option<Thing>,
}

impl Job {
    /// Octets that the server announced for it.
    pub(super) fn octets(&self) -> u64 {
        self.rows.iter().filter_map(|row| Some(row.words.as_ref()?.size)).sum()
    }

    /// What becomes of it where there is no connection.
    pub(super) fn lost(self, error: RemoteError) -> Fetched {
        let out = Fetched::new(&self);
        Fetched { lost: Some((error, self.rows)), ..out }
    }

    /// Fetches the bodies; those that the server keeps back are asked for once more, alone.
    pub(super) async fn run(self, session: &mut Session, tools: &Tools) -> Fetched {
        let mut out = Fetched::new(&self);
        match out.fetch(session, tools, &self.rows, self.witness).await {
            Ok(()) => out,
            Err(error) => {
                let known = out.known();
                let left = self.rows.into_iter().filter(|row| !known.contains(&row.id));
                let at = session.under_way().filter(|_| session.answers() > 0);
                Fetched { lost: Some((error, left.collect())), at, ..out }
            }
        }
    }
}

impl Fetched {
    fn new(job: &Job) -> Self {
        let (mailbox, octets) = (job.mailbox.clone(), job.octets());
        let (done, kept) = (Vec::new(), Vec::new());
        Self { mailbox, octets, done, kept, trouble: None, lost: None, at: None }
    }

    /// Rows of which something is known.
    fn known(&self) -> BTreeSet<RowId> {
        let done = self.done.iter().map(|pulled| pulled.row.id);
        done.chain(self.kept.iter().map(|kept| kept.row)).collect()
    }

    fn keep(&mut self, row: RowId, words: String, times: u32) {
        self.kept.push(Kept { row, words, times });
    }

    /// Gives an error only for what ends the session.
    async fn fetch(
        &mut self,
        session: &mut Session,
        tools: &Tools,
        rows: &[Row],
        witness: Option<Uid>,
    ) -> Result<(), RemoteError> {
        if let Some(why) = choose(session, &self.mailbox).await? {
            self.trouble = Some(why);
            return Ok(());
        }
        let by_uid: BTreeMap<Uid, &Row> =
            rows.iter().filter_map(|row| Some((row.remote.as_ref()?.uid, row))).collect();
        self.take(session, tools, &by_uid).await.or_else(stay)?;
        let untrue = self.take_untrue();
        let left = self.left(&by_uid);
        if !left.is_empty() {
            let mut apart = Apart { fetched: self, session, tools, untrue: &untrue, witness };
            apart.fetch(left).await?;
        }
        untrue.iter().for_each(|pulled| discard(&tools.root, &pulled.delivered));
        Ok(())
    }

    /// Those of which nothing is known yet.
    fn left<'r>(&self, rows: &BTreeMap<Uid, &'r Row>) -> BTreeMap<Uid, &'r Row> {
        let known = self.known();
        let left = rows.iter().filter(|(_, row)| !known.contains(&row.id));
        left.map(|(uid, row)| (*uid, *row)).collect()
    }

    /// Takes out the bodies that are not as long as was announced (hazard 67).
    fn take_untrue(&mut self) -> Vec<Pulled> {
        self.done.extract_if(.., |pulled| pulled.is_untrue()).collect()
    }

    /// What came twice is what the server has; it is named where it is too short. What came
    /// otherwise the second time is not believed.
    fn compare_twice(&mut self, tools: &Tools, before: Option<&Pulled>, row: &Row) {
        let Some(before) = before else { return };
        let Some(at) = self.done.iter().position(|pulled| pulled.row.id == row.id) else { return };
        let now = &mut self.done[at];
        if !now.is_untrue() {
            return;
        }
        if now.delivered.summary.content == before.delivered.summary.content {
            now.short = now.is_short();
            return;
        }
        let now = self.done.swap_remove(at);
        discard(&tools.root, &now.delivered);
        let words = "it is not as long as announced, and was another when asked for again";
        self.keep(row.id, words.to_owned(), 1);
    }

    /// One FETCH of these messages.
    async fn take(
        &mut self,
        session: &mut Session,
        tools: &Tools,
        rows: &BTreeMap<Uid, &Row>,
    ) -> Result<(), RemoteError> {
        let mut set = UidSet::default();
        rows.keys().for_each(|uid| {
            set.insert(*uid);
        });
        let mut sink = Sink {
            root: &tools.root,
            mailbox: &self.mailbox.name,
            rows,
            open: None,
            octets: 0,
            seen: BTreeSet::new(),
            done: &mut self.done,
            failure: None,
            progress: &tools.progress,
        };
        let result = session.fetch_bodies(&set, tools.limit, &mut sink).await;
        if let Some(failure) = sink.failure {
            self.trouble = Some(failure.to_string());
        }
        if let Err(error @ RemoteError::Limit { uid: Some(uid), .. }) = &result
            && let Some(row) = rows.get(uid)
        {
            self.keep(row.id, error.to_string(), SetAside::TRIES);
        }
        result
    }
}

/// Gives an error only for what ends the session.
fn stay(error: RemoteError) -> Result<(), RemoteError> {
    if error.ends_session() { Err(error) } else { Ok(()) }
}

impl Pulled {
    /// Octets that RFC822.SIZE announced.
    fn announced(&self) -> u64 {
        self.row.words.as_ref().map_or(self.octets, |words| words.size)
    }

    /// Whether its length is far from what was announced. Servers are often a little off: by
    /// line ends that they count as one octet, by fields that they add, or as they estimate.
    fn is_untrue(&self) -> bool {
        let (most, announced) = (self.octets.max(self.wire_size()), self.announced());
        let least = self.octets.min(self.wire_size());
        let allowed = (announced / 100).max(MISCOUNTED);
        most.saturating_add(allowed) < announced || least > announced.saturating_add(allowed)
    }

    fn is_short(&self) -> bool {
        self.is_untrue() && self.wire_size() < self.announced()
    }

    fn wire_size(&self) -> u64 {
        self.delivered.summary.wire_size
    }
}

/// A body in `tmp/` is of no use.
fn discard(root: &Root, delivered: &Delivered) {
    if let Err(error) = root.discard(&delivered.mailbox, &delivered.stem) {
        tracing::debug!(%error, "a body that is not believed stays in tmp");
    }
}

/// Streams bodies into `tmp/`.
struct Sink<'a> {
    root: &'a Root,
    mailbox: &'a MailboxName,
    rows: &'a BTreeMap<Uid, &'a Row>,
    open: Option<Delivery>,
    /// Octets of the body that is coming.
    octets: u64,
    seen: BTreeSet<Uid>,
    done: &'a mut Vec<Pulled>,
    failure: Option<LocalError>,
    progress: &'a Progress,
}

impl Sink<'_> {
    /// Keeps the reason; the stream only learns that it has to stop.
    fn fail(&mut self, error: LocalError) -> io::Error {
        self.open = None;
        self.failure = Some(error);
        io::Error::other("the Maildir cannot be written")
    }
}

impl BodySink for Sink<'_> {
    fn begin(&mut self, _uid: Option<Uid>, _size: u64) -> io::Result<()> {
        match self.root.begin(self.mailbox, &self.root.new_stem()) {
            Ok(delivery) => {
                (self.open, self.octets) = (Some(delivery), 0);
                Ok(())
            }
            Err(error) => Err(self.fail(error)),
        }
    }

    fn chunk(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(delivery) = self.open.as_mut() else { return Ok(()) };
        delivery.write(bytes).map_err(|error| self.fail(error))?;
        self.octets += bytes.len() as u64;
        let (mailbox, way, count) = (self.mailbox, Way::Down, bytes.len() as u64);
        self.progress.tell(Event::Octets { mailbox, way, count });
        Ok(())
    }

    fn end(&mut self, uid: Uid) -> io::Result<()> {
        let Some(delivery) = self.open.take() else { return Ok(()) };
        // Whatever was not asked for, or comes a second time, leaves with its tmp file.
        let Some(row) = self.rows.get(&uid) else { return Ok(()) };
        if !self.seen.insert(uid) {
            return Ok(());
        }
        let row = (*row).clone();
        let date = row.words.as_ref().map_or(0, |words| words.date);
        match delivery.finish(date) {
            Ok(delivered) => {
                let octets = self.octets;
                self.done.push(Pulled { row, delivered, octets, short: false });
                let (mailbox, way) = (self.mailbox, Way::Down);
                self.progress.tell(Event::Message { mailbox, way });
                Ok(())
            }
            Err(error) => Err(self.fail(error)),
        }
    }

    fn discard(&mut self) {
        self.open = None;
    }

    fn withdraw(&mut self, uid: Uid) {
        let is = |pulled: &mut Pulled| pulled.row.remote.as_ref().is_some_and(|r| r.uid == uid);
        for pulled in self.done.extract_if(.., is) {
            discard(self.root, &pulled.delivered);
        }
    }
}
