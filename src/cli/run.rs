//! Where commands meet the engine: from the config to what is reported.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use super::args::Target;
use super::exit::Exit;
use super::holds;
use super::interrupt::Interrupt;
use super::problem::Named;
use super::progress::{Audience, Watch, screen};
use super::report::{AccountOutcome, Failure, LastRun, StatusView, Work};
use super::store::{store_failure, store_path};
use crate::account::{AccountError, Environment, Progress, Report, RunRequest, Settings, suspects};
use crate::config::{Account, Config, Direction};
use crate::daemon::hook;
use crate::engine;
use crate::local::fs::RealFs;
use crate::mail::scope;
use crate::reconcile::types::{MailboxId, MailboxName, Row, SetAsideKind};
use crate::remote::RemoteError;
use crate::state::{Pull, StateError, Store};

/// Messages that one account's report names; the rest are counted.
const NAMED_MAX: usize = 1000;

/// Brings both sides into step, or only looks; `targets` are known to the config, none means all.
/// Each account runs on a thread of its own, so that none waits for another's disk or server.
pub(super) fn sync(
    config: &Config,
    targets: &[Target],
    request: &RunRequest,
    audience: Audience,
    interrupt: &Interrupt,
) -> Result<Vec<AccountOutcome>, Failure> {
    let wanted: Vec<&Account> = config
        .accounts
        .iter()
        .filter(|account| targets.is_empty() || targets.iter().any(|t| t.account == account.name))
        .collect();
    let names: Vec<&str> = wanted.iter().map(|account| account.name.as_str()).collect();
    let watch = &Watch::new(audience, &names);
    let outcomes = thread::scope(|scope| {
        let threads: Vec<_> = wanted
            .iter()
            .enumerate()
            .map(|(n, account)| {
                let request = RunRequest { focus: focus(account, targets), ..request.clone() };
                let run = move || {
                    let progress = watch.account(n, request.dry_run);
                    let outcome = sync_one(config, account, request, progress, interrupt);
                    watch.end(n, &outcome);
                    outcome
                };
                (account.name.clone(), scope.spawn(run))
            })
            .collect();
        let join = |(name, thread): (String, thread::ScopedJoinHandle<'_, AccountOutcome>)| {
            thread.join().unwrap_or_else(|_| crashed(name))
        };
        threads.into_iter().map(join).collect()
    });
    Ok(outcomes)
}

/// The mailboxes of an account that were named; none where all are meant.
fn focus(account: &Account, targets: &[Target]) -> Option<BTreeSet<MailboxName>> {
    let mut named = targets.iter().filter(|target| target.account == account.name).peekable();
    named.peek()?;
    named.map(|target| target.mailbox.clone()).collect()
}

fn crashed(account: String) -> AccountOutcome {
    let text = "it ended by an error of mailtide itself; nothing unfinished is lost";
    let failure = Some(Failure::new(Exit::Skipped, text).advise("please report what stderr says"));
    AccountOutcome { account, failure, ..AccountOutcome::default() }
}

fn sync_one(
    config: &Config,
    account: &Account,
    request: RunRequest,
    progress: Progress,
    interrupt: &Interrupt,
) -> AccountOutcome {
    let started = Instant::now();
    let dry_run = request.dry_run;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(run_account(config, account, request, progress, interrupt)),
        Err(error) => Err(Failure::new(Exit::Skipped, format!("cannot start: {error}"))),
    };
    let mut outcome = match result {
        Ok((report, error)) => outcome(config, account, &report, error, dry_run),
        Err(failure) => AccountOutcome { failure: Some(failure), ..AccountOutcome::default() },
    };
    outcome.account.clone_from(&account.name);
    outcome.dry_run = dry_run;
    outcome.duration = started.elapsed();
    outcome
}

async fn run_account(
    config: &Config,
    account: &Account,
    request: RunRequest,
    progress: Progress,
    interrupt: &Interrupt,
) -> Result<(Report, Option<AccountError>), Failure> {
    let dry_run = request.dry_run;
    // Its password may be asked for at the terminal.
    let pause = screen::pause();
    let secret = tokio::select! {
        secret = account.secret.fetch() => secret,
        () = interrupt.requested() => return Err(interrupted()),
    };
    let secret =
        secret.map_err(|error| Failure::new(Exit::Unreachable, format!("no password: {error}")))?;
    drop(pause);
    let settings = Settings::of(account, &config.state_dir, secret.expose());
    let environment = Environment::real(progress, interrupt.flag());
    let (report, result) = Box::pin(engine::sync(settings, environment, request)).await;
    let hooks = [&account.on_change, &account.new_mail, &account.on_hold];
    if !dry_run && hooks.iter().any(|program| !program.is_empty()) {
        // What the programs say stands above what is drawn.
        let _pause = screen::pause();
        hook::run_all(account, &report).await;
    }
    if report.interrupted && result.is_ok() {
        return Err(interrupted());
    }
    Ok((report, result.err()))
}

