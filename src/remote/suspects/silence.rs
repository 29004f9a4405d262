//! Silence costs a whole timeout each time. So a mailbox in which the server fell silent comes
//! after everything else, in this run and in those that follow until its rest is over; and what a
//! new connection can do without is not asked for again while it rests.

use std::collections::BTreeSet;

use super::suspect::REST;
use super::{CAPABILITY, Command, Suspects, Thing};
use crate::reconcile::types::MailboxName;

/// A later silence is waited for so many times shorter than the first one.
const SHORT: i64 = 10;

impl Suspects {
    /// What a new connection is not asked for now, as [`Endpoint::disable`] has it: what earlier
    /// connections were lost at, and what can be done without.
    ///
    /// [`Endpoint::disable`]: crate::remote::imap::Endpoint::disable
    #[must_use]
    pub fn avoided(&self) -> BTreeSet<String> {
        let rests = |command| self.why_not(command, None).is_some();
        let extensions = rests(Command::Extensions).then_some(["ID", "ENABLE"]);
        let capability = rests(Command::Capability).then_some(CAPABILITY);
        extensions.into_iter().flatten().chain(capability).map(str::to_owned).collect()
    }

    /// Everything else is done. Gives whether mailboxes in which the server fell silent are to be
    /// tried now. A run that nobody waits for does that only if no other silence kept new mail from
    /// coming in it.
    pub fn come_last(&mut self) -> bool {
        let run = self.run;
        if self.last {
            self.silent.retain(|_, (lost, _)| *lost == run);
            return false;
        }
        let lost_now = self.silent.values().any(|(lost, _)| *lost == run);
        self.last = !self.silent.is_empty() && (self.asked || !lost_now);
        self.last
    }

    /// Whether the server fell silent a while ago over the difference that was asked for in some
    /// mailbox: then it is not asked for in others, since each of them would cost a timeout.
    pub(super) fn is_silent_over(&self, command: Command) -> bool {
        command == Command::Resync && self.now < self.resync_rests
    }

    /// Notes that the server fell silent in a mailbox.
    pub(super) fn fell_silent(&mut self, mailbox: &MailboxName, now: i64, silent: i64) {
        self.longest = self.longest.max(silent);
        if self.last {
            self.spent = self.spent.saturating_add(silent);
            // What nobody waits for costs no more than one whole silence.
            self.last = self.asked || self.spent < self.longest;
        }
        self.silent.insert(mailbox.clone(), (self.run, now.saturating_add(silent * REST)));
    }

    /// How long the server may be silent in this mailbox, if not as long as usual, in seconds: it
    /// was long enough before, and what it is silent over is to be found soon.
    #[must_use]
    pub fn patience(&self, mailbox: &MailboxName) -> Option<u64> {
        let short = self.last && self.silent.contains_key(mailbox);
        short.then(|| u64::try_from(self.longest / SHORT).unwrap_or(1).max(1))
    }

    /// Whether this mailbox is one of those, and everything else is not done yet.
    #[must_use]
    pub fn puts_off(&self, mailbox: &MailboxName) -> bool {
        !self.last && self.silent.contains_key(mailbox)
    }

    /// Whether mailboxes in which the server fell silent are left to a later run.
    #[must_use]
    pub fn are_postponed(&self) -> bool {
        !self.silent.is_empty()
    }

    /// Seconds until something is to be asked for again that was lost or refused.
    #[must_use]
    pub fn next_due(&self, now: i64) -> Option<i64> {
        let due = self.list.iter().filter(|s| !s.thing.command.has_another_way());
        due.map(|suspect| suspect.next.saturating_sub(now).max(0)).min()
    }

    /// Notes that a connection was lost at a thing when the run had just begun, after so many
    /// seconds of silence.
    pub fn lost_at_first(&mut self, thing: &Thing, words: &str, silent: i64) {
        self.lost(thing, words, (self.now.saturating_add(silent), silent));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inbox() -> MailboxName {
        MailboxName::new("INBOX")
    }

    #[test]
    fn silence_over_a_difference_in_one_mailbox_spares_the_others_for_a_while() {
        let (other, inbox) = (MailboxName::new("Other"), inbox());
        let mut suspects = Suspects::default();
        suspects.begin(1, 1000, false, BTreeSet::new());
        suspects.lost(&Thing::whole(Command::Resync, Some(&inbox)), "cut", (1001, 0));
        assert!(suspects.why_not(Command::Resync, Some(&other)).is_none(), "a cut costs nothing");
        suspects.lost(&Thing::whole(Command::Resync, Some(&inbox)), "silence", (1060, 60));
        assert!(suspects.why_not(Command::Resync, Some(&other)).is_some());
        assert!(suspects.why_not(Command::Select, Some(&other)).is_none());
        for (now, rests) in [(1070, true), (1060 + 479, true), (1060 + 480, false)] {
            suspects.begin(2, now, false, BTreeSet::new());
            assert_eq!(suspects.why_not(Command::Resync, Some(&other)).is_some(), rests, "{now}");
        }
    }

    #[test]
    fn silence_is_waited_for_more_rarely_than_a_refusal_and_counted_from_its_end() {
        let mut suspects = Suspects::default();
        suspects.begin(1, 1000, false, BTreeSet::new());
        suspects.lost(&Thing::whole(Command::ListStatus, None), "silence", (1060, 60));
        for (now, rests) in [(1060, true), (1060 + 479, true), (1060 + 480, false)] {
            suspects.begin(2, now, false, BTreeSet::new());
            assert_eq!(suspects.why_not(Command::ListStatus, None).is_some(), rests, "{now}");
        }
    }

    #[test]
    fn a_mailbox_that_fell_silent_comes_last_and_is_waited_for_no_longer_than_once_a_run() {
        let select = Thing::whole(Command::Select, Some(&inbox()));
        let mut suspects = Suspects::default();
        suspects.begin(1, 1000, false, BTreeSet::new());
        suspects.lost(&select, "silence", (1060, 60));
        assert!(suspects.puts_off(&inbox()) && !suspects.come_last(), "not in the same run");
        suspects.begin(2, 1070, false, BTreeSet::new());
        assert!(suspects.puts_off(&inbox()), "nor before everything else in the next one");
        assert!(suspects.come_last() && !suspects.puts_off(&inbox()));
        assert_eq!(suspects.patience(&inbox()), Some(6));
        for _ in 0..5 {
            suspects.lost(&select, "silence", (1080, 10));
            assert!(!suspects.puts_off(&inbox()), "short silences are waited for");
        }
        suspects.lost(&select, "silence", (1080, 10));
        assert!(suspects.puts_off(&inbox()) && !suspects.come_last());
        suspects.begin(3, 1090, false, BTreeSet::new());
        assert!(suspects.come_last());
        suspects.passed(&select);
        assert!(!suspects.come_last() && !suspects.are_postponed(), "it was answered");
        // A person waits for it: it is tried in the same run, after everything else.
        suspects.begin(4, 1090, true, BTreeSet::new());
        suspects.lost(&select, "silence", (1150, 60));
        assert!(suspects.puts_off(&inbox()) && suspects.come_last());
        suspects.lost(&select, "silence", (1210, 60));
        assert!(!suspects.puts_off(&inbox()), "and again");
    }
}
