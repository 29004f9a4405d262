//! Single facts of the account, in the table `meta`: every key, with the type of its value and
//! how that is stored. Stores of older versions are read, so no key and no text ever changes.

use std::borrow::Cow;
use std::marker::PhantomData;

use serde::{Deserialize, Serialize};

use super::error::Result;
pub(crate) use super::fact::{Fact, List, Numbers, Shut, Uniting};
use super::{Tx, View};
use crate::reconcile::BringsBack;
use crate::reconcile::types::{Home, Keyword, MailboxId, MailboxName, RowId, Uid};

/// The key of a fact of type `T`.
#[derive(Debug)]
pub(crate) struct Key<T> {
    name: Cow<'static, str>,
    value: PhantomData<fn() -> T>,
}

const fn key<T>(name: &'static str) -> Key<T> {
    Key { name: Cow::Borrowed(name), value: PhantomData }
}

fn key_of<T>(name: String) -> Key<T> {
    Key { name: Cow::Owned(name), value: PhantomData }
}

/// The device on which the root of the Maildirs was last seen.
pub(crate) const ROOT_DISK: Key<u64> = key("root_disk");
/// The counter that the marker of the root and the store share.
pub(crate) const MARKER: Key<u64> = key("marker");
/// Its next value, noted before the marker is written.
pub(crate) const MARKER_NEXT: Key<u64> = key("marker_next");
/// Server and user.
pub(crate) const IDENTITY: Key<String> = key("identity");
/// Settings that decide which rows exist and what a missing side means.
pub(crate) const SCOPE: Key<String> = key("scope");
/// `max_message_size` of the last run.
pub(crate) const LIMITS: Key<u64> = key("limits");
/// Set while both sides are being united.
pub(crate) const UNITING: Key<Uniting> = key("uniting");
/// What comes back after a change of the settings; set until the end of the first whole look.
pub(crate) const BRINGS_BACK: Key<BringsBack> = key("unites");
/// The last row at each value of the counter.
pub(crate) const ROOTS: Key<Roots> = key("roots");
/// Set where messages may have come and left again before a look showed them.
pub(crate) const PASSED: Key<()> = key("passed");
/// Messages that bear our mark: mailbox, UIDVALIDITY, and UIDs as a sequence set.
pub(crate) const MARKED_DELETED: Key<List<(MailboxId, u32, String), '\n', true>> =
    key("marked_deleted");
/// Uploads that the server does not show.
pub(crate) const TAKEN: Key<List<(RowId, Missed), '\n', true>> = key("taken");
/// Lock files of keyword tables that a crash may leave behind.
pub(crate) const KEYWORDS_LOCKS: Key<Vec<KeywordsLock>> = key("keywords_locks");
/// Keywords that were refused: mailbox, the last run, and how many runs.
pub(crate) const KEYWORDS_REFUSED: Key<List<(MailboxId, i64, u32, Keyword), '\n'>> =
    key("keywords_refused");
/// A mailbox whose HIGHESTMODSEQ did not move, and its value.
pub(crate) const MODSEQ_STILL: Key<(MailboxId, u64)> = key("modseq_still");
/// Mailboxes in which flags were changed, HIGHESTMODSEQ before that, and the run.
pub(crate) const MODSEQ_STORED: Key<List<(MailboxId, u64, i64), ','>> = key("modseq_stored");
/// When the last comparison of files began, in seconds since 1970.
pub(crate) const FILES_COMPARED: Key<i64> = key("files_compared");
/// The last row of a comparison that is not at its end.
pub(crate) const FILES_COMPARED_TO: Key<(MailboxId, RowId)> = key("files_compared_to");
/// The run that last asked for what was not shown, when to ask next (seconds since 1970), and for
/// how many seconds that was put off.
pub(crate) const ASK_AGAIN: Key<(i64, i64, i64)> = key("ask_again");
/// Number of bodies whose announced size was right, and of those where it was wrong.
pub(crate) const ANNOUNCED_SIZES: Key<Sizes> = key("announced_sizes");
/// Short bodies of rows that are not believed yet.
pub(crate) const SHORT_BODIES: Key<Vec<Short<i64>>> = key("short_bodies");
/// The same of a maildrop, by UIDL.
pub(crate) const SHORT_BODIES_OF_NAMES: Key<Option<Vec<Short<String>>>> = key("short_bodies");
/// The way in which a POP3 server miscounts octets.
pub(crate) const SIZE_HABIT: Key<Habit> = key("size_habit");
/// The directory that is delivered into, as it was left.
pub(crate) const MAILBOX_DIRECTORY: Key<MailboxDirectory> = key("mailbox_directory");
/// The mailbox that is delivered into.
pub(crate) const MAILBOX: Key<MailboxName> = key("mailbox");
/// Set by the first pull, and taken away by whatever else the store is used for.
pub(crate) const PULLS: Key<()> = key("pulls");
/// Set where UIDLs are not believed: the day on which one was last that of two messages.
pub(crate) const UIDL_DOUBTED: Key<i64> = key("uidl_doubted");
/// Set while UIDLs that changed are not all told from new ones.
pub(crate) const UIDL_RENAMED: Key<()> = key("uidl_renamed");
/// Set where a POP3 server answers questions about one message in its own way.
pub(crate) const POP3_ODD_ABOUT_ONE: Key<()> = key("pop3_odd_about_one");

