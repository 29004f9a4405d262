//! The control socket: a line of JSON asks, lines of JSON answer. Only its owner can reach it.

mod client;
mod handler;
mod protocol;
mod serve;
mod socket;

pub use client::{NoAnswer, ask};
pub use protocol::{Answer, Request};
pub use serve::{Serving, Socket, serve};
pub use socket::paths;
