//! Things at which connections of an account were lost, or which the server refused by the set
//! (hazard 90).
//!
//! Before a command is sent, the session knows what it is about: the command and, in IMAP, the
//! mailbox and the UIDs; in POP3, the message. A connection that is lost in it makes that a
//! suspect. A set of UIDs is taken apart: once without its first message, then by halves, each part
//! alone, until the one is found. A suspect that is lost twice, alone, is set aside: it is asked
//! for again ever more rarely, and everything else goes on without it.
//!
//! Pure: who opens connections and keeps this from run to run is the account.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use suspect::Suspect;
pub use thing::{Command, Thing};

use suspect::{LOSSES, REST, runs, seconds};

use super::imap::uid_set::{UidSet, split};
use crate::reconcile::types::{MailboxName, Uid};

mod forgotten;
mod silence;
mod suspect;
mod thing;

/// So many messages set aside, and none answered: it is the command in that mailbox.
const ALL: usize = 3;
/// So many suspect sets of one mailbox, and none answered: the same.
const SETS: usize = 16;
/// Things that are kept; more of them are a server that is not well as a whole.
const MOST: usize = 1000;
/// Why a mailbox is not asked for yet.
const SILENT: &str = "the server stopped responding here before, so it comes last";
/// What stands among disabled capabilities for the command that asks for them.
pub(crate) const CAPABILITY: &str = "CAPABILITY";
/// Characters of the server's words that are kept.
const WORDS: usize = 300;

/// What was lost, and what is done about it.
#[derive(Debug, Clone, Default)]
pub struct Suspects {
    list: Vec<Suspect>,
    /// Commands that were answered in this run, by mailbox.
    answered: BTreeSet<(Command, Option<MailboxName>)>,
    now: i64,
    run: i64,
    asked: bool,
    focus: BTreeSet<MailboxName>,
    changed: bool,
    /// Mailboxes in which the server fell silent: the run in which it did, and until when they
    /// come after everything else.
    silent: BTreeMap<MailboxName, (i64, i64)>,
    /// Everything else is done: those mailboxes come now.
    last: bool,
    /// Until when no differences are asked for, since the server fell silent over one.
    resync_rests: i64,
    /// The longest silence, and all silences since then, in seconds.
    longest: i64,
    spent: i64,
}

/// Those of an account, for all of its connections.
#[derive(Debug, Clone, Default)]
pub struct Shared(Arc<Mutex<Suspects>>);

impl Shared {
    /// Looks at them, or changes them.
    pub fn lock(&self) -> MutexGuard<'_, Suspects> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Suspects {
    /// Begins a run: `asked` if a person asks for it, `focus` the mailboxes that were named.
    pub fn begin(&mut self, run: i64, now: i64, asked: bool, focus: BTreeSet<MailboxName>) {
        (self.run, self.now, self.asked, self.focus) = (run, now, asked, focus);
        self.answered.clear();
        (self.last, self.spent) = (false, 0);
        self.silent.retain(|_, (_, until)| !asked && now < *until);
    }

