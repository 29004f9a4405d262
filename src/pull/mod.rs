//! An account that only pulls (POP3): messages come down once, and nothing goes up.
//!
//! 1. `destination`: is the Maildir still the one that was delivered into? What a crash left there
//!    is settled.
//! 2. The maildrop is listed and sorted (`classify`) by what the store remembers.
//! 3. What is new is streamed (`fetch`) into `tmp/`, a batch made durable, recorded as
//!    *placing*, given its names (`deliver`), recorded as pulled. What is only called otherwise
//!    than before is known by its content, and not delivered once more.
//! 4. What may go by the user's word is deleted (`remove`): only what was recorded as pulled, and
//!    only while the Maildir is as it was left. QUIT makes it count.

mod belief;
mod classify;
mod deliver;
mod destination;
mod directory;
mod fetch;
mod losses;
mod pending;
mod read;
mod recheck;
mod rematch;
mod remove;
mod run;
mod sink;
mod sizes;
mod verify;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use self::destination::guest_options;

use self::classify::{Entry, Name, Sorted, Terms, Trust};
use self::read::ASKED;
use self::rematch::Alike;
use self::remove::Removable;
use self::run::{Headers, Run, Through};
use crate::account::error;
use crate::account::error::AccountError;
use crate::account::outcome::Outcome;
use crate::account::progress::Event;
use crate::account::report::Report;
use crate::account::request::RunRequest;
use crate::account::settings::{Environment, Settings};
use crate::config::{Keep, Maildrop};
use crate::remote::RemoteError;
use crate::remote::pop3::{Auth, Header, Listed, Lost, Session};
use crate::remote::suspects::Command;
use crate::state::{MaildropRow, Presence, meta};

/// Sessions of one pull: some servers show a part of the maildrop at a time.
const SESSIONS_MAX: u32 = 200;
/// A session that brings so many, and shows nothing else, may have shown only a part: Gmail shows
/// about 250 at a time.
const PART: std::ops::Range<usize> = 100..1_000;
/// Messages that may be known by their headers alone: of each that is asked for in every session.
const NAMELESS_MAX: usize = 100_000;
/// How long a server may need to let go of a maildrop after its connection was lost.
const RELEASED: Duration = Duration::from_secs(5);
/// Days after which they are believed again.
const DOUBT: i64 = 30;
/// Seconds of a day.
const DAY: i64 = 86_400;

/// Pulls what is new, once; or only looks, as it is wished.
///
/// The report is given even where the pull failed, since what was done is done.
pub async fn pull(
    settings: Settings,
    terms: Maildrop,
    environment: Environment,
    request: &RunRequest,
    cause: &str,
) -> (Report, Result<(), AccountError>) {
    let mut pull = match Run::open(settings, terms, environment, request, cause).await {
        Ok(pull) => pull,
        Err(error) => return (Report::default(), Err(error)),
    };
    let result = match request.verify {
        Some(depth) => pull.verify(depth).await,
        None => pull.sessions().await,
    };
    pull.end(result)
}

impl Run {
    async fn sessions(&mut self) -> Result<(), AccountError> {
        for _ in 0..SESSIONS_MAX {
            self.report.rounds += 1;
            let through = match self.connect().await {
                Ok(session) => self.session(session).await?,
                Err(lost) if self.may_wait(&lost) => {
                    tokio::time::sleep(RELEASED).await;
                    Through::Part
                }
                Err(lost) => self.survive_without(lost)?,
            };
            if through != Through::Part || self.report.rest.is_some() {
                break;
            }
            if self.environment.is_stopping() {
                break;
            }
        }
        self.report.interrupted = self.environment.is_stopping();
        Ok(())
    }

    async fn connect(&mut self) -> Result<Session, Lost> {
        self.environment.progress.tell(Event::Connecting);
        let auth = if self.terms.token { Auth::Token } else { Auth::Password };
        // As they are: a server that may not send UTF-8 in headers rewrites them.
        let how = crate::remote::pop3::Settings { auth, utf8: true };
        let connector = &*self.environment.connector;
        let mut endpoint = self.settings.endpoint.clone();
        endpoint.timeout = self.losses.patience(endpoint.timeout);
        let connected = Session::connect_cautiously(&endpoint, how, connector, &self.suspects);
        let mut session = connected.await?;
        if self.losses.count() > 0 {
            // So what the next connection is lost at is known for sure.
            session.one_at_a_time();
        }
        Ok(session)
    }

    /// One session. What goes over the connection is counted however it ends.
    async fn session(&mut self, mut session: Session) -> Result<Through, AccountError> {
        let worked = self.work(&mut session).await;
        let rest = session.capabilities().login_delay().map(error::rest);
        self.report.rest = rest.filter(|rest| !rest.is_zero());
        let ended = match worked {
            Ok((through, removable)) => {
                self.remove(&mut session, removable).await.map(|()| through)
            }
            Err(error) => Err(error),
        };
        let counters = session.counters();
        self.report.received += counters.received;
        self.report.sent += counters.sent;
        match ended {
            Err(AccountError::Remote(error)) => self.survive(&session, error),
            ended => ended,
        }
    }