/// UIDVALIDITY of an unfinished first look at a mailbox.
pub(crate) fn looking(mailbox: MailboxId) -> Key<u32> {
    key_of(format!("looking {}", mailbox.0))
}

/// What was seen of other mailboxes when the numbers of this one changed.
pub(crate) fn numbers(mailbox: MailboxId) -> Key<Numbers> {
    key_of(format!("numbers {}", mailbox.0))
}

/// UIDVALIDITY that the server showed of a mailbox when its RENAME was asked for.
pub(crate) fn renaming(mailbox: MailboxId) -> Key<u32> {
    key_of(format!("renaming {}", mailbox.0))
}

/// Set where a mailbox of this name cannot be selected.
pub(crate) fn shut(mailbox: &MailboxName) -> Key<Shut> {
    key_of(format!("shut {}", mailbox.as_str()))
}

/// The run in which a mailbox was refused.
pub(crate) fn refused(mailbox: MailboxId) -> Key<i64> {
    key_of(format!("refused {}", mailbox.0))
}

/// Messages that were named and not shown, and the run in which.
pub(crate) fn missed(mailbox: MailboxId, uid_validity: u32) -> Key<(i64, List<Uid, ','>)> {
    key_of(format!("missed {} {uid_validity}", mailbox.0))
}

/// How a mailbox that cannot be looked at stood: run, UIDVALIDITY and UIDNEXT.
pub(crate) fn shut_at(mailbox: MailboxId) -> Key<(i64, u32, u32)> {
    key_of(format!("shut at {}", mailbox.0))
}

impl Fact for BringsBack {
    fn parse(text: &str) -> Option<Self> {
        let has = |word| text.split(' ').any(|known| known == word);
        // As older versions wrote it.
        let both = has("1");
        Some(Self { here: both || has("here"), there: both || has("there"), flags: has("flags") })
    }

    fn print(&self) -> String {
        let words = [("here", self.here), ("there", self.there), ("flags", self.flags)];
        let words = words.iter().filter(|(_, set)| *set).map(|(word, _)| *word);
        words.collect::<Vec<_>>().join(" ")
    }
}

/// Values of the counter, each with the last row of its time, in ascending order: a root with
/// that value knows nothing of later rows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Roots(pub(crate) Vec<(u64, RowId)>);

impl Fact for Roots {
    fn parse(text: &str) -> Option<Self> {
        let entry = |entry: &str| {
            let (counter, row) = entry.split_once(':')?;
            Some((counter.parse().ok()?, RowId(row.parse().ok()?)))
        };
        Some(Self(text.split(' ').filter_map(entry).collect()))
    }

    fn print(&self) -> String {
        let entries = self.0.iter().map(|(counter, row)| format!("{counter}:{}", row.0));
        entries.collect::<Vec<_>>().join(" ")
    }
}

/// A keyword table that is being changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeywordsLock {
    /// The mailbox, by the name that it had then.
    pub(crate) mailbox: String,
    /// The id of its directory, which may have another name by the time the lock is removed, or
    /// lie in a root that is not here.
    pub(crate) id: Option<String>,
    /// When it was noted, in seconds since 1970.
    pub(crate) noted_s: i64,
}

/// An upload that the server does not show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Missed {
    /// Runs that did not see it.
    pub(crate) misses: u32,
    /// The last of them, or the one that sent it.
    pub(crate) run: i64,
    /// When it was noted first, in seconds since 1970.
    pub(crate) since: i64,
    /// A number was given out for it.
    pub(crate) numbered: bool,
}

impl Fact for Missed {
    fn parse(text: &str) -> Option<Self> {
        let (misses, run, since, numbered) = <(u32, i64, i64, u8)>::parse(text)?;
        Some(Self { misses, run, since, numbered: numbered == 1 })
    }

    fn print(&self) -> String {
        (self.misses, self.run, self.since, u8::from(self.numbered)).print()
    }
}

/// How the sizes that a server announced fit the bodies that came.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sizes {
    /// Bodies that were as long as announced.
    pub(crate) right: u64,
    /// Bodies that were not.
    pub(crate) off: u64,
}

impl Fact for Sizes {
    fn parse(text: &str) -> Option<Self> {
        Fact::parse(text).map(|(right, off)| Self { right, off })
    }

    fn print(&self) -> String {
        (self.right, self.off).print()
    }
}

