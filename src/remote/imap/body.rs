//! Bodies: from the read buffer to the sink in slices, whatever their length.

use std::collections::{BTreeMap, VecDeque};

use super::delivery::{BodySink, Delivery, Headers};
use super::parse::Response;
use super::parse::cursor::{Cursor, Value};
use super::parse::fetch::{Gathered, Part, Section, fits};
use super::session::{SET_LIMIT, Session, WINDOW};
use super::talk::{Stop, Tag, Untagged, require_ok};
use super::uid_set::UidSet;
use super::wire::Step;
use crate::reconcile::types::Uid;
use crate::remote::broken::Broken;
use crate::remote::budget::Budget;
use crate::remote::error::RemoteError;
use crate::remote::suspects::Command;

/// Refusals one after the other after which a header is asked for that was not refused.
const IN_A_ROW: u32 = 3;

/// How much is read for nothing, after the sink failed, before the connection is given up.
const DRAIN: u64 = 8 << 20;
/// How long a header may be that is passed over because it is over its limit.
const HEADER_DRAIN: u64 = 256 << 20;

impl Session {
    /// Fetches whole bodies of the selected mailbox, without setting `\Seen`.
    ///
    /// They come in the order of the server, each UID of `set` at most once. A message of
    /// which nothing was delivered by an OK is one that the server does not give, or not in a
    /// form that can be believed.
    ///
    /// # Errors
    /// `Framing` with the UID where a literal is not as long as was announced (hazard 67): the
    /// session has ended, since what follows may be text of the message.
    /// A refusal: what was delivered before it stands. `Limit` with the UID where a body is
    /// longer than `max` bytes: the session has ended, for the only way past is to read it.
    /// `Sink` when the sink fails: the session is kept if little was left to be read.
    pub async fn fetch_bodies(
        &mut self,
        set: &UidSet,
        max: u64,
        sink: &mut dyn BodySink,
    ) -> Result<(), RemoteError> {
        self.begin_with(Command::Bodies, set)?;
        self.deliver_bodies("UID FETCH BODY[]", set, Section::Whole, max, sink).await
    }

