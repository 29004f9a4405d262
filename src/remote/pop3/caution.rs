//! What is under way on a connection, known before it is sent: should the connection be lost, that
//! is what it was lost at (hazard 90).

use std::collections::HashSet;
use std::sync::Arc;

use super::list::Listed;
use super::session::Session;
use crate::remote::RemoteError;
use crate::remote::budget::Budget;
use crate::remote::suspects::{Command, Thing};

/// A command that was sent and is not wholly answered yet.
#[derive(Debug)]
pub(crate) struct Sent {
    /// What its answer may cost.
    pub(crate) budget: Budget,
    /// Which it is; none for those of the sign-in.
    command: Option<Command>,
    /// The message that it is about, by its number.
    number: Option<u32>,
}

impl Sent {
    /// Reads off a line what it asks for.
    pub(crate) fn new(line: &str, budget: Budget) -> Self {
        let mut words = line.split(' ');
        let command = match words.next().unwrap_or_default() {
            "CAPA" => Some(Command::Capa),
            "UTF8" => Some(Command::Utf8),
            "UIDL" => Some(Command::Uidl),
            "LIST" => Some(Command::List),
            "STAT" => Some(Command::Stat),
            "TOP" => Some(Command::Top),
            "RETR" => Some(Command::Retr),
            "DELE" => Some(Command::Dele),
            "NOOP" => Some(Command::Prove),
            "QUIT" => Some(Command::Quit),
            _ => None,
        };
        let number = words.next().filter(|_| command.is_some()).and_then(|word| word.parse().ok());
        match (command, number) {
            // About one message they are asked only to see whether an answer fits.
            (Some(Command::Uidl | Command::List), Some(_)) => {
                Self { budget, command: Some(Command::Prove), number: None }
            }
            _ => Self { budget, command, number },
        }
    }
}

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

/// The maildrop as a session shows it, by number.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    all: Arc<[Listed]>,
    /// It has an id twice.
    twins: bool,
}

impl Listing {
    pub(crate) fn new(all: Arc<[Listed]>) -> Self {
        let mut seen = HashSet::new();
        let twins = !all.iter().filter_map(|one| one.uidl.as_deref()).all(|id| seen.insert(id));
        Self { all, twins }
    }

    /// A message.
    pub(crate) fn get(&self, number: u32) -> Option<&Listed> {
        let at = self.all.binary_search_by_key(&number, |one| one.number).ok()?;
        self.all.get(at)
    }

    /// How many messages there are.
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether an id is that of two.
    #[must_use]
    pub fn has_twins(&self) -> bool {
        self.twins
    }

    /// All numbers.
    pub fn numbers(&self) -> impl Iterator<Item = u32> {
        self.all.iter().map(|one| one.number)
    }

    /// What a message is called in every session: by its unique id or, where that says nothing, by
    /// its number and size.
    #[must_use]
    pub fn name(&self, number: u32) -> String {
        let listed = self.get(number);
        let uidl = listed.and_then(|one| one.uidl.as_ref()).filter(|_| !self.twins);
        match (uidl.filter(|id| ***id != *number.to_string()), listed.and_then(|one| one.size)) {
            (Some(uidl), _) => format!("UIDL {uidl}"),
            (None, Some(size)) => format!("message {number} of {size} octets"),
            (None, None) => format!("message {number}"),
        }
    }

    /// A command about a message.
    #[must_use]
    pub fn thing(&self, command: Command, number: u32) -> Thing {
        Thing::in_maildrop(command, Some(self.name(number)))
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
