//! Bodies that were fetched to be compared: with files of the same mailbox that could be the same
//! message and of which nothing else proves it (hazard 52).

use std::collections::BTreeMap;

use super::fetch::Pulled;
use crate::account::{AccountError, Run};
use crate::local::Listed;
use crate::local::compare::Likeness;
use crate::reconcile::pairing::{Class, class};
use crate::reconcile::types::{ContentId, Mailbox, Row, RowId, SetAside, SetAsideKind};

/// Files that wait at most.
const FILES_MAX: usize = 200_000;

/// What comparing found out about a body.
#[derive(Debug, Clone)]
pub(super) enum Compared {
    /// It is the message of the file with this content, but for what other programs changed.
    Of(ContentId),
    /// The file of this row is cut off: it is named and not sent.
    CutOff(RowId, SetAside),
}

/// Compares what came down into a mailbox with the files that wait there.
pub(super) fn compare(
    run: &Run,
    mailbox: &Mailbox,
    pulled: &[Pulled],
) -> Result<BTreeMap<RowId, Compared>, AccountError> {
    let mut out = BTreeMap::new();
    if run.store.new_local_count(mailbox.id)? == 0 {
        return Ok(out);
    }
    let mut files: BTreeMap<[u8; 16], Vec<Row>> = BTreeMap::new();
    for row in run.store.unsettled(None, FILES_MAX)? {
        let waits = row.mailbox == mailbox.id && class(&row) == Class::LocalNew;
        if let Some(header) = row.header.filter(|h| h.has_message_id && waits) {
            files.entry(header.loose).or_default().push(row);
        }
    }
    for body in pulled.iter().filter(|body| body.row.content.is_none()) {
        let summary = &body.delivered.summary;
        let Some(like) = files.get(&summary.header.loose) else { continue };
        if like.iter().any(|row| row.content == Some(summary.content)) {
            continue;
        }
        for row in like.iter().filter(|row| row.set_aside.is_none()) {
            if let Some(compared) = compare_one(run, mailbox, row, body) {
                out.insert(body.row.id, compared);
                break;
            }
        }
    }
    Ok(out)
}

fn compare_one(run: &Run, mailbox: &Mailbox, row: &Row, body: &Pulled) -> Option<Compared> {
    let file = Listed::expected(row.local.as_ref()?, run.settings.info_separator);
    let path = run.root.path_of(&mailbox.name, &file.name);
    match run.root.compare(&mailbox.name, &file, &body.delivered) {
        Ok(Likeness::Same) => Some(Compared::Of(row.content?)),
        Ok(Likeness::CutOff) if !is_drafts(mailbox) => {
            let size = body.delivered.summary.wire_size;
            let words = format!(
                "{} holds only the beginning of a message of {size} bytes; the whole message was \
                 downloaded beside it",
                path.display()
            );
            Some(Compared::CutOff(row.id, SetAside { kind: SetAsideKind::Read, words, times: 1 }))
        }
        Ok(_) => None,
        Err(error) => {
            tracing::debug!(%error, "not compared");
            None
        }
    }
}

fn is_drafts(mailbox: &Mailbox) -> bool {
    mailbox.special_use == Some(crate::reconcile::types::SpecialUse::Drafts)
}
