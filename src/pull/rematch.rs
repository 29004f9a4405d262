//! Content decides where names do not: what comes under a new name and was pulled under
//! another is not delivered once more.
//!
//! Each row is one message: two equal ones are two. A name that is merely new is a new message,
//! equal or not; what it could be instead is a row that left the listing at the same time or,
//! where all names changed, one that left it without our doing before.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

use super::classify::{Entry, Sorted};
use super::read::Read;
use crate::reconcile::types::ContentId;
use crate::state::{MaildropRow, Presence, Pull, StateError, View};

/// Rows that may be found to be what comes.
#[derive(Debug, Default)]
pub(super) struct Alike {
    /// Rows that are in the listing, by their name or since they were found.
    claimed: HashSet<i64>,
    /// Rows that left with this listing.
    gone: BTreeSet<i64>,
    /// What vanished may be back under another name.
    renamed: bool,
    /// The names changed: the same text is the same message.
    surely: bool,
    /// Rows that several have the content, or the text, of: asked for once.
    several: HashMap<Key, VecDeque<MaildropRow>>,
}

/// What a row has to be, beside nobody else's.
#[derive(Debug, Clone, Copy)]
enum Must {
    /// Not in the listing, or not in the last one.
    BeAway {
        /// The name of what comes says nothing for certain.
        in_doubt: bool,
    },
    /// In the last listing and not in this one, and of as many octets.
    HaveLeftNow,
}

/// By what rows are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    Content(ContentId),
    Text([u8; 32]),
}

/// A row that is a message of the listing.
#[derive(Debug)]
pub(super) enum Found {
    /// It is the very message.
    Same(MaildropRow),
    /// It says the same.
    Alike(MaildropRow),
}

impl Alike {
    /// What the messages of a listing may be.
    pub(super) fn new(sorted: &Sorted, surely: bool) -> Self {
        let claimed = sorted.known.iter().map(|known| known.row).collect();
        let gone = sorted.gone.iter().copied().collect();
        let renamed = sorted.renamed || surely;
        Self { claimed, gone, renamed, surely, several: HashMap::new() }
    }

    /// The same for a further part of a maildrop of which the server shows a part at a time: what
    /// was in the one before did not leave.
    pub(super) fn of_part(sorted: &Sorted) -> Self {
        let claimed = sorted.known.iter().map(|known| known.row).collect();
        Self { claimed, ..Self::default() }
    }

    /// Whether a row is a message of the listing.
    pub(super) fn is_claimed(&self, row: i64) -> bool {
        self.claimed.contains(&row)
    }

    /// The row that a message was pulled by, under another name or in other words.
    pub(super) fn row(
        &mut self,
        view: &View,
        entry: &Entry,
        body: &Read,
    ) -> Result<Option<Found>, StateError> {
        let content = Key::Content(body.delivered.summary.content);
        let must = Must::BeAway { in_doubt: entry.doubtful || self.renamed };
        if let Some(row) = self.free(view, entry, content, must)? {
            return Ok(Some(match row.pull {
                Pull::Alike => Found::Alike(row),
                _ => Found::Same(row),
            }));
        }
        let text = Key::Text(body.text);
        let may_say = entry.taken || (self.surely || entry.doubtful) && body.has_message_id();
        if !may_say {
            return Ok(self.free(view, entry, text, Must::HaveLeftNow)?.map(Found::Alike));
        }
        let row = self.free(view, entry, text, must)?;
        Ok(row.and_then(|row| {
            // Under its own name it is the same message, whatever the server wrote into it.
            let is_named = entry.name.uidl().is_some_and(|uidl| row.uidl == Some(uidl));
            match (is_named, body.has_message_id()) {
                (true, _) if row.pull != Pull::Alike => Some(Found::Same(row)),
                (true, _) => Some(Found::Alike(row)),
                (false, true) => Some(Found::Alike(row)),
                (false, false) => None,
            }
        }))
    }

    /// Takes the first row by this key that may be the message.
    fn free(
        &mut self,
        view: &View,
        entry: &Entry,
        key: Key,
        must: Must,
    ) -> Result<Option<MaildropRow>, StateError> {
        let Self { gone, claimed, several, .. } = self;
        if matches!(must, Must::HaveLeftNow) && gone.is_empty() {
            return Ok(None);
        }
        let fits = |row: &MaildropRow| {
            let left = gone.contains(&row.id);
            let may_be = match must {
                Must::HaveLeftNow => left && entry.size.is_some() && row.size == entry.size,
                Must::BeAway { in_doubt } => left || was_away(row, entry, in_doubt),
            };
            may_be && !claimed.contains(&row.id)
        };
        let found = if let Some(rows) = several.get_mut(&key) {
            while rows.front().is_some_and(|row| claimed.contains(&row.id)) {
                rows.pop_front();
            }
            take(rows, fits)
        } else {
            let mut rows = VecDeque::from(match &key {
                Key::Content(content) => view.drop_rows_of(content)?,
                Key::Text(text) => view.drop_rows_saying(text)?,
            });
            let are_several = rows.len() > 1;
            rows.retain(|row| {
                let is_here = row.presence == Presence::Listed && !gone.contains(&row.id);
                !is_here && !matches!(row.pull, Pull::Left(..))
            });
            let found = take(&mut rows, fits);
            if are_several {
                several.insert(key, rows);
            }
            found
        };
        claimed.extend(found.as_ref().map(|row| row.id));
        Ok(found)
    }
}

/// Whether a row that did not leave with this listing may be what comes.
fn was_away(row: &MaildropRow, entry: &Entry, in_doubt: bool) -> bool {
    match row.presence {
        Presence::Listed => false,
        Presence::Renamed => true,
        Presence::Vanished => in_doubt,
        // We deleted it: only that the server did not is a reason to meet it again.
        Presence::Deleting | Presence::Deleted => in_doubt && row.uidl == entry.name.uidl(),
    }
}

/// Takes the first that fits; mostly that is the first.
fn take(
    rows: &mut VecDeque<MaildropRow>,
    fits: impl Fn(&MaildropRow) -> bool,
) -> Option<MaildropRow> {
    let at = rows.iter().position(fits)?;
    rows.remove(at)
}

/// Contents of files, each as often as there are files of it.
#[derive(Debug, Default, Clone)]
pub(super) struct Files(HashMap<ContentId, u32>);

impl Files {
    pub(super) fn add(&mut self, content: ContentId) {
        *self.0.entry(content).or_default() += 1;
    }

    /// Takes one of this content out; whether there was one.
    pub(super) fn take(&mut self, content: &ContentId) -> bool {
        let Some(count) = self.0.get_mut(content).filter(|count| **count > 0) else {
            return false;
        };
        *count -= 1;
        true
    }

    /// What was not taken, as often as it is there.
    pub(super) fn left(&self) -> impl Iterator<Item = ContentId> {
        self.0.iter().flat_map(|(content, count)| (0..*count).map(|_| *content))
    }
}
