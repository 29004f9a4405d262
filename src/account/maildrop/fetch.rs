//! Bodies from the maildrop into `tmp/`, batch by batch.

use std::collections::{BTreeMap, VecDeque};
use std::io;

use super::remove::Removable;
use super::sort::{Entry, TRIES, header_hash};
use super::{Pull, Through, totals};
use crate::account::AccountError;
use crate::account::progress::{Event, Progress, Way};
use crate::local::{Delivered, Delivery, LocalError, Root};
use crate::reconcile::types::MailboxName;
use crate::remote::pop3::{BodySink, HEADER, Session};
use crate::remote::{Code, RemoteError, date};

/// A batch is placed when it holds this many messages or octets.
const BATCH: (usize, u64) = (1_000, 32 << 20);
/// The same where a program takes them one by one.
const HANDED: (usize, u64) = (50, 32 << 20);
/// How much of a header is read, as TOP gives it.
const HEADER_MAX: usize = HEADER;
/// A date may be so many seconds in the future: clocks differ.
const AHEAD: i64 = 86_400;

/// A body in `tmp/`, whole and hashed, not yet durable.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) entry: Entry,
    pub(super) delivered: Delivered,
    /// Hash of its header.
    pub(super) header: [u8; 32],
    /// Hash of its body and of what its author wrote into the header.
    pub(super) text: Option<[u8; 32]>,
}

/// Why a batch came to no good end.
enum Cut {
    /// The connection is of no more use.
    Lost(RemoteError),
    /// The Maildir cannot be written.
    Disk(LocalError),
    /// The rest of a message that is too large was not waited for.
    Large,
}

impl Pull {
    /// Fetches and delivers what is new. Gives how far it came, and what was pulled.
    pub(super) async fn fetch(
        &mut self,
        session: &mut Session,
        new: Vec<Entry>,
    ) -> Result<(Through, Vec<Removable>), AccountError> {
        let new = self.leave_large(new)?;
        let mailbox = self.terms.mailbox.clone();
        let (mailbox, way, progress) = (&mailbox, Way::Down, self.outside.progress.clone());
        let (messages, octets) = totals(&new);
        if messages > 0 {
            progress.tell(Event::Planned { mailbox, way, messages, octets });
            progress.tell(Event::Began { mailbox, way });
        }
        let mut pulled = Vec::new();
        let result = self.batches(session, new.into(), &mut pulled).await;
        if messages > 0 {
            progress.tell(Event::Ended { mailbox, way });
        }
        Ok((result?, pulled))
    }

    async fn batches(
        &mut self,
        session: &mut Session,
        mut todo: VecDeque<Entry>,
        pulled: &mut Vec<Removable>,
    ) -> Result<Through, AccountError> {
        let mut through = Through::All;
        while !todo.is_empty() {
            if self.outside.is_stopping() {
                return Ok(Through::Enough);
            }
            let batch = next_batch(&mut todo, self.batch_size());
            if let Some(why) = self.disk_is_full(&batch) {
                self.report.skip(self.terms.mailbox.to_string(), why);
                return Ok(Through::Enough);
            }
            let (bodies, left, cut) = self.batch(session, batch).await?;
            let all_here = left.is_empty();
            let delivered = self.deliver(bodies, pulled).await?;
            if !delivered {
                through = Through::Enough;
            }
            match cut {
                None if all_here => {}
                // It answered, and not to what it was asked.
                None => through = Through::Enough,
                Some(Cut::Lost(error)) => return Err(error.into()),
                Some(Cut::Disk(error)) => {
                    self.report.skip(self.terms.mailbox.to_string(), error.to_string());
                    return Ok(Through::Enough);
                }
                Some(Cut::Large) if session.is_over() => return Ok(Through::Part),
                Some(Cut::Large) => left.into_iter().rev().for_each(|one| todo.push_front(one)),
            }
        }
        Ok(through)
    }

    fn batch_size(&self) -> (usize, u64) {
        if self.terms.deliver_command.is_empty() { BATCH } else { HANDED }
    }

