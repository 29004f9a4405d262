//! Short bodies that came, and are not believed yet (hazard 130).

use std::collections::BTreeSet;

use super::fetch::take::{Pulled, RefusedBody, discard};
use super::run::Run;
use crate::account::error::AccountError;
use crate::account::sizes::{RUNS, Short, note};
use crate::reconcile::types::{Mailbox, RowId, SetAside};
use crate::state::meta;

/// Rows whose bodies came short and are asked for again in this run.
pub(super) fn due(run: &Run) -> Result<BTreeSet<RowId>, AccountError> {
    let (number, now) = (run.attempt.number, run.environment.clock.now());
    let asked = run.suspects.lock().is_asked();
    let due = load(run)?.into_iter().filter(|short| short.is_due(number, now, asked));
    Ok(due.map(|short| RowId(short.row)).collect())
}

/// Sorts out short bodies that are not believed yet. Gives the others, and why those are left.
pub(super) fn believe(
    run: &mut Run,
    mailbox: &Mailbox,
    done: Vec<Pulled>,
) -> Result<(Vec<Pulled>, Vec<RefusedBody>), AccountError> {
    let (short, mut done): (Vec<_>, Vec<_>) = done.into_iter().partition(|pulled| pulled.short);
    if short.is_empty() {
        return Ok((done, Vec::new()));
    }
    let mut list = load(run)?;
    let mut kept = Vec::new();
    for pulled in short {
        let Pulled { row, octets, .. } = &pulled;
        let announced = row.words.as_ref().map_or(0, |words| words.size);
        let now = run.environment.clock.now();
        let runs = note(&mut list, row.id.0, *octets, (run.attempt.number, now));
        let uid = row.remote.as_ref().map_or(0, |remote| remote.uid.0);
        let what = format!("{}: UID {uid}", mailbox.name);
        if *octets > 0 && runs >= RUNS {
            let why = format!(
                "the server announced {announced} bytes and sent {octets}, the same in {runs} \
                 runs; kept as it came"
            );
            run.report.skip(what, why);
            list.retain(|short| short.row != row.id.0);
            done.push(pulled);
            continue;
        }
        let words = match octets {
            0 => format!("the server sent an empty body for a message of {announced} bytes"),
            _ => format!("the server sent {octets} of {announced} announced bytes"),
        };
        run.report.skip(what, format!("{words}; retried by a later run"));
        kept.push(RefusedBody { row: row.id, words, times: SetAside::TRIES });
        discard(&run.root, &pulled.delivered);
    }
    run.record(|w| w.tx().set_fact(&meta::SHORT_BODIES, &list))?;
    Ok((done, kept))
}

/// Short bodies of messages that still are to come.
fn load(run: &Run) -> Result<Vec<Short<i64>>, AccountError> {
    let mut list = Vec::new();
    for short in run.store.fact(&meta::SHORT_BODIES)?.unwrap_or_default() {
        let row = run.store.row(RowId(short.row))?;
        if row.is_some_and(|row| row.remote.is_some() && row.local.is_none()) {
            list.push(short);
        }
    }
    Ok(list)
}
