//! Reads one mailbox: QRESYNC, else CONDSTORE, else all flags; membership always counted.
//!
//! Membership comes from VANISHED or UID SEARCH and is checked against EXISTS; attributes
//! come from FETCH. A count that does not fit makes the look Partial, never a deletion.

use std::collections::BTreeMap;

use crate::account::record::Writer;
use crate::account::{AccountError, Run};
use crate::local::header;
use crate::reconcile::types::{
    FlagMask, Flags, Gate, HeaderKeys, Mailbox, MailboxId, Reach, Remote, Row, ServerWords,
    SetAside, SetAsideKind, Uid,
};
use crate::remote::imap::{FetchItems, FetchRow, QresyncSince, Select, Selected, UidSet, Untagged};
use crate::state::StateError;

/// More of a header than this tells nothing more.
pub(in crate::account) const HEADER_MAX: usize = 256 * 1024;

/// What a look at one mailbox saw.
#[derive(Debug)]
pub(super) struct Looked {
    /// The cursor that the rows below reach up to.
    pub gate: Gate,
    /// What PERMANENTFLAGS allows.
    pub mask: FlagMask,
    /// Attributes of new messages, and of known ones that changed.
    pub rows: Vec<FetchRow>,
    /// Which of them are new.
    pub new: UidSet,
    /// Known UIDs that are not there any more.
    pub gone: Vec<Uid>,
    /// UIDs that the server names and shows nothing of.
    pub silent: Vec<Uid>,
    /// Header keys of new messages, where they were asked for.
    pub headers: BTreeMap<Uid, HeaderKeys>,
    /// How far the look reached.
    pub reach: Reach,
    /// What did not add up, for `status`.
    pub problems: Vec<String>,
}

/// Known UIDs of a mailbox.
struct Known(Vec<Uid>);

impl Known {
    fn contains(&self, uid: Uid) -> bool {
        self.0.binary_search(&uid).is_ok()
    }
}

pub(super) async fn look(run: &mut Run, mailbox: &Mailbox) -> Result<Looked, AccountError> {
    let known = run.store.remote_uids(mailbox.id)?;
    let known = Known(known.into_iter().map(|(uid, _)| uid).collect());
    let since = cursor_with_modseq(mailbox);
    run.session.settle().await?;
    let qresync = run.session.capabilities().qresync();
    let parameter = since
        .filter(|_| qresync)
        .map(|(uid_validity, highest_modseq)| QresyncSince { uid_validity, highest_modseq });
    let how = if run.settings.pull_only { Select::ReadOnly } else { Select::ReadWrite };
    let mut rows = Vec::new();
    let mut vanished = UidSet::default();
    let mut sink = |untagged: Untagged| match untagged {
        Untagged::Fetch(row) => rows.push(row),
        Untagged::Vanished { uids, .. } => vanished = vanished.union(&uids),
        _ => {}
    };
    let selected = run.session.select(&mailbox.name, how, parameter, &mut sink).await?;
    let mut looked = Looked {
        gate: selected.gate,
        mask: selected.mask.clone(),
        rows,
        new: UidSet::default(),
        gone: Vec::new(),
        silent: Vec::new(),
        headers: BTreeMap::new(),
        reach: Reach::Partial,
        problems: Vec::new(),
    };
    let renumbered = mailbox.cursor.is_some_and(|c| c.uid_validity != selected.gate.uid_validity);
    if renumbered {
        // The caller restates the mailbox and looks again.
        return Ok(looked);
    }
    let first_new = known_until(mailbox, &known);
    fetch_new(run, first_new, &known, &selected, &mut looked).await?;
    let since = since.map(|(_, modseq)| modseq);
    fetch_changed(run, first_new, &known, since, selected.resynced, &mut looked).await?;
    if selected.resynced {
        looked.gone = known.0.iter().copied().filter(|uid| vanished.contains(*uid)).collect();
    }
    check_membership(run, &known, &selected, &mut looked).await?;
    looked.rows = merged(std::mem::take(&mut looked.rows));
    check_flags(&mut looked);
    Ok(looked)
}

fn cursor_with_modseq(mailbox: &Mailbox) -> Option<(u32, u64)> {
    let cursor = mailbox.cursor?;
    Some((cursor.uid_validity, cursor.highest_modseq.filter(|modseq| *modseq > 0)?))
}

