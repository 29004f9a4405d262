//! The letters of keywords in file names. Each mailbox has a table of its own, so the letters of
//! a file that was moved mean what the table of the mailbox that it left says (hazard 30).

use std::collections::{BTreeMap, BTreeSet};

use super::lock;
use super::steps::mailbox_of;
use crate::account::error::AccountError;
use crate::local::{Changed, Choice, KeywordTable, LocalError};
use crate::mail::run::Run;
use crate::reconcile::MailboxView;
use crate::reconcile::types::{Base, Flags, Journal, Keyword, Local, Mailbox, Row, RowId, Stem};
use crate::state::meta::KeywordsLock;

/// The keyword table of a mailbox with letters for these keywords, where any are free.
pub(super) fn table_for(
    run: &mut Run,
    mailbox: &Mailbox,
    flags: &Flags,
) -> Result<KeywordTable, AccountError> {
    let mut table = match run.root.keyword_table_after(&mailbox.name, &mailbox.keyword_table) {
        Ok(table) => table,
        Err(error) => {
            run.report.skip(mailbox.name.to_string(), error.to_string());
            run.attempt.unread_tables.insert(mailbox.id);
            return Ok(KeywordTable::default());
        }
    };
    // Read now, it tells from now on what the letters of new names mean.
    run.attempt.unread_tables.remove(&mailbox.id);
    let lacks = !flags.keywords.iter().all(|keyword| table.contains(keyword));
    let unlocked = if lacks { add(run, mailbox, &mut table, flags)? } else { None };
    let keyword_table = table.slots().to_vec();
    if lacks || keyword_table != mailbox.keyword_table {
        run.record(|w| {
            let Some(mailbox) = w.tx().mailbox(mailbox.id)? else { return Ok(()) };
            w.mailbox(&Mailbox { keyword_table, ..mailbox })?;
            unlocked.map_or(Ok(()), |lock| lock::forget(w.tx(), &lock))
        })?;
    }
    Ok(table)
}

/// Gives letters to keywords. Gives the note of the lock that is gone again; none where our lock of
/// the table may have been left behind: its directory was renamed meanwhile (hazard 145).
fn add(
    run: &mut Run,
    mailbox: &Mailbox,
    table: &mut KeywordTable,
    flags: &Flags,
) -> Result<Option<KeywordsLock>, AccountError> {
    let others = run.store.mailboxes()?;
    // One keyword, one letter in the whole account where it is free: a moved file then says
    // the same in its new directory.
    let hint = |keyword: &Keyword| {
        let tables = others.iter().map(|mailbox| &mailbox.keyword_table);
        let mut known = tables
            .filter_map(|table| table.iter().position(|entry| entry.as_ref() == Some(keyword)));
        known.next().and_then(|letter| u8::try_from(letter).ok())
    };
    // The lock file is that of other programs too: a crash must not leave it for theirs.
    let lock = lock::note(run, mailbox)?;
    let before = table.clone();
    let choice = Choice { hint: &hint, relabelled: relabelled_soon(run, mailbox)? };
    let added = run.root.add_keywords(&mailbox.name, table, &flags.keywords, &choice);
    let is_unlocked = matches!(added, Ok(()) | Err(LocalError::KeywordsBusy { .. }));
    if let Err(error) = added {
        // A letter that is not in the file means nothing to anybody (hazard 58), nor does one that
        // a power cut takes out of it (hazard 140).
        let now = run.root.keyword_table_after(&mailbox.name, &mailbox.keyword_table);
        *table = now.unwrap_or(before);
        // A later plan adds the letters of what the server holds. What only a file says waits.
        run.attempt.unwritten_tables.insert(mailbox.id);
        run.report.skip(mailbox.name.to_string(), error.to_string());
    }
    Ok(is_unlocked.then_some(lock))
}

/// Whether a file keeps its name for now: it would lose keywords, since the table of its mailbox
/// could not be read or written. Where all letters are taken there is no use in waiting.
pub(super) fn waits(
    run: &Run,
    mailbox: &Mailbox,
    table: &KeywordTable,
    keywords: &BTreeSet<Keyword>,
) -> bool {
    let (unread, unwritten) = (&run.attempt.unread_tables, &run.attempt.unwritten_tables);
    let failed = unread.contains(&mailbox.id) || unwritten.contains(&mailbox.id);
    failed && !keywords.iter().all(|keyword| table.contains(keyword))
}

/// Keywords of the files of a mailbox that are to get its letters, by stem.
fn relabelled_soon(
    run: &Run,
    mailbox: &Mailbox,
) -> Result<BTreeMap<Stem, BTreeSet<Keyword>>, AccountError> {
    let rows = run.store.moving(mailbox.id)?.into_iter();
    Ok(rows
        .filter_map(|row| match (row.local, row.journal) {
            (Some(local), Journal::Moving { keywords, .. }) => Some((local.stem, keywords)),
            _ => None,
        })
        .collect())
}

