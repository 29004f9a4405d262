//! Where mail is delivered: whose Maildir that is, whether it is the one it was, and what a
//! crash left in it.
//!
//! An account with a Maildir of its own keeps its marker, as one that mirrors does. A guest
//! places files in that of another account: it has a lock and names in `tmp/` of its own, and
//! remembers whose marker it found there.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Pull as Run;
use super::alike::{Alike, Files};
use crate::account::{AccountError, Outside, Report, Settings, Wish, record, recover, restate};
use crate::config::Maildrop;
use crate::local::name::FileName;
use crate::local::{Examined, Listed, Placed, RootOptions};
use crate::reconcile::types::MailboxName;
use crate::state::{Pull, Store};

/// Set while files are to be told from what was not pulled yet: in a new store, in a Maildir
/// that is not as it was left.
pub(super) const UNITING: &str = "uniting";
/// The identity of the store whose marker a guest found.
const OWNER: &str = "owner";

/// Whose Maildir it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Home {
    /// Our own.
    Own,
    /// That of another account.
    Guest,
}

/// How the Maildir was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    /// As it was left.
    AsLeft,
    /// For the first time.
    First,
    /// Another, or one that was restored.
    Changed,
}

impl Run {
    /// Opens store and Maildir, and settles what a crash left.
    pub(super) async fn open(
        settings: Settings,
        terms: Maildrop,
        outside: Outside,
        wish: &Wish,
        cause: &str,
    ) -> Result<Self, AccountError> {
        let store = recover::open_store(&settings, &outside, wish)?;
        let home = if terms.owner.is_some() { Home::Guest } else { Home::Own };
        let options = options(&settings, &store, home, wish)?;
        let root = recover::open_root(&settings, &outside, wish, options).map_err(|error| {
            let missing =
                matches!(&error, AccountError::Local(crate::local::LocalError::NoRoot { .. }));
            if missing { gone(&settings, &terms) } else { error }
        })?;
        let mut run = Self {
            settings,
            terms,
            outside,
            store,
            root: Arc::new(root),
            home,
            alike: Alike::default(),
            report: Report::default(),
            number: 0,
            dry_run: wish.dry_run,
            marked: false,
        };
        let now = run.outside.clock.now();
        run.number = run.store.transaction(|tx| tx.begin_run(now, cause))?;
        match run.enter().await {
            Ok(()) => Ok(run),
            Err(error) => {
                let (number, now) = (run.number, run.outside.clock.now());
                record::end_failed(&mut run.store, number, now, &error)?;
                Err(error)
            }
        }
    }

    /// Whether the Maildir is the account's own.
    pub(super) fn is_own(&self) -> bool {
        self.home == Home::Own
    }

    async fn enter(&mut self) -> Result<(), AccountError> {
        let found = match self.home {
            Home::Own => self.find_own()?,
            Home::Guest => self.find_owner()?,
        };
        self.remember(found)?;
        if self.dry_run {
            return Ok(());
        }
        self.root.create_mailbox(&self.terms.mailbox)?;
        self.settle(found)?;
        if self.store.meta(UNITING)?.is_some() {
            self.unite(found).await?;
        }
        Ok(())
    }

    fn find_own(&self) -> Result<Found, AccountError> {
        restate::check_layout(&self.settings, &self.root)?;
        let ours = restate::is_our_root(&self.settings, &self.store, &self.root)?;
        let is_marked = self.root.marker()?.is_some();
        match (ours, is_marked) {
            (true, true) => Ok(Found::AsLeft),
            (true, false) => Ok(Found::First),
            (false, true) => Ok(Found::Changed),
            // It was to be written for the first time.
            (false, false) if restate::counter(&self.store, "marker")? == 0 => Ok(Found::First),
            (false, false) if self.dry_run => Ok(Found::Changed),
            // Most likely its disk is not mounted. What is pulled into its place would be hidden
            // by it, and gone from the server.
            (false, false) => Err(gone(&self.settings, &self.terms)),
        }
    }

    fn find_owner(&self) -> Result<Found, AccountError> {
        restate::check_layout(&self.settings, &self.root)?;
        let known = self.store.meta(OWNER)?;
        let there = self.root.marker()?.map(|marker| marker.store_id);
        match (known, there) {
            (None, _) => Ok(Found::First),
            (Some(known), Some(there)) if known == there => Ok(Found::AsLeft),
            (Some(_), Some(_)) => Ok(Found::Changed),
            (Some(_), None) if self.dry_run => Ok(Found::Changed),
            (Some(_), None) => Err(gone(&self.settings, &self.terms)),
        }
    }

    /// Whether the owner's marker is the one that is remembered.
    pub(super) fn home_is_known(&self) -> Result<bool, AccountError> {
        let there = self.root.marker()?.map(|marker| marker.store_id);
        Ok(there.is_some() && there == self.store.meta(OWNER)?)
    }

