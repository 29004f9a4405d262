//! Finds which rows speak of the same message.
//!
//! Four jobs, four keys, each as strict as a mistake would be costly:
//! *same bytes* = content id; *what the server says* = object id, else size, INTERNALDATE and
//! header hash as the server itself once reported them, with a Message-ID and one candidate;
//! *my own append* = UID ≥ the noted UIDNEXT, then a header key, counted; *what another tool
//! filed* = a loose key, for one file and one message of the same mailbox only.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::plan::Step;
use super::types::{
    ContentId, Flags, HeaderKeys, Journal, MailboxId, Row, RowId, SetAsideKind, SpecialUse, Stem,
};
use super::world::World;

/// What a row is, judged by its columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// On both sides.
    Paired,
    /// Agreed, and the file is gone.
    LocalGone,
    /// Agreed, and the server's message is gone.
    RemoteGone,
    /// Gone on both sides.
    BothGone,
    /// A file without a server message.
    LocalNew,
    /// A server message without a file.
    RemoteNew,
}

/// Judges a row. A restated row's missing side is unknown, not departed.
#[must_use]
pub fn class(row: &Row) -> Class {
    let agreed = row.base.is_some() && !row.restated;
    match (agreed, row.local.is_some(), row.remote.is_some()) {
        (_, true, true) => Class::Paired,
        (true, false, true) => Class::LocalGone,
        (true, true, false) => Class::RemoteGone,
        (_, false, false) => Class::BothGone,
        (false, true, false) => Class::LocalNew,
        (false, false, true) => Class::RemoteNew,
    }
}

/// Whether a row takes part in decisions at all.
fn is_active(row: &Row) -> bool {
    !row.is_set_aside()
}

/// The rows of a world by what they are, and which of them a step has used up.
#[derive(Debug)]
pub struct Cast<'w> {
    /// The world.
    pub world: &'w World,
    by_id: BTreeMap<RowId, &'w Row>,
    by_content: BTreeMap<ContentId, Vec<&'w Row>>,
    by_size: BTreeMap<u64, Vec<&'w Row>>,
    by_object: BTreeMap<&'w str, Vec<&'w Row>>,
    by_loose: BTreeMap<[u8; 16], Vec<&'w Row>>,
    taken: BTreeSet<RowId>,
}

impl<'w> Cast<'w> {
    /// Sorts the rows of a world.
    #[must_use]
    pub fn new(world: &'w World) -> Self {
        let mut cast = Self {
            world,
            by_id: world.rows.iter().map(|row| (row.id, row)).collect(),
            by_content: BTreeMap::new(),
            by_size: BTreeMap::new(),
            by_object: BTreeMap::new(),
            by_loose: BTreeMap::new(),
            taken: BTreeSet::new(),
        };
        for row in &world.rows {
            cast.index(row);
        }
        cast
    }

    fn index(&mut self, row: &'w Row) {
        if let Some(content) = row.content {
            self.by_content.entry(content).or_default().push(row);
        }
        if let Some(header) = &row.header {
            self.by_loose.entry(header.loose).or_default().push(row);
        }
        if let Some(words) = &row.words {
            self.by_size.entry(words.size).or_default().push(row);
            if let Some(object) = &words.object_id {
                self.by_object.entry(object).or_default().push(row);
            }
        }
    }

