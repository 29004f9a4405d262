//! Rounds in the simulated world: one thread, no time, every moment the same each time.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use fastrand::Rng;
use mailtide::account::{AccountError, Depth, RunRequest};
use mailtide::local::Layout;
use mailtide::reconcile::OnLocalDelete;

use super::action::{Action, Cut, Deed, Point, Side, Trouble};
use super::hands::Hands;
use super::mishaps::{DAY, States, interrupted, without_root};
use super::places::Inside;
use super::{Counts, RUNS_TO_AGREE, Scene};
use crate::imap::{Fault as Wrong, Profile, StatusIds, When};
use crate::oracle::{Census, Fault, Kind, Oracle, agree};
use crate::world::{Outcome, ROOT, World};

/// A simulated account under torture.
pub(super) struct Simulated {
    world: World,
    oracle: Arc<Mutex<Oracle>>,
    made: Arc<AtomicU64>,
    layout: Layout,
    mail: Option<BTreeMap<PathBuf, Option<Vec<u8>>>>,
    states: States,
    counts: Counts,
    scope: u32,
}

/// The kind of account that a seed stands for: profile, layout, settings.
fn world(seed: u64) -> (World, Layout, String) {
    let mut rng = Rng::with_seed(seed ^ 0xacc0);
    let mut kinds = vec![Profile::qresync(), Profile::condstore(), Profile::plain()];
    kinds.extend([Profile::gmail(), Profile::exchange(), Profile::qresync()]);
    kinds.extend(Profile::pairwise());
    let mut profile = kinds.swap_remove(rng.usize(..kinds.len()));
    match rng.u8(..6) {
        0 => profile.delimiter = '.',
        1 => {
            profile.delimiter = '.';
            profile.prefix = "INBOX.".to_owned();
            profile.namespace = true;
        }
        _ => {}
    }
    profile.objectid = rng.u8(..4) == 0;
    profile.real_parents = rng.u8(..4) == 0;
    let layout = if rng.u8(..3) == 0 { Layout::MaildirPlusPlus } else { Layout::Nested };
    let expunge = rng.u8(..3) == 0;
    let connections = rng.u8(1..3);
    profile.status_ids = match rng.u8(..4) {
        0 => StatusIds::Garbled,
        1 => StatusIds::Untrue,
        _ => StatusIds::True,
    };
    let told = format!(
        "{layout:?} expunge {expunge} connections {connections} delimiter {} prefix {:?} {}",
        profile.delimiter,
        profile.prefix,
        profile.capabilities(true, true)
    );
    let mut world = World::new(profile);
    world.also(move |settings| {
        settings.layout = layout;
        settings.connections = connections;
        if expunge {
            settings.on_local_delete = OnLocalDelete::Expunge;
        }
    });
    (world, layout, told)
}

/// What kind of account a seed stands for, in words.
pub(super) fn describe(seed: u64) -> String {
    world(seed).2
}

impl Simulated {
    pub(super) fn new(seed: u64) -> Self {
        let (world, layout, _) = world(seed);
        Self {
            world,
            oracle: Arc::default(),
            made: Arc::default(),
            layout,
            mail: None,
            states: States::new(),
            counts: Counts::default(),
            scope: 0,
        }
    }

    /// All messages go without anybody's doing, for tests of the oracle.
    #[cfg(test)]
    pub(super) fn forget_on_the_server(&self) {
        for (mailbox, messages) in self.world.server.everything() {
            let uids: Vec<u32> = messages.iter().map(|message| message.uid).collect();
            self.world.server.expunge(&mailbox, &uids);
        }
    }

    fn hands(&self) -> Hands {
        Hands {
            server: Arc::new(Inside(self.world.server.clone())),
            fs: Arc::new(self.world.fs.clone()),
            layout: self.layout,
            oracle: Arc::clone(&self.oracle),
            made: Arc::clone(&self.made),
        }
    }

