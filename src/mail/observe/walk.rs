//! The directories of the root, read as the mailboxes that they are.

use std::collections::BTreeSet;

use crate::account::error::AccountError;
use crate::local::{Known, Mailboxes};
use crate::mail::run::Run;

/// Walks that may each show more that is recognised.
const WALKS_MAX: u32 = 4;

/// Every mailbox on disk. Directories of other programs are recognised by what the server
/// listed last; what is doubtful is looked at on neither side.
pub(in crate::mail) fn walk(run: &mut Run) -> Result<Mailboxes, AccountError> {
    let walk = run.root.mailboxes()?;
    recognise(run, walk)
}

/// The same, of a walk that was made before the server was asked.
pub(in crate::mail) fn recognise(
    run: &mut Run,
    mut walk: Mailboxes,
) -> Result<Mailboxes, AccountError> {
    if run.attempt.seen.listed.is_empty() {
        // Not asked yet: nobody can tell.
        return Ok(walk);
    }
    let mailboxes = run.store.mailboxes()?;
    let ids = mailboxes.iter().filter(|m| m.local);
    let ids = ids.filter_map(|m| Some((m.local_id.clone()?, m.name.clone()))).collect();
    let kept = mailboxes.into_iter().filter(|m| m.base || m.remote).map(|m| m.name);
    let listed =
        run.attempt.seen.listed.iter().filter(|m| m.problem.is_none()).map(|m| m.name.clone());
    let excluded = walk.found.iter().map(|m| m.name.clone());
    let excluded = excluded.filter(|name| !(run.settings.selects)(name));
    let (listed, kept, excluded) = (listed.collect(), kept.collect(), excluded.collect());
    let known = Known { listed, kept, ids, excluded };
    for _ in 0..WALKS_MAX {
        let claimed = run.root.claim(&mut walk, &known, !run.attempt.dry_run)?;
        run.attempt.doubtful = claimed.doubtful;
        if !claimed.any {
            return Ok(walk);
        }
        walk = run.root.mailboxes()?;
    }
    // Directories are made as fast as they are read: the next look goes on.
    walk.coverage = crate::reconcile::types::Coverage::Partial;
    run.attempt.doubtful = BTreeSet::new();
    Ok(walk)
}
