//! Which messages there are: the only answer that says so (RFC 9051 §6.4.4).

use super::parse::{Response, esearch, search};
use super::session::Session;
use super::uid_set::{Collector, UidSet};
use crate::remote::budget::Budget;
use crate::remote::error::RemoteError;
use crate::remote::suspects::Command;

/// How many ranges of UIDs are taken before the answer is not believed any more.
const RANGES: usize = 2 << 20;

impl Session {
    /// All UIDs of the selected mailbox, and EXISTS at the end of the command. The look is
    /// complete only if the two agree.
    ///
    /// # Errors
    /// A refusal, an answer that makes no sense, or what ends the session.
    pub async fn search_all(&mut self) -> Result<(UidSet, u32), RemoteError> {
        // Some servers answer ALL with sequence numbers (hazard 127). `*` needs a message.
        let by_uid = self.caution.searches_by_uid && self.talk.exists > 0;
        let uids = self.search(if by_uid { "UID 1:*" } else { "ALL" }).await?;
        if let Some(mailbox) = self.selected.clone().filter(|_| uids.len() == self.told()) {
            self.caution.suspects.lock().narrow(&mailbox, self.uid_validity, &uids);
        }
        Ok((uids, self.talk.exists))
    }

    /// From now on all UIDs are asked for as a range of UIDs. Gives whether they were not before.
    pub fn search_by_uid(&mut self) -> bool {
        !std::mem::replace(&mut self.caution.searches_by_uid, true)
    }

    /// The UIDs that carry `\Deleted`, whoever set it.
    ///
    /// # Errors
    /// As for [`Session::search_all`].
    pub async fn search_deleted(&mut self) -> Result<UidSet, RemoteError> {
        self.search("DELETED").await
    }

    async fn search(&mut self, key: &str) -> Result<UidSet, RemoteError> {
        self.begin_with(Command::Search, &UidSet::new())?;
        let answer = self.search_by(key).await;
        self.passing(answer)
    }

    fn told(&self) -> u64 {
        u64::from(self.talk.exists)
    }

    async fn search_by(&mut self, key: &str) -> Result<UidSet, RemoteError> {
        let doing = format!("UID SEARCH {key}");
        if self.talk.capabilities.esearch() {
            let command = format!("UID SEARCH RETURN (ALL) {key}");
            match self.run_search(&doing, &command).await {
                Err(RemoteError::Bad { .. }) => {
                    tracing::warn!("ESEARCH is announced but not understood");
                    self.talk.capabilities.withdraw("ESEARCH");
                }
                found => return found,
            }
        }
        self.run_search(&doing, &doing).await
    }

    async fn run_search(&mut self, doing: &str, command: &str) -> Result<UidSet, RemoteError> {
        let mut found = Collector::default();
        let mut readable = true;
        self.run(doing, command, Budget::SEARCH, &mut |response| {
            let more = match response {
                Response::Search(line) => search(line),
                Response::Esearch(line) => esearch(line),
                _ => return false,
            };
            // Several lines add up; one that cannot be read spoils them all.
            match more {
                Some(more) if found.count() + more.ranges().len() < RANGES => found.extend(&more),
                _ => readable = false,
            }
            true
        })
        .await?;
        if readable {
            return Ok(found.finish());
        }
        let what = "its UIDs cannot be read".to_owned();
        Err(RemoteError::Garbled { doing: doing.to_owned(), what })
    }
}
