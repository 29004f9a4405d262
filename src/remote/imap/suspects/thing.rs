//! What a connection can be lost at: a command, and what it is about.

use super::UidSet;
use crate::reconcile::types::MailboxName;

/// A command at which connections can be lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Command {
    /// LIST by itself.
    List,
    /// LIST with the STATUS of all mailboxes (RFC 5819).
    ListStatus,
    /// STATUS of one mailbox.
    Status,
    /// SELECT and EXAMINE.
    Select,
    /// SELECT that asks for changes (RFC 7162).
    Resync,
    /// UNSELECT.
    Unselect,
    /// UID SEARCH.
    Search,
    /// UID FETCH of size, date and flags.
    Attributes,
    /// UID FETCH of flags alone.
    Flags,
    /// UID FETCH of headers.
    Headers,
    /// UID FETCH of bodies.
    Bodies,
    /// APPEND; what stands for UIDs are the rows of the store.
    Append,
    /// UID STORE.
    Store,
    /// UID COPY.
    Copy,
    /// UID MOVE.
    Move,
    /// EXPUNGE and UID EXPUNGE.
    Expunge,
    /// CREATE.
    Create,
    /// DELETE.
    Delete,
    /// RENAME.
    Rename,
    /// SUBSCRIBE and UNSUBSCRIBE.
    Subscribe,
    /// NOOP.
    Noop,
    /// ID and ENABLE, which are sent right after the sign-in.
    Extensions,
    /// CAPABILITY.
    Capability,
}

impl Command {
    const ALL: [(Self, &'static str); 23] = [
        (Self::List, "LIST"),
        (Self::ListStatus, "LIST RETURN (STATUS)"),
        (Self::Status, "STATUS"),
        (Self::Select, "SELECT"),
        (Self::Resync, "SELECT (QRESYNC)"),
        (Self::Unselect, "UNSELECT"),
        (Self::Search, "UID SEARCH"),
        (Self::Attributes, "UID FETCH"),
        (Self::Flags, "UID FETCH FLAGS"),
        (Self::Headers, "UID FETCH BODY[HEADER]"),
        (Self::Bodies, "UID FETCH BODY[]"),
        (Self::Append, "APPEND"),
        (Self::Store, "UID STORE"),
        (Self::Copy, "UID COPY"),
        (Self::Move, "UID MOVE"),
        (Self::Expunge, "EXPUNGE"),
        (Self::Create, "CREATE"),
        (Self::Delete, "DELETE"),
        (Self::Rename, "RENAME"),
        (Self::Subscribe, "SUBSCRIBE"),
        (Self::Noop, "NOOP"),
        (Self::Extensions, "ID or ENABLE"),
        (Self::Capability, "CAPABILITY"),
    ];

    /// The command as it is named to a person, and as it is stored.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(command, _)| *command == self).map_or("", |(_, name)| name)
    }

    /// Whether the same can be had in another way, so that one loss is enough.
    #[must_use]
    pub fn has_another_way(self) -> bool {
        let quicker = matches!(self, Self::ListStatus | Self::Resync | Self::Unselect);
        quicker || matches!(self, Self::Extensions | Self::Capability)
    }

    /// Reads [`Self::name`].
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(command, _)| *command)
    }
}

/// What a command is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thing {
    /// The command.
    pub command: Command,
    /// The mailbox; none where it concerns the account.
    pub mailbox: Option<MailboxName>,
    /// UIDVALIDITY of the UIDs; 0 where there are none.
    pub uid_validity: u32,
    /// The messages; none where it concerns the mailbox as a whole.
    pub uids: UidSet,
}

impl Thing {
    /// A command that concerns a mailbox as a whole, or the account.
    #[must_use]
    pub fn whole(command: Command, mailbox: Option<&MailboxName>) -> Self {
        Self { command, mailbox: mailbox.cloned(), uid_validity: 0, uids: UidSet::new() }
    }

    pub(super) fn is_of(&self, command: Command, mailbox: Option<&MailboxName>) -> bool {
        self.command == command && self.mailbox.as_ref() == mailbox
    }

    /// Whether it concerns one message, or a mailbox as a whole: it cannot be taken apart.
    #[must_use]
    pub fn is_one(&self) -> bool {
        self.uids.len() <= 1
    }
}
