//! The command line: reads the config, runs one command, reports, and ends with a code.

mod answer;
pub mod args;
mod commands;
pub mod exit;
mod failure;
mod hold_view;
pub mod interrupt;
pub mod logging;
pub mod output;
pub mod problem;
pub mod progress;
pub mod report;
mod running;
mod standing;
mod store;
pub mod verified;

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::Parser as _;

use self::answer::Answer;
use self::args::{Cli, Command, Global};
use self::exit::Exit;
use self::output::Style;
use self::progress::screen;
use self::report::Failure;
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
    let exit = match commands::execute(&command, &global, style) {
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
            Exit::gravest([answer.exit, Exit::Incomplete])
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
