//! Commands and their answers, which come in the order of the commands.

use std::collections::VecDeque;

use super::ahead::{Ahead, OCTETS, UNKNOWN, WINDOW};
use super::capabilities::Capabilities;
use super::listing::Listing;
use super::reply::{Answer, Refusal};
use super::sent::Sent;
use super::step::Step;
use super::wire::Wire;
use crate::reconcile::types::printable;
use crate::remote::broken::{Broken, broken_error};
use crate::remote::budget::Budget;
use crate::remote::error::RemoteError;
use crate::remote::suspects::{Command, Shared};
use crate::remote::transport::Counters;

/// What is wrong where a text has no end.
pub(crate) const MIXED: &str = "the next answer begins before the end of this one";

/// Whether a line looks like an answer, where none belongs.
fn is_answer(line: &[u8]) -> bool {
    line.starts_with(b"+OK") || line.starts_with(b"-ERR")
}

/// One signed-in connection.
///
/// A future of it that is dropped before it is ready leaves the conversation in the middle
/// of a sentence; the next command then ends the session.
#[derive(Debug)]
pub struct Session {
    pub(crate) wire: Wire,
    pub(crate) capabilities: Capabilities,
    /// The last listing, by number.
    pub(crate) listing: Listing,
    /// Messages that were asked for already.
    pub(crate) begun: Option<Ahead>,
    /// The commands whose answers were not wholly read yet.
    pub(crate) awaited: VecDeque<Sent>,
    /// How many were answered.
    pub(crate) answers: u64,
    /// The message whose body came last, see [`Self::unproven`].
    pub(crate) unproven: Option<u32>,
    /// Whether commands and answers are in step.
    pub(crate) step: Step,
    /// Nothing is sent before the answer to the last command.
    pub(crate) one_at_a_time: bool,
    /// Nothing is listed without UIDL.
    pub(crate) needs_ids: bool,
    /// What connections of the account were lost at.
    pub(crate) suspects: Shared,
}

impl Session {
    pub(crate) fn new(wire: Wire, capabilities: Capabilities) -> Self {
        Self {
            wire,
            capabilities,
            listing: Listing::default(),
            begun: None,
            awaited: VecDeque::new(),
            answers: 0,
            unproven: None,
            step: Step::default(),
            one_at_a_time: false,
            needs_ids: false,
            suspects: Shared::default(),
        }
    }

    /// What the server says it can do.
    #[must_use]
    pub fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// The octets of a message, as the last listing announced them.
    #[must_use]
    pub fn size_of(&self, number: u32) -> Option<u64> {
        self.listing.get(number).and_then(|one| one.size)
    }

