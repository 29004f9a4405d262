//! What is under way on a connection, known before it is sent: should the connection be lost, that
//! is what it was lost at (hazard 90).

use super::listing::Listing;
use super::sent::Sent;
use super::session::Session;
use crate::remote::budget::Budget;
use crate::remote::error::RemoteError;
use crate::remote::suspects::{Command, Thing};

/// A connection that could not be had, and what it was lost at.
#[derive(Debug)]
pub struct Lost {
    /// Why.
    pub error: RemoteError,
    /// What was under way, if it is something that can be done without.
    pub thing: Option<Thing>,
}

impl From<RemoteError> for Lost {
    fn from(error: RemoteError) -> Self {
        Self { error, thing: None }
    }
}

impl Session {
    /// What the oldest command under way is about.
    #[must_use]
    pub fn under_way(&self) -> Option<Thing> {
        self.awaited.front().and_then(|sent| self.about(sent))
    }

    /// The message whose body came last, as long as nothing that followed said that it was whole.
    #[must_use]
    pub fn unproven(&self) -> Option<Thing> {
        self.unproven.map(|number| self.listing.thing(Command::Retr, number))
    }

    /// The last listing.
    #[must_use]
    pub fn listing(&self) -> &Listing {
        &self.listing
    }

    /// How many commands were answered, whatever the answer.
    #[must_use]
    pub fn answers(&self) -> u64 {
        self.answers
    }

    /// From here on nothing is sent before the answer to the last command.
    pub fn one_at_a_time(&mut self) {
        self.one_at_a_time = true;
    }

    /// Whether commands are sent before former ones are answered.
    pub(crate) fn sends_ahead(&self) -> bool {
        !self.one_at_a_time && self.capabilities.pipelining()
    }

    fn about(&self, sent: &Sent) -> Option<Thing> {
        let command = sent.command?;
        Some(match sent.number {
            Some(number) => self.listing.thing(command, number),
            None => Thing::in_maildrop(command, None),
        })
    }

    /// An answer begins as one does: so the body before it was whole.
    pub(crate) fn is_proven(&mut self) {
        if let Some(thing) = self.unproven() {
            self.unproven = None;
            self.suspects.lock().passed(&thing);
        }
    }

    /// The oldest command under way was refused.
    pub(crate) fn was_refused(&mut self) -> Option<Sent> {
        self.answers += 1;
        let sent = self.awaited.pop_front();
        let left = self.awaited.iter().fold(Budget::NONE, |sum, sent| sum.and(sent.budget));
        self.wire.allowance().begin(left);
        sent
    }

    /// The oldest command under way is through.
    pub(crate) fn settled(&mut self) {
        let Some(sent) = self.was_refused() else { return };
        match (sent.command, sent.number) {
            // Only what follows says whether that was its end.
            (Some(Command::Retr), number) => {
                self.unproven = number;
                self.step.body();
            }
            _ => {
                if let Some(thing) = self.about(&sent) {
                    self.suspects.lock().passed(&thing);
                }
            }
        }
    }

    /// Whether connections were lost at a command, so that it is not sent now.
    pub(crate) fn rests(&self, command: Command) -> bool {
        self.suspects.lock().why_not(command, None).is_some()
    }

    /// Notes that a command that concerns the maildrop as a whole was answered after all.
    pub(crate) fn note_answer(&self, command: Command) {
        self.suspects.lock().passed(&Thing::in_maildrop(command, None));
    }

    /// Notes that a command was refused that concerns the maildrop as a whole.
    pub(crate) fn note_refusal(&self, command: Command, error: &RemoteError) {
        self.suspects.lock().refused(&Thing::in_maildrop(command, None), &error.to_string());
    }
}
