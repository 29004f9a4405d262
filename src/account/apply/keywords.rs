//! Keywords that a server refuses to store.
//!
//! One refusal may be chance: a mailbox in use, a server that is busy. Refused in several runs, one
//! after the other, a keyword is one that the server does not hold there, and is asked for no more
//! (hazard 158).

use crate::account::error::AccountError;
use crate::account::run::Run;
use crate::reconcile::types::{Keyword, Mailbox, MailboxId};

/// Where it is kept in which mailboxes which keywords were refused: by which run last, and by how
/// many.
const KEY: &str = "keywords_refused";
/// Runs that must have been refused.
const RUNS: u32 = 3;
/// So many are kept; of more the oldest are forgotten.
const MOST: usize = 200;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Refusal {
    mailbox: MailboxId,
    keyword: Keyword,
    run: i64,
    runs: u32,
}

/// Notes that a keyword was refused in a mailbox; whether it was by so many runs that it is not
/// asked for any more.
pub(super) fn note(
    run: &mut Run,
    mailbox: &Mailbox,
    keyword: &Keyword,
) -> Result<bool, AccountError> {
    let mut known = load(run)?;
    let is_it = |refusal: &Refusal| refusal.mailbox == mailbox.id && refusal.keyword == *keyword;
    let before = known.iter().position(is_it).map(|at| known.remove(at));
    let number = run.attempt.number;
    let runs = match before {
        Some(before) if before.run == number => before.runs,
        Some(before) => before.runs.saturating_add(1),
        None => 1,
    };
    known.push(Refusal { mailbox: mailbox.id, keyword: keyword.clone(), run: number, runs });
    let surplus = known.len().saturating_sub(MOST);
    keep(run, &known[surplus..])?;
    Ok(runs >= RUNS)
}

/// Keywords were stored in a mailbox: what was refused before was chance.
pub(super) fn forget<'k>(
    run: &mut Run,
    mailbox: &Mailbox,
    keywords: impl Iterator<Item = &'k Keyword>,
) -> Result<(), AccountError> {
    let stored: Vec<&Keyword> = keywords.collect();
    let mut known = load(run)?;
    let before = known.len();
    known.retain(|known| known.mailbox != mailbox.id || !stored.contains(&&known.keyword));
    if known.len() < before { keep(run, &known) } else { Ok(()) }
}

fn load(run: &Run) -> Result<Vec<Refusal>, AccountError> {
    let text = run.store.meta(KEY)?.unwrap_or_default();
    Ok(text.lines().filter_map(parse).collect())
}

fn parse(line: &str) -> Option<Refusal> {
    let mut words = line.splitn(4, ' ');
    let mailbox = MailboxId(words.next()?.parse().ok()?);
    let (run, runs) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    Some(Refusal { mailbox, keyword: Keyword::new(words.next()?), run, runs })
}

fn keep(run: &mut Run, refusals: &[Refusal]) -> Result<(), AccountError> {
    let line = |refusal: &Refusal| {
        let Refusal { mailbox, keyword, run, runs } = refusal;
        format!("{} {run} {runs} {}", mailbox.0, keyword.as_str())
    };
    let text = refusals.iter().map(line).collect::<Vec<_>>().join("\n");
    run.store.transaction(|tx| match text.is_empty() {
        true => tx.delete_meta(KEY).map(drop),
        false => tx.set_meta(KEY, &text),
    })?;
    Ok(())
}
