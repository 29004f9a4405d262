//! Limits on what a server may send: octets and time, for each command and for the sign-in.
//!
//! Every command is sent with a [`Budget`], so none can be written without one. Commands under way
//! at the same time share the sum of theirs. Greeting, TLS and sign-in share one
//! ([`Budget::SIGN_IN`]), whatever number of commands that takes.

use std::time::Duration;

use super::broken::Broken;
use super::deadline::Deadline;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// The most octets that a command may bring apart from what was asked for by size.
const MOST: u64 = 256 << 20;

/// The most octets of remarks and counts in one answer, with [`REMARK`] for each beside its own.
const REMARKS: u64 = 4 << 20;
const REMARK: u64 = 64;

/// Least average speed of a transfer, in octets per second: each octet that comes extends the
/// time of a command by this much.
pub(crate) const FLOOR: u64 = 1 << 10;

/// What the answer to a command may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Budget {
    /// Octets of one line.
    pub(crate) line: usize,
    /// Octets of one response with the literals that are held in memory.
    pub(crate) response: usize,
    /// Octets in all.
    pub(crate) octets: u64,
    /// How long may be waited for the tagged answer, in timeouts of the account.
    pub(crate) timeouts: u32,
    /// Whether the time grows with what was transferred, see [`FLOOR`].
    pub(crate) transfer: bool,
}

impl Budget {
    /// Nothing is under way, so nothing may come.
    pub(crate) const NONE: Self =
        Self { line: 0, response: 0, octets: 0, timeouts: 0, transfer: false };
    /// Connecting, TLS, the greeting and all commands up to the end of the sign-in.
    pub(crate) const SIGN_IN: Self =
        Self { line: 64 * KIB, response: 64 * KIB, octets: 256 << 10, timeouts: 3, ..Self::NONE };
    /// Commands that are done at once: what else happened in the mailbox may come along.
    pub(crate) const SHORT: Self =
        Self { line: 4 * MIB, response: 4 * MIB, octets: 16 << 20, timeouts: 5, ..Self::NONE };
    /// Commands that a server may work at for long: STORE, COPY, MOVE, EXPUNGE, RENAME.
    pub(crate) const LONG: Self = Self { timeouts: 30, ..Self::SHORT };
    /// LIST, with STATUS of every mailbox.
    pub(crate) const LIST: Self =
        Self { line: 64 * KIB, response: 64 * KIB, octets: 32 << 20, timeouts: 30, ..Self::NONE };
    /// SEARCH: a line with the UIDs of two million messages fits.
    pub(crate) const SEARCH: Self =
        Self { line: 16 * MIB, response: 16 * MIB, octets: 32 << 20, timeouts: 30, ..Self::NONE };
    /// SELECT with what changed since.
    pub(crate) const SELECT: Self =
        Self { octets: 128 << 20, timeouts: 10, transfer: true, ..Self::SEARCH };
    /// What is told unasked by NOTIFY and IDLE until it is renewed; the timeout is the renewal.
    pub(crate) const LISTEN: Self = Self { timeouts: 2, ..Self::SHORT };
    /// UIDL and LIST of POP3.
    pub(crate) const MAILDROP: Self =
        Self { line: 64 * KIB, octets: 128 << 20, timeouts: 10, transfer: true, ..Self::LIST };

    /// FETCH of attributes of so many messages.
    pub(crate) fn rows(messages: u64) -> Self {
        let octets = (4 << 20) + messages.saturating_mul(2 << 10);
        Self { line: 256 * KIB, response: 256 * KIB, octets: octets.min(MOST), ..Self::SELECT }
    }

    /// Whole messages or headers, so many. Only what surrounds them: each text that is wanted is
    /// [granted](Allowance::grant) with its length when it begins.
    pub(crate) fn texts(messages: u64) -> Self {
        let octets = (4 << 20) + messages.saturating_mul(8 << 10);
        Self { line: MIB, response: 2 * MIB, octets: octets.min(MOST), ..Self::SELECT }
    }

