//! Bodies from `tmp/` to where they belong: into their mailbox, or to the user's program.
//!
//! A body is durable before it is recorded as *placing*, recorded before it gets its name, and
//! its name durable before it is recorded as pulled. A program is trusted with a message when it
//! ends with 0, and only then is that recorded: killed in between, it is given it once more.

use std::process::Stdio;
use std::time::Duration;

use super::classify::{Entry, Name};
use super::fetch::Leaving;
use super::pending::{Body, PendingBatch, Pipeline, Placement};
use super::rematch::Found;
use super::remove::Removable;
use super::run::{Run, Through};
use crate::account::error::AccountError;
use crate::account::ownership;
use crate::config::child;
use crate::local::name::FileName;
use crate::local::{Delivered, Placed};
use crate::reconcile::types::printable;
use crate::remote::suspects::Command;
use crate::state::{MaildropRow, Presence, Pull};

/// How long the user's program may take for a message.
const LIMIT: Duration = Duration::from_secs(600);
/// What a program ends with when nothing can be delivered for now (sysexits: EX_TEMPFAIL).
const TEMPFAIL: i32 = 75;

impl Run {
    /// Puts a batch behind those that are under way; of these all come a step further that need
    /// not be waited for. Gives whether all went well; what is not delivered stays on the server.
    pub(super) async fn put_behind(
        &mut self,
        pipeline: &mut Pipeline,
        next: PendingBatch,
        pulled: &mut Vec<Removable>,
    ) -> Result<Through, AccountError> {
        pipeline.put(next);
        let mut all = true;
        while pipeline.is_due() {
            all &= self.step(pipeline, pulled).await?;
        }
        Ok(if all { Through::All } else { Through::Enough })
    }

    /// Brings all that is under way to its end.
    pub(super) async fn finish(
        &mut self,
        pipeline: &mut Pipeline,
        pulled: &mut Vec<Removable>,
    ) -> Result<Through, AccountError> {
        let mut all = true;
        while !pipeline.is_empty() {
            all &= self.step(pipeline, pulled).await?;
        }
        Ok(if all { Through::All } else { Through::Enough })
    }

    /// Records what has got its names, and what is durable by now and gets them next. Gives
    /// whether all went well.
    async fn step(
        &mut self,
        pipeline: &mut Pipeline,
        pulled: &mut Vec<Removable>,
    ) -> Result<bool, AccountError> {
        let (placement, pending) = pipeline.take();
        let (bodies, synced) = pending.take();
        let named = self.names_of(placement);
        let mut all = named.all;
        let bodies = match synced {
            Ok(()) => bodies,
            Err(error) => {
                // Asking the system a second time proves nothing: they are fetched once more.
                self.report.skip(self.terms.mailbox.to_string(), error.to_string());
                all = false;
                Vec::new()
            }
        };
        if !bodies.is_empty() {
            self.mark()?;
        }
        let bodies = self.recognize(bodies, pulled)?;
        if self.terms.deliver_command.is_empty() {
            let placing = self.record(named, &bodies, pulled)?;
            pipeline.name(Placement::begin(&self.root, &self.terms.mailbox, placing));
        } else {
            all &= self.hand_over(bodies, pulled).await?;
        }
        Ok(all)
    }

    /// Advances the counter of marker and store, once a pull, before its first effect.
    pub(super) fn mark(&mut self) -> Result<(), AccountError> {
        if !std::mem::replace(&mut self.marked, true) && self.has_marker() {
            ownership::advance(&self.settings, &mut self.store, &self.root)?;
        }
        Ok(())
    }

    /// What was delivered before, under another name, is only written down. Gives the others.
    fn recognize(
        &mut self,
        bodies: Vec<Body>,
        pulled: &mut Vec<Removable>,
    ) -> Result<Vec<Body>, AccountError> {
        if bodies.is_empty() {
            return Ok(bodies);
        }
        let alike = &mut self.alike;
        let (mut new, mut seen, mut known) = (Vec::new(), Vec::new(), 0_u64);
        let mut given_again = false;
        self.store.transaction(|tx| {
            for body in bodies {
                let row = match alike.row(tx, &body.entry, &body.read)? {
                    Some(Found::Same(row)) => {
                        let pull = as_pulled(&row);
                        renamed(row, &body, pull)
                    }
                    Some(Found::Alike(row)) => renamed(row, &body, Pull::Alike),
                    None => {
                        given_again |= body.entry.taken;
                        new.push(body);
                        continue;
                    }
                };
                if let Some((tried, _)) = body.entry.tried.filter(|(tried, _)| *tried != row.id) {
                    tx.forget_maildrop_row(tried)?;
                }
                let id = tx.put_maildrop_row(&row)?;
                if row.may_go() {
                    pulled.push(Removable::of(body.entry.number, id, row.days));
                }
                seen.push(body.read.delivered);
                known += 1;
            }
            Ok(())
        })?;
        if given_again {
            self.doubt_names()?;
        }
        self.report.noted += known;
        for Delivered { mailbox, stem, .. } in seen {
            if let Err(error) = self.root.discard(&mailbox, &stem) {
                tracing::debug!(%error, "a body that was only looked at stays in tmp");
            }
        }
        if known > 0 {
            tracing::info!("{known} messages have other names on the server, and are here already");
        }
        Ok(new)
    }

