//! Status responses (RFC 9051 §7.1) and their codes: what happened, and the server's words.

use super::cursor::{Cursor, is, number, trim};
use super::fetch::object_id;
use crate::reconcile::types::{FlagMask, Flags, KeywordMask, Uid};
use crate::remote::code::Code;
use crate::remote::imap::uid_set::{UidSet, parse_in_order};

/// The first word of a status response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition {
    Ok,
    No,
    Bad,
    Preauth,
    Bye,
}

impl Condition {
    pub(crate) fn of(word: &[u8]) -> Option<Self> {
        [
            (Self::Ok, "OK"),
            (Self::No, "NO"),
            (Self::Bad, "BAD"),
            (Self::Preauth, "PREAUTH"),
            (Self::Bye, "BYE"),
        ]
        .into_iter()
        .find_map(|(condition, name)| is(word, name).then_some(condition))
    }
}

/// A status response, tagged or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) condition: Condition,
    pub(crate) code: Option<Code>,
    /// The human-readable text, as it came.
    pub(crate) words: String,
}

impl Status {
    /// Reads what follows the tag or `*`; none if it is no status at all.
    pub(crate) fn parse(rest: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(rest);
        let condition = Condition::of(cursor.atom())?;
        let rest = trim(cursor.rest());
        let (code, words) = split_code(rest);
        Some(Self { condition, code: code.map(Code::parse), words: text(words) })
    }
}

/// As much of a text as a person would read.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(1_000)]).into_owned()
}

/// Parts `[CODE …] text`. A flag may hold a `]`, so a list of flags ends at its parenthesis.
fn split_code(rest: &[u8]) -> (Option<&[u8]>, &[u8]) {
    let Some(body) = rest.strip_prefix(b"[") else { return (None, rest) };
    let mut from = 0;
    if body.len() > 14 && is(&body[..14], "PERMANENTFLAGS") {
        from = body.iter().position(|&b| b == b')').unwrap_or(0);
    }
    match body[from..].iter().position(|&b| b == b']') {
        Some(end) => (Some(trim(&body[..from + end])), trim(&body[from + end + 1..])),
        None => (None, rest),
    }
}

impl Code {
    fn parse(text: &[u8]) -> Self {
        let mut cursor = Cursor::new(text);
        let name = cursor.atom().to_ascii_uppercase();
        Self::plain(&name)
            .or_else(|| Self::with_data(&name, cursor))
            .unwrap_or_else(|| Self::Other(self::text(text)))
    }

    fn plain(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"ALERT" => Self::Alert,
            b"ALREADYEXISTS" => Self::AlreadyExists,
            b"AUTHENTICATIONFAILED" => Self::AuthenticationFailed,
            b"CANNOT" => Self::Cannot,
            b"CLOSED" => Self::Closed,
            b"INUSE" => Self::InUse,
            b"LIMIT" => Self::Limit,
            b"NOMODSEQ" => Self::NoModseq,
            b"NONEXISTENT" => Self::NonExistent,
            b"NOPERM" => Self::NoPerm,
            b"OVERQUOTA" => Self::OverQuota,
            b"READ-ONLY" => Self::ReadOnly,
            b"READ-WRITE" => Self::ReadWrite,
            b"SERVERBUG" => Self::ServerBug,
            b"TOOBIG" => Self::TooBig,
            b"TRYCREATE" => Self::TryCreate,
            b"UIDNOTSTICKY" => Self::UidNotSticky,
            b"UNAVAILABLE" => Self::Unavailable,
            _ => return None,
        })
    }

    fn with_data(name: &[u8], mut cursor: Cursor<'_>) -> Option<Self> {
        Some(match name {
            b"APPENDUID" => {
                Self::AppendUid(number32(cursor.atom())?, UidSet::parse(cursor.atom())?)
            }
            b"CAPABILITY" => Self::Capability(String::from_utf8_lossy(cursor.rest()).into_owned()),
            b"COPYUID" => Self::CopyUid(
                number32(cursor.atom())?,
                parse_in_order(cursor.atom())?,
                parse_in_order(cursor.atom())?,
            ),
            b"HIGHESTMODSEQ" => Self::HighestModseq(number(cursor.atom())?),
            b"MAILBOXID" => Self::MailboxId(object_id(cursor.parenthesised()?)?),
            b"MODIFIED" => Self::Modified(UidSet::parse(cursor.atom())?),
            b"PERMANENTFLAGS" => Self::PermanentFlags(permanent_flags(cursor.rest())),
            b"UIDNEXT" => Self::UidNext(number32(cursor.atom())?),
            b"UIDVALIDITY" => Self::UidValidity(number32(cursor.atom())?),
            _ => return None,
        })
    }
}

fn number32(text: &[u8]) -> Option<u32> {
    number(text).and_then(|n| u32::try_from(n).ok())
}

/// How many flags of a PERMANENTFLAGS list are read.
const PERMANENT: usize = 2_000;

/// The mask of a PERMANENTFLAGS list: `\*` allows any keyword (RFC 9051 §7.1).
fn permanent_flags(list: &[u8]) -> FlagMask {
    let list = trim(list);
    let list = list.strip_prefix(b"(").unwrap_or(list);
    let list = list.strip_suffix(b")").unwrap_or(list);
    let mut flags = Flags::default();
    let mut any = false;
    let names = list.split(u8::is_ascii_whitespace).filter(|n| !n.is_empty());
    for name in names.take(PERMANENT) {
        any |= name == b"\\*";
        if let Ok(name) = std::str::from_utf8(name) {
            flags.insert_imap(name);
        }
    }
    if any {
        // `$Forwarded` is a keyword to the server, and a flag of the six to us.
        flags.system = flags.system.union(crate::reconcile::types::System::PASSED);
    }
    let keywords = if any { KeywordMask::Any } else { KeywordMask::Only(flags.keywords) };
    FlagMask { system: flags.system, keywords }
}

/// The pairs that a COPYUID states for UIDs of `asked`: source first. None if the two sets
/// differ in length or name what was not asked for, so that no pair of it can be trusted.
pub(crate) fn copied_pairs(
    asked: &UidSet,
    source: &[(u32, u32)],
    target: &[(u32, u32)],
) -> Option<Vec<(Uid, Uid)>> {
    let count = |ranges: &[(u32, u32)]| -> u64 {
        ranges.iter().map(|(first, last)| u64::from(last - first) + 1).sum()
    };
    // Counted before anything is expanded: ranges may be as long as they like.
    if count(source) != count(target) || count(source) > asked.len() {
        return None;
    }
    let expand = |ranges: &[(u32, u32)]| -> Vec<Uid> {
        ranges.iter().flat_map(|&(first, last)| (first..=last).map(Uid)).collect()
    };
    let pairs: Vec<_> = expand(source).into_iter().zip(expand(target)).collect();
    pairs.iter().all(|(from, _)| asked.contains(*from)).then_some(pairs)
}