    /// Bytes and commands so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.wire.counters
    }

    /// Nothing more is said: what was asked for is of no use any more. Nothing is deleted then.
    pub fn abandon(&mut self) {
        self.wire.finish();
    }

    /// Whether nothing more can be said.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.wire.is_finished()
    }

    // --- the conversation ---

    /// Queues a command, whose answer may cost so much. It goes out with the next wait.
    pub(crate) fn send(
        &mut self,
        doing: &str,
        command: &str,
        budget: Budget,
    ) -> Result<(), RemoteError> {
        self.send_masked(doing, command, command, budget)
    }

    /// Queues a command of which only `shown` may be seen.
    pub(crate) fn send_masked(
        &mut self,
        doing: &str,
        command: &str,
        shown: &str,
        budget: Budget,
    ) -> Result<(), RemoteError> {
        if self.wire.is_finished() {
            return Err(RemoteError::Closed { doing: doing.to_owned() });
        }
        if tracing::enabled!(tracing::Level::TRACE) {
            tracing::trace!("C: {}", printable(shown));
        }
        self.wire.queue(command);
        self.wire.counters.commands += 1;
        match self.awaited.is_empty() {
            true => self.wire.allowance().begin(budget),
            false => self.wire.allowance().add(budget),
        }
        self.awaited.push_back(Sent::new(shown, budget));
        Ok(())
    }

    /// Starts a command by itself: nothing may be under way.
    pub(crate) fn start(
        &mut self,
        doing: &str,
        command: &str,
        budget: Budget,
    ) -> Result<(), RemoteError> {
        if !self.awaited.is_empty() && !self.wire.is_finished() {
            return Err(self.lost(doing, "the command before was abandoned"));
        }
        self.send(doing, command, budget)
    }

    /// Reads a status line. When all that follows it was read, too, it has to be
    /// [settled](Self::settled); nothing follows a refusal, so that it is settled already.
    pub(crate) async fn status(&mut self, doing: &str) -> Result<Answer, RemoteError> {
        if let Err(broken) = self.wire.line().await {
            return Err(self.broken(doing, broken));
        }
        match Answer::parse(self.wire.in_hand()) {
            Some(answer) => {
                self.is_proven();
                if matches!(answer, Answer::Err(_)) {
                    self.was_refused();
                }
                Ok(answer)
            }
            None => Err(self.lost(doing, "it says neither +OK nor -ERR")),
        }
    }

    /// Reads the `+OK` before a body or a listing, or the refusal.
    pub(crate) async fn opening(
        &mut self,
        doing: &str,
    ) -> Result<Result<(), Refusal>, RemoteError> {
        match self.status(doing).await? {
            Answer::Ok(_) => Ok(Ok(())),
            Answer::Err(refusal) => Ok(Err(refusal)),
            Answer::Challenge(_) => Err(self.lost(doing, "unexpected challenge")),
        }
    }

    /// Reads an answer of one line.
    pub(crate) async fn answer(&mut self, doing: &str) -> Result<Result<(), Refusal>, RemoteError> {
        let answer = self.opening(doing).await?;
        if answer.is_ok() {
            self.settled();
        }
        Ok(answer)
    }

    /// Runs one command with an answer of one line.
    pub(crate) async fn run(
        &mut self,
        doing: &str,
        command: &str,
        budget: Budget,
    ) -> Result<Result<(), Refusal>, RemoteError> {
        self.start(doing, command, budget)?;
        self.answer(doing).await
    }

    /// Reads the lines of a listing up to its end.
    pub(crate) async fn lines(
        &mut self,
        doing: &str,
        each: &mut dyn FnMut(&[u8]) -> Result<(), Broken>,
    ) -> Result<(), RemoteError> {
        loop {
            if let Err(broken) = self.wire.line().await {
                return Err(self.broken(doing, broken));
            }
            let line = self.wire.in_hand();
            if is_answer(line) {
                return Err(self.lost(doing, MIXED));
            }
            if line == b"." {
                self.settled();
                return Ok(());
            }
            if let Err(broken) = each(line.strip_prefix(b".").unwrap_or(line)) {
                return Err(self.broken(doing, broken));
            }
        }
    }

    /// Why the conversation cannot go on; nothing is said on this connection any more.
    pub(crate) fn broken(&mut self, doing: &str, broken: Broken) -> RemoteError {
        self.wire.finish();
        broken_error(doing, broken, None)
    }

    /// As [`Self::broken`], where the server answers what was not asked.
    pub(crate) fn lost(&mut self, doing: &str, what: &str) -> RemoteError {
        self.wire.finish();
        RemoteError::Protocol { doing: doing.to_owned(), what: what.to_owned() }
    }

    /// Sends what may be sent now.
    pub(crate) fn send_ahead(
        &mut self,
        ahead: &mut Ahead,
        doing: &str,
        command: &dyn Fn(u32) -> String,
    ) -> Result<(), RemoteError> {
        let budget = ahead.budget;
        let window = if self.sends_ahead() { WINDOW } else { 1 };
        while let Some(number) = ahead.rest.front().copied() {
            // A server may announce what it likes.
            let size = || self.size_of(number).map_or(UNKNOWN, |size| size.min(OCTETS));
            let octets = if ahead.bodies { size() } else { 0 };
            if !ahead.has_room(window, octets) {
                break;
            }
            if ahead.under_way.is_empty() {
                self.start(doing, &command(number), budget)?;
            } else {
                self.send(doing, &command(number), budget)?;
            }
            ahead.under_way.push_back((number, octets));
            ahead.octets += octets;
            ahead.rest.pop_front();
        }
        Ok(())
    }

    /// Sends what may be sent, and gives the message whose answer comes next.
    pub(crate) fn advance(
        &mut self,
        ahead: &mut Ahead,
        doing: &str,
        command: &dyn Fn(u32) -> String,
    ) -> Result<Option<u32>, RemoteError> {
        self.send_ahead(ahead, doing, command)?;
        let Some((number, octets)) = ahead.under_way.pop_front() else { return Ok(None) };
        ahead.octets -= octets;
        Ok(Some(number))
    }

    // --- commands about the session itself ---

    /// Asks what the server can do (RFC 2449 §5). What was known before stands if it refuses.
    pub(crate) async fn ask_capabilities(&mut self) -> Result<(), RemoteError> {
        const DOING: &str = "CAPA";
        if self.rests(Command::Capa) {
            return Ok(());
        }
        self.start(DOING, DOING, Budget::SHORT)?;
        if self.opening(DOING).await?.is_err() {
            return Ok(());
        }
        let mut known = std::mem::take(&mut self.capabilities);
        known.clear();
        let each = &mut |line: &[u8]| {
            known.add(line);
            Ok(())
        };
        self.lines(DOING, each).await?;
        self.capabilities = known;
        Ok(())
    }

    /// Asks for nothing, so that the server stays.
    ///
    /// # Errors
    /// A refusal, or what ends the session.
    pub async fn noop(&mut self) -> Result<(), RemoteError> {
        self.run("NOOP", "NOOP", Budget::SHORT).await?.map_err(|refusal| refusal.of("NOOP"))
    }
}
