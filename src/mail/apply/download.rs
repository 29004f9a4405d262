//! Bodies down: fetched by jobs, over as many connections as are worth it, and placed as a
//! batch.

mod revive;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::place::place;
use super::placing;
use super::placing::{Absence, settle};
use super::steps::{announce, grouped, mailbox_of};
use crate::account::error::AccountError;
use crate::account::progress::{Event, Way};
use crate::account::settings::Environment;
use crate::account::sizes;
use crate::mail::fetch::Job;
use crate::mail::fetch::connections::Lanes;
use crate::mail::fetch::take::{Fetched, Pulled, RefusedBody, Tools};
use crate::mail::run::Run;
use crate::mail::short::believe;
use crate::reconcile::Step;
use crate::reconcile::types::{
    Journal, Mailbox, MailboxId, MailboxName, Row, SetAside, SetAsideKind, Uid,
};
use crate::remote::RemoteError;
use crate::remote::imap::{Command, Names, Thing, UidSet};

/// A batch is placed when it holds this many messages or octets.
const BATCH: Size = Size { messages: 4000, octets: 48 << 20 };
/// What one of several connections fetches in one go.
const SHARE: Size = Size { messages: 1000, octets: 8 << 20 };
/// Messages among which the smallest is the one that the server is asked for as a witness.
const WITNESSES: u32 = 8;

#[derive(Debug, Clone, Copy)]
struct Size {
    messages: usize,
    octets: u64,
}

pub(super) async fn apply(run: &mut Run, steps: &[Step]) -> Result<(), AccountError> {
    let wanted = grouped(run, steps, |step| match step {
        Step::Fetch(row) => Some((*row, ())),
        _ => None,
    })?;
    announce(run, Way::Down, &wanted)?;
    let mut pull = Pull::new(run);
    for (id, rows) in wanted {
        let mailbox = mailbox_of(run, id)?;
        let mut rows: Vec<Row> = rows.into_iter().map(|(row, ())| row).collect();
        rows.sort_by_key(|row| row.remote.as_ref().map(|remote| remote.uid));
        let rows = place_left(run, &mailbox, rows)?;
        let rows = leave_large(run, rows)?;
        if mailbox.local {
            let rows = leave_suspects(run, &mailbox, rows)?;
            pull.queue(run, &mailbox, rows);
        }
    }
    let result = pull.fetch_all(run).await;
    for (mailbox, why) in pull.given_up {
        run.report.skip(mailbox.to_string(), why);
    }
    // What came down whole is kept, also where the connection was lost.
    place(run, pull.batch)?;
    result
}

/// What came down in an earlier run and could not be placed is not fetched again: it is tried
/// once more, and named. Gives the rows without a file in `tmp/`.
fn place_left(run: &mut Run, mailbox: &Mailbox, rows: Vec<Row>) -> Result<Vec<Row>, AccountError> {
    let is_left = |row: &Row| matches!(row.journal, Journal::Placing { .. });
    let (left, rows): (Vec<Row>, Vec<Row>) = rows.into_iter().partition(is_left);
    let absence =
        if left.is_empty() { Absence::ProvesNothing } else { placing::absence(run, mailbox)? };
    let mut settled = Vec::new();
    for row in left {
        match settle(&run.root, mailbox, row.clone(), absence) {
            // Its directory is another one: it comes down again.
            Ok(None) => settled.push(Row { journal: Journal::Idle, ..row }),
            Ok(Some(row)) => settled.push(row),
            Err(error) => run.report.skip(mailbox.name.to_string(), error.to_string()),
        }
    }
    if !settled.is_empty() {
        run.root.sync_dirs(&mailbox.name)?;
        run.report.pulled += settled.iter().filter(|row| row.local.is_some()).count() as u64;
        run.report.touch(&mailbox.name);
        run.record(|w| settled.iter().try_for_each(|row| w.update(row)))?;
    }
    Ok(rows)
}

/// Messages above the limit stay on the server. Gives the others.
fn leave_large(run: &mut Run, rows: Vec<Row>) -> Result<Vec<Row>, AccountError> {
    let limit = run.settings.max_message_size;
    let fits = |row: &Row| row.words.as_ref().is_none_or(|words| words.size <= limit);
    let (rows, large): (Vec<Row>, Vec<Row>) = rows.into_iter().partition(fits);
    for row in large {
        let words = format!("larger than max_message_size ({limit} bytes)");
        keep(run, RefusedBody { row: row.id, words, times: SetAside::TRIES })?;
    }
    Ok(rows)
}

