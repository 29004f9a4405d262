//! Mailboxes that got another name: looked for before anything else, so that a rename on one
//! side is one rename on the other and no message is touched.
//!
//! Nothing is taken for done that a look has not shown: a rename is noted, carried out, and
//! written down by the next look, which also is what finds one that a crash cut off.

use std::collections::{BTreeMap, BTreeSet};

use super::{AccountError, Run};
use crate::local::{Layout, LocalError, LocalMailbox, Mailboxes, Root};
use crate::reconcile::renames::{
    self, Arrived, Gone, Likeness, Rename, Trees, Whereabouts, likeness, one_to_one, same_messages,
};
use crate::reconcile::types::{Mailbox, MailboxId, MailboxName, ServerWords, Uid};
use crate::remote::RemoteError;
use crate::remote::imap::{
    Existence, FetchItems, FetchRow, ListedMailbox, Select, UidSet, Untagged,
};

/// Looks that may each show more to be renamed.
const LOOKS_MAX: u32 = 4;
/// Messages that are compared where the server has no MAILBOXID.
const SAMPLE: usize = 8;
/// Rows from which the sample is taken.
const SAMPLE_FROM: usize = 500;
/// Pairs of mailboxes whose messages are compared in one look.
const PAIRS_MAX: usize = 200;

/// What both sides were seen to have: the looks that follow begin with it.
#[derive(Debug)]
pub(super) struct Sighting {
    /// The directories.
    pub(super) walk: Mailboxes,
    /// What LIST says.
    pub(super) listed: Vec<ListedMailbox>,
}

/// Carries out what was renamed on one side, and gives what is there afterwards.
pub(super) async fn settle(run: &mut Run) -> Result<Sighting, AccountError> {
    run.renames.clear();
    for look in 1..=LOOKS_MAX {
        let sighting = sight(run).await?;
        let trees = compare(run, &sighting).await?;
        let mut steps = renames::plan(&trees);
        steps.retain(|step| target(step).is_none_or(|to| !run.renamed.contains(to)));
        if run.dry_run {
            run.renames = steps.iter().map(describe).collect();
        }
        if steps.is_empty() || run.dry_run || run.outside.is_stopping() || look == LOOKS_MAX {
            if !run.dry_run {
                mark_directories(run, &sighting.walk.found)?;
            }
            return Ok(sighting);
        }
        for step in steps {
            carry_out(run, step).await?;
        }
    }
    sight(run).await
}

async fn sight(run: &mut Run) -> Result<Sighting, AccountError> {
    let walk = run.root.mailboxes()?;
    // A selected mailbox is blind to what others do: nothing is selected here (hazard 36).
    let listed = run.session.list_status().await?;
    run.seen.listed.clone_from(&listed);
    Ok(Sighting { walk, listed })
}

/// Where each known mailbox is now. Asks further only where something is missing.
async fn compare(run: &mut Run, sighting: &Sighting) -> Result<Trees, AccountError> {
    let known = run.store.mailboxes()?;
    let known: Vec<Mailbox> = known.into_iter().filter(|m| run.looks_at(&m.name)).collect();
    let directories: BTreeSet<MailboxName> =
        sighting.walk.found.iter().map(|found| found.name.clone()).collect();
    let listed: BTreeMap<MailboxName, bool> = sighting
        .listed
        .iter()
        .map(|m| (m.name.clone(), m.selectable || m.problem.is_some()))
        .collect();
    let local = renamed_directories(run, &known, &directories)?;
    let remote = renamed_on_server(run, &known, &sighting.listed).await?;
    let known = known.iter().filter(|m| m.base).map(|m| Whereabouts {
        id: m.id,
        name: m.name.clone(),
        local: match directories.contains(&m.name) {
            true => Some(m.name.clone()).filter(|_| m.local),
            false => local.get(&m.id).cloned(),
        },
        remote: match listed.get(&m.name) {
            Some(true) => Some(m.name.clone()).filter(|_| m.remote),
            _ => remote.get(&m.id).cloned(),
        },
    });
    Ok(Trees {
        known: known.collect(),
        directories,
        listed,
        pull_only: run.settings.pull_only,
        nested: run.settings.layout == Layout::Nested,
    })
}