/// What the name of a file can say of these flags: not the keywords that have no letter.
pub(super) fn held(mailbox: &Mailbox, flags: &Flags) -> Flags {
    let mut flags = MailboxView::of(mailbox.clone()).local_mask().apply(flags);
    flags.keywords.retain(|keyword| mailbox.keyword_table.contains(&Some(keyword.clone())));
    flags
}

/// What was agreed on, without the keywords that the file should bear and has no letter for:
/// their lack is nobody's removal.
pub(super) fn base_held(
    base: Option<Base>,
    wanted: &BTreeSet<Keyword>,
    local: Option<&Local>,
) -> Option<Base> {
    let Some(local) = local else { return base };
    base.map(|Base { mut flags }| {
        flags.keywords.retain(|k| !wanted.contains(k) || local.flags.keywords.contains(k));
        Base { flags }
    })
}

/// The keywords of a moved file: what its letters meant when the file left `source` (hazard 58). A
/// letter that it did not have then was given since, by a reader who knows of tables: it means what
/// it means here, or, where it means nothing, what it means in the mailbox that the file left. A
/// file that is still there says nothing of letters that it does not have (hazard 177).
pub(super) fn keywords_left(
    left: Option<&Mailbox>,
    here: Option<&Mailbox>,
    source: &Row,
    row: &Row,
) -> BTreeSet<Keyword> {
    let Some(local) = &row.local else { return BTreeSet::new() };
    let Some(left) = left else { return local.flags.keywords.clone() };
    let letters = local.info.chars().filter(char::is_ascii_lowercase);
    let agreed = source.base.as_ref().map(|base| &base.flags.keywords);
    let had = |keyword: &Keyword| {
        source.local.is_none() || agreed.is_some_and(|keywords| keywords.contains(keyword))
    };
    let entry = |letter: char| {
        if let Some(keyword) = source.letters.get(&letter) {
            return Some(keyword.clone());
        }
        let at = usize::try_from(u32::from(letter) - u32::from('a')).ok()?;
        let of = |mailbox: &Mailbox| mailbox.keyword_table.get(at).cloned().flatten();
        match source.local.as_ref().is_some_and(|file| file.info.contains(letter)) {
            true => of(left).or_else(|| here.and_then(of)),
            false => here.and_then(of).or_else(|| of(left).filter(had)),
        }
    };
    letters.filter_map(entry).collect()
}

/// Gives a moved file the letters that its keywords have here. False where the file was not
/// there any more: the next look decides.
pub(super) fn relabelled(
    run: &mut Run,
    mailbox: &Mailbox,
    row: RowId,
) -> Result<bool, AccountError> {
    let Some(row) = run.store.row(row)? else { return Ok(false) };
    let (Some(local), Journal::Moving { keywords, .. }) = (&row.local, &row.journal) else {
        return Ok(row.local.is_some());
    };
    if local.flags.keywords == *keywords {
        return Ok(true);
    }
    let flags = Flags { system: local.flags.system, keywords: keywords.clone() };
    let table = table_for(run, mailbox, &flags)?;
    let unread = run.attempt.unread_tables.contains(&mailbox.id);
    if unread || waits(run, mailbox, &table, keywords) {
        // Its letters cannot be told, or not be given, yet: the file waits (hazards 58 and 200).
        return Ok(false);
    }
    let changed = run.root.set_flags(&mailbox.name, local, &flags, &table);
    // A record that outlives its rename would look like letters that somebody changed.
    let durable = changed.and_then(|now| run.root.sync_dirs(&mailbox.name).map(|()| now));
    let now = match durable {
        Ok(Changed::Changed(now)) => now,
        Ok(_) => return run.list_again(mailbox.id).map(|()| false),
        Err(error) => {
            run.report.skip(mailbox.name.to_string(), error.to_string());
            return Ok(false);
        }
    };
    let left = held(&mailbox_of(run, mailbox.id)?, &flags);
    let local = Some(now.local(left, local.stamp));
    run.record(|w| w.update(&Row { local, ..row.clone() }))?;
    Ok(true)
}

/// The same of files that are only now found to have been moved: each with the row that it
/// left, if that is known. Gives the rows whose file was not there any more.
pub(super) fn relabel_found(
    run: &mut Run,
    moved: impl Iterator<Item = (RowId, Option<RowId>)>,
) -> Result<BTreeSet<RowId>, AccountError> {
    let mut unread = BTreeSet::new();
    let mut found = Vec::new();
    for (id, past) in moved {
        note_letters(run, id, past)?;
        found.push(id);
    }
    for id in found {
        let Some(row) = run.store.row(id)? else { continue };
        if row.local.is_none() || !matches!(row.journal, Journal::Moving { .. }) {
            continue;
        }
        let mailbox = mailbox_of(run, row.mailbox)?;
        if !relabelled(run, &mailbox, id)? {
            unread.insert(id);
        }
    }
    Ok(unread)
}