    async fn work(
        &mut self,
        session: &mut Session,
    ) -> Result<(Through, Vec<Removable>), AccountError> {
        let mailbox = self.terms.mailbox.clone();
        self.environment.progress.tell(Event::Looking { mailbox: &mailbox, at: 1, of: 1 });
        let listed = self.list(session).await?;
        let mut sorted = self.sort(session, &listed).await?;
        self.recheck(session, &mut sorted).await?;
        if self.dry_run {
            self.describe(&sorted);
            return Ok((Through::All, Vec::new()));
        }
        if self.in_parts {
            // What was in the part before did not leave, and no name changed.
            (sorted.renamed, sorted.surely) = (false, false);
        }
        self.note(&sorted)?;
        self.forget_pulled(&sorted);
        let surely = self.store.has_fact(&meta::UIDL_RENAMED)?;
        self.alike = match self.in_parts {
            true => Alike::of_part(&sorted),
            false => Alike::new(&sorted, surely),
        };
        let (may_be_part, before) = (PART.contains(&sorted.new.len()), self.report.pulled);
        let may_be_part = may_be_part && sorted.known.is_empty();
        let new = std::mem::take(&mut sorted.new);
        let (through, pulled) = self.fetch(session, new).await?;
        if through == Through::All {
            self.close_listing(&sorted)?;
        }
        let known = sorted.known.iter().filter_map(Removable::of_known);
        let removable = known.chain(pulled).collect();
        let part = through == Through::All && may_be_part && self.report.pulled > before;
        self.in_parts |= part;
        Ok((if part { Through::Part } else { through }, removable))
    }

    /// Lists the maildrop. Where UIDL fails, and headers cannot be asked for, all would have to
    /// come once more: then it is better to wait for it.
    async fn list(&mut self, session: &mut Session) -> Result<Arc<[Listed]>, AccountError> {
        let can = session.capabilities();
        let may_have = can.has("TOP") || can.is_unknown() && self.rests(Command::Capa);
        let has_headers = may_have && !self.rests(Command::Top);
        if !has_headers && self.store.drop_has_names()? {
            session.needs_ids();
        }
        let listed = session.list().await?;
        self.listing = session.listing().clone();
        self.forget_gone();
        Ok(listed)
    }

    async fn sort(
        &mut self,
        session: &mut Session,
        listed: &[Listed],
    ) -> Result<Sorted, AccountError> {
        if self.listing.has_twins() {
            self.doubt_names()?;
        }
        let doubted = self.doubts_names()?;
        let trust = if doubted { Trust::Headers } else { Trust::Names };
        let unnamed = classify::unnamed(listed, trust);
        if unnamed.len() > NAMELESS_MAX {
            let doing = format!("UIDL, in a maildrop of more than {NAMELESS_MAX} messages");
            return Err(RemoteError::Unsupported { doing }.into());
        }
        let headers = self.headers(session, &unnamed).await?.tops;
        let entries = classify::entries(listed, &headers, trust);
        let counts = matches!(self.terms.keep, Keep::Days(_));
        let limit = self.settings.max_message_size;
        let mut resting = self.resting(Command::Retr);
        resting.extend(self.waiting_short()?);
        let terms = Terms { limit, today: self.today(), counts, resting: &resting };
        // Of one and the same state, and without a lock for each question.
        let sorted = self.store.snapshot(|view| {
            let (before, deleting) = (view.drop_listed()?, view.drop_deleting()?);
            let named = |name: &Name| match name {
                Name::Uidl(uidl) => view.drop_rows_called(uidl),
                Name::Start(start) => view.drop_rows_beginning(start),
                Name::None => Ok(Vec::new()),
            };
            classify::sort(entries, (&before, &deleting), terms, &named)
        })?;
        Ok(sorted)
    }

    /// A name was that of two messages: from here on their beginnings tell them apart.
    fn doubt_names(&mut self) -> Result<(), AccountError> {
        let today = self.today();
        let before = self.store.fact(&meta::UIDL_DOUBTED)?;
        if before.is_none() {
            tracing::info!("the server gives a UIDL to several messages: TOP tells them apart");
        }
        if before != Some(today) {
            self.store.transaction(|tx| tx.set_fact(&meta::UIDL_DOUBTED, &today))?;
        }
        Ok(())
    }

    /// Whether names are doubted; not for ever, since it may have been a slip of the server.
    fn doubts_names(&mut self) -> Result<bool, AccountError> {
        let Some(since) = self.store.fact(&meta::UIDL_DOUBTED)? else { return Ok(false) };
        let today = self.today();
        // Older versions did not write the day.
        if since <= 1 {
            self.store.transaction(|tx| tx.set_fact(&meta::UIDL_DOUBTED, &today))?;
        } else if today - since >= DOUBT {
            self.store.transaction(|tx| tx.delete_fact(&meta::UIDL_DOUBTED))?;
            return Ok(false);
        }
        Ok(true)
    }

