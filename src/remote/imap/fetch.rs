//! UID FETCH of attributes: rows that are handed on one by one and never collected.

use super::parse::Response;
use super::parse::fetch::{FetchRow, row};
use super::session::{SET_LIMIT, Session};
use super::uid_set::UidSet;
use crate::remote::budget::Budget;
use crate::remote::error::RemoteError;
use crate::remote::suspects::Command;

/// Which attributes to ask for. The UID always comes along.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FetchItems {
    /// FLAGS.
    pub flags: bool,
    /// RFC822.SIZE.
    pub size: bool,
    /// INTERNALDATE.
    pub date: bool,
    /// MODSEQ; left out where the server has none.
    pub modseq: bool,
    /// EMAILID or X-GM-MSGID; left out where the server has neither.
    pub object_id: bool,
}

impl Session {
    /// Fetches attributes of messages of the selected mailbox.
    ///
    /// Each row goes to `sink` as it comes, in any order, and a message may come in several
    /// rows; rows of messages outside `set` are kept for [`Session::take_pending`]. An
    /// attribute that was asked for and is none in every row of a message was not given:
    /// for flags that is an error of the server, never "no flags". A message without any row
    /// is not thereby gone.
    ///
    /// `changed_since` asks only for what changed after that mod-sequence (RFC 7162 §3.1.4.1);
    /// it is ignored where it is 0 or the mailbox has no mod-sequences.
    ///
    /// # Errors
    /// A refusal of all of them (rows that came before it stand): what is refused for one
    /// message is refused for that one alone, which is left out. Or what ends the session.
    pub async fn fetch(
        &mut self,
        set: &UidSet,
        items: FetchItems,
        changed_since: Option<u64>,
        sink: &mut dyn FnMut(FetchRow),
    ) -> Result<(), RemoteError> {
        self.fetch_with_facts(set, &UidSet::new(), items, changed_since, sink).await
    }

    /// The same; and, without another wait for an answer, size and date of those that are in
    /// `facts` as well.
    ///
    /// # Errors
    /// As for [`Self::fetch`].
    pub async fn fetch_with_facts(
        &mut self,
        set: &UidSet,
        facts: &UidSet,
        items: FetchItems,
        changed_since: Option<u64>,
        sink: &mut dyn FnMut(FetchRow),
    ) -> Result<(), RemoteError> {
        let names = self.item_names(items);
        let condstore = self.talk.has_modseq();
        let modifier = match changed_since {
            Some(since) if since > 0 && condstore => format!(" (CHANGEDSINCE {since})"),
            _ => String::new(),
        };
        let command = if items.size || items.date { Command::Attributes } else { Command::Flags };
        let mut queue = self.in_parts(command, set).await?;
        let (mut refused, mut is_answered) = (None, false);
        while let Some(part) = queue.pop_front() {
            let mut shown = UidSet::new();
            let mut each = |response: &Response<'_>| {
                let Response::Fetch(rest) = response else { return false };
                match row(rest) {
                    Some(row) if part.contains(row.uid) => {
                        shown.insert(row.uid);
                        sink(row);
                        true
                    }
                    _ => false,
                }
            };
            self.begin_with(command, &part)?;
            let exists = u64::from(self.talk.exists);
            let chunks = part.chunks(SET_LIMIT).into_iter();
            let commands = chunks.map(|part| {
                // Of `1:*` no more can come than there are.
                let budget = Budget::rows(part.len().min(exists.saturating_add(1_000)));
                (format!("UID FETCH {part} ({names}){modifier}"), budget)
            });
            let facts = part.intersection(facts);
            let facts = Some(facts).filter(|facts| !facts.is_empty()).map(|facts| {
                let budget = Budget::rows(facts.len());
                (format!("UID FETCH {facts} (UID RFC822.SIZE INTERNALDATE)"), budget)
            });
            let commands = commands.chain(facts);
            match self.run_all("UID FETCH", commands, &mut each).await {
                Ok(()) => {
                    is_answered = true;
                    self.passed();
                }
                Err(error) if error.is_refusal() => {
                    self.take_apart(command, &part, &error, &mut queue).await?;
                    refused.get_or_insert(error);
                }
                Err(error) => {
                    self.answered_only(&shown);
                    return Err(error);
                }
            }
        }
        refused.filter(|_| !is_answered && !self.is_left_out(command, set)).map_or(Ok(()), Err)
    }

    fn item_names(&self, items: FetchItems) -> String {
        let can = &self.talk.capabilities;
        let object_id = if can.objectid() { "EMAILID" } else { "X-GM-MSGID" };
        [
            (true, "UID"),
            (items.flags, "FLAGS"),
            (items.size, "RFC822.SIZE"),
            (items.date, "INTERNALDATE"),
            (items.modseq && self.talk.has_modseq(), "MODSEQ"),
            (items.object_id && (can.objectid() || can.gmail()), object_id),
        ]
        .into_iter()
        .filter_map(|(wanted, name)| wanted.then_some(name))
        .collect::<Vec<_>>()
        .join(" ")
    }
}
