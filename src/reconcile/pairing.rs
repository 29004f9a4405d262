//! Finds which rows speak of the same message.
//!
//! Four jobs, four keys, each as strict as a mistake would be costly:
//! *same bytes* = content id; *what the server says* = object id, else size, INTERNALDATE and
//! header hash as the server itself once reported them, with a Message-ID and one candidate;
//! *my own append* = UID ≥ the noted UIDNEXT, then a header key, counted; *what another tool
//! filed* = a loose key, for one file and one message of the same mailbox only.

mod evidence;
mod left;
mod versions;
mod waits;
mod words;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::alike::{
    contradicts, date, has_been_remote, have_one_object_id, is_of_one_time, same_facts,
    same_size_and_header, same_words,
};
use super::plan::Step;
use super::types::{
    ContentId, Flags, HeaderKeys, Journal, MailboxId, Reach, Row, RowId, SetAsideKind, SpecialUse,
    Stem,
};
use super::world::{MailboxView, World};

use left::may_have_moved_on;
pub use left::{is_ending, is_left, may_be_in_trash, reclaim};

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

/// Whether the row's file is gone while an APPEND, COPY or MOVE of it may have been carried
/// out: what turns up on the server is its message, wherever the file went (hazard 55).
#[must_use]
pub fn is_claim(row: &Row) -> bool {
    let under_way = matches!(row.journal, Journal::Pushing { .. } | Journal::Moving { .. });
    under_way && class(row) == Class::BothGone && is_active(row)
}

/// A file whose message was numbered anew and not found under its new number yet: it may have
/// gone to another mailbox, or away.
#[must_use]
pub fn is_in_doubt(row: &Row) -> bool {
    class(row) == Class::LocalNew && row.restated && row.base.is_some()
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
    /// Rows that a message is to come to, by COPY or MOVE.
    moving: Vec<&'w Row>,
    taken: BTreeSet<RowId>,
    /// Mailboxes numbered anew in which only bodies tell messages apart.
    unproved: BTreeSet<MailboxId>,
    /// Mailboxes in which a new message may be a new version of one that left.
    replaced: BTreeSet<MailboxId>,
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
            moving: Vec::new(),
            taken: BTreeSet::new(),
            unproved: BTreeSet::new(),
            replaced: BTreeSet::new(),
        };
        for row in &world.rows {
            cast.index(row);
        }
        cast.unproved = evidence::unproved(&cast);
        cast.replaced = versions::replaced(&cast);
        cast
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
    fn holds_drafts(&self, mailbox: MailboxId) -> bool {
        let name = self.world.mailboxes.get(&mailbox).map(|view| view.mailbox.name.as_str());
        let last = name.and_then(|name| name.rsplit('/').next()).unwrap_or_default();
        self.is(mailbox, SpecialUse::Drafts) || last.eq_ignore_ascii_case("drafts")
    }

    /// Whether a new message of a mailbox could be the one of a row in doubt: only its body can
    /// tell.
    fn could_be(&self, row: &Row, mailbox: MailboxId) -> bool {
        self.open(Class::RemoteNew).any(|new| {
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
            let whole = view.remote_reach != Reach::Partial && view.remotes_beyond == 0;
            whole && (!view.mailbox.remote || view.mailbox.cursor.is_some())
        };
        is_in_doubt(row)
            && is_active(row)
            && self.world.mailboxes.get(&row.mailbox).is_some_and(seen)
            && !self.could_be(row, row.mailbox)
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

fn best<'w>(
    candidates: impl Iterator<Item = &'w Row>,
    stem: Option<&Stem>,
    flags: &Flags,
    date: Option<i64>,
) -> Option<&'w Row> {
    candidates.max_by_key(|row| affinity(row, stem, flags, date))
}