    /// What an edited file became, while its row is known.
    pub fn edited_file_of(&self, gone: &Row) -> Option<&'w Row> {
        let Journal::Replaced { by } = gone.journal else { return None };
        self.by_id.get(&by).copied()
    }

    /// Rows of which the server may have said the same as of `row`.
    fn like(&self, row: &Row) -> impl Iterator<Item = &'w Row> {
        let words = row.words.as_ref();
        let by_size = words.and_then(|w| self.by_size.get(&w.size));
        let object = words.and_then(|w| w.object_id.as_deref());
        let by_object = object.and_then(|o| self.by_object.get(o));
        let found = by_size.into_iter().chain(by_object).flatten().copied();
        found.map(|row| (row.id, row)).collect::<BTreeMap<_, _>>().into_values()
    }

    /// Open rows of a class in a mailbox whose header has this loose key; rows with equal
    /// header hashes have equal loose keys.
    fn with_header(
        &self,
        wanted: Class,
        mailbox: MailboxId,
        header: &HeaderKeys,
    ) -> impl Iterator<Item = &'w Row> {
        let found = self.by_loose.get(&header.loose).into_iter().flatten().copied();
        found.filter(move |row| {
            row.mailbox == mailbox && class(row) == wanted && is_active(row) && !self.is_taken(row)
        })
    }

    /// Active rows of a class that no step has used up, in the order of their ids.
    pub fn open(&self, wanted: Class) -> impl Iterator<Item = &'w Row> {
        self.by_id
            .values()
            .copied()
            .filter(move |row| class(row) == wanted && is_active(row) && !self.is_taken(row))
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

    fn is(&self, mailbox: MailboxId, special_use: SpecialUse) -> bool {
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

/// INTERNALDATE, or the file's own before the server said one.
fn date(row: &Row) -> Option<i64> {
    row.words.as_ref().map(|words| words.date)
}

fn best<'w>(
    candidates: impl Iterator<Item = &'w Row>,
    stem: Option<&Stem>,
    flags: &Flags,
    date: Option<i64>,
) -> Option<&'w Row> {
    candidates.max_by_key(|row| affinity(row, stem, flags, date))
}

/// The server says of both that they are the same message.
fn same_words(a: &Row, b: &Row) -> bool {
    let (Some(x), Some(y)) = (&a.words, &b.words) else { return false };
    if let (Some(i), Some(j)) = (&x.object_id, &y.object_id) {
        return i == j;
    }
    let (Some(h), Some(k)) = (&a.header, &b.header) else { return false };
    x.size == y.size && x.date == y.date && h.hash == k.hash && h.has_message_id
}

/// Size and header agree; the date orders candidates, it does not exclude (hazard 20).
fn same_size_and_header(a: &Row, b: &Row) -> bool {
    let (Some(x), Some(y)) = (&a.words, &b.words) else { return false };
    let (Some(h), Some(k)) = (&a.header, &b.header) else { return false };
    x.size == y.size && h.hash == k.hash && h.has_message_id
}

/// Pairs files with server messages of the same mailbox; no transfer.
pub fn pair_in_place(cast: &mut Cast<'_>, steps: &mut Vec<Step>) {
    // Without a file that waits, as in a first download, there is nothing to be paired with.
    if cast.open(Class::LocalNew).next().is_none() {
        return;
    }
    let arrivals: Vec<&Row> = cast.open(Class::RemoteNew).collect();
    for remote in arrivals {
        let found = pair_by_content(cast, remote)
            .or_else(|| pair_own_append(cast, remote))
            .or_else(|| pair_known_source(cast, remote))
            .or_else(|| pair_by_header(cast, remote));
        if let Some((local, past, weak)) = found {
            cast.take([local, remote.id]);
            cast.take(past);
            steps.push(Step::Pair { local, remote: remote.id, past, weak });
        }
    }
}

type Found = (RowId, Option<RowId>, bool);

/// The row that a file left, if moving it is what made the file new here.
fn past_of(cast: &Cast<'_>, local: &Row) -> Option<RowId> {
    if local.base.is_some() {
        return None;
    }
    if let Journal::Moving { from, .. } = local.journal {
        // Copied and not yet removed there, or gone from there: the source either way.
        let gone = cast.by_id.get(&from).filter(|row| {
            matches!(class(row), Class::BothGone | Class::LocalGone) && row.content == local.content
        });
        return gone.map(|row| row.id).filter(|id| !cast.taken.contains(id));
    }
    let gone = cast
        .with_content(local.content?)
        .filter(|row| class(row) == Class::BothGone && row.base.is_some() && !cast.is_taken(row));
    let stem = local.local.as_ref().map(|l| &l.stem);
    best(gone, stem, &Flags::default(), date(local)).map(|row| row.id)
}

fn pair_by_content(cast: &Cast<'_>, remote: &Row) -> Option<Found> {
    let content = remote.content?;
    let same = cast.with_content(content).filter(|row| {
        row.mailbox == remote.mailbox
            && class(row) == Class::LocalNew
            && is_active(row)
            && !cast.is_taken(row)
    });
    let flags = remote.remote.as_ref().map(|r| r.flags.clone()).unwrap_or_default();
    let local = best(same, None, &flags, date(remote))?;
    Some((local.id, past_of(cast, local), local.weak))
}