    /// What became of names. What has none stays *placing*, and the next pull settles it.
    fn names_of(&mut self, placement: Placement) -> Names {
        let mailbox = self.terms.mailbox.clone();
        let (results, synced) = placement.take();
        let mut names = Names { placed: Vec::new(), lost: Vec::new(), all: true };
        if let Err(error) = synced {
            self.report.skip(mailbox.to_string(), error.to_string());
            return Names { all: false, ..names };
        }
        for ((number, row), name) in results {
            match name {
                Ok(Placed::Placed(_)) => names.placed.push((number, row)),
                // Nobody else knows of it: the file is lost, and is fetched once more.
                Ok(Placed::NotInTmp | Placed::Exists) => {
                    names.lost.push(row.id);
                    names.all = false;
                }
                Err(error) => {
                    self.report.skip(mailbox.to_string(), error.to_string());
                    names.all = false;
                }
            }
        }
        names
    }

    /// Records in one go what has got its name and, as *placing*, what is to get one. Gives the
    /// latter.
    fn record(
        &mut self,
        names: Names,
        bodies: &[Body],
        pulled: &mut Vec<Removable>,
    ) -> Result<Vec<(u32, MaildropRow)>, AccountError> {
        let Names { placed, lost, .. } = names;
        if placed.is_empty() && lost.is_empty() && bodies.is_empty() {
            return Ok(Vec::new());
        }
        let (mailbox, today) = (self.terms.mailbox.clone(), self.today());
        let placing = self.store.transaction(|tx| {
            lost.iter().try_for_each(|row| tx.forget_maildrop_row(*row))?;
            placed.iter().try_for_each(|(_, row)| tx.maildrop_row_is_pulled(row.id))?;
            let mut rows = Vec::with_capacity(bodies.len());
            for body in bodies {
                let mut row = row_of(body, today);
                row.id = tx.put_maildrop_row(&row)?;
                rows.push((body.entry.number, row));
            }
            Ok(rows)
        })?;
        for (number, row) in &placed {
            if let Pull::Placing(_, stem) = &row.pull {
                let name = FileName::build(stem, true, "", self.settings.info_separator);
                self.report.arrivals.note(&mailbox, || self.root.path_of(&mailbox, &name));
            }
            if !row.short {
                pulled.push(Removable::of(*number, row.id, 0));
            }
        }
        if !placed.is_empty() {
            self.report.pulled += placed.len() as u64;
            self.report.touch(&mailbox);
        }
        Ok(placing)
    }

    /// Gives messages to the user's program, one after the other. One that it does not take is
    /// tried again; when it says that it takes none for now, the others wait as well.
    async fn hand_over(
        &mut self,
        bodies: Vec<Body>,
        pulled: &mut Vec<Removable>,
    ) -> Result<bool, AccountError> {
        let today = self.today();
        let (mut waits, mut leaving) = (false, Vec::new());
        for body in bodies {
            waits |= self.environment.is_stopping();
            if !waits {
                match self.give(&body.read.delivered).await {
                    Ok(()) => {
                        let row = MaildropRow { pull: Pull::Pulled, ..row_of(&body, today) };
                        let id = self.store.transaction(|tx| tx.put_maildrop_row(&row))?;
                        self.report.pulled += 1;
                        if row.may_go() {
                            pulled.push(Removable::of(body.entry.number, id, 0));
                        }
                    }
                    Err(Untaken { why, for_now }) => {
                        self.report.skip(body.entry.title(), why.clone());
                        waits |= for_now;
                        // Next time the others come first: it may be this one's fault.
                        let times = body.entry.tried.map_or(0, |(_, times)| times);
                        leaving.push((body.entry.clone(), why, times + u32::from(!for_now)));
                    }
                }
            }
            let Delivered { mailbox, stem, .. } = &body.read.delivered;
            if let Err(error) = self.root.discard(mailbox, stem) {
                tracing::debug!(%error, "a body that was handed over stays in tmp");
            }
        }
        self.leave(leaving)?;
        Ok(!waits)
    }

