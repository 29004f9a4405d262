//! Why a run is asked for. Causes only nudge, they never act: whatever happened, the answer is
//! the same run, which finds out by itself what there is to do.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

/// A reason to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// The account was opened.
    Start,
    /// A person asked.
    Asked,
    /// The server told of a change, or may have while nobody listened.
    Server,
    /// Something happened in the Maildir.
    Files,
    /// Time is up for what nobody tells of.
    Poll,
    /// The machine was asleep, or its clock was set.
    Resumed,
    /// The network changed.
    Network,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Start => "start",
            Self::Asked => "asked",
            Self::Server => "server",
            Self::Files => "files",
            Self::Poll => "poll",
            Self::Resumed => "resumed",
            Self::Network => "network",
        })
    }
}

/// Causes of the same run.
pub type Merged = BTreeSet<Cause>;

/// Causes as people read them.
#[must_use]
pub fn words(causes: &Merged) -> String {
    causes.iter().map(ToString::to_string).collect::<Vec<_>>().join("+")
}

/// A slot for one more run. The first cause is taken at once; what comes while a run is on is
/// one further run, however much it is.
#[derive(Debug, Clone, Default)]
pub struct Causes(Arc<Slot>);

#[derive(Debug, Default)]
struct Slot {
    open: Mutex<Merged>,
    wake: Notify,
}

impl Causes {
    /// Asks for a run.
    pub fn nudge(&self, cause: Cause) {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner).insert(cause);
        self.0.wake.notify_one();
    }

    /// Takes what is open.
    #[must_use]
    pub fn take(&self) -> Merged {
        std::mem::take(&mut self.0.open.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether nothing is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Waits for a cause, and takes all that are open then. Nothing is taken by a wait that is
    /// given up.
    pub async fn next(&self) -> Merged {
        loop {
            let woken = self.0.wake.notified();
            let open = self.take();
            if !open.is_empty() {
                return open;
            }
            woken.await;
        }
    }

    /// Waits for one of these; the others stay.
    pub async fn wait_for(&self, wanted: &[Cause]) {
        loop {
            let woken = self.0.wake.notified();
            let open = self.0.open.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if wanted.iter().any(|cause| open.contains(cause)) {
                return;
            }
            woken.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn causes_merge_and_none_is_lost() {
        let causes = Causes::default();
        causes.nudge(Cause::Files);
        causes.nudge(Cause::Files);
        causes.nudge(Cause::Server);
        assert_eq!(words(&causes.next().await), "server+files");
        assert!(causes.take().is_empty());
        let waiting = tokio::spawn({
            let causes = causes.clone();
            async move { causes.next().await }
        });
        tokio::task::yield_now().await;
        causes.nudge(Cause::Poll);
        assert_eq!(waiting.await.unwrap(), Merged::from([Cause::Poll]));
    }

    #[tokio::test]
    async fn what_is_not_waited_for_stays() {
        let causes = Causes::default();
        causes.nudge(Cause::Files);
        let wait = tokio::spawn({
            let causes = causes.clone();
            async move { causes.wait_for(&[Cause::Asked]).await }
        });
        tokio::task::yield_now().await;
        assert!(!wait.is_finished());
        causes.nudge(Cause::Asked);
        wait.await.unwrap();
        assert_eq!(causes.take(), Merged::from([Cause::Asked, Cause::Files]));
    }
}
