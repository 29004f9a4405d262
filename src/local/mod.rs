//! The local side: Maildirs on a file system.
//!
//! Data flows down this list: [`fs`] is the contract with the disk, and the only place that
//! calls the system; the rule for links and mounts is told there. [`layout`] turns mailbox
//! names into directories, [`name`] takes file names apart, [`keywords`] gives letters to
//! keywords; [`content`] and [`header`] say what a body amounts to. On these stand the calls
//! of [`Root`]: opening, locking and walking it (`root`, `walk`, `whereabouts`), its marker
//! (`marker`), listing a mailbox (`scan`), reading a message (`read`), delivering one
//! (`deliver`, `copy`), changing its name or place (`change`), putting it aside (`trash`),
//! removing a mailbox (`removal`).
//!
//! What holds: **no call overwrites or unlinks a message**, a body is durable before it can be
//! seen, a directory that cannot be read is an error and never an empty one, and no state of
//! ours is in the name of a file. Nothing here decides; nothing here reads a clock but to
//! name files.

pub mod compare;
pub mod content;
pub mod fs;
#[cfg(feature = "fuzz")]
pub mod fuzz;
pub mod header;
pub mod keywords;
pub mod layout;
pub mod name;

mod change;
mod claim;
mod copy;
mod deliver;
mod error;
mod folding;
mod foreign;
mod given;
mod id;
mod maildirpp;
mod marker;
mod percent;
mod read;
mod recorded;
mod removal;
mod reserved;
mod root;
mod scan;
mod search;
mod spelling;
mod trash;
mod walk;
mod whereabouts;

#[cfg(test)]
mod tests;

pub use change::{Changed, NowNamed};
pub use claim::{Claimed, Known};
pub use content::{Digest, Summary};
pub use copy::Copied;
pub use deliver::{Delivered, Delivery, Placed};
pub use error::{LocalError, Scope};
pub use keywords::{Choice, KeywordTable};
pub use layout::Layout;
pub use marker::{Marker, UNKNOWN_SEPARATOR};
pub use name::FileName;
pub use read::{Examined, PushSource, Pushed};
pub use removal::Removal;
pub use root::{Root, RootOptions};
pub use scan::{Entry, Listed, Listing};
pub use trash::TrashOutcome;
pub use walk::{LocalMailbox, Mailboxes};
pub use whereabouts::{Found, Missing, Unknown};
