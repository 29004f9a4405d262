//! Which of the messages that a run would download are files that wait for one.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use crate::account::error::AccountError;
use crate::account::header::HEADER_MAX;
use crate::local::compare::TEXT_MAX;
use crate::local::{Digest, Summary, header};
use crate::mail::apply;
use crate::mail::apply::{Compared, WaitingFiles};
use crate::mail::plan_input;
use crate::mail::run::Run;
use crate::reconcile::Step;
use crate::reconcile::row_state::{RowState, state_of};
use crate::reconcile::types::{HeaderKeys, Mailbox, MailboxId, Row, RowId, Uid};
use crate::remote::imap::{BodySink, Select, UidSet, Untagged};

/// Octets of bodies that are kept in memory to be compared, unless one alone is larger.
const BATCH_OCTETS: u64 = 16 << 20;

/// Fetches the bodies among those to be fetched that could be files which wait for a message,
/// and returns the rows of those that are: the next plan pairs them, and nothing is downloaded.
pub(super) async fn identify(
    run: &mut Run,
    steps: &[Step],
) -> Result<BTreeSet<RowId>, AccountError> {
    let mut known = BTreeSet::new();
    let waiting = Waiting::load(run)?;
    for (id, rows) in apply::steps::to_fetch(run, steps)? {
        let rows: Vec<Row> = rows.into_iter().filter(|row| waiting.could_be(row)).collect();
        let Some(mailbox) = run.store.mailbox(id)?.filter(|_| !rows.is_empty()) else { continue };
        match in_mailbox(run, &mailbox, &rows, &waiting).await {
            Ok(found) => known.extend(found),
            Err(AccountError::Remote(error)) if !error.ends_session() => {
                run.report.skip(mailbox.name.to_string(), error.to_string());
            }
            Err(error) => return Err(error),
        }
    }
    Ok(known)
}

/// Headers of files that have no message, or lost it.
#[derive(Debug, Default)]
struct Waiting {
    files: BTreeSet<(MailboxId, [u8; 16])>,
    mailboxes: BTreeSet<MailboxId>,
    gone: BTreeSet<[u8; 16]>,
}

impl Waiting {
    fn load(run: &Run) -> Result<Self, AccountError> {
        let mut out = Self::default();
        for row in run.store.unsettled(None, plan_input::UNSETTLED_MAX)? {
            let Some(header) = row.header else { continue };
            match state_of(&row) {
                RowState::LocalNew => {
                    out.files.insert((row.mailbox, header.loose));
                    out.mailboxes.insert(row.mailbox);
                }
                RowState::RemoteGone => {
                    out.gone.insert(header.loose);
                }
                _ => {}
            }
        }
        Ok(out)
    }

    /// Whether the body of a message could be that of one of them.
    fn could_be(&self, row: &Row) -> bool {
        match &row.header {
            _ if row.content.is_some() => false,
            Some(header) => self.is_like(row.mailbox, header),
            None => !self.gone.is_empty() || self.mailboxes.contains(&row.mailbox),
        }
    }

    /// Whether a message with this header could be one of them.
    fn is_like(&self, mailbox: MailboxId, header: &HeaderKeys) -> bool {
        self.gone.contains(&header.loose) || self.files.contains(&(mailbox, header.loose))
    }
}

/// The same for messages of one mailbox. Where a header is not known it is fetched first, so that
/// new mail is not downloaded.
async fn in_mailbox(
    run: &mut Run,
    mailbox: &Mailbox,
    rows: &[Row],
    waiting: &Waiting,
) -> Result<Vec<RowId>, AccountError> {
    let mut ignore = |_: Untagged| {};
    let gate = run.session.select(&mailbox.name, Select::ReadOnly, None, &mut ignore).await?.gate;
    let mut known = Vec::new();
    if mailbox.cursor.is_some_and(|cursor| cursor.uid_validity == gate.uid_validity) {
        let unlike = unlike(run, mailbox, rows, waiting).await?;
        let rows: Vec<&Row> =
            rows.iter().filter(|row| uid(row).is_some_and(|uid| !unlike.contains(&uid))).collect();
        let files = WaitingFiles::load(run, mailbox)?;
        for batch in batches(&rows) {
            let set: UidSet = batch.iter().copied().filter_map(uid).collect();
            let mut bodies = Bodies::default();
            run.session.fetch_bodies(&set, run.settings.max_message_size, &mut bodies).await?;
            for row in batch {
                let Some(body) = uid(row).and_then(|uid| bodies.found.remove(&uid)) else {
                    continue;
                };
                if is_waited_for(run, &files, row.id, body)? {
                    known.push(row.id);
                }
            }
        }
    }
    run.session.unselect().await?;
    Ok(known)
}

fn uid(row: &Row) -> Option<Uid> {
    row.remote.as_ref().map(|remote| remote.uid)
}

