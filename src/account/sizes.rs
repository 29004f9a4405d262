//! Bodies that are not as long as the server announced: whether its sizes are estimates, and in
//! how many runs a short body came so (hazard 130).
//!
//! A server that is ill for a while gives empty or cut bodies, each time the same. Such a body is
//! asked for again by later runs, and is kept only if it came with the same length in several of
//! them; an empty one is never kept. Other servers announce estimates for all messages: where most
//! bodies are off and yet look whole, that says nothing of a single one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub(crate) use crate::state::meta::{Short, Sizes};
use crate::state::{StateError, Store, meta};

/// Bodies that are counted; of more, the proportion is kept.
const COUNTED: u64 = 16;
/// Bodies that are off at least where sizes are taken for estimates.
const OFF_LEAST: u64 = 3;
/// Runs in which a short body has to come with the same length until it is kept.
pub(crate) const RUNS: u32 = 4;
/// Seconds until a short body is asked for again, at first and at most; runs until then where a
/// person asks for each of them. Both are doubled each time.
const WAITS: (i64, i64) = (60, 6 * 60 * 60);
const RUNS_MAX: i64 = 32;
/// Short bodies that are remembered.
const MOST: usize = 1000;
/// Octets by which a body that is made anew each time differs in length.
const ALIKE: u64 = 64;

/// Comparison of announced sizes with those received, shared by all connections of a run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shared(Arc<Mutex<Sizes>>);

impl Shared {
    pub(crate) fn load(store: &Store) -> Self {
        let sizes = store.fact(&meta::ANNOUNCED_SIZES).ok().flatten().unwrap_or_default();
        Self(Arc::new(Mutex::new(sizes)))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Sizes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what was counted for later runs.
    pub(crate) fn keep(&self, store: &mut Store) -> Result<(), StateError> {
        let sizes = *self.lock();
        if store.fact(&meta::ANNOUNCED_SIZES)? == Some(sizes) {
            return Ok(());
        }
        store.transaction(|tx| tx.set_fact(&meta::ANNOUNCED_SIZES, &sizes))
    }
}

impl Sizes {
    /// Counts bodies that came together: those as long as announced, and others that look whole.
    pub(crate) fn add(&mut self, right: u64, off: u64) {
        let (right, off) = (self.right.saturating_add(right), self.off.saturating_add(off));
        let total = right.saturating_add(off).max(1);
        *self = match total > COUNTED {
            true => {
                let off = off.saturating_mul(COUNTED).saturating_add(total / 2) / total;
                Self { right: COUNTED.saturating_sub(off), off }
            }
            false => Self { right, off },
        };
    }

    /// Whether a size says nothing of whether a body is whole.
    pub(crate) fn are_estimates(self) -> bool {
        self.off >= OFF_LEAST && self.off > self.right
    }
}

/// Whether two bodies are of about the same length.
pub(crate) fn are_alike(a: u64, b: u64) -> bool {
    a.abs_diff(b) <= ALIKE && (a == 0) == (b == 0)
}

impl<K> Short<K> {
    /// Whether it is asked for again; `asked` if a person asks for this run.
    pub(crate) fn is_due(&self, run: i64, now: i64, asked: bool) -> bool {
        let doublings = self.runs.saturating_sub(1).min(20);
        let wait = (WAITS.0 << doublings).min(WAITS.1);
        let runs = (1_i64 << doublings).min(RUNS_MAX);
        now >= self.at.saturating_add(wait) || (asked && run >= self.last.saturating_add(runs))
    }
}

/// Notes that a body came so. Gives in how many runs it did.
pub(crate) fn note<K: PartialEq>(
    list: &mut Vec<Short<K>>,
    row: K,
    octets: u64,
    (run, now): (i64, i64),
) -> u32 {
    let before = list.iter().position(|short| short.row == row).map(|at| list.remove(at));
    let runs = match before.filter(|before| are_alike(before.octets, octets)) {
        Some(before) if before.last == run => before.runs,
        Some(before) => before.runs.saturating_add(1),
        None => 1,
    };
    if list.len() >= MOST {
        list.remove(0);
    }
    list.push(Short { row, octets, runs, last: run, at: now });
    runs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reconcile::types::RowId;
    use crate::state::meta::Fact as _;

    #[test]
    fn hazard_130_sizes_are_estimates_where_most_bodies_are_off() {
        for (batches, are_estimates) in [
            (&[(0, 2)][..], false),
            (&[(0, 3)], true),
            (&[(0, 2), (0, 1)], true),
            (&[(4, 3)], false),
            (&[(1000, 900)], false),
            (&[(10, 900)], true),
            (&[(1000, 0), (0, 5)], false),
            (&[(0, 1000), (20, 0)], false),
        ] {
            let mut sizes = Sizes::default();
            batches.iter().for_each(|(right, off)| sizes.add(*right, *off));
            assert_eq!(sizes.are_estimates(), are_estimates, "{batches:?}: {sizes:?}");
            assert_eq!(Sizes::parse(&sizes.print()), Some(sizes));
        }
    }

    #[test]
    fn hazard_130_runs_are_counted_while_the_length_stays_the_same() {
        let mut list = Vec::new();
        let mut runs = |octets, run| note(&mut list, RowId(1), octets, (run, 0));
        assert_eq!([runs(60, 1), runs(60, 1), runs(60, 2), runs(62, 4)], [1, 1, 2, 3]);
        assert_eq!([runs(0, 5), runs(0, 6), runs(60, 7), runs(400, 8)], [1, 2, 1, 1]);
    }
}
