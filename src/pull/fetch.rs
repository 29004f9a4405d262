//! Bodies from the maildrop into `tmp/`, batch by batch.

use std::collections::{BTreeMap, VecDeque};

use super::classify::{Entry, TRIES};
use super::pending::{Body, PendingBatch, Pipeline};
use super::read::Read;
use super::remove::Removable;
use super::run::{Run, Through};
use super::sink::{Sink, Taken};
use super::totals;
use crate::account::error::AccountError;
use crate::account::progress::{Event, Way};
use crate::local::LocalError;
use crate::remote::pop3::Session;
use crate::remote::suspects::Command;
use crate::remote::{Code, RemoteError};

/// A batch is placed when it holds this many messages or octets.
const BATCH: (usize, u64) = (1_000, 8 << 20);
/// The same where a program takes them one by one.
const HANDED: (usize, u64) = (50, 64 << 20);
/// So many that stay on the server are noted in one transaction.
const AT_ONCE: usize = 1_000;

/// What came of a batch.
struct Batch {
    bodies: Vec<Body>,
    /// What was not answered.
    left: Vec<Entry>,
    cut: Option<Cut>,
    /// The body before what it was lost at may have been none.
    torn: bool,
    /// That is the last one of the batch before.
    torn_before: bool,
    /// Nothing of it is believed.
    in_doubt: bool,
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
        let (mailbox, way, progress) = (&mailbox, Way::Down, self.environment.progress.clone());
        let (messages, octets) = totals(&new);
        if messages > 0 {
            progress.tell(Event::Planned { mailbox, way, messages, octets });
            progress.tell(Event::Began { mailbox, way });
        }
        if let Some(first) = new.first() {
            self.learn_proof(session, first.number).await?;
        }
        let mut pulled = Vec::new();
        let result = self.in_company(session, new, &mut pulled).await;
        if messages > 0 {
            progress.tell(Event::Ended { mailbox, way });
        }
        Ok((result?, pulled))
    }

    /// Suspects come when everything else is here, each alone.
    async fn in_company(
        &mut self,
        session: &mut Session,
        mut new: Vec<Entry>,
        pulled: &mut Vec<Removable>,
    ) -> Result<Through, AccountError> {
        let suspicious = self.suspicious(Command::Retr);
        let suspects = new.extract_if(.., |entry| suspicious.contains(&entry.number));
        let suspects: Vec<Entry> = suspects.collect();
        let mut through = self.batches(session, new.into(), pulled).await?;
        for entry in suspects {
            if through != Through::All {
                break;
            }
            self.entitle(session, &entry).await?;
            through = self.batches(session, [entry].into(), pulled).await?;
        }
        Ok(through)
    }

    /// Batch by batch; the former ones are made durable and named while the next one comes.
    async fn batches(
        &mut self,
        session: &mut Session,
        mut todo: VecDeque<Entry>,
        pulled: &mut Vec<Removable>,
    ) -> Result<Through, AccountError> {
        let (mut through, mut pipeline) = (Through::All, Pipeline::default());
        let mut next = self.next(&mut todo, &mut through);
        while let Some(batch) = next.take() {
            let Batch { bodies, left, cut, torn, torn_before, in_doubt } =
                self.batch(session, batch, todo.is_empty()).await?;
            if cut.is_none() && left.is_empty() {
                // It is on its way while this one is recorded.
                next = self.next(&mut todo, &mut through);
                if let Some(next) = &next {
                    let numbers: Vec<u32> = next.iter().map(|entry| entry.number).collect();
                    session.begin_retrieve(&numbers).await?;
                }
            }
            if torn_before {
                pipeline.drop_last();
            }
            let pending = match self.terms.deliver_command.is_empty() {
                true => PendingBatch::sync(&self.root, bodies),
                false => PendingBatch::as_they_are(bodies),
            };
            if self.put_behind(&mut pipeline, pending, pulled).await? != Through::All {
                through = Through::Enough;
            }
            match cut {
                None if left.is_empty() => {}
                // It answered, and not to what it was asked.
                None => through = Through::Enough,
                Some(Cut::Lost(error)) => {
                    self.finish(&mut pipeline, pulled).await?;
                    // What it was lost at, and what may not have been whole before that.
                    let count = if in_doubt { 0 } else { 1 + usize::from(torn && !torn_before) };
                    let first = left.into_iter().take(count);
                    self.leave(first.map(|entry| left_with(entry, &error)).collect())?;
                    return Err(error.into());
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
                    self.finish(&mut pipeline, pulled).await?;
                    return Ok(Through::Part);
                }
                Some(Cut::Large) => {
                    left.into_iter().rev().for_each(|one| todo.push_front(one));
                    next = self.next(&mut todo, &mut through);
                }
            }
            if through != Through::All && next.take().is_some() {
                session.abandon();
            }
        }
        let last = self.finish(&mut pipeline, pulled).await?;
        Ok(if through == Through::All { last } else { through })
    }

    /// What is to be fetched next; nothing where that was all, or has to be.
    fn next(&mut self, todo: &mut VecDeque<Entry>, through: &mut Through) -> Option<Vec<Entry>> {
        if todo.is_empty() {
            return None;
        }
        if self.environment.is_stopping() || self.rests(Command::Retr) {
            *through = Through::Enough;
            return None;
        }
        let batch = next_batch(todo, self.batch_size());
        if let Some(why) = self.disk_is_full(&batch) {
            self.report.skip(self.terms.mailbox.to_string(), why);
            *through = Through::Enough;
            return None;
        }
        Some(batch)
    }

    fn batch_size(&self) -> (usize, u64) {
        match self.terms.deliver_command.is_empty() {
            _ if self.is_wary => (1, u64::MAX),
            true => BATCH,
            false => HANDED,
        }
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

    fn sink(&self) -> Sink<'_> {
        Sink {
            root: &self.root,
            mailbox: &self.terms.mailbox,
            progress: &self.environment.progress,
            limit: self.settings.max_message_size,
            min_free: self.settings.min_free,
            now: self.environment.clock.now(),
            taken: Taken::default(),
            open: None,
            unmeasured: 0,
        }
    }

    /// One RETR for each; `last` where no other batch follows in this session.
    async fn batch(
        &mut self,
        session: &mut Session,
        batch: Vec<Entry>,
        last: bool,
    ) -> Result<Batch, AccountError> {
        let numbers: Vec<u32> = batch.iter().map(|entry| entry.number).collect();
        let mut entries: BTreeMap<u32, Entry> =
            batch.into_iter().map(|entry| (entry.number, entry)).collect();
        let mut sink = self.sink();
        let mut result = session.retrieve(&numbers, &mut sink).await;
        let Taken { mut done, failure, mut refused, large, full } = sink.taken;
        // What follows the last body says whether that was its end.
        if let (Ok(()), Some(number)) = (&result, numbers.first())
            && (last || self.is_wary || session.has_proof())
        {
            result = session.prove(*number).await;
        }
        // A server that stuffs no dots ends a body too early, and goes on with the rest of it.
        let is_torn = result.as_ref().is_err_and(is_torn);
        let in_doubt = is_torn && session.unproven_bodies() > 1;
        let believed = if in_doubt { 0 } else { self.believed(session, &done) };
        if believed < done.len() {
            done.drain(believed..).for_each(|read| self.forget(&read));
            refused.clear();
        }
        let short = self.short(session, &done)?;
        let asked_twice: Vec<u32> = short.contents.keys().copied().collect();
        let mut doubted = Vec::new();
        if result.is_ok() && !asked_twice.is_empty() {
            result = self.again(session, short, &mut doubted).await;
        }
        let torn = is_torn && !in_doubt && session.unproven().is_some();
        let torn_before = torn && done.pop().is_none();
        let mut leaving = Vec::new();
        let (doubted, done): (Vec<Read>, Vec<Read>) =
            done.into_iter().partition(|read| doubted.contains(&read.number));
        for read in doubted {
            self.forget(&read);
            let entry = entries.remove(&read.number);
            leaving.extend(entry.map(|entry| self.doubted(entry)));
        }
        let body = |read: Read| Some(Body { entry: entries.remove(&read.number)?, read });
        let bodies: Vec<Body> = done.into_iter().filter_map(body).collect();
        let bodies = self.settle_short(bodies, &asked_twice)?;
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
        let left = numbers.into_iter().filter_map(|number| entries.remove(&number)).collect();
        Ok(Batch { bodies, left, cut, torn, torn_before, in_doubt })
    }

    /// The server does not give a message. What is for the moment, and is said of all of them, is
    /// not counted.
    fn refused(&mut self, entry: Entry, error: &RemoteError) -> Option<Leaving> {
        let for_now = matches!(error.code(), Some(Code::Unavailable | Code::InUse));
        if for_now && !self.suspects.lock().has_answered(Command::Retr) {
            self.report.skip(self.terms.mailbox.to_string(), error.to_string());
            return None;
        }
        self.note_failure(Command::Retr, entry.number, &error.to_string());
        Some(left_with(entry, error))
    }

    fn too_large(&self) -> String {
        format!("larger than max_message_size ({} bytes)", self.settings.max_message_size)
    }

    /// Messages above the limit stay on the server, and for now those that the disk has no room
    /// for. Gives the others.
    fn leave_large(&mut self, mut new: Vec<Entry>) -> Result<Vec<Entry>, AccountError> {
        let limit = self.settings.max_message_size;
        let fits = |entry: &Entry, most: u64| entry.size.is_none_or(|size| size <= most);
        let words = self.too_large();
        let mut large = new.extract_if(.., |entry| !fits(entry, limit));
        loop {
            let some: Vec<Entry> = large.by_ref().take(AT_ONCE).collect();
            if some.is_empty() {
                break;
            }
            self.leave(some.into_iter().map(|entry| (entry, words.clone(), TRIES)).collect())?;
        }
        drop(large);
        if let Some(free) = self.root.free_octets() {
            let room = free.saturating_sub(self.settings.min_free);
            let why = self.too_full();
            for entry in new.extract_if(.., |entry| room > 0 && !fits(entry, room)) {
                self.report.skip(entry.title(), why.clone());
            }
        }
        Ok(new)
    }
}

