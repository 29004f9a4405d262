//! Removing a mailbox on the server. DELETE takes along what arrived since the last look, and
//! nothing deletes a mailbox only where it is empty (RFC 9051 §6.3.5). So it is renamed first,
//! to a name that nobody delivers to: what it holds then brings it back (hazard 186). What a
//! lost connection left under that name is finished by the next run.

use super::error::AccountError;
use super::run::Run;
use crate::reconcile::types::MailboxName;
use crate::remote::RemoteError;
use crate::remote::imap::{ListedMailbox, Select, Session, Untagged};

/// What the name of a mailbox ends with while it is removed. Other devices may see it.
const SUFFIX: &str = "-removed-by-mailtide";

/// What became of a mailbox that should be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Removal {
    /// It is gone.
    Removed,
    /// It holds so many messages, and stays.
    Occupied(u32),
}

/// Removes a mailbox that holds no message.
///
/// # Errors
/// A refusal, or what ends the session.
pub(super) async fn remove(
    session: &mut Session,
    name: &MailboxName,
) -> Result<Removal, RemoteError> {
    let exists = count(session, name).await?;
    if exists > 0 {
        return Ok(Removal::Occupied(exists));
    }
    let apart = MailboxName::new(&format!("{name}{SUFFIX}"));
    let renamed = match session.rename(name, &apart).await {
        Ok(()) => count(session, &apart).await,
        Err(error) => Err(error),
    };
    match renamed {
        Ok(exists) => finish(session, name, &apart, exists).await,
        // Whoever may delete need not have the right to rename (RFC 4314 §4).
        Err(error) if error.is_refusal() => match count(session, name).await? {
            0 => session.delete(name).await.map(|()| Removal::Removed),
            exists => Ok(Removal::Occupied(exists)),
        },
        Err(error) => Err(error),
    }
}

/// Removes what is called `apart` now, if it holds nothing; else gives it its name back.
async fn finish(
    session: &mut Session,
    name: &MailboxName,
    apart: &MailboxName,
    exists: u32,
) -> Result<Removal, RemoteError> {
    let done = match exists {
        0 => session.delete(apart).await.map(|()| Removal::Removed),
        exists => Ok(Removal::Occupied(exists)),
    };
    match &done {
        Ok(Removal::Removed) => {}
        Err(error) if !error.is_refusal() => {}
        _ => session.rename(apart, name).await?,
    }
    done
}

/// How many messages a mailbox holds, as a fresh look tells.
async fn count(session: &mut Session, name: &MailboxName) -> Result<u32, RemoteError> {
    let mut ignore = |_: Untagged| {};
    let selected = session.select(name, Select::ReadOnly, None, &mut ignore).await?;
    // Deleting the selected mailbox drops the connection on some servers (hazard 8).
    session.unselect().await?;
    Ok(selected.gate.messages)
}

/// Finishes what an interrupted removal left on the server; gives whether the list of
/// mailboxes has changed with that. What cannot be finished stays a mailbox like others.
///
/// # Errors
/// What ends the session.
pub(super) async fn settle(
    run: &mut Run,
    listed: &mut Vec<ListedMailbox>,
) -> Result<bool, AccountError> {
    if run.attempt.dry_run {
        listed.retain(|mailbox| former(&mailbox.name).is_none());
        return Ok(false);
    }
    let mut changed = false;
    for mailbox in listed.iter().filter(|mailbox| mailbox.selectable) {
        let Some(name) = former(&mailbox.name) else { continue };
        let is_above = listed.iter().any(|below| below.name.is_inferior_of(&mailbox.name));
        match settle_one(&mut run.session, &name, &mailbox.name, is_above).await {
            Ok(()) => changed = true,
            Err(error) if error.ends_session() => return Err(error.into()),
            Err(error) => tracing::warn!("{} is left as it is: {error}", mailbox.name),
        }
    }
    Ok(changed)
}

/// What lies below goes along with RENAME, also when it was made only a moment before: it gets
/// its name back, and what it lies below as well.
async fn settle_one(
    session: &mut Session,
    name: &MailboxName,
    apart: &MailboxName,
    is_above: bool,
) -> Result<(), RemoteError> {
    if is_above || !apart.as_str().ends_with(SUFFIX) {
        return session.rename(apart, name).await;
    }
    let exists = count(session, apart).await?;
    finish(session, name, apart, exists).await.map(drop)
}

/// The name of a mailbox that has another one while it, or one above it, is removed.
fn former(name: &MailboxName) -> Option<MailboxName> {
    let levels = name.as_str().split('/').map(|level| level.strip_suffix(SUFFIX).unwrap_or(level));
    let former = MailboxName::new(&levels.collect::<Vec<_>>().join("/"));
    (former != *name).then_some(former)
}
