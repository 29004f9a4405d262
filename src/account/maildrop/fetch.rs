//! Bodies from the maildrop into `tmp/`, batch by batch.

use std::collections::{BTreeMap, VecDeque};

use super::read::Read;
use super::remove::Removable;
use super::shelf::Shelf;
use super::sink::{Sink, Taken};
use super::sort::{Entry, TRIES};
use super::{Run, Through, totals};
use crate::account::AccountError;
use crate::account::progress::{Event, Way};
use crate::local::LocalError;
use crate::remote::pop3::Session;
use crate::remote::{Code, RemoteError};

/// A batch is placed when it holds this many messages or octets.
const BATCH: (usize, u64) = (4_000, 64 << 20);
/// The same where a program takes them one by one.
const HANDED: (usize, u64) = (50, 64 << 20);
/// A body in `tmp/`, whole and hashed, not yet durable.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) entry: Entry,
    pub(super) read: Read,
}

/// Why a batch came to no good end.
enum Cut {
    /// The connection is of no more use.
    Lost(RemoteError),
    /// The Maildir cannot be written.
    Disk(LocalError),
    /// The rest of a message that is too large was not waited for.
    Large,
    /// The disk became full.
    Full,
}

impl Run {
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

    /// Batch by batch; one is made durable while the next one comes.
    async fn batches(
        &mut self,
        session: &mut Session,
        mut todo: VecDeque<Entry>,
        pulled: &mut Vec<Removable>,
    ) -> Result<Through, AccountError> {
        let (mut through, mut shelf) = (Through::All, Shelf::as_they_are(Vec::new()));
        while !todo.is_empty() && through == Through::All {
            if self.outside.is_stopping() {
                through = Through::Enough;
                break;
            }
            let batch = next_batch(&mut todo, self.batch_size());
            if let Some(why) = self.disk_is_full(&batch) {
                self.report.skip(self.terms.mailbox.to_string(), why);
                through = Through::Enough;
                break;
            }
            let (bodies, left, cut) = self.batch(session, batch).await?;
            let next = match self.terms.deliver_command.is_empty() {
                true => Shelf::sync(&self.root, bodies),
                false => Shelf::as_they_are(bodies),
            };
            through = self.deliver(std::mem::replace(&mut shelf, next), pulled).await?;
            match cut {
                None if left.is_empty() => {}
                // It answered, and not to what it was asked.
                None => through = Through::Enough,
                Some(Cut::Lost(error)) => {
                    self.deliver(shelf, pulled).await?;
                    return self.lost(left, error);
                }
                Some(Cut::Full) => {
                    self.report.skip(self.terms.mailbox.to_string(), self.too_full());
                    through = Through::Enough;
                }
                Some(Cut::Disk(error)) => {
                    self.report.skip(self.terms.mailbox.to_string(), error.to_string());
                    through = Through::Enough;
                }
                Some(Cut::Large) if session.is_over() => {
                    self.deliver(shelf, pulled).await?;
                    return Ok(Through::Part);
                }
                Some(Cut::Large) => left.into_iter().rev().for_each(|one| todo.push_front(one)),
            }
        }
        let last = self.deliver(shelf, pulled).await?;
        Ok(if through == Through::All { last } else { through })
    }

    fn batch_size(&self) -> (usize, u64) {
        if self.terms.deliver_command.is_empty() { BATCH } else { HANDED }
    }

    fn disk_is_full(&self, batch: &[Entry]) -> Option<String> {
        let (_, octets) = totals(batch);
        let limit = self.settings.min_free;
        let full = self.root.free_octets()? < limit.saturating_add(octets);
        full.then(|| self.too_full())
    }

    fn too_full(&self) -> String {
        let limit = self.settings.min_free;
        format!("the disk would have less than min_free ({limit} bytes) left")
    }

    /// The connection was lost at a message: next time it is asked for last, and where it was so
    /// once more it is let be for now, so that it holds up nothing else.
    fn lost(&mut self, left: Vec<Entry>, error: RemoteError) -> Result<Through, AccountError> {
        let Some(entry) = left.into_iter().next() else { return Err(error.into()) };
        let (title, tried) = (entry.title(), entry.tried);
        self.leave(vec![(entry, error.to_string(), tried.map_or(0, |(_, times)| times))])?;
        if tried.is_none() || self.spares {
            return Err(error.into());
        }
        self.report.skip(title, error.to_string());
        self.spares = true;
        Ok(Through::Part)
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
            min_free: self.settings.min_free,
            now: self.outside.clock.now(),
            taken: Taken::default(),
            open: None,
            unmeasured: 0,
        };
        let result = session.retrieve(&numbers, &mut sink).await;
        let Taken { done, failure, refused, large, full } = sink.taken;
        let body = |read: Read| Some(Body { entry: entries.remove(&read.number)?, read });
        let bodies: Vec<Body> = done.into_iter().filter_map(body).collect();
        let mut leaving = Vec::new();
        for (number, error) in refused {
            let entry = entries.remove(&number);
            leaving.extend(entry.and_then(|entry| self.refused(entry, &error)));
        }
        if let Some(entry) = large.and_then(|number| entries.remove(&number)) {
            leaving.push((entry, self.too_large(), TRIES));
        }
        self.leave(leaving)?;
        let cut = match (result, failure, large) {
            (_, Some(error), _) => Some(Cut::Disk(error)),
            _ if full => Some(Cut::Full),
            (Ok(()), None, None) => None,
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
        self.leave(large.into_iter().map(|entry| (entry, words.clone(), TRIES)).collect())?;
        Ok(new)
    }

    /// The server does not give a message. What it says is for the moment is not counted.
    fn refused(&mut self, entry: Entry, error: &RemoteError) -> Option<Leaving> {
        let words = error.to_string();
        self.report.skip(self.terms.mailbox.to_string(), words.clone());
        let is_for_now = matches!(error.code(), Some(Code::Unavailable | Code::InUse));
        let times = entry.tried.map_or(0, |(_, times)| times) + 1;
        (!is_for_now).then_some((entry, words, times))
    }
}

/// A message that stays on the server: why, and after how many attempts.
pub(super) type Leaving = (Entry, String, u32);

fn next_batch(todo: &mut VecDeque<Entry>, size: (usize, u64)) -> Vec<Entry> {
    let (mut batch, mut octets) = (Vec::new(), 0_u64);
    while batch.len() < size.0 && octets < size.1 {
        let Some(entry) = todo.pop_front() else { break };
        octets = octets.saturating_add(entry.size.unwrap_or_default());
        batch.push(entry);
    }
    batch
}
