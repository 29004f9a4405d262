//! Torture: from one seed both sides of an account change at once, with the habits of readers
//! and devices, while mailtide is killed, cut off, refused, and its state and disk are lost, torn
//! and restored. An [oracle](crate::oracle) judges what is there afterwards.
//!
//! A round is a list of [actions](action::Action) drawn from a seed. A round that fails prints
//! its seed and its list; [`minimise`] makes the list shorter, and a list can be run again.

pub mod action;
pub mod draw;
mod hands;
mod heed;
mod ledger;
mod maildrop;
mod mishaps;
mod places;
mod real;
mod relay;
mod simulated;
mod text;
mod wire;

use std::panic::{AssertUnwindSafe, catch_unwind};

use action::Action;
use simulated::Simulated;

pub use real::{Place, SERVERS};

use crate::oracle::{Fault, Kind};
use crate::world::Outcome;

/// Runs that nobody disturbs until both sides must be equal.
pub const RUNS_TO_AGREE: usize = 4;

/// How much was tried.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Rounds.
    pub rounds: u64,
    /// Runs of mailtide.
    pub runs: u64,
    /// Kills and power cuts.
    pub kills: u64,
    /// Runs in which something went wrong, kills included.
    pub faults: u64,
    /// Acts of others in the middle of a run.
    pub meanwhile: u64,
    /// States and Maildirs lost, torn or restored.
    pub states: u64,
}

impl Counts {
    /// Adds those of a round.
    pub fn add(&mut self, other: &Self) {
        self.rounds += other.rounds;
        self.runs += other.runs;
        self.kills += other.kills;
        self.faults += other.faults;
        self.meanwhile += other.meanwhile;
        self.states += other.states;
    }
}

/// A round that failed.
#[derive(Debug, Clone)]
pub struct Failure {
    /// What is wrong.
    pub faults: Vec<Fault>,
    /// How many of the actions were carried out.
    pub steps: usize,
}

impl Failure {
    /// The first kind of fault, by which failures are told apart.
    #[must_use]
    pub fn kind(&self) -> Option<Kind> {
        self.faults.iter().map(|fault| fault.kind).min()
    }
}

/// The actions of a simulated round.
#[must_use]
pub fn simulated_actions(seed: u64) -> Vec<Action> {
    draw::actions(seed, draw::Engine::Simulated)
}

/// What kind of account a seed stands for.
#[must_use]
pub fn describe(seed: u64) -> String {
    simulated::describe(seed)
}

/// The actions of a round of an account that pulls from a simulated maildrop.
#[must_use]
pub fn maildrop_actions(seed: u64) -> Vec<Action> {
    draw::maildrop_actions(seed)
}

/// What kind of account that pulls a seed stands for.
#[must_use]
pub fn describe_maildrop(seed: u64) -> String {
    maildrop::describe(seed)
}

/// Carries out a list of actions on the simulated maildrop of a seed; ends at the first failure.
pub fn pull(seed: u64, actions: &[Action], counts: &mut Counts) -> Option<Failure> {
    play(&mut maildrop::Pulling::new(seed), actions, counts)
}

/// The actions of a round on a real server.
#[must_use]
pub fn real_actions(seed: u64) -> Vec<Action> {
    draw::actions(seed, draw::Engine::Real)
}

/// What kind of account a seed stands for on a real server.
#[must_use]
pub fn describe_real(seed: u64) -> String {
    real::describe(seed)
}

/// One account, in whatever world.
trait Scene {
    /// Does one step; gives what is found wrong.
    fn perform(&mut self, action: &Action) -> Vec<Fault>;
    /// What was done so far.
    fn counts(&self) -> Counts;
}

/// Carries out a list of actions in the simulated world of a seed; ends at the first failure.
pub fn simulate(seed: u64, actions: &[Action], counts: &mut Counts) -> Option<Failure> {
    play(&mut Simulated::new(seed), actions, counts)
}

/// The same on a real server.
pub fn endure(
    place: &mut Place,
    seed: u64,
    actions: &[Action],
    counts: &mut Counts,
) -> Option<Failure> {
    play(&mut real::Real::new(place, seed), actions, counts)
}

/// Whether every action and every run is to be printed.
fn is_loud() -> bool {
    std::env::var_os("MAILTIDE_TORTURE_LOUD").is_some()
}

/// Prints what became of a run.
fn note((report, result): &Outcome) {
    if is_loud() {
        eprintln!("   -> {report} {result:?} {:?}", report.skipped);
    }
}

fn play(world: &mut impl Scene, actions: &[Action], counts: &mut Counts) -> Option<Failure> {
    let mut failure = None;
    let last = Action::Quiet;
    let ends_quiet = actions.last() == Some(&last);
    let actions = actions.iter().chain((!ends_quiet).then_some(&last));
    for (at, action) in actions.enumerate() {
        if is_loud() {
            eprintln!("{action}");
        }
        let done = catch_unwind(AssertUnwindSafe(|| world.perform(action)));
        let faults = done.unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            let what = text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
            vec![Fault { kind: Kind::Panic, what: what.unwrap_or_default() }]
        });
        if !faults.is_empty() {
            failure = Some(Failure { faults, steps: at + 1 });
            break;
        }
    }
    counts.add(&world.counts());
    counts.rounds += 1;
    failure
}

