//! Faults: what a server, a proxy or a wire does wrong, when, and how often it really did.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The verb under which the start of a connection is matched ([`When::connect`]).
pub(crate) const CONNECT: &str = "CONNECT";

/// Something that goes wrong. Lists of UIDs mean all UIDs when they are empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The connection ends after the server sent this many more octets, counted from the
    /// matching command's answer, or from the greeting on with [`When::connect`].
    CutAfterSent(u64),
    /// The connection ends after the server took this many more octets, counted from the end of
    /// the matching command's first line, or from the start with [`When::connect`].
    CutAfterReceived(u64),
    /// The connection ends before the command is carried out.
    CutBefore,
    /// The command is carried out, then the connection ends without a word.
    CutAfter,
    /// The command is carried out and its untagged answers are sent, but the connection ends
    /// before the tagged one.
    LoseTagged,
    /// `* BYE text` instead of carrying out the command, then the end.
    Bye(String),
    /// `NO text`, a code included (`[OVERQUOTA] full`), instead of carrying out the command.
    No(String),
    /// `BAD text` instead of carrying out the command.
    Bad(String),
    /// Never an answer; the connection stays open until the client ends it.
    Hang,
    /// Each octet of the answer comes after this delay.
    Drip(Duration),
    /// These octets come before the command's own answer.
    Inject(Vec<u8>),
    /// OK to COPY, MOVE, STORE, EXPUNGE, APPEND, CREATE, … without doing it; no code.
    OkUndone,
    /// The answer lacks its APPENDUID or COPYUID.
    LoseUidCode,
    /// The connection ends when the APPEND is wholly received; the message is stored later:
    /// after a delay (of the runtime's clock), or at `finish_late()` when there is none.
    LateAppend(Option<Duration>),
    /// APPEND answers OK without a code, and the message is shown only after `finish_late()`.
    SlowAppend,
    /// APPEND and COPY answer OK with their code, but the UID is not there afterwards.
    SwallowAddition,
    /// What APPEND, COPY and MOVE add has its UID at once, and is shown only after `finish_late()`
    /// (at Stalwart: when the mailbox is selected once more).
    HideAddition,
    /// COPY and MOVE into a mailbox that holds the text add nothing, and name what it holds.
    IsSet,
    /// An APPEND gets this header line on top (with its CRLF).
    AddHeader(String),
    /// An APPEND is stored as Dovecot 2.3 does: CR CR LF becomes CR LF, a lone CR at the end
    /// goes, NUL becomes 0x80, a bare LF becomes CRLF.
    RewriteOctets,
    /// An APPEND comes out with its flags lost.
    LoseFlags,
    /// APPEND, COPY and MOVE give the message the time of their arrival as INTERNALDATE.
    LoseDate,
    /// This keyword is dropped from STORE, APPEND and COPY without a word.
    DropKeyword(String),
    /// RFC822.SIZE is off by this many octets.
    SizeLie(i64),
    /// RFC822.SIZE of these UIDs is off by this many octets.
    SizeLieOf(Vec<u32>, i64),
    /// Octets of these UIDs come as a literal whose announced length is off by this many.
    LiteralLie(Vec<u32>, i64),
    /// Of the octets of these UIDs only so many come, as a literal of that length.
    CutOctets(Vec<u32>, usize),
    /// The octets of these UIDs come twice, the second time as these, in a response of its own.
    SecondBody(Vec<u32>, String),
    /// A FETCH that asks for octets of these UIDs gives the others and ends in this NO.
    FetchNo(Vec<u32>, String),
    /// FETCH of the bodies of these (empty: all) is answered NO, and so is every other one of that
    /// session, whatever it asks for.
    FetchBreaks(Vec<u32>, String),
    /// FETCH gives no row at all for these UIDs, and OK.
    FetchSilent(Vec<u32>),
    /// FETCH gives rows for these UIDs without the octets that were asked for, and OK.
    FetchNoBody(Vec<u32>),
    /// FETCH rows come without FLAGS.
    FetchNoFlags,
    /// FETCH rows come without RFC822.SIZE and INTERNALDATE.
    FetchNoSize,
    /// The first message octets of a FETCH are announced as a literal of this length; what
    /// follows is what there is, then silence.
    HostileLiteral(u64),
    /// EXPUNGE, UID EXPUNGE, CLOSE and MOVE say OK, but these UIDs stay where they are.
    KeepExpunged(Vec<u32>),
    /// UID SEARCH answers with sequence numbers (as iCloud does to ALL).
    SearchNumbers,
    /// SELECT and STATUS tell a UIDNEXT that is so much too low, but not below 1.
    LowUidNext(u32),
    /// VANISHED (EARLIER) names all UIDs, although messages are there.
    WrongVanished,
    /// IDLE ends by itself as soon as it has begun.
    IdleEnds,
    /// During IDLE these octets come again and again, after such a wait each time.
    IdleSays(Vec<u8>, Duration),
    /// LIST leaves this mailbox out (UTF-8 name), and what lies below it.
    OmitFromList(String),
}