    /// Whether a person asks for this run.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.asked
    }

    /// Takes what was stored.
    pub fn load(&mut self, list: Vec<Suspect>) {
        (self.list, self.changed) = (list, false);
    }

    /// All, if something changed since they were taken last.
    pub fn changed(&mut self) -> Option<Vec<Suspect>> {
        std::mem::take(&mut self.changed).then(|| self.list.clone())
    }

    /// All of them.
    #[must_use]
    pub fn list(&self) -> &[Suspect] {
        &self.list
    }

    /// Notes what a person knows a thing by.
    pub fn entitle(&mut self, at: usize, title: String) {
        if let Some(suspect) = self.list.get_mut(at) {
            suspect.title = Some(title);
            self.changed = true;
        }
    }

    /// The same for a message of a maildrop.
    pub fn entitle_message(&mut self, command: Command, message: &str, title: String) {
        let of =
            |s: &Suspect| s.thing.command == command && s.thing.message.as_deref() == Some(message);
        if let Some(at) = self.list.iter().position(of) {
            self.entitle(at, title);
        }
    }

    /// Whether it is not asked for now.
    #[must_use]
    pub fn rests(&self, suspect: &Suspect) -> bool {
        let named = suspect.thing.mailbox.as_ref().is_some_and(|name| self.focus.contains(name));
        let waited = self.now >= suspect.next || (self.asked && self.run >= suspect.next_run);
        suspect.is_set_aside() && !waited && (!named || self.was_tried(suspect))
    }

    /// Whether it was lost in this run.
    #[must_use]
    pub fn was_tried(&self, suspect: &Suspect) -> bool {
        suspect.next_run - runs(suspect.losses) == self.run
    }

    /// Why this is not asked for now, if so.
    #[must_use]
    pub fn why_not(&self, command: Command, mailbox: Option<&MailboxName>) -> Option<String> {
        if mailbox.is_some_and(|mailbox| self.puts_off(mailbox)) {
            return Some(SILENT.to_owned());
        }
        if self.is_silent_over(command) {
            return Some(SILENT.to_owned());
        }
        let of = |s: &&Suspect| s.thing.is_of(command, mailbox) && !s.thing.is_part();
        let found = self.list.iter().find(of).filter(|suspect| self.rests(suspect))?;
        Some(found.words.clone())
    }

    /// What is known of a message of a maildrop, by this command.
    #[must_use]
    pub fn of_message(&self, command: Command, message: &str) -> Option<&Suspect> {
        let of = |s: &&Suspect| s.thing.command == command;
        self.list.iter().filter(of).find(|s| s.thing.message.as_deref() == Some(message))
    }

    /// Whether anything was answered in this run that this command asked of the maildrop.
    #[must_use]
    pub fn has_answered(&self, command: Command) -> bool {
        self.answered.contains(&(command, None))
    }

    /// Whether nothing was lost.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether anything about this mailbox was lost: it is looked at after the others.
    #[must_use]
    pub fn concern(&self, mailbox: &MailboxName) -> bool {
        self.list.iter().any(|suspect| suspect.thing.mailbox.as_ref() == Some(mailbox))
    }

    /// Whether a message of this mailbox was set aside and is to be asked for again now.
    #[must_use]
    pub fn has_due(&self, mailbox: &MailboxName) -> bool {
        let reads = [Command::Attributes, Command::Flags, Command::Headers];
        let of = |s: &&Suspect| s.thing.mailbox.as_ref() == Some(mailbox);
        let due = |s: &Suspect| reads.contains(&s.thing.command) && !self.rests(s);
        self.list.iter().filter(of).any(due)
    }

    /// Whether a command was lost before, about this or a part of it.
    #[must_use]
    pub fn has(&self, command: Command, mailbox: Option<&MailboxName>) -> bool {
        self.list.iter().any(|suspect| suspect.thing.is_of(command, mailbox))
    }

    /// Whether this thing was lost before.
    #[must_use]
    pub fn knows(&self, thing: &Thing) -> bool {
        let touches = |s: &Suspect| match thing.uids.is_empty() {
            true => s.thing.uids.is_empty(),
            false => !s.thing.uids.intersection(&thing.uids).is_empty(),
        };
        let (mailbox, message) = (thing.mailbox.as_ref(), &thing.message);
        let same = |s: &Suspect| s.thing.message == *message && touches(s);
        self.list.iter().any(|s| s.thing.is_of(thing.command, mailbox) && same(s))
    }

    /// The messages that are not asked for now.
    #[must_use]
    pub fn resting(&self, command: Command, mailbox: &MailboxName, uid_validity: u32) -> UidSet {
        self.of(command, mailbox, uid_validity)
            .filter(|suspect| self.rests(suspect))
            .fold(UidSet::new(), |all, suspect| all.union(&suspect.thing.uids))
    }

    /// The messages that were set aside, and are to be asked for again now.
    #[must_use]
    pub fn due(&self, command: Command, mailbox: &MailboxName, uid_validity: u32) -> UidSet {
        self.of(command, mailbox, uid_validity)
            .filter(|suspect| suspect.is_set_aside() && !self.rests(suspect))
            .fold(UidSet::new(), |all, suspect| all.union(&suspect.thing.uids))
    }

    /// What happened to a message.
    #[must_use]
    pub fn words_of(&self, command: Command, mailbox: &MailboxName, uid: Uid) -> Option<String> {
        let of = |s: &&Suspect| {
            s.thing.is_of(command, Some(mailbox)) && s.is_set_aside() && s.thing.uids.contains(uid)
        };
        self.list.iter().find(of).map(|suspect| suspect.words.clone())
    }

    /// Whether the upload of a row was refused, and is to be tried again now.
    #[must_use]
    pub fn asks_again_for(&self, mailbox: &MailboxName, row: &UidSet) -> bool {
        self.list.iter().any(|suspect| {
            let Thing { uids, .. } = &suspect.thing;
            suspect.thing.is_of(Command::Append, Some(mailbox))
                && (uids.is_empty() || !uids.intersection(row).is_empty())
                && !self.rests(suspect)
        })
    }

    /// The messages that are not asked for now, each with what happened.
    #[must_use]
    pub fn list_of(
        &self,
        command: Command,
        mailbox: &MailboxName,
        uid_validity: u32,
    ) -> Vec<(UidSet, String)> {
        let resting = self.of(command, mailbox, uid_validity).filter(|s| self.rests(s));
        resting.map(|s| (s.thing.uids.clone(), s.words.clone())).collect()
    }

    /// Whether any of these is a suspect.
    #[must_use]
    pub fn has_any(
        &self,
        command: Command,
        mailbox: &MailboxName,
        uid_validity: u32,
        uids: &UidSet,
    ) -> bool {
        let of = self.of(command, mailbox, uid_validity);
        of.into_iter().any(|s| !s.thing.uids.intersection(uids).is_empty())
    }

    fn of<'s>(
        &'s self,
        command: Command,
        mailbox: &'s MailboxName,
        uid_validity: u32,
    ) -> impl Iterator<Item = &'s Suspect> {
        self.list.iter().filter(move |suspect| {
            suspect.thing.is_of(command, Some(mailbox))
                && suspect.thing.uid_validity == uid_validity
                && !suspect.thing.uids.is_empty()
        })
    }

    /// Messages in the order in which, and the company in which, they are asked for: first those
    /// that are no suspects, then parts of suspect sets, then each suspect alone. What rests is
    /// left out.
    #[must_use]
    pub fn parts(
        &self,
        command: Command,
        mailbox: &MailboxName,
        uid_validity: u32,
        uids: &UidSet,
    ) -> Vec<UidSet> {
        let (mut clean, mut sets, mut alone) = (uids.clone(), Vec::new(), Vec::new());
        for suspect in self.of(command, mailbox, uid_validity) {
            let part = suspect.thing.uids.intersection(uids);
            clean = clean.difference(&suspect.thing.uids);
            match part.len() {
                0 => {}
                _ if self.rests(suspect) => {}
                1 => alone.push(part),
                // The first that was not answered is the one, most of the time.
                _ if suspect.losses < LOSSES => {
                    let (first, rest) = split(&part, 1);
                    sets.push(rest);
                    alone.push(first);
                }
                len => {
                    let (first, rest) = split(&part, len / 2);
                    sets.extend([first, rest]);
                }
            }
        }
        let clean = Some(clean).filter(|clean| !clean.is_empty());
        clean.into_iter().chain(sets).chain(alone).collect()
    }

    /// The same for several commands that are sent for the same messages.
    #[must_use]
    pub fn parts_of(
        &self,
        commands: &[Command],
        mailbox: &MailboxName,
        uid_validity: u32,
        uids: &UidSet,
    ) -> Vec<UidSet> {
        let mut all = vec![uids.clone()];
        for command in commands {
            let parts = |set: &UidSet| self.parts(*command, mailbox, uid_validity, set);
            all = all.iter().flat_map(parts).collect();
        }
        // Whoever is suspected of anything comes after those that are not.
        all.sort_by_key(|part| {
            let is_of = |s: &&Suspect| !s.thing.uids.intersection(part).is_empty();
            let of = |s: &&Suspect| s.thing.mailbox.as_ref() == Some(mailbox);
            self.list.iter().filter(of).any(|s| is_of(&s))
        });
        all
    }

    /// Notes that the server refused a thing.
    pub fn refused(&mut self, thing: &Thing, words: &str) {
        self.lost(thing, words, (self.now, 0));
    }

    /// Notes that a connection was lost at a thing, or that the server refused it: when, and how
    /// long the server was silent before, in seconds. What costs more is tried more rarely.
    pub fn lost(&mut self, thing: &Thing, words: &str, (now, silent): (i64, i64)) {
        let words: String = words.chars().take(WORDS).collect();
        let mailbox = thing.mailbox.clone();
        if thing.command == Command::Resync && silent > 0 {
            self.resync_rests = now.saturating_add(silent.saturating_mul(REST));
        }
        if let Some(mailbox) = mailbox.clone().filter(|_| silent > 0) {
            self.fell_silent(&mailbox, now, silent);
        }
        let mut losses = 1;
        let same = |s: &Suspect| {
            s.thing.is_of(thing.command, mailbox.as_ref())
                && s.thing.uid_validity == thing.uid_validity
                && s.thing.uids.is_empty() == thing.uids.is_empty()
                && s.thing.message == thing.message
        };
        let mut title = None;
        for suspect in self.list.iter_mut().filter(|suspect| same(suspect)) {
            if thing.uids.is_empty() || suspect.thing.uids == thing.uids {
                losses = losses.max(suspect.losses.saturating_add(1));
                title = suspect.title.take();
                suspect.losses = 0;
            } else if !suspect.thing.uids.intersection(&thing.uids).is_empty() {
                losses = losses.max(suspect.losses.saturating_add(1));
                suspect.thing.uids = suspect.thing.uids.difference(&thing.uids);
                suspect.is_left_alone();
                if suspect.thing.uids.is_empty() {
                    suspect.losses = 0;
                }
            }
        }
        // Without its extension it was lost, too.
        let plain = thing.command == Command::Select;
        let is_void = |s: &Suspect| plain && s.thing.is_of(Command::Resync, mailbox.as_ref());
        self.list.retain(|suspect| suspect.losses > 0 && !is_void(suspect));
        self.changed = true;
        if thing.command.has_another_way() {
            losses = losses.max(LOSSES);
        }
        if self.list.len() >= MOST {
            return;
        }
        let next = now.saturating_add(seconds(losses, silent));
        let next_run = self.run.saturating_add(runs(losses));
        let thing = thing.clone();
        self.list.push(Suspect { thing, losses, next, next_run, words, title });
        self.blame_the_mailbox();
    }

    /// Where no message of a mailbox is answered, it is the mailbox.
    fn blame_the_mailbox(&mut self) {
        let Some(last) = self.list.last().cloned() else { return };
        let (command, mailbox) = (last.thing.command, last.thing.mailbox.clone());
        let of = |s: &&Suspect| s.thing.is_of(command, mailbox.as_ref()) && s.thing.is_part();
        let sets = self.list.iter().filter(of).count();
        let alone = self.list.iter().filter(of).filter(|s| s.is_set_aside()).count();
        let any = self.answered.contains(&(command, mailbox.clone()));
        if any || (alone < ALL && sets < SETS) {
            return;
        }
        self.list.retain(|suspect| !suspect.thing.is_of(command, mailbox.as_ref()));
        let thing = Thing::whole(command, mailbox.as_ref());
        let losses = last.losses.max(LOSSES);
        self.list.push(Suspect { thing, losses, title: None, ..last });
    }

    /// Notes that a thing was answered.
    pub fn passed(&mut self, thing: &Thing) {
        if thing.is_part() {
            self.answered.insert((thing.command, thing.mailbox.clone()));
        }
        if self.list.is_empty() {
            return;
        }
        let before = self.list.len();
        let mailbox = thing.mailbox.as_ref();
        self.list.retain_mut(|suspect| {
            if !suspect.thing.is_of(thing.command, mailbox) {
                return true;
            }
            if suspect.thing.uids.is_empty() {
                return suspect.thing.message.is_some() && suspect.thing.message != thing.message;
            }
            if suspect.thing.uid_validity == thing.uid_validity {
                let left = suspect.thing.uids.difference(&thing.uids);
                if left != suspect.thing.uids {
                    self.changed = true;
                    suspect.thing.uids = left;
                    suspect.is_left_alone();
                }
            }
            !suspect.thing.uids.is_empty()
        });
        self.changed |= before != self.list.len();
    }
}

