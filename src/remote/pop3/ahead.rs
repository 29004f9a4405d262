//! Commands for many messages: several under way where the server allows it (RFC 2449 §6.6),
//! never more than it can be trusted to answer while we listen.

use std::collections::VecDeque;

use crate::remote::budget::Budget;

/// How many commands may wait for their answers at a time.
pub(crate) const WINDOW: usize = 64;
/// How many octets of bodies may be under way behind the one that is being read; a larger one
/// goes alone there. Without any the server would have nothing more to say at its end: it may
/// then hold the last octets back until all before are acknowledged (RFC 896), and an
/// acknowledgement takes its time (RFC 1122 §4.2.3.2).
pub(crate) const OCTETS: u64 = 4 << 20;
/// What a body counts whose size was not announced.
pub(super) const UNKNOWN: u64 = OCTETS / 16;

/// Messages that a command goes out for, some ahead of their answers.
#[derive(Debug)]
pub(crate) struct Ahead {
    pub(super) rest: VecDeque<u32>,
    /// Messages and their octets, in the order of the commands.
    pub(super) under_way: VecDeque<(u32, u64)>,
    pub(super) octets: u64,
    /// Whether the answers are bodies.
    pub(super) bodies: bool,
    /// What each answer may cost.
    pub(super) budget: Budget,
}

impl Ahead {
    /// Commands with short answers.
    pub(crate) fn short(numbers: &[u32]) -> Self {
        let rest = numbers.iter().copied().collect();
        Self { rest, under_way: VecDeque::new(), octets: 0, bodies: false, budget: Budget::SHORT }
    }

    /// Commands that are answered by headers.
    pub(crate) fn headers(numbers: &[u32]) -> Self {
        Self { budget: Budget::texts(1), ..Self::short(numbers) }
    }

    /// Commands that are answered by whole messages.
    pub(crate) fn bodies(numbers: &[u32]) -> Self {
        Self { bodies: true, ..Self::headers(numbers) }
    }

    /// Sends no further commands.
    pub(crate) fn stop(&mut self) {
        self.rest.clear();
    }

    pub(super) fn has_room(&self, window: usize, octets: u64) -> bool {
        let Some((_, first)) = self.under_way.front() else { return true };
        let is_next = self.under_way.len() == 1;
        let fits = is_next || self.octets - first + octets <= OCTETS;
        self.under_way.len() < window && fits
    }
}
