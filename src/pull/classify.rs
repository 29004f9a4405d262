//! What of a listing is known, what is new, and what left. Pure: nothing here asks a server.
//!
//! A message is known by what the server calls it (UIDL). Where that name is missing, or is
//! that of several, or is only its number, it is known by its header and the beginning of its text.
//! Names that do not fit are no more than a doubt, which content decides ([`super::rematch`]).

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use super::read::{KnownTop, Top};
use crate::remote::pop3::Listed;
use crate::state::{MaildropRow, Presence, Pull, StateError};

/// Refusals after which a message is not asked for again.
pub(super) const TRIES: u32 = 3;

/// Fewer departures than this say nothing of the names of all.
const FEW: usize = 3;

/// What a message of the maildrop is known by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Name {
    /// What the server calls it.
    Uidl(Arc<str>),
    /// The hash of its header and the beginning of its text: two messages may have one header
    /// (hazard 112).
    Start(Box<[u8; 32]>),
    /// Nothing: it has to be fetched each time.
    None,
}

impl Name {
    pub(super) fn uidl(&self) -> Option<String> {
        match self {
            Self::Uidl(uidl) => Some(uidl.to_string()),
            _ => None,
        }
    }
}

/// A message of the listing that is to be fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its number in this session.
    pub(super) number: u32,
    pub(super) name: Name,
    /// Its octets as announced.
    pub(super) size: Option<u64>,
    /// Its name says nothing for certain.
    pub(super) doubtful: bool,
    /// Its name was that of another.
    pub(super) taken: bool,
    /// The row of a former attempt, and how many there were.
    pub(super) tried: Option<(i64, u32)>,
    /// How it begins as TOP says, where it was asked for.
    pub(super) start: Option<Box<[u8; 32]>>,
}

impl Entry {
    /// What it is called in a message to a person.
    pub(super) fn title(&self) -> String {
        match &self.name {
            Name::Uidl(uidl) => format!("UIDL {uidl}"),
            _ => format!("message {}", self.number),
        }
    }
}

/// A message that needs not be fetched.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Known {
    /// Its number in this session.
    pub(super) number: u32,
    /// Its row.
    pub(super) row: i64,
    /// It was delivered as it is, so that the server's copy may go.
    pub(super) may_go: bool,
    /// It was not pulled, and stays on the server.
    pub(super) is_left: bool,
    /// On how many days it was seen since.
    pub(super) days: u32,
    /// How it began, where that is what its name does not say.
    pub(super) top: Option<KnownTop>,
    /// The row as it is to be, where the listing says something else.
    pub(super) changed: Option<Box<MaildropRow>>,
}

/// A listing, sorted.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Sorted {
    /// By number.
    pub(super) known: Vec<Known>,
    /// By number.
    pub(super) new: Vec<Entry>,
    /// Rows of the last listing that are not in this one.
    pub(super) gone: Vec<i64>,
    /// Rows that we deleted without an answer, and that are not in this one.
    pub(super) deleted: Vec<i64>,
    /// Nothing new has a name that is known: what vanished may be back.
    pub(super) renamed: bool,
    /// So many left, and as many came, that it is most likely so.
    pub(super) surely: bool,
}

/// How far the names of a server can be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// A name is that of one message.
    Names,
    /// It gave one to several, or to another one later.
    Headers,
}

/// Messages whose header has to be asked for.
pub(super) fn unnamed(listed: &[Listed], trust: Trust) -> Vec<u32> {
    let is_number =
        |one: &Listed| one.uidl.as_ref().is_some_and(|u| **u == *one.number.to_string());
    // It would be given to another message tomorrow.
    let all = trust == Trust::Headers || listed.iter().all(is_number);
    let unnamed = listed.iter().filter(|one| all || one.uidl.is_none());
    unnamed.map(|one| one.number).collect()
}

/// Gives each message its name; `tops` are those of the [unnamed].
pub(super) fn entries<'a>(
    listed: &'a [Listed],
    tops: &'a BTreeMap<u32, Top>,
    trust: Trust,
) -> impl ExactSizeIterator<Item = Entry> + 'a {
    let unnamed: HashSet<u32> = unnamed(listed, trust).into_iter().collect();
    let entry = move |one: &Listed| {
        let doubtful = unnamed.contains(&one.number);
        let told = tops.get(&one.number).map(|top| Box::new(top.start));
        let start = told.clone().map_or(Name::None, Name::Start);
        let uidl = one.uidl.clone().filter(|_| !doubtful);
        let name = uidl.map_or(start, Name::Uidl);
        let (number, size) = (one.number, one.size);
        Entry { number, name, size, doubtful, taken: false, tried: None, start: told }
    };
    listed.iter().map(entry)
}

/// Finds rows by name, the latest first.
pub(super) type Named<'a> = &'a dyn Fn(&Name) -> Result<Vec<MaildropRow>, StateError>;

/// Rows by name, each for one message; of names that several rows have they are asked for once.
struct Book<'a> {
    named: Named<'a>,
    several: HashMap<Name, VecDeque<MaildropRow>>,
    taken: HashSet<i64>,
}

