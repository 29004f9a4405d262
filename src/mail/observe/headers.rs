//! Headers of new messages, also where a session gives none any more after one that it refused.
//!
//! That message may have broken the session: a fresh connection is asked for another one first. If
//! it gives that, what was refused is asked for by halves, each part that breaks its session over a
//! connection of its own (hazard 90). What cannot be had pairs nothing; its body is compared.

use std::collections::{BTreeMap, VecDeque};

use crate::account::error::AccountError;
use crate::account::header::{HEADER_MAX, is_whole_header};
use crate::local::header;
use crate::mail::run::Run;
use crate::reconcile::types::{HeaderKeys, MailboxId, Uid};
use crate::remote::RemoteError;
use crate::remote::imap::{Command, FetchRow, Select, Thing, UidSet, Untagged};

/// Headers that came.
type Headers = BTreeMap<Uid, HeaderKeys>;

/// Keys of the headers that came as they should. One that is cut off pairs nothing, and one that
/// does not end where it should is not asked for again in this run (hazard 67).
pub(super) async fn headers_of(
    run: &mut Run,
    mailbox: MailboxId,
    set: &UidSet,
    rows: &BTreeMap<Uid, FetchRow>,
) -> Result<Headers, AccountError> {
    let mut headers = Headers::new();
    let asked: UidSet =
        set.iter().filter(|uid| !run.attempt.headless.contains(&(mailbox, *uid))).collect();
    let mut queue = VecDeque::from([asked]);
    while let Some(part) = queue.pop_front() {
        let Err(error) = fetch(run, mailbox, &part, rows, &mut headers).await else { continue };
        let left: UidSet = part.iter().filter(|uid| !headers.contains_key(uid)).collect();
        let left = left.difference(&resting(run, mailbox)?);
        if !error.is_refusal() || left.is_empty() || !run.renew().await? {
            return Err(error.into());
        }
        if !select_again(run, mailbox).await? {
            return Err(error.into());
        }
        if left.len() == 1 {
            if headers.is_empty() {
                return Err(error.into());
            }
            set_aside(run, mailbox, left, &error)?;
            continue;
        }
        // What was not refused first tells whether the fresh connection gives anything.
        let last = left.last().map(|last| UidSet::from_range(last, last)).unwrap_or_default();
        let first = left.first().map(|first| UidSet::from_range(first, first)).unwrap_or_default();
        if fetch(run, mailbox, &last, rows, &mut headers).await.is_err() {
            let is_there = run.renew().await? && select_again(run, mailbox).await?;
            if !is_there || fetch(run, mailbox, &first, rows, &mut headers).await.is_err() {
                return Err(error.into());
            }
        }
        let left: UidSet = left.iter().filter(|uid| !headers.contains_key(uid)).collect();
        let half = usize::try_from(left.len() / 2).unwrap_or(0);
        let (low, high): (Vec<_>, Vec<_>) = left.iter().enumerate().partition(|(i, _)| *i < half);
        let set = |some: Vec<(usize, Uid)>| some.into_iter().map(|(_, uid)| uid).collect();
        queue.push_front(set(high));
        queue.push_front(set(low));
        queue.retain(|set: &UidSet| !set.is_empty());
    }
    Ok(headers)
}

async fn fetch(
    run: &mut Run,
    mailbox: MailboxId,
    set: &UidSet,
    rows: &BTreeMap<Uid, FetchRow>,
    headers: &mut Headers,
) -> Result<(), RemoteError> {
    let mut sink = |uid: Uid, bytes: &[u8]| {
        let size = rows.get(&uid).and_then(|row| row.size);
        match is_whole_header(bytes, size) {
            true => drop(headers.insert(uid, header::keys(bytes))),
            false => drop(headers.remove(&uid)),
        }
    };
    let fetched = run.session.fetch_headers(set, HEADER_MAX, &mut sink).await;
    if let Err(RemoteError::Framing { uid, .. }) = &fetched {
        match uid {
            Some(uid) => drop(run.attempt.headless.insert((mailbox, *uid))),
            None => run.attempt.headless.extend(set.iter().map(|uid| (mailbox, uid))),
        }
    }
    fetched
}

/// Selects the mailbox on a fresh connection. False where it cannot be gone on with.
async fn select_again(run: &mut Run, mailbox: MailboxId) -> Result<bool, AccountError> {
    let Some(mailbox) = run.store.mailbox(mailbox)? else { return Ok(false) };
    let how = if run.settings.pull_only { Select::ReadOnly } else { Select::ReadWrite };
    let mut ignore = |_: Untagged| {};
    let selected = run.session.select(&mailbox.name, how, None, &mut ignore).await?;
    let validity = mailbox.cursor.map(|cursor| cursor.uid_validity);
    Ok(validity.is_none_or(|validity| validity == selected.gate.uid_validity))
}

/// Messages whose headers are not asked for now.
fn resting(run: &Run, mailbox: MailboxId) -> Result<UidSet, AccountError> {
    let Some(mailbox) = run.store.mailbox(mailbox)? else { return Ok(UidSet::default()) };
    let validity = run.session.uid_validity();
    Ok(run.suspects.lock().resting(Command::Headers, &mailbox.name, validity))
}

/// One message broke its session, alone: it is asked for ever more rarely.
fn set_aside(
    run: &mut Run,
    mailbox: MailboxId,
    uids: UidSet,
    error: &RemoteError,
) -> Result<(), AccountError> {
    run.attempt.headless.extend(uids.iter().map(|uid| (mailbox, uid)));
    let Some(mailbox) = run.store.mailbox(mailbox)? else { return Ok(()) };
    let uid_validity = run.session.uid_validity();
    let thing = Thing { uid_validity, uids, ..Thing::whole(Command::Headers, Some(&mailbox.name)) };
    let mut suspects = run.suspects.lock();
    let words = error.to_string();
    // Refused over two connections.
    suspects.refused(&thing, &words);
    suspects.refused(&thing, &words);
    Ok(())
}
