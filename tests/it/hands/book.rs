//! What people and devices did, told to the oracle; and both sides judged by it.

use std::collections::{BTreeMap, BTreeSet};

use kit::oracle::{Census, Copy, Oracle};
use kit::world::Mail;

/// The Maildir, in the numbering of the oracle.
pub(super) const HERE: usize = 0;
/// The server.
pub(super) const THERE: usize = 1;

/// What somebody did to a message that was there once on one side.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Deed {
    Removed,
    Moved(String),
    /// It was copied, flagged, or its file renamed.
    Other,
}

/// Everything that was done so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Book {
    oracle: Oracle,
    /// Each text that somebody wrote, and its number.
    tokens: BTreeMap<String, u32>,
    deeds: BTreeMap<u32, Vec<Deed>>,
    /// A mailbox has another name, so that a message may be at either.
    renamed: bool,
    /// What the trash is called now, where it was renamed.
    trash: Option<String>,
    /// A mailbox was numbered anew, or deleted and made anew, which cannot be told apart: what
    /// was in it may stay.
    remade: bool,
    /// The store was lost, and with it everything that was known of the messages.
    forgotten: bool,
    /// A mailbox that was made anew with a text that has the Message-ID, the size and the time of
    /// another one: the mailbox, the former text and the new one.
    alike: Option<(String, String, String)>,
    /// Messages whose flags were changed on a server while they bore the mark of an EXPUNGE that
    /// was about to follow: no command tells of it.
    struck: BTreeSet<u32>,
    /// New texts of messages that were edited, and their old ones.
    edited: BTreeMap<u32, u32>,
}

/// Letters of the Maildir: their meaning does not depend on the mailbox.
fn is_letter(flag: &str) -> bool {
    flag.starts_with('\\') || flag == "$forwarded"
}

/// Where each message is that is there once.
fn once(census: &Census) -> BTreeMap<u32, (String, BTreeSet<String>)> {
    let mut all: BTreeMap<u32, Vec<(String, BTreeSet<String>)>> = BTreeMap::new();
    for (mailbox, copies) in census {
        for copy in copies {
            let token = copy.token.unwrap_or(0);
            all.entry(token).or_default().push((mailbox.clone(), copy.flags.clone()));
        }
    }
    all.retain(|_, places| places.len() == 1);
    all.into_iter()
        .filter_map(|(token, places)| Some((token, places.into_iter().next()?)))
        .collect()
}

impl Book {
    /// Both sides are as they were agreed on.
    pub(super) fn begin(&mut self, here: &Mail, there: &Mail) {
        self.saw(HERE, &Mail::new(), here);
        self.saw(THERE, &Mail::new(), there);
        if !here.is_empty() {
            let census = self.census(there);
            self.oracle.settle(&census);
        }
        self.deeds.clear();
    }

    /// Somebody changed a side.
    pub(super) fn saw(&mut self, side: usize, before: &Mail, after: &Mail) {
        for (content, _) in before.values().chain(after.values()).flatten() {
            let next = u32::try_from(self.tokens.len()).expect("few texts") + 1;
            self.tokens.entry(content.clone()).or_insert(next);
        }
        let (before, mut after) = (self.census(before), self.census(after));
        let (was, is) = (once(&before), once(&after));
        for (token, (from, flags)) in &was {
            let Some((to, _)) = is.get(token).filter(|(to, _)| to != from) else { continue };
            // The letters of a keyword mean what they meant where the file comes from.
            let moved = after.get_mut(to).into_iter().flatten();
            for copy in moved.filter(|copy| side == HERE && copy.token == Some(*token)) {
                copy.flags.retain(|flag| is_letter(flag));
                copy.flags.extend(flags.iter().filter(|flag| !is_letter(flag)).cloned());
            }
        }
        self.note_deeds(&before, &after);
        self.oracle.saw(side, &before, &after);
    }

