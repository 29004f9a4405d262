//! Looks whether everything is as it should be, and changes nothing.
//!
//! A run believes what it remembers: the stamps of directories, mod-sequences, what a file held
//! when it was read. Here nothing of that is believed: every file is read again, every mailbox
//! is looked at anew and, where that is wished, every body on the server is compared with what
//! was recorded of it. All of it goes into a copy of the store. What a sync would mend is the
//! plan, as of a dry run; what none would is named.

mod altered;

use crate::account::comparison::{Comparison, Expected};

use self::altered::{Essences, Relation, of_file};
use super::run::Run;
use super::{observe, plan_input};
use crate::account::error::AccountError;
use crate::account::progress::{Event, Way};
use crate::account::report::Verified;
use crate::account::request::Depth;
use crate::local::{Examined, Listed};
use crate::reconcile::types::{Mailbox, MailboxStatus, Row, RowId, Uid};
use crate::remote::imap::{Select, UidSet};

/// Rows looked at in one go.
const PAGE: usize = 1000;

impl Run {
    /// Verifies the account; the report says what came of it.
    pub(super) async fn verify(&mut self, depth: Depth) -> Result<(), AccountError> {
        self.report.verified = Some(Verified::default());
        self.doubt()?;
        self.look().await?;
        self.read_files(depth).await?;
        self.tell_skips();
        let plan = plan_input::plan(self)?;
        self.describe(&plan)?;
        if depth == Depth::Bodies && !self.environment.is_stopping() {
            self.compare_bodies().await?;
        }
        self.report.interrupted = self.environment.is_stopping();
        Ok(())
    }

