//! Bodies down: streamed to `tmp/`, made durable as a batch, recorded as *placing*, renamed
//! into place, recorded as agreed.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::{announce, grouped, mailbox_of, select};
use crate::account::progress::{Event, Progress, Way};
use crate::account::record::Writer;
use crate::account::{AccountError, Run};
use crate::local::name::with_flags;
use crate::local::{Delivered, Delivery, KeywordTable, LocalError, Placed, Root};
use crate::reconcile::messages::base_now;
use crate::reconcile::pairing::{Class, class};
use crate::reconcile::types::{
    Base, FileStamp, Flags, Journal, Local, Mailbox, MailboxName, Row, RowId, SetAside,
    SetAsideKind, Uid,
};
use crate::reconcile::{MailboxView, Step};
use crate::remote::RemoteError;
use crate::remote::imap::{BodySink, UidSet};
use crate::state::StateError;

/// A batch is made durable when it holds this many messages or octets.
const BATCH_MESSAGES: usize = 4000;
const BATCH_OCTETS: u64 = 48 << 20;

pub(super) async fn apply(run: &mut Run, steps: &[Step]) -> Result<(), AccountError> {
    let wanted = grouped(run, steps, |step| match step {
        Step::Fetch(row) => Some((*row, ())),
        _ => None,
    })?;
    announce(run, Way::Down, &wanted)?;
    for (id, rows) in wanted {
        let mailbox = mailbox_of(run, id)?;
        run.outside.progress.tell(Event::Began { mailbox: &mailbox.name, way: Way::Down });
        let mut rows: Vec<Row> = rows.into_iter().map(|(row, ())| row).collect();
        rows.sort_by_key(|row| row.remote.as_ref().map(|remote| remote.uid));
        let rows = place_left(run, &mailbox, rows)?;
        for batch in batches(&rows) {
            if run.outside.is_stopping() {
                return Ok(());
            }
            if !mailbox.local || !pull(run, &mailbox, batch).await? {
                break;
            }
        }
        run.outside.progress.tell(Event::Ended { mailbox: &mailbox.name, way: Way::Down });
    }
    Ok(())
}

/// What came down in an earlier run and could not be placed is not fetched again: it is tried
/// once more, and named. Gives the rows without a file in `tmp/`.
fn place_left(run: &mut Run, mailbox: &Mailbox, rows: Vec<Row>) -> Result<Vec<Row>, AccountError> {
    let is_left = |row: &Row| matches!(row.journal, Journal::Placing { .. });
    let (left, rows): (Vec<Row>, Vec<Row>) = rows.into_iter().partition(is_left);
    let mut settled = Vec::new();
    for row in left {
        match settle(&run.root, mailbox, row) {
            Ok(row) => settled.push(row),
            Err(error) => run.report.skip(mailbox.name.to_string(), error.to_string()),
        }
    }
    if !settled.is_empty() {
        run.root.sync_dirs(&mailbox.name)?;
        run.report.pulled += settled.len() as u64;
        run.report.touch(&mailbox.name);
        run.record(|w| settled.iter().try_for_each(|row| w.update(row)))?;
    }
    Ok(rows)
}

/// Settles a row that was left *placing*: with its tmp file there the rename is done now;
/// without it the file was placed, and the scan that follows sees what became of it since.
///
/// # Errors
/// The file cannot be renamed.
pub(in crate::account) fn settle(
    root: &Root,
    mailbox: &Mailbox,
    row: Row,
) -> Result<Row, LocalError> {
    let Journal::Placing { stem, in_new, info } = row.journal.clone() else { return Ok(row) };
    let stamp = match root.place(&mailbox.name, &stem, in_new, &info)? {
        Placed::Placed(stamp) => stamp,
        Placed::NotInTmp | Placed::Exists => FileStamp::default(),
    };
    let local = Local { stem, in_new, info, flags: Flags::default(), stamp };
    Ok(placed(mailbox, row, local))
}

fn batches(rows: &[Row]) -> Vec<&[Row]> {
    let mut out = Vec::new();
    let (mut start, mut octets) = (0, 0);
    for (at, row) in rows.iter().enumerate() {
        octets += row.words.as_ref().map_or(0, |words| words.size);
        if at + 1 - start >= BATCH_MESSAGES || octets >= BATCH_OCTETS {
            out.push(&rows[start..=at]);
            (start, octets) = (at + 1, 0);
        }
    }
    out.push(&rows[start..]);
    out.retain(|batch| !batch.is_empty());
    out
}

