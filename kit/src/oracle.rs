//! Knows of every message whether it must exist, how often it may, where it may lie and which
//! flags it has; judges both sides when they are said to agree.
//!
//! It is told of every change that a person, a reader or another device makes, as a census of
//! that side before and after. What mailtide does is never told. Messages are recognised by a
//! token in their body.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// One copy of a message.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Copy {
    /// The token in its body; none where the body has none.
    pub token: Option<u32>,
    /// Flags and keywords by their IMAP names in lower case.
    pub flags: BTreeSet<String>,
    /// Its bytes are those that were written, except for line ends.
    pub whole: bool,
}

/// All messages of one side, by mailbox (levels divided by `/`), sorted.
pub type Census = BTreeMap<String, Vec<Copy>>;

/// The kinds of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A message that nobody removed is gone.
    Lost,
    /// A message that nobody removed lies in the trash.
    Discarded,
    /// There are more copies than anybody made.
    Doubled,
    /// The octets are others.
    Altered,
    /// A message lies where nobody put it.
    Astray,
    /// A flag that somebody set and nobody cleared is gone.
    FlagLost,
    /// A message has a flag that nobody gave it.
    FlagMade,
    /// A mailbox that nobody made.
    Stray,
    /// A file was left in a `tmp`.
    LeftInTmp,
    /// The two sides differ after four runs that nobody disturbed.
    Unequal,
    /// A run fails though nothing is wrong any more.
    Stuck,
    /// A run does something though both sides agree.
    Restless,
    /// Something waits for approval though little was removed.
    Held,
    /// A panic.
    Panic,
}

/// Something that went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The kind of failure.
    pub kind: Kind,
    /// To what, in words.
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.what)
    }
}

/// What the oracle knows about one message.
#[derive(Debug, Clone, Default)]
struct Expected {
    /// Copies when both sides last agreed.
    base: usize,
    /// Copies that a side had when the state was lost.
    held: usize,
    /// Copies that were made since, on either side.
    made: [usize; 2],
    /// Copies that were removed since, on both sides together.
    removed: usize,
    /// It was put on both sides, and they never agreed on it.
    unmet: bool,
    /// It was moved since, on either side.
    moved: [bool; 2],
    /// Number of moves of its file during the current run.
    chased: usize,
    /// True if the file was moved twice during one run. A run may miss such a file in every look:
    /// it is then treated as deleted, and copied back from the trash once it is found.
    escaped: bool,
    /// Where it may lie.
    places: BTreeSet<String>,
    /// Flags that it must have.
    must: BTreeSet<String>,
    /// Flags that it may have.
    may: BTreeSet<String>,
}

impl Expected {
    /// `put_back`: the Maildir is an older one.
    fn least(&self, put_back: bool) -> usize {
        // What was copied on one side may be where it was moved to on the other.
        let made = |side: usize| if self.moved[1 - side] { 0 } else { self.made[side] };
        // On a Maildir that was put back a file may be moved to where the server has its twin,
        // which that Maildir knows nothing of: they are one message then.
        let met = usize::from(put_back && self.moved[0] && self.base > 1);
        (self.base + made(0).max(made(1))).saturating_sub(self.removed + met)
    }

    fn most(&self, doubts: usize) -> usize {
        // Two that met nowhere before and lie in different mailboxes are two messages.
        let met = self.made[0] > 0 && self.made[1] > 0;
        let apart = self.base == 0 && met && (self.moved[0] || self.moved[1]);
        // So are two that were there before anything was remembered, one of which was moved since.
        let apart = apart || self.base == 0 && self.unmet && (self.moved[0] || self.moved[1]);
        let both = self.moved[0] && self.moved[1];
        // Each of several copies that were agreed on may be taken for another than before, as
        // often as that is forgotten.
        let is_moved = self.moved[0] || self.moved[1];
        let forgotten = if is_moved { self.base.max(self.held).max(1) * doubts } else { 0 };
        self.base + self.made[0] + self.made[1] + forgotten + usize::from(both || apart)
    }
}

/// What may be on both sides.
#[derive(Debug, Clone, Default)]
pub struct Oracle {
    messages: BTreeMap<u32, Expected>,
    mailboxes: BTreeSet<String>,
    /// Names that one mailbox had, one after the other.
    renamed: Vec<(String, String)>,
    /// A run is under way.
    is_running: bool,
    /// The Maildir was put back as it was before, and both sides have not agreed since: a file that
    /// is copied then may be one whose message was moved before.
    put_back: bool,
    /// How often what was agreed on was forgotten: a message that was moved since may be taken
    /// for two.
    doubts: usize,
}

