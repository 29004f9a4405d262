//! What is kept open of an account between two runs: everything that touches the disk. It lives
//! on the account's [worker](super::worker).

use std::time::Duration;

use super::cause::Causes;
use super::files::Files;
use crate::account::{AccountError, Environment, Report, RunRequest, Settings};
use crate::mail::Live;

/// An open account and the watches of its directories.
#[derive(Debug)]
pub(super) struct OpenAccount {
    live: Live,
    files: Files,
}

/// What a look at the disk came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// Something else lies where the Maildir was.
    Moved,
    /// There is a reason for a run.
    News,
    /// There is none.
    Nothing,
}

impl OpenAccount {
    /// Opens the account and watches its directories.
    ///
    /// # Errors
    /// As for [`Live::open`].
    pub(super) async fn open(
        settings: Settings,
        environment: Environment,
        causes: &Causes,
    ) -> Result<Self, AccountError> {
        let live = Live::open(settings, environment, "start").await?;
        let mut kept = Self { live, files: Files::new(causes) };
        kept.follow()?;
        Ok(kept)
    }

    /// Finds out whether a run is needed. Where the connection is in doubt it is proved first;
    /// where only files changed, the disk is looked at alone.
    ///
    /// # Errors
    /// What ends a run, or the connection is dead.
    pub(super) async fn look(
        &mut self,
        in_doubt: bool,
        only_disk: bool,
    ) -> Result<Look, AccountError> {
        if !self.live.is_current() {
            return Ok(Look::Moved);
        }
        self.live.hint(self.files.hints());
        if in_doubt {
            self.live.prove().await?;
        }
        if !only_disk || self.live.has_news_on_disk().await? {
            return Ok(Look::News);
        }
        // A directory that is no mailbox yet is watched, too: its parts come one by one.
        self.follow()?;
        Ok(Look::Nothing)
    }

    /// One run. Gives what it did, and how much waits for a person.
    pub(super) async fn run(&mut self, cause: &str) -> (Report, Result<u64, AccountError>) {
        let (report, result) = Box::pin(self.live.run(cause, &RunRequest::default())).await;
        let held = result.and_then(|()| {
            self.follow()?;
            self.live.held()
        });
        (report, held)
    }

    /// Lets go of what only a run needs. Gives how soon the disk is to be looked at, whatever is
    /// told of it.
    pub(super) fn rest(&mut self) -> Option<Duration> {
        let again = self.live.looks_again();
        self.live.rest();
        [self.files.poll(), again].into_iter().flatten().min()
    }

    /// As [`Live::stay_awake`].
    ///
    /// # Errors
    /// What ends the session.
    pub(super) async fn stay_awake(&mut self) -> Result<(), AccountError> {
        self.live.stay_awake().await
    }

    /// Says goodbye.
    pub(super) async fn close(kept: Option<Self>) {
        if let Some(kept) = kept {
            kept.live.close().await;
        }
    }

    /// Watches the directories that there are now.
    fn follow(&mut self) -> Result<(), AccountError> {
        self.files.follow(self.live.directories()?);
        Ok(())
    }
}
