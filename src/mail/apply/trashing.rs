//! Moves to the trash whose answer was lost: looked for where they were sent, before they are sent
//! again. COPY and MOVE are not idempotent.

use std::collections::BTreeMap;

use super::carry::places;
use super::expunge::{expunge, release_all};
use crate::account::error::AccountError;
use crate::account::header::HEADER_MAX;
use crate::local::header;
use crate::mail::observe::passed;
use crate::mail::run::Run;
use crate::mail::writer::Writer;
use crate::reconcile::types::{
    ContentId, Flags, Journal, Mailbox, MailboxName, MailboxStatus, Place, Remote, Row, RowId, Uid,
};
use crate::remote::imap::{FetchItems, FetchRow, Select, UidSet, Untagged};
use crate::state::StateError;

/// Rows that may lie in one mailbox, from a UID of one numbering on.
#[derive(Debug)]
struct Sent {
    uid_validity: u32,
    first: u32,
    rows: Vec<Row>,
}

impl Sent {
    /// Whether the UID to search from was given under this UIDVALIDITY.
    const fn is_numbered_by(&self, uid_validity: u32) -> bool {
        self.uid_validity == 0 || self.uid_validity == uid_validity
    }
}

/// What a look into one mailbox showed.
enum Found {
    /// The rows whose messages are there, those of them that nothing else there is like, and the
    /// rows whose messages are not there.
    Looked { there: Vec<(RowId, Place)>, sure: Vec<(RowId, Place)>, missing: Vec<Row> },
    /// Nothing that could be relied on.
    Unknown,
}

/// Looks for rows whose COPY or MOVE may have been carried out before. What is found has its new
/// place, and leaves the old one. Gives the rows that still have to go.
pub(super) async fn settle(
    run: &mut Run,
    mailbox: &Mailbox,
    rows: &[RowId],
) -> Result<Vec<RowId>, AccountError> {
    let mut open = Vec::new();
    let mut sent: BTreeMap<(MailboxName, u32), Sent> = BTreeMap::new();
    for id in rows {
        let Some(row) = run.store.row(*id)? else { continue };
        let Journal::Trashing { to, uid_validity, uid_next } = &row.journal else {
            open.push(row.id);
            continue;
        };
        let key = (to.clone(), *uid_validity);
        let (uid_validity, first) = (*uid_validity, u32::MAX);
        let none = || Sent { uid_validity, first, rows: Vec::new() };
        let sent = sent.entry(key).or_insert_with(none);
        sent.first = sent.first.min(*uid_next);
        sent.rows.push(row);
    }
    if sent.is_empty() {
        return Ok(open);
    }
    let mut done = Vec::new();
    for ((to, uid_validity), mut sent) in sent {
        let mut is_known = true;
        for place in places(run, &to, uid_validity) {
            let rows = std::mem::take(&mut sent.rows);
            match look(run, &place, &sent, rows).await? {
                Found::Looked { there, sure, missing } => {
                    note_copies(run, &place, MailboxStatus::default(), &sure)?;
                    done.extend(there);
                    sent.rows = missing;
                }
                Found::Unknown => is_known = false,
            }
        }
        // In this run the server said OK to it, or refused it: what is not there yet waits for the
        // next.
        let (copied, refused) = (&run.attempt.copied, &run.attempt.copies_refused);
        let is_asked = |row: &Row| copied.contains(&row.id) || refused.contains(&row.id);
        let again = sent.rows.into_iter().filter(|row| !is_asked(row));
        open.extend(again.filter(|_| is_known).map(|row| row.id));
    }
    let found: Vec<RowId> = done.iter().map(|(row, _)| *row).collect();
    release_all(run, done)?;
    expunge(run, mailbox, &found).await?;
    Ok(open)
}

