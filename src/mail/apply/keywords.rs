//! Keywords that a server refuses to store.
//!
//! One refusal may be chance: a mailbox in use, a server that is busy. Refused in several runs, one
//! after the other, a keyword is one that the server does not hold there, and is asked for no more
//! (hazard 158).

use crate::account::error::AccountError;
use crate::mail::run::Run;
use crate::reconcile::types::{Keyword, Mailbox, MailboxId};
use crate::state::meta;

/// Runs that must have been refused.
const RUNS: u32 = 3;
/// So many are kept; of more the oldest are forgotten.
const MOST: usize = 200;

/// Notes that a keyword was refused in a mailbox; whether it was by so many runs that it is not
/// asked for any more.
pub(super) fn note(
    run: &mut Run,
    mailbox: &Mailbox,
    keyword: &Keyword,
) -> Result<bool, AccountError> {
    let mut known = run.store.list(&meta::KEYWORDS_REFUSED)?;
    let is_it = |(id, .., known): &(_, _, _, Keyword)| *id == mailbox.id && known == keyword;
    let before = known.iter().position(is_it).map(|at| known.remove(at));
    let number = run.attempt.number;
    let runs = match before {
        Some((_, last, runs, _)) if last == number => runs,
        Some((_, _, runs, _)) => runs.saturating_add(1),
        None => 1,
    };
    known.push((mailbox.id, number, runs, keyword.clone()));
    known.drain(..known.len().saturating_sub(MOST));
    keep(run, known)?;
    Ok(runs >= RUNS)
}

/// Keywords were stored in a mailbox: what was refused before was chance.
pub(super) fn forget<'k>(
    run: &mut Run,
    mailbox: &Mailbox,
    keywords: impl Iterator<Item = &'k Keyword>,
) -> Result<(), AccountError> {
    let stored: Vec<&Keyword> = keywords.collect();
    let mut known = run.store.list(&meta::KEYWORDS_REFUSED)?;
    let before = known.len();
    known.retain(|(id, .., keyword)| *id != mailbox.id || !stored.contains(&keyword));
    if known.len() < before { keep(run, known) } else { Ok(()) }
}

fn keep(run: &mut Run, refusals: Vec<(MailboxId, i64, u32, Keyword)>) -> Result<(), AccountError> {
    Ok(run.store.transaction(|tx| tx.set_list(&meta::KEYWORDS_REFUSED, refusals))?)
}