/// When a fault strikes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct When {
    verb: Option<String>,
    mailbox: Option<String>,
    uid: Option<u32>,
    words: Option<String>,
    first: u64,
    times: u64,
}

impl When {
    /// At every command.
    #[must_use]
    pub fn always() -> Self {
        Self { verb: None, mailbox: None, uid: None, words: None, first: 1, times: u64::MAX }
    }

    /// At the start of a connection, before the greeting.
    #[must_use]
    pub fn connect() -> Self {
        Self::verb(CONNECT)
    }

    /// At this command: `FETCH` means FETCH and UID FETCH, `UID FETCH` only the latter.
    #[must_use]
    pub fn verb(verb: &str) -> Self {
        Self { verb: Some(verb.to_ascii_uppercase()), ..Self::always() }
    }

    /// Only while this mailbox is selected, or when the command names it first (UTF-8 name;
    /// one that is sent as a literal is not recognised).
    #[must_use]
    pub fn mailbox(self, name: &str) -> Self {
        Self { mailbox: Some(name.to_owned()), ..self }
    }

    /// Only when the command's set of UIDs holds this one.
    #[must_use]
    pub fn uid(self, uid: u32) -> Self {
        Self { uid: Some(uid), ..self }
    }

    /// Only when the rest of the command's line holds these words.
    #[must_use]
    pub fn says(self, words: &str) -> Self {
        Self { words: Some(words.to_owned()), ..self }
    }

    /// Only the k-th match, counted from 1.
    #[must_use]
    pub fn nth(self, k: u64) -> Self {
        Self { first: k, times: 1, ..self }
    }

    /// Only the first `n` matches (from `nth` on, if that was given first).
    #[must_use]
    pub fn times(self, n: u64) -> Self {
        Self { times: n, ..self }
    }

    fn matches(&self, verb: &str, mailboxes: [Option<&str>; 2], rest: &[u8]) -> bool {
        let verb_fits = match &self.verb {
            None => verb != CONNECT,
            Some(wanted) => verb == wanted || verb.strip_prefix("UID ") == Some(wanted.as_str()),
        };
        let named = |wanted: &String| mailboxes.contains(&Some(wanted.as_str()));
        let said = |words: &String| String::from_utf8_lossy(rest).contains(words.as_str());
        verb_fits
            && self.mailbox.as_ref().is_none_or(named)
            && self.uid.is_none_or(|uid| holds(rest, uid))
            && self.words.as_ref().is_none_or(said)
    }
}

/// A fault that was injected: how often did it really strike?
#[derive(Debug, Clone)]
pub struct Injected {
    id: u64,
    hits: Arc<AtomicU64>,
}

impl Injected {
    /// How often the fault changed what the server did.
    #[must_use]
    pub fn hits(&self) -> u64 {
        self.hits.load(Ordering::Relaxed)
    }
}

#[derive(Debug)]
struct Rule<F> {
    id: u64,
    fault: F,
    when: When,
    seen: u64,
    hits: Arc<AtomicU64>,
}