/// Notes copies under the numbers that the server gave them: what is known of a message is known of
/// its copy, and neither is taken for another one that is alike (hazard 169). A look that does not
/// show them forgets them. `before` is how the mailbox stood when they were sent there; what is not
/// noted is in doubt, until bodies were compared (hazard 181).
pub(super) fn note_copies(
    run: &mut Run,
    to: &MailboxName,
    before: MailboxStatus,
    copies: &[(RowId, Place)],
) -> Result<(), AccountError> {
    if !(run.settings.selects)(to) {
        return Ok(());
    }
    run.record(|w| {
        let to = numbered(w, to, before)?;
        for (id, Place { uid_validity, uid, .. }) in copies {
            let Some(row) = w.tx().row(*id)?.filter(|row| row.content.is_some()) else { continue };
            let is_numbered_so = |now: MailboxStatus| now.uid_validity == *uid_validity;
            let Some(to) = to.as_ref().filter(|to| to.cursor.is_some_and(is_numbered_so)) else {
                passed::doubt(w)?;
                continue;
            };
            let Row { content, header, words, weak, .. } = row;
            if let Some(known) = w.tx().by_uid(to.id, *uid)? {
                if known.content.is_none() && known.local.is_none() && !known.is_set_aside() {
                    w.update(&Row { content, weak, ..known })?;
                }
                continue;
            }
            let remote = Remote { uid: *uid, flags: Flags::default(), confirmed: false };
            let (remote, new) = (Some(remote), Row::new(to.id));
            w.insert(&Row { remote, content, header, words, weak, ..new })?;
        }
        Ok(())
    })
}

/// The mailbox of this name in the store. One that no look showed yet was empty when messages were
/// sent there, or nothing is known of its numbers (hazard 181).
fn numbered(
    w: &Writer<'_>,
    name: &MailboxName,
    before: MailboxStatus,
) -> Result<Option<Mailbox>, StateError> {
    let known = w.tx().mailbox_by_name(name)?;
    let is_known = known.as_ref().is_some_and(|known| known.cursor.is_some());
    if is_known || before.messages > 0 || before.uid_validity == 0 || before.uid_next == 0 {
        return Ok(known);
    }
    let made = || Mailbox { restated: true, ..Mailbox::new(name.clone()) };
    let mailbox = Mailbox { remote: true, cursor: Some(before), ..known.unwrap_or_else(made) };
    let id = w.mailbox(&mailbox)?;
    Ok(Some(Mailbox { id, ..mailbox }))
}

/// Looks into one mailbox for messages that were sent there.
async fn look(
    run: &mut Run,
    place: &MailboxName,
    sent: &Sent,
    rows: Vec<Row>,
) -> Result<Found, AccountError> {
    let mut ignore = |_: Untagged| {};
    let uid_validity = match run.session.select(place, Select::ReadOnly, None, &mut ignore).await {
        Ok(selected) => selected.gate.uid_validity,
        Err(error) if error.ends_session() => return Err(error.into()),
        // There is no such mailbox, and so nothing in it.
        Err(error) => {
            tracing::debug!(mailbox = %place, %error, "cannot be looked into");
            return Ok(Found::Looked { there: Vec::new(), sure: Vec::new(), missing: rows });
        }
    };
    // Under another numbering a copy may have any UID, and so may an older message that is alike:
    // only its text tells (hazard 165).
    let is_same = sent.is_numbered_by(uid_validity);
    let first = if is_same { sent.first } else { 1 };
    let items = FetchItems { size: true, date: true, ..FetchItems::default() };
    let mut shown: Vec<FetchRow> = Vec::new();
    let mut sink = |row: FetchRow| shown.push(row);
    let set = UidSet::from_range(Uid(first), Uid(u32::MAX));
    run.session.fetch(&set, items, None, &mut sink).await?;
    let (all, _) = run.session.search_all().await?;
    let is_shown = |uid: &Uid| shown.iter().any(|row| row.uid == *uid);
    if all.iter().any(|uid| uid.0 >= first && !is_shown(&uid)) {
        let why = "the server lists messages but returned no data for them; moves to it wait";
        run.report.skip(place.to_string(), why);
        return Ok(Found::Unknown);
    }
    shown.retain(|row| row.uid.0 >= first && rows.iter().any(|sent| looks_like(row, sent)));
    let texts = if is_same { None } else { Some(known_texts(run, place, &shown)?) };
    let texts = match texts {
        Some(None) => return Ok(Found::Unknown),
        texts => texts.flatten(),
    };
    let headers = headers_of(run, &shown).await?;
    let is_it = |t: &FetchRow, row: &Row| {
        // What cannot be asked for its header is told by size and date alone.
        let same_header = match (row.header, headers.get(&t.uid)) {
            (Some(known), Some(there)) => known.loose == *there,
            _ => true,
        };
        let same_text = match &texts {
            Some(texts) => row.content.is_some() && texts.get(&t.uid) == row.content.as_ref(),
            None => true,
        };
        looks_like(t, row) && same_header && same_text
    };
    Ok(matched(place, uid_validity, &shown, rows, is_it))
}

