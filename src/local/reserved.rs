//! Names in a root that mean something, so that no mailbox has them.

/// Names that mean something inside a Maildir.
pub(super) const RESERVED: [&str; 3] = ["cur", "new", "tmp"];
/// Our own directory in the root: no Maildir, and no program has to look into it.
pub(super) const OWN: &str = ".mailtide";
/// The file in a mailbox's directory, beside `cur`: its id.
pub(super) const ID_FILE: &str = ".mailtide-id";
/// The file in a mailbox's directory that says which letter means which keyword.
pub(super) const KEYWORDS_FILE: &str = "dovecot-keywords";
