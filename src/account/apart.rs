//! Removing a mailbox on the server. DELETE takes along what arrived since the last look, and
//! nothing deletes a mailbox only where it is empty (RFC 9051 §6.3.5). So it is renamed first,
//! to a name that nobody delivers to: what it holds then brings it back (hazard 186). What a
//! lost connection left under that name is finished by the next run.

use super::error::AccountError;
use super::run::Run;
use crate::reconcile::types::MailboxName;
use crate::remote::RemoteError;
use crate::remote::imap::{Existence, ListedMailbox, Select, Session, Untagged};

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
    match session.rename(name, &apart).await {
        Ok(()) => {}
        // Whoever may delete need not have the right to rename (RFC 4314 §4).
        Err(error) if error.is_refusal() => return in_place(session, name).await,
        Err(error) => return Err(error),
    }
    match finish(session, name, &apart).await {
        // The server said that it renamed the mailbox, and did not.
        Err(error)
            if error.is_refusal() && !has(session, &apart).await? && has(session, name).await? =>
        {
            in_place(session, name).await
        }
        done => done,
    }
}

/// Removes a mailbox under its own name, after one more look.
async fn in_place(session: &mut Session, name: &MailboxName) -> Result<Removal, RemoteError> {
    match count(session, name).await? {
        0 => session.delete(name).await.map(|()| Removal::Removed),
        exists => Ok(Removal::Occupied(exists)),
    }
}

async fn has(session: &mut Session, name: &MailboxName) -> Result<bool, RemoteError> {
    Ok(matches!(session.exists(name).await?, Existence::Exists(_)))
}

/// Removes what is called `apart` now, if it holds nothing; else, or where that is refused, gives
/// it its name back.
async fn finish(
    session: &mut Session,
    name: &MailboxName,
    apart: &MailboxName,
) -> Result<Removal, RemoteError> {
    let done = match count(session, apart).await {
        Ok(0) => session.delete(apart).await.map(|()| Removal::Removed),
        Ok(exists) => Ok(Removal::Occupied(exists)),
        Err(error) => Err(error),
    };
    match &done {
        Ok(Removal::Removed) => return done,
        Err(error) if !error.is_refusal() => return done,
        _ => {}
    }
    match session.rename(apart, name).await {
        // Somebody made the mailbox anew. The next run tries once more.
        Err(error) if error.is_refusal() => tracing::warn!("{apart} keeps its name: {error}"),
        renamed => renamed?,
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
    if run.settings.pull_only {
        // Nothing is changed there: whoever renamed it settles it.
        return Ok(false);
    }
    let mut changed = false;
    for mailbox in listed.iter().filter(|mailbox| mailbox.selectable) {
        let Some(name) = former(&mailbox.name) else { continue };
        // What lies below another one gets its name back with that one.
        let is_below = |above: &ListedMailbox| {
            let is_meant = above.selectable && former(&above.name).is_some();
            is_meant && mailbox.name.is_inferior_of(&above.name)
        };
        if listed.iter().any(is_below) {
            continue;
        }
        let is_above = listed.iter().any(|below| below.name.is_inferior_of(&mailbox.name));
        let settled = settle_one(&mut run.session, &name, &mailbox.name, is_above).await;
        // Whatever was answered, some of it may have been done.
        changed = true;
        match settled {
            Err(error) if error.ends_session() => return Err(error.into()),
            Err(error) => tracing::warn!("{} is left as it is: {error}", mailbox.name),
            Ok(()) => {}
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
    finish(session, name, apart).await.map(drop)
}

/// The name of a mailbox that has another one while it, or one above it, is removed.
fn former(name: &MailboxName) -> Option<MailboxName> {
    let levels = name.as_str().split('/').map(|level| level.strip_suffix(SUFFIX).unwrap_or(level));
    let former = MailboxName::new(&levels.collect::<Vec<_>>().join("/"));
    (former != *name).then_some(former)
}
