//! Not more warnings than anybody reads: what a server, a disk or a message gives cause for must
//! not fill the log.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Warnings that an account may give at once, and from then on in a second.
const AT_ONCE: f64 = 500.0;
const PER_SECOND: f64 = 1.0;
/// Characters of a line.
const LINE: usize = 2_000;

/// What accounts may still say, by the names of their threads.
#[derive(Debug, Default)]
pub(super) struct Limit(Mutex<BTreeMap<String, Left>>);

#[derive(Debug)]
struct Left {
    lines: f64,
    at: Instant,
    left_out: u64,
}

impl Limit {
    /// Takes note of a warning at this time. None where it is one too many, else how many were left
    /// out before it.
    pub(super) fn take(&self, thread: &str, now: Instant) -> Option<u64> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Left { lines: AT_ONCE, at: now, left_out: 0 };
        let left = all.entry(thread.to_owned()).or_insert_with(new);
        let gained = now.saturating_duration_since(left.at).as_secs_f64() * PER_SECOND;
        (left.lines, left.at) = ((left.lines + gained).min(AT_ONCE), now);
        if left.lines < 1.0 {
            left.left_out = left.left_out.saturating_add(1);
            return None;
        }
        left.lines -= 1.0;
        Some(std::mem::take(&mut left.left_out))
    }
}

/// A line that is not too long.
pub(super) fn cut(text: &str) -> &str {
    text.char_indices().nth(LINE).map_or(text, |(at, _)| &text[..at])
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_flood_of_warnings_is_counted_and_takes_nothing_from_others() {
        let (limit, begun) = (Limit::default(), Instant::now());
        let told = (0..10_000).filter(|_| limit.take("bad", begun).is_some()).count();
        assert_eq!(told, 500);
        assert_eq!(limit.take("good", begun), Some(0));
        let later = begun + Duration::from_secs(2);
        assert_eq!(limit.take("bad", later), Some(9_500));
        assert_eq!(limit.take("bad", later), Some(0));
        assert_eq!(limit.take("bad", later), None);
    }

    #[test]
    fn long_lines_are_cut_between_characters() {
        assert_eq!(cut(&"ü".repeat(5_000)).chars().count(), LINE);
        assert_eq!(cut("short"), "short");
    }
}
