//! The model meets the engine: the same small world goes through both, and what is left in the
//! end must be the same.
//!
//! A difference is a drift of the model or a fault of the engine. Some worlds have an
//! [`Event`]: a mailbox that one run cannot look at, another directory in the place of one,
//! rows in doubt.

use std::fmt::Debug;

use fastrand::Rng;
use mailtide::reconcile::types::MailboxName;
use mailtide::reconcile::{BringsBack, GuardLimits};

use super::act::Act;
use super::engine::{End, Engine, end_of};
use super::generate::random_world;
use super::model::{Fate, Model, Side};
use crate::imap::{Fault, Modseq, When};

/// Runs of the model that may follow the first one.
const RUNS_MAX: usize = 4;

/// What happens besides, before the first run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Nothing.
    None,
    /// The first run cannot read a mailbox's directory.
    Unreadable(MailboxName),
    /// The server refuses to SELECT a mailbox in the first run.
    Refused(MailboxName),
    /// The server numbers a mailbox anew.
    Renumbered(MailboxName),
    /// The state is lost.
    StateLost,
    /// A key of the config changes that puts removals in doubt.
    Reconfigured,
    /// Another directory lies in the place of a mailbox's, with the same files in it.
    Replaced(MailboxName),
    /// A mailbox gets another name on one side.
    Renamed(Side, MailboxName),
    /// The guard lets one message pass a day; a person lets the rest pass after the first run.
    Guarded,
}

/// The name that a mailbox gets.
fn new_name() -> MailboxName {
    MailboxName::new("Other")
}

impl Event {
    fn draw(rng: &mut Rng, model: &Model) -> Self {
        let names: Vec<&MailboxName> = model.disk.keys().collect();
        let name = || MailboxName::new(MailboxName::INBOX);
        let name = rng.choice(&names).map_or_else(name, |name| (*name).clone());
        let plain = !name.is_inbox() && !model.uses.contains_key(&name);
        let side = if rng.bool() { Side::Local } else { Side::Remote };
        match rng.u8(0..16) {
            0 => Self::Unreadable(name),
            1 => Self::Refused(name),
            2 if !model.ladder.object_ids => Self::Renumbered(name),
            3 => Self::StateLost,
            4 => Self::Reconfigured,
            // An empty directory in the place of a full one is a disk that is missing.
            5 if model.disk.get(&name).is_some_and(|files| !files.is_empty()) => {
                Self::Replaced(name)
            }
            // Without MAILBOXID a renamed mailbox is known by its messages alone.
            6 if plain && (side == Side::Local || model.ladder.object_ids) => {
                Self::Renamed(side, name)
            }
            7 | 8 => Self::Guarded,
            _ => Self::None,
        }
    }

    /// What happens in the model; gives what becomes of its next run.
    fn befall(&self, model: &mut Model) -> Fate {
        let mut fate = Fate::default();
        match self {
            Self::None => {}
            Self::Unreadable(name) => drop(fate.blind.insert((Side::Local, name.clone()))),
            Self::Refused(name) => {
                fate.blind.insert((Side::Remote, name.clone()));
                // Without any change it would not be asked for.
                if let Some(folder) = model.server.get_mut(name) {
                    folder.uid_next += 1;
                }
            }
            Self::Renumbered(name) => model.act(&Act::Renumber(name.clone())),
            Self::StateLost => model.lose_state(),
            Self::Reconfigured => {
                model.policy.brings_back = BringsBack { here: true, there: true, flags: false }
            }
            Self::Replaced(name) => {
                let id = model.store.mailbox(name);
                model.restate_directory(id, true);
            }
            Self::Renamed(_, name) => model.act(&Act::RenameMailbox(name.clone(), new_name())),
            Self::Guarded => {}
        }
        fate
    }

    /// The same before the first run of the engine, which is carried out.
    fn accompany(&self, engine: &mut Engine) {
        match self {
            Self::None | Self::Guarded => {
                engine.run();
            }
            Self::Unreadable(name) => {
                let dir = engine.world.dir_of(name.as_str());
                engine.world.fs.deny(&dir);
                engine.run();
                engine.world.fs.allow(&dir);
            }
            Self::Refused(name) => {
                let no = Fault::No("not now".to_owned());
                let when = When::verb("SELECT").mailbox(name.as_str());
                let refused = engine.world.server.inject(no, when);
                engine.world.server.skip_uids(name.as_str(), 1);
                engine.run();
                engine.world.server.withdraw(&refused);
            }
            Self::Renumbered(name) => {
                engine.world.server.renumber(name.as_str());
                engine.run();
            }
            Self::StateLost => {
                engine.world.lose_store();
                engine.run();
            }
            Self::Replaced(name) => {
                engine.replace_directory(name);
                engine.run();
            }
            Self::Renamed(side, name) => {
                let (world, new) = (&engine.world, new_name());
                match side {
                    Side::Local => {
                        world.fs.move_file(world.dir_of(name.as_str()), world.dir_of(new.as_str()));
                    }
                    Side::Remote => {
                        world.server.rename_mailbox(name.as_str(), new.as_str());
                    }
                }
                engine.run();
            }
            Self::Reconfigured => {
                engine.world.also(|settings| settings.scope = "another".to_owned());
                engine.run();
            }
        }
    }
}