    fn run(&mut self, meanwhile: &[(Point, Side, Deed)], trouble: Option<&Trouble>) {
        self.counts.runs += 1;
        self.world.wait();
        let gone = matches!(trouble, Some(Trouble::Unmounted | Trouble::Away));
        // Nobody reads mail on a disk that is not there.
        let seen = meanwhile.iter().filter(|(_, side, _)| !gone || *side == Side::There);
        let meanwhile: Vec<_> = seen.cloned().collect();
        self.oracle.lock().expect("no panic").begin_run();
        self.arrange(&meanwhile);
        self.counts.meanwhile += meanwhile.len() as u64;
        self.counts.faults += u64::from(trouble.is_some());
        match trouble {
            Some(
                trouble @ (Trouble::Kill(_)
                | Trouble::PowerCut(..)
                | Trouble::Full(_)
                | Trouble::Broken(_)),
            ) => {
                self.counts.kills += u64::from(trouble.kills());
                super::note(&interrupted(&self.world, trouble));
            }
            Some(Trouble::Unreadable(mailbox)) => {
                let hands = self.hands();
                let dir = hands.dir(&hands.full(mailbox));
                self.world.fs.deny(&dir);
                super::note(&self.world.sync());
                self.world.fs.allow(&dir);
            }
            Some(trouble @ (Trouble::Unmounted | Trouble::Away)) => {
                self.without_root(*trouble == Trouble::Unmounted);
            }
            Some(Trouble::Cut(n)) => {
                self.with_fault(Wrong::CutAfterSent(*n), When::connect().nth(1))
            }
            Some(Trouble::Around(verb, n, cut)) => {
                let fault = match cut {
                    Cut::Before => Wrong::CutBefore,
                    Cut::After => Wrong::CutAfter,
                    Cut::Tagged => Wrong::LoseTagged,
                    Cut::No => Wrong::No("not now".to_owned()),
                    Cut::Silent => Wrong::Hang,
                };
                self.with_fault(fault, When::verb(verb).nth(*n));
            }
            Some(Trouble::Stopped(_) | Trouble::Restart(_)) | None => {
                super::note(&self.world.sync())
            }
        }
        self.world.quiet();
        self.oracle.lock().expect("no panic").end_run();
    }

    /// Lets others act at their moments of the next run.
    fn arrange(&mut self, meanwhile: &[(Point, Side, Deed)]) {
        let pick = |commands: bool| -> Vec<(u64, Side, Deed)> {
            let fits = |(point, side, deed): &(Point, Side, Deed)| match (point, commands) {
                (Point::Command(n), true) | (Point::Call(n), false) => {
                    Some((*n, *side, deed.clone()))
                }
                _ => None,
            };
            meanwhile.iter().filter_map(fits).collect()
        };
        let (at_commands, at_calls) = (pick(true), pick(false));
        if !at_commands.is_empty() {
            let (hands, mut n) = (self.hands(), 0);
            self.world.on_command(move |command| {
                n += 1;
                at_commands
                    .iter()
                    .filter(|(at, side, deed)| *at == n && !hands.is_late(command, *side, deed))
                    .for_each(|(_, side, deed)| hands.act(*side, deed));
            });
        }
        if !at_calls.is_empty() {
            let (hands, n) = (self.hands(), AtomicU64::new(0));
            self.world.on_call(move |_, _| {
                let n = n.fetch_add(1, Ordering::SeqCst) + 1;
                at_calls
                    .iter()
                    .filter(|(at, _, _)| *at == n)
                    .for_each(|(_, side, deed)| hands.act(*side, deed));
            });
        }
    }

    fn with_fault(&self, fault: Wrong, when: When) {
        let injected = self.world.server.inject(fault, when);
        super::note(&self.world.sync());
        self.world.server.withdraw(&injected);
    }

    /// A run while the Maildir's disk is not mounted, or the Maildir is away.
    fn without_root(&self, unmounted: bool) {
        if let Some((outcome, _)) = without_root(&self.world, unmounted, &self.made) {
            super::note(&outcome);
        }
    }

    fn restore_mail(&mut self) {
        let Some(mail) = self.mail.clone() else { return };
        self.counts.states += 1;
        let (fs, hands) = (&self.world.fs, self.hands());
        let before = hands.census(Side::Here);
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
        let (after, server) = (hands.census(Side::Here), hands.census(Side::There));
        self.oracle.lock().expect("no panic").restored(&before, &after, &server);
    }

    /// Runs until both sides agree, and judges them.
    fn quiet(&mut self) -> Vec<Fault> {
        self.world.server.heal();
        let fault = |kind, what: String| vec![Fault { kind, what }];
        let mut said = Vec::new();
        let mut agreed = self.runs_to_agreement(&mut said);
        if !agreed && self.states.torn && self.differs_from_its_state() {
            // Nothing was read that could not be, and what was read is untrue: `verify` says so, as
            // it does to a person who sees that mail is missing.
            self.lose_torn_state();
            agreed = self.runs_to_agreement(&mut said);
        }

        let hands = self.hands();
        let (here, there) = (hands.census(Side::Here), hands.census(Side::There));
        if !agreed {
            let faults = self.oracle.lock().expect("no panic").lost(&here, &there);
            let kind = if agree(&here, &there) { Kind::Stuck } else { Kind::Unequal };
            let mut what = said.join("\n    ");
            what += &differences(&here, &there);
            let mut all = fault(kind, what);
            all.extend(faults);
            return all;
        }
        let mut faults = self.oracle.lock().expect("no panic").judge(&here, &there);
        if self.world.store().exists() && !self.world.asked(|store| store.holds()).is_empty() {
            faults.push(Fault { kind: Kind::Held, what: said.join("\n    ") });
        }
        let files = self.mail_files();
        let left = files.keys().filter(|path| path.parent().is_some_and(|d| d.ends_with("tmp")));
        let left: Vec<_> = left.filter(|path| files[*path].is_some()).collect();
        if !left.is_empty() {
            faults.push(Fault { kind: Kind::LeftInTmp, what: format!("{left:?}") });
        }
        let before = (files, self.world.server.everything());
        let (outcome, _, _) = self.run_quietly();
        let after = (self.mail_files(), self.world.server.everything());
        if before != after || outcome.1.is_err() {
            faults.push(Fault {
                kind: Kind::Restless,
                what: format!("{} {:?} {:?}", outcome.0, outcome.1, outcome.0.skipped),
            });
        }
        self.oracle.lock().expect("no panic").settle(&here);
        faults
    }

