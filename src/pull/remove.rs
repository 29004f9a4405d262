//! What may leave the server: by the user's word, and only what is safe here.

use super::classify::Known;
use super::read::KnownTop;
use super::run::{Headers, Run};
use crate::account::error::AccountError;
use crate::account::ownership;
use crate::config::Keep;
use crate::remote::pop3::Session;
use crate::remote::suspects::Command;
use crate::state::{MaildropRow, Presence};

/// A message of the listing that was recorded as pulled, byte for byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Removable {
    /// Its number in this session.
    pub(super) number: u32,
    /// Its row.
    row: i64,
    /// On how many days it was seen since.
    days: u32,
    /// How it began when it was pulled, where it is known by its UIDL alone.
    top: Option<KnownTop>,
}

impl Removable {
    /// One that was fetched in this session.
    pub(super) fn of(number: u32, row: i64, days: u32) -> Self {
        Self { number, row, days, top: None }
    }

    pub(super) fn of_known(known: &Known) -> Option<Self> {
        let Known { number, row, days, top, .. } = *known;
        known.may_go.then_some(Self { number, row, days, top })
    }
}

/// Those whose time has come.
pub(super) fn due(
    keep: Keep,
    removable: impl Iterator<Item = Option<Removable>>,
) -> Vec<Removable> {
    let is_due = |one: &Removable| match keep {
        Keep::Forever => false,
        Keep::UntilPulled => true,
        Keep::Days(days) => one.days >= days,
    };
    removable.flatten().filter(is_due).collect()
}

impl Run {
    /// Deletes what is due, and ends the session: only its end makes that count.
    pub(super) async fn remove(
        &mut self,
        session: &mut Session,
        removable: Vec<Removable>,
    ) -> Result<(), AccountError> {
        if session.is_over() {
            return Ok(());
        }
        let due = due(self.terms.keep, removable.into_iter().map(Some));
        let mut marked = Vec::new();
        if !due.is_empty()
            && !self.dry_run
            && !self.environment.is_stopping()
            && self.may_remove()?
        {
            let due = self.without_suspects(due);
            let due = self.still_the_same(session, due).await?;
            let numbers: Vec<u32> = due.iter().map(|one| one.number).collect();
            let answers = session.delete(&numbers).await?;
            for (one, (number, answer)) in due.into_iter().zip(answers) {
                match answer {
                    Ok(()) => marked.push(one.row),
                    Err(error) => self.note_failure(Command::Dele, number, &error.to_string()),
                }
            }
            // Should QUIT not be answered, they are gone or not; the next listing says.
            self.now_are(&marked, Presence::Deleting)?;
        }
        match session.quit().await {
            Ok(()) => self.removed(&marked),
            Err(error) if !error.ends_session() => {
                self.report.skip("the server", error.to_string());
                Ok(())
            }
            // With nothing marked, nothing depends on its answer.
            Err(error) if marked.is_empty() => {
                tracing::debug!(%error, "QUIT");
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// What a connection was lost at comes alone, when nothing else is to be deleted: it would
    /// undo all other deletions of the session.
    fn without_suspects(&self, due: Vec<Removable>) -> Vec<Removable> {
        let suspicious = self.suspicious(Command::Dele);
        if suspicious.is_empty() && !self.rests(Command::Dele) {
            return due;
        }
        let resting = self.resting(Command::Dele);
        let (suspects, others): (Vec<Removable>, Vec<Removable>) =
            due.into_iter().partition(|one| suspicious.contains(&one.number));
        match others.is_empty() {
            _ if self.rests(Command::Dele) => Vec::new(),
            true => suspects
                .into_iter()
                .find(|one| !resting.contains(&one.number))
                .into_iter()
                .collect(),
            false => others,
        }
    }

    /// Looks at the beginnings of messages that only a name says were pulled: some servers give a
    /// name to another message when the first is gone.
    async fn still_the_same(
        &mut self,
        session: &mut Session,
        mut due: Vec<Removable>,
    ) -> Result<Vec<Removable>, AccountError> {
        let asked = due.iter().filter(|one| one.top.is_some());
        let numbers: Vec<u32> = asked.map(|one| one.number).collect();
        let Headers { tops, offered } = self.headers(session, &numbers).await?;
        let (mut given_away, mut unseen) = (false, 0_u64);
        due.retain(|one| match (one.top, tops.get(&one.number)) {
            (Some(then), Some(now)) => {
                let same = then.fits(now);
                given_away |= !same;
                same
            }
            // Where there is no TOP the name has to do.
            (Some(_), None) => {
                unseen += u64::from(offered);
                !offered
            }
            (None, _) => true,
        });
        if unseen > 0 {
            let (stay, them) =
                if unseen == 1 { ("message stays", "it") } else { ("messages stay", "them") };
            let why = format!("{unseen} {stay}: TOP returned no header for {them}");
            self.report.skip("the server", why);
        }
        if given_away {
            self.doubt_names()?;
        }
        Ok(due)
    }

    /// The server has deleted them.
    fn removed(&mut self, rows: &[i64]) -> Result<(), AccountError> {
        self.now_are(rows, Presence::Deleted)?;
        self.report.removed_remote += rows.len() as u64;
        Ok(())
    }

    fn now_are(&mut self, rows: &[i64], presence: Presence) -> Result<(), AccountError> {
        if rows.is_empty() {
            return Ok(());
        }
        self.store.transaction(|tx| {
            for row in rows {
                if let Some(row) = tx.drop_row(*row)? {
                    tx.put_maildrop_row(&MaildropRow { presence, ..row })?;
                }
            }
            Ok(())
        })?;
        Ok(())
    }

    /// Whether the Maildir is, at this moment, the one that was delivered into (hazard 15).
    fn may_remove(&mut self) -> Result<bool, AccountError> {
        let is_there = !self.has_marker()
            || self.all_read
                && ownership::is_our_root(&self.settings, &self.store, &self.root)?
                && self.root.marker()?.is_some()
                && self.root.owner_marker()?.is_some()
                && self.is_same_directory()?;
        if !is_there {
            let why = "the Maildir changed unexpectedly: nothing is deleted on the server";
            self.report.skip(self.terms.mailbox.to_string(), why);
        }
        Ok(is_there)
    }
}
