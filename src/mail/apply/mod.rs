//! Performs steps and records facts.
//!
//! The order below is convenience, not safety: every step that destroys looks, in the session
//! that destroys, at what justifies it. A step that cannot be taken is a skip with its reason;
//! the next look decides anew.

mod append;
mod append_pipeline;
mod bookkeeping;
mod carry;
mod compare;
mod download;
mod expunge;
mod flags;
mod keyword_letters;
mod keywords;
mod local_moves;
mod lock;
mod mailbox;
mod mark;
mod place;
pub(super) mod placing;
mod remove;
pub(super) mod sent;
pub(super) mod steps;
mod transfer;
mod trashing;
mod unlisted_uploads;
mod upload;

pub(super) use bookkeeping::{settle_base, write as note_facts};
pub(super) use compare::{Compared, WaitingFiles};
pub(super) use lock::unlock;
pub(super) use mailbox::{hold_back, name_parents};
pub(super) use mark::take_back;
pub(super) use place::waits_for;
pub(super) use placing::settle;
pub(super) use unlisted_uploads::settle_taken;
pub(super) use upload::revive;

use super::run::Run;
use crate::account::error::AccountError;
use crate::reconcile::Plan;

/// Applies a plan. Gives an error only for what ends the run.
///
/// # Errors
/// A lost connection, a broken store, a root that is gone.
pub(super) async fn apply(run: &mut Run, plan: &Plan) -> Result<(), AccountError> {
    mailbox::apply(run, &plan.mailboxes).await?;
    bookkeeping::apply(run, &plan.steps)?;
    local_moves::apply(run, &plan.steps)?;
    let moved = transfer::apply(run, &plan.steps).await;
    run.go_on(moved).await?;
    let pushed = upload::apply(run, &plan.steps).await;
    run.go_on(pushed).await?;
    let pulled = download::apply(run, &plan.steps).await;
    run.go_on(pulled).await?;
    let flagged = flags::apply(run, &plan.steps).await;
    run.go_on(flagged).await?;
    let removed = remove::apply(run, &plan.steps).await;
    run.go_on(removed).await
}
