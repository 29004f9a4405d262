//! What the user wants, validated: plain data for every other layer.
//!
//! [`Config::load`] reads the TOML (`file`), refuses what it does not understand with the line
//! where it stands, and returns values that need no further checking. Passwords are not in
//! there but in the places that [`SecretSource`] names, until somebody signs in.

mod access;
mod account;
pub mod child;
mod document;
mod error;
mod file;
mod maildrop;
pub mod paths;
pub mod pattern;
pub mod secret;
mod settings;
mod strict;
#[cfg(test)]
mod tests;
pub mod units;

pub(crate) use document::nearest;
pub use error::{ConfigError, Problem};
pub use paths::Env;
pub use pattern::{Mailboxes, Pattern};
pub use secret::{Secret, SecretError, SecretSource};
pub use settings::{Account, Config, Direction, Keep, Maildrop, Pin};
