//! One file as it goes up.

use std::io;

use crate::account::progress::{Event, Progress, Way};
use crate::local::{Examined, Listed, LocalError, PushSource, Pushed, Root};
use crate::mail::run::Run;
use crate::mail::survival::rows_of;
use crate::reconcile::types::{Flags, Mailbox, MailboxName, Row, Uid};
use crate::remote::imap::{AppendError, BodySource, Upload};

/// What became of one APPEND.
pub(super) enum Sent {
    Taken { uid: Option<(u32, Uid)>, flags: Flags, unchanged: bool },
    Refused(AppendError),
    Unreadable(LocalError),
}

/// The file's bytes for the literal; keeps the reason when it cannot be read.
pub(super) struct Source<'a> {
    pub(super) file: PushSource,
    pub(super) failure: Option<LocalError>,
    progress: &'a Progress,
    mailbox: &'a MailboxName,
}

impl BodySource for Source<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buf).map_err(|error| {
            self.failure = Some(error);
            io::Error::other("the message cannot be read any more")
        })?;
        let (mailbox, way) = (self.mailbox, Way::Up);
        self.progress.tell(Event::Octets { mailbox, way, count: count as u64 });
        Ok(count)
    }
}

/// A file that is read for the server, still what is known of it.
pub(super) struct Ready<'a> {
    pub(super) source: Source<'a>,
    pub(super) size: u64,
}

/// Opens the file of a row. What the server once said of the size is not the file's: it is
/// read, which also tells that it still is what is known of it.
pub(super) fn open<'a>(
    root: &Root,
    separator: u8,
    progress: &'a Progress,
    mailbox: &'a MailboxName,
    row: &Row,
) -> Result<Ready<'a>, LocalError> {
    let changed = || LocalError::Changed { path: root.dir_of(mailbox) };
    let local = row.local.as_ref().ok_or_else(changed)?;
    let listed = Listed::expected(local, separator);
    let size = match root.examine(mailbox, &listed)? {
        Examined::Message { summary, stamp, .. }
            if stamp == local.stamp && Some(summary.content) == row.content =>
        {
            summary.wire_size
        }
        _ => return Err(changed()),
    };
    let file = root.open_for_push(mailbox, &listed, local.stamp, size)?;
    Ok(Ready { source: Source { file, failure: None, progress, mailbox }, size })
}

pub(super) async fn append(run: &mut Run, mailbox: &Mailbox, row: &Row, flags: Flags) -> Sent {
    let separator = run.settings.info_separator;
    let (progress, name) = (&run.environment.progress, &mailbox.name);
    let Ready { mut source, size } = match open(&run.root, separator, progress, name, row) {
        Ok(ready) => ready,
        Err(error) => return Sent::Unreadable(error),
    };
    let date = row.words.as_ref().map(|words| words.date);
    let upload = Upload { flags: &flags, date, size, body: &mut source };
    run.session.sends(rows_of([row.id].into_iter()));
    let answer = run.session.append(name, upload).await;
    if answer.is_ok() {
        run.losses.is_taken();
    }
    match (answer, source.failure) {
        (Ok(uid), None) => match source.file.finish() {
            Ok(Pushed { content, .. }) => {
                Sent::Taken { uid, flags, unchanged: Some(content) == row.content }
            }
            Err(error) => Sent::Unreadable(error),
        },
        (Ok(_), Some(error)) => Sent::Unreadable(error),
        (Err(failed), _) => Sent::Refused(failed),
    }
}
