//! What a plan is made from: rows whose columns differ, and what they could match.

use std::collections::{BTreeMap, BTreeSet};

use super::hold::{Direction, Hold};
use super::types::{
    ContentId, Coverage, FlagMask, GuardLimits, KeywordMask, Mailbox, MailboxId, MailboxName,
    OnLocalDelete, OnRemoteDelete, Row, RowId, SpecialUse, System,
};

/// Everything that one round decides over.
#[derive(Debug, Clone)]
pub struct PlanInput {
    /// Every mailbox that is mirrored.
    pub mailboxes: BTreeMap<MailboxId, MailboxView>,
    /// Unsettled rows, a page of new remote rows, and settled rows that either could match.
    pub rows: Vec<Row>,
    /// Held rows of mailboxes whose files cannot be looked at: nothing explains them now.
    pub unseen_held: BTreeSet<RowId>,
    /// Whether every place on the disk that may hold mail could be looked at: where one could not,
    /// what left another may have gone there.
    pub disk_seen: bool,
    /// Texts of messages whose files cannot be looked at. A new file with one of them may be such a
    /// file: sent now, it would be a second one once that is known, also where its message has left
    /// already (hazard 63).
    pub unseen_texts: BTreeSet<ContentId>,
    /// Mailboxes that are left out have, or may have, new messages on the server: what left another
    /// mailbox there, or is in doubt, may be one of them (hazards 78 and 87).
    pub unseen_arrivals: bool,
    /// Messages came to the server and left again before a look showed them: what appears now may
    /// be one of them, whatever the server says of it (hazard 154).
    pub passed: bool,
    /// What the user configured.
    pub policy: Policy,
    /// The number of this run.
    pub run: i64,
    /// Rows found locally in a directory that is not mirrored, and which mailbox that is.
    pub outside: BTreeMap<RowId, MailboxName>,
    /// Rows whose file was found in a directory that is no mailbox: they were not deleted.
    pub somewhere: BTreeSet<RowId>,
    /// Removals counted over the last 24 hours.
    pub departures: BTreeMap<(MailboxId, Direction), u64>,
    /// Holds that a person let pass.
    pub approved: Vec<Hold>,
    /// Holds of earlier plans that nobody has answered.
    pub pending: Vec<Hold>,
    /// The id of the store: ids of holds are made from it, so that no two accounts share one.
    pub store: [u8; 16],
}

/// One mailbox as this round sees it.
#[derive(Debug, Clone)]
pub struct MailboxView {
    /// Its row.
    pub mailbox: Mailbox,
    /// How far the last look at its directory reached.
    pub local_coverage: Coverage,
    /// How far the last look at the server reached.
    pub remote_coverage: Coverage,
    /// The server said for the first time that it has no such mailbox: where its messages are is
    /// known once the next run has heard that, too (hazard 42).
    pub refused: bool,
    /// Rows with a base: what the guard measures against, where it measures (see
    /// [`super::guard::asks_for_sizes`]).
    pub agreed: u64,
    /// The last row that was known when messages began to leave: what is newer arrived since.
    pub newest_known: RowId,
    /// Whether a message that was known then is still on both sides.
    pub keeps_known: bool,
    /// How many of the messages that were known then left within the window, from either side.
    pub known_departed: u64,
    /// Rows with a file, where the server has not the mailbox.
    pub with_local: u64,
    /// Rows with a server message, where the disk has not the mailbox.
    pub with_remote: u64,
    /// Whether, and at least how many, new remote rows are neither set aside nor in
    /// [`PlanInput::rows`], which holds a page.
    pub remotes_beyond: u64,
    /// The server does not let us look at it, though it was asked.
    pub shut: bool,
    /// Rows of it that one side lost, and that waited long enough for mailboxes that cannot be
    /// looked at (hazard 91).
    pub waited: BTreeSet<RowId>,
}

impl MailboxView {
    /// A mailbox by itself: enough to judge whether a row of it is settled.
    #[must_use]
    pub fn of(mailbox: Mailbox) -> Self {
        Self {
            mailbox,
            local_coverage: Coverage::default(),
            remote_coverage: Coverage::default(),
            refused: false,
            agreed: 0,
            newest_known: RowId(i64::MAX),
            keeps_known: true,
            known_departed: 0,
            with_local: 0,
            with_remote: 0,
            remotes_beyond: 0,
            shut: false,
            waited: BTreeSet::new(),
        }
    }

    /// Flags that a file here can hold: `T` means nothing in \Trash, where readers set it on
    /// what they file and the next expunge would make it final (hazard 14).
    #[must_use]
    pub fn local_mask(&self) -> FlagMask {
        let table = &self.mailbox.keyword_table;
        let full = table.len() >= 26 && table.iter().take(26).all(Option::is_some);
        let keywords = if full {
            KeywordMask::Only(table.iter().flatten().cloned().collect())
        } else {
            KeywordMask::Any
        };
        FlagMask { system: self.system_mask(), keywords }
    }

    /// Flags that the server keeps here, without those that it refused on this row.
    #[must_use]
    pub fn remote_mask(&self, row: &Row) -> FlagMask {
        let mut mask = self.mailbox.mask.clone().unwrap_or_else(FlagMask::all);
        mask.system = mask.system.intersection(self.system_mask());
        if !row.refused_keywords.is_empty() {
            mask.keywords = match mask.keywords {
                KeywordMask::Only(set) => {
                    KeywordMask::Only(set.difference(&row.refused_keywords).cloned().collect())
                }
                KeywordMask::Any => {
                    let mut known = row.known_keywords();
                    known.retain(|k| !row.refused_keywords.contains(k));
                    KeywordMask::Only(known)
                }
            };
        }
        mask
    }

    fn system_mask(&self) -> System {
        if self.is(SpecialUse::Trash) {
            System::ALL.difference(System::TRASHED)
        } else {
            System::ALL
        }
    }

    /// Whether the mailbox has this special use.
    #[must_use]
    pub fn is(&self, special_use: SpecialUse) -> bool {
        self.mailbox.special_use == Some(special_use)
    }
}

/// What comes back after a change of the settings, since its departure may have meant something
/// else under the former ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BringsBack {
    /// Messages whose file left the disk.
    pub here: bool,
    /// Messages that left the server.
    pub there: bool,
    /// Flags that were taken off files.
    pub flags: bool,
}

/// What the user configured, as far as it decides anything.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// The server is never changed (`direction = "pull"`).
    pub pull_only: bool,
    /// What the server does when a file was deleted.
    pub on_local_delete: OnLocalDelete,
    /// What the disk does when a message was deleted on the server.
    pub on_remote_delete: OnRemoteDelete,
    /// Where deleted messages go on the server; none when it has no \Trash yet.
    pub trash: Option<MailboxName>,
    /// What departed under other settings comes back (hazard 43).
    pub brings_back: BringsBack,
    /// Limits of the guard.
    pub guard: GuardLimits,
}
