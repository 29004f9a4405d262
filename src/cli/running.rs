//! What is asked of a running daemon, and what it answers.

use std::path::PathBuf;

use super::args::Target;
use super::exit::Exit;
use super::report::Failure;
use crate::config::{Config, Env};
use crate::daemon::control::{self, Answer, NoAnswer, Request};
use crate::daemon::state::{State, View};
use crate::daemon::volume::Level;
use crate::reconcile::types::printable;

/// Where a daemon of this config may answer; at least one place.
pub(super) fn sockets(config: &Config) -> Vec<PathBuf> {
    control::paths(Env::of_process().runtime_dir().as_deref(), &config.state_dir)
}

/// Answers of a daemon, one or more.
type Answers = Box<dyn Iterator<Item = Result<Answer, Failure>>>;

/// What a running daemon of this config says; none where none runs.
///
/// # Errors
/// Something is there that does not answer as it should.
fn answers(config: &Config, request: &Request) -> Option<Result<Answers, Failure>> {
    sockets(config).into_iter().find_map(|socket| {
        let shown = printable(&socket.display().to_string());
        let lost = move |error: std::io::Error| {
            let text = format!("the mailtide at {shown} does not answer: {error}");
            Failure::new(Exit::Incomplete, text)
        };
        let mut answers = match control::ask(&socket, request) {
            Ok(answers) => answers.peekable(),
            Err(NoAnswer::Nobody) => return None,
            Err(NoAnswer::Failed(error)) => return Some(Err(lost(error))),
        };
        match answers.peek() {
            // A daemon of another config may have the socket.
            Some(Ok(answer)) if answer.state_dir != config.state_dir => return None,
            Some(Ok(answer)) if !is_config_of(config, answer) => {
                let other = printable(&answer.config.display().to_string());
                let text = format!("a mailtide with another config ({other}) has this state_dir");
                let failure = Failure::new(Exit::Usage, text);
                return Some(Err(failure.advise("give each config a state_dir of its own")));
            }
            Some(_) => {}
            None => {
                let gone = std::io::Error::other("it hangs up at once");
                return Some(Err(lost(gone)));
            }
        }
        let said = move |answer: std::io::Result<Answer>| match answer.map_err(&lost)? {
            Answer { error: Some(words), .. } => {
                Err(Failure::new(Exit::Incomplete, printable(&words)))
            }
            answer => Ok(answer),
        };
        Some(Ok(Box::new(answers.map(said)) as Answers))
    })
}

fn is_config_of(config: &Config, answer: &Answer) -> bool {
    let file = std::fs::canonicalize(&config.path).unwrap_or_else(|_| config.path.clone());
    answer.config.as_os_str().is_empty() || answer.config == file
}

fn ask(config: &Config, request: &Request) -> Option<Result<Answer, Failure>> {
    match answers(config, request)? {
        Ok(mut answers) => answers.next(),
        Err(failure) => Some(Err(failure)),
    }
}

fn nobody() -> Failure {
    Failure::new(Exit::Incomplete, "no mailtide is running for this config")
        .advise("start it with `mailtide run`, or `mailtide service install --now`")
}

/// Shows how a running daemon's accounts stand, again after each change, until it ends.
pub(super) fn watch(
    config: &Config,
    show: &mut dyn FnMut(&[View]) -> std::io::Result<()>,
) -> Result<(), Failure> {
    for answer in answers(config, &Request::Watch).ok_or_else(nobody)?? {
        match show(&answer?.accounts) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(()),
            Err(error) => {
                let text = format!("cannot write to stdout: {error}");
                return Err(Failure::new(Exit::Incomplete, text));
            }
        }
    }
    Err(Failure::new(Exit::Incomplete, "mailtide has ended"))
}

/// Sets what a running daemon logs.
pub(super) fn log(config: &Config, account: Option<&String>, level: Level) -> Result<(), Failure> {
    let request = Request::Log { account: account.cloned(), level };
    ask(config, &request).ok_or_else(nobody)?.map(drop)
}

