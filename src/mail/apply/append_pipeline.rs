//! Many messages up without a wait for each answer: several in a command where the server
//! has MULTIAPPEND (RFC 3502), several commands under way.

use std::collections::VecDeque;

use super::append::{Ready, open};
use super::sent::{Answer, Taken, flags_up, mark_sent, not_sent, pushed, unreadable};
use crate::account::error::AccountError;
use crate::account::progress::{Event, Way};
use crate::mail::run::Run;
use crate::mail::survival::rows_of;
use crate::reconcile::types::{Flags, Mailbox, Row};
use crate::remote::RemoteError;
use crate::remote::imap::{Appending, Upload};

/// What one command carries at most. Its messages are taken or refused together, so that one
/// that is refused costs the others a second try.
const COMMAND_MESSAGES: usize = 50;
const COMMAND_OCTETS: u64 = 1 << 20;
/// What may be under way, unanswered.
const COMMANDS: usize = 8;
const OCTETS: u64 = 4 << 20;

struct Command {
    appending: Appending,
    messages: Vec<Taken>,
    octets: u64,
}

#[derive(Default)]
struct Window {
    under_way: VecDeque<Command>,
    octets: u64,
    taken: Vec<Taken>,
    /// Refused, maybe for the sake of another one: each is tried by itself.
    alone: Vec<Row>,
    /// Messages that the mailbox held when all this began.
    exists: u32,
    /// Why nothing more is sent to this mailbox in this run.
    trouble: Option<String>,
}

/// Pushes rows for the first time. Gives those that have to go alone; none at all where the
/// mailbox takes nothing more now.
pub(super) async fn push(
    run: &mut Run,
    mailbox: &Mailbox,
    rows: Vec<Row>,
) -> Result<Option<Vec<Row>>, AccountError> {
    let mut window = Window { exists: run.session.message_count(), ..Window::default() };
    let mut result = window.send_all(run, mailbox, rows).await;
    if result.is_ok() && !window.alone.is_empty() {
        result = window.doubt(run).await;
    }
    // Wholly sent, and the answer is lost.
    let open = window.under_way.into_iter().flat_map(|command| command.messages);
    run.record(|w| open.into_iter().try_for_each(|sent| mark_sent(w, sent.row, Answer::Lost)))?;
    pushed(run, mailbox, window.taken)?;
    result?;
    if let Some(why) = window.trouble {
        run.report.skip(mailbox.name.to_string(), why);
        return Ok(None);
    }
    Ok(Some(window.alone))
}

impl Window {
    async fn send_all(
        &mut self,
        run: &mut Run,
        mailbox: &Mailbox,
        rows: Vec<Row>,
    ) -> Result<(), AccountError> {
        let mut rows = VecDeque::from(rows);
        while !run.environment.is_stopping() && self.trouble.is_none() && !rows.is_empty() {
            let command = next_command(run, &mut rows);
            let octets = command.iter().map(announced).sum();
            while self.is_full(octets) {
                self.answer(run, mailbox).await?;
            }
            self.send(run, mailbox, command).await?;
        }
        while !self.under_way.is_empty() {
            self.answer(run, mailbox).await?;
        }
        Ok(())
    }

    fn is_full(&self, next: u64) -> bool {
        let open = !self.under_way.is_empty();
        open && (self.under_way.len() >= COMMANDS || self.octets.saturating_add(next) > OCTETS)
    }