/// Directories under a new name, by the ids in them. Of two with one id, the one at the
/// recorded place has it; the other is a copy.
fn renamed_directories(
    run: &mut Run,
    known: &[Mailbox],
    directories: &BTreeSet<MailboxName>,
) -> Result<BTreeMap<MailboxId, MailboxName>, AccountError> {
    let mut missing: BTreeMap<&str, MailboxId> = BTreeMap::new();
    for mailbox in known.iter().filter(|m| m.local && !directories.contains(&m.name)) {
        if let Some(id) = &mailbox.local_id {
            missing.insert(id, mailbox.id);
        }
    }
    let mut pairs = Vec::new();
    for name in directories {
        if missing.is_empty() || !is_new(run, name)? {
            continue;
        }
        match run.root.mailbox_id(name) {
            Ok(id) => {
                let was = id.and_then(|id| missing.get(id.as_str()).copied());
                pairs.extend(was.map(|was| (was, name.clone())));
            }
            Err(error) => tracing::debug!(mailbox = %name, %error, "its id cannot be read"),
        }
    }
    if !pairs.is_empty() {
        repair_ids(run, known, directories);
    }
    Ok(one_to_one(&pairs))
}

/// Whether the store knows no mailbox of this name, and it is mirrored.
fn is_new(run: &Run, name: &MailboxName) -> Result<bool, AccountError> {
    Ok(run.looks_at(name) && run.store.mailbox_by_name(name)?.is_none())
}

/// Directories that were swapped hold each other's ids: those at a recorded place get their
/// own back, or a later rename would be taken for another's.
fn repair_ids(run: &Run, known: &[Mailbox], directories: &BTreeSet<MailboxName>) {
    if run.dry_run {
        return;
    }
    for mailbox in known.iter().filter(|m| directories.contains(&m.name)) {
        let Some(id) = &mailbox.local_id else { continue };
        let repaired = match run.root.mailbox_id(&mailbox.name) {
            Ok(Some(found)) if found != *id => run.root.set_mailbox_id(&mailbox.name, id),
            looked => looked.map(drop),
        };
        if let Err(error) = repaired {
            tracing::debug!(mailbox = %mailbox.name, %error, "its id is in doubt");
        }
    }
}

/// Mailboxes that the server shows under a new name.
async fn renamed_on_server(
    run: &mut Run,
    known: &[Mailbox],
    listed: &[ListedMailbox],
) -> Result<BTreeMap<MailboxId, MailboxName>, AccountError> {
    let shown: BTreeSet<&MailboxName> =
        listed.iter().filter(|m| m.selectable).map(|m| &m.name).collect();
    let gone: Vec<&Mailbox> = known
        .iter()
        .filter(|m| m.remote && !m.name.is_inbox() && !shown.contains(&m.name))
        .collect();
    let mut arrived = Vec::new();
    for mailbox in listed.iter().filter(|m| m.selectable && m.problem.is_none()) {
        if !gone.is_empty() && is_new(run, &mailbox.name)? {
            arrived.push(Arrived {
                name: mailbox.name.clone(),
                object_id: mailbox.object_id.clone(),
                gate: mailbox.gate,
            });
        }
    }
    let (mut pairs, mut compared) = (Vec::new(), 0);
    for mailbox in gone {
        let was = Gone {
            id: mailbox.id,
            object_id: mailbox.object_id.clone(),
            cursor: mailbox.cursor,
            renaming: mailbox.renaming.clone(),
        };
        let mut like: Vec<(&Arrived, Likeness)> =
            arrived.iter().map(|arrived| (arrived, likeness(&was, arrived))).collect();
        like.retain(|(_, likeness)| *likeness != Likeness::Other);
        if like.is_empty() || !is_gone(run, &mailbox.name).await? {
            continue;
        }
        for (arrived, likeness) in like {
            compared += 1;
            let same = likeness == Likeness::Same
                || (compared <= PAIRS_MAX && holds_the_same(run, mailbox, &arrived.name).await?);
            pairs.extend(same.then(|| (mailbox.id, arrived.name.clone())));
        }
    }
    Ok(one_to_one(&pairs))
}

