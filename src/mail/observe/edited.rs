//! Looks for files that were edited in place: same name, other bytes (hazard 12).
//!
//! A scan of names does not see them, so once a day every file is asked for its size and time.
//! Drafts are asked in every run, since programs save them in place, and so are the files that came
//! last, since one may have been written with pauses; a file that differs is read again. On a
//! slow disk that takes hours: it is done in slices, and how far it came is kept (hazard 121).

use std::time::Duration;

use super::unsent::{is_no_message, too_large_now};
use crate::account::error::AccountError;
use crate::local::{Examined, FileName, Listed};
use crate::mail::limits::too_large;
use crate::mail::run::Run;
use crate::reconcile::types::{
    DirStamps, Journal, Local, Mailbox, MailboxId, Row, RowId, ServerFacts, SetAsideKind,
    SpecialUse,
};
use crate::state::meta;

/// How long the last look may lie back, in seconds.
const EVERY_S: i64 = 24 * 60 * 60;
/// Rows looked at in one go.
const PAGE: usize = 200;
/// So long a comparison goes on before it is kept how far it came. In the daemon everything else
/// has its turn then.
const SLICE: Duration = Duration::from_secs(5);
/// Drafts that are compared in every run, of those that came last: each costs a call.
const DRAFTS_MAX: u32 = 200;
/// Rows among which files are compared in every run, of those that came last.
const YOUNGEST_MAX: u32 = 200;
/// Before the first row.
const BEGINNING: (MailboxId, RowId) = (MailboxId(0), RowId(0));

/// Compares all files, if that is due, or goes on with it.
pub(super) async fn look(run: &mut Run) -> Result<(), AccountError> {
    let reached = run.store.fact(&meta::FILES_COMPARED_TO)?;
    if reached.is_none() && !begins(run)? {
        look_at_youngest(run)?;
        return look_in_drafts(run);
    }
    let mut mailboxes = run.store.mailboxes()?;
    mailboxes.sort_unstable_by_key(|mailbox| mailbox.id);
    let mut slice = Slice { begun_ns: run.environment.clock.now_ns() };
    for mailbox in mailboxes.into_iter().filter(|mailbox| mailbox.local) {
        let after = match reached {
            Some((id, _)) if mailbox.id < id => continue,
            Some((id, row)) if mailbox.id == id => Some(row),
            _ => None,
        };
        match look_in(run, &mailbox, after, &mut slice).await {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            // One mailbox that cannot be read keeps no other from being compared.
            Err(AccountError::Local(error)) => {
                run.report.skip(mailbox.name.to_string(), error.to_string());
            }
            Err(error) => return Err(error),
        }
    }
    Ok(run.store.transaction(|tx| tx.delete_fact(&meta::FILES_COMPARED_TO).map(drop))?)
}

/// Compares the files of mailboxes for drafts.
fn look_in_drafts(run: &mut Run) -> Result<(), AccountError> {
    let mailboxes = run.store.mailboxes()?.into_iter();
    let is_for_drafts = |m: &Mailbox| m.local && m.special_use == Some(SpecialUse::Drafts);
    for mailbox in mailboxes.filter(is_for_drafts) {
        for row in run.store.youngest_known(mailbox.id, DRAFTS_MAX)? {
            compare_or_skip(run, &mailbox, row)?;
        }
    }
    Ok(())
}

/// Compares the files that came last and were written within a day. One that is written in place
/// with pauses may have been sent before its end, and a listing of names does not show that it has
/// grown since (hazard 141).
fn look_at_youngest(run: &mut Run) -> Result<(), AccountError> {
    let mut rows = run.store.youngest_files(YOUNGEST_MAX)?;
    let since_ns = run.environment.clock.now_ns().saturating_sub(EVERY_S * 1_000_000_000);
    rows.retain(|row| row.local.as_ref().is_some_and(|local| local.stamp.mtime_ns > since_ns));
    if rows.is_empty() {
        return Ok(());
    }
    let mailboxes = run.store.mailboxes()?;
    for row in rows {
        let Some(mailbox) = mailboxes.iter().find(|m| m.id == row.mailbox && m.local) else {
            continue;
        };
        if run.looks_at(&mailbox.name) && !is_growing(run, mailbox, &row) {
            compare_or_skip(run, mailbox, row)?;
        }
    }
    Ok(())
}

/// Whether somebody is still writing the file of a row; a later run reads it.
fn is_growing(run: &mut Run, mailbox: &Mailbox, row: &Row) -> bool {
    let Some(local) = &row.local else { return false };
    let name = FileName::of(local, run.settings.info_separator);
    let Ok(Some(now)) = run.root.stat(&mailbox.name, &name) else { return false };
    let now_ns = run.environment.clock.now_ns();
    let quiet_ns = i64::try_from(QUIET.as_nanos()).unwrap_or(i64::MAX);
    let is_young = (now_ns - quiet_ns..=now_ns).contains(&now.mtime_ns);
    let grows = now != local.stamp && is_young;
    run.attempt.growing |= grows && !run.waits;
    grows
}

/// Whether a comparison is due. If so, it is noted that it begins now.
fn begins(run: &mut Run) -> Result<bool, AccountError> {
    let now = run.environment.clock.now();
    let last = run.store.fact(&meta::FILES_COMPARED)?;
    // A clock that was set back must not put this off for ever.
    let due = last.is_some_and(|last| !(last..last + EVERY_S).contains(&now));
    if due || last.is_none() {
        run.store.transaction(|tx| {
            tx.set_fact(&meta::FILES_COMPARED, &now)?;
            // Cut off, it is gone on with.
            if due { tx.set_fact(&meta::FILES_COMPARED_TO, &BEGINNING) } else { Ok(()) }
        })?;
    }
    Ok(due)
}