/// Our own APPEND whose answer was lost: at or above the UIDNEXT noted before it.
fn pair_own_append(cast: &Cast<'_>, remote: &Row) -> Option<Found> {
    let uid = remote.remote.as_ref()?.uid.0;
    let header = remote.header.as_ref()?;
    let validity = cast.world.mailboxes.get(&remote.mailbox)?.mailbox.cursor?.uid_validity;
    let ours =
        cast.with_header(Class::LocalNew, remote.mailbox, header).filter(|row| match row.journal {
            Journal::Pushing { uid_validity, uid_next, .. } => {
                uid_validity == validity && uid >= uid_next
            }
            _ => false,
        });
    let flags = remote.remote.as_ref().map(|r| r.flags.clone()).unwrap_or_default();
    let local = best(ours, None, &flags, date(remote))?;
    Some((local.id, None, local.weak))
}

/// A COPY or MOVE of ours, or another client's, of a message whose file is here already.
fn pair_known_source(cast: &Cast<'_>, remote: &Row) -> Option<Found> {
    let sources = cast.like(remote).filter(|row| has_been_remote(row) && same_words(row, remote));
    let local = sources.filter_map(|source| source.content.map(|c| (source.id, c))).find_map(
        |(source, content)| {
            cast.with_content(content).find(|local| {
                local.id != source
                    && local.mailbox == remote.mailbox
                    && class(local) == Class::LocalNew
                    && is_active(local)
                    && !cast.is_taken(local)
            })
        },
    )?;
    Some((local.id, past_of(cast, local), local.weak))
}

fn has_been_remote(row: &Row) -> bool {
    !row.weak && (row.remote.is_some() || row.base.is_some())
}

/// Renumbered, lost state, or filed by another program: one file, one message, one header.
fn pair_by_header(cast: &Cast<'_>, remote: &Row) -> Option<Found> {
    let header = remote.header.as_ref()?;
    let files = || cast.with_header(Class::LocalNew, remote.mailbox, header);
    let others = || cast.with_header(Class::RemoteNew, remote.mailbox, header);
    let same = || files().filter(|row| same_size_and_header(row, remote));
    let rivals = others().filter(|row| same_size_and_header(row, remote)).count();
    let contents: BTreeSet<_> = same().map(|row| row.content).collect();
    // With more than one message of this header only their bodies can tell them apart.
    if contents.len() == 1 && rivals == 1 {
        let flags = remote.remote.as_ref().map(|r| r.flags.clone()).unwrap_or_default();
        let local = best(same(), None, &flags, date(remote))?;
        // Moved to the same place on both sides: its past keeps flags from coming back.
        return Some((local.id, past_of(cast, local), local.weak));
    }
    let restated = cast.world.mailboxes.get(&remote.mailbox)?.mailbox.restated;
    if !restated || !header.has_message_id {
        return None;
    }
    let (mut files, mut others) = (files(), others());
    match (files.next(), files.next(), others.next(), others.next()) {
        (Some(local), None, Some(_), None) => Some((local.id, None, true)),
        _ => None,
    }
}

/// A file that only got another name: its row takes it back, nothing else happens.
pub fn reattach(cast: &mut Cast<'_>, steps: &mut Vec<Step>) {
    let found: Vec<&Row> = cast.open(Class::LocalNew).collect();
    for found in found {
        let Some(content) = found.content else { continue };
        // In doubt the file is that of a message which the server still has, here or where it
        // may have been moved from, and not that of one which is deleted there.
        let is_wanted = cast.with_content(content).any(|row| {
            let lost = class(row) == Class::LocalGone && !cast.is_taken(row);
            let moved = !cast.world.policy.pull_only && is_active(row) && !row.weak;
            lost && (row.mailbox == found.mailbox || moved)
        });
        let gone = cast.with_content(content).filter(|row| {
            row.mailbox == found.mailbox
                && row.id != found.id
                && (class(row) == Class::LocalGone || (class(row) == Class::BothGone && !is_wanted))
                && row.base.is_some()
                && !cast.is_taken(row)
                && row.set_aside.as_ref().is_none_or(|s| s.kind == SetAsideKind::Kept)
        });
        let flags = found.local.as_ref().map(|l| l.flags.clone()).unwrap_or_default();
        let Some(gone) = best(gone, None, &flags, date(found)) else { continue };
        cast.take([gone.id, found.id]);
        steps.push(Step::Reattach { gone: gone.id, found: found.id });
    }
}