    /// How messages begin, of those of which the server says it.
    async fn headers(
        &mut self,
        session: &mut Session,
        numbers: &[u32],
    ) -> Result<Headers, AccountError> {
        let capabilities = session.capabilities();
        let mut headers = Headers { tops: BTreeMap::new(), offered: capabilities.has("TOP") };
        if capabilities.is_disabled("TOP") {
            return Ok(headers);
        }
        if self.rests(Command::Top) {
            return Ok(headers);
        }
        let resting = self.resting(Command::Top);
        let asked: Vec<u32> =
            numbers.iter().copied().filter(|number| !resting.contains(number)).collect();
        let mut take = |number: u32, header: Header<'_>| {
            match header {
                Ok(header) => {
                    headers.tops.extend(read::top_of(header).map(|top| (number, top)));
                    headers.offered = true;
                }
                // Without it the message is fetched, and known by its content.
                Err(error) => headers.offered |= error.code().is_some(),
            }
        };
        session.top(&asked, ASKED, &mut take).await?;
        Ok(headers)
    }

    /// Writes down what the listing shows of what is known.
    fn note(&mut self, sorted: &Sorted) -> Result<(), AccountError> {
        let changed = sorted.known.iter().filter_map(|known| known.changed.as_deref());
        let mut changed = changed.peekable();
        // Should this pull be cut off, the next one would see only some of it.
        let renamed = sorted.surely || sorted.renamed && self.store.drop_has_vanished()?;
        if changed.peek().is_some() || renamed {
            self.store.transaction(|tx| {
                if renamed {
                    tx.set_fact(&meta::UIDL_RENAMED, &())?;
                }
                changed.try_for_each(|row| tx.put_maildrop_row(row).map(drop))
            })?;
        }
        Ok(())
    }

    /// Everything in the listing is dealt with: what was not in it is gone, or has the name of
    /// something that is.
    fn close_listing(&mut self, sorted: &Sorted) -> Result<(), AccountError> {
        let alike = &self.alike;
        let renamed = sorted.renamed || self.store.has_fact(&meta::UIDL_RENAMED)?;
        let left = if renamed { Presence::Renamed } else { Presence::Vanished };
        let gone = sorted.gone.iter().map(|row| (*row, left));
        let deleted = sorted.deleted.iter().map(|row| (*row, Presence::Deleted));
        let all = gone.chain(deleted).filter(|(row, _)| !alike.is_claimed(*row));
        self.store.transaction(|tx| {
            for (row, presence) in all {
                if let Some(row) = tx.drop_row(row)? {
                    tx.put_maildrop_row(&MaildropRow { presence, ..row })?;
                }
            }
            tx.delete_fact(&meta::UIDL_RENAMED).map(drop)
        })?;
        Ok(())
    }

    fn describe(&mut self, sorted: &Sorted) {
        let mailbox = self.terms.mailbox.to_string();
        let (fetched, octets) = totals(&sorted.new);
        let removed = remove::due(self.terms.keep, sorted.known.iter().map(Removable::of_known));
        let into = match self.terms.deliver_command.first() {
            Some(program) => format!("give to {program}"),
            None => format!("fetch into {mailbox}"),
        };
        let megabytes = octets.div_ceil(1_000_000);
        let lines = [
            (fetched, format!("{into}, {megabytes} MB")),
            (removed.len() as u64, "delete from the server".to_owned()),
        ];
        let lines = lines.into_iter().filter(|(count, _)| *count > 0);
        self.report.plan = lines.map(|(count, line)| format!("{count:>7}  {line}")).collect();
    }

    /// Days since 1970.
    fn today(&self) -> i64 {
        self.environment.clock.now().div_euclid(DAY)
    }

    /// Writes down how it ended.
    fn end(mut self, result: Result<(), AccountError>) -> (Report, Result<(), AccountError>) {
        let result = result.and(self.name_suspects());
        // A backup of the middle of this pull is not what it left.
        let marked = if std::mem::take(&mut self.marked) { self.mark() } else { Ok(()) };
        let result = result.and(marked);
        let outcome = Outcome::of(&self.report, &result, false).print();
        let (number, now) = (self.number, self.environment.clock.now());
        let recorded = self.store.transaction(|tx| tx.end_run(number, now, &outcome));
        crate::account::opening::tidy_up(&self.settings, &self.environment, &self.root);
        (self.report, result.and(recorded.map_err(AccountError::from)))
    }
}

/// How many messages, and how many octets they are said to have.
fn totals(entries: &[Entry]) -> (u64, u64) {
    let sizes = entries.iter().filter_map(|entry| entry.size);
    (entries.len() as u64, sizes.fold(0, u64::saturating_add))
}
