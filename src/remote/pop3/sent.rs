//! A command that was sent, and what it is about.

use crate::remote::budget::Budget;
use crate::remote::suspects::Command;

/// A command that was sent and is not wholly answered yet.
#[derive(Debug)]
pub(crate) struct Sent {
    /// What its answer may cost.
    pub(crate) budget: Budget,
    /// Which it is; none for those of the sign-in.
    pub(super) command: Option<Command>,
    /// The message that it is about, by its number.
    pub(super) number: Option<u32>,
}

impl Sent {
    /// Reads off a line what it asks for.
    pub(crate) fn new(line: &str, budget: Budget) -> Self {
        let mut words = line.split(' ');
        let command = match words.next().unwrap_or_default() {
            "CAPA" => Some(Command::Capa),
            "UTF8" => Some(Command::Utf8),
            "UIDL" => Some(Command::Uidl),
            "LIST" => Some(Command::List),
            "STAT" => Some(Command::Stat),
            "TOP" => Some(Command::Top),
            "RETR" => Some(Command::Retr),
            "DELE" => Some(Command::Dele),
            "NOOP" => Some(Command::Prove),
            "QUIT" => Some(Command::Quit),
            _ => None,
        };
        let number = words.next().filter(|_| command.is_some()).and_then(|word| word.parse().ok());
        match (command, number) {
            // About one message they are asked only to see whether an answer fits.
            (Some(Command::Uidl | Command::List), Some(_)) => {
                Self { budget, command: Some(Command::Prove), number: None }
            }
            _ => Self { budget, command, number },
        }
    }
}
