//! Mailboxes that got another name: looked for before anything else, so that a rename on one
//! side is one rename on the other and no message is touched.
//!
//! Nothing is taken for done that a look has not shown: a rename is noted, carried out, and
//! written down by the next look, which also is what finds one that a crash cut off.

mod facts;
mod replaced;
mod reunited;
mod steps;

use std::collections::{BTreeMap, BTreeSet};

pub(super) use reunited::reunite;

use super::run::Run;
use crate::account::error::AccountError;
use crate::local::{Layout, LocalError, LocalMailbox, Mailboxes, Root};
use crate::mail::renames::facts::{PAIRS_MAX, arrived, gone, holds_the_same, is_gone};
use crate::mail::renames::steps::{begin, describe, done, is_one_sided, note, resubscribe, target};
use crate::reconcile::renames;
use crate::reconcile::renames::{
    Arrived, Likeness, Rename, Trees, Whereabouts, likeness, one_to_one,
};
use crate::reconcile::types::{DirStamps, Home, Mailbox, MailboxId, MailboxName};
use crate::remote::imap::ListedMailbox;
use crate::state::meta;

/// Looks that may each show more to be renamed.
const LOOKS_MAX: u32 = 8;

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
    run.attempt.dry_run_renames.clear();
    for look in 1..=LOOKS_MAX {
        let sighting = sight(run).await?;
        let trees = compare(run, &sighting).await?;
        let mut steps = renames::plan(&trees);
        steps.retain(|step| {
            target(step).is_none_or(|to| !run.attempt.rename_targets_tried.contains(to))
        });
        if run.attempt.dry_run {
            run.attempt.dry_run_renames = steps.iter().map(describe).collect();
        }
        if run.attempt.dry_run {
            return Ok(sighting);
        }
        let left = inbox_left(run, &sighting.listed).await?;
        let last = run.environment.is_stopping() || look == LOOKS_MAX;
        if last {
            // What both sides call it is written down in any case.
            steps.retain(|step| target(step).is_none());
        }
        let idle = steps.is_empty() && !left;
        for step in steps {
            carry_out(run, step).await?;
        }
        if idle || last {
            mark_directories(run, &sighting.walk.found)?;
            return Ok(sighting);
        }
    }
    sight(run).await
}

async fn sight(run: &mut Run) -> Result<Sighting, AccountError> {
    let walk = run.root.mailboxes()?;
    // A selected mailbox is blind to what others do: nothing is selected here (hazard 36).
    let listed = super::observe::listing::list(run).await?;
    run.attempt.seen.listed.clone_from(&listed);
    let walk = super::observe::recognise(run, walk)?;
    Ok(Sighting { walk, listed })
}

