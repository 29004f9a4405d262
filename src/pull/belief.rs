//! Rejects bodies that were cut off, or that are parts of other messages.

use std::collections::HashSet;

use super::classify::{Entry, Name};
use super::fetch::{Leaving, is_torn};
use super::pending::Body;
use super::read::Read;
use super::run::Run;
use super::sizes::{Habit, Size};
use crate::account::comparison::{Comparison, Expected};
use crate::account::error::AccountError;
use crate::account::progress::Progress;
use crate::account::sizes::{RUNS, Short, note};
use crate::local::Delivered;
use crate::remote::RemoteError;
use crate::remote::pop3::Session;
use crate::state::meta;

/// A short body, by what its message is called.
type ShortBody = Short<String>;

impl Run {
    /// Learns by which question it is seen whether answers belong to their commands.
    pub(super) async fn learn_proof(
        &mut self,
        session: &mut Session,
        number: u32,
    ) -> Result<(), AccountError> {
        if self.store.has_fact(&meta::POP3_ODD_ABOUT_ONE)? {
            session.asks_nothing_of_one();
        }
        let learnt = session.learn_proof(number).await;
        if matches!(learnt, Err(RemoteError::Protocol { .. })) {
            tracing::info!("the server says of one message what it does not say of all");
            self.store.transaction(|tx| tx.set_fact(&meta::POP3_ODD_ABOUT_ONE, &()))?;
        }
        Ok(learnt?)
    }

    /// Of bodies that came before a session ended, and were not [proven](Session::prove): how many
    /// of them are believed, in their order. What comes behind one that is not as long as was
    /// announced may be the rest of it (hazard 147); a server that counts in its own way says
    /// nothing by that.
    pub(super) fn believed(&self, session: &Session, done: &[Read]) -> usize {
        let is_off = |read: &Read| {
            let announced = session.size_of(read.number);
            announced.is_some_and(|size| size != read.delivered.summary.wire_size)
        };
        let off = done.iter().filter(|read| is_off(read)).count();
        match session.has_proof() && session.unproven_bodies() > 1 && off * 2 < done.len() {
            true => done.iter().position(is_off).unwrap_or(done.len()),
            false => done.len(),
        }
    }

    /// Bodies that are clearly shorter than announced (hazard 67). A server that miscounts all
    /// messages in one way is remembered for it.
    pub(super) fn short(
        &mut self,
        session: &Session,
        done: &[Read],
    ) -> Result<Expected, AccountError> {
        let size = |read: &Read| {
            let announced = session.size_of(read.number)?;
            Some(Size { announced, came: read.delivered.summary.wire_size })
        };
        let sizes: Vec<Size> = done.iter().filter_map(size).collect();
        if let Some(habit) = Habit::learn(&sizes) {
            self.store.transaction(|tx| tx.set_fact(&meta::SIZE_HABIT, &habit))?;
        }
        let habit = self.store.fact(&meta::SIZE_HABIT)?;
        let mut short = Expected::default();
        for read in done {
            if let Some(size) = size(read).filter(|size| size.is_short(habit)) {
                short.add(read.number, read.delivered.summary.content, size.announced);
            }
        }
        Ok(short)
    }

    /// Asks once more for bodies that are shorter than was announced. Gives those of which
    /// something else came into `doubted`.
    pub(super) async fn again(
        &mut self,
        session: &mut Session,
        short: Expected,
        doubted: &mut Vec<u32>,
    ) -> Result<(), RemoteError> {
        let mut numbers: Vec<u32> = short.contents.keys().copied().collect();
        numbers.sort_unstable();
        tracing::debug!("{} bodies are shorter than was announced", numbers.len());
        let nobody = Progress::default();
        let mut comparison = Comparison::new(short, &self.terms.mailbox, &nobody);
        let result = session.retrieve(&numbers, &mut comparison).await;
        *doubted = comparison.not_the_same();
        let result = match (result, numbers.first()) {
            (Ok(()), Some(number)) => session.prove(*number).await,
            (result, _) => result,
        };
        if result.as_ref().is_err_and(is_torn) {
            *doubted = numbers;
        }
        result
    }

