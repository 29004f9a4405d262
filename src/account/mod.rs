//! One account: its runs, and what they are made of. [`sync`] is the page to read first.
//!
//! [`observe`] writes what was seen, [`crate::reconcile`] decides, [`apply`] performs steps and
//! gives facts, and [`Run`] records them: rows and cursors are written by its `Writer` alone.

pub mod answer;
mod apart;
pub mod apply;
pub mod attempt;
mod brakes;
mod claim;
mod comparison;
pub mod error;
mod fetch;
mod header;
pub mod hints;
pub mod holds;
mod limits;
pub mod listen;
pub mod live;
mod looks;
mod losses;
pub mod maildrop;
pub mod observe;
mod opening;
mod outcome;
pub mod ownership;
mod preview;
pub mod progress;
pub mod recover;
mod removed;
mod renames;
pub mod report;
pub mod request;
pub mod restate;
mod rounds;
pub mod run;
pub mod sample;
pub mod samples;
pub mod scope;
pub mod seen;
mod select;
mod sets;
pub mod settings;
mod short;
mod sizes;
mod survival;
pub mod suspects;
pub mod verify;
mod whatif;
pub mod world;
mod writer;

pub use crate::account::hints::Hints;
pub use crate::account::request::Depth;
pub use crate::account::request::RunRequest;
pub use crate::account::run::RENEWAL;
pub use answer::{adopt, bring_back};
pub use error::{AccountError, Trouble};
pub use listen::{Listener, Listens};
pub use live::Live;
pub use progress::Progress;
pub use report::{Report, Skip, Verified};
pub use rounds::sync;
pub use run::Run;
pub use settings::{Clock, Environment, Settings};
