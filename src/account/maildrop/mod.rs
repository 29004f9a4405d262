//! An account that only pulls (POP3): messages come down once, and nothing goes up.
//!
//! 1. [`home`]: is the Maildir still the one that was delivered into? What a crash left there
//!    is settled.
//! 2. The maildrop is listed and [sorted](sort) by what the store remembers.
//! 3. What is new is [streamed](fetch) into `tmp/`, a batch made durable, recorded as
//!    *placing*, [given its names](deliver), recorded as pulled. What is only called otherwise
//!    than before is known by its content, and not delivered once more.
//! 4. What may go by the user's word [is deleted](remove): only what was recorded as pulled, and
//!    only while the Maildir is as it was left. QUIT makes it count.

mod alike;
mod deliver;
mod fetch;
mod home;
mod read;
mod remove;
mod shelf;
mod sink;
mod sizes;
mod sort;
mod trouble;
mod verify;

use std::collections::BTreeMap;
use std::sync::Arc;

use self::alike::Alike;
use self::home::Home;
pub(super) use self::home::{PULLS, guest_options};
use self::remove::Removable;
use self::sort::{Entry, Name, Sorted, Terms, Trust};
use self::trouble::Troubles;
use super::progress::Event;
use super::{AccountError, Outside, Report, Settings, Wish, error, record};
use crate::config::{Keep, Maildrop};
use crate::local::Root;
use crate::remote::pop3::{Auth, Header, Listed, Session};
use crate::state::{DropRow, Presence, Store};

/// Sessions of one pull: some servers show a part of the maildrop at a time.
const SESSIONS_MAX: u32 = 200;
/// A session that brings so many, and shows nothing else, may have shown only a part: Gmail shows
/// about 250 at a time.
const PART: std::ops::Range<usize> = 100..1_000;
/// Set where the server's names are not believed.
const DOUBTED: &str = "uidl_doubted";
/// Set while names that changed are not all told from new ones.
const RENAMED: &str = "uidl_renamed";
/// Seconds of a day.
const DAY: i64 = 86_400;

/// Everything that a pull works with.
#[derive(Debug)]
struct Run {
    settings: Settings,
    terms: Maildrop,
    outside: Outside,
    store: Store,
    root: Arc<Root>,
    home: Home,
    /// What was pulled and is not in the listing under its name.
    alike: Alike,
    /// Messages without a name at which the server failed us.
    troubles: Troubles,
    report: Report,
    number: i64,
    dry_run: bool,
    /// The marker was advanced by this pull.
    marked: bool,
    /// All files could be read, where they had to be.
    all_read: bool,
    /// What failed before is let be for the rest of this pull.
    spares: bool,
    /// The server shows a part of the maildrop at a time.
    in_parts: bool,
}

/// What the server said of headers.
struct Headers {
    hashes: BTreeMap<u32, [u8; 32]>,
    /// It gives some: what it does not give now it may give another time.
    offered: bool,
}

/// What became of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Through {
    /// Everything that was listed is dealt with.
    All,
    /// There may be more.
    Part,
    /// Some of it waits for the next pull.
    Enough,
}

/// Pulls what is new, once; or only looks, as it is wished.
///
/// The report is given even where the pull failed, since what was done is done.
pub async fn pull(
    settings: Settings,
    terms: Maildrop,
    outside: Outside,
    wish: &Wish,
    cause: &str,
) -> (Report, Result<(), AccountError>) {
    let mut pull = match Run::open(settings, terms, outside, wish, cause).await {
        Ok(pull) => pull,
        Err(error) => return (Report::default(), Err(error)),
    };
    let result = match wish.verify {
        Some(depth) => pull.verify(depth).await,
        None => pull.sessions().await,
    };
    pull.end(result)
}

impl Run {
    async fn sessions(&mut self) -> Result<(), AccountError> {
        for _ in 0..SESSIONS_MAX {
            self.report.rounds += 1;
            let session = self.connect().await?;
            if self.session(session).await? != Through::Part || self.report.rest.is_some() {
                break;
            }
            if self.outside.is_stopping() {
                break;
            }
        }
        self.report.interrupted = self.outside.is_stopping();
        Ok(())
    }

