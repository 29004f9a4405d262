//! UIDL and LIST: what lies in the maildrop.
//!
//! Each can be done without: where UIDL is refused, or connections are lost at it, messages have no
//! ids; without LIST they have no sizes; without both STAT says how many there are.

use std::sync::Arc;

use super::listing::{Listed, Listing, entry, id, size};
use super::reply::{Answer, Refusal};
use super::session::Session;
use crate::remote::broken::Broken;
use crate::remote::budget::Budget;
use crate::remote::code::Code;
use crate::remote::error::RemoteError;
use crate::remote::suspects::Command;

/// How many messages a listing may have.
const MOST: usize = 500_000;
/// How many octets all ids may have together.
const WEIGHT: usize = 16 << 20;

/// What is kept of a line, by its weight in octets.
trait Weight {
    fn weight(&self) -> usize;
}

impl Weight for Arc<str> {
    fn weight(&self) -> usize {
        self.len()
    }
}

impl Weight for u64 {
    fn weight(&self) -> usize {
        0
    }
}

/// Numbers of messages and what was said of each.
type Entries<T> = Vec<(u32, Option<T>)>;

impl Session {
    /// Lists the maildrop as it is in this session, in the order of the numbers.
    ///
    /// Lines that make no sense are passed over. Where the server has no UIDL no message has
    /// an id.
    ///
    /// # Errors
    /// LIST was refused, or UIDL for the moment, and for the first time; or what ends the session.
    pub async fn list(&mut self) -> Result<Arc<[Listed]>, RemoteError> {
        let with_ids = !self.capabilities.is_disabled("UIDL");
        let rests = self.suspects.lock().why_not(Command::Uidl, None);
        if let Some(words) = rests.clone().filter(|_| with_ids && self.needs_ids) {
            return Err(RemoteError::SetAside { doing: "UIDL".to_owned(), words });
        }
        let with_ids = with_ids && rests.is_none();
        let with_sizes = !self.rests(Command::List);
        let together = self.sends_ahead() && with_ids && with_sizes;
        let (mut ids, mut sizes) = (None, None);
        if together {
            self.start("UIDL", "UIDL", Budget::MAILDROP)?;
            self.send("LIST", "LIST", Budget::MAILDROP)?;
            ids = Some(self.entries("UIDL", id).await?);
            sizes = Some(self.entries("LIST", size).await?);
        } else {
            if with_ids {
                self.start("UIDL", "UIDL", Budget::MAILDROP)?;
                ids = Some(self.entries("UIDL", id).await?);
            }
            if with_sizes {
                self.start("LIST", "LIST", Budget::MAILDROP)?;
                sizes = Some(self.entries("LIST", size).await?);
            }
        }
        let has_ids = matches!(&ids, Some(Ok(ids)) if !ids.is_empty());
        let sizes = self.sizes(sizes, has_ids).await?;
        let ids = self.ids(ids, !sizes.is_empty())?;
        let listed: Arc<[Listed]> = united(ids, sizes).into();
        self.listing = Listing::new(Arc::clone(&listed));
        Ok(listed)
    }

    /// Nothing is listed without UIDL, also if connections were lost at it: without ids all would
    /// have to come once more.
    pub fn needs_ids(&mut self) {
        self.needs_ids = true;
    }

    /// What LIST said or, where it is refused or not asked for, what there is without it.
    async fn sizes(
        &mut self,
        answer: Option<Result<Entries<u64>, Refusal>>,
        has_ids: bool,
    ) -> Result<Entries<u64>, RemoteError> {
        let refusal = match answer {
            Some(Ok(sizes)) => return Ok(sizes),
            Some(Err(refusal)) => Some(refusal),
            None if has_ids => return Ok(Vec::new()),
            None => None,
        };
        // Some have nothing to list in an empty maildrop.
        let count = self.count().await?;
        if count == Some(0) {
            return Ok(Vec::new());
        }
        if let Some(refusal) = refusal {
            let error = refusal.of("LIST");
            self.note_refusal(Command::List, &error);
            if !self.rests(Command::List) {
                return Err(error);
            }
        }
        if has_ids {
            return Ok(Vec::new());
        }
        let doing = "LIST, UIDL and STAT".to_owned();
        let count = count.ok_or(RemoteError::Unsupported { doing })?;
        Ok((1..=count).map(|number| (number, None)).collect())
    }

