//! Does what is asked, and says what came of it.

use std::time::{Duration, Instant};

use super::protocol::{Answer, RUN_MAX, Request};
use crate::daemon::Shared;
use crate::daemon::cause::Cause;
use crate::daemon::state::{State, View};
use crate::daemon::task::Wanted;

/// How long a pause may take to be settled.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long nobody looks whether a client that waits is still there.
pub(super) const GLANCE: Duration = Duration::from_secs(1);

pub(super) fn stand(shared: &Shared) -> Answer {
    let (state_dir, config) = (shared.state_dir.clone(), shared.config.clone());
    Answer { state_dir, config, accounts: shared.board.views().1, error: None }
}

pub(super) fn refuse(shared: &Shared, error: String) -> Answer {
    Answer { error: Some(error), ..stand(shared) }
}

/// Does what is asked. `is_gone` tells whether anybody still waits for it.
pub(super) fn answer(request: &Request, shared: &Shared, is_gone: &dyn Fn() -> bool) -> Answer {
    let (account, done) = match request {
        Request::Status | Request::Watch => (None, true),
        Request::Sync { account } => return sync(account.as_deref(), shared, is_gone),
        Request::Nudge { account } => {
            (account.as_deref(), shared.nudge(account.as_deref(), Cause::Asked))
        }
        Request::Pause { account } => {
            (account.as_deref(), shared.want(account.as_deref(), Wanted::Paused))
        }
        Request::Resume { account } => {
            (account.as_deref(), shared.want(account.as_deref(), Wanted::Running))
        }
        Request::Log { account, level } => {
            (account.as_deref(), shared.log(account.as_deref(), *level))
        }
    };
    match request {
        _ if !done && account.is_some() => {
            refuse(shared, "there is no such account here".to_owned())
        }
        Request::Pause { .. } => settled(account, shared, |state| state == State::Paused),
        Request::Resume { .. } => settled(account, shared, |state| state != State::Paused),
        _ => stand(shared),
    }
}

/// Waits a while until accounts have come to this.
fn settled(account: Option<&str>, shared: &Shared, is_so: fn(State) -> bool) -> Answer {
    let deadline = Instant::now() + PATIENCE;
    let (mut version, mut accounts) = shared.board.views();
    let asked = |view: &&View| account.is_none_or(|account| view.account == account);
    while accounts.iter().filter(asked).any(|view| !is_so(view.state)) {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        (version, accounts) = shared.board.wait(version, left);
    }
    Answer { accounts, ..stand(shared) }
}

/// Asks for a run and waits until one has ended that began after that: one that is on has looked
/// already. Each has a number, and this is no count of states: a run that begins and ends between
/// two looks at the board is one as well. A reload is lived through.
fn sync(account: Option<&str>, shared: &Shared, is_gone: &dyn Fn() -> bool) -> Answer {
    let deadline = Instant::now() + RUN_MAX;
    let ticket = shared.board.ticket();
    let asked = |view: &&View| account.is_none_or(|account| view.account == account);
    let mut nudged = false;
    loop {
        let (version, accounts, complete) = shared.board.all_views();
        let there = account.is_none() || accounts.iter().any(|view| asked(&view));
        if complete && !there && !shared.has(account) {
            let why = match nudged {
                false => "there is no such account here",
                true => "the account is not in the config any more, which was read again",
            };
            return refuse(shared, why.to_owned());
        }
        // An account that is begun anew after this looks by itself.
        nudged = nudged || shared.nudge(account, Cause::Asked);
        let through = || accounts.iter().filter(asked).all(|view| is_through(view, ticket));
        if complete && there && through() {
            return Answer { accounts, ..stand(shared) };
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let minutes = RUN_MAX.as_secs() / 60;
            let why = format!("still syncing after {minutes} minutes: see `mailtide status`");
            return refuse(shared, why);
        }
        if is_gone() {
            return refuse(shared, "nobody waits for it".to_owned());
        }
        let _ = shared.board.wait(version, left.min(GLANCE));
    }
}

/// Whether an account has ended a run with this number or a later one.
fn is_through(view: &View, ticket: u64) -> bool {
    match view.state {
        State::Paused => true,
        State::InStep | State::Held | State::BackingOff | State::SignIn => view.ended >= ticket,
        State::Connecting | State::Syncing => false,
    }
}
