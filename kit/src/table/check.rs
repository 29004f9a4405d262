//! What every table has to pass: the plan, convergence, an idle second run, a crash anywhere,
//! any step that fails, and the sides swapped.

use std::collections::BTreeMap;

use super::model::{Fate, Ladder, Model, Outcome, ROUNDS_MAX, Side};
use super::notation::parse_with;
use super::oracle::Oracle;

/// Runs that may follow one that was disturbed.
const RUNS_MAX: u32 = 4;
/// Rounds within which an undisturbed world comes to rest, the idle one included.
const ROUNDS: u32 = 6;
/// Tables with no more places for a crash than this are tried with two crashes.
const SMALL: u32 = 24;

/// How thoroughly a world is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thoroughness {
    /// A crash at each tick.
    pub crashes: bool,
    /// Two crashes, the second one in the run that follows.
    pub crash_pairs: bool,
    /// Each step failing in each way.
    pub failures: bool,
    /// Two steps skipped.
    pub failure_pairs: bool,
    /// The same with the sides swapped.
    pub swapped: bool,
}

impl Thoroughness {
    /// Everything.
    pub const FULL: Self = Self {
        crashes: true,
        crash_pairs: true,
        failures: true,
        failure_pairs: true,
        swapped: true,
    };
}

/// A table and what is asked of it.
#[derive(Debug)]
pub struct Table {
    model: Model,
    thoroughness: Thoroughness,
    exact: bool,
    text: String,
}

/// Checks a table in every way: the plan as text, and all that follows from it.
///
/// # Panics
/// Where any check fails.
pub fn check_plan(table: &str, expected: &str) {
    Table::new(table).check(expected);
}

impl Table {
    /// Reads a table.
    #[must_use]
    pub fn new(table: &str) -> Self {
        Self::on(table, Ladder::default())
    }

    /// Reads a table for a server of a given kind.
    #[must_use]
    pub fn on(table: &str, ladder: Ladder) -> Self {
        let model = parse_with(table, ladder);
        let thoroughness = Thoroughness::FULL;
        Self { model, thoroughness, exact: true, text: table.to_owned() }
    }

    /// The sides are no equal partners here: no swap.
    #[must_use]
    pub fn one_way(mut self) -> Self {
        self.thoroughness.swapped = false;
        self
    }

    /// What becomes of each message is only bounded: none lost, none doubled.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        self.exact = false;
        self
    }

    /// Changes the world before it runs.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Model)) -> Self {
        change(&mut self.model);
        self
    }

    /// The world.
    #[must_use]
    pub fn model(self) -> Model {
        self.model
    }

    /// Checks the plan and all that follows from it.
    ///
    /// # Panics
    /// Where any check fails.
    pub fn check(self, expected: &str) {
        let mut first = self.model.clone();
        assert!(first.observe().is_ok(), "no crash was asked for");
        let plan = first.describe(&first.plan());
        let wanted: Vec<&str> =
            expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        assert_eq!(plan, wanted, "the plan of {}\n{first}", self.text);
        if let Err(failure) = try_world(&self.model, self.thoroughness, self.exact) {
            panic!("{failure}\nof {}", self.text);
        }
    }
}

/// Runs a world as a process with this fate, then as many more as it takes to come to rest.
///
/// # Errors
/// Where it does not come to rest.
pub fn run(model: &Model, fate: Fate, then: Option<Fate>) -> Result<Model, String> {
    let mut model = model.clone();
    let mut fates = [Some(fate), then].into_iter().flatten();
    for _ in 0..RUNS_MAX {
        let fate = fates.next();
        let disturbed = fate.is_some();
        let run = model.restart(fate.unwrap_or_default()).and_then(|()| model.settle());
        match run {
            Ok(rounds) if rounds > ROUNDS_MAX => {
                let plan = model.describe(&model.plan());
                return Err(format!("never comes to rest: {plan:?}\n{model}"));
            }
            Ok(1) if !disturbed => return Ok(model),
            Ok(_) | Err(_) => {}
        }
    }
    Err(format!("a run after agreement still finds work\n{model}"))
}

