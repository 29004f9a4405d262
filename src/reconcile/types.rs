//! The words that every layer speaks: flags, identities, rows and their three columns.
//!
//! Nothing here performs I/O. `state` stores these values, `local` and `remote` observe
//! them, `reconcile` decides over them and `account` carries them from one to the other.

use std::collections::BTreeSet;
use std::fmt;

/// A row of the state store: one message in one mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowId(pub i64);

/// A mailbox of the state store. It survives nothing but the store it came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MailboxId(pub i64);

/// An IMAP unique identifier (RFC 9051 §2.3.1.1): nonzero, ascending within one UIDVALIDITY.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uid(pub u32);

/// The path of a mailbox in UTF-8 with `/` between its levels, whatever server or disk call it.
///
/// `INBOX` in any case is stored as `INBOX` (RFC 9051 §5.1).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MailboxName(String);

impl MailboxName {
    /// The path that every account has.
    pub const INBOX: &'static str = "INBOX";

    /// Takes a UTF-8 path; a leading `inbox` level in any case becomes `INBOX`.
    #[must_use]
    pub fn new(path: &str) -> Self {
        let (first, rest) = path.split_at(path.find('/').unwrap_or(path.len()));
        if first.eq_ignore_ascii_case(Self::INBOX) {
            Self(format!("{}{rest}", Self::INBOX))
        } else {
            Self(path.to_owned())
        }
    }

    /// The path as UTF-8, as stored; not fit for a terminal before it is neutralised.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is the INBOX itself (not an inferior of it).
    #[must_use]
    pub fn is_inbox(&self) -> bool {
        self.0 == Self::INBOX
    }

    /// The path one level up, if there is one.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        self.0.rfind('/').map(|at| Self(self.0[..at].to_owned()))
    }

    /// Whether `self` lies below `other`.
    #[must_use]
    pub fn is_inferior_of(&self, other: &Self) -> bool {
        self.0.strip_prefix(&other.0).is_some_and(|rest| rest.starts_with('/'))
    }
}

impl fmt::Display for MailboxName {
    /// The path with control characters made visible, so that no name can drive a terminal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&printable(&self.0))
    }
}

/// Replaces what could drive a terminal (C0, DEL, C1 and bidirectional controls) by `\u{..}`.
///
/// Everything that a server, a file name or a message said passes through here before a
/// person sees it.
#[must_use]
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let bidi = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if c.is_control() || bidi {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

/// An IMAP keyword (RFC 9051 §2.3.2): a flag without `\`, equal in any ASCII case.
#[derive(Debug, Clone)]
pub struct Keyword(String);

impl Keyword {
    /// Takes the keyword as spelled by whoever set it.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The keyword as it was spelled.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl PartialEq for Keyword {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for Keyword {}

impl PartialOrd for Keyword {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Keyword {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let fold = |k: &Self| k.0.to_ascii_lowercase();
        fold(self).cmp(&fold(other))
    }
}

/// The six flags that a Maildir name and IMAP share, as bits.
///
/// `P` is the keyword `$Forwarded` in IMAP; it is held here because Maildir has a letter for it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct System(pub u8);

impl System {
    /// No flag.
    pub const NONE: Self = Self(0);
    /// `D`, `\Draft`.
    pub const DRAFT: Self = Self(1);
    /// `F`, `\Flagged`.
    pub const FLAGGED: Self = Self(2);
    /// `P`, `$Forwarded`.
    pub const PASSED: Self = Self(4);
    /// `R`, `\Answered`.
    pub const REPLIED: Self = Self(8);
    /// `S`, `\Seen`.
    pub const SEEN: Self = Self(16);
    /// `T`, `\Deleted`.
    pub const TRASHED: Self = Self(32);
    /// All six.
    pub const ALL: Self = Self(63);

    /// Bit, Maildir letter and IMAP name of each flag, in the order of the letters.
    pub const TABLE: [(Self, char, &'static str); 6] = [
        (Self::DRAFT, 'D', "\\Draft"),
        (Self::FLAGGED, 'F', "\\Flagged"),
        (Self::PASSED, 'P', "$Forwarded"),
        (Self::REPLIED, 'R', "\\Answered"),
        (Self::SEEN, 'S', "\\Seen"),
        (Self::TRASHED, 'T', "\\Deleted"),
    ];

    /// Whether every bit of `other` is in `self`.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Bits in either.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Bits in both.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Bits in `self` that are not in `other`.
    #[must_use]
    pub const fn difference(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether no bit is set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The flag of a Maildir letter, if it is one of the six.
    #[must_use]
    pub fn from_letter(letter: char) -> Option<Self> {
        Self::TABLE.iter().find(|(_, l, _)| *l == letter).map(|(bit, _, _)| *bit)
    }

    /// The flag of an IMAP name in any ASCII case, if it is one of the six.
    #[must_use]
    pub fn from_imap(name: &str) -> Option<Self> {
        Self::TABLE.iter().find(|(_, _, n)| n.eq_ignore_ascii_case(name)).map(|(bit, _, _)| *bit)
    }

    /// The Maildir letters in ASCII order, as they stand in a file name.
    #[must_use]
    pub fn letters(self) -> String {
        Self::TABLE.iter().filter(|(bit, _, _)| self.contains(*bit)).map(|(_, l, _)| l).collect()
    }
}

impl fmt::Debug for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.letters())
    }
}

/// A set of flags: the six of Maildir and any keywords. `\Recent` is never in it.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Flags {
    /// D F P R S T.
    pub system: System,
    /// Everything else that is not a system flag.
    pub keywords: BTreeSet<Keyword>,
}

