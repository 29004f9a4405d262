//! What connections were lost at (hazard 90), as the store keeps it and as `status` tells it.

use std::collections::BTreeSet;

use super::error::AccountError;
use super::losses::title;
use crate::reconcile::types::MailboxName;
use crate::remote::imap::UidSet;
use crate::remote::suspects::{Command, Shared, Suspect, Thing};
use crate::state::{StateError, Store, SuspectRow};

/// Takes what earlier runs of an account noted, for the run with this number at this time.
pub(crate) fn load(
    suspects: &Shared,
    store: &Store,
    (number, now): (i64, i64),
    cause: &str,
    focus: BTreeSet<MailboxName>,
) -> Result<(), StateError> {
    let asked = cause.split('+').any(|cause| matches!(cause, "command" | "asked"));
    let mut suspects = suspects.lock();
    suspects.load(stored(store)?);
    suspects.begin(number, now, asked, focus);
    Ok(())
}

/// Writes down what changed.
pub(crate) fn keep(suspects: &Shared, store: &mut Store) -> Result<(), AccountError> {
    let Some(list) = suspects.lock().changed() else { return Ok(()) };
    let rows: Vec<SuspectRow> = list.iter().map(to_row).collect();
    Ok(store.transaction(|tx| tx.set_suspects(&rows))?)
}

/// What happened to a suspect, and what becomes of it.
pub(crate) fn why(suspect: &Suspect) -> String {
    let Suspect { losses, words, .. } = suspect;
    let times = if *losses == 1 { "once".to_owned() } else { format!("{losses} times") };
    let next = match suspect.is_set_aside() {
        true if suspect.thing.command.has_another_way() => "another way is used meanwhile",
        true => "skipped, and retried less and less often",
        false => "retried by the next run",
    };
    format!("{words} ({times}); {next}")
}

/// What `status` tells of suspects: what, and why.
///
/// # Errors
/// The store cannot be read.
pub fn named(store: &Store) -> Result<Vec<(Thing, String, String)>, StateError> {
    let list = stored(store)?.into_iter().filter(Suspect::is_set_aside);
    Ok(list
        .map(|suspect| {
            let what = title(&suspect.thing, suspect.title.as_deref());
            let why = why(&suspect);
            (suspect.thing, what, why)
        })
        .collect())
}

fn stored(store: &Store) -> Result<Vec<Suspect>, StateError> {
    Ok(store.suspects()?.into_iter().filter_map(of_row).collect())
}

fn to_row(suspect: &Suspect) -> SuspectRow {
    let Thing { command, mailbox, uid_validity, uids, message } = &suspect.thing;
    SuspectRow {
        command: command.name().to_owned(),
        mailbox: mailbox.as_ref().map_or_else(String::new, |name| name.as_str().to_owned()),
        uid_validity: *uid_validity,
        uids: uids.to_string(),
        message: message.clone().unwrap_or_default(),
        losses: suspect.losses,
        next: suspect.next,
        next_run: suspect.next_run,
        words: suspect.words.clone(),
        title: suspect.title.clone(),
    }
}

/// What cannot be read is forgotten: it is found again.
fn of_row(row: SuspectRow) -> Option<Suspect> {
    let uids = match row.uids.as_str() {
        "" => UidSet::new(),
        text => UidSet::parse(text.as_bytes())?,
    };
    let mailbox = Some(row.mailbox).filter(|name| !name.is_empty());
    Some(Suspect {
        thing: Thing {
            command: Command::parse(&row.command)?,
            mailbox: mailbox.map(|name| MailboxName::new(&name)),
            uid_validity: row.uid_validity,
            uids,
            message: Some(row.message).filter(|message| !message.is_empty()),
        },
        losses: row.losses,
        next: row.next,
        next_run: row.next_run,
        words: row.words,
        title: row.title,
    })
}
