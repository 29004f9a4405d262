//! What a connection can be lost at: a command, and what it is about.

use crate::reconcile::types::MailboxName;
use crate::remote::imap::uid_set::UidSet;

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
    /// CAPA of POP3.
    Capa,
    /// UTF8 of POP3.
    Utf8,
    /// UIDL of POP3.
    Uidl,
    /// NOOP of POP3, behind a body.
    Prove,
    /// STAT of POP3.
    Stat,
    /// TOP of POP3.
    Top,
    /// RETR of POP3.
    Retr,
    /// DELE of POP3.
    Dele,
    /// QUIT of POP3.
    Quit,
}

impl Command {
    const ALL: [(Self, &'static str); 32] = [
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
        (Self::Capa, "CAPA"),
        (Self::Utf8, "UTF8"),
        (Self::Uidl, "UIDL"),
        (Self::Prove, "NOOP behind a body"),
        (Self::Stat, "STAT"),
        (Self::Top, "TOP"),
        (Self::Retr, "RETR"),
        (Self::Dele, "DELE"),
        (Self::Quit, "QUIT"),
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
        let pop3 = [Self::Capa, Self::Utf8, Self::Prove, Self::Stat, Self::Top];
        let spared = matches!(self, Self::Extensions | Self::Capability | Self::Noop);
        quicker || spared || pop3.contains(&self)
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
    /// The message of a maildrop, by what it is called in every session; none in IMAP, and where
    /// it concerns the maildrop as a whole.
    pub message: Option<String>,
}

impl Thing {
    /// A command that concerns a mailbox as a whole, or the account.
    #[must_use]
    pub fn whole(command: Command, mailbox: Option<&MailboxName>) -> Self {
        let (uids, message) = (UidSet::new(), None);
        Self { command, mailbox: mailbox.cloned(), uid_validity: 0, uids, message }
    }

    /// A command of POP3, about one message or the whole maildrop.
    #[must_use]
    pub fn in_maildrop(command: Command, message: Option<String>) -> Self {
        Self { message, ..Self::whole(command, None) }
    }

    /// Whether it concerns single messages.
    pub(super) fn is_part(&self) -> bool {
        !self.uids.is_empty() || self.message.is_some()
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