impl Book<'_> {
    /// Whether rows of this name were left.
    fn has_more(&self, name: &Name) -> bool {
        self.several.get(name).is_some_and(|rows| !rows.is_empty())
    }

    /// Takes the row of a message, if there is one, and says whether its name is another's.
    fn take(&mut self, entry: &Entry) -> Result<(Option<MaildropRow>, bool), StateError> {
        if let Some(rows) = self.several.get_mut(&entry.name) {
            let is_taken = !rows.is_empty();
            let row = take_first(rows, entry);
            return Ok((row, is_taken));
        }
        let mut rows = VecDeque::from((self.named)(&entry.name)?);
        rows.retain(|row| !self.taken.contains(&row.id));
        let is_taken = !rows.is_empty();
        let row = take_first(&mut rows, entry);
        self.taken.extend(row.as_ref().map(|row| row.id));
        if !rows.is_empty() {
            self.several.insert(entry.name.clone(), rows);
        }
        Ok((row, is_taken))
    }
}

/// Takes the latest row of a UIDL that may be the message: it was given to another before. Of a
/// beginning it is the earliest, as listings begin with the earliest: so the first that is looked
/// at is the one, however many begin so.
fn take_first(rows: &mut VecDeque<MaildropRow>, entry: &Entry) -> Option<MaildropRow> {
    let fits = |row: &MaildropRow| is_same(entry, row);
    let at = match entry.name {
        Name::Start(_) => rows.iter().rposition(fits),
        _ => rows.iter().position(fits),
    };
    rows.remove(at?)
}

/// By what a listing is sorted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms<'a> {
    /// Above so many octets nothing is fetched.
    pub(super) limit: u64,
    /// Days since 1970.
    pub(super) today: i64,
    /// Days are counted.
    pub(super) counts: bool,
    /// Numbers of messages that are not asked for now, since connections were lost at them.
    pub(super) resting: &'a HashSet<u32>,
}

/// Sorts a listing; `before` are the rows of the last one, `deleting` those that we deleted and
/// had no answer for.
pub(super) fn sort(
    entries: impl ExactSizeIterator<Item = Entry>,
    (before, deleting): (&[i64], &[i64]),
    terms: Terms<'_>,
    named: Named<'_>,
) -> Result<Sorted, StateError> {
    // What was refused too often is asked for once a day: maybe it was not the message's fault.
    let may_be_had = |times: u32, last: i64, entry: &Entry| {
        let is_due = times < TRIES || terms.today != last;
        let rests = terms.resting.contains(&entry.number);
        is_due && !rests && entry.size.is_none_or(|size| size <= terms.limit)
    };
    let mut book = Book { named, several: HashMap::new(), taken: HashSet::new() };
    // Reserved at once, so that growing copies nothing: there may be many.
    let new = Vec::with_capacity(entries.len());
    let mut sorted = Sorted { new, ..Sorted::default() };
    for mut entry in entries {
        let (row, taken) = book.take(&entry)?;
        match row {
            Some(MaildropRow { id, pull: Pull::Left(_, times), last_day, .. })
                if may_be_had(times, last_day, &entry) =>
            {
                entry.tried = Some((id, times));
                let others = book.has_more(&entry.name);
                entry.doubtful |= others;
                entry.taken |= others;
                sorted.new.push(entry);
            }
            // A name that was away and is back may have been given to another message.
            Some(row) if matches!(row.presence, Presence::Listed | Presence::Deleting) => {
                sorted.known.push(Known::new(&entry, row, terms));
            }
            _ if terms.resting.contains(&entry.number) => {}
            _ => {
                entry.doubtful |= taken;
                entry.taken = taken;
                sorted.new.push(entry);
            }
        }
    }
    let known = sorted.known.iter().map(|known| known.row);
    let tried = sorted.new.iter().filter_map(|entry| Some(entry.tried?.0));
    let there: BTreeSet<i64> = known.chain(tried).collect();
    let away = |rows: &[i64]| rows.iter().copied().filter(|row| !there.contains(row)).collect();
    (sorted.gone, sorted.deleted) = (away(before), away(deleting));
    let (left, came) = (sorted.gone.len(), sorted.new.len());
    let most = left * 2 > before.len() && came * 2 >= left;
    sorted.renamed = came > 0 && (sorted.known.is_empty() || most);
    sorted.surely = came > 0 && most && left >= FEW;
    // What failed before comes last, so that it holds up no other.
    sorted.new.sort_by_key(|entry| entry.tried.is_some());
    Ok(sorted)
}

/// Some servers give a name to another message when the first is gone.
fn is_same(entry: &Entry, row: &MaildropRow) -> bool {
    match (entry.size, row.size) {
        (Some(now), Some(then)) => now == then,
        _ => true,
    }
}

