//! The state store: what each side was last seen to have, what both agreed on, and what is
//! under way. One SQLite database per account.
//!
//! - `store`: what is open, and transactions
//! - `open`: making, opening and refusing a store; `disk`: where it may lie
//! - `schema`: the tables and their migrations
//! - `row`: a [`Row`](crate::reconcile::types::Row) to columns and back
//! - `write`: every write of one
//! - `query`: every question about rows
//! - `account`: questions of a run about one mailbox
//! - `mailbox`: mailboxes and their cursors
//! - `maildrop`: what was pulled by POP3
//! - `meta`: single facts, each with its key and type
//! - `guard`: departures and holds
//! - `run`: the log of runs
//! - `suspect`: things at which connections were lost
//!
//! Every commit is durable (`synchronous=FULL`), so a crash or a power cut takes none back: an
//! intent that was committed before its effect is found again. Questions live on [`View`], which
//! both [`Store`] and [`Tx`] dereference to; writes exist on [`Tx`] only, so that nothing can be
//! written outside a transaction.

mod account;
mod disk;
mod error;
mod fact;
mod guard;
mod mailbox;
mod maildrop;
pub(crate) mod meta;
mod open;
mod query;
mod row;
mod run;
mod schema;
mod store;
mod suspect;
#[cfg(test)]
mod tests;
mod write;

pub use self::error::{Result, StateError};
pub use self::guard::{Departure, Hold, HoldState};
pub use self::maildrop::{DropCounts, MaildropRow, Presence, Pull};
pub use self::query::{Counts, KnownFile, MATCHES};
pub use self::run::{RUNS_KEPT, Run};
pub use self::store::{CommitHook, Store, Tx, View};
pub use self::suspect::{SuspectRow, Waiting};