/// Where each known mailbox is now. Asks further only where something is missing.
async fn compare(run: &mut Run, sighting: &Sighting) -> Result<Trees, AccountError> {
    let known = run.store.mailboxes()?;
    let known: Vec<Mailbox> = known.into_iter().filter(|m| run.looks_at(&m.name)).collect();
    // What could not be looked at is where it was.
    let unknown = known.iter().filter(|m| m.local).map(|m| m.name.clone());
    let unknown = unknown.filter(|name| sighting.walk.is_unknown(&run.root.dir_of(name)));
    let directories: BTreeSet<MailboxName> =
        sighting.walk.found.iter().map(|found| found.name.clone()).chain(unknown).collect();
    let listed: BTreeMap<MailboxName, bool> = sighting
        .listed
        .iter()
        .map(|m| (m.name.clone(), m.selectable || m.problem.is_some()))
        .collect();
    run.attempt.seen.replaced = replaced::find(run, &sighting.listed).await?;
    let local = renamed_directories(run, &known, &sighting.walk.found)?;
    let remote = renamed_on_server(run, &known, &sighting.listed).await?;
    let known = known.iter().filter(|m| m.base).map(|m| Whereabouts {
        id: m.id,
        name: m.name.clone(),
        local: match local.get(&m.id) {
            Some(elsewhere) => Some(elsewhere.clone()),
            None => Some(m.name.clone()).filter(|name| m.local && directories.contains(name)),
        },
        remote: match (remote.get(&m.id), listed.get(&m.name)) {
            (Some(elsewhere), _) => Some(elsewhere.clone()),
            (None, Some(true)) => Some(m.name.clone()).filter(|_| m.remote),
            _ => None,
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
    run: &Run,
    known: &[Mailbox],
    found: &[LocalMailbox],
) -> Result<BTreeMap<MailboxId, MailboxName>, AccountError> {
    if !is_suspect(known, found) {
        return Ok(BTreeMap::new());
    }
    let mut ids: BTreeMap<&MailboxName, String> = BTreeMap::new();
    let mut bare: BTreeMap<&MailboxName, DirStamps> = BTreeMap::new();
    for directory in found.iter().filter(|directory| run.looks_at(&directory.name)) {
        match run.root.mailbox_id(&directory.name) {
            Ok(Some(id)) => drop(ids.insert(&directory.name, id)),
            Ok(None) => drop(bare.insert(&directory.name, directory.stamps)),
            Err(error) => tracing::debug!(mailbox = %directory.name, %error, "no id"),
        }
    }
    let owned: BTreeSet<&String> = known.iter().filter_map(|m| m.local_id.as_ref()).collect();
    // At its place is another's directory, or one that was made anew and has no id (hazard 146).
    let ousted = |m: &Mailbox| {
        let is_new = |home: Home| {
            let now = bare.get(&m.name);
            now.is_some_and(|now| home.new != now.new.ino && home.cur != now.cur.ino)
        };
        ids.get(&m.name).is_some_and(|id| m.local_id.as_ref() != Some(id) && owned.contains(id))
            || m.home.is_some_and(is_new)
    };
    let there = |m: &Mailbox| found.iter().any(|directory| directory.name == m.name);
    let mut free: BTreeSet<&MailboxName> =
        known.iter().filter(|m| ousted(m)).map(|m| &m.name).collect();
    for name in ids.keys() {
        if may_be_known(run, name)? {
            free.insert(name);
        }
    }
    let mut pairs = Vec::new();
    let may_move = |m: &&Mailbox| m.local && !m.name.is_inbox();
    for mailbox in known.iter().filter(may_move).filter(|m| !there(m) || ousted(m)) {
        let Some(id) = &mailbox.local_id else { continue };
        let now = free.iter().filter(|name| ids.get(**name) == Some(id));
        pairs.extend(now.map(|name| (mailbox.id, (*name).clone())));
    }
    Ok(one_to_one(&pairs))
}

/// Whether directories could have other names than before: ids are read only then. Renamed
/// directories keep their inodes.
fn is_suspect(known: &[Mailbox], found: &[LocalMailbox]) -> bool {
    let found: BTreeMap<&MailboxName, u64> =
        found.iter().map(|directory| (&directory.name, directory.stamps.cur.ino)).collect();
    known.iter().filter(|m| m.local && m.local_id.is_some()).any(|m| {
        let ino = m.stamps.map(|stamps| stamps.cur.ino).or(m.home.map(|home| home.cur));
        let same = found.get(&m.name).is_some_and(|now| ino.is_none_or(|was| was == *now));
        m.renaming.is_some() || !same
    })
}

/// Whether the store knows no mailbox of this name, and it is mirrored.
fn is_new(run: &Run, name: &MailboxName) -> Result<bool, AccountError> {
    Ok(run.looks_at(name) && run.store.mailbox_by_name(name)?.is_none())
}

/// Returns true if the name may belong to a renamed mailbox: the store does not know it, or only
/// one side has shown it. An earlier run may have seen half of the rename (hazard 191).
fn may_be_known(run: &Run, name: &MailboxName) -> Result<bool, AccountError> {
    let known = run.store.mailbox_by_name(name)?;
    Ok(run.looks_at(name) && known.is_none_or(|known| is_one_sided(&known)))
}

/// What was not settled by renames goes on under the names that are there: each directory at
/// a recorded place gets its own id, or a later rename would be taken for another's.
/// A directory with an id that no mailbox has is another one, and is left as it is (hazard 160).
fn repair_ids(run: &Run, known: &[Mailbox], there: &BTreeMap<&MailboxName, &DirStamps>) {
    let owned: BTreeSet<&String> = known.iter().filter_map(|m| m.local_id.as_ref()).collect();
    for mailbox in known.iter().filter(|m| run.looks_at(&m.name)) {
        let Some((id, stamps)) = mailbox.local_id.as_ref().zip(there.get(&mailbox.name)) else {
            continue;
        };
        let repaired = match run.root.mailbox_id(&mailbox.name) {
            Ok(Some(found)) if found != *id && owned.contains(&found) => {
                run.root.mark_mailbox(&mailbox.name, id, stamps)
            }
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
    let shown: BTreeMap<&MailboxName, Arrived> = listed
        .iter()
        .filter(|m| m.selectable && m.problem.is_none())
        .map(|m| (&m.name, arrived(m)))
        .collect();
    // Not under its name, or there is another one of that name now.
    let replaced = run.attempt.seen.replaced.clone();
    let away = |m: &&Mailbox| {
        let other = shown.get(&m.name).is_none_or(|shown| renames::is_another(&gone(m), shown));
        let other = other || replaced.contains(&m.id);
        m.remote && !m.name.is_inbox() && other
    };
    let away: Vec<&Mailbox> = known.iter().filter(away).collect();
    let given_up: BTreeSet<&MailboxName> = away.iter().map(|m| &m.name).collect();
    let mut arrived = Vec::new();
    for (name, mailbox) in shown.iter().filter(|_| !away.is_empty()) {
        if given_up.contains(name) || may_be_known(run, name)? {
            arrived.push(mailbox.clone());
        }
    }
    let (mut pairs, mut budget) = (Vec::new(), PAIRS_MAX);
    for mailbox in away {
        let listed = shown.contains_key(&mailbox.name);
        let now = same_as(run, mailbox, &arrived, !listed, &mut budget).await?;
        pairs.extend(now.into_iter().map(|name| (mailbox.id, name)));
    }
    Ok(one_to_one(&pairs))
}

/// Names among those that arrived under which the server shows this mailbox.
async fn same_as(
    run: &mut Run,
    mailbox: &Mailbox,
    arrived: &[Arrived],
    ask: bool,
    budget: &mut usize,
) -> Result<Vec<MailboxName>, AccountError> {
    let mut was = gone(mailbox);
    if ask {
        was.renamed_as = run.store.fact(&meta::renaming(mailbox.id))?;
    }
    let mut like: Vec<(&Arrived, Likeness)> =
        arrived.iter().map(|arrived| (arrived, likeness(&was, arrived))).collect();
    like.retain(|(_, likeness)| *likeness != Likeness::Other);
    let mut same = Vec::new();
    // What was asked for was done: nobody has to be asked for the former name (hazard 167).
    let is_ours = like.iter().any(|(arrived, likeness)| {
        *likeness == Likeness::Same && mailbox.renaming.as_ref() == Some(&arrived.name)
    });
    if like.is_empty() || (ask && !is_ours && !is_gone(run, &mailbox.name).await?) {
        return Ok(same);
    }
    for (arrived, likeness) in like {
        let surely = likeness == Likeness::Same;
        if !surely && *budget == 0 {
            continue;
        }
        *budget -= usize::from(!surely);
        if surely || holds_the_same(run, mailbox, &arrived.name).await? {
            same.push(arrived.name.clone());
        }
    }
    Ok(same)
}

/// RENAME of the INBOX leaves an empty one in place, perhaps with the same UIDVALIDITY: its
/// messages are not unknown then, they are gone from it. Gives whether that was so.
async fn inbox_left(run: &mut Run, listed: &[ListedMailbox]) -> Result<bool, AccountError> {
    let name = MailboxName::new(MailboxName::INBOX);
    let inbox = run.store.mailbox_by_name(&name)?.filter(|m| m.remote && run.looks_at(&m.name));
    let now = listed.iter().find(|m| m.name == name).map(arrived);
    let (Some(inbox), Some(now)) = (inbox, now) else { return Ok(false) };
    let (was, is) = (inbox.cursor.unwrap_or_default(), now.gate.unwrap_or_default());
    let fell = is.uid_next != 0 && is.uid_next < was.uid_next;
    if !fell && !renames::is_another(&gone(&inbox), &now) {
        return Ok(false);
    }
    let mut new = Vec::new();
    for mailbox in listed.iter().filter(|m| m.selectable && m.problem.is_none()) {
        if is_new(run, &mailbox.name)? {
            new.push(arrived(mailbox));
        }
    }
    let mut budget = PAIRS_MAX;
    if same_as(run, &inbox, &new, false, &mut budget).await?.len() != 1 {
        return Ok(false);
    }
    super::observe::note_gone(run, inbox)
}

async fn carry_out(run: &mut Run, step: Rename) -> Result<(), AccountError> {
    match step {
        Rename::Note { moved } => note(run, &moved),
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

/// Directories that both sides agree on get an id, once; one that is there and nobody's is
/// kept (the store may have been lost). Notes of renames that came to nothing go.
fn mark_directories(run: &mut Run, found: &[LocalMailbox]) -> Result<(), AccountError> {
    let known = run.store.mailboxes()?;
    let mut taken: BTreeSet<String> = known.iter().filter_map(|m| m.local_id.clone()).collect();
    let there: BTreeMap<&MailboxName, &DirStamps> =
        found.iter().map(|found| (&found.name, &found.stamps)).collect();
    if is_suspect(&known, found) {
        repair_ids(run, &known, &there);
    }
    for mailbox in known {
        let agreed = mailbox.base && mailbox.local && mailbox.local_id.is_none();
        let mut marked = mailbox.clone();
        if let Some(stamps) = there.get(&mailbox.name).filter(|_| agreed) {
            match mark(run, &mailbox.name, stamps, &taken) {
                Ok(id) => marked.local_id = Some(id),
                // Renamed, it would be taken for a new one: nothing is lost by that.
                Err(error) => tracing::debug!(mailbox = %mailbox.name, %error, "not marked"),
            }
        }
        let stays = run.attempt.seen.listed.iter().any(|m| m.selectable && m.name == mailbox.name);
        if stays && there.contains_key(&mailbox.name) {
            marked.renaming = None;
        }
        if marked != mailbox {
            taken.extend(marked.local_id.clone());
            run.record(|w| w.mailbox(&marked))?;
        }
    }
    Ok(())
}

fn mark(
    run: &Run,
    mailbox: &MailboxName,
    stamps: &DirStamps,
    taken: &BTreeSet<String>,
) -> Result<String, LocalError> {
    if let Some(id) = run.root.mailbox_id(mailbox)?.filter(|id| !taken.contains(id)) {
        return Ok(id);
    }
    let id = Root::new_mailbox_id();
    run.root.mark_mailbox(mailbox, &id, stamps)?;
    Ok(id)
}
