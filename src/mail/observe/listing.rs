//! Which mailboxes the server has. Some servers go on listing a deleted mailbox, without
//! `\Noselect`, while others lie below it: a level above others that cannot be selected in two
//! consecutive runs is treated as `\Noselect` until it can be selected again (hazard 69). Any
//! other mailbox that is listed and refused may be in trouble: nothing is concluded from that.

use super::modseq;
use crate::account::error::AccountError;
use crate::mail::delete_mailbox;
use crate::mail::run::Run;
use crate::reconcile::types::{Mailbox, MailboxName};
use crate::remote::imap::{Existence, ListedMailbox, Select, Untagged};
use crate::state::meta;
use crate::state::meta::Shut;

/// How often mailboxes are listed anew after an interrupted removal of one was settled.
const SETTLES: u32 = 3;

/// Asks for all mailboxes, with none selected.
pub(in crate::mail) async fn list(run: &mut Run) -> Result<Vec<ListedMailbox>, AccountError> {
    let mut listed = ask(run).await?;
    for _ in 0..SETTLES {
        if !delete_mailbox::settle(run, &mut listed).await? {
            break;
        }
        listed = ask(run).await?;
    }
    check_ids(run, &mut listed).await?;
    for mailbox in listed.iter_mut().filter(|m| m.selectable && m.gate.is_none()) {
        let key = meta::shut(&mailbox.name);
        if !run.store.has_fact(&key)? {
            continue;
        }
        match run.session.exists(&mailbox.name).await {
            Ok(Existence::Exists(_)) => {
                run.store.transaction(|tx| tx.delete_fact(&key).map(drop))?;
            }
            Err(error) if error.ends_session() => return Err(error.into()),
            Ok(_) | Err(_) => mailbox.selectable = false,
        }
    }
    listed.extend(unlisted_inbox(run, &listed).await?);
    modseq::judge(run, &mut listed)?;
    Ok(listed)
}

async fn ask(run: &mut Run) -> Result<Vec<ListedMailbox>, AccountError> {
    let selects = run.settings.selects.clone();
    // A mailbox that is not mirrored is asked nothing.
    let asks = |name: &MailboxName| selects(name);
    let mut answer = run.session.list_status_of(&asks).await;
    if let Err(error) = &answer
        && error.is_refusal()
        && run.refuses_another_way(error)
    {
        answer = run.session.list_status_of(&asks).await;
    }
    Ok(answer?)
}

/// Asks mailboxes whose MAILBOXID is another one in STATUS for it once more, by EXAMINE: a change
/// makes us forget all that is known of their messages (hazard 98).
async fn check_ids(run: &mut Run, listed: &mut [ListedMailbox]) -> Result<(), AccountError> {
    let mut changed = Vec::new();
    for shown in listed.iter().filter(|m| m.selectable && m.problem.is_none()) {
        let known = run.store.mailbox_by_name(&shown.name)?.and_then(|known| known.object_id);
        if known.zip(shown.object_id.as_ref()).is_some_and(|(was, is)| was != *is) {
            changed.push((shown.name.clone(), shown.object_id.clone()));
        }
    }
    let mut lies = false;
    for (name, told) in &changed {
        let mut ignore = |_: Untagged| {};
        match run.session.select(name, Select::ReadOnly, None, &mut ignore).await {
            Ok(selected) => lies |= selected.object_id.is_some() && selected.object_id != *told,
            Err(error) if error.ends_session() => return Err(error.into()),
            Err(_) => {}
        }
    }
    if !changed.is_empty() {
        run.session.unselect().await?;
    }
    if lies {
        tracing::warn!("MAILBOXID differs in STATUS and SELECT: it is not believed");
        run.session.distrust_mailbox_ids();
        listed.iter_mut().for_each(|mailbox| mailbox.object_id = None);
    }
    Ok(())
}

/// After a look at a listed mailbox was refused: whether it cannot be selected at all, now and
/// in the run before. Notes that.
pub(super) async fn is_shut(run: &mut Run, mailbox: &Mailbox) -> Result<bool, AccountError> {
    let above =
        run.attempt.seen.listed.iter().any(|other| other.name.is_inferior_of(&mailbox.name));
    if mailbox.name.is_inbox() || !above {
        return Ok(false);
    }
    match run.session.exists(&mailbox.name).await {
        Ok(Existence::Gone | Existence::Refused(_)) => {}
        Err(error) if error.ends_session() => return Err(error.into()),
        Ok(Existence::Exists(_)) | Err(_) => return Ok(false),
    }
    let shut = refused_before(run, mailbox)?;
    if shut {
        let key = meta::shut(&mailbox.name);
        run.store.transaction(|tx| tx.set_fact(&key, &Shut::BySelect))?;
    }
    Ok(shut)
}

/// The INBOX where LIST leaves it out: every account has one (RFC 9051 §5.1), so it is asked for by
/// its name (hazard 131).
async fn unlisted_inbox(
    run: &mut Run,
    listed: &[ListedMailbox],
) -> Result<Option<ListedMailbox>, AccountError> {
    let name = MailboxName::new(MailboxName::INBOX);
    if listed.iter().any(|mailbox| mailbox.name.is_inbox()) || !(run.settings.selects)(&name) {
        return Ok(None);
    }
    let gate = match run.session.exists(&name).await {
        Ok(Existence::Exists(gate)) => Some(gate),
        Err(error) if error.ends_session() => return Err(error.into()),
        Ok(Existence::Gone | Existence::Refused(_)) | Err(_) => return Ok(None),
    };
    Ok(Some(ListedMailbox {
        raw: name.as_str().as_bytes().to_vec(),
        name,
        selectable: true,
        special_use: None,
        gate,
        object_id: None,
        problem: None,
    }))
}

/// Whether an earlier run was refused too: a NO without a code may mean a server that is not
/// well, so it is believed only when it is said twice, a run apart. Notes this refusal.
pub(super) fn refused_before(run: &mut Run, mailbox: &Mailbox) -> Result<bool, AccountError> {
    let key = meta::refused(mailbox.id);
    let number = run.attempt.number;
    let before = run.store.fact(&key)?;
    // Only the run just before counts: in between it may have been there.
    let refused = before == Some(number - 1);
    if before != Some(number) {
        run.store.transaction(|tx| match refused {
            true => tx.delete_fact(&key).map(drop),
            false => tx.set_fact(&key, &number),
        })?;
    }
    Ok(refused)
}
