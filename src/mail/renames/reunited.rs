//! Mailboxes that were renamed on one side before the state was lost (hazard 183).
//!
//! The store knows nothing of them: one is only here and bears a mark of ours that no mailbox has,
//! and one with the same messages is only there. Made on the other side, both would hold each
//! message twice. They are one mailbox, and the server's name stands. No message is paired by that:
//! were they two in truth, none would be lost, since each side held all of them once.

use std::collections::{BTreeMap, BTreeSet};

use super::steps::{describe, done};
use crate::account::error::AccountError;
use crate::mail::restate;
use crate::mail::run::Run;
use crate::reconcile::renames::Rename;
use crate::reconcile::types::{Coverage, Mailbox, MailboxId, MailboxName, Row};

/// Rows that are read at once.
const PAGE: usize = 1000;

/// Different messages that two mailboxes must have in common to be one: a few may be alike, or be
/// copies that somebody made.
const COMMON: usize = 3;

/// Sizes and headers of the messages of a mailbox, and how many have them. The header of one on the
/// server whose size no file has was not asked for.
type Contents = BTreeMap<(u64, Option<[u8; 16]>), usize>;

/// Gives directories the names under which the server has their messages. Gives whether there were
/// any: another look is to follow.
pub(in crate::mail) fn reunite(run: &mut Run) -> Result<bool, AccountError> {
    let mut is_any = false;
    for (mailbox, to) in pairs(run)? {
        let from = mailbox.name.clone();
        if run.attempt.dry_run {
            let moved = vec![(mailbox.id, to.clone())];
            let step = Rename::Local { moved, from, to };
            run.attempt.dry_run_renames.push(describe(&step));
            continue;
        }
        run.attempt.rename_targets_tried.insert(to.clone());
        run.mark()?;
        // What the store knows of its files the next look finds again, under either name.
        run.record(|w| w.tx().delete_mailbox(mailbox.id).map(drop))?;
        is_any = true;
        match run.root.rename_mailbox(&from, &to) {
            Ok(()) => done(run, &[(mailbox.id, to.clone())], &from, &to),
            Err(error) => tracing::info!(%from, %to, %error, "not renamed"),
        }
    }
    Ok(is_any)
}

/// Mailboxes that are only here, and what those that are only there with the same messages are
/// called.
fn pairs(run: &Run) -> Result<Vec<(Mailbox, MailboxName)>, AccountError> {
    if !restate::is_uniting(&run.store)? {
        return Ok(Vec::new());
    }
    let known = run.store.mailboxes()?;
    let owned: BTreeSet<&String> = known.iter().filter_map(|m| m.local_id.as_ref()).collect();
    let is_seen = |m: &Mailbox| {
        let seen = [run.attempt.seen.local.get(&m.id), run.attempt.seen.remote.get(&m.id)];
        seen == [Some(&Coverage::Complete); 2] && !run.attempt.seen.refused.contains(&m.id)
    };
    // One with a special use is not called otherwise by a person.
    let has_use = |m: &Mailbox| m.name.is_inbox() || m.special_use.is_some();
    let mut open: Vec<&Mailbox> = known.iter().filter(|m| !m.base && !has_use(m)).collect();
    open.retain(|m| run.looks_at(&m.name) && is_seen(m));
    let tried = &run.attempt.rename_targets_tried;
    let is_there = |m: &&&Mailbox| m.remote && !m.local && !tried.contains(&m.name);
    let there: Vec<&Mailbox> = open.iter().filter(is_there).copied().collect();
    let mut here = Vec::new();
    for mailbox in open.into_iter().filter(|m| m.local && !m.remote && !there.is_empty()) {
        let mark = run.root.mailbox_id(&mailbox.name).ok().flatten();
        if mark.is_some_and(|mark| !owned.contains(&mark)) {
            here.push(mailbox);
        }
    }
    if here.is_empty() {
        return Ok(Vec::new());
    }
    let mut shown: Vec<(&Mailbox, Contents)> = Vec::new();
    for mailbox in there {
        let contents = contents(run, mailbox.id, |row| row.remote.is_some() && row.local.is_none());
        shown.extend(contents?.map(|contents| (mailbox, contents)));
    }
    let mut held = Vec::new();
    for mailbox in here {
        let is_file = |row: &Row| row.local.is_some() && row.remote.is_none();
        held.extend(contents(run, mailbox.id, is_file)?.map(|contents| (mailbox, contents)));
    }
    let found = held.iter().filter_map(|(mailbox, contents)| {
        let to = only(mailbox, contents, &shown)?;
        // The match must hold in both directions.
        let of = only(to.0, &to.1, &held)?;
        (of.0.id == mailbox.id).then(|| ((*mailbox).clone(), to.0.name.clone()))
    });
    Ok(found.collect())
}

/// The messages of a mailbox that was never agreed on. None where it has none, where one is not
/// only on the side that is meant, or where too little is known of one.
fn contents(
    run: &Run,
    mailbox: MailboxId,
    is_meant: impl Fn(&Row) -> bool,
) -> Result<Option<Contents>, AccountError> {
    let (mut contents, mut after) = (Contents::new(), None);
    loop {
        let rows = run.store.rows_in(mailbox, after, PAGE)?;
        let Some(last) = rows.last() else { break };
        after = Some(last.id);
        for row in rows {
            let words = row.words.as_ref().filter(|_| row.base.is_none() && is_meant(&row));
            let header = row.header.map(|header| header.loose);
            match words.filter(|_| row.local.is_none() || header.is_some()) {
                Some(words) => *contents.entry((words.size, header)).or_default() += 1,
                None => return Ok(None),
            }
        }
    }
    Ok(Some(contents).filter(|contents| !contents.is_empty()))
}

/// The only one that holds the same messages: the very same ones, each as often, else those of
/// which most are the same and where one side lacks nothing. Of several, the one that is called the
/// same below the name of another.
fn only<'m>(
    mailbox: &Mailbox,
    contents: &Contents,
    others: &'m [(&'m Mailbox, Contents)],
) -> Option<&'m (&'m Mailbox, Contents)> {
    if contents.len() < COMMON {
        return None;
    }
    let same: Vec<_> = others.iter().filter(|(_, other)| other == contents).collect();
    let like = || others.iter().filter(|(_, other)| are_like(contents, other)).collect();
    let found: Vec<_> = if same.is_empty() { like() } else { same };
    if let [one] = found[..] {
        return Some(one);
    }
    let level = |mailbox: &Mailbox| mailbox.name.as_str().rsplit('/').next().map(str::to_owned);
    let mut called = found.into_iter().filter(|(other, _)| level(other) == level(mailbox));
    called.next().filter(|_| called.next().is_none())
}

/// Whether most messages of both are the same, and one of them lacks nothing.
fn are_like(one: &Contents, other: &Contents) -> bool {
    let total = |contents: &Contents| contents.values().sum::<usize>();
    let common = one.iter().filter_map(|(key, n)| other.get(key).map(|m| *n.min(m)));
    let (different, common) = (common.clone().count(), common.sum::<usize>());
    let (one, other) = (total(one), total(other));
    different >= COMMON && common == one.min(other) && common * 2 > one.max(other)
}
