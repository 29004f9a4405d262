//! Bodies that the server kept back, asked for once more in ever smaller sets.
//!
//! One that is refused alone was refused for its own sake if a neighbour is given after it.
//! A server that refuses one message after the other may refuse all of them: then a message is
//! asked for that it gave before, and if it refuses that one, too, nothing is wrong with any of
//! them and no more are asked for over this connection (hazard 122): a fresh one tells whether it
//! was broken by one of them (hazard 90).

use std::collections::{BTreeMap, VecDeque};
use std::io;

use super::take::{Barren, Fetched, Pulled, Tools, stay};
use crate::reconcile::types::{Row, RowId, Uid};
use crate::remote::RemoteError;
use crate::remote::imap::{BodySink, Session, UidSet};

/// Refusals one after the other after which a message is asked for that was given before; then
/// twice as many, and so on.
const IN_A_ROW: usize = 3;

/// A message that was refused, alone.
#[derive(Debug)]
struct Refusal {
    row: RowId,
    words: String,
    /// It is for its own sake, whatever becomes of its neighbours.
    is_certain: bool,
}

/// Result of asking for one message alone.
enum Alone {
    /// It was given, or is gone.
    Done,
    /// It was kept back.
    Refused(Refusal),
}

/// Asks again for what was kept back.
pub(super) struct Apart<'a> {
    pub(super) fetched: &'a mut Fetched,
    pub(super) session: &'a mut Session,
    pub(super) tools: &'a Tools,
    /// Bodies that came and were not as long as announced.
    pub(super) untrue: &'a [Pulled],
    pub(super) witness: Option<Uid>,
    pub(super) is_wary: bool,
    /// What was refused first since a body was given last, and the words of that.
    pub(super) since: (UidSet, String),
}

type Rows<'r> = BTreeMap<Uid, &'r Row>;

