//! Flags and keywords: the same words for a Maildir name and for IMAP.

use std::collections::BTreeSet;
use std::fmt;

use super::name::printable;

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