    /// A body that came short twice in one pull is kept only after several pulls: a server in
    /// trouble gives the same short text each time (hazard 130). Returns the bodies that are kept.
    pub(super) fn settle_short(
        &mut self,
        bodies: Vec<Body>,
        short: &[u32],
    ) -> Result<Vec<Body>, AccountError> {
        let sizes_before = self.store.fact(&meta::ANNOUNCED_SIZES)?;
        let mut sizes = sizes_before.unwrap_or_default();
        let (mut right, mut off) = (0, 0);
        let mut list = self.short_bodies()?;
        let (mut kept, mut leaving) = (Vec::new(), Vec::new());
        let when = (self.number, self.environment.clock.now());
        for mut body in bodies {
            if !short.contains(&body.read.number) {
                right += 1;
                kept.push(body);
                continue;
            }
            let came = body.read.delivered.summary.wire_size;
            let announced = body.entry.size.unwrap_or_default();
            let words = format!("the server sent {came} of {announced} announced bytes");
            let is_known = body.entry.name != Name::None && !sizes.are_estimates();
            let name = self.listing.name(body.read.number);
            if is_known && note(&mut list, name.clone(), came, when) < RUNS {
                let why = format!("{words}; retried by a later pull");
                self.report.skip(body.entry.title(), why);
                self.forget(&body.read);
                leaving.push((body.entry, words, 0));
                continue;
            }
            list.retain(|short| short.row != name);
            let why = format!("{words}; kept as received, never deleted on the server");
            self.report.skip(body.entry.title(), why);
            off += 1;
            body.read.short = true;
            kept.push(body);
        }
        sizes.add(right, off);
        if sizes_before != Some(sizes) || list != self.short_bodies()? {
            self.store.transaction(|tx| {
                tx.set_fact(&meta::ANNOUNCED_SIZES, &sizes)?;
                let list = Some(list).filter(|list| !list.is_empty());
                tx.set_fact(&meta::SHORT_BODIES_OF_NAMES, &list)
            })?;
        }
        self.leave(leaving)?;
        Ok(kept)
    }

    /// Numbers of messages whose bodies came short, and that are not asked for again yet.
    pub(super) fn waiting_short(&self) -> Result<HashSet<u32>, AccountError> {
        let list = self.short_bodies()?;
        let (number, now) = (self.number, self.environment.clock.now());
        let asked = self.suspects.lock().is_asked();
        let waits = list.iter().filter(|short| !short.is_due(number, now, asked));
        let names: HashSet<&str> = waits.map(|short| short.row.as_str()).collect();
        if names.is_empty() {
            return Ok(HashSet::new());
        }
        let is_named = |number: &u32| names.contains(self.listing.name(*number).as_str());
        Ok(self.listing.numbers().filter(is_named).collect())
    }

    fn short_bodies(&self) -> Result<Vec<ShortBody>, AccountError> {
        Ok(self.store.fact(&meta::SHORT_BODIES_OF_NAMES)?.flatten().unwrap_or_default())
    }

    pub(super) fn doubted(&mut self, entry: Entry) -> Leaving {
        let words = "it came shorter than announced, and with another length on a second fetch";
        self.report.skip(entry.title(), words);
        let times = entry.tried.map_or(0, |(_, times)| times) + 1;
        (entry, words.to_owned(), times)
    }

    /// A body in `tmp/` is of no use.
    pub(super) fn forget(&self, read: &Read) {
        let Delivered { mailbox, stem, .. } = &read.delivered;
        if let Err(error) = self.root.discard(mailbox, stem) {
            tracing::debug!(%error, "a body that is not believed stays in tmp");
        }
    }
}