fn interrupted() -> Failure {
    Failure::new(Exit::Interrupted, "interrupted; the step in hand was finished")
        .advise("run it again to go on where it stopped")
}

/// How a run ends that was ended by an error of this kind (see [`AccountError::kind`]).
fn exit_of(kind: &str) -> Exit {
    match kind {
        "unreachable" => Exit::Unreachable,
        "locked" => Exit::Locked,
        "config" => Exit::Usage,
        _ => Exit::Skipped,
    }
}

fn failure(error: &AccountError) -> Failure {
    let exit = exit_of(error.kind());
    let failure = Failure::new(exit, error.to_string());
    match error {
        AccountError::Remote(RemoteError::SignIn { .. }) => {
            failure.advise("check user and password; some providers want an app password for mail")
        }
        AccountError::Remote(RemoteError::Connect { .. }) => {
            failure.advise("check host, port and tls, and whether this machine is online")
        }
        AccountError::Remote(RemoteError::Tls { why, .. }) if why.contains("pinned") => failure,
        AccountError::Remote(RemoteError::Tls { .. }) => failure
            .advise("if the server has a certificate of its own, name it with tls_ca or tls_pin"),
        _ => failure,
    }
}

fn outcome(
    config: &Config,
    account: &Account,
    report: &Report,
    error: Option<AccountError>,
    dry_run: bool,
) -> AccountOutcome {
    let mut outcome = AccountOutcome {
        agreed: error.is_none() && report.skipped.is_empty(),
        failure: error.as_ref().map(failure),
        work: Work {
            pulled: report.pulled,
            pushed: report.pushed,
            moved: report.moved_local + report.moved_remote,
            copied: 0,
            paired: report.paired,
            flags_local: report.flags_local,
            flags_remote: report.flags_remote,
            removed_local: report.removed_local,
            removed_remote: report.removed_remote,
        },
        skipped: report.skipped.len() as u64,
        unsent: report.unsent,
        plan: report.plan.clone(),
        verified: report.verified.as_ref().map(Into::into),
        bytes_down: report.received,
        bytes_up: report.sent,
        ..AccountOutcome::default()
    };
    outcome.problems = report.skipped.iter().map(|skip| skipped(&skip.what, &skip.why)).collect();
    if dry_run {
        outcome.holds = report.holds.iter().map(|hold| holds::view(account, hold)).collect();
    } else {
        // Best effort: the run has said what went wrong with the store, if anything.
        if let Ok(Some(view)) = status_of(config, account) {
            outcome.holds = view.holds;
            outcome.set_aside = view.set_aside;
        }
    }
    outcome
}

/// What a run did not do, and why.
fn skipped(what: &str, why: &str) -> Named {
    let (mailbox, words) = (what.to_owned(), why.to_owned());
    Named { mailbox, message: None, what: "skipped".to_owned(), words }
}

/// How every account stands, from its store; nothing is connected to or changed.
pub(super) fn status(config: &Config) -> Result<Vec<StatusView>, Failure> {
    let mut views = Vec::new();
    for account in &config.accounts {
        let view = status_of(config, account).map_err(|e| store_failure(&e))?;
        views.push(view.unwrap_or_else(|| empty_view(account)));
    }
    Ok(views)
}

fn empty_view(account: &Account) -> StatusView {
    StatusView {
        account: account.name.clone(),
        remote: {
            let protocol = if account.maildrop.is_some() { " by POP3" } else { "" };
            format!("{} at {}{protocol}", account.user, account.host)
        },
        maildir: account.maildir.display().to_string(),
        ..StatusView::default()
    }
}

fn status_of(config: &Config, account: &Account) -> Result<Option<StatusView>, StateError> {
    let Some(store) = Store::open_existing_readonly(&store_path(config, account))? else {
        return Ok(None);
    };
    store.snapshot(|_| view(account, &store)).map(Some)
}

