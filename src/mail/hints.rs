//! What events of the file system told before a run.

use std::collections::BTreeSet;
use std::path::PathBuf;

/// What events of the file system told beyond that something happened. Without them the same
/// is found, later.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hints {
    /// Files that were renamed to where they are: whoever did that had written them.
    pub arrived: BTreeSet<PathBuf>,
    /// Files that were written to where they are.
    pub written: BTreeSet<PathBuf>,
}
