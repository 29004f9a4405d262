//! Lost, restored, renumbered or foreign state is never "everything was deleted".
//!
//! What is unknown is stated anew: rows keep what was known of their content, lose the columns
//! that cannot be believed any more, and are paired again with what the next looks find. What
//! has no match on the other side is united, nothing is removed.

use super::limits::TOO_LARGE;
use super::run::Run;
use super::writer::Writer;
use crate::account::error::AccountError;
use crate::account::ownership::{check_layout, counter, hex, identity, is_our_root};
use crate::account::settings::{Environment, Settings};
use crate::local::Root;
use crate::reconcile::Policy;
use crate::reconcile::types::{Base, Journal, Mailbox, Row, RowId, SetAside, SetAsideKind};
use crate::state::meta;
use crate::state::meta::{Roots, Uniting};
use crate::state::{StateError, Store, Tx};

/// Messages that are set aside and looked at again when a limit changed.
const ASIDE_MAX: usize = 100_000;

/// Compares the root's marker, the account's identity and its scope with the store. True where the
/// root is another one, or as it was before: [`advance`] is to follow before anything is looked at,
/// or the next run would forget once more what this one saw (hazard 71).
///
/// # Errors
/// [`AccountError::Foreign`] where the root belongs to another store,
/// [`AccountError::Gone`] where it is not mounted,
/// [`AccountError::Layout`] where it is laid out otherwise, and what the store or the root
/// refuse.
pub(super) fn check(
    settings: &Settings,
    environment: &Environment,
    store: &mut Store,
    root: &Root,
) -> Result<bool, AccountError> {
    check_layout(settings, root)?;
    let identity = identity(settings);
    let known = store.fact(&meta::IDENTITY)?;
    let moved_server = known.as_deref().is_some_and(|known| known != identity);
    let scope = store.fact(&meta::SCOPE)?;
    let old_scope = scope.filter(|scope| *scope != settings.scope);
    let limits = settings.max_message_size;
    let root_is_ours = is_our_root(settings, store, root)?;
    if !root_is_ours {
        // Its disk may have been unmounted since it was opened (hazard 64).
        crate::account::opening::check_disk(settings, environment, store)?;
    }
    let mut roots = store.fact(&meta::ROOTS)?.unwrap_or_default();
    let is_new = roots.note(counter(store, &meta::MARKER)?, store.newest_row()?);
    let marker = if root_is_ours { None } else { root.marker()? };
    let known = marker.filter(|m| m.store_id == hex(store.id())).map(|m| roots.known_to(m.counter));
    store.transaction(|tx| {
        if moved_server {
            tracing::info!("another server or user than before: both sides are united");
            restate_server(tx)?;
        }
        if !root_is_ours || moved_server {
            tracing::info!("the Maildir is not as it was left: both sides are united");
            restate_root(tx, known.unwrap_or(EVERY_ROW))?;
        }
        if !root_is_ours {
            tx.set_fact(&meta::UNITING, &Uniting::Mirror)?;
        }
        if let Some(old) = &old_scope {
            tracing::info!("the configuration changed: nothing is removed for that");
            drop_excluded(tx, settings)?;
            super::scope::change(tx, settings, old)?;
        }
        if is_new {
            tx.set_fact(&meta::ROOTS, &roots)?;
        }
        if tx.fact(&meta::LIMITS)? != Some(limits) {
            try_again(tx, settings)?;
        }
        // Should it pull again one day, it will not know what came meanwhile.
        tx.delete_fact(&meta::PULLS)?;
        tx.set_fact(&meta::IDENTITY, &identity)?;
        tx.set_fact(&meta::LIMITS, &limits)?;
        tx.set_fact(&meta::SCOPE, &settings.scope)
    })?;
    Ok(!root_is_ours)
}

/// Whether both sides are still being united: mailboxes may have other names than before
/// (hazard 183).
pub(super) fn is_uniting(store: &Store) -> Result<bool, StateError> {
    store.has_fact(&meta::UNITING)
}

/// Both sides were seen wholly, and nothing is left to be done.
pub(super) fn end_uniting(store: &mut Store) -> Result<(), StateError> {
    if is_uniting(store)? {
        store.transaction(|tx| tx.delete_fact(&meta::UNITING).map(drop))?;
    }
    Ok(())
}

