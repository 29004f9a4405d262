//! DELE, and QUIT, which alone makes it count.

use super::ahead::Ahead;
use super::session::Session;
use crate::remote::budget::Budget;
use crate::remote::error::RemoteError;

impl Session {
    /// Marks messages to be deleted when the session [ends in order](Self::quit), and not
    /// before. Gives what became of each, in the order of `numbers`.
    ///
    /// # Errors
    /// What ends the session: then nothing is deleted.
    pub async fn delete(
        &mut self,
        numbers: &[u32],
    ) -> Result<Vec<(u32, Result<(), RemoteError>)>, RemoteError> {
        const DOING: &str = "DELE";
        let mut ahead = Ahead::short(numbers);
        let mut done = Vec::with_capacity(numbers.len());
        let command = |number: u32| format!("{DOING} {number}");
        while let Some(number) = self.advance(&mut ahead, DOING, &command)? {
            let answer = self.answer(DOING).await?;
            done.push((number, answer.map_err(|refusal| refusal.of(&command(number)))));
        }
        Ok(done)
    }

    /// Ends the session. Only when this is well is deleted what was marked; after an error
    /// nobody knows before the next listing.
    ///
    /// # Errors
    /// The server refused, or did not answer.
    pub async fn quit(&mut self) -> Result<(), RemoteError> {
        let answer = self.run("QUIT", "QUIT", Budget::LONG).await?;
        self.wire.finish();
        answer.map_err(|refusal| refusal.of("QUIT"))
    }
}
