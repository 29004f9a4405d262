//! One suspect, and how often it is asked for again.

use super::thing::Thing;

/// Losses at one thing, the last of them alone, after which it is set aside.
pub(super) const LOSSES: u32 = 2;
/// Seconds until a thing that was set aside is asked for again, at first and at most.
pub(super) const WAITS: (i64, i64) = (60, 6 * 60 * 60);
/// The first wait is at least so many times as long as was waited for the answer that never came.
pub(super) const REST: i64 = 8;
/// Runs until then where a person asks for each of them, at most.
const RUNS_MAX: i64 = 32;

/// A thing at which a connection was lost, or that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspect {
    /// What it is.
    pub thing: Thing,
    /// How often, as part of a set or alone.
    pub losses: u32,
    /// When it is asked for again, in seconds since 1970.
    pub next: i64,
    /// From which run on, where a person asks for it.
    pub next_run: i64,
    /// What happened, in the server's words where it had any.
    pub words: String,
    /// What a person knows it by, where that is known: the subject of a message.
    pub title: Option<String>,
}

impl Suspect {
    /// What is left of a set was not tried alone yet: it may be innocent.
    pub(super) fn is_left_alone(&mut self) {
        if self.thing.is_one() {
            self.losses = self.losses.min(LOSSES - 1);
        }
    }

    /// Whether nothing else depends on it any more.
    #[must_use]
    pub fn is_set_aside(&self) -> bool {
        self.losses >= LOSSES && self.thing.is_one()
    }
}

fn tries(losses: u32) -> u32 {
    losses.saturating_sub(LOSSES).min(20)
}

/// Seconds after which it is asked for again; `silent`: how long an answer was waited for.
pub(super) fn seconds(losses: u32, silent: i64) -> i64 {
    let first = WAITS.0.max(silent.saturating_mul(REST));
    first.saturating_mul(1 << tries(losses)).min(WAITS.1)
}

/// Runs after which it is asked for again where a person asks for each.
pub(super) fn runs(losses: u32) -> i64 {
    (1_i64 << tries(losses)).min(RUNS_MAX)
}
