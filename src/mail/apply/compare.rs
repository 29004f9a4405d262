//! Bodies that were fetched to be compared: with files of the same mailbox that could be the same
//! message and of which nothing else proves it (hazard 52).

use std::collections::BTreeMap;

use crate::account::error::AccountError;
use crate::local::compare::Likeness;
use crate::local::{Listed, LocalError, Summary};
use crate::mail::fetch::take::Pulled;
use crate::mail::run::Run;
use crate::reconcile::row_state::{RowState, state_of};
use crate::reconcile::types::{ContentId, Mailbox, Row, RowId, SetAside, SetAsideKind};

/// Files that wait at most.
const FILES_MAX: usize = 200_000;

/// What comparing found out about a body.
#[derive(Debug, Clone)]
pub(in crate::mail) enum Compared {
    /// It is the message of the file with this content, but for what other programs changed.
    Of(ContentId),
    /// The file of this row is cut off: it is named and not sent.
    CutOff(RowId, SetAside),
}

/// Compares bodies that came down into a mailbox with the files that wait there.
pub(super) fn compare(
    run: &Run,
    mailbox: &Mailbox,
    pulled: &[Pulled],
) -> Result<BTreeMap<RowId, Compared>, AccountError> {
    let (mut out, files) = (BTreeMap::new(), WaitingFiles::load(run, mailbox)?);
    for body in pulled.iter().filter(|body| body.row.content.is_none()) {
        let text = || run.root.delivered_text(&body.delivered);
        if let Some(compared) = files.compare(run, &body.delivered.summary, text) {
            out.insert(body.row.id, compared);
        }
    }
    Ok(out)
}

/// Files of a mailbox that have no message yet, by the loose key of their header.
#[derive(Debug)]
pub(in crate::mail) struct WaitingFiles<'a> {
    mailbox: &'a Mailbox,
    files: BTreeMap<[u8; 16], Vec<Row>>,
}

impl<'a> WaitingFiles<'a> {
    /// Looks them up in the store.
    pub(in crate::mail) fn load(run: &Run, mailbox: &'a Mailbox) -> Result<Self, AccountError> {
        let mut files: BTreeMap<[u8; 16], Vec<Row>> = BTreeMap::new();
        if run.store.new_local_count(mailbox.id)? > 0 {
            for row in run.store.unsettled(None, FILES_MAX)? {
                let waits = row.mailbox == mailbox.id && state_of(&row) == RowState::LocalNew;
                if let Some(header) = row.header.filter(|h| h.has_message_id && waits) {
                    files.entry(header.loose).or_default().push(row);
                }
            }
        }
        Ok(Self { mailbox, files })
    }

    /// Compares a body with those of the same header, unless one has the very same content.
    pub(in crate::mail) fn compare(
        &self,
        run: &Run,
        body: &Summary,
        text: impl FnOnce() -> Result<Option<Vec<u8>>, LocalError>,
    ) -> Option<Compared> {
        let like = self.files.get(&body.header.loose)?;
        if like.iter().any(|row| row.content == Some(body.content)) {
            return None;
        }
        let text = readable(text())??;
        let mut like = like.iter().filter(|row| row.set_aside.is_none());
        like.find_map(|row| self.compare_one(run, row, &text, body.wire_size))
    }

    fn compare_one(&self, run: &Run, row: &Row, text: &[u8], size: u64) -> Option<Compared> {
        let name = &self.mailbox.name;
        let file = Listed::expected(row.local.as_ref()?, run.settings.info_separator);
        match readable(run.root.compare(name, &file, text))? {
            Likeness::Same => Some(Compared::Of(row.content?)),
            Likeness::CutOff if !is_drafts(self.mailbox) => {
                let words = format!(
                    "{} is cut off: the message has {size} bytes; the whole message was \
                     downloaded, too",
                    run.root.path_of(name, &file.name).display()
                );
                let aside = SetAside { kind: SetAsideKind::Read, words, times: 1 };
                Some(Compared::CutOff(row.id, aside))
            }
            Likeness::CutOff | Likeness::Different => None,
        }
    }
}

/// A text that cannot be read now is compared with nothing.
fn readable<T>(text: Result<T, LocalError>) -> Option<T> {
    text.inspect_err(|error| tracing::debug!(%error, "not compared")).ok()
}

fn is_drafts(mailbox: &Mailbox) -> bool {
    mailbox.special_use == Some(crate::reconcile::types::SpecialUse::Drafts)
}