/// Brings one batch down. Gives whether the mailbox can go on.
async fn pull(run: &mut Run, mailbox: &Mailbox, rows: &[Row]) -> Result<bool, AccountError> {
    let limit = run.settings.max_message_size;
    let (rows, large): (Vec<&Row>, Vec<&Row>) =
        rows.iter().partition(|row| row.words.as_ref().is_none_or(|words| words.size <= limit));
    for row in large {
        let words = format!("larger than max_message_size ({limit} bytes)");
        set_aside(run, row.id, words, true)?;
    }
    if rows.is_empty() {
        return Ok(true);
    }
    let octets: u64 = rows.iter().filter_map(|row| Some(row.words.as_ref()?.size)).sum();
    if free_octets(run).is_some_and(|free| free < run.settings.min_free.saturating_add(octets)) {
        let limit = run.settings.min_free;
        let why = format!("the disk would have less than min_free ({limit} bytes) left");
        run.report.skip(mailbox.name.to_string(), why);
        return Ok(false);
    }
    if !select(run, mailbox).await? {
        return Ok(false);
    }
    let (delivered, failure) = fetch(run, mailbox, &rows).await?;
    let sink_failed = failure.is_some();
    if let Some(error) = failure {
        run.report.skip(mailbox.name.to_string(), error.to_string());
    }
    place(run, mailbox, delivered).await?;
    Ok(!sink_failed)
}

/// What the disk under the Maildir has left for us; none where it does not say.
fn free_octets(run: &Run) -> Option<u64> {
    let stat = rustix::fs::statvfs(run.root.path()).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Fetches the bodies; those that the server keeps back are asked for once more, alone.
async fn fetch(
    run: &mut Run,
    mailbox: &Mailbox,
    rows: &[&Row],
) -> Result<(Vec<Pulled>, Option<LocalError>), AccountError> {
    let by_uid: BTreeMap<Uid, &Row> =
        rows.iter().filter_map(|row| Some((row.remote.as_ref()?.uid, *row))).collect();
    let mut set = UidSet::default();
    by_uid.keys().for_each(|uid| {
        set.insert(*uid);
    });
    let limit = run.settings.max_message_size;
    let mut sink = Sink::new(&run.root, &mailbox.name, &by_uid, &run.outside.progress);
    let result = run.session.fetch_bodies(&set, limit, &mut sink).await;
    let Sink { mut done, mut failure, .. } = sink;
    let lost = match result {
        Ok(()) => None,
        Err(error) if error.ends_session() => Some(error),
        Err(_) => None,
    };
    if let Some(error) = lost {
        if let RemoteError::Limit { uid: Some(uid), .. } = &error
            && let Some(row) = by_uid.get(uid)
        {
            set_aside(run, row.id, error.to_string(), true)?;
        }
        // What came down whole is kept; the run ends with the connection.
        place(run, mailbox, done).await?;
        return Err(error.into());
    }
    if failure.is_none() {
        let here: BTreeSet<Uid> = done.iter().filter_map(|pulled| pulled.uid()).collect();
        for (uid, row) in by_uid.iter().filter(|(uid, _)| !here.contains(uid)) {
            match fetch_alone(run, mailbox, *uid, row).await? {
                Alone::Came(pulled) => done.push(pulled),
                Alone::Failed(error) => {
                    failure = Some(error);
                    break;
                }
                Alone::KeptBack(words) => set_aside(run, row.id, words, false)?,
                Alone::Later(words) => {
                    run.report.skip(mailbox.name.to_string(), words);
                    break;
                }
                Alone::Gone => {}
            }
        }
    }
    Ok((done, failure))
}

#[expect(clippy::large_enum_variant, reason = "one at a time, never stored")]
enum Alone {
    Came(Pulled),
    Failed(LocalError),
    KeptBack(String),
    /// The server has trouble of its own: nothing is concluded of the message.
    Later(String),
    Gone,
}

async fn fetch_alone(
    run: &mut Run,
    mailbox: &Mailbox,
    uid: Uid,
    row: &Row,
) -> Result<Alone, AccountError> {
    let set = UidSet::from_range(uid, uid);
    let only = BTreeMap::from([(uid, row)]);
    let mut sink = Sink::new(&run.root, &mailbox.name, &only, &run.outside.progress);
    let limit = run.settings.max_message_size;
    let result = run.session.fetch_bodies(&set, limit, &mut sink).await;
    let Sink { mut done, failure, .. } = sink;
    if let Some(pulled) = done.pop() {
        return Ok(Alone::Came(pulled));
    }
    if let Some(error) = failure {
        return Ok(Alone::Failed(error));
    }
    match result {
        Err(error) if error.ends_session() => Err(error.into()),
        Err(error) if super::push::is_for_now(&error) => Ok(Alone::Later(error.to_string())),
        Err(error) => Ok(Alone::KeptBack(error.to_string())),
        Ok(()) => {
            // An OK without a body: expunged meanwhile, or one that the server cannot give.
            let (all, _) = run.session.search_all().await?;
            let there = all.contains(uid);
            let words = "the server says OK and gives no body".to_owned();
            Ok(if there { Alone::KeptBack(words) } else { Alone::Gone })
        }
    }
}

fn set_aside(run: &mut Run, id: RowId, words: String, at_once: bool) -> Result<(), AccountError> {
    run.record(|w| {
        let Some(row) = w.tx().row(id)? else { return Ok(()) };
        let times = row.set_aside.as_ref().map_or(1, |s| s.times + 1);
        let times = if at_once { times.max(SetAside::TRIES) } else { times };
        let set_aside = Some(SetAside { kind: SetAsideKind::Fetch, words, times });
        w.update(&Row { set_aside, ..row })
    })
}

/// A body in `tmp/`, whole and hashed, not yet durable.
#[derive(Debug)]
pub(super) struct Pulled {
    pub(super) row: Row,
    pub(super) delivered: Delivered,
}

impl Pulled {
    fn uid(&self) -> Option<Uid> {
        self.row.remote.as_ref().map(|remote| remote.uid)
    }
}

/// Streams bodies into `tmp/`.
struct Sink<'a> {
    root: &'a Root,
    mailbox: &'a MailboxName,
    rows: &'a BTreeMap<Uid, &'a Row>,
    open: Option<Delivery>,
    seen: BTreeSet<Uid>,
    done: Vec<Pulled>,
    failure: Option<LocalError>,
    progress: &'a Progress,
}

