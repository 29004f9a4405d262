//! APPEND (RFC 9051 §6.3.12): the message is streamed, announced to the byte, never padded.

use std::io;

use super::change::sendable_names;
use super::list::quoted;
use super::parse::Response;
use super::parse::status::Status;
use super::session::Session;
use super::talk::{Stop, Tag, require_ok};
use super::wire::SLICE;
use crate::reconcile::types::{Flags, MailboxName, Uid};
use crate::remote::budget::Budget;
use crate::remote::code::Code;
use crate::remote::date;
use crate::remote::error::RemoteError;
use crate::remote::suspects::{Command, Thing};

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

/// The answer to APPEND is short, and the way there may be long.
const UPLOAD: Budget = Budget { transfer: true, ..Budget::LONG };

/// A message for APPEND.
pub struct Upload<'a> {
    /// Keywords that no command can carry (see [`super::sendable`]) are left out.
    pub flags: &'a Flags,
    /// INTERNALDATE, in seconds since 1970; left out where its year is not 1 to 9999.
    pub date: Option<i64>,
    /// Octets, to the last one.
    pub size: u64,
    /// Where they come from.
    pub body: &'a mut dyn BodySource,
}

/// An APPEND that was wholly sent, and not answered yet.
#[derive(Debug)]
#[must_use]
pub struct Appending {
    tag: Tag,
    doing: String,
    messages: u64,
    about: Thing,
}

impl Session {
    /// Adds a message to a mailbox. Gives UIDVALIDITY and UID where the server states them
    /// (RFC 4315).
    ///
    /// # Errors
    /// With whether the message may have arrived all the same.
    pub async fn append(
        &mut self,
        to: &MailboxName,
        upload: Upload<'_>,
    ) -> Result<Option<(u32, Uid)>, AppendError> {
        let sent = self.begin_append(to, &mut [upload], false).await?;
        let uids = self.end_append(sent).await?;
        Ok(uids.and_then(|(validity, uids)| Some((validity, *uids.first()?))))
    }

    /// How many messages of this size on average one command may carry: more than one only
    /// with MULTIAPPEND (RFC 3502), and where no go-ahead has to be waited for.
    #[must_use]
    pub fn takes_many(&self, size: u64) -> bool {
        self.talk.capabilities.multiappend() && self.at_once(size)
    }

    /// A mailbox that refused messages gets no other one before it gave its go-ahead.
    fn is_wary(&self, to: &MailboxName) -> bool {
        self.caution.suspects.lock().has(Command::Append, Some(to))
    }

    fn at_once(&self, size: u64) -> bool {
        let can = &self.talk.capabilities;
        (can.literal_plus() && size <= UNASKED)
            || ((can.literal_plus() || can.literal_minus()) && size <= LITERAL_MINUS)
    }

