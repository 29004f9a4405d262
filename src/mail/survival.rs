//! How a run goes on after a connection was lost (hazard 90).
//!
//! The session knows what the connection was lost at. That is noted in the store if something was
//! answered on the connection since it (or the run) began, or if it was a suspect already, or if it
//! can be done in another way and nothing was answered yet. [`Suspects`] say in which company, and
//! when, that thing is asked for again; the run goes on over a new connection with everything else.
//!
//! The run ends instead
//! - when nothing was answered and what was under way is no suspect: that is a server in trouble,
//!   and says nothing of what was asked;
//! - when no new connection can be had;
//! - after 3 losses at one thing, 4 connections in a row without an answer,
//!   more than 5 timeouts of silence, or 40 losses in all.
//!
//! [`Suspects`]: crate::remote::suspects::Suspects

use std::collections::BTreeMap;

use super::run::Run;
use crate::account::error::AccountError;
use crate::account::losses::{At, Loss, Losses, title};
use crate::account::suspects;
use crate::reconcile::types::{Mailbox, MailboxName, Row, RowId, Uid};
use crate::remote::RemoteError;
use crate::remote::imap::UidSet;
use crate::remote::suspects::{Command, Thing};

impl Run {
    /// Begins a run with what is known from earlier ones; `cause` is why it was asked for.
    pub(super) fn begin_cautiously(&mut self, cause: &str) -> Result<(), AccountError> {
        let (number, now) = (self.attempt.number, self.environment.clock.now());
        let focus = self.attempt.focus.clone().unwrap_or_default();
        suspects::load(&self.suspects, &self.store, (number, now), cause, focus)?;
        self.losses = Losses::on(&self.session);
        Ok(())
    }

    fn now(&self) -> At {
        At::of(&self.settings, &self.environment)
    }

    /// Goes on over a new connection after one was lost.
    ///
    /// # Errors
    /// The error itself where it is no such loss, or where enough was tried; and whatever keeps
    /// a new connection from being had.
    pub(super) async fn survive(&mut self, error: AccountError) -> Result<(), AccountError> {
        let error = match error {
            AccountError::Remote(error) if error.is_loss() && !self.losses.is_over() => error,
            error => return Err(error),
        };
        let is_fresh = self.session.answers() == 0;
        let has_answered = self.losses.is_answered_since(&self.session);
        let thing = self.session.under_way();
        let at = self.now();
        let loss = Loss { error: &error, thing, is_fresh, has_answered, at };
        let goes_on = self.losses.note(loss, &self.suspects);
        self.keep_suspects()?;
        if !goes_on || self.environment.is_stopping() {
            self.losses.end();
            return Err(error.into());
        }
        tracing::info!(%error, "going on over a new connection");
        let connected = self.reconnect().await;
        if connected.is_err() {
            self.losses.end();
        }
        connected
    }

    /// Takes a fresh connection in place of one that is of no more use. Gives whether there is one.
    ///
    /// # Errors
    /// Whatever keeps it from being had.
    pub(super) async fn renew(&mut self) -> Result<bool, AccountError> {
        if self.losses.is_over() || self.is_weary() || self.environment.is_stopping() {
            return Ok(false);
        }
        self.losses.begin_anew();
        let connected = self.reconnect().await;
        if connected.is_err() {
            self.losses.end();
        }
        connected.map(|()| true)
    }

    /// As [`Self::survive`], where a next round finds what was not done.
    pub(super) async fn go_on(
        &mut self,
        result: Result<(), AccountError>,
    ) -> Result<(), AccountError> {
        let Err(error) = result else { return Ok(()) };
        self.survive(error).await?;
        self.attempt.unseen = true;
        Ok(())
    }

    /// Whether so much was lost already that what would be one more try waits for the next run.
    pub(super) fn is_weary(&self) -> bool {
        self.losses.are_many(self.settings.endpoint.timeout)
    }

    /// Notes what a connection was lost at. Gives whether it was lost at that often enough.
    pub(super) fn note_loss(&mut self, thing: &Thing, error: &RemoteError) -> bool {
        let at = self.now();
        self.losses.at(thing, error, &self.suspects, at)
    }