impl Flags {
    /// Flags without keywords.
    #[must_use]
    pub fn system(system: System) -> Self {
        Self { system, keywords: BTreeSet::new() }
    }

    /// Whether nothing is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.system.is_empty() && self.keywords.is_empty()
    }

    /// What either has.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self {
            system: self.system.union(other.system),
            keywords: self.keywords.union(&other.keywords).cloned().collect(),
        }
    }

    /// What `self` has and `other` has not.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        Self {
            system: self.system.difference(other.system),
            keywords: self.keywords.difference(&other.keywords).cloned().collect(),
        }
    }

    /// Adds one flag by its IMAP name; `\Recent` and unknown system flags are dropped
    /// (RFC 9051 §2.3.2: a client cannot set them, so they are no state of the message).
    pub fn insert_imap(&mut self, name: &str) {
        if let Some(bit) = System::from_imap(name) {
            self.system = self.system.union(bit);
        } else if !name.starts_with('\\') {
            self.keywords.insert(Keyword::new(name));
        }
    }

    /// The IMAP names of all flags, system flags first, in a stable order.
    #[must_use]
    pub fn imap_names(&self) -> Vec<&str> {
        let system = System::TABLE.iter().filter(|(bit, _, _)| self.system.contains(*bit));
        system.map(|(_, _, name)| *name).chain(self.keywords.iter().map(Keyword::as_str)).collect()
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.system)?;
        for keyword in &self.keywords {
            write!(f, "+{}", printable(keyword.as_str()))?;
        }
        Ok(())
    }
}

/// What is added to and removed from a set of flags; never a target set.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FlagDelta {
    /// Flags to set.
    pub add: Flags,
    /// Flags to clear.
    pub remove: Flags,
}

impl FlagDelta {
    /// The change that turns `from` into `to`.
    #[must_use]
    pub fn between(from: &Flags, to: &Flags) -> Self {
        Self { add: to.difference(from), remove: from.difference(to) }
    }

    /// Whether nothing would change.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.add.is_empty() && self.remove.is_empty()
    }

    /// `flags` with this change made.
    #[must_use]
    pub fn applied_to(&self, flags: &Flags) -> Flags {
        flags.union(&self.add).difference(&self.remove)
    }
}

/// Which flags a side can hold at all: what it cannot hold is no change when it is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlagMask {
    /// The system flags it keeps.
    pub system: System,
    /// The keywords it keeps.
    pub keywords: KeywordMask,
}

/// Which keywords a side keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeywordMask {
    /// Any (`\*` in PERMANENTFLAGS; a keyword table with free letters).
    Any,
    /// Only these.
    Only(BTreeSet<Keyword>),
}

