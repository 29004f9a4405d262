//! A connection of an account that only listens.

use std::time::Duration;

use crate::account::error::AccountError;
use crate::account::settings::{Environment, Settings};
use crate::reconcile::types::MailboxName;
use crate::remote::RemoteError;
use crate::remote::imap::{Session, Watch};

/// What a server tells unasked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listens {
    /// Changes of every mailbox (NOTIFY).
    All,
    /// Changes of one mailbox (IDLE).
    One,
    /// Nothing.
    Never,
}

/// A signed-in connection that listens.
#[derive(Debug)]
pub struct Listener {
    session: Session,
    watch: Watch,
}

impl Listener {
    /// Signs in and begins to listen: to all mailboxes where the server can, else to this one.
    /// None where it tells nothing unasked. `plainly` uses no extension but IDLE.
    ///
    /// # Errors
    /// Whatever keeps it from being had.
    pub async fn open(
        settings: &Settings,
        environment: &Environment,
        mailbox: &MailboxName,
        plainly: bool,
    ) -> Result<Option<Self>, AccountError> {
        let mut endpoint = settings.endpoint.clone();
        // Of what is told nothing is read, so mod-sequences are of no use.
        let avoided = if plainly { &["ENABLE", "ID", "NOTIFY"][..] } else { &["ENABLE"] };
        endpoint.disable.extend(avoided.iter().map(|name| (*name).to_owned()));
        let mut session = Session::connect(&endpoint, &*environment.connector).await?;
        let watch = session.begin_watch(mailbox).await?;
        let Some(watch) = watch else {
            super::run::say_goodbye(session).await;
            return Ok(None);
        };
        Ok(Some(Self { session, watch }))
    }

    /// What it hears.
    #[must_use]
    pub fn listens(&self) -> Listens {
        match self.watch {
            Watch::Notify => Listens::All,
            Watch::Idle(_) => Listens::One,
        }
    }

    /// Listens for this long and then makes sure that the server is still there; `news` is
    /// called for whatever it tells.
    ///
    /// # Errors
    /// What ends the connection.
    pub async fn listen(
        &mut self,
        time: Duration,
        news: &mut dyn FnMut(),
    ) -> Result<(), AccountError> {
        Ok(self.session.watch(&self.watch, time, news).await?)
    }

    /// The error of a server that ends each IDLE as soon as it has begun.
    #[must_use]
    pub fn ended_early() -> AccountError {
        let what = "the server ends it each time at once".to_owned();
        RemoteError::Protocol { doing: "IDLE".to_owned(), what }.into()
    }

    /// Says goodbye, also in the middle of [`Self::listen`].
    pub async fn close(mut self) {
        match self.session.end_watch(&self.watch).await {
            Ok(()) => super::run::say_goodbye(self.session).await,
            Err(error) => tracing::debug!(%error, "logout"),
        }
    }
}
