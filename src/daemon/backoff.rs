//! How long to wait after a failure, before the next attempt.

use std::time::Duration;

use tokio::time::Instant;

use crate::account::Trouble;

/// After a lost connection: the first attempt is made at once, since servers end connections
/// that were idle for long; then from this on, doubled each time.
const LOST: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5 * 60));
/// After a refused sign-in: providers lock accounts that try too often.
const SIGN_IN: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(60 * 60));
/// What a person has to mend is looked at now and then.
const PERSON: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(10 * 60));
/// A connection that is lost so soon after the one before is one of a series (hazard 138).
const SOON: Duration = Duration::from_secs(60);
/// Losses of a series after which there is a wait although runs succeed in between.
const SERIES: u32 = 9;
/// No server is obeyed that asks for more.
const STATED_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Failures since the last success.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: u32,
    /// Something succeeded since the last failure.
    worked: bool,
    /// Losses in a row that each came soon after the one before.
    series: u32,
    /// When to go on after the last failure.
    due: Option<Instant>,
}

impl Backoff {
    /// It worked. Losses that follow one another soon are counted all the same.
    pub fn reset(&mut self) {
        self.failures = 0;
        self.worked = true;
    }

    /// How long to wait after one more failure. `words` are what the server said, `chance`
    /// (0 to 1) spreads the attempts of many clients by a quarter in either direction.
    pub fn next(&mut self, trouble: Trouble, words: Option<&str>, chance: f64) -> Duration {
        let (first, most) = match trouble {
            Trouble::Lost => LOST,
            Trouble::SignIn => SIGN_IN,
            Trouble::Person => PERSON,
        };
        let now = Instant::now();
        if std::mem::take(&mut self.worked) {
            let soon = self.due.is_some_and(|due| now < due + SOON);
            self.series = if soon { self.series.saturating_add(1) } else { 0 };
        }
        let doublings = match trouble {
            // None is less than some.
            Trouble::Lost => self.failures.checked_sub(1).max(self.series.checked_sub(SERIES)),
            _ => Some(self.failures),
        };
        self.failures = self.failures.saturating_add(1);
        let stated = words.and_then(stated).unwrap_or_default();
        let wait = doublings.map_or(stated, |doublings| {
            let wait = first.saturating_mul(1 << doublings.min(16)).min(most);
            wait.mul_f64(0.75 + chance.clamp(0.0, 1.0) / 2.0).max(stated)
        });
        self.due = Some(now + wait);
        wait
    }
}

/// A wait that the server names: "Suggested Backoff Time: 5000 milliseconds", "try again in
/// 10 minutes".
fn stated(words: &str) -> Option<Duration> {
    let words = words.to_ascii_lowercase();
    let mut tokens = words.split(|c: char| !c.is_ascii_alphanumeric()).filter(|t| !t.is_empty());
    let mut number = None;
    tokens.find_map(|token| {
        if let Ok(n) = token.parse::<u64>() {
            number = Some(n);
            return None;
        }
        let unit = match token {
            "ms" | "msec" | "millisecond" | "milliseconds" => 1,
            "s" | "sec" | "secs" | "second" | "seconds" => 1_000,
            "min" | "mins" | "minute" | "minutes" => 60_000,
            "h" | "hour" | "hours" => 3_600_000,
            _ => 0,
        };
        let wait = number.take().filter(|_| unit > 0)?.checked_mul(unit)?;
        Some(Duration::from_millis(wait).min(STATED_MAX))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_limit_and_begin_anew() {
        let mut backoff = Backoff::default();
        let mut next = |trouble| backoff.next(trouble, None, 0.5).as_secs();
        let lost: Vec<u64> = (0..12).map(|_| next(Trouble::Lost)).collect();
        assert_eq!(lost, [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        backoff.reset();
        let mut next = |trouble| backoff.next(trouble, None, 0.5).as_secs();
        let refused: Vec<u64> = (0..8).map(|_| next(Trouble::SignIn)).collect();
        assert_eq!(refused, [60, 120, 240, 480, 960, 1920, 3600, 3600]);
    }

    #[tokio::test(start_paused = true)]
    async fn losses_that_follow_one_another_soon_are_a_series() {
        let mut backoff = Backoff::default();
        let mut waits = Vec::new();
        for _ in 0..14 {
            tokio::time::advance(Duration::from_secs(4)).await;
            backoff.reset();
            let wait = backoff.next(Trouble::Lost, None, 0.5);
            waits.push(wait.as_secs());
            tokio::time::advance(wait).await;
        }
        assert_eq!(waits, [0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 4, 8, 16]);
        backoff.reset();
        tokio::time::advance(SOON).await;
        assert_eq!(backoff.next(Trouble::Lost, None, 0.5), Duration::ZERO, "it ended");
    }

    #[test]
    fn attempts_are_spread() {
        for chance in [0.0, 1.0] {
            let mut backoff = Backoff { failures: 6, ..Backoff::default() };
            let wait = backoff.next(Trouble::Lost, None, chance).as_secs_f64();
            assert!((wait - 32.0 * (0.75 + chance / 2.0)).abs() < 0.01, "{wait}");
        }
    }

    #[test]
    fn a_server_that_names_a_wait_is_obeyed() {
        for (words, millis) in [
            ("Request is throttled. Suggested Backoff Time: 299961 milliseconds", 299_961),
            ("[UNAVAILABLE] try again in 10 minutes.", 600_000),
            ("locked for 2 hours", 7_200_000),
            ("wait 99999999999999999 seconds", 0),
            ("error 5 in line 3", 0),
            ("wait 400 hours", 86_400_000),
        ] {
            let wait = Backoff::default().next(Trouble::Lost, Some(words), 0.5);
            assert_eq!(wait, Duration::from_millis(millis), "{words}");
        }
    }
}
