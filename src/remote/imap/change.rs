//! What changes a mailbox: flags as deltas, copies and moves, removals, and mailboxes.
//!
//! An OK says that a command was understood. What it did is said by COPYUID, VANISHED and the
//! rows that go to the sinks, or by a look.

use std::fmt;

use super::parse::Response;
use super::parse::status::{Status, copied_pairs};
use super::session::{SET_LIMIT, Session};
use super::talk::{Untagged, deliver, require_ok};
use super::uid_set::UidSet;
use crate::reconcile::types::{Flags, Keyword, MailboxName, Uid};
use crate::remote::budget::Budget;
use crate::remote::code::Code;
use crate::remote::error::RemoteError;
use crate::remote::suspects::Command;

/// What was copied or moved, as the server states it (COPYUID, RFC 4315 §3).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CopyUid {
    /// UIDVALIDITY of the mailbox that it went to.
    pub uid_validity: u32,
    /// Each UID here and its UID there. Who is not named was not copied.
    pub pairs: Vec<(Uid, Uid)>,
}

/// A COPY or MOVE that did not go all the way.
#[derive(Debug)]
pub struct CopyError {
    /// Why.
    pub error: RemoteError,
    /// What was stated to be done before.
    pub copied: Option<CopyUid>,
}

impl From<RemoteError> for CopyError {
    fn from(error: RemoteError) -> Self {
        Self { error, copied: None }
    }
}

impl From<CopyError> for RemoteError {
    fn from(error: CopyError) -> Self {
        error.error
    }
}

impl fmt::Display for CopyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for CopyError {}

/// Whether a keyword can stand in a command: it is an atom (RFC 9051 `flag-keyword`).
#[must_use]
pub fn sendable(keyword: &Keyword) -> bool {
    let text = keyword.as_str();
    let fits = |b: u8| b.is_ascii_graphic() && !b"(){%*\"\\]".contains(&b);
    !text.is_empty() && text.bytes().all(fits)
}

/// The names of those flags that a command can carry.
pub(crate) fn sendable_names(flags: &Flags) -> Vec<&str> {
    let mut flags = flags.imap_names();
    flags.retain(|name| name.starts_with('\\') || sendable(&Keyword::new(name)));
    flags
}

impl Session {
    /// Adds (`+FLAGS`) or removes (`-FLAGS`) flags of messages of the selected mailbox.
    /// Keywords that are not [`sendable`] are left out. What the server echoes goes to `sink`.
    ///
    /// # Errors
    /// A refusal (of the whole command, for one keyword that it does not like), or what ends
    /// the session.
    pub async fn store(
        &mut self,
        set: &UidSet,
        add: bool,
        flags: &Flags,
        sink: &mut dyn FnMut(Untagged),
    ) -> Result<(), RemoteError> {
        let names = sendable_names(flags).join(" ");
        if names.is_empty() {
            return Ok(());
        }
        self.begin_with(Command::Store, set)?;
        let sign = if add { '+' } else { '-' };
        let chunks = set.chunks(SET_LIMIT).into_iter();
        let commands =
            chunks.map(|part| (format!("UID STORE {part} {sign}FLAGS ({names})"), Budget::LONG));
        let mut each = |response: &Response<'_>| deliver(response, sink);
        let done = self.run_all("UID STORE", commands, &mut each).await;
        self.passing(done)
    }

    /// Copies messages of the selected mailbox. None without COPYUID: then only a look at the
    /// other mailbox tells what was done.
    ///
    /// # Errors
    /// With what was copied before.
    pub async fn copy(
        &mut self,
        set: &UidSet,
        to: &MailboxName,
    ) -> Result<Option<CopyUid>, CopyError> {
        self.transfer("UID COPY", set, to, &mut |_| {}).await
    }

    /// Moves messages of the selected mailbox (RFC 6851). Who went goes to `sink`, and what
    /// arrived is told as for [`Session::copy`].
    ///
    /// # Errors
    /// With what was moved before; `Unsupported` without MOVE.
    pub async fn mv(
        &mut self,
        set: &UidSet,
        to: &MailboxName,
        sink: &mut dyn FnMut(Untagged),
    ) -> Result<Option<CopyUid>, CopyError> {
        if !self.talk.capabilities.can_move() {
            return Err(RemoteError::Unsupported { doing: "UID MOVE".to_owned() }.into());
        }
        self.transfer("UID MOVE", set, to, sink).await
    }

