//! How a connection ends, whatever is spoken on it.

use std::io;
use std::time::Duration;

use super::error::RemoteError;

/// Why nothing more can be had from the connection.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The server closed it.
    Closed,
    /// It stayed silent, or took nothing, for this long.
    TimedOut(Duration),
    /// The stream failed.
    Io(io::Error),
    /// A length is beyond its limit: what, and the limit in bytes.
    Limit(&'static str, u64),
    /// It goes on with a `+` that nobody waits for (RFC 9051 §7.6).
    Unasked,
}

/// Tells the end of a connection as an error; by the server's last words, if it had any.
pub(crate) fn broken_error(doing: &str, broken: Broken, bye: Option<String>) -> RemoteError {
    let doing = doing.to_owned();
    match (broken, bye) {
        (Broken::Closed | Broken::Io(_), Some(words)) => RemoteError::Bye { doing, words },
        (Broken::Closed, None) => RemoteError::Closed { doing },
        (Broken::TimedOut(after), _) => RemoteError::Timeout { doing, after },
        (Broken::Io(source), None) => RemoteError::Io { doing, source },
        (Broken::Limit(what, limit), _) => {
            RemoteError::Limit { doing, what: what.to_owned(), limit, uid: None }
        }
        (Broken::Unasked, _) => {
            let what = "unexpected continuation request".to_owned();
            RemoteError::Protocol { doing, what }
        }
    }
}
