//! IMAP: one [`Session`] is one signed-in connection.
//!
//! Read them in this order, each stands on the former:
//! - `wire`: whole responses in, whole commands out; deadlines and limits.
//! - `parse`: what a response says; nothing in it is fatal.
//! - `connect`, `sign_in`: from a host name to a session.
//! - `session`, `talk`: commands and their answers; nothing unasked is dropped.
//! - `list`, `select`, `search`, `fetch`, `body`, `append`, `change`: the commands.
//!
//! async-imap gives the sign-in and the tags; it hides refusals and the end of the stream and
//! drops what it was not asked for, so every answer is read here.

mod append;
mod body;
mod capabilities;
mod caution;
mod change;
mod connect;
mod delivery;
mod fetch;
#[cfg(feature = "fuzz")]
pub mod fuzz;
mod list;
mod name;
mod parse;
mod remarks;
mod search;
mod select;
mod session;
mod sign_in;
mod talk;
pub(crate) mod uid_set;
mod watch;
mod wire;

#[cfg(test)]
mod tests;

pub use crate::remote::code::Code;
pub use crate::remote::endpoint::{Endpoint, Tls};
pub use crate::remote::suspects::{Command, Shared, Suspect, Suspects, Thing};
pub use crate::remote::transport::Counters;
pub use append::{AppendError, Appending, BodySource, Upload};
pub use capabilities::Capabilities;
pub use change::{CopyError, CopyUid, sendable};
pub use delivery::BodySink;
pub use fetch::FetchItems;
pub use list::{Existence, ListedMailbox};
pub use name::Names;
pub use parse::fetch::FetchRow;
pub use select::{QresyncSince, Select, Selected};
pub use session::Session;
pub use talk::{Pending, Untagged};
pub use uid_set::{Collector as UidCollector, UidSet};
pub use watch::Watch;