impl Apart<'_> {
    /// Asks for the halves of `rows`, and for halves of what is kept back of those.
    ///
    /// # Errors
    /// Only what ends the session.
    pub(super) async fn fetch(&mut self, rows: Rows<'_>) -> Result<(), RemoteError> {
        let result = self.fetch_parts(rows).await;
        let of_one = |error: &RemoteError| {
            use RemoteError::{Framing, Limit};
            matches!(error, Framing { uid: Some(_), .. } | Limit { uid: Some(_), .. })
        };
        // What was refused last may have broken the session, rather than what came after it.
        if result.as_ref().is_err_and(|error| !of_one(error)) && !self.since.0.is_empty() {
            self.session.blame(std::mem::take(&mut self.since.0));
        }
        result
    }

    async fn fetch_parts(&mut self, rows: Rows<'_>) -> Result<(), RemoteError> {
        let mut queue = VecDeque::new();
        split(rows, &mut queue);
        let (mut refused, mut enough): (Vec<Refusal>, _) = (Vec::new(), IN_A_ROW);
        let is_wary = self.is_wary && !self.since.0.is_empty();
        if is_wary && !self.gives_anything(&queue).await? {
            self.is_barren();
            return Ok(());
        }
        while let Some(rows) = queue.pop_front().filter(|_| self.fetched.trouble.is_none()) {
            // The last one may have come as a witness.
            let rows = self.fetched.left(&rows);
            let before = self.fetched.done.len();
            if rows.len() > 1 {
                let taken = self.fetched.take(self.session, self.tools, &rows).await;
                self.note(&rows, &taken, before);
                taken.or_else(stay)?;
                rows.values().for_each(|row| self.compare_twice(row));
                split(self.fetched.left(&rows), &mut queue);
            } else if let Some((uid, row)) = rows.first_key_value() {
                if let Alone::Refused(refusal) = self.fetch_alone(*uid, row).await? {
                    refused.push(refusal);
                }
                self.compare_twice(row);
            }
            if self.fetched.done.len() > before {
                self.keep(std::mem::take(&mut refused));
            } else if refused.len() >= enough {
                if !self.gives_anything(&queue).await? {
                    self.is_barren();
                    return Ok(());
                }
                self.keep(std::mem::take(&mut refused));
                enough = enough.saturating_mul(2);
            }
        }
        self.end(refused).await
    }

    /// Notes what was refused, and that something was given.
    fn note(&mut self, rows: &Rows<'_>, taken: &Result<(), RemoteError>, before: usize) {
        if self.fetched.done.len() > before {
            self.since.0 = UidSet::new();
        }
        if let Err(error) = taken
            && error.is_refusal()
            && self.since.0.is_empty()
        {
            let left = self.fetched.left(rows);
            self.since = (left.keys().copied().collect(), error.to_string());
        }
    }

    /// The session gives nothing more.
    fn is_barren(&mut self) {
        let (refused, words) = std::mem::take(&mut self.since);
        self.fetched.barren = Some(Barren { refused, words, left: Vec::new() });
    }

    /// Nothing is left to be asked for: what the last refusals mean.
    async fn end(&mut self, refused: Vec<Refusal>) -> Result<(), RemoteError> {
        let mut is_given = !self.fetched.done.is_empty();
        if !refused.is_empty() && !is_given && self.witness.is_some() {
            is_given = self.gives_anything(&VecDeque::new()).await?;
            if !is_given {
                self.is_barren();
                return Ok(());
            }
        }
        let (certain, open): (Vec<_>, Vec<_>) =
            refused.into_iter().partition(|refusal| is_given || refusal.is_certain);
        if !open.is_empty() {
            self.is_barren();
        }
        self.keep(certain);
        Ok(())
    }

    fn keep(&mut self, refused: Vec<Refusal>) {
        refused.into_iter().for_each(|Refusal { row, words, .. }| self.fetched.keep(row, words, 1));
    }

    fn compare_twice(&mut self, row: &Row) {
        let before = self.untrue.iter().find(|pulled| pulled.row.id == row.id);
        self.fetched.compare_twice(self.tools, before, row);
    }

    async fn fetch_alone(&mut self, uid: Uid, row: &Row) -> Result<Alone, RemoteError> {
        let before = self.fetched.done.len();
        let rows = BTreeMap::from([(uid, row)]);
        let result = self.fetched.take(self.session, self.tools, &rows).await;
        self.note(&rows, &result, before);
        if self.fetched.done.len() > before || self.fetched.trouble.is_some() {
            return Ok(Alone::Done);
        }
        let (words, is_certain) = match result {
            Err(error) if error.ends_session() => return Err(error),
            // The server may have trouble of its own, unless this was in vain in a run before.
            Err(error) => {
                let is_for_now = error.is_for_now();
                (error.to_string(), !is_for_now || row.set_aside.is_some())
            }
            Ok(()) => {
                // An OK without a body: expunged meanwhile, or one that the server cannot give.
                if !self.session.search_all().await?.0.contains(uid) {
                    return Ok(Alone::Done);
                }
                ("the server replied OK without a body".to_owned(), true)
            }
        };
        Ok(Alone::Refused(Refusal { row: row.id, words, is_certain }))
    }

    /// Asks for a body that the server gave before: the smallest that came just now, else one of
    /// an earlier run. Without any, for the last message of each set that is still to be asked for.
    async fn gives_anything(&mut self, queue: &VecDeque<Rows<'_>>) -> Result<bool, RemoteError> {
        let smallest = self.fetched.done.iter().min_by_key(|pulled| pulled.octets);
        let uid = smallest.and_then(|pulled| Some(pulled.row.remote.as_ref()?.uid));
        if let Some(uid) = uid.or(self.witness) {
            return gives(self.session, uid, self.tools).await;
        }
        for (uid, row) in queue.iter().rev().filter_map(Rows::last_key_value) {
            let rows = Rows::from([(*uid, *row)]);
            self.fetched.take(self.session, self.tools, &rows).await.or_else(stay)?;
            if !self.fetched.done.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Whether the server gives this body of the selected mailbox.
pub(super) async fn gives(
    session: &mut Session,
    uid: Uid,
    tools: &Tools,
) -> Result<bool, RemoteError> {
    let (set, mut given) = (UidSet::from_range(uid, uid), Given(false));
    session.fetch_bodies(&set, tools.limit, &mut given).await.or_else(stay)?;
    Ok(given.0)
}

/// Queues what is left of a set, in front: by halves.
fn split<'r>(mut rows: Rows<'r>, queue: &mut VecDeque<Rows<'r>>) {
    if let Some(middle) = rows.keys().nth(rows.len() / 2).copied() {
        queue.push_front(rows.split_off(&middle));
        queue.push_front(rows);
        queue.retain(|rows| !rows.is_empty());
    }
}

/// Whether a body came.
struct Given(bool);

impl BodySink for Given {
    fn begin(&mut self, _: Option<Uid>, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn chunk(&mut self, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn end(&mut self, _: Uid) -> io::Result<()> {
        self.0 = true;
        Ok(())
    }
}