    /// Sends messages, in one command: several only if [each allows it](Self::takes_many).
    /// `beside` other APPENDs that were not answered yet.
    ///
    /// # Errors
    /// A refusal in the place of a go-ahead, or what ends the session: then nothing was added.
    pub async fn begin_append(
        &mut self,
        to: &MailboxName,
        uploads: &mut [Upload<'_>],
        beside: bool,
    ) -> Result<Appending, AppendError> {
        let rows = std::mem::take(&mut self.caution.rows);
        self.begin(Command::Append, to)?;
        let spelled = self.spelled(to).await?;
        let about = Thing { uids: rows, ..Thing::whole(Command::Append, Some(to)) };
        self.caution.under_way = Some(about.clone());
        let doing = format!("APPEND to {to}");
        let messages = uploads.len() as u64;
        let mut tag = None;
        for upload in uploads {
            let at_once = (messages > 1 || !self.is_wary(to)) && self.at_once(upload.size);
            let literal = literal(upload, at_once);
            let tag = match &tag {
                Some(tag) => {
                    let line = format!(" {literal}\r\n");
                    let wrote = self.wire().write(line.as_bytes()).await;
                    wrote.map_err(|broken| self.stopped(&doing, broken.into()))?;
                    tag
                }
                None => {
                    let command = format!("APPEND {spelled} {literal}");
                    &*tag.insert(if beside {
                        self.send(&doing, &command, UPLOAD).await?
                    } else {
                        self.start(&doing, &command, UPLOAD).await?
                    })
                }
            };
            if !at_once && let Some(refusal) = self.go_ahead(&doing, tag).await? {
                return Err(refusal.into());
            }
            self.pour(&doing, upload).await?;
        }
        self.finish_line(&doing).await?;
        let Some(tag) = tag else {
            let what = "a command without a message".to_owned();
            return Err(RemoteError::Protocol { doing, what }.into());
        };
        Ok(Appending { tag, doing, messages, about })
    }

    /// Waits for the answer to the oldest APPEND that was not answered yet. Gives UIDVALIDITY
    /// and the UIDs, in the order of the messages, where the server states one for each.
    ///
    /// # Errors
    /// With whether the messages may have arrived all the same.
    pub async fn end_append(
        &mut self,
        sent: Appending,
    ) -> Result<Option<(u32, Vec<Uid>)>, AppendError> {
        self.caution.under_way = Some(sent.about.clone());
        // The server may have the message, whatever becomes of us.
        let status = self
            .answer(&sent.doing, &sent.tag, &mut |_| false)
            .await
            .map_err(|error| AppendError { error, literal_sent: true })?;
        let status = require_ok(&sent.doing, status)?;
        self.passed();
        Ok(match status.code {
            Some(Code::AppendUid(validity, uids))
                if validity > 0 && uids.len() == sent.messages =>
            {
                Some((validity, uids.iter().collect()))
            }
            _ => None,
        })
    }

    /// Waits for the server's go-ahead; a refusal in its place, if it comes to that.
    pub(crate) async fn go_ahead(
        &mut self,
        doing: &str,
        tag: &Tag,
    ) -> Result<Option<RemoteError>, RemoteError> {
        let (wire, talk) = self.parts();
        let result: Result<Option<Status>, Stop> = async {
            wire.flush().await?;
            loop {
                wire.response().await?;
                if matches!(Response::parse(wire.in_hand()), Response::Continue) {
                    return Ok(None);
                }
                talk.take_in(wire, &mut |_| false)?;
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

    /// Writes a literal.
    async fn pour(&mut self, doing: &str, upload: &mut Upload<'_>) -> Result<(), RemoteError> {
        match self.try_pour(upload.size, upload.body).await {
            Ok(()) => Ok(()),
            Err(Poured::Stop(stop)) => Err(self.stopped(doing, stop)),
            Err(Poured::Source(source)) => {
                self.wire().finish();
                Err(RemoteError::Source { source })
            }
        }
    }

    async fn try_pour(&mut self, size: u64, body: &mut dyn BodySource) -> Result<(), Poured> {
        let wire = self.wire();
        wire.allowance().met();
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
        Ok(())
    }

    /// Ends the command and sends what is left of it.
    async fn finish_line(&mut self, doing: &str) -> Result<(), RemoteError> {
        let wire = self.wire();
        let sent = async {
            wire.write(b"\r\n").await?;
            wire.flush().await
        }
        .await;
        wire.cork();
        sent.map_err(|broken| self.stopped(doing, broken.into()))
    }
}

/// The arguments of a message: flags are always stated, since without them a server took
/// 64 KiB at most.
fn literal(upload: &Upload<'_>, at_once: bool) -> String {
    let flags = sendable_names(upload.flags).join(" ");
    let date = upload.date.and_then(date::format).map_or(String::new(), |d| quoted(&d) + " ");
    let (size, plus) = (upload.size, if at_once { "+" } else { "" });
    format!("({flags}) {date}{{{size}{plus}}}")
}

/// Why a literal was not wholly sent.
enum Poured {
    Source(io::Error),
    Stop(Stop),
}
