//! A mailbox: as seen on each side and as agreed, and how far the last look reached.

use super::content::FileStamp;
use super::flags::{FlagMask, Keyword};
use super::id::MailboxId;
use super::name::MailboxName;

/// How far a look reached. Failing to look is never "absent".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Coverage {
    /// Everything was seen.
    Complete,
    /// Something could not be seen: nothing may be called gone.
    #[default]
    Partial,
    /// Only the newest were shown: what lies below the lowest visible UID is not gone.
    Windowed,
}

/// A special use of a mailbox (RFC 6154 §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SpecialUse {
    /// \All: every message, seen through one mailbox.
    All,
    /// \Archive.
    Archive,
    /// \Drafts.
    Drafts,
    /// \Flagged.
    Flagged,
    /// \Junk.
    Junk,
    /// \Sent.
    Sent,
    /// \Trash.
    Trash,
}

impl SpecialUse {
    /// Every special use with its IMAP attribute.
    pub const TABLE: [(Self, &'static str); 7] = [
        (Self::All, "\\All"),
        (Self::Archive, "\\Archive"),
        (Self::Drafts, "\\Drafts"),
        (Self::Flagged, "\\Flagged"),
        (Self::Junk, "\\Junk"),
        (Self::Sent, "\\Sent"),
        (Self::Trash, "\\Trash"),
    ];

    /// The use of an attribute in any ASCII case.
    #[must_use]
    pub fn from_imap(attribute: &str) -> Option<Self> {
        Self::TABLE.iter().find(|(_, a)| a.eq_ignore_ascii_case(attribute)).map(|(u, _)| *u)
    }
}

/// What LIST-STATUS or STATUS says of a mailbox without selecting it (RFC 9051 §6.3.11).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MailboxStatus {
    /// UIDVALIDITY; 0 when the server did not say.
    pub uid_validity: u32,
    /// UIDNEXT; 0 when the server did not say.
    pub uid_next: u32,
    /// MESSAGES.
    pub messages: u32,
    /// HIGHESTMODSEQ (RFC 7162 §3.1.2.1); none where there is no mod-sequence.
    pub highest_modseq: Option<u64>,
}

/// When the two message directories of a mailbox were last read, by their own stamps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DirStamps {
    /// `new/`.
    pub new: FileStamp,
    /// `cur/`.
    pub cur: FileStamp,
}

/// The directory that the files of a mailbox were seen in: its absence, or another one in its
/// place, says nothing of them (hazard 63).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Home {
    /// Inode of `new/`.
    pub new: u64,
    /// Inode of `cur/`.
    pub cur: u64,
    /// It lies on another disk than the root: a link leads there, or a mount.
    pub other_disk: bool,
    /// Inode of our own directory in the root then; 0: not known.
    pub root: u64,
}

/// A mailbox of the account: seen remotely, seen locally, agreed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mailbox {
    /// Its identity in the store.
    pub id: MailboxId,
    /// Its path.
    pub name: MailboxName,
    /// The server was last seen to have it (selectable).
    pub remote: bool,
    /// The Maildir was last seen to have it.
    pub local: bool,
    /// Both sides had it and agreed on that.
    pub base: bool,
    /// The cursor: every row that it covers was stored in the same transaction.
    pub cursor: Option<MailboxStatus>,
    /// Stamps of the directories when their listing was stored and they were quiet.
    pub stamps: Option<DirStamps>,
    /// The directory that its files were seen in; none before the first look.
    pub home: Option<Home>,
    /// RFC 6154 attribute.
    pub special_use: Option<SpecialUse>,
    /// What PERMANENTFLAGS allows; none until the mailbox was selected.
    pub mask: Option<FlagMask>,
    /// The keyword table (`dovecot-keywords`) as last read: position n is letter `a` + n.
    pub keyword_table: Vec<Option<Keyword>>,
    /// Rows of it are being identified anew (renumbered, restored, adopted): nothing is pushed
    /// into it before every unknown remote message there has been identified.
    pub restated: bool,
    /// MAILBOXID (RFC 8474) as the server last told it: it stays when the mailbox is renamed.
    pub object_id: Option<String>,
    /// What the file `.mailtide-id` in its directory holds: it goes along when that is renamed.
    pub local_id: Option<String>,
    /// A rename to this name was begun, on either side, and is not known to be done.
    pub renaming: Option<MailboxName>,
    /// Why it cannot be kept in step, in words for a person.
    pub problem: Option<String>,
}

impl Mailbox {
    /// A mailbox that nothing is known of but its name.
    #[must_use]
    pub fn new(name: MailboxName) -> Self {
        Self {
            id: MailboxId(0),
            name,
            remote: false,
            local: false,
            base: false,
            cursor: None,
            stamps: None,
            home: None,
            special_use: None,
            mask: None,
            keyword_table: Vec::new(),
            restated: false,
            object_id: None,
            local_id: None,
            renaming: None,
            problem: None,
        }
    }
}