/// Sets aside what connections were lost at, alone, and what is not asked for again yet. Gives the
/// others.
fn leave_suspects(
    run: &mut Run,
    mailbox: &Mailbox,
    rows: Vec<Row>,
) -> Result<Vec<Row>, AccountError> {
    let resting = {
        let suspects = run.suspects.lock();
        let validity = mailbox.cursor.map_or(0, |cursor| cursor.uid_validity);
        suspects.list_of(Command::Bodies, &mailbox.name, validity)
    };
    let is = |row: &Row, set: &UidSet| {
        row.remote.as_ref().is_some_and(|remote| set.contains(remote.uid))
    };
    let words = |row: &Row| resting.iter().find(|(set, _)| is(row, set)).map(|(_, w)| w.clone());
    let mut left = Vec::new();
    for row in rows {
        match words(&row) {
            Some(words) => keep(run, RefusedBody { row: row.id, words, times: SetAside::TRIES })?,
            None => left.push(row),
        }
    }
    Ok(left)
}

/// Notes why a message stays where it is.
fn keep(run: &mut Run, kept: RefusedBody) -> Result<(), AccountError> {
    run.record(|w| {
        let Some(row) = w.tx().row(kept.row)? else { return Ok(()) };
        let before = row.set_aside.as_ref().map_or(0, |s| s.times);
        let times = kept.times.max(before + 1);
        let set_aside = Some(SetAside { kind: SetAsideKind::Fetch, words: kept.words, times });
        w.update(&Row { set_aside, ..row })
    })
}

/// A small message of a mailbox whose body came down once.
fn witness(run: &Run, mailbox: &Mailbox) -> Option<Uid> {
    let known = run.store.youngest_known(mailbox.id, WITNESSES).unwrap_or_default();
    let size = |row: &&Row| row.words.as_ref().map(|words| words.size);
    known.iter().min_by_key(size).and_then(|row| Some(row.remote.as_ref()?.uid))
}

/// Messages that are no suspects, and suspects in the company in which they are asked for.
fn apart(run: &Run, mailbox: &Mailbox, rows: Vec<Row>) -> (Vec<Row>, Vec<Vec<Row>>) {
    let suspects = run.suspects.lock();
    if !suspects.concern(&mailbox.name) {
        return (rows, Vec::new());
    }
    let uid_of = |row: &Row| row.remote.as_ref().map(|remote| remote.uid);
    let all: UidSet = rows.iter().filter_map(uid_of).collect();
    let validity = mailbox.cursor.map_or(0, |cursor| cursor.uid_validity);
    let parts = suspects.parts(Command::Bodies, &mailbox.name, validity, &all);
    let mut clean = Vec::new();
    let mut apart: Vec<Vec<Row>> = parts.iter().map(|_| Vec::new()).collect();
    for row in rows {
        let at = uid_of(&row).and_then(|uid| parts.iter().position(|part| part.contains(uid)));
        match at {
            Some(at) if suspects.has_any(Command::Bodies, &mailbox.name, validity, &parts[at]) => {
                apart[at].push(row);
            }
            Some(_) => clean.push(row),
            None => {}
        }
    }
    apart.retain(|rows| !rows.is_empty());
    (clean, apart)
}

/// Bodies on their way, and those that wait for their turn.
struct Pull {
    tools: Tools,
    environment: Environment,
    min_free: u64,
    share: Size,
    waiting: VecDeque<Job>,
    /// Those at which connections were lost.
    suspect: Vec<Job>,
    /// Jobs that are not done, by mailbox.
    open: BTreeMap<MailboxId, usize>,
    begun: BTreeSet<MailboxId>,
    /// Mailboxes of which nothing more is fetched, and why.
    given_up: Vec<(MailboxName, String)>,
    /// Octets of jobs that were begun: they may not be on the disk yet.
    under_way: u64,
    /// What lies in `tmp/` and is not placed yet.
    batch: Vec<Pulled>,
    /// A small message of each mailbox that was given in this run.
    given: BTreeMap<MailboxId, Uid>,
    /// Mailboxes in which a message that is refused breaks the session.
    breaks: BTreeSet<MailboxId>,
    /// Not even a fresh connection gives anything.
    refuses_all: bool,
}

impl Pull {
    fn new(run: &Run) -> Self {
        let root = Arc::clone(&run.root);
        let (progress, limit) = (run.environment.progress.clone(), run.settings.max_message_size);
        Self {
            tools: Tools { root, progress, limit, sizes: sizes::Shared::load(&run.store) },
            environment: run.environment.clone(),
            min_free: run.settings.min_free,
            share: if run.settings.connections > 1 { SHARE } else { BATCH },
            waiting: VecDeque::new(),
            suspect: Vec::new(),
            open: BTreeMap::new(),
            begun: BTreeSet::new(),
            given_up: Vec::new(),
            under_way: 0,
            batch: Vec::new(),
            given: BTreeMap::new(),
            breaks: BTreeSet::new(),
            refuses_all: false,
        }
    }

