//! APPEND (RFC 9051 §6.3.12): the message is streamed, announced to the byte, never padded.

use std::io;

use super::change::sendable_names;
use super::date;
use super::list::quoted;
use super::parse::Response;
use super::parse::status::{Code, Status};
use super::session::Session;
use super::talk::{Stop, Tag, require_ok};
use super::wire::SLICE;
use crate::reconcile::types::{Flags, MailboxName, Uid};
use crate::remote::RemoteError;

/// Gives the bytes of a message, with CRLF line ends.
pub trait BodySource {
    /// Reads some of the bytes that are left into `room`; 0 only when none are left.
    ///
    /// # Errors
    /// The message cannot be read.
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize>;
}

/// An APPEND that did not end in an OK.
#[derive(Debug)]
pub struct AppendError {
    /// Why.
    pub error: RemoteError,
    /// Whether the server may have the whole message: all of it was written, and no refusal
    /// came. Only a look can tell whether it has filed it.
    pub literal_sent: bool,
}

impl From<RemoteError> for AppendError {
    fn from(error: RemoteError) -> Self {
        Self { error, literal_sent: false }
    }
}

/// Up to here a literal is sent without asking where LITERAL+ allows it: beyond, a refusal
/// that comes after the whole message costs more than the round trip.
const UNASKED: u64 = 1 << 20;
/// Up to here LITERAL- allows it (RFC 7888 §5).
const LITERAL_MINUS: u64 = 4096;

impl Session {
    /// Adds a message of `size` bytes to a mailbox. Keywords that no command can carry (see
    /// [`super::sendable`]) are left out, and so is a date outside the years 1 to 9999.
    /// Gives UIDVALIDITY and UID where the server states them (RFC 4315).
    ///
    /// # Errors
    /// With whether the message may have arrived all the same.
    pub async fn append(
        &mut self,
        to: &MailboxName,
        flags: &Flags,
        date: Option<i64>,
        size: u64,
        body: &mut dyn BodySource,
    ) -> Result<Option<(u32, Uid)>, AppendError> {
        let spelled = self.spelled(to).await?;
        let doing = format!("APPEND to {to}");
        let can = &self.talk.capabilities;
        let at_once = (can.literal_plus() && size <= UNASKED)
            || ((can.literal_plus() || can.literal_minus()) && size <= LITERAL_MINUS);
        // Flags are always stated: without them a server took 64 KiB at most.
        let flags = sendable_names(flags).join(" ");
        let date = date.and_then(date::format).map_or(String::new(), |d| quoted(&d) + " ");
        let plus = if at_once { "+" } else { "" };
        let command = format!("APPEND {spelled} ({flags}) {date}{{{size}{plus}}}");
        let tag = self.start(&doing, &command).await?;
        if !at_once && let Some(refusal) = self.go_ahead(&doing, &tag).await? {
            return Err(refusal.into());
        }
        if let Err(error) = self.pour(size, body).await {
            return Err(match error {
                Poured::Source(source) => {
                    self.wire().finish();
                    RemoteError::Source { source }
                }
                Poured::Stop(stop) => self.stopped(&doing, stop),
            }
            .into());
        }
        // From here on the server may have the message, whatever becomes of us.
        let status = self
            .answer(&doing, &tag, &mut |_| false)
            .await
            .map_err(|error| AppendError { error, literal_sent: true })?;
        let status = require_ok(&doing, status)?;
        Ok(appended_uid(&status))
    }

    /// Waits for the server's go-ahead; a refusal in its place, if it comes to that.
    async fn go_ahead(
        &mut self,
        doing: &str,
        tag: &Tag,
    ) -> Result<Option<RemoteError>, RemoteError> {
        let (wire, talk) = self.parts();
        let result: Result<Option<Status>, Stop> = async {
            wire.flush().await?;
            loop {
                wire.response().await?;
                match Response::parse(wire.in_hand()) {
                    Response::Continue => return Ok(None),
                    response => talk.hear(response, &mut |_| false)?,
                }
                if let Some(status) = talk.answered(tag) {
                    return Ok(Some(status));
                }
            }
        }
        .await;
        match result {
            Ok(None) => Ok(None),
            Ok(Some(status)) => match require_ok(doing, status) {
                Err(refusal) => Ok(Some(refusal)),
                Ok(_) => {
                    self.wire().finish();
                    let what = "OK to a message that was not sent yet".to_owned();
                    Err(RemoteError::Protocol { doing: doing.to_owned(), what })
                }
            },
            Err(stop) => Err(self.stopped(doing, stop)),
        }
    }

    /// Writes the literal and the end of the command.
    async fn pour(&mut self, size: u64, body: &mut dyn BodySource) -> Result<(), Poured> {
        let wire = self.wire();
        wire.rearm();
        wire.uncork();
        let mut left = size;
        let mut room = vec![0; usize::try_from(size).unwrap_or(SLICE).clamp(1, SLICE)];
        while left > 0 {
            let want = room.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let count = body.read(&mut room[..want]).map_err(Poured::Source)?;
            if count == 0 || count > want {
                // Announced and not there: padding it would file a message that nobody wrote.
                return Err(Poured::Source(io::ErrorKind::UnexpectedEof.into()));
            }
            wire.write(&room[..count]).await.map_err(|b| Poured::Stop(b.into()))?;
            left -= count as u64;
        }
        wire.write(b"\r\n").await.map_err(|b| Poured::Stop(b.into()))?;
        wire.flush().await.map_err(|b| Poured::Stop(b.into()))?;
        wire.cork();
        Ok(())
    }
}

/// Why a literal was not wholly sent.
enum Poured {
    Source(io::Error),
    Stop(Stop),
}

fn appended_uid(status: &Status) -> Option<(u32, Uid)> {
    match &status.code {
        Some(Code::AppendUid(uid_validity, uids)) if uids.len() == 1 && *uid_validity > 0 => {
            uids.first().map(|uid| (*uid_validity, uid))
        }
        _ => None,
    }
}
