//! Bodies up: journalled before, a fact by APPENDUID or by the next look.

use std::io;

use super::{announce, grouped, mailbox_of, select};
use crate::account::observe::reexamine;
use crate::account::progress::{Event, Progress, Way};
use crate::account::{AccountError, Run};
use crate::local::{Examined, Listed, LocalError, PushSource, Pushed};
use crate::reconcile::MailboxView;
use crate::reconcile::Step;
use crate::reconcile::messages::base_now;
use crate::reconcile::types::{
    Base, ContentId, Flags, Journal, Local, Mailbox, MailboxName, Remote, Row, SetAside,
    SetAsideKind, Uid,
};
use crate::remote::RemoteError;
use crate::remote::imap::{AppendError, BodySource, Code};

/// Answers that no look confirmed after which a message is not sent again.
const SENDS_MAX: u32 = 3;
/// Pushes journalled in one transaction.
const BATCH: usize = 100;

pub(super) async fn apply(run: &mut Run, steps: &[Step]) -> Result<(), AccountError> {
    let wanted = grouped(run, steps, |step| match step {
        Step::Push(row) => Some((*row, ())),
        _ => None,
    })?;
    announce(run, Way::Up, &wanted)?;
    for (id, rows) in wanted {
        let mailbox = mailbox_of(run, id)?;
        run.outside.progress.tell(Event::Began { mailbox: &mailbox.name, way: Way::Up });
        let rows: Vec<Row> = rows.into_iter().map(|(row, ())| row).collect();
        for batch in rows.chunks(BATCH) {
            if run.outside.is_stopping() || !push_batch(run, &mailbox, batch).await? {
                break;
            }
        }
        run.outside.progress.tell(Event::Ended { mailbox: &mailbox.name, way: Way::Up });
    }
    Ok(())
}

/// Gives whether the mailbox can go on.
async fn push_batch(run: &mut Run, mailbox: &Mailbox, rows: &[Row]) -> Result<bool, AccountError> {
    let Some(cursor) = mailbox.cursor else { return Ok(false) };
    if !select(run, mailbox).await? {
        return Ok(false);
    }
    let number = run.number;
    let rows = run.record(|w| {
        let mut noted = Vec::new();
        for row in rows {
            let (uid_next, attempts) = match &row.journal {
                // The first attempt's UIDNEXT holds for every later one.
                Journal::Pushing { uid_validity, uid_next, attempts, .. }
                    if *uid_validity == cursor.uid_validity =>
                {
                    (*uid_next, attempts + 1)
                }
                _ => (cursor.uid_next, 1),
            };
            let uid_validity = cursor.uid_validity;
            let (sent, run) = (false, number);
            let journal = Journal::Pushing { uid_validity, uid_next, attempts, sent, run };
            let row = Row { journal, ..row.clone() };
            w.update(&row)?;
            noted.push(row);
        }
        Ok(noted)
    })?;
    for row in rows {
        if run.outside.is_stopping() {
            return Ok(false);
        }
        let goes_on = push(run, mailbox, row).await?;
        run.outside.progress.tell(Event::Message { mailbox: &mailbox.name, way: Way::Up });
        if !goes_on {
            return Ok(false);
        }
    }
    Ok(true)
}

async fn push(run: &mut Run, mailbox: &Mailbox, row: Row) -> Result<bool, AccountError> {
    let Some(local) = row.local.clone() else { return Ok(true) };
    let limit = run.session.capabilities().append_limit();
    let size = row.words.as_ref().map_or(0, |words| words.size);
    if let Some(limit) = limit.filter(|limit| size > *limit) {
        let words = format!("larger than the server takes ({limit} bytes)");
        set_aside(run, row, words)?;
        return Ok(true);
    }
    let flags = MailboxView::of(mailbox.clone()).remote_mask(&row).apply(&local.flags);
    let mut sent = append(run, mailbox, &row, &local, flags.clone()).await?;
    let refused_flags = matches!(&sent, Sent::Refused(failed) if failed.error.is_refusal());
    if refused_flags && !flags.keywords.is_empty() {
        // A keyword that is refused fails the whole APPEND: the message goes without any, and
        // each keyword is then refused alone (hazard 29).
        let plain = Flags::system(flags.system);
        sent = append(run, mailbox, &row, &local, plain).await?;
    }
    match sent {
        Sent::Taken { uid, flags, content } => {
            let unchanged = row.content == Some(content);
            pushed(run, mailbox, row, uid, flags, unchanged)?;
            Ok(true)
        }
        Sent::Refused(failed) => refused(run, mailbox, row, failed),
        Sent::Unreadable(error) => {
            not_sent(run, &row)?;
            let what = format!("{}: {:?}", mailbox.name, local.stem);
            match error {
                // Edited, or renamed by a reader: what is there now is looked at first.
                LocalError::Changed { .. } => reexamine(run, row.id)?,
                error => run.report.skip(what, error.to_string()),
            }
            Ok(true)
        }
    }
}

/// What became of one APPEND.
enum Sent {
    Taken { uid: Option<(u32, Uid)>, flags: Flags, content: ContentId },
    Refused(AppendError),
    Unreadable(LocalError),
}

/// The file's bytes for the literal; keeps the reason when it cannot be read.
struct Source<'a> {
    file: PushSource,
    failure: Option<LocalError>,
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