    /// A message of a mailbox whose body was given.
    fn witness(&self, run: &Run, mailbox: &Mailbox) -> Option<Uid> {
        self.given.get(&mailbox.id).copied().or_else(|| witness(run, mailbox))
    }

    /// Cuts what is wanted of a mailbox into jobs.
    fn queue(&mut self, run: &Run, mailbox: &Mailbox, rows: Vec<Row>) {
        let (rows, suspect) = apart(run, mailbox, rows);
        let witness = self.witness(run, mailbox);
        let is_wary = self.breaks.contains(&mailbox.id);
        let job_of = |rows| Job { mailbox: mailbox.clone(), rows, witness, is_wary };
        self.suspect.extend(suspect.into_iter().map(job_of));
        let (mut job, mut octets) = (Vec::new(), 0_u64);
        let (tried, rows): (Vec<Row>, Vec<Row>) =
            rows.into_iter().partition(|row| row.set_aside.is_some());
        for row in rows {
            octets = octets.saturating_add(row.words.as_ref().map_or(0, |words| words.size));
            job.push(row);
            if job.len() >= self.share.messages || octets >= self.share.octets {
                octets = 0;
                self.push(job_of(std::mem::take(&mut job)));
            }
        }
        self.push(job_of(job));
        // What was in vain before comes last and alone: it may cost the connection.
        for row in tried {
            self.suspect.push(job_of(vec![row]));
        }
    }

    /// Suspects come when everything else is here.
    fn next_suspect(&mut self) -> bool {
        if self.suspect.is_empty() {
            return false;
        }
        let job = self.suspect.remove(0);
        let given_up = self.given_up.iter().any(|(name, _)| *name == job.mailbox.name);
        if !given_up {
            self.push(job);
        }
        true
    }

    fn push(&mut self, job: Job) {
        if !job.rows.is_empty() {
            *self.open.entry(job.mailbox.id).or_default() += 1;
            self.waiting.push_back(job);
        }
    }

    /// Fetches until nothing waits. Gives an error only for what ends the run.
    async fn fetch_all(&mut self, run: &mut Run) -> Result<(), AccountError> {
        loop {
            self.fill(&mut run.lanes, &run.session.names());
            let (own, others) = match self.next_job() {
                Some(job) => self.beside(run, job).await,
                None if run.lanes.is_busy() => (None, vec![run.lanes.next().await]),
                None if self.next_suspect() => continue,
                None => return Ok(()),
            };
            for mut fetched in others {
                let (at, barren) = (fetched.at.take(), fetched.barren.take());
                let mailbox = fetched.mailbox.clone();
                if let Some((error, job)) = self.take_in(run, fetched)? {
                    if matches!(error, RemoteError::Throttled { .. }) {
                        return Err(error.into());
                    }
                    if let Some(at) = at.filter(|_| error.is_loss()) {
                        run.note_loss(&at, &error);
                    }
                    self.after_loss(run, job)?;
                }
                if let Some(barren) = barren {
                    self.revive(run, &mailbox, barren).await?;
                }
            }
            let Some(mut fetched) = own else { continue };
            let (mailbox, barren) = (fetched.mailbox.clone(), fetched.barren.take());
            if let Some((error, job)) = self.take_in(run, fetched)? {
                run.survive(error.into()).await?;
                self.after_loss(run, job)?;
            }
            if let Some(barren) = barren {
                self.revive(run, &mailbox, barren).await?;
            }
        }
    }

    /// The connection was lost over a message, so nothing behind it could be read. It is asked
    /// for once more, last and alone, then set aside; the others come without it (hazards 67
    /// and 90).
    fn after_loss(&mut self, run: &mut Run, job: Job) -> Result<(), AccountError> {
        let Job { mailbox, rows, .. } = job;
        let rows = leave_suspects(run, &mailbox, rows)?;
        self.queue(run, &mailbox, rows);
        run.keep_suspects()
    }

    /// Fetches over the first connection, while the others go on.
    async fn beside(&mut self, run: &mut Run, job: Job) -> (Option<Fetched>, Vec<Fetched>) {
        let Run { session, lanes, .. } = run;
        let (tools, names) = (self.tools.clone(), session.names());
        let mut own = std::pin::pin!(job.run(session, &tools));
        let mut others = Vec::new();
        loop {
            tokio::select! {
                biased;
                fetched = &mut own => return (Some(fetched), others),
                fetched = lanes.next() => others.push(fetched),
            }
            if self.batch.len() + others.len() * self.share.messages < BATCH.messages {
                self.fill(lanes, &names);
            }
        }
    }

