//! Where commands meet the engine: from the config to what is reported.

use super::args::Target;
use super::exit::Exit;
use super::interrupt::Interrupt;
use super::report::{AccountOutcome, Decision, Failure, HoldView, StatusView};
use crate::config::Config;

fn not_linked() -> Failure {
    Failure::new(Exit::Usage, "the engine is not linked into this build")
}

/// Brings both sides into step; `targets` are known to the config, none means all accounts.
pub(super) fn sync(
    _config: &Config,
    _targets: &[Target],
    _dry_run: bool,
    _interrupt: &Interrupt,
) -> Result<Vec<AccountOutcome>, Failure> {
    Err(not_linked())
}

/// How every account stands, from its store; nothing is connected to or changed.
pub(super) fn status(_config: &Config) -> Result<Vec<StatusView>, Failure> {
    Err(not_linked())
}

/// Notes what a person said to a hold, and returns the hold with that.
pub(super) fn decide(
    _config: &Config,
    _id: &str,
    _decision: Decision,
) -> Result<HoldView, Failure> {
    Err(not_linked())
}

/// Makes the Maildir of an account (known to the config) ours; says what was done.
pub(super) fn adopt(_config: &Config, _account: &str) -> Result<String, Failure> {
    Err(not_linked())
}
