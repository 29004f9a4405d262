//! Reads one mailbox: QRESYNC, else CONDSTORE, else all flags; membership always counted.
//!
//! Membership comes from VANISHED or UID SEARCH and is checked against EXISTS and FETCH;
//! attributes come from FETCH. A count that does not fit makes the look Partial, never a deletion.

use std::collections::BTreeMap;

use super::headers::headers_of;
use super::intake::{Intake, Shows, Taken};
use super::reused::Probe;
use super::rows::merge;
use super::{members, modseq, next, unshown};
use crate::account::error::AccountError;
use crate::mail::run::Run;
use crate::reconcile::types::{Coverage, FlagMask, Mailbox, MailboxId, MailboxStatus, Uid};
use crate::remote::imap::{
    Command, FetchItems, FetchRow, QresyncSince, Select, Selected, Session, UidCollector, UidSet,
    Untagged,
};
use crate::state::meta;

/// New messages whose headers are asked for at a time.
const HEADERS: usize = 1000;
/// Changes that SELECT may tell by itself; more of them are asked for, and taken as they come.
const TOLD_MAX: usize = 20_000;
/// The same, in octets of what they carry.
const TOLD_OCTETS: usize = 8 << 20;

/// What a look at one mailbox saw, beside the rows that it wrote.
#[derive(Debug)]
pub(super) struct Looked {
    /// The cursor that the rows reach up to.
    pub gate: MailboxStatus,
    /// What PERMANENTFLAGS allows.
    pub mask: FlagMask,
    /// MAILBOXID, as SELECT tells it.
    pub object_id: Option<String>,
    /// Known UIDs that are not there any more.
    pub gone: Vec<Uid>,
    /// UIDs that the server names and shows nothing of.
    pub silent: Vec<Uid>,
    /// Those of them that were asked for again, and not shown this time either.
    pub(super) in_vain: Vec<Uid>,
    /// How far the look reached.
    pub coverage: Coverage,
    /// What did not add up, for `status`.
    pub problems: Vec<String>,
    /// The UIDs that are known mean nothing any more: nothing was written.
    pub renumbered: bool,
}

/// What SELECT told.
struct Opened {
    selected: Selected,
    /// Flags that changed, if not more than were taken.
    changed: Option<Vec<FetchRow>>,
    vanished: UidSet,
}

/// Looks at a mailbox; `due` are messages that the server showed nothing of before.
pub(super) async fn look(
    run: &mut Run,
    mailbox: &Mailbox,
    due: &UidSet,
) -> Result<Looked, AccountError> {
    let mut opened = open(run, mailbox).await?;
    opened.selected.gate = next::check(run, mailbox, opened.selected.gate).await?;
    let selected = &opened.selected;
    let mut looked = Looked {
        gate: selected.gate,
        mask: selected.mask.clone(),
        object_id: selected.object_id.clone(),
        gone: Vec::new(),
        silent: Vec::new(),
        in_vain: Vec::new(),
        coverage: Coverage::Partial,
        problems: Vec::new(),
        renumbered: is_renumbered(run, mailbox, &selected.gate)?,
    };
    if looked.renumbered {
        return Ok(looked);
    }
    note_mask(run, mailbox, &looked.mask)?;
    if selected.resynced {
        for range in opened.vanished.ranges() {
            let range = (Uid(range.0), Uid(range.1));
            run.store.for_each_uid(mailbox.id, range, |uid| looked.gone.push(uid))?;
        }
    }
    let Some(mut taken) = take_in(run, mailbox, &mut opened).await? else {
        return Ok(Looked { renumbered: true, ..looked });
    };
    looked.gate = opened.selected.gate;
    let resting = resting(run, mailbox, looked.gate.uid_validity);
    let again = due_again(run, mailbox, Command::Attributes, looked.gate.uid_validity);
    taken.wanted = taken.wanted.union(&due.difference(&resting)).union(&again);
    with_headers(run, mailbox.id, &mut taken).await?;
    check_membership(run, mailbox.id, &mut taken, &mut looked).await?;
    check_flags(&taken, &mut looked);
    looked.in_vain = unshown::in_vain(run, mailbox.id, due)?;
    if !looked.in_vain.is_empty() {
        looked.problems.push(unshown_words(looked.in_vain.len()));
    }
    Ok(looked)
}

