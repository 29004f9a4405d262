//! The rows of a plan by what they are, what they hold and what the server said of them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::alike::date;
use super::plan_input::{MailboxView, PlanInput};
use super::row_state::{RowState, is_active, is_in_doubt, state_of};
use super::types::{
    ContentId, Coverage, Flags, HeaderKeys, Journal, MailboxId, Row, RowId, SpecialUse, Stem,
};

/// The rows of a world by what they are, and which of them a step has used up.
#[derive(Debug)]
pub struct RowIndex<'w> {
    /// The world.
    pub world: &'w PlanInput,
    pub(super) by_id: BTreeMap<RowId, &'w Row>,
    pub(super) by_content: BTreeMap<ContentId, Vec<&'w Row>>,
    pub(super) by_size: BTreeMap<u64, Vec<&'w Row>>,
    pub(super) by_object: BTreeMap<&'w str, Vec<&'w Row>>,
    pub(super) by_loose: BTreeMap<[u8; 16], Vec<&'w Row>>,
    /// Rows that a message is to come to, by COPY or MOVE.
    pub(super) moving: Vec<&'w Row>,
    pub(super) taken: BTreeSet<RowId>,
    /// Mailboxes numbered anew in which only bodies tell messages apart.
    pub(super) unproved: BTreeSet<MailboxId>,
    /// Mailboxes in which a new message may be a new version of one that left.
    pub(super) replaced: BTreeSet<MailboxId>,
}

impl<'w> RowIndex<'w> {
    /// Sorts the rows of a world.
    #[must_use]
    pub fn new(world: &'w PlanInput) -> Self {
        let mut index = Self {
            world,
            by_id: world.rows.iter().map(|row| (row.id, row)).collect(),
            by_content: BTreeMap::new(),
            by_size: BTreeMap::new(),
            by_object: BTreeMap::new(),
            by_loose: BTreeMap::new(),
            moving: Vec::new(),
            taken: BTreeSet::new(),
            unproved: BTreeSet::new(),
            replaced: BTreeSet::new(),
        };
        for row in &world.rows {
            index.index(row);
        }
        index
    }

    fn index(&mut self, row: &'w Row) {
        if let Some(content) = row.content {
            self.by_content.entry(content).or_default().push(row);
        }
        if let Some(header) = &row.header {
            self.by_loose.entry(header.loose).or_default().push(row);
        }
        if matches!(row.journal, Journal::Moving { .. }) {
            self.moving.push(row);
        }
        if let Some(words) = &row.words {
            self.by_size.entry(words.size).or_default().push(row);
            if let Some(object) = &words.object_id {
                self.by_object.entry(object).or_default().push(row);
            }
        }
    }