/// UIDs from here on were not looked at yet: from the cursor's UIDNEXT; all without a cursor.
fn known_until(mailbox: &Mailbox, known: &Known) -> u32 {
    match mailbox.cursor {
        Some(cursor) if cursor.uid_next > 0 => cursor.uid_next,
        // A server without UIDNEXT: what is known was seen whole.
        Some(_) => known.0.last().map_or(1, |uid| uid.0.saturating_add(1)),
        None => 1,
    }
}

async fn fetch_new(
    run: &mut Run,
    first: u32,
    known: &Known,
    selected: &Selected,
    looked: &mut Looked,
) -> Result<(), AccountError> {
    let next = selected.gate.uid_next;
    if selected.gate.messages == 0 || (next != 0 && first >= next) {
        return Ok(());
    }
    let set = UidSet::from_range(Uid(first), Uid(u32::MAX));
    // `n:*` names the last message even below n (RFC 9051 §9, seq-range).
    let wanted = |uid: Uid| uid.0 >= first && (next == 0 || uid.0 < next);
    fetch_attributes(run, &set, &wanted, known, looked).await
}

/// Everything that is told of messages without their bodies.
async fn fetch_attributes(
    run: &mut Run,
    set: &UidSet,
    wanted: &dyn Fn(Uid) -> bool,
    known: &Known,
    looked: &mut Looked,
) -> Result<(), AccountError> {
    let items = FetchItems {
        flags: true,
        size: true,
        date: true,
        modseq: false,
        object_id: run.session.capabilities().objectid() || run.session.capabilities().gmail(),
    };
    let (rows, new) = (&mut looked.rows, &mut looked.new);
    let mut sink = |row: FetchRow| {
        if wanted(row.uid) {
            // One that APPENDUID or COPYUID named before is confirmed by being shown.
            if !known.contains(row.uid) {
                new.insert(row.uid);
            }
            rows.push(row);
        }
    };
    run.session.fetch(set, items, None, &mut sink).await?;
    Ok(())
}

async fn fetch_changed(
    run: &mut Run,
    first_new: u32,
    known: &Known,
    since: Option<u64>,
    told_by_select: bool,
    looked: &mut Looked,
) -> Result<(), AccountError> {
    let condstore = run.session.capabilities().condstore() || run.session.capabilities().qresync();
    let unchanged = since.is_some() && since == looked.gate.highest_modseq;
    if known.0.is_empty() || told_by_select || (condstore && unchanged) {
        return Ok(());
    }
    let since = since.filter(|_| condstore && looked.gate.highest_modseq.is_some());
    let items = FetchItems { flags: true, ..FetchItems::default() };
    let set = UidSet::from_range(Uid(1), Uid(first_new.saturating_sub(1).max(1)));
    let rows = &mut looked.rows;
    let mut sink = |row: FetchRow| {
        if known.contains(row.uid) {
            rows.push(row);
        }
    };
    run.session.fetch(&set, items, since, &mut sink).await?;
    Ok(())
}

/// What is known, less what is gone, plus what is new, must be what EXISTS says; where it is
/// not, UID SEARCH decides.
async fn check_membership(
    run: &mut Run,
    known: &Known,
    selected: &Selected,
    looked: &mut Looked,
) -> Result<(), AccountError> {
    let expected = known.0.len() as u64 - looked.gone.len() as u64 + looked.new.len();
    if expected == u64::from(selected.gate.messages) {
        looked.reach = Reach::Complete;
        return Ok(());
    }
    let (all, exists) = run.session.search_all().await?;
    looked.gone = known.0.iter().copied().filter(|uid| !all.contains(*uid)).collect();
    looked.gate.messages = u32::try_from(all.len()).unwrap_or(u32::MAX);
    if all.len() != u64::from(exists) {
        let problem = format!(
            "the server counts {exists} messages and names {}; nothing is removed meanwhile",
            all.len()
        );
        looked.gone.clear();
        looked.problems.push(problem);
        return Ok(());
    }
    looked.reach = Reach::Complete;
    let next = selected.gate.uid_next;
    let silent = |looked: &Looked| -> Vec<Uid> {
        let unshown = |uid: &Uid| !known.contains(*uid) && !looked.new.contains(*uid);
        all.iter().filter(|uid| unshown(uid) && (next == 0 || uid.0 < next)).collect()
    };
    let mut again = UidSet::default();
    silent(looked).into_iter().for_each(|uid| {
        again.insert(uid);
    });
    if !again.is_empty() {
        // Asked by name: once more before the server is believed to have nothing to show.
        fetch_attributes(run, &again, &|uid| again.contains(uid), known, looked).await?;
    }
    looked.silent = silent(looked);
    let count = looked.silent.len();
    if count > 0 {
        let problem = format!("the server names {count} messages that it shows nothing of");
        looked.problems.push(problem);
    }
    Ok(())
}

