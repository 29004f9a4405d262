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
//! Names that were passed on (A to B, B to C) are taken one by one. Where they go round (A and B
//! swapped) nothing is renamed: no name is free, and none is made up.
//!
//! Whatever is in doubt is no rename: then the mailbox is made anew and its messages move
//! there one by one, without bodies. INBOX is never renamed, nor anything to it.

use std::collections::{BTreeMap, BTreeSet};

use super::types::{MailboxId, MailboxName, MailboxStatus, ServerFacts, Uid};

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
    /// Both sides call them so: write that down, all at once.
    Note {
        /// The mailboxes, and what each is called.
        moved: Vec<(MailboxId, MailboxName)>,
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
    pub cursor: Option<MailboxStatus>,
    /// What a RENAME of ours, whose answer was not recorded, asked for.
    pub renaming: Option<MailboxName>,
    /// UIDVALIDITY that it had when that was asked for; none where its former name is listed.
    pub renamed_as: Option<u32>,
}

/// A mailbox that the server shows under a name that nobody knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrived {
    /// Its name.
    pub name: MailboxName,
    /// Its MAILBOXID.
    pub object_id: Option<String>,
    /// How it stands.
    pub gate: Option<MailboxStatus>,
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
    let asked_for = gone.renaming.as_ref() == Some(&arrived.name);
    // Numbered anew, or made anew, and renamed by us before that was noted (hazard 195).
    if asked_for
        && gone.renamed_as.is_some()
        && gone.renamed_as == arrived.gate.map(|is| is.uid_validity)
    {
        return Likeness::Same;
    }
    if let (Some(was), Some(is)) = (&gone.object_id, &arrived.object_id) {
        return if was == is { Likeness::Same } else { Likeness::Other };
    }
    let (Some(was), Some(is)) = (gone.cursor, arrived.gate) else { return Likeness::Other };
    let numbered_alike = was.uid_validity == is.uid_validity && was.uid_validity != 0;
    if !numbered_alike || is.uid_next < was.uid_next {
        return Likeness::Other;
    }
    if asked_for { Likeness::Same } else { Likeness::Likely }
}

/// Whether the mailbox that the server shows under a name is surely not the one that had it.
#[must_use]
pub fn is_another(was: &Gone, shown: &Arrived) -> bool {
    match (&was.object_id, &shown.object_id) {
        (Some(was), Some(is)) => was != is,
        _ => {
            let numbers = was.cursor.zip(shown.gate).map(|(a, b)| (a.uid_validity, b.uid_validity));
            numbers.is_some_and(|(was, is)| was != is && was != 0 && is != 0)
        }
    }
}

/// Whether messages that are shown are those that were known: all that are still there, and
/// at least one.
#[must_use]
pub fn same_messages(
    known: &BTreeMap<Uid, ServerFacts>,
    shown: &BTreeMap<Uid, ServerFacts>,
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
    let mut agreed: BTreeMap<&MailboxName, (MailboxId, MailboxName)> = BTreeMap::new();
    for mailbox in &known {
        let (Some(local), Some(remote)) = (&mailbox.local, &mailbox.remote) else { continue };
        let renamed = (*local != mailbox.name, *remote != mailbox.name);
        let touches_inbox = [&mailbox.name, local, remote].iter().any(|name| name.is_inbox());
        if renamed == (false, false) || touches_inbox {
            continue;
        }
        if local == remote {
            agreed.insert(&mailbox.name, (mailbox.id, remote.clone()));
        } else if renamed.1 {
            steps.extend(local_rename(trees, mailbox, local, remote));
        } else if !trees.pull_only {
            steps.extend(remote_rename(trees, mailbox, remote, local));
        }
    }
    let mut steps = without_covered(steps);
    let notes = unclaimed(&known, agreed);
    if !notes.is_empty() {
        steps.insert(0, Rename::Note { moved: notes });
    }
    steps
}

