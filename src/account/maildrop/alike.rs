//! Content decides where names do not: what comes under a new name and was pulled under
//! another is not delivered once more.
//!
//! Each row is one message, and each file: two equal ones are two. A name that is merely new is
//! a new message, equal or not; what it could be instead is a row that left the listing at the
//! same time or, where all names changed, one that left it without our doing before.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

use super::sort::{Entry, Name, Sorted};
use crate::reconcile::types::ContentId;
use crate::state::{DropRow, Presence, Pull, StateError, View};

/// Rows and files that may be found to be what comes.
#[derive(Debug, Default)]
pub(super) struct Alike {
    /// Rows that are in the listing, by their name or since they were found.
    claimed: HashSet<i64>,
    /// Rows that left with this listing.
    gone: BTreeSet<i64>,
    /// The names changed.
    renamed: bool,
    /// Rows of contents that several have: asked for once.
    several: HashMap<ContentId, VecDeque<DropRow>>,
    /// Files that no row accounts for.
    files: Files,
}

impl Alike {
    /// What the messages of a listing may be.
    pub(super) fn new(sorted: &Sorted, files: Files) -> Self {
        let claimed = sorted.known.iter().map(|known| known.row).collect();
        let gone = sorted.gone.iter().copied().collect();
        let (renamed, several) = (sorted.renamed, HashMap::new());
        Self { claimed, gone, renamed, several, files }
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

    /// The row that a message was pulled by under another name, if there is one; exactly the
    /// same, or the same text.
    pub(super) fn row(
        &mut self,
        view: &View,
        entry: &Entry,
        content: &ContentId,
        text: Option<&[u8; 32]>,
    ) -> Result<Option<DropRow>, StateError> {
        let in_doubt = entry.doubtful || self.renamed;
        let may_be = |row: &DropRow| {
            let was_here = match row.presence {
                Presence::Listed => false,
                Presence::Vanished => true,
                // We deleted it: only that the server did not is a reason to meet it again.
                Presence::Deleted => match &entry.name {
                    Name::Uidl(uidl) => row.uidl.as_ref() == Some(uidl),
                    Name::Header(_) | Name::None => row.uidl.is_none(),
                },
            };
            self.gone.contains(&row.id) || in_doubt && was_here
        };
        let found = match self.several.get_mut(content) {
            Some(rows) => take(rows, |row| may_be(row) && !self.claimed.contains(&row.id)),
            None => {
                let mut rows = VecDeque::from(view.drop_rows_alike(content, text)?);
                rows.retain(|row| !matches!(row.pull, Pull::Left(..)));
                let found = take(&mut rows, |row| may_be(row) && !self.claimed.contains(&row.id));
                if rows.len() > 1 {
                    self.several.insert(*content, rows);
                }
                found
            }
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
