//! What is known of a conversation: which answers are awaited, and what was said unasked.

use super::capabilities::Capabilities;
use super::parse::Response;
use super::parse::fetch::{self, FetchRow};
use super::parse::status::{Condition, Status};
use super::remarks::Remarks;
use super::uid_set::UidSet;
use super::wire::Wire;
use crate::remote::broken::Broken;
use crate::remote::budget::Budget;
use crate::remote::error::{NOT_CONNECTED, RemoteError, is_not_connected, is_throttled};

/// How much may be kept that nobody asked for, in octets.
const PENDING_LIMIT: usize = 4 << 20;

/// What a server says of the selected mailbox beside the answer proper.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Untagged {
    /// Attributes of a message; those that were not said are none.
    Fetch(FetchRow),
    /// These UIDs are gone; `earlier` than the mailbox was selected, or just now.
    Vanished {
        /// Whether they had gone before (RFC 7162 §3.2.10).
        earlier: bool,
        /// Which: maybe far more than there ever were.
        uids: UidSet,
    },
    /// There are this many messages now.
    Exists(u32),
    /// The message with this sequence number is gone.
    Expunge(u32),
    /// Something of the kind that could not be read, or was not said of which message: only
    /// a look can tell.
    Other,
}

/// What was said unasked since it was last taken.
#[derive(Debug, Default)]
pub struct Pending {
    /// In the order in which it was said.
    pub seen: Vec<Untagged>,
    /// Whether there was more than could be kept: only a look can tell what.
    pub overflowed: bool,
    weight: usize,
}

impl Pending {
    pub(crate) fn push(&mut self, untagged: Untagged) {
        self.weight += size_of::<Untagged>()
            + match &untagged {
                Untagged::Vanished { uids, .. } => size_of_val(uids.ranges()),
                Untagged::Fetch(row) => row.octets(),
                _ => 0,
            };
        if self.weight > PENDING_LIMIT {
            self.overflowed = true;
        } else {
            self.seen.push(untagged);
        }
    }
}

/// The tag of a command that was sent, and what its answer may cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tag(pub(crate) String, pub(crate) Budget);

/// What is known of the conversation, apart from the stream that it runs over.
#[derive(Debug)]
pub(crate) struct Talk {
    pub(crate) capabilities: Capabilities,
    /// EXISTS of the selected mailbox, kept up to date.
    pub(crate) exists: u32,
    /// Whether the selected mailbox has no mod-sequences: asking for them would be an error.
    pub(crate) no_modseq: bool,
    pub(crate) pending: Pending,
    /// Commands whose answers are awaited.
    pub(crate) outstanding: Vec<Tag>,
    /// Answers that came before those of earlier commands.
    pub(crate) early: Vec<(Tag, Status)>,
    /// Commands whose answers nobody waits for.
    pub(crate) deferred: Vec<Tag>,
    pub(crate) bye: Option<String>,
    /// Commands that were answered, whatever the answer.
    pub(crate) answers: u64,
    remarks: Remarks,
}

/// Why a conversation cannot go on.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The stream is at its end.
    Broken(Broken),
    /// The server answers what was not asked.
    Protocol(String),
}

impl From<Broken> for Stop {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

impl Talk {
    pub(crate) fn new(capabilities: Capabilities) -> Self {
        Self {
            capabilities,
            exists: 0,
            no_modseq: false,
            pending: Pending::default(),
            outstanding: Vec::new(),
            early: Vec::new(),
            deferred: Vec::new(),
            bye: None,
            answers: 0,
            remarks: Remarks::default(),
        }
    }

    /// What all commands under way may cost together.
    pub(crate) fn budget(&self) -> Budget {
        let under_way = self.outstanding.iter().chain(&self.deferred);
        under_way.fold(Budget::NONE, |sum, tag| sum.and(tag.1))
    }