/// UIDs of messages whose header is that of no file that waits.
async fn unlike(
    run: &mut Run,
    mailbox: &Mailbox,
    rows: &[Row],
    waiting: &Waiting,
) -> Result<BTreeSet<Uid>, AccountError> {
    let unknown: UidSet = rows.iter().filter(|row| row.header.is_none()).filter_map(uid).collect();
    let mut unlike = BTreeSet::new();
    // An empty header takes back the one before.
    let mut look = |uid: Uid, bytes: &[u8]| match bytes.is_empty()
        || waiting.is_like(mailbox.id, &header::keys(bytes))
    {
        true => drop(unlike.remove(&uid)),
        false => drop(unlike.insert(uid)),
    };
    run.session.fetch_headers(&unknown, HEADER_MAX, &mut look).await?;
    Ok(unlike)
}

/// Splits rows so that the bodies of a batch fit in memory.
fn batches<'a>(rows: &[&'a Row]) -> Vec<Vec<&'a Row>> {
    let (mut out, mut octets): (Vec<Vec<&Row>>, u64) = (Vec::new(), 0);
    for row in rows {
        let size = row.words.as_ref().map_or(0, |words| words.size.min(TEXT_MAX));
        match out.last_mut().filter(|_| octets + size <= BATCH_OCTETS) {
            Some(batch) => batch.push(row),
            None => {
                out.push(vec![row]);
                octets = 0;
            }
        }
        octets += size;
    }
    out
}

/// Records what a body is, and returns whether a file waits for it.
fn is_waited_for(
    run: &mut Run,
    files: &WaitingFiles<'_>,
    id: RowId,
    body: Body,
) -> Result<bool, AccountError> {
    let Body { summary, text } = body;
    let compared = files.compare(run, &summary, || Ok(text));
    let seen = run.attempt.seen.files();
    run.record(|w| {
        let Some(row) = w.tx().row(id)? else { return Ok(false) };
        let (content, header) = (Some(summary.content), Some(summary.header));
        let row = Row { content, header, ..row };
        w.update(&row)?;
        if apply::waits_for(w, &row, seen)? {
            return Ok(true);
        }
        match compared {
            Some(Compared::Of(file)) => {
                w.update(&Row { content: Some(file), weak: true, ..row })?;
                return Ok(true);
            }
            Some(Compared::CutOff(file, aside)) => {
                if let Some(file) = w.tx().row(file)? {
                    w.update(&Row { set_aside: Some(aside), ..file })?;
                }
            }
            None => {}
        }
        Ok(false)
    })
}

/// A body and what it holds; its text only if it is small enough to be compared.
#[derive(Debug)]
struct Body {
    summary: Summary,
    text: Option<Vec<u8>>,
}

/// Keeps bodies as they come: [`TEXT_MAX`] octets of text in all, whatever sizes were announced.
#[derive(Debug, Default)]
struct Bodies {
    digest: Digest,
    text: Option<Vec<u8>>,
    /// Octets of the texts that are kept.
    kept: u64,
    found: BTreeMap<Uid, Body>,
}

impl BodySink for Bodies {
    fn begin(&mut self, _: Option<Uid>, size: u64) -> io::Result<()> {
        self.digest = Digest::default();
        self.text = (self.kept.saturating_add(size) <= TEXT_MAX).then(Vec::new);
        Ok(())
    }

    fn chunk(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.digest.update(bytes);
        if let Some(text) = &mut self.text {
            text.extend_from_slice(bytes);
        }
        Ok(())
    }

    fn end(&mut self, uid: Uid) -> io::Result<()> {
        let summary = std::mem::take(&mut self.digest).finish();
        let text = self.text.take();
        self.kept += text.as_ref().map_or(0, |text| text.len() as u64);
        self.found.insert(uid, Body { summary, text });
        Ok(())
    }

    fn withdraw(&mut self, uid: Uid) {
        self.found.remove(&uid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(bodies: &mut Bodies, uid: u32) -> Option<usize> {
        bodies.begin(None, 4).unwrap();
        bodies.chunk(b"text").unwrap();
        bodies.end(Uid(uid)).unwrap();
        bodies.found[&Uid(uid)].text.as_ref().map(Vec::len)
    }

    #[test]
    fn texts_are_kept_up_to_a_limit_in_octets_and_the_rest_is_only_hashed() {
        let mut bodies = Bodies { kept: TEXT_MAX - 7, ..Bodies::default() };
        assert_eq!((text_of(&mut bodies, 1), text_of(&mut bodies, 2)), (Some(4), None));
        let content = |uid| bodies.found[&Uid(uid)].summary.content;
        assert_eq!(content(1), content(2));
        bodies.withdraw(Uid(1));
        assert_eq!(bodies.found.len(), 1);
    }
}