    /// Forgets what would spare a look.
    fn doubt(&mut self) -> Result<(), AccountError> {
        let mailboxes = self.store.mailboxes()?;
        self.record(|w| {
            mailboxes.into_iter().try_for_each(|mailbox| {
                let cursor =
                    mailbox.cursor.map(|gate| MailboxStatus { highest_modseq: None, ..gate });
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
    async fn read_files(&mut self, depth: Depth) -> Result<(), AccountError> {
        let mailboxes = self.mailboxes(|mailbox| mailbox.local)?;
        let of = mailboxes.len();
        let mut edited = Vec::new();
        for (at, mailbox) in (1..).zip(&mailboxes) {
            self.environment.progress.tell(Event::Looking { mailbox: &mailbox.name, at, of });
            let mut after: Option<RowId> = None;
            loop {
                let rows = self.store.rows_in(mailbox.id, after, PAGE)?;
                let Some(last) = rows.last() else { break };
                after = Some(last.id);
                for row in rows {
                    if self.environment.is_stopping() {
                        return Ok(());
                    }
                    edited.extend(self.read_file(mailbox, &row, depth).then_some(row.id));
                    // Reading waits for nobody: others of this thread have their turn.
                    tokio::task::yield_now().await;
                }
            }
        }
        edited.into_iter().try_for_each(|row| observe::reexamine(self, row))
    }

    /// Reads one file. Whether it was written to since it was read last.
    fn read_file(&mut self, mailbox: &Mailbox, row: &Row, depth: Depth) -> bool {
        let (Some(local), Some(content)) = (&row.local, row.content) else { return false };
        let what = || format!("{}: {:?}", mailbox.name, local.stem);
        let listed = Listed::expected(local, self.settings.info_separator);
        match self.root.examine(&mailbox.name, &listed) {
            Ok(Examined::Message { summary, .. }) if summary.content == content => {
                self.report.verified().files += 1;
                let told = row.words.as_ref().map_or(0, |words| words.size);
                // Whether it is a difference in earnest is told where the bodies are compared.
                let is_short = told.saturating_sub(summary.wire_size) > (told / 8).max(64);
                if depth == Depth::Files && row.weak && row.remote.is_some() && is_short {
                    let path = self.root.path_of(&mailbox.name, &listed.name);
                    let octets = summary.wire_size;
                    let why = format!(
                        "the file {} holds {octets} bytes, and the server announces {told} for \
                         the message: it may be cut off",
                        path.display()
                    );
                    self.report.verified().differs(what(), &why);
                }
            }
            Ok(Examined::Message { stamp, .. }) if stamp != local.stamp => return true,
            Ok(Examined::Message { .. }) => {
                let why = "the file's content changed while its size and time did not: check \
                           the disk";
                self.report.verified().differs(what(), why);
            }
            Ok(Examined::Empty) => self.report.verified().differs(what(), "the file is empty"),
            // At this moment it is renamed, removed or written to.
            Ok(
                Examined::Gone | Examined::Changing | Examined::NotRegular | Examined::Large { .. },
            ) => {}
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
            if self.environment.is_stopping() {
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
            let why = "its UIDVALIDITY changed during the verification";
            self.report.skip(mailbox.name.to_string(), why);
            return Ok(());
        }
        let progress = self.environment.progress.clone();
        let way = Way::Down;
        let mut after: Option<RowId> = None;
        let mut begun = false;
        loop {
            let rows = self.store.rows_in(mailbox.id, after, PAGE)?;
            let Some(last) = rows.last() else { break };
            after = Some(last.id);
            let mut expected = Expected::default();
            rows.iter().for_each(|row| Self::expect(row, &mut expected));
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
            let differing = comparison.take_differing();
            comparison.conclude(fetched.is_ok(), "UID", self.report.verified());
            fetched?;
            self.look_closely(mailbox, &rows, &differing).await?;
            if self.environment.is_stopping() {
                break;
            }
        }
        if begun {
            progress.tell(Event::Ended { mailbox: name, way });
        }
        Ok(())
    }

    /// Looks at bodies once more that are not what was recorded: servers alter what they are
    /// sent in ways that are known, and programs file one message with headers of their own.
    async fn look_closely(
        &mut self,
        mailbox: &Mailbox,
        rows: &[Row],
        differing: &[u32],
    ) -> Result<(), AccountError> {
        if differing.is_empty() {
            return Ok(());
        }
        let set: UidSet = differing.iter().map(|uid| Uid(*uid)).collect();
        let mut there = Essences::default();
        let limit = self.settings.max_message_size;
        self.session.fetch_bodies(&set, limit, &mut there).await?;
        let separator = self.settings.info_separator;
        for row in rows {
            let Some(uid) = row.remote.as_ref().map(|remote| remote.uid) else { continue };
            if !set.contains(uid) {
                continue;
            }
            let here = match of_file(&self.root, mailbox, row, separator) {
                Ok(here) => here,
                Err(error) => {
                    tracing::debug!(%error, "a file that is compared with its message");
                    None
                }
            };
            let told = row.words.as_ref().map_or(0, |words| words.size);
            let relation = match (&here, there.found.get(&uid)) {
                (Some(here), Some(there)) => here.relation(there, told, row.weak),
                _ => Relation::Different,
            };
            let what = format!("{}: UID {}", mailbox.name, uid.0);
            match (relation, here, &row.local) {
                (Relation::Same, ..) => self.report.verified().bodies += 1,
                (Relation::Reworded, ..) => self.report.verified().reworded += 1,
                (Relation::CutHere, Some(here), Some(local)) => {
                    let name = Listed::expected(local, separator).name;
                    let path = self.root.path_of(&mailbox.name, &name);
                    let octets = there.found.get(&uid).map_or(0, |there| there.octets);
                    let why = format!(
                        "the file {} holds {} bytes, and the server's message {octets}: it was \
                         cut off",
                        path.display(),
                        here.octets
                    );
                    self.report.verified().differs(what, &why);
                }
                _ => {
                    let why = "the server's copy differs from what was recorded";
                    self.report.verified().differs(what, why);
                }
            }
        }
        Ok(())
    }

    /// What the server should give for a row, if that is known.
    fn expect(row: &Row, expected: &mut Expected) {
        let (Some(remote), Some(content), None) = (&row.remote, row.content, &row.set_aside) else {
            return;
        };
        let size = row.words.as_ref().map_or(0, |words| words.size);
        expected.add(remote.uid.0, content, size);
    }
}