/// Depth of nested mailboxes at which the search for former names ends.
const DEEPEST: usize = 5;
/// Where deleted messages go.
const TRASH: &str = "Trash";
/// The mark of what is about to be expunged.
const DELETED: &str = "\\deleted";

fn copies(census: &Census) -> BTreeMap<u32, Vec<(&str, &Copy)>> {
    let mut out: BTreeMap<u32, Vec<(&str, &Copy)>> = BTreeMap::new();
    for (mailbox, messages) in census {
        for copy in messages {
            if let Some(token) = copy.token {
                out.entry(token).or_default().push((mailbox, copy));
            }
        }
    }
    out
}

/// Whether both sides hold the same. A mailbox that was removed here stays on the server while
/// others lie below it there: some servers delete those with it, and `status` names it. Empty,
/// it withholds nothing from anybody.
#[must_use]
pub fn agree(here: &Census, there: &Census) -> bool {
    let is_parent = |name: &str| there.keys().any(|other| other.starts_with(&format!("{name}/")));
    let stays = |name: &String, messages: &Vec<Copy>| {
        messages.is_empty() && !here.contains_key(name) && is_parent(name)
    };
    let needed = there.iter().filter(|(name, messages)| !stays(name, messages));
    let explained =
        |(name, messages): (&String, &Vec<Copy>)| (name.clone(), explained(name, messages));
    here.iter().map(explained).eq(needed.map(explained))
}

/// Messages without the letters that no table explains. A reader that files a message in a
/// mailbox without a table, before mailtide has seen its letters, leaves such ones: nobody can
/// tell what they meant, and no keyword is different for them. Nor is a mark for removal one in
/// the trash, where readers set it on all that they file.
fn explained(mailbox: &str, messages: &[Copy]) -> Vec<Copy> {
    let mut messages = messages.to_vec();
    let mark = if is_trash(mailbox) { DELETED } else { "" };
    let counts = |flag: &String| !flag.starts_with('?') && flag != mark;
    messages.iter_mut().for_each(|copy| copy.flags.retain(counts));
    messages.sort();
    messages
}

fn flags_of(copies: &[(&str, &Copy)]) -> BTreeSet<String> {
    // A letter that no table explains stands for nothing.
    let all = copies.iter().flat_map(|(_, copy)| copy.flags.iter());
    all.filter(|flag| !flag.starts_with('?')).cloned().collect()
}

/// Flags that a copy had and the only copy in the same mailbox has not any more, or that no copy
/// has any more.
fn cleared(was: &[(&str, &Copy)], now: &[(&str, &Copy)]) -> BTreeSet<String> {
    let has = flags_of(now);
    let mut cleared: BTreeSet<String> = flags_of(was).difference(&has).cloned().collect();
    let only = |copies: &[(&str, &Copy)], place: &str| {
        let mut there = copies.iter().filter(|(mailbox, _)| *mailbox == place);
        there.next().filter(|_| there.next().is_none()).map(|(_, copy)| copy.flags.clone())
    };
    for (place, _) in was {
        if let (Some(before), Some(after)) = (only(was, place), only(now, place)) {
            cleared.extend(before.difference(&after).cloned());
        }
    }
    cleared
}

fn is_trash(mailbox: &str) -> bool {
    mailbox.rsplit('/').next() == Some(TRASH)
}

impl Oracle {
    /// A person changed one side (0 the Maildir, 1 the server), on purpose.
    pub fn saw(&mut self, side: usize, before: &Census, after: &Census) {
        self.change(side, before, after, None);
    }

    /// The Maildir was put back as it was before. What the server still has is not removed by
    /// that.
    pub fn restored(&mut self, before: &Census, after: &Census, server: &Census) {
        self.doubts += 1;
        self.put_back = true;
        self.change(0, before, after, Some(server));
    }

    /// The state was lost or is an old one, with this on both sides: a move that was half done then
    /// is two messages.
    pub fn forgot_with(&mut self, here: &Census, there: &Census) {
        self.forgot();
        for (token, copies) in copies(here).into_iter().chain(copies(there)) {
            if let Some(expected) = self.messages.get_mut(&token) {
                expected.held = expected.held.max(copies.len());
            }
        }
    }

    /// A run begins.
    pub fn begin_run(&mut self) {
        self.is_running = true;
        self.messages.values_mut().for_each(|expected| expected.chased = 0);
    }

    /// It ended.
    pub fn end_run(&mut self) {
        self.is_running = false;
    }

    /// A mailbox has another name from now on.
    pub fn renamed(&mut self, from: &str, to: &str) {
        self.renamed.push((from.to_owned(), to.to_owned()));
        self.mailboxes.insert(to.to_owned());
    }

    /// The state was lost or is an old one.
    pub fn forgot(&mut self) {
        self.doubts += 1;
    }

