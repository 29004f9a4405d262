//! POP3 (RFC 1939): one [`Session`] is one signed-in connection, and one look at the maildrop.
//!
//! Read them in this order, each stands on the former:
//! - `wire`, `unstuff`: lines and bodies in, commands out; deadlines and limits.
//! - `answer`, `capabilities`: what a server says; what cannot be read is passed over.
//! - `sent`, `ahead`, `session`: commands and their answers, several under way where
//!   that is allowed.
//! - `caution`: what is under way, should the connection be lost; `step`, `proof`: whether answers
//!   still belong to the commands that they are read as answers to.
//! - `sasl`, `sign_in`, `connect`: from a host name to a session.
//! - `listing`, `list`, `retrieve`, `delete`: the commands.
//!
//! What DELE marks goes when QUIT is answered, and not before: a session that is dropped, or
//! cut off, deletes nothing (RFC 1939 §6).

mod ahead;
mod capabilities;
mod caution;
mod connect;
mod delete;
#[cfg(feature = "fuzz")]
pub mod fuzz;
mod list;
mod listing;
mod proof;
mod reply;
mod retrieve;
mod sent;
mod session;
mod sign_in;
mod step;
mod unstuff;
mod wire;

pub use capabilities::Capabilities;
pub use caution::Lost;
pub use connect::Settings;
pub use listing::{Listed, Listing};
pub use retrieve::{BodySink, HEADER, Header};
pub use session::Session;
pub use sign_in::Auth;
