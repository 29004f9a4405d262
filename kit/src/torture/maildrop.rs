//! Rounds of an account that pulls from a simulated POP3 server.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use fastrand::Rng;
use mailtide::account::AccountError;
use mailtide::config::Keep;
use mailtide::local::Layout;

use super::action::{Action, Cut, Deed, Point, Side, Trouble};
use super::hands::Hands;
use super::ledger::{Ledger, Tokens};
use super::mishaps::{DAY, States, interrupted, without_root};
use super::places::Inside;
use super::{Counts, RUNS_TO_AGREE, Scene, text};
use crate::oracle::{Census, Fault, Kind};
use crate::pop3::{Fault as Wrong, Profile, Server, When};
use crate::world::{Outcome, ROOT, World};

/// Messages of the maildrop that a session shows where it shows a part.
const PART: usize = 2;

/// A simulated maildrop under torture, and the account that pulls from it.
pub(super) struct Pulling {
    server: Server,
    world: World,
    keep: Keep,
    ledger: Arc<Mutex<Ledger>>,
    made: Arc<AtomicU64>,
    mail: Option<BTreeMap<PathBuf, Option<Vec<u8>>>>,
    states: States,
    hosts: u32,
    counts: Counts,
}

/// The kind of account that a seed stands for.
fn terms(seed: u64) -> (Profile, Keep) {
    let mut rng = Rng::with_seed(seed ^ 0xd409);
    let profile = Profile {
        uidl: rng.u8(..5) > 0,
        top: rng.u8(..4) > 0,
        pipelining: rng.bool(),
        capa: rng.u8(..4) > 0,
        lock: rng.u8(..4) == 0,
        ..Profile::default()
    };
    (profile, [Keep::Forever, Keep::UntilPulled, Keep::Days(2)][rng.usize(..3)])
}

/// What kind of account a seed stands for, in words.
pub(super) fn describe(seed: u64) -> String {
    let (profile, keep) = terms(seed);
    format!("keep {keep:?} lock {} {:?}", profile.lock, profile.capabilities(false))
}

/// Whoever acts on either side, with the ledger that is told of it.
#[derive(Clone)]
struct People {
    server: Server,
    hands: Hands,
    ledger: Arc<Mutex<Ledger>>,
}

impl People {
    fn act(&self, side: Side, deed: &Deed) {
        match side {
            Side::There => self.act_there(deed),
            Side::Here => {
                let before = tokens(&self.hands.census(Side::Here));
                match deed {
                    Deed::Remove(_) | Deed::Move(..) | Deed::Set(..) | Deed::Clear(..) => {
                        self.hands.act_here(deed);
                    }
                    _ => {}
                }
                let after = tokens(&self.hands.census(Side::Here));
                self.ledger.lock().expect("no panic").changed_here(&before, &after);
            }
        }
    }

    fn act_there(&self, deed: &Deed) {
        let at = |token: u32| {
            let bodies = self.server.bodies();
            bodies.iter().position(|body| text::token(body) == Some(token))
        };
        match deed {
            Deed::Add(token, _) => {
                self.server.deliver(&text::of(*token));
                self.ledger.lock().expect("no panic").came(*token);
            }
            Deed::Remove(token) => {
                if let Some(at) = at(*token) {
                    self.server.remove(at);
                    self.ledger.lock().expect("no panic").taken(*token);
                }
            }
            Deed::Renumber(_) => self.server.renew_uidls(),
            Deed::Twin(one, other) => {
                if let (Some(one), Some(other)) = (at(*one), at(*other)) {
                    let name = self.server.messages().get(one).and_then(|m| m.uidl.clone());
                    self.server.set_uidl(other, name.as_deref());
                }
            }
            Deed::Unname(token) => {
                if let Some(at) = at(*token) {
                    self.server.set_uidl(at, None);
                }
            }
            _ => {}
        }
    }
}

/// How many copies of each message there are.
fn tokens(census: &Census) -> Tokens {
    let mut out = Tokens::new();
    for token in census.values().flatten().filter_map(|copy| copy.token) {
        *out.entry(token).or_default() += 1;
    }
    out
}

fn count<'a>(bodies: impl IntoIterator<Item = &'a Vec<u8>>) -> Tokens {
    let mut out = Tokens::new();
    for token in bodies.into_iter().filter_map(|body| text::token(body)) {
        *out.entry(token).or_default() += 1;
    }
    out
}

impl Pulling {
    pub(super) fn new(seed: u64) -> Self {
        let (profile, keep) = terms(seed);
        let server = Server::with::<&str>(profile, []);
        let world = World::of_maildrop(&server, keep);
        Self {
            server,
            world,
            keep,
            ledger: Arc::default(),
            made: Arc::default(),
            mail: None,
            states: States::new(),
            hosts: 0,
            counts: Counts::default(),
        }
    }

