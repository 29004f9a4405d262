//! A row: one message in one mailbox, as seen on each side and as agreed.

use std::collections::{BTreeMap, BTreeSet};

use super::content::{ContentId, FileStamp, HeaderKeys, Stem};
use super::flags::{Flags, Keyword};
use super::id::{MailboxId, RowId, Uid};
use super::name::MailboxName;

/// The local column: the file as last seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Local {
    /// Its name without the info part; unique in `new/` and `cur/` of a mailbox.
    pub stem: Stem,
    /// Whether it lies in `new/` (it has no flags then).
    pub in_new: bool,
    /// The raw info part after the separator (`2,FSa`), empty when there is none.
    pub info: String,
    /// Flags of the name, its letters read by the keyword table of its mailbox.
    pub flags: Flags,
    /// The file when it was last hashed or placed.
    pub stamp: FileStamp,
}

/// The remote column: the message as the server last showed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// Its UID under the mailbox's UIDVALIDITY.
    pub uid: Uid,
    /// Its flags as last FETCHed.
    pub flags: Flags,
    /// Whether a look has shown this UID. False between an APPENDUID or COPYUID and the
    /// next look: if that does not show it, the server refused it (no deletion).
    pub confirmed: bool,
}

/// The base column: what both sides agreed on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Base {
    /// The agreed flags.
    pub flags: Flags,
}

/// What the server itself once said of a message's body: kept after the UID is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerFacts {
    /// RFC822.SIZE in octets, as reported (it may be an estimate).
    pub size: u64,
    /// INTERNALDATE in seconds since 1970.
    pub date: i64,
    /// EMAILID (RFC 8474) or X-GM-MSGID, where the server has object ids.
    pub object_id: Option<String>,
}

/// What is under way for a row, written before the effect it protects.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Journal {
    /// Nothing.
    #[default]
    Idle,
    /// The body is durable in `tmp/` under its stem and its content is known; it may have been
    /// renamed into place, and a reader may have acted on it since.
    Placing {
        /// The name that the file got or will get.
        stem: Stem,
        /// Whether it goes to `new/`.
        in_new: bool,
        /// The info part that it gets in `cur/` (`2,S`), empty in `new/`.
        info: String,
    },
    /// An APPEND of this row may have reached the server.
    Pushing {
        /// UIDVALIDITY of the mailbox when it was sent.
        uid_validity: u32,
        /// UIDNEXT of the mailbox before it was sent: ours lies at or above it.
        uid_next: u32,
        /// How often it was sent.
        attempts: u32,
        /// Whether a literal was wholly sent without an answer: then it is sent again only
        /// after a look of a later run did not find it.
        sent: bool,
        /// The run (its number) of the last attempt; [`Journal::TAKEN`] where the server said that
        /// it took the message.
        run: i64,
    },
    /// Nothing is under way, but the message was sent more than once: a twin of it that turns
    /// up at or above `uid_next` is ours and is removed.
    Pushed {
        /// UIDVALIDITY of the mailbox when it was sent.
        uid_validity: u32,
        /// UIDNEXT of the mailbox before the first attempt.
        uid_next: u32,
        /// How many twins may still turn up.
        twins: u32,
    },
    /// A COPY or MOVE onto this row's mailbox, from another row, may have been carried out.
    Moving {
        /// The row it comes from.
        from: RowId,
        /// The file left that row: what the server has there is to go.
        leaves: bool,
        /// The keywords read by the table of the mailbox that the file left.
        keywords: BTreeSet<Keyword>,
    },
    /// The file was edited: what it became is the row `by`, which goes up before this one
    /// goes (hazard 12).
    Replaced {
        /// The row of the edited file.
        by: RowId,
    },
    /// The message has its new place, as a fact; what is left of it here is expunged.
    Moved {
        /// Its copy on the server, where that is known: flags that another device sets here
        /// before the EXPUNGE belong to it (hazard 92).
        copy: Option<Place>,
    },
    /// A COPY or MOVE of this row's message to \Trash may have been carried out.
    Trashing {
        /// The mailbox it goes to, by name (it may not be mirrored).
        to: MailboxName,
        /// UIDVALIDITY of that mailbox when it was sent.
        uid_validity: u32,
        /// Its UIDNEXT before.
        uid_next: u32,
    },
}

/// A message on the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The mailbox, by the name that it had then.
    pub mailbox: MailboxName,
    /// The UIDVALIDITY of that mailbox.
    pub uid_validity: u32,
    /// The UID under it.
    pub uid: Uid,
}

impl Journal {
    /// Whether the message has its new place, and only what is left of it here is to go.
    #[must_use]
    pub const fn is_moved(&self) -> bool {
        matches!(self, Self::Moved { .. })
    }
}

