//! Renamed mailboxes: a rename on one side becomes one rename on the other, before messages
//! are planned.
//!
//! | directory | on the server | step |
//! | --- | --- | --- |
//! | as known | renamed | rename the directory |
//! | renamed | as known | RENAME, if all inferiors there were renamed likewise |
//! | renamed | renamed to the same | note it |
//! | renamed | renamed to another name | rename the directory: the server's name stands |
//!
//! Whatever is in doubt is no rename: then the mailbox is made anew and its messages move
//! there one by one, without bodies. INBOX is never renamed, nor anything to it.

use std::collections::{BTreeMap, BTreeSet};

use super::types::{Gate, MailboxId, MailboxName, ServerWords, Uid};

/// A mailbox that both sides agreed on, and where each of them has it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whereabouts {
    /// Its identity in the store.
    pub id: MailboxId,
    /// Its name in the store.
    pub name: MailboxName,
    /// What its directory is called now; none when it is gone or in doubt.
    pub local: Option<MailboxName>,
    /// What the server calls it now; none when it is gone or in doubt.
    pub remote: Option<MailboxName>,
}

/// What is there, on both sides.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trees {
    /// Mailboxes of the store.
    pub known: Vec<Whereabouts>,
    /// Every directory that is a mailbox, mirrored or not.
    pub directories: BTreeSet<MailboxName>,
    /// Every name that the server lists; whether it can hold messages.
    pub listed: BTreeMap<MailboxName, bool>,
    /// The server is never changed.
    pub pull_only: bool,
    /// A directory takes along what lies below it.
    pub nested: bool,
}

/// A step over the names of mailboxes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rename {
    /// Both sides call it so: write that down.
    Note {
        /// The mailbox.
        id: MailboxId,
        /// What it is called.
        to: MailboxName,
    },
    /// Rename a directory.
    Local {
        /// Who goes along, and what each is called then.
        moved: Vec<(MailboxId, MailboxName)>,
        /// The directory of this name.
        from: MailboxName,
        /// Its new name.
        to: MailboxName,
    },
    /// RENAME.
    Remote {
        /// Who goes along, and what each is called then.
        moved: Vec<(MailboxId, MailboxName)>,
        /// What the server calls it now.
        from: MailboxName,
        /// Its new name.
        to: MailboxName,
    },
}

/// A mailbox that the server does not show under its name any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gone {
    /// Its identity in the store.
    pub id: MailboxId,
    /// Its MAILBOXID (RFC 8474), where the server has such.
    pub object_id: Option<String>,
    /// How it stood when it was last read.
    pub cursor: Option<Gate>,
    /// What a RENAME of ours, whose answer was not recorded, asked for.
    pub renaming: Option<MailboxName>,
}

/// A mailbox that the server shows under a name that nobody knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrived {
    /// Its name.
    pub name: MailboxName,
    /// Its MAILBOXID.
    pub object_id: Option<String>,
    /// How it stands.
    pub gate: Option<Gate>,
}

/// How far what LIST says speaks for a rename.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Likeness {
    /// It is another mailbox.
    Other,
    /// It could be the same: messages are to be compared.
    Likely,
    /// It is the same.
    Same,
}

/// Whether a mailbox that is gone is one that arrived (hazard 40).
#[must_use]
pub fn likeness(gone: &Gone, arrived: &Arrived) -> Likeness {
    if arrived.name.is_inbox() {
        return Likeness::Other;
    }
    if let (Some(was), Some(is)) = (&gone.object_id, &arrived.object_id) {
        return if was == is { Likeness::Same } else { Likeness::Other };
    }
    let (Some(was), Some(is)) = (gone.cursor, arrived.gate) else { return Likeness::Other };
    let numbered_alike = was.uid_validity == is.uid_validity && was.uid_validity != 0;
    if !numbered_alike || is.uid_next < was.uid_next {
        return Likeness::Other;
    }
    let asked_for = gone.renaming.as_ref() == Some(&arrived.name);
    if asked_for { Likeness::Same } else { Likeness::Likely }
}

/// Whether messages that are shown are those that were known: all that are still there, and
/// at least one.
#[must_use]
pub fn same_messages(
    known: &BTreeMap<Uid, ServerWords>,
    shown: &BTreeMap<Uid, ServerWords>,
) -> bool {
    let mut common = known.iter().filter_map(|(uid, was)| Some((was, shown.get(uid)?))).peekable();
    common.peek().is_some()
        && common.all(|(was, is)| {
            let objects = was.object_id.as_ref().zip(is.object_id.as_ref());
            (was.size, was.date) == (is.size, is.date) && objects.is_none_or(|(a, b)| a == b)
        })
}