/// How an account that pulls stands.
fn drop_view(account: &Account, store: &Store) -> Result<StatusView, StateError> {
    let counts = store.drop_counts()?;
    let left = store.drop_left(NAMED_MAX)?.into_iter().filter_map(|row| {
        let Pull::Left(words, _) = row.pull else { return None };
        let size = row.size.map_or_else(String::new, |size| format!(", {size} octets"));
        let message = row.uidl.map(|uidl| format!("UIDL {uidl}{size}"));
        let what = "stays on the server: it is not pulled".to_owned();
        Some(Named { mailbox: account.host.clone(), message, what, words })
    });
    let short = store.drop_short(NAMED_MAX)?.into_iter().map(|row| {
        let size = row.size.map_or_else(String::new, |size| format!(", {size} octets"));
        Named {
            mailbox: account.host.clone(),
            message: row.uidl.map(|uidl| format!("UIDL {uidl}{size}")),
            what: "stays on the server: it is never deleted there".to_owned(),
            words: "the server gave fewer octets than it announced".to_owned(),
        }
    });
    let mut set_aside: Vec<Named> = left.chain(short).collect();
    let kept = format!("{} of them are still on the server", counts.kept);
    let alike = format!(
        "{} of these are not what was pulled, but say the same: they are not deleted there",
        counts.alike
    );
    let undeletable = format!(
        "{} of these were deleted again and again, and the server has kept them",
        counts.undeletable
    );
    let notes = [(counts.kept, kept), (counts.alike, alike), (counts.undeletable, undeletable)];
    let (last_run, skipped) = last_run(store)?.unzip();
    let skipped: Vec<Named> = skipped.unwrap_or_default();
    let lost = lost(store, &skipped)?;
    let problems = named_once(&mut set_aside, skipped.into_iter().chain(lost), |aside| {
        // One without an id is known by what happened to it.
        let Some(message) = &aside.message else { return Some("UIDL ".to_owned()) };
        Some(message.split(", ").next().unwrap_or(message).to_owned())
    });
    Ok(StatusView {
        last_run,
        mailboxes: 1,
        messages: counts.pulled,
        set_aside,
        problems,
        notes: notes.into_iter().filter(|(n, _)| *n > 0).map(|(_, note)| note).collect(),
        ..empty_view(account)
    })
}

fn view(account: &Account, store: &Store) -> Result<StatusView, StateError> {
    if account.maildrop.is_some() {
        return drop_view(account, store);
    }
    let counts = store.counts()?;
    let mailboxes = store.mailboxes()?;
    let name = |id: MailboxId| {
        let found = mailboxes.iter().find(|mailbox| mailbox.id == id);
        found.map_or_else(String::new, |mailbox| mailbox.name.as_str().to_owned())
    };
    let rows = store.set_aside_rows(NAMED_MAX)?;
    let mut set_aside: Vec<Named> =
        rows.iter().filter_map(|row| named(row, &name(row.mailbox))).collect();
    let problems = mailboxes.iter().filter_map(|mailbox| {
        mailbox.problem.as_ref().map(|words| Named {
            mailbox: mailbox.name.as_str().to_owned(),
            message: None,
            what: "cannot be kept in step".to_owned(),
            words: words.clone(),
        })
    });
    let (last_run, skipped) = last_run(store)?.unzip();
    let skipped: Vec<Named> = skipped.unwrap_or_default();
    let lost = lost(store, &skipped)?;
    let skipped = named_once(&mut set_aside, skipped.into_iter().chain(lost), |aside| {
        Some(format!("{}: {}", aside.mailbox, aside.message.as_ref()?))
    });
    Ok(StatusView {
        last_run,
        mailboxes: counts.mailboxes,
        messages: counts.messages.saturating_sub(counts.unsettled + counts.new_remotes),
        waiting: counts.unsettled + counts.new_remotes,
        unsent: match account.direction {
            Direction::Pull => scope::unsent(store)?,
            Direction::Both => 0,
        },
        set_aside,
        problems: problems.chain(skipped).collect(),
        holds: store.holds()?.iter().map(|hold| holds::view(account, hold)).collect(),
        ..empty_view(account)
    })
}

/// Returns the problems that are no set-aside messages: a message is named once, with all that is
/// known of it. `key` returns how a problem begins that is that of such a message.
fn named_once(
    set_aside: &mut [Named],
    problems: impl Iterator<Item = Named>,
    key: impl Fn(&Named) -> Option<String>,
) -> Vec<Named> {
    let is_same = |aside: &mut Named, problem: &Named| -> bool {
        let Some(key) = key(aside) else { return false };
        let Some(rest) = problem.mailbox.strip_prefix(&key) else { return false };
        let goes_on =
            key.ends_with(char::is_alphanumeric) && rest.starts_with(|c: char| c.is_alphanumeric());
        if goes_on || !problem.words.contains(&aside.words) {
            return false;
        }
        aside.words.clone_from(&problem.words);
        match &mut aside.message {
            Some(message) if !message.contains('"') => {
                let title = rest.find('"').map(|at| &rest[at..]).unwrap_or_default();
                *message += if title.is_empty() { "" } else { ", " };
                *message += title;
            }
            Some(_) => {}
            none => *none = Some(problem.mailbox.clone()),
        }
        true
    };
    let mut left = Vec::new();
    for problem in problems {
        if !set_aside.iter_mut().any(|aside| is_same(aside, &problem)) {
            left.push(problem);
        }
    }
    left
}