/// LIST may omit what is there (hazard 42): it is asked for by name.
async fn is_gone(run: &mut Run, name: &MailboxName) -> Result<bool, AccountError> {
    match run.session.exists(name).await {
        Ok(Existence::Gone | Existence::Refused(_)) => Ok(true),
        Ok(Existence::Exists(_)) => Ok(false),
        Err(error) if error.ends_session() => Err(error.into()),
        Err(_) => Ok(false),
    }
}

/// Compares some messages of a mailbox with those that another one shows under their UIDs:
/// mailboxes made in the same second may have one UIDVALIDITY.
async fn holds_the_same(
    run: &mut Run,
    mailbox: &Mailbox,
    now: &MailboxName,
) -> Result<bool, AccountError> {
    let rows = run.store.rows_in(mailbox.id, None, SAMPLE_FROM)?;
    let known = rows.iter().filter_map(|row| Some((row.remote.as_ref()?.uid, row.words.clone()?)));
    let known: Vec<(Uid, ServerWords)> = known.collect();
    let step = known.len().div_ceil(SAMPLE).max(1);
    let known: BTreeMap<Uid, ServerWords> = known.into_iter().step_by(step).collect();
    let mut set = UidSet::default();
    for uid in known.keys() {
        set.insert(*uid);
    }
    if set.is_empty() {
        return Ok(false);
    }
    match shown(run, now, &set).await {
        Ok(shown) => Ok(same_messages(&known, &shown)),
        Err(error) if error.ends_session() => Err(error.into()),
        Err(error) => {
            tracing::debug!(mailbox = %now, %error, "cannot be compared");
            Ok(false)
        }
    }
}

async fn shown(
    run: &mut Run,
    name: &MailboxName,
    set: &UidSet,
) -> Result<BTreeMap<Uid, ServerWords>, RemoteError> {
    let mut ignore = |_: Untagged| {};
    run.session.select(name, Select::ReadOnly, None, &mut ignore).await?;
    let items = FetchItems { size: true, date: true, object_id: true, ..FetchItems::default() };
    let mut shown = BTreeMap::new();
    let mut sink = |row: FetchRow| {
        if let (Some(size), Some(date)) = (row.size, row.date) {
            shown.insert(row.uid, ServerWords { size, date, object_id: row.object_id });
        }
    };
    let fetched = run.session.fetch(set, items, None, &mut sink).await;
    run.session.unselect().await?;
    fetched.map(|()| shown)
}

async fn carry_out(run: &mut Run, step: Rename) -> Result<(), AccountError> {
    match step {
        Rename::Note { id, to } => note(run, id, to),
        Rename::Local { moved, from, to } => {
            begin(run, &moved, &to)?;
            match run.root.rename_mailbox(&from, &to) {
                Ok(()) => done(run, &moved, &from, &to),
                // It is made anew then, and its files move there one by one.
                Err(error) => tracing::info!(%from, %to, %error, "not renamed"),
            }
            Ok(())
        }
        Rename::Remote { moved, from, to } => {
            begin(run, &moved, &to)?;
            match run.session.rename(&from, &to).await {
                Ok(()) => {
                    done(run, &moved, &from, &to);
                    resubscribe(run, &moved).await
                }
                Err(error) if error.ends_session() => Err(error.into()),
                Err(error) => {
                    tracing::info!(%from, %to, %error, "not renamed");
                    Ok(())
                }
            }
        }
    }
}

/// Before the effect: what is looked for should its outcome not get written down.
fn begin(
    run: &mut Run,
    moved: &[(MailboxId, MailboxName)],
    to: &MailboxName,
) -> Result<(), AccountError> {
    // Once a run, whatever comes of it.
    run.renamed.insert(to.clone());
    run.mark()?;
    let mut mailboxes = Vec::new();
    for (id, name) in moved {
        if let Some(mailbox) = run.store.mailbox(*id)? {
            mailboxes.push(Mailbox { renaming: Some(name.clone()), ..mailbox });
        }
    }
    run.record(|w| mailboxes.iter().try_for_each(|mailbox| w.mailbox(mailbox).map(drop)))
}

