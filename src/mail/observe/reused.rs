//! UIDs that were handed out twice under one UIDVALIDITY, as after a server was restored from a
//! backup (hazard 136).
//!
//! By the time of our look UIDNEXT may have reached again what it was. So whenever something is
//! asked for anyway, the server also tells size and date of the last messages that are known; where
//! they are other ones, their headers decide.

use std::collections::{BTreeMap, BTreeSet};

use super::rows::merge;
use crate::account::error::AccountError;
use crate::account::header::{HEADER_MAX, is_whole_header};
use crate::local::header;
use crate::mail::run::Run;
use crate::reconcile::types::{Mailbox, Row, ServerFacts, Uid};
use crate::remote::imap::{FetchRow, Session, UidSet};

/// So many of the last messages are compared: some of them may have been removed.
const LAST: u32 = 3;

/// The last messages that are known, and what the server says of them now.
#[derive(Debug, Default)]
pub(super) struct Probe {
    known: BTreeMap<Uid, Row>,
    shown: BTreeMap<Uid, FetchRow>,
}

impl Probe {
    /// What is known of a mailbox whose numbers seem to be the same.
    pub(super) fn of(run: &Run, mailbox: &Mailbox) -> Result<Self, AccountError> {
        if mailbox.cursor.is_none() {
            return Ok(Self::default());
        }
        let rows = run.store.youngest_known(mailbox.id, LAST)?.into_iter();
        let known = rows.filter(|row| row.words.is_some() && row.header.is_some());
        let by_uid = known.filter_map(|row| Some((row.remote.as_ref()?.uid, row)));
        Ok(Self { known: by_uid.collect(), ..Self::default() })
    }

    /// What is to be asked for, if it was not shown yet.
    pub(super) fn uids(&self) -> UidSet {
        let all = if self.shown.is_empty() { Some(self.known.keys()) } else { None };
        all.into_iter().flatten().copied().collect()
    }

    /// Takes what the server says of one of them.
    pub(super) fn take(&mut self, row: &FetchRow) {
        if self.known.contains_key(&row.uid) && (row.size.is_some() || row.date.is_some()) {
            merge(&mut self.shown, row.clone());
        }
    }

    /// Messages that are not what they were, as far as size and date tell.
    fn differing(&self) -> UidSet {
        let differ = |(uid, shown): &(&Uid, &FetchRow)| {
            let known = self.known.get(uid).and_then(|row| row.words.as_ref());
            let told = |words: &ServerFacts| {
                shown.size.is_some_and(|size| size != words.size)
                    || shown.date.is_some_and(|date| date != words.date)
            };
            known.is_some_and(told)
        };
        self.shown.iter().filter(differ).map(|(uid, _)| *uid).collect()
    }

    /// Whether one of them is another message.
    ///
    /// # Errors
    /// What ends the session.
    pub(super) async fn finds_another(&self, session: &mut Session) -> Result<bool, AccountError> {
        let differing = self.differing();
        if differing.is_empty() {
            return Ok(false);
        }
        let mut others = BTreeSet::new();
        let mut sink = |uid: Uid, bytes: &[u8]| {
            let size = self.shown.get(&uid).and_then(|row| row.size);
            let known = self.known.get(&uid).and_then(|row| row.header);
            let differs = known.is_some_and(|known| known.loose != header::keys(bytes).loose);
            match differs && is_whole_header(bytes, size) {
                true => others.insert(uid),
                false => others.remove(&uid),
            };
        };
        match session.fetch_headers(&differing, HEADER_MAX, &mut sink).await {
            Err(error) if error.ends_session() => Err(error.into()),
            Ok(()) | Err(_) => Ok(!others.is_empty()),
        }
    }
}
