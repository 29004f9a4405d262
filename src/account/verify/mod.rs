//! Looks whether everything is as it should be, and changes nothing.
//!
//! A run believes what it remembers: the stamps of directories, mod-sequences, what a file held
//! when it was read. Here nothing of that is believed: every file is read again, every mailbox
//! is looked at anew and, where that is wished, every body on the server is compared with what
//! was recorded of it. All of it goes into a copy of the store. What a sync would mend is the
//! plan, as of a dry run; what none would is named.

mod compare;

pub(super) use self::compare::{Comparison, Expected};
use super::progress::{Event, Way};
use super::report::Verified;
use super::{AccountError, Run, observe, world};
use crate::local::{Examined, Listed};
use crate::reconcile::types::{Gate, Mailbox, Row, RowId, Uid};
use crate::remote::imap::{Select, UidSet};

/// Rows looked at in one go.
const PAGE: usize = 1000;

/// How far a verification goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// Every file is read, and both sides are listed.
    Files,
    /// The bodies on the server are fetched as well.
    Bodies,
}

impl Run {
    /// Verifies the account; the report says what came of it.
    pub(super) async fn verify(&mut self, depth: Depth) -> Result<(), AccountError> {
        self.report.verified = Some(Verified::default());
        self.doubt()?;
        observe::observe(self).await?;
        self.read_files().await?;
        self.tell_skips();
        let plan = self.plan()?;
        self.report.plan = world::describe(self, &plan)?;
        self.describe_renames();
        if depth == Depth::Bodies && !self.outside.is_stopping() {
            self.compare_bodies().await?;
        }
        self.report.interrupted = self.outside.is_stopping();
        Ok(())
    }

    /// Forgets what would spare a look.
    fn doubt(&mut self) -> Result<(), AccountError> {
        let mailboxes = self.store.mailboxes()?;
        self.record(|w| {
            mailboxes.into_iter().try_for_each(|mailbox| {
                let cursor = mailbox.cursor.map(|gate| Gate { highest_modseq: None, ..gate });
                w.mailbox(&Mailbox { cursor, stamps: None, ..mailbox }).map(drop)
            })
        })
    }

    /// Those that one side has, and that are asked for.
    fn mailboxes(&self, has: fn(&Mailbox) -> bool) -> Result<Vec<Mailbox>, AccountError> {
        let all = self.store.mailboxes()?.into_iter();
        Ok(all.filter(|mailbox| has(mailbox) && self.looks_at(&mailbox.name)).collect())
    }

    /// Reads every file again. One that was written to is found as any edited file is.
    async fn read_files(&mut self) -> Result<(), AccountError> {
        let mailboxes = self.mailboxes(|mailbox| mailbox.local)?;
        let of = mailboxes.len();
        let mut edited = Vec::new();
        for (at, mailbox) in (1..).zip(&mailboxes) {
            self.outside.progress.tell(Event::Looking { mailbox: &mailbox.name, at, of });
            let mut after: Option<RowId> = None;
            loop {
                let rows = self.store.rows_in(mailbox.id, after, PAGE)?;
                let Some(last) = rows.last() else { break };
                after = Some(last.id);
                for row in rows {
                    if self.outside.is_stopping() {
                        return Ok(());
                    }
                    edited.extend(self.read_file(mailbox, &row).then_some(row.id));
                    // Reading waits for nobody: others of this thread have their turn.
                    tokio::task::yield_now().await;
                }
            }
        }
        edited.into_iter().try_for_each(|row| observe::reexamine(self, row))
    }

    /// Reads one file. Whether it was written to since it was read last.
    fn read_file(&mut self, mailbox: &Mailbox, row: &Row) -> bool {
        let (Some(local), Some(content)) = (&row.local, row.content) else { return false };
        let what = || format!("{}: {:?}", mailbox.name, local.stem);
        let listed = Listed::expected(local, self.settings.info_separator);
        match self.root.examine(&mailbox.name, &listed) {
            Ok(Examined::Message { summary, .. }) if summary.content == content => {
                self.report.verified().files += 1;
            }
            Ok(Examined::Message { stamp, .. }) if stamp != local.stamp => return true,
            Ok(Examined::Message { .. }) => {
                let why = "the file does not hold what it did, and by its size and time nobody \
                           wrote to it: look after the disk";
                self.report.verified().differs(what(), why);
            }
            Ok(Examined::Empty) => self.report.verified().differs(what(), "the file is empty"),
            // At this moment it is renamed, removed or written to.
            Ok(Examined::Gone | Examined::Changing | Examined::NotRegular) => {}
            Err(error) => self.report.skip(what(), error.to_string()),
        }
        false
    }

    /// Fetches what was fetched or sent before, and looks whether it is still the same.
    async fn compare_bodies(&mut self) -> Result<(), AccountError> {
        for mailbox in self.mailboxes(|mailbox| mailbox.remote)? {
            match self.compare_in(&mailbox).await {
                Err(AccountError::Remote(error)) if !error.ends_session() => {
                    self.report.skip(mailbox.name.to_string(), error.to_string());
                }
                result => result?,
            }
            if self.outside.is_stopping() {
                break;
            }
        }
        Ok(())
    }

    async fn compare_in(&mut self, mailbox: &Mailbox) -> Result<(), AccountError> {
        self.session.settle().await?;
        let (name, mut news) = (&mailbox.name, |_| {});
        let gate = self.session.select(name, Select::ReadOnly, None, &mut news).await?.gate;
        if mailbox.cursor.is_none_or(|cursor| cursor.uid_validity != gate.uid_validity) {
            self.report.skip(mailbox.name.to_string(), "renumbered by the server at this moment");
            return Ok(());
        }
        let progress = self.outside.progress.clone();
        let way = Way::Down;
        let mut after: Option<RowId> = None;
        let mut begun = false;
        loop {
            let rows = self.store.rows_in(mailbox.id, after, PAGE)?;
            let Some(last) = rows.last() else { break };
            after = Some(last.id);
            let mut expected = Expected::default();
            rows.iter().for_each(|row| self.expect(row, &mut expected));
            let (messages, octets) = (expected.contents.len() as u64, expected.octets);
            if messages == 0 {
                continue;
            }
            progress.tell(Event::Planned { mailbox: name, way, messages, octets });
            if !std::mem::replace(&mut begun, true) {
                progress.tell(Event::Began { mailbox: name, way });
            }
            let set: UidSet = expected.contents.keys().map(|uid| Uid(*uid)).collect();
            let mut comparison = Comparison::new(expected, name, &progress);
            let fetched =
                self.session.fetch_bodies(&set, self.settings.max_message_size, &mut comparison);
            let fetched = fetched.await;
            comparison.conclude(fetched.is_ok(), "UID", self.report.verified());
            fetched?;
            if self.outside.is_stopping() {
                break;
            }
        }
        if begun {
            progress.tell(Event::Ended { mailbox: name, way });
        }
        Ok(())
    }

    /// What the server should give for a row, if that is known.
    fn expect(&mut self, row: &Row, expected: &mut Expected) {
        let (Some(remote), Some(content), None) = (&row.remote, row.content, &row.set_aside) else {
            return;
        };
        if row.weak {
            self.report.verified().reworded += 1;
            return;
        }
        let size = row.words.as_ref().map_or(0, |words| words.size);
        expected.add(remote.uid.0, content, size);
    }
}
