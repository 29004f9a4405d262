//! Looks at the server: one LIST-STATUS with nothing selected tells which mailboxes moved at
//! all; those are read by the best rung of the ladder that the server has.

use std::collections::{BTreeSet, VecDeque};

use super::absent::Absent;
use super::attributes;
use super::attributes::Looked;
use super::gone::forget_message;
use super::listing::refused_before;
use super::unshown;
use super::unshown::Due;
use super::{listing, local, missed, passed, remade};
use crate::account::error::AccountError;
use crate::account::progress::Event;
use crate::mail::restate;
use crate::mail::run::Run;
use crate::reconcile::types::{Coverage, Mailbox, MailboxName, MailboxStatus};
use crate::remote::RemoteError;
use crate::remote::imap::{Command, Existence, ListedMailbox, UidSet};
use crate::state::meta;

/// Connections that one look at a mailbox may cost.
const LOSSES_MAX: u32 = 20;

/// Looks at every mailbox that moved. Gives whether a departure was noticed.
pub(super) async fn look(
    run: &mut Run,
    listed: Option<Vec<ListedMailbox>>,
) -> Result<bool, AccountError> {
    // A selected mailbox is blind to what others do: nothing is selected here (hazard 36).
    run.attempt.seen.listed = match listed {
        Some(listed) => listed,
        None => listing::list(run).await?,
    };
    let listed = run.attempt.seen.listed.clone();
    remade::compare(run, &listed)?;
    let mut departed = note_missing(run, &listed).await?;
    let due = unshown::due(run)?;
    let of = listed.len();
    let mut waiting: VecDeque<(ListedMailbox, u32)> =
        listed.into_iter().map(|mailbox| (mailbox, 0)).collect();
    // Where a connection was lost before, the next one may be lost, too: the others come first.
    let concern = |run: &Run, name: &MailboxName| run.suspects.lock().concern(name);
    waiting.make_contiguous().sort_by_key(|(mailbox, _)| concern(run, &mailbox.name));
    let mut at = 0;
    while let Some((mailbox, losses)) = waiting.pop_front() {
        at += usize::from(losses == 0);
        run.environment.progress.tell(Event::Looking { mailbox: &mailbox.name, at, of });
        match look_listed(run, mailbox.clone(), &due).await {
            Ok(left) => departed |= left,
            Err(error) => {
                let words = error.to_string();
                run.survive(error).await?;
                if losses < LOSSES_MAX && !run.is_weary() {
                    waiting.push_back((mailbox, losses + 1));
                    continue;
                }
                if let Some(known) = run.store.mailbox_by_name(&mailbox.name)? {
                    run.attempt.seen.shut(known.id);
                }
                run.report.skip(mailbox.name.to_string(), words);
            }
        }
    }
    Ok(departed)
}

