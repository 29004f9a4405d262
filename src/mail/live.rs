//! An account that stays open from run to run: store, Maildir and connection.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use super::attempt::Attempt;
use super::fetch::connections::Lanes;
use super::hints::Hints;
use super::run::{Run, say_goodbye};
use super::{observe, restate, seen};
use crate::account::error::AccountError;
use crate::account::ownership;
use crate::account::report::Report;
use crate::account::request::RunRequest;
use crate::account::settings::{Environment, Settings};

/// A server that does not answer a NOOP for so long, where it would have done so before, is taken
/// for gone.
const PROOF: Duration = Duration::from_secs(5);

/// An account between two runs. After an error it is dropped and opened anew, which settles
/// what was left open.
#[derive(Debug)]
pub struct Live {
    run: Run,
    /// The run that the account was opened for has not begun.
    fresh: bool,
    /// Device and inode of the root when it was opened.
    place: Option<(u64, u64)>,
}

impl Live {
    /// Opens store and Maildir and signs in; the first [`Self::run`] is the one that `cause`
    /// is the reason of.
    ///
    /// # Errors
    /// As for [`crate::engine::sync`], before anything was looked at.
    pub async fn open(
        settings: Settings,
        environment: Environment,
        cause: &str,
    ) -> Result<Self, AccountError> {
        let mut run = Run::open(settings, environment, &RunRequest::default(), cause).await?;
        run.waits = false;
        let place = place(&run);
        Ok(Self { run, fresh: true, place })
    }

    /// Takes note of what was told of files, for the next look at the disk.
    pub fn hint(&mut self, hints: Hints) {
        self.run.hints = hints;
    }

    /// When to look at the disk once more, whatever is told: something was still being written,
    /// or not everything was looked at.
    #[must_use]
    pub fn looks_again(&self) -> Option<Duration> {
        self.run.attempt.growing.then_some(observe::QUIET)
    }

    /// Whether the Maildir is still the one that was opened and locked: another disk may be
    /// mounted there by now, or none.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.place == place(&self.run)
    }

    /// Looks at the disk alone. Gives whether a run would have something to do.
    ///
    /// After our own changes there is nothing: so they end here, without a word to the server.
    ///
    /// # Errors
    /// What ends a run.
    pub async fn has_news_on_disk(&mut self) -> Result<bool, AccountError> {
        if self.fresh {
            return Ok(true);
        }
        self.run.reset(&RunRequest::default());
        observe::disk(&mut self.run).await
    }

    /// One run over what is open.
    pub async fn run(
        &mut self,
        cause: &str,
        request: &RunRequest,
    ) -> (Report, Result<(), AccountError>) {
        let result = match self.begin(cause, request).await {
            Ok(()) => Box::pin(self.run.rounds(request)).await,
            Err(error) => Err(error),
        };
        let lost = result.as_ref().is_err_and(AccountError::ends_session);
        let result = self.run.end(result).await;
        let report = std::mem::take(&mut self.run.report);
        if !lost
            && result.is_ok()
            && let Err(error) = self.run.session.unselect().await
        {
            return (report, Err(error.into()));
        }
        (report, result)
    }

    async fn begin(&mut self, cause: &str, request: &RunRequest) -> Result<(), AccountError> {
        if std::mem::take(&mut self.fresh) {
            // What the sign-in cost is counted with it.
            return Ok(());
        }
        self.run.reset(request);
        if std::mem::take(&mut self.run.is_view_old) {
            self.run.reconnect().await?;
        }
        let now = self.run.environment.clock.now();
        self.run.attempt.number = self.run.store.transaction(|tx| tx.begin_run(now, cause))?;
        self.run.begin_cautiously(cause)?;
        let Run { settings, environment, store, root, .. } = &mut self.run;
        if restate::check(settings, environment, store, root)? && !request.dry_run {
            ownership::advance(settings, store, root)?;
        }
        Ok(())
    }

    /// Keeps the connection from being taken for dead, and finds out whether it is.
    ///
    /// # Errors
    /// What ends the session.
    pub async fn stay_awake(&mut self) -> Result<(), AccountError> {
        let mut ignore = |_| {};
        Ok(self.run.session.noop(&mut ignore).await?)
    }

    /// Finds out soon whether the connection still leads anywhere: after sleep, or in another
    /// network, it may be dead without a word.
    ///
    /// # Errors
    /// It is.
    pub async fn prove(&mut self) -> Result<(), AccountError> {
        Ok(self.run.session.prove(PROOF).await?)
    }

    /// The directories in which something can happen that concerns us: the root, what leads to
    /// mailboxes or may once, and where their messages lie. The root comes first.
    ///
    /// # Errors
    /// The root cannot be read.
    pub fn directories(&self) -> Result<BTreeSet<PathBuf>, AccountError> {
        let found = self.run.root.mailboxes()?;
        let mut all: BTreeSet<PathBuf> = found.walked.into_iter().collect();
        let selected = found.found.iter().filter(|m| (self.run.settings.selects)(&m.name));
        all.extend(selected.flat_map(|m| ["cur", "new"].map(|sub| m.dir.join(sub))));
        Ok(all)
    }

    /// What waits for a person.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn held(&self) -> Result<u64, AccountError> {
        Ok(self.run.pending_holds()?.len() as u64)
    }

    /// Lets go of memory that only a run needs.
    pub fn rest(&mut self) {
        self.run.attempt.seen = seen::Seen::default();
        self.run.hints = Hints::default();
        self.run.store.shrink();
    }

    /// Says goodbye.
    pub async fn close(self) {
        say_goodbye(self.run.session).await;
    }
}

fn place(run: &Run) -> Option<(u64, u64)> {
    let meta = run.environment.fs.stat(run.root.path()).ok()?;
    Some((meta.dev, meta.stamp.ino))
}

impl Run {
    /// Begins a new attempt, with nothing of the last one.
    fn reset(&mut self, request: &RunRequest) {
        self.report = Report::default();
        self.attempt = Attempt::new(self.attempt.number, request, self.session.counters());
        self.lanes = Lanes::new(&self.settings, &self.environment, &self.suspects);
    }
}
