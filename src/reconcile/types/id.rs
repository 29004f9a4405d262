//! Identities of rows, mailboxes and messages.

/// A row of the state store: one message in one mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowId(pub i64);

/// A mailbox of the state store. It survives nothing but the store it came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MailboxId(pub i64);

/// An IMAP unique identifier (RFC 9051 §2.3.1.1): nonzero, ascending within one UIDVALIDITY.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uid(pub u32);
