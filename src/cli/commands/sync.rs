//! `sync` and `verify`: from the config to what is reported.

use std::collections::BTreeSet;
use std::thread;
use std::time::Instant;

use super::context::Context;
use crate::account::{AccountError, Environment, Progress, Report, RunRequest, Settings};
use crate::cli::answer::{Answer, answer};
use crate::cli::args::Target;
use crate::cli::exit::Exit;
use crate::cli::failure::{failure, interrupted};
use crate::cli::interrupt::Interrupt;
use crate::cli::problem::skipped;
use crate::cli::progress::{Audience, Watch, screen};
use crate::cli::report::{self, AccountOutcome, Failure, Work};
use crate::cli::standing::status_of;
use crate::cli::{hold_view, running};
use crate::config::{Account, Config};
use crate::daemon::hook;
use crate::engine;
use crate::reconcile::types::MailboxName;

/// Syncs, or only looks: by what is wished. A running daemon is asked to, where there is one.
pub(super) fn sync(
    context: &Context<'_>,
    targets: &[Target],
    request: &RunRequest,
) -> Result<Answer, Failure> {
    let Context { config, global, style, .. } = *context;
    let wrong: Vec<String> = targets.iter().filter_map(|t| t.check(config).err()).collect();
    if !wrong.is_empty() {
        return Err(Failure::new(Exit::Usage, wrong.join("\n")));
    }
    if !request.dry_run
        && let Some(asked) = running::sync(config, targets)
    {
        let views = asked?;
        let text = context.unless_quiet(|| running::after_run(&views));
        let exit = running::exit(&views);
        return Ok(Answer { event: true, ..answer(text, "accounts", &views, exit)? });
    }
    let interrupt = Interrupt::install()
        .map_err(|e| Failure::new(Exit::Incomplete, format!("cannot listen for signals: {e}")))?;
    let outcomes = outcomes(config, targets, request, Audience::of(global), &interrupt);
    let exit = Exit::gravest(outcomes.iter().map(AccountOutcome::exit));
    let text = report::outcomes(&outcomes, global.quiet, style);
    Ok(Answer { event: true, ..answer(text, "accounts", &outcomes, exit)? })
}

/// Brings both sides into step, or only looks; `targets` are known to the config, none means all.
/// Each account runs on a thread of its own, so that none waits for another's disk or server.
fn outcomes(
    config: &Config,
    targets: &[Target],
    request: &RunRequest,
    audience: Audience,
    interrupt: &Interrupt,
) -> Vec<AccountOutcome> {
    let wanted: Vec<&Account> = config
        .accounts
        .iter()
        .filter(|account| targets.is_empty() || targets.iter().any(|t| t.account == account.name))
        .collect();
    let names: Vec<&str> = wanted.iter().map(|account| account.name.as_str()).collect();
    let watch = &Watch::new(audience, &names);
    thread::scope(|scope| {
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
    })
}

/// The mailboxes of an account that were named; none where all are meant.
fn focus(account: &Account, targets: &[Target]) -> Option<BTreeSet<MailboxName>> {
    let mut named = targets.iter().filter(|target| target.account == account.name).peekable();
    named.peek()?;
    named.map(|target| target.mailbox.clone()).collect()
}

fn crashed(account: String) -> AccountOutcome {
    let text = "it ended by an error of mailtide itself; nothing unfinished is lost";
    let failure =
        Some(Failure::new(Exit::Incomplete, text).advise("please report what stderr says"));
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
        Err(error) => Err(Failure::new(Exit::Incomplete, format!("cannot start: {error}"))),
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
        outcome.holds = report.holds.iter().map(|hold| hold_view::view(account, hold)).collect();
    } else {
        // Best effort: the run has said what went wrong with the store, if anything.
        if let Ok(Some(view)) = status_of(config, account) {
            outcome.holds = view.holds;
            outcome.set_aside = view.set_aside;
        }
    }
    outcome
}