#[cfg(test)]
mod tests {
    use super::suspect::WAITS;
    use super::*;
    use crate::remote::imap::uid_set::unanswered;

    fn inbox() -> MailboxName {
        MailboxName::new("INBOX")
    }

    fn set(text: &str) -> UidSet {
        UidSet::parse(text.as_bytes()).expect("a set")
    }

    fn bodies(text: &str) -> Thing {
        let (mailbox, uids) = (Some(inbox()), set(text));
        Thing { uid_validity: 7, uids, ..Thing::whole(Command::Bodies, mailbox.as_ref()) }
    }

    fn parts(suspects: &Suspects, text: &str) -> Vec<String> {
        let parts = suspects.parts(Command::Bodies, &inbox(), 7, &set(text));
        parts.iter().map(ToString::to_string).collect()
    }

    /// Asks for all, and loses the connection at whatever holds one of the bad ones; gives how
    /// often.
    fn isolate(suspects: &mut Suspects, all: &str, bad: &[u32], in_order: bool) -> u32 {
        for losses in 0..500 {
            let parts = suspects.parts(Command::Bodies, &inbox(), 7, &set(all));
            let is_bad = |part: &&UidSet| bad.iter().any(|uid| part.contains(Uid(*uid)));
            let Some(at) = parts.iter().position(|part| is_bad(&part)) else {
                for part in parts {
                    suspects.passed(&Thing { uids: part, ..bodies("1") });
                }
                return losses;
            };
            for part in &parts[..at] {
                suspects.passed(&Thing { uids: part.clone(), ..bodies("1") });
            }
            let answered: UidSet = match in_order {
                true => parts[at].iter().take_while(|uid| !bad.contains(&uid.0)).collect(),
                false => UidSet::new(),
            };
            suspects.passed(&Thing { uids: answered.clone(), ..bodies("1") });
            let left = unanswered(&parts[at], &answered);
            suspects.refused(&Thing { uids: left, ..bodies("1") }, "BYE");
        }
        panic!("{suspects:?}");
    }

