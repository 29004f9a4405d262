//! What clients asked for and how much went over the wire.

use std::collections::BTreeMap;

/// A command as a client sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    /// The number of the connection, from 1.
    pub connection: u64,
    /// The mailbox that was selected then (UTF-8 name).
    pub selected: Option<String>,
    /// The verb in capitals, `UID FETCH` and the like as one.
    pub verb: String,
    /// The command without its tag; literals are only announced (`{12}`), passwords are `***`.
    pub line: String,
}

/// Counts since the start or since the last `reset_counters()`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    /// Commands by verb (`UID FETCH` apart from `FETCH`).
    pub verbs: BTreeMap<String, u64>,
    /// Commands that may change something on the server.
    pub mutating: u64,
    /// Message octets sent for `BODY[]`, `RFC822` and `BODY[TEXT]`.
    pub body_octets_sent: u64,
    /// Messages whose whole body was sent.
    pub bodies_sent: u64,
    /// Header octets sent for `BODY[HEADER]`, `RFC822.HEADER` and header fields.
    pub header_octets_sent: u64,
    /// Message octets received by APPEND, refused ones included.
    pub append_octets_received: u64,
    /// SELECT and EXAMINE.
    pub selects: u64,
    /// Connections that were accepted.
    pub connections: u64,
    /// All octets sent.
    pub octets_sent: u64,
    /// All octets received.
    pub octets_received: u64,
}

impl Counters {
    /// How often a verb was sent; `FETCH` counts UID FETCH too.
    #[must_use]
    pub fn verb(&self, verb: &str) -> u64 {
        let fits = |known: &str| known == verb || known.strip_prefix("UID ") == Some(verb);
        self.verbs.iter().filter(|(known, _)| fits(known)).map(|(_, n)| n).sum()
    }
}

/// Beyond this the older half of the commands is forgotten.
const MAX_COMMANDS: usize = 200_000;

/// The log of a server.
#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) commands: Vec<Logged>,
    pub(super) counters: Counters,
}

impl Log {
    /// Notes a command.
    pub(super) fn note(&mut self, logged: Logged) {
        let verb = logged.verb.strip_prefix("UID ").unwrap_or(&logged.verb);
        self.counters.selects += u64::from(matches!(verb, "SELECT" | "EXAMINE"));
        self.counters.mutating += u64::from(is_mutating(verb));
        *self.counters.verbs.entry(logged.verb.clone()).or_default() += 1;
        if self.commands.len() >= MAX_COMMANDS {
            self.commands.drain(..MAX_COMMANDS / 2);
        }
        self.commands.push(logged);
    }
}

/// Whether a verb may change mailboxes or messages.
fn is_mutating(verb: &str) -> bool {
    matches!(
        verb,
        "APPEND"
            | "STORE"
            | "COPY"
            | "MOVE"
            | "EXPUNGE"
            | "CLOSE"
            | "CREATE"
            | "DELETE"
            | "RENAME"
            | "SUBSCRIBE"
            | "UNSUBSCRIBE"
    )
}