/// What connections were lost at, also where the last run did not ask for it.
fn lost(store: &Store, skipped: &[Named]) -> Result<Vec<Named>, StateError> {
    let lost = suspects::named(store)?.into_iter();
    let lost = lost.map(|(_, what, why)| self::skipped(&what, &why));
    Ok(lost.filter(|named| !skipped.contains(named)).collect())
}

/// The last run, and what it skipped.
fn last_run(store: &Store) -> Result<Option<(LastRun, Vec<Named>)>, StateError> {
    let ended = store.last_runs(8)?.into_iter().find(|run| run.ended.is_some());
    Ok(ended.map(|run| {
        let outcome: serde_json::Value =
            run.outcome.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        let failure = outcome["failure"].as_str().map(str::to_owned);
        let skips = outcome["skipped"].as_array().into_iter().flatten();
        let skips: Vec<Named> =
            skips.filter_map(|skip| Some(skipped(skip[0].as_str()?, skip[1].as_str()?))).collect();
        let held = outcome["held"].as_bool() == Some(true);
        let exit = match (&failure, outcome["interrupted"].as_bool()) {
            (_, Some(true)) => Exit::Interrupted,
            (Some(_), _) => exit_of(outcome["kind"].as_str().unwrap_or_default()),
            (None, _) if held => Exit::Held,
            (None, _) if skips.is_empty() => Exit::Agreed,
            (None, _) => Exit::Skipped,
        };
        (LastRun { at: run.ended.unwrap_or(run.started), exit, failure }, skips)
    }))
}

fn named(row: &Row, mailbox: &str) -> Option<Named> {
    let aside = row.set_aside.as_ref()?;
    let what = match aside.kind {
        SetAsideKind::Push => "stays here: the server does not take it",
        SetAsideKind::Fetch => "stays on the server: it does not give it",
        SetAsideKind::Remove => "stays on the server: it does not remove it",
        SetAsideKind::Read => "stays here: it cannot be read as a message",
        SetAsideKind::Undecided => "stays here: the server may have it already",
        SetAsideKind::Kept => return None,
    };
    let file = row.local.as_ref().map(|local| format!("{:?}", local.stem));
    let message =
        file.or_else(|| row.remote.as_ref().map(|remote| format!("UID {}", remote.uid.0)));
    Some(Named {
        mailbox: mailbox.to_owned(),
        message,
        what: what.to_owned(),
        words: aside.words.clone(),
    })
}

/// Makes the Maildir of an account (known to the config) ours; says what was done.
pub(super) fn adopt(config: &Config, account: &str) -> Result<String, Failure> {
    let Some(account) = config.account(account) else {
        return Err(Failure::new(Exit::Usage, "there is no such account"));
    };
    let settings = Settings::of(account, &config.state_dir, "");
    engine::adopt(&settings, Arc::new(RealFs::default())).map_err(|error| failure(&error))?;
    Ok(format!(
        "{} is kept by this mailtide from now on; the next sync unites both sides, nothing is \
         deleted by that",
        account.maildir.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_named_once() {
        let aside = |mailbox: &str, message: Option<&str>| Named {
            mailbox: mailbox.to_owned(),
            message: message.map(str::to_owned),
            what: "stays on the server".to_owned(),
            words: "no answer".to_owned(),
        };
        let key = |aside: &Named| match &aside.message {
            Some(message) => Some(format!("{}: {message}", aside.mailbox)),
            None => Some("UIDL ".to_owned()),
        };
        let problems = |list: &[&str]| -> Vec<Named> {
            list.iter().map(|what| skipped(what, "no answer (twice)")).collect()
        };
        let listed = problems(&["Bad: UID 8, \"x\"", "Bad: UID 81", "Bad", "UIDL a, \"y\""]);
        let mut set_aside = [aside("Bad", Some("UID 8")), aside("host", None)];
        let left = named_once(&mut set_aside, listed.into_iter(), key);
        assert_eq!(left, problems(&["Bad: UID 81", "Bad"]));
        assert_eq!(set_aside[0].message.as_deref(), Some("UID 8, \"x\""));
        assert_eq!(set_aside[1].message.as_deref(), Some("UIDL a, \"y\""));
        assert_eq!(set_aside[0].words, "no answer (twice)");
        // Another trouble with the same message is another thing.
        let other = vec![skipped("Bad: UID 8", "UID STORE: refused")];
        assert_eq!(named_once(&mut set_aside, other.clone().into_iter(), key), other);
    }
}