/// Pairs files with server messages of the same mailbox; no transfer.
pub fn pair_in_place(cast: &mut Cast<'_>, steps: &mut Vec<Step>) {
    let waits = cast.open(Class::LocalNew).next().is_some();
    if !waits && !cast.open(Class::BothGone).any(|row| is_claim(row) || is_left(row)) {
        return;
    }
    // Where a mailbox is gone, as the server says for the first time, nothing is there any more.
    let is_there = |row: &&Row| !cast.is_refused(row.mailbox);
    let mut arrivals: Vec<&Row> = cast.open(Class::RemoteNew).filter(is_there).collect();
    left::order(cast, &mut arrivals);
    for remote in arrivals {
        let found = pair_by_content(cast, remote)
            .or_else(|| pair_own_append(cast, remote))
            .or_else(|| words::pair_known_source(cast, remote))
            .or_else(|| left::pair_claim(cast, remote))
            .or_else(|| words::pair_by_header(cast, remote))
            .or_else(|| left::pair(cast, remote));
        let found = found.filter(|(local, ..)| !has_older_file(cast, remote, *local));
        if let Some((local, past, weak)) = found {
            // A message in doubt is its own past: another one that left is that of an equal text.
            let past = past.filter(|_| remote.base.is_none());
            cast.take([local, remote.id]);
            cast.take(past);
            steps.push(Step::Pair { local, remote: remote.id, past, weak });
        }
    }
}

type Found = (RowId, Option<RowId>, bool);

/// Whether another file of the same bytes lost its message in this very mailbox: what came is that
/// one's, and the new file is a copy, which goes up (hazard 157).
fn has_older_file(cast: &Cast<'_>, remote: &Row, local: RowId) -> bool {
    // What we sent or moved for the new file is its own.
    let local = cast.row(local).filter(|row| row.journal == Journal::Idle);
    let content = local.and_then(|row| row.content);
    let mut same = content.into_iter().flat_map(|content| cast.with_content(content));
    same.any(|row| {
        row.mailbox == remote.mailbox
            && class(row) == Class::RemoteGone
            && is_active(row)
            && !cast.is_taken(row)
    })
}

