//! Bodies of the server against what was recorded of them, whatever the protocol.

use std::collections::HashMap;
use std::io;

use super::progress::{Event, Progress, Way};
use super::report::Verified;
use crate::local::Digest;
use crate::reconcile::types::{ContentId, MailboxName, Uid};
use crate::remote::{RemoteError, imap, pop3};

/// What bodies should hold, by UID or, in a maildrop, by number.
#[derive(Debug, Default)]
pub(crate) struct Expected {
    pub(crate) contents: HashMap<u32, ContentId>,
    /// Their sizes together, as announced.
    pub(crate) octets: u64,
}

impl Expected {
    pub(crate) fn add(&mut self, number: u32, content: ContentId, size: u64) {
        self.contents.insert(number, content);
        self.octets = self.octets.saturating_add(size);
    }
}

/// Compares bodies as they come.
#[derive(Debug)]
pub(crate) struct Comparison<'a> {
    expected: HashMap<u32, ContentId>,
    mailbox: &'a MailboxName,
    progress: &'a Progress,
    digest: Digest,
    same: u64,
    differing: Vec<u32>,
    refused: Vec<(u32, String)>,
}

impl<'a> Comparison<'a> {
    pub(crate) fn new(
        expected: Expected,
        mailbox: &'a MailboxName,
        progress: &'a Progress,
    ) -> Self {
        let (expected, digest) = (expected.contents, Digest::default());
        Self {
            expected,
            mailbox,
            progress,
            digest,
            same: 0,
            differing: Vec::new(),
            refused: Vec::new(),
        }
    }

    pub(crate) fn begin(&mut self) {
        self.digest = Digest::default();
    }

    pub(crate) fn chunk(&mut self, octets: &[u8]) {
        self.digest.update(octets);
        let (mailbox, way, count) = (self.mailbox, Way::Down, octets.len() as u64);
        self.progress.tell(Event::Octets { mailbox, way, count });
    }

    pub(crate) fn end(&mut self, number: u32) {
        self.progress.tell(Event::Message { mailbox: self.mailbox, way: Way::Down });
        let content = std::mem::take(&mut self.digest).finish().content;
        match self.expected.remove(&number) {
            Some(expected) if expected == content => self.same += 1,
            Some(_) => self.differing.push(number),
            None => {}
        }
    }

    /// Takes out those that are not what was expected, to be looked at more closely.
    pub(crate) fn take_differing(&mut self) -> Vec<u32> {
        let mut differing = std::mem::take(&mut self.differing);
        differing.sort_unstable();
        differing
    }

    /// Those that are not what was expected, or did not come.
    pub(crate) fn not_the_same(self) -> Vec<u32> {
        self.expected.into_keys().chain(self.differing).collect()
    }

    /// Says what came of it; `whole` where everything was answered, so that what did not come is
    /// not to be had. `called` is what a number is called.
    pub(crate) fn conclude(mut self, whole: bool, called: &str, verified: &mut Verified) {
        verified.bodies += self.same;
        self.differing.sort_unstable();
        let mailbox = self.mailbox;
        let what = |number: u32| format!("{mailbox}: {called} {number}");
        for number in self.differing {
            verified.differs(what(number), "the server's copy differs from what was recorded");
        }
        for (number, words) in self.refused {
            self.expected.remove(&number);
            verified.differs(what(number), &words);
        }
        let mut silent: Vec<u32> = self.expected.into_keys().filter(|_| whole).collect();
        silent.sort_unstable();
        for number in silent {
            verified.differs(what(number), "the server lists it but did not return it");
        }
    }
}

impl imap::BodySink for Comparison<'_> {
    fn begin(&mut self, _: Option<Uid>, _: u64) -> io::Result<()> {
        self.begin();
        Ok(())
    }

    fn chunk(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.chunk(bytes);
        Ok(())
    }

    fn end(&mut self, uid: Uid) -> io::Result<()> {
        self.end(uid.0);
        Ok(())
    }
}

impl pop3::BodySink for Comparison<'_> {
    fn begin(&mut self, _: u32, _: Option<u64>) -> io::Result<()> {
        self.begin();
        Ok(())
    }

    fn chunk(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.chunk(bytes);
        Ok(())
    }

    fn end(&mut self, number: u32) -> io::Result<()> {
        self.end(number);
        Ok(())
    }

    fn refused(&mut self, number: u32, error: RemoteError) {
        self.refused.push((number, error.to_string()));
    }
}