/// Names that no other mailbox of the store has, or that it gives up at the same time.
fn unclaimed(
    known: &[&Whereabouts],
    mut agreed: BTreeMap<&MailboxName, (MailboxId, MailboxName)>,
) -> Vec<(MailboxId, MailboxName)> {
    loop {
        let claimed = |name: &MailboxName| {
            known.iter().any(|m| m.name == *name) && !agreed.contains_key(name)
        };
        let waits = agreed.iter().find(|(_, (_, to))| claimed(to)).map(|(name, _)| *name);
        match waits {
            Some(name) => agreed.remove(name),
            None => return agreed.into_values().collect(),
        };
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 6] = ["A", "A/x", "B", "B/x", "A/x/y", "INBOX"];

    fn name(text: &str) -> MailboxName {
        MailboxName::new(text)
    }

    /// Mailboxes by what each side calls them, and one on either side that nobody knows.
    #[derive(Debug, Clone, PartialEq)]
    struct PlanInput {
        /// Name in the store, on disk, on the server.
        known: Vec<(MailboxName, Option<MailboxName>, Option<MailboxName>)>,
        strange_directory: Option<MailboxName>,
        strange_listed: Option<MailboxName>,
        nested: bool,
    }

    impl PlanInput {
        fn trees(&self) -> Trees {
            let known = self.known.iter().zip(1..).map(|((name, local, remote), id)| Whereabouts {
                id: MailboxId(id),
                name: name.clone(),
                local: local.clone(),
                remote: remote.clone(),
            });
            let directories = self.known.iter().filter_map(|(_, local, _)| local.clone());
            let listed = self.known.iter().filter_map(|(_, _, remote)| remote.clone());
            Trees {
                known: known.collect(),
                directories: directories.chain(self.strange_directory.clone()).collect(),
                listed: listed.chain(self.strange_listed.clone()).map(|n| (n, true)).collect(),
                pull_only: false,
                nested: self.nested,
            }
        }

        /// Does what a disk and a server do, and checks that it is what was planned.
        fn apply(&mut self, step: &Rename) {
            let trees = self.trees();
            let (moved, from, to, local) = match step {
                Rename::Note { moved } => {
                    for (id, to) in moved {
                        let place = usize::try_from(id.0 - 1).unwrap();
                        let (name, local, remote) = &mut self.known[place];
                        assert_eq!((local.as_ref(), remote.as_ref()), (Some(to), Some(to)));
                        *name = to.clone();
                    }
                    assert!(self.known[0].0 != self.known[1].0, "{self:?}");
                    return;
                }
                Rename::Local { moved, from, to } => (moved, from, to, true),
                Rename::Remote { moved, from, to } => (moved, from, to, false),
            };
            assert!(!from.is_inbox() && !to.is_inbox());
            let there: BTreeSet<MailboxName> =
                if local { trees.directories } else { trees.listed.into_keys().collect() };
            assert!(there.contains(from) && !there.contains(to), "{step:?}");
            let goes =
                |n: &MailboxName| n == from || ((self.nested || !local) && n.is_inferior_of(from));
            let strange = if local { &self.strange_directory } else { &self.strange_listed };
            assert!(!strange.as_ref().is_some_and(&goes), "nobody planned that: {step:?}");
            let mut gone = BTreeSet::new();
            for ((_, directory, listed), id) in self.known.iter_mut().zip(1..) {
                let Some(place) = (if local { directory } else { listed }) else { continue };
                if goes(place) {
                    *place = moved_along(place, from, to).unwrap();
                    gone.insert((MailboxId(id), place.clone()));
                }
            }
            assert_eq!(gone, moved.iter().cloned().collect(), "{step:?}");
        }

        /// Plans and applies until nothing is left.
        fn settle(&mut self) {
            for _ in 0..6 {
                // Each step is checked against what is there then, as a disk would.
                let Some(step) = plan(&self.trees()).into_iter().next() else { return };
                self.apply(&step);
            }
            panic!("it does not end: {self:?}");
        }
    }

    /// Every place of two mailboxes on one side, none twice.
    fn places() -> Vec<[Option<MailboxName>; 2]> {
        let each = || NAMES.iter().map(|n| Some(name(n))).chain([None]);
        let all = each().flat_map(|a| each().map(move |b| [a.clone(), b]));
        all.filter(|[a, b]| a.is_none() || a != b).collect()
    }

    fn worlds() -> Vec<PlanInput> {
        let strange = [None, Some(name("A/z")), Some(name("B/x/z"))];
        let mut worlds = Vec::new();
        let both =
            places().into_iter().flat_map(|h| places().into_iter().map(move |t| (h.clone(), t)));
        for (here, there) in both {
            for second in ["A/x", "B"] {
                for (i, nested) in (0..9).flat_map(|i| [(i, false), (i, true)]) {
                    let known = [name("A"), name(second)].into_iter().zip(0..);
                    let known =
                        known.map(|(n, i): (_, usize)| (n, here[i].clone(), there[i].clone()));
                    worlds.push(PlanInput {
                        known: known.collect(),
                        strange_directory: strange[i / 3].clone(),
                        strange_listed: strange[i % 3].clone(),
                        nested,
                    });
                }
            }
        }
        worlds
    }

    #[test]
    fn names_that_go_round_are_nobodys_rename() {
        let swapped = |n: &str, other: &str| (name(n), Some(name(n)), Some(name(other)));
        let known = vec![swapped("A", "B"), swapped("B", "A")];
        let mut world =
            PlanInput { known, strange_directory: None, strange_listed: None, nested: true };
        let before = world.clone();
        world.settle();
        assert_eq!(world, before, "their messages move");
    }

    #[test]
    fn every_small_world_ends_and_only_what_was_planned_moves() {
        let worlds = worlds();
        assert!(worlds.len() > 30_000, "{}", worlds.len());
        for mut world in worlds {
            world.settle();
        }
    }

    /// A and A/x, renamed on one side: both sides call them the same in the end.
    #[test]
    fn what_one_side_renamed_alone_is_renamed_on_the_other() {
        for (a, b) in [
            ("B", "B/x"),   // both, in one step
            ("A", "B"),     // only the inferior
            ("A", "A/x/y"), // never below itself, so it stays as it is
            ("B", "C/x"),   // one after the other
        ] {
            let old = [name("A"), name("A/x")];
            let new = [name(a), name(b)];
            for (nested, locally) in [(false, false), (false, true), (true, false), (true, true)] {
                let place = |i: usize| {
                    let (there, here) = (Some(old[i].clone()), Some(new[i].clone()));
                    let (local, remote) = if locally { (here, there) } else { (there, here) };
                    (old[i].clone(), local, remote)
                };
                let known = vec![place(0), place(1)];
                let mut world =
                    PlanInput { known, strange_directory: None, strange_listed: None, nested };
                world.settle();
                let followed = |i: usize| {
                    let (stored, local, remote) = &world.known[i];
                    *stored == new[i] && local == remote
                };
                assert!(followed(0), "{world:?}");
                assert_eq!(followed(1), b != "A/x/y", "{world:?}");
            }
        }
    }

    fn gate(uid_validity: u32, uid_next: u32) -> MailboxStatus {
        MailboxStatus { uid_validity, uid_next, ..MailboxStatus::default() }
    }

    #[test]
    fn what_speaks_for_a_rename() {
        use Likeness::{Likely, Other, Same};
        let id = |text: &str| Some(text.to_owned());
        let (none, was) = (None::<String>, gate(7, 5));
        for (old, new, shown, asked, expected) in [
            (id("F1"), id("F1"), Some(gate(9, 1)), "", Same),
            (id("F1"), id("F2"), Some(was), "B", Other),
            (id("F1"), none.clone(), Some(was), "", Likely),
            (none.clone(), none.clone(), Some(was), "", Likely),
            (none.clone(), none.clone(), Some(gate(7, 9)), "", Likely),
            (none.clone(), none.clone(), Some(was), "B", Same),
            (none.clone(), none.clone(), Some(was), "C", Likely),
            (none.clone(), none.clone(), Some(gate(7, 4)), "B", Other),
            (none.clone(), none.clone(), Some(gate(8, 5)), "B", Other),
            (none.clone(), none.clone(), None, "B", Other),
        ] {
            let gone = Gone {
                id: MailboxId(1),
                object_id: old,
                cursor: Some(was),
                renaming: Some(name(asked)).filter(|_| !asked.is_empty()),
                renamed_as: None,
            };
            let mut arrived = Arrived { name: name("B"), object_id: new, gate: shown };
            assert_eq!(likeness(&gone, &arrived), expected, "{gone:?} {arrived:?}");
            arrived.name = name("inbox");
            assert_eq!(likeness(&gone, &arrived), Other);
        }
        let unnumbered = Gone { cursor: Some(gate(0, 0)), ..gone_as(None) };
        let mut arrived = Arrived { name: name("B"), object_id: None, gate: Some(gate(0, 0)) };
        assert_eq!(likeness(&unnumbered, &arrived), Other, "UIDVALIDITY 0 says nothing");
        arrived.gate = Some(gate(8, 1));
        for (renamed_as, expected) in [(Some(8), Same), (Some(9), Other), (None, Other)] {
            let gone = Gone { renaming: Some(name("B")), ..gone_as(renamed_as) };
            assert_eq!(likeness(&gone, &arrived), expected, "{gone:?}");
        }
    }

    fn gone_as(renamed_as: Option<u32>) -> Gone {
        let cursor = Some(gate(7, 5));
        Gone { id: MailboxId(1), object_id: None, cursor, renaming: None, renamed_as }
    }

    #[test]
    fn a_sample_of_messages_tells_mailboxes_apart() {
        let row = |uid: u32, size: u64| (Uid(uid), ServerFacts { size, date: 1, object_id: None });
        let map = |rows: &[(Uid, ServerFacts)]| rows.iter().cloned().collect::<BTreeMap<_, _>>();
        let known = map(&[row(1, 10), row(2, 20)]);
        assert!(same_messages(&known, &known));
        assert!(same_messages(&known, &map(&[row(2, 20)])), "the other may be expunged");
        assert!(!same_messages(&known, &map(&[row(1, 10), row(2, 21)])));
        assert!(!same_messages(&known, &map(&[row(3, 20)])), "none in common");
        assert!(!same_messages(&known, &map(&[])));
    }

    #[test]
    fn who_has_two_partners_has_none() {
        let pair = |id, n: &str| (MailboxId(id), name(n));
        let pairs = [pair(1, "a"), pair(2, "b"), pair(2, "c"), pair(3, "d"), pair(4, "d")];
        assert_eq!(one_to_one(&pairs), BTreeMap::from([pair(1, "a")]));
    }
}
