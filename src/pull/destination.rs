//! Where mail is delivered: whose Maildir that is, whether it is the one it was, and what a
//! crash left in it.
//!
//! An account with a Maildir of its own keeps its marker, as one that mirrors does. A guest
//! places files in that of another account: it has a lock, names in `tmp/` and a marker of its
//! own there, since that of the owner says nothing of what the guest put into it.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use super::rematch::{Alike, Files};
use super::run::{Home, Run};
use crate::account::error::AccountError;
use crate::account::losses::Losses;
use crate::account::report::Report;
use crate::account::request::RunRequest;
use crate::account::settings::{Environment, Settings};
use crate::account::{opening, outcome, ownership};
use crate::config::Maildrop;
use crate::local::name::FileName;
use crate::local::{Examined, Listed, LocalError, Placed, Root, RootOptions};
use crate::reconcile::types::{ContentId, DirStamps, Journal, MailboxName, Stem};
use crate::remote::pop3::Listing;
use crate::remote::suspects::Shared;
use crate::state::meta;
use crate::state::meta::Uniting;
use crate::state::{MaildropRow, Presence, Pull, Store};

/// How the Maildir was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
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
        environment: Environment,
        request: &RunRequest,
        cause: &str,
    ) -> Result<Self, AccountError> {
        let mut store = opening::open_store(&settings, &environment, request)?;
        let now = environment.clock.now();
        let number = store.transaction(|tx| tx.begin_run(now, cause))?;
        let home = match (&terms.owner, terms.deliver_command.is_empty()) {
            (_, false) => Home::Spool,
            (Some(_), true) => Home::Guest,
            (None, true) => Home::Own,
        };
        let root = match open_root(&settings, &environment, &store, home, request) {
            Ok(root) => Arc::new(root),
            Err(error) => {
                outcome::end_failed(&mut store, number, environment.clock.now(), &error)?;
                return Err(error);
            }
        };
        let mut run = Self {
            settings,
            terms,
            environment,
            store,
            root,
            home,
            alike: Alike::default(),
            suspects: Shared::default(),
            listing: Listing::default(),
            losses: Losses::default(),
            report: Report::default(),
            number,
            dry_run: request.dry_run,
            marked: false,
            all_read: true,
            in_parts: false,
            is_wary: false,
        };
        run.begin_cautiously(cause)?;
        match run.enter().await {
            Ok(()) => Ok(run),
            Err(error) => {
                let now = run.environment.clock.now();
                outcome::end_failed(&mut run.store, number, now, &error)?;
                Err(error)
            }
        }
    }

    /// Whether what was delivered stays where it was put.
    pub(super) fn has_marker(&self) -> bool {
        self.home != Home::Spool
    }

    async fn enter(&mut self) -> Result<(), AccountError> {
        let found = self.with_directory(self.find()?)?;
        self.remember(found)?;
        if !self.dry_run {
            self.settle(found)?;
            self.make_mailbox()?;
            self.note_directory()?;
            if found == Found::First {
                // Before anything is in it: should its disk not be mounted one day, that is seen,
                // and what a lost store left in it is known as ours (hazard 86).
                self.mark()?;
            }
            self.root.clean_tmp(&self.terms.mailbox, &self.others_stems()?)?;
        }
        if self.store.has_fact(&meta::UNITING)? {
            self.unite(found).await?;
        }
        Ok(())
    }

    /// Makes the mailbox that is delivered into. One that was there and is an empty directory now
    /// is a disk of its own that is not mounted.
    fn make_mailbox(&mut self) -> Result<(), AccountError> {
        let mailbox = self.terms.mailbox.clone();
        let is_known = self.store.fact(&meta::MAILBOX)?.is_some_and(|known| known == mailbox);
        // Whoever says `adopt` says that there is no such disk.
        let is_adopted = self.root.marker()?.is_some_and(|marker| marker.counter == u64::MAX);
        let is_watched = is_known && !is_adopted && self.has_marker();
        if is_watched && self.root.is_hollow(&mailbox)? {
            return Err(gone(&self.settings));
        }
        self.root.create_mailbox(&mailbox)?;
        if !is_known {
            self.store.transaction(|tx| tx.set_fact(&meta::MAILBOX, &mailbox))?;
        }
        Ok(())
    }

    fn find(&self) -> Result<Found, AccountError> {
        if !self.has_marker() {
            return Ok(Found::AsLeft);
        }
        ownership::check_layout(&self.settings, &self.root)?;
        let ours = ownership::is_our_root(&self.settings, &self.store, &self.root)?;
        let is_marked = self.root.marker()?.is_some();
        match (ours, is_marked) {
            (true, true) => Ok(Found::AsLeft),
            (true, false) => Ok(Found::First),
            (false, true) => Ok(Found::Changed),
            // It was to be written for the first time.
            (false, false) if ownership::counter(&self.store, &meta::MARKER)? == 0 => {
                Ok(Found::First)
            }
            // Most likely its disk is not mounted. What is pulled into its place would be hidden
            // by it, and gone from the server.
            (false, false) => Err(gone(&self.settings)),
        }
    }

    /// Writes down whose mail is pulled, to where and by which limits, and what follows from
    /// another answer than last time.
    fn remember(&mut self, found: Found) -> Result<(), AccountError> {
        let identity = ownership::identity(&self.settings);
        let limits = self.settings.max_message_size;
        let is_new = !self.store.has_fact(&meta::PULLS)?;
        let unites = self.has_marker() && (found == Found::Changed || is_new);
        self.store.transaction(|tx| {
            if tx.fact(&meta::IDENTITY)?.is_some_and(|known| known != identity) {
                tracing::info!("another server or user than before: content tells what is new");
                tx.forget_drop_names()?;
                tx.delete_fact(&meta::UIDL_DOUBTED)?;
                tx.set_fact(&meta::UIDL_RENAMED, &())?;
            }
            if tx.fact(&meta::LIMITS)?.is_some_and(|known| known != limits) {
                tx.retry_drop_rows()?;
            }
            if unites {
                let is_changed =
                    found == Found::Changed || tx.fact(&meta::UNITING)? == Some(Uniting::Changed);
                let uniting = if is_changed { Uniting::Changed } else { Uniting::New };
                tx.set_fact(&meta::UNITING, &uniting)?;
            }
            tx.set_fact(&meta::PULLS, &())?;
            tx.set_fact(&meta::IDENTITY, &identity)?;
            tx.set_fact(&meta::LIMITS, &limits)
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
            // A directory that has another name now took what lay in its tmp along.
            let is_gone = self.home == Home::Spool || !self.root.has_dir(&mailbox)?;
            let placed = self.root.place(&mailbox, &stem, true, "")?;
            if is_gone && placed == Placed::NotInTmp {
                settled.push((row, false));
                continue;
            }
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
                    true => tx.put_maildrop_row(row).map(drop),
                    false => tx.forget_maildrop_row(row.id),
                })
            })?;
        }
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

    /// Reads what lies in the Maildir: what was pulled and is not there is pulled once more, and
    /// what is there and was never pulled is not, should it come.
    async fn unite(&mut self, found: Found) -> Result<(), AccountError> {
        let visits = self.home == Home::Guest && found == Found::First && !self.was_here()?;
        let (mut files, all) = self.read_files(visits).await?;
        let mut missing = |rows: Vec<(i64, ContentId)>| -> Vec<i64> {
            let lacks = rows.into_iter().filter(|(_, content)| !files.take(content));
            lacks.map(|(row, _)| row).collect()
        };
        let (pulled, others) =
            (missing(self.store.drop_contents()?), missing(self.store.drop_found()?));
        let is_changed = self.store.fact(&meta::UNITING)? == Some(Uniting::Changed);
        self.all_read = all;
        // Of what cannot be read nobody knows what it is: nothing is taken for missing.
        let forgotten = if is_changed && all { pulled } else { Vec::new() };
        if is_changed && all {
            tracing::info!("{} messages are not in the Maildir any more", forgotten.len());
        }
        self.store.transaction(|tx| {
            forgotten.iter().chain(&others).try_for_each(|row| tx.forget_maildrop_row(*row))?;
            for content in files.left() {
                tx.put_maildrop_row(&found_row(content))?;
            }
            if all { tx.delete_fact(&meta::UNITING).map(drop) } else { Ok(()) }
        })?;
        if is_changed && all && !self.dry_run {
            // What is deleted from here on is deleted by somebody.
            self.mark()?;
        }
        Ok(())
    }

    /// Whether a store of this account that is lost was a guest here: then its mail may have been
    /// filed anywhere.
    fn was_here(&self) -> Result<bool, AccountError> {
        let account = ownership::identity(&self.settings);
        Ok(self.root.guest_markers()?.iter().any(|marker| marker.account == account))
    }

    /// The contents of all files; of a Maildir that is only visited those of the mailbox that is
    /// delivered into. And whether all could be read.
    pub(super) async fn read_files(&mut self, visits: bool) -> Result<(Files, bool), AccountError> {
        let mut reading = Reading::default();
        // What is moved meanwhile is met where it went to; thrice at most.
        for _ in 0..3 {
            if !self.read_once(visits, &mut reading).await? {
                break;
            }
        }
        Ok((reading.files, !reading.failed))
    }

    /// Reads what was not read yet in directories that changed. Gives whether there were any.
    async fn read_once(
        &mut self,
        visits: bool,
        reading: &mut Reading,
    ) -> Result<bool, AccountError> {
        let mut any = false;
        reading.failed = false;
        let walk = self.root.mailboxes()?;
        for problem in &walk.problems {
            reading.fail(&mut self.report, problem);
        }
        for mailbox in walk.found {
            let is_ours = !visits || self.terms.mailbox == mailbox.name;
            if !is_ours || reading.stamps.get(&mailbox.name) == Some(&mailbox.stamps) {
                continue;
            }
            any = true;
            let listing = match self.root.list(&mailbox.name) {
                Ok(listing) => listing,
                Err(error) => {
                    reading.fail(&mut self.report, &error);
                    continue;
                }
            };
            let mut whole = true;
            for entry in listing.messages() {
                let stem = half(&blake3::hash(entry.stem));
                if reading.stems.contains(&stem) {
                    continue;
                }
                match self.content(&mailbox.name, entry.to_listed()) {
                    Ok(Some(content)) => {
                        reading.files.add(content);
                        reading.stems.insert(stem);
                    }
                    Ok(None) => {}
                    Err(error) => {
                        reading.fail(&mut self.report, &error);
                        whole = false;
                    }
                }
                // Others have their turn.
                tokio::task::yield_now().await;
            }
            if whole {
                reading.stamps.insert(mailbox.name, mailbox.stamps);
            }
        }
        Ok(any)
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
                Examined::Gone | Examined::Changing | Examined::Large { .. } => {}
                _ => return Ok(None),
            }
            now = self.root.find(mailbox, &BTreeSet::from([listed.stem]))?.pop();
        }
        Ok(None)
    }
}

