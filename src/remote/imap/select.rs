//! SELECT and EXAMINE (RFC 9051 §6.3.2), with what changed since (QRESYNC, RFC 7162 §3.2.5).

use super::parse::Response;
use super::parse::status::Status;
use super::session::Session;
use super::talk::{Untagged, deliver, require_ok};
use crate::reconcile::types::{FlagMask, MailboxName, MailboxStatus};
use crate::remote::budget::Budget;
use crate::remote::code::Code;
use crate::remote::error::RemoteError;
use crate::remote::suspects::{Command, Thing};

/// How a mailbox is selected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Select {
    /// SELECT.
    ReadWrite,
    /// EXAMINE: nothing can be changed, not even `\Recent`.
    ReadOnly,
}

/// What was known when the mailbox was last read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QresyncSince {
    /// UIDVALIDITY.
    pub uid_validity: u32,
    /// The mod-sequence up to which everything is recorded; 0 asks for no difference.
    pub highest_modseq: u64,
}

/// A selected mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selected {
    /// How it stands; `messages` is EXISTS at the end of the command.
    pub gate: MailboxStatus,
    /// The flags that it keeps; all if the server did not say. With EXAMINE it cannot say:
    /// there PERMANENTFLAGS is empty for any mailbox, so the mask is all as well.
    pub mask: FlagMask,
    /// Whether nothing can be changed.
    pub read_only: bool,
    /// Whether it has no mod-sequences (NOMODSEQ), whatever the capabilities say.
    pub no_modseq: bool,
    /// Whether UIDs do not last from session to session (UIDNOTSTICKY, RFC 4315 §4).
    pub uid_not_sticky: bool,
    /// MAILBOXID (RFC 8474).
    pub object_id: Option<String>,
    /// Whether what went to the sink is the whole difference since [`QresyncSince`]. If not,
    /// the mailbox is to be read by other means.
    pub resynced: bool,
}

impl Session {
    /// Selects a mailbox. What changed `since`, and what happens meanwhile, goes to `sink`.
    ///
    /// # Errors
    /// A refusal (no mailbox is selected then), or what ends the session.
    pub async fn select(
        &mut self,
        name: &MailboxName,
        how: Select,
        since: Option<QresyncSince>,
        sink: &mut dyn FnMut(Untagged),
    ) -> Result<Selected, RemoteError> {
        self.begin(Command::Select, name)?;
        let spelled = self.spelled(name).await?;
        // What a connection was lost at can be had by other means.
        let since = since.filter(|_| self.begin(Command::Resync, name).is_ok());
        let verb = if how == Select::ReadOnly { "EXAMINE" } else { "SELECT" };
        let doing = format!("{verb} {name}");
        if since.is_some() {
            self.settle().await?;
        }
        let mut asks = since;
        loop {
            let since = asks.filter(|s| {
                self.talk.capabilities.qresync() && s.highest_modseq > 0 && s.uid_validity > 0
            });
            let parameter = self.select_parameter(since);
            let command = format!("{verb} {spelled}{parameter}");
            let kind = if since.is_some() { Command::Resync } else { Command::Select };
            let thing = Thing::whole(kind, Some(name));
            let result = self.try_select(&doing, &command, (thing, since), sink).await;
            match result {
                // It may be for the difference that was asked for.
                Err(RemoteError::No { .. }) if since.is_some() => asks = None,
                Err(RemoteError::Bad { .. }) if !parameter.is_empty() => {
                    // Announced, and not understood: without it from now on.
                    let name = if since.is_some() { "QRESYNC" } else { "CONDSTORE" };
                    tracing::warn!("{name} is announced but not understood by {verb}");
                    self.talk.capabilities.withdraw("QRESYNC");
                    if since.is_none() {
                        self.talk.capabilities.withdraw("CONDSTORE");
                    }
                }
                Err(error) => return Err(error),
                Ok(mut selected) => {
                    if how == Select::ReadOnly {
                        selected.read_only = true;
                        selected.mask = FlagMask::all();
                    }
                    self.selected = Some(name.clone());
                    self.uid_validity = selected.gate.uid_validity;
                    self.passed();
                    return Ok(selected);
                }
            }
        }
    }

