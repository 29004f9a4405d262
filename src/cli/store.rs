//! Where the store of an account lies, and what is said when it fails.

use std::path::PathBuf;

use super::exit::Exit;
use super::report::Failure;
use crate::account;
use crate::config::{Account, Config};
use crate::state::StateError;

pub(super) fn store_path(config: &Config, account: &Account) -> PathBuf {
    account::settings::store_path(&config.state_dir, account)
}

pub(super) fn store_failure(error: &StateError) -> Failure {
    Failure::new(Exit::Incomplete, error.to_string())
}
