//! Keyword letters carry the table that they were written with (hazard 58).
//!
//! A table that is in another order, or that cannot be read, changes no keyword: letters that a
//! name had before keep the meaning they had.

use std::collections::{BTreeMap, BTreeSet};

use super::names::Difference;
use crate::local::{KeywordTable, Listed};
use crate::mail::run::Run;
use crate::mail::writer::Writer;
use crate::reconcile::types::{Flags, Journal, Keyword, Local, Mailbox, Row};
use crate::state::StateError;

/// The table of a mailbox. One that cannot be read is not empty: until it can be, letters mean
/// what they last meant, and none is given. A name with one that never meant anything is not seen
/// yet: later nothing would ask for its meaning again (hazard 163).
pub(super) fn read(run: &mut Run, mailbox: &Mailbox, seen: &mut Difference) -> KeywordTable {
    match run.root.keyword_table_after(&mailbox.name, &mailbox.keyword_table) {
        Ok(table) => table,
        Err(error) => {
            run.report.skip(mailbox.name.to_string(), error.to_string());
            let old = &mailbox.keyword_table;
            let is_clear = |file: &Listed| {
                letters(&file.info).into_iter().all(|letter| entry(old, letter).is_some())
            };
            let before = seen.new.len() + seen.renamed.len();
            seen.new.retain(is_clear);
            seen.renamed.retain(|(_, file)| is_clear(file));
            seen.open |= seen.new.len() + seen.renamed.len() < before;
            KeywordTable::from_slots(old.clone())
        }
    }
}

/// What the letters of a row's file mean, as far as it is known. One that was about to get other
/// letters has either those that it brought along, or already the new ones.
pub(super) fn meanings(
    w: &Writer<'_>,
    row: &Row,
    table: &[Option<Keyword>],
) -> Result<BTreeMap<char, Keyword>, StateError> {
    let Some(local) = &row.local else { return Ok(BTreeMap::new()) };
    let Journal::Moving { from, keywords, .. } = &row.journal else {
        return Ok(meanings_of(local, table));
    };
    if local.flags.keywords == *keywords {
        return Ok(meanings_of(local, table));
    }
    let new = ('a'..='z').zip(table).filter_map(|(letter, entry)| Some((letter, entry.clone()?)));
    let brought = w.tx().row(*from)?.map(|from| from.letters).unwrap_or_default();
    let mut known: BTreeMap<char, Keyword> = new.chain(brought).collect();
    known.retain(|_, keyword| keywords.contains(keyword));
    if let (&[letter], Some(keyword), 1) =
        (&*letters(&local.info).into_iter().collect::<Vec<_>>(), keywords.first(), keywords.len())
    {
        known.insert(letter, keyword.clone());
    }
    Ok(known)
}

fn meanings_of(local: &Local, table: &[Option<Keyword>]) -> BTreeMap<char, Keyword> {
    let keywords = &local.flags.keywords;
    let letters = letters(&local.info);
    // One letter and one keyword belong together whatever the table says by now.
    if let (1, Some(letter), Some(keyword)) = (letters.len(), letters.first(), keywords.first())
        && keywords.len() == 1
    {
        return BTreeMap::from([(*letter, keyword.clone())]);
    }
    let known = letters.into_iter().filter_map(|letter| Some((letter, entry(table, letter)?)));
    known.filter(|(_, keyword)| keywords.contains(keyword)).collect()
}

/// The flags of a name that followed another one of the same file: letters that stayed mean what
/// they meant, new ones what the table says now.
pub(super) fn reread(
    before: &Local,
    now: Flags,
    info: &str,
    (old, table): (&[Option<Keyword>], &KeywordTable),
) -> Flags {
    let (then, _) = table.flags_of(&before.info);
    if then.keywords == before.flags.keywords {
        return now;
    }
    let (had, has) = (letters(&before.info), letters(info));
    let known = meanings_of(before, old);
    let mut keywords: BTreeSet<Keyword> = BTreeSet::new();
    for letter in &has {
        match known.get(letter) {
            Some(keyword) => drop(keywords.insert(keyword.clone())),
            None if had.contains(letter) && entry(old, *letter).is_some() => {}
            None => keywords.extend(entry(table.slots(), *letter)),
        }
    }
    if had.iter().all(|letter| has.contains(letter)) {
        // Nothing was taken away.
        keywords.extend(before.flags.keywords.iter().cloned());
    }
    Flags { keywords, ..now }
}

/// A file that is to get the letters of its keywords got or lost others meanwhile: they belong to
/// what it is to bear (hazard 58).
pub(super) fn follow(journal: &mut Journal, before: &Flags, now: &Flags) {
    if let Journal::Moving { keywords, .. } = journal {
        let lost = before.keywords.difference(&now.keywords);
        lost.for_each(|keyword| _ = keywords.remove(keyword));
        keywords.extend(now.keywords.difference(&before.keywords).cloned());
    }
}

fn letters(info: &str) -> BTreeSet<char> {
    info.chars().filter(char::is_ascii_lowercase).collect()
}

fn entry(table: &[Option<Keyword>], letter: char) -> Option<Keyword> {
    let at = u32::from(letter).checked_sub(u32::from('a'))?;
    table.get(usize::try_from(at).ok()?)?.clone()
}