    fn note_deeds(&mut self, before: &Census, after: &Census) {
        let all = |census: &Census| -> BTreeSet<u32> {
            census.values().flatten().filter_map(|copy| copy.token).collect()
        };
        let (had, has) = (all(before), all(after));
        if let (Some(old), Some(new)) = (had.difference(&has).next(), has.difference(&had).next()) {
            self.edited.insert(*new, *old);
        }
        let of = |census: &Census, token: u32| -> Vec<(String, Copy)> {
            let all = census.iter().flat_map(|(m, copies)| copies.iter().map(move |c| (m, c)));
            all.filter(|(_, c)| c.token == Some(token))
                .map(|(m, c)| (m.clone(), c.clone()))
                .collect()
        };
        for token in self.tokens.values() {
            let (was, is) = (of(before, *token), of(after, *token));
            let marked = |copies: &[(String, Copy)]| {
                let marked = copies.iter().filter(|(_, copy)| copy.flags.contains("\\deleted"));
                marked.cloned().collect::<Vec<_>>()
            };
            if !marked(&was).is_empty() && marked(&was) != marked(&is) {
                self.struck.insert(*token);
            }
            let deed = match (was.as_slice(), is.as_slice()) {
                _ if was == is => continue,
                ([_], []) => Deed::Removed,
                ([(from, _)], [(to, _)]) if from != to => Deed::Moved(to.clone()),
                _ => Deed::Other,
            };
            self.deeds.entry(*token).or_default().push(deed);
        }
    }

    /// What was moved on one side after a run of its own, before the case began: no census shows
    /// it.
    pub(super) fn moved_before(&mut self, here: &Mail, there: &Mail) {
        let (here, there) = (once(&self.census(here)), once(&self.census(there)));
        for (token, (to, _)) in &here {
            if there.get(token).is_some_and(|(from, _)| from != to) {
                self.deeds.entry(*token).or_default().push(Deed::Moved(to.clone()));
            }
        }
    }

    /// A mailbox has another name from now on.
    pub(super) fn renamed(&mut self, from: &str, to: &str) {
        self.renamed = true;
        if from == "Trash" {
            self.trash = Some(to.to_owned());
        }
        self.oracle.renamed(from, to);
    }

    /// A mailbox is numbered anew, or deleted and made anew.
    pub(super) fn remade(&mut self) {
        self.remade = true;
    }

    /// The store was lost.
    pub(super) fn forgot(&mut self) {
        self.forgotten = true;
    }

    /// A mailbox holds a text with the Message-ID, the size and the time of another one.
    pub(super) fn made_alike(&mut self, mailbox: &str, former: &[u8], text: &[u8]) {
        let (former, text) = (kit::compare::content(former), kit::compare::content(text));
        self.alike = Some((mailbox.to_owned(), former, text));
    }

    /// The files where a person would say that the server's text may be taken for the file's.
    /// After a lost store nothing is known of either, and all that the server says of its text is
    /// true of the file: the body is not fetched then, as ARCHITECTURE says. The text stays on the
    /// server, and so does the file.
    pub(super) fn taken_for_one(&self, here: &Mail) -> Option<Mail> {
        let (mailbox, former, text) = self.alike.as_ref().filter(|_| self.forgotten)?;
        let mut here = here.clone();
        for (content, _) in here.get_mut(mailbox)?.iter_mut().filter(|(c, _)| c == former) {
            content.clone_from(text);
        }
        here.get_mut(mailbox)?.sort();
        Some(here)
    }

    /// Somebody touched a message, in a way that no census shows.
    pub(super) fn touched(&mut self, text: &[u8]) {
        if let Some(token) = self.tokens.get(&kit::compare::content(text)) {
            self.deeds.entry(*token).or_default().push(Deed::Other);
        }
    }

    fn is_trash(&self, mailbox: &str) -> bool {
        mailbox == "Trash" || self.trash.as_deref() == Some(mailbox)
    }

    fn census(&self, mail: &Mail) -> Census {
        let copy = |(content, flags): &(String, Vec<String>)| {
            let token = self.tokens.get(content).copied();
            Copy { token, flags: flags.iter().cloned().collect(), whole: token.is_some() }
        };
        let mailbox = |(name, mail): (&String, &Vec<(String, Vec<String>)>)| {
            (name.clone(), mail.iter().map(copy).collect())
        };
        mail.iter().map(mailbox).collect()
    }