/// Gives each row the first message that is like it and was given to no other row.
fn matched(
    place: &MailboxName,
    uid_validity: u32,
    shown: &[FetchRow],
    rows: Vec<Row>,
    is_it: impl Fn(&FetchRow, &Row) -> bool,
) -> Found {
    let mut free: Vec<&FetchRow> = shown.iter().collect();
    let (mut there, mut sure, mut missing) = (Vec::new(), Vec::new(), Vec::new());
    for row in &rows {
        let Some(at) = free.iter().position(|message| is_it(message, row)) else {
            missing.push(row.clone());
            continue;
        };
        let message = free.swap_remove(at);
        let uid = message.uid;
        let found = Place { mailbox: place.clone(), uid_validity, uid };
        let alike_there = shown.iter().filter(|message| is_it(message, row)).count();
        let alike_here = rows.iter().filter(|row| is_it(message, row)).count();
        if (alike_there, alike_here) == (1, 1) {
            sure.push((row.id, found.clone()));
        }
        there.push((row.id, found));
    }
    Found::Looked { there, sure, missing }
}

/// The texts of messages in a mailbox, as far as the store knows them: none of those that were set
/// aside, or in a mailbox that is not mirrored. `None` where one is still to be downloaded.
fn known_texts(
    run: &Run,
    place: &MailboxName,
    shown: &[FetchRow],
) -> Result<Option<BTreeMap<Uid, ContentId>>, AccountError> {
    let mut texts = BTreeMap::new();
    let Some(mailbox) = run.store.mailbox_by_name(place)? else { return Ok(Some(texts)) };
    for there in shown {
        let known = run.store.by_uid(mailbox.id, there.uid)?;
        let Some(known) = known.filter(|known| !known.is_set_aside()) else { continue };
        let Some(text) = known.content else { return Ok(None) };
        texts.insert(there.uid, text);
    }
    Ok(Some(texts))
}

/// What the server says of a message there is what it said of the row's.
fn looks_like(there: &FetchRow, row: &Row) -> bool {
    let words = row.words.as_ref();
    there.size == words.map(|words| words.size) && there.date == words.map(|words| words.date)
}

/// The loose keys of messages of the selected mailbox.
async fn headers_of(
    run: &mut Run,
    there: &[FetchRow],
) -> Result<BTreeMap<Uid, [u8; 16]>, AccountError> {
    let mut keys = BTreeMap::new();
    let mut set = UidSet::default();
    there.iter().for_each(|row| {
        set.insert(row.uid);
    });
    if !there.is_empty() {
        let mut sink = |uid: Uid, bytes: &[u8]| {
            keys.insert(uid, header::keys(bytes).loose);
        };
        run.session.fetch_headers(&set, HEADER_MAX, &mut sink).await?;
    }
    Ok(keys)
}
