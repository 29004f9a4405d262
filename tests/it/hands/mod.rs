//! A foreign hand at every point: at each call to the simulated disk, each command to the
//! simulated server and each of its answers, in each scenario, one action of a table of what
//! readers, people and other devices do; alone, followed by a crash, and by a lost answer.
//! `MAILTIDE_HAND=profile/scenario/point/action/ending cargo test --test it hands::one` repeats
//! one of them, `MAILTIDE_FULL=1 cargo test --test it hands::at_every_point -- --nocapture` tries
//! all.

#![expect(clippy::print_stdout, reason = "what was tried, and a case step by step")]

use std::collections::{BTreeSet, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use kit::imap::{Logged, Profile};
use kit::world::{Ending, Mail, Moment, ROOT, Sides, World};

use crate::scenarios::{SCENARIOS, Scenario, prepared_in};

use actions::{ACTIONS, Act, DISK, Scene, Undo, look, selects};
use book::{Book, HERE, THERE};

mod actions;
mod book;
mod every;

/// How many runs two sides may take to agree when nobody acts any more.
const RUNS_MAX: usize = 4;
/// Names of new files and marks of directories contain random numbers; they are the same each
/// time. What was made before the run has others than what the run makes.
const SEED_BEFORE: u64 = 7;
const SEED: u64 = 8;
/// For what is judged.
const SEED_AFTER: u64 = 9;

/// A world before the run, and who did what until then.
struct Start {
    profile: &'static str,
    scenario: String,
    world: World,
    book: Book,
    /// The past is known: what somebody wished since then must be done.
    known: bool,
    /// Flags that somebody took away since.
    taken: BTreeSet<String>,
    points: u64,
}

/// The flags that messages of one side have no more.
fn taken(before: &Mail, after: &Mail) -> BTreeSet<String> {
    let all =
        |mail: &Mail| -> Vec<(String, Vec<String>)> { mail.values().flatten().cloned().collect() };
    let after = all(after);
    let mut taken = BTreeSet::new();
    for (content, flags) in all(before) {
        let mut same = after.iter().filter(|(other, _)| *other == content);
        if let (Some((_, now)), None) = (same.next(), same.next()) {
            taken.extend(flags.into_iter().filter(|flag| !now.contains(flag)));
        }
    }
    taken
}

/// A flag was set again while it was being taken away, and the run ended before it could note that
/// it had done so: whether it was set before or after that, nothing tells.
fn is_set_again(case: Case<'_>, fault: &str) -> bool {
    let mut lost = fault.split('"').skip(1).step_by(2);
    case.ending.1 != Ending::Alone
        && ["read", "store"].contains(&case.action.0)
        && fault.starts_with("FlagLost:")
        && lost.all(|flag| case.start.taken.contains(&flag.replace("\\\\", "\\")))
}

/// What a case is: see `Case::name`.
#[derive(Clone, Copy)]
struct Case<'a> {
    start: &'a Start,
    point: u64,
    action: (&'static str, Act),
    ending: (&'static str, Ending),
}

impl Case<'_> {
    /// The root can be hidden where it is a mount; nothing else is tried there.
    fn applies(&self) -> bool {
        (self.start.profile == MOUNTED) == (self.action.0 == "hide-root")
    }

    fn name(&self) -> String {
        let Start { profile, scenario, .. } = self.start;
        format!("{profile}/{scenario}/{}/{}/{}", self.point, self.action.0, self.ending.0)
    }
}

fn slug(name: &str) -> String {
    name.replace(", ", " ").replace(' ', "-")
}

/// A profile by this name has its root on a disk of its own.
const MOUNTED: &str = "mounted";

fn profiles() -> [(&'static str, Profile); 4] {
    [
        (MOUNTED, Profile::qresync()),
        ("qresync", Profile::qresync()),
        ("condstore", Profile::condstore()),
        ("plain", Profile::plain()),
    ]
}

impl Start {
    fn new(profile: (&'static str, Profile), scenario: &Scenario) -> Self {
        fastrand::seed(SEED_BEFORE);
        let world = World::new(profile.1);
        if profile.0 == MOUNTED {
            world.fs.mount(ROOT, DISK);
        }
        let world = prepared_in(world, &scenario.but(|_| {}));
        let sides = world.sides();
        let mut book = Book::default();
        let (here, there) = look(&sides);
        book.begin(&here, &there);
        if scenario.name == "numbered anew" {
            book.remade();
        }
        if scenario.name == "the store was lost" {
            book.forgot();
        }
        (scenario.act)(&world);
        let (here_now, there_now) = look(&sides);
        book.saw(HERE, &here, &here_now);
        book.saw(THERE, &there, &there_now);
        if scenario.name == "without Message-ID, filed here and there" {
            book.moved_before(&here_now, &there_now);
        }
        world.fs.settle();
        world.wait();
        let known = !["nothing was mirrored yet", "the store was lost"].contains(&scenario.name);
        let mut taken_away = taken(&here, &here_now);
        taken_away.extend(taken(&there, &there_now));
        let (profile, scenario) = (profile.0, slug(scenario.name));
        let mut start =
            Self { profile, scenario, world, book, known, taken: taken_away, points: 0 };
        fastrand::seed(SEED);
        let quiet = start.world.fork();
        start.points = quiet.run_with(0, Ending::Alone, Box::new(|_| {})).1;
        start
    }

    fn all() -> Vec<Self> {
        let each = |profile: (&'static str, Profile)| {
            SCENARIOS.iter().map(move |scenario| Self::new(profile.clone(), scenario))
        };
        profiles().into_iter().flat_map(each).collect()
    }
}

/// What a hand leaves behind.
struct Left {
    sides: Sides,
    book: Book,
    selected: String,
    undo: Option<Undo>,
    moment: Option<Moment>,
}

impl Left {
    /// A file was changed in place just before it was renamed into the local trash, and the
    /// process died before it could look what it had taken: the new text is there.
    fn is_edit_in_trash(&self, case: Case<'_>) -> bool {
        let Some(Moment::Call(call, path)) = &self.moment else { return false };
        let in_trash = |kept: &PathBuf| {
            kept.starts_with(Path::new(ROOT).join(".mailtide/trash"))
                && kept.file_name() == path.file_name()
        };
        (case.action.0, case.ending.0, call.as_str()) == ("edit", "crash-after", "rename")
            && self.sides.fs.tree().keys().any(in_trash)
    }
}

/// What is wrong with worlds that were judged. Many cases leave the same world behind: where
/// nothing was done between two points, what is done at them comes to the same.
type Verdicts = Mutex<HashMap<[u8; 32], Vec<String>>>;

/// What a verdict depends on; none where that cannot be told.
fn world_of(case: Case<'_>, world: &World, left: &Left) -> Option<[u8; 32]> {
    let start = (case.start.profile, &case.start.scenario);
    let told = format!("{start:?} {:?} {:?}", left.book, left.sides.links);
    let mut hasher = blake3::Hasher::new();
    hasher.update(&world.fingerprint()?).update(told.as_bytes());
    Some(*hasher.finalize().as_bytes())
}

/// As [`settle`], once for each world.
fn verdict(case: Case<'_>, world: &World, left: &Left, known: &Verdicts) -> Vec<String> {
    let judge = || settle(world, left, case.start.known, false);
    let Some(key) = world_of(case, world, left) else { return judge() };
    if let Some(faults) = known.lock().expect("no panic").get(&key) {
        return faults.clone();
    }
    let faults = judge();
    known.lock().expect("no panic").insert(key, faults.clone());
    faults
}

/// Tries one case: none where the action had nothing to act on, else what is wrong. Without
/// verdicts that are known, each step is told.
fn attempt(case: Case<'_>, known: Option<&Verdicts>) -> Option<Vec<String>> {
    let tell = known.is_none();
    fastrand::seed(SEED);
    let world = case.start.world.fork();
    let left = Left {
        sides: world.sides(),
        book: case.start.book.clone(),
        selected: "INBOX".to_owned(),
        undo: None,
        moment: None,
    };
    let left = Arc::new(Mutex::new(left));
    let shared = Arc::clone(&left);
    let (act, point) = (case.action.1, case.point);
    let hand = move |moment: &Moment| {
        let mut left = shared.lock().expect("no panic");
        left.moment = Some(moment.clone());
        let Left { sides, book, selected, undo, .. } = &mut *left;
        let log = sides.server.commands();
        let of = |command: &Logged| selects(&command.line).or_else(|| command.selected.clone());
        if let Some(name) = log.iter().rev().find_map(of) {
            *selected = name;
        }
        if tell {
            println!("{moment:?} in {selected}");
        }
        *undo = act(&mut Scene::new(sides, book, moment, selected, point));
    };
    let ((report, result), _) = world.run_with(case.point, case.ending.1, Box::new(hand));
    let left = Arc::try_unwrap(left).ok().expect("the run is over").into_inner().expect("no panic");
    let undo = left.undo?;
    if tell {
        println!("{result:?} {report:?}");
        show(&left.sides);
    }
    world.fs.restart();
    // What lasts, lasts for one more run.
    if ["hide-dir", "hide-root", "deny-dir"].contains(&case.action.0) {
        world.wait();
        let again = world.sync();
        if tell {
            println!("as long as it lasts: {again:?}");
            show(&left.sides);
        }
    }
    undo(&left.sides);
    fastrand::seed(SEED_AFTER);
    // There the end is looked at as well.
    let known = known.filter(|_| case.action.0 != "hide-root");
    let mut faults = match known {
        Some(known) => verdict(case, &world, &left, known),
        None => settle(&world, &left, case.start.known, tell),
    };
    let is_in_trash = left.is_edit_in_trash(case);
    faults.retain(|fault| !(is_in_trash && fault.starts_with("Lost:")));
    faults.retain(|fault| !is_set_again(case, fault));
    // Before the first run noted on which disk its root lies, nobody can tell that disk from
    // another one: a person is asked, and nothing is changed meanwhile.
    let asks = faults.iter().any(|fault| fault.starts_with("Stuck: the Maildir /mail is not"));
    let is_first = case.action.0 == "hide-root" && !case.start.known;
    let is_kept = left.sides.remote() == case.start.world.remote();
    Some(if asks && is_first && is_kept { Vec::new() } else { faults })
}

fn show(sides: &Sides) {
    let (here, there) = look(sides);
    println!("here  {here:?}\nthere {there:?}");
}

/// Runs until both sides agree and a run does nothing, and judges what there is.
fn settle(world: &World, left: &Left, known: bool, tell: bool) -> Vec<String> {
    let mut faults = Vec::new();
    let (mut said, mut quiet) = (String::new(), false);
    for run in 0..=RUNS_MAX {
        world.wait();
        if run == 1 {
            // Files are compared with what is known of them once a day.
            world.fs.set_clock(world.fs.clock() + 25 * 3600 * 1_000_000_000);
        }
        world.server.reset_counters();
        let before = files(world);
        let (report, result) = world.sync();
        if tell {
            println!("run {run}: {result:?} {report:?}");
            show(&left.sides);
        }
        let mutating = world.server.counters().mutating;
        quiet = report.done() == 0 && mutating == 0 && files(world) == before;
        said = match result {
            Err(error) => format!("Stuck: {error}"),
            Ok(()) if report.skipped.is_empty() => String::new(),
            Ok(()) => format!("Skipped: {:?}", report.skipped),
        };
        world.ask_for_unshown(&report);
        let (here, there) = look(&left.sides);
        let one = left.book.taken_for_one(&here);
        if run > 0 && said.is_empty() && quiet && (here == there || one == Some(there)) {
            break;
        }
    }
    let (mut here, there) = look(&left.sides);
    here = left.book.taken_for_one(&here).filter(|one| *one == there).unwrap_or(here);
    if !said.is_empty() {
        faults.push(said);
    }
    if here != there {
        faults.push(format!("Unequal: here {here:?}, there {there:?}"));
    }
    faults.extend(left.book.judge(&here, &there, known));
    if !quiet {
        faults.push("Restless: the last run still changed something".to_owned());
    }
    let aside = world.set_aside();
    if !aside.is_empty() {
        faults.push(format!("Aside: {aside:?}"));
    }
    let holds = world.asked(|store| store.holds());
    if !holds.is_empty() {
        faults.push(format!("Held: {holds:?}"));
    }
    faults
}

/// The files and directories of the Maildir, but for our own.
fn files(world: &World) -> BTreeSet<PathBuf> {
    let tree = world.fs.tree().into_keys();
    tree.filter(|path| !path.to_string_lossy().contains(".mailtide")).collect()
}

/// As [`attempt`]; a panic is a fault as well.
fn judged(case: Case<'_>, known: &Verdicts) -> Option<Vec<String>> {
    catch_unwind(AssertUnwindSafe(|| attempt(case, Some(known))))
        .unwrap_or_else(|_| Some(vec!["Panic".to_owned()]))
}

/// The oracle finds nothing wrong where nobody interferes.
#[test]
fn nobody() {
    for start in Start::all() {
        let left = Left {
            sides: start.world.sides(),
            book: start.book.clone(),
            selected: String::new(),
            undo: None,
            moment: None,
        };
        let faults = settle(&start.world, &left, start.known, false);
        assert!(faults.is_empty(), "{}/{}: {faults:?}", start.profile, start.scenario);
    }
}

/// All cases with `MAILTIDE_FULL=1`, every n-th with `MAILTIDE_HAND_STRIDE=n`, beginning at
/// `MAILTIDE_HAND_FIRST`: the whole product in n parts.
#[test]
fn at_every_point() {
    let number = |name| std::env::var(name).ok().and_then(|n| n.parse().ok());
    let full = std::env::var_os("MAILTIDE_FULL").map(|_| 1);
    if let Some(stride) = number("MAILTIDE_HAND_STRIDE").or(full) {
        every::every(stride, number("MAILTIDE_HAND_FIRST").unwrap_or(0));
    }
}

/// The case that `MAILTIDE_HAND` names, step by step.
#[test]
fn one() {
    let Ok(name) = std::env::var("MAILTIDE_HAND") else { return };
    let parts: Vec<&str> = name.split('/').collect();
    let [profile, scenario, point, action, ending] = parts.as_slice() else {
        panic!("profile/scenario/point/action/ending, not {name}");
    };
    let profile = profiles().into_iter().find(|(name, _)| name == profile).expect("a profile");
    let known = SCENARIOS.iter().find(|known| slug(known.name) == **scenario);
    let start = Start::new(profile, known.expect("a scenario"));
    let case = Case {
        start: &start,
        point: point.parse().expect("a number"),
        action: *ACTIONS.iter().find(|(name, _)| name == action).expect("an action"),
        ending: *Ending::ALL.iter().find(|(name, _)| name == ending).expect("an ending"),
    };
    let log = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).without_time();
    let log = log.with_ansi(false).with_writer(std::io::stdout).finish();
    let faults = tracing::subscriber::with_default(log, || attempt(case, None));
    let faults = faults.expect("something to act on");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
