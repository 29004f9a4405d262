//! How far a run has come, for whoever asks meanwhile.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::state::{Board, State};
use crate::account::Progress;
use crate::account::progress::{Event, Way};
use crate::reconcile::types::printable;

/// The board is written to no more often than this.
const EVERY: Duration = Duration::from_millis(500);

/// Bodies that have travelled in a run, of how many.
#[derive(Debug, Default)]
struct Tally {
    down: (u64, u64),
    up: (u64, u64),
    told: Option<Instant>,
}

/// Progress that shows on the board.
#[must_use]
pub fn onto(board: &Arc<Board>, account: &str) -> Progress {
    let (board, account) = (Arc::clone(board), account.to_owned());
    let tally = Mutex::new(Tally::default());
    Progress::new(move |event| {
        let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(words) = tally.hear(event, Instant::now()) {
            board.update(&account, |view| {
                if view.state == State::Syncing {
                    view.why = Some(words);
                }
            });
        }
    })
}

impl Tally {
    /// Counts, and gives what to say now.
    fn hear(&mut self, event: &Event<'_>, now: Instant) -> Option<String> {
        let mailbox = match event {
            Event::Planned { way, messages, .. } => {
                let (_, of) = self.of(*way);
                *of += messages;
                return None;
            }
            Event::Message { mailbox, way } => {
                let (done, _) = self.of(*way);
                *done += 1;
                mailbox
            }
            _ => return None,
        };
        let words = self.words(mailbox.as_str());
        if self.down.0 >= self.down.1 && self.up.0 >= self.up.1 {
            // All has travelled: what comes next is another count.
            *self = Self { told: self.told, ..Self::default() };
        }
        let soon = self.told.is_some_and(|told| now.duration_since(told) < EVERY);
        if soon {
            return None;
        }
        self.told = Some(now);
        Some(words)
    }

    fn of(&mut self, way: Way) -> &mut (u64, u64) {
        match way {
            Way::Down => &mut self.down,
            Way::Up => &mut self.up,
        }
    }

    fn words(&self, mailbox: &str) -> String {
        let ways = [(self.down, "down"), (self.up, "up")];
        let parts = ways.into_iter().filter(|((_, of), _)| *of > 0);
        let parts: Vec<String> =
            parts.map(|((done, of), way)| format!("{done} of {of} {way}")).collect();
        format!("{} ({})", parts.join(", "), printable(mailbox))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reconcile::types::MailboxName;

    #[test]
    fn it_tells_how_many_of_how_many_twice_a_second() {
        let mailbox = &MailboxName::new("Work");
        let (mut tally, start) = (Tally::default(), Instant::now());
        let planned = Event::Planned { mailbox, way: Way::Down, messages: 3, octets: 9 };
        let message = Event::Message { mailbox, way: Way::Down };
        assert_eq!(tally.hear(&planned, start), None);
        assert_eq!(tally.hear(&message, start).unwrap(), "1 of 3 down (Work)");
        assert_eq!(tally.hear(&message, start + EVERY / 2), None);
        assert_eq!(tally.hear(&message, start + EVERY).unwrap(), "3 of 3 down (Work)");
        tally.hear(&planned, start + EVERY);
        assert_eq!(tally.hear(&message, start + EVERY * 2).unwrap(), "1 of 3 down (Work)");
    }
}
