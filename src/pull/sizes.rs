//! Octets that a server announces for a message, against those that it gives.
//!
//! Servers count in ways of their own: a line end as one octet, a "From " line or a status
//! field that is not sent, whole blocks of a disk. A few octets are always allowed for; what is
//! the same for all messages is [learnt](Habit). Everything else that is missing was cut off.

pub(super) use crate::state::meta::Habit;

/// Octets by which any server may miscount, of a message that is long enough.
const MISCOUNTED: u64 = 64;
/// The most octets that may be counted on top of every message.
const OFFSET_MAX: u64 = 1024;
/// Fewer bodies than this show no habit.
const LEAST: usize = 4;

/// One message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) announced: u64,
    /// Octets that came, with CRLF for each line end.
    pub(super) came: u64,
}

impl Size {
    fn missing(self) -> u64 {
        self.announced.saturating_sub(self.came)
    }

    /// Whether so little came that some of it was cut off.
    pub(super) fn is_short(self, habit: Option<Habit>) -> bool {
        let allowed = (self.announced / 8).clamp(8, MISCOUNTED);
        self.missing() > allowed && !habit.is_some_and(|habit| habit.explains(self))
    }
}

impl Habit {
    /// The habit that most of these bodies show, if they are enough and of different lengths:
    /// bodies that are all cut off at one place show none.
    pub(super) fn learn(sizes: &[Size]) -> Option<Self> {
        let shortest = sizes.iter().map(|size| size.came).min()?;
        let longest = sizes.iter().map(|size| size.came).max()?;
        if sizes.len() < LEAST || longest < shortest.saturating_mul(2) {
            return None;
        }
        let mut missing: Vec<u64> = sizes.iter().map(|size| size.missing()).collect();
        missing.sort_unstable();
        let offset = missing[missing.len() / 2];
        let mut percent: Vec<u64> = sizes
            .iter()
            .map(|size| size.announced.saturating_mul(100) / size.came.max(1))
            .collect();
        percent.sort_unstable();
        let percent = percent[percent.len() / 2];
        let blocks = [512, 1024, 4096].map(Self::Blocks);
        let habits = (offset > 8 && offset <= OFFSET_MAX).then_some(Self::Offset(offset));
        let habits = habits.into_iter().chain(blocks);
        let mut habits =
            habits.chain((102..=150).contains(&percent).then_some(Self::Percent(percent)));
        habits.find(|habit| {
            let explained = sizes.iter().filter(|size| habit.explains(**size)).count();
            explained * 4 >= sizes.len() * 3
        })
    }

    fn explains(self, size: Size) -> bool {
        match self {
            Self::Offset(offset) => size.missing().abs_diff(offset) <= MISCOUNTED / 2,
            Self::Blocks(block) => size.announced.is_multiple_of(block) && size.missing() < block,
            Self::Percent(percent) => {
                let expected = size.came.saturating_mul(percent) / 100;
                size.announced.abs_diff(expected) <= size.announced / 50
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::meta::Fact as _;

    fn sizes(pairs: &[(u64, u64)]) -> Vec<Size> {
        pairs.iter().map(|(announced, came)| Size { announced: *announced, came: *came }).collect()
    }

    #[test]
    fn clearly_shorter_is_short() {
        let table = [
            ((100_000, 130), true),
            ((5_104, 5_104), false),
            ((5_104, 5_050), false),
            ((5_104, 5_000), true),
            ((100, 40), true),
            ((100, 90), false),
            ((100, 4_000), false),
            ((40, 34), false),
        ];
        for ((announced, came), expected) in table {
            assert_eq!(Size { announced, came }.is_short(None), expected, "{announced} {came}");
        }
    }

    #[test]
    fn a_habit_is_that_of_most_messages_and_no_cut() {
        let offset = sizes(&[(1_200, 1_000), (3_205, 3_000), (700, 502), (9_000, 8_800)]);
        let blocks = sizes(&[(512, 100), (1_024, 900), (4_608, 4_100), (512, 511)]);
        let percent = sizes(&[(13_300, 10_000), (2_660, 2_000), (66_500, 50_000), (5_320, 4_000)]);
        let cut = sizes(&[(1_200, 130), (3_200, 130), (700, 130), (100_000, 130)]);
        let cut_anywhere = sizes(&[(1_200, 130), (3_200, 800), (7_000, 90), (100_000, 2_000)]);
        let exact = sizes(&[(1_000, 1_000), (3_000, 3_000), (7_000, 7_000), (700, 130)]);
        assert_eq!(Habit::learn(&offset), Some(Habit::Offset(200)));
        assert_eq!(Habit::learn(&blocks), Some(Habit::Blocks(512)));
        assert_eq!(Habit::learn(&percent), Some(Habit::Percent(133)));
        for none in [cut, cut_anywhere, exact, sizes(&[(1_200, 1_000)]), Vec::new()] {
            assert_eq!(Habit::learn(&none), None, "{none:?}");
        }
        let habit = Some(Habit::Offset(200));
        assert!(!Size { announced: 1_200, came: 1_000 }.is_short(habit));
        assert!(Size { announced: 100_000, came: 130 }.is_short(habit));
        for habit in [Habit::Offset(9), Habit::Blocks(512), Habit::Percent(133)] {
            assert_eq!(Habit::parse(&habit.print()), Some(habit));
        }
        assert_eq!(Habit::parse("offset 0"), None);
    }
}
