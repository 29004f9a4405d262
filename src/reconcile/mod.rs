//! Decides: three columns in, a plan out.
//!
//! Pure: no I/O, no clock, no async, no logging, no failure. Anomalies are values in the plan.
//! A test holds that nothing of ours and nothing of the outer world is used here.
//!
//! | base | local | remote | step |
//! | --- | --- | --- | --- |
//! | S | S | SF | local: add F |
//! | S | gone | S or SF | remote: remove, by `on_local_delete` |
//! | S | S or SF | gone | local: remove (to the local trash), by `on_remote_delete` |
//! | S | gone | gone | base: forget |
//! | - | new | - | content known elsewhere in the account: remote COPY or MOVE; else APPEND |
//! | - | - | new | fingerprint known elsewhere: local copy or rename; else fetch |
//! | - | new | new, the same message | pair them, merge flags; no transfer |
//!
//! A move needs no notion of its own: *new here with known content* and *gone there* is an
//! addition and a removal that waits for it, folded into one step where both are seen.

pub mod agree;
mod alike;
pub mod coverage;
mod doubt;
pub mod flags;
pub mod guard;
pub mod hold;
pub mod mailboxes;
pub mod messages;
pub mod pairing;
pub mod plan;
pub mod plan_input;
pub mod renames;
pub mod row_index;
pub mod row_state;
pub mod types;

pub use hold::{Hold, HoldReason};
pub use plan::{Plan, RemoteRemoval, Step};
pub use plan_input::{BringsBack, MailboxView, PlanInput, Policy};
pub use types::{GuardLimits, OnLocalDelete, OnRemoteDelete};

/// Plans one round: the mailboxes that must exist first, then messages, then what is held.
#[must_use]
pub fn plan(world: &PlanInput) -> Plan {
    let mut plan = Plan { mailboxes: mailboxes::plan(world), ..Plan::default() };
    messages::plan(world, &mut plan);
    guard::hold(world, &mut plan);
    plan
}