/// A failing round made as short as can be, and how it fails then.
#[must_use]
pub fn shortest(seed: u64, actions: &[Action], failure: Failure) -> (Vec<Action>, Failure) {
    let kind = failure.kind();
    let mut spent = Counts::default();
    let list = &actions[..failure.steps.min(actions.len())];
    let list = minimise(list, |list| {
        simulate(seed, list, &mut spent).is_some_and(|failure| failure.kind() == kind)
    });
    let failure = simulate(seed, &list, &mut spent).unwrap_or(failure);
    (list, failure)
}

/// A failure in words, with the list that shows it: what [`read`] reads. `world` says what kind
/// of account it is.
#[must_use]
pub fn report(seed: u64, world: &str, actions: &[Action], failure: &Failure) -> String {
    let faults: Vec<String> = failure.faults.iter().map(ToString::to_string).collect();
    let faults = faults.join("\n").replace('\n', "\n# ");
    let lines: Vec<String> = actions.iter().map(ToString::to_string).collect();
    format!("# {world}\n# {faults}\nworld {seed}\n{}\n", lines.join("\n"))
}

/// The seed of the world and the actions of a list that was written to a file.
///
/// # Errors
/// The line that is none of a list.
pub fn read(text: &str) -> Result<(u64, Vec<Action>), String> {
    let mut seed = 0;
    let mut actions = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
        match line.strip_prefix("world ") {
            Some(number) => seed = number.trim().parse().map_err(|_| line.to_owned())?,
            None => actions.push(line.parse().map_err(|error| format!("{line}: {error}"))?),
        }
    }
    Ok((seed, actions))
}

/// Makes a failing list shorter, as long as it fails in the same way: `fails` tries a list.
/// Delta debugging: parts are left out, from halves down to single actions, then the clauses of
/// runs.
pub fn minimise(actions: &[Action], mut fails: impl FnMut(&[Action]) -> bool) -> Vec<Action> {
    let mut list = actions.to_vec();
    let mut size = list.len().div_ceil(2);
    while size > 0 {
        let (mut at, mut shrunk) = (0, false);
        while at < list.len() {
            let end = (at + size).min(list.len());
            let shorter = [&list[..at], &list[end..]].concat();
            if fails(&shorter) {
                list = shorter;
                shrunk = true;
            } else {
                at = end;
            }
        }
        size = if shrunk && size == 1 { 1 } else { size / 2 };
    }
    for at in 0..list.len() {
        for simpler in simpler(&list[at]) {
            let mut shorter = list.clone();
            shorter[at] = simpler;
            if fails(&shorter) {
                list = shorter;
                break;
            }
        }
    }
    list
}

