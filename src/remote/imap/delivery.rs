//! To whom bodies go, and how far the one in hand has come.

use std::collections::BTreeMap;
use std::io;

use super::parse::fetch::Section;
use super::uid_set::UidSet;
use crate::reconcile::types::Uid;

/// Takes bodies, one after the other.
///
/// For each: `begin`, any number of `chunk`, then `end` or `discard`.
pub trait BodySink {
    /// A body begins, of `size` bytes. Its UID is none if the server says it only at the end.
    ///
    /// # Errors
    /// Any error stops the delivery.
    fn begin(&mut self, uid: Option<Uid>, size: u64) -> io::Result<()>;

    /// Its next bytes, as on the wire.
    ///
    /// # Errors
    /// As for `begin`.
    fn chunk(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// The body is whole, and it is that of `uid`.
    ///
    /// # Errors
    /// As for `begin`.
    fn end(&mut self, uid: Uid) -> io::Result<()>;

    /// What was begun will not be completed, or turned out not to have been asked for.
    fn discard(&mut self) {}

    /// The body of `uid` came a second time with another length: the former is not to be
    /// believed either.
    fn withdraw(&mut self, _uid: Uid) {}
}

/// What is delivered, to whom.
pub(super) struct Delivery<'a> {
    pub(super) wanted: UidSet,
    pub(super) section: Section,
    /// Longer ones are not taken.
    pub(super) max: u64,
    /// Whether what is longer ends the session, or is read and passed over.
    pub(super) strict: bool,
    pub(super) sink: &'a mut dyn BodySink,
    pub(super) failed: Option<io::Error>,
    pub(super) drained: u64,
    /// Whether a `begin` awaits its `end` or `discard`.
    pub(super) open: bool,
    /// The message that was over the limit.
    pub(super) over: Option<Option<Uid>>,
    /// The message whose literal has not the length that was announced.
    pub(super) misframed: Option<Option<Uid>>,
    /// What the response in hand said of the text: its UID when it began, and its length.
    pub(super) begun: Option<(Option<Uid>, u64)>,
    /// The response in hand holds several texts, or does not fit the grammar.
    pub(super) spoiled: bool,
    /// How many texts may still come beyond the budget of the command.
    pub(super) grants: u64,
    /// Lengths of the texts that were delivered.
    pub(super) lengths: BTreeMap<Uid, u64>,
}

impl Delivery<'_> {
    /// Hands something to the sink, unless it has failed before.
    pub(super) fn give(&mut self, what: impl FnOnce(&mut dyn BodySink) -> io::Result<()>) {
        if self.failed.is_none()
            && let Err(error) = what(self.sink)
        {
            self.failed = Some(error);
            self.close();
        }
    }

    pub(super) fn close(&mut self) {
        if std::mem::take(&mut self.open) {
            self.sink.discard();
        }
    }

    pub(super) fn begin(&mut self, uid: Option<Uid>, size: u64) -> bool {
        if self.begun.is_some() {
            self.spoiled = true;
            return false;
        }
        self.begun = Some((uid, size));
        let asked = uid.is_none_or(|uid| self.wanted.contains(uid));
        if asked && self.failed.is_none() {
            self.open = true;
            self.give(|sink| sink.begin(uid, size));
        }
        self.open
    }

    /// The response is over: whose body was it?
    pub(super) fn end(&mut self, uid: Option<Uid>) {
        let (begun, spoiled) = (self.begun.take(), std::mem::take(&mut self.spoiled));
        let length = begun.map_or(0, |(_, length)| length);
        if let Some(uid) = uid
            && begun.is_some()
            && self.lengths.get(&uid).is_some_and(|before| *before != length)
        {
            self.give(|sink| {
                sink.withdraw(uid);
                Ok(())
            });
        }
        let is_whole = !spoiled && begun.is_none_or(|(at, _)| at.is_none() || at == uid);
        match uid.filter(|uid| is_whole && self.open && self.wanted.contains(*uid)) {
            Some(uid) => {
                self.give(|sink| sink.end(uid));
                if self.failed.is_none() {
                    self.wanted.remove(uid);
                    self.lengths.insert(uid, length);
                    self.open = false;
                }
            }
            None => self.close(),
        }
    }
}

impl Drop for Delivery<'_> {
    /// Also when the connection fails in the middle.
    fn drop(&mut self) {
        self.close();
    }
}

/// Gathers each header and hands it on whole.
pub(super) struct Headers<'a> {
    pub(super) held: Vec<u8>,
    pub(super) sink: &'a mut dyn FnMut(Uid, &[u8]),
}

impl BodySink for Headers<'_> {
    fn begin(&mut self, _: Option<Uid>, _: u64) -> io::Result<()> {
        self.held.clear();
        Ok(())
    }

    fn chunk(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.held.extend_from_slice(bytes);
        Ok(())
    }

    fn end(&mut self, uid: Uid) -> io::Result<()> {
        (self.sink)(uid, &self.held);
        Ok(())
    }

    /// An empty header is none.
    fn withdraw(&mut self, uid: Uid) {
        (self.sink)(uid, &[]);
    }
}