    fn people(&self) -> People {
        let hands = Hands {
            server: Arc::new(Inside(self.world.server.clone())),
            fs: Arc::new(self.world.fs.clone()),
            layout: Layout::Nested,
            oracle: Arc::default(),
            made: Arc::clone(&self.made),
        };
        People { server: self.server.clone(), hands, ledger: Arc::clone(&self.ledger) }
    }

    fn run(&mut self, meanwhile: &[(Point, Side, Deed)], trouble: Option<&Trouble>) {
        self.counts.runs += 1;
        self.world.wait();
        let gone = matches!(trouble, Some(Trouble::Unmounted | Trouble::Away));
        let seen = meanwhile.iter().filter(|(_, side, _)| !gone || *side == Side::There);
        let meanwhile: Vec<_> = seen.cloned().collect();
        self.counts.meanwhile += meanwhile.len() as u64;
        self.counts.faults += u64::from(trouble.is_some());
        self.counts.kills += u64::from(trouble.is_some_and(Trouble::kills));
        let (people, n) = (self.people(), AtomicU64::new(0));
        self.world.on_call(move |_, _| {
            let n = n.fetch_add(1, Ordering::SeqCst) + 1;
            for (point, side, deed) in &meanwhile {
                let (Point::Call(at) | Point::Command(at)) = point;
                if *at == n {
                    people.act(*side, deed);
                }
            }
        });
        let outcome = match trouble {
            Some(Trouble::Unreadable(mailbox)) => {
                let dir = self.people().hands.dir(mailbox);
                self.world.fs.deny(&dir);
                let outcome = self.world.sync();
                self.world.fs.allow(&dir);
                outcome
            }
            Some(trouble @ (Trouble::Unmounted | Trouble::Away)) => {
                self.without_root(*trouble == Trouble::Unmounted);
                self.world.quiet();
                return;
            }
            Some(Trouble::Cut(n)) => {
                self.with_fault(Wrong::CutAfterSent(*n), When::connect().nth(1))
            }
            Some(Trouble::Around(verb, n, cut)) => {
                self.with_fault(wrong(verb, *n, *cut), When::verb(verb).nth(*n))
            }
            Some(trouble) => interrupted(&self.world, trouble),
            None => self.world.sync(),
        };
        super::note(&outcome);
        self.world.quiet();
    }

    fn with_fault(&self, fault: Wrong, when: When) -> Outcome {
        let injected = self.server.inject(fault, when);
        let outcome = self.world.sync();
        self.server.withdraw(&injected);
        outcome
    }

    /// A run while the Maildir is away: what was delivered into another one went with that.
    fn without_root(&self, unmounted: bool) {
        let Some((outcome, interim)) = without_root(&self.world, unmounted, &self.made) else {
            return;
        };
        super::note(&outcome);
        let delivered = interim.iter().filter(|(path, _)| {
            path.parent().is_some_and(|dir| dir.ends_with("cur") || dir.ends_with("new"))
        });
        let delivered = count(delivered.filter_map(|(_, bytes)| bytes.as_ref()));
        self.ledger.lock().expect("no panic").went_astray(&delivered);
    }

    fn restore_mail(&mut self) {
        let Some(mail) = self.mail.clone() else { return };
        self.counts.states += 1;
        let (fs, people) = (&self.world.fs, self.people());
        let before = tokens(&people.hands.census(Side::Here));
        if fs.tree().contains_key(Path::new(ROOT)) {
            fs.mkdir_all("/gone");
            fs.move_file(ROOT, format!("/gone/{}", self.made.fetch_add(1, Ordering::SeqCst)));
        }
        for (path, bytes) in &mail {
            match bytes {
                Some(bytes) => fs.write_file(path, bytes),
                None => fs.mkdir_all(path),
            }
        }
        let after = tokens(&people.hands.census(Side::Here));
        let mut ledger = self.ledger.lock().expect("no panic");
        ledger.changed_here(&before, &after);
        ledger.forgot();
    }

