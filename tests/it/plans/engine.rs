//! The model of the tables and the real engine come to the same ends.

use kit::table::meeting::meet;

use super::worlds::{each, number};

/// Worlds of the gate; `MAILTIDE_WORLDS` for more, `MAILTIDE_SEED` for one again.
const WORLDS: u64 = 300;

#[test]
fn the_model_and_the_engine_come_to_the_same_ends() {
    if let Some(seed) = number("MAILTIDE_SEED") {
        each(1, |_| meet(seed));
        return;
    }
    let from = number("MAILTIDE_SEEDS_FROM").unwrap_or(0);
    let worlds = usize::try_from(number("MAILTIDE_WORLDS").unwrap_or(WORLDS)).unwrap();
    each(worlds, |at| meet(from + at as u64));
}
