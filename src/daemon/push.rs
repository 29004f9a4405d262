//! Connections that only listen: NOTIFY for all mailboxes on one, else IDLE on the mailboxes
//! that matter, else none.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::backoff::Backoff;
use super::cause::{Cause, Causes};
use super::state::Board;
use crate::account::{Listener, Listens, Settings, Trouble};
use crate::reconcile::types::MailboxName;

/// Servers and routers forget a silent connection after 10 minutes at the earliest that is
/// seen in the field (RFC 2177 allows 29).
pub const RENEWAL: Duration = Duration::from_secs(9 * 60);
/// Mailboxes that are listened to by IDLE, however many connections there may be.
const IDLE_MAX: usize = 6;

/// The listening connections of an account; dropped, they end.
#[derive(Debug)]
pub struct Push {
    settings: Settings,
    outside: crate::account::Outside,
    causes: Causes,
    board: Arc<Board>,
    tasks: Rc<RefCell<Vec<(MailboxName, JoinHandle<()>)>>>,
    /// What the first connection found.
    listens: Rc<RefCell<Listens>>,
}

impl Push {
    /// Begins to listen, on the local task set.
    pub fn start(
        settings: &Settings,
        outside: &crate::account::Outside,
        causes: &Causes,
        board: &Arc<Board>,
    ) -> Self {
        let push = Self {
            settings: settings.clone(),
            outside: outside.clone(),
            causes: causes.clone(),
            board: Arc::clone(board),
            tasks: Rc::default(),
            listens: Rc::new(RefCell::new(Listens::Never)),
        };
        if settings.connections > 1 {
            push.listen(MailboxName::new(MailboxName::INBOX));
        }
        push
    }

    /// Whether the server tells of every mailbox: then nothing has to be polled.
    #[must_use]
    pub fn hears_all(&self) -> bool {
        *self.listens.borrow() == Listens::All
    }

    /// Listens to a mailbox where things happen, if there is a connection left for it.
    pub fn attend(&self, mailbox: &MailboxName) {
        let room = usize::from(self.settings.connections).saturating_sub(1).min(IDLE_MAX);
        let tasks = self.tasks.borrow();
        let known = tasks.iter().any(|(name, _)| name == mailbox);
        let full = tasks.len() >= room;
        drop(tasks);
        if *self.listens.borrow() == Listens::One && !known && !full {
            self.listen(mailbox.clone());
        }
    }

    fn listen(&self, mailbox: MailboxName) {
        let task = listen(
            mailbox.clone(),
            self.settings.clone(),
            self.outside.clone(),
            self.causes.clone(),
            Arc::clone(&self.board),
            Rc::clone(&self.listens),
        );
        let task = tokio::task::spawn_local(task);
        self.tasks.borrow_mut().push((mailbox, task));
    }

    /// Says goodbye where that is quick.
    pub fn stop(&self) {
        self.tasks.borrow_mut().drain(..).for_each(|(_, task)| task.abort());
    }
}

impl Drop for Push {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn listen(
    mailbox: MailboxName,
    settings: Settings,
    outside: crate::account::Outside,
    causes: Causes,
    board: Arc<Board>,
    listens: Rc<RefCell<Listens>>,
) {
    let first = mailbox.is_inbox();
    let mut backoff = Backoff::default();
    loop {
        let mut listener = match Listener::open(&settings, &outside, &mailbox).await {
            Ok(Some(listener)) => listener,
            Ok(None) => return,
            Err(error) => {
                tracing::debug!(%error, "nobody listens");
                let wait = backoff.next(error.trouble(), error.words(), fastrand::f64());
                tokio::time::sleep(wait.max(Duration::from_secs(1))).await;
                continue;
            }
        };
        if first {
            let how = listener.listens();
            *listens.borrow_mut() = how;
            board.update(&settings.name, |view| {
                view.push = match how {
                    Listens::All => "notify".to_owned(),
                    Listens::One => "idle".to_owned(),
                    Listens::Never => "poll".to_owned(),
                };
            });
        }
        // What came while nobody listened.
        causes.nudge(Cause::Server);
        let error = loop {
            let mut news = || causes.nudge(Cause::Server);
            match listener.listen(RENEWAL, &mut news).await {
                Ok(()) => backoff.reset(),
                Err(error) => break error,
            }
        };
        tracing::debug!(%error, "the connection that listens has ended");
        if first {
            *listens.borrow_mut() = Listens::Never;
            board.update(&settings.name, |view| "poll".clone_into(&mut view.push));
        }
        // The other connection may have ended as well: a run finds out.
        causes.nudge(Cause::Server);
        let wait = backoff.next(Trouble::Lost, error.words(), fastrand::f64());
        tokio::time::sleep(wait).await;
    }
}
