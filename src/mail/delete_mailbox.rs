//! Removal of a mailbox on the server. DELETE also deletes mail that arrived since the last look,
//! and IMAP has no DELETE for empty mailboxes only (RFC 9051 §6.3.5). So the mailbox is first
//! renamed to a name that nobody delivers to; if it then holds a message, it gets its name back
//! (hazard 186). The next run finishes a removal that lost its connection.

use super::run::Run;
use crate::account::error::AccountError;
use crate::reconcile::types::MailboxName;
use crate::remote::RemoteError;
use crate::remote::imap::{Existence, ListedMailbox, Select, Session, UidSet, Untagged};

/// Suffix of the name of a mailbox while it is being removed. Other devices may see it.
const SUFFIX: &str = "-removed-by-mailtide";

/// Result of removing a mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Removal {
    /// The mailbox is gone.
    Removed,
    /// The mailbox holds this many messages, and stays.
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
    match give_back(session, name, apart, false).await {
        Err(error) if error.is_refusal() => tracing::warn!("{apart} keeps its name: {error}"),
        given => drop(given?),
    }
    done
}

/// Gives a mailbox its name back, or its messages to the mailbox that somebody created under that
/// name again. Returns true if it was renamed. `is_above`: others lie below it, so it is not
/// deleted.
async fn give_back(
    session: &mut Session,
    name: &MailboxName,
    apart: &MailboxName,
    is_above: bool,
) -> Result<bool, RemoteError> {
    match session.rename(apart, name).await {
        Err(error) if error.is_refusal() && has(session, name).await? => {}
        renamed => return renamed.map(|()| true),
    }
    if count(session, apart).await? > 0 {
        move_all(session, apart, name).await?;
    }
    if !is_above {
        session.delete(apart).await?;
    }
    Ok(false)
}

/// Moves all messages of a mailbox to another one.
///
/// # Errors
/// `Unsupported` without MOVE; a refusal, also where some messages stay; what ends the session.
async fn move_all(
    session: &mut Session,
    from: &MailboxName,
    to: &MailboxName,
) -> Result<(), RemoteError> {
    let mut ignore = |_: Untagged| {};
    session.select(from, Select::ReadWrite, None, &mut ignore).await?;
    session.mv(&UidSet::all(), to, &mut ignore).await?;
    match count(session, from).await? {
        0 => Ok(()),
        left => Err(RemoteError::Unsupported { doing: format!("moving {left} messages") }),
    }
}

/// Number of messages in a mailbox, by a new EXAMINE.
async fn count(session: &mut Session, name: &MailboxName) -> Result<u32, RemoteError> {
    let mut ignore = |_: Untagged| {};
    let selected = session.select(name, Select::ReadOnly, None, &mut ignore).await?;
    // Deleting the selected mailbox drops the connection on some servers (hazard 8).
    session.unselect().await?;
    Ok(selected.gate.messages)
}

/// Finishes removals that were interrupted, and returns whether the list of mailboxes may have
/// changed. A mailbox for which that is refused is mirrored like any other, under the name it has.
///
/// # Errors
/// A lost connection, or another error that ends the session.
pub(super) async fn settle(
    run: &mut Run,
    listed: &mut Vec<ListedMailbox>,
) -> Result<bool, AccountError> {
    if run.attempt.dry_run {
        listed.retain(|mailbox| former(&mailbox.name).is_none());
        return Ok(false);
    }
    if run.settings.pull_only {
        // This device changes nothing on the server; the one that renamed the mailbox does.
        return Ok(false);
    }
    let mut left: Vec<&MailboxName> =
        listed.iter().filter(|mailbox| mailbox.selectable).map(|mailbox| &mailbox.name).collect();
    left.retain(|apart| former(apart).is_some());
    // RENAME takes the mailboxes below along (RFC 9051 §6.3.6): those above come first.
    left.sort();
    let mut renamed: Vec<&MailboxName> = Vec::new();
    for apart in &left {
        let Some(name) = former(apart) else { continue };
        if renamed.iter().any(|above| apart.is_inferior_of(above)) {
            continue;
        }
        let is_above = listed.iter().any(|below| below.name.is_inferior_of(apart));
        let settled = if is_above || !apart.as_str().ends_with(SUFFIX) {
            give_back(&mut run.session, &name, apart, is_above).await
        } else {
            finish(&mut run.session, &name, apart).await.map(|_| false)
        };
        match settled {
            Err(error) if error.ends_session() => return Err(error.into()),
            Err(error) => tracing::warn!("{apart} is left as it is: {error}"),
            Ok(is_renamed) => renamed.extend(is_renamed.then_some(*apart)),
        }
    }
    // Whatever was answered, some of it may have been done.
    Ok(!left.is_empty())
}

/// Former name of a mailbox that was renamed because it, or one above it, is being removed.
fn former(name: &MailboxName) -> Option<MailboxName> {
    let levels = name.as_str().split('/').map(|level| level.strip_suffix(SUFFIX).unwrap_or(level));
    let former = MailboxName::new(&levels.collect::<Vec<_>>().join("/"));
    (former != *name).then_some(former)
}
