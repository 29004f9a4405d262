//! `holds`, `approve`, `reject`: what waits for a person, and the answers.

use super::context::Context;
use crate::cli::answer::{Answer, answer};
use crate::cli::exit::Exit;
use crate::cli::report::{self, Decision, Failure, HoldView};
use crate::cli::standing::standing;
use crate::cli::store::{store_failure, store_path};
use crate::cli::{hold_view, running};
use crate::config::{Account, Config};
use crate::mail;
use crate::state::{Hold, HoldState, StateError, Store};

/// Lists what is held, of one account or of all.
pub(super) fn list(context: &Context<'_>, account: Option<&String>) -> Result<Answer, Failure> {
    if let Some(name) = account {
        context.account(name)?;
    }
    let mut views = standing(context.config)?;
    views.retain(|view| account.is_none_or(|name| view.account == *name));
    let held: Vec<HoldView> = views.into_iter().flat_map(|view| view.holds).collect();
    let open = held.iter().any(|hold| hold.decided.is_none());
    let exit = if open { Exit::Held } else { Exit::InSync };
    let text = match held.is_empty() {
        true if context.global.quiet => String::new(),
        _ => report::holds(&held, context.now, context.style),
    };
    answer(text, "holds", &held, exit)
}

/// Approves or rejects a hold, and lets a running daemon know.
pub(super) fn decide(
    context: &Context<'_>,
    id: &str,
    decision: Decision,
) -> Result<Answer, Failure> {
    let hold = decided(context.config, id, decision)?;
    running::nudge(context.config, &hold.account);
    let text = context
        .unless_quiet(|| report::holds(std::slice::from_ref(&hold), hold.since, context.style));
    answer(text, "hold", &hold, Exit::InSync)
}

/// Notes what a person said to the hold whose id begins with `prefix`, in whatever account, and
/// returns the hold with that.
fn decided(config: &Config, prefix: &str, decision: Decision) -> Result<HoldView, Failure> {
    let mut found = Vec::new();
    for account in &config.accounts {
        let ids = ids(config, account, prefix).map_err(|e| store_failure(&e))?;
        found.extend(ids.into_iter().map(|id| (account, id)));
    }
    let exact = found.iter().position(|(_, id)| id == prefix);
    let (account, id) = match (exact, &found[..]) {
        (Some(at), _) => found.swap_remove(at),
        (None, [_]) => found.swap_remove(0),
        (None, []) => return Err(unknown(prefix)),
        (None, several) => {
            let all: Vec<String> =
                several.iter().map(|(account, id)| format!("{id} ({})", account.name)).collect();
            let text = format!("{prefix:?} may be any of {}", all.join(", "));
            return Err(Failure::new(Exit::Usage, text).advise("write more of the id"));
        }
    };
    match decide_in(config, account, &id, decision).map_err(|e| store_failure(&e))? {
        Answered::Yes(hold) => Ok(hold_view::view(account, &hold)),
        Answered::Replaced { new, more, messages } => {
            let text = format!(
                "{id} was replaced by {new}, which has {messages} messages, {more} of them \
                 since; nothing was answered"
            );
            let advice =
                format!("look at it with `mailtide holds {}`, then answer {new}", account.name);
            Err(Failure::new(Exit::Held, text).advise(advice))
        }
        Answered::Gone => Err(unknown(prefix)),
    }
}

fn unknown(prefix: &str) -> Failure {
    let text = format!("nothing is held under {prefix:?}");
    Failure::new(Exit::Usage, text).advise("`mailtide holds` lists what is held now")
}

fn ids(config: &Config, account: &Account, prefix: &str) -> Result<Vec<String>, StateError> {
    match Store::open_existing_readonly(&store_path(config, account))? {
        Some(store) if !prefix.is_empty() => store.hold_ids(prefix),
        _ => Ok(Vec::new()),
    }
}

/// What came of an answer.
enum Answered {
    Yes(Hold),
    Replaced { new: String, more: u64, messages: usize },
    Gone,
}

fn decide_in(
    config: &Config,
    account: &Account,
    id: &str,
    decision: Decision,
) -> Result<Answered, StateError> {
    let Some(mut store) = Store::open_existing(&store_path(config, account))? else {
        return Ok(Answered::Gone);
    };
    let state = match decision {
        Decision::Approved => HoldState::Approved,
        Decision::Rejected => HoldState::Rejected,
    };
    store.transaction(|tx| {
        // Read here: a run may have replaced it a moment ago.
        let Some(hold) = tx.hold(id)? else {
            let Some((new, more)) = tx.replacement(id)? else { return Ok(Answered::Gone) };
            let messages = tx.hold(&new)?.map_or(0, |hold| hold.rows.len());
            return Ok(Answered::Replaced { new, more, messages });
        };
        tx.set_hold_state(id, state)?;
        if decision == Decision::Rejected {
            mail::bring_back(tx, &hold)?;
            tx.delete_hold(id)?;
        }
        Ok(Answered::Yes(Hold { state, ..hold }))
    })
}