/// Those pairs in which neither has another partner.
#[must_use]
pub fn one_to_one(pairs: &[(MailboxId, MailboxName)]) -> BTreeMap<MailboxId, MailboxName> {
    let alone = |(id, name): &&(MailboxId, MailboxName)| {
        pairs.iter().filter(|(other, _)| other == id).count() == 1
            && pairs.iter().filter(|(_, other)| other == name).count() == 1
    };
    pairs.iter().filter(alone).cloned().collect()
}

/// Plans what to rename. What is planned does not depend on its order, and what is not done
/// is planned again from what is seen next.
#[must_use]
pub fn plan(trees: &Trees) -> Vec<Rename> {
    let mut known: Vec<&Whereabouts> = trees.known.iter().collect();
    known.sort_by(|a, b| a.name.cmp(&b.name));
    let mut steps: Vec<Rename> = Vec::new();
    for mailbox in &known {
        let (Some(local), Some(remote)) = (&mailbox.local, &mailbox.remote) else { continue };
        let renamed = (*local != mailbox.name, *remote != mailbox.name);
        let touches_inbox = [&mailbox.name, local, remote].iter().any(|name| name.is_inbox());
        if renamed == (false, false) || touches_inbox {
            continue;
        }
        if local == remote {
            steps.push(Rename::Note { id: mailbox.id, to: remote.clone() });
        } else if renamed.1 {
            steps.extend(local_rename(trees, mailbox, local, remote));
        } else if !trees.pull_only {
            steps.extend(remote_rename(trees, mailbox, remote, local));
        }
    }
    without_covered(steps)
}

fn local_rename(
    trees: &Trees,
    mailbox: &Whereabouts,
    from: &MailboxName,
    to: &MailboxName,
) -> Option<Rename> {
    let mut moved = vec![(mailbox.id, to.clone())];
    if trees.directories.contains(to) || to.is_inferior_of(from) {
        return None;
    }
    if trees.nested {
        for below in trees.directories.iter().filter(|name| name.is_inferior_of(from)) {
            let wanted = moved_along(below, from, to)?;
            let here = |m: &&Whereabouts| m.local.as_ref() == Some(below);
            let along = trees.known.iter().find(here)?;
            if along.remote.as_ref() != Some(&wanted) {
                return None;
            }
            moved.push((along.id, wanted));
        }
    }
    Some(Rename::Local { moved, from: from.clone(), to: to.clone() })
}

fn remote_rename(
    trees: &Trees,
    mailbox: &Whereabouts,
    from: &MailboxName,
    to: &MailboxName,
) -> Option<Rename> {
    let mut moved = vec![(mailbox.id, to.clone())];
    if trees.listed.contains_key(to) || to.is_inferior_of(from) {
        return None;
    }
    // RENAME takes along what lies below, mirrored or not.
    let below = trees.listed.iter().filter(|(name, _)| name.is_inferior_of(from));
    for (name, _) in below.filter(|(_, holds_messages)| **holds_messages) {
        let wanted = moved_along(name, from, to)?;
        let there = |m: &&Whereabouts| m.remote.as_ref() == Some(name);
        let along = trees.known.iter().find(there)?;
        if along.local.as_ref() != Some(&wanted) || trees.listed.contains_key(&wanted) {
            return None;
        }
        moved.push((along.id, wanted));
    }
    Some(Rename::Remote { moved, from: from.clone(), to: to.clone() })
}

/// What an inferior is called once its superior is renamed.
fn moved_along(name: &MailboxName, from: &MailboxName, to: &MailboxName) -> Option<MailboxName> {
    let rest = name.as_str().strip_prefix(from.as_str())?;
    Some(MailboxName::new(&format!("{}{rest}", to.as_str())))
}

/// Steps of inferiors that go along with the step of a superior are left out.
fn without_covered(steps: Vec<Rename>) -> Vec<Rename> {
    let mut covered = BTreeSet::new();
    let mut kept = Vec::new();
    for step in steps {
        if let Rename::Local { moved, .. } | Rename::Remote { moved, .. } = &step {
            if moved.first().is_some_and(|(id, _)| covered.contains(id)) {
                continue;
            }
            covered.extend(moved.iter().map(|(id, _)| *id));
        }
        kept.push(step);
    }
    kept
}
