//! `on_change`: the user's program, run once after a run that changed files.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::account::Report;
use crate::config::{Account, SecretSource};
use crate::reconcile::types::printable;

/// How long the program may take before it is stopped.
const LIMIT: Duration = Duration::from_secs(600);

/// Runs the program with `MAILTIDE_ACCOUNT`, `MAILTIDE_MAILBOXES` (one path per line) and
/// `MAILTIDE_NEW` (messages that came down). What it does wrong is said, and changes nothing.
pub(super) async fn on_change(account: &Account, report: &Report) {
    let [program, arguments @ ..] = account.on_change.as_slice() else { return };
    let mailboxes: Vec<&str> = report.touched.iter().map(|name| name.as_str()).collect();
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    command.env("MAILTIDE_ACCOUNT", &account.name);
    command.env("MAILTIDE_MAILBOXES", mailboxes.join("\n"));
    command.env("MAILTIDE_NEW", report.pulled.to_string());
    if let SecretSource::Env(name) = &account.secret {
        // The password is nobody else's business.
        command.env_remove(name);
    }
    let shown = printable(program);
    match tokio::time::timeout(LIMIT, command.status()).await {
        Ok(Ok(status)) if status.success() => {}
        Ok(Ok(status)) => tracing::warn!("on_change: {shown} ended with {status}"),
        Ok(Err(error)) => tracing::warn!("on_change: cannot run {shown}: {error}"),
        Err(_) => tracing::warn!("on_change: {shown} took over {} s", LIMIT.as_secs()),
    }
}
