//! What the tests, the demo and the benches stand on.

pub mod imap;
pub mod memfs;
pub mod table;