    /// A row of the world.
    pub fn row(&self, id: RowId) -> Option<&'w Row> {
        self.by_id.get(&id).copied()
    }

    /// What an edited file became, while its row is known.
    pub fn edited_file_of(&self, gone: &Row) -> Option<&'w Row> {
        let Journal::Replaced { by } = gone.journal else { return None };
        self.row(by)
    }

    /// Rows of which the server may have said the same as of `row`.
    pub(super) fn like(&self, row: &Row) -> impl Iterator<Item = &'w Row> {
        let words = row.words.as_ref();
        let by_size = words.and_then(|w| self.by_size.get(&w.size));
        let object = words.and_then(|w| w.object_id.as_deref());
        let by_object = object.and_then(|o| self.by_object.get(o));
        let found = by_size.into_iter().chain(by_object).flatten().copied();
        found.map(|row| (row.id, row)).collect::<BTreeMap<_, _>>().into_values()
    }

    /// Open rows of a class in a mailbox whose header has this loose key; rows with equal
    /// header hashes have equal loose keys.
    pub(super) fn with_header(
        &self,
        wanted: RowState,
        mailbox: MailboxId,
        header: &HeaderKeys,
    ) -> impl Iterator<Item = &'w Row> {
        let found = self.by_loose.get(&header.loose).into_iter().flatten().copied();
        found.filter(move |row| {
            row.mailbox == mailbox
                && state_of(row) == wanted
                && is_active(row)
                && !self.is_taken(row)
        })
    }

    /// Active rows of a class that no step has used up, in the order of their ids.
    pub fn open(&self, wanted: RowState) -> impl Iterator<Item = &'w Row> {
        self.by_id
            .values()
            .copied()
            .filter(move |row| state_of(row) == wanted && is_active(row) && !self.is_taken(row))
    }

    /// Whether a step has used the row up.
    #[must_use]
    pub fn is_taken(&self, row: &Row) -> bool {
        self.taken.contains(&row.id)
    }

    /// Uses rows up.
    pub fn take(&mut self, rows: impl IntoIterator<Item = RowId>) {
        self.taken.extend(rows);
    }

    /// Rows with this content, whatever became of them.
    pub fn with_content(&self, content: ContentId) -> impl Iterator<Item = &'w Row> {
        self.by_content.get(&content).into_iter().flatten().copied()
    }

    /// Rows to which the message of a row is to move.
    pub fn moves_of(&self, from: &Row) -> impl Iterator<Item = &'w Row> {
        let from = from.id;
        let is_of = move |row: &&Row| match row.journal {
            Journal::Moving { from: source, leaves, .. } => leaves && source == from,
            _ => false,
        };
        self.moving.iter().copied().filter(is_of)
    }

    /// Whether texts of one header are often different ones there: drafts are saved again.
    pub(super) fn holds_drafts(&self, mailbox: MailboxId) -> bool {
        let name = self.world.mailboxes.get(&mailbox).map(|view| view.mailbox.name.as_str());
        let last = name.and_then(|name| name.rsplit('/').next()).unwrap_or_default();
        self.is(mailbox, SpecialUse::Drafts) || last.eq_ignore_ascii_case("drafts")
    }

    /// Whether a new message of a mailbox could be the one of a row in doubt: only its body can
    /// tell.
    pub(super) fn could_be(&self, row: &Row, mailbox: MailboxId) -> bool {
        self.open(RowState::RemoteNew).any(|new| {
            let loose = |row: &Row| row.header.map(|header| header.loose);
            let unlike = loose(new).zip(loose(row)).is_some_and(|(a, b)| a != b);
            new.mailbox == mailbox && new.content.is_none() && !unlike
        })
    }

    /// Whether the message of a row in doubt is known to be in its mailbox no more: the whole
    /// mailbox was seen, and it is none of the messages there.
    #[must_use]
    pub fn is_lost(&self, row: &Row) -> bool {
        let seen = |view: &MailboxView| {
            let whole = view.remote_coverage != Coverage::Partial && view.remotes_beyond == 0;
            whole && (!view.mailbox.remote || view.mailbox.cursor.is_some())
        };
        is_in_doubt(row)
            && is_active(row)
            && self.world.mailboxes.get(&row.mailbox).is_some_and(seen)
            && !self.could_be(row, row.mailbox)
    }

    pub(super) fn is(&self, mailbox: MailboxId, special_use: SpecialUse) -> bool {
        self.world.mailboxes.get(&mailbox).is_some_and(|view| view.is(special_use))
    }
}

/// Equal candidates: by stem, then equal flags, then date, then order; so plans never oscillate.
fn affinity(row: &Row, stem: Option<&Stem>, flags: &Flags, date: Option<i64>) -> impl Ord + use<> {
    let same_stem = stem.is_some() && row.local.as_ref().map(|l| &l.stem) == stem;
    let row_flags = row.remote.as_ref().map(|r| &r.flags).or(row.base.as_ref().map(|b| &b.flags));
    let same_flags = row_flags == Some(flags);
    let same_date = date.is_some() && self::date(row) == date;
    (same_stem, same_flags, same_date, Reverse(row.id))
}

pub(super) fn best<'w>(
    candidates: impl Iterator<Item = &'w Row>,
    stem: Option<&Stem>,
    flags: &Flags,
    date: Option<i64>,
) -> Option<&'w Row> {
    candidates.max_by_key(|row| affinity(row, stem, flags, date))
}
