//! Performs steps and records facts.
//!
//! The order below is convenience, not safety: every step that destroys looks, in the session
//! that destroys, at what justifies it. A step that cannot be taken is a skip with its reason;
//! the next look decides anew.

mod carry;
mod compare;
mod fetch;
mod file;
mod flags;
mod keywords;
mod lanes;
mod letters;
mod lock;
mod mailbox;
mod mark;
mod note;
mod place;
mod pull;
mod push;
mod remove;
pub(super) mod sizes;
mod taken;
mod transfer;
mod trashing;
mod upload;
mod window;

use std::collections::BTreeMap;

pub(super) use compare::{Compared, WaitingFiles};
pub(super) use lanes::Lanes;
pub(super) use lock::unlock;
pub(super) use mailbox::{hold_back, name_parents};
pub(super) use mark::take_back;
pub(super) use note::{settle_base, write as note_facts};
pub(super) use place::{Absence, settle, waits_for};
pub(super) use push::{claimed, is_for_now, revive};
pub(super) use taken::settle_taken;

use super::error::AccountError;
use super::progress::{Event, Way};
use super::run::Run;
use crate::reconcile::types::{Mailbox, MailboxId, Row, RowId};
use crate::reconcile::{Plan, Step};
use crate::remote::RemoteError;
use crate::remote::imap::{Command, Counters, Select, Session, Untagged};

/// Applies a plan. Gives an error only for what ends the run.
///
/// # Errors
/// A lost connection, a broken store, a root that is gone.
pub(super) async fn apply(run: &mut Run, plan: &Plan) -> Result<(), AccountError> {
    mailbox::apply(run, &plan.mailboxes).await?;
    note::apply(run, &plan.steps)?;
    file::apply(run, &plan.steps)?;
    let moved = transfer::apply(run, &plan.steps).await;
    run.go_on(moved).await?;
    let pushed = push::apply(run, &plan.steps).await;
    run.go_on(pushed).await?;
    let pulled = pull::apply(run, &plan.steps).await;
    run.go_on(pulled).await?;
    let flagged = flags::apply(run, &plan.steps).await;
    run.go_on(flagged).await?;
    let removed = remove::apply(run, &plan.steps).await;
    run.go_on(removed).await
}

/// The rows whose bodies a plan fetches, by mailbox.
pub(super) fn to_fetch(
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

/// Steps picked from a plan, with their rows, by the mailbox of a row.
fn grouped<T>(
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
fn announce(
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
        run.outside.progress.tell(Event::Planned { mailbox, way, messages, octets });
    }
    Ok(())
}

fn mailbox_of(run: &Run, id: MailboxId) -> Result<Mailbox, AccountError> {
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

impl Run {
    /// Opens the first connection anew, after an answer that cannot be read to its end.
    pub(super) async fn reconnect(&mut self) -> Result<(), AccountError> {
        let session = self.lanes.replace(self.session.names()).await?;
        self.losses.begin(&session);
        let gone = std::mem::replace(&mut self.session, session).counters();
        let before = std::mem::take(&mut self.attempt.traffic);
        self.lanes.add(Counters {
            received: gone.received - before.received,
            sent: gone.sent - before.sent,
            ..gone
        });
        Ok(())
    }
}

/// Selects a mailbox for changes, if it is still the one that was planned for.
async fn select(run: &mut Run, mailbox: &Mailbox) -> Result<bool, AccountError> {
    let refused = choose(&mut run.session, mailbox).await?;
    let rests = run.suspects.lock().why_not(Command::Select, Some(&mailbox.name)).is_some();
    if let Some(why) = refused.clone().filter(|_| !rests) {
        run.report.skip(mailbox.name.to_string(), why);
    }
    Ok(refused.is_none())
}

/// As [`select`], on any connection. Gives why it may not be worked with, if so, and an error
/// for what ends the session.
async fn choose(session: &mut Session, mailbox: &Mailbox) -> Result<Option<String>, RemoteError> {
    if session.selected() == Some(&mailbox.name) {
        return Ok(None);
    }
    let mut ignore = |_: Untagged| {};
    let selected = match session.select(&mailbox.name, Select::ReadWrite, None, &mut ignore).await {
        Ok(selected) => selected,
        Err(error) if error.ends_session() => return Err(error),
        Err(error) => return Ok(Some(error.to_string())),
    };
    if mailbox.cursor.map(|cursor| cursor.uid_validity) == Some(selected.gate.uid_validity) {
        return Ok(None);
    }
    session.unselect().await?;
    let why = "the server numbered the mailbox anew; nothing is changed before it is read";
    Ok(Some(why.to_owned()))
}

/// An error that concerns one mailbox is a skip; one that ends the session ends the run.
fn trouble(run: &mut Run, mailbox: &Mailbox, error: RemoteError) -> Result<(), AccountError> {
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
