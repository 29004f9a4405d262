//! `mailtide adopt`: a Maildir is taken over.

use std::sync::Arc;

use super::context::Context;
use crate::account::Settings;
use crate::cli::answer::{Answer, answer};
use crate::cli::exit::Exit;
use crate::cli::failure::failure;
use crate::cli::report::Failure;
use crate::engine;
use crate::local::fs::RealFs;
use crate::reconcile::types::printable;

/// Makes the Maildir of an account ours; says what was done.
pub(super) fn adopt(context: &Context<'_>, name: &str) -> Result<Answer, Failure> {
    let account = context.account(name)?;
    let settings = Settings::of(account, &context.config.state_dir, "");
    engine::adopt(&settings, Arc::new(RealFs::default())).map_err(|error| failure(&error))?;
    let said = format!(
        "{} belongs to this mailtide from now on; the next sync merges both sides and deletes \
         nothing",
        account.maildir.display()
    );
    let text = context.unless_quiet(|| printable(&said) + "\n");
    answer(text, "adopted", &said, Exit::InSync)
}
