//! What is known of every account while it runs: events go in, numbers come out. No clock:
//! each call says what time it is, counted from any start.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::account::progress::{Event, Way};
use crate::reconcile::types::{MailboxName, printable};

/// A rate is that of so much time before now.
const WINDOW: Duration = Duration::from_secs(10);
/// Before this much time nothing is said of rates.
const WARM_UP: Duration = Duration::from_secs(1);
/// Time between two samples of the window.
const SAMPLE: Duration = Duration::from_millis(500);

/// Messages and the octets of their bodies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Amount {
    /// Messages.
    pub messages: u64,
    /// Octets.
    pub octets: u64,
}

impl Amount {
    fn add(&mut self, other: Self) {
        self.messages = self.messages.saturating_add(other.messages);
        self.octets = self.octets.saturating_add(other.octets);
    }

    fn less(self, other: Self) -> Self {
        let messages = self.messages.saturating_sub(other.messages);
        Self { messages, octets: self.octets.saturating_sub(other.octets) }
    }
}

/// How fast something went lately.
#[derive(Debug, Clone, Default)]
pub struct Pace {
    samples: VecDeque<(Duration, Amount)>,
}

impl Pace {
    /// Notes how much was done by now.
    fn note(&mut self, now: Duration, done: Amount) {
        if self.samples.back().is_none_or(|(at, _)| now.saturating_sub(*at) >= SAMPLE) {
            self.samples.push_back((now, done));
        }
        while self.samples.len() > 1 && self.samples[1].0 + WINDOW <= now {
            self.samples.pop_front();
        }
    }

    /// What was done in which time; none as long as too little is known.
    fn lately(&self, now: Duration, done: Amount) -> Option<(Amount, Duration)> {
        let recent = self.samples.iter().find(|(at, _)| *at + WINDOW > now);
        let (from, then) = recent.or(self.samples.back())?;
        let time = now.checked_sub(*from).filter(|time| *time >= WARM_UP)?;
        Some((done.less(*then), time))
    }

    /// Octets in a second.
    #[must_use]
    pub fn rate(&self, now: Duration, done: Amount) -> Option<u64> {
        let (amount, time) = self.lately(now, done)?;
        u64::try_from(u128::from(amount.octets) * 1000 / time.as_millis().max(1)).ok()
    }

    /// The time until the rest is done, too: the longer of what its octets and what its
    /// messages would take, since small messages cost a round trip and large ones the line.
    #[must_use]
    pub fn left(&self, now: Duration, done: Amount, total: Amount) -> Option<Duration> {
        let (amount, time) = self.lately(now, done)?;
        let rest = total.less(done);
        let one = |rest: u64, done: u64| {
            if rest == 0 {
                return Some(Duration::ZERO);
            }
            let millis = u128::from(rest) * time.as_millis() / u128::from(done).max(1);
            (done > 0).then(|| Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX)))
        };
        let messages = one(rest.messages, amount.messages);
        let octets = one(rest.octets, amount.octets);
        match (messages, octets) {
            (Some(messages), Some(octets)) => Some(messages.max(octets)),
            // Within one large message only its octets tell.
            (None, known) | (known, None) => known.filter(|time| !time.is_zero()),
        }
    }
}

/// The bodies of one mailbox that travel one way.
#[derive(Debug, Clone, Default)]
pub struct Task {
    /// What has travelled.
    pub done: Amount,
    /// What is to travel.
    pub total: Amount,
    /// Whether they travel now.
    pub running: bool,
}

/// What an account is at, where no bodies travel.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Doing {
    /// Before anything else: its password is fetched.
    #[default]
    Starting,
    /// The server is dialled.
    Connecting,
    /// A mailbox is looked at, the first number of the second.
    Looking(String, usize, usize),
    /// Steps are taken.
    Working,
    /// It has ended, well or not.
    Ended(bool),
}

/// One account.
#[derive(Debug, Clone, Default)]
pub struct Account {
    /// Its name, fit for a terminal.
    pub name: String,
    /// What it is at.
    pub doing: Doing,
    /// What travels, or will, by mailbox; each is gone when it is through.
    pub tasks: BTreeMap<(MailboxName, Way), Task>,
    /// Tasks that are through.
    pub through: usize,
    /// What has travelled in all.
    pub done: Amount,
    /// What has travelled and what is to.
    pub total: Amount,
    /// How fast.
    pub pace: Pace,
}

/// All accounts of a run.
#[derive(Debug, Clone, Default)]
pub struct Board {
    /// In the order of the config.
    pub accounts: Vec<Account>,
}

impl Board {
    /// The accounts that will run.
    #[must_use]
    pub fn new(names: &[&str]) -> Self {
        let named = |name: &&str| Account { name: printable(name), ..Account::default() };
        Self { accounts: names.iter().map(named).collect() }
    }

    /// Takes an event of the n-th account.
    pub fn tell(&mut self, account: usize, event: &Event<'_>, now: Duration) {
        let Some(account) = self.accounts.get_mut(account) else { return };
        account.tell(event, now);
    }

    /// The n-th account has ended.
    pub fn end(&mut self, account: usize, well: bool) {
        let Some(account) = self.accounts.get_mut(account) else { return };
        account.tasks.clear();
        account.doing = Doing::Ended(well);
    }
}

impl Account {
    fn tell(&mut self, event: &Event<'_>, now: Duration) {
        match *event {
            Event::Connecting => self.doing = Doing::Connecting,
            Event::Looking { mailbox, at, of } => {
                self.doing = Doing::Looking(mailbox.to_string(), at, of);
            }
            Event::Planned { mailbox, way, messages, octets } => {
                let amount = Amount { messages, octets };
                self.doing = Doing::Working;
                self.total.add(amount);
                self.tasks.entry((mailbox.clone(), way)).or_default().total.add(amount);
            }
            Event::Began { mailbox, way } => {
                if let Some(task) = self.tasks.get_mut(&(mailbox.clone(), way)) {
                    task.running = true;
                }
                self.pace.note(now, self.done);
            }
            Event::Octets { mailbox, way, count } => {
                self.advance(mailbox, way, Amount { messages: 0, octets: count }, now);
            }
            Event::Message { mailbox, way } => {
                self.advance(mailbox, way, Amount { messages: 1, octets: 0 }, now);
            }
            Event::Ended { mailbox, way } => {
                let Some(task) = self.tasks.remove(&(mailbox.clone(), way)) else { return };
                // What did not travel now is not waited for.
                self.total = self.total.less(task.total);
                self.total.add(task.done);
                self.through += 1;
            }
            Event::Skipped(_) => {}
        }
    }

    fn advance(&mut self, mailbox: &MailboxName, way: Way, amount: Amount, now: Duration) {
        let Some(task) = self.tasks.get_mut(&(mailbox.clone(), way)) else { return };
        task.done.add(amount);
        self.done.add(amount);
        // More came than was said to be there: sizes are a server's words.
        let before = task.total;
        task.total.messages = before.messages.max(task.done.messages);
        task.total.octets = before.octets.max(task.done.octets);
        self.total.add(task.total.less(before));
        self.pace.note(now, self.done);
    }

    /// The time until all that is planned has travelled.
    #[must_use]
    pub fn left(&self, now: Duration) -> Option<Duration> {
        self.pace.left(now, self.done, self.total)
    }
}
