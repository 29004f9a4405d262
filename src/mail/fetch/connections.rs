//! Further connections, for bodies that come down beside those of the first.
//!
//! They are opened when there is more to fetch than one connection should do alone, and kept
//! until the run ends. A server that wants no more of them is no trouble: what they were to
//! fetch goes back to the first.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use super::Job;
use super::take::{Fetched, Tools};
use crate::account::settings::{Environment, Settings};
use crate::remote::imap::{Counters, Endpoint, Names, Session, Shared};
use crate::remote::{Connector, RemoteError};

type Busy = Pin<Box<dyn Future<Output = (Option<Session>, Fetched)>>>;

/// How many octets and messages have to wait before another connection is worth its sign-in.
const WORTH_OCTETS: u64 = 4 << 20;
const WORTH_MESSAGES: usize = 300;

/// The further connections of a run.
pub(in crate::mail) struct Lanes {
    endpoint: Endpoint,
    connector: Arc<dyn Connector>,
    suspects: Shared,
    /// How many more may be opened.
    unopened: usize,
    idle: Vec<Session>,
    busy: Vec<Busy>,
    /// What went over those that have ended.
    traffic: Counters,
}

impl std::fmt::Debug for Lanes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (idle, busy) = (self.idle.len(), self.busy.len());
        f.debug_struct("Lanes").field("idle", &idle).field("busy", &busy).finish_non_exhaustive()
    }
}

impl Lanes {
    pub(in crate::mail) fn new(
        settings: &Settings,
        environment: &Environment,
        suspects: &Shared,
    ) -> Self {
        Self {
            suspects: suspects.clone(),
            endpoint: settings.endpoint.clone(),
            connector: Arc::clone(&environment.connector),
            unopened: usize::from(settings.connections).saturating_sub(1),
            idle: Vec::new(),
            busy: Vec::new(),
            traffic: Counters::default(),
        }
    }

    /// Opens a connection in place of one that cannot be used any more.
    pub(in crate::mail) async fn replace(
        &mut self,
        names: Arc<Names>,
    ) -> Result<Session, RemoteError> {
        let (endpoint, connector) = (&self.endpoint, &*self.connector);
        let mut session = Session::connect_cautiously(endpoint, connector, &self.suspects).await?;
        session.set_names(names);
        Ok(session)
    }

    /// Whether one is free for a job, or worth opening while so much waits.
    pub(in crate::mail) fn has_room(&self, messages: usize, octets: u64) -> bool {
        let worth = messages >= WORTH_MESSAGES || octets >= WORTH_OCTETS;
        !self.idle.is_empty() || (self.unopened > 0 && worth)
    }

    pub(in crate::mail) fn is_busy(&self) -> bool {
        !self.busy.is_empty()
    }

    /// Begins a job; it goes on while [`Self::next`] is waited for.
    pub(in crate::mail) fn begin(&mut self, job: Job, tools: Tools, names: Arc<Names>) {
        if let Some(mut session) = self.idle.pop() {
            self.busy.push(Box::pin(async move {
                let fetched = job.run(&mut session, &tools).await;
                (Some(session), fetched)
            }));
            return;
        }
        self.unopened = self.unopened.saturating_sub(1);
        let (endpoint, connector) = (self.endpoint.clone(), Arc::clone(&self.connector));
        let suspects = self.suspects.clone();
        self.busy.push(Box::pin(async move {
            match Session::connect_cautiously(&endpoint, &*connector, &suspects).await {
                Ok(mut session) => {
                    session.set_names(names);
                    let fetched = job.run(&mut session, &tools).await;
                    (Some(session), fetched)
                }
                Err(error) => (None, job.lost(error)),
            }
        }));
    }

    /// The next job that is done. Without any it waits for ever.
    pub(in crate::mail) async fn next(&mut self) -> Fetched {
        let busy = &mut self.busy;
        let (at, (session, fetched)) = poll_fn(|cx| {
            for (at, lane) in busy.iter_mut().enumerate() {
                if let Poll::Ready(out) = lane.as_mut().poll(cx) {
                    return Poll::Ready((at, out));
                }
            }
            Poll::Pending
        })
        .await;
        drop(busy.swap_remove(at));
        match (session, &fetched.lost) {
            (Some(session), None) if fetched.barren.is_none() => self.idle.push(session),
            (session, lost) => {
                session.iter().for_each(|session| self.count(session));
                if let Some((error, _)) = lost {
                    tracing::debug!(%error, "a further connection");
                }
                // It said no to one: it is not asked again in this run.
                self.unopened = 0;
            }
        }
        fetched
    }

    /// Counts what went over a connection that is given up.
    pub(in crate::mail) fn add(&mut self, counters: Counters) {
        self.traffic.sent += counters.sent;
        self.traffic.received += counters.received;
        self.traffic.commands += counters.commands;
    }

    fn count(&mut self, session: &Session) {
        self.add(session.counters());
    }

    /// Says goodbye on each. Gives what went over them in all.
    pub(in crate::mail) async fn close(&mut self) -> Counters {
        for session in std::mem::take(&mut self.idle) {
            self.count(&session);
            if let Err(error) = session.logout().await {
                tracing::debug!(%error, "logout");
            }
        }
        self.traffic
    }
}
