//! Every n-th case of all, on all cores.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use kit::world::Ending;

use super::actions::ACTIONS;
use super::{Case, Start, Verdicts, judged};

/// How often it is said how far it is.
const REPORTS: usize = 50;

/// All cases, in a fixed order.
struct Cases {
    starts: Vec<Start>,
    /// The number of the first case of each start.
    firsts: Vec<usize>,
    total: usize,
}

impl Cases {
    const PER_POINT: usize = ACTIONS.len() * Ending::ALL.len();

    fn all() -> Self {
        let starts = Start::all();
        let (mut firsts, mut total) = (Vec::new(), 0);
        for start in &starts {
            firsts.push(total);
            total += usize::try_from(start.points).expect("few points") * Self::PER_POINT;
        }
        Self { starts, firsts, total }
    }

    fn get(&self, at: usize) -> Case<'_> {
        let of = self.firsts.partition_point(|first| *first <= at) - 1;
        let at = at - self.firsts[of];
        let rest = at % Self::PER_POINT;
        Case {
            start: &self.starts[of],
            point: u64::try_from(at / Self::PER_POINT).expect("few points") + 1,
            action: ACTIONS[rest / Ending::ALL.len()],
            ending: Ending::ALL[rest % Ending::ALL.len()],
        }
    }
}

/// What came of the cases that had something to act on.
#[derive(Default)]
struct Tally {
    /// Tried and failed, by action and ending.
    counts: BTreeMap<(&'static str, &'static str), (u64, u64)>,
    /// Failures that are alike: how many, the first one and what was wrong with it.
    groups: BTreeMap<String, (u64, String, Vec<String>)>,
}

impl Tally {
    fn add(&mut self, case: Case<'_>, faults: Vec<String>) {
        let count = self.counts.entry((case.action.0, case.ending.0)).or_default();
        count.0 += 1;
        if faults.is_empty() {
            return;
        }
        count.1 += 1;
        let kinds: BTreeSet<&str> =
            faults.iter().map(|fault| fault.split(':').next().unwrap_or_default()).collect();
        let kinds: Vec<&str> = kinds.into_iter().collect();
        let kinds = kinds.join("+");
        println!("{kinds} MAILTIDE_HAND='{}'", case.name());
        let group = format!("{kinds} {} {}", case.action.0, case.start.scenario);
        self.groups.entry(group).or_insert_with(|| (0, case.name(), faults)).0 += 1;
    }

    fn tried(&self) -> (u64, u64) {
        self.counts.values().fold((0, 0), |sum, count| (sum.0 + count.0, sum.1 + count.1))
    }

    /// Tried and failed cases of each action, by ending.
    fn table(&self) -> String {
        let mut lines = Vec::new();
        for (action, _) in ACTIONS {
            let count = |ending| self.counts.get(&(action, ending)).copied().unwrap_or_default();
            let cells = Ending::ALL.map(|(ending, _)| {
                let (tried, failed) = count(ending);
                format!("{ending} {tried:>7} ({failed} failed)")
            });
            lines.push(format!("{action:<18} {}", cells.join("  ")));
        }
        lines.join("\n")
    }
}

/// Tries every `stride`-th case after the `first`; fails with a line to repeat for each group of
/// failures.
pub(super) fn every(stride: usize, first: usize) {
    let begun = Instant::now();
    let cases = Cases::all();
    let of = cases.total.saturating_sub(first).div_ceil(stride);
    let next = AtomicUsize::new(0);
    let tally: Mutex<Tally> = Mutex::default();
    let known = Verdicts::default();
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= of {
                break;
            }
            let case = cases.get(first + number * stride);
            let faults = if case.applies() { judged(case, &known) } else { None };
            let mut tally = tally.lock().expect("no panic");
            if let Some(faults) = faults {
                tally.add(case, faults);
            }
            if number.is_multiple_of(of.div_ceil(REPORTS)) {
                let (tried, failed) = tally.tried();
                let time = begun.elapsed().as_secs();
                println!("{number} of {of} in {time} s: {tried} tried, {failed} failed");
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let tally = tally.into_inner().expect("no panic");
    println!("{}", tally.table());
    let points: u64 = cases.starts.iter().map(|start| start.points).sum();
    let (tried, failed) = tally.tried();
    println!(
        "{points} points x {} actions x {} endings, every {stride}th from {first}: {tried} tried, \
         {failed} failed, {} worlds judged, in {:?}",
        ACTIONS.len(),
        Ending::ALL.len(),
        known.lock().expect("no panic").len(),
        begun.elapsed()
    );
    let mut lines = Vec::new();
    for (group, (count, first, faults)) in &tally.groups {
        let faults = faults.join("\n  ");
        lines.push(format!("{count} x {group}\n  MAILTIDE_HAND='{first}'\n  {faults}"));
    }
    assert!(lines.is_empty(), "{} groups\n{}", lines.len(), lines.join("\n"));
}
