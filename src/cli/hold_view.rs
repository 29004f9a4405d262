//! A hold, for people and programs.

use super::report::{Decision, HoldView};
use crate::account::sample;
use crate::config::Account;
use crate::reconcile::HoldReason;
use crate::reconcile::hold::{Direction, Kind};
use crate::state::{Hold, HoldState};

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