/// What was said of a message in several rows, together; the last word on its flags counts.
fn merged(rows: Vec<FetchRow>) -> Vec<FetchRow> {
    let mut all: BTreeMap<Uid, FetchRow> = BTreeMap::new();
    for row in rows {
        let Some(known) = all.get_mut(&row.uid) else {
            all.insert(row.uid, row);
            continue;
        };
        known.flags = row.flags.or(known.flags.take());
        known.size = row.size.or(known.size);
        known.date = row.date.or(known.date);
        known.object_id = row.object_id.or(known.object_id.take());
    }
    all.into_values().collect()
}

/// "FLAGS asked, none parsed" is an error, not an empty set (hazard 32).
fn check_flags(looked: &mut Looked) {
    let before = looked.rows.len();
    looked.rows.retain(|row| row.flags.is_some());
    let mute = before - looked.rows.len();
    if mute > 0 {
        looked.problems.push(format!("the server showed no flags for {mute} messages"));
        looked.reach = Reach::Partial;
        looked.gone.clear();
    }
}

/// Asks for the headers of some new messages.
pub(super) async fn headers(
    run: &mut Run,
    wanted: &UidSet,
    looked: &mut Looked,
) -> Result<(), AccountError> {
    if wanted.is_empty() {
        return Ok(());
    }
    let keys = &mut looked.headers;
    let mut sink = |uid: Uid, bytes: &[u8]| {
        keys.insert(uid, header::keys(bytes));
    };
    run.session.fetch_headers(wanted, HEADER_MAX, &mut sink).await?;
    Ok(())
}

/// A known message was shown again.
pub(super) fn update(w: &Writer<'_>, mut row: Row, fetched: &FetchRow) -> Result<(), StateError> {
    let Some(flags) = fetched.flags.clone() else { return Ok(()) };
    let Some(remote) = row.remote.as_mut() else { return Ok(()) };
    let before = (remote.clone(), row.words.clone());
    if !remote.confirmed {
        // What we set and a look does not show was not taken: no removal by anybody, and a
        // keyword is not asked for again (hazard 29).
        let missing = remote.flags.difference(&flags);
        if let Some(base) = row.base.as_mut() {
            base.flags = base.flags.difference(&missing);
        }
        row.refused_keywords.extend(missing.keywords);
    }
    remote.flags = flags;
    remote.confirmed = true;
    let after = (remote.clone(), words(fetched).or_else(|| row.words.clone()));
    row.words.clone_from(&after.1);
    if before == after {
        return Ok(());
    }
    w.update(&row)
}

/// A message that no row has.
pub(super) fn insert(
    w: &Writer<'_>,
    mailbox: MailboxId,
    fetched: &FetchRow,
    looked: &Looked,
) -> Result<(), StateError> {
    let Some(flags) = fetched.flags.clone() else { return Ok(()) };
    let row = Row {
        remote: Some(Remote { uid: fetched.uid, flags, confirmed: true }),
        words: words(fetched),
        header: looked.headers.get(&fetched.uid).copied(),
        ..Row::new(mailbox)
    };
    w.insert(&row)?;
    Ok(())
}

/// A message that the server names and shows nothing of: kept in sight, never called absent.
pub(super) fn insert_silent(
    w: &Writer<'_>,
    mailbox: MailboxId,
    uid: Uid,
) -> Result<(), StateError> {
    let words = "the server names the message and shows nothing of it".to_owned();
    let set_aside = SetAside { kind: SetAsideKind::Fetch, words, times: SetAside::TRIES };
    let row = Row {
        remote: Some(Remote { uid, flags: Flags::default(), confirmed: true }),
        set_aside: Some(set_aside),
        ..Row::new(mailbox)
    };
    w.insert(&row)?;
    Ok(())
}

fn words(fetched: &FetchRow) -> Option<ServerWords> {
    let (size, date) = (fetched.size?, fetched.date?);
    Some(ServerWords { size, date, object_id: fetched.object_id.clone() })
}