    #[test]
    fn the_first_that_was_not_answered_is_tried_alone_and_last() {
        let mut suspects = Suspects::default();
        suspects.begin(1, 0, true, BTreeSet::new());
        suspects.refused(&bodies("4:9"), "BYE");
        assert_eq!(parts(&suspects, "1:9"), ["1:3", "5:9", "4"]);
        suspects.passed(&bodies("1:3"));
        suspects.passed(&bodies("5:9"));
        suspects.refused(&bodies("4"), "BYE");
        assert_eq!(parts(&suspects, "1:9"), ["1:3,5:9"]);
        assert!(suspects.list()[0].is_set_aside());
    }

    #[test]
    fn any_one_of_a_thousand_is_found_by_halves() {
        for bad in [1, 2, 499, 500, 999, 1000] {
            let mut suspects = Suspects::default();
            suspects.begin(1, 0, true, BTreeSet::new());
            assert!(isolate(&mut suspects, "1:1000", &[bad], true) <= 2, "{bad}");
            let mut suspects = Suspects::default();
            suspects.begin(1, 0, true, BTreeSet::new());
            let losses = isolate(&mut suspects, "1:1000", &[bad], false);
            assert!(losses <= 13, "{bad}: {losses}");
            let found = suspects.resting(Command::Bodies, &inbox(), 7);
            assert_eq!(found, set(&bad.to_string()));
        }
        let mut suspects = Suspects::default();
        suspects.begin(1, 0, true, BTreeSet::new());
        isolate(&mut suspects, "1:1000", &[7, 8, 900], false);
        assert_eq!(suspects.list().len(), 3);
        assert_eq!(suspects.resting(Command::Bodies, &inbox(), 7), set("7,8,900"));
    }

