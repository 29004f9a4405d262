//! The words that every layer speaks: flags, identities, rows and their three columns, and
//! choices of the user.
//!
//! Nothing here performs I/O. `state` stores these values, `local` and `remote` observe
//! them, `reconcile` decides over them and `account` carries them from one to the other.

mod choice;
mod content;
mod flags;
mod mailbox;
mod name;
mod row;
mod utf7;

pub use choice::{GuardLimits, Layout, OnLocalDelete, OnRemoteDelete, Tls};
pub use content::{ContentId, FileStamp, HeaderKeys, Stem};
pub use flags::{FlagDelta, FlagMask, Flags, Keyword, KeywordMask, System};
pub use mailbox::{DirStamps, Gate, Home, Mailbox, Reach, SpecialUse};
pub use name::{MailboxName, printable};
pub use row::{Base, Journal, Local, Place, Remote, Row, ServerWords, SetAside, SetAsideKind};
pub use utf7::{decode_utf7, decode_utf7_loosely, encode_utf7};

/// A row of the state store: one message in one mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowId(pub i64);

/// A mailbox of the state store. It survives nothing but the store it came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MailboxId(pub i64);

/// An IMAP unique identifier (RFC 9051 §2.3.1.1): nonzero, ascending within one UIDVALIDITY.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uid(pub u32);
