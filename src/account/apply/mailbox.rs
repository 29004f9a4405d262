//! Makes and removes mailboxes.

use super::{mailbox_of, trouble};
use crate::account::{AccountError, Run};
use crate::reconcile::plan::MailboxStep;
use crate::reconcile::types::{Mailbox, MailboxName};
use crate::remote::imap::{Select, Untagged};

pub(super) async fn apply(run: &mut Run, steps: &[MailboxStep]) -> Result<(), AccountError> {
    for step in steps {
        if run.outside.is_stopping() {
            return Ok(());
        }
        match step {
            MailboxStep::CreateLocal(id) => create_local(run, mailbox_of(run, *id)?)?,
            MailboxStep::CreateRemote(id) => create_remote(run, mailbox_of(run, *id)?).await?,
            MailboxStep::RemoveLocal(id) => remove_local(run, mailbox_of(run, *id)?)?,
            MailboxStep::RemoveRemote(id) => remove_remote(run, mailbox_of(run, *id)?).await?,
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
    run.record(|w| w.mailbox(&Mailbox { local: true, base: true, stamps: None, ..mailbox }))?;
    Ok(())
}

async fn create_remote(run: &mut Run, mailbox: Mailbox) -> Result<(), AccountError> {
    run.asked.insert(mailbox.id);
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

/// Renames the directory into the trash, if no message is left in it.
fn remove_local(run: &mut Run, mailbox: Mailbox) -> Result<(), AccountError> {
    let left = match run.root.list(&mailbox.name) {
        Ok(listing) => listing.len(),
        Err(error) => {
            run.report.skip(mailbox.name.to_string(), error.to_string());
            return Ok(());
        }
    };
    if left > 0 {
        let why = format!("gone on the server; {left} files here are not in step yet");
        run.report.skip(mailbox.name.to_string(), why);
        run.record(|w| w.mailbox(&Mailbox { stamps: None, ..mailbox }))?;
        return Ok(());
    }
    if let Err(error) = run.root.trash_mailbox(&mailbox.name, run.outside.clock.now()) {
        run.report.skip(mailbox.name.to_string(), error.to_string());
        return Ok(());
    }
    run.report.mailboxes += 1;
    run.record(|w| w.tx().delete_mailbox(mailbox.id).map(|_| ()))
}

/// DELETE destroys what arrived since the last look, so a fresh SELECT must show 0 EXISTS.
async fn remove_remote(run: &mut Run, mailbox: Mailbox) -> Result<(), AccountError> {
    let mut ignore = |_: Untagged| {};
    let selected = run.session.select(&mailbox.name, Select::ReadOnly, None, &mut ignore).await;
    let exists = match selected {
        Ok(selected) => selected.gate.messages,
        Err(error) => return trouble(run, &mailbox, error),
    };
    // Deleting the selected mailbox drops the connection on some servers (hazard 8).
    run.session.unselect().await?;
    if exists > 0 {
        let why = format!("its directory is gone; {exists} messages on the server stay for now");
        run.report.skip(mailbox.name.to_string(), why);
        return Ok(());
    }
    // Some servers take the inferiors along, mirrored or not.
    if run.seen.listed.iter().any(|listed| listed.name.is_inferior_of(&mailbox.name)) {
        let why = "its directory is gone; on the server other mailboxes lie below it, so it stays";
        run.report.skip(mailbox.name.to_string(), why);
        return Ok(());
    }
    if let Err(error) = run.session.delete(&mailbox.name).await {
        return trouble(run, &mailbox, error);
    }
    run.report.mailboxes += 1;
    run.record(|w| w.tx().delete_mailbox(mailbox.id).map(|_| ()))
}
