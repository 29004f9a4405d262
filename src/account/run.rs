//! What a run of one account works with: its context, and what this attempt keeps for itself.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::apply::Lanes;
use super::attempt::Attempt;
use super::live::Hints;
use super::progress;
use super::report::Report;
use super::settings::{Outside, Settings};
use super::suspects;
use super::verify::Depth;
use crate::local::Root;
use crate::reconcile::types::{Mailbox, MailboxName, RowId};
use crate::remote::imap::{Session, Shared};
use crate::state::Store;

/// Everything that a run of one account works with.
#[derive(Debug)]
pub struct Run {
    /// The account's configuration.
    pub settings: Settings,
    /// File system, network, clock.
    pub outside: Outside,
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
    pub(super) losses: suspects::Losses,
    /// The server named what this session does not show: the next run asks over a new one.
    pub(super) is_view_old: bool,
}

/// What a run is asked to do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wish {
    /// Observe and plan, then say what would be done.
    pub dry_run: bool,
    /// Look whether everything is as it should be. That is a dry run, too.
    pub verify: Option<Depth>,
    /// Look only at these mailboxes. What could have gone elsewhere is not removed then.
    pub focus: Option<BTreeSet<MailboxName>>,
}

impl Wish {
    /// To see what a run would do.
    #[must_use]
    pub fn dry_run() -> Self {
        Self { dry_run: true, ..Self::default() }
    }

    /// To see whether everything is as it should be.
    #[must_use]
    pub fn verify(depth: Depth) -> Self {
        Self { verify: Some(depth), ..Self::dry_run() }
    }
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
            let why = format!("the server names {known} messages and shows nothing of them");
            self.report.skip(mailbox.name.to_string(), why);
        }
    }

    /// Tells of what was skipped since the last time.
    pub(super) fn tell_skips(&mut self) {
        let skipped = &self.report.skipped;
        let news = skipped.get(self.attempt.skips_told..).unwrap_or_default();
        news.iter().for_each(|skip| self.outside.progress.tell(progress::Event::Skipped(skip)));
        self.attempt.skips_told = skipped.len();
    }
}