    #[test]
    fn what_was_set_aside_is_asked_for_ever_more_rarely_and_never_given_up() {
        let mut suspects = Suspects::default();
        let mut asked = Vec::new();
        for run in 1..=200 {
            suspects.begin(run, 0, true, BTreeSet::new());
            if isolate(&mut suspects, "1:2", &[1], true) > 0 {
                asked.push(run);
            }
        }
        assert_eq!(asked, [1, 2, 4, 8, 16, 32, 64, 96, 128, 160, 192]);
        let mut suspects = Suspects::default();
        let mut asked = Vec::new();
        for now in (0..100_000).step_by(60) {
            suspects.begin(1 + now, now, false, BTreeSet::new());
            if isolate(&mut suspects, "1:2", &[1], true) > 0 {
                asked.push(now);
            }
        }
        assert_eq!(asked[..4], [0, 60, 180, 420]);
        assert!(asked.windows(2).all(|pair| pair[1] - pair[0] <= WAITS.1), "{asked:?}");
    }

    #[test]
    fn a_person_who_names_the_mailbox_has_it_asked_for_once() {
        let mut suspects = Suspects::default();
        suspects.begin(1, 0, true, BTreeSet::new());
        isolate(&mut suspects, "1:2", &[1], true);
        (0..4).for_each(|_| suspects.refused(&bodies("1"), "BYE"));
        suspects.begin(2, 1, true, BTreeSet::new());
        assert_eq!(parts(&suspects, "1:2"), ["2"]);
        suspects.begin(2, 1, true, [inbox()].into());
        assert_eq!(parts(&suspects, "1:2"), ["2", "1"]);
        suspects.refused(&bodies("1"), "BYE");
        assert_eq!(parts(&suspects, "1:2"), ["2"]);
    }

