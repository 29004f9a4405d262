//! `on_change`: the user's program, run once after a run that changed files.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::process::Stdio;
use std::rc::Rc;
use std::time::Duration;

use tokio::process::Command;

use crate::account::Report;
use crate::config::{Account, SecretSource};
use crate::reconcile::types::{MailboxName, printable};

/// How long the program may take before it is stopped.
const LIMIT: Duration = Duration::from_secs(600);

/// What changed since the program ran last.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    touched: BTreeSet<MailboxName>,
    pulled: u64,
}

impl Batch {
    /// What a run changed.
    #[must_use]
    pub fn of(report: &Report) -> Self {
        Self { touched: report.touched.clone(), pulled: report.pulled }
    }

    fn join(&mut self, other: Self) {
        self.touched.extend(other.touched);
        self.pulled += other.pulled;
    }
}

/// The program of an account, which never runs twice at a time: what changes while it runs is
/// told to the next one. It holds up no run.
#[derive(Debug, Clone)]
pub struct Hook {
    account: Rc<Account>,
    waiting: Rc<RefCell<Option<Batch>>>,
    running: Rc<RefCell<bool>>,
}

impl Hook {
    /// The program of this account.
    #[must_use]
    pub fn new(account: &Account) -> Self {
        let account = Rc::new(account.clone());
        Self { account, waiting: Rc::default(), running: Rc::default() }
    }

    /// Tells the program of a run, on the local task set.
    pub fn tell(&self, report: &Report) {
        if report.touched.is_empty() || self.account.on_change.is_empty() {
            return;
        }
        self.waiting.borrow_mut().get_or_insert_default().join(Batch::of(report));
        if !self.running.replace(true) {
            let this = self.clone();
            tokio::task::spawn_local(async move {
                while let Some(batch) = this.next() {
                    run(&this.account, &batch).await;
                }
            });
        }
    }

    fn next(&self) -> Option<Batch> {
        let batch = self.waiting.borrow_mut().take();
        if batch.is_none() {
            self.running.replace(false);
        }
        batch
    }
}

/// Runs the program with `MAILTIDE_ACCOUNT`, `MAILTIDE_MAILBOXES` (one path per line) and
/// `MAILTIDE_NEW` (messages that came down). What it does wrong is said, and changes nothing.
pub async fn run(account: &Account, batch: &Batch) {
    let [program, arguments @ ..] = account.on_change.as_slice() else { return };
    let mailboxes: Vec<&str> = batch.touched.iter().map(|name| name.as_str()).collect();
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    command.env("MAILTIDE_ACCOUNT", &account.name);
    command.env("MAILTIDE_MAILBOXES", mailboxes.join("\n"));
    command.env("MAILTIDE_NEW", batch.pulled.to_string());
    if let SecretSource::Env(name) = &account.secret {
        // The password is nobody else's business.
        command.env_remove(name);
    }
    let shown = printable(program);
    match tokio::time::timeout(LIMIT, command.status()).await {
        Ok(Ok(status)) if status.success() => {}
        Ok(Ok(status)) => tracing::warn!("on_change: {shown} ended with {status}"),
        Ok(Err(error)) => tracing::warn!("on_change: cannot run {shown}: {error}"),
        Err(_) => tracing::warn!("on_change: {shown} took over {} s", LIMIT.as_secs()),
    }
}