impl<'a> Sink<'a> {
    fn new(
        root: &'a Root,
        mailbox: &'a MailboxName,
        rows: &'a BTreeMap<Uid, &'a Row>,
        progress: &'a Progress,
    ) -> Self {
        let (open, seen, done) = (None, BTreeSet::new(), Vec::new());
        Self { root, mailbox, rows, open, seen, done, failure: None, progress }
    }

    /// Keeps the reason; the stream only learns that it has to stop.
    fn fail(&mut self, error: LocalError) -> io::Error {
        self.open = None;
        self.failure = Some(error);
        io::Error::other("the Maildir cannot be written")
    }
}

impl BodySink for Sink<'_> {
    fn begin(&mut self, _uid: Option<Uid>, _size: u64) -> io::Result<()> {
        match self.root.begin(self.mailbox, &self.root.new_stem()) {
            Ok(delivery) => {
                self.open = Some(delivery);
                Ok(())
            }
            Err(error) => Err(self.fail(error)),
        }
    }

    fn chunk(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(delivery) = self.open.as_mut() else { return Ok(()) };
        delivery.write(bytes).map_err(|error| self.fail(error))?;
        let (mailbox, way, count) = (self.mailbox, Way::Down, bytes.len() as u64);
        self.progress.tell(Event::Octets { mailbox, way, count });
        Ok(())
    }

    fn end(&mut self, uid: Uid) -> io::Result<()> {
        let Some(delivery) = self.open.take() else { return Ok(()) };
        // Whatever was not asked for, or comes a second time, leaves with its tmp file.
        let Some(row) = self.rows.get(&uid) else { return Ok(()) };
        if !self.seen.insert(uid) {
            return Ok(());
        }
        let row = (*row).clone();
        let date = row.words.as_ref().map_or(0, |words| words.date);
        match delivery.finish(date) {
            Ok(delivered) => {
                self.done.push(Pulled { row, delivered });
                let (mailbox, way) = (self.mailbox, Way::Down);
                self.progress.tell(Event::Message { mailbox, way });
                Ok(())
            }
            Err(error) => Err(self.fail(error)),
        }
    }

    fn discard(&mut self) {
        self.open = None;
    }
}

/// Makes a batch durable and places it.
pub(super) async fn place(
    run: &mut Run,
    mailbox: &Mailbox,
    pulled: Vec<Pulled>,
) -> Result<(), AccountError> {
    if pulled.is_empty() {
        return Ok(());
    }
    let table = super::letters::table_for(run, mailbox, &wanted_keywords(&pulled))?;
    let mailbox = &mailbox_of(run, mailbox.id)?;
    if let Err(error) = run.root.sync_deliveries(&pulled_files(&pulled)) {
        run.report.skip(mailbox.name.to_string(), error.to_string());
        return Ok(());
    }
    // Committed before the rename: after a crash the file in tmp/, or its absence, tells how
    // far it got (hazard 19).
    let (placing, known) = run.record(|w| {
        let mut placing = Vec::new();
        let mut known = Vec::new();
        for pulled in pulled {
            match identify(w, mailbox, &pulled, &table)? {
                Some(row) => placing.push(row),
                None => known.push(pulled.delivered.stem),
            }
        }
        Ok((placing, known))
    })?;
    // What a body was fetched to tell is acted upon by the next plan.
    run.unseen |= !known.is_empty();
    for stem in known {
        if let Err(error) = run.root.discard(&mailbox.name, &stem) {
            tracing::debug!(%error, "a body that was only looked at stays in tmp");
        }
    }
    let mut placed = Vec::new();
    for row in placing {
        match rename(run, mailbox, row) {
            Ok(row) => placed.push(row),
            Err(error) => run.report.skip(mailbox.name.to_string(), error.to_string()),
        }
    }
    if let Err(error) = run.root.sync_dirs(&mailbox.name) {
        // The rows stay *placing*: the next run settles them.
        run.report.skip(mailbox.name.to_string(), error.to_string());
        return Ok(());
    }
    run.report.pulled += placed.iter().filter(|row| row.local.is_some()).count() as u64;
    run.report.touch(&mailbox.name);
    run.record(|w| placed.iter().try_for_each(|row| w.update(row)))
}

