//! Bytes that a server or a disk could hold, and many that none should: from real lines, cut,
//! mixed and repeated, always the same from the same seed.
//!
//! A [`Target`] is a property of the product with the lines that it starts from. The tests
//! run each for a while; the libFuzzer targets in `fuzz/` call the same.

pub mod corpus;
pub mod pop3;

use std::panic::{self, AssertUnwindSafe};
use std::time::{Duration, Instant};

use fastrand::Rng;

/// Longer inputs say nothing new (bytes).
const LONGEST: usize = 1 << 16;

/// Something that must hold for any bytes, and bytes to start from.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name, that of its libFuzzer target as well.
    pub name: &'static str,
    /// Panics where it does not hold.
    pub property: fn(&[u8]),
    /// Real inputs.
    pub corpus: &'static [&'static [u8]],
    /// Words of its language.
    pub words: &'static [&'static [u8]],
    /// Beginnings behind which words may be repeated for long.
    pub openings: &'static [&'static [u8]],
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// When to stop.
#[derive(Debug, Clone, Copy)]
pub enum Until {
    /// After so many inputs.
    Count(u64),
    /// After so much time.
    Time(Duration),
}

impl Target {
    /// Tries inputs from a seed. Gives how many.
    ///
    /// # Panics
    /// With the input, made as short as it still fails, and the seed.
    pub fn run(&self, seed: u64, until: Until) -> u64 {
        let mut rng = Rng::with_seed(seed);
        let started = Instant::now();
        let mut count = 0;
        for input in self.corpus {
            self.try_one(input, seed);
        }
        loop {
            let through = match until {
                Until::Count(most) => count >= most,
                // The clock is looked at now and then.
                Until::Time(most) => count.is_multiple_of(256) && started.elapsed() >= most,
            };
            if through {
                return count;
            }
            self.try_one(&self.input(&mut rng), seed);
            count += 1;
        }
    }

    fn try_one(&self, input: &[u8], seed: u64) {
        if self.fails(input) {
            let short = self.shortened(input.to_vec());
            let name = self.name;
            // Not caught: this is the failure that is seen, and the input in full.
            println!("{name}, seed {seed}: b\"{}\"", short.escape_ascii());
            (self.property)(&short);
            panic!("{name}, seed {seed}: it fails only at times");
        }
    }

    fn fails(&self, input: &[u8]) -> bool {
        panic::catch_unwind(AssertUnwindSafe(|| (self.property)(input))).is_err()
    }

    /// Takes away what is not needed for the failure, in ever smaller pieces.
    fn shortened(&self, mut input: Vec<u8>) -> Vec<u8> {
        let mut piece = input.len();
        while piece > 0 {
            let mut at = 0;
            while at < input.len() {
                let mut less = input.clone();
                less.drain(at..(at + piece).min(input.len()));
                if self.fails(&less) {
                    input = less;
                } else {
                    at += piece;
                }
            }
            piece /= 2;
        }
        input
    }

    /// An input: a real one, or two that meet, changed in a few places.
    pub fn input(&self, rng: &mut Rng) -> Vec<u8> {
        let pick = |rng: &mut Rng| self.corpus[rng.usize(..self.corpus.len())].to_vec();
        let mut input = pick(rng);
        match rng.u8(..8) {
            0 => {
                let other = pick(rng);
                input.truncate(rng.usize(..=input.len()));
                input.extend_from_slice(&other[rng.usize(..=other.len())..]);
            }
            1 => input.extend(pick(rng)),
            2 => input = (0..rng.usize(..40)).map(|_| rng.u8(..)).collect(),
            3 => {
                let words = (0..rng.usize(..12)).map(|_| self.word(rng));
                input = words.collect::<Vec<_>>().concat();
            }
            _ => {}
        }
        for _ in 0..rng.usize(..6) {
            self.change(&mut input, rng);
        }
        input.truncate(LONGEST);
        input
    }

    fn word(&self, rng: &mut Rng) -> &'static [u8] {
        self.words[rng.usize(..self.words.len())]
    }

    fn change(&self, input: &mut Vec<u8>, rng: &mut Rng) {
        let at = rng.usize(..=input.len());
        let to = (at + rng.usize(..16)).min(input.len());
        match rng.u8(..8) {
            0 => drop(input.splice(at..to, self.word(rng).iter().copied())),
            1 => drop(input.splice(at..at, self.word(rng).iter().copied())),
            2 => drop(input.drain(at..to)),
            3 => {
                let piece = input[at..to].to_vec();
                let often = if rng.u8(..16) == 0 { rng.usize(..2000) } else { rng.usize(..5) };
                drop(input.splice(at..at, piece.repeat(often)));
            }
            4 => input.truncate(at),
            5 => {
                let number = [0, 1, 255, 4_294_967_295, u64::from(rng.u32(..)), u64::MAX];
                let number = number[rng.usize(..number.len())].to_string();
                drop(input.splice(at..to, number.bytes()));
            }
            6 => {
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= 1 << rng.u8(..8);
                }
            }
            _ => input.insert(at, rng.u8(..)),
        }
    }

    /// Inputs of this length that repeat one or two words behind an opening, every one there
    /// is: what takes more than its share of time for one of them takes it for all lengths.
    pub fn monotonous(&self, length: usize) -> impl Iterator<Item = Vec<u8>> {
        let Self { openings, words, .. } = *self;
        openings.iter().flat_map(move |opening| {
            words.iter().flat_map(move |one| {
                words.iter().map(move |two| {
                    let piece = if one == two { one.to_vec() } else { [*one, *two].concat() };
                    let often = length / piece.len().max(1);
                    [*opening, &piece.repeat(often), b"\r\n"].concat()
                })
            })
        })
    }
}
