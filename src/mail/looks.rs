//! A look at both sides, after what was renamed on one of them has the same name on both.

use super::run::Run;
use super::{observe, recover, renames};
use crate::account::error::AccountError;

impl Run {
    /// Settles what was renamed, then looks at both sides.
    ///
    /// # Errors
    /// What ends the run: the connection, the root as a whole, the store.
    pub(super) async fn look(&mut self) -> Result<(), AccountError> {
        let sighting = renames::settle(self).await?;
        if !self.attempt.dry_run {
            recover::settle_renamed(self)?;
        }
        observe::observe(self, sighting.walk, sighting.listed).await
    }
}
