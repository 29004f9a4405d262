//! The settings of the config file, checked: plain data without any TOML.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::pattern::Mailboxes;
use super::secret::SecretSource;
use crate::reconcile::types::{
    GuardLimits, Layout, MailboxName, OnLocalDelete, OnRemoteDelete, SpecialUse, Tls,
};

/// Everything that the config file says, with defaults filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The file that was read.
    pub path: PathBuf,
    /// Where the state store of each account is kept.
    pub state_dir: PathBuf,
    /// The accounts in the order of the file, at least one; names differ in any case.
    pub accounts: Vec<Account>,
}

impl Config {
    /// The account of a name.
    #[must_use]
    pub fn account(&self, name: &str) -> Option<&Account> {
        self.accounts.iter().find(|account| account.name == name)
    }
}

/// One sign-in at one server and the Maildir that mirrors it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// `[A-Za-z0-9._-]+`, fit for a file name.
    pub name: String,
    /// Host name or address of the server.
    pub host: String,
    /// TCP port; unless given 993, or 143 without implicit TLS, and 995 or 110 for POP3.
    pub port: u16,
    /// How the connection is protected.
    pub tls: Tls,
    /// A PEM file with further roots to trust.
    pub tls_ca: Option<PathBuf>,
    /// The server's key; with it, no other certificate is accepted.
    pub tls_pin: Option<Pin>,
    /// Whether signing in without TLS was allowed in words. `tls = "none"` is only accepted
    /// with it or for a loopback host.
    pub allow_cleartext: bool,
    /// The name to sign in with.
    pub user: String,
    /// Whether to sign in by SCRAM-SHA-256 or not at all.
    pub scram_only: bool,
    /// Where the password comes from.
    pub secret: SecretSource,
    /// The root of the Maildir, absolute; no other account's root is the same, above or below,
    /// but for a guest, whose root is its owner's.
    pub maildir: PathBuf,
    /// How mailboxes lie in the root.
    pub layout: Layout,
    /// What stands between stem and flags in a file name, `:` by default.
    pub info_separator: char,
    /// Who may change what.
    pub direction: Direction,
    /// Which mailboxes are mirrored.
    pub mailboxes: Mailboxes,
    /// What the server does when a message is deleted locally.
    pub on_local_delete: OnLocalDelete,
    /// What the disk does when a message is deleted on the server.
    pub on_remote_delete: OnRemoteDelete,
    /// How often to look for what push does not cover.
    pub poll: Duration,
    /// A program with its arguments, run once after a run that changed something locally; may
    /// be empty. No shell is between.
    pub on_change: Vec<String>,
    /// The same, run once after a run that brought mail that nobody has read.
    pub new_mail: Vec<String>,
    /// The same, run once for each hold that is new.
    pub on_hold: Vec<String>,
    /// How many connections to use at most, 1 to 32.
    pub connections: u8,
    /// Messages above this many bytes are set aside.
    pub max_message_size: u64,
    /// Nothing is fetched when the disk has fewer bytes free than this.
    pub min_free: u64,
    /// Mailboxes for special uses that the server does not announce.
    pub special_use: BTreeMap<SpecialUse, MailboxName>,
    /// When deletions are held for a person.
    pub guard: GuardLimits,
    /// How long a server may be silent before the connection is given up.
    pub timeout: Duration,
    /// What is pulled how, where the protocol is POP3; none where it is IMAP.
    pub maildrop: Option<Maildrop>,
}

/// What is special to an account that only pulls from a maildrop (POP3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Maildrop {
    /// The mailbox that messages are delivered into.
    pub mailbox: MailboxName,
    /// The account in whose Maildir that mailbox lies, where this one has none of its own.
    pub owner: Option<String>,
    /// When the server's copies go.
    pub keep: Keep,
    /// A program with its arguments that takes each message instead of a mailbox; may be
    /// empty. No shell is between.
    pub deliver_command: Vec<String>,
    /// Whether the password is an OAuth 2.0 access token.
    pub token: bool,
}

impl Maildrop {
    /// Whether the account has no Maildir of its own.
    #[must_use]
    pub fn lodges(&self) -> bool {
        self.owner.is_some() || !self.deliver_command.is_empty()
    }
}

/// How long a message stays on the server after it was pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// For good.
    Forever,
    /// Until it is safe here.
    UntilPulled,
    /// For so many days on which it was seen there, 1 to 36,500.
    Days(u32),
}

/// Who may change what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Both sides are kept the same.
    Both,
    /// A backup: the server is never changed.
    Pull,
}

/// SHA-256 of a server key (its SubjectPublicKeyInfo in DER, as in RFC 7469 §2.4).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Pin(pub [u8; 32]);

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
