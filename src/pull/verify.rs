//! Looks whether everything that was pulled is as it was, and changes nothing.

use std::collections::HashSet;

use super::Event;
use super::classify::{Known, Sorted};
use super::run::Run;
use crate::account::comparison::{Comparison, Expected};
use crate::account::error::AccountError;
use crate::account::progress::Way;
use crate::account::report::Verified;
use crate::account::request::Depth;
use crate::remote::pop3::Session;
use crate::state::Pull;

impl Run {
    /// Reads every file, lists the maildrop and, where that is wished, compares what is in it
    /// with what was recorded; the report says what came of it.
    pub(super) async fn verify(&mut self, depth: Depth) -> Result<(), AccountError> {
        self.report.verified = Some(Verified::default());
        let left = self.missing().await?;
        let mut session = self.connect().await.map_err(|lost| lost.error)?;
        let listed = self.verify_in(&mut session, depth, &left).await;
        let counters = session.counters();
        self.report.received += counters.received;
        self.report.sent += counters.sent;
        listed?;
        self.report.interrupted = self.environment.is_stopping();
        Ok(())
    }

    /// Rows that no file holds what was pulled of. Whoever deleted, altered or took one away may
    /// do so, and nobody can tell that from a loss: so they are counted, and no fault.
    async fn missing(&mut self) -> Result<HashSet<i64>, AccountError> {
        let mut left = HashSet::new();
        if !self.has_marker() {
            return Ok(left);
        }
        let (mut files, _) = self.read_files(false).await?;
        for (row, content) in self.store.drop_contents()? {
            match files.take(&content) {
                true => self.report.verified().files += 1,
                false => drop(left.insert(row)),
            }
        }
        self.report.verified().left = left.len() as u64;
        Ok(left)
    }

    async fn verify_in(
        &mut self,
        session: &mut Session,
        depth: Depth,
        left: &HashSet<i64>,
    ) -> Result<(), AccountError> {
        let mailbox = self.terms.mailbox.clone();
        self.environment.progress.tell(Event::Looking { mailbox: &mailbox, at: 1, of: 1 });
        let listed = self.list(session).await?;
        let sorted = self.sort(session, &listed).await?;
        self.describe(&sorted);
        let still = sorted.known.iter().filter(|known| left.contains(&known.row));
        self.report.verified().left_there = still.count() as u64;
        if depth == Depth::Bodies {
            self.compare(session, &sorted).await?;
        }
        if let Err(error) = session.quit().await {
            // Nothing was marked, so nothing depends on its answer.
            tracing::debug!(%error, "QUIT");
        }
        Ok(())
    }

    /// Fetches what was pulled before, and looks whether it is still the same.
    async fn compare(
        &mut self,
        session: &mut Session,
        sorted: &Sorted,
    ) -> Result<(), AccountError> {
        const PAGE: usize = 1000;
        let (progress, mailbox, way) =
            (self.environment.progress.clone(), self.terms.mailbox.clone(), Way::Down);
        let (mailbox, mut begun) = (&mailbox, false);
        for some in sorted.known.chunks(PAGE) {
            if self.environment.is_stopping() {
                break;
            }
            let expected = self.expected(some)?;
            let numbers: Vec<u32> = some
                .iter()
                .map(|known| known.number)
                .filter(|number| expected.contents.contains_key(number))
                .collect();
            let (messages, octets) = (numbers.len() as u64, expected.octets);
            progress.tell(Event::Planned { mailbox, way, messages, octets });
            if !std::mem::replace(&mut begun, true) {
                progress.tell(Event::Began { mailbox, way });
            }
            let mut comparison = Comparison::new(expected, mailbox, &progress);
            let fetched = session.retrieve(&numbers, &mut comparison).await;
            comparison.conclude(fetched.is_ok(), "message", self.report.verified());
            fetched?;
        }
        if begun {
            progress.tell(Event::Ended { mailbox, way });
        }
        Ok(())
    }

    fn expected(&mut self, known: &[Known]) -> Result<Expected, AccountError> {
        let mut expected = Expected::default();
        for one in known {
            let Some(row) = self.store.drop_row(one.row)? else { continue };
            match row.content {
                Some(content) if row.pull != Pull::Alike => {
                    expected.add(one.number, content, row.size.unwrap_or_default());
                }
                Some(_) => self.report.verified().reworded += 1,
                None => {}
            }
        }
        Ok(expected)
    }
}
