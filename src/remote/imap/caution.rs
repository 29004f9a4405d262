//! What is under way on a connection, known before it is sent: should the connection be lost, that
//! is what it was lost at (hazard 90).

use std::collections::VecDeque;
use std::time::Duration;

use super::session::{Asked, Session};
use super::uid_set::{UidSet, halves, unanswered};
use crate::reconcile::types::{MailboxName, Uid};
use crate::remote::endpoint::Endpoint;
use crate::remote::error::RemoteError;
use crate::remote::suspects::{Command, Shared, Thing};
use crate::remote::transport::Connector;

impl Session {
    /// Connects as [`Self::connect`] does, but asks for nothing that earlier connections were lost
    /// at and that can be done without. Takes the suspects of the account.
    ///
    /// # Errors
    /// As for [`Self::connect`].
    pub async fn connect_cautiously(
        endpoint: &Endpoint,
        connector: &dyn Connector,
        suspects: &Shared,
    ) -> Result<Self, RemoteError> {
        let avoided = suspects.lock().avoided();
        let mut endpoint = endpoint.clone();
        endpoint.disable.extend(avoided);
        let mut session = Self::connect(&endpoint, connector).await?;
        let capability = Thing::whole(Command::Capability, None);
        match &session.capability {
            Asked::Lost(words, silence) => {
                suspects.lock().lost_at_first(&capability, words, *silence)
            }
            Asked::Answered => suspects.lock().passed(&capability),
            Asked::Never => {}
        }
        session.caution.suspects = suspects.clone();
        Ok(session)
    }

    /// What the last command was about, as far as it was not answered. ID and ENABLE come before
    /// it on a new connection.
    #[must_use]
    pub fn under_way(&self) -> Option<Thing> {
        match self.talk.deferred.is_empty() {
            true => self.caution.under_way.clone(),
            false => Some(Thing::whole(Command::Extensions, None)),
        }
    }

    /// How many commands were answered, whatever the answer.
    #[must_use]
    pub fn answers(&self) -> u64 {
        self.talk.answers
    }

    /// Says which rows of the store the next APPEND sends.
    pub fn sends(&mut self, rows: UidSet) {
        self.caution.rows = rows;
    }

    /// What is under way is about these, rather than about what was sent behind them.
    pub fn blame(&mut self, uids: UidSet) {
        if let Some(thing) = &mut self.caution.under_way {
            thing.uids = uids;
        }
    }

    /// Begins something that concerns a mailbox as a whole.
    ///
    /// # Errors
    /// `SetAside` if connections were lost in it before, and it is not asked for now.
    pub(crate) fn begin(
        &mut self,
        command: Command,
        mailbox: &MailboxName,
    ) -> Result<(), RemoteError> {
        let why = self.caution.suspects.lock().why_not(command, Some(mailbox));
        if let Some(words) = why {
            let doing = format!("{} {mailbox}", command.name());
            return Err(RemoteError::SetAside { doing, words });
        }
        self.caution.under_way = Some(Thing::whole(command, Some(mailbox)));
        let patience = self.caution.suspects.lock().patience(mailbox).map(Duration::from_secs);
        let silence = patience.map_or(self.timeout(), |short| short.min(self.timeout()));
        self.wire().allowance().set_silence(silence);
        Ok(())
    }

    /// Begins something that concerns messages of the selected mailbox.
    ///
    /// # Errors
    /// As for [`Self::begin`].
    pub(crate) fn begin_with(
        &mut self,
        command: Command,
        uids: &UidSet,
    ) -> Result<(), RemoteError> {
        if let Some(mailbox) = self.selected.clone() {
            self.begin(command, &mailbox)?;
        }
        self.caution.under_way = Some(self.thing(command, uids));
        Ok(())
    }

    fn thing(&self, command: Command, uids: &UidSet) -> Thing {
        let (mailbox, uid_validity) = (self.selected.clone(), self.uid_validity);
        Thing { uid_validity, uids: uids.clone(), ..Thing::whole(command, mailbox.as_ref()) }
    }

    /// What is under way was answered.
    pub(crate) fn passed(&mut self) {
        if let Some(thing) = &self.caution.under_way {
            self.caution.suspects.lock().passed(thing);
        }
    }

    /// Passes on an answer, and notes that what is under way was one that can be given.
    pub(crate) fn passing<T, E>(&mut self, answer: Result<T, E>) -> Result<T, E> {
        if answer.is_ok() {
            self.passed();
        }
        answer
    }

    /// What was asked for and is not among these was not answered.
    pub(crate) fn answered_only(&mut self, answered: &UidSet) {
        if let Some(thing) = &mut self.caution.under_way {
            let left = unanswered(&thing.uids, answered);
            if !answered.is_empty() {
                let answered = Thing { uids: answered.clone(), ..thing.clone() };
                self.caution.suspects.lock().passed(&answered);
            }
            thing.uids = left;
        }
    }

    /// Messages of the selected mailbox in the company in which they are asked for.
    pub(crate) async fn in_parts(
        &mut self,
        command: Command,
        set: &UidSet,
    ) -> Result<VecDeque<UidSet>, RemoteError> {
        let Some(mailbox) = self.selected.clone() else { return Ok([set.clone()].into()) };
        self.begin(command, &mailbox)?;
        let parts = |session: &Self, set: &UidSet| {
            let suspects = session.caution.suspects.lock();
            suspects.parts(command, &mailbox, session.uid_validity, set)
        };
        let now = parts(self, set);
        let is_whole = now.len() == 1 && now.first() == Some(set);
        if is_whole || set.last() != Some(Uid(u32::MAX)) {
            return Ok(now.into());
        }
        // Only what is there can be taken apart.
        let (all, _) = self.search_all().await?;
        Ok(parts(self, &set.intersection(&all)).into())
    }

    /// Whether all of these were set aside, message by message: they are left out from now on.
    pub(crate) fn is_left_out(&self, command: Command, set: &UidSet) -> bool {
        let Some(mailbox) = &self.selected else { return false };
        let suspects = self.caution.suspects.lock();
        let resting = suspects.resting(command, mailbox, self.uid_validity);
        !resting.is_empty() && set.difference(&resting).is_empty()
    }

    /// The server refused a part of what was asked for: gives what to ask for in its place.
    pub(crate) async fn take_apart(
        &mut self,
        command: Command,
        part: &UidSet,
        error: &RemoteError,
        queue: &mut VecDeque<UidSet>,
    ) -> Result<(), RemoteError> {
        let part = match part.last() {
            Some(Uid(u32::MAX)) => self.search_all().await?.0.intersection(part),
            _ => part.clone(),
        };
        if part.is_empty() {
            return Ok(());
        }
        let thing = self.thing(command, &part);
        let mut suspects = self.caution.suspects.lock();
        suspects.refused(&thing, &error.to_string());
        if suspects.why_not(command, thing.mailbox.as_ref()).is_some() {
            queue.clear();
        } else if part.len() > 1 {
            let (first, second) = halves(&part);
            queue.push_front(second);
            queue.push_front(first);
        }
        Ok(())
    }
}