/// Messages that were set aside, and that it is time to ask for again.
fn due_again(run: &Run, mailbox: &Mailbox, command: Command, uid_validity: u32) -> UidSet {
    run.suspects.lock().due(command, &mailbox.name, uid_validity)
}

/// Messages that are not asked for now, since connections were lost over them.
fn resting(run: &Run, mailbox: &Mailbox, uid_validity: u32) -> UidSet {
    let suspects = run.suspects.lock();
    suspects.resting(Command::Attributes, &mailbox.name, uid_validity)
}

async fn open(run: &mut Run, mailbox: &Mailbox) -> Result<Opened, AccountError> {
    run.session.settle().await?;
    let qresync = run.session.capabilities().qresync();
    let parameter = cursor_with_modseq(run, mailbox)
        .filter(|_| qresync)
        .map(|(uid_validity, highest_modseq)| QresyncSince { uid_validity, highest_modseq });
    let how = if run.settings.pull_only { Select::ReadOnly } else { Select::ReadWrite };
    let mut changed = Some(Vec::new());
    let mut octets = 0;
    let mut vanished = UidCollector::default();
    let mut sink = |untagged: Untagged| match untagged {
        Untagged::Fetch(row) => {
            octets += row.octets();
            match &mut changed {
                Some(rows) if rows.len() < TOLD_MAX && octets < TOLD_OCTETS => rows.push(row),
                _ => changed = None,
            }
        }
        // What goes at this very moment is not part of the difference: EXISTS falls with it, and
        // a search tells whether it is so (hazard 108).
        Untagged::Vanished { earlier: true, uids } => vanished.extend(&uids),
        _ => {}
    };
    let mut selected = run.session.select(&mailbox.name, how, parameter, &mut sink).await?;
    if run.attempt.seen.no_modseq {
        modseq::take_out(&mut selected.gate);
    }
    Ok(Opened { selected, changed, vanished: vanished.finish() })
}

/// Another UIDVALIDITY, or numbers that fell: UIDs may have been handed out twice (hazard 5).
fn is_renumbered(run: &Run, mailbox: &Mailbox, now: &MailboxStatus) -> Result<bool, AccountError> {
    let Some(cursor) = mailbox.cursor else {
        // A first look that was cut off left UIDs behind.
        let looking = run.store.fact(&meta::looking(mailbox.id))?;
        return Ok(looking.is_some_and(|validity| validity != now.uid_validity));
    };
    let fell = match (cursor.highest_modseq, now.highest_modseq) {
        (Some(before), Some(after)) => after < before,
        _ => false,
    };
    let reused = now.uid_next > 0 && now.uid_next < cursor.uid_next;
    Ok(cursor.uid_validity != now.uid_validity || reused || fell)
}

fn cursor_with_modseq(run: &Run, mailbox: &Mailbox) -> Option<(u32, u64)> {
    let cursor = mailbox.cursor?;
    let believed = |modseq: &u64| *modseq > 0 && !run.attempt.seen.no_modseq;
    Some((cursor.uid_validity, cursor.highest_modseq.filter(believed)?))
}

/// UIDs from here on were not looked at yet: from the cursor's UIDNEXT; all without a cursor.
fn known_until(mailbox: &Mailbox, last: Option<Uid>) -> u32 {
    match mailbox.cursor {
        Some(cursor) if cursor.uid_next > 0 => cursor.uid_next,
        // A server without UIDNEXT: what is known was seen whole.
        Some(_) => last.map_or(1, |uid| uid.0.saturating_add(1)),
        None => 1,
    }
}

