//! `mailtide status`: how the accounts stand.

use super::context::Context;
use crate::cli::answer::{Answer, answer};
use crate::cli::exit::Exit;
use crate::cli::report::{self, Failure, StatusView};
use crate::cli::standing::standing;
use crate::cli::{output, running};

/// How the accounts stand now: by their stores, and by the daemon that keeps them.
pub(super) fn status(context: &Context<'_>) -> Result<Answer, Failure> {
    let mut views = standing(context.config)?;
    let live = running::status(context.config).unwrap_or_default();
    for view in &mut views {
        view.now = live.iter().find(|now| now.account == view.account).cloned();
    }
    let exit = Exit::gravest(views.iter().map(StatusView::exit));
    let text = context.unless_quiet(|| report::status(&views, context.now, context.style));
    answer(text, "accounts", &views, exit)
}

/// Shows each state in place of the one before, or, for a program, in a line of its own.
pub(super) fn watch(context: &Context<'_>) -> Result<Answer, Failure> {
    running::watch(context.config, &mut |views| match context.global.json {
        true => output::show(&output::json_line(&serde_json::json!({ "accounts": views }))?),
        false => output::show(&running::table(views)),
    })?;
    context.nothing()
}