/// Looks at files of which an event told that they were written to.
pub(super) fn look_at(run: &mut Run) -> Result<(), AccountError> {
    for path in std::mem::take(&mut run.hints.written) {
        let Some((name, stem)) = run.root.locate(&path) else { continue };
        let Some(mailbox) = run.store.mailbox_by_name(&name)? else { continue };
        let Some(row) = run.store.by_stem(mailbox.id, &stem)? else { continue };
        compare_or_skip(run, &mailbox, row)?;
    }
    Ok(())
}

/// Compares a file; one that cannot be read is named and keeps no other from being compared.
fn compare_or_skip(run: &mut Run, mailbox: &Mailbox, row: Row) -> Result<(), AccountError> {
    match compare(run, mailbox, row) {
        Err(AccountError::Local(error)) => {
            run.report.skip(mailbox.name.to_string(), error.to_string());
            Ok(())
        }
        done => done,
    }
}

/// Compares the files of a mailbox. False where the rest is for another time.
async fn look_in(
    run: &mut Run,
    mailbox: &Mailbox,
    mut after: Option<RowId>,
    slice: &mut Slice,
) -> Result<bool, AccountError> {
    loop {
        let rows = run.store.rows_in(mailbox.id, after, PAGE)?;
        let Some(last) = rows.last().map(|row| row.id) else { return Ok(true) };
        after = Some(last);
        for row in rows {
            compare(run, mailbox, row)?;
        }
        if !slice.goes_on(run, (mailbox.id, last)).await? {
            return Ok(false);
        }
    }
}

fn compare(run: &mut Run, mailbox: &Mailbox, row: Row) -> Result<(), AccountError> {
    let Some(local) = row.local else { return Ok(()) };
    let name = FileName::of(&local, run.settings.info_separator);
    // Not there under that name: the next scan of names says what became of it.
    match run.root.stat(&mailbox.name, &name)? {
        Some(stamp) if stamp != local.stamp => reexamine(run, row.id),
        _ => Ok(()),
    }
}

/// Looks whether a row's file is still the one that was hashed. An edited file is other
/// content: the row loses it, and a new row that knows its past has it (hazard 12).
pub(in crate::mail) fn reexamine(run: &mut Run, id: RowId) -> Result<(), AccountError> {
    let Some(row) = run.store.row(id)? else { return Ok(()) };
    let Some(local) = row.local.clone() else { return Ok(()) };
    let Some(mailbox) = run.store.mailbox(row.mailbox)? else { return Ok(()) };
    let listed = Listed::expected(&local, run.settings.info_separator);
    if too_large_now(run, &mailbox, &listed)?.is_some() {
        let what = format!("{}: {:?}", mailbox.name, listed.stem);
        run.report.skip(what, too_large(run.settings.max_message_size));
        return Ok(());
    }
    let examined = run.root.examine(&mailbox.name, &listed)?;
    let Examined::Message { summary, stamp, mtime_s, .. } = examined else {
        return Ok(());
    };
    run.record(|w| {
        if row.content == Some(summary.content) {
            let local = Some(Local { stamp, ..local });
            return w.update(&Row { local, ..row });
        }
        let size = summary.wire_size;
        let edited = Row {
            local: Some(Local { stamp, ..local }),
            content: Some(summary.content),
            header: Some(summary.header),
            words: Some(ServerFacts { size, date: mtime_s, object_id: None }),
            set_aside: summary.is_binary.then(is_no_message),
            ..Row::new(row.mailbox)
        };
        // What was said of the former text is not said of this one.
        let set_aside = row.set_aside.clone().filter(|s| s.kind == SetAsideKind::Remove);
        // The name is free for the new row only once the old one has left it.
        let old = Row { local: None, set_aside, ..row };
        w.update(&old)?;
        let by = w.insert(&edited)?;
        let on_server = old.remote.is_some();
        let journal = if on_server { Journal::Replaced { by } } else { old.journal.clone() };
        w.update(&Row { journal, ..old })
    })
}

/// How long it has gone on without a pause.
struct Slice {
    begun_ns: i64,
}

impl Slice {
    /// Where the slice is over, keeps how far it came. Gives whether to go on now.
    async fn goes_on(
        &mut self,
        run: &mut Run,
        (mailbox, row): (MailboxId, RowId),
    ) -> Result<bool, AccountError> {
        tokio::task::yield_now().await;
        let now_ns = run.environment.clock.now_ns();
        let over = u128::from(now_ns.abs_diff(self.begun_ns)) >= SLICE.as_nanos();
        if !over && !run.environment.is_stopping() {
            return Ok(true);
        }
        run.store.transaction(|tx| tx.set_fact(&meta::FILES_COMPARED_TO, &(mailbox, row)))?;
        run.keep_awake().await?;
        self.begun_ns = now_ns;
        run.attempt.growing |= !run.waits;
        Ok(run.waits && !run.environment.is_stopping())
    }
}

/// So long after its last change a file counts as written.
pub(in crate::mail) const QUIET: Duration =
    Duration::from_nanos(QUIET_NS.unsigned_abs() + 50_000_000);

/// A directory stamp this young may miss a change made within its granularity.
pub(super) const QUIET_NS: i64 = 2_000_000_000;

pub(super) fn is_quiet(stamps: &DirStamps, now_ns: i64) -> bool {
    stamps.new.mtime_ns.max(stamps.cur.mtime_ns) < now_ns - QUIET_NS
}
