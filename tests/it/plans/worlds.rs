//! Every small world, and larger ones from seeds.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use kit::table::check::{Thoroughness, try_world};
use kit::table::generate::{Message, messages, try_seed, world};
use kit::table::model::Ladder;

/// Runs `0..count` on two threads; stops at the first failure and gives it.
pub(super) fn each(count: usize, one: impl Fn(usize) -> Result<(), String> + Sync) {
    let next = AtomicUsize::new(0);
    let work = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= count {
                return None;
            }
            let tried = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| one(at)));
            let failure = match tried {
                Ok(Ok(())) => continue,
                Ok(Err(failure)) => failure,
                Err(_) => "a panic".to_owned(),
            };
            next.store(count, Ordering::Relaxed);
            return Some(format!("world {at}: {failure}"));
        }
    };
    let failures: Vec<String> = thread::scope(|scope| {
        let threads: Vec<_> = (0..2).map(|_| scope.spawn(work)).collect();
        threads.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

/// A number from the environment: one world or seed of a failure, alone.
pub(super) fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn describe(messages: &[(char, &Message)]) -> String {
    let place = |place: &kit::table::generate::Place| {
        place.as_ref().map_or_else(|| "-".to_owned(), |(name, flags)| format!("{name}:{flags:?}"))
    };
    let line = |(body, (base, local, remote)): &(char, &Message)| {
        format!("{body} {} {} {}", place(base), place(local), place(remote))
    };
    messages.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Every pair of messages over these mailboxes and flags, of different and of equal bytes.
fn enumerate(mailboxes: &[&str], sets: &[&str], how: Thoroughness) {
    let all = messages(mailboxes, sets);
    let pairs: Vec<(usize, usize)> =
        (0..all.len()).flat_map(|a| (a..all.len()).map(move |b| (a, b))).collect();
    let only = number("MAILTIDE_WORLD").and_then(|n| usize::try_from(n).ok());
    each(pairs.len() * 2, |at| {
        if only.is_some_and(|only| only != at) {
            return Ok(());
        }
        let (a, b) = pairs[at / 2];
        let equal = at % 2 == 1;
        let messages = [('A', &all[a]), (if equal { 'A' } else { 'B' }, &all[b])];
        let model = world(mailboxes, &messages, Ladder::default());
        try_world(&model, how, !equal)
            .map_err(|failure| format!("{failure}\n{}", describe(&messages)))
    });
}

#[test]
fn every_message_of_two_mailboxes() {
    for ladder in [
        Ladder::default(),
        Ladder { uidplus: false, ..Ladder::default() },
        Ladder { can_move: false, ..Ladder::default() },
        Ladder { can_move: false, uidplus: false, ..Ladder::default() },
        Ladder { object_ids: true, ..Ladder::default() },
    ] {
        let all = messages(&["INBOX", "Work"], &[".", "S", "SF"]);
        each(all.len(), |at| {
            let messages = [('A', &all[at])];
            let model = world(&["INBOX", "Work"], &messages, ladder);
            try_world(&model, Thoroughness::FULL, true)
                .map_err(|failure| format!("{failure}\n{ladder:?} {}", describe(&messages)))
        });
    }
}

#[test]
fn every_pair_of_messages_in_two_mailboxes() {
    let how = Thoroughness { crash_pairs: false, ..Thoroughness::FULL };
    enumerate(&["INBOX", "Work"], &[".", "S"], how);
}

#[test]
fn every_pair_of_messages_in_one_mailbox() {
    enumerate(&["INBOX"], &[".", "S", "F", "SF"], Thoroughness::FULL);
}

#[test]
fn worlds_from_seeds() {
    if let Some(seed) = number("MAILTIDE_SEED") {
        each(1, |_| try_seed(seed));
        return;
    }
    let from: u64 = number("MAILTIDE_SEEDS_FROM").unwrap_or(0);
    each(100_000, |at| try_seed(from + at as u64));
}
