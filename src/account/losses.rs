//! Connections that were lost in a run: what they were lost at, and whether another one is
//! opened (hazard 90).

use std::time::Duration;

use super::settings::{Environment, Settings};
use crate::reconcile::types::printable;
use crate::remote::RemoteError;
use crate::remote::imap::Session;
use crate::remote::suspects::{Command, Shared, Thing};

/// Connections that were lost in a run.
#[derive(Debug, Default)]
pub(crate) struct Losses {
    connections: u32,
    /// Seconds of silence.
    silent: i64,
    silences: u32,
    /// Connections that ended before anything was answered on them.
    unanswered: u32,
    barren: u32,
    /// What was answered on the connection when the run, or the connection, began.
    answers: u64,
    at: Vec<(Thing, u32)>,
    /// No further connection is opened.
    over: bool,
    /// How often the server let nobody in after that.
    busy: u32,
    /// Uploads refused for the moment since the last one that was taken.
    refused: u32,
}

impl Losses {
    /// None yet, on this connection.
    pub(crate) fn on(session: &Session) -> Self {
        Self { answers: session.answers(), ..Self::default() }
    }

    /// Counts a loss, and makes a suspect of what was under way. Gives whether a new connection
    /// may take its place.
    pub(crate) fn note(&mut self, loss: Loss<'_>, suspects: &Shared) -> bool {
        let Loss { error, thing, is_fresh, has_answered, at } = loss;
        let known = thing.as_ref().is_some_and(|thing| {
            // What can be had in another way may as well be.
            is_fresh && thing.command.has_another_way() || suspects.lock().knows(thing)
        });
        self.barren = if has_answered { 0 } else { self.barren + 1 };
        let mut enough = false;
        // What is larger than we take is no fault of the server.
        let is_ours = matches!(error, RemoteError::Limit { uid: Some(_), .. });
        match thing.filter(|_| has_answered || known) {
            _ if is_ours => {}
            Some(thing) => enough = self.at(&thing, error, suspects, at),
            None => self.unanswered += 1,
        }
        self.connections += 1;
        self.silent = self.silent.saturating_add(error.silence());
        self.silences += u32::from(error.silence() > 0);
        enough |= self.connections > CONNECTIONS
            || self.silent > SILENCES * at.timeout
            || self.unanswered > 0
            || self.barren > BARREN;
        self.over |= enough;
        !self.over
    }

    /// Makes a suspect of what a connection was lost at. Gives whether it was lost at that often
    /// enough.
    pub(crate) fn at(
        &mut self,
        thing: &Thing,
        error: &RemoteError,
        suspects: &Shared,
        at: At,
    ) -> bool {
        tracing::warn!("{}: {error}", title(thing, None));
        suspects.lock().lost(thing, &error.to_string(), (at.now, error.silence()));
        let at = match self.at.iter().position(|(known, _)| known == thing) {
            Some(at) => at,
            None => {
                self.at.push((thing.clone(), 0));
                self.at.len() - 1
            }
        };
        let times = &mut self.at[at].1;
        *times += 1;
        *times >= AT_ONE
    }

    /// How long the next connection may be silent where the first one may be for so long: each
    /// silence costs, and what is only slow has the whole time again in the next run.
    pub(crate) fn patience(&self, timeout: Duration) -> Duration {
        const LEAST: Duration = Duration::from_secs(15);
        let shorter = timeout / (1 << self.silences.min(8));
        shorter.max(LEAST).min(timeout)
    }

    /// Whether a server that lets nobody in is asked once more: it may not have noticed yet that
    /// the connection before was lost.
    pub(crate) fn may_be_released(&mut self) -> bool {
        const MOST: u32 = 6;
        self.busy += 1;
        self.connections > 0 && self.busy <= MOST && !self.over
    }

    /// Whether the session has answered anything in this run.
    pub(crate) fn is_answered_since(&self, session: &Session) -> bool {
        session.answers() > self.answers
    }

    /// Whether so much was lost already that what would be one more try waits for the next run.
    pub(crate) fn are_many(&self, timeout: Duration) -> bool {
        self.silent > (SILENCES - 2) * timeout.as_secs().cast_signed()
            || self.connections + 4 > CONNECTIONS
    }

    /// No further connection is opened.
    pub(crate) fn end(&mut self) {
        self.over = true;
    }

    /// Whether no further connection is opened.
    pub(crate) fn is_over(&self) -> bool {
        self.over
    }

    /// A connection is given up for another one, and nothing is known of what is to blame.
    pub(crate) fn begin_anew(&mut self) {
        self.connections += 1;
        self.over |= self.connections > CONNECTIONS;
    }

    /// How many there were.
    pub(crate) fn count(&self) -> u32 {
        self.connections
    }

    /// A message was taken.
    pub(crate) fn is_taken(&mut self) {
        self.refused = 0;
    }

    /// A message was refused for the moment. Gives whether it may have been for its own sake.
    pub(crate) fn is_refused_for_now(&mut self, error: &RemoteError) -> bool {
        self.refused += 1;
        self.refused < REFUSED && !matches!(error, RemoteError::SetAside { .. })
    }

    /// A new connection takes the place of the one that was lost.
    pub(crate) fn begin(&mut self, session: &Session) {
        self.answers = session.answers();
    }
}

/// A connection that was lost.
#[derive(Debug)]
pub(crate) struct Loss<'e> {
    pub(crate) error: &'e RemoteError,
    /// What was under way.
    pub(crate) thing: Option<Thing>,
    /// Nothing was ever answered on it.
    pub(crate) is_fresh: bool,
    /// Something was answered on it in this run.
    pub(crate) has_answered: bool,
    pub(crate) at: At,
}

/// When a connection was lost, and how long the server may be silent, in seconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct At {
    pub(crate) now: i64,
    pub(crate) timeout: i64,
}

impl At {
    pub(crate) fn of(settings: &Settings, environment: &Environment) -> Self {
        let timeout = settings.endpoint.timeout.as_secs().cast_signed();
        Self { now: environment.clock.now(), timeout }
    }
}

/// Connections that are opened anew in a run.
const CONNECTIONS: u32 = 40;

/// Silence in a run, in timeouts.
const SILENCES: i64 = 5;

/// Losses at one thing in a run.
const AT_ONE: u32 = 3;

/// Uploads refused for the moment, one after the other, after which it is the mailbox.
const REFUSED: u32 = 3;

/// Connections in a row that are of no use but for the sign-in.
const BARREN: u32 = 3;

/// What a thing is called in the report.
pub(crate) fn title(thing: &Thing, subject: Option<&str>) -> String {
    let mut title = match (&thing.mailbox, &thing.message) {
        (Some(mailbox), _) => mailbox.to_string(),
        (None, Some(message)) => printable(message),
        (None, None) => "the server".to_owned(),
    };
    if thing.command == Command::Append && !thing.uids.is_empty() {
        let files = if thing.is_one() { "a file to be uploaded" } else { "files to be uploaded" };
        title = format!("{title}: {files}");
    } else if !thing.uids.is_empty() {
        let uids = if thing.is_one() { "UID" } else { "UIDs" };
        let set = thing.uids.to_string().replace(&u32::MAX.to_string(), "*");
        title = format!("{title}: {uids} {set}");
    }
    match subject {
        Some(words) if thing.message.is_some() => match words {
            "" => title,
            words => format!("{title}, {}", printable(words)),
        },
        Some(subject) => format!("{title} \"{}\"", printable(subject)),
        None => title,
    }
}
