//! Reading one file for its row.

use super::edited::QUIET_NS;
use super::unsent::too_large_now;
use crate::local::{Examined, Listed, LocalError};
use crate::mail::run::Run;
use crate::reconcile::types::Mailbox;

pub(super) fn examine_one(
    run: &Run,
    mailbox: &Mailbox,
    listed: &Listed,
    now_ns: i64,
) -> Result<Examined, LocalError> {
    if let Some(stamp) = too_large_now(run, mailbox, listed)? {
        return Ok(Examined::Large { stamp });
    }
    let examined = run.root.examine(&mailbox.name, listed)?;
    match &examined {
        // A rename moves the change time past the last write: such a file came whole. A time in
        // the future was given to it, and not by writing.
        Examined::Message { stamp, ctime_ns, .. }
            if stamp.mtime_ns.min(*ctime_ns) > now_ns - QUIET_NS
                && *ctime_ns <= stamp.mtime_ns
                && !run.hints.arrived.contains(&run.root.path_of(&mailbox.name, &listed.name)) =>
        {
            Ok(Examined::Changing)
        }
        _ => Ok(examined),
    }
}
