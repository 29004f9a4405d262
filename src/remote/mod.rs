//! Servers: how they are reached, and what they answer.
//!
//! Each protocol is a folder. What they share is here: the stream under a connection, from
//! `transport`, `endpoint`, `tls` and `dial`; limits on what a server may send, from
//! `budget`, `deadline` and `allowance`; and an error that says who did it, at what, and in
//! which words (`error`, `code`).

mod allowance;
pub(crate) mod broken;
pub(crate) mod budget;
mod code;
pub(crate) mod date;
pub(crate) mod deadline;
mod dial;
mod endpoint;
mod error;
pub mod imap;
#[cfg(feature = "fuzz")]
mod pieces;
pub mod pop3;
mod sasl;
pub mod suspects;
pub(crate) mod tls;
mod transport;

pub use code::Code;
pub use endpoint::{Endpoint, Tls};
pub use error::RemoteError;
pub use transport::{BoxStream, Connecting, Connector, Counters, Stream, TcpConnector};
