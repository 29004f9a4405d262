//! Asks both sides what changed and writes what was seen into the seen columns.
//!
//! A departure is believed only when every mailbox that the message could have gone to was
//! looked at by a look that began after it was noticed: so after departures both sides are
//! looked at again (hazard 4). Everything here reads the world; only the store is written.

mod absent;
mod attributes;
mod edited;
mod elsewhere;
mod examine;
mod focus;
mod gone;
mod headers;
mod hollow;
mod intake;
mod letters;
pub(super) mod listing;
mod local;
mod members;
mod missed;
mod modseq;
mod names;
mod next;
pub(super) mod passed;
mod remade;
mod remote;
mod reused;
mod rows;
mod scan;
mod twins;
mod unsent;
mod unshown;
mod walk;

use std::collections::BTreeSet;
use std::time::Duration;

pub(super) use edited::{QUIET, reexamine};
pub(super) use local::clean_tmp;
pub(super) use modseq::note_change as note_flags_changed;
pub(super) use remote::note_gone;
pub(super) use walk::{recognise, walk};

use super::run::Run;
use crate::account::error::AccountError;
use crate::local::Mailboxes;
use crate::reconcile::types::{Coverage, MailboxName};
use crate::remote::imap::ListedMailbox;

/// Looks at the same side after which departures are not believed in this run.
const LOOKS_MAX: u32 = 3;
/// The same where much leaves: a wave of departures is waited out for a few seconds.
const WAVE_LOOKS_MAX: u32 = 16;
/// So many departures from the disk in one run are much; fewer are acted upon at once.
const WAVE: usize = 5;
/// How long much is let come to rest before the next look.
const REST: Duration = Duration::from_millis(250);

/// Looks at the disk alone, at what changed there. Gives whether a run has something to do: a
/// mailbox that came or went, a departure, anything that is not agreed on.
///
/// # Errors
/// What ends a run: the root as a whole, the store.
pub(super) async fn disk(run: &mut Run) -> Result<bool, AccountError> {
    let walk = walk(run)?;
    let found = walk.found.iter().map(|directory| &directory.name);
    let found: BTreeSet<MailboxName> =
        found.filter(|name| (run.settings.selects)(name)).cloned().collect();
    let known = run
        .store
        .mailboxes()?
        .into_iter()
        .filter(|mailbox| mailbox.local && !walk.is_unknown(&run.root.dir_of(&mailbox.name)));
    let known: BTreeSet<MailboxName> = known.map(|mailbox| mailbox.name).collect();
    // A rename is found by a run, which asks both sides.
    if walk.coverage == Coverage::Partial || known != found {
        return Ok(true);
    }
    edited::look_at(run)?;
    edited::look(run).await?;
    let left = local::look(run, Some(walk)).await?;
    come_to_rest(left).await;
    Ok(left > 0 || !run.report.skipped.is_empty() || !run.store.unsettled(None, 1)?.is_empty())
}

/// Where much leaves, somebody may be in the middle of taking everything away: the next look is
/// for what that comes to.
async fn come_to_rest(left: usize) {
    if left >= WAVE {
        tokio::time::sleep(REST).await;
    }
}

/// Looks at both sides until no further departure is noticed, at first with what the walk over
/// the root and LIST have just shown.
///
/// # Errors
/// What ends the run: the connection, the root as a whole, the store.
pub(super) async fn observe(
    run: &mut Run,
    walk: Mailboxes,
    listed: Vec<ListedMailbox>,
) -> Result<(), AccountError> {
    let mut first = Some((walk, listed));
    let mut wave = 0;
    for look in 1..=WAVE_LOOKS_MAX {
        let (walk, listed) = first.take().unzip();
        let left = local::look(run, walk).await?;
        let gone = remote::look(run, listed).await?;
        // What is in doubt and was not seen may have been moved to where was looked before.
        let doubtful = look == 1 && run.store.has_restated()?;
        let wider = focus::widen(run)?;
        if left == 0 && !gone && !doubtful && !wider {
            break;
        }
        wave += left;
        come_to_rest(wave).await;
        if look == WAVE_LOOKS_MAX || (look >= LOOKS_MAX && wave < WAVE) {
            tracing::info!("mail leaves while it is looked at; removals wait for the next run");
            run.attempt.seen.local.values_mut().for_each(|coverage| *coverage = Coverage::Partial);
            run.attempt.seen.remote.values_mut().for_each(|coverage| *coverage = Coverage::Partial);
            break;
        }
    }
    edited::look_at(run)?;
    edited::look(run).await?;
    elsewhere::look(run)
}
