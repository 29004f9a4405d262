//! The output of a command.

use serde::Serialize;

use super::exit::Exit;
use super::report::Failure;

/// The output of a command, and its exit code.
pub(super) struct Answer {
    /// For people.
    pub(super) text: String,
    /// For programs.
    pub(super) json: serde_json::Value,
    pub(super) exit: Exit,
    /// The JSON is the last of many lines.
    pub(super) event: bool,
}

/// An answer whose JSON is an object of one key and the exit code.
pub(super) fn answer(
    text: String,
    key: &str,
    value: &impl Serialize,
    exit: Exit,
) -> Result<Answer, Failure> {
    let failed =
        |error| Failure::new(Exit::Incomplete, format!("cannot be shown as JSON: {error}"));
    let value = serde_json::to_value(value).map_err(failed)?;
    Ok(Answer { text, json: serde_json::json!({ key: value, "exit": exit }), exit, event: false })
}
