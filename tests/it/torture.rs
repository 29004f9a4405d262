//! A short torture in the simulated world and on real servers: both sides change at once while
//! mailtide is killed, cut off, refused, and its state and disk are lost and restored
//! (`kit/src/torture`). The long one is `cargo run -p kit --bin torture`.

use std::path::Path;

use kit::courier::Courier;
use kit::cyrus::Cyrus;
use kit::torture::{
    Counts, Place, describe, describe_maildrop, describe_real, endure, maildrop_actions, pull,
    real_actions, report, shortest, simulate, simulated_actions,
};

/// Rounds of the gate and the seed of the first; `MAILTIDE_ROUNDS` for more, `MAILTIDE_SEED` for
/// others, of which about one in a thousand still shows a fault.
const ROUNDS: u64 = 160;
const SEED: u64 = 20_000;

#[test]
fn no_round_loses_doubles_or_alters_a_message() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let rounds = number("MAILTIDE_ROUNDS").unwrap_or(ROUNDS);
    let from = number("MAILTIDE_SEED").unwrap_or(SEED);
    let (mut counts, mut failures) = (Counts::default(), Vec::new());
    for seed in from..from + rounds {
        let actions = simulated_actions(seed);
        let Some(failure) = simulate(seed, &actions, &mut counts) else { continue };
        let (short, failure) = shortest(seed, &actions, failure);
        failures.push(report(seed, &describe(seed), &short, &failure));
        if failures.len() == 5 {
            break;
        }
    }
    println!("seeds from {from}: {counts:?}");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// A few rounds of the built program on a real server. Seeds that the long one went through.
fn endures(server: &str, seeds: std::ops::Range<u64>) {
    let mut place = Place::new(server, Path::new(env!("CARGO_BIN_EXE_mailtide"))).unwrap();
    let mut counts = Counts::default();
    for seed in seeds {
        let actions = real_actions(seed);
        let failure = endure(&mut place, seed, &actions, &mut counts);
        let told = failure.map(|failure| report(seed, &describe_real(seed), &actions, &failure));
        assert!(told.is_none(), "{server}: {}", told.unwrap_or_default());
    }
}

#[test]
fn a_real_dovecot_and_its_mirror_endure_it() {
    for format in ["dovecot-sdbox", "dovecot-mdbox", "dovecot-maildir"] {
        endures(format, 1..3);
    }
}

#[test]
fn a_real_courier_and_its_mirror_endure_it() {
    if Courier::can_start() {
        endures("courier", 1..3);
    }
}

#[test]
fn a_real_cyrus_and_its_mirror_endure_it() {
    if Cyrus::can_start() {
        endures("cyrus", 1..4);
    }
}

/// The same of an account that pulls; `MAILTIDE_PULL_ROUNDS` for more.
const PULL_ROUNDS: u64 = 300;

#[test]
fn no_round_of_a_maildrop_loses_doubles_or_alters_a_message() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let rounds = number("MAILTIDE_PULL_ROUNDS").unwrap_or(PULL_ROUNDS);
    let from = number("MAILTIDE_SEED").unwrap_or(0);
    let mut counts = Counts::default();
    let failure = (from..from + rounds).find_map(|seed| {
        let actions = maildrop_actions(seed);
        let failure = pull(seed, &actions, &mut counts)?;
        Some(report(seed, &describe_maildrop(seed), &actions, &failure))
    });
    println!("seeds from {from}: {counts:?}");
    assert!(failure.is_none(), "{}", failure.unwrap_or_default());
}
