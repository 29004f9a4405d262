//! Ctrl-C and SIGTERM: the first asks for an end, the second ends.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::Signals;
use tokio::sync::watch;

use super::exit::Exit;

/// Whether the user asked for an end: to be looked at between steps, or awaited.
#[derive(Debug, Clone)]
pub struct Interrupt {
    flag: Arc<AtomicBool>,
    wake: watch::Receiver<bool>,
}

/// Asks for an end in place of a signal.
#[derive(Debug)]
pub struct Trigger {
    flag: Arc<AtomicBool>,
    wake: watch::Sender<bool>,
}

impl Trigger {
    /// Asks for an end.
    pub fn interrupt(&self) {
        self.flag.store(true, Ordering::SeqCst);
        self.wake.send_replace(true);
    }
}

impl Interrupt {
    /// An interrupt that no signal but the trigger sets.
    #[must_use]
    pub fn manual() -> (Self, Trigger) {
        let flag = Arc::new(AtomicBool::new(false));
        let (sender, wake) = watch::channel(false);
        (Self { flag: Arc::clone(&flag), wake }, Trigger { flag, wake: sender })
    }

    /// Takes over SIGINT and SIGTERM for the rest of the process: the first is noted here, the
    /// second exits at once with 130.
    ///
    /// # Errors
    /// Where the system refuses to install handlers or to start a thread.
    pub fn install() -> io::Result<Self> {
        let (interrupt, trigger) = Self::manual();
        for signal in [SIGINT, SIGTERM] {
            // In this order: the first signal finds the flag unset and only sets it.
            let code = i32::from(Exit::Interrupted.code());
            flag::register_conditional_shutdown(signal, code, Arc::clone(&trigger.flag))?;
            flag::register(signal, Arc::clone(&trigger.flag))?;
        }
        let mut signals = Signals::new([SIGINT, SIGTERM])?;
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            if signals.forever().next().is_some() {
                trigger.interrupt();
                tracing::warn!("finishing the step in hand; interrupt again to stop at once");
            }
            // Handlers stay after this thread; only the second signal matters now.
        })?;
        Ok(interrupt)
    }

    /// Whether an end was asked for.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.flag.load(Ordering::SeqCst)
    }

    /// The flag itself, for layers that know nothing of signals.
    #[must_use]
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.flag)
    }

    /// Returns once an end was asked for; never, if none is.
    pub async fn requested(&self) {
        let mut wake = self.wake.clone();
        if wake.wait_for(|set| *set).await.is_err() && !self.is_set() {
            // Nobody is left who could ask.
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_waits_is_woken() {
        let (interrupt, trigger) = Interrupt::manual();
        let waiting = tokio::spawn({
            let interrupt = interrupt.clone();
            async move { interrupt.requested().await }
        });
        tokio::task::yield_now().await;
        assert!(!interrupt.is_set() && !waiting.is_finished());
        trigger.interrupt();
        waiting.await.unwrap();
        assert!(interrupt.is_set() && interrupt.flag().load(Ordering::SeqCst));
        drop(trigger);
        interrupt.requested().await;
    }
}
