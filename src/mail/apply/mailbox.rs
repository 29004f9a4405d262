//! Makes and removes mailboxes.

use std::collections::BTreeMap;

use super::steps::{mailbox_of, trouble};
use crate::account::error::AccountError;
use crate::local::{Removal, Root};
use crate::mail::delete_mailbox;
use crate::mail::run::Run;
use crate::reconcile::Plan;
use crate::reconcile::plan::MailboxStep;
use crate::reconcile::types::{Coverage, Mailbox, MailboxId, MailboxName};

pub(super) async fn apply(run: &mut Run, steps: &[MailboxStep]) -> Result<(), AccountError> {
    for step in steps {
        if run.environment.is_stopping() {
            return Ok(());
        }
        match step {
            MailboxStep::CreateLocal(id) => create_local(run, mailbox_of(run, *id)?)?,
            MailboxStep::CreateRemote(id) => {
                let mailbox = mailbox_of(run, *id)?;
                let made = create_remote(run, mailbox).await;
                run.go_on(made).await?;
            }
            MailboxStep::RemoveLocal(id) => remove_local(run, mailbox_of(run, *id)?)?,
            MailboxStep::RemoveRemote(id) => {
                let mailbox = mailbox_of(run, *id)?;
                let removed = remove_remote(run, mailbox).await;
                run.go_on(removed).await?;
            }
            MailboxStep::Forget(id) => {
                run.record(|w| w.tx().delete_mailbox(*id))?;
                run.report.noted += 1;
            }
            MailboxStep::Agree(id) => {
                let mailbox = mailbox_of(run, *id)?;
                run.record(|w| w.mailbox(&Mailbox { base: true, ..mailbox }).map(|_| ()))?;
                run.report.noted += 1;
            }
        }
    }
    Ok(())
}

fn create_local(run: &mut Run, mailbox: Mailbox) -> Result<(), AccountError> {
    if let Err(error) = run.root.create_mailbox(&mailbox.name) {
        run.report.skip(mailbox.name.to_string(), error.to_string());
        return Ok(());
    }
    run.report.mailboxes += 1;
    // What is put into it is known to lie here, and not in what takes its place (hazard 51).
    let local_id = Some(Root::new_mailbox_id());
    let marked = Mailbox { local: true, base: true, stamps: None, local_id, ..mailbox };
    let known = run.root.set_mailbox_id(&marked.name, marked.local_id.as_deref().unwrap_or(""));
    let home = known.and_then(|()| run.root.home_of(&marked, &run.root.stamps(&marked.name)?));
    let home = home.and_then(|home| run.root.check_there().map(|()| home));
    match home {
        Ok(home) => {
            run.attempt.seen.local.insert(marked.id, Coverage::Complete);
            run.record(|w| w.mailbox(&Mailbox { home: Some(home), ..marked }))?;
        }
        // The next look finds it, and all that is in it.
        Err(error) => run.report.skip(marked.name.to_string(), error.to_string()),
    }
    Ok(())
}

async fn create_remote(run: &mut Run, mailbox: Mailbox) -> Result<(), AccountError> {
    run.attempt.creations_asked.insert(mailbox.id);
    if let Err(error) = create(run, &mailbox.name).await {
        let problem = Some(error.to_string());
        trouble(run, &mailbox, error)?;
        run.record(|w| w.mailbox(&Mailbox { problem, ..mailbox }))?;
        return Ok(());
    }
    run.report.mailboxes += 1;
    // The next look sees it, or another name; until then nothing is agreed and nothing pushed.
    run.record(|w| w.mailbox(&Mailbox { base: false, remote: false, problem: None, ..mailbox }))?;
    Ok(())
}

/// CREATE and SUBSCRIBE; a mailbox that is not subscribed is invisible in many clients.
pub(super) async fn create(
    run: &mut Run,
    name: &MailboxName,
) -> Result<(), crate::remote::RemoteError> {
    run.session.create(name).await?;
    match run.session.subscribe(name).await {
        Err(error) if error.ends_session() => Err(error),
        _ => Ok(()),
    }
}