async fn look_listed(
    run: &mut Run,
    listed: ListedMailbox,
    due: &Due,
) -> Result<bool, AccountError> {
    if let Some(problem) = &listed.problem {
        // Where no message can be, nothing is left out.
        if listed.selectable {
            run.report.skip(listed.name.to_string(), problem.clone());
        }
        return Ok(false);
    }
    if !listed.selectable || !run.looks_at(&listed.name) {
        return Ok(false);
    }
    let mailbox = note_listed(run, &listed)?;
    let id = mailbox.id;
    let name = listed.name.to_string();
    let due = due.get(&id).cloned().unwrap_or_default();
    match look_inside(run, mailbox.clone(), listed.gate, &due).await {
        Ok((coverage, departed)) => {
            run.attempt.seen.remote.insert(id, coverage);
            Ok(departed)
        }
        // One bad mailbox never stops the others.
        Err(AccountError::Remote(error)) if !error.ends_session() => {
            if listing::is_shut(run, &mailbox).await? {
                run.attempt.seen.remote.insert(id, Coverage::Complete);
                return note_gone(run, mailbox);
            }
            run.attempt.seen.shut(id);
            // What connections were lost at is named as such.
            if !matches!(error, RemoteError::SetAside { .. }) {
                run.report.skip(name, error.to_string());
            }
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// The row of a listed mailbox, made if it is new.
fn note_listed(run: &mut Run, listed: &ListedMailbox) -> Result<Mailbox, AccountError> {
    let configured = run.settings.special_use.iter();
    let configured = configured.filter(|(_, name)| *name == listed.name).map(|(s, _)| *s).next();
    let is_trash = listed.name == run.trash();
    let special_use = configured
        .or(listed.special_use)
        .or(is_trash.then_some(crate::reconcile::types::SpecialUse::Trash));
    let known = run.store.mailbox_by_name(&listed.name)?;
    // What fills a new mailbox may have been filed by another program: paired loosely once.
    let mailbox = known
        .clone()
        .unwrap_or_else(|| Mailbox { restated: true, ..Mailbox::new(listed.name.clone()) });
    // Of a server that tells none by now, or what is none, an old one says nothing either. A first
    // one is taken from SELECT.
    let trusted = run.session.capabilities().mailbox_ids();
    let was = mailbox.object_id.clone().filter(|_| trusted);
    let object_id = was.map(|was| listed.object_id.clone().unwrap_or(was));
    let mailbox = Mailbox { remote: true, special_use, object_id, ..mailbox };
    if known.as_ref() == Some(&mailbox) {
        return Ok(mailbox);
    }
    let id = run.record(|w| w.mailbox(&mailbox))?;
    let mailbox = Mailbox { id, ..mailbox };
    local::look_for_new(run, &mailbox)?;
    Ok(mailbox)
}

/// A mailbox is gone only when asking for it by name says so too (hazard 42).
async fn note_missing(run: &mut Run, listed: &[ListedMailbox]) -> Result<bool, AccountError> {
    let selectable = listed.iter().filter(|m| m.selectable);
    let present: BTreeSet<&MailboxName> = selectable.map(|m| &m.name).collect();
    let known = run.store.mailboxes()?;
    let mut departed = false;
    run.attempt.seen.refused.clear();
    for mailbox in known.into_iter().filter(|m| !present.contains(&m.name)) {
        if !run.looks_at(&mailbox.name) {
            continue;
        }
        if !mailbox.remote {
            run.attempt.seen.remote.insert(mailbox.id, Coverage::Complete);
            continue;
        }
        let is_server_another = run.attempt.seen.is_server_another;
        let coverage = match run.session.exists(&mailbox.name).await {
            Ok(Existence::Gone | Existence::Refused(_)) if is_server_another => {
                restate::lost_with_server(run, mailbox.clone())?;
                Coverage::Complete
            }
            Ok(Existence::Gone) => {
                departed |= note_gone(run, mailbox.clone())?;
                Coverage::Complete
            }
            Ok(Existence::Refused(words)) => {
                if refused_before(run, &mailbox)? {
                    departed |= note_gone(run, mailbox.clone())?;
                    Coverage::Complete
                } else {
                    let why = format!("{words}; accepted as gone if the next run confirms it");
                    run.report.skip(mailbox.name.to_string(), why);
                    run.attempt.seen.refused.insert(mailbox.id);
                    run.attempt.waits_for_next = true;
                    Coverage::Partial
                }
            }
            Ok(Existence::Exists(_)) => {
                let why = "the server has it but does not list it; nothing is removed meanwhile";
                run.report.skip(mailbox.name.to_string(), why);
                Coverage::Partial
            }
            Err(error) => {
                run.report.skip(mailbox.name.to_string(), error.to_string());
                if error.ends_session() {
                    run.survive(error.into()).await?;
                }
                Coverage::Partial
            }
        };
        run.attempt.seen.remote.insert(mailbox.id, coverage);
    }
    Ok(departed)
}

pub(in crate::mail) fn note_gone(run: &mut Run, mailbox: Mailbox) -> Result<bool, AccountError> {
    tracing::info!(mailbox = %mailbox.name, "gone on the server");
    run.record(|w| {
        remade::forget_all(w, &mailbox)?;
        w.mailbox(&Mailbox { remote: false, cursor: None, ..mailbox })?;
        Ok(true)
    })
}

/// Whether LIST-STATUS shows the mailbox exactly as the cursor left it, in either direction.
/// Without a mod-sequence flags may have changed unseen.
fn is_unmoved(mailbox: &Mailbox, gate: Option<MailboxStatus>) -> bool {
    match (mailbox.cursor, gate) {
        (Some(cursor), Some(gate)) => {
            // Of an empty mailbox there is nothing that could have changed.
            let tells = gate.highest_modseq.is_some_and(|modseq| modseq > 1);
            cursor == gate && (tells || gate.messages == 0)
        }
        _ => false,
    }
}

/// Whether LIST still gave the numbers that are known. What SELECT showed after it is compared
/// with all other mailboxes first, by the next look (hazard 56).
fn is_stale(mailbox: &Mailbox, gate: Option<MailboxStatus>) -> bool {
    let validity = |gate: Option<MailboxStatus>| gate.map(|gate| gate.uid_validity);
    mailbox.cursor.is_some() && validity(mailbox.cursor) == validity(gate)
}

async fn look_inside(
    run: &mut Run,
    mailbox: Mailbox,
    gate: Option<MailboxStatus>,
    due: &UidSet,
) -> Result<(Coverage, bool), AccountError> {
    let is_due = !due.is_empty() || run.suspects.lock().has_due(&mailbox.name);
    if is_unmoved(&mailbox, gate) && !is_due {
        return Ok((Coverage::Complete, false));
    }
    let mut looked = attributes::look(run, &mailbox, due).await?;
    let mut mailbox = mailbox;
    if looked.renumbered && is_stale(&mailbox, gate) && run.attempt.seen.stale.insert(mailbox.id) {
        tracing::info!(mailbox = %mailbox.name, "renumbered or exchanged since it was listed");
        return Ok((Coverage::Partial, true));
    }
    if looked.renumbered {
        tracing::info!(mailbox = %mailbox.name, "renumbered by the server");
        run.store.transaction(|tx| tx.delete_fact(&meta::looking(mailbox.id)))?;
        mailbox = restate::renumbered(run, mailbox)?;
        looked = attributes::look(run, &mailbox, &UidSet::default()).await?;
    }
    missed::wait_for(run, &mailbox, &mut looked)?;
    for problem in &looked.problems {
        run.report.skip(mailbox.name.to_string(), problem.clone());
    }
    let departed = record(run, mailbox, &looked)?;
    Ok((looked.coverage, departed))
}

/// Writes what is not there any more, and the cursor that covers all rows of the look, in one
/// transaction: rows that came before it are in the store already (hazard 1).
fn record(run: &mut Run, mailbox: Mailbox, looked: &Looked) -> Result<bool, AccountError> {
    let id = mailbox.id;
    let complete = looked.coverage == Coverage::Complete;
    let absent = Absent::from_membership(&mailbox, looked.gate.uid_validity);
    let cursor = complete.then_some(looked.gate).or(mailbox.cursor);
    let before = mailbox.clone();
    let object_id = looked.object_id.clone().or(mailbox.object_id);
    let mailbox = Mailbox { cursor, mask: Some(looked.mask.clone()), object_id, ..mailbox };
    let suspects = run.suspects.clone();
    run.record(|w| {
        if complete {
            let silent = u64::try_from(looked.silent.len()).unwrap_or(u64::MAX);
            passed::note(w, &before, looked.gate, silent)?;
        }
        w.mailbox(&mailbox)?;
        if cursor.is_some() {
            w.tx().delete_fact(&meta::looking(id))?;
        }
        let mut departed = false;
        for uid in &looked.gone {
            if let (Some(row), Some(absent)) = (w.tx().by_uid(id, *uid)?, absent) {
                departed |= row.base.is_some() || row.restated;
                forget_message(w, row, absent, Some(looked.gate))?;
            }
        }
        for uid in &looked.silent {
            if w.tx().by_uid(id, *uid)?.is_none() {
                let words = suspects.lock().words_of(Command::Attributes, &mailbox.name, *uid);
                super::rows::insert_silent(w, id, *uid, words)?;
            }
        }
        for uid in &looked.in_vain {
            let Some(mut row) = w.tx().by_uid(id, *uid)? else { continue };
            if let Some(aside) = &mut row.set_aside {
                aside.times = aside.times.saturating_add(1);
            }
            w.update(&row)?;
        }
        if complete {
            remade::judge(w, id)?;
        }
        Ok(departed)
    })
}
