//! Bodies of one mailbox over one connection, streamed into `tmp/`.
//!
//! A job knows nothing of the store, so that several of them go on side by side.

mod bisect;
pub(super) mod connections;
pub(super) mod take;

use std::collections::BTreeMap;

use self::bisect::Apart;
use self::take::{Fetched, Tools, discard};
use super::select::choose;
use crate::reconcile::types::{Mailbox, Row, Uid};
use crate::remote::RemoteError;
use crate::remote::imap::{Session, UidSet};

/// Messages of one mailbox to be fetched in one go.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) mailbox: Mailbox,
    pub(super) rows: Vec<Row>,
    /// A message whose body the server gave before.
    pub(super) witness: Option<Uid>,
    /// A message that was refused broke the session before: the rest of it is not asked for
    /// unless the witness is given.
    pub(super) is_wary: bool,
}

impl Job {
    /// Nothing of a mailbox yet.
    pub(super) fn new(mailbox: Mailbox) -> Self {
        Self { mailbox, rows: Vec::new(), witness: None, is_wary: false }
    }

    /// Octets that the server announced for it.
    pub(super) fn octets(&self) -> u64 {
        self.rows.iter().filter_map(|row| Some(row.words.as_ref()?.size)).sum()
    }

    /// What becomes of it where there is no connection.
    pub(super) fn lost(self, error: RemoteError) -> Fetched {
        let out = Fetched::new(self.mailbox.clone(), self.octets());
        Fetched { lost: Some((error, self.rows)), ..out }
    }

    /// Fetches the bodies; those that the server keeps back are asked for once more, alone.
    pub(super) async fn run(self, session: &mut Session, tools: &Tools) -> Fetched {
        let mut out = Fetched::new(self.mailbox.clone(), self.octets());
        let result = out.fetch(session, tools, &self).await;
        let estimates = tools.sizes.lock().are_estimates();
        out.done.iter_mut().for_each(|pulled| pulled.short = pulled.is_short(estimates));
        match result {
            Ok(()) => {
                let known = out.known();
                if let Some(barren) = &mut out.barren {
                    let left = self.rows.into_iter().filter(|row| !known.contains(&row.id));
                    barren.left = left.collect();
                }
                out
            }
            Err(error) => {
                let known = out.known();
                let left = self.rows.into_iter().filter(|row| !known.contains(&row.id));
                let at = session.under_way().filter(|_| session.answers() > 0);
                Fetched { lost: Some((error, left.collect())), at, ..out }
            }
        }
    }
}

/// Whether the server gives a body of a mailbox.
pub(super) async fn gives(
    session: &mut Session,
    mailbox: &Mailbox,
    uid: Uid,
    tools: &Tools,
) -> Result<bool, RemoteError> {
    if choose(session, mailbox).await?.is_some() {
        return Ok(false);
    }
    bisect::gives(session, uid, tools).await
}

impl Fetched {
    /// Gives an error only for what ends the session.
    async fn fetch(
        &mut self,
        session: &mut Session,
        tools: &Tools,
        job: &Job,
    ) -> Result<(), RemoteError> {
        if let Some(why) = choose(session, &self.mailbox).await? {
            self.trouble = Some(why);
            return Ok(());
        }
        let by_uid: BTreeMap<Uid, &Row> =
            job.rows.iter().filter_map(|row| Some((row.remote.as_ref()?.uid, row))).collect();
        let refused = match self.take(session, tools, &by_uid).await {
            Ok(()) => None,
            Err(error) if error.ends_session() => return Err(error),
            Err(error) => Some(error.to_string()),
        };
        let untrue = self.take_untrue(tools);
        let left = self.left(&by_uid);
        if !left.is_empty() {
            let since = match refused {
                Some(words) => (left.keys().copied().collect(), words),
                None => (UidSet::new(), String::new()),
            };
            let Job { witness, is_wary, .. } = *job;
            let untrue = &untrue;
            let mut apart =
                Apart { fetched: self, session, tools, untrue, witness, is_wary, since };
            apart.fetch(left).await?;
        }
        untrue.iter().for_each(|pulled| discard(&tools.root, &pulled.delivered));
        Ok(())
    }
}