    /// The same message was put on both sides: one message.
    pub fn same(&mut self, token: u32) {
        let expected = self.messages.entry(token).or_default();
        expected.made = [expected.made[0].max(expected.made[1]), 0];
        expected.unmet = true;
    }

    fn change(&mut self, side: usize, before: &Census, after: &Census, server: Option<&Census>) {
        self.mailboxes.extend(after.keys().cloned());
        let (old, new) = (copies(before), copies(after));
        let elsewhere = server.map(copies);
        let tokens: BTreeSet<u32> = old.keys().chain(new.keys()).copied().collect();
        for token in tokens {
            let none = Vec::new();
            let (was, now) = (old.get(&token).unwrap_or(&none), new.get(&token).unwrap_or(&none));
            if was == now {
                continue;
            }
            let expected = self.messages.entry(token).or_default();
            let new = now.len().saturating_sub(was.len());
            expected.made[side] += new;
            if self.put_back && side == 0 && server.is_none() && !was.is_empty() {
                expected.removed += new;
            }
            let place = |copies: &[(&str, &Copy)]| -> BTreeSet<String> {
                copies.iter().map(|(mailbox, _)| (*mailbox).to_owned()).collect()
            };
            // One of several copies may have gone to where another one lies: the set of the
            // mailboxes stays the same, and not how many each of them holds.
            let spread = |copies: &[(&str, &Copy)]| -> Vec<String> {
                let mut places: Vec<String> = copies.iter().map(|(m, _)| (*m).to_owned()).collect();
                places.sort();
                places
            };
            let moved =
                place(was) != place(now) || was.len() == now.len() && spread(was) != spread(now);
            // What the server still has did not go by a disk that was put back; what it has beside
            // that, where no file was, may be the rest of a move.
            let kept = elsewhere.as_ref().and_then(|server| server.get(&token));
            let files = place(was);
            let beside = |kept: &Vec<(&str, &Copy)>| {
                kept.iter().filter(|(mailbox, _)| files.contains(*mailbox)).count()
            };
            let there = kept.map_or(0, |kept| match beside(kept) {
                0 => kept.len(),
                count => count,
            });
            expected.removed += was.len().saturating_sub(now.len().max(there));
            if !now.is_empty() && !was.is_empty() && moved {
                expected.moved[side] = true;
                expected.chased += usize::from(side == 0 && self.is_running);
                expected.escaped |= expected.chased > 1;
            }
            expected.places.extend(place(now));
            if let Some(server) = &elsewhere {
                // What had not come to the server yet is not on the disk that was put back.
                let there = server.get(&token).map(|copies| flags_of(copies)).unwrap_or_default();
                let has = flags_of(now);
                expected.must.retain(|flag| has.contains(flag) || there.contains(flag));
            }
            if was.is_empty() && expected.most(0) == 1 {
                expected.must.extend(flags_of(now));
                expected.may.extend(flags_of(now));
            } else if !now.is_empty() {
                let (had, has) = (flags_of(was), flags_of(now));
                expected.may.extend(has.iter().cloned());
                if server.is_none() {
                    expected.must.extend(has.difference(&had).cloned());
                    // While a move is under way there are two copies, and either may be the one
                    // that stays: what somebody cleared on one of them may be gone.
                    let cleared = cleared(was, now);
                    expected.must.retain(|flag| !cleared.contains(flag));
                }
            }
        }
    }

    /// Whether a mailbox may be there, and a message of another be in it.
    fn leads(&self, from: &str, to: &str) -> bool {
        let mut known = BTreeSet::from([from.to_owned()]);
        loop {
            let mut more = BTreeSet::new();
            for name in &known {
                for (old, new) in &self.renamed {
                    for (one, other) in [(old, new), (new, old)] {
                        match name.strip_prefix(one.as_str()) {
                            Some(rest) if rest.is_empty() || rest.starts_with('/') => {
                                more.insert(format!("{other}{rest}"));
                            }
                            _ => {}
                        }
                    }
                }
            }
            let before = known.len();
            known.extend(more.into_iter().filter(|name| name.matches('/').count() < DEEPEST));
            if known.contains(to) || known.len() == before {
                return known.contains(to);
            }
        }
    }

    /// What is wrong with two sides that are at rest.
    #[must_use]
    pub fn judge(&self, here: &Census, there: &Census) -> Vec<Fault> {
        let mut faults = Vec::new();
        for (name, census) in [("the Maildir", here), ("the server", there)] {
            self.judge_side(name, census, &mut faults);
        }
        faults
    }