    /// Runs the program with the message as its input.
    async fn give(&self, delivered: &Delivered) -> Result<(), Untaken> {
        let Some((program, arguments)) = self.terms.deliver_command.split_first() else {
            return Ok(());
        };
        let shown = printable(program);
        let failed = |why: String| Untaken { why: format!("{shown}: {why}"), for_now: true };
        let input = std::fs::File::open(delivered.path()).map_err(|e| failed(e.to_string()))?;
        let mut command = child::command(program, arguments);
        command.env("MAILTIDE_ACCOUNT", &self.settings.name).stdin(Stdio::from(input));
        let ended = child::run(command, &[], LIMIT).await.map_err(|e| failed(e.to_string()))?;
        match ended.status {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(Untaken {
                why: format!("{shown}: {status}; tried again later"),
                for_now: status.code() == Some(TEMPFAIL),
            }),
            None => Err(failed(format!("took over {} s", LIMIT.as_secs()))),
        }
    }

    /// Notes why messages stay on the server.
    pub(super) fn leave(&mut self, leaving: Vec<Leaving>) -> Result<(), AccountError> {
        let today = self.today();
        let (named, nameless): (Vec<Leaving>, Vec<Leaving>) =
            leaving.into_iter().partition(|(entry, ..)| entry.name != Name::None);
        for (entry, words, times) in nameless {
            // It has no row: it is known by its number and size, as long as those last.
            (0..times).for_each(|_| self.note_failure(Command::Retr, entry.number, &words));
            self.report.skip(entry.title(), words);
        }
        if named.is_empty() {
            return Ok(());
        }
        self.store.transaction(|tx| {
            named.into_iter().try_for_each(|(entry, words, times)| {
                let pull = Pull::Left(words, times);
                tx.put_maildrop_row(&MaildropRow { pull, ..row_named(&entry, today) }).map(drop)
            })
        })?;
        Ok(())
    }
}

/// What became of a batch that was given its names.
struct Names {
    placed: Vec<(u32, MaildropRow)>,
    /// Rows whose file is lost.
    lost: Vec<i64>,
    /// Whether all went well.
    all: bool,
}

/// A message that the user's program did not take.
struct Untaken {
    why: String,
    /// It would take none.
    for_now: bool,
}

fn row_named(entry: &Entry, today: i64) -> MaildropRow {
    MaildropRow {
        id: entry.tried.map_or(0, |(id, _)| id),
        uidl: entry.name.uidl(),
        header: None,
        start: entry.start.as_deref().copied(),
        size: entry.size,
        content: None,
        text: None,
        pull: Pull::Pulled,
        days: 0,
        last_day: today,
        presence: Presence::Listed,
        short: false,
    }
}

/// The row of a body that is to be placed.
fn row_of(body: &Body, today: i64) -> MaildropRow {
    let Delivered { mailbox, stem, summary, .. } = &body.read.delivered;
    MaildropRow {
        header: Some(body.read.top.header),
        start: Some(body.named_start()),
        content: Some(summary.content),
        text: Some(body.read.text),
        short: body.read.short,
        pull: Pull::Placing(mailbox.clone(), stem.clone()),
        ..row_named(&body.entry, today)
    }
}

/// What a row is whose very message was met. One that was deleted, as the server said, and is still
/// there may be one that it keeps for ever.
fn as_pulled(row: &MaildropRow) -> Pull {
    match (row.presence, &row.pull) {
        (Presence::Deleted, pull) => pull.met_again(),
        (_, Pull::Kept(times)) => Pull::Kept(*times),
        _ => Pull::Pulled,
    }
}

/// A row under the name that its message has now. Where it has no unique id for now, it keeps the
/// one it had.
fn renamed(row: MaildropRow, body: &Body, pull: Pull) -> MaildropRow {
    let uidl = body.entry.name.uidl().or(row.uidl.clone());
    let (header, start) = (Some(body.read.top.header), Some(body.named_start()));
    let (size, short) = (body.entry.size, row.short || body.read.short);
    MaildropRow { uidl, header, start, size, pull, short, presence: Presence::Listed, ..row }
}

impl Body {
    /// The hash of its beginning as the server tells it when asked for that alone, if it was.
    fn named_start(&self) -> [u8; 32] {
        self.entry.start.as_deref().copied().unwrap_or(self.read.top.start)
    }
}
