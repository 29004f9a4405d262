//! Commands and their answers.
//!
//! A command is queued by [`Session::send`] and goes out with the first wait for an answer:
//! commands that are sent in a row share a packet. Every tagged status is looked at, and what
//! a server says unasked goes to the command's sink or is kept for [`Session::take_pending`].

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::capabilities::Capabilities;
use super::name::Names;
use super::parse::Response;
use super::parse::status::{Condition, Status};
use super::talk::{Pending, Stop, Tag, Talk, Untagged, deliver, require_ok};
use super::uid_set::UidSet;
use super::wire::Wire;
use crate::reconcile::types::{MailboxName, printable};
use crate::remote::broken::{Broken, broken_error};
use crate::remote::budget::Budget;
use crate::remote::error::RemoteError;
use crate::remote::suspects::{Command, Shared, Thing};
use crate::remote::transport::Counters;

/// How many commands may wait for their answers at a time.
pub(crate) const WINDOW: usize = 16;
/// How long the printed UID set of a command may be: servers limit the line to 8 KiB.
pub(crate) const SET_LIMIT: usize = 7_000;
/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_secs(5);

/// What came of a command that is sent while connecting, and can be done without.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Asked {
    /// It was not sent, as earlier connections were lost at it.
    Never,
    /// It was answered, or not needed.
    Answered,
    /// A connection before this one was lost at it: the error, and seconds of silence.
    Lost(String, i64),
}

/// What a connection is in the middle of, and what was lost before.
#[derive(Debug, Default)]
pub(crate) struct Caution {
    pub(crate) suspects: Shared,
    pub(crate) under_way: Option<Thing>,
    /// What stands for UIDs in the next APPEND: rows of the store.
    pub(crate) rows: UidSet,
    /// SEARCH ALL was seen to answer with something else than UIDs.
    pub(crate) searches_by_uid: bool,
}

/// One signed-in connection.
///
/// A future of it that is dropped before it is ready leaves the conversation in the middle
/// of a sentence; the next command then ends the session.
#[derive(Debug)]
pub struct Session {
    shell: async_imap::Session<Wire>,
    pub(crate) talk: Talk,
    pub(crate) names: Arc<Names>,
    pub(crate) selected: Option<MailboxName>,
    /// UIDVALIDITY of the selected mailbox.
    pub(crate) uid_validity: u32,
    pub(crate) caution: Caution,
    /// What came of CAPABILITY.
    pub(crate) capability: Asked,
    /// ID or ENABLE was sent.
    pub(crate) extends: bool,
    timeout: Duration,
    /// When the last answer was complete.
    answered: Instant,
}

impl Session {
    pub(crate) fn new(
        mut shell: async_imap::Session<Wire>,
        capabilities: Capabilities,
        timeout: Duration,
    ) -> Self {
        // From here on only waits for answers write, and nothing holds the secret any more.
        let wire = shell.get_mut();
        wire.forget_sent();
        wire.cork();
        wire.allowance().signed_in();
        Self {
            shell,
            talk: Talk::new(capabilities),
            names: Arc::default(),
            selected: None,
            uid_validity: 0,
            caution: Caution::default(),
            capability: Asked::Never,
            extends: false,
            timeout,
            answered: Instant::now(),
        }
    }

    /// What the server says it can do.
    #[must_use]
    pub fn capabilities(&self) -> &Capabilities {
        &self.talk.capabilities
    }

    /// UIDVALIDITY of the selected mailbox, 0 where the server did not say.
    #[must_use]
    pub fn uid_validity(&self) -> u32 {
        self.uid_validity
    }

    /// The mailbox that is selected.
    #[must_use]
    pub fn selected(&self) -> Option<&MailboxName> {
        self.selected.as_ref()
    }

    /// Messages of the selected mailbox, as far as the server has told.
    #[must_use]
    pub fn message_count(&self) -> u32 {
        self.talk.exists
    }