    /// Takes note of the response in hand. Commands that are left after an answer have their
    /// budgets anew.
    pub(crate) fn take_in(
        &mut self,
        wire: &mut Wire,
        each: &mut dyn FnMut(&Response<'_>) -> bool,
    ) -> Result<(), Stop> {
        let response = Response::parse(wire.in_hand());
        let answered = matches!(response, Response::Tagged { .. });
        if matches!(response, Response::Continue) {
            return Err(Broken::Unasked.into());
        }
        let is_remark = matches!(
            response,
            Response::Status(_) | Response::Exists(_) | Response::Enabled(_) | Response::Other
        );
        self.hear(response, each)?;
        if is_remark {
            let octets = wire.in_hand().len();
            wire.allowance().remark(octets)?;
        }
        if answered {
            wire.allowance().begin(self.budget());
        }
        Ok(())
    }

    /// Whether mod-sequences may be asked for in the selected mailbox.
    pub(crate) fn has_modseq(&self) -> bool {
        self.capabilities.condstore() && !self.no_modseq
    }

    /// The answer to `tag` if it came already.
    pub(crate) fn answered(&mut self, tag: &Tag) -> Option<Status> {
        let at = self.early.iter().position(|(t, _)| t == tag)?;
        Some(self.early.swap_remove(at).1)
    }

    /// Takes note of a response, whoever it is for.
    fn hear(
        &mut self,
        response: Response<'_>,
        each: &mut dyn FnMut(&Response<'_>) -> bool,
    ) -> Result<(), Stop> {
        if matches!(response, Response::Vanished { .. }) && !self.capabilities.enabled.qresync {
            // Nobody allowed it to say so (RFC 7162 §3.2.10).
            return Ok(());
        }
        match &response {
            Response::Tagged { tag, status } => return self.tagged(tag, status.clone()),
            Response::Enabled(list) => self.capabilities.confirm(list),
            Response::Exists(count) => self.exists = *count,
            Response::Expunge(_) => self.exists = self.exists.saturating_sub(1),
            Response::Vanished { earlier: false, uids: Some(uids) } => {
                let gone = u32::try_from(uids.len()).unwrap_or(u32::MAX);
                self.exists = self.exists.saturating_sub(gone);
            }
            Response::Status(status) => self.remark(status),
            _ => {}
        }
        if !each(&response)
            && let Some(untagged) = untagged(&response)
        {
            self.pending.push(untagged);
        }
        Ok(())
    }

    fn tagged(&mut self, tag: &[u8], status: Status) -> Result<(), Stop> {
        let is = |t: &Tag| t.0.as_bytes() == tag;
        if let Some(at) = self.outstanding.iter().position(is) {
            self.answers += 1;
            self.early.push((self.outstanding.remove(at), status));
        } else if let Some(at) = self.deferred.iter().position(is) {
            self.deferred.remove(at);
        } else {
            return Err(Stop::Protocol("it answers a command that was not given".to_owned()));
        }
        Ok(())
    }

    fn remark(&mut self, status: &Status) {
        match status.condition {
            Condition::Bye => self.bye = Some(status.words.clone()),
            _ => self.remarks.hear(status),
        }
    }
}

/// The event that a response is, if it is one.
fn untagged(response: &Response<'_>) -> Option<Untagged> {
    Some(match response {
        Response::Fetch(rest) => fetch::row(rest).map_or(Untagged::Other, Untagged::Fetch),
        Response::Vanished { earlier, uids: Some(uids) } => {
            Untagged::Vanished { earlier: *earlier, uids: uids.clone() }
        }
        Response::Vanished { uids: None, .. } => Untagged::Other,
        Response::Exists(count) => Untagged::Exists(*count),
        Response::Expunge(number) => Untagged::Expunge(*number),
        _ => return None,
    })
}

/// Gives an event to a sink; says whether it was one.
pub(crate) fn deliver(response: &Response<'_>, sink: &mut dyn FnMut(Untagged)) -> bool {
    untagged(response).map(sink).is_some()
}

/// Tells a tagged NO or BAD as an error.
pub(crate) fn require_ok(doing: &str, status: Status) -> Result<Status, RemoteError> {
    let doing = doing.to_owned();
    match status {
        Status { condition: Condition::Ok, .. } => Ok(status),
        Status { words, .. } if is_throttled(&doing, &words) => {
            Err(RemoteError::Throttled { doing, words })
        }
        Status { words, .. } if is_not_connected(&words) => {
            Err(RemoteError::SignIn { code: None, words: NOT_CONNECTED.to_owned() })
        }
        Status { condition: Condition::No, code, words } => {
            Err(RemoteError::No { doing, code, words })
        }
        Status { code, words, .. } => Err(RemoteError::Bad { doing, code, words }),
    }
}