    async fn send(
        &mut self,
        run: &mut Run,
        mailbox: &Mailbox,
        rows: Vec<Row>,
    ) -> Result<(), AccountError> {
        let (progress, separator) = (run.environment.progress.clone(), run.settings.info_separator);
        let mut ready: Vec<(Row, Flags, Ready<'_>)> = Vec::new();
        for row in rows {
            match open(&run.root, separator, &progress, &mailbox.name, &row) {
                Ok(file) => ready.push((row.clone(), flags_up(mailbox, &row), file)),
                Err(error) => unreadable(run, mailbox, &row, error)?,
            }
        }
        if ready.is_empty() {
            return Ok(());
        }
        let beside = !self.under_way.is_empty();
        let octets = ready.iter().map(|(_, _, file)| file.size).sum();
        run.session.sends(rows_of(ready.iter().map(|(row, ..)| row.id)));
        let mut uploads: Vec<Upload<'_>> = Vec::new();
        for (row, flags, file) in &mut ready {
            let date = row.words.as_ref().map(|words| words.date);
            uploads.push(Upload { flags, date, size: file.size, body: &mut file.source });
        }
        let begun = run.session.begin_append(&mailbox.name, &mut uploads, beside).await;
        let appending = match begun {
            Ok(appending) => appending,
            Err(failed) if failed.error.ends_session() => {
                // Most likely it was lost over what was sent first.
                if let Some(first) = self.under_way.front() {
                    run.session.blame(rows_of(first.messages.iter().map(|sent| sent.row.id)));
                }
                return Err(failed.error.into());
            }
            Err(failed) => {
                let rows: Vec<Row> = ready.into_iter().map(|(row, ..)| row).collect();
                return self.refused(run, mailbox, rows, &failed.error);
            }
        };
        let messages = ready.into_iter().map(|(row, flags, file)| {
            // What was sent has the length that was announced: was it still what is known?
            let content = file.source.file.finish().map(|sent| sent.content).ok();
            let unchanged = content.is_some() && content == row.content;
            Taken { row, uid: None, flags, unchanged }
        });
        let messages = messages.collect();
        self.octets += octets;
        self.under_way.push_back(Command { appending, messages, octets });
        Ok(())
    }

    /// Waits for the answer to the oldest command.
    async fn answer(&mut self, run: &mut Run, mailbox: &Mailbox) -> Result<(), AccountError> {
        let Some(Command { appending, messages, octets }) = self.under_way.pop_front() else {
            return Ok(());
        };
        let answer = run.session.end_append(appending).await;
        self.octets -= octets;
        for _ in &messages {
            run.environment.progress.tell(Event::Message { mailbox: &mailbox.name, way: Way::Up });
        }
        match answer {
            Ok(uids) => {
                run.losses.is_taken();
                let mut uids = uids
                    .into_iter()
                    .flat_map(|(validity, uids)| uids.into_iter().map(move |uid| (validity, uid)));
                self.taken.extend(messages.into_iter().map(|m| Taken { uid: uids.next(), ..m }));
                Ok(())
            }
            Err(failed) => {
                let rows: Vec<Row> = messages.into_iter().map(|message| message.row).collect();
                if failed.error.ends_session() {
                    run.record(|w| {
                        rows.into_iter().try_for_each(|row| mark_sent(w, row, Answer::Lost))
                    })?;
                    return Err(failed.error.into());
                }
                self.refused(run, mailbox, rows, &failed.error)
            }
        }
    }

    fn refused(
        &mut self,
        run: &mut Run,
        mailbox: &Mailbox,
        rows: Vec<Row>,
        error: &RemoteError,
    ) -> Result<(), AccountError> {
        if error.is_for_now() && rows.len() == 1 {
            // It may be for this message alone, until its neighbours were refused, too.
            run.note_refusal(error);
            match run.losses.is_refused_for_now(error) {
                true => run.report.skip(mailbox.name.to_string(), error.to_string()),
                false => self.trouble = Some(error.to_string()),
            }
            return run.record(|w| rows.iter().try_for_each(|row| not_sent(w, row)));
        }
        self.alone.extend(rows);
        Ok(())
    }

    /// A refused command has added nothing, says the RFC. Where the mailbox shows otherwise,
    /// only a look can tell what is there.
    async fn doubt(&mut self, run: &mut Run) -> Result<(), AccountError> {
        let is_told = run.catch_up().await?;
        let expected = u64::from(self.exists) + self.taken.len() as u64;
        if is_told && u64::from(run.session.message_count()) == expected {
            return Ok(());
        }
        let rows = std::mem::take(&mut self.alone);
        run.record(|w| rows.into_iter().try_for_each(|row| mark_sent(w, row, Answer::Refused)))
    }
}

fn announced(row: &Row) -> u64 {
    row.words.as_ref().map_or(0, |words| words.size)
}

/// What goes up in the next command: one message, or several small ones.
fn next_command(run: &Run, rows: &mut VecDeque<Row>) -> Vec<Row> {
    let (mut command, mut octets) = (Vec::new(), 0_u64);
    while let Some(row) = rows.pop_front() {
        let size = announced(&row);
        octets = octets.saturating_add(size);
        let joins = run.session.takes_many(size)
            && command.len() < COMMAND_MESSAGES
            && octets <= COMMAND_OCTETS;
        if !command.is_empty() && !joins {
            rows.push_front(row);
            break;
        }
        command.push(row);
        if !joins {
            break;
        }
    }
    command
}