    /// Bytes and commands so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.shell.get_ref().counters
    }

    /// How long nothing was said.
    #[must_use]
    pub fn silence(&self) -> Duration {
        self.answered.elapsed()
    }

    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Takes what was said unasked while a command without a sink was running.
    pub fn take_pending(&mut self) -> Pending {
        std::mem::take(&mut self.talk.pending)
    }

    /// The server's spellings as far as they are known from LIST, for other sessions of the
    /// account: see [`Session::set_names`].
    #[must_use]
    pub fn names(&self) -> Arc<Names> {
        self.names.clone()
    }

    /// Takes the spellings that another session of the account has learned.
    pub fn set_names(&mut self, names: Arc<Names>) {
        self.names = names;
    }

    // --- the conversation ---

    pub(crate) fn wire(&mut self) -> &mut Wire {
        self.shell.get_mut()
    }

    /// The stream and the talk, to be borrowed side by side.
    pub(crate) fn parts(&mut self) -> (&mut Wire, &mut Talk) {
        (self.shell.get_mut(), &mut self.talk)
    }

    /// Queues a command, whose answer may cost so much. It goes out with the next wait.
    pub(crate) async fn send(
        &mut self,
        doing: &str,
        command: &str,
        budget: Budget,
    ) -> Result<Tag, RemoteError> {
        let wire = self.shell.get_mut();
        if wire.is_finished() {
            return Err(RemoteError::Closed { doing: doing.to_owned() });
        }
        match self.talk.outstanding.is_empty() && self.talk.deferred.is_empty() {
            true => wire.allowance().begin(budget),
            false => wire.allowance().add(budget),
        }
        wire.counters.commands += 1;
        if tracing::enabled!(tracing::Level::TRACE) {
            tracing::trace!("C: {}", printable(command));
        }
        match self.shell.run_command(command).await {
            Ok(id) => {
                let tag = Tag(id.0, budget);
                self.talk.outstanding.push(tag.clone());
                Ok(tag)
            }
            Err(_) => {
                let broken = self.wire().take_broken().unwrap_or(Broken::Closed);
                Err(self.broken(doing, broken))
            }
        }
    }

    /// Starts a command by itself: nothing may be under way.
    pub(crate) async fn start(
        &mut self,
        doing: &str,
        command: &str,
        budget: Budget,
    ) -> Result<Tag, RemoteError> {
        if !self.talk.outstanding.is_empty() && !self.wire().is_finished() {
            self.wire().finish();
            let what = "the command before was abandoned".to_owned();
            return Err(RemoteError::Protocol { doing: doing.to_owned(), what });
        }
        self.send(doing, command, budget).await
    }

    /// Waits for the answer to `tag`. Untagged responses go to `each`, which says whether it
    /// took them; what it leaves is kept.
    pub(crate) async fn answer(
        &mut self,
        doing: &str,
        tag: &Tag,
        each: &mut dyn FnMut(&Response<'_>) -> bool,
    ) -> Result<Status, RemoteError> {
        let result = self.try_answer(tag, each).await;
        self.answered = Instant::now();
        result.map_err(|stop| self.stopped(doing, stop))
    }

    async fn try_answer(
        &mut self,
        tag: &Tag,
        each: &mut dyn FnMut(&Response<'_>) -> bool,
    ) -> Result<Status, Stop> {
        let (wire, talk) = self.parts();
        wire.flush().await?;
        loop {
            if let Some(status) = talk.answered(tag) {
                return Ok(status);
            }
            wire.response().await?;
            talk.take_in(wire, each)?;
        }
    }

    /// Why the conversation ended; nothing is said on this connection any more.
    pub(crate) fn stopped(&mut self, doing: &str, stop: Stop) -> RemoteError {
        match stop {
            Stop::Broken(broken) => self.broken(doing, broken),
            Stop::Protocol(what) => {
                self.wire().finish();
                RemoteError::Protocol { doing: doing.to_owned(), what }
            }
        }
    }

    fn broken(&mut self, doing: &str, broken: Broken) -> RemoteError {
        let (wire, talk) = self.parts();
        wire.finish();
        // Whoever hangs up may have said why, in a line that was not looked at yet.
        let late =
            wire.ahead().split(|&b| b == b'\n').find_map(|line| match Response::parse(line) {
                Response::Status(Status { condition: Condition::Bye, words, .. }) => Some(words),
                _ => None,
            });
        broken_error(doing, broken, talk.bye.take().or(late))
    }

    /// Runs one command to its OK.
    pub(crate) async fn run(
        &mut self,
        doing: &str,
        command: &str,
        budget: Budget,
        each: &mut dyn FnMut(&Response<'_>) -> bool,
    ) -> Result<Status, RemoteError> {
        let tag = self.start(doing, command, budget).await?;
        let status = self.answer(doing, &tag, each).await?;
        require_ok(doing, status)
    }

    /// Runs commands to their OKs, several at a time. After a refusal no more are sent, and
    /// the first one is what is told.
    pub(crate) async fn run_all(
        &mut self,
        doing: &str,
        commands: impl IntoIterator<Item = (String, Budget)>,
        each: &mut dyn FnMut(&Response<'_>) -> bool,
    ) -> Result<(), RemoteError> {
        let mut commands = commands.into_iter();
        let mut under_way = std::collections::VecDeque::new();
        let mut refused = None;
        loop {
            while refused.is_none() && under_way.len() < WINDOW {
                let Some((command, budget)) = commands.next() else { break };
                let tag = if under_way.is_empty() {
                    self.start(doing, &command, budget).await?
                } else {
                    self.send(doing, &command, budget).await?
                };
                under_way.push_back(tag);
            }
            let Some(tag) = under_way.pop_front() else { break };
            let status = self.answer(doing, &tag, each).await?;
            if let Err(error) = require_ok(doing, status) {
                refused.get_or_insert(error);
            }
        }
        refused.map_or(Ok(()), Err)
    }

    // --- commands about the session itself ---

    /// Asks what the server can do.
    pub(crate) async fn ask_capabilities(&mut self) -> Result<(), RemoteError> {
        let mut list = None;
        self.run("CAPABILITY", "CAPABILITY", Budget::SHORT, &mut |response| {
            if let Response::Capability(text) = response {
                list = Some(text.to_vec());
            }
            false
        })
        .await?;
        if let Some(list) = list {
            self.talk.capabilities.replace(&list);
        }
        Ok(())
    }

    /// Queues what makes extensions work; nobody waits for these answers.
    pub(crate) async fn ask_extensions(&mut self) -> Result<(), RemoteError> {
        let can = |name: &str| self.talk.capabilities.has(name);
        let enable = match (can("ENABLE"), can("QRESYNC"), can("CONDSTORE")) {
            (true, true, _) => Some("ENABLE QRESYNC"),
            (true, false, true) => Some("ENABLE CONDSTORE"),
            _ => None,
        };
        // Some servers open no mailbox to a client that does not introduce itself.
        let version =
            concat!("ID (\"name\" \"mailtide\" \"version\" \"", env!("CARGO_PKG_VERSION"), "\")");
        let introduce = can("ID").then_some(version);
        for command in [introduce, enable].into_iter().flatten() {
            let tag = self.send(command, command, Budget::SHORT).await?;
            self.talk.outstanding.retain(|t| *t != tag);
            self.talk.deferred.push(tag);
            self.extends = true;
        }
        Ok(())
    }

    /// Waits until it is settled what was [enabled](Capabilities::qresync).
    ///
    /// # Errors
    /// Only what ends the session.
    pub async fn settle(&mut self) -> Result<(), RemoteError> {
        if !self.talk.deferred.is_empty() {
            self.caution.under_way = Some(Thing::whole(Command::Extensions, None));
        }
        let deferred = std::mem::take(&mut self.talk.deferred);
        self.talk.outstanding.extend(deferred.iter().cloned());
        for tag in deferred {
            self.answer("ENABLE", &tag, &mut |_| false).await?;
        }
        if self.extends {
            let extensions = Thing::whole(Command::Extensions, None);
            self.caution.suspects.lock().passed(&extensions);
        }
        Ok(())
    }

    /// Lets the server say what happened in the selected mailbox.
    ///
    /// # Errors
    /// A refusal, or what ends the session.
    pub async fn noop(&mut self, sink: &mut dyn FnMut(Untagged)) -> Result<(), RemoteError> {
        self.caution.under_way = Some(Thing::whole(Command::Noop, None));
        let each = &mut |response: &Response<'_>| deliver(response, sink);
        let answer = self.run("NOOP", "NOOP", Budget::SHORT, each).await;
        self.passing(answer).map(drop)
    }

    /// Makes sure that the server answers, within this time at most.
    ///
    /// # Errors
    /// What ends the session: it does not.
    pub async fn prove(&mut self, within: Duration) -> Result<(), RemoteError> {
        let before = self.timeout;
        self.wire().allowance().set_silence(before.min(within));
        let answered = self.noop(&mut |_| {}).await;
        self.wire().allowance().set_silence(before);
        answered
    }

    /// Says goodbye and waits a moment for the answer.
    ///
    /// # Errors
    /// The server did not answer; nothing is lost by that.
    pub async fn logout(mut self) -> Result<(), RemoteError> {
        let short = self.timeout.min(GOODBYE);
        self.wire().allowance().set_silence(short);
        let tag = self.send("LOGOUT", "LOGOUT", Budget::SHORT).await?;
        match self.answer("LOGOUT", &tag, &mut |_| false).await {
            // Hanging up after the BYE, without the OK, is a goodbye as well.
            Ok(_) | Err(RemoteError::Bye { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
