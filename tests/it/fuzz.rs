//! Whatever a server sends and whatever lies on the disk: what must hold, holds; nothing
//! panics, nothing takes more than its share of time.
//!
//! `MAILTIDE_FUZZ_SECONDS=600` tries each target so long, from a seed of its own unless
//! `MAILTIDE_SEED` names one.

use std::time::Duration;

use kit::fuzz::corpus::TARGETS;
use kit::fuzz::{Target, Until};
use rustix::time::{ClockId, clock_gettime};

/// Inputs of each target in the gate.
const INPUTS: u64 = 20_000;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[expect(clippy::print_stdout, reason = "the seed, and the figures of a long run")]
fn holds(name: &str) {
    let target: &Target = TARGETS.iter().find(|target| target.name == name).unwrap();
    let (seed, until) = match number("MAILTIDE_FUZZ_SECONDS") {
        Some(seconds) => (fastrand::u64(..), Until::Time(Duration::from_secs(seconds))),
        None => (1, Until::Count(INPUTS)),
    };
    let seed = number("MAILTIDE_SEED").unwrap_or(seed);
    println!("{name}: seed {seed}");
    let count = target.run(seed, until);
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default();
    println!("{name}: {count} inputs, {peak}");
    assert!(count > 0);
}

#[test]
fn responses_are_the_same_however_they_are_cut() {
    holds("framing");
}

#[test]
fn every_response_is_read_to_an_end() {
    holds("response");
}

#[test]
fn names_of_a_server_come_back_or_are_refused() {
    holds("mailbox_name");
}

#[test]
fn every_mailbox_has_one_directory() {
    holds("mailbox_path");
}

#[test]
fn keyword_files_lose_nothing() {
    holds("keyword_file");
}

#[test]
fn keys_of_a_message_depend_on_nothing_but_it() {
    holds("message");
}

#[test]
fn file_names_keep_what_is_not_ours() {
    holds("file_name");
}

#[test]
fn a_pop_session_is_the_same_however_it_is_cut() {
    holds("pop3_conversation");
}

#[test]
fn every_line_of_pop_is_read() {
    holds("pop3_line");
}

#[test]
fn dots_come_and_go() {
    holds("pop3_body");
}

/// What this thread has computed so far.
fn computed() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let (seconds, nanos) = (time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs());
    Duration::new(seconds, u32::try_from(nanos).unwrap())
}

/// If each byte were looked at for each other one, twice as much would take four times as long.
/// In the gate some of the inputs are tried, in a long run all.
#[test]
fn time_grows_no_faster_than_what_is_sent() {
    const LENGTH: usize = 64 << 10;
    // What takes no longer needs not be compared with anything.
    const LITTLE: Duration = Duration::from_millis(100);
    const TRIED: usize = 100;
    // Enough to see what is wrong, and to end all the same.
    const SLOW: usize = 5;
    let all = number("MAILTIDE_FUZZ_SECONDS").is_some();
    let mut rng = fastrand::Rng::with_seed(number("MAILTIDE_SEED").unwrap_or(1));
    let mut wrong = Vec::new();
    for target in TARGETS {
        let words = target.words.len();
        let inputs = words * words * target.openings.len();
        let mut slow = 0;
        for (input, half) in target.monotonous(LENGTH).zip(target.monotonous(LENGTH / 2)) {
            if slow == SLOW || !all && rng.usize(..inputs) >= TRIED {
                continue;
            }
            let time = |input: &[u8]| {
                let before = computed();
                (target.property)(input);
                computed() - before
            };
            if time(&input) <= LITTLE {
                continue;
            }
            // What the machine takes for others is counted, too: the least of some is ours.
            let least = |input: &[u8]| (0..3).map(|_| time(input)).min().unwrap_or_default();
            let (half, whole) = (least(&half), least(&input));
            if whole > 3 * half {
                slow += 1;
                let start = input[..60].escape_ascii();
                wrong.push(format!("{}: {half:?}, then {whole:?} for {start}", target.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{} inputs: {wrong:#?}", wrong.len());
}