    fn select_parameter(&self, since: Option<QresyncSince>) -> String {
        let capabilities = &self.talk.capabilities;
        match since {
            Some(QresyncSince { uid_validity, highest_modseq }) => {
                format!(" (QRESYNC ({uid_validity} {highest_modseq}))")
            }
            None if capabilities.condstore() && !capabilities.enabled.condstore => {
                " (CONDSTORE)".to_owned()
            }
            None => String::new(),
        }
    }

    async fn try_select(
        &mut self,
        doing: &str,
        command: &str,
        (thing, since): (Thing, Option<QresyncSince>),
        sink: &mut dyn FnMut(Untagged),
    ) -> Result<Selected, RemoteError> {
        // What is said of the mailbox before must not be taken for the new one. UNSELECT
        // parts them, in the same packet; where it is missing, CLOSED does, if it comes.
        let leaving = self.start_leaving().await?;
        let tag = match leaving {
            Some(_) => self.send(doing, command, Budget::SELECT).await?,
            None => self.start(doing, command, Budget::SELECT).await?,
        };
        if let Some(leaving) = leaving {
            // Refused or not: SELECT itself leaves the mailbox before.
            self.finish_leaving(&leaving).await?;
        }
        self.caution.under_way = Some(thing);
        self.selected = None;
        self.talk.exists = 0;
        self.talk.no_modseq = false;
        self.take_pending();
        let mut seen = Seen::default();
        let status = self
            .answer(doing, &tag, &mut |response| {
                seen.take(response);
                deliver(response, sink)
            })
            .await?;
        let status = require_ok(doing, status)?;
        seen.code(&status);
        seen.selected.gate.messages = self.talk.exists;
        let mut selected = seen.selected;
        if selected.gate.uid_validity == 0 {
            // Without UIDVALIDITY there is nothing by which to know a message again (RFC 9051
            // §2.3.1.1); taken for another number, it would unsettle all that is known.
            let (doing, what) = (doing.to_owned(), "no UIDVALIDITY".to_owned());
            return Err(RemoteError::Garbled { doing, what });
        }
        self.talk.no_modseq = selected.no_modseq;
        selected.resynced = !selected.no_modseq
            && since.is_some_and(|s| s.uid_validity == selected.gate.uid_validity);
        Ok(selected)
    }
}

#[derive(Debug)]
struct Seen {
    selected: Selected,
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            selected: Selected {
                gate: MailboxStatus::default(),
                mask: FlagMask::all(),
                read_only: false,
                no_modseq: false,
                uid_not_sticky: false,
                object_id: None,
                resynced: false,
            },
        }
    }
}

impl Seen {
    fn take(&mut self, response: &Response<'_>) {
        if let Response::Status(status) = response {
            self.code(status);
        }
    }

    fn code(&mut self, status: &Status) {
        let selected = &mut self.selected;
        match &status.code {
            // What was said before was of another mailbox (RFC 7162 §3.2.11).
            Some(Code::Closed) => *self = Self::default(),
            Some(Code::UidValidity(value)) => selected.gate.uid_validity = *value,
            Some(Code::UidNext(value)) => selected.gate.uid_next = *value,
            Some(Code::HighestModseq(value)) if *value > 0 => {
                selected.gate.highest_modseq = Some(*value);
            }
            Some(Code::NoModseq) => {
                selected.no_modseq = true;
                selected.gate.highest_modseq = None;
            }
            Some(Code::PermanentFlags(mask)) => selected.mask = mask.clone(),
            Some(Code::ReadOnly) => selected.read_only = true,
            Some(Code::UidNotSticky) => selected.uid_not_sticky = true,
            Some(Code::MailboxId(id)) => selected.object_id = Some(id.clone()),
            _ => {}
        }
    }
}
