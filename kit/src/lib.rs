//! What the tests, the demo and the benches stand on.

pub mod certificate;
pub mod compare;
pub mod corpus;
pub mod courier;
pub mod cyrus;
pub mod dovecot;
pub mod fuzz;
pub mod hostile;
pub mod imap;
pub mod memfs;
pub mod oracle;
pub mod pop3;
pub mod proxy;
pub mod sample;
mod skipped;
pub mod table;
pub mod terminal;
pub mod torture;
pub mod unprivileged;
pub mod world;

pub use skipped::skipped;