async fn append(
    run: &mut Run,
    mailbox: &Mailbox,
    row: &Row,
    local: &Local,
    flags: Flags,
) -> Result<Sent, AccountError> {
    let listed = Listed::expected(local, run.settings.info_separator);
    // What the server once said of the size is not the file's: it is read again, which also
    // tells that it still is what is known of it.
    let summary = match run.root.examine(&mailbox.name, &listed) {
        Ok(Examined::Message { summary, stamp, .. })
            if stamp == local.stamp && Some(summary.content) == row.content =>
        {
            summary
        }
        Ok(_) => {
            let path = run.root.dir_of(&mailbox.name);
            return Ok(Sent::Unreadable(LocalError::Changed { path }));
        }
        Err(error) => return Ok(Sent::Unreadable(error)),
    };
    let (size, date) = (summary.wire_size, row.words.as_ref().map(|w| w.date));
    let file = match run.root.open_for_push(&mailbox.name, &listed, local.stamp, size) {
        Ok(file) => file,
        Err(error) => return Ok(Sent::Unreadable(error)),
    };
    let (progress, name) = (&run.outside.progress, &mailbox.name);
    let mut source = Source { file, failure: None, progress, mailbox: name };
    let answer = run.session.append(&mailbox.name, &flags, date, size, &mut source).await;
    match (answer, source.failure) {
        (Ok(uid), None) => match source.file.finish() {
            Ok(Pushed { content, .. }) => Ok(Sent::Taken { uid, flags, content }),
            Err(error) => Ok(Sent::Unreadable(error)),
        },
        (Ok(_), Some(error)) => Ok(Sent::Unreadable(error)),
        (Err(failed), _) => Ok(Sent::Refused(failed)),
    }
}

fn pushed(
    run: &mut Run,
    mailbox: &Mailbox,
    row: Row,
    uid: Option<(u32, Uid)>,
    flags: Flags,
    unchanged: bool,
) -> Result<(), AccountError> {
    let id = row.id;
    if !unchanged {
        // Written to while it was sent: what the server has now is another message, which the
        // next look brings down; this file is looked at again.
        not_sent(run, &row)?;
        return reexamine(run, id);
    }
    run.report.pushed += 1;
    let validity = mailbox.cursor.map(|cursor| cursor.uid_validity);
    if let Some((_, uid)) = uid.filter(|(named, _)| Some(*named) == validity) {
        return run.record(|w| {
            if w.tx().by_uid(row.mailbox, uid)?.is_some() {
                // A set, not a multiset: the server has this message already, under that UID.
                let words = "the server says that it has this very message already".to_owned();
                let set_aside = Some(SetAside { kind: SetAsideKind::Undecided, words, times: 1 });
                return w.update(&Row { set_aside, journal: Journal::Idle, ..row });
            }
            let journal = super::note::after_push(&row.journal);
            let remote = Some(Remote { uid, flags: flags.clone(), confirmed: false });
            let base = Some(row.base.clone().unwrap_or(Base { flags }));
            let mut row = Row { remote, base, journal, restated: false, set_aside: None, ..row };
            if let Some(flags) = base_now(&row, &MailboxView::of(mailbox.clone())) {
                row.base = Some(Base { flags });
            }
            w.update(&row)
        });
    }
    // Without APPENDUID the row stays *pushing*: the next look finds the message.
    mark_sent(run, row)
}

fn refused(
    run: &mut Run,
    mailbox: &Mailbox,
    row: Row,
    failed: AppendError,
) -> Result<bool, AccountError> {
    let AppendError { error, literal_sent } = failed;
    if error.ends_session() {
        if literal_sent {
            mark_sent(run, row)?;
        }
        return Err(error.into());
    }
    not_sent(run, &row)?;
    if is_for_now(&error) {
        run.report.skip(mailbox.name.to_string(), error.to_string());
        return Ok(false);
    }
    set_aside(run, row, error.to_string())?;
    Ok(true)
}

/// The server may have it: not again in this run, and only after a look did not find it.
fn mark_sent(run: &mut Run, row: Row) -> Result<(), AccountError> {
    let Journal::Pushing { uid_validity, uid_next, attempts, run: number, .. } = row.journal else {
        return Ok(());
    };
    run.record(|w| {
        let sent = true;
        let journal = Journal::Pushing { uid_validity, uid_next, attempts, sent, run: number };
        if attempts < SENDS_MAX {
            return w.update(&Row { journal, ..row });
        }
        let words = "the server took it several times and never showed it".to_owned();
        let set_aside = Some(SetAside { kind: SetAsideKind::Undecided, words, times: attempts });
        w.update(&Row { journal, set_aside, ..row })
    })
}

/// Refusals that say nothing of the message: quota, load, a mailbox that is missing.
pub(super) fn is_for_now(error: &RemoteError) -> bool {
    let Some(code) = error.code() else { return false };
    matches!(
        code,
        Code::OverQuota
            | Code::Unavailable
            | Code::InUse
            | Code::Limit
            | Code::TryCreate
            | Code::NonExistent
            | Code::NoPerm
            | Code::ServerBug
    )
}

/// A tagged refusal is an answer: this attempt left nothing behind.
fn not_sent(run: &mut Run, row: &Row) -> Result<(), AccountError> {
    let journal = match row.journal.clone() {
        Journal::Pushing { uid_validity, uid_next, attempts, run, .. } if attempts > 1 => {
            let (attempts, sent) = (attempts - 1, false);
            Journal::Pushing { uid_validity, uid_next, attempts, sent, run }
        }
        _ => Journal::Idle,
    };
    run.record(|w| w.update(&Row { journal, ..row.clone() }))
}

fn set_aside(run: &mut Run, row: Row, words: String) -> Result<(), AccountError> {
    run.record(|w| {
        let Some(row) = w.tx().row(row.id)? else { return Ok(()) };
        let times = row.set_aside.as_ref().map_or(1, |s| s.times + 1);
        let set_aside = Some(SetAside { kind: SetAsideKind::Push, words, times });
        w.update(&Row { set_aside, ..row })
    })
}
