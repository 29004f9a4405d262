//! What a run is asked to do.

use std::collections::BTreeSet;

use crate::reconcile::types::MailboxName;

/// What a run is asked to do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunRequest {
    /// Observe and plan, then say what would be done.
    pub dry_run: bool,
    /// Look whether everything is as it should be. That is a dry run, too.
    pub verify: Option<Depth>,
    /// Look only at these mailboxes. What could have gone elsewhere is not removed then.
    pub focus: Option<BTreeSet<MailboxName>>,
}

impl RunRequest {
    /// To see what a run would do.
    #[must_use]
    pub fn dry_run() -> Self {
        Self { dry_run: true, ..Self::default() }
    }

    /// To see whether everything is as it should be.
    #[must_use]
    pub fn verify(depth: Depth) -> Self {
        Self { verify: Some(depth), ..Self::dry_run() }
    }
}

/// How far a verification goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// Every file is read, and both sides are listed.
    Files,
    /// The bodies on the server are fetched as well.
    Bodies,
}
