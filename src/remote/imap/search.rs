//! Which messages there are: the only answer that says so (RFC 9051 §6.4.4).

use super::parse::{Response, esearch, search};
use super::session::Session;
use super::uid_set::UidSet;
use crate::remote::RemoteError;

/// How many ranges of UIDs are taken before the answer is not believed any more.
const RANGES: usize = 16 << 20;

impl Session {
    /// All UIDs of the selected mailbox, and EXISTS at the end of the command. The look is
    /// complete only if the two agree.
    ///
    /// # Errors
    /// A refusal, an answer that makes no sense, or what ends the session.
    pub async fn search_all(&mut self) -> Result<(UidSet, u32), RemoteError> {
        let uids = self.search("ALL").await?;
        Ok((uids, self.talk.exists))
    }

    /// The UIDs that carry `\Deleted`, whoever set it.
    ///
    /// # Errors
    /// As for [`Session::search_all`].
    pub async fn search_deleted(&mut self) -> Result<UidSet, RemoteError> {
        self.search("DELETED").await
    }

    async fn search(&mut self, key: &str) -> Result<UidSet, RemoteError> {
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
        let mut ranges = Vec::new();
        let mut readable = true;
        self.run(doing, command, &mut |response| {
            let more = match response {
                Response::Search(line) => search(line),
                Response::Esearch(line) => esearch(line),
                _ => return false,
            };
            // Several lines add up; one that cannot be read spoils them all.
            match more {
                Some(more) if ranges.len() < RANGES => ranges.extend_from_slice(more.ranges()),
                _ => readable = false,
            }
            true
        })
        .await?;
        if readable {
            return Ok(UidSet::from_ranges(ranges));
        }
        let what = "its UIDs cannot be read".to_owned();
        Err(RemoteError::Garbled { doing: doing.to_owned(), what })
    }
}
