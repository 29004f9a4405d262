//! Mailboxes: created and deleted on either side, mirrored before and after their messages.

use super::plan::MailboxStep;
use super::plan_input::{MailboxView, PlanInput};
use super::row_state::{RowState, state_of};
use super::types::{Coverage, MailboxName, Row};

/// Plans what to do with each mailbox.
#[must_use]
pub fn plan(world: &PlanInput) -> Vec<MailboxStep> {
    // Parents before inferiors for what is made; deepest first for what is removed.
    let mut views: Vec<&MailboxView> = world.mailboxes.values().collect();
    views.sort_by(|a, b| a.mailbox.name.cmp(&b.mailbox.name));
    let made = views.iter().filter_map(|view| make(world, view));
    let removed = views.iter().rev().filter_map(|view| remove(world, view));
    made.chain(removed).collect()
}

/// What is missing on one side and was never agreed, or is still needed.
fn make(world: &PlanInput, view: &MailboxView) -> Option<MailboxStep> {
    let mailbox = &view.mailbox;
    let id = mailbox.id;
    // What this run did not look for, on the side that lacks it, may be there (hazard 77).
    let looked_for = match (mailbox.local, mailbox.remote) {
        // Nor does it get a directory while the server says that it is not there (hazard 69).
        (false, true) => view.local_coverage != Coverage::Partial && !view.refused,
        (true, false) => view.remote_coverage != Coverage::Partial,
        _ => true,
    };
    if !looked_for {
        return None;
    }
    match (mailbox.base, mailbox.local, mailbox.remote) {
        (false, true, true) => Some(MailboxStep::Agree(id)),
        (false, false, true) => Some(MailboxStep::CreateLocal(id)),
        (false, true, false) if !world.policy.pull_only => Some(MailboxStep::CreateRemote(id)),
        // A mailbox that both sides agreed on went away while mail was filed into it: the
        // mail was deleted by nobody and gets its mailbox back.
        (true, true, false) if has_unsent_mail(world, view) && !world.policy.pull_only => {
            Some(MailboxStep::CreateRemote(id))
        }
        (true, false, true) if has_unfetched_mail(world, view) || mailbox.name.is_inbox() => {
            Some(MailboxStep::CreateLocal(id))
        }
        _ => None,
    }
}

/// What one side removed: only once none of its messages is left on the other.
fn remove(world: &PlanInput, view: &MailboxView) -> Option<MailboxStep> {
    let mailbox = &view.mailbox;
    let seen =
        view.local_coverage == Coverage::Complete && view.remote_coverage == Coverage::Complete;
    if !seen || mailbox.name.is_inbox() {
        return None;
    }
    match (mailbox.base, mailbox.local, mailbox.remote) {
        (_, false, false) => Some(MailboxStep::Forget(mailbox.id)),
        (true, true, false) if view.with_local == 0 => Some(MailboxStep::RemoveLocal(mailbox.id)),
        (true, false, true)
            if view.with_remote == 0
                && !world.policy.pull_only
                && !has_inferiors(world, &mailbox.name) =>
        {
            Some(MailboxStep::RemoveRemote(mailbox.id))
        }
        _ => None,
    }
}

/// Mail that was filed here and never sent; and mail in doubt (its numbers changed before the
/// mailbox went), once no mailbox of the server can be where it is.
fn has_unsent_mail(world: &PlanInput, view: &MailboxView) -> bool {
    let id = view.mailbox.id;
    let searched = || {
        let whole =
            |v: &MailboxView| v.remote_coverage != Coverage::Partial && v.remotes_beyond == 0;
        world.mailboxes.values().all(whole) && !world.rows.iter().any(super::coverage::is_unknown)
    };
    let here = |row: &&Row| row.mailbox == id && state_of(row) == RowState::LocalNew;
    world.rows.iter().filter(here).any(|row| row.base.is_none() || searched())
}

/// Mail that arrived on the server after its directory was removed here.
fn has_unfetched_mail(world: &PlanInput, view: &MailboxView) -> bool {
    let id = view.mailbox.id;
    view.remotes_beyond > 0
        || world.rows.iter().any(|row| row.mailbox == id && super::coverage::is_unknown(row))
}

fn has_inferiors(world: &PlanInput, name: &MailboxName) -> bool {
    world.mailboxes.values().any(|v| v.mailbox.remote && v.mailbox.name.is_inferior_of(name))
}