    /// Both under way.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            line: self.line.max(other.line),
            response: self.response.max(other.response),
            octets: self.octets.saturating_add(other.octets),
            timeouts: self.timeouts.max(other.timeouts),
            transfer: self.transfer || other.transfer,
        }
    }
}

/// What is left of the budgets of a connection, in octets and in time.
pub(crate) struct Allowance {
    budget: Budget,
    taken: u64,
    remarks: u64,
    /// Until the sign-in is over no command gets a budget of its own.
    signed_in: bool,
    pub(crate) reading: Deadline,
    pub(crate) writing: Deadline,
}

impl Allowance {
    /// For a new connection, whose server may be silent for so long.
    pub(crate) fn new(silence: Duration) -> Self {
        Self {
            budget: Budget::SIGN_IN,
            taken: 0,
            remarks: 0,
            signed_in: false,
            reading: Deadline::new(silence),
            writing: Deadline::new(silence),
        }
    }

    /// Without limits of octets, for tests of what lies below.
    #[cfg(any(test, feature = "fuzz"))]
    pub(crate) fn unlimited(silence: Duration) -> Self {
        let mut allowance = Self::new(silence);
        allowance.signed_in();
        let (line, response) = (usize::MAX, usize::MAX);
        allowance.begin(Budget { line, response, octets: u64::MAX, ..Budget::LONG });
        allowance
    }

    /// The limits in force.
    pub(crate) fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Commands with this sum of budgets are under way from now on.
    pub(crate) fn begin(&mut self, budget: Budget) {
        if self.signed_in {
            (self.budget, self.taken, self.remarks) = (budget, 0, 0);
            self.reading.begin(&budget);
            self.writing.begin(&budget);
        } else {
            self.met();
        }
    }

    /// One more command is under way beside others.
    pub(crate) fn add(&mut self, budget: Budget) {
        if self.signed_in {
            self.budget = self.budget.and(budget);
            self.reading.extend(&self.budget);
            self.writing.extend(&self.budget);
        }
        self.met();
    }

    /// The sign-in is over.
    pub(crate) fn signed_in(&mut self) {
        self.signed_in = true;
    }

    /// Another limit for silence.
    pub(crate) fn set_silence(&mut self, silence: Duration) {
        self.reading.set_silence(silence);
        self.writing.set_silence(silence);
    }

    /// Silence is counted anew.
    pub(crate) fn met(&mut self) {
        self.reading.met();
        self.writing.met();
    }

    /// So many more octets are wanted.
    pub(crate) fn grant(&mut self, octets: u64) {
        self.budget.octets = self.budget.octets.saturating_add(octets);
    }

    /// Octets came.
    ///
    /// # Errors
    /// More than the budget.
    pub(crate) fn take(&mut self, octets: usize) -> Result<(), Broken> {
        self.reading.moved(octets);
        self.taken = self.taken.saturating_add(octets as u64);
        match self.taken > self.budget.octets {
            true => Err(Broken::Limit("the answer", self.budget.octets)),
            false => Ok(()),
        }
    }

    /// A response came that is no part of an answer: a remark, a number of messages.
    ///
    /// # Errors
    /// There were too many.
    pub(crate) fn remark(&mut self, octets: usize) -> Result<(), Broken> {
        self.remarks = self.remarks.saturating_add(octets as u64 + REMARK);
        match self.remarks > REMARKS {
            true => Err(Broken::Limit("remarks of the server", REMARKS)),
            false => Ok(()),
        }
    }

    /// Whether a line, and the response that it is part of, are short enough.
    ///
    /// # Errors
    /// One is not.
    pub(crate) fn fits(&self, line: usize, response: usize) -> Result<(), Broken> {
        if line > self.budget.line {
            return Err(Broken::Limit("a line", self.budget.line as u64));
        }
        if response > self.budget.response {
            return Err(Broken::Limit("a response", self.budget.response as u64));
        }
        Ok(())
    }
}
