//! Bodies as they come: one FETCH, and what it gave.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use crate::account::progress::{Event, Progress, Way};
use crate::account::sizes;
use crate::account::sizes::are_alike;
use crate::local::{Delivered, Delivery, LocalError, Root};
use crate::reconcile::types::{Mailbox, MailboxName, Row, RowId, SetAside, Uid};
use crate::remote::RemoteError;
use crate::remote::imap::{BodySink, Session, Thing, UidSet};

/// What every job works with.
#[derive(Debug, Clone)]
pub(in crate::mail) struct Tools {
    pub(in crate::mail) root: Arc<Root>,
    pub(in crate::mail) progress: Progress,
    /// Bodies above this many octets are not taken.
    pub(in crate::mail) limit: u64,
    /// How the sizes that the server announces fit the bodies that come.
    pub(in crate::mail) sizes: sizes::Shared,
}

/// A body in `tmp/`, whole and hashed, not yet durable.
#[derive(Debug)]
pub(in crate::mail) struct Pulled {
    pub(in crate::mail) row: Row,
    pub(in crate::mail) delivered: Delivered,
    /// Octets that came, as they came.
    pub(in crate::mail) octets: u64,
    /// It is clearly shorter than the server announced.
    pub(in crate::mail) short: bool,
    /// It has a header and a text, and ends with a line.
    pub(in crate::mail) looks_whole: bool,
}

impl Pulled {
    /// Octets that RFC822.SIZE announced.
    fn announced(&self) -> u64 {
        self.row.words.as_ref().map_or(self.octets, |words| words.size)
    }

    /// Whether it is as the server cannot have meant it; `estimates` if its sizes are such.
    fn is_untrue(&self, estimates: bool) -> bool {
        self.is_empty() || (self.is_off() && !(estimates && self.looks_whole))
    }

    /// Nothing came, though the message is not empty.
    fn is_empty(&self) -> bool {
        self.octets == 0 && self.row.words.as_ref().is_none_or(|words| words.size > 0)
    }

    /// Whether its length is far from what was announced. Servers are often a little off: by
    /// line ends that they count as one octet, by fields that they add, or as they estimate.
    fn is_off(&self) -> bool {
        let (most, announced) = (self.octets.max(self.wire_size()), self.announced());
        let least = self.octets.min(self.wire_size());
        let allowed = (announced / 100).max(MISCOUNTED);
        most.saturating_add(allowed) < announced || least > announced.saturating_add(allowed)
    }

    pub(super) fn is_short(&self, estimates: bool) -> bool {
        let fewer = self.is_empty() || self.wire_size() < self.announced();
        fewer && self.is_untrue(estimates)
    }

    fn wire_size(&self) -> u64 {
        self.delivered.summary.wire_size
    }
}

/// A message that cannot be had: why, and whether it is not asked for again soon.
#[derive(Debug)]
pub(in crate::mail) struct RefusedBody {
    pub(in crate::mail) row: RowId,
    pub(in crate::mail) words: String,
    /// Counts of this refusal; [`SetAside::TRIES`] at once where asking again is no use.
    pub(in crate::mail) times: u32,
}

/// What became of a job.
#[derive(Debug)]
pub(in crate::mail) struct Fetched {
    pub(in crate::mail) mailbox: Mailbox,
    /// Octets that the server announced for it.
    pub(in crate::mail) octets: u64,
    pub(in crate::mail) done: Vec<Pulled>,
    pub(in crate::mail) kept: Vec<RefusedBody>,
    /// Why nothing more of this mailbox is asked for in this run.
    pub(in crate::mail) trouble: Option<String>,
    /// Why the connection ended, and what was not fetched over it.
    pub(in crate::mail) lost: Option<(RemoteError, Vec<Row>)>,
    /// What that connection was lost at, where something had been answered on it.
    pub(in crate::mail) at: Option<Thing>,
    /// The connection is there, and gives no body any more.
    pub(in crate::mail) barren: Option<Barren>,
}

impl Fetched {
    pub(super) fn new(mailbox: Mailbox, octets: u64) -> Self {
        let (done, kept) = (Vec::new(), Vec::new());
        Self { mailbox, octets, done, kept, trouble: None, lost: None, at: None, barren: None }
    }

    /// Rows of which something is known.
    pub(super) fn known(&self) -> BTreeSet<RowId> {
        let done = self.done.iter().map(|pulled| pulled.row.id);
        done.chain(self.kept.iter().map(|kept| kept.row)).collect()
    }

    pub(super) fn keep(&mut self, row: RowId, words: String, times: u32) {
        self.kept.push(RefusedBody { row, words, times });
    }

