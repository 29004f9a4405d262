//! How a pull goes on after its connection was lost (hazard 90), as a sync does: see
//! [`crate::account::suspects`].
//!
//! What DELE marked since the last QUIT is not deleted then: the next session lists it again, and
//! what was recorded as pulled is known there.

use std::collections::{BTreeSet, HashSet};

use super::classify::{Entry, Name, Sorted};
use super::run::{Run, Through};
use crate::account::error::AccountError;
use crate::account::losses::{At, Loss, title};
use crate::account::sample::Sample;
use crate::account::suspects;
use crate::remote::pop3::{Header, Lost, Session};
use crate::remote::suspects::{Command, Suspect, Suspects};
use crate::remote::{Code, RemoteError};
use crate::state::StateError;

impl Run {
    /// Takes what earlier pulls noted; `cause` is why this one was asked for.
    pub(super) fn begin_cautiously(&mut self, cause: &str) -> Result<(), StateError> {
        let when = (self.number, self.environment.clock.now());
        suspects::load(&self.suspects, &self.store, when, cause, BTreeSet::new())
    }

    /// Goes on over a new session after this one was lost.
    ///
    /// # Errors
    /// The error itself where it is no such loss, or where enough was tried.
    pub(super) fn survive(
        &mut self,
        session: &Session,
        error: RemoteError,
    ) -> Result<Through, AccountError> {
        if !error.is_loss() {
            return self.end_of_session(error);
        }
        // What does not look like an answer may be the rest of the body before it.
        let is_odd = matches!(error, RemoteError::Protocol { .. });
        if is_odd && (session.unproven_bodies() > 1 || session.is_unprovable()) {
            // Which message it was is found by asking for each alone (hazard 147).
            self.is_wary |= session.unproven_bodies() > 1;
            self.losses.begin_anew();
            suspects::keep(&self.suspects, &mut self.store)?;
            return self.on_or_out(error);
        }
        let torn = session.unproven().filter(|_| is_odd);
        let is_known = torn.as_ref().is_some_and(|torn| self.suspects.lock().knows(torn));
        let thing = match torn {
            Some(torn) if is_known => Some(torn),
            Some(torn) => {
                let at = At::of(&self.settings, &self.environment);
                self.losses.at(&torn, &error, &self.suspects, at);
                session.under_way()
            }
            None => session.under_way(),
        };
        let is_fresh = session.answers() == 0;
        let at = At::of(&self.settings, &self.environment);
        // Whoever let us in has answered.
        self.go_on(Loss { error: &error, thing, is_fresh, has_answered: true, at })?;
        self.on_or_out(error)
    }

    /// The same where the sign-in came to no end.
    pub(super) fn survive_without(&mut self, lost: Lost) -> Result<Through, AccountError> {
        let Lost { error, thing } = lost;
        if !error.is_loss() {
            return self.end_of_session(error);
        }
        let is_fresh = thing.as_ref().is_some_and(|thing| thing.command.has_another_way());
        let at = At::of(&self.settings, &self.environment);
        self.go_on(Loss { error: &error, thing, is_fresh, has_answered: false, at })?;
        self.on_or_out(error)
    }

    /// Whether it is likely that the server still holds the maildrop for the session before.
    pub(super) fn may_wait(&mut self, lost: &Lost) -> bool {
        let is_busy = matches!(&lost.error, RemoteError::Busy { code, .. }
            if !matches!(code, Some(Code::LoginDelay(_))));
        is_busy && !self.environment.is_stopping() && self.losses.may_be_released()
    }

    fn go_on(&mut self, loss: Loss<'_>) -> Result<(), AccountError> {
        self.losses.note(loss, &self.suspects);
        suspects::keep(&self.suspects, &mut self.store)
    }

    fn on_or_out(&self, error: RemoteError) -> Result<Through, AccountError> {
        // A server that wants a rest gets it.
        if self.losses.is_over() || self.environment.is_stopping() || self.report.rest.is_some() {
            return Err(error.into());
        }
        tracing::info!(%error, "going on over a new connection");
        Ok(Through::Part)
    }

    /// The session is over, for another reason than that it was lost.
    fn end_of_session(&mut self, error: RemoteError) -> Result<Through, AccountError> {
        suspects::keep(&self.suspects, &mut self.store)?;
        Err(error.into())
    }