/// All faults of a server, of whatever protocol.
#[derive(Debug)]
pub(crate) struct Faults<F = Fault> {
    rules: Vec<Rule<F>>,
    ids: u64,
}

impl<F> Default for Faults<F> {
    fn default() -> Self {
        Self { rules: Vec::new(), ids: 0 }
    }
}

impl<F: Clone> Faults<F> {
    pub(crate) fn inject(&mut self, fault: F, when: When) -> Injected {
        self.ids += 1;
        let injected = Injected { id: self.ids, hits: Arc::default() };
        let hits = Arc::clone(&injected.hits);
        self.rules.push(Rule { id: self.ids, fault, when, seen: 0, hits });
        injected
    }

    pub(crate) fn remove(&mut self, injected: &Injected) {
        self.rules.retain(|rule| rule.id != injected.id);
    }

    pub(crate) fn clear(&mut self) {
        self.rules.clear();
    }

    /// The faults for one command; `mailboxes` are the selected one and the one it names.
    pub(crate) fn at(
        &mut self,
        verb: &str,
        mailboxes: [Option<&str>; 2],
        rest: &[u8],
    ) -> Active<F> {
        let mut active = Vec::new();
        for rule in &mut self.rules {
            if rule.when.matches(verb, mailboxes, rest) {
                rule.seen += 1;
                let last = rule.when.first.saturating_add(rule.when.times);
                if (rule.when.first..last).contains(&rule.seen) {
                    active.push((rule.fault.clone(), Arc::clone(&rule.hits)));
                }
            }
        }
        Active(active)
    }
}

/// The faults that apply to one command.
#[derive(Debug)]
pub(crate) struct Active<F = Fault>(Vec<(F, Arc<AtomicU64>)>);

impl<F> Default for Active<F> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<F: PartialEq> Active<F> {
    /// The first fault that `pick` takes; it counts as a hit.
    pub(crate) fn find<T>(&self, pick: impl Fn(&F) -> Option<T>) -> Option<T> {
        self.0.iter().find_map(|(fault, hits)| {
            let picked = pick(fault)?;
            hits.fetch_add(1, Ordering::Relaxed);
            Some(picked)
        })
    }

    /// Whether this very fault applies; if so it counts as a hit.
    pub(crate) fn is(&self, wanted: &F) -> bool {
        self.find(|fault| (fault == wanted).then_some(())).is_some()
    }
}

/// Whether the set at the start of a command's arguments holds a UID; `*` is any above.
fn holds(rest: &[u8], uid: u32) -> bool {
    let text = String::from_utf8_lossy(rest);
    let set = text.split(' ').next().unwrap_or_default();
    set.split(',').any(|range| {
        let (first, last) = range.split_once(':').unwrap_or((range, range));
        let number = |text: &str| match text {
            "*" => Some(u32::MAX),
            text => text.parse().ok(),
        };
        number(first).zip(number(last)).is_some_and(|(a, b)| (a.min(b)..=a.max(b)).contains(&uid))
    })
}

/// Whether a list of UIDs (empty means all) names one.
pub(super) fn names(uids: &[u32], uid: u32) -> bool {
    uids.is_empty() || uids.contains(&uid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_it_strikes() {
        let mut faults = Faults::default();
        let second = faults.inject(Fault::CutAfter, When::verb("fetch").mailbox("A").nth(2));
        let hit = |faults: &mut Faults, verb, mailbox| {
            faults.at(verb, [Some(mailbox), None], b"").is(&Fault::CutAfter)
        };
        assert!(!hit(&mut faults, "UID FETCH", "A"));
        assert!(!hit(&mut faults, "FETCH", "B"));
        assert!(!hit(&mut faults, "STORE", "A"));
        assert!(hit(&mut faults, "FETCH", "A"));
        assert!(!hit(&mut faults, "FETCH", "A"));
        assert_eq!(second.hits(), 1);
        faults.remove(&second);
        faults.inject(Fault::CutAfter, When::always());
        assert!(!hit(&mut faults, CONNECT, "A") && hit(&mut faults, "NOOP", "A"));
        faults.clear();
        assert!(!hit(&mut faults, "NOOP", "A"));
    }
}