    /// Those of which nothing is known yet.
    pub(super) fn left<'r>(&self, rows: &BTreeMap<Uid, &'r Row>) -> BTreeMap<Uid, &'r Row> {
        let known = self.known();
        let left = rows.iter().filter(|(_, row)| !known.contains(&row.id));
        left.map(|(uid, row)| (*uid, *row)).collect()
    }

    /// Takes out the bodies that are not as long as was announced (hazard 67), unless the server
    /// announces estimates (hazard 130).
    pub(super) fn take_untrue(&mut self, tools: &Tools) -> Vec<Pulled> {
        let (off, right): (Vec<_>, Vec<_>) = self.done.iter().partition(|pulled| pulled.is_off());
        let whole = off.iter().filter(|pulled| pulled.looks_whole).count();
        let estimates = {
            let mut sizes = tools.sizes.lock();
            sizes.add(right.len() as u64, whole as u64);
            sizes.are_estimates()
        };
        self.done.extract_if(.., |pulled| pulled.is_untrue(estimates)).collect()
    }

    /// What came twice with about the same length is what the server has for now. What came
    /// otherwise the second time is not believed.
    pub(super) fn compare_twice(&mut self, tools: &Tools, before: Option<&Pulled>, row: &Row) {
        let Some(before) = before else { return };
        let Some(at) = self.done.iter().position(|pulled| pulled.row.id == row.id) else { return };
        let now = &self.done[at];
        let estimates = tools.sizes.lock().are_estimates();
        if !now.is_untrue(estimates) || are_alike(now.octets, before.octets) {
            return;
        }
        let now = self.done.swap_remove(at);
        discard(&tools.root, &now.delivered);
        let words = "its length is not as announced, and changed on a second fetch";
        self.keep(row.id, words.to_owned(), 1);
    }

    /// One FETCH of these messages.
    pub(super) async fn take(
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
            outline: Outline::default(),
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

/// A session that refused bodies and gave none after that.
#[derive(Debug)]
pub(in crate::mail) struct Barren {
    /// What was refused first.
    pub(in crate::mail) refused: UidSet,
    pub(in crate::mail) words: String,
    /// What was not fetched over it.
    pub(in crate::mail) left: Vec<Row>,
}

/// Gives an error only for what ends the session.
pub(super) fn stay(error: RemoteError) -> Result<(), RemoteError> {
    if error.ends_session() { Err(error) } else { Ok(()) }
}

/// Octets by which servers miscount, at least.
const MISCOUNTED: u64 = 64;

/// A body in `tmp/` is of no use.
pub(in crate::mail) fn discard(root: &Root, delivered: &Delivered) {
    if let Err(error) = root.discard(&delivered.mailbox, &delivered.stem) {
        tracing::debug!(%error, "a body that is not believed stays in tmp");
    }
}

/// What a text shows of being whole.
#[derive(Debug, Default)]
struct Outline {
    /// Its line so far holds something.
    in_line: bool,
    /// The header is over.
    in_text: bool,
    /// There is text behind the header.
    has_text: bool,
}

impl Outline {
    fn take(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some((byte, after)) = rest.split_first().filter(|_| !self.in_text) {
            self.in_text = *byte == b'\n' && !self.in_line;
            self.in_line = !matches!(byte, b'\n' | b'\r') || (self.in_line && *byte == b'\r');
            rest = after;
        }
        if let Some(last) = rest.last() {
            (self.has_text, self.in_line) = (true, *last != b'\n');
        }
    }

    fn looks_whole(&self) -> bool {
        self.has_text && !self.in_line
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
    outline: Outline,
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
                self.outline = Outline::default();
                Ok(())
            }
            Err(error) => Err(self.fail(error)),
        }
    }

    fn chunk(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(delivery) = self.open.as_mut() else { return Ok(()) };
        delivery.write(bytes).map_err(|error| self.fail(error))?;
        self.octets += bytes.len() as u64;
        self.outline.take(bytes);
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
                let (octets, looks_whole) = (self.octets, self.outline.looks_whole());
                self.done.push(Pulled { row, delivered, octets, short: false, looks_whole });
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hazard_130_a_text_that_was_cut_off_does_not_look_whole() {
        for (text, whole) in [
            ("", false),
            ("A: b\r\nC: d", false),
            ("A: b\r\nC: d\r\n", false),
            ("A: b\r\n\r\n", false),
            ("A: b\r\n\r\ntext", false),
            ("A: b\r\n\r\ntext\r\n", true),
            ("A: b\n\ntext\n", true),
            ("\r\ntext\r\n", true),
        ] {
            for size in 1..4 {
                let mut outline = Outline::default();
                text.as_bytes().chunks(size).for_each(|chunk| outline.take(chunk));
                assert_eq!(outline.looks_whole(), whole, "{text:?} by {size}");
            }
        }
    }
}