/// Whether what came is no answer: it may be the rest of a body.
pub(super) fn is_torn(error: &RemoteError) -> bool {
    matches!(error, RemoteError::Protocol { .. })
}

/// When it is asked for again is for the suspects to say.
fn left_with(entry: Entry, error: &RemoteError) -> Leaving {
    (entry, error.to_string(), 0)
}

/// A message that stays on the server: why, and after how many attempts.
pub(super) type Leaving = (Entry, String, u32);

/// Takes the next batch: `size` messages or octets at most, and towards the end no more than a
/// third of what is left, so that little is to be waited for behind the last body.
fn next_batch(todo: &mut VecDeque<Entry>, size: (usize, u64)) -> Vec<Entry> {
    const LEAST: (usize, u64) = (50, 1 << 20);
    // Of more than three batches it is no end.
    let last = todo.iter().take(size.0.saturating_mul(3));
    let left = last.filter_map(|entry| entry.size).fold(0, u64::saturating_add);
    let most = (size.0.min((todo.len() / 3).max(LEAST.0)), size.1.min((left / 3).max(LEAST.1)));
    let (mut batch, mut octets) = (Vec::new(), 0_u64);
    while batch.len() < most.0 && octets < most.1 {
        let Some(entry) = todo.pop_front() else { break };
        octets = octets.saturating_add(entry.size.unwrap_or_default());
        batch.push(entry);
    }
    batch
}
