//! Which names are spelled with escapes alone, because the disk takes them for others.
//!
//! `Work` and `work`, or one accent written in two ways, are two mailboxes on a server and
//! one name on many disks. Whichever comes second has every octet of its level escaped, which
//! no disk folds. Which those are is seen in the root itself, by a walk; a small file of ours
//! tells it before the first one.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{OnceLock, PoisonError, RwLock};

use crate::reconcile::types::MailboxName;

use super::given::Given;
use super::layout::Layout;

/// What a root knows of it.
#[derive(Debug, Default)]
pub(super) struct Spelling {
    pub(super) folds: OnceLock<bool>,
    escaped: RwLock<BTreeSet<MailboxName>>,
    given: RwLock<Given>,
}

impl Spelling {
    /// Uses what is known.
    pub(super) fn with<T>(&self, see: impl FnOnce(&BTreeSet<MailboxName>) -> T) -> T {
        see(&self.escaped.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The directory of a mailbox, relative to the root.
    pub(super) fn path_of(&self, layout: Layout, mailbox: &MailboxName) -> PathBuf {
        let given = self.given.read().unwrap_or_else(PoisonError::into_inner);
        self.with(|escaped| match given.is_empty() {
            true => layout.spell(mailbox, escaped),
            false => layout.spell_given(mailbox, escaped, &given),
        })
    }

    /// Directories of other programs, as they were recorded.
    pub(super) fn given(&self) -> Given {
        self.with_given(Given::clone)
    }

    /// Uses what is recorded of them.
    pub(super) fn with_given<T>(&self, see: impl FnOnce(&Given) -> T) -> T {
        see(&self.given.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces what is recorded of them.
    pub(super) fn give(&self, given: Given) {
        *self.given.write().unwrap_or_else(PoisonError::into_inner) = given;
    }

    /// Takes note of names that are spelled so.
    pub(super) fn add(&self, names: impl IntoIterator<Item = MailboxName>) {
        self.escaped.write().unwrap_or_else(PoisonError::into_inner).extend(names);
    }
}