    /// Of messages that are not in the listing nothing is known any more.
    pub(super) fn forget_gone(&mut self) {
        if self.suspects.lock().is_empty() {
            return;
        }
        let there = self.named(&|_, _| true);
        let there: HashSet<String> =
            there.iter().map(|number| self.listing.name(*number)).collect();
        self.suspects.lock().retain_messages(|message| there.contains(message));
    }

    /// What was pulled is asked for no more.
    pub(super) fn forget_pulled(&self, sorted: &Sorted) {
        let suspicious = self.suspicious(Command::Retr);
        for known in sorted.known.iter().filter(|known| suspicious.contains(&known.number)) {
            if !known.is_left {
                self.suspects.lock().passed(&self.listing.thing(Command::Retr, known.number));
            }
        }
    }

    /// Messages that are not asked for now, by their numbers: by RETR, TOP or DELE.
    pub(super) fn resting(&self, command: Command) -> HashSet<u32> {
        self.numbers(command, true)
    }

    /// Messages at which a connection was lost, and those that are not asked for now.
    pub(super) fn suspicious(&self, command: Command) -> HashSet<u32> {
        self.numbers(command, false)
    }

    fn numbers(&self, command: Command, resting: bool) -> HashSet<u32> {
        self.named(&|suspects, suspect| {
            suspect.thing.command == command && (!resting || suspects.rests(suspect))
        })
    }

    /// Messages of the listing of which there is such a suspect.
    fn named(&self, is_one: &dyn Fn(&Suspects, &Suspect) -> bool) -> HashSet<u32> {
        let suspects = self.suspects.lock();
        let such = suspects.list().iter().filter(|suspect| is_one(&suspects, suspect));
        let names: HashSet<&str> = such.filter_map(|s| s.thing.message.as_deref()).collect();
        if names.is_empty() {
            return HashSet::new();
        }
        let is_named = |number: &u32| names.contains(self.listing.name(*number).as_str());
        self.listing.numbers().filter(is_named).collect()
    }

    /// The server refused something about a message, or what came of it is of no use.
    pub(super) fn note_failure(&self, command: Command, number: u32, words: &str) {
        self.suspects.lock().refused(&self.listing.thing(command, number), words);
    }

    /// Whether no message is asked for now, whichever it is.
    pub(super) fn rests(&self, command: Command) -> bool {
        self.suspects.lock().why_not(command, None).is_some()
    }

    /// Learns what a person knows a message by, before it is asked for alone.
    pub(super) async fn entitle(
        &mut self,
        session: &mut Session,
        entry: &Entry,
    ) -> Result<(), AccountError> {
        let name = self.listing.name(entry.number);
        let has_title = |run: &Self| {
            let suspects = run.suspects.lock();
            let found = suspects.of_message(Command::Retr, &name);
            found.is_none_or(|suspect| suspect.title.is_some())
        };
        if has_title(self) {
            return Ok(());
        }
        let mut subject = String::new();
        let known = self.suspicious(Command::Top).contains(&entry.number);
        if session.capabilities().has("TOP") && !known && !self.rests(Command::Top) {
            let mut take = |_: u32, header: Header<'_>| {
                subject = header.map(|header| Sample::of(header).subject).unwrap_or_default();
            };
            session.top(&[entry.number], 0, &mut take).await?;
        }
        let size = match entry.name {
            Name::Uidl(_) => entry.size.map(|size| format!("{size} octets")),
            _ => None,
        };
        let quoted = (!subject.is_empty()).then(|| format!("\"{subject}\""));
        let title: Vec<String> = size.into_iter().chain(quoted).collect();
        self.suspects.lock().entitle_message(Command::Retr, &name, title.join(", "));
        Ok(())
    }

    /// Names what was lost in this pull, and what is done in another way, for the report.
    pub(super) fn name_suspects(&mut self) -> Result<(), AccountError> {
        let list = self.suspects.lock().list().to_vec();
        for suspect in list {
            let tried = self.suspects.lock().was_tried(&suspect);
            let said = |skip: &crate::account::Skip| skip.why.contains(&suspect.words);
            let said = !suspect.is_set_aside() && self.report.skipped.iter().any(said);
            let is_message = suspect.thing.message.is_some();
            if !suspect.thing.command.has_another_way() && (tried || !is_message) && !said {
                let what = title(&suspect.thing, suspect.title.as_deref());
                self.report.skip(what, suspects::why(&suspect));
            }
        }
        suspects::keep(&self.suspects, &mut self.store)
    }
}
