//! Files that are not uploaded, whatever is in them.

use crate::local::{Listed, LocalError};
use crate::mail::limits::too_large;
use crate::mail::run::Run;
use crate::reconcile::types::{FileStamp, Mailbox, SetAside, SetAsideKind};

/// The stamp of a file that is larger than what we send: it is not even read. On the wire it is no
/// smaller than here.
pub(super) fn too_large_now(
    run: &Run,
    mailbox: &Mailbox,
    listed: &Listed,
) -> Result<Option<FileStamp>, LocalError> {
    let stamp = run.root.stat(&mailbox.name, &listed.name)?;
    Ok(stamp.filter(|stamp| stamp.size > run.settings.max_message_size))
}

/// Of a file that was compressed, or filled with zeros by a crash: it is no edited message either,
/// and the message stays (hazard 171).
pub(super) fn is_no_message() -> SetAside {
    let words = "not a message: it begins with binary data (compressed, or zeros after a crash), \
                 so it is not uploaded";
    SetAside { kind: SetAsideKind::Read, words: words.to_owned(), times: 1 }
}

pub(super) fn is_too_large(limit: u64) -> SetAside {
    SetAside { kind: SetAsideKind::Read, words: too_large(limit), times: 1 }
}