/// Reads the letters of files that are to go up by what they meant where the files come from:
/// the message may be gone there, so that nothing else tells (hazard 58). Gives the rows whose
/// letters are those of their mailbox now.
pub(super) fn before_push(
    run: &mut Run,
    mailbox: &Mailbox,
    rows: Vec<Row>,
) -> Result<Vec<Row>, AccountError> {
    for row in &rows {
        let past = match past_with_letters(run, row)? {
            Some(past) => Some(past),
            None => copied_with_letters(run, mailbox, row)?,
        };
        if let Some(past) = past {
            note_letters(run, row.id, Some(past.id))?;
        }
    }
    let mut ready = Vec::new();
    for row in rows {
        let moving = |row: &Row| matches!(row.journal, Journal::Moving { .. });
        if run.store.row(row.id)?.is_some_and(|row| moving(&row))
            && !relabelled(run, mailbox, row.id)?
        {
            continue;
        }
        ready.extend(run.store.row(row.id)?);
    }
    Ok(ready)
}

/// The row that a file with letters left, in another mailbox.
fn past_with_letters(run: &Run, row: &Row) -> Result<Option<Row>, AccountError> {
    let info = row.local.as_ref().map_or("", |local| local.info.as_str());
    let Some(content) = row.content.filter(|_| info.contains(|c: char| c.is_ascii_lowercase()))
    else {
        return Ok(None);
    };
    let known = run.store.by_content(&content)?.into_iter();
    let mut left = known.filter(|known| {
        known.mailbox != row.mailbox && known.local.is_none() && !known.letters.is_empty()
    });
    Ok(left.next())
}

/// The row of the file that this one is a copy of, where letters of it that mean nothing here mean
/// something there (hazard 177). None where several files with these letters differ.
fn copied_with_letters(
    run: &Run,
    mailbox: &Mailbox,
    row: &Row,
) -> Result<Option<Row>, AccountError> {
    let (Some(content), Some(local)) = (&row.content, &row.local) else { return Ok(None) };
    let here = KeywordTable::from_slots(mailbox.keyword_table.clone());
    let (_, unknown) = here.flags_of(&local.info);
    if unknown.is_empty() {
        return Ok(None);
    }
    let mut meant: BTreeMap<BTreeSet<Keyword>, Row> = BTreeMap::new();
    for other in run.store.by_content(content)? {
        let Some(file) = other.local.as_ref().filter(|_| other.mailbox != row.mailbox) else {
            continue;
        };
        let table = run.store.mailbox(other.mailbox)?.map(|other| other.keyword_table);
        let there = KeywordTable::from_slots(table.unwrap_or_default());
        let keywords = there.flags_of(&format!("2,{unknown}")).0.keywords;
        let bears = unknown.chars().all(|letter| file.info.contains(letter));
        if bears && keywords.len() == unknown.len() && keywords.is_subset(&file.flags.keywords) {
            meant.insert(keywords, other);
        }
    }
    Ok(meant.pop_first().filter(|_| meant.is_empty()).map(|(_, other)| other))
}

/// The row that the letters of a file were written for: `past`, unless it knows nothing of them and
/// another row that the file left does. Given new letters and moved on before that was seen, it is
/// the last of several (hazard 58).
fn wrote_letters(run: &Run, row: &Row, past: Row) -> Result<Row, AccountError> {
    let (Some(content), Some(local)) = (row.content, &row.local) else { return Ok(past) };
    let letters: Vec<char> = local.info.chars().filter(char::is_ascii_lowercase).collect();
    let explains = |row: &Row| letters.iter().all(|letter| row.letters.contains_key(letter));
    if past.letters.is_empty() || explains(&past) {
        return Ok(past);
    }
    let known = run.store.by_content(&content)?.into_iter();
    let left = known.filter(|known| known.id != row.id && known.local.is_none());
    Ok(left.filter(explains).max_by_key(|known| known.id).unwrap_or(past))
}

/// Writes down what the letters mean before they change: read once more after a crash, the
/// new ones would be taken for those of the other table.
fn note_letters(run: &mut Run, id: RowId, past: Option<RowId>) -> Result<(), AccountError> {
    let Some(past) = past.map(|past| run.store.row(past)).transpose()?.flatten() else {
        return Ok(());
    };
    let Some(row) = run.store.row(id)? else { return Ok(()) };
    if row.journal != Journal::Idle {
        return Ok(());
    }
    let past = wrote_letters(run, &row, past)?;
    if row.mailbox == past.mailbox {
        return Ok(());
    }
    let (left, here) = (run.store.mailbox(past.mailbox)?, run.store.mailbox(row.mailbox)?);
    let keywords = keywords_left(left.as_ref(), here.as_ref(), &past, &row);
    if row.local.as_ref().is_none_or(|local| local.flags.keywords == keywords) {
        return Ok(());
    }
    let journal = Journal::Moving { from: past.id, leaves: past.local.is_none(), keywords };
    run.record(|w| w.update(&Row { journal, ..row }))
}