/// Tries a world in every way that is asked for.
///
/// # Errors
/// What failed, with the world it left.
pub fn try_world(model: &Model, how: Thoroughness, exact: bool) -> Result<(), String> {
    let oracle = Oracle::of(model);
    let judge = |what: &str, end: &Result<Model, String>, exact: bool| match end {
        Err(failure) => Err(format!("{what}: {failure}")),
        Ok(end) => oracle.judge(end, exact).map_err(|failure| format!("{what}: {failure}\n{end}")),
    };
    let mut calm = model.clone();
    let rounds = calm.restart(Fate::default()).and_then(|()| calm.settle());
    if rounds.is_ok_and(|rounds| rounds > ROUNDS) {
        return Err(format!("{rounds:?} rounds before it rests\n{calm}"));
    }
    let (ticks, steps) = (calm.fate.ticks, calm.fate.steps);
    let end = run(&calm, Fate::default(), None);
    judge("calm", &end, exact)?;
    let shown = calm.shown(Side::Local);
    if end.is_ok_and(|end| end.shown(Side::Local) != shown || end.transfers != calm.transfers) {
        return Err(format!("the second run is not idle\n{calm}"));
    }
    if how.crashes {
        for tick in 0..ticks {
            let what = format!("crash at {tick}");
            judge(&what, &run(model, crash_at(tick), None), exact)?;
            if how.crash_pairs && ticks <= SMALL {
                for second in 0..ticks + 2 {
                    let end = run(model, crash_at(tick), Some(crash_at(second)));
                    judge(&format!("{what} and {second}"), &end, exact)?;
                }
            }
        }
    }
    if how.failures {
        for step in 0..steps {
            for outcome in Outcome::ALL {
                let end = run(model, failing(&[(step, outcome)]), None);
                judge(&format!("step {step} {outcome:?}"), &end, exact)?;
            }
        }
    }
    if how.failure_pairs {
        for (a, b) in (0..steps).flat_map(|a| (0..a).map(move |b| (b, a))) {
            let both = [(a, Outcome::Skipped), (b, Outcome::Skipped)];
            judge(&format!("steps {b} and {a} skipped"), &run(model, failing(&both), None), exact)?;
        }
    }
    if how.swapped {
        let swapped = swap(model);
        let end = run(&swapped, Fate::default(), None);
        let end = end.map_err(|failure| format!("swapped: {failure}"))?;
        Oracle::of(&swapped).judge(&end, exact).map_err(|f| format!("swapped: {f}\n{end}"))?;
        if exact && oracle.is_decided() && end.shown(Side::Local) != shown {
            return Err(format!("swapped, it ends otherwise: {shown:?}\n{end}"));
        }
    }
    Ok(())
}

/// A process that is killed at a tick.
#[must_use]
pub fn crash_at(tick: u32) -> Fate {
    Fate { crash_at: Some(tick), ..Fate::default() }
}

/// A process some of whose steps fail.
#[must_use]
pub fn failing(outcomes: &[(u32, Outcome)]) -> Fate {
    Fate { outcomes: outcomes.iter().copied().collect::<BTreeMap<_, _>>(), ..Fate::default() }
}

/// The same world with what was done here done there, and the reverse.
#[must_use]
pub fn swap(model: &Model) -> Model {
    let mut out = model.clone();
    let mut folders = BTreeMap::new();
    let mut files = BTreeMap::new();
    for (name, mail) in &model.disk {
        let folder: &mut super::model::Folder = folders.entry(name.clone()).or_default();
        // An agreed message keeps its UID where it stays.
        let id = model.store.mailboxes.values().find(|m| m.name == *name).map(|m| m.id);
        let known: BTreeMap<String, u32> = model
            .store
            .rows
            .values()
            .filter(|row| Some(row.mailbox) == id)
            .filter_map(|row| {
                let stem = super::observe::stem_of(row.local.as_ref()?);
                Some((stem, row.remote.as_ref()?.uid.0))
            })
            .collect();
        folder.uid_next = known.values().max().map_or(1, |uid| uid + 1);
        for (stem, mail) in mail {
            // What the server moved kept its object id.
            let object = model.server.values().flat_map(|f| f.mail.values());
            let object = object.filter(|m| m.body == mail.body).map(|m| m.object).next();
            let object = object.unwrap_or_else(|| out.new_object());
            let mail = super::model::Mail { object, ..mail.clone() };
            match known.get(stem) {
                Some(uid) => drop(folder.mail.insert(*uid, mail)),
                None => drop(folder.add(mail)),
            }
        }
    }
    for (name, folder) in &model.server {
        let id = model.store.mailboxes.values().find(|m| m.name == *name).map(|m| m.id);
        let files: &mut BTreeMap<String, super::model::Mail> =
            files.entry(name.clone()).or_default();
        for (uid, mail) in &folder.mail {
            let row = model.store.rows.values().find(|row| {
                Some(row.mailbox) == id && row.remote.as_ref().is_some_and(|r| r.uid.0 == *uid)
            });
            let stem = row.and_then(|row| row.local.as_ref()).map(super::observe::stem_of);
            files.insert(stem.unwrap_or_else(|| out.new_stem()), mail.clone());
        }
    }
    (out.server, out.disk) = (folders, files);
    for row in out.store.rows.values_mut() {
        let (Some(local), Some(remote)) = (row.local.as_mut(), row.remote.as_mut()) else {
            continue;
        };
        std::mem::swap(&mut local.flags, &mut remote.flags);
    }
    out
}