/// New messages on the server whose bodies are here already: a copy or a rename on disk.
pub fn arrive(cast: &mut Cast<'_>, steps: &mut Vec<Step>) {
    if cast.by_content.is_empty() {
        return;
    }
    let arrivals: Vec<&Row> = cast.open(Class::RemoteNew).collect();
    for to in arrivals {
        if let Some(step) = arrival(cast, to) {
            cast.take(step.rows().into_iter().filter(|row| match &step {
                // The source of a copy may serve again.
                Step::LocalCopy { from, .. } => row != from,
                _ => true,
            }));
            steps.push(step);
        }
    }
}

fn arrival(cast: &Cast<'_>, to: &Row) -> Option<Step> {
    let known = known_elsewhere(cast, to)?;
    let contents: BTreeSet<_> = known.iter().map(|row| row.content).collect();
    if contents.len() != 1 {
        return None;
    }
    let content = known.first()?.content?;
    let flags = to.remote.as_ref().map(|r| r.flags.clone()).unwrap_or_default();
    let of = |wanted: Class| {
        known.iter().copied().filter(move |row| class(row) == wanted && !cast.is_taken(row))
    };
    if let Some(from) = best(of(Class::RemoteGone), None, &flags, date(to)) {
        return Some(Step::LocalMove { from: from.id, to: to.id, past: None });
    }
    // Moved on both sides: the file lies where the reader put it; the remote's place wins.
    if let Some(past) = best(of(Class::BothGone), None, &flags, date(to)) {
        let files = cast.open(Class::LocalNew).filter(|row| row.content == Some(content));
        if let Some(from) = best(files, None, &flags, date(to)) {
            return Some(Step::LocalMove { from: from.id, to: to.id, past: Some(past.id) });
        }
    }
    let from = best(of(Class::Paired), None, &flags, date(to))?;
    Some(Step::LocalCopy { from: from.id, to: to.id })
}

/// Rows whose body a new server message has, as far as a trustworthy key tells (hazard 9).
fn known_elsewhere<'w>(cast: &Cast<'w>, to: &Row) -> Option<Vec<&'w Row>> {
    let elsewhere = |row: &&Row| {
        row.id != to.id
            && row.content.is_some()
            && has_been_remote(row)
            && (row.mailbox != to.mailbox || row.remote.is_none())
    };
    if let Some(content) = to.content {
        // Its body was brought down and hashed: the content itself is the key.
        return Some(cast.with_content(content).filter(elsewhere).collect());
    }
    to.words.as_ref()?;
    let drafts = cast.is(to.mailbox, SpecialUse::Drafts);
    let same = cast
        .like(to)
        .filter(elsewhere)
        .filter(|row| same_words(row, to))
        .filter(|row| !(drafts && cast.is(row.mailbox, SpecialUse::Drafts)));
    Some(same.collect())
}

/// New files whose content the server has already: COPY or MOVE there. A departure that is
/// explained by what was found needs no look at the rest of the account (hazard 4).
pub fn depart(cast: &mut Cast<'_>, steps: &mut Vec<Step>) {
    let ready = super::messages::ready_for_additions(cast);
    let arrivals: Vec<&Row> = cast.open(Class::LocalNew).collect();
    for to in arrivals.into_iter().filter(|row| ready.contains(&row.mailbox)) {
        let Some(content) = to.content else { continue };
        let flags = to.local.as_ref().map(|l| l.flags.clone()).unwrap_or_default();
        let stem = to.local.as_ref().map(|l| &l.stem);
        let sources = || {
            cast.with_content(content).filter(|row| {
                row.id != to.id && !row.weak && row.remote.is_some() && !cast.is_taken(row)
            })
        };
        let left = || sources().filter(|row| class(row) == Class::LocalGone && is_active(row));
        let moved = match to.journal {
            Journal::Moving { from, .. } => left().find(|row| row.id == from),
            _ => None,
        };
        let moved = moved.or_else(|| best(left(), stem, &flags, date(to)));
        if let Some(from) = moved {
            cast.take([from.id, to.id]);
            steps.push(Step::RemoteMove { from: from.id, to: to.id });
        } else if let Some(from) = best(sources(), stem, &flags, date(to)) {
            cast.take([to.id]);
            steps.push(Step::RemoteCopy { from: from.id, to: to.id });
        }
    }
}
