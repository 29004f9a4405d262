//! Content decides where names do not: what comes under a new name and was pulled under
//! another is not delivered once more.
//!
//! Each row is one message, and each file: two equal ones are two. A name that is merely new is
//! a new message, equal or not; what it could be instead is a row that left the listing at the
//! same time or, where all names changed, one that left it without our doing before.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

use super::read::Read;
use super::sort::{Entry, Sorted};
use crate::reconcile::types::ContentId;
use crate::state::{DropRow, Presence, Pull, StateError, View};

/// Rows and files that may be found to be what comes.
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
    several: HashMap<Key, VecDeque<DropRow>>,
    /// Files that no row accounts for.
    files: Files,
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
    Same(DropRow),
    /// It says the same.
    Alike(DropRow),
}

impl Alike {
    /// What the messages of a listing may be.
    pub(super) fn new(sorted: &Sorted, surely: bool, files: Files) -> Self {
        let claimed = sorted.known.iter().map(|known| known.row).collect();
        let gone = sorted.gone.iter().copied().collect();
        let renamed = sorted.renamed || surely;
        Self { claimed, gone, renamed, surely, several: HashMap::new(), files }
    }

    /// Only files.
    pub(super) fn of_files(files: Files) -> Self {
        Self { files, ..Self::default() }
    }

    pub(super) fn take_files(&mut self) -> Files {
        std::mem::take(&mut self.files)
    }

    /// From here on no file is nobody's.
    pub(super) fn forget_files(&mut self) {
        self.files = Files::default();
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
        let content = body.delivered.summary.content;
        let in_doubt = entry.doubtful || self.renamed;
        if let Some(row) = self.free(view, entry, Key::Content(content), in_doubt)? {
            return Ok(Some(match row.pull {
                Pull::Alike => Found::Alike(row),
                _ => Found::Same(row),
            }));
        }
        let may_say = entry.taken || (self.surely || entry.doubtful) && body.has_message_id();
        if !may_say {
            return Ok(None);
        }
        let row = self.free(view, entry, Key::Text(body.text), in_doubt)?;
        Ok(row.and_then(|row| {
            // Under its own name it is the same message, whatever the server wrote into it.
            let is_named = entry.name.uidl().is_some_and(|uidl| row.uidl == Some(uidl));
            match (is_named, body.has_message_id()) {
                (true, _) => Some(Found::Same(row)),
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
        in_doubt: bool,
    ) -> Result<Option<DropRow>, StateError> {
        let (gone, claimed) = (&self.gone, &self.claimed);
        let may_be = |row: &DropRow| {
            let was_here = match row.presence {
                Presence::Listed => false,
                Presence::Vanished => true,
                // We deleted it: only that the server did not is a reason to meet it again.
                Presence::Deleted => row.uidl == entry.name.uidl(),
            };
            !claimed.contains(&row.id) && (gone.contains(&row.id) || in_doubt && was_here)
        };
        let found = if let Some(rows) = self.several.get_mut(&key) {
            take(rows, may_be)
        } else {
            let mut rows = VecDeque::from(match &key {
                Key::Content(content) => view.drop_rows_of(content)?,
                Key::Text(text) => view.drop_rows_saying(text)?,
            });
            rows.retain(|row| !matches!(row.pull, Pull::Left(..)) && may_be(row));
            let found = rows.pop_front();
            if !rows.is_empty() {
                self.several.insert(key, rows);
            }
            found
        };
        self.claimed.extend(found.as_ref().map(|row| row.id));
        Ok(found)
    }

    /// A file with this content that is nobody's: from here on it is this message's.
    pub(super) fn file(&mut self, content: &ContentId) -> bool {
        self.files.take(content)
    }
}

/// Takes the first that fits; mostly that is the first.
fn take(rows: &mut VecDeque<DropRow>, fits: impl Fn(&DropRow) -> bool) -> Option<DropRow> {
    let at = rows.iter().position(fits)?;
    rows.remove(at)
}

/// Contents of files, each as often as there are files of it. 16 bytes a file.
#[derive(Debug, Default, Clone)]
pub(super) struct Files(HashMap<u128, u32>);

impl Files {
    fn key(content: &ContentId) -> u128 {
        let mut half = [0; 16];
        half.copy_from_slice(&content.0[..16]);
        u128::from_le_bytes(half)
    }

    pub(super) fn add(&mut self, content: &ContentId) {
        *self.0.entry(Self::key(content)).or_default() += 1;
    }

    /// Takes one of this content out; whether there was one.
    pub(super) fn take(&mut self, content: &ContentId) -> bool {
        let Some(count) = self.0.get_mut(&Self::key(content)) else { return false };
        if *count == 0 {
            return false;
        }
        *count -= 1;
        true
    }
}
