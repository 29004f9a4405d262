//! One mirror: the runs of an IMAP account, and what they are made of. [`sync`] is the page to read
//! first.
//!
//! [`observe`] writes what was seen, [`crate::reconcile`] decides, [`apply`] performs steps and
//! gives facts, and [`Run`] records them: rows and cursors are written by its `Writer` alone.

pub mod answer;
mod apart;
pub mod apply;
pub mod attempt;
mod brakes;
mod claim;
mod fetch;
pub mod hints;
pub mod holds;
mod limits;
pub mod listen;
pub mod live;
mod looks;
pub mod observe;
mod preview;
pub mod recover;
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
pub mod world;
mod writer;

pub use answer::bring_back;
pub use hints::Hints;
pub use listen::{Listener, Listens};
pub use live::Live;
pub use rounds::sync;
pub use run::{RENEWAL, Run};
