//! What went wrong with a server: who did it, at what, and in which words.

use std::fmt;
use std::io;
use std::time::Duration;

use super::code::Code;
use super::sasl;
use crate::reconcile::types::{Uid, printable};

/// What went wrong with a server, and who did it.
///
/// `doing` names the command and its mailbox; `words` are the server's, and are made
/// harmless when displayed. No secret is ever in any of them.
#[derive(Debug)]
pub enum RemoteError {
    /// The server could not be reached.
    Connect {
        /// `host:port`.
        to: String,
        /// Why.
        source: io::Error,
    },
    /// TLS could not be set up, or the server is not whom it should be.
    Tls {
        /// The server.
        host: String,
        /// Why.
        why: String,
    },
    /// The sign-in would have gone over the network for everybody to read.
    Cleartext {
        /// The server.
        host: String,
    },
    /// The server refused the sign-in.
    SignIn {
        /// The response code, if it gave one.
        code: Option<Code>,
        /// Its words.
        words: String,
    },
    /// The server lets nobody in for the moment, whatever the password: the mailbox is locked,
    /// or was asked for too soon.
    Busy {
        /// The response code, if it gave one.
        code: Option<Code>,
        /// Its words.
        words: String,
    },
    /// The server refused a command because it was asked for too much: nothing is wrong with what
    /// the command was about. The session is given up, and nothing else is asked for now.
    Throttled {
        /// Which command.
        doing: String,
        /// Its words.
        words: String,
    },
    /// The server stayed silent, or took nothing.
    Timeout {
        /// At what.
        doing: String,
        /// For how long.
        after: Duration,
    },
    /// The connection ended.
    Closed {
        /// At what.
        doing: String,
    },
    /// The server ended the session, and said so.
    Bye {
        /// At what.
        doing: String,
        /// Its words.
        words: String,
    },
    /// The connection failed.
    Io {
        /// At what.
        doing: String,
        /// How.
        source: io::Error,
    },
    /// A response does not go on as one does behind a literal, so the literal has another length
    /// than was announced, and what follows may be text of a message.
    Framing {
        /// At what.
        doing: String,
        /// The message, if the server had said which it was.
        uid: Option<Uid>,
    },
    /// The server refused the command: tagged NO.
    No {
        /// Which.
        doing: String,
        /// The response code, if it gave one.
        code: Option<Code>,
        /// Its words.
        words: String,
    },
    /// The server did not understand the command, or pretends so: tagged BAD.
    Bad {
        /// Which.
        doing: String,
        /// The response code, if it gave one.
        code: Option<Code>,
        /// Its words.
        words: String,
    },
    /// The conversation has lost its thread.
    Protocol {
        /// At what.
        doing: String,
        /// What does not fit.
        what: String,
    },
    /// The answer came whole and makes no sense: nothing can be concluded from it.
    Garbled {
        /// To what.
        doing: String,
        /// What does not fit.
        what: String,
    },
    /// The server sends more than was agreed to be taken.
    Limit {
        /// At what.
        doing: String,
        /// What is too long.
        what: String,
        /// The limit in bytes.
        limit: u64,
        /// The message, where it is one.
        uid: Option<Uid>,
    },
    /// Our side could not take what the server sent.
    Sink {
        /// Why.
        source: io::Error,
        /// Whether the connection had to be given up for it.
        ended: bool,
    },
    /// Our side could not read what it had announced to send; the connection was given up.
    Source {
        /// Why.
        source: io::Error,
    },
    /// A connection was lost in this, several times: it is not asked for now.
    SetAside {
        /// Which.
        doing: String,
        /// What happened.
        words: String,
    },
    /// The mailbox cannot have this name on this server.
    Name {
        /// The name.
        name: String,
        /// Why.
        why: String,
    },
    /// The server has no such command.
    Unsupported {
        /// Which.
        doing: String,
    },
}

/// Phrases by which servers refuse any command of a client that asked for too much. None has a
/// response code of its own (RFC 5530, RFC 9051 §7.1).
const THROTTLED: [&str; 7] = [
    "throttl",
    "suggested backoff",
    "rate limit",
    "bandwidth limit",
    "too many requests",
    "too many commands",
    "slow down",
];

/// Whether the words of a refusal say that the client asks for too much. A phrase that is part of
/// the command, such as the name of its mailbox, may only be repeated.
pub(crate) fn is_throttled(doing: &str, words: &str) -> bool {
    let (doing, words) = (doing.to_ascii_lowercase(), words.to_ascii_lowercase());
    THROTTLED.iter().any(|phrase| words.contains(phrase) && !doing.contains(phrase))
}

/// What is told of such a refusal: words of ours.
pub(crate) const NOT_CONNECTED: &str = "the server says \"User is authenticated but not connected\" \
    to every command, as Exchange does if the user or the password is wrong";

/// Whether the words of a refusal say that the sign-in counts for nothing: Exchange accepts a wrong
/// password, and answers every command so.
pub(crate) fn is_not_connected(words: &str) -> bool {
    words.to_ascii_lowercase().contains("authenticated but not connected")
}

impl RemoteError {
    /// Whether the connection is of no more use.
    #[must_use]
    pub fn ends_session(&self) -> bool {
        match self {
            Self::No { .. }
            | Self::Bad { .. }
            | Self::Garbled { .. }
            | Self::SetAside { .. }
            | Self::Name { .. }
            | Self::Unsupported { .. } => false,
            Self::Sink { ended, .. } => *ended,
            _ => true,
        }
    }