    fn disk_is_full(&self, batch: &[Entry]) -> Option<String> {
        let (_, octets) = totals(batch);
        let limit = self.settings.min_free;
        let full = self.root.free_octets()? < limit.saturating_add(octets);
        full.then(|| format!("the disk would have less than min_free ({limit} bytes) left"))
    }

    /// One RETR for each. Gives what came, what was not answered, and why.
    async fn batch(
        &mut self,
        session: &mut Session,
        batch: Vec<Entry>,
    ) -> Result<(Vec<Body>, Vec<Entry>, Option<Cut>), AccountError> {
        let numbers: Vec<u32> = batch.iter().map(|entry| entry.number).collect();
        let mut entries: BTreeMap<u32, Entry> =
            batch.into_iter().map(|entry| (entry.number, entry)).collect();
        let mut sink = Sink {
            root: &self.root,
            mailbox: &self.terms.mailbox,
            progress: &self.outside.progress,
            limit: self.settings.max_message_size,
            now: self.outside.clock.now(),
            open: None,
            done: Vec::new(),
            refused: Vec::new(),
            large: None,
            failure: None,
        };
        let result = session.retrieve(&numbers, &mut sink).await;
        let Sink { done, refused, large, failure, .. } = sink;
        let body = |Done { number, delivered, header, text }| {
            let entry = entries.remove(&number)?;
            Some(Body { entry, delivered, header, text })
        };
        let bodies: Vec<Body> = done.into_iter().filter_map(body).collect();
        for (number, error) in refused {
            if let Some(entry) = entries.remove(&number) {
                self.refused(entry, &error)?;
            }
        }
        if let Some(entry) = large.and_then(|number| entries.remove(&number)) {
            self.leave(entry, self.too_large(), TRIES)?;
        }
        let cut = match (result, failure, large) {
            (Ok(()), None, None) => None,
            (_, Some(error), _) => Some(Cut::Disk(error)),
            (_, None, Some(_)) => Some(Cut::Large),
            (Err(error), None, None) => Some(Cut::Lost(error)),
        };
        let left = numbers.into_iter().filter_map(|number| entries.remove(&number));
        Ok((bodies, left.collect(), cut))
    }

    fn too_large(&self) -> String {
        format!("larger than max_message_size ({} bytes)", self.settings.max_message_size)
    }

    /// Messages above the limit stay on the server. Gives the others.
    fn leave_large(&mut self, new: Vec<Entry>) -> Result<Vec<Entry>, AccountError> {
        let limit = self.settings.max_message_size;
        let fits = |entry: &Entry| entry.size.is_none_or(|size| size <= limit);
        let (new, large): (Vec<Entry>, Vec<Entry>) = new.into_iter().partition(fits);
        let words = self.too_large();
        for entry in large {
            self.leave(entry, words.clone(), TRIES)?;
        }
        Ok(new)
    }

    /// The server does not give a message. What it says is for the moment is not counted.
    fn refused(&mut self, entry: Entry, error: &RemoteError) -> Result<(), AccountError> {
        let (mailbox, words) = (self.terms.mailbox.to_string(), error.to_string());
        self.report.skip(mailbox, words.clone());
        if matches!(error.code(), Some(Code::Unavailable | Code::InUse)) {
            return Ok(());
        }
        let times = entry.tried.map_or(0, |(_, times)| times) + 1;
        self.leave(entry, words, times)
    }
}

fn next_batch(todo: &mut VecDeque<Entry>, size: (usize, u64)) -> Vec<Entry> {
    let (mut batch, mut octets) = (Vec::new(), 0_u64);
    while batch.len() < size.0 && octets < size.1 {
        let Some(entry) = todo.pop_front() else { break };
        octets = octets.saturating_add(entry.size.unwrap_or_default());
        batch.push(entry);
    }
    batch
}

/// Streams bodies into `tmp/`.
struct Sink<'a> {
    root: &'a Root,
    mailbox: &'a MailboxName,
    progress: &'a Progress,
    limit: u64,
    now: i64,
    open: Option<Reading>,
    done: Vec<Done>,
    refused: Vec<(u32, RemoteError)>,
    /// The message that turned out too large.
    large: Option<u32>,
    failure: Option<LocalError>,
}