/// Sends the world of a seed through the model and the engine.
///
/// # Errors
/// What differs, with the world.
pub fn meet(seed: u64) -> Result<(), String> {
    let mut rng = Rng::with_seed(seed);
    let (model, distinct) = random_world(&mut rng);
    let event = Event::draw(&mut rng, &model);
    let modseq = [Modseq::Qresync, Modseq::Condstore, Modseq::None][rng.usize(0..3)];
    let what = format!("seed {seed}, {event:?}, {modseq:?}, {:?}", model.ladder);
    // Of equal messages one that was removed may be any of them; the model has no marks in
    // directories, by which the engine tells what a directory that is another one holds.
    let exact = distinct && !matches!(event, Event::Replaced(_));
    let met = meet_as(&model, &event, modseq, exact);
    met.map_err(|difference| format!("{what}: {difference}\n{model}"))
}

/// Sends a world through the model and the engine; what they are compared by where it is not
/// `exact`, `same_messages` says.
///
/// # Errors
/// What differs.
pub fn meet_as(model: &Model, event: &Event, modseq: Modseq, exact: bool) -> Result<(), String> {
    let mut model = model.clone();
    if *event == Event::Guarded {
        model.policy.guard = GuardLimits { percent: 1, messages: 1, always: 1 };
    }
    let mut engine = Engine::of(&model, modseq);
    let fate = event.befall(&mut model);
    run_model(&mut model, fate)?;
    event.accompany(&mut engine);
    if exact {
        compare("the first run", &end_of(&model), &engine.end())?;
    }
    if *event == Event::Guarded {
        model.approve();
        engine.approve();
    }
    for _ in 0..RUNS_MAX {
        if run_model(&mut model, Fate::default())? == 1 {
            engine.run_to_rest();
            let (model, engine) = (end_of(&model), engine.end());
            let same = !exact && same_messages(&model, &engine);
            return if same { Ok(()) } else { compare("the last run", &model, &engine) };
        }
    }
    Err("the model never comes to rest".to_owned())
}

fn run_model(model: &mut Model, fate: Fate) -> Result<u32, String> {
    if super::is_loud() {
        let mut shown = model.clone();
        shown.restart(fate.clone()).and_then(|()| shown.observe()).map_err(|_| String::new())?;
        eprintln!("the model plans {:#?}\nof {shown}", shown.describe(&shown.plan()));
    }
    let run = model.restart(fate).and_then(|()| model.settle());
    run.map_err(|_| "no crash was asked for".to_owned())
}

/// Whether both sides of the engine are equal, nothing waits, and there is each message that the
/// model has, as often, wherever it lies.
fn same_messages(model: &End, engine: &End) -> bool {
    let bodies = |lines: &[String]| -> Vec<String> {
        let bodies = lines.iter().filter_map(|line| line.split(' ').nth(1)).map(str::to_owned);
        let mut bodies: Vec<String> = bodies.collect();
        bodies.sort_unstable();
        bodies
    };
    engine.local == engine.remote
        && bodies(&model.local) == bodies(&engine.local)
        && (engine.holds.is_empty(), engine.set_aside) == (true, 0)
}

fn compare(when: &str, model: &End, engine: &End) -> Result<(), String> {
    let mut out = String::new();
    let mut pair = |what: &str, model: &dyn Debug, engine: &dyn Debug| {
        let (model, engine) = (format!("{model:?}"), format!("{engine:?}"));
        if model != engine {
            out += &format!("\n  {what}:\n    model  {model}\n    engine {engine}");
        }
    };
    pair("local", &model.local, &engine.local);
    pair("remote", &model.remote, &engine.remote);
    pair("trash", &model.trash, &engine.trash);
    pair("bodies down and up", &model.transfers, &engine.transfers);
    pair("holds", &model.holds, &engine.holds);
    pair("set aside", &model.set_aside, &engine.set_aside);
    if out.is_empty() { Ok(()) } else { Err(format!("after {when} differ{out}")) }
}
