//! Asks both sides what changed and writes what was seen into the seen columns.
//!
//! A departure is believed only when every mailbox that the message could have gone to was
//! looked at by a look that began after it was noticed: so after departures both sides are
//! looked at again (hazard 4). Everything here reads the world; only the store is written.

mod attributes;
mod edited;
mod elsewhere;
mod intake;
mod local;
mod names;
mod remote;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{AccountError, Run, renames};
use crate::reconcile::types::{MailboxId, MailboxName, Reach, RowId};
use crate::remote::imap::ListedMailbox;

pub(super) use attributes::HEADER_MAX;
pub(super) use local::{QUIET, reexamine};
pub(super) use remote::note_gone;

/// Looks at the same side after which departures are not believed in this run.
const LOOKS_MAX: u32 = 3;
/// So many departures from the disk in one look are much; fewer are acted upon at once.
const WAVE: usize = 5;
/// How long much is let come to rest before the next look.
const REST: Duration = Duration::from_millis(250);

/// What the last look saw, beside the columns in the store.
#[derive(Debug, Default)]
pub struct Seen {
    /// How far the walk over the root reached.
    pub walk: Reach,
    /// How far the look at each directory reached.
    pub local: BTreeMap<MailboxId, Reach>,
    /// How far the look at each mailbox on the server reached.
    pub remote: BTreeMap<MailboxId, Reach>,
    /// What LIST said, mirrored or not.
    pub listed: Vec<ListedMailbox>,
    /// Directories that are not mirrored.
    pub excluded: BTreeSet<MailboxName>,
    /// Rows whose file was found in a directory that is not mirrored.
    pub outside: BTreeMap<RowId, MailboxName>,
}

/// Looks at the disk alone, at what changed there. Gives whether a run has something to do: a
/// mailbox that came or went, a departure, anything that is not agreed on.
///
/// # Errors
/// What ends a run: the root as a whole, the store.
pub(super) async fn disk(run: &mut Run) -> Result<bool, AccountError> {
    let walk = run.root.mailboxes()?;
    let found = walk.found.iter().map(|directory| &directory.name);
    let found: BTreeSet<MailboxName> =
        found.filter(|name| (run.settings.selects)(name)).cloned().collect();
    let known = run.store.mailboxes()?.into_iter().filter(|mailbox| mailbox.local);
    let known: BTreeSet<MailboxName> = known.map(|mailbox| mailbox.name).collect();
    // A rename is found by a run, which asks both sides.
    if walk.reach == Reach::Partial || known != found {
        return Ok(true);
    }
    edited::look_at(run)?;
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

/// Looks at both sides until no further departure is noticed.
///
/// # Errors
/// What ends the run: the connection, the root as a whole, the store.
pub async fn observe(run: &mut Run) -> Result<(), AccountError> {
    let mut first = Some(renames::settle(run).await?);
    for look in 1..=LOOKS_MAX {
        let (walk, listed) = first.take().map(|seen| (seen.walk, seen.listed)).unzip();
        let left = local::look(run, walk).await?;
        let gone = remote::look(run, listed).await?;
        if left == 0 && !gone {
            break;
        }
        come_to_rest(left).await;
        if look == LOOKS_MAX {
            tracing::info!("mail leaves while it is looked at; removals wait for the next run");
            run.seen.local.values_mut().for_each(|reach| *reach = Reach::Partial);
            run.seen.remote.values_mut().for_each(|reach| *reach = Reach::Partial);
        }
    }
    edited::look_at(run)?;
    edited::look(run)?;
    elsewhere::look(run)
}