/// What is known of the files of a Maildir while they are read.
#[derive(Debug, Default)]
struct Reading {
    files: Files,
    /// Hashes of the stems of those that were read.
    stems: HashSet<u128>,
    /// Directories that were read as they are.
    stamps: BTreeMap<MailboxName, DirStamps>,
    failed: bool,
}

impl Reading {
    fn fail(&mut self, report: &mut Report, error: &LocalError) {
        report.skip(error.path().display().to_string(), error.to_string());
        self.failed = true;
    }
}

/// Enough of a hash to tell a million names apart.
fn half(hash: &blake3::Hash) -> u128 {
    let mut half = [0; 16];
    half.copy_from_slice(&hash.as_bytes()[..16]);
    u128::from_le_bytes(half)
}

/// The row of a file that nobody pulled.
fn found_row(content: ContentId) -> MaildropRow {
    MaildropRow {
        id: 0,
        uidl: None,
        header: None,
        start: None,
        size: None,
        content: Some(content),
        text: None,
        pull: Pull::Found,
        days: 0,
        last_day: 0,
        presence: Presence::Renamed,
        short: false,
    }
}

pub(super) fn gone(settings: &Settings) -> AccountError {
    let maildir = settings.maildir.display().to_string();
    AccountError::Gone { maildir, account: settings.name.clone() }
}

/// How the root of an account that pulls is opened, to be adopted, too.
pub(crate) fn guest_options(usual: RootOptions) -> RootOptions {
    let (lock, marker) =
        (format!("guest-{}", usual.store_id), format!("guest-{}.marker", usual.store_id));
    RootOptions { lock: usual.lock.map(|_| lock), marker, ..usual }
}

/// Opens the root: it is made only where there was none before.
fn open_root(
    settings: &Settings,
    environment: &Environment,
    store: &Store,
    home: Home,
    request: &RunRequest,
) -> Result<Root, AccountError> {
    let usual = opening::options(settings, store, request);
    let was_there = home != Home::Spool && ownership::counter(store, &meta::MARKER)? > 0;
    let options = if home == Home::Guest { guest_options(usual) } else { usual };
    let options = RootOptions { create: options.create && !was_there, ..options };
    opening::open_root(settings, environment, request, options).map_err(|error| match error {
        AccountError::Local(LocalError::NoRoot { .. }) => gone(settings),
        error => error,
    })
}