    /// The server refused what is under way: messages are asked for in smaller company, a mailbox
    /// more rarely.
    pub(super) fn note_refusal(&mut self, error: &RemoteError) {
        if !error.is_refusal() {
            return;
        }
        let Some(thing) = self.session.under_way() else { return };
        if thing.command == Command::Append || !thing.uids.is_empty() {
            self.attempt.unseen |= !thing.is_one();
            self.suspects.lock().refused(&thing, &error.to_string());
        }
    }

    /// Whether the server refused what can be had in another way; it is done so from now on.
    pub(super) fn refuses_another_way(&mut self, error: &RemoteError) -> bool {
        let thing = self.session.under_way().filter(|thing| thing.command.has_another_way());
        let Some(thing) = thing else { return false };
        self.suspects.lock().refused(&thing, &error.to_string());
        true
    }

    /// Writes down what changed.
    pub(super) fn keep_suspects(&mut self) -> Result<(), AccountError> {
        suspects::keep(&self.suspects, &mut self.store)
    }

    /// Names what was lost, and what rests for that reason, for the report and `status`.
    pub(super) fn name_suspects(&mut self) -> Result<(), AccountError> {
        self.forget_gone()?;
        let list = self.suspects.lock().list().to_vec();
        for (at, suspect) in list.iter().enumerate().filter(|(_, s)| s.is_set_aside()) {
            if suspect.title.is_none() {
                let found = self.subject(&suspect.thing)?;
                found.into_iter().for_each(|title| self.suspects.lock().entitle(at, title));
            }
        }
        let list = self.suspects.lock().list().to_vec();
        for suspect in list {
            let tried = self.suspects.lock().was_tried(&suspect);
            // A file that was refused is set aside, and named there.
            if let (Command::Append, Some(id)) = (suspect.thing.command, suspect.thing.uids.first())
                && let Some(row) = self.store.row(RowId(i64::from(id.0)))?
                && row.set_aside.is_some()
            {
                continue;
            }
            // A refusal that was heard once was told when it was heard.
            let said = |skip: &crate::account::report::Skip| skip.why.contains(&suspect.words);
            if !suspect.is_set_aside() && self.report.skipped.iter().any(said) {
                continue;
            }
            // What does not come down is set aside as a message, and named there.
            let reads = [Command::Attributes, Command::Headers, Command::Bodies];
            let is_message = reads.contains(&suspect.thing.command) && suspect.thing.is_one();
            let is_message = is_message && !suspect.thing.uids.is_empty();
            if !suspect.thing.command.has_another_way() && (tried || !is_message) {
                self.report
                    .skip(title(&suspect.thing, suspect.title.as_deref()), suspects::why(&suspect));
            }
        }
        self.keep_suspects()
    }

    /// Lets the server tell what happened in the selected mailbox, by NOOP. False where it refuses
    /// that, or where a connection was lost at it: what it tells with other answers has to do.
    ///
    /// # Errors
    /// What ends the session.
    pub(super) async fn catch_up(&mut self) -> Result<bool, RemoteError> {
        if self.suspects.lock().why_not(Command::Noop, None).is_some() {
            return Ok(false);
        }
        match self.session.noop(&mut |_| {}).await {
            Ok(()) => Ok(true),
            Err(error) if error.ends_session() => Err(error),
            Err(_) => Ok(false),
        }
    }

    /// Forgets what a run that came to its end had no need to ask for.
    pub(super) fn forget_unneeded(&self) {
        let is_whole = self.attempt.focus.is_none() && !self.attempt.seen.listed.is_empty();
        if is_whole && self.losses.count() == 0 && !self.environment.is_stopping() {
            self.suspects.lock().forget_unneeded();
        }
    }

