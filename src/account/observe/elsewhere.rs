//! Looks for departed files in directories that are not mirrored: filing mail there is no
//! deletion (hazard 43).

use std::collections::{BTreeMap, BTreeSet};

use crate::account::{AccountError, Run};
use crate::local::Examined;
use crate::reconcile::pairing::{Class, class};
use crate::reconcile::types::{ContentId, MailboxName, Row, RowId};

/// Departures looked up among excluded directories in one run; more are left to the guard.
const DEPARTURES_MAX: usize = 10_000;

pub(super) fn look(run: &mut Run) -> Result<(), AccountError> {
    run.seen.outside.clear();
    if run.seen.excluded.is_empty() || run.settings.pull_only {
        return Ok(());
    }
    let unsettled = run.store.unsettled(None, DEPARTURES_MAX)?;
    let left: Vec<Row> =
        unsettled.into_iter().filter(|row| class(row) == Class::LocalGone).collect();
    if left.is_empty() {
        return Ok(());
    }
    for name in run.seen.excluded.clone() {
        let found = match find(run, &name, &left) {
            Ok(found) => found,
            Err(error) => {
                run.report.skip(name.to_string(), error.to_string());
                run.seen.walk = crate::reconcile::types::Reach::Partial;
                continue;
            }
        };
        run.seen.outside.extend(found.into_iter().map(|row| (row, name.clone())));
    }
    Ok(())
}

/// Rows whose content lies in a directory now.
fn find(run: &Run, name: &MailboxName, left: &[Row]) -> Result<BTreeSet<RowId>, AccountError> {
    let mut missing: BTreeMap<ContentId, RowId> =
        left.iter().filter_map(|row| row.content.map(|content| (content, row.id))).collect();
    let mut found = BTreeSet::new();
    for entry in run.root.list(name)?.messages() {
        if missing.is_empty() {
            break;
        }
        if let Examined::Message { summary, .. } = run.root.examine(name, &entry.to_listed())? {
            found.extend(missing.remove(&summary.content));
        }
    }
    Ok(found)
}