fn pulled_files(pulled: &[Pulled]) -> Vec<Delivered> {
    pulled.iter().map(|pulled| pulled.delivered.clone()).collect()
}

fn wanted_keywords(pulled: &[Pulled]) -> Flags {
    let flags = pulled.iter().filter_map(|p| p.row.remote.as_ref()).map(|remote| &remote.flags);
    flags.fold(Flags::default(), |all, flags| all.union(flags))
}

/// Writes down what the body turned out to be. Where a file with this content waits for its
/// message (moved, renumbered, filed by hand), the body was only needed to know that: the next
/// plan pairs them. Gives the row to place otherwise.
fn identify(
    w: &Writer<'_>,
    mailbox: &Mailbox,
    pulled: &Pulled,
    table: &KeywordTable,
) -> Result<Option<Row>, StateError> {
    let Some(row) = w.tx().row(pulled.row.id)? else { return Ok(None) };
    let Some(remote) = row.remote.clone() else { return Ok(None) };
    let delivered = &pulled.delivered;
    let content = Some(delivered.summary.content);
    let header = Some(delivered.summary.header);
    let row = Row { content, header, set_aside: None, ..row };
    // The second time it is fetched, nothing was found to pair it with.
    let first = pulled.row.content != content;
    if first && waits_for(w, &row)? {
        w.update(&row)?;
        return Ok(None);
    }
    let flags = super::letters::held(mailbox, &remote.flags);
    let in_new = flags.is_empty();
    let info = if in_new { String::new() } else { info(table, &flags) };
    let journal = Journal::Placing { stem: delivered.stem.clone(), in_new, info };
    let row = Row { journal, ..row };
    w.update(&row)?;
    Ok(Some(row))
}

/// Whether a file that lost its message, or waits for one here, has this content.
fn waits_for(w: &Writer<'_>, row: &Row) -> Result<bool, StateError> {
    let Some(content) = row.content else { return Ok(false) };
    let known = w.tx().by_content(&content)?;
    Ok(known.iter().filter(|other| other.id != row.id).any(|other| match class(other) {
        Class::LocalNew => other.mailbox == row.mailbox && other.set_aside.is_none(),
        Class::RemoteGone => true,
        // It may be the twin of one that was sent twice.
        Class::Paired => {
            other.mailbox == row.mailbox && matches!(other.journal, Journal::Pushed { .. })
        }
        _ => false,
    }))
}

/// The info part of a name that bears these flags.
pub(super) fn info(table: &KeywordTable, flags: &Flags) -> String {
    with_flags("", flags.system, &table.letters_for(flags).0)
}

fn rename(run: &Run, mailbox: &Mailbox, row: Row) -> Result<Row, LocalError> {
    let Journal::Placing { stem, in_new, info } = row.journal.clone() else { return Ok(row) };
    let Placed::Placed(stamp) = run.root.place(&mailbox.name, &stem, in_new, &info)? else {
        // Within the run that wrote it nobody acted on it: the file is lost, not removed by
        // anyone, and comes down again.
        return Ok(Row { journal: Journal::Idle, ..row });
    };
    Ok(placed(mailbox, row, Local { stem, in_new, info, flags: Flags::default(), stamp }))
}

/// The row of a file that has its place, with the flags that its name was given.
fn placed(mailbox: &Mailbox, row: Row, local: Local) -> Row {
    let agreed = row.remote.as_ref().map(|remote| remote.flags.clone()).unwrap_or_default();
    let local = Some(Local { flags: super::letters::held(mailbox, &agreed), ..local });
    let wanted = agreed.keywords.clone();
    let base = super::letters::base_held(Some(Base { flags: agreed }), &wanted, local.as_ref());
    let mut row = Row { local, base, journal: Journal::Idle, restated: false, ..row };
    row.set_aside = None;
    if let Some(flags) = base_now(&row, &MailboxView::of(mailbox.clone())) {
        row.base = Some(Base { flags });
    }
    row
}