    #[test]
    fn where_no_message_is_answered_it_is_the_mailbox() {
        let mut suspects = Suspects::default();
        suspects.begin(1, 0, true, BTreeSet::new());
        for uid in ["1", "1", "2", "2", "3", "3"] {
            suspects.refused(&bodies(uid), "BYE");
        }
        assert_eq!(suspects.list().len(), 1);
        assert_eq!(suspects.why_not(Command::Bodies, Some(&inbox())).as_deref(), Some("BYE"));
        suspects.passed(&bodies("5"));
        assert!(suspects.list().is_empty());
    }

    #[test]
    fn messages_of_a_maildrop_are_things_of_their_own() {
        let retr = |message: &str| Thing::in_maildrop(Command::Retr, Some(message.to_owned()));
        let mut suspects = Suspects::default();
        suspects.begin(1, 0, true, BTreeSet::new());
        suspects.passed(&retr("well"));
        for message in ["a", "b", "c", "d", "a", "b", "c"] {
            suspects.refused(&retr(message), "BYE");
        }
        let losses = |suspects: &Suspects, message| {
            suspects.of_message(Command::Retr, message).map(|suspect| suspect.losses)
        };
        let all = ["a", "b", "c", "d", "well"].map(|message| losses(&suspects, message));
        assert_eq!(all, [Some(2), Some(2), Some(2), Some(1), None]);
        suspects.passed(&retr("b"));
        suspects.retain_messages(|message| message != "a");
        assert_eq!(suspects.list().len(), 2);
        // In a run in which none is given it is the command.
        suspects.begin(2, 0, true, BTreeSet::new());
        ["c", "e", "e", "f", "f"]
            .iter()
            .for_each(|message| suspects.refused(&retr(message), "BYE"));
        assert_eq!(suspects.why_not(Command::Retr, None).as_deref(), Some("BYE"));
        suspects.passed(&retr("well"));
        assert!(suspects.is_empty());
    }
}
