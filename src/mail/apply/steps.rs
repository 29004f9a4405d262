//! What the steps of a plan have in common: they are picked by mailbox, and are made in a mailbox
//! that is selected.

use std::collections::BTreeMap;

use crate::account::error::AccountError;
use crate::account::progress::{Event, Way};
use crate::mail::run::Run;
use crate::mail::select::choose;
use crate::reconcile::Step;
use crate::reconcile::types::{Mailbox, MailboxId, Row, RowId};
use crate::remote::RemoteError;
use crate::remote::imap::Command;

/// Steps picked from a plan, with their rows, by the mailbox of a row.
pub(super) fn grouped<T>(
    run: &Run,
    steps: &[Step],
    pick: impl Fn(&Step) -> Option<(RowId, T)>,
) -> Result<BTreeMap<MailboxId, Vec<(Row, T)>>, AccountError> {
    let mut out: BTreeMap<MailboxId, Vec<(Row, T)>> = BTreeMap::new();
    for (id, picked) in steps.iter().filter_map(pick) {
        if let Some(row) = run.store.row(id)? {
            out.entry(row.mailbox).or_default().push((row, picked));
        }
    }
    Ok(out)
}

/// Tells how many bodies of which mailboxes are to travel, before the first one does.
pub(super) fn announce(
    run: &Run,
    way: Way,
    wanted: &BTreeMap<MailboxId, Vec<(Row, ())>>,
) -> Result<(), AccountError> {
    for (id, rows) in wanted {
        let mailbox = mailbox_of(run, *id)?;
        let words = rows.iter().filter_map(|(row, ())| row.words.as_ref());
        // The sizes are a server's words: together they may be anything.
        let octets = words.fold(0_u64, |sum, words| sum.saturating_add(words.size));
        let (mailbox, messages) = (&mailbox.name, rows.len() as u64);
        run.environment.progress.tell(Event::Planned { mailbox, way, messages, octets });
    }
    Ok(())
}

pub(super) fn mailbox_of(run: &Run, id: MailboxId) -> Result<Mailbox, AccountError> {
    let mut mailbox = run.store.mailbox(id)?.unwrap_or_else(|| {
        // Forgotten within this round: nothing of it can be addressed any more.
        Mailbox::new(crate::reconcile::types::MailboxName::new(""))
    });
    if run.attempt.unread_tables.contains(&id) {
        // New names there get no letters.
        mailbox.keyword_table.clear();
    }
    Ok(mailbox)
}

/// The rows whose bodies a plan fetches, by mailbox.
pub(in crate::mail) fn to_fetch(
    run: &Run,
    steps: &[Step],
) -> Result<BTreeMap<MailboxId, Vec<Row>>, AccountError> {
    let picked = grouped(run, steps, |step| match step {
        Step::Fetch(row) => Some((*row, ())),
        _ => None,
    })?;
    let rows = |rows: Vec<(Row, ())>| rows.into_iter().map(|(row, ())| row).collect();
    Ok(picked.into_iter().map(|(id, picked)| (id, rows(picked))).collect())
}

/// Selects a mailbox for changes, if it is still the one that was planned for.
pub(super) async fn select(run: &mut Run, mailbox: &Mailbox) -> Result<bool, AccountError> {
    let refused = choose(&mut run.session, mailbox).await?;
    let rests = run.suspects.lock().why_not(Command::Select, Some(&mailbox.name)).is_some();
    if let Some(why) = refused.clone().filter(|_| !rests) {
        run.report.skip(mailbox.name.to_string(), why);
    }
    Ok(refused.is_none())
}

/// An error that concerns one mailbox is a skip; one that ends the session ends the run.
pub(super) fn trouble(
    run: &mut Run,
    mailbox: &Mailbox,
    error: RemoteError,
) -> Result<(), AccountError> {
    if error.ends_session() {
        return Err(error.into());
    }
    run.note_refusal(&error);
    // What a connection was lost at is named as such.
    if matches!(error, RemoteError::SetAside { .. }) {
        return Ok(());
    }
    run.report.skip(mailbox.name.to_string(), error.to_string());
    Ok(())
}
