//! A set of UIDs as sorted ranges: what a server says in ranges stays ranges.
//!
//! `VANISHED 1:4294967295` is one entry here, so no response can make us expand it.

use std::cmp::{max, min};
use std::fmt;

use crate::reconcile::types::Uid;

/// A set of unique identifiers (RFC 9051 §4.1.1), held as sorted, disjoint, inclusive ranges.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct UidSet {
    ranges: Vec<(u32, u32)>,
}

impl UidSet {
    /// The set of nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { ranges: Vec::new() }
    }

    /// Every UID there can be: `1:*`.
    #[must_use]
    pub fn all() -> Self {
        Self { ranges: vec![(1, u32::MAX)] }
    }

    /// The UIDs from `first` to `last`, both included; nothing if `last` is the smaller.
    #[must_use]
    pub fn from_range(first: Uid, last: Uid) -> Self {
        let mut set = Self::new();
        if first <= last {
            set.insert_range(first.0, last.0);
        }
        set
    }

    /// Reads `1:5,9` (RFC 9051 `sequence-set`); `*` is the largest UID there can be. None if
    /// it is anything else, or holds a zero.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let mut collected = Collector::default();
        for part in text.split(|&b| b == b',') {
            let (first, last) = parse_range(part)?;
            collected.add(first, last);
        }
        Some(collected.finish())
    }

    /// Takes ranges in any order, overlapping or not.
    #[must_use]
    pub(crate) fn from_ranges(mut ranges: Vec<(u32, u32)>) -> Self {
        compact(&mut ranges);
        Self { ranges }
    }

    /// The ranges, sorted, disjoint and not adjacent.
    #[must_use]
    pub fn ranges(&self) -> &[(u32, u32)] {
        &self.ranges
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// How many UIDs are in it.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.ranges.iter().map(|(first, last)| u64::from(last - first) + 1).sum()
    }

    /// The smallest UID.
    #[must_use]
    pub fn first(&self) -> Option<Uid> {
        self.ranges.first().map(|r| Uid(r.0))
    }

    /// The largest UID.
    #[must_use]
    pub fn last(&self) -> Option<Uid> {
        self.ranges.last().map(|r| Uid(r.1))
    }

    /// Whether `uid` is in it.
    #[must_use]
    pub fn contains(&self, uid: Uid) -> bool {
        let at = self.ranges.partition_point(|r| r.1 < uid.0);
        self.ranges.get(at).is_some_and(|r| r.0 <= uid.0)
    }

    /// Adds `uid`; says whether it was new. Zero is no UID and never enters.
    pub fn insert(&mut self, uid: Uid) -> bool {
        if uid.0 == 0 || self.contains(uid) {
            return false;
        }
        self.insert_range(uid.0, uid.0);
        true
    }

    fn insert_range(&mut self, first: u32, last: u32) {
        let first = max(first, 1);
        // The ranges that overlap or touch: all of them become one.
        let low = self.ranges.partition_point(|r| r.1.saturating_add(1) < first);
        let high = self.ranges.partition_point(|r| r.0 <= last.saturating_add(1));
        if low == high {
            self.ranges.insert(low, (first, last));
            return;
        }
        let joined = (min(first, self.ranges[low].0), max(last, self.ranges[high - 1].1));
        self.ranges.splice(low..high, [joined]);
    }

    /// Takes `uid` out; says whether it was there.
    pub fn remove(&mut self, uid: Uid) -> bool {
        let at = self.ranges.partition_point(|r| r.1 < uid.0);
        let Some(&(first, last)) = self.ranges.get(at).filter(|r| r.0 <= uid.0) else {
            return false;
        };
        let left = (first < uid.0).then(|| (first, uid.0 - 1));
        let right = (uid.0 < last).then(|| (uid.0 + 1, last));
        self.ranges.splice(at..=at, left.into_iter().chain(right));
        true
    }

    /// Every UID, ascending. Bound a set that a server sent (`intersection`) before this.
    pub fn iter(&self) -> impl Iterator<Item = Uid> + '_ {
        self.ranges.iter().flat_map(|&(first, last)| (first..=last).map(Uid))
    }

    /// What is in either.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self::from_ranges([self.ranges.as_slice(), &other.ranges].concat())
    }

    /// What is in both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let (mut a, mut b) = (self.ranges.iter().peekable(), other.ranges.iter().peekable());
        let mut both = Self::new();
        while let (Some(x), Some(y)) = (a.peek(), b.peek()) {
            let (first, last) = (max(x.0, y.0), min(x.1, y.1));
            if first <= last {
                both.ranges.push((first, last));
            }
            if x.1 < y.1 {
                a.next()
            } else {
                b.next()
            };
        }
        both
    }

    /// What is in `self` and not in `other`.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        let mut rest = Self::new();
        let mut holes = other.ranges.iter().peekable();
        for &(first, last) in &self.ranges {
            let mut from = u64::from(first);
            while let Some(&&(hole_first, hole_last)) = holes.peek() {
                if u64::from(hole_last) < from {
                    holes.next();
                    continue;
                }
                if hole_first > last {
                    break;
                }
                if u64::from(hole_first) > from {
                    rest.push_back(from, hole_first - 1);
                }
                from = u64::from(hole_last) + 1;
                if hole_last > last {
                    break;
                }
            }
            if from <= u64::from(last) {
                rest.push_back(from, last);
            }
        }
        rest
    }

    fn push_back(&mut self, first: u64, last: u32) {
        if let Ok(first) = u32::try_from(first) {
            self.ranges.push((first, last));
        }
    }

    /// Cuts the set so that each part prints in at most `limit` bytes (one range at least).
    ///
    /// Servers limit the length of a command line, some of them to 8 KiB.
    #[must_use]
    pub fn chunks(&self, limit: usize) -> Vec<Self> {
        let mut parts: Vec<Self> = Vec::new();
        let mut length = 0;
        for &range in &self.ranges {
            let printed = Self { ranges: vec![range] }.to_string().len() + 1;
            match parts.last_mut() {
                Some(part) if length + printed <= limit => {
                    part.ranges.push(range);
                    length += printed;
                }
                _ => {
                    parts.push(Self { ranges: vec![range] });
                    length = printed;
                }
            }
        }
        parts
    }
}