/// So many values are remembered. Of a root that is older nothing is known.
const ROOTS_MAX: usize = 64;
/// Rows of any age.
const EVERY_ROW: RowId = RowId(i64::MAX);

impl Roots {
    /// Notes the last row of a counter's time; whether that was not known yet.
    fn note(&mut self, counter: u64, newest: RowId) -> bool {
        if self.0.last().is_some_and(|(last, _)| *last >= counter) {
            return false;
        }
        self.0.push((counter, newest));
        let surplus = self.0.len().saturating_sub(ROOTS_MAX);
        self.0.drain(..surplus);
        true
    }

    /// The last row that a root with this counter can know.
    fn known_to(&self, counter: u64) -> RowId {
        let before = self.0.iter().rev().find(|(known, _)| *known <= counter);
        before.map_or(RowId(0), |(_, row)| *row)
    }
}

/// Another limit: what did not come down by the old one may.
fn try_again(tx: &Tx<'_>, settings: &Settings) -> Result<(), StateError> {
    let fits =
        |row: &Row| row.words.as_ref().is_some_and(|words| words.size <= settings.max_message_size);
    for row in tx.set_aside_rows(ASIDE_MAX)? {
        let is_ours = |aside: &SetAside| aside.words.starts_with(TOO_LARGE);
        let never_read = row.content.is_none() && row.remote.is_none() && row.base.is_none();
        if row.set_aside.as_ref().is_some_and(is_ours) && never_read {
            // The next look meets the file as a new one.
            tx.delete_row(row.id)?;
            if let Some(mailbox) = tx.mailbox(row.mailbox)? {
                tx.put_mailbox(&Mailbox { stamps: None, ..mailbox })?;
            }
        } else if row.set_aside.as_ref().is_some_and(is_ours) && row.local.is_some() {
            tx.update_row(&Row { set_aside: None, ..row }, false)?;
        }
    }
    for row in tx.set_aside_rows(ASIDE_MAX)?.into_iter().filter(fits) {
        if row.set_aside.as_ref().is_some_and(|aside| aside.kind == SetAsideKind::Fetch) {
            tx.update_row(&Row { set_aside: None, ..row }, false)?;
        }
    }
    Ok(())
}

/// No directory can be believed: files are found again by the next look and paired by content.
/// Rows after `known` were agreed on with another root than this one.
fn restate_root(tx: &Tx<'_>, known: RowId) -> Result<(), StateError> {
    let policy = Policy::default();
    let w = Writer::new(tx, &policy);
    for mailbox in tx.mailboxes()? {
        restate_local(&w, mailbox, false, known)?;
    }
    Ok(())
}

/// No file of a mailbox can be believed; `there`: it has a directory.
fn restate_local(
    w: &Writer<'_>,
    mailbox: Mailbox,
    there: bool,
    known: RowId,
) -> Result<Mailbox, StateError> {
    let (local, base) = (there, there && mailbox.base);
    let (stamps, home) = (None, None);
    let mailbox = Mailbox { stamps, home, restated: true, base, local, ..mailbox };
    w.mailbox(&mailbox)?;
    w.tx().for_each_row(mailbox.id, |row| match without_file(row, known) {
        Ok(row) => w.update(&row),
        Err(id) => w.delete(id),
    })?;
    Ok(mailbox)
}

/// A row whose file cannot be believed, or the id of one of which nothing is left. What is under
/// way on the server goes on: an upload or a copy that was not seen yet keeps its claim, and what
/// was removed with the file's own root is not brought back by another one (hazard 72).
fn without_file(row: Row, known: RowId) -> Result<Row, RowId> {
    let under_way = matches!(row.journal, Journal::Pushing { .. } | Journal::Moving { .. });
    let ends = matches!(row.journal, Journal::Moved { .. } | Journal::Trashing { .. });
    if ends && row.local.is_none() && row.remote.is_some() && !row.restated {
        return Ok(row);
    }
    let base = row.base.filter(|_| row.id <= known);
    match (&row.remote, &base) {
        (None, _) if under_way => {
            return Ok(Row { local: None, base, restated: true, set_aside: None, ..row });
        }
        (None, None) => return Err(row.id),
        _ => {}
    }
    let set_aside = row.set_aside.filter(|_| base.is_none());
    // Its flags may have been agreed on with another file: those of both sides are united.
    let base = base.map(|_| Base::default());
    let (local, restated, journal) = (None, true, Journal::Idle);
    Ok(Row { local, base, restated, set_aside, journal, ..row })
}

