//! Looks for departed files in directories that are not mirrored: filing mail there is no
//! deletion. Where the mailbox is excluded, its name is known and the message goes there on the
//! server (hazard 43); elsewhere the message stays where it is (hazard 124).

use std::collections::BTreeSet;
use std::path::Path;

use crate::account::error::AccountError;
use crate::mail::run::Run;
use crate::reconcile::row_state::{RowState, state_of};
use crate::reconcile::types::{ContentId, Row, RowId};

/// Departures looked up among directories that are not mirrored in one run; more are left to the
/// guard.
const DEPARTURES_MAX: usize = 10_000;

pub(super) fn look(run: &mut Run) -> Result<(), AccountError> {
    run.attempt.seen.outside.clear();
    run.attempt.seen.somewhere.clear();
    let nowhere = run.attempt.seen.excluded.is_empty() && run.attempt.seen.unmirrored.is_empty();
    if nowhere || run.settings.pull_only {
        return Ok(());
    }
    let unsettled = run.store.unsettled(None, DEPARTURES_MAX)?;
    let left: Vec<Row> =
        unsettled.into_iter().filter(|row| state_of(row) == RowState::LocalGone).collect();
    if left.is_empty() {
        return Ok(());
    }
    for name in run.attempt.seen.excluded.clone() {
        let dir = run.root.dir_of(&name);
        if let Some(found) = find(run, &dir, &name.to_string(), &left) {
            run.attempt.seen.outside.extend(found.into_iter().map(|row| (row, name.clone())));
        }
    }
    for dir in run.attempt.seen.unmirrored.clone() {
        let shown = dir.display().to_string();
        let Some(found) = find(run, &dir, &shown, &left).filter(|found| !found.is_empty()) else {
            continue;
        };
        let why = format!(
            "not mirrored, but contains mail moved from a mailbox ({}): the server keeps it; move \
             the files to a mailbox, or delete them",
            match found.len() {
                1 => "1 message".to_owned(),
                n => format!("{n} messages"),
            }
        );
        run.report.skip(shown, why);
        run.attempt.seen.somewhere.extend(found);
    }
    Ok(())
}

/// Rows whose content lies in a directory now, all of equal ones; none where it cannot be looked
/// at.
fn find(run: &mut Run, dir: &Path, shown: &str, left: &[Row]) -> Option<BTreeSet<RowId>> {
    let texts: BTreeSet<ContentId> = left.iter().filter_map(|row| row.content).collect();
    match run.root.find_texts(dir, &texts) {
        Ok(found) => {
            let is_there = |row: &&Row| row.content.is_some_and(|text| found.contains(&text));
            Some(left.iter().filter(is_there).map(|row| row.id).collect())
        }
        Err(error) => {
            run.report.skip(shown, error.to_string());
            run.attempt.seen.walk = crate::reconcile::types::Coverage::Partial;
            None
        }
    }
}
