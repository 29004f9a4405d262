//! A message or mailbox that is not in step, and its line in a report.

use std::fmt::Write as _;

use serde::Serialize;

use crate::reconcile::types::printable;

/// A message or mailbox that is not in step, with the reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Named {
    /// Path of the mailbox, as it is.
    pub mailbox: String,
    /// Which message, as a person could find it (UID or file); none for the mailbox itself.
    pub message: Option<String>,
    /// The operation that failed.
    pub what: String,
    /// Who refused it, in their words.
    pub words: String,
}

pub(super) fn write_note(out: &mut String, note: &str) {
    let _ = writeln!(out, "  note       {}", printable(note));
}

pub(super) fn write_named(out: &mut String, label: &str, named: &Named) {
    let mailbox = printable(&named.mailbox);
    let place = match &named.message {
        Some(message) => format!("{mailbox}, {}", printable(message)),
        None => mailbox,
    };
    let _ = writeln!(
        out,
        "  {label:9}  {place}: {}: {}",
        printable(&named.what),
        printable(&named.words)
    );
}

/// What a run did not do, and why.
pub(super) fn skipped(what: &str, why: &str) -> Named {
    let (mailbox, words) = (what.to_owned(), why.to_owned());
    Named { mailbox, message: None, what: "skipped".to_owned(), words }
}