/// The same run with less that happens in it, the simplest first.
fn simpler(action: &Action) -> Vec<Action> {
    let Action::Run(meanwhile, trouble) = action else { return Vec::new() };
    let mut out = vec![Action::Run(Vec::new(), None), Action::Run(Vec::new(), trouble.clone())];
    for one in meanwhile {
        out.push(Action::Run(vec![one.clone()], None));
    }
    for one in meanwhile {
        out.push(Action::Run(vec![one.clone()], trouble.clone()));
    }
    out.push(Action::Run(meanwhile.clone(), None));
    out.retain(|simpler| simpler != action);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use action::{Deed, Side};

    #[test]
    fn a_list_shrinks_to_what_it_takes() {
        let actions: Vec<Action> = (0..40).flat_map(simulated_actions).collect();
        let needed = [3, actions.len() / 2, actions.len() - 1].map(|at| actions[at].clone());
        let short = minimise(&actions, |list| needed.iter().all(|one| list.contains(one)));
        assert!(short.len() <= 3, "{short:?}");
    }

    /// Lists that found a fault once, each with the seed of its world.
    #[test]
    fn what_was_found_once_is_not_found_again() {
        const FOUND: &[(u64, &str)] = &[
            // Another Maildir, or none, for one run; moved here or there before or meanwhile.
            (20007, "there add 3 B / run / here rename B E / run ; away"),
            (
                20021,
                "there add 2 D / here add 4 A / quiet / run ; away / \
                 run ; at call 125 here move 2 B",
            ),
            (20143, "there add 1 INBOX / quiet / here move 1 A / run ; away"),
            (20199, "there add 1 Trash / quiet / here move 1 B / run ; unmounted"),
            (20288, "there add 3 Trash / quiet / there move 3 D / run ; unmounted"),
            // Moved out of a mailbox that cannot be read.
            (1, "here add 5 A/C / run / here move 5 B / run ; unreadable A/C"),
            // An empty directory where a mailbox was that all mail was moved out of.
            (20206, "here add 3 A / run / here remake A D"),
            (20151, "here add 2 A/C / quiet / here remake A/C D"),
            // A store that is lost after its run was cut off left files in tmp.
            (
                1100,
                "there add 2 Trash / there add 3 B / run ; power 77 3 / \
                 run ; kill 42 / tear-state 328",
            ),
            (
                30015,
                "here add 3 Trash / here add 4 A/C / there add 5 D / run ; kill 84 / run ; away",
            ),
            (30028, "filled 3 B / quiet / run ; power 53 3 / run ; away"),
            (20100, "filled 2 A / quiet / tear-state 371 / run ; power 3 0"),
            (20106, "filled 1 D / quiet / run ; power 11 1 / tear-state 253"),
            // A state that is torn where nothing is read until later, or at all.
            (40318, "here add 2 Trash / quiet / tear-state 12 / quiet / there move 2 A/C"),
            (50229, "here add 4 B / quiet / tear-state 120 / here remove 4"),
            (
                40041,
                "there make D / here add 2 A/C / quiet / \
                 run ; at call 4 here remove 2 ; unreadable D / tear-state 915",
            ),
            // One of three equal files goes to where another one lies, after the state was lost.
            (
                4_040_967,
                "there add 1 B / here add 3 A/C / run ; at command 24 here copy 1 B / \
                 here copy 1 Trash / quiet / tear-state 187 / here move 1 Trash",
            ),
            // A removal that was cut off left its mark, or its copy in the trash.
            (
                71827,
                "there add 4 A/C / quiet / \
                 run ; at call 5 here move 4 Trash ; around UID_EXPUNGE 1 before / lose-state",
            ),
            (80883, "filled 1 INBOX / quiet / here remove 1 / run ; at command 19 there move 1 D"),
            // What a person does with an empty mailbox, and a level that is renamed and is none.
            (
                80689,
                "there add 2 A / there add 3 A / quiet / here remove 3 / here remake A D / \
                 here move 2 A/C",
            ),
            (81045, "here add 3 A/C / run / there rename A E / here add 6 INBOX / here move 6 A/C"),
            // Letters that no table explains; flags that only the Maildir had, which was put back.
            (20191, "there set 3 k2 / run / here edit 3 6 / here move 6 D"),
            (40667, "here add 2 D / here remake D A/C / here set 2 k2 / here move 2 D"),
            (51326, "here add 3 A / save-mail / here set 3 k2 / restore-mail"),
        ];
        for (seed, list) in FOUND {
            let actions = list.split(" / ").map(|action| action.parse().expect("an action"));
            let actions: Vec<Action> = actions.collect();
            let failure = simulate(*seed, &actions, &mut Counts::default());
            assert!(failure.is_none(), "world {seed} / {list}: {failure:?}");
        }
    }

    #[test]
    fn a_message_that_goes_by_itself_is_lost() {
        let add = Action::Act(Side::There, Deed::Add(1, "INBOX".to_owned()));
        let mut world = Simulated::new(1);
        assert!(world.perform(&add).is_empty() && world.perform(&Action::Quiet).is_empty());
        world.forget_on_the_server();
        let faults = world.perform(&Action::Quiet);
        assert!(faults.iter().any(|fault| fault.kind == Kind::Lost), "{faults:?}");
    }

    /// Plays a list of actions, each line an action, and gives what went wrong.
    fn played(list: &str) -> String {
        let (seed, actions) = read(list).expect("a list");
        let failure = simulate(seed, &actions, &mut Counts::default());
        failure.map(|failure| report(seed, "", &actions, &failure)).unwrap_or_default()
    }

    #[test]
    fn what_was_moved_here_while_it_was_numbered_anew_is_moved_there() {
        for list in [
            "world 1076\nhere add 1 A/C\nquiet\nthere renumber A/C\nhere move 1 A\nquiet",
            "world 1190\nthere add 2 A/C\nquiet\nthere renumber A/C\nhere move 2 D\nquiet",
        ] {
            assert_eq!(played(list), "");
        }
    }

    #[test]
    fn a_mailbox_that_was_emptied_here_and_made_anew_is_no_missing_disk() {
        for list in [
            "world 20206\nhere add 3 A\nrun\nhere remake A D\nquiet",
            "world 20039\nthere add 5 A\nquiet\nhere remake A INBOX\nquiet",
            "world 20057\nhere add 1 B\nhere add 3 Trash\nquiet\nsave-mail\nrestore-mail\n\
             run ; at call 92 here remake B INBOX\nquiet",
        ] {
            assert_eq!(played(list), "");
        }
    }

    #[test]
    fn a_parent_that_was_removed_here_may_stay_there_empty() {
        let list = "world 1287\nhere make A\nhere make A/C\nrun\nhere rename A D\n\
                    here make A/C\nquiet";
        assert_eq!(played(list), "");
    }

    #[test]
    fn a_seed_is_one_round() {
        let round = |seed| {
            let mut counts = Counts::default();
            let failure = simulate(seed, &simulated_actions(seed), &mut counts);
            (failure.map(|failure| failure.steps), counts)
        };
        (0..5).for_each(|seed| assert_eq!(round(seed), round(seed), "{seed}"));
    }
}
