//! `pause`, `resume` and `log`: words to a running daemon.

use super::context::Context;
use crate::cli::answer::{Answer, answer};
use crate::cli::exit::Exit;
use crate::cli::report::Failure;
use crate::cli::running::{self, Pausing};
use crate::daemon::volume::Level;

/// Lets a running daemon pause or go on, with one account or with all.
pub(super) fn pause(
    context: &Context<'_>,
    account: Option<&String>,
    pausing: Pausing,
) -> Result<Answer, Failure> {
    if let Some(name) = account {
        context.account(name)?;
    }
    let views = running::pause(context.config, account, pausing)?;
    let text = context.unless_quiet(|| running::states(&views));
    answer(text, "accounts", &views, Exit::InSync)
}

/// Sets what a running daemon logs.
pub(super) fn log(
    context: &Context<'_>,
    account: Option<&String>,
    level: Level,
) -> Result<Answer, Failure> {
    running::log(context.config, account, level)?;
    context.nothing()
}
