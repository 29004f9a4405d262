//! Connections that only listen: NOTIFY for all mailboxes on one, else IDLE on the mailboxes
//! that matter, else none.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::backoff::Backoff;
use super::cause::{Cause, Causes};
use super::state::Board;
use crate::account::{AccountError, Environment, Settings, Trouble};
use crate::mail::{Listener, Listens, RENEWAL};
use crate::reconcile::types::MailboxName;

/// Mailboxes that are listened to by IDLE, however many connections there may be.
const IDLE_MAX: usize = 6;

/// An IDLE that the server ends sooner than this by itself has ended early.
const EARLY: Duration = Duration::from_secs(10);
/// After so many in a row there is no use in listening: the connection is made anew, later and
/// later, and the account is polled meanwhile. Before each of them is a wait, twice as long each
/// time (hazard 106).
const EARLY_MOST: u32 = 5;
const EARLY_WAIT: Duration = Duration::from_secs(1);

/// Connections that are told to go may take so long to say goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

/// The listening connections of an account; dropped, they end.
#[derive(Debug)]
pub struct Push {
    ears: Rc<Ears>,
    tasks: RefCell<Vec<(MailboxName, JoinHandle<()>)>>,
    stopping: watch::Sender<bool>,
}

/// What all of them share.
#[derive(Debug)]
struct Ears {
    settings: Settings,
    environment: Environment,
    causes: Causes,
    board: Arc<Board>,
    /// What the first connection found.
    listens: Cell<Listens>,
    /// The next connection uses no extension but IDLE: the last one was lost over one.
    plainly: Cell<bool>,
    stop: watch::Receiver<bool>,
}

impl Push {
    /// Begins to listen, on the local task set.
    pub fn start(
        settings: &Settings,
        environment: &Environment,
        causes: &Causes,
        board: &Arc<Board>,
    ) -> Self {
        let (stopping, stop) = watch::channel(false);
        let ears = Rc::new(Ears {
            settings: settings.clone(),
            environment: environment.clone(),
            causes: causes.clone(),
            board: Arc::clone(board),
            listens: Cell::new(Listens::Never),
            plainly: Cell::new(false),
            stop,
        });
        let push = Self { ears, tasks: RefCell::default(), stopping };
        if settings.connections > 1 {
            push.listen(MailboxName::new(MailboxName::INBOX));
        }
        push
    }

    /// Whether the server tells of every mailbox: then nothing has to be polled.
    #[must_use]
    pub fn hears_all(&self) -> bool {
        self.ears.listens.get() == Listens::All
    }

    /// Listens to a mailbox where things happen, if there is a connection left for it.
    pub fn attend(&self, mailbox: &MailboxName) {
        let room = usize::from(self.ears.settings.connections).saturating_sub(1).min(IDLE_MAX);
        let (known, full) = {
            let tasks = self.tasks.borrow();
            (tasks.iter().any(|(name, _)| name == mailbox), tasks.len() >= room)
        };
        if self.ears.listens.get() == Listens::One && !known && !full {
            self.listen(mailbox.clone());
        }
    }

    fn listen(&self, mailbox: MailboxName) {
        let (ears, name) = (Rc::clone(&self.ears), mailbox.clone());
        let task = tokio::task::spawn_local(async move { ears.listen(&name).await });
        self.tasks.borrow_mut().push((mailbox, task));
    }

    /// Says goodbye, where that is quick.
    pub async fn stop(&self) {
        self.stopping.send_replace(true);
        let tasks: Vec<_> = self.tasks.borrow_mut().drain(..).collect();
        let deadline = Instant::now() + GOODBYE;
        for (_, mut task) in tasks {
            if timeout_at(deadline, &mut task).await.is_err() {
                task.abort();
            }
        }
    }
}

impl Drop for Push {
    fn drop(&mut self) {
        self.tasks.borrow_mut().drain(..).for_each(|(_, task)| task.abort());
    }
}

impl Ears {
    /// Listens to a mailbox (or, where the server can, to all) until it is told to stop; after
    /// trouble again.
    async fn listen(&self, mailbox: &MailboxName) {
        let first = mailbox.is_inbox();
        let mut backoff = Backoff::default();
        loop {
            let plainly = self.plainly.get();
            let opened = Listener::open(&self.settings, &self.environment, mailbox, plainly);
            let opened = tokio::select! {
                opened = opened => opened,
                () = self.told_to_stop() => return,
            };
            let (error, wait) = match opened {
                Ok(None) => return,
                Ok(Some(listener)) => {
                    if first {
                        self.hears(listener.listens(), None);
                    }
                    // What came while nobody listened.
                    self.causes.nudge(Cause::Server);
                    let Some(error) = self.follow(listener, &mut backoff).await else { return };
                    if first {
                        self.hears(Listens::Never, Some(&error));
                    }
                    // The other connection may have ended as well: a run finds out.
                    self.causes.nudge(Cause::Server);
                    (error, Duration::ZERO)
                }
                Err(error) => {
                    if first {
                        self.hears(Listens::Never, Some(&error));
                    }
                    self.plainly.set(error.is_loss() && !plainly);
                    (error, Duration::from_secs(1))
                }
            };
            tracing::debug!(%error, "nobody listens");
            let trouble = if wait.is_zero() { Trouble::Lost } else { error.trouble() };
            let wait = backoff.next(trouble, error.words(), fastrand::f64()).max(wait);
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.told_to_stop() => return,
            }
        }
    }

    /// Passes on what is heard until the connection ends; none where that was wanted.
    async fn follow(&self, mut listener: Listener, backoff: &mut Backoff) -> Option<AccountError> {
        let mut early = 0;
        loop {
            let begun = Instant::now();
            let mut news = || self.causes.nudge(Cause::Server);
            let heard = tokio::select! {
                heard = listener.listen(RENEWAL, &mut news) => Some(heard),
                () = self.told_to_stop() => None,
            };
            match heard {
                Some(Ok(())) if listener.listens() == Listens::One && begun.elapsed() < EARLY => {
                    early += 1;
                    if early > EARLY_MOST {
                        listener.close().await;
                        return Some(Listener::ended_early());
                    }
                    tokio::select! {
                        () = tokio::time::sleep(EARLY_WAIT * (1 << early) / 2) => {}
                        () = self.told_to_stop() => {}
                    }
                }
                Some(Ok(())) => {
                    early = 0;
                    backoff.reset();
                }
                Some(Err(error)) => return Some(error),
                None => {
                    listener.close().await;
                    return None;
                }
            }
        }
    }

    fn hears(&self, listens: Listens, lost: Option<&AccountError>) {
        self.listens.set(listens);
        let word = match listens {
            Listens::All => "notify",
            Listens::One => "idle",
            Listens::Never => "poll",
        };
        self.board.update(&self.settings.name, |view| {
            word.clone_into(&mut view.push);
            view.unheard = lost.map(ToString::to_string);
        });
    }

    async fn told_to_stop(&self) {
        let _ = self.stop.clone().wait_for(|stop| *stop).await;
    }
}
