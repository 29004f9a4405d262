//! Where mail is delivered: whose Maildir that is, whether it is the one it was, and what a
//! crash left in it.
//!
//! An account with a Maildir of its own keeps its marker, as one that mirrors does. A guest
//! places files in that of another account: it has a lock, names in `tmp/` and a marker of its
//! own there, since that of the owner says nothing of what the guest put into it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Run;
use super::alike::{Alike, Files};
use crate::account::{AccountError, Outside, Report, Settings, Wish, record, recover, restate};
use crate::config::Maildrop;
use crate::local::name::FileName;
use crate::local::{Examined, Listed, LocalError, Placed, Root, RootOptions};
use crate::reconcile::types::{ContentId, Journal, MailboxName, Stem};
use crate::state::{Pull, Store};

/// Set while files are to be told from what was not pulled yet: in a new store, in a Maildir
/// that is not as it was left.
pub(super) const UNITING: &str = "uniting";
/// Set by the first pull, and taken away by whatever else the store is used for.
pub(in crate::account) const PULLS: &str = "pulls";

/// Whose Maildir it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Home {
    /// Our own.
    Own,
    /// That of another account.
    Guest,
    /// None: a program takes the messages, and they lie in ours only until it has.
    Spool,
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
        let mut store = recover::open_store(&settings, &outside, wish)?;
        let now = outside.clock.now();
        let number = store.transaction(|tx| tx.begin_run(now, cause))?;
        let home = match (&terms.owner, terms.deliver_command.is_empty()) {
            (_, false) => Home::Spool,
            (Some(_), true) => Home::Guest,
            (None, true) => Home::Own,
        };
        let root = match open_root(&settings, &outside, &store, home, wish) {
            Ok(root) => Arc::new(root),
            Err(error) => {
                record::end_failed(&mut store, number, outside.clock.now(), &error)?;
                return Err(error);
            }
        };
        let mut run = Self {
            settings,
            terms,
            outside,
            store,
            root,
            home,
            alike: Alike::default(),
            report: Report::default(),
            number,
            dry_run: wish.dry_run,
            marked: false,
            spares: false,
        };
        match run.enter().await {
            Ok(()) => Ok(run),
            Err(error) => {
                let now = run.outside.clock.now();
                record::end_failed(&mut run.store, number, now, &error)?;
                Err(error)
            }
        }
    }

    /// Whether what was delivered stays where it was put.
    pub(super) fn has_marker(&self) -> bool {
        self.home != Home::Spool
    }

    async fn enter(&mut self) -> Result<(), AccountError> {
        let found = self.find()?;
        self.remember(found)?;
        if !self.dry_run {
            self.root.create_mailbox(&self.terms.mailbox)?;
            self.settle(found)?;
        }
        if self.store.meta(UNITING)?.is_some() {
            self.unite(found).await?;
        }
        Ok(())
    }

    fn find(&self) -> Result<Found, AccountError> {
        if !self.has_marker() {
            return Ok(Found::AsLeft);
        }
        restate::check_layout(&self.settings, &self.root)?;
        let ours = restate::is_our_root(&self.settings, &self.store, &self.root)?;
        let is_marked = self.root.marker()?.is_some();
        match (ours, is_marked) {
            (true, true) => Ok(Found::AsLeft),
            (true, false) => Ok(Found::First),
            (false, true) => Ok(Found::Changed),
            // It was to be written for the first time.
            (false, false) if restate::counter(&self.store, "marker")? == 0 => Ok(Found::First),
            // Most likely its disk is not mounted. What is pulled into its place would be hidden
            // by it, and gone from the server.
            (false, false) => Err(gone(&self.settings)),
        }
    }

    /// Writes down whose mail is pulled, to where and by which limits, and what follows from
    /// another answer than last time.
    fn remember(&mut self, found: Found) -> Result<(), AccountError> {
        let identity = restate::identity(&self.settings);
        let limits = self.settings.max_message_size.to_string();
        let is_new = self.store.meta(PULLS)?.is_none();
        let unites = self.has_marker() && (found == Found::Changed || is_new);
        self.store.transaction(|tx| {
            if tx.meta("identity")?.is_some_and(|known| known != identity) {
                tracing::info!("another server or user than before: content tells what is new");
                tx.forget_drop_names()?;
                tx.delete_meta(super::DOUBTED)?;
                tx.set_meta(super::RENAMED, "1")?;
            }
            if tx.meta("limits")?.is_some_and(|known| known != limits) {
                tx.retry_drop_rows()?;
            }
            if unites {
                tx.set_meta(UNITING, "1")?;
            }
            tx.set_meta(PULLS, "1")?;
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
            } else if found == Found::Changed || placed == Placed::Exists {
                settled.push((row, false));
                continue;
            }
            // Also where it had its name already: whoever gave it may not have made that last.
            touched.insert(mailbox);
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
        self.root.clean_tmp(&self.terms.mailbox, &self.others_stems()?)?;
        Ok(())
    }

    /// What lies in `tmp/` of this store since it mirrored the mailbox.
    fn others_stems(&self) -> Result<BTreeSet<Stem>, AccountError> {
        let mut stems = BTreeSet::new();
        for mailbox in self.store.mailboxes()? {
            stems.extend(self.store.placing(mailbox.id)?.into_iter().filter_map(|row| {
                match row.journal {
                    Journal::Placing { stem, .. } => Some(stem),
                    _ => None,
                }
            }));
        }
        Ok(stems)
    }

    /// Reads what lies in the Maildir: what was pulled and is not there is pulled once more,
    /// and what is there and was never pulled is not, should it come.
    async fn unite(&mut self, found: Found) -> Result<(), AccountError> {
        let visits = self.home == Home::Guest && found == Found::First;
        let (mut files, all) = self.read_files(visits).await?;
        let missing: Vec<i64> = self
            .store
            .drop_contents()?
            .into_iter()
            .filter(|(_, content)| !files.take(content))
            .map(|(row, _)| row)
            .collect();
        // Of what cannot be read nobody knows what it is: nothing is taken for missing.
        if found == Found::Changed && all {
            tracing::info!("{} messages are not in the Maildir any more", missing.len());
            self.store
                .transaction(|tx| missing.iter().try_for_each(|row| tx.forget_drop_row(*row)))?;
            if !self.dry_run {
                // What is deleted from here on is deleted by somebody.
                self.mark()?;
            }
        }
        self.alike = Alike::of_files(files);
        Ok(())
    }

    /// The contents of all files; of a Maildir that is only visited, at first, those of the
    /// mailbox that is delivered into. And whether all could be read.
    pub(super) async fn read_files(&self, visits: bool) -> Result<(Files, bool), AccountError> {
        let (mut files, mut all) = (Files::default(), true);
        for mailbox in self.root.mailboxes()?.found {
            if visits && self.terms.mailbox != mailbox.name {
                continue;
            }
            let listing = self.root.list(&mailbox.name)?;
            for entry in listing.messages() {
                match self.content(&mailbox.name, entry.to_listed()) {
                    Ok(content) => content.iter().for_each(|content| files.add(content)),
                    Err(error) => {
                        tracing::warn!(%error, "not read");
                        all = false;
                    }
                }
                // Others have their turn.
                tokio::task::yield_now().await;
            }
        }
        Ok((files, all))
    }

    /// The content of a file, if it is a message; also of one that got another name meanwhile.
    fn content(
        &self,
        mailbox: &MailboxName,
        listed: Listed,
    ) -> Result<Option<ContentId>, LocalError> {
        let mut now = Some(listed);
        for _ in 0..5 {
            let Some(listed) = now else { break };
            match self.root.examine(mailbox, &listed)? {
                Examined::Message { summary, .. } => return Ok(Some(summary.content)),
                Examined::Gone | Examined::Changing => {}
                _ => return Ok(None),
            }
            now = self.root.find(mailbox, &BTreeSet::from([listed.stem]))?.pop();
        }
        Ok(None)
    }
}

fn gone(settings: &Settings) -> AccountError {
    let maildir = settings.maildir.display().to_string();
    AccountError::Gone { maildir, account: settings.name.clone() }
}

/// How the root of an account that pulls is opened, to be adopted, too.
pub(in crate::account) fn guest_options(usual: RootOptions) -> RootOptions {
    let (lock, marker) =
        (format!("guest-{}", usual.store_id), format!("guest-{}.marker", usual.store_id));
    RootOptions { lock: usual.lock.map(|_| lock), marker, ..usual }
}

/// Opens the root: it is made only where there was none before.
fn open_root(
    settings: &Settings,
    outside: &Outside,
    store: &Store,
    home: Home,
    wish: &Wish,
) -> Result<Root, AccountError> {
    let usual = recover::options(settings, store, wish);
    let was_there = home != Home::Spool && restate::counter(store, "marker")? > 0;
    let options = if home == Home::Guest { guest_options(usual) } else { usual };
    let options = RootOptions { create: options.create && !was_there, ..options };
    recover::open_root(settings, outside, wish, options).map_err(|error| match error {
        AccountError::Local(LocalError::NoRoot { .. }) => gone(settings),
        error => error,
    })
}
