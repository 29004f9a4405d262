//! The command line: reads the config, runs one command, reports, and ends with a code.

mod answer;
pub mod args;
mod check;
mod daemon;
pub mod exit;
mod holds;
pub mod interrupt;
pub mod logging;
pub mod output;
pub mod problem;
pub mod progress;
pub mod report;
mod run;
mod service;
mod store;
pub mod verified;

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Parser as _;

use self::answer::{Answer, answer};
use self::args::{Cli, Command, Global, Target};
use self::daemon::Pausing;
use self::exit::Exit;
use self::interrupt::Interrupt;
use self::output::Style;
use self::progress::{Audience, screen};
use self::report::{Decision, Failure, HoldView};
use crate::account::{Depth, RunRequest};
use crate::config::{Config, Env};
use crate::reconcile::types::printable;

/// Runs the program: the arguments are those of the process.
#[must_use]
pub fn main() -> ExitCode {
    keep_memory_private();
    let Cli { command, global } = Cli::parse();
    // A service tells of each run; a command only of what goes wrong.
    let service = u8::from(matches!(command, Command::Run));
    logging::start(global.quiet, global.verbose.saturating_add(service));
    let style = Style::of(std::io::stdout().is_terminal());
    let exit = match execute(&command, &global, style) {
        Ok(answer) => show(&answer, &global),
        Err(failure) => fail(&failure, &command, &global),
    };
    exit.into()
}

/// No core is written of what holds passwords, and no other process of the user reads it
/// (ptrace(2), /proc/PID/mem). A program that was allowed neither still works.
fn keep_memory_private() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
}

/// Prints the answer; a stdout that cannot be written to is the one thing that may go wrong.
fn show(answer: &Answer, global: &Global) -> Exit {
    let printed = match global.json {
        true => json(&answer.json, answer.event).and_then(|text| output::print(&text)),
        false => output::print(&answer.text),
    };
    match printed {
        Ok(()) => answer.exit,
        Err(error) => {
            screen::complain(&format!("mailtide: cannot write to stdout: {error}"));
            Exit::gravest([answer.exit, Exit::Skipped])
        }
    }
}

/// What a program reads: the last line of a command that told events, or all there is.
fn json(value: &serde_json::Value, event: bool) -> std::io::Result<String> {
    let mut value = value.clone();
    match value.as_object_mut().filter(|_| event) {
        Some(object) => {
            object.insert("event".to_owned(), "done".into());
            output::json_line(&value)
        }
        None => output::json(&value),
    }
}

/// Says what kept the command from being run at all.
fn fail(failure: &Failure, command: &Command, global: &Global) -> Exit {
    // A config error has a line of its own for each mistake.
    for line in failure.text.lines() {
        screen::complain(&format!("mailtide: {}", printable(line)));
    }
    if let Some(advice) = &failure.advice {
        screen::complain(&format!("  {}", printable(advice)));
    }
    if global.json {
        let value = serde_json::json!({ "error": failure, "exit": failure.exit });
        let event = matches!(command, Command::Sync { .. } | Command::Verify { .. });
        let _ = json(&value, event).and_then(|text| output::print(&text));
    }
    failure.exit
}

fn execute(command: &Command, global: &Global, style: Style) -> Result<Answer, Failure> {
    let config = Config::load(global.config.as_deref(), &Env::of_process())
        .map_err(|error| Failure::new(Exit::Usage, error.to_string()));
    if let Command::Service { action } = command {
        // A config that is wrong is no reason not to uninstall.
        return service::execute(*action, config.as_ref(), global, style);
    }
    let config = config?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    match command {
        Command::Sync { targets, dry_run: false } => {
            sync(&config, targets, &RunRequest::default(), global, style)
        }
        Command::Sync { targets, dry_run: true } => {
            sync(&config, targets, &RunRequest::dry_run(), global, style)
        }
        Command::Verify { targets, bodies } => {
            let depth = if *bodies { Depth::Bodies } else { Depth::Files };
            sync(&config, targets, &RunRequest::verify(depth), global, style)
        }
        Command::Run => {
            daemon::run(&config, global)?;
            answer(String::new(), "accounts", &[(); 0], Exit::Agreed)
        }
        Command::Pause { account } => pause(&config, account.as_ref(), Pausing::Pause, global),
        Command::Resume { account } => pause(&config, account.as_ref(), Pausing::Resume, global),
        Command::Status { watch: true } => watch(&config, global),
        Command::Status { watch: false } => status(&config, now, global, style),
        Command::Log { level, account } => {
            daemon::log(&config, account.as_ref(), *level)?;
            answer(String::new(), "accounts", &[(); 0], Exit::Agreed)
        }
        Command::Holds { account } => {
            if let Some(name) = account.as_ref().filter(|name| config.account(name).is_none()) {
                return Err(Failure::new(Exit::Usage, args::unknown_account(name, &config)));
            }
            let mut views = run::status(&config)?;
            views.retain(|view| account.as_ref().is_none_or(|name| view.account == *name));
            let held: Vec<HoldView> = views.into_iter().flat_map(|view| view.holds).collect();
            let open = held.iter().any(|hold| hold.decided.is_none());
            let exit = if open { Exit::Held } else { Exit::Agreed };
            let quiet = global.quiet && held.is_empty();
            let text = if quiet { String::new() } else { report::holds(&held, now, style) };
            answer(text, "holds", &held, exit)
        }
        Command::Approve { id } => decide(&config, id, Decision::Approved, global, style),
        Command::Reject { id } => decide(&config, id, Decision::Rejected, global, style),
        Command::Check => {
            let checked = check::Checked::of(&config);
            answer(checked.words(global.quiet, style), "check", &checked, checked.exit())
        }
        Command::Adopt { account } => {
            if config.account(account).is_none() {
                return Err(Failure::new(Exit::Usage, args::unknown_account(account, &config)));
            }
            let said = run::adopt(&config, account)?;
            let text = if global.quiet { String::new() } else { printable(&said) + "\n" };
            answer(text, "adopted", &said, Exit::Agreed)
        }
        Command::Service { action } => service::execute(*action, Ok(&config), global, style),
    }
}