/// How a running daemon's accounts stand; none where no daemon runs.
pub(super) fn status(config: &Config) -> Option<Vec<View>> {
    match ask(config, &Request::Status)? {
        Ok(answer) => Some(answer.accounts),
        Err(failure) => {
            tracing::warn!("{}", printable(&failure.text));
            None
        }
    }
}

/// Asks a running daemon to sync; none where no daemon runs.
pub(super) fn sync(config: &Config, targets: &[Target]) -> Option<Result<Vec<View>, Failure>> {
    let mut accounts: Vec<Option<String>> =
        targets.iter().map(|target| Some(target.account.clone())).collect();
    accounts.sort();
    accounts.dedup();
    if accounts.is_empty() {
        accounts.push(None);
    }
    let mut views = Vec::new();
    for account in accounts {
        let request = Request::Sync { account: account.clone() };
        match ask(config, &request)? {
            Ok(answer) => views.extend(
                answer
                    .accounts
                    .into_iter()
                    .filter(|view| account.as_ref().is_none_or(|name| *name == view.account)),
            ),
            Err(failure) => return Some(Err(failure)),
        }
    }
    Some(Ok(views))
}

/// Lets a running daemon take note of what was written into its store.
pub(super) fn nudge(config: &Config, account: &str) {
    let request = Request::Nudge { account: Some(account.to_owned()) };
    let _ = ask(config, &request);
}

/// Request to a running daemon.
#[derive(Debug, Clone, Copy)]
pub(super) enum Pausing {
    Pause,
    Resume,
}

/// Asks a running daemon to pause or to go on.
pub(super) fn pause(
    config: &Config,
    account: Option<&String>,
    pausing: Pausing,
) -> Result<Vec<View>, Failure> {
    let account = account.cloned();
    let only = account.clone();
    let request = match pausing {
        Pausing::Pause => Request::Pause { account },
        Pausing::Resume => Request::Resume { account },
    };
    let answer = ask(config, &request).ok_or_else(nobody)??;
    let asked = |view: &View| only.as_ref().is_none_or(|account| view.account == *account);
    Ok(answer.accounts.into_iter().filter(asked).collect())
}

/// Accounts as they stand, a line each, with what was done there.
fn lines(views: &[View], did: impl Fn(&View) -> Option<String>) -> String {
    let wide = views.iter().map(|view| view.account.chars().count()).max().unwrap_or(0);
    let line = |view: &View| {
        let why = view.why.as_ref().map_or(String::new(), |why| format!(": {}", printable(why)));
        let did = did(view).map_or(String::new(), |did| format!("; {}", printable(&did)));
        format!("{:wide$}  {}{why}{did}\n", printable(&view.account), view.state.words())
    };
    views.iter().map(line).collect()
}

/// After a run that was asked for.
pub(super) fn after_run(views: &[View]) -> String {
    lines(views, |view| view.run.clone())
}

/// For whoever looks on.
pub(super) fn table(views: &[View]) -> String {
    lines(views, |view| {
        let last = view.last.as_ref().map_or("nothing yet", String::as_str);
        let unheard = view.unheard.as_ref().map_or(String::new(), |why| format!(" ({why})"));
        Some(format!("server changes by {}{unheard}; last: {last}", view.push))
    })
}

/// In a word.
pub(super) fn states(views: &[View]) -> String {
    lines(views, |_| None)
}

/// How grave it is that accounts stand so.
pub(super) fn exit(views: &[View]) -> Exit {
    Exit::gravest(views.iter().map(|view| match view.state {
        State::InStep if view.why.is_some() => Exit::Incomplete,
        State::InStep | State::Paused => Exit::InSync,
        State::Connecting | State::Syncing => Exit::Incomplete,
        State::Held => Exit::Held,
        State::BackingOff | State::SignIn => Exit::Unreachable,
    }))
}
