//! Moves and copies on the server: no body on the wire.
//!
//! The fact of COPY and MOVE is the COPYUID pair; a UID that is not named was not done. Where
//! the server names none, the next look finds the message at its new place and pairs it.

use std::collections::{BTreeMap, BTreeSet};

use super::bookkeeping::{release, settle_base};
use super::expunge;
use super::keyword_letters;
use super::keyword_letters::{base_held, keywords_left};
use super::steps::{mailbox_of, select, trouble};
use crate::account::error::AccountError;
use crate::local::FileName;
use crate::mail::run::Run;
use crate::reconcile::Step;
use crate::reconcile::types::{Journal, Mailbox, MailboxId, Remote, Row, RowId, Uid};
use crate::remote::imap::{Command, CopyError, CopyUid, UidSet};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum How {
    Copy,
    Move,
}

/// What a message is sent through on its way.
const BY_MOVE: [Command; 5] =
    [Command::Attributes, Command::Copy, Command::Move, Command::Store, Command::Expunge];

type Pairs = Vec<(RowId, RowId)>;

pub(super) async fn apply(run: &mut Run, steps: &[Step]) -> Result<(), AccountError> {
    let mut groups: BTreeMap<(MailboxId, MailboxId, How), Pairs> = BTreeMap::new();
    for step in steps {
        let (from, to, how) = match step {
            Step::RemoteCopy { from, to } => (*from, *to, How::Copy),
            Step::RemoteMove { from, to } => (*from, *to, How::Move),
            _ => continue,
        };
        let (Some(source), Some(target)) = (run.store.row(from)?, run.store.row(to)?) else {
            continue;
        };
        groups.entry((source.mailbox, target.mailbox, how)).or_default().push((from, to));
    }
    for ((from, to, how), pairs) in groups {
        if run.environment.is_stopping() {
            return Ok(());
        }
        let (from, to) = (mailbox_of(run, from)?, mailbox_of(run, to)?);
        // One source may serve several targets: each UID goes once into one command.
        for pairs in one_each(pairs) {
            let sources: Vec<RowId> = pairs.iter().map(|(source, _)| *source).collect();
            for rows in run.in_company(&BY_MOVE, &from, &sources)? {
                let some = pairs.iter().filter(|(source, _)| rows.contains(source));
                let some = some.copied().collect();
                let moved = transfer(run, &from, &to, how, some).await;
                run.go_on(moved).await?;
            }
        }
    }
    Ok(())
}

fn one_each(mut pairs: Pairs) -> Vec<Pairs> {
    let mut out = Vec::new();
    while !pairs.is_empty() {
        let mut used = BTreeSet::new();
        let (now, later): (Pairs, Pairs) = pairs.into_iter().partition(|p| used.insert(p.0));
        out.push(now);
        pairs = later;
    }
    out
}

async fn transfer(
    run: &mut Run,
    from: &Mailbox,
    to: &Mailbox,
    how: How,
    pairs: Pairs,
) -> Result<(), AccountError> {
    if !select(run, from).await? {
        return Ok(());
    }
    let pairs = match how {
        How::Copy => where_they_were(run, pairs)?,
        How::Move => pairs,
    };
    let sources: Vec<RowId> = pairs.iter().map(|(source, _)| *source).collect();
    let verified = expunge::verify(run, from, &sources).await?;
    let by_uid: BTreeMap<Uid, (RowId, RowId)> = pairs
        .iter()
        .filter_map(|(source, target)| Some((*verified.get(source)?, (*source, *target))))
        .collect();
    if by_uid.is_empty() {
        return Ok(());
    }
    note_before(run, how, by_uid.values())?;
    let mut set = UidSet::default();
    by_uid.keys().for_each(|uid| {
        set.insert(*uid);
    });
    let move_ = how == How::Move && run.session.capabilities().can_move();
    let answer = if move_ {
        run.session.mv(&set, &to.name, &mut |_| {}).await
    } else {
        run.session.copy(&set, &to.name).await
    };
    let (facts, refused) = match answer {
        Ok(facts) => {
            run.report.moved_remote += by_uid.len() as u64;
            run.attempt.copied.extend(by_uid.values().map(|(_, target)| *target));
            (facts, None)
        }
        // What was stated before the refusal was done.
        Err(CopyError { error, copied }) => (copied, Some(error)),
    };
    let left = record(run, to, how, &by_uid, facts.as_ref())?;
    if let Some(error) = refused {
        trouble(run, to, error)?;
    }
    // Where the server has no MOVE, the source goes now that its copy is a fact.
    if how == How::Move && !move_ {
        expunge::expunge(run, from, &left).await?;
    }
    Ok(())
}

