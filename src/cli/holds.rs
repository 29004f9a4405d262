//! `holds`, `approve`, `reject`: what waits for a person, in words, and the answers.

use super::exit::Exit;
use super::report::{Decision, Failure, HoldView};
use super::store::{store_failure, store_path};
use crate::account::sample;
use crate::config::{Account, Config};
use crate::mail;
use crate::reconcile::HoldReason;
use crate::reconcile::hold::{Direction, Kind};
use crate::state::{Hold, HoldState, StateError, Store};

/// The hold for people and programs.
pub(super) fn view(account: &Account, hold: &Hold) -> HoldView {
    let (kind, side) = (hold.reason.kind(), hold.direction);
    HoldView {
        id: hold.id.clone(),
        account: account.name.clone(),
        mailbox: Some(hold.mailbox_name.clone()).filter(|name| !name.is_empty()),
        kind: kind.word(),
        side: side.side(),
        reason: reason_word(&hold.reason),
        what: what(kind, side).to_owned(),
        messages: hold.rows.len() as u64,
        why: hold.why.clone(),
        since: hold.created,
        decided: match hold.state {
            HoldState::Pending => None,
            HoldState::Approved => Some(Decision::Approved),
            HoldState::Rejected => Some(Decision::Rejected),
        },
        samples: sample::of_hold(hold),
    }
}

fn reason_word(reason: &HoldReason) -> &'static str {
    match reason {
        HoldReason::TooMany { .. } => "too_many",
        HoldReason::Emptied { .. } => "emptied",
        HoldReason::FlagsRemoved { .. } => "flags_removed",
        HoldReason::SurplusCopies { .. } => "surplus_copies",
    }
}

fn what(kind: Kind, side: Direction) -> &'static str {
    match (kind, side) {
        (Kind::Removal, Direction::FromRemote) => "remove from the server",
        (Kind::Removal, Direction::FromLocal) => "remove from the disk",
        (Kind::Flags, Direction::FromRemote) => "remove flags on the server",
        (Kind::Flags, Direction::FromLocal) => "remove flags from files",
        (Kind::Copies, _) => "make more copies on the server",
    }
}

/// Notes what a person said to the hold whose id begins with `prefix`, in whatever account, and
/// returns the hold with that.
pub(super) fn decide(
    config: &Config,
    prefix: &str,
    decision: Decision,
) -> Result<HoldView, Failure> {
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
        Answered::Yes(hold) => Ok(view(account, &hold)),
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
