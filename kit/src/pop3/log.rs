//! What clients asked for and how much went over the wire.

use std::collections::BTreeMap;

/// A command as a client sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    /// The number of the connection, from 1.
    pub connection: u64,
    /// The verb in capitals.
    pub verb: String,
    /// The whole line; what is secret in it is `***`.
    pub line: String,
}

/// Counts since the start or since the last `reset_counters()`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    /// Commands by verb.
    pub verbs: BTreeMap<String, u64>,
    /// Connections that were accepted.
    pub connections: u64,
    /// Sign-ins that went well.
    pub sign_ins: u64,
    /// Messages that were sent whole, by RETR.
    pub bodies_sent: u64,
    /// Their octets, without the stuffing.
    pub body_octets_sent: u64,
    /// The most commands that ever waited for their answers at a time.
    pub most_waiting: u64,
    /// All octets sent.
    pub octets_sent: u64,
    /// All octets received.
    pub octets_received: u64,
}

impl Counters {
    /// How often a verb was sent.
    #[must_use]
    pub fn verb(&self, verb: &str) -> u64 {
        self.verbs.get(verb).copied().unwrap_or_default()
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
    /// Notes a command; `waiting` of them are here, this one included.
    pub(super) fn note(&mut self, logged: Logged, waiting: u64) {
        let counters = &mut self.counters;
        *counters.verbs.entry(logged.verb.clone()).or_default() += 1;
        counters.most_waiting = counters.most_waiting.max(waiting);
        if self.commands.len() >= MAX_COMMANDS {
            self.commands.drain(..MAX_COMMANDS / 2);
        }
        self.commands.push(logged);
    }
}