/// A short body that came, and was not kept: of a row or, in a maildrop, by what the message is
/// called there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Short<K> {
    /// Of which message.
    pub(crate) row: K,
    /// Its length.
    pub(crate) octets: u64,
    /// Runs in which it came so.
    pub(crate) runs: u32,
    /// The last of them.
    pub(crate) last: i64,
    /// When that was, in seconds since 1970.
    pub(crate) at: i64,
}

/// What a POP3 server announces beyond what it gives, for all messages alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Habit {
    /// So many for every message.
    Offset(u64),
    /// Whole blocks of this many.
    Blocks(u64),
    /// This many percent of what is given.
    Percent(u64),
}

impl Fact for Habit {
    fn parse(text: &str) -> Option<Self> {
        let (kind, number) = text.split_once(' ')?;
        let number: u64 = number.parse().ok().filter(|number| *number > 0)?;
        match kind {
            "offset" => Some(Self::Offset(number)),
            "blocks" => Some(Self::Blocks(number)),
            "percent" => Some(Self::Percent(number)),
            _ => None,
        }
    }

    fn print(&self) -> String {
        match self {
            Self::Offset(octets) => format!("offset {octets}"),
            Self::Blocks(octets) => format!("blocks {octets}"),
            Self::Percent(percent) => format!("percent {percent}"),
        }
    }
}

/// The directory of a mailbox as it was left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MailboxDirectory {
    /// Where it lay.
    pub(crate) home: Home,
    /// Its mark.
    pub(crate) mark: Option<String>,
    /// The mailbox.
    pub(crate) mailbox: MailboxName,
}

/// In the place of a mark.
const NO_MARK: &str = "-";

impl Fact for MailboxDirectory {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(4, ' ');
        let (new, cur) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let other_disk = parts.next()? == "true";
        // There was no root at first.
        let rest = parts.next()?;
        let with_root =
            rest.split_once(' ').and_then(|(root, rest)| Some((root.parse().ok()?, rest)));
        let (root, rest) = with_root.unwrap_or((0, rest));
        let (mark, mailbox) = rest.split_once(' ')?;
        Some(Self {
            home: Home { new, cur, other_disk, root },
            mark: Some(mark).filter(|mark| *mark != NO_MARK).map(str::to_owned),
            mailbox: MailboxName::new(mailbox),
        })
    }

    fn print(&self) -> String {
        let Home { new, cur, other_disk, root } = self.home;
        let mark = self.mark.as_deref().unwrap_or(NO_MARK);
        format!("{new} {cur} {other_disk} {root} {mark} {}", self.mailbox.as_str())
    }
}

impl View {
    /// Reads a fact; `None` where it was never stored, or is no such value.
    pub(crate) fn fact<T: Fact>(&self, key: &Key<T>) -> Result<Option<T>> {
        Ok(self.meta(&key.name)?.as_deref().and_then(T::parse))
    }

    /// Reads a list; empty where it was never stored.
    pub(crate) fn list<T: Fact, const BETWEEN: char, const ENDED: bool>(
        &self,
        key: &Key<List<T, BETWEEN, ENDED>>,
    ) -> Result<Vec<T>> {
        Ok(self.fact(key)?.map_or_else(Vec::new, |list| list.0))
    }

    /// Whether a fact is stored.
    pub(crate) fn has_fact<T>(&self, key: &Key<T>) -> Result<bool> {
        Ok(self.meta(&key.name)?.is_some())
    }

    /// Reads the text of a key.
    pub(super) fn meta(&self, key: &str) -> Result<Option<String>> {
        self.one("read a setting", "SELECT value FROM meta WHERE key = ?1", [key], |r| r.get(0))
    }
}

impl Tx<'_> {
    /// Stores a fact.
    pub(crate) fn set_fact<T: Fact>(&self, key: &Key<T>, value: &T) -> Result<()> {
        self.set_meta(&key.name, &value.print())
    }

    /// Stores a list, or deletes it where it is empty.
    pub(crate) fn set_list<T: Fact, const BETWEEN: char, const ENDED: bool>(
        &self,
        key: &Key<List<T, BETWEEN, ENDED>>,
        items: Vec<T>,
    ) -> Result<()> {
        match items.is_empty() {
            true => self.delete_fact(key).map(drop),
            false => self.set_fact(key, &List(items)),
        }
    }

    /// Deletes a fact; whether there was one.
    pub(crate) fn delete_fact<T>(&self, key: &Key<T>) -> Result<bool> {
        self.delete_meta(&key.name)
    }

    pub(super) fn set_meta(&self, key: &str, value: &str) -> Result<()> {
        const SQL: &str = "INSERT INTO meta (key, value) VALUES (?1, ?2) \
                           ON CONFLICT (key) DO UPDATE SET value = excluded.value";
        self.execute("store a setting", SQL, [key, value]).map(|_| ())
    }

    pub(super) fn delete_meta(&self, key: &str) -> Result<bool> {
        let sql = "DELETE FROM meta WHERE key = ?1";
        Ok(self.execute("delete a setting", sql, [key])? > 0)
    }
}