impl Known {
    fn new(entry: &Entry, mut row: MaildropRow, terms: Terms<'_>) -> Self {
        let before = (row.presence, row.size, row.days, row.last_day);
        row.presence = Presence::Listed;
        row.size = entry.size.or(row.size);
        if terms.counts && !matches!(row.pull, Pull::Left(..)) {
            // A clock that jumps ahead counts as one day, and back as none.
            row.days = row.days.saturating_add(u32::from(terms.today > row.last_day));
            row.last_day = terms.today;
        }
        let (days, may_go) = (row.days, row.may_go());
        let is_changed = before != (row.presence, row.size, row.days, row.last_day);
        let (number, id) = (entry.number, row.id);
        // What came of a message that was cut off is not how it begins.
        let tells = matches!(entry.name, Name::Uidl(_)) && !row.short;
        let top = KnownTop::of(&row).filter(|_| tells);
        let is_left = matches!(row.pull, Pull::Left(..));
        let changed = is_changed.then(|| Box::new(row));
        Self { number, row: id, may_go, is_left, days, top, changed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(all: &[(Option<&str>, u64)]) -> Vec<Listed> {
        let one = |(number, (uidl, size)): (u32, &(Option<&str>, u64))| Listed {
            number,
            uidl: uidl.map(Into::into),
            size: Some(*size),
        };
        (1..).zip(all).map(one).collect()
    }

    fn row(id: i64, uidl: &str, size: u64, pull: Pull, presence: Presence) -> MaildropRow {
        MaildropRow {
            id,
            uidl: Some(uidl.to_owned()),
            header: None,
            start: None,
            size: Some(size),
            content: None,
            text: None,
            pull,
            days: 0,
            last_day: 7,
            presence,
            short: false,
        }
    }

    fn sorted(all: &[(Option<&str>, u64)], rows: &[MaildropRow], limit: u64, today: i64) -> Sorted {
        let (all, tops) = (listed(all), BTreeMap::new());
        let entries = entries(&all, &tops, Trust::Names);
        let before: Vec<i64> =
            rows.iter().filter(|row| row.presence == Presence::Listed).map(|row| row.id).collect();
        let named = |name: &Name| {
            let uidl = name.uidl();
            Ok(rows
                .iter()
                .rev()
                .filter(|row| uidl.is_some() && row.uidl == uidl)
                .cloned()
                .collect())
        };
        sort(
            entries,
            (&before, &[]),
            Terms { limit, today, counts: true, resting: &HashSet::new() },
            &named,
        )
        .unwrap()
    }

    fn numbers(entries: &[Entry]) -> Vec<u32> {
        entries.iter().map(|entry| entry.number).collect()
    }

    #[test]
    fn what_has_to_be_asked_for_by_its_header() {
        let plain = listed(&[(Some("a"), 1), (None, 1), (Some("3"), 1)]);
        assert_eq!(unnamed(&plain, Trust::Names), [2]);
        assert_eq!(unnamed(&plain, Trust::Headers), [1, 2, 3]);
        assert_eq!(unnamed(&listed(&[(Some("1"), 1), (Some("2"), 1)]), Trust::Names), [1, 2]);
    }

    #[test]
    fn names_tell_what_is_known() {
        let rows = [
            row(1, "a", 1, Pull::Pulled, Presence::Listed),
            row(2, "b", 2, Pull::Pulled, Presence::Listed),
            row(3, "away", 3, Pull::Pulled, Presence::Vanished),
            row(4, "other size", 4, Pull::Pulled, Presence::Listed),
        ];
        let here = [(Some("b"), 2), (Some("new"), 9), (Some("away"), 3), (Some("other size"), 5)];
        let sorted = sorted(&here, &rows, 100, 8);
        let known: Vec<(u32, i64)> = sorted.known.iter().map(|one| (one.number, one.row)).collect();
        assert_eq!((known, numbers(&sorted.new)), (vec![(1, 2)], vec![2, 3, 4]));
        let doubtful: Vec<bool> = sorted.new.iter().map(|entry| entry.doubtful).collect();
        assert_eq!((doubtful, sorted.gone), (vec![false, true, true], vec![1, 4]));
        assert_eq!(sorted.known[0].days, 1);
    }

    #[test]
    fn what_was_left_is_tried_again_and_last() {
        let left = |times| Pull::Left("no".to_owned(), times);
        let rows = [
            row(1, "twice", 1, left(2), Presence::Listed),
            row(2, "often", 1, left(TRIES), Presence::Listed),
            row(3, "large", 900, left(TRIES), Presence::Listed),
        ];
        let here = [(Some("twice"), 1), (Some("often"), 1), (Some("large"), 900), (Some("new"), 1)];
        let same_day = sorted(&here, &rows, 100, 7);
        assert_eq!(numbers(&same_day.new), [4, 1]);
        assert_eq!(same_day.new[1].tried, Some((1, 2)));
        assert_eq!(numbers(&sorted(&here, &rows, 100, 8).new), [4, 1, 2]);
        assert_eq!(numbers(&sorted(&here, &rows, 1_000, 8).new), [4, 1, 2, 3]);
    }
}