    /// Whether the server answered the command with NO or BAD: it was heard, and not done.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::No { .. } | Self::Bad { .. })
    }

    /// Whether a refusal says nothing of the message: quota, load, a mailbox that is missing.
    #[must_use]
    pub fn is_for_now(&self) -> bool {
        if matches!(self, Self::SetAside { .. }) {
            return true;
        }
        let Some(code) = self.code() else { return false };
        matches!(
            code,
            Code::OverQuota
                | Code::Unavailable
                | Code::InUse
                | Code::Limit
                | Code::TryCreate
                | Code::NonExistent
                | Code::NoPerm
                | Code::ServerBug
        )
    }

    /// Seconds of silence that it cost.
    pub(crate) fn silence(&self) -> i64 {
        match self {
            Self::Timeout { after, .. } => i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
            _ => 0,
        }
    }

    /// Whether the connection was lost over it: the server closed it, fell silent, or answered
    /// something that cannot be read to its end.
    #[must_use]
    pub fn is_loss(&self) -> bool {
        matches!(
            self,
            Self::Timeout { .. }
                | Self::Closed { .. }
                | Self::Bye { .. }
                | Self::Io { .. }
                | Self::Framing { .. }
                | Self::Protocol { .. }
                | Self::Limit { .. }
        )
    }

    /// The command in which the connection was lost.
    #[must_use]
    pub fn doing(&self) -> Option<&str> {
        match self {
            Self::Timeout { doing, .. }
            | Self::Closed { doing }
            | Self::Bye { doing, .. }
            | Self::Io { doing, .. }
            | Self::Framing { doing, .. }
            | Self::Protocol { doing, .. }
            | Self::Limit { doing, .. } => Some(doing),
            _ => None,
        }
    }

    /// The response code of a refusal.
    #[must_use]
    pub fn code(&self) -> Option<&Code> {
        match self {
            Self::No { code, .. }
            | Self::Bad { code, .. }
            | Self::SignIn { code, .. }
            | Self::Busy { code, .. } => code.as_ref(),
            _ => None,
        }
    }

    /// The server's own words, as they came.
    #[must_use]
    pub fn words(&self) -> Option<&str> {
        match self {
            Self::No { words, .. }
            | Self::Bad { words, .. }
            | Self::SignIn { words, .. }
            | Self::Busy { words, .. }
            | Self::Throttled { words, .. }
            | Self::Bye { words, .. } => Some(words),
            _ => None,
        }
    }
}

impl fmt::Display for RemoteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = match self {
            Self::Connect { to, source } => format!("cannot reach {to}: {source}"),
            Self::Tls { host, why } => format!("no secure connection to {host}: {why}"),
            Self::Cleartext { host } => format!(
                "{host} would get the password in clear text; set tls, or allow_cleartext = true"
            ),
            // Its words may repeat the password, in whatever form: see `Code::keyword`.
            Self::SignIn { code: None, words } if OUR_OWN.contains(&words.as_str()) => {
                format!("cannot sign in: {words}")
            }
            Self::SignIn { code: None, words } if words == NOT_CONNECTED => {
                format!("cannot sign in: {words}")
            }
            Self::SignIn { code, .. } => {
                format!("the server refused the sign-in{} (-vv shows its reply)", coded(code))
            }
            Self::Busy { code, .. } => {
                let code = coded(code);
                format!("the server is refusing sign-ins for now{code} (-vv shows its reply)")
            }
            Self::Throttled { doing, words } => {
                format!("{doing}: the server is throttling requests: {words}")
            }
            Self::Timeout { doing, after } => {
                format!("{doing}: no answer for {} s", after.as_secs())
            }
            Self::Closed { doing } => format!("{doing}: the server closed the connection"),
            Self::Bye { doing, words } => format!("{doing}: the server hung up: {words}"),
            Self::Io { doing, source } => format!("{doing}: the connection failed: {source}"),
            Self::No { doing, words, .. } => format!("{doing}: the server refused: {words}"),
            Self::Bad { doing, words, .. } => {
                format!("{doing}: the server did not understand: {words}")
            }
            Self::Protocol { doing, what } | Self::Garbled { doing, what } => {
                format!("{doing}: the server's answer makes no sense: {what}")
            }
            Self::Limit { doing, what, limit, uid } => match uid {
                Some(uid) => format!("{doing}: UID {}: {what} over {limit} bytes", uid.0),
                None => format!("{doing}: {what} over {limit} bytes"),
            },
            Self::Framing { doing, uid } => {
                let of = uid.map_or_else(String::new, |uid| format!(" of UID {}", uid.0));
                format!("{doing}: the literal{of} does not have the announced length")
            }
            Self::Sink { source, .. } => format!("cannot keep what the server sent: {source}"),
            Self::Source { source } => format!("cannot read what was to be sent: {source}"),
            Self::SetAside { doing, words } => {
                format!("{doing}: skipped for now because it failed before: {words}")
            }
            Self::Name { name, why } => {
                format!("{name:?} cannot be a mailbox name on this server: {why}")
            }
            Self::Unsupported { doing } => format!("the server does not support {doing}"),
        };
        // One line whatever the server put into it.
        f.write_str(&printable(&line))
    }
}

/// Why no sign-in was tried: words of ours.
pub(crate) const NO_WAY: &str = "the server offers no supported sign-in mechanism";
pub(crate) const HAS_NUL: &str = "a user name or password cannot hold a NUL";
const OUR_OWN: [&str; 3] = [NO_WAY, HAS_NUL, sasl::NO_SCRAM];

/// A response code in brackets, if it has a name.
fn coded(code: &Option<Code>) -> String {
    let keyword = code.as_ref().and_then(Code::keyword);
    keyword.map_or_else(String::new, |keyword| format!(" [{keyword}]"))
}

impl std::error::Error for RemoteError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Connect { source, .. }
            | Self::Io { source, .. }
            | Self::Sink { source, .. }
            | Self::Source { source } => Some(source),
            _ => None,
        }
    }
}