    /// Runs until both sides agree, a few times at most; gives whether they do.
    fn runs_to_agreement(&mut self, said: &mut Vec<String>) -> bool {
        for _ in 0..RUNS_TO_AGREE {
            let (outcome, here, there) = self.run_quietly();
            said.push(format!(
                "{} {:?} {:?}",
                outcome.0,
                outcome.1.as_ref().err(),
                outcome.0.skipped
            ));
            let damaged = matches!(&outcome.1, Err(AccountError::State(_)));
            if damaged && self.states.torn {
                // As a person does who is told that it is damaged: perhaps long after, once the
                // page that was damaged is read.
                self.lose_torn_state();
            }
            if outcome.1.is_ok() && outcome.0.skipped.is_empty() && agree(&here, &there) {
                return true;
            }
            self.world.ask_for_unshown(&outcome.0);
            let skipped = &outcome.0.skipped;
            skipped.iter().for_each(|skip| self.hands().heed(&skip.what, &skip.why));
        }
        false
    }

    fn lose_torn_state(&mut self) {
        self.states.torn = false;
        self.world.lose_store();
        self.oracle.lock().expect("no panic").forgot();
    }

    /// Whether `verify` finds that either side is not what the state says of it.
    fn differs_from_its_state(&mut self) -> bool {
        self.world.wait();
        let (report, result) = self.world.run(RunRequest::verify(Depth::Files));
        let differing = report.verified.as_ref().map_or(0, |verified| verified.differing);
        result.is_err() || differing > 0 || !report.plan.is_empty()
    }

    fn run_quietly(&mut self) -> (Outcome, Census, Census) {
        self.counts.runs += 1;
        self.world.wait();
        let outcome = self.world.sync();
        super::note(&outcome);
        let hands = self.hands();
        let (here, there) = (hands.census(Side::Here), hands.census(Side::There));
        (outcome, here, there)
    }

    fn mail_files(&self) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
        let own = Path::new(ROOT).join(".mailtide");
        let tree = self.world.fs.tree().into_iter();
        tree.filter(|(path, _)| path.starts_with(ROOT) && !path.starts_with(&own)).collect()
    }
}

impl Scene for Simulated {
    fn counts(&self) -> Counts {
        self.counts
    }

    fn perform(&mut self, action: &Action) -> Vec<Fault> {
        if action.forgets() {
            let hands = self.hands();
            let (here, there) = (hands.census(Side::Here), hands.census(Side::There));
            self.oracle.lock().expect("no panic").forgot_with(&here, &there);
        }
        match action {
            Action::Act(side, deed) => self.hands().act(*side, deed),
            Action::Filled(token, mailbox) => self.hands().fill(*token, mailbox),
            Action::Run(meanwhile, trouble) => self.run(meanwhile, trouble.as_ref()),
            Action::Part(mailbox) => {
                super::note(&self.world.part(&self.hands().full(mailbox)));
            }
            Action::LoseState | Action::SaveState | Action::RestoreState | Action::TearState(_) => {
                self.counts.states += u64::from(self.states.perform(action, &self.world));
            }
            Action::Day => self.world.fs.set_clock(self.world.fs.clock() + DAY),
            Action::SaveMail => {
                let tree = self.world.fs.tree().into_iter();
                self.mail = Some(tree.filter(|(path, _)| path.starts_with(ROOT)).collect());
            }
            Action::RestoreMail => self.restore_mail(),
            Action::Reconfigure => {
                self.scope += 1;
                let scope = format!("scope {}", self.scope);
                self.world.also(move |settings| settings.scope.clone_from(&scope));
            }
            Action::Quiet => return self.quiet(),
        }
        Vec::new()
    }
}

/// Mailboxes that differ, in words.
pub(super) fn differences(here: &Census, there: &Census) -> String {
    let names: BTreeSet<&String> = here.keys().chain(there.keys()).collect();
    let mut out = String::new();
    for name in names.into_iter().filter(|name| here.get(*name) != there.get(*name)) {
        out += &format!("\n    {name}: here {:?}", here.get(name));
        out += &format!("\n    {name}: there {:?}", there.get(name));
    }
    out
}
