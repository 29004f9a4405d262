//! One mirror: the runs of an IMAP account, and what they are made of. [`sync`] is the page to read
//! first.
//!
//! [`observe`] writes what was seen, [`crate::reconcile`] decides, [`apply`] performs steps and
//! gives facts, and [`Run`] records them: rows and cursors are written by its `Writer` alone.

pub mod apply;
pub mod attempt;
mod claim;
mod delete_mailbox;
mod fetch;
pub mod hints;
pub mod holds;
mod limits;
pub mod listen;
pub mod live;
mod looks;
pub mod observe;
pub mod plan_input;
mod postponed;
mod preview;
pub mod recover;
pub mod reject_hold;
mod removed;
mod renames;
pub mod restate;
mod rounds;
pub mod run;
pub mod samples;
pub mod scope;
pub mod seen;
mod select;
mod sets;
mod short;
mod survival;
pub mod verify;
mod whatif;
mod writer;

pub use hints::Hints;
pub use listen::{Listener, Listens};
pub use live::Live;
pub use reject_hold::bring_back;
pub use rounds::sync;
pub use run::{RENEWAL, Run};