    /// Forgets suspects in mailboxes that are no more, or were numbered anew, and uploads that
    /// are not to be made any more.
    fn forget_gone(&mut self) -> Result<(), AccountError> {
        let list = self.suspects.lock().list().to_vec();
        let uploads = list.iter().filter(|suspect| suspect.thing.command == Command::Append);
        let mut over = Vec::new();
        for row in uploads.flat_map(|suspect| suspect.thing.uids.iter()) {
            if self.store.row(RowId(i64::from(row.0)))?.is_none_or(|row| !is_to_go_up(&row)) {
                over.push(row);
            }
        }
        self.suspects.lock().forget_uploads(&over.into_iter().collect());
        if self.attempt.seen.listed.is_empty() || self.suspects.lock().list().is_empty() {
            return Ok(());
        }
        let mut known: BTreeMap<MailboxName, Option<u32>> =
            self.attempt.seen.listed.iter().map(|listed| (listed.name.clone(), None)).collect();
        for mailbox in self.store.mailboxes()? {
            known.insert(mailbox.name, mailbox.cursor.map(|cursor| cursor.uid_validity));
        }
        let selects = &self.settings.selects;
        known.retain(|name, _| selects(name));
        self.suspects.lock().retain(&known);
        Ok(())
    }

    /// The subject of a message of which there is a file.
    fn subject(&self, thing: &Thing) -> Result<Option<String>, AccountError> {
        let (Some(name), Some(uid)) = (&thing.mailbox, thing.uids.first()) else { return Ok(None) };
        let Some(mailbox) = self.store.mailbox_by_name(name)? else { return Ok(None) };
        let row = match thing.command {
            Command::Append => self.store.row(RowId(i64::from(uid.0)))?,
            _ => self.store.by_uid(mailbox.id, uid)?,
        };
        let Some(row) = row else { return Ok(None) };
        let subject = super::samples::of_file(self, &row)?.map(|sample| sample.subject);
        Ok(subject.filter(|subject| !subject.is_empty()))
    }

    /// Rows of a mailbox in the company in which these commands are to be sent for them. What
    /// rests is left out, and named at the end of the run.
    pub(super) fn in_company(
        &self,
        commands: &[Command],
        mailbox: &Mailbox,
        rows: &[RowId],
    ) -> Result<Vec<Vec<RowId>>, AccountError> {
        if !self.suspects.lock().concern(&mailbox.name) {
            return Ok(vec![rows.to_vec()]);
        }
        let mut by_uid: BTreeMap<Uid, RowId> = BTreeMap::new();
        for row in rows {
            let remote = self.store.row(*row)?.and_then(|row| row.remote);
            by_uid.extend(remote.map(|remote| (remote.uid, *row)));
        }
        let all: UidSet = by_uid.keys().copied().collect();
        let validity = mailbox.cursor.map_or(0, |cursor| cursor.uid_validity);
        let parts = self.suspects.lock().parts_of(commands, &mailbox.name, validity, &all);
        let rows = |part: UidSet| part.iter().filter_map(|uid| by_uid.get(&uid).copied()).collect();
        Ok(parts.into_iter().map(rows).collect())
    }

    /// The same for files that are to go up, which have no UID yet.
    pub(super) fn in_company_up(&self, mailbox: &Mailbox, rows: Vec<Row>) -> Vec<Vec<Row>> {
        let suspects = self.suspects.lock();
        if !suspects.concern(&mailbox.name) {
            return vec![rows];
        }
        let all = rows_of(rows.iter().map(|row| row.id));
        let parts = suspects.parts_of(&[Command::Append], &mailbox.name, 0, &all);
        let mut rows: BTreeMap<Uid, Row> =
            rows.into_iter().filter_map(|row| Some((stand_in(row.id)?, row))).collect();
        let rows = |part: UidSet| part.iter().filter_map(|uid| rows.remove(&uid)).collect();
        parts.into_iter().map(rows).collect()
    }
}

/// Whether there is a file, and no message for it yet.
fn is_to_go_up(row: &Row) -> bool {
    row.local.is_some() && row.remote.is_none()
}

/// What stands for a row among the suspects.
fn stand_in(row: RowId) -> Option<Uid> {
    u32::try_from(row.0).ok().filter(|id| *id > 0).map(Uid)
}

/// What stands for rows among the suspects.
pub(super) fn rows_of(rows: impl Iterator<Item = RowId>) -> UidSet {
    rows.filter_map(stand_in).collect()
}