/// Takes new messages, and flags of known ones, into the store. None where known UIDs are those of
/// other messages.
async fn take_in(
    run: &mut Run,
    mailbox: &Mailbox,
    opened: &mut Opened,
) -> Result<Option<Taken>, AccountError> {
    let last = run.store.last_uid(mailbox.id)?;
    let first_new = known_until(mailbox, last);
    let gate = opened.selected.gate;
    let policy = run.policy()?;
    let again = due_again(run, mailbox, Command::Flags, gate.uid_validity);
    let mut since = cursor_with_modseq(run, mailbox).map(|(_, modseq)| modseq);
    let mut probe = Probe::of(run, mailbox)?;
    let (session, store) = (&mut run.session, &mut run.store);
    let mut intake = Intake::new(store, policy, mailbox, gate.uid_validity)?;
    let next = gate.uid_next;
    // Something came, and HIGHESTMODSEQ is what it was (hazard 135).
    let mut is_still = false;
    if gate.messages > 0 && (next == 0 || first_new < next) {
        intake.expect(Shows::New);
        let set = UidSet::from_range(Uid(first_new), Uid(u32::MAX)).union(&probe.uids());
        let mut sink = |row: FetchRow| {
            probe.take(&row);
            // `n:*` names the last message even below n (RFC 9051 §9, seq-range).
            if row.uid.0 >= first_new && (next == 0 || row.uid.0 < next) {
                is_still |= since.is_some() && since == gate.highest_modseq;
                intake.take(row);
            }
        };
        let items = all_items(session);
        session.fetch(&set, items, None, &mut sink).await?;
    }
    if probe.finds_another(session).await? {
        return Ok(None);
    }
    intake.expect(Shows::Flags);
    opened.changed.iter().flatten().for_each(|row| intake.take(row.clone()));
    let condstore = session.capabilities().condstore() || session.capabilities().qresync();
    let still = since.take_if(|_| is_still);
    let unchanged = condstore && since.is_some() && since == gate.highest_modseq;
    let told = opened.selected.resynced && opened.changed.is_some() && !is_still;
    if last.is_some() && !told && !unchanged {
        let since = since.filter(|_| condstore && gate.highest_modseq.is_some());
        let items = FetchItems { flags: true, ..FetchItems::default() };
        let set = UidSet::from_range(Uid(1), Uid(first_new.saturating_sub(1).max(1)));
        let facts = probe.uids();
        let mut sink = |row: FetchRow| match row.flags {
            None => probe.take(&row),
            Some(_) => intake.take(row),
        };
        session.fetch_with_facts(&set, &facts, items, since, &mut sink).await?;
        if probe.finds_another(session).await? {
            return Ok(None);
        }
    }
    if !again.is_empty() {
        let items = FetchItems { flags: true, ..FetchItems::default() };
        session.fetch(&again, items, None, &mut |row| intake.take(row)).await?;
    }
    let taken = intake.finish()?;
    if let Some(still) = still {
        modseq::distrust(run, mailbox.id, still)?;
        modseq::take_out(&mut opened.selected.gate);
    }
    Ok(Some(taken))
}

/// What is kept of a new message.
fn all_items(session: &Session) -> FetchItems {
    let object_id = session.capabilities().objectid() || session.capabilities().gmail();
    FetchItems { flags: true, size: true, date: true, modseq: false, object_id }
}

/// Writes the new messages whose headers could tell something, with their headers: so that no
/// row is ever there without what it should be paired by, wherever the look is cut off.
async fn with_headers(
    run: &mut Run,
    mailbox: MailboxId,
    taken: &mut Taken,
) -> Result<(), AccountError> {
    let policy = run.policy()?;
    let wanted: Vec<Uid> = taken.wanted.iter().collect();
    let items = all_items(&run.session);
    for some in wanted.chunks(HEADERS) {
        let set: UidSet = some.iter().copied().collect();
        let mut rows: BTreeMap<Uid, FetchRow> = BTreeMap::new();
        let mut sink = |row: FetchRow| merge(&mut rows, row);
        run.session.fetch(&set, items, None, &mut sink).await?;
        let headers = headers_of(run, mailbox, &set, &rows).await?;
        let store = &mut run.store;
        let mute = Intake::write_with_headers(store, &policy, mailbox, &rows, &headers)?;
        taken.mute = taken.mute.union(&mute);
    }
    Ok(())
}

fn unshown_words(count: usize) -> String {
    match count {
        1 => "the server lists 1 message but returned no data for it; it is requested again"
            .to_owned(),
        _ => format!(
            "the server lists {count} messages but returned no data for them; they are requested \
             again"
        ),
    }
}

