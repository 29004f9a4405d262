//! What the server shows of a message, as it goes into its row.

use std::collections::BTreeMap;

use crate::mail::writer::Writer;
use crate::reconcile::types::{
    Flags, HeaderKeys, MailboxId, Remote, Row, ServerFacts, SetAside, SetAsideKind, Uid,
};
use crate::remote::imap::FetchRow;
use crate::state::StateError;

/// Puts together what was said of a message in several rows; the last word on its flags counts.
pub(super) fn merge(rows: &mut BTreeMap<Uid, FetchRow>, row: FetchRow) {
    let Some(known) = rows.get_mut(&row.uid) else {
        rows.insert(row.uid, row);
        return;
    };
    known.flags = row.flags.or(known.flags.take());
    known.size = row.size.or(known.size);
    known.date = row.date.or(known.date);
    known.object_id = row.object_id.or(known.object_id.take());
}

/// A known message was shown again.
pub(super) fn update(w: &Writer<'_>, mut row: Row, fetched: &FetchRow) -> Result<(), StateError> {
    let Some(flags) = fetched.flags.clone() else { return Ok(()) };
    let Some(remote) = row.remote.as_mut() else { return Ok(()) };
    let before = (remote.clone(), row.words.clone());
    if !remote.confirmed {
        // What we set and a look does not show was not taken: no removal by anybody, and a
        // keyword is not asked for again (hazard 29).
        let missing = remote.flags.difference(&flags);
        if let Some(base) = row.base.as_mut() {
            base.flags = base.flags.difference(&missing);
        }
        row.refused_keywords.extend(missing.keywords);
    }
    remote.flags = flags;
    remote.confirmed = true;
    let after = (remote.clone(), words(fetched).or_else(|| row.words.clone()));
    row.words.clone_from(&after.1);
    if before == after {
        return Ok(());
    }
    w.update(&row)
}

/// A message that no row has.
pub(super) fn insert(
    w: &Writer<'_>,
    mailbox: MailboxId,
    fetched: &FetchRow,
    header: Option<HeaderKeys>,
) -> Result<(), StateError> {
    let Some(flags) = fetched.flags.clone() else { return Ok(()) };
    let row = Row {
        remote: Some(Remote { uid: fetched.uid, flags, confirmed: true }),
        words: words(fetched),
        header,
        ..Row::new(mailbox)
    };
    w.insert(&row)?;
    Ok(())
}

/// A message that the server names and shows nothing of: kept in sight, never called absent.
pub(super) fn insert_silent(
    w: &Writer<'_>,
    mailbox: MailboxId,
    uid: Uid,
    words: Option<String>,
) -> Result<(), StateError> {
    let words =
        words.unwrap_or_else(|| "the server lists the message but returned no data".to_owned());
    let set_aside = SetAside { kind: SetAsideKind::Fetch, words, times: SetAside::TRIES };
    let row = Row {
        remote: Some(Remote { uid, flags: Flags::default(), confirmed: true }),
        set_aside: Some(set_aside),
        ..Row::new(mailbox)
    };
    w.insert(&row)?;
    Ok(())
}

fn words(fetched: &FetchRow) -> Option<ServerFacts> {
    let (size, date) = (fetched.size?, fetched.date?);
    Some(ServerFacts { size, date, object_id: fetched.object_id.clone() })
}
