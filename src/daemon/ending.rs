//! Why an account is let go of, for a while or for good.

use std::io;
use std::time::Duration;

use crate::account::{AccountError, Report, Trouble};
use crate::config::SecretError;
use crate::reconcile::types::printable;

/// Why a signed-in life ended.
pub(super) enum End {
    /// The user wants something else.
    Wanted,
    /// The same, and a command was cut off for it: nothing more may be said.
    Cut,
    /// Something else lies where the Maildir was.
    Moved,
    Trouble(Failure),
}

/// What went wrong, before it is told.
pub(super) struct Failure {
    pub(super) trouble: Trouble,
    pub(super) text: String,
    pub(super) words: Option<String>,
    /// What the server asks for at least.
    pub(super) wait: Option<Duration>,
}

impl Failure {
    /// The same, and nobody is to ask earlier than that.
    pub(super) fn no_earlier(self, rest: Option<Duration>) -> Self {
        Self { wait: self.wait.max(rest), ..self }
    }
}

impl From<AccountError> for Failure {
    fn from(error: AccountError) -> Self {
        let words = error.words().map(str::to_owned);
        let (trouble, wait) = (error.trouble(), error.wait());
        Self { trouble, text: error.to_string(), words, wait }
    }
}

impl From<SecretError> for Failure {
    fn from(error: SecretError) -> Self {
        // A locked keyring, a helper that is offline: asked again soon, and rarely.
        let text = format!("no password: {error}");
        Self { trouble: Trouble::SignIn, text, words: None, wait: None }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let text = format!("the system gives no thread: {error}");
        Self { trouble: Trouble::Person, text, words: None, wait: None }
    }
}

impl<E: Into<Failure>> From<E> for End {
    fn from(error: E) -> Self {
        Self::Trouble(error.into())
    }
}

/// What was skipped, in a line.
pub(super) fn skipped(report: &Report) -> Option<String> {
    let first = report.skipped.first()?;
    let more = report.skipped.len() - 1;
    let more = if more > 0 { format!(" (and {more} more)") } else { String::new() };
    Some(format!("{}: {}{more}", printable(&first.what), printable(&first.why)))
}