    async fn transfer(
        &mut self,
        verb: &str,
        set: &UidSet,
        to: &MailboxName,
        sink: &mut dyn FnMut(Untagged),
    ) -> Result<Option<CopyUid>, CopyError> {
        let spelled = self.spelled(to).await?;
        let kind = if verb == "UID MOVE" { Command::Move } else { Command::Copy };
        self.begin_with(kind, set)?;
        let doing = format!("{verb} to {to}");
        let mut copied: Option<CopyUid> = None;
        // One after the other: a mailbox that is full is not to be asked again.
        for part in set.chunks(SET_LIMIT) {
            let mut stated = Vec::new();
            let mut each = |response: &Response<'_>| {
                if let Response::Status(Status { code: Some(code), .. }) = response {
                    stated.push(code.clone());
                }
                deliver(response, sink)
            };
            let command = format!("{verb} {part} {spelled}");
            let answer = match self.start(&doing, &command, Budget::LONG).await {
                Ok(tag) => self.answer(&doing, &tag, &mut each).await,
                Err(error) => Err(error),
            };
            let answer = answer.and_then(|status| {
                stated.extend(status.code.clone());
                require_ok(&doing, status)
            });
            // Stated before a NO is stated all the same (RFC 6851 §4.3).
            for code in stated {
                take_copyuid(&part, &code, &mut copied);
            }
            if let Err(error) = answer {
                return Err(CopyError { error, copied });
            }
        }
        self.passed();
        Ok(copied)
    }

    /// Removes those messages of the set that carry `\Deleted` (UID EXPUNGE, RFC 4315).
    /// Who went goes to `sink`.
    ///
    /// # Errors
    /// `Unsupported` without UIDPLUS; a refusal, or what ends the session.
    pub async fn uid_expunge(
        &mut self,
        set: &UidSet,
        sink: &mut dyn FnMut(Untagged),
    ) -> Result<(), RemoteError> {
        if !self.talk.capabilities.uidplus() {
            return Err(RemoteError::Unsupported { doing: "UID EXPUNGE".to_owned() });
        }
        let chunks = set.chunks(SET_LIMIT).into_iter();
        let commands = chunks.map(|part| (format!("UID EXPUNGE {part}"), Budget::LONG));
        self.begin_with(Command::Expunge, set)?;
        let mut each = |response: &Response<'_>| deliver(response, sink);
        let done = self.run_all("UID EXPUNGE", commands, &mut each).await;
        self.passing(done)
    }

    /// Removes every message that carries `\Deleted`, whoever set it: only for when
    /// [`Session::search_deleted`] has just shown exactly what is to go.
    ///
    /// # Errors
    /// A refusal, or what ends the session.
    pub async fn expunge(&mut self, sink: &mut dyn FnMut(Untagged)) -> Result<(), RemoteError> {
        self.begin_with(Command::Expunge, &UidSet::new())?;
        let each = &mut |response: &Response<'_>| deliver(response, sink);
        let done = self.run("EXPUNGE", "EXPUNGE", Budget::LONG, each).await;
        self.passing(done).map(drop)
    }

    /// Creates a mailbox.
    ///
    /// # Errors
    /// `Name` if it cannot be called that; a refusal, or what ends the session.
    pub async fn create(&mut self, name: &MailboxName) -> Result<(), RemoteError> {
        self.about_mailbox("CREATE", name).await
    }

    /// Deletes a mailbox and all that is in it, after leaving it: some servers hang up when
    /// the selected mailbox is deleted.
    ///
    /// # Errors
    /// A refusal, or what ends the session.
    pub async fn delete(&mut self, name: &MailboxName) -> Result<(), RemoteError> {
        if self.selected.as_ref() == Some(name) {
            self.unselect().await?;
        }
        self.about_mailbox("DELETE", name).await
    }

    /// Subscribes to a mailbox, so that other clients show it.
    ///
    /// # Errors
    /// A refusal, or what ends the session.
    pub async fn subscribe(&mut self, name: &MailboxName) -> Result<(), RemoteError> {
        self.about_mailbox("SUBSCRIBE", name).await
    }

    /// Takes a subscription back.
    ///
    /// # Errors
    /// A refusal, or what ends the session.
    pub async fn unsubscribe(&mut self, name: &MailboxName) -> Result<(), RemoteError> {
        self.about_mailbox("UNSUBSCRIBE", name).await
    }

    /// Renames a mailbox and all that lies below it (RFC 9051 §6.3.6), with none selected.
    ///
    /// # Errors
    /// `Name` if it cannot be called that; a refusal, or what ends the session.
    pub async fn rename(
        &mut self,
        from: &MailboxName,
        to: &MailboxName,
    ) -> Result<(), RemoteError> {
        self.unselect().await?;
        self.begin(Command::Rename, from)?;
        let (old, new) = (self.spelled(from).await?, self.spelled(to).await?);
        let doing = format!("RENAME {from} to {to}");
        let command = format!("RENAME {old} {new}");
        let done = self.run(&doing, &command, Budget::LONG, &mut |_| false).await;
        self.passing(done).map(drop)
    }

    async fn about_mailbox(&mut self, verb: &str, name: &MailboxName) -> Result<(), RemoteError> {
        let command = match verb {
            "CREATE" => Command::Create,
            "DELETE" => Command::Delete,
            _ => Command::Subscribe,
        };
        self.begin(command, name)?;
        let spelled = self.spelled(name).await?;
        let doing = format!("{verb} {name}");
        let command = format!("{verb} {spelled}");
        let done = self.run(&doing, &command, Budget::LONG, &mut |_| false).await;
        self.passing(done).map(drop)
    }
}

/// Adds what a COPYUID states, if it is believable.
fn take_copyuid(asked: &UidSet, code: &Code, copied: &mut Option<CopyUid>) {
    let Code::CopyUid(uid_validity, source, target) = code else { return };
    let Some(pairs) = copied_pairs(asked, source, target).filter(|_| *uid_validity > 0) else {
        return;
    };
    let all = copied.get_or_insert_with(|| CopyUid { uid_validity: *uid_validity, pairs: vec![] });
    if all.uid_validity == *uid_validity {
        all.pairs.extend(pairs);
    }
}
