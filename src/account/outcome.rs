//! How a run ended, as the store keeps it.

use super::error::AccountError;
use super::report::Report;
use crate::state::{StateError, Store};

/// Writes down a run that ended before anything was looked at.
pub(crate) fn end_failed(
    store: &mut Store,
    number: i64,
    now: i64,
    error: &AccountError,
) -> Result<(), StateError> {
    let kind = error.kind();
    let outcome = serde_json::json!({ "failure": error.to_string(), "kind": kind }).to_string();
    store.transaction(|tx| tx.end_run(number, now, &outcome))
}

/// What came of a run, as the store keeps it.
pub(crate) fn outcome(report: &Report, result: &Result<(), AccountError>, held: bool) -> String {
    let kind = result.as_ref().err().map(AccountError::kind);
    let failure = result.as_ref().err().map(ToString::to_string);
    let skipped: Vec<_> =
        report.skipped.iter().map(|s| [s.what.as_str(), s.why.as_str()]).collect();
    let interrupted = report.interrupted;
    serde_json::json!({
        "failure": failure,
        "kind": kind,
        "skipped": skipped,
        "interrupted": interrupted,
        "held": held,
    })
    .to_string()
}
