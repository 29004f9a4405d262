//! Sequence sets (RFC 9051 §9 `sequence-set`): read with `*`, written as short as can be.

use std::fmt::Write as _;

/// A sequence set as a client wrote it; `*` is not resolved yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Set(Vec<(Option<u32>, Option<u32>)>);

impl Set {
    /// Reads `1:5,7,9:*`; none when it is no sequence set (0 included).
    pub(super) fn parse(text: &str) -> Option<Self> {
        let number = |s: &str| match s {
            "*" => Some(None),
            _ if s.bytes().all(|b| b.is_ascii_digit()) => {
                s.parse::<u32>().ok().filter(|n| *n > 0).map(Some)
            }
            _ => None,
        };
        let range = |part: &str| match part.split_once(':') {
            Some((from, to)) => Some((number(from)?, number(to)?)),
            None => number(part).map(|n| (n, n)),
        };
        text.split(',').map(range).collect::<Option<Vec<_>>>().map(Self)
    }

    /// The set with `*` standing for `max`: `5:1` is `1:5`, `99:*` of 4 is `4:99`.
    pub(super) fn resolve(&self, max: u32) -> Ranges {
        let mut ranges: Vec<(u32, u32)> = self
            .0
            .iter()
            .map(|(a, b)| (a.unwrap_or(max), b.unwrap_or(max)))
            .map(|(a, b)| (a.min(b), a.max(b)))
            .collect();
        ranges.sort_unstable();
        ranges.dedup_by(|next, kept| {
            let joins = next.0 <= kept.1.saturating_add(1);
            if joins {
                kept.1 = kept.1.max(next.1);
            }
            joins
        });
        Ranges(ranges)
    }

    /// Whether a number beyond `max` is named (as a sequence number it then does not exist).
    pub(super) fn exceeds(&self, max: u32) -> bool {
        self.0.iter().any(|(a, b)| a.is_some_and(|n| n > max) || b.is_some_and(|n| n > max))
            || max == 0
    }
}

/// A resolved set: ascending ranges that neither overlap nor touch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ranges(Vec<(u32, u32)>);

impl Ranges {
    /// Everything.
    pub(super) fn all() -> Self {
        Self(vec![(1, u32::MAX)])
    }

    /// Whether a number is in the set.
    pub(super) fn contains(&self, n: u32) -> bool {
        let upto = self.0.partition_point(|(from, _)| *from <= n);
        upto > 0 && self.0[upto - 1].1 >= n
    }
}

/// Writes ascending numbers as a sequence set: `1:3,7`.
pub(super) fn format(numbers: impl IntoIterator<Item = u32>) -> String {
    let mut out = String::new();
    let mut run: Option<(u32, u32)> = None;
    for n in numbers {
        match &mut run {
            Some((_, last)) if n == last.saturating_add(1) => *last = n,
            _ => {
                push(&mut out, run);
                run = Some((n, n));
            }
        }
    }
    push(&mut out, run);
    out
}

fn push(out: &mut String, run: Option<(u32, u32)>) {
    let Some((from, to)) = run else { return };
    if !out.is_empty() {
        out.push(',');
    }
    // Writing to a String cannot fail.
    let _ = if from == to { write!(out, "{from}") } else { write!(out, "{from}:{to}") };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn read_and_resolve() {
        let set = Set::parse("5:1,9,12:*").unwrap();
        let ranges = set.resolve(10);
        let held: Vec<u32> = (1..15).filter(|n| ranges.contains(*n)).collect();
        assert_eq!(held, [1, 2, 3, 4, 5, 9, 10, 11, 12]);
        assert!(set.exceeds(10) && !set.exceeds(12));
        for bad in ["", "0", "1:", ":", "1,,2", "x", "1:2:3", "4294967296", "+1", "-1"] {
            assert_eq!(Set::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn written_short() {
        assert_eq!(format([1, 2, 3, 7, 9, 10]), "1:3,7,9:10");
        assert_eq!(format([]), "");
        assert_eq!(format([u32::MAX]), "4294967295");
    }
}
