//! Bodies that lie in `tmp/`: made durable as a batch, recorded as *placing*, renamed into
//! place, recorded as agreed.

use std::collections::{BTreeMap, BTreeSet};

use super::compare::{Compared, compare};
use super::placing::placed;
use super::steps::mailbox_of;
use crate::account::error::AccountError;
use crate::local::name::{FileName, with_flags};
use crate::local::{Delivered, KeywordTable, LocalError, Placed};
use crate::mail::fetch::take::Pulled;
use crate::mail::run::Run;
use crate::mail::writer::Writer;
use crate::reconcile::row_state::{RowState, is_claim, is_ending, is_in_doubt, is_left, state_of};
use crate::reconcile::types::{
    Coverage, Flags, Journal, Local, Mailbox, MailboxId, Row, RowId, SpecialUse, System,
};
use crate::state::StateError;

/// Bodies of one mailbox, with what their keywords are called there.
struct Group {
    mailbox: Mailbox,
    table: KeywordTable,
    pulled: Vec<Pulled>,
    /// What comparing bodies with files of the mailbox found out.
    compared: BTreeMap<RowId, Compared>,
}

/// Makes a batch durable, of however many mailboxes, and places it.
pub(super) fn place(run: &mut Run, pulled: Vec<Pulled>) -> Result<(), AccountError> {
    let groups = groups(run, pulled)?;
    let groups = durable(run, groups);
    if groups.is_empty() {
        return Ok(());
    }
    // Committed before the rename: after a crash the file in tmp/, or its absence, tells how
    // far it got (hazard 19).
    let files = run.attempt.seen.files();
    let (placing, known) = run.record(|w| {
        let (mut placing, mut known) = (Vec::new(), Vec::new());
        for Group { mailbox, table, pulled, compared } in groups {
            let mut rows = Vec::new();
            for pulled in pulled {
                match identify(w, &mailbox, &pulled, &table, (compared.get(&pulled.row.id), files))?
                {
                    Some(row) => rows.push(row),
                    None => known.push(pulled.delivered),
                }
            }
            placing.push((mailbox, rows));
        }
        Ok((placing, known))
    })?;
    // What a body was fetched to tell is acted upon by the next plan.
    run.attempt.unseen |= !known.is_empty();
    for Delivered { mailbox, stem, .. } in known {
        if let Err(error) = run.root.discard(&mailbox, &stem) {
            tracing::debug!(%error, "a body that was only looked at stays in tmp");
        }
    }
    let mut placed = Vec::new();
    for (mailbox, rows) in placing {
        placed.extend(rename_all(run, &mailbox, rows));
    }
    run.record(|w| {
        let mailboxes: BTreeSet<MailboxId> = placed.iter().map(|row| row.mailbox).collect();
        mailboxes.into_iter().try_for_each(|mailbox| w.list_again(mailbox))?;
        placed.iter().try_for_each(|row| w.update(row))
    })
}

fn groups(run: &mut Run, pulled: Vec<Pulled>) -> Result<Vec<Group>, AccountError> {
    let mut by_mailbox: BTreeMap<MailboxId, Vec<Pulled>> = BTreeMap::new();
    for pulled in pulled {
        by_mailbox.entry(pulled.row.mailbox).or_default().push(pulled);
    }
    let mut groups = Vec::new();
    for (id, pulled) in by_mailbox {
        let mailbox = mailbox_of(run, id)?;
        let table = super::keyword_letters::table_for(run, &mailbox, &wanted_keywords(&pulled))?;
        let compared = compare(run, &mailbox, &pulled)?;
        groups.push(Group { mailbox: mailbox_of(run, id)?, table, pulled, compared });
    }
    Ok(groups)
}

/// Makes bodies durable. Gives those that are: what failed is fetched again by a later run,
/// since asking the system a second time proves nothing.
fn durable(run: &mut Run, groups: Vec<Group>) -> Vec<Group> {
    let all: Vec<&Delivered> = groups.iter().flat_map(Group::files).collect();
    let at_once = run.root.sync_many(&all);
    let mut durable = Vec::new();
    for group in groups {
        let files: Vec<&Delivered> = group.files().collect();
        let failure = match &at_once {
            Ok(true) => None,
            Ok(false) => run.root.sync_deliveries(&files).err().map(|error| error.to_string()),
            Err(error) => Some(error.to_string()),
        };
        match failure {
            Some(why) => run.report.skip(group.mailbox.name.to_string(), why),
            None => durable.push(group),
        }
    }
    durable
}

impl Group {
    fn files(&self) -> impl Iterator<Item = &Delivered> {
        self.pulled.iter().map(|pulled| &pulled.delivered)
    }
}

/// Gives bodies their names. Gives the rows whose new names are durable; the others stay
/// *placing*, and the next run settles them.
fn rename_all(run: &mut Run, mailbox: &Mailbox, rows: Vec<Row>) -> Vec<Row> {
    let mut placed = Vec::new();
    for row in rows {
        match rename(run, mailbox, row) {
            Ok(row) => placed.push(row),
            Err(error) => run.report.skip(mailbox.name.to_string(), error.to_string()),
        }
    }
    if let Err(error) = run.root.sync_dirs(&mailbox.name) {
        run.report.skip(mailbox.name.to_string(), error.to_string());
        return Vec::new();
    }
    run.report.pulled += placed.iter().filter(|row| row.local.is_some()).count() as u64;
    run.report.touch(&mailbox.name);
    if receives(mailbox) {
        placed.iter().for_each(|row| announce(run, mailbox, row));
    }
    placed
}

