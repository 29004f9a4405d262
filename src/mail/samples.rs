//! Some messages of each hold, as people know them: sender, subject and date.
//!
//! They are looked up once, when the hold is made: of a message whose file is gone only the
//! server can say what it was, and `mailtide holds` asks no server.

use super::run::Run;
use crate::account::error::AccountError;
use crate::account::header::HEADER_MAX;
use crate::account::sample::Sample;
use crate::local::Listed;
use crate::reconcile::types::{Mailbox, MailboxId, Row, Uid};
use crate::remote::imap::{Select, UidSet, Untagged};
use crate::state::{Hold, HoldState};

/// Messages of a hold that are described.
pub const SAMPLES_MAX: usize = 10;
/// Octets of a file that are read for its header.
const READ_MAX: usize = 16 << 10;

/// Describes the holds that nobody described yet. A server that does not tell keeps nothing from
/// going on.
pub(super) async fn look(run: &mut Run) -> Result<(), AccountError> {
    let holds = run.store.holds()?.into_iter();
    let new = holds.filter(|hold| hold.samples.is_none() && hold.state == HoldState::Pending);
    for hold in new.collect::<Vec<_>>() {
        let samples = samples(run, &hold).await?;
        let text = serde_json::to_string(&samples).unwrap_or_default();
        run.record(|w| w.tx().set_hold_samples(&hold.id, &text))?;
        if let Some(told) = run.report.holds.iter_mut().find(|told| told.id == hold.id) {
            told.samples = Some(text);
        }
    }
    Ok(())
}

async fn samples(run: &mut Run, hold: &Hold) -> Result<Vec<Sample>, AccountError> {
    let (mut samples, mut there) = (Vec::new(), Vec::<(MailboxId, Uid)>::new());
    for id in &hold.rows {
        if samples.len() + there.len() == SAMPLES_MAX {
            break;
        }
        let Some(row) = run.store.row(*id)? else { continue };
        match of_file(run, &row)? {
            Some(sample) => samples.push(sample),
            None => there.extend(row.remote.as_ref().map(|remote| (row.mailbox, remote.uid))),
        }
    }
    there.sort_unstable();
    for mailbox in there.chunk_by(|a, b| a.0 == b.0) {
        let mut set = UidSet::default();
        mailbox.iter().for_each(|(_, uid)| {
            set.insert(*uid);
        });
        if let Some(mailbox) = mailbox.first().map(|(id, _)| run.store.mailbox(*id)).transpose()? {
            samples.extend(match mailbox {
                Some(mailbox) => of_server(run, &mailbox, &set).await?,
                None => Vec::new(),
            });
        }
    }
    Ok(samples)
}

pub(super) fn of_file(run: &Run, row: &Row) -> Result<Option<Sample>, AccountError> {
    let Some(local) = &row.local else { return Ok(None) };
    let Some(mailbox) = run.store.mailbox(row.mailbox)? else { return Ok(None) };
    let listed = Listed::expected(local, run.settings.info_separator);
    let path = run.root.path_of(&mailbox.name, &listed.name);
    let mut header = vec![0; READ_MAX];
    let read = run.environment.fs.open(&path).and_then(|file| file.read_at(&mut header, 0));
    Ok(read.ok().map(|length| Sample::of(&header[..length.min(READ_MAX)])))
}

async fn of_server(
    run: &mut Run,
    mailbox: &Mailbox,
    set: &UidSet,
) -> Result<Vec<Sample>, AccountError> {
    let mut samples = Vec::new();
    let mut ignore = |_: Untagged| {};
    let selected = run.session.select(&mailbox.name, Select::ReadOnly, None, &mut ignore).await;
    let asked = match selected {
        Ok(selected)
            if mailbox.cursor.map(|c| c.uid_validity) == Some(selected.gate.uid_validity) =>
        {
            let mut sink = |_: Uid, bytes: &[u8]| samples.push(Sample::of(bytes));
            run.session.fetch_headers(set, HEADER_MAX, &mut sink).await
        }
        Ok(_) => Ok(()),
        Err(error) => Err(error),
    };
    match asked {
        Err(error) if error.ends_session() => return Err(error.into()),
        Err(error) => tracing::debug!(mailbox = %mailbox.name, %error, "a hold has no samples"),
        Ok(()) => {}
    }
    // It was only looked at: whoever changes something selects it anew.
    run.session.unselect().await?;
    Ok(samples)
}