    /// What UIDL said; nothing where there is none.
    fn ids(
        &mut self,
        answer: Option<Result<Entries<Arc<str>>, Refusal>>,
        any: bool,
    ) -> Result<Entries<Arc<str>>, RemoteError> {
        let refusal = match answer {
            Some(Ok(ids)) => return Ok(ids),
            Some(Err(refusal)) => refusal,
            None => return Ok(Vec::new()),
        };
        let for_now = matches!(refusal.code, Some(Code::Unavailable | Code::InUse));
        // It has it, and in another session will give it again.
        if for_now || any && self.capabilities.has("UIDL") {
            let error = refusal.of("UIDL");
            self.note_refusal(Command::Uidl, &error);
            if self.needs_ids || !self.rests(Command::Uidl) {
                return Err(error);
            }
        } else {
            // There is none.
            self.note_answer(Command::Uidl);
        }
        Ok(Vec::new())
    }

    /// How many messages STAT says there are, up to as many as a listing may have.
    async fn count(&mut self) -> Result<Option<u32>, RemoteError> {
        self.start("STAT", "STAT", Budget::SHORT)?;
        let answer = self.status("STAT").await?;
        match answer {
            Answer::Ok(words) => {
                self.settled();
                let count =
                    words.split_ascii_whitespace().next().and_then(|word| word.parse().ok());
                Ok(count.filter(|count| *count as usize <= MOST))
            }
            Answer::Err(_) => Ok(None),
            Answer::Challenge(_) => Err(self.lost("STAT", "unexpected challenge")),
        }
    }

    async fn entries<T: PartialEq + Weight>(
        &mut self,
        doing: &str,
        read: fn(&[u8]) -> Option<T>,
    ) -> Result<Result<Entries<T>, Refusal>, RemoteError> {
        if let Err(refusal) = self.opening(doing).await? {
            return Ok(Err(refusal));
        }
        let mut entries = Vec::new();
        let mut weight = 0;
        self.lines(doing, &mut |line| {
            let Some(entry) = entry(line, read) else { return Ok(()) };
            weight += entry.1.as_ref().map_or(0, T::weight);
            entries.push(entry);
            match (entries.len() > MOST, weight > WEIGHT) {
                (true, _) => Err(Broken::Limit("a listing of so many messages", MOST as u64)),
                (_, true) => Err(Broken::Limit("the ids of all messages", WEIGHT as u64)),
                _ => Ok(()),
            }
        })
        .await?;
        entries.sort_by_key(|(number, _)| *number);
        // Of a number that is listed twice nothing is known but that it is there.
        entries.dedup_by(|later, first| {
            let same = later.0 == first.0;
            if same && later.1 != first.1 {
                first.1 = None;
            }
            same
        });
        Ok(Ok(entries))
    }
}

/// Puts together what both listings say, each in the order of the numbers.
fn united(ids: Entries<Arc<str>>, sizes: Entries<u64>) -> Vec<Listed> {
    let mut listed = Vec::with_capacity(ids.len().max(sizes.len()));
    let (mut ids, mut sizes) = (ids.into_iter().peekable(), sizes.into_iter().peekable());
    loop {
        let (id, size) = (ids.peek().map(|id| id.0), sizes.peek().map(|size| size.0));
        let Some(number) = id.into_iter().chain(size).min() else { return listed };
        let uidl = ids.next_if(|id| id.0 == number).and_then(|id| id.1);
        let size = sizes.next_if(|size| size.0 == number).and_then(|size| size.1);
        listed.push(Listed { number, uidl, size });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_listings_are_one() {
        let ids = vec![(1, Some("a".into())), (3, None), (4, Some("d".into()))];
        let sizes = vec![(1, Some(10)), (2, Some(20)), (3, Some(30))];
        let one =
            |number, uidl: Option<&str>, size| Listed { number, uidl: uidl.map(Into::into), size };
        let expected = [
            one(1, Some("a"), Some(10)),
            one(2, None, Some(20)),
            one(3, None, Some(30)),
            one(4, Some("d"), None),
        ];
        assert_eq!(united(ids, sizes), expected);
        assert!(united(Vec::new(), Vec::new()).is_empty());
    }
}
