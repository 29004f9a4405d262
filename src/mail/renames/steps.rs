//! Carrying out a rename: its parts, and what is noted of it.

use crate::account::error::AccountError;
use crate::mail::run::Run;
use crate::reconcile::renames::Rename;
use crate::reconcile::types::{Mailbox, MailboxId, MailboxName};
use crate::state::meta;

pub(super) fn done(
    run: &mut Run,
    moved: &[(MailboxId, MailboxName)],
    from: &MailboxName,
    to: &MailboxName,
) {
    tracing::info!(%from, %to, "renamed");
    run.report.mailboxes += 1;
    moved.iter().for_each(|(_, name)| run.report.touch(name));
}

pub(super) fn describe(step: &Rename) -> String {
    match step {
        Rename::Note { moved } => {
            let names: Vec<String> = moved.iter().map(|(_, to)| to.to_string()).collect();
            format!("note what both sides call {}", names.join(", "))
        }
        Rename::Local { from, to, .. } => format!("rename the directory of {from} to {to}"),
        Rename::Remote { from, to, .. } => format!("rename {from} to {to} on the server"),
    }
}

/// Before the effect: what is looked for should its outcome not get written down.
pub(super) fn begin(
    run: &mut Run,
    moved: &[(MailboxId, MailboxName)],
    to: &MailboxName,
) -> Result<(), AccountError> {
    // Once a run, whatever comes of it.
    run.attempt.rename_targets_tried.insert(to.clone());
    run.mark()?;
    let mut mailboxes = Vec::new();
    for (id, name) in moved {
        if let Some(mailbox) = run.store.mailbox(*id)? {
            let shown = run.attempt.seen.listed.iter().find(|shown| shown.name == mailbox.name);
            let shown = shown.and_then(|shown| shown.gate).map(|gate| gate.uid_validity);
            mailboxes.push((Mailbox { renaming: Some(name.clone()), ..mailbox }, shown));
        }
    }
    run.record(|w| {
        for (mailbox, shown) in &mailboxes {
            w.mailbox(mailbox)?;
            let key = meta::renaming(mailbox.id);
            match shown.filter(|uid_validity| *uid_validity != 0) {
                // Numbered anew, it has numbers that the store does not know yet (hazard 195).
                Some(uid_validity) => w.tx().set_fact(&key, &uid_validity)?,
                None => drop(w.tx().delete_fact(&key)?),
            }
        }
        Ok(())
    })
}

/// Subscriptions are by name and stay behind (RFC 9051 §6.3.6); without them many clients
/// would not show the mailbox.
pub(super) async fn resubscribe(
    run: &mut Run,
    moved: &[(MailboxId, MailboxName)],
) -> Result<(), AccountError> {
    for (id, to) in moved {
        let Some(mailbox) = run.store.mailbox(*id)? else { continue };
        let subscribed = run.session.subscribe(to).await;
        for answer in [subscribed, run.session.unsubscribe(&mailbox.name).await] {
            match answer {
                Err(error) if error.ends_session() => return Err(error.into()),
                _ => {}
            }
        }
    }
    Ok(())
}

/// Returns true for a mailbox that only one side has shown so far.
pub(super) fn is_one_sided(mailbox: &Mailbox) -> bool {
    !(mailbox.base || mailbox.local && mailbox.remote)
}

/// Both sides were seen to call them so.
pub(super) fn note(run: &mut Run, moved: &[(MailboxId, MailboxName)]) -> Result<(), AccountError> {
    let (mut noted, mut replaced) = (Vec::new(), Vec::new());
    for (id, to) in moved {
        let other = run.store.mailbox_by_name(to)?;
        match other.filter(|other| !moved.iter().any(|(id, _)| *id == other.id)) {
            // What it was seen to hold is what the renamed one holds (hazard 191).
            Some(other) if is_one_sided(&other) => replaced.push(other.id),
            Some(_) => {
                tracing::info!(%to, "the name is another's still");
                return Ok(());
            }
            None => {}
        }
        if let Some(mailbox) = run.store.mailbox(*id)? {
            tracing::info!(from = %mailbox.name, %to, "called so on both sides");
            noted.push(Mailbox { name: to.clone(), renaming: None, ..mailbox });
        }
    }
    run.report.noted += 1;
    run.record(|w| {
        for other in replaced {
            w.tx().delete_mailbox(other)?;
        }
        // They may pass on their names among each other: first none of them has one.
        for mailbox in &noted {
            let nobodys = MailboxName::new(&format!("//{}", mailbox.id.0));
            w.mailbox(&Mailbox { name: nobodys, ..mailbox.clone() })?;
        }
        noted.iter().try_for_each(|mailbox| {
            w.tx().delete_fact(&meta::renaming(mailbox.id))?;
            w.mailbox(mailbox).map(drop)
        })
    })?;
    // What a run left in `tmp` was not found under the former name (hazard 59).
    noted.iter().try_for_each(|mailbox| crate::mail::observe::clean_tmp(run, mailbox))
}

pub(super) fn target(step: &Rename) -> Option<&MailboxName> {
    match step {
        Rename::Note { .. } => None,
        Rename::Local { to, .. } | Rename::Remote { to, .. } => Some(to),
    }
}
