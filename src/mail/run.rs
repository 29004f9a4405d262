//! What a run of one account works with: its context, and what this attempt keeps for itself.

use std::sync::Arc;
use std::time::Duration;

use super::attempt::Attempt;
use super::fetch::connections::Lanes;
use super::hints::Hints;
use super::writer::Writer;
use crate::account::error::AccountError;
use crate::account::losses;
use crate::account::progress;
use crate::account::report::Report;
use crate::account::settings::{Environment, Settings};
use crate::local::Root;
use crate::reconcile::types::{Mailbox, MailboxId, MailboxName, RowId, SpecialUse};
use crate::reconcile::{BringsBack, Policy};
use crate::remote::imap::{Counters, Session, Shared};
use crate::state::{StateError, Store};

/// Everything that a run of one account works with.
#[derive(Debug)]
pub struct Run {
    /// The account's configuration.
    pub settings: Settings,
    /// File system, network, clock.
    pub environment: Environment,
    /// The state store.
    pub store: Store,
    /// The Maildir.
    pub root: Arc<Root>,
    /// The server.
    pub session: Session,
    /// Further connections, where many bodies come down.
    pub(super) lanes: Lanes,
    /// What was done so far.
    pub report: Report,
    /// The bookkeeping of this attempt.
    pub attempt: Attempt,
    /// What was told of files before the run.
    pub(super) hints: Hints,
    /// Whether a file that is still being written is waited for; who stays looks again.
    pub(super) waits: bool,
    /// What connections were lost at, in this run and before.
    pub(super) suspects: Shared,
    /// Connections that were lost in this run.
    pub(super) losses: losses::Losses,
    /// The server named what this session does not show: the next run asks over a new one.
    pub(super) is_view_old: bool,
}

impl Run {
    /// Whether a mailbox is mirrored and looked at in this run.
    pub(super) fn looks_at(&self, name: &MailboxName) -> bool {
        let in_focus = self.attempt.focus.as_ref().is_none_or(|focus| focus.contains(name));
        in_focus && !self.attempt.doubtful.contains(name) && (self.settings.selects)(name)
    }

    /// A command met none of these messages: they may have been moved or removed since the look.
    /// One more look in this run finds out; what it still shows is named.
    pub(super) fn look_again_for(&mut self, mailbox: &Mailbox, rows: &[RowId]) {
        let known = rows.iter().filter(|row| !self.attempt.absent.insert(**row)).count();
        self.attempt.unseen |= known < rows.len();
        if known > 0 {
            let (messages, them) =
                if known == 1 { ("message", "it") } else { ("messages", "them") };
            let why =
                format!("the server lists {known} {messages} but returned no data for {them}");
            self.report.skip(mailbox.name.to_string(), why);
        }
    }

    /// Tells of what was skipped since the last time.
    pub(super) fn tell_skips(&mut self) {
        let skipped = &self.report.skipped;
        let news = skipped.get(self.attempt.skips_told..).unwrap_or_default();
        news.iter().for_each(|skip| self.environment.progress.tell(progress::Event::Skipped(skip)));
        self.attempt.skips_told = skipped.len();
    }
}

/// The mail is in step; a server that cannot say goodbye changes nothing of that.
pub(super) async fn say_goodbye(session: Session) {
    if let Err(error) = session.logout().await {
        tracing::debug!(%error, "logout");
    }
}

/// Servers and routers forget a silent connection after 10 minutes at the earliest that is seen
/// in the field (RFC 2177 allows 29).
pub const RENEWAL: Duration = Duration::from_secs(9 * 60);

impl Run {
    /// Says something to the server where the disk has kept us silent for long.
    ///
    /// # Errors
    /// What ends the session.
    pub(super) async fn keep_awake(&mut self) -> Result<(), AccountError> {
        if self.session.silence() >= RENEWAL {
            self.session.noop(&mut |_| {}).await?;
        }
        Ok(())
    }
}

/// Where deleted messages go when the server names no \Trash.
const TRASH: &str = "Trash";

impl Run {
    /// Writes in one transaction, durable when this returns.
    pub(super) fn record<T>(
        &mut self,
        write: impl FnOnce(&Writer<'_>) -> Result<T, StateError>,
    ) -> Result<T, AccountError> {
        let policy = self.policy()?;
        Ok(self.store.transaction(|tx| write(&Writer::new(tx, &policy)))?)
    }

    /// What was to be done with a file met none: the next look tells what became of it.
    pub(super) fn list_again(&mut self, mailbox: MailboxId) -> Result<(), AccountError> {
        self.record(|w| w.list_again(mailbox))
    }

    /// What the user configured, with the mailbox that is \Trash.
    pub(super) fn policy(&self) -> Result<Policy, AccountError> {
        Ok(Policy {
            pull_only: self.settings.pull_only,
            on_local_delete: self.settings.on_local_delete,
            on_remote_delete: self.settings.on_remote_delete,
            trash: Some(self.trash()),
            brings_back: BringsBack::default(),
            guard: self.settings.guard,
        })
    }

    /// The mailbox for deleted messages: the user's word, the server's, else the usual name.
    pub(super) fn trash(&self) -> MailboxName {
        let configured = self.settings.special_use.iter();
        let configured = configured.filter(|(s, _)| *s == SpecialUse::Trash).map(|(_, n)| n);
        let listed = self.attempt.seen.listed.iter();
        let listed = listed.filter(|m| m.special_use == Some(SpecialUse::Trash)).map(|m| &m.name);
        configured.chain(listed).next().cloned().unwrap_or_else(|| self.usual_trash())
    }

    /// The usual name, at the top, or below INBOX where all that the server has lies there.
    fn usual_trash(&self) -> MailboxName {
        let (top, below) = (MailboxName::new(TRASH), MailboxName::new(&format!("INBOX/{TRASH}")));
        let has = |name: &MailboxName| self.attempt.seen.listed.iter().any(|m| m.name == *name);
        let mut others = self.attempt.seen.listed.iter().filter(|m| !m.name.is_inbox()).peekable();
        let inbox = MailboxName::new(MailboxName::INBOX);
        let prefixed = others.peek().is_some() && others.all(|m| m.name.is_inferior_of(&inbox));
        if !has(&top) && (has(&below) || prefixed) { below } else { top }
    }

    /// Advances the counter that the root's marker and the store share, once a run, before
    /// its first effect: whichever is older next time was restored from somewhere.
    pub(super) fn mark(&mut self) -> Result<(), AccountError> {
        if self.attempt.marked {
            return Ok(());
        }
        crate::account::ownership::advance(&self.settings, &mut self.store, &self.root)?;
        self.attempt.marked = true;
        Ok(())
    }
}

impl Run {
    /// Opens the first connection anew, after an answer that cannot be read to its end.
    pub(super) async fn reconnect(&mut self) -> Result<(), AccountError> {
        let session = self.lanes.replace(self.session.names()).await?;
        self.losses.begin(&session);
        let gone = std::mem::replace(&mut self.session, session).counters();
        let before = std::mem::take(&mut self.attempt.traffic);
        self.lanes.add(Counters {
            received: gone.received - before.received,
            sent: gone.sent - before.sent,
            ..gone
        });
        Ok(())
    }
}