    /// What is wrong with two sides at rest, as lines that begin with the kind. Where the past
    /// is `known`, what a single person wished must have been done as well.
    pub(super) fn judge(&self, here: &Mail, there: &Mail, known: bool) -> Vec<String> {
        let (here, there) = (self.census(here), self.census(there));
        let mut faults: Vec<String> =
            self.oracle.judge(&here, &there).iter().map(ToString::to_string).collect();
        faults.retain(|fault| !self.is_allowed(fault, known));
        self.name_litter(&there, &mut faults);
        if known {
            self.judge_wishes(&there, &mut faults);
        }
        faults
    }

    /// Whether a person would accept what the oracle finds wrong.
    fn is_allowed(&self, fault: &str, known: bool) -> bool {
        let words: Vec<&str> = fault.split_ascii_whitespace().collect();
        let Some((kind, token)) = words.first().zip(words.get(1).and_then(|t| t.parse().ok()))
        else {
            return false;
        };
        let none = Vec::new();
        let deeds = self.deeds.get(&token).unwrap_or(&none);
        let has_moved = deeds.iter().any(|deed| matches!(deed, Deed::Moved(_)));
        match *kind {
            // One person copied a message to where another moved it: one or two are right.
            "Lost:" => {
                let is_there = words.get(5).is_some_and(|count| *count != "0");
                is_there && has_moved && deeds.contains(&Deed::Other)
            }
            // Nothing tells a move from a copy where nothing is remembered.
            "Doubled:" => !known && has_moved,
            // A new text has the flags of the old one as they were on either side.
            "FlagLost:" if self.struck.contains(&token) => true,
            "FlagLost:" | "FlagMade:" => self.edited.contains_key(&token),
            "Astray:" => {
                let place = words.get(3).copied().unwrap_or_default();
                let filed = |old: &u32| {
                    let deeds = self.deeds.get(old).unwrap_or(&none);
                    deeds.contains(&Deed::Moved(place.to_owned()))
                };
                // A message that one person edited and another moved: the new text goes along.
                self.edited.get(&token).is_some_and(filed)
                    || deeds.contains(&Deed::Removed) && self.trash.as_deref() == Some(place)
            }
            // The old text was removed by another person.
            "Discarded:" => self
                .edited
                .get(&token)
                .is_some_and(|old| self.deeds.get(old).is_some_and(|deeds| deeds.len() > 1)),
            _ => false,
        }
    }

    /// Calls it by its name where the only thing wrong is a further copy in the trash of a
    /// message that is where it should be, and allows it where somebody removed the message.
    fn name_litter(&self, census: &Census, faults: &mut Vec<String>) {
        for (token, deeds) in &self.deeds {
            let is = |fault: &String, kind: &str| fault.starts_with(&format!("{kind}: {token} "));
            let holds = |mailbox: &str| {
                census.get(mailbox).is_some_and(|all| all.iter().any(|c| c.token == Some(*token)))
            };
            let live = census.keys().any(|mailbox| !self.is_trash(mailbox) && holds(mailbox));
            if !(live && census.keys().any(|m| self.is_trash(m) && holds(m))) {
                continue;
            }
            let doubled = faults.iter().any(|f| is(f, "Doubled") && f.contains(" 2 of 1 "));
            let discarded = faults.iter().any(|f| is(f, "Discarded"));
            if doubled || discarded {
                faults.retain(|fault| !(is(fault, "Doubled") || is(fault, "Discarded")));
                if !deeds.contains(&Deed::Removed) {
                    faults.push(format!("Littered: {token} is in the trash as well"));
                }
            }
        }
    }

    fn judge_wishes(&self, census: &Census, faults: &mut Vec<String>) {
        for (token, deeds) in &self.deeds {
            let [deed] = deeds.as_slice() else { continue };
            let places =
                census.iter().filter(|(_, all)| all.iter().any(|c| c.token == Some(*token)));
            let places: Vec<&str> = places.map(|(mailbox, _)| mailbox.as_str()).collect();
            match deed {
                Deed::Removed
                    if !self.remade && places.iter().any(|place| !self.is_trash(place)) =>
                {
                    faults.push(format!("Revived: {token} is in {places:?}"));
                }
                Deed::Moved(to) if !self.renamed && places.iter().any(|place| place != to) => {
                    faults.push(format!("Reverted: {token} is in {places:?} instead of {to}"));
                }
                _ => {}
            }
        }
    }
}