/// A body that came.
struct Done {
    number: u32,
    delivered: Delivered,
    header: [u8; 32],
    text: Option<[u8; 32]>,
}

/// A body that is coming.
struct Reading {
    number: u32,
    delivery: Delivery,
    octets: u64,
    head: Vec<u8>,
    /// Of what follows the header.
    rest: blake3::Hasher,
    in_body: bool,
}

impl Reading {
    fn take(&mut self, bytes: &[u8]) -> Result<(), LocalError> {
        self.octets += bytes.len() as u64;
        if self.in_body {
            self.rest.update(bytes);
        } else {
            self.take_head(bytes);
        }
        self.delivery.write(bytes)
    }

    /// Collects the header; one that is too long counts as its beginning.
    fn take_head(&mut self, bytes: &[u8]) {
        let from = self.head.len().saturating_sub(3);
        self.head.extend_from_slice(bytes);
        let end = memchr::memmem::find(&self.head[from..], b"\r\n\r\n").map(|at| from + at + 4);
        let end = end.unwrap_or(self.head.len());
        if end < self.head.len() || self.head.len() > HEADER_MAX {
            self.rest.update(&self.head[end..]);
            self.head.truncate(end);
            self.in_body = true;
        }
    }

    fn finish(self, now: i64) -> Result<Done, LocalError> {
        let date = date::of_header(&self.head).filter(|date| *date < now + AHEAD);
        let delivered = self.delivery.finish(date.unwrap_or(now))?;
        let keys = delivered.summary.header;
        let text = keys.has_message_id.then(|| {
            let mut hasher = blake3::Hasher::new();
            hasher.update(&keys.loose).update(self.rest.finalize().as_bytes());
            *hasher.finalize().as_bytes()
        });
        let head = &self.head[..self.head.len().min(HEADER_MAX)];
        Ok(Done { number: self.number, delivered, header: header_hash(head), text })
    }
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
    fn begin(&mut self, number: u32, _size: Option<u64>) -> io::Result<()> {
        match self.root.begin(self.mailbox, &self.root.new_stem()) {
            Ok(delivery) => {
                let (head, rest) = (Vec::new(), blake3::Hasher::new());
                let in_body = false;
                self.open = Some(Reading { number, delivery, octets: 0, head, rest, in_body });
                Ok(())
            }
            Err(error) => Err(self.fail(error)),
        }
    }

    fn chunk(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(open) = self.open.as_mut() else { return Ok(()) };
        if open.octets.saturating_add(bytes.len() as u64) > self.limit {
            self.large = Some(open.number);
            self.open = None;
            return Err(io::Error::other("the message is too large"));
        }
        open.take(bytes).map_err(|error| self.fail(error))?;
        let (mailbox, way, count) = (self.mailbox, Way::Down, bytes.len() as u64);
        self.progress.tell(Event::Octets { mailbox, way, count });
        Ok(())
    }

    fn end(&mut self, number: u32) -> io::Result<()> {
        let Some(open) = self.open.take() else { return Ok(()) };
        let (mailbox, way) = (self.mailbox, Way::Down);
        self.progress.tell(Event::Message { mailbox, way });
        if open.octets == 0 {
            // An empty file is no message: readers pass over it, or remove it.
            let words = "the server says OK and gives no message".to_owned();
            let doing = format!("RETR {number}");
            self.refused.push((number, RemoteError::Garbled { doing, what: words }));
            return Ok(());
        }
        match open.finish(self.now) {
            Ok(done) => {
                self.done.push(done);
                Ok(())
            }
            Err(error) => Err(self.fail(error)),
        }
    }

    fn discard(&mut self) {
        self.open = None;
    }

    fn refused(&mut self, number: u32, error: RemoteError) {
        let (mailbox, way) = (self.mailbox, Way::Down);
        self.progress.tell(Event::Message { mailbox, way });
        self.refused.push((number, error));
    }
}
