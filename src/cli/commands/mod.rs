//! A file for each command.

mod adopt;
mod check;
mod context;
mod holds;
mod pause;
mod run;
mod service;
mod status;
mod sync;

use std::time::{SystemTime, UNIX_EPOCH};

use self::context::Context;
use super::answer::{Answer, answer};
use super::args::{Command, Global};
use super::exit::Exit;
use super::output::Style;
use super::report::{Decision, Failure};
use super::running::Pausing;
use crate::account::{Depth, RunRequest};
use crate::config::{Config, Env};

/// Carries out a command.
pub(super) fn execute(command: &Command, global: &Global, style: Style) -> Result<Answer, Failure> {
    let config = Config::load(global.config.as_deref(), &Env::of_process())
        .map_err(|error| Failure::new(Exit::Usage, error.to_string()));
    if let Command::Service { action } = command {
        // A config that is wrong is no reason not to uninstall.
        return service::execute(*action, config.as_ref(), global, style);
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    let config = &config?;
    let context = &Context { config, global, style, now };
    match command {
        Command::Sync { targets, dry_run: false } => {
            sync::sync(context, targets, &RunRequest::default())
        }
        Command::Sync { targets, dry_run: true } => {
            sync::sync(context, targets, &RunRequest::dry_run())
        }
        Command::Verify { targets, bodies } => {
            let depth = if *bodies { Depth::Bodies } else { Depth::Files };
            sync::sync(context, targets, &RunRequest::verify(depth))
        }
        Command::Run => run::run(context),
        Command::Pause { account } => pause::pause(context, account.as_ref(), Pausing::Pause),
        Command::Resume { account } => pause::pause(context, account.as_ref(), Pausing::Resume),
        Command::Log { level, account } => pause::log(context, account.as_ref(), *level),
        Command::Status { watch: true } => status::watch(context),
        Command::Status { watch: false } => status::status(context),
        Command::Holds { account } => holds::list(context, account.as_ref()),
        Command::Approve { id } => holds::decide(context, id, Decision::Approved),
        Command::Reject { id } => holds::decide(context, id, Decision::Rejected),
        Command::Check => {
            let checked = check::Checked::of(config);
            answer(checked.words(global.quiet, style), "check", &checked, checked.exit())
        }
        Command::Adopt { account } => adopt::adopt(context, account),
        Command::Service { action } => service::execute(*action, Ok(config), global, style),
    }
}
