//! The words that every layer speaks: flags, identities, rows and their three columns, and
//! choices of the user.
//!
//! Nothing here performs I/O. `state` stores these values, `local` and `remote` observe
//! them, `reconcile` decides over them and `account` carries them from one to the other.

mod choice;
mod content;
mod flags;
mod id;
mod mailbox;
mod name;
mod row;
mod utf7;

pub use choice::{GuardLimits, Layout, OnLocalDelete, OnRemoteDelete, Tls};
pub use content::{ContentId, FileStamp, HeaderKeys, Stem};
pub use flags::{FlagDelta, FlagMask, Flags, Keyword, KeywordMask, System};
pub use id::{MailboxId, RowId, Uid};
pub use mailbox::{Coverage, DirStamps, Home, Mailbox, MailboxStatus, SpecialUse};
pub use name::{MailboxName, printable};
pub use row::{Base, Journal, Local, Place, Remote, Row, ServerFacts, SetAside, SetAsideKind};
pub use utf7::{decode_utf7, decode_utf7_loosely, encode_utf7};
