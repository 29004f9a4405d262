//! How long is waited for the server: a limit for its silence, and one for the whole answer.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use super::budget::{Budget, FLOOR};

/// Silence ends with each whole line and with this many bytes: not with every byte, so that a
/// server that drips is not waited for endlessly.
const PROGRESS: usize = 4 << 10;

/// Two limits: how long nothing may come, and how long all waits for one answer may take
/// together. The second grows with what was transferred where a [`Budget`] says so.
pub(crate) struct Deadline {
    silence: Duration,
    ceiling: Duration,
    transfer: bool,
    /// Time spent in waits that are over, and bytes that came, since [`Self::begin`].
    waited: Duration,
    moved: u64,
    /// Since when something is awaited.
    since: Option<Instant>,
    /// When the silence is too long, while something is awaited.
    silent: Option<Instant>,
    progress: usize,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Deadline {
    /// For a new connection: its sign-in has one ceiling.
    pub(crate) fn new(silence: Duration) -> Self {
        let mut deadline = Self {
            silence,
            ceiling: silence,
            transfer: false,
            waited: Duration::ZERO,
            moved: 0,
            since: None,
            silent: None,
            progress: 0,
            sleep: None,
        };
        deadline.begin(&Budget::SIGN_IN);
        deadline
    }

    /// Another limit for silence.
    pub(crate) fn set_silence(&mut self, silence: Duration) {
        (self.silence, self.silent) = (silence, None);
    }

    /// Commands with this budget are under way from now on.
    pub(crate) fn begin(&mut self, budget: &Budget) {
        (self.waited, self.moved, self.since) = (Duration::ZERO, 0, None);
        (self.silent, self.progress) = (None, 0);
        self.extend(budget);
    }

    /// The budget has grown.
    pub(crate) fn extend(&mut self, budget: &Budget) {
        self.ceiling = self.silence.saturating_mul(budget.timeouts.max(1));
        self.transfer = budget.transfer;
    }

    /// What all waits may take together by now.
    fn allowed(&self) -> Duration {
        let earned = if self.transfer { self.moved / FLOOR } else { 0 };
        self.ceiling.saturating_add(Duration::from_secs(earned))
    }

    /// Something is awaited: ready when it has been for too long, with the limit that was hit.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Duration> {
        let now = Instant::now();
        let since = *self.since.get_or_insert(now);
        if self.silent.is_none() {
            self.progress = 0;
        }
        let silent = *self.silent.get_or_insert(now + self.silence);
        let allowed = self.allowed();
        let over = since + allowed.saturating_sub(self.waited);
        let due = silent.min(over);
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
        if sleep.deadline() != due {
            sleep.as_mut().reset(due);
        }
        let limit = if over < silent { allowed } else { self.silence };
        sleep.as_mut().poll(cx).map(|()| limit)
    }

    /// What a future gives in time.
    ///
    /// # Errors
    /// The limit, where it does not.
    pub(crate) async fn within<T>(
        &mut self,
        future: impl Future<Output = T>,
    ) -> Result<T, Duration> {
        let mut future = pin!(future);
        let done = poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(Ok(done)),
            Poll::Pending => self.poll(cx).map(Err),
        })
        .await;
        self.rest();
        self.met();
        done
    }

    /// Nothing is awaited for now.
    fn rest(&mut self) {
        if let Some(since) = self.since.take() {
            self.waited = self.waited.saturating_add(since.elapsed());
        }
    }

    /// Some bytes went through.
    pub(crate) fn moved(&mut self, bytes: usize) {
        self.rest();
        self.moved = self.moved.saturating_add(bytes as u64);
        self.progress += bytes;
        if self.progress >= PROGRESS {
            self.silent = None;
        }
    }

    /// What was awaited came.
    pub(crate) fn met(&mut self) {
        self.silent = None;
    }
}