    /// Fetches headers, each handed on whole. One that is longer than `limit` bytes is
    /// passed over. An empty one says that the one before, of the same UID, is not believed.
    ///
    /// # Errors
    /// As for [`Session::fetch_bodies`]; and the refusal where the session gives nothing more after
    /// it, also of what was not refused: a fresh connection may (hazard 90).
    pub async fn fetch_headers(
        &mut self,
        set: &UidSet,
        limit: usize,
        sink: &mut dyn FnMut(Uid, &[u8]),
    ) -> Result<(), RemoteError> {
        let mut headers = Headers { held: Vec::new(), sink };
        let (doing, limit) = ("UID FETCH BODY[HEADER]", limit as u64);
        let mut queue = self.in_parts(Command::Headers, set).await?;
        let (mut refused, mut is_answered, mut in_a_row) = (None, false, 0);
        while let Some(part) = queue.pop_front() {
            self.begin_with(Command::Headers, &part)?;
            let given =
                self.deliver_bodies(doing, &part, Section::Header, limit, &mut headers).await;
            if given.as_ref().is_err_and(|error: &RemoteError| error.is_refusal()) {
                in_a_row += 1;
                // The last one that is still to be asked for tells whether any is given.
                let last = queue.back().and_then(UidSet::last).filter(|_| in_a_row == IN_A_ROW);
                if let Some(last) = last.map(|last| UidSet::from_range(last, last)) {
                    let section = Section::Header;
                    let probe = self.deliver_bodies(doing, &last, section, limit, &mut headers);
                    if probe.await.is_err_and(|error| error.is_refusal()) {
                        return given;
                    }
                }
            } else {
                in_a_row = 0;
            }
            match given {
                Ok(()) => is_answered = true,
                Err(error) if error.is_refusal() => {
                    self.take_apart(Command::Headers, &part, &error, &mut queue).await?;
                    refused.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
        let left_out = self.is_left_out(Command::Headers, set);
        refused.filter(|_| !is_answered && !left_out).map_or(Ok(()), Err)
    }

    async fn deliver_bodies(
        &mut self,
        doing: &str,
        set: &UidSet,
        section: Section,
        max: u64,
        sink: &mut dyn BodySink,
    ) -> Result<(), RemoteError> {
        let mut delivery = Delivery {
            wanted: set.clone(),
            section,
            max,
            strict: section == Section::Whole,
            sink,
            failed: None,
            drained: 0,
            open: false,
            over: None,
            misframed: None,
            begun: None,
            spoiled: false,
            grants: set.len().saturating_mul(2),
            lengths: BTreeMap::new(),
        };
        let item = if section == Section::Whole { "BODY.PEEK[]" } else { "BODY.PEEK[HEADER]" };
        let mut commands = set.chunks(SET_LIMIT).into_iter();
        let mut under_way: VecDeque<Tag> = VecDeque::new();
        let mut refused = None;
        loop {
            while refused.is_none() && delivery.failed.is_none() && under_way.len() < WINDOW {
                let Some(part) = commands.next() else { break };
                let command = format!("UID FETCH {part} (UID {item})");
                let budget = Budget::texts(part.len());
                let tag = if under_way.is_empty() {
                    self.start(doing, &command, budget).await?
                } else {
                    self.send(doing, &command, budget).await?
                };
                under_way.push_back(tag);
            }
            let Some(tag) = under_way.pop_front() else { break };
            let status = match self.bodies_until(&tag, &mut delivery).await {
                Ok(status) => status,
                Err(stop) => {
                    let left = &delivery.wanted;
                    let answered = set.difference(left);
                    let error = self.delivery_stopped(doing, stop, &mut delivery);
                    self.lost_in_delivery(&answered, &error);
                    return Err(error);
                }
            };
            if let Err(error) = require_ok(doing, status) {
                refused.get_or_insert(error);
            }
        }
        match delivery.failed.take() {
            Some(source) => Err(RemoteError::Sink { source, ended: false }),
            None if refused.is_none() => {
                self.passed();
                Ok(())
            }
            None => refused.map_or(Ok(()), Err),
        }
    }

    /// Which messages the connection was lost at: the one that is known, else those that were
    /// not answered.
    fn lost_in_delivery(&mut self, answered: &UidSet, error: &RemoteError) {
        self.answered_only(answered);
        let (RemoteError::Framing { uid, .. } | RemoteError::Limit { uid, .. }) = error else {
            return;
        };
        if let (Some(uid), Some(thing)) = (uid, &mut self.caution.under_way)
            && thing.uids.contains(*uid)
        {
            thing.uids = UidSet::from_range(*uid, *uid);
        }
    }

    fn delivery_stopped(
        &mut self,
        doing: &str,
        stop: Stop,
        delivery: &mut Delivery<'_>,
    ) -> RemoteError {
        let error = self.stopped(doing, stop);
        if let Some(uid) = delivery.misframed {
            return RemoteError::Framing { doing: doing.to_owned(), uid };
        }
        if let Some(source) = delivery.failed.take() {
            return RemoteError::Sink { source, ended: true };
        }
        match (error, delivery.over) {
            (RemoteError::Limit { doing, what, limit, .. }, Some(uid)) => {
                RemoteError::Limit { doing, what, limit, uid }
            }
            (error, _) => error,
        }
    }

    async fn bodies_until(
        &mut self,
        tag: &Tag,
        delivery: &mut Delivery<'_>,
    ) -> Result<super::parse::status::Status, Stop> {
        let (wire, talk) = self.parts();
        wire.flush().await?;
        loop {
            if let Some(status) = talk.answered(tag) {
                return Ok(status);
            }
            let mut step = wire.step().await?;
            if !matches!(Response::parse(wire.in_hand()), Response::Fetch(_)) {
                if step != Step::Complete {
                    wire.response().await?;
                }
                talk.take_in(wire, &mut |_| false)?;
                continue;
            }
            let mut gathered = Gathered::default();
            let mut at_start = true;
            let mut has_body = false;
            loop {
                let last = step == Step::Complete;
                let part = Part { first: at_start, last };
                let found = read_part(wire.in_hand(), part, &mut gathered, delivery);
                has_body |= found != Found::Nothing;
                if has_body && !is_fit(wire.in_hand(), part) {
                    if !at_start {
                        delivery.misframed = Some(gathered.uid);
                        let what = "a literal is not as long as was announced";
                        return Err(Stop::Protocol(what.to_owned()));
                    }
                    delivery.spoiled |= last;
                }
                match (found, step) {
                    (Found::Announced { wanted }, Step::Literal(length)) => {
                        stream(wire, length, wanted, gathered.uid, delivery).await?;
                        at_start = false;
                        step = wire.step().await?;
                    }
                    // Some other literal: it is read along with its surroundings.
                    (_, Step::Literal(_)) => {
                        wire.inline().await?;
                        step = wire.step().await?;
                    }
                    (_, Step::Complete) => break,
                }
            }
            delivery.end(gathered.uid);
            if !has_body {
                // News of another kind, such as flags that changed meanwhile.
                talk.take_in(wire, &mut |_| false)?;
            } else if let Some(row) = gathered.row().filter(|row| row.flags.is_some()) {
                talk.pending.push(Untagged::Fetch(row));
            }
        }
    }
}

/// What a part of a FETCH response holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    /// No text.
    Nothing,
    /// A text that was there at once, and was delivered if it was wanted.
    Inline,
    /// A text whose literal comes next.
    Announced { wanted: bool },
}

/// Whether what is in hand of a FETCH response fits the grammar.
fn is_fit(in_hand: &[u8], part: Part) -> bool {
    match Response::parse(in_hand) {
        Response::Fetch(items) if part.first => fits(items, part),
        _ => fits(in_hand, part),
    }
}

/// Reads the items of what is in hand of a FETCH response, from its start or after a literal
/// that was streamed.
fn read_part(
    in_hand: &[u8],
    part: Part,
    gathered: &mut Gathered,
    delivery: &mut Delivery<'_>,
) -> Found {
    let items = match Response::parse(in_hand) {
        Response::Fetch(items) if part.first => items,
        _ => in_hand,
    };
    let mut cursor = Cursor::new(items);
    let mut found = Found::Nothing;
    // The UID may stand behind a short text, so it is looked for first.
    let mut ahead = cursor;
    while gathered.read(&mut ahead).is_some_and(|b| !matches!(b.value, Value::Announced(_))) {}
    while let Some(body) = gathered.read(&mut cursor) {
        let wanted = body.section == delivery.section;
        match body.value {
            Value::Announced(_) => return Found::Announced { wanted },
            // A literal of no octets, of which nothing is to come.
            Value::Bytes(_) if !part.last && cursor.rest().is_empty() => {
                return Found::Announced { wanted };
            }
            Value::Bytes(_) if wanted && delivery.begun.is_some() => {
                (found, delivery.spoiled) = (Found::Inline, true);
            }
            Value::Bytes(bytes) if wanted => {
                found = Found::Inline;
                if bytes.len() as u64 <= delivery.max
                    && delivery.begin(gathered.uid, bytes.len() as u64)
                    && !bytes.is_empty()
                {
                    delivery.give(|sink| sink.chunk(&bytes));
                }
            }
            // NIL: the server has no text for it, which is not an empty text.
            _ => found = Found::Inline,
        }
    }
    found
}

/// Streams an announced literal to the sink, or past it.
async fn stream(
    wire: &mut super::wire::Wire,
    length: u64,
    wanted: bool,
    uid: Option<Uid>,
    delivery: &mut Delivery<'_>,
) -> Result<(), Stop> {
    let too_long = length > delivery.max;
    if wanted && too_long && (delivery.strict || length > HEADER_DRAIN) {
        delivery.over = Some(uid);
        return Err(Broken::Limit("a body", delivery.max).into());
    }
    if wanted && uid.is_none_or(|uid| delivery.wanted.contains(uid)) && delivery.grants > 0 {
        delivery.grants -= 1;
        wire.allowance().grant(length);
    }
    let taken = wanted && !too_long && delivery.begin(uid, length);
    if !taken && length > HEADER_DRAIN {
        return Err(Broken::Limit("a literal", HEADER_DRAIN).into());
    }
    while let Some(slice) = wire.slice().await? {
        if delivery.failed.is_some() {
            delivery.drained += slice.len() as u64;
            if delivery.drained > DRAIN {
                return Err(Broken::Closed.into());
            }
        } else if taken {
            delivery.give(|sink| sink.chunk(slice));
        }
    }
    Ok(())
}
