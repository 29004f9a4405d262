//! Torture from the command line: rounds from seeds, failures made short, lists run again.
//!
//! ```sh
//! cargo run -p kit --bin torture -- --rounds 100000 --seed 1
//! cargo run -p kit --bin torture -- --server dovecot-mdbox --rounds 500 --seed 7
//! cargo run -p kit --bin torture -- --server pop3 --rounds 100000 --seed 1
//! cargo run -p kit --bin torture -- --replay failure.txt
//! ```
//!
//! Servers: `simulated`, `pop3` (simulated, too), `dovecot-sdbox`, `dovecot-mdbox`,
//! `dovecot-maildir`. `--out DIR` writes each failing list into a file; `--without WORD,WORD`
//! leaves actions out; `--failures N` stops at the N-th; `--no-minimise` prints lists as they
//! were drawn.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use kit::oracle::Kind;
use kit::torture::action::Action;
use kit::torture::{
    Counts, Failure, Place, describe, describe_maildrop, describe_real, endure, maildrop_actions,
    minimise, pull, read, real_actions, report, simulate, simulated_actions,
};

struct Options {
    rounds: u64,
    seed: u64,
    server: String,
    replay: Option<String>,
    minimise: bool,
    stop_at: u64,
    out: Option<String>,
    /// Words; actions with one of them are left out.
    without: Vec<String>,
    program: PathBuf,
}

fn options() -> Result<Options, String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut options = Options {
        rounds: 1000,
        seed: 1,
        server: "simulated".to_owned(),
        replay: None,
        minimise: true,
        stop_at: u64::MAX,
        out: None,
        without: Vec::new(),
        program: own.with_file_name("mailtide"),
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        if argument == "--no-minimise" {
            options.minimise = false;
            continue;
        }
        let value = arguments.next().ok_or_else(|| format!("{argument} needs a value"))?;
        let number = || value.parse::<u64>().map_err(|_| format!("not a number: {value}"));
        match argument.as_str() {
            "--rounds" => options.rounds = number()?,
            "--seed" => options.seed = number()?,
            "--server" => options.server = value,
            "--replay" => options.replay = Some(value),
            "--failures" => options.stop_at = number()?,
            "--without" => options.without = value.split(',').map(str::to_owned).collect(),
            "--program" => options.program = value.into(),
            "--out" => options.out = Some(value),
            other => return Err(format!("unknown option: {other}")),
        }
    }
    Ok(options)
}

/// Where rounds take place.
enum Arena {
    /// The simulated IMAP server.
    Simulated,
    /// The simulated POP3 server.
    Maildrop,
    /// A real server.
    Real(Place),
}

impl Arena {
    fn draw(&self, seed: u64) -> Vec<Action> {
        match self {
            Self::Simulated => simulated_actions(seed),
            Self::Maildrop => maildrop_actions(seed),
            Self::Real(_) => real_actions(seed),
        }
    }

    fn describe(&self, seed: u64) -> String {
        match self {
            Self::Simulated => describe(seed),
            Self::Maildrop => describe_maildrop(seed),
            Self::Real(_) => describe_real(seed),
        }
    }

    fn round(&mut self, seed: u64, actions: &[Action], counts: &mut Counts) -> Option<Failure> {
        match self {
            Self::Simulated => simulate(seed, actions, counts),
            Self::Maildrop => pull(seed, actions, counts),
            Self::Real(place) => endure(place, seed, actions, counts),
        }
    }

    /// A failing list made short; on a real server only what fails each time.
    fn shorten(
        &mut self,
        seed: u64,
        actions: Vec<Action>,
        failure: Failure,
    ) -> (Vec<Action>, Failure) {
        let kind = failure.kind();
        let mut spent = Counts::default();
        let list = minimise(&actions[..failure.steps.min(actions.len())], |list| {
            self.round(seed, list, &mut spent).is_some_and(|failure| failure.kind() == kind)
        });
        match self.round(seed, &list, &mut spent) {
            Some(failure) => (list, failure),
            None => (actions, failure),
        }
    }
}

fn torture(arena: &mut Arena, options: &Options) -> u64 {
    let mut counts = Counts::default();
    let mut kinds: BTreeMap<Option<Kind>, u64> = BTreeMap::new();
    let mut failures = 0;
    for seed in options.seed..options.seed.saturating_add(options.rounds) {
        let mut actions = arena.draw(seed);
        actions.retain(|action| {
            let text = action.to_string();
            !options.without.iter().any(|word| text.contains(word.as_str()))
        });
        let Some(mut failure) = arena.round(seed, &actions, &mut counts) else { continue };
        failures += 1;
        let kind = failure.kind();
        *kinds.entry(kind).or_default() += 1;
        if options.minimise {
            (actions, failure) = arena.shorten(seed, actions, failure);
        }
        let text = report(seed, &arena.describe(seed), &actions, &failure);
        println!("seed {seed} fails ({} actions):\n{text}", actions.len());
        if let Some(dir) = &options.out {
            let kind = kind.map(|kind| format!("{kind:?}")).unwrap_or_default();
            let path = format!("{dir}/{kind}-{seed}.txt");
            if let Err(error) = std::fs::write(&path, text) {
                println!("{path}: {error}");
            }
        }
        if failures >= options.stop_at {
            break;
        }
    }
    println!("{counts:?}");
    println!("{failures} rounds failed: {kinds:?}");
    failures
}

fn replay(arena: &mut Arena, path: &str) -> Result<bool, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    let (seed, actions) = read(&text)?;
    let failure = arena.round(seed, &actions, &mut Counts::default());
    match &failure {
        Some(failure) => println!("{}", report(seed, &arena.describe(seed), &actions, failure)),
        None => println!("it passes"),
    }
    Ok(failure.is_some())
}

fn run() -> Result<bool, String> {
    let options = options()?;
    let mut arena = match options.server.as_str() {
        "simulated" => Arena::Simulated,
        "pop3" => Arena::Maildrop,
        real => Arena::Real(Place::new(real, &options.program)?),
    };
    match &options.replay {
        Some(path) => replay(&mut arena, path),
        None => Ok(torture(&mut arena, &options) > 0),
    }
}

fn main() -> ExitCode {
    // With RUST_LOG, what mailtide logs; MAILTIDE_TORTURE_LOUD names actions and runs.
    if std::env::var_os("RUST_LOG").is_some() {
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        let log = tracing_subscriber::fmt().with_env_filter(filter).without_time();
        log.with_ansi(false).with_writer(std::io::stderr).init();
    }
    match run() {
        Ok(failed) => ExitCode::from(u8::from(failed)),
        Err(error) => {
            println!("{error}");
            ExitCode::from(2)
        }
    }
}
