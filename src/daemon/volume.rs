//! How much is logged of an account; it can be changed while it runs.
//!
//! Each account has a thread of its own, so its volume is one of that thread.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// How the threads of accounts are called, before the name of the account.
pub const ACCOUNT_THREAD: &str = "account ";

/// What is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// What the program was started with.
    #[default]
    Default,
    /// Only what failed.
    Error,
    /// Also what was skipped or is retried.
    Warn,
    /// Also a line for each run.
    Info,
    /// Also the reasons.
    Debug,
    /// Also every line to and from the server.
    Trace,
}

impl Level {
    const ALL: [Self; 6] =
        [Self::Default, Self::Error, Self::Warn, Self::Info, Self::Debug, Self::Trace];
}

/// The volume of an account.
#[derive(Debug, Clone, Default)]
pub struct Volume(Arc<AtomicU8>);

thread_local! {
    static OWN: RefCell<Option<Volume>> = const { RefCell::new(None) };
}

impl Volume {
    /// From now on this is logged.
    pub fn set(&self, level: Level) {
        self.0.store(level as u8, Ordering::Relaxed);
    }

    fn get(&self) -> Level {
        let number = usize::from(self.0.load(Ordering::Relaxed));
        Level::ALL.get(number).copied().unwrap_or_default()
    }

    /// Holds for what this thread logs.
    pub fn of_this_thread(&self) {
        OWN.set(Some(self.clone()));
    }
}

/// What this thread logs, where that is not what the program was started with.
#[must_use]
pub fn own() -> Option<tracing::Level> {
    // A thread that is ending has none.
    let level = OWN.try_with(|own| own.borrow().as_ref().map(Volume::get)).ok()??;
    match level {
        Level::Default => None,
        Level::Error => Some(tracing::Level::ERROR),
        Level::Warn => Some(tracing::Level::WARN),
        Level::Info => Some(tracing::Level::INFO),
        Level::Debug => Some(tracing::Level::DEBUG),
        Level::Trace => Some(tracing::Level::TRACE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_has_its_own_level_or_the_common_one() {
        let volume = Volume::default();
        volume.of_this_thread();
        assert_eq!(own(), None);
        for (n, level) in Level::ALL.into_iter().enumerate() {
            assert_eq!(level as usize, n);
            volume.set(level);
            assert_eq!(own().map_or("DEFAULT", |l| l.as_str()).to_lowercase(), {
                format!("{level:?}").to_lowercase()
            });
        }
        std::thread::spawn(|| assert_eq!(own(), None)).join().unwrap();
    }
}
