//! One account: its runs, and what they are made of. [`sync`] is the page to read first.
//!
//! [`observe`] writes what was seen, [`crate::reconcile`] decides, [`apply`] performs steps and
//! gives facts, and [`record`] is the only writer of the store.

pub mod answer;
mod apart;
pub mod apply;
pub mod attempt;
mod brakes;
pub mod error;
pub mod listen;
pub mod live;
pub mod maildrop;
pub mod observe;
mod preview;
pub mod progress;
pub mod record;
pub mod recover;
mod renames;
pub mod report;
pub mod restate;
mod rounds;
pub mod run;
pub mod samples;
pub mod scope;
mod sets;
pub mod settings;
pub mod suspects;
pub mod verify;
mod whatif;
pub mod world;

pub use answer::{adopt, bring_back};
pub use error::{AccountError, Trouble};
pub use listen::{Listener, Listens};
pub use live::{Hints, Live, RENEWAL};
pub use progress::Progress;
pub use report::{Report, Skip, Verified};
pub use rounds::sync;
pub use run::{Run, Wish};
pub use settings::{Clock, Outside, Settings};
pub use verify::Depth;
