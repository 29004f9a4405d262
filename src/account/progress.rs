//! What a run tells while it goes on, to whoever watches: it changes nothing of the run.

use std::fmt;
use std::sync::Arc;

use super::report::Skip;
use crate::reconcile::types::MailboxName;

/// Which way bodies travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// From the server to the Maildir.
    Down,
    /// From the Maildir to the server.
    Up,
}

/// Something that a run came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    /// The server is dialled.
    Connecting,
    /// A mailbox of the server is looked at, the `at`-th (from 1) of `of`.
    Looking {
        /// Its name.
        mailbox: &'a MailboxName,
        /// Which one.
        at: usize,
        /// Of how many.
        of: usize,
    },
    /// Bodies of a mailbox are to travel. Told of all mailboxes before the first one begins.
    Planned {
        /// Its name.
        mailbox: &'a MailboxName,
        /// Which way.
        way: Way,
        /// How many bodies.
        messages: u64,
        /// Their sizes together, as far as they are known.
        octets: u64,
    },
    /// The bodies that were planned for a mailbox begin to travel.
    Began {
        /// Its name.
        mailbox: &'a MailboxName,
        /// Which way.
        way: Way,
    },
    /// Further octets of a body have travelled.
    Octets {
        /// Its mailbox.
        mailbox: &'a MailboxName,
        /// Which way.
        way: Way,
        /// How many.
        count: u64,
    },
    /// A body has arrived, or what became of it is known.
    Message {
        /// Its mailbox.
        mailbox: &'a MailboxName,
        /// Which way.
        way: Way,
    },
    /// No more bodies of a mailbox travel now, whether or not all of them did.
    Ended {
        /// Its name.
        mailbox: &'a MailboxName,
        /// Which way.
        way: Way,
    },
    /// Something could not be done now.
    Skipped(&'a Skip),
}

type Tell = dyn Fn(&Event<'_>) + Send + Sync;

/// Where a run tells what it came to: nowhere, or to a function that returns quickly.
#[derive(Clone, Default)]
pub struct Progress(Option<Arc<Tell>>);

impl Progress {
    /// Tells a function.
    #[must_use]
    pub fn new(tell: impl Fn(&Event<'_>) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(tell)))
    }

    /// Tells.
    pub fn tell(&self, event: Event<'_>) {
        if let Some(tell) = &self.0 {
            tell(&event);
        }
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Progress" } else { "Progress(nobody)" })
    }
}