fn done(run: &mut Run, moved: &[(MailboxId, MailboxName)], from: &MailboxName, to: &MailboxName) {
    tracing::info!(%from, %to, "renamed");
    run.report.mailboxes += 1;
    moved.iter().for_each(|(_, name)| run.report.touch(name));
}

/// Subscriptions are by name and stay behind (RFC 9051 §6.3.6); without them many clients
/// would not show the mailbox.
async fn resubscribe(
    run: &mut Run,
    moved: &[(MailboxId, MailboxName)],
) -> Result<(), AccountError> {
    for (id, to) in moved {
        let Some(mailbox) = run.store.mailbox(*id)? else { continue };
        let subscribed = run.session.subscribe(to).await;
        for answer in [subscribed, run.session.unsubscribe(&mailbox.name).await] {
            match answer {
                Err(error) if error.ends_session() => return Err(error.into()),
                _ => {}
            }
        }
    }
    Ok(())
}

/// Both sides were seen to call it so.
fn note(run: &mut Run, id: MailboxId, to: MailboxName) -> Result<(), AccountError> {
    let Some(mailbox) = run.store.mailbox(id)? else { return Ok(()) };
    tracing::info!(from = %mailbox.name, %to, "called so on both sides");
    run.report.noted += 1;
    run.record(|w| w.mailbox(&Mailbox { name: to, renaming: None, ..mailbox }).map(drop))
}

fn target(step: &Rename) -> Option<&MailboxName> {
    match step {
        Rename::Note { .. } => None,
        Rename::Local { to, .. } | Rename::Remote { to, .. } => Some(to),
    }
}

fn describe(step: &Rename) -> String {
    match step {
        Rename::Note { to, .. } => format!("note that a mailbox is called {to} on both sides"),
        Rename::Local { from, to, .. } => format!("rename the directory of {from} to {to}"),
        Rename::Remote { from, to, .. } => format!("rename {from} to {to} on the server"),
    }
}

/// Directories that both sides agree on get an id, once; one that is there and nobody's is
/// kept (the store may have been lost). Notes of renames that came to nothing go.
fn mark_directories(run: &mut Run, found: &[LocalMailbox]) -> Result<(), AccountError> {
    let known = run.store.mailboxes()?;
    let mut taken: BTreeSet<String> = known.iter().filter_map(|m| m.local_id.clone()).collect();
    let there: BTreeSet<&MailboxName> = found.iter().map(|found| &found.name).collect();
    for mailbox in known {
        let agreed = mailbox.base && mailbox.local && there.contains(&mailbox.name);
        let mut marked = mailbox.clone();
        if agreed && mailbox.local_id.is_none() && !mailbox.name.is_inbox() {
            match mark(run, &mailbox.name, &taken) {
                Ok(id) => marked.local_id = Some(id),
                // Renamed, it would be taken for a new one: nothing is lost by that.
                Err(error) => tracing::debug!(mailbox = %mailbox.name, %error, "not marked"),
            }
        }
        let stays = run.seen.listed.iter().any(|m| m.selectable && m.name == mailbox.name);
        if stays && there.contains(&mailbox.name) {
            marked.renaming = None;
        }
        if marked != mailbox {
            taken.extend(marked.local_id.clone());
            run.record(|w| w.mailbox(&marked))?;
        }
    }
    Ok(())
}

fn mark(run: &Run, mailbox: &MailboxName, taken: &BTreeSet<String>) -> Result<String, LocalError> {
    if let Some(id) = run.root.mailbox_id(mailbox)?.filter(|id| !taken.contains(id)) {
        return Ok(id);
    }
    let id = Root::new_mailbox_id();
    run.root.set_mailbox_id(mailbox, &id)?;
    Ok(id)
}
