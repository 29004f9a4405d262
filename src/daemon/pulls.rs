//! The task of an account that only pulls: a pull, then a wait. Each pull is a connection of its
//! own, since a maildrop is locked while one is open, and shows nothing new on it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::backoff::Backoff;
use super::cause::{self, Cause, Merged};
use super::ending::{End, Failure, skipped};
use super::hook::Hooks;
use super::progress;
use super::state::State;
use super::task::{Task, Wanted};
use super::worker::{Place, Worker};
use crate::account::{Environment, Report, RunRequest, Settings};
use crate::config::{Maildrop, Secret};
use crate::pull;

impl Task {
    /// Pulls until something else is wanted, or it fails.
    pub(super) async fn pulls(&self, place: Place, terms: &Maildrop, backoff: &mut Backoff) -> End {
        match self.pull_on(place, terms, backoff).await {
            Ok(()) => End::Wanted,
            Err(end) => end,
        }
    }

    async fn pull_on(
        &self,
        place: Place,
        terms: &Maildrop,
        backoff: &mut Backoff,
    ) -> Result<(), End> {
        let hooks = Hooks::new(&self.account);
        let worker = self.worker(place)?;
        let mut secret = None;
        let mut causes = Merged::from([Cause::Start]);
        while self.now_wanted() == Wanted::Running {
            self.board.begin(&self.account.name);
            if secret.is_none() || terms.token {
                // A token is good for an hour or so; whoever gives it knows when.
                self.state(State::Connecting, None, None);
                secret = Some(tokio::select! {
                    secret = self.alive(self.account.secret.fetch()) => secret?,
                    () = self.other_than(Wanted::Running) => return Ok(()),
                });
            }
            let Some(secret) = &secret else { return Ok(()) };
            let Some(report) = self.pull(terms, secret, (&hooks, &worker), &causes).await? else {
                return Ok(());
            };
            backoff.reset();
            self.ends(State::InStep, None, skipped(&report));
            causes = self.next_pull(report.rest.unwrap_or_default()).await;
        }
        Ok(())
    }

    /// One pull; none where it was given up since something else is wanted.
    async fn pull(
        &self,
        terms: &Maildrop,
        secret: &Secret,
        (hooks, worker): (&Hooks, &Worker<()>),
        causes: &Merged,
    ) -> Result<Option<Report>, End> {
        self.state(State::Syncing, None, None);
        let stop = Arc::new(AtomicBool::new(false));
        let settings = Settings::of(&self.account, &self.state_dir, secret.expose());
        let progress = progress::onto(&self.board, &self.account.name);
        let environment =
            Environment { progress, stop: Arc::clone(&stop), ..self.environment.clone() };
        let (started, words) = (Instant::now(), cause::words(causes));
        let (terms, why) = (terms.clone(), words.clone());
        let pull = worker.call(async move |_: &mut ()| {
            Box::pin(pull::pull(settings, terms, environment, &RunRequest::default(), &why)).await
        });
        let (report, result) = tokio::select! {
            done = self.alive(pull) => done,
            () = self.must_end(&stop) => {
                tracing::info!("stopped in the middle of a pull");
                return Ok(None);
            }
        };
        self.tell(&words, &report, started.elapsed());
        hooks.tell(&report);
        result.map_err(|error| End::Trouble(Failure::from(error).no_earlier(report.rest)))?;
        Ok(Some(report).filter(|_| !stop.load(Ordering::Relaxed)))
    }

    /// Waits for the next cause. A server that wants a rest gets it, whatever happens but for a
    /// person who asks.
    async fn next_pull(&self, rest: Duration) -> Merged {
        let poll = self.account.poll.mul_f64(0.9 + fastrand::f64() / 5.0).max(rest);
        let begun = tokio::time::Instant::now();
        let waited = async {
            loop {
                let causes = tokio::select! {
                    biased;
                    () = self.other_than(Wanted::Running) => Merged::new(),
                    causes = self.causes.next() => causes,
                    () = tokio::time::sleep_until(begun + poll) => Merged::from([Cause::Poll]),
                };
                let is_early = begun.elapsed() < rest && !causes.contains(&Cause::Asked);
                if !is_early || causes.is_empty() {
                    return causes;
                }
            }
        };
        self.alive(waited).await
    }
}
