//! Limits on what a server may send: octets and time, for each command and for the sign-in.
//!
//! Every command is sent with a [`Budget`], so none can be written without one. Commands under way
//! at the same time share the sum of theirs. Greeting, TLS and sign-in share one
//! ([`Budget::SIGN_IN`]), whatever number of commands that takes.

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// The most octets that a command may bring apart from what was asked for by size.
const MOST: u64 = 256 << 20;

/// Least average speed of a transfer, in octets per second: each octet that comes extends the
/// time of a command by this much.
pub(crate) const FLOOR: u64 = 1 << 10;

/// What the answer to a command may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Budget {
    /// Octets of one line.
    pub(crate) line: usize,
    /// Octets of one response with the literals that are held in memory.
    pub(crate) response: usize,
    /// Octets in all.
    pub(crate) octets: u64,
    /// How long may be waited for the tagged answer, in timeouts of the account.
    pub(crate) timeouts: u32,
    /// Whether the time grows with what was transferred, see [`FLOOR`].
    pub(crate) transfer: bool,
}

impl Budget {
    /// Nothing is under way, so nothing may come.
    pub(crate) const NONE: Self =
        Self { line: 0, response: 0, octets: 0, timeouts: 0, transfer: false };
    /// Connecting, TLS, the greeting and all commands up to the end of the sign-in.
    pub(crate) const SIGN_IN: Self =
        Self { line: 64 * KIB, response: 64 * KIB, octets: 256 << 10, timeouts: 3, ..Self::NONE };
    /// Commands that are done at once: what else happened in the mailbox may come along.
    pub(crate) const SHORT: Self =
        Self { line: 4 * MIB, response: 4 * MIB, octets: 16 << 20, timeouts: 5, ..Self::NONE };
    /// Commands that a server may work at for long: STORE, COPY, MOVE, EXPUNGE, RENAME.
    pub(crate) const LONG: Self = Self { timeouts: 30, ..Self::SHORT };
    /// LIST, with STATUS of every mailbox.
    pub(crate) const LIST: Self =
        Self { line: 64 * KIB, response: 64 * KIB, octets: 32 << 20, timeouts: 30, ..Self::NONE };
    /// SEARCH: a line with the UIDs of two million messages fits.
    pub(crate) const SEARCH: Self =
        Self { line: 16 * MIB, response: 16 * MIB, octets: 32 << 20, timeouts: 30, ..Self::NONE };
    /// SELECT with what changed since.
    pub(crate) const SELECT: Self =
        Self { octets: 128 << 20, timeouts: 10, transfer: true, ..Self::SEARCH };
    /// What is told unasked by NOTIFY and IDLE until it is renewed; the timeout is the renewal.
    pub(crate) const LISTEN: Self = Self { timeouts: 2, ..Self::SHORT };
    /// UIDL and LIST of POP3.
    pub(crate) const MAILDROP: Self =
        Self { line: 64 * KIB, octets: 128 << 20, timeouts: 10, transfer: true, ..Self::LIST };

    /// FETCH of attributes of so many messages.
    pub(crate) fn rows(messages: u64) -> Self {
        let octets = (4 << 20) + messages.saturating_mul(2 << 10);
        Self { line: 256 * KIB, response: 256 * KIB, octets: octets.min(MOST), ..Self::SELECT }
    }

    /// Whole messages or headers, so many. Only what surrounds them: each text that is wanted is
    /// [granted](super::allowance::Allowance::grant) with its length when it begins.
    pub(crate) fn texts(messages: u64) -> Self {
        let octets = (4 << 20) + messages.saturating_mul(8 << 10);
        Self { line: MIB, response: 2 * MIB, octets: octets.min(MOST), ..Self::SELECT }
    }

    /// Both under way.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            line: self.line.max(other.line),
            response: self.response.max(other.response),
            octets: self.octets.saturating_add(other.octets),
            timeouts: self.timeouts.max(other.timeouts),
            transfer: self.transfer || other.transfer,
        }
    }
}