/// Removes the directory, if no message is left in it.
fn remove_local(run: &mut Run, mailbox: Mailbox) -> Result<(), AccountError> {
    let now_s = run.environment.clock.now();
    // What cannot be read is not empty.
    let looked = run.root.list(&mailbox.name);
    match looked.and_then(|_| run.root.remove_mailbox(&mailbox.name, now_s)) {
        Ok(Removal::Removed | Removal::Absent) => {
            run.report.mailboxes += 1;
            run.record(|w| w.tx().delete_mailbox(mailbox.id).map(|_| ()))
        }
        Ok(Removal::Occupied) => {
            let why = "gone on the server; its local files are not synced yet";
            run.report.skip(mailbox.name.to_string(), why);
            run.record(|w| w.mailbox(&Mailbox { stamps: None, ..mailbox }).map(|_| ()))
        }
        Err(error) => {
            run.report.skip(mailbox.name.to_string(), error.to_string());
            Ok(())
        }
    }
}

/// Why a mailbox that was removed here stays on the server.
const PARENT: &str = "its directory was removed here; on the server it stays, empty, because \
                      other mailboxes lie below it";

/// Takes out of a plan what is better not done to mailboxes for now.
pub(in crate::mail) fn hold_back(run: &Run, plan: &mut Plan) -> Result<(), AccountError> {
    // There may be no mailbox of that name (hazard 151).
    plan.mailboxes.retain(|step| match step {
        MailboxStep::CreateLocal(id) => !run.attempt.seen.shut.contains(id),
        _ => true,
    });
    leave_parents(run, plan)
}

/// Leaves mailboxes in place that have others below them, mirrored or not, or will have: DELETE
/// takes those along on some servers (hazard 69), and RENAME does on all (hazard 186).
fn leave_parents(run: &Run, plan: &mut Plan) -> Result<(), AccountError> {
    if !plan.mailboxes.iter().any(|step| matches!(step, MailboxStep::RemoveRemote(_))) {
        return Ok(());
    }
    let known: BTreeMap<MailboxId, MailboxName> =
        run.store.mailboxes()?.into_iter().map(|mailbox| (mailbox.id, mailbox.name)).collect();
    let made = plan.mailboxes.iter().filter_map(|step| match step {
        MailboxStep::CreateRemote(id) => known.get(id).cloned(),
        _ => None,
    });
    let made: Vec<MailboxName> = made.collect();
    let is_above = |name: &MailboxName| {
        has_inferiors(run, name) || made.iter().any(|below| below.is_inferior_of(name))
    };
    plan.mailboxes.retain(|step| match step {
        MailboxStep::RemoveRemote(id) => known.get(id).is_none_or(|name| !is_above(name)),
        _ => true,
    });
    Ok(())
}

/// Names the mailboxes that were left in place so, for `status`.
pub(in crate::mail) fn name_parents(run: &mut Run) -> Result<(), AccountError> {
    for mailbox in run.store.mailboxes()? {
        let stays = (mailbox.base, mailbox.local, mailbox.remote) == (true, false, true)
            && has_inferiors(run, &mailbox.name)
            && run.store.remote_count(mailbox.id)? == 0;
        let problem = match mailbox.problem.as_deref() {
            None if stays => Some(PARENT.to_owned()),
            Some(PARENT) if !stays => None,
            _ => continue,
        };
        run.record(|w| w.mailbox(&Mailbox { problem, ..mailbox }))?;
    }
    Ok(())
}

fn has_inferiors(run: &Run, name: &MailboxName) -> bool {
    run.attempt.seen.listed.iter().any(|listed| listed.name.is_inferior_of(name))
}

async fn remove_remote(run: &mut Run, mailbox: Mailbox) -> Result<(), AccountError> {
    match delete_mailbox::remove(&mut run.session, &mailbox.name).await {
        Ok(delete_mailbox::Removal::Removed) => {
            run.report.mailboxes += 1;
            run.record(|w| w.tx().delete_mailbox(mailbox.id).map(|_| ()))
        }
        Ok(delete_mailbox::Removal::Occupied(exists)) => {
            let remain = if exists == 1 { "message remains" } else { "messages remain" };
            let why = format!("its directory is gone; {exists} {remain} on the server");
            run.report.skip(mailbox.name.to_string(), why);
            Ok(())
        }
        Err(error) => trouble(run, &mailbox, error),
    }
}
