//! How a run ended, as the store keeps it.

use serde::{Deserialize, Serialize};

use super::error::{AccountError, FailureKind};
use super::report::Report;
use crate::state::{StateError, Store};

/// How a run ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Outcome {
    /// The error that ended it, in words.
    pub(crate) failure: Option<String>,
    /// The kind of that error.
    pub(crate) kind: Option<FailureKind>,
    /// Skipped items, each with its reason.
    pub(crate) skipped: Vec<(String, String)>,
    /// It was interrupted.
    pub(crate) interrupted: bool,
    /// Something waits for a person.
    pub(crate) held: bool,
}

impl Outcome {
    /// Summarises a finished run.
    pub(crate) fn of(report: &Report, result: &Result<(), AccountError>, held: bool) -> Self {
        let error = result.as_ref().err();
        let skips = report.skipped.iter();
        Self {
            failure: error.map(ToString::to_string),
            kind: error.map(AccountError::kind),
            skipped: skips.map(|skip| (skip.what.clone(), skip.why.clone())).collect(),
            interrupted: report.interrupted,
            held,
        }
    }

    /// Reads what [`Self::print`] gave; none where it cannot be read, as when another version of
    /// mailtide wrote it.
    #[must_use]
    pub(crate) fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// The JSON that the store keeps.
    pub(crate) fn print(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// Writes down a run that ended before anything was looked at.
pub(crate) fn end_failed(
    store: &mut Store,
    number: i64,
    now: i64,
    error: &AccountError,
) -> Result<(), StateError> {
    let (failure, kind) = (Some(error.to_string()), Some(error.kind()));
    let outcome = Outcome { failure, kind, ..Outcome::default() };
    store.transaction(|tx| tx.end_run(number, now, &outcome.print()))
}
