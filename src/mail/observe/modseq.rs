//! HIGHESTMODSEQ, as far as it moves when it must (hazard 135).
//!
//! A new message has a mod-sequence above all others, and so has one whose flags were changed (RFC
//! 7162 §3.1). Where either leaves HIGHESTMODSEQ as it was, it tells nothing: the account is
//! looked at as one of a server without mod-sequences, until it is seen to move.

use std::collections::BTreeMap;

use crate::account::error::AccountError;
use crate::mail::run::Run;
use crate::reconcile::types::{Mailbox, MailboxId, MailboxStatus};
use crate::remote::imap::ListedMailbox;
use crate::state::meta;

/// Judges what LIST told of all mailboxes. Where HIGHESTMODSEQ is not believed it is taken out.
pub(super) fn judge(run: &mut Run, listed: &mut [ListedMailbox]) -> Result<(), AccountError> {
    if let Some((mailbox, still)) = run.store.fact(&meta::MODSEQ_STILL)? {
        if told(run, listed, mailbox)?.is_some_and(|now| now != still) {
            tracing::info!("HIGHESTMODSEQ moves: it is believed again");
            run.store.transaction(|tx| tx.delete_fact(&meta::MODSEQ_STILL))?;
        }
    } else if let Some((mailbox, still)) = unmoved(run, listed)? {
        distrust(run, mailbox, still)?;
    }
    run.attempt.seen.no_modseq = run.store.has_fact(&meta::MODSEQ_STILL)?;
    if run.attempt.seen.no_modseq {
        listed.iter_mut().filter_map(|mailbox| mailbox.gate.as_mut()).for_each(take_out);
    }
    Ok(())
}

/// Takes HIGHESTMODSEQ out of what was told.
pub(super) fn take_out(gate: &mut MailboxStatus) {
    gate.highest_modseq = None;
}

/// Does not believe HIGHESTMODSEQ any more, which stayed as it was in a mailbox.
pub(super) fn distrust(run: &mut Run, mailbox: MailboxId, still: u64) -> Result<(), AccountError> {
    tracing::warn!(
        "HIGHESTMODSEQ does not move with what happens: all flags are compared by each look"
    );
    run.attempt.seen.no_modseq = true;
    let mailboxes = run.store.mailboxes()?;
    run.record(|w| {
        for mailbox in mailboxes {
            let Some(mut cursor) = mailbox.cursor else { continue };
            take_out(&mut cursor);
            w.mailbox(&Mailbox { cursor: Some(cursor), ..mailbox })?;
        }
        w.tx().delete_fact(&meta::MODSEQ_STORED)?;
        w.tx().set_fact(&meta::MODSEQ_STILL, &(mailbox, still))
    })
}

/// Notes that flags were changed in a mailbox: HIGHESTMODSEQ is another one from now on.
pub(in crate::mail) fn note_change(run: &mut Run, mailbox: &Mailbox) -> Result<(), AccountError> {
    let before = mailbox.cursor.and_then(|cursor| cursor.highest_modseq);
    let Some(before) = before.filter(|modseq| *modseq > 0 && !run.attempt.seen.no_modseq) else {
        return Ok(());
    };
    let mut noted = noted(run)?;
    noted.insert(mailbox.id, (before, run.attempt.number));
    keep(run, &noted)
}

/// A mailbox in which an earlier run changed flags, and HIGHESTMODSEQ is what it was before that.
/// (Some servers are a moment behind: this run does not count.)
fn unmoved(
    run: &mut Run,
    listed: &[ListedMailbox],
) -> Result<Option<(MailboxId, u64)>, AccountError> {
    let mut noted = noted(run)?;
    if noted.is_empty() {
        return Ok(None);
    }
    let before = noted.clone();
    for (mailbox, (still, by)) in &before {
        match told(run, listed, *mailbox)? {
            Some(now) if now == *still && *by == run.attempt.number => {
                run.attempt.waits_for_next = true
            }
            Some(now) if now == *still => return Ok(Some((*mailbox, *still))),
            _ => drop(noted.remove(mailbox)),
        }
    }
    if noted.len() < before.len() {
        keep(run, &noted)?;
    }
    Ok(None)
}

fn told(
    run: &Run,
    listed: &[ListedMailbox],
    mailbox: MailboxId,
) -> Result<Option<u64>, AccountError> {
    let Some(known) = run.store.mailbox(mailbox)? else { return Ok(None) };
    let shown = listed.iter().find(|shown| shown.name == known.name);
    Ok(shown.and_then(|shown| shown.gate).and_then(|gate| gate.highest_modseq))
}

fn noted(run: &Run) -> Result<BTreeMap<MailboxId, (u64, i64)>, AccountError> {
    let entries = run.store.list(&meta::MODSEQ_STORED)?.into_iter();
    Ok(entries.map(|(mailbox, modseq, run)| (mailbox, (modseq, run))).collect())
}

fn keep(run: &mut Run, noted: &BTreeMap<MailboxId, (u64, i64)>) -> Result<(), AccountError> {
    let entries = noted.iter().map(|(mailbox, (modseq, run))| (*mailbox, *modseq, *run));
    Ok(run.store.transaction(|tx| tx.set_list(&meta::MODSEQ_STORED, entries.collect()))?)
}
