//! Looks for files that were edited in place: same name, other bytes (hazard 12).
//!
//! A scan of names does not see them, so once a day every file is asked for its size and
//! time; a file that differs is read again.

use super::local::reexamine;
use crate::account::{AccountError, Run};
use crate::local::FileName;
use crate::reconcile::types::{Mailbox, RowId};

/// How long the last look may lie back, in seconds.
const EVERY_S: i64 = 24 * 60 * 60;
/// Rows looked at in one go.
const PAGE: usize = 1000;
/// When every file was last asked, in seconds since 1970.
const KEY: &str = "files_compared";

pub(super) fn look(run: &mut Run) -> Result<(), AccountError> {
    let now = run.outside.clock.now();
    let last = run.store.meta(KEY)?.and_then(|text| text.parse::<i64>().ok());
    let due = match last {
        // A clock that was set back must not put this off for ever.
        Some(last) => !(last..last + EVERY_S).contains(&now),
        None => false,
    };
    if due {
        for mailbox in run.store.mailboxes()?.into_iter().filter(|m| m.local) {
            look_in(run, &mailbox)?;
        }
    }
    if due || last.is_none() {
        run.store.transaction(|tx| tx.set_meta(KEY, &now.to_string()))?;
    }
    Ok(())
}

/// Looks at files of which an event told that they were written to.
pub(super) fn look_at(run: &mut Run) -> Result<(), AccountError> {
    for path in std::mem::take(&mut run.hints.written) {
        let Some((name, stem)) = run.root.locate(&path) else { continue };
        let Some(mailbox) = run.store.mailbox_by_name(&name)? else { continue };
        let Some(row) = run.store.by_stem(mailbox.id, &stem)? else { continue };
        let Some(local) = row.local else { continue };
        let name = FileName::of(&local, run.settings.info_separator);
        let stamp = run.root.stat(&mailbox.name, &name)?;
        if stamp.is_some_and(|stamp| stamp != local.stamp) {
            reexamine(run, row.id)?;
        }
    }
    Ok(())
}

fn look_in(run: &mut Run, mailbox: &Mailbox) -> Result<(), AccountError> {
    let mut after: Option<RowId> = None;
    loop {
        let rows = run.store.rows_in(mailbox.id, after, PAGE)?;
        let Some(last) = rows.last() else { return Ok(()) };
        after = Some(last.id);
        for row in rows {
            let Some(local) = row.local else { continue };
            let name = FileName::of(&local, run.settings.info_separator);
            // Not there under that name: the next scan of names says what became of it.
            let Some(stamp) = run.root.stat(&mailbox.name, &name)? else { continue };
            if stamp != local.stamp {
                reexamine(run, row.id)?;
            }
        }
    }
}
