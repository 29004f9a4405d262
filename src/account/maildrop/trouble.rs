//! Messages that nothing names and at which the server fails us: it hangs up, or sends more than
//! it announced. They are known by their number and size, as long as those last, so that they
//! hold up no other message for ever.

use std::collections::BTreeMap;

use super::sort::TRIES;
use crate::remote::pop3::Listed;

/// Where they are kept.
pub(super) const KEY: &str = "troubles";
/// Headers of so many are asked for after all: it may have been the line.
const HEADERS: u32 = 2;
/// More of them are a server's that is not well as a whole.
const MOST: usize = 100;

/// A message by its number and its octets as announced.
type Which = (u32, Option<u64>);

/// How often each was tried, and on which day it was last.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Troubles(BTreeMap<Which, (u32, i64)>);

impl Troubles {
    /// Reads what [`Self::print`] wrote; what cannot be read is nothing.
    pub(super) fn parse(text: &str) -> Self {
        let line = |line: &str| {
            let mut words = line.split(' ');
            let number = words.next()?.parse().ok()?;
            let size = words.next()?.parse().ok();
            let (times, day) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
            Some(((number, size), (times, day)))
        };
        Self(text.lines().filter_map(line).collect())
    }

    pub(super) fn print(&self) -> String {
        let line = |((number, size), (times, day)): (&Which, &(u32, i64))| {
            let size = size.map_or_else(|| "-".to_owned(), |size| size.to_string());
            format!("{number} {size} {times} {day}\n")
        };
        self.0.iter().map(line).collect()
    }

    /// Of those that are not in the listing nothing is known any more.
    pub(super) fn retain(&mut self, listed: &[Listed]) {
        if self.0.is_empty() {
            return;
        }
        let there: BTreeMap<u32, Option<u64>> =
            listed.iter().map(|one| (one.number, one.size)).collect();
        self.0.retain(|(number, size), _| there.get(number) == Some(size));
    }

    /// Notes one more failure, or as many as `least`.
    pub(super) fn note(&mut self, which: Which, least: u32, today: i64) {
        if self.0.len() < MOST || self.0.contains_key(&which) {
            let (times, day) = self.0.entry(which).or_default();
            (*times, *day) = (times.saturating_add(1).max(least), today);
        }
    }

    /// How often it failed.
    pub(super) fn times(&self, which: Which) -> Option<u32> {
        self.0.get(&which).map(|(times, _)| *times)
    }

    /// Whether its header is not asked for.
    pub(super) fn is_mute(&self, which: Which) -> bool {
        self.times(which).is_some_and(|times| times >= HEADERS)
    }

    /// Whether it was asked for often enough today.
    pub(super) fn rests(&self, which: Which, today: i64) -> bool {
        self.0.get(&which).is_some_and(|(times, day)| *times >= TRIES && *day == today)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut troubles = Troubles::default();
        troubles.note((2, Some(77)), 1, 5);
        troubles.note((2, Some(77)), 1, 6);
        troubles.note((9, None), TRIES, 6);
        assert_eq!(Troubles::parse(&troubles.print()), troubles);
        assert_eq!((troubles.times((2, Some(77))), troubles.times((2, None))), (Some(2), None));
        assert!(troubles.is_mute((2, Some(77))) && !troubles.rests((2, Some(77)), 6));
        assert!(troubles.rests((9, None), 6) && !troubles.rests((9, None), 7));
        let listed = [Listed { number: 9, uidl: None, size: None }];
        troubles.retain(&listed);
        assert_eq!(troubles.print(), format!("9 - {TRIES} 6\n"));
        assert_eq!(Troubles::parse("x 1 2 3\n4\n\n"), Troubles::default());
    }
}