    /// What is missing on both sides together, while they do not agree yet.
    #[must_use]
    pub fn lost(&self, here: &Census, there: &Census) -> Vec<Fault> {
        let (here, there) = (copies(here), copies(there));
        let count =
            |token| here.get(token).map_or(0, Vec::len).max(there.get(token).map_or(0, Vec::len));
        let lost = self
            .messages
            .iter()
            .filter(|(token, expected)| count(token) < expected.least(self.put_back));
        let fault = |(token, _): (&u32, &Expected)| Fault {
            kind: Kind::Lost,
            what: format!("{token} on both sides"),
        };
        lost.map(fault).collect()
    }

    fn judge_side(&self, name: &str, census: &Census, faults: &mut Vec<Fault>) {
        let mut fault = |kind, what: String| faults.push(Fault { kind, what });
        for (mailbox, messages) in census {
            if messages.iter().any(|copy| !copy.whole || copy.token.is_none()) {
                fault(Kind::Altered, format!("{mailbox} on {name}: {messages:?}"));
            }
            let known = |known: &String| {
                self.leads(known, mailbox) || known.starts_with(&format!("{mailbox}/"))
            };
            if !is_trash(mailbox) && mailbox != "INBOX" && !self.mailboxes.iter().any(known) {
                fault(Kind::Stray, format!("{mailbox} on {name}"));
            }
        }
        let found = copies(census);
        for (token, expected) in &self.messages {
            let none = Vec::new();
            let copies = found.get(token).unwrap_or(&none);
            let places: Vec<&str> = copies.iter().map(|(mailbox, _)| *mailbox).collect();
            if copies.len() < expected.least(self.put_back) {
                fault(
                    Kind::Lost,
                    format!(
                        "{token} on {name}: {} of {} {places:?}",
                        copies.len(),
                        expected.least(self.put_back)
                    ),
                );
            }
            // Deleted, copied to the trash of the server, and the state lost before the original
            // was expunged: nobody is left who knows of the deletion, so the message stays, and so
            // does its copy in the trash. So it is where another device moved the original in the
            // very moment between: one wished it gone, the other wished it there.
            let torn = self.doubts > 0 || expected.moved[1];
            let thrown = torn && expected.removed > 0 || expected.escaped;
            let thrown = thrown && places.iter().any(|p| is_trash(p));
            if copies.len() > expected.most(self.doubts) + usize::from(thrown) {
                fault(
                    Kind::Doubled,
                    format!(
                        "{token} on {name}: {} of {} {places:?}",
                        copies.len(),
                        expected.most(self.doubts)
                    ),
                );
            }
            for (mailbox, copy) in copies {
                if expected.places.iter().any(|place| self.leads(place, mailbox)) {
                    let missing: Vec<_> = expected.must.difference(&copy.flags).collect();
                    if !missing.is_empty() && expected.removed == 0 && copies.len() == 1 {
                        fault(
                            Kind::FlagLost,
                            format!("{token} in {mailbox} on {name}: {missing:?}"),
                        );
                    }
                } else if !is_trash(mailbox) {
                    fault(Kind::Astray, format!("{token} in {mailbox} on {name}"));
                } else if expected.removed == 0 && places.iter().all(|place| is_trash(place)) {
                    fault(Kind::Discarded, format!("{token} in {mailbox} on {name}"));
                }
                let more = copy.flags.difference(&expected.may);
                // A removal that was cut off left its mark, and the state that knew of it is lost:
                // the message is there, on both sides, and marked as somebody wished.
                let mark = if self.doubts > 0 { DELETED } else { "" };
                let counts = |flag: &&String| !flag.starts_with('?') && *flag != mark;
                let more: Vec<_> = more.filter(counts).collect();
                if !more.is_empty() && expected.removed == 0 {
                    fault(Kind::FlagMade, format!("{token} in {mailbox} on {name}: {more:?}"));
                }
            }
        }
    }

    /// Both sides agree and were judged: from here on this is what there is.
    pub fn settle(&mut self, census: &Census) {
        let found = copies(census);
        self.renamed.clear();
        self.doubts = 0;
        self.put_back = false;
        self.mailboxes = census.keys().cloned().collect();
        for (token, expected) in &mut self.messages {
            let none = Vec::new();
            let copies = found.get(token).unwrap_or(&none);
            let flags = flags_of(copies);
            let mut may = flags.clone();
            if expected.removed > 0 {
                // Moved away while it was marked for its removal: the mark went along.
                may.insert(DELETED.to_owned());
            }
            *expected = Expected {
                base: copies.len(),
                places: copies.iter().map(|(mailbox, _)| (*mailbox).to_owned()).collect(),
                must: if copies.len() == 1 { flags } else { BTreeSet::new() },
                may,
                ..Expected::default()
            };
        }
    }
}