    /// Pulls until all that the server has is here, and judges that.
    fn quiet(&mut self) -> Vec<Fault> {
        self.server.heal();
        let mut said = Vec::new();
        let mut faults = Vec::new();
        for _ in 0..RUNS_TO_AGREE {
            let outcome = self.run_quietly();
            said.push(format!("{} {:?} {:?}", outcome.0, outcome.1, outcome.0.skipped));
            let is_damaged = matches!(outcome.1, Err(AccountError::State(_)));
            if is_damaged && std::mem::take(&mut self.states.torn) {
                // As a person does who is told that it is damaged.
                self.world.lose_store();
                self.ledger.lock().expect("no panic").forgot();
            }
            if matches!(outcome.1, Err(AccountError::Gone { .. })) {
                // As a person does who knows that this is the Maildir.
                self.world.adopt();
                self.ledger.lock().expect("no panic").forgot();
            }
            let here = tokens(&self.people().hands.census(Side::Here));
            faults = self.ledger.lock().expect("no panic").missing(&here);
            if outcome.1.is_ok() && faults.is_empty() {
                self.ledger.lock().expect("no panic").settled();
                break;
            }
            if outcome.1.is_err() {
                faults.push(Fault { kind: Kind::Stuck, what: said.join("\n    ") });
            }
        }
        faults.extend(self.judge());
        if !faults.is_empty() {
            faults.push(Fault { kind: Kind::Unequal, what: said.join("\n    ") });
            return faults;
        }
        let before = self.mail_files();
        let outcome = self.run_quietly();
        if before != self.mail_files() || outcome.1.is_err() {
            let what = format!("{} {:?} {:?}", outcome.0, outcome.1, outcome.0.skipped);
            faults.push(Fault { kind: Kind::Restless, what });
        }
        let left = before.iter().filter(|(path, bytes)| {
            bytes.is_some() && path.parent().is_some_and(|dir| dir.ends_with("tmp"))
        });
        let left: Vec<_> = left.map(|(path, _)| path).collect();
        if !left.is_empty() {
            faults.push(Fault { kind: Kind::LeftInTmp, what: format!("{left:?}") });
        }
        faults
    }

    /// By then the system has written everything down.
    fn a_day_passes(&self) {
        self.world.fs.set_clock(self.world.fs.clock() + DAY);
        self.world.fs.settle();
    }

    fn run_quietly(&mut self) -> Outcome {
        self.counts.runs += 1;
        self.a_day_passes();
        let outcome = self.world.sync();
        super::note(&outcome);
        outcome
    }

    /// What is wrong whether or not anything is at rest.
    fn judge(&self) -> Vec<Fault> {
        let census = self.people().hands.census(Side::Here);
        let altered = census.values().flatten().filter(|copy| !copy.whole || copy.token.is_none());
        let altered = altered.map(|copy| Fault { kind: Kind::Altered, what: format!("{copy:?}") });
        let mut faults: Vec<Fault> = altered.collect();
        let there = count(&self.server.bodies());
        let ledger = self.ledger.lock().expect("no panic");
        faults.extend(ledger.judge(&tokens(&census), &there, self.keep == Keep::Forever));
        faults
    }

    fn mail_files(&self) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
        let own = Path::new(ROOT).join(".mailtide");
        let tree = self.world.fs.tree().into_iter();
        tree.filter(|(path, _)| path.starts_with(ROOT) && !path.starts_with(&own)).collect()
    }
}

/// How a POP3 command is cut: a body that comes too short, a QUIT that deletes nothing.
fn wrong(verb: &str, n: u64, cut: Cut) -> Wrong {
    match (cut, verb) {
        (Cut::Tagged, "RETR") => Wrong::CutBody(u32::try_from(n).unwrap_or(1), 60),
        (Cut::No, "QUIT") => Wrong::KeepDeleted,
        (Cut::Before, _) => Wrong::CutBefore,
        (Cut::After, _) => Wrong::CutAfter,
        (Cut::Tagged, _) => Wrong::CutAfterSent(40),
        (Cut::No, _) => Wrong::Refuse("not now".to_owned()),
        (Cut::Silent, _) => Wrong::Hang,
    }
}

impl Scene for Pulling {
    fn counts(&self) -> Counts {
        self.counts
    }

    fn perform(&mut self, action: &Action) -> Vec<Fault> {
        match action {
            Action::Act(side, deed) => self.people().act(*side, deed),
            Action::Run(meanwhile, trouble) => self.run(meanwhile, trouble.as_ref()),
            Action::Part(_) => {
                self.counts.runs += 1;
                self.world.wait();
                self.server.configure(|profile| profile.window = Some(PART));
                super::note(&self.world.sync());
                self.server.configure(|profile| profile.window = None);
            }
            Action::LoseState | Action::SaveState | Action::RestoreState | Action::TearState(_) => {
                if self.states.perform(action, &self.world) {
                    self.counts.states += 1;
                    self.ledger.lock().expect("no panic").forgot();
                }
            }
            Action::SaveMail => {
                let tree = self.world.fs.tree();
                self.mail = Some(tree).filter(|tree| tree.contains_key(Path::new(ROOT)));
            }
            Action::RestoreMail => self.restore_mail(),
            Action::Reconfigure => {
                self.hosts += 1;
                let server = self.server.clone();
                self.world.move_to(&server, &format!("host{}", self.hosts));
                self.ledger.lock().expect("no panic").forgot();
            }
            Action::Day => self.a_day_passes(),
            Action::Filled(..) => {}
            Action::Quiet => return self.quiet(),
        }
        self.judge()
    }
}