impl FlagMask {
    /// A side that keeps everything.
    #[must_use]
    pub fn all() -> Self {
        Self { system: System::ALL, keywords: KeywordMask::Any }
    }

    /// Whether a keyword is kept.
    #[must_use]
    pub fn holds(&self, keyword: &Keyword) -> bool {
        match &self.keywords {
            KeywordMask::Any => true,
            KeywordMask::Only(set) => set.contains(keyword),
        }
    }

    /// The part of `flags` that this side can hold.
    #[must_use]
    pub fn apply(&self, flags: &Flags) -> Flags {
        Flags {
            system: flags.system.intersection(self.system),
            keywords: flags.keywords.iter().filter(|k| self.holds(k)).cloned().collect(),
        }
    }
}

/// BLAKE3 of f(bytes), f turning every LF that does not follow a CR into CRLF.
///
/// Equal on both sides of a message by construction, whatever line ends the disk holds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentId(pub [u8; 32]);

impl fmt::Debug for ContentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in &self.0[..4] {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

/// What can be told from a message's header alone (lines up to the first empty one,
/// CR*LF read as LF, no trailing blank line).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HeaderKeys {
    /// First 16 bytes of BLAKE3 of the normalised header: the *fingerprint*'s part.
    pub hash: [u8; 16],
    /// First 16 bytes of BLAKE3 of Message-ID, Date, From and Subject, unfolded and trimmed:
    /// survives servers that rewrite headers. For pairing one local with one remote only.
    pub loose: [u8; 16],
    /// Whether there is a nonempty Message-ID: without one a fingerprint proves nothing.
    pub has_message_id: bool,
}

/// A Maildir file name up to its info part (`:2,FLAGS`), as raw bytes of any origin.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stem(pub Vec<u8>);

impl fmt::Debug for Stem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&printable(&String::from_utf8_lossy(&self.0)))
    }
}

/// What tells, without reading, that a file is still the one that was hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FileStamp {
    /// Inode number.
    pub ino: u64,
    /// Length in bytes.
    pub size: u64,
    /// Modification time in nanoseconds since 1970.
    pub mtime_ns: i64,
}

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
pub struct ServerWords {
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
        /// The run (its number) of the last attempt.
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
        /// The keywords read by the table of the mailbox that the file left.
        keywords: BTreeSet<Keyword>,
    },
    /// The message has its new place, as a fact; what is left of it here is expunged.
    Moved,
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
    /// Refused removals after which a message is left alone.
    const REMOVALS_MAX: u32 = 3;

    /// Whether it is not tried again before it changes. A removal is tried a few times.
    #[must_use]
    pub fn is_final(&self) -> bool {
        self.kind != SetAsideKind::Remove || self.times >= Self::REMOVALS_MAX
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
    pub words: Option<ServerWords>,
    /// The two sides may hold different bytes (paired by a loose key, or altered by the
    /// server on the way up): never a source for COPY, link or deletion by content.
    pub weak: bool,
    /// The columns were unsettled by a renumbering, a restored root or a lost store: an absent
    /// side is unknown, not departed. The base still serves the flags once paired.
    pub restated: bool,
    /// Keywords that the server did not take, seen by a look: masked out from then on.
    pub refused_keywords: BTreeSet<Keyword>,
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

/// How far a look reached. Failing to look is never "absent".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reach {
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
pub struct Gate {
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
    pub cursor: Option<Gate>,
    /// Stamps of the directories when their listing was stored and they were quiet.
    pub stamps: Option<DirStamps>,
    /// RFC 6154 attribute.
    pub special_use: Option<SpecialUse>,
    /// What PERMANENTFLAGS allows; none until the mailbox was selected.
    pub mask: Option<FlagMask>,
    /// The keyword table (`dovecot-keywords`) as last read: position n is letter `a` + n.
    pub keyword_table: Vec<Option<Keyword>>,
    /// Rows of it are being identified anew (renumbered, restored, adopted): nothing is pushed
    /// into it before every unknown remote message there has been identified.
    pub restated: bool,
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
            special_use: None,
            mask: None,
            keyword_table: Vec::new(),
            restated: false,
            problem: None,
        }
    }
}