impl FromIterator<Uid> for UidSet {
    fn from_iter<I: IntoIterator<Item = Uid>>(uids: I) -> Self {
        Self::from_ranges(uids.into_iter().map(|u| (u.0, u.0)).collect())
    }
}

impl Extend<Uid> for UidSet {
    fn extend<I: IntoIterator<Item = Uid>>(&mut self, uids: I) {
        let mut ranges = std::mem::take(&mut self.ranges);
        ranges.extend(uids.into_iter().map(|u| (u.0, u.0)));
        *self = Self::from_ranges(ranges);
    }
}

impl fmt::Display for UidSet {
    /// As in a command: `1:5,9`, the largest UID as `*`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, &(first, last)) in self.ranges.iter().enumerate() {
            if nth > 0 {
                f.write_str(",")?;
            }
            match (first, last) {
                (first, u32::MAX) => write!(f, "{first}:*")?,
                (first, last) if first == last => write!(f, "{first}")?,
                (first, last) => write!(f, "{first}:{last}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for UidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The ranges as they were written, each ascending: COPYUID pairs by position (RFC 4315 §3).
pub(crate) fn parse_in_order(text: &[u8]) -> Option<Vec<(u32, u32)>> {
    let ranges = text.split(|&b| b == b',').take(IN_ORDER + 1).map(parse_range);
    let ranges: Option<Vec<_>> = ranges.collect();
    ranges.filter(|ranges| ranges.len() <= IN_ORDER)
}

/// How many ranges of a set are kept in the order in which they came.
const IN_ORDER: usize = 100_000;

fn parse_range(part: &[u8]) -> Option<(u32, u32)> {
    let mut ends = part.splitn(2, |&b| b == b':');
    let first = parse_end(ends.next()?)?;
    let last = ends.next().map_or(Some(first), parse_end)?;
    Some((min(first, last), max(first, last)))
}

/// Sorts ranges and joins those that overlap or touch, in place.
fn compact(ranges: &mut Vec<(u32, u32)>) {
    ranges.retain(|r| r.0 != 0);
    ranges.sort_unstable();
    ranges.dedup_by(|later, before| {
        let touches = later.0 <= before.1.saturating_add(1);
        if touches {
            before.1 = max(before.1, later.1);
        }
        touches
    });
}

/// Builds a set of what comes in pieces, in the memory of twice the ranges that it has.
#[derive(Debug, Default)]
pub struct Collector {
    ranges: Vec<(u32, u32)>,
    compacted: usize,
}

impl Collector {
    /// Adds UIDs from `first` to `last`.
    pub fn add(&mut self, first: u32, last: u32) {
        if let Some(tail) = self.ranges.last_mut()
            && tail.0 <= first
            && first <= tail.1.saturating_add(1)
        {
            tail.1 = max(tail.1, last);
            return;
        }
        self.ranges.push((first, last));
        if self.ranges.len() >= (2 * self.compacted).max(1 << 16) {
            compact(&mut self.ranges);
            self.compacted = self.ranges.len();
        }
    }

    /// Adds all of a set.
    pub fn extend(&mut self, set: &UidSet) {
        set.ranges.iter().for_each(|&(first, last)| self.add(first, last));
    }

    /// Ranges so far, some of which may be one.
    #[must_use]
    pub fn count(&self) -> usize {
        self.ranges.len()
    }

    /// The set.
    #[must_use]
    pub fn finish(self) -> UidSet {
        UidSet::from_ranges(self.ranges)
    }
}

fn parse_end(text: &[u8]) -> Option<u32> {
    match text {
        b"*" => Some(u32::MAX),
        [b'1'..=b'9', ..] if text.iter().all(u8::is_ascii_digit) => {
            std::str::from_utf8(text).ok()?.parse().ok()
        }
        _ => None,
    }
}

/// The first `count` of a set, and the others.
pub(crate) fn split(set: &UidSet, count: u64) -> (UidSet, UidSet) {
    let (mut first, mut left) = (Vec::new(), count);
    for &(from, to) in set.ranges() {
        let len = u64::from(to - from) + 1;
        let taken = len.min(left);
        if taken > 0 {
            let last = u64::from(from) + taken - 1;
            first.push((from, u32::try_from(last).unwrap_or(to)));
            left -= taken;
        }
    }
    let first = UidSet::from_ranges(first);
    let rest = set.difference(&first);
    (first, rest)
}

/// Halves of a set.
pub(crate) fn halves(set: &UidSet) -> (UidSet, UidSet) {
    split(set, set.len() / 2)
}

/// Messages of a set that come behind all of those that were answered, or else all of them.
pub(crate) fn unanswered(asked: &UidSet, answered: &UidSet) -> UidSet {
    let left = asked.difference(answered);
    let Some(Uid(last)) = answered.last().filter(|last| last.0 < u32::MAX) else { return left };
    let behind = left.intersection(&UidSet::from_range(Uid(last + 1), Uid(u32::MAX)));
    if behind.is_empty() { left } else { behind }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn set(text: &str) -> UidSet {
        if text.is_empty() { UidSet::new() } else { UidSet::parse(text.as_bytes()).unwrap() }
    }

    #[test]
    fn reads_and_prints() {
        for (text, printed, len) in [
            ("1:5,9", "1:5,9", 6),
            ("9,5:1", "1:5,9", 6),
            ("1,2,3,5", "1:3,5", 4),
            ("7:*", "7:*", u64::from(u32::MAX) - 6),
            ("1:4294967295", "1:*", u64::from(u32::MAX)),
        ] {
            assert_eq!(set(text).to_string(), printed);
            assert_eq!(set(text).len(), len);
        }
        for bad in ["", "0", "1:0", "x", "1,", "1::2", "4294967296", "1 2", "-1", "+1"] {
            assert_eq!(UidSet::parse(bad.as_bytes()), None, "{bad:?}");
        }
    }

    #[test]
    fn huge_ranges_stay_ranges() {
        let known = set("3,7:9");
        assert_eq!(UidSet::all().intersection(&known), known);
        assert_eq!(known.difference(&UidSet::all()), UidSet::new());
        assert_eq!(UidSet::all().difference(&known).to_string(), "1:2,4:6,10:*");
        assert_eq!(UidSet::all().difference(&set("5:*")).to_string(), "1:4");
    }

    #[test]
    fn behaves_as_a_set_of_numbers() {
        let mut seed = 7_u32;
        let mut next = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            seed >> 16
        };
        for _ in 0..300 {
            let (mut ours, mut theirs) = (UidSet::new(), BTreeSet::new());
            for _ in 0..40 {
                let uid = Uid(next() % 24 + 1);
                if next() % 3 == 0 {
                    assert_eq!(ours.remove(uid), theirs.remove(&uid));
                } else {
                    assert_eq!(ours.insert(uid), theirs.insert(uid));
                }
                assert!(ours.ranges.windows(2).all(|w| w[0].1 + 1 < w[1].0), "{ours}");
            }
            let other: BTreeSet<Uid> = (0..12).map(|_| Uid(next() % 24 + 1)).collect();
            let set: UidSet = other.iter().copied().collect();
            assert!(ours.iter().eq(theirs.iter().copied()));
            assert!(ours.intersection(&set).iter().eq(theirs.intersection(&other).copied()));
            assert!(ours.difference(&set).iter().eq(theirs.difference(&other).copied()));
            assert!(ours.union(&set).iter().eq(theirs.union(&other).copied()));
            assert_eq!(ours.len(), theirs.len() as u64);
            assert!((0..30).all(|n| ours.contains(Uid(n)) == theirs.contains(&Uid(n))));
        }
    }

    #[test]
    fn chunks_are_short_and_whole() {
        let odd: UidSet = (0..5_000).map(|n| Uid(n * 2 + 1)).collect();
        let parts = odd.chunks(1_000);
        assert!(parts.len() > 10 && parts.iter().all(|p| p.to_string().len() <= 1_000));
        assert_eq!(parts.iter().fold(UidSet::new(), |all, p| all.union(p)), odd);
        assert!(UidSet::new().chunks(10).is_empty());
    }
}
