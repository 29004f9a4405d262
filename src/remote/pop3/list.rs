//! UIDL and LIST: what lies in the maildrop.

use super::answer::{Answer, Refusal};
use super::session::Session;
use crate::remote::broken::Broken;
use crate::remote::budget::Budget;
use crate::remote::{Code, RemoteError};

/// How many messages a listing may have.
const MOST: usize = 500_000;
/// How many octets all ids may have together.
const WEIGHT: usize = 16 << 20;
/// The longest id that is taken. RFC 1939 §7 allows 70 octets; not all keep to it.
const ID: usize = 1_000;

/// A message of the maildrop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its number in this session.
    pub number: u32,
    /// Its unique id, as the server spells it; none if it has no usable one. Two messages may
    /// have the same: some servers make it of what a message says.
    pub uidl: Option<String>,
    /// Its size in octets, as announced.
    pub size: Option<u64>,
}

/// What is kept of a line, by its weight in octets.
trait Weight {
    fn weight(&self) -> usize;
}

impl Weight for String {
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
    /// LIST was refused, or UIDL for the moment; or what ends the session.
    pub async fn list(&mut self) -> Result<Vec<Listed>, RemoteError> {
        let together = self.capabilities.pipelining();
        let with_ids = !self.capabilities.is_disabled("UIDL");
        let mut ids = None;
        if with_ids {
            self.start("UIDL", "UIDL", Budget::MAILDROP)?;
        }
        if with_ids && !together {
            ids = Some(self.entries("UIDL", id).await?);
        }
        self.send("LIST", "LIST", Budget::MAILDROP)?;
        if with_ids && together {
            ids = Some(self.entries("UIDL", id).await?);
        }
        let sizes = match self.entries("LIST", size).await? {
            Ok(sizes) => sizes,
            // Some have nothing to list in an empty maildrop.
            Err(refusal) => match self.is_empty().await? {
                true => Vec::new(),
                false => return Err(refusal.of("LIST")),
            },
        };
        let ids = match ids {
            Some(Ok(ids)) => ids,
            Some(Err(Refusal { code: Some(Code::Unavailable | Code::InUse), words })) => {
                let doing = "UIDL".to_owned();
                return Err(RemoteError::No { doing, code: Some(Code::Unavailable), words });
            }
            // It has it, and in another session will give it again.
            Some(Err(refusal)) if self.capabilities.has("UIDL") && !sizes.is_empty() => {
                return Err(refusal.of("UIDL"));
            }
            Some(Err(_)) | None => Vec::new(),
        };
        let listed = united(ids, sizes);
        self.sizes = listed.iter().filter_map(|one| Some((one.number, one.size?))).collect();
        Ok(listed)
    }

    /// Whether STAT says that there is no message.
    async fn is_empty(&mut self) -> Result<bool, RemoteError> {
        self.start("STAT", "STAT", Budget::SHORT)?;
        let answer = self.status("STAT").await?;
        match answer {
            Answer::Ok(words) => {
                self.settled();
                Ok(words.split_ascii_whitespace().next() == Some("0"))
            }
            Answer::Err(_) => Ok(false),
            Answer::Challenge(_) => Err(self.lost("STAT", "it asks for something")),
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

/// Reads a line: a number, and what `read` makes of the rest.
pub(crate) fn entry<T>(line: &[u8], read: fn(&[u8]) -> Option<T>) -> Option<(u32, Option<T>)> {
    let line = line.trim_ascii();
    let end = line.iter().position(u8::is_ascii_whitespace).unwrap_or(line.len());
    let number = std::str::from_utf8(&line[..end]).ok()?;
    // `parse` takes a sign as well.
    let number =
        number.bytes().all(|byte| byte.is_ascii_digit()).then(|| number.parse().ok())??;
    (number > 0).then(|| (number, read(line[end..].trim_ascii())))
}

pub(crate) fn id(rest: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(rest).ok()?;
    (!text.is_empty() && text.len() <= ID).then(|| text.to_owned())
}

pub(crate) fn size(rest: &[u8]) -> Option<u64> {
    // What follows the size is the server's own affair (RFC 1939 §5, LIST).
    let word = rest.split(u8::is_ascii_whitespace).next()?;
    let digits = word.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(word).ok().filter(|_| digits)?.parse().ok()
}

/// Puts together what both listings say, each in the order of the numbers.
fn united(ids: Entries<String>, sizes: Entries<u64>) -> Vec<Listed> {
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

    /// A line, and what it says.
    type Case<'a> = (&'a [u8], Option<(u32, Option<String>)>);

    #[test]
    fn lines_of_every_make() {
        let text = |text: &str| Some(text.to_owned());
        let long = "x".repeat(ID);
        let (kept, over) = (format!("3 {long}"), format!("3 {long}y"));
        let table: [Case<'_>; 13] = [
            (b"1 a", Some((1, text("a")))),
            (b"  2   b  ", Some((2, text("b")))),
            (b"2\tb c", Some((2, text("b c")))),
            (b"2", Some((2, None))),
            (b"2 ", Some((2, None))),
            (kept.as_bytes(), Some((3, Some(long.clone())))),
            (over.as_bytes(), Some((3, None))),
            (b"4 \xff", Some((4, None))),
            (b"0 a", None),
            (b"+1 a", None),
            (b"4294967296 a", None),
            (b"a 1", None),
            (b"", None),
        ];
        for (line, expected) in table {
            assert_eq!(entry(line, id), expected, "{}", line.escape_ascii());
        }
        assert_eq!(entry(b"1 120 more", size), Some((1, Some(120))));
        assert_eq!(entry(b"1 -120", size), Some((1, None)));
        assert_eq!(entry(b"1 99999999999999999999", size), Some((1, None)));
    }

    #[test]
    fn both_listings_are_one() {
        let ids = vec![(1, Some("a".to_owned())), (3, None), (4, Some("d".to_owned()))];
        let sizes = vec![(1, Some(10)), (2, Some(20)), (3, Some(30))];
        let one = |number, uidl: Option<&str>, size| Listed {
            number,
            uidl: uidl.map(str::to_owned),
            size,
        };
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
