//! Which mailboxes the server has. Some servers go on listing a deleted mailbox, without
//! `\Noselect`, while others lie below it: a level above others that cannot be selected in two
//! consecutive runs is treated as `\Noselect` until it can be selected again (hazard 69). Any
//! other mailbox that is listed and refused may be in trouble: nothing is concluded from that.

use crate::account::{AccountError, Run};
use crate::reconcile::types::{Mailbox, MailboxName};
use crate::remote::imap::{Existence, ListedMailbox};

/// Where it is noted that a mailbox of this name cannot be selected.
fn shut_key(name: &MailboxName) -> String {
    format!("shut {}", name.as_str())
}

/// Asks for all mailboxes, with none selected.
pub(in crate::account) async fn list(run: &mut Run) -> Result<Vec<ListedMailbox>, AccountError> {
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
    let mut listed = answer?;
    for mailbox in listed.iter_mut().filter(|m| m.selectable && m.gate.is_none()) {
        let key = shut_key(&mailbox.name);
        if run.store.meta(&key)?.is_none() {
            continue;
        }
        match run.session.exists(&mailbox.name).await {
            Ok(Existence::Exists(_)) => {
                run.store.transaction(|tx| tx.delete_meta(&key).map(drop))?;
            }
            Err(error) if error.ends_session() => return Err(error.into()),
            Ok(_) | Err(_) => mailbox.selectable = false,
        }
    }
    Ok(listed)
}

/// After a look at a listed mailbox was refused: whether it cannot be selected at all, now and
/// in the run before. Notes that.
pub(super) async fn is_shut(run: &mut Run, mailbox: &Mailbox) -> Result<bool, AccountError> {
    let above = run.seen.listed.iter().any(|other| other.name.is_inferior_of(&mailbox.name));
    if mailbox.name.is_inbox() || !above {
        return Ok(false);
    }
    match run.session.exists(&mailbox.name).await {
        Ok(Existence::Gone | Existence::Refused(_)) => {}
        Err(error) if error.ends_session() => return Err(error.into()),
        Ok(Existence::Exists(_)) | Err(_) => return Ok(false),
    }
    let shut = super::remote::refused_before(run, mailbox)?;
    if shut {
        let key = shut_key(&mailbox.name);
        run.store.transaction(|tx| tx.set_meta(&key, "by SELECT"))?;
    }
    Ok(shut)
}
