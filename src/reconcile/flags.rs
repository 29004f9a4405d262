//! Per flag three-way merge within the mask of what each side can hold.

use std::collections::BTreeSet;

use super::types::{FlagDelta, FlagMask, Flags, Keyword, System};

/// The outcome of merging the flags of one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merge {
    /// What the file's flags must change by.
    pub local: FlagDelta,
    /// What the server's flags must change by.
    pub remote: FlagDelta,
    /// What both sides agree on once both changes are facts.
    pub agreed: Flags,
}

impl Merge {
    /// Whether neither side has to change.
    #[must_use]
    pub fn is_agreed(&self) -> bool {
        self.local.is_empty() && self.remote.is_empty()
    }
}

/// One flag: its value on a side, or none where the side cannot hold it.
fn merge_bit(base: Option<bool>, local: Option<bool>, remote: Option<bool>) -> bool {
    match (local, remote) {
        (Some(l), Some(r)) => match base {
            // The side that changed it wins; where both did, they agree.
            Some(b) if l == b => r,
            Some(_) => l,
            // Without a past, nothing that is set may be lost.
            None => l || r,
        },
        (Some(only), None) | (None, Some(only)) => only,
        (None, None) => base.unwrap_or(false),
    }
}

/// Merges the flags of one message. `base` is none for a row without a past: then the
/// flags are united.
#[must_use]
pub fn merge(
    base: Option<&Flags>,
    local: (&Flags, &FlagMask),
    remote: (&Flags, &FlagMask),
) -> Merge {
    let mut agreed = Flags::default();
    for (bit, _, _) in System::TABLE {
        let on = |flags: &Flags| flags.system.contains(bit);
        let side =
            |(flags, mask): (&Flags, &FlagMask)| mask.system.contains(bit).then(|| on(flags));
        if merge_bit(base.map(on), side(local), side(remote)) {
            agreed.system = agreed.system.union(bit);
        }
    }
    for keyword in all_keywords(base, local.0, remote.0) {
        let on = |flags: &Flags| flags.keywords.contains(&keyword);
        let side = |(flags, mask): (&Flags, &FlagMask)| mask.holds(&keyword).then(|| on(flags));
        if merge_bit(base.map(on), side(local), side(remote)) {
            agreed.keywords.insert(keyword);
        }
    }
    let delta = |(flags, mask): (&Flags, &FlagMask)| {
        FlagDelta::between(&mask.apply(flags), &mask.apply(&agreed))
    };
    Merge { local: delta(local), remote: delta(remote), agreed }
}

/// The base after facts: a flag that both sides now show alike is agreed, any other keeps its
/// past, so that half a merge never looks like a new change of one side.
#[must_use]
pub fn agreed_now(
    base: Option<&Flags>,
    local: (&Flags, &FlagMask),
    remote: (&Flags, &FlagMask),
) -> Flags {
    let merged = merge(base, local, remote);
    let open = merged
        .local
        .add
        .union(&merged.local.remove)
        .union(&merged.remote.add)
        .union(&merged.remote.remove);
    let none = Flags::default();
    let past = base.unwrap_or(&none);
    let kept = Flags {
        system: past.system.intersection(open.system),
        keywords: past.keywords.intersection(&open.keywords).cloned().collect(),
    };
    // What a side cannot hold is agreed with nobody: where it can be held later, its absence
    // there must not look like a removal.
    local.1.apply(&remote.1.apply(&merged.agreed.difference(&open).union(&kept)))
}

fn all_keywords(base: Option<&Flags>, local: &Flags, remote: &Flags) -> BTreeSet<Keyword> {
    // The remote's spelling first: it is the one that other clients see.
    let mut all = remote.keywords.clone();
    all.extend(base.into_iter().flat_map(|b| b.keywords.iter().cloned()));
    all.extend(local.keywords.iter().cloned());
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reconcile::types::KeywordMask;

    fn flags(text: &str) -> Flags {
        let mut out = Flags::default();
        for c in text.chars() {
            match System::from_letter(c) {
                Some(bit) => out.system = out.system.union(bit),
                None => {
                    out.keywords.insert(Keyword::new(&c.to_string()));
                }
            }
        }
        out
    }

    fn check(base: Option<&str>, local: &str, remote: &str, agreed: &str) {
        let all = FlagMask::all();
        let base = base.map(flags);
        let (local, remote) = (flags(local), flags(remote));
        let merged = merge(base.as_ref(), (&local, &all), (&remote, &all));
        assert_eq!(merged.agreed, flags(agreed), "{base:?} {local:?} {remote:?}");
        assert_eq!(merged.local.applied_to(&local), flags(agreed));
        assert_eq!(merged.remote.applied_to(&remote), flags(agreed));
    }

    #[test]
    fn the_side_that_changed_a_flag_wins() {
        check(Some("S"), "S", "SF", "SF");
        check(Some("S"), "", "S", "");
        check(Some("S"), "SR", "F", "RF");
        check(Some("Sw"), "S", "Swx", "Sx");
        check(None, "S", "F", "SF");
        check(Some(""), "S", "S", "S");
    }

    #[test]
    fn what_a_side_cannot_hold_is_no_change() {
        let only = FlagMask {
            system: System::ALL.difference(System::TRASHED),
            keywords: KeywordMask::Only(BTreeSet::new()),
        };
        let all = FlagMask::all();
        let base = flags("STw");
        let merged = merge(Some(&base), (&flags("STw"), &all), (&flags("S"), &only));
        assert!(merged.is_agreed(), "{merged:?}");
        assert_eq!(merged.agreed, base);
        // A change on the side that can hold it stays there.
        let merged = merge(Some(&base), (&flags("ST"), &all), (&flags("S"), &only));
        assert!(merged.is_agreed(), "{merged:?}");
        assert_eq!(merged.agreed, flags("ST"));
    }

    #[test]
    fn half_a_merge_keeps_the_past_of_the_open_flag() {
        let all = FlagMask::all();
        // S went up as a fact, F did not come down yet.
        let (base, local, remote) = (flags(""), flags("S"), flags("SF"));
        assert_eq!(agreed_now(Some(&base), (&local, &all), (&remote, &all)), flags("S"));
        // A removal that is still open keeps the flag in the base.
        let (base, local, remote) = (flags("F"), flags(""), flags("F"));
        assert_eq!(agreed_now(Some(&base), (&local, &all), (&remote, &all)), flags("F"));
    }

    #[test]
    fn every_small_world_of_flags_converges_and_loses_no_change() {
        let all = FlagMask::all();
        let sets = ["", "S", "F", "SF"];
        for base in [None, Some(""), Some("S"), Some("F"), Some("SF")] {
            for local in sets {
                for remote in sets {
                    let b = base.map(flags);
                    let (l, r) = (flags(local), flags(remote));
                    let m = merge(b.as_ref(), (&l, &all), (&r, &all));
                    let (l2, r2) = (m.local.applied_to(&l), m.remote.applied_to(&r));
                    assert_eq!((&l2, &r2), (&m.agreed, &m.agreed));
                    assert!(merge(Some(&m.agreed), (&l2, &all), (&r2, &all)).is_agreed());
                    let swapped = merge(b.as_ref(), (&r, &all), (&l, &all));
                    assert_eq!(swapped.agreed, m.agreed, "sides are equal partners");
                }
            }
        }
    }
}
