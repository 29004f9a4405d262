//! How long is waited for the server.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// A deadline starts anew with each whole line and with this many bytes: not with every byte,
/// so that a server that drips is not waited for endlessly.
const PROGRESS: usize = 4 << 10;

/// A deadline that is armed while something is awaited.
pub(crate) struct Deadline {
    after: Duration,
    sleep: Option<Pin<Box<Sleep>>>,
    armed: bool,
    progress: usize,
}

impl Deadline {
    pub(crate) fn new(after: Duration) -> Self {
        Self { after, sleep: None, armed: false, progress: 0 }
    }

    /// Something is awaited: ready when it has been for too long.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Duration> {
        let due = Instant::now() + self.after;
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
        if !self.armed {
            sleep.as_mut().reset(due);
            self.armed = true;
            self.progress = 0;
        }
        sleep.as_mut().poll(cx).map(|()| self.after)
    }

    /// Some bytes went through.
    pub(crate) fn moved(&mut self, bytes: usize) {
        self.progress += bytes;
        if self.progress >= PROGRESS {
            self.armed = false;
        }
    }

    /// What was awaited came.
    pub(crate) fn met(&mut self) {
        self.armed = false;
    }
}
