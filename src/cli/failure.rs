//! What ended a run, as it is told: its exit code, and what to do about it.

use super::exit::Exit;
use super::report::Failure;
use crate::account::AccountError;
use crate::account::error::FailureKind;
use crate::remote::RemoteError;

/// How a run ends that was ended by an error of this kind.
pub(super) const fn exit_of(kind: FailureKind) -> Exit {
    match kind {
        FailureKind::Unreachable => Exit::Unreachable,
        FailureKind::Locked => Exit::Locked,
        FailureKind::Config => Exit::Usage,
        FailureKind::Failed => Exit::Incomplete,
    }
}

/// An error that ended a run, with advice where there is any.
pub(super) fn failure(error: &AccountError) -> Failure {
    let exit = exit_of(error.kind());
    let failure = Failure::new(exit, error.to_string());
    match error {
        AccountError::Remote(RemoteError::SignIn { .. }) => {
            failure.advise("check user and password; some providers want an app password for mail")
        }
        AccountError::Remote(RemoteError::Connect { .. }) => {
            failure.advise("check host, port and tls, and whether this machine is online")
        }
        AccountError::Remote(RemoteError::Tls { why, .. }) if why.contains("pinned") => failure,
        AccountError::Remote(RemoteError::Tls { .. }) => failure
            .advise("if the server has a certificate of its own, name it with tls_ca or tls_pin"),
        _ => failure,
    }
}

pub(super) fn interrupted() -> Failure {
    Failure::new(Exit::Interrupted, "interrupted; the step in hand was finished")
        .advise("run it again to go on where it stopped")
}
