//! `\Deleted`, which only ever is there for an EXPUNGE of ours that follows at once.
//!
//! Before it is set the store says where: a mark that a crash left behind is ours, and is taken
//! back before anything is looked at (hazard 14).

use std::collections::BTreeMap;

use super::carry::{FlagsByUid, Given};
use super::steps::select;
use crate::account::error::AccountError;
use crate::mail::run::Run;
use crate::reconcile::types::{Flags, Mailbox, MailboxId, System, Uid};
use crate::remote::RemoteError;
use crate::remote::imap::{Command, FetchItems, FetchRow, UidSet, Untagged};
use crate::state::meta;
use crate::state::meta::List;

/// Looks at flags while the server tells of changes. One that always does is believed in the end.
const LOOKS_MAX: u32 = 3;

fn mark() -> Flags {
    Flags::system(System::TRASHED)
}

/// Takes back the marks of a run that was cut off: what they were for is decided anew.
pub(in crate::mail) async fn take_back(run: &mut Run) -> Result<(), AccountError> {
    let Some(List(marked)) = run.store.fact(&meta::MARKED_DELETED)? else { return Ok(()) };
    let mut left = Vec::new();
    for (id, validity, uids) in marked {
        let Some(set) = UidSet::parse(uids.as_bytes()) else { continue };
        let Some(mailbox) = run.store.mailbox(id)? else { continue };
        if mailbox.cursor.is_none_or(|cursor| cursor.uid_validity != validity) {
            continue;
        }
        if !take_back_in(run, &mailbox, &set).await? {
            left.push((id, validity, uids));
        }
    }
    run.session.unselect().await?;
    keep(run, left)
}

/// Gives whether the server did it; what it refused now is tried again by the next run.
async fn take_back_in(
    run: &mut Run,
    mailbox: &Mailbox,
    set: &UidSet,
) -> Result<bool, AccountError> {
    if !select(run, mailbox).await? {
        return Ok(false);
    }
    let validity = mailbox.cursor.map_or(0, |cursor| cursor.uid_validity);
    let resting = run.suspects.lock().resting(Command::Store, &mailbox.name, validity);
    let parts = run.suspects.lock().parts(Command::Store, &mailbox.name, validity, set);
    let mut done = set.intersection(&resting).is_empty();
    for part in parts {
        let mut ignore = |_: Untagged| {};
        match run.session.store(&part, false, &mark(), &mut ignore).await {
            Err(error) if error.ends_session() => return Err(error.into()),
            Err(error) => {
                run.note_refusal(&error);
                run.report.skip(mailbox.name.to_string(), error.to_string());
                done = false;
            }
            Ok(()) => {}
        }
    }
    Ok(done)
}

/// Writes down these marks and no others.
fn keep(run: &mut Run, marks: Vec<(MailboxId, u32, String)>) -> Result<(), AccountError> {
    Ok(run.store.transaction(|tx| tx.set_list(&meta::MARKED_DELETED, marks))?)
}

/// Writes down which messages are about to be marked.
fn note(run: &mut Run, mailbox: &Mailbox, set: &UidSet) -> Result<(), AccountError> {
    let validity = mailbox.cursor.map_or(0, |cursor| cursor.uid_validity);
    let mut marks = run.store.list(&meta::MARKED_DELETED)?;
    marks.push((mailbox.id, validity, set.to_string()));
    keep(run, marks)
}

/// What came of marked messages.
#[derive(Debug)]
pub(super) enum Marked {
    /// The server was asked to expunge them.
    Expunged,
    /// It was not: others marked messages, too, and it can only expunge all.
    WithOthers,
    /// It was not: these have other flags by now than their copies were given.
    Changed(FlagsByUid),
}

/// Marks messages of the selected mailbox and expunges them. `given` are the flags of those of
/// which there are copies: where they have others by now, nothing is expunged (hazard 92).
pub(super) async fn and_expunge(
    run: &mut Run,
    mailbox: &Mailbox,
    set: &UidSet,
    given: &BTreeMap<Uid, Given>,
) -> Result<Result<Marked, RemoteError>, AccountError> {
    let uidplus = run.session.capabilities().uidplus();
    if !uidplus {
        // A plain EXPUNGE removes whatever bears the mark: only where all of it is ours.
        match run.session.search_deleted().await {
            Ok(deleted) if deleted.difference(set).is_empty() => {}
            Ok(_) => {
                name_others(run, mailbox);
                return Ok(Ok(Marked::WithOthers));
            }
            Err(error) => return Ok(Err(error)),
        }
    }
    let before = run.store.list(&meta::MARKED_DELETED)?;
    note(run, mailbox, set)?;
    let done = carry_out(run, set, uidplus, given).await;
    match done {
        Ok(Marked::Expunged | Marked::Changed(_)) => {}
        Ok(Marked::WithOthers) => name_others(run, mailbox),
        Err(error) => return Ok(Err(error)),
    }
    keep(run, before)?;
    Ok(done)
}

async fn carry_out(
    run: &mut Run,
    set: &UidSet,
    uidplus: bool,
    given: &BTreeMap<Uid, Given>,
) -> Result<Marked, RemoteError> {
    let mut ignore = |_: Untagged| {};
    run.session.store(set, true, &mark(), &mut ignore).await?;
    let alone = uidplus || run.session.search_deleted().await?.difference(set).is_empty();
    // As late as can be: what is set after this look is set on a message that bears the mark.
    let changed = changed(run, given).await?;
    if !alone || !changed.is_empty() {
        // Ours goes, and the next plan tries again.
        run.session.store(set, false, &mark(), &mut ignore).await?;
        return Ok(if alone { Marked::Changed(changed) } else { Marked::WithOthers });
    }
    match uidplus {
        true => run.session.uid_expunge(set, &mut ignore).await?,
        false => run.session.expunge(&mut ignore).await?,
    }
    Ok(Marked::Expunged)
}

/// Messages whose flags are not those that their copies were given, with their flags.
async fn changed(run: &mut Run, given: &BTreeMap<Uid, Given>) -> Result<FlagsByUid, RemoteError> {
    let mut changed = FlagsByUid::new();
    if given.is_empty() {
        return Ok(changed);
    }
    let set: UidSet = given.keys().copied().collect();
    let items = FetchItems { flags: true, ..FetchItems::default() };
    for _ in 0..LOOKS_MAX {
        // FETCH shows a mailbox as the server last told of it.
        run.catch_up().await?;
        run.session.take_pending();
        let mut sink = |row: FetchRow| {
            if let Some((then, now)) = given.get(&row.uid).zip(row.flags)
                && !then.difference(&now).is_empty()
            {
                changed.insert(row.uid, now);
            }
        };
        run.session.fetch(&set, items, None, &mut sink).await?;
        // A change that is told without a UID may be one of theirs, and newer than what was shown.
        let told = run.session.take_pending();
        let is_shown = !told.overflowed && !told.seen.contains(&Untagged::Other);
        if is_shown || !changed.is_empty() {
            break;
        }
    }
    Ok(changed)
}

fn name_others(run: &mut Run, mailbox: &Mailbox) {
    let why = "nothing is expunged: other clients marked messages as deleted, and without UIDPLUS \
               theirs would go, too";
    run.report.skip(mailbox.name.to_string(), why);
}