fn status(config: &Config, now: i64, global: &Global, style: Style) -> Result<Answer, Failure> {
    let mut views = run::status(config)?;
    let live = daemon::status(config).unwrap_or_default();
    for view in &mut views {
        view.now = live.iter().find(|now| now.account == view.account).cloned();
    }
    let exit = Exit::gravest(views.iter().map(report::StatusView::exit));
    let text = if global.quiet { String::new() } else { report::status(&views, now, style) };
    answer(text, "accounts", &views, exit)
}

/// Shows each state in place of the one before, or, for a program, in a line of its own.
fn watch(config: &Config, global: &Global) -> Result<Answer, Failure> {
    daemon::watch(config, &mut |views| match global.json {
        true => output::show(&output::json_line(&serde_json::json!({ "accounts": views }))?),
        false => output::show(&daemon::table(views)),
    })?;
    answer(String::new(), "accounts", &[(); 0], Exit::Agreed)
}

/// Syncs, or only looks: by what is wished.
fn sync(
    config: &Config,
    targets: &[Target],
    request: &RunRequest,
    global: &Global,
    style: Style,
) -> Result<Answer, Failure> {
    let wrong: Vec<String> = targets.iter().filter_map(|t| t.check(config).err()).collect();
    if !wrong.is_empty() {
        return Err(Failure::new(Exit::Usage, wrong.join("\n")));
    }
    if !request.dry_run
        && let Some(asked) = daemon::sync(config, targets)
    {
        let views = asked?;
        let text = if global.quiet { String::new() } else { daemon::after_run(&views) };
        let exit = daemon::exit(&views);
        return Ok(Answer { event: true, ..answer(text, "accounts", &views, exit)? });
    }
    let interrupt = Interrupt::install()
        .map_err(|e| Failure::new(Exit::Skipped, format!("cannot listen for signals: {e}")))?;
    let outcomes = run::sync(config, targets, request, Audience::of(global), &interrupt)?;
    let exit = Exit::gravest(outcomes.iter().map(report::AccountOutcome::exit));
    let text = report::outcomes(&outcomes, global.quiet, style);
    Ok(Answer { event: true, ..answer(text, "accounts", &outcomes, exit)? })
}

fn decide(
    config: &Config,
    id: &str,
    decision: Decision,
    global: &Global,
    style: Style,
) -> Result<Answer, Failure> {
    let hold = holds::decide(config, id, decision)?;
    daemon::nudge(config, &hold.account);
    let list = std::slice::from_ref(&hold);
    let text = if global.quiet { String::new() } else { report::holds(list, hold.since, style) };
    answer(text, "hold", &hold, Exit::Agreed)
}

fn pause(
    config: &Config,
    account: Option<&String>,
    pausing: Pausing,
    global: &Global,
) -> Result<Answer, Failure> {
    if let Some(name) = account.filter(|name| config.account(name).is_none()) {
        return Err(Failure::new(Exit::Usage, args::unknown_account(name, config)));
    }
    let views = daemon::pause(config, account, pausing)?;
    let text = if global.quiet { String::new() } else { daemon::states(&views) };
    answer(text, "accounts", &views, Exit::Agreed)
}