/// The row that a file left, if moving it is what made the file new here.
fn past_of(cast: &Cast<'_>, local: &Row) -> Option<RowId> {
    if local.base.is_some() {
        return None;
    }
    if let Journal::Moving { from, leaves, .. } = local.journal {
        // Copied and not yet removed there, or gone from there: the source either way.
        let gone = cast.by_id.get(&from).filter(|row| {
            let left = matches!(class(row), Class::BothGone | Class::LocalGone)
                || leaves && left::is_in_doubt(row);
            left && row.content == local.content
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
    // What was found to be the same but for other tools' fields bears the file's content.
    Some((local.id, past_of(cast, local), local.weak || remote.weak))
}

/// Our own APPEND whose answer was lost: at or above the UIDNEXT noted before it.
fn pair_own_append(cast: &Cast<'_>, remote: &Row) -> Option<Found> {
    let uid = remote.remote.as_ref()?.uid.0;
    let header = remote.header.as_ref()?;
    let validity = cast.world.mailboxes.get(&remote.mailbox)?.mailbox.cursor?.uid_validity;
    let ours = |wanted: Class| {
        cast.with_header(wanted, remote.mailbox, header).filter(|row| match row.journal {
            Journal::Pushing { uid_validity, uid_next, .. } => {
                uid_validity == validity && uid >= uid_next
            }
            _ => false,
        })
    };
    if !is_our_append_alone(cast, remote, header, ours) {
        return None;
    }
    let flags = remote.remote.as_ref().map(|r| r.flags.clone()).unwrap_or_default();
    let local = best(ours(Class::LocalNew), None, &flags, date(remote))
        // Its file was moved, edited or removed meanwhile: the message is ours all the same.
        .or_else(|| {
            best(
                ours(Class::BothGone).filter(|row| !left::may_be_another(cast, row)),
                None,
                &flags,
                date(remote),
            )
        })?;
    Some((local.id, None, local.weak))
}

/// Whether nothing but an upload of ours can be meant: another message of that header, ours or
/// another client's, is told apart by its body (hazard 52). Where messages came and left unseen,
/// ours may be one of them, and this one an edited version of it (hazard 166).
fn is_our_append_alone<'w, I: Iterator<Item = &'w Row>>(
    cast: &Cast<'w>,
    remote: &Row,
    header: &HeaderKeys,
    ours: impl Fn(Class) -> I,
) -> bool {
    let sent = || ours(Class::LocalNew).chain(ours(Class::BothGone));
    let contents: BTreeSet<_> = sent().map(|row| row.content).collect();
    let others = || {
        let alike = cast.with_header(Class::RemoteNew, remote.mailbox, header);
        alike.filter(|row| row.id != remote.id)
    };
    match remote.content {
        // Each of the same bytes: it is of no matter which is which.
        None => {
            !cast.may_be_unknown(remote)
                && contents.len() == 1
                && others().count() < sent().count()
                && !words::may_be_another(cast, remote, &contents)
        }
        // The server altered it, unless ours is among those that came down or are yet to come, or
        // this is the text of another one.
        Some(content) => {
            others().all(|row| row.content.is_some() && !contents.contains(&row.content))
                && (contents.contains(&remote.content)
                    || !cast.may_be_unknown(remote)
                        && cast.with_content(content).all(|row| row.id == remote.id))
        }
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
            // What a claim was sent for is not found yet, or only now.
            (lost && (row.mailbox == found.mailbox || moved)) || is_claim(row)
        });
        let gone = cast.with_content(content).filter(|row| {
            row.mailbox == found.mailbox
                && row.id != found.id
                && (class(row) == Class::LocalGone || (class(row) == Class::BothGone && !is_wanted))
                && row.base.is_some()
                // Its message is at its new place: a file that is here is another one of the
                // same text, or was moved back from there (hazard 83).
                && !row.journal.is_moved()
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
    let mailboxes = &cast.world.mailboxes;
    let takes_files =
        |row: &&Row| mailboxes.get(&row.mailbox).is_some_and(super::messages::takes_files);
    let may_come = |row: &&Row| {
        takes_files(row) && !cast.is_refused(row.mailbox) && !cast.waits_for_refused(row)
    };
    let arrivals: Vec<&Row> = cast.open(Class::RemoteNew).filter(may_come).collect();
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
    if to.content.is_none() && words::text(cast, to) != Some(content) {
        return None;
    }
    let flags = to.remote.as_ref().map(|r| r.flags.clone()).unwrap_or_default();
    let of = |wanted: Class| {
        known.iter().copied().filter(move |row| class(row) == wanted && !cast.is_taken(row))
    };
    let lost = of(Class::RemoteGone).chain(of(Class::LocalNew).filter(|row| cast.is_lost(row)));
    if let Some(from) = best(lost, None, &flags, date(to)) {
        return Some(Step::LocalMove { from: from.id, to: to.id, past: None });
    }
    // Moved on both sides: the file lies where the reader put it; the remote's place wins.
    if let Some(past) = best(of(Class::BothGone), None, &flags, date(to)) {
        let files = cast.open(Class::LocalNew).filter(|row| row.content == Some(content));
        if let Some(from) = best(files, None, &flags, date(to)) {
            return Some(Step::LocalMove { from: from.id, to: to.id, past: Some(past.id) });
        }
    }
    // Sent from here and moved on by another client before a look showed it.
    let sent = known.iter().copied().filter(|row| {
        class(row) == Class::LocalNew
            && !cast.is_taken(row)
            && may_have_moved_on(cast.world, row)
            // With an equal message elsewhere nothing tells which of them it is.
            && cast.with_content(content).all(|other| other.id == row.id || other.id == to.id)
    });
    let copied = of(Class::LocalNew).filter(|row| left::is_copy_gone(cast, row));
    if let Some(from) = best(sent.chain(copied), None, &flags, date(to)) {
        return Some(Step::LocalMove { from: from.id, to: to.id, past: None });
    }
    // Where the original stays another text may have the same words: only the server's own name
    // of it, or its body, tells that it is a copy (hazard 52).
    let copied =
        of(Class::Paired).filter(|row| to.content.is_some() || have_one_object_id(row, to));
    let from = best(copied, None, &flags, date(to))?;
    Some(Step::LocalCopy { from: from.id, to: to.id })
}

/// Rows whose body a new server message has, as far as a trustworthy key tells (hazard 9).
fn known_elsewhere<'w>(cast: &Cast<'w>, to: &Row) -> Option<Vec<&'w Row>> {
    let has_moved_on =
        |row: &Row| may_have_moved_on(cast.world, row) || left::is_copy_gone(cast, row);
    let elsewhere = |row: &&Row| {
        row.id != to.id
            && row.content.is_some()
            && (has_been_remote(row) || (!row.weak && has_moved_on(row)))
            && (row.mailbox != to.mailbox || row.remote.is_none())
    };
    if let Some(content) = to.content {
        // Its body was brought down and hashed: the content itself is the key.
        return Some(cast.with_content(content).filter(elsewhere).collect());
    }
    to.words.as_ref()?;
    let drafts = cast.is(to.mailbox, SpecialUse::Drafts);
    let same: Vec<&Row> = cast
        .like(to)
        .filter(elsewhere)
        // What was only sent has no words of the server's: its body is compared.
        .filter(|row| has_been_remote(row) && same_words(row, to))
        .collect();
    let beside = |row: &Row| row.mailbox == to.mailbox && !have_one_object_id(row, to);
    // It may be one that is known to be here, which only its body tells (hazard 80).
    if same.iter().any(|row| beside(row) && !evidence::is_trusted(cast, row, to)) {
        return None;
    }
    // Under the same numbers another text may have taken its place: an edited draft is often as
    // long, of the same second, and keeps its header. Its body tells (hazard 76).
    let same = same.into_iter().filter(|row| row.restated || !beside(row));
    let same = same.filter(|row| !(drafts && cast.is(row.mailbox, SpecialUse::Drafts)));
    Some(same.collect())
}

/// New files whose content the server has already: COPY or MOVE there. A departure that is
/// explained by what was found needs no look at the rest of the account (hazard 4).
pub fn depart(cast: &mut Cast<'_>, steps: &mut Vec<Step>) {
    let ready = super::messages::ready_for_additions(cast);
    let seen = |row: &&Row| !cast.may_be_unseen(row);
    let arrivals: Vec<&Row> = cast.open(Class::LocalNew).filter(seen).collect();
    let searched = super::messages::is_searched(cast);
    let may_go = |row: &&Row| ready.contains(&row.mailbox) && (searched || !is_in_doubt(row));
    for to in arrivals.into_iter().filter(may_go) {
        let Some(content) = to.content else { continue };
        let flags = to.local.as_ref().map(|l| l.flags.clone()).unwrap_or_default();
        let stem = to.local.as_ref().map(|l| &l.stem);
        let sources = || {
            cast.with_content(content).filter(|row| {
                row.id != to.id
                    && !row.weak
                    && row.remote.is_some()
                    && !row.journal.is_moved()
                    && !cast.is_taken(row)
            })
        };
        let left = || sources().filter(|row| class(row) == Class::LocalGone && is_active(row));
        let moved = left::source_of(to, sources());
        if moved.is_none() && left::may_be_in_trash(cast, to) {
            continue;
        }
        let moved = moved.or_else(|| best(left(), stem, &flags, date(to)));
        if let Some(from) = moved {
            cast.take([from.id, to.id]);
            steps.push(Step::RemoteMove { from: from.id, to: to.id });
        } else if super::messages::may_be_there(cast, to) {
            continue;
        } else if let Some(from) = best(sources(), stem, &flags, date(to)) {
            cast.take([to.id]);
            steps.push(Step::RemoteCopy { from: from.id, to: to.id });
        }
    }
}
