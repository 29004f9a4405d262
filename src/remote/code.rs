//! Response codes, of IMAP and of POP3.

use super::imap::uid_set::UidSet;
use crate::reconcile::types::FlagMask;

/// A response code (RFC 9051 §7.1, RFC 7162, RFC 4315, RFC 5530), as far as it changes what
/// we do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Code {
    /// The words are for the user.
    Alert,
    /// CREATE of what exists.
    AlreadyExists,
    /// The UIDVALIDITY and the UIDs of what was appended.
    AppendUid(u32, UidSet),
    /// The credentials are wrong.
    AuthenticationFailed,
    /// The operation can never be done here.
    Cannot,
    /// The capabilities, as listed.
    Capability(String),
    /// What follows belongs to the mailbox that is being selected (RFC 7162 §3.2.11).
    Closed,
    /// The UIDVALIDITY there, the source ranges and the new ones, in the order sent.
    CopyUid(u32, Vec<(u32, u32)>, Vec<(u32, u32)>),
    /// The mod-sequence up to which everything was said.
    HighestModseq(u64),
    /// Somebody else holds it; later it may go.
    InUse,
    /// A limit of the server was reached.
    Limit,
    /// The sign-in came too soon after the last one (RFC 2449 §8.1.1): seconds, if it says.
    LoginDelay(Option<u64>),
    /// The object id of a mailbox (RFC 8474).
    MailboxId(String),
    /// The UIDs whose conditional STORE failed.
    Modified(UidSet),
    /// The mailbox has no mod-sequences.
    NoModseq,
    /// There is no such mailbox.
    NonExistent,
    /// No right to do it.
    NoPerm,
    /// No room left.
    OverQuota,
    /// The flags that are kept.
    PermanentFlags(FlagMask),
    /// The mailbox is selected read-only.
    ReadOnly,
    /// The mailbox is selected read-write.
    ReadWrite,
    /// The server calls itself broken.
    ServerBug,
    /// The message is larger than the server takes.
    TooBig,
    /// The target does not exist, CREATE would help.
    TryCreate,
    /// The next UID.
    UidNext(u32),
    /// UIDs do not last here.
    UidNotSticky,
    /// The UIDVALIDITY.
    UidValidity(u32),
    /// For the moment it does not work.
    Unavailable,
    /// Any other, as it stood between its brackets.
    Other(String),
}

impl Code {
    /// The name of a code that explains a refused sign-in. What a server made up has none.
    #[must_use]
    pub fn keyword(&self) -> Option<&'static str> {
        Some(match self {
            Self::Alert => "ALERT",
            Self::AuthenticationFailed => "AUTHENTICATIONFAILED",
            Self::Cannot => "CANNOT",
            Self::InUse => "IN-USE",
            Self::Limit => "LIMIT",
            Self::LoginDelay(_) => "LOGIN-DELAY",
            Self::NoPerm => "NOPERM",
            Self::ServerBug => "SERVERBUG",
            Self::Unavailable => "UNAVAILABLE",
            _ => return None,
        })
    }
}
