//! The file system as `local` needs it: a narrow contract, and the real one behind it.
//!
//! It is a trait so that a file system in memory can stand in which loses power, fills up and
//! fails at any counted call. Paths are absolute; every call blocks.
//!
//! **One rule for paths** (hazard 62). Below a Maildir root every path is resolved part by part
//! from a descriptor of the root, for reading, writing and putting aside alike. A symbolic link
//! that stands for a directory on the way to a mailbox, or for a mailbox's own directory, is
//! followed: people keep big mailboxes on other disks. Parts that [`may_be_link`] refuses
//! (`cur`, `new`, `tmp`, what is ours) and the last part of a file's path never are. A link that
//! leads nowhere is an error, and never "not found": what is behind it is unknown.

mod contract;
mod real;
mod resolve;

pub(super) use contract::is_no_directory;
pub use contract::{Fs, FsFile, Kind, Lock, LockGuard, Meta, Refused, leads_nowhere, may_be_link};
pub use real::RealFs;
