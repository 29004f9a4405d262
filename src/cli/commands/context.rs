//! What a command is given.

use crate::cli::answer::{Answer, answer};
use crate::cli::args::{self, Global};
use crate::cli::exit::Exit;
use crate::cli::output::Style;
use crate::cli::report::Failure;
use crate::config::{Account, Config};

/// What a command is given.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) config: &'a Config,
    pub(super) global: &'a Global,
    pub(super) style: Style,
    /// Seconds since 1970.
    pub(super) now: i64,
}

impl<'a> Context<'a> {
    /// An account by the name that was typed.
    pub(super) fn account(&self, name: &str) -> Result<&'a Account, Failure> {
        let unknown = || Failure::new(Exit::Usage, args::unknown_account(name, self.config));
        self.config.account(name).ok_or_else(unknown)
    }

    /// What is said unless only problems are to be.
    pub(super) fn unless_quiet(&self, text: impl FnOnce() -> String) -> String {
        if self.global.quiet { String::new() } else { text() }
    }

    /// The answer of a command that has nothing to say.
    pub(super) fn nothing(&self) -> Result<Answer, Failure> {
        answer(String::new(), "accounts", &[(); 0], Exit::InSync)
    }
}
