//! What is left of the budgets of a connection.

use std::time::Duration;

use super::broken::Broken;
use super::budget::Budget;
use super::deadline::Deadline;

/// The most octets of remarks and counts in one answer, with [`REMARK`] for each beside its own.
const REMARKS: u64 = 4 << 20;
const REMARK: u64 = 64;

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
