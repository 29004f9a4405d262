//! The bookkeeping of one attempt to bring an account in sync. It is made anew for each, so that
//! nothing of a former attempt has to be cleared by hand.

use std::collections::BTreeSet;

use super::seen;
use crate::account::request::RunRequest;
use crate::reconcile::types::{MailboxId, MailboxName, RowId, Uid};
use crate::remote::imap::Counters;

/// State of one attempt.
#[derive(Debug, Default)]
pub struct Attempt {
    /// Number of this run, counted per account from 1.
    pub number: i64,
    /// Nothing is changed on either side.
    pub(super) dry_run: bool,
    /// The only mailboxes that are looked at, if not all.
    pub(super) focus: Option<BTreeSet<MailboxName>>,
    /// Octets and commands that had gone over the connection when the attempt began.
    pub(super) traffic: Counters,
    /// Results of the last look at both sides.
    pub seen: seen::Seen,
    /// Rows whose step was tried since the last look: not tried again before the next one.
    pub(super) tried: BTreeSet<RowId>,
    /// Rows that the server said it copied, or copied onto: not asked for again, since neither
    /// COPY nor MOVE may be repeated before a later look (hazard 16).
    pub(super) copied: BTreeSet<RowId>,
    /// Rows that the server refused to copy to the trash: not asked for again either.
    pub(super) copies_refused: BTreeSet<RowId>,
    /// Mailboxes that the server was asked to create: not asked again, whatever it answered. It may
    /// list them under another name, or not at all (hazard 41).
    pub(super) creations_asked: BTreeSet<MailboxId>,
    /// Names that a mailbox was to be given: each is tried once.
    pub(super) rename_targets_tried: BTreeSet<MailboxName>,
    /// Mailboxes of which it is not known which directory is theirs.
    pub(super) doubtful: BTreeSet<MailboxName>,
    /// Lines of a dry run about files that share a unique name.
    pub(super) twins: Vec<String>,
    /// Lines of a dry run about mailboxes that it would rename.
    pub(super) dry_run_renames: Vec<String>,
    /// Something was done whose fact only the next look can see.
    pub(super) unseen: bool,
    /// Messages that a command was to change and that the server did not show: one more look tells
    /// what became of them.
    pub(super) absent: BTreeSet<RowId>,
    /// Mailboxes whose keyword table could not be read: no letter is given there (hazard 58).
    pub(super) unread_tables: BTreeSet<MailboxId>,
    /// Mailboxes whose keyword table could not be written: no name there loses its keywords for
    /// want of a letter (hazard 200).
    pub(super) unwritten_tables: BTreeSet<MailboxId>,
    /// Messages whose headers do not come as announced: nothing is paired by them.
    pub(super) headless: BTreeSet<(MailboxId, Uid)>,
    /// Number of skips in the report that the progress sink has been told of.
    pub(super) skips_told: usize,
    /// The marker in the Maildir was advanced.
    pub(super) marked: bool,
    /// The disk is to be looked at again soon: a file was still being written, or not all was
    /// compared.
    pub(super) growing: bool,
    /// Something is believed, or done, only if the next run finds the same.
    pub(super) waits_for_next: bool,
}

impl Attempt {
    /// An attempt at what is wished, before anything was looked at.
    #[must_use]
    pub fn new(number: i64, request: &RunRequest, traffic: Counters) -> Self {
        let (dry_run, focus) = (request.dry_run, request.focus.clone());
        Self { number, dry_run, focus, traffic, ..Self::default() }
    }
}