/// Whether new mail comes to a mailbox: to the others it is put by somebody who knows it.
fn receives(mailbox: &Mailbox) -> bool {
    use SpecialUse::{All, Archive, Drafts, Junk, Sent, Trash};
    !matches!(mailbox.special_use, Some(All | Archive | Drafts | Junk | Sent | Trash))
}

/// Notes a message that nobody has read.
fn announce(run: &mut Run, mailbox: &Mailbox, row: &Row) {
    let Some(local) = &row.local else { return };
    if !local.flags.system.contains(System::SEEN) {
        let name = FileName::of(local, run.settings.info_separator);
        let path = || run.root.path_of(&mailbox.name, &name);
        run.report.arrivals.note(&mailbox.name, path);
    }
}

fn wanted_keywords(pulled: &[Pulled]) -> Flags {
    let flags = pulled.iter().filter_map(|p| p.row.remote.as_ref()).map(|remote| &remote.flags);
    flags.fold(Flags::default(), |all, flags| all.union(flags))
}

/// Writes down what the body turned out to be. Where a file with this content waits for its
/// message (moved, renumbered, filed by hand), the body was only needed to know that: the next
/// plan pairs them. Gives the row to place otherwise.
fn identify(
    w: &Writer<'_>,
    mailbox: &Mailbox,
    pulled: &Pulled,
    table: &KeywordTable,
    (compared, files): (Option<&Compared>, Coverage),
) -> Result<Option<Row>, StateError> {
    let Some(row) = w.tx().row(pulled.row.id)? else { return Ok(None) };
    let Some(remote) = row.remote.clone() else { return Ok(None) };
    let delivered = &pulled.delivered;
    let content = Some(delivered.summary.content);
    let header = Some(delivered.summary.header);
    // A text that may have been cut off proves nothing of another one.
    let row = Row { content, header, set_aside: None, weak: pulled.short, ..row };
    // The second time it is fetched, nothing was found to pair it with.
    let first = pulled.row.content != content;
    if first && waits_for(w, &row, files)? {
        w.update(&row)?;
        return Ok(None);
    }
    match compared {
        Some(Compared::Of(file)) if first => {
            w.update(&Row { content: Some(*file), weak: true, ..row })?;
            return Ok(None);
        }
        Some(Compared::CutOff(file, aside)) => {
            if let Some(file) = w.tx().row(*file)? {
                w.update(&Row { set_aside: Some(aside.clone()), ..file })?;
            }
        }
        _ => {}
    }
    let flags = super::keyword_letters::held(mailbox, &remote.flags);
    let in_new = flags.is_empty();
    let info = if in_new { String::new() } else { info(table, &flags) };
    let journal = Journal::Placing { stem: delivered.stem.clone(), in_new, info };
    let row = Row { journal, ..row };
    w.update(&row)?;
    Ok(Some(row))
}

/// Returns whether a file that lost its message, or waits for one here, has the content of `row`.
/// `files`: how far the last look at the disk reached.
pub(in crate::mail) fn waits_for(
    w: &Writer<'_>,
    row: &Row,
    files: Coverage,
) -> Result<bool, StateError> {
    let Some(content) = row.content else { return Ok(false) };
    let known = w.tx().by_content(&content)?;
    Ok(known.iter().filter(|other| other.id != row.id).any(|other| match state_of(other) {
        // Sent from another mailbox, and maybe moved here by another client since.
        RowState::LocalNew if matches!(other.journal, Journal::Pushing { .. }) => true,
        // One that was numbered anew may have been moved here from anywhere.
        RowState::LocalNew => {
            (other.mailbox == row.mailbox || is_in_doubt(other)) && other.set_aside.is_none()
        }
        RowState::BothGone => {
            // Its file may have left before its mailbox was numbered anew.
            let moved = |file: &Row| state_of(file) == RowState::LocalNew && file.base.is_none();
            // Or was moved to one place here and to another there, or there and back (hazards 100
            // and 139).
            let was_there = other.base.is_some() || other.restated;
            let parted = || was_there && !other.weak && known.iter().any(moved);
            // It may lie where nothing could be looked at (hazard 168).
            let may_have_moved = || files == Coverage::Partial || known.iter().any(moved);
            let is_left = || is_left(other) && (is_ending(other) || may_have_moved());
            let left = || is_left() || parted();
            match other.mailbox == row.mailbox {
                true => is_claim(other) || left(),
                false => parted(),
            }
        }
        RowState::RemoteGone => true,
        // It may be the twin of one that was sent twice.
        RowState::Paired => {
            other.mailbox == row.mailbox && matches!(other.journal, Journal::Pushed { .. })
        }
        _ => false,
    }))
}

/// The info part of a name that bears these flags.
pub(super) fn info(table: &KeywordTable, flags: &Flags) -> String {
    with_flags("", flags.system, &table.letters_for(flags).0)
}

fn rename(run: &Run, mailbox: &Mailbox, row: Row) -> Result<Row, LocalError> {
    let Journal::Placing { stem, in_new, info } = row.journal.clone() else { return Ok(row) };
    let Placed::Placed(stamp) = run.root.place(&mailbox.name, &stem, in_new, &info)? else {
        // Within the run that wrote it nobody acted on it: the file is lost, not removed by
        // anyone, and comes down again.
        return Ok(Row { journal: Journal::Idle, ..row });
    };
    Ok(placed(mailbox, row, Local { stem, in_new, info, flags: Flags::default(), stamp }))
}
