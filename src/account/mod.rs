//! What all accounts share, whatever the protocol: settings, errors, the report of a run, and the
//! opening of the store and the Maildir.

pub(crate) mod comparison;
pub mod error;
pub(crate) mod header;
pub(crate) mod losses;
pub(crate) mod opening;
pub(crate) mod outcome;
pub mod ownership;
pub mod progress;
pub mod report;
pub mod request;
pub mod sample;
pub mod settings;
pub(crate) mod sizes;
pub mod suspects;

pub use error::{AccountError, Trouble};
pub use progress::Progress;
pub use report::{Report, Skip, Verified};
pub use request::{Depth, RunRequest};
pub use settings::{Clock, Environment, Settings};