/// A file that left since it was seen was not copied but moved: its message is to be moved, too,
/// and not to be copied and then deleted. The next look of this run tells (hazard 79).
fn where_they_were(run: &mut Run, pairs: Pairs) -> Result<Pairs, AccountError> {
    let mut still = Pairs::new();
    for (source, target) in pairs {
        let has_file = run.store.row(source)?.is_some_and(|row| row.local.is_some());
        let Some(target) = run.store.row(target)?.filter(|_| has_file) else { continue };
        if equals_are_there(run, &target)? {
            still.push((source, target.id));
        }
    }
    Ok(still)
}

/// Whether all other files of this text lie where they were seen. One that left since may be this
/// very file: its directory was looked at before it was moved, and this one's afterwards. Then both
/// are looked at again (hazard 79).
pub(super) fn equals_are_there(run: &mut Run, row: &Row) -> Result<bool, AccountError> {
    let Some(content) = &row.content else { return Ok(true) };
    for other in run.store.by_content(content)? {
        let Some(file) = other.local.filter(|_| other.id != row.id) else { continue };
        let mailbox = mailbox_of(run, other.mailbox)?;
        let name = FileName::of(&file, run.settings.info_separator);
        // What cannot be looked at is not known to be gone.
        if let Ok(None) = run.root.stat(&mailbox.name, &name) {
            run.attempt.unseen = true;
            return Ok(false);
        }
    }
    Ok(true)
}

/// Neither COPY nor MOVE may be repeated blindly: the row says what may have been done, and
/// by which table the letters of the moved file are to be read (hazard 30).
fn note_before<'a>(
    run: &mut Run,
    how: How,
    pairs: impl Iterator<Item = &'a (RowId, RowId)>,
) -> Result<(), AccountError> {
    let pairs: Pairs = pairs.copied().collect();
    run.record(|w| {
        for (source, target) in pairs {
            let (Some(source), Some(target)) = (w.tx().row(source)?, w.tx().row(target)?) else {
                continue;
            };
            if matches!(&target.journal, Journal::Moving { from, .. } if *from == source.id) {
                continue;
            }
            if how == How::Move && source.restated {
                // In doubt no more: its file is the one that lies at the new place.
                w.update(&Row { restated: false, ..source.clone() })?;
            }
            let (left, here) = (w.tx().mailbox(source.mailbox)?, w.tx().mailbox(target.mailbox)?);
            let keywords = keywords_left(left.as_ref(), here.as_ref(), &source, &target);
            let journal = Journal::Moving { from: source.id, leaves: how == How::Move, keywords };
            w.update(&Row { journal, ..target })?;
        }
        Ok(())
    })
}

/// Records each pair that the server named. Gives the sources that still lie where they were.
fn record(
    run: &mut Run,
    to: &Mailbox,
    how: How,
    by_uid: &BTreeMap<Uid, (RowId, RowId)>,
    facts: Option<&CopyUid>,
) -> Result<Vec<RowId>, AccountError> {
    let validity = to.cursor.map(|cursor| cursor.uid_validity);
    let Some(facts) = facts.filter(|facts| validity.is_none_or(|v| v == facts.uid_validity)) else {
        return Ok(Vec::new());
    };
    let mut done = Vec::new();
    for (uid, new_uid) in &facts.pairs {
        if let Some((source, target)) = by_uid.get(uid)
            && keyword_letters::relabelled(run, to, *target)?
        {
            done.push((*source, *target, *new_uid));
        }
    }
    run.record(|w| {
        let mut left = Vec::new();
        for (source, target, new_uid) in done {
            let (Some(source), Some(target)) = (w.tx().row(source)?, w.tx().row(target)?) else {
                continue;
            };
            if w.tx().by_uid(target.mailbox, new_uid)?.is_some() {
                // Known already: the next look says what it is.
                continue;
            }
            let flags = source.remote.as_ref().map(|r| r.flags.clone()).unwrap_or_default();
            let remote = Some(Remote { uid: new_uid, flags, confirmed: false });
            let (words, header) = (source.words.clone(), source.header.or(target.header));
            // A copied file began with the flags that were agreed on where it came from.
            let base = match &target.journal {
                Journal::Moving { keywords, .. } => {
                    base_held(source.base.clone(), keywords, target.local.as_ref())
                }
                _ => source.base.clone(),
            };
            let journal = match target.journal {
                Journal::Moving { .. } => Journal::Idle,
                journal => journal,
            };
            let refused_keywords = source.refused_keywords.clone();
            let (restated, set_aside) = (false, None);
            let target = Row { remote, words, header, base, journal, restated, ..target };
            let target = Row { refused_keywords, set_aside, ..target };
            if how == How::Move {
                left.push(source.id);
                release(w, source, &target)?;
            }
            settle_base(w, target)?;
        }
        Ok(left)
    })
}