    async fn connect(&mut self) -> Result<Session, AccountError> {
        self.outside.progress.tell(Event::Connecting);
        let auth = if self.terms.token { Auth::Token } else { Auth::Password };
        // As they are: a server that may not send UTF-8 in headers rewrites them.
        let how = crate::remote::pop3::Settings { auth, utf8: true };
        let endpoint = &self.settings.endpoint;
        Ok(Session::connect_with(endpoint, how, &*self.outside.connector).await?)
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
        ended
    }

    async fn work(
        &mut self,
        session: &mut Session,
    ) -> Result<(Through, Vec<Removable>), AccountError> {
        let mailbox = self.terms.mailbox.clone();
        self.outside.progress.tell(Event::Looking { mailbox: &mailbox, at: 1, of: 1 });
        let listed = session.list().await?;
        let mut sorted = self.sort(session, &listed).await?;
        if self.dry_run {
            self.describe(&sorted);
            return Ok((Through::All, Vec::new()));
        }
        if self.in_parts {
            // What was in the part before did not leave, and no name changed.
            (sorted.renamed, sorted.surely) = (false, false);
        }
        self.note(&sorted)?;
        let surely = self.store.meta(RENAMED)?.is_some();
        self.alike = match self.in_parts {
            true => Alike::of_part(&sorted),
            false => Alike::new(&sorted, surely),
        };
        let (may_be_part, before) = (PART.contains(&sorted.new.len()), self.report.pulled);
        let may_be_part = may_be_part && sorted.known.is_empty();
        let mut new = std::mem::take(&mut sorted.new);
        new.retain(|entry| !self.spares || entry.tried.is_none());
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

    async fn sort(
        &mut self,
        session: &mut Session,
        listed: &[Listed],
    ) -> Result<Sorted, AccountError> {
        if sort::has_twins(listed) {
            self.doubt_names()?;
        }
        self.troubles.retain(listed);
        let doubted = self.store.meta(DOUBTED)?.is_some();
        let trust = if doubted { Trust::Headers } else { Trust::Names };
        let headers = self.headers(session, &sort::unnamed(listed, trust)).await?.hashes;
        let entries = sort::entries(listed, &headers, trust);
        let counts = matches!(self.terms.keep, Keep::Days(_));
        let limit = self.settings.max_message_size;
        let terms = Terms { limit, today: self.today(), counts };
        // Of one and the same state, and without a lock for each question.
        let sorted = self.store.snapshot(|view| {
            let (before, deleting) = (view.drop_listed()?, view.drop_deleting()?);
            let named = |name: &Name| match name {
                Name::Uidl(uidl) => view.drop_rows_called(uidl),
                Name::Header(header) => view.drop_rows_headed(header),
                Name::None => Ok(Vec::new()),
            };
            sort::sort(entries, (&before, &deleting), terms, &named)
        })?;
        Ok(self.without_troubles(sorted))
    }

    /// What has no name and was in vain before comes last, and not too often a day.
    fn without_troubles(&mut self, mut sorted: Sorted) -> Sorted {
        let today = self.today();
        let (troubles, report) = (&self.troubles, &mut self.report);
        sorted.new.retain_mut(|entry| {
            let which = (entry.number, entry.size);
            if entry.name != Name::None || troubles.times(which).is_none() {
                return true;
            }
            if troubles.rests(which, today) {
                report.skip(entry.title(), "asked for too often in vain today");
                return false;
            }
            entry.tried = Some((0, troubles.times(which).unwrap_or_default()));
            true
        });
        sorted.new.sort_by_key(|entry| entry.tried.is_some());
        sorted
    }

    /// Notes that a message without a name was in vain.
    fn note_trouble(&mut self, which: (u32, Option<u64>), least: u32) -> Result<(), AccountError> {
        self.troubles.note(which, least, self.today());
        let text = self.troubles.print();
        Ok(self.store.transaction(|tx| tx.set_meta(trouble::KEY, &text))?)
    }

    /// A name was that of two messages: from here on headers tell them apart.
    fn doubt_names(&mut self) -> Result<(), AccountError> {
        if self.store.meta(DOUBTED)?.is_none() {
            tracing::info!("the server gives a UIDL to several messages: headers tell them apart");
            self.store.transaction(|tx| tx.set_meta(DOUBTED, "1"))?;
        }
        Ok(())
    }

    /// Hashes of the headers of messages, of those that the server gives.
    async fn headers(
        &mut self,
        session: &mut Session,
        numbers: &[u32],
    ) -> Result<Headers, AccountError> {
        let capabilities = session.capabilities();
        let mut headers = Headers { hashes: BTreeMap::new(), offered: capabilities.has("TOP") };
        if capabilities.is_disabled("TOP") {
            return Ok(headers);
        }
        let which = |session: &Session, number: u32| (number, session.size_of(number));
        let asked: Vec<u32> = numbers
            .iter()
            .copied()
            .filter(|number| !self.troubles.is_mute(which(session, *number)))
            .collect();
        let mut answered = 0;
        let mut take = |number: u32, header: Header<'_>| {
            answered += 1;
            match header {
                Ok(header) => {
                    headers.hashes.extend(read::header_of(header).map(|hash| (number, hash)));
                    headers.offered = true;
                }
                // Without it the message is fetched, and known by its content.
                Err(error) => headers.offered |= error.code().is_some(),
            }
        };
        match session.top(&asked, 0, &mut take).await {
            Ok(()) => Ok(headers),
            Err(error) => {
                if let Some(number) = asked.get(answered) {
                    self.note_trouble(which(session, *number), 1)?;
                }
                Err(error.into())
            }
        }
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
                    tx.set_meta(RENAMED, "1")?;
                }
                changed.try_for_each(|row| tx.put_drop_row(row).map(drop))
            })?;
        }
        Ok(())
    }

    /// Everything in the listing is dealt with: what was not in it is gone, or has the name of
    /// something that is.
    fn close_listing(&mut self, sorted: &Sorted) -> Result<(), AccountError> {
        let alike = &self.alike;
        let renamed = sorted.renamed || self.store.meta(RENAMED)?.is_some();
        let left = if renamed { Presence::Renamed } else { Presence::Vanished };
        let gone = sorted.gone.iter().map(|row| (*row, left));
        let deleted = sorted.deleted.iter().map(|row| (*row, Presence::Deleted));
        let all = gone.chain(deleted).filter(|(row, _)| !alike.is_claimed(*row));
        self.store.transaction(|tx| {
            for (row, presence) in all {
                if let Some(row) = tx.drop_row(row)? {
                    tx.put_drop_row(&DropRow { presence, ..row })?;
                }
            }
            tx.delete_meta(RENAMED).map(drop)
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
        self.outside.clock.now().div_euclid(DAY)
    }

    /// Writes down how it ended.
    fn end(mut self, result: Result<(), AccountError>) -> (Report, Result<(), AccountError>) {
        // A backup of the middle of this pull is not what it left.
        let marked = if std::mem::take(&mut self.marked) { self.mark() } else { Ok(()) };
        let result = result.and(marked);
        let outcome = record::outcome(&self.report, &result, false);
        let (number, now) = (self.number, self.outside.clock.now());
        let recorded = self.store.transaction(|tx| tx.end_run(number, now, &outcome));
        super::recover::tidy_up(&self.settings, &self.outside, &self.root);
        (self.report, result.and(recorded.map_err(AccountError::from)))
    }
}

/// How many messages, and how many octets they are said to have.
fn totals(entries: &[Entry]) -> (u64, u64) {
    let sizes = entries.iter().filter_map(|entry| entry.size);
    (entries.len() as u64, sizes.fold(0, u64::saturating_add))
}
