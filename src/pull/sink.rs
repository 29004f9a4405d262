//! Bodies from a session into `tmp/`.

use std::io;

use super::read::{Read, Reading};
use crate::account::progress::{Event, Progress, Way};
use crate::local::{LocalError, Root};
use crate::reconcile::types::MailboxName;
use crate::remote::RemoteError;
use crate::remote::pop3::BodySink;

/// So many octets may come before the disk is looked at again.
const MEASURED: u64 = 64 << 20;

/// Takes the bodies of a batch.
#[derive(Debug)]
pub(super) struct Sink<'a> {
    pub(super) root: &'a Root,
    pub(super) mailbox: &'a MailboxName,
    pub(super) progress: &'a Progress,
    /// Larger ones are not taken.
    pub(super) limit: u64,
    /// Nothing more is taken when the disk has fewer octets left.
    pub(super) min_free: u64,
    /// Octets since it was looked at last.
    pub(super) unmeasured: u64,
    /// What counts as the date of those that have none.
    pub(super) now: i64,
    /// What came of it so far.
    pub(super) taken: Taken,
    /// The body that is coming.
    pub(super) open: Option<Reading>,
}

/// What a batch came to.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) done: Vec<Read>,
    pub(super) refused: Vec<(u32, RemoteError)>,
    /// The message that turned out too large.
    pub(super) large: Option<u32>,
    /// Why the Maildir cannot be written.
    pub(super) failure: Option<LocalError>,
    /// The disk became full.
    pub(super) full: bool,
}

impl Sink<'_> {
    /// Keeps the reason; the stream only learns that it has to stop.
    fn fail(&mut self, error: LocalError) -> io::Error {
        self.open = None;
        self.taken.failure = Some(error);
        io::Error::other("the Maildir cannot be written")
    }

    /// Looks at the disk now and then: what a server announces may be anything.
    fn measure(&mut self, count: u64) -> io::Result<()> {
        self.unmeasured += count;
        if self.unmeasured < MEASURED {
            return Ok(());
        }
        self.unmeasured = 0;
        if self.root.free_octets().is_some_and(|free| free < self.min_free) {
            (self.taken.full, self.open) = (true, None);
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    fn one_more(&self) {
        self.progress.tell(Event::Message { mailbox: self.mailbox, way: Way::Down });
    }
}

impl BodySink for Sink<'_> {
    fn begin(&mut self, number: u32, _size: Option<u64>) -> io::Result<()> {
        match self.root.begin(self.mailbox, &self.root.new_stem()) {
            Ok(delivery) => {
                self.open = Some(Reading::new(number, delivery));
                Ok(())
            }
            Err(error) => Err(self.fail(error)),
        }
    }

    fn chunk(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(open) = self.open.as_mut() else { return Ok(()) };
        let count = bytes.len() as u64;
        if open.octets().saturating_add(count) > self.limit {
            self.taken.large = Some(open.number());
            self.open = None;
            return Err(io::Error::other("the message is too large"));
        }
        open.take(bytes).map_err(|error| self.fail(error))?;
        self.measure(count)?;
        self.progress.tell(Event::Octets { mailbox: self.mailbox, way: Way::Down, count });
        Ok(())
    }

    fn end(&mut self, number: u32) -> io::Result<()> {
        let Some(open) = self.open.take() else { return Ok(()) };
        self.one_more();
        if open.octets() == 0 {
            // An empty file is no message: readers pass over it, or remove it.
            let what = "the server replied OK without a message".to_owned();
            let error = RemoteError::Garbled { doing: format!("RETR {number}"), what };
            self.taken.refused.push((number, error));
            return Ok(());
        }
        match open.finish(self.now) {
            Ok(read) => {
                self.taken.done.push(read);
                Ok(())
            }
            Err(error) => Err(self.fail(error)),
        }
    }

    fn discard(&mut self) {
        self.open = None;
    }

    fn refused(&mut self, number: u32, error: RemoteError) {
        self.one_more();
        self.taken.refused.push((number, error));
    }
}