    /// Writes down whose mail is pulled, to where and by which limits, and what follows from
    /// another answer than last time.
    fn remember(&mut self, found: Found) -> Result<(), AccountError> {
        let identity = restate::identity(&self.settings);
        let limits = self.settings.max_message_size.to_string();
        let owner = match self.home {
            Home::Guest => self.root.marker()?.map(|marker| marker.store_id),
            Home::Own => None,
        };
        let unites = found == Found::Changed || found == Found::First && self.store.is_fresh()?;
        self.store.transaction(|tx| {
            if tx.meta("identity")?.is_some_and(|known| known != identity) {
                tracing::info!("another server or user than before: content tells what is new");
                tx.forget_drop_names()?;
            }
            if tx.meta("limits")?.is_some_and(|known| known != limits) {
                tx.retry_drop_rows()?;
            }
            if unites {
                tx.set_meta(UNITING, "1")?;
            }
            if let Some(owner) = &owner {
                tx.set_meta(OWNER, owner)?;
            }
            tx.set_meta("identity", &identity)?;
            tx.set_meta("limits", &limits)
        })?;
        Ok(())
    }

    /// Places what a crash left *placing*, and removes what was never whole. Without its file in
    /// `tmp/` it was placed before, unless the Maildir is another one.
    fn settle(&mut self, found: Found) -> Result<(), AccountError> {
        let mut touched = BTreeSet::new();
        let mut settled = Vec::new();
        for mut row in self.store.drop_placing()? {
            let Pull::Placing(mailbox, stem) = row.pull.clone() else { continue };
            let placed = self.root.place(&mailbox, &stem, true, "")?;
            if matches!(placed, Placed::Placed(_)) {
                let name = FileName::build(&stem, true, "", self.settings.info_separator);
                let path = || self.root.path_of(&mailbox, &name);
                self.report.arrivals.note(&mailbox, path);
                self.report.pulled += 1;
                touched.insert(mailbox);
            } else if found == Found::Changed {
                settled.push((row, false));
                continue;
            }
            row.pull = Pull::Pulled;
            settled.push((row, true));
        }
        for mailbox in &touched {
            self.root.sync_dirs(mailbox)?;
            self.report.touch(mailbox);
        }
        if !settled.is_empty() {
            self.store.transaction(|tx| {
                settled.iter().try_for_each(|(row, there)| match there {
                    true => tx.put_drop_row(row).map(drop),
                    false => tx.forget_drop_row(row.id),
                })
            })?;
        }
        self.root.clean_tmp(&self.terms.mailbox, &BTreeSet::new())?;
        Ok(())
    }

    /// Reads what lies in the Maildir: what was pulled and is not there is pulled once more,
    /// and what is there and was never pulled is not, should it come.
    async fn unite(&mut self, found: Found) -> Result<(), AccountError> {
        let mut files = self.read_files(found).await?;
        let missing: Vec<i64> = self
            .store
            .drop_contents()?
            .into_iter()
            .filter(|(_, content)| !files.take(content))
            .map(|(row, _)| row)
            .collect();
        if found == Found::Changed && !missing.is_empty() {
            tracing::info!("{} messages are not in the Maildir any more", missing.len());
            self.store
                .transaction(|tx| missing.iter().try_for_each(|row| tx.forget_drop_row(*row)))?;
        }
        self.alike = Alike::of_files(files);
        Ok(())
    }

    /// The contents of all files; of a Maildir that is only visited, at first, those of the
    /// mailbox that is delivered into.
    async fn read_files(&self, found: Found) -> Result<Files, AccountError> {
        let mut files = Files::default();
        let only =
            (self.home == Home::Guest && found == Found::First).then_some(&self.terms.mailbox);
        for mailbox in self.root.mailboxes()?.found {
            if only.is_some_and(|only| *only != mailbox.name) {
                continue;
            }
            for listed in self.list(&mailbox.name)? {
                match self.root.examine(&mailbox.name, &listed)? {
                    Examined::Message { summary, .. } => files.add(&summary.content),
                    _ => tracing::debug!(mailbox = %mailbox.name, "a file is no message"),
                }
                // Others have their turn.
                tokio::task::yield_now().await;
            }
        }
        Ok(files)
    }

    fn list(&self, mailbox: &MailboxName) -> Result<Vec<Listed>, AccountError> {
        let listing = self.root.list(mailbox)?;
        Ok(listing.messages().map(|entry| entry.to_listed()).collect())
    }
}

fn gone(settings: &Settings, terms: &Maildrop) -> AccountError {
    AccountError::Gone {
        maildir: settings.maildir.display().to_string(),
        account: terms.owner.clone().unwrap_or_else(|| settings.name.clone()),
    }
}

/// How the root is opened: made only where there was none before.
fn options(
    settings: &Settings,
    store: &Store,
    home: Home,
    wish: &Wish,
) -> Result<RootOptions, AccountError> {
    let usual = recover::options(settings, store, wish);
    let (was_there, lock) = match home {
        Home::Own => (restate::counter(store, "marker")? > 0, usual.lock.clone()),
        Home::Guest => {
            let lock = usual.lock.as_ref().map(|_| format!("guest-{}", usual.store_id));
            (store.meta(OWNER)?.is_some(), lock)
        }
    };
    Ok(RootOptions { create: usual.create && !was_there, lock, ..usual })
}
