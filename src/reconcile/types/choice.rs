//! Choices of the user on which more than one layer acts. The config parses into them. Names that
//! are serialized are stored, and never change.

use serde::Serialize;

/// How the connection to a server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    /// TLS from the first byte (RFC 8314), port 993 or 995.
    Implicit,
    /// STARTTLS or STLS before anything else; without it the connection is refused.
    StartTls,
    /// No TLS: only to a loopback host, or where the user allowed it in words.
    None,
}

/// How mailboxes lie in a Maildir root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Layout {
    /// `INBOX/{cur,new,tmp}`, `Work/Alpha/{cur,new,tmp}`.
    #[default]
    Nested,
    /// The root is the INBOX, `.Work.Alpha/{cur,new,tmp}` beside its `cur`.
    MaildirPlusPlus,
}

/// Effect of a local deletion on the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OnLocalDelete {
    /// The message is moved to \Trash; in \Trash it is expunged.
    #[default]
    Trash,
    /// The message is expunged.
    Expunge,
    /// None: the server keeps the message.
    Keep,
}

/// Effect of a deletion on the server on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OnRemoteDelete {
    /// The file is renamed into `.mailtide/trash` of the root.
    #[default]
    Remove,
    /// None: the file stays.
    Keep,
}

/// Limits above which deletions are held: see [`limit`](crate::reconcile::guard::limit).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GuardLimits {
    /// Percent of a mailbox that may leave within 24 hours, 0 to 100.
    pub percent: u64,
    /// Messages that may leave within 24 hours at most, however large the mailbox.
    pub messages: u64,
    /// Messages that may leave within 24 hours however small the mailbox. Where the user sets
    /// only `percent`, this is 0.
    pub always: u64,
}

impl Default for GuardLimits {
    fn default() -> Self {
        Self { percent: 20, messages: 1000, always: 50 }
    }
}
