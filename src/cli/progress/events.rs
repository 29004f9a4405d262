//! What `sync --json` prints while it runs: an object a line, of which README tells the shape.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::account::progress::{Event, Way};
use crate::cli::report::HoldView;
use crate::reconcile::types::MailboxName;

/// Counts of one mailbox are told no more often than this.
const PAUSE: Duration = Duration::from_millis(500);

/// A line. Keys are added over time, never changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum Told<'a> {
    /// An account begins.
    Started {
        /// Its name.
        account: &'a str,
        /// Whether nothing will be changed.
        dry_run: bool,
    },
    /// Bodies of a mailbox begin to travel.
    Mailbox {
        /// Name of the account.
        account: &'a str,
        /// Path of the mailbox.
        mailbox: &'a str,
        /// `down` or `up`.
        way: &'static str,
        /// How many.
        messages: u64,
        /// Their sizes together, as far as they are known.
        bytes: u64,
    },
    /// How far that is; the last one of a mailbox when it is through for now.
    Messages {
        /// Name of the account.
        account: &'a str,
        /// Path of the mailbox.
        mailbox: &'a str,
        /// `down` or `up`.
        way: &'static str,
        /// Messages that have travelled.
        done: u64,
        /// Of how many.
        of: u64,
        /// Octets that have travelled.
        bytes: u64,
    },
    /// Something could not be done now.
    Skipped {
        /// Name of the account.
        account: &'a str,
        /// The mailbox or message.
        what: &'a str,
        /// Why.
        why: &'a str,
    },
    /// Something waits for a person.
    Held(&'a HoldView),
}

#[derive(Debug, Clone, Copy, Default)]
struct Count {
    done: u64,
    of: u64,
    octets: u64,
    planned_octets: u64,
    told: Option<Duration>,
}

/// What one account has told, so that it is not told too often.
#[derive(Debug, Clone, Default)]
pub struct Events {
    counts: BTreeMap<(MailboxName, Way), Count>,
}

impl Events {
    /// What to say of an event at an instant, if anything.
    pub fn tell<'a>(
        &mut self,
        account: &'a str,
        event: &Event<'a>,
        now: Duration,
    ) -> Option<Told<'a>> {
        match *event {
            Event::Connecting | Event::Looking { .. } => None,
            Event::Planned { mailbox, way, messages, octets } => {
                let count = self.counts.entry((mailbox.clone(), way)).or_default();
                count.of = count.of.saturating_add(messages);
                count.planned_octets = count.planned_octets.saturating_add(octets);
                None
            }
            Event::Began { mailbox, way } => {
                let count = self.counts.get_mut(&(mailbox.clone(), way))?;
                count.told = Some(now);
                let (messages, bytes) = (count.of, count.planned_octets);
                let (mailbox, way) = (mailbox.as_str(), word(way));
                Some(Told::Mailbox { account, mailbox, way, messages, bytes })
            }
            Event::Octets { mailbox, way, count } => {
                self.advance(account, mailbox, way, (0, count), now)
            }
            Event::Message { mailbox, way } => self.advance(account, mailbox, way, (1, 0), now),
            Event::Ended { mailbox, way } => {
                let count = self.counts.remove(&(mailbox.clone(), way))?;
                Some(counts(account, mailbox, way, &count))
            }
            Event::Skipped(skip) => {
                Some(Told::Skipped { account, what: &skip.what, why: &skip.why })
            }
        }
    }

    fn advance<'a>(
        &mut self,
        account: &'a str,
        mailbox: &'a MailboxName,
        way: Way,
        (messages, octets): (u64, u64),
        now: Duration,
    ) -> Option<Told<'a>> {
        let count = self.counts.get_mut(&(mailbox.clone(), way))?;
        count.done = count.done.saturating_add(messages);
        count.of = count.of.max(count.done);
        count.octets = count.octets.saturating_add(octets);
        if count.told.is_some_and(|told| now.saturating_sub(told) < PAUSE) {
            return None;
        }
        count.told = Some(now);
        Some(counts(account, mailbox, way, count))
    }
}

fn counts<'a>(account: &'a str, mailbox: &'a MailboxName, way: Way, count: &Count) -> Told<'a> {
    let Count { done, of, octets: bytes, .. } = *count;
    Told::Messages { account, mailbox: mailbox.as_str(), way: word(way), done, of, bytes }
}

fn word(way: Way) -> &'static str {
    match way {
        Way::Down => "down",
        Way::Up => "up",
    }
}