impl Journal {
    /// Stands for the run of an APPEND that was answered OK without a UID: the message is looked
    /// for by every look, and is not sent again before a person asks for that (hazard 120).
    pub const TAKEN: i64 = i64::MAX;

    /// The same where the mailbox was deleted or numbered anew since: whatever was in it then is
    /// gone or is shown under its new number, so a look tells as after a lost answer (hazard 155).
    #[must_use]
    pub fn of_former_numbers(self) -> Self {
        match self {
            Self::Pushing { uid_validity, uid_next, attempts, sent, run: Self::TAKEN } => {
                Self::Pushing { uid_validity, uid_next, attempts, sent, run: 0 }
            }
            journal => journal,
        }
    }

    /// Whether the server said that it took this message, and did not show it so far.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        matches!(self, Self::Pushing { sent: true, run: Self::TAKEN, .. })
    }
}

/// Why a row is set aside: kept as it is, named in `status`, not tried again until it changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAside {
    /// What could not be done.
    pub kind: SetAsideKind,
    /// The reason in the words of whoever refused.
    pub words: String,
    /// How often it was refused.
    pub times: u32,
}

impl SetAside {
    /// Refusals after which a message is left alone, where a refusal may pass.
    pub const TRIES: u32 = 3;

    /// Whether it is not tried again before it changes. What a server does not give or does
    /// not let go is tried in a few runs.
    #[must_use]
    pub fn is_final(&self) -> bool {
        let may_pass = matches!(self.kind, SetAsideKind::Remove | SetAsideKind::Fetch);
        !may_pass || self.times >= Self::TRIES
    }
}

/// What could not be done with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetAsideKind {
    /// The server does not take it (NO to APPEND, or the UID was not there afterwards).
    Push,
    /// The server does not give it (NO to FETCH, no body in an OK).
    Fetch,
    /// The server does not let it go (the UID stays after EXPUNGE).
    Remove,
    /// The file cannot be read or was not whole.
    Read,
    /// It cannot be known whether the server has it already.
    Undecided,
    /// By the user's policy it stays on one side only: no problem, never listed as one.
    Kept,
}

/// One message in one mailbox: three columns and what is known of its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its identity in the store.
    pub id: RowId,
    /// Where it is.
    pub mailbox: MailboxId,
    /// The file as last seen, none when it was seen to be gone or never was.
    pub local: Option<Local>,
    /// The server's message as last seen, likewise.
    pub remote: Option<Remote>,
    /// What both sides agreed on, none for a row that never was on both.
    pub base: Option<Base>,
    /// Content of the file, or of the body that was fetched. Survives the departure of both.
    pub content: Option<ContentId>,
    /// What the header says: of the wire's bytes where they were seen, else of the file's.
    pub header: Option<HeaderKeys>,
    /// What the server said of it; before it said anything, what the file makes one expect.
    pub words: Option<ServerFacts>,
    /// The two sides may hold different bytes (paired by a loose key, or altered by the
    /// server on the way up): never a source for COPY, link or deletion by content.
    pub weak: bool,
    /// The columns were unsettled by a renumbering, a restored root or a lost store: an absent
    /// side is unknown, not departed. The base still serves the flags once paired.
    pub restated: bool,
    /// Keywords that the server did not take, seen by a look: masked out from then on.
    pub refused_keywords: BTreeSet<Keyword>,
    /// What the keyword letters of its last file meant, kept when the file leaves: its mailbox
    /// may have another table by the time the file is found elsewhere.
    pub letters: BTreeMap<char, Keyword>,
    /// What is under way.
    pub journal: Journal,
    /// Why it is set aside.
    pub set_aside: Option<SetAside>,
}

impl Row {
    /// Whether the row is left alone until a look changes it.
    #[must_use]
    pub fn is_set_aside(&self) -> bool {
        self.set_aside.as_ref().is_some_and(SetAside::is_final)
    }

    /// A row of which nothing is known yet.
    #[must_use]
    pub fn new(mailbox: MailboxId) -> Self {
        Self {
            id: RowId(0),
            mailbox,
            local: None,
            remote: None,
            base: None,
            content: None,
            header: None,
            words: None,
            weak: false,
            restated: false,
            refused_keywords: BTreeSet::new(),
            letters: BTreeMap::new(),
            journal: Journal::Idle,
            set_aside: None,
        }
    }

    /// Keywords that any of the three columns has.
    #[must_use]
    pub fn known_keywords(&self) -> BTreeSet<Keyword> {
        let columns = [
            self.base.as_ref().map(|b| &b.flags),
            self.local.as_ref().map(|l| &l.flags),
            self.remote.as_ref().map(|r| &r.flags),
        ];
        columns.into_iter().flatten().flat_map(|f| f.keywords.iter().cloned()).collect()
    }
}