    /// Gives the further connections something to do.
    fn fill(&mut self, lanes: &mut Lanes, names: &Arc<Names>) {
        // One job is left for the first connection.
        while self.waiting.len() > 1 {
            let rows = self.waiting.iter().map(|job| job.rows.len()).sum();
            let octets = self.waiting.iter().map(Job::octets).sum();
            if !lanes.has_room(rows, octets) {
                break;
            }
            let Some(job) = self.next_job() else { break };
            lanes.begin(job, self.tools.clone(), Arc::clone(names));
        }
    }

    /// The next job that the disk has room for; none when the run is to end.
    fn next_job(&mut self) -> Option<Job> {
        while !self.environment.is_stopping()
            && let Some(job) = self.waiting.pop_front()
        {
            let octets = job.octets();
            let wanted = self.min_free.saturating_add(self.under_way).saturating_add(octets);
            if self.tools.root.free_octets().is_none_or(|free| free >= wanted) {
                self.under_way = self.under_way.saturating_add(octets);
                if self.begun.insert(job.mailbox.id) {
                    let (mailbox, way) = (&job.mailbox.name, Way::Down);
                    self.tools.progress.tell(Event::Began { mailbox, way });
                }
                return Some(job);
            }
            let limit = self.min_free;
            let why = format!("the disk would have less than min_free ({limit} bytes) left");
            self.close(&job.mailbox, 1);
            self.give_up(&job.mailbox, why);
        }
        None
    }

    fn give_up(&mut self, mailbox: &Mailbox, why: String) {
        let before = self.waiting.len();
        self.waiting.retain(|job| job.mailbox.id != mailbox.id);
        self.close(mailbox, before - self.waiting.len());
        self.given_up.push((mailbox.name.clone(), why));
    }

    /// So many jobs of a mailbox are done with.
    fn close(&mut self, mailbox: &Mailbox, jobs: usize) {
        let Some(open) = self.open.get_mut(&mailbox.id) else { return };
        *open = open.saturating_sub(jobs);
        if *open == 0 {
            self.open.remove(&mailbox.id);
            let (mailbox, way) = (&mailbox.name, Way::Down);
            self.tools.progress.tell(Event::Ended { mailbox, way });
        }
    }

    /// A body that is not given is asked for again ever more rarely.
    fn note_refusal(
        &self,
        run: &mut Run,
        mailbox: &Mailbox,
        kept: &RefusedBody,
    ) -> Result<(), AccountError> {
        let remote = run.store.row(kept.row)?.and_then(|row| row.remote);
        let Some(remote) = remote.filter(|_| kept.times < SetAside::TRIES) else { return Ok(()) };
        let thing = Thing {
            uid_validity: mailbox.cursor.map_or(0, |cursor| cursor.uid_validity),
            uids: UidSet::from_range(remote.uid, remote.uid),
            ..Thing::whole(Command::Bodies, Some(&mailbox.name))
        };
        run.suspects.lock().refused(&thing, &kept.words);
        Ok(())
    }

    /// Takes note of what became of a job. Gives why its connection ended, and what it left.
    fn take_in(
        &mut self,
        run: &mut Run,
        fetched: Fetched,
    ) -> Result<Option<(RemoteError, Job)>, AccountError> {
        let Fetched { mailbox, octets, done, kept, trouble, lost, .. } = fetched;
        self.under_way = self.under_way.saturating_sub(octets);
        self.tools.sizes.keep(&mut run.store)?;
        let (done, doubtful) = believe(run, &mailbox, done)?;
        for kept in kept.into_iter().chain(doubtful) {
            self.note_refusal(run, &mailbox, &kept)?;
            keep(run, kept)?;
        }
        let smallest = done.iter().min_by_key(|pulled| pulled.octets);
        if let Some(remote) = smallest.and_then(|pulled| pulled.row.remote.as_ref()) {
            self.given.entry(mailbox.id).or_insert(remote.uid);
        }
        self.batch.extend(done);
        if let Some(why) = trouble {
            self.give_up(&mailbox, why);
        }
        self.close(&mailbox, 1);
        let octets: u64 = self.batch.iter().map(|pulled| pulled.delivered.file_size).sum();
        if self.batch.len() >= BATCH.messages || octets >= BATCH.octets {
            place(run, std::mem::take(&mut self.batch))?;
        }
        Ok(lost.map(|(error, rows)| (error, Job { rows, ..Job::new(mailbox) })))
    }
}
