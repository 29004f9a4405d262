//! A session that refused a body and gives none after that: one message may have broken it, or the
//! server refuses everything. A fresh connection tells (hazard 90).

use super::Pull;
use crate::account::error::AccountError;
use crate::mail::fetch::take::Barren;
use crate::mail::fetch::{Job, gives};
use crate::mail::run::Run;
use crate::reconcile::types::{Mailbox, Row, Uid};
use crate::remote::imap::{Command, Thing};

/// Messages that are asked for, each over a connection of its own, where none was given before.
const PROBES: usize = 3;

impl Pull {
    /// Asks a fresh connection for a message that was given before, or for single ones that were
    /// not. If it gives one, what was refused is taken apart: each part that breaks its session
    /// costs a connection. If it gives none, nothing more is asked for in this run.
    pub(super) async fn revive(
        &mut self,
        run: &mut Run,
        mailbox: &Mailbox,
        barren: Barren,
    ) -> Result<(), AccountError> {
        let Barren { refused, words, left } = barren;
        if self.refuses_all || !self.is_given_afresh(run, mailbox, &left).await? {
            self.refuses_all = true;
            self.give_up(mailbox, words);
            return Ok(());
        }
        self.breaks.insert(mailbox.id);
        let thing = Thing {
            uid_validity: mailbox.cursor.map_or(0, |cursor| cursor.uid_validity),
            uids: refused,
            ..Thing::whole(Command::Bodies, Some(&mailbox.name))
        };
        {
            let mut suspects = run.suspects.lock();
            suspects.refused(&thing, &words);
            if !thing.is_one() {
                // By halves at once: the first is as good as any other.
                suspects.refused(&thing, &words);
            }
        }
        let mut rows = Vec::new();
        for row in left {
            // One of them may have come as a probe.
            let is_here = self.batch.iter().any(|pulled| pulled.row.id == row.id);
            if !is_here && run.store.row(row.id)?.is_some_and(|row| row.local.is_none()) {
                rows.push(row);
            }
        }
        self.after_loss(run, Job { rows, ..Job::new(mailbox.clone()) })
    }

    /// Whether a fresh connection gives anything.
    async fn is_given_afresh(
        &mut self,
        run: &mut Run,
        mailbox: &Mailbox,
        left: &[Row],
    ) -> Result<bool, AccountError> {
        if let Some(uid) = self.witness(run, mailbox) {
            return Ok(run.renew().await? && self.gives(run, mailbox, uid).await?);
        }
        let start = usize::try_from(run.attempt.number).unwrap_or(0);
        let mut tried = Vec::new();
        for probe in 0..PROBES.min(left.len()) {
            let at = (left.len() - 1 + start + probe * left.len() / PROBES) % left.len();
            if tried.contains(&at) || !run.renew().await? {
                break;
            }
            tried.push(at);
            let job = Job { rows: vec![left[at].clone()], ..Job::new(mailbox.clone()) };
            let mut fetched = job.run(&mut run.session, &self.tools).await;
            let is_given = !fetched.done.is_empty();
            if !is_given {
                // That it was refused says nothing of it yet.
                fetched.barren = None;
                fetched.kept.clear();
            }
            if let Some((error, _)) = self.take_in(run, fetched)? {
                run.survive(error.into()).await?;
            }
            if is_given {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn gives(
        &self,
        run: &mut Run,
        mailbox: &Mailbox,
        uid: Uid,
    ) -> Result<bool, AccountError> {
        match gives(&mut run.session, mailbox, uid, &self.tools).await {
            Ok(is_given) => Ok(is_given),
            Err(error) => {
                run.survive(error.into()).await?;
                Ok(false)
            }
        }
    }
}
