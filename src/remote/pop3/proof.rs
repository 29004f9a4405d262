//! Whether commands and answers are still in step (hazard 147).
//!
//! A body ends at a line with nothing but a dot. A server that does not double the dots of a
//! message ends it too early, and what is left of it is read as the answers to the next commands: a
//! message can hold answers, so that bodies are taken for those of other messages. So a question is
//! asked behind the bodies that nobody but the server can answer: the id or the size of a message,
//! or their number, which has to be what the listing said.

use super::reply::Answer;
use super::session::Session;
use super::step::Proof;
use crate::remote::budget::Budget;
use crate::remote::error::RemoteError;
use crate::remote::suspects::Command;

/// What is wrong where the answer is another one.
const OUT_OF_STEP: &str = "its answer is to another command";

/// What a question was answered by.
enum Said {
    Right,
    Refused,
    Wrong,
}

impl Session {
    /// Learns which question the server answers about one message as it should. To be asked before
    /// the first body, where commands and answers are surely in step.
    ///
    /// # Errors
    /// What ends the session. `Protocol` where the server says something else than in the listing:
    /// from then on it is not asked in this session, nor [in others](Self::asks_nothing_of_one).
    pub async fn learn_proof(&mut self, number: u32) -> Result<(), RemoteError> {
        if std::mem::replace(&mut self.step.is_known, true) || self.rests(Command::Prove) {
            return Ok(());
        }
        let about_one: &[Proof] =
            if self.step.asks_nothing_of_one { &[] } else { &[Proof::Uidl, Proof::List] };
        let stat = Some(Proof::Stat).filter(|_| !self.rests(Command::Stat));
        for proof in about_one.iter().copied().chain(stat) {
            let Some(question) = self.question(proof, number) else { continue };
            match self.asked(&question, proof, number).await? {
                Said::Right => {
                    self.step.proof = Some(proof);
                    break;
                }
                Said::Refused => {}
                // It counts in its own way.
                Said::Wrong if proof == Proof::Stat => {}
                Said::Wrong => {
                    self.step.is_odd = true;
                    return Err(self.lost(&question, OUT_OF_STEP));
                }
            }
        }
        Ok(())
    }

    /// Whether [`Self::learn_proof`] found a question.
    #[must_use]
    pub fn has_proof(&self) -> bool {
        self.step.proof.is_some()
    }

    /// The server is known to answer questions about one message in its own way.
    pub fn asks_nothing_of_one(&mut self) {
        self.step.asks_nothing_of_one = true;
    }

    /// Whether this session found that the server answers them so.
    #[must_use]
    pub fn is_unprovable(&self) -> bool {
        self.step.is_odd
    }

    /// How many bodies came that are not [proven](Self::prove) yet.
    #[must_use]
    pub fn unproven_bodies(&self) -> u32 {
        self.step.bodies
    }

    /// Looks whether the bodies that came were whole, and those of the messages that they were
    /// asked for; `number` is one of the messages. Where a connection was lost at the one question,
    /// it is another, and that one only shows whether the last body was whole.
    ///
    /// # Errors
    /// What ends the session.
    pub async fn prove(&mut self, number: u32) -> Result<(), RemoteError> {
        let (weak, stat) = (self.rests(Command::Prove), self.rests(Command::Stat));
        if let Some(proof) = self.step.proof.filter(|_| !weak)
            && let Some(question) = self.question(proof, number)
        {
            // An answer that is another's does not prove the last body.
            let last = self.unproven.take();
            let said = self.asked(&question, proof, number).await;
            if matches!(said, Ok(Said::Right)) {
                self.unproven = last;
                self.is_proven();
                self.step.bodies = 0;
                return Ok(());
            }
            self.unproven = last;
            return Err(match said {
                Ok(_) => self.lost(&question, OUT_OF_STEP),
                Err(error) => error,
            });
        }
        let question = match (weak, stat) {
            (false, _) => "NOOP",
            (true, false) => "STAT",
            (true, true) => {
                self.step.bodies = 0;
                return Ok(());
            }
        };
        // A refusal says that it was understood.
        let _ = self.run(question, question, Budget::SHORT).await?;
        self.step.bodies = 0;
        Ok(())
    }

    /// A question, where the listing has its answer.
    fn question(&self, proof: Proof, number: u32) -> Option<String> {
        let listed = self.listing.get(number)?;
        let is_told = match proof {
            // Only its number says nothing.
            Proof::Uidl => listed.uidl.as_ref().is_some_and(|id| **id != *number.to_string()),
            Proof::List => listed.size.is_some(),
            Proof::Stat => true,
        };
        is_told.then(|| match proof {
            Proof::Uidl => format!("UIDL {number}"),
            Proof::List => format!("LIST {number}"),
            Proof::Stat => "STAT".to_owned(),
        })
    }

    async fn asked(
        &mut self,
        question: &str,
        proof: Proof,
        number: u32,
    ) -> Result<Said, RemoteError> {
        self.start(question, question, Budget::SHORT)?;
        match self.status(question).await? {
            Answer::Ok(words) => {
                self.settled();
                let words = words.as_bytes();
                let listed = self.listing.get(number);
                let is_right =
                    listed.is_some_and(|listed| proof.fits(words, listed, self.listing.len()));
                Ok(if is_right { Said::Right } else { Said::Wrong })
            }
            Answer::Err(_) => Ok(Said::Refused),
            Answer::Challenge(_) => Err(self.lost(question, "unexpected challenge")),
        }
    }
}