/// No UID can be believed, in any mailbox.
fn restate_server(tx: &Tx<'_>) -> Result<(), StateError> {
    let policy = Policy::default();
    let w = Writer::new(tx, &policy);
    for mailbox in tx.mailboxes()? {
        restate_remote(&w, mailbox, false)?;
    }
    Ok(())
}

/// `doubts_files`: files that wait for their first message are in doubt as well.
fn restate_remote(
    w: &Writer<'_>,
    mailbox: Mailbox,
    doubts_files: bool,
) -> Result<Mailbox, StateError> {
    let mailbox = Mailbox { cursor: None, restated: true, ..mailbox };
    w.mailbox(&mailbox)?;
    w.tx().for_each_row(mailbox.id, |row| {
        // Its file may have been moved, with its message to follow, or an APPEND or COPY be under
        // way to it (hazards 55 and 56): the message is found by its text, or by what the server
        // said of it. A UIDNEXT of the old numbers says only that it was sent (hazard 84).
        let under_way = matches!(row.journal, Journal::Moving { .. } | Journal::Pushing { .. });
        if row.local.is_none() && row.base.is_none() && !under_way {
            return w.delete(row.id);
        }
        // Seen on neither side before, it is none of those that have new numbers (hazard 189).
        if row.local.is_none() && row.remote.is_none() && !row.restated && !under_way {
            return Ok(());
        }
        let journal = match row.journal {
            // The new numbers say nothing of an old UIDNEXT.
            Journal::Pushed { .. } => Journal::Idle,
            journal => journal.of_former_numbers(),
        };
        let restated = row.base.is_some() || doubts_files;
        w.update(&Row { remote: None, restated, journal, ..row })
    })?;
    Ok(mailbox)
}

/// A mailbox that the server numbered anew.
pub(super) fn renumbered(run: &mut Run, mailbox: Mailbox) -> Result<Mailbox, AccountError> {
    // Where nothing goes up, a file without a message stays here and is settled.
    let doubts_files = !run.settings.pull_only;
    run.record(|w| restate_remote(w, mailbox, doubts_files))
}

/// A mailbox that a server lacks which is not as it was left: its files stay, and it is made again
/// (hazard 175).
pub(super) fn lost_with_server(run: &mut Run, mailbox: Mailbox) -> Result<(), AccountError> {
    tracing::info!(mailbox = %mailbox.name, "the server is another one: its files stay here");
    let doubts_files = !run.settings.pull_only;
    run.record(|w| {
        let mailbox = restate_remote(w, mailbox, doubts_files)?;
        w.mailbox(&Mailbox { remote: false, base: false, ..mailbox }).map(drop)
    })
}

/// A mailbox in whose place another directory lies: what was known of its files is not known of
/// these (hazard 63).
pub(super) fn moved_directory(run: &mut Run, mailbox: Mailbox) -> Result<Mailbox, AccountError> {
    // A mark of its own: should the other one come back, it is another again (hazard 160).
    let mailbox = Mailbox { local_id: mailbox.local_id.map(|_| Root::new_mailbox_id()), ..mailbox };
    if let Some(id) = mailbox.local_id.as_ref().filter(|_| !run.attempt.dry_run) {
        run.root.set_mailbox_id(&mailbox.name, id)?;
    }
    run.record(|w| restate_local(w, mailbox, true, EVERY_ROW))
}

/// Mailboxes that are not mirrored any more lose their rows, and nothing else.
fn drop_excluded(tx: &Tx<'_>, settings: &Settings) -> Result<(), StateError> {
    for mailbox in tx.mailboxes()? {
        if !(settings.selects)(&mailbox.name) {
            tx.delete_mailbox(mailbox.id)?;
        }
    }
    Ok(())
}