/// Writes what PERMANENTFLAGS allows, where it changed: rows may be settled now that were not,
/// or the reverse. Rows that come after are judged by it.
fn note_mask(run: &mut Run, mailbox: &Mailbox, mask: &FlagMask) -> Result<(), AccountError> {
    if mailbox.mask.as_ref() == Some(mask) {
        return Ok(());
    }
    run.record(|w| {
        let Some(mailbox) = w.tx().mailbox(mailbox.id)? else { return Ok(()) };
        w.mailbox(&Mailbox { mask: Some(mask.clone()), ..mailbox.clone() })?;
        w.tx().for_each_row(mailbox.id, |row| w.update(&row))
    })
}

/// What is known, less what is gone, must be what EXISTS says; where it is not, UID SEARCH
/// decides.
async fn check_membership(
    run: &mut Run,
    mailbox: MailboxId,
    taken: &mut Taken,
    looked: &mut Looked,
) -> Result<(), AccountError> {
    let mute = new_and_mute(run, mailbox, taken)?;
    let known = run.store.remote_count(mailbox)? + mute;
    let counted = known.saturating_sub(looked.gone.len() as u64);
    // What was left out and what is gone would make up for one another.
    let is_whole = !leaves_out(run, mailbox, looked.gate.uid_validity)?;
    if is_whole && counted == u64::from(looked.gate.messages) {
        looked.coverage = Coverage::Complete;
        return Ok(());
    }
    looked.gone.clear();
    let all = match members::ask(run, mailbox).await? {
        Ok(all) => all,
        Err(problem) => {
            looked.problems.push(problem);
            return Ok(());
        }
    };
    looked.gate.messages = u32::try_from(all.len()).unwrap_or(u32::MAX);
    looked.coverage = Coverage::Complete;
    let mut silent = unshown(run, mailbox, &all, taken, looked.gate)?;
    let known = run.store.mailbox(mailbox)?;
    let resting = known.map(|known| resting(run, &known, looked.gate.uid_validity));
    if !silent.is_empty() {
        // Asked by name: once more before the server is believed to have nothing to show.
        taken.wanted = silent.difference(&resting.unwrap_or_default());
        with_headers(run, mailbox, taken).await?;
        silent = unshown(run, mailbox, &all, taken, looked.gate)?;
    }
    run.store.for_each_uid(mailbox, (Uid(1), Uid(u32::MAX)), |uid| {
        if !all.contains(uid) {
            looked.gone.push(uid);
        }
    })?;
    looked.silent = silent.iter().collect();
    let count = looked.silent.len();
    if count > 0 {
        looked.problems.push(unshown_words(count));
    }
    Ok(())
}

/// Whether messages that no row has are not asked for now.
fn leaves_out(run: &Run, id: MailboxId, uid_validity: u32) -> Result<bool, AccountError> {
    let Some(mailbox) = run.store.mailbox(id)? else { return Ok(false) };
    for uid in resting(run, &mailbox, uid_validity).iter() {
        if run.store.by_uid(id, uid)?.is_none() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// UIDs that the server names and has shown nothing of.
fn unshown(
    run: &Run,
    mailbox: MailboxId,
    all: &UidSet,
    taken: &Taken,
    gate: MailboxStatus,
) -> Result<UidSet, AccountError> {
    let mut known = taken.mute.clone();
    run.store.for_each_uid(mailbox, (Uid(1), Uid(u32::MAX)), |uid| {
        known.insert(uid);
    })?;
    let next = gate.uid_next;
    Ok(all.difference(&known).iter().filter(|uid| next == 0 || uid.0 < next).collect())
}

/// How many messages were shown without flags that no row has.
fn new_and_mute(run: &Run, mailbox: MailboxId, taken: &Taken) -> Result<u64, AccountError> {
    let mut count = 0;
    for uid in taken.mute.iter() {
        count += u64::from(run.store.by_uid(mailbox, uid)?.is_none());
    }
    Ok(count)
}

/// "FLAGS asked, none parsed" is an error, not an empty set (hazard 32).
fn check_flags(taken: &Taken, looked: &mut Looked) {
    let mute = taken.mute.len();
    if mute > 0 {
        let messages = if mute == 1 { "message" } else { "messages" };
        looked.problems.push(format!("the server returned no flags for {mute} {messages}"));
        looked.coverage = Coverage::Partial;
        looked.gone.clear();
    }
}
