//! A row to columns and back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, Value, ValueRef};
use rusqlite::{CachedStatement, Row as Columns};

use super::error::Result;
use super::store::View;
use crate::reconcile::types::{
    Base, ContentId, FileStamp, Flags, HeaderKeys, Journal, Keyword, Local, MailboxId, MailboxName,
    Place, Remote, Row, RowId, ServerFacts, SetAside, SetAsideKind, Stem, System, Uid,
};

/// The columns of a row in the order in which [`bind`] writes and [`decode`] reads them;
/// `settled` follows on a write, `id` comes before them on a read.
pub(super) const COLUMNS: [&str; 30] = [
    "mailbox",
    "stem",
    "in_new",
    "info",
    "local_system",
    "local_keywords",
    "ino",
    "file_size",
    "mtime_ns",
    "uid",
    "remote_system",
    "remote_keywords",
    "confirmed",
    "base_system",
    "base_keywords",
    "content",
    "header",
    "size",
    "date",
    "object_id",
    "weak",
    "restated",
    "refused_keywords",
    "journal",
    "journal_stem",
    "journal_data",
    "aside",
    "aside_words",
    "aside_times",
    "letters",
];

/// Kinds that the schema knows by their number: `class` and the index of what is set aside.
const PUSHED: u8 = 3;
/// The number of [`Journal::Moving`]; 4 is how older versions wrote it.
const MOVING: u8 = 8;
const REMOVE: u8 = 2;
const KEPT: u8 = 5;

/// What a SELECT of whole rows begins with.
pub(super) static SELECT: LazyLock<String> =
    LazyLock::new(|| format!("SELECT id, {} FROM message", COLUMNS.join(", ")));

impl View {
    /// Rows of an answer to a question that begins with [`SELECT`].
    pub(super) fn rows(&self, tail: &str, params: impl rusqlite::Params) -> Result<Vec<Row>> {
        self.all("read messages", &format!("{} {tail}", *SELECT), params, decode)
    }
}

/// Keywords as a JSON array, NULL when there is none: most messages have none.
pub(super) struct Keywords<'k>(pub(super) &'k BTreeSet<Keyword>);

impl ToSql for Keywords<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        if self.0.is_empty() {
            return Ok(ToSqlOutput::Owned(Value::Null));
        }
        json(&self.0.iter().map(Keyword::as_str).collect::<Vec<_>>()).map(ToSqlOutput::from)
    }
}

/// The same on the way back.
pub(super) struct KeywordSet(pub(super) BTreeSet<Keyword>);

impl FromSql for KeywordSet {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let Some(text) = value.as_str_or_null()? else { return Ok(Self(BTreeSet::new())) };
        from_json(text).map(|words: Vec<String>| Self(keyword_set(&words)))
    }
}

pub(super) fn keyword_set(words: &[String]) -> BTreeSet<Keyword> {
    words.iter().map(|word| Keyword::new(word)).collect()
}

/// Letters and their keywords as a JSON object, NULL when there is none.
struct Letters<'l>(&'l BTreeMap<char, Keyword>);

impl ToSql for Letters<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        if self.0.is_empty() {
            return Ok(ToSqlOutput::Owned(Value::Null));
        }
        let letters = self.0.iter().map(|(letter, keyword)| (*letter, keyword.as_str()));
        json(&letters.collect::<BTreeMap<_, _>>()).map(ToSqlOutput::from)
    }
}

/// The same on the way back.
struct LetterMap(BTreeMap<char, Keyword>);

impl FromSql for LetterMap {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let Some(text) = value.as_str_or_null()? else { return Ok(Self(BTreeMap::new())) };
        let letters: BTreeMap<char, String> = from_json(text)?;
        Ok(Self(letters.into_iter().map(|(l, word)| (l, Keyword::new(&word))).collect()))
    }
}

/// A value of ours as JSON.
pub(super) fn json(value: &impl serde::Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(value)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

/// And back.
pub(super) fn from_json<T: serde::de::DeserializeOwned>(text: &str) -> FromSqlResult<T> {
    serde_json::from_str(text).map_err(FromSqlError::other)
}

/// A column that holds what nothing of ours ever wrote there.
fn nonsense(column: usize, what: &str) -> rusqlite::Error {
    let kind = rusqlite::types::Type::Null;
    rusqlite::Error::FromSqlConversionFailure(column, kind, what.to_owned().into())
}

/// Writes parameters one after another.
struct Binder<'s, 'c> {
    statement: &'s mut CachedStatement<'c>,
    at: usize,
}

impl Binder<'_, '_> {
    fn put(&mut self, value: impl ToSql) -> rusqlite::Result<()> {
        self.statement.raw_bind_parameter(self.at, value)?;
        self.at += 1;
        Ok(())
    }

    /// NULL in the columns of a group that is absent (a statement keeps its old parameters).
    fn skip(&mut self, columns: usize) -> rusqlite::Result<()> {
        (0..columns).try_for_each(|_| self.put(None::<i64>))
    }

    fn flags(&mut self, flags: &Flags) -> rusqlite::Result<()> {
        self.put(flags.system.0)?;
        self.put(Keywords(&flags.keywords))
    }
}

/// Binds all columns and `settled`; the place of the next parameter is returned.
pub(super) fn bind(
    statement: &mut CachedStatement<'_>,
    row: &Row,
    settled: bool,
) -> rusqlite::Result<usize> {
    let mut to = Binder { statement, at: 1 };
    to.put(row.mailbox.0)?;
    match &row.local {
        None => to.skip(8)?,
        Some(local) => {
            to.put(local.stem.0.as_slice())?;
            to.put(local.in_new)?;
            to.put(local.info.as_str())?;
            to.flags(&local.flags)?;
            to.put(local.stamp.ino.cast_signed())?;
            to.put(local.stamp.size.cast_signed())?;
            to.put(local.stamp.mtime_ns)?;
        }
    }
    match &row.remote {
        None => to.skip(4)?,
        Some(remote) => {
            to.put(remote.uid.0)?;
            to.flags(&remote.flags)?;
            to.put(remote.confirmed)?;
        }
    }
    match &row.base {
        None => to.skip(2)?,
        Some(base) => to.flags(&base.flags)?,
    }
    to.put(row.content.as_ref().map(|content| content.0))?;
    to.put(row.header.as_ref().map(header_bytes))?;
    match &row.words {
        None => to.skip(3)?,
        Some(words) => {
            to.put(words.size.cast_signed())?;
            to.put(words.date)?;
            to.put(words.object_id.as_deref())?;
        }
    }
    to.put(row.weak)?;
    to.put(row.restated)?;
    to.put(Keywords(&row.refused_keywords))?;
    bind_journal(&mut to, &row.journal)?;
    match &row.set_aside {
        None => to.skip(3)?,
        Some(aside) => {
            to.put(aside_number(aside.kind))?;
            to.put(aside.words.as_str())?;
            to.put(aside.times)?;
        }
    }
    to.put(Letters(&row.letters))?;
    to.put(settled)?;
    Ok(to.at)
}

/// A journal entry: its kind, the stem if it has one, and the rest as a JSON array.
fn bind_journal(to: &mut Binder<'_, '_>, journal: &Journal) -> rusqlite::Result<()> {
    let (kind, stem, data) = match journal {
        Journal::Idle => (0, None, None),
        Journal::Placing { stem, in_new, info } => (1, Some(stem), Some(json(&(in_new, info))?)),
        Journal::Pushing { uid_validity, uid_next, attempts, sent, run } => {
            (2, None, Some(json(&(uid_validity, uid_next, attempts, sent, run))?))
        }
        Journal::Pushed { uid_validity, uid_next, twins } => {
            (PUSHED, None, Some(json(&(uid_validity, uid_next, twins))?))
        }
        Journal::Moving { from, leaves, keywords } => {
            let words: Vec<_> = keywords.iter().map(Keyword::as_str).collect();
            (MOVING, None, Some(json(&(from.0, words, leaves))?))
        }
        Journal::Moved { copy } => {
            let place = |p: &Place| json(&(p.mailbox.as_str(), p.uid_validity, p.uid.0));
            (5, None, copy.as_ref().map(place).transpose()?)
        }
        Journal::Replaced { by } => (7, None, Some(json(&by.0)?)),
        Journal::Trashing { to, uid_validity, uid_next } => {
            (6, None, Some(json(&(to.as_str(), uid_validity, uid_next))?))
        }
    };
    to.put(kind)?;
    to.put(stem.map(|stem| stem.0.as_slice()))?;
    to.put(data)
}

/// Reads columns one after another.
struct Fields<'r, 'c> {
    columns: &'r Columns<'c>,
    at: usize,
}

impl Fields<'_, '_> {
    fn take<T: FromSql>(&mut self) -> rusqlite::Result<T> {
        let value = self.columns.get(self.at);
        self.at += 1;
        value
    }

    fn number(&mut self) -> rusqlite::Result<u64> {
        self.take().map(i64::cast_unsigned)
    }

    /// Flags, if there are any to be had.
    fn flags(&mut self) -> rusqlite::Result<Option<Flags>> {
        let system: Option<u8> = self.take()?;
        let KeywordSet(keywords) = self.take()?;
        Ok(system.map(|bits| Flags { system: System(bits), keywords }))
    }

    fn present_flags(&mut self) -> rusqlite::Result<Flags> {
        self.flags()?.ok_or_else(|| nonsense(self.at, "no flags"))
    }
}

/// Reads a row from an answer to [`SELECT`].
pub(super) fn decode(columns: &Columns<'_>) -> rusqlite::Result<Row> {
    let mut from = Fields { columns, at: 0 };
    Ok(Row {
        id: RowId(from.take()?),
        mailbox: MailboxId(from.take()?),
        local: local(&mut from)?,
        remote: remote(&mut from)?,
        base: from.flags()?.map(|flags| Base { flags }),
        content: from.take::<Option<[u8; 32]>>()?.map(ContentId),
        header: from.take::<Option<[u8; 33]>>()?.map(header_keys),
        words: words(&mut from)?,
        weak: from.take()?,
        restated: from.take()?,
        refused_keywords: from.take::<KeywordSet>()?.0,
        journal: journal(&mut from)?,
        set_aside: set_aside(&mut from)?,
        letters: from.take::<LetterMap>()?.0,
    })
}

fn local(from: &mut Fields<'_, '_>) -> rusqlite::Result<Option<Local>> {
    let Some(stem) = from.take()? else {
        from.at += 7;
        return Ok(None);
    };
    Ok(Some(Local {
        stem: Stem(stem),
        in_new: from.take()?,
        info: from.take()?,
        flags: from.present_flags()?,
        stamp: FileStamp { ino: from.number()?, size: from.number()?, mtime_ns: from.take()? },
    }))
}

fn remote(from: &mut Fields<'_, '_>) -> rusqlite::Result<Option<Remote>> {
    let Some(uid) = from.take()? else {
        from.at += 3;
        return Ok(None);
    };
    let (flags, confirmed) = (from.present_flags()?, from.take()?);
    Ok(Some(Remote { uid: Uid(uid), flags, confirmed }))
}

fn words(from: &mut Fields<'_, '_>) -> rusqlite::Result<Option<ServerFacts>> {
    let Some(size) = from.take::<Option<i64>>()? else {
        from.at += 2;
        return Ok(None);
    };
    let size = size.cast_unsigned();
    Ok(Some(ServerFacts { size, date: from.take()?, object_id: from.take()? }))
}

fn journal(from: &mut Fields<'_, '_>) -> rusqlite::Result<Journal> {
    let at = from.at;
    let kind: u8 = from.take()?;
    let stem = from.take::<Option<Vec<u8>>>()?.map(Stem);
    let data: Option<String> = from.take()?;
    let data = data.as_deref().unwrap_or("null");
    let bad = |_| nonsense(at, "a journal entry that cannot be read");
    let stem = stem.ok_or_else(|| nonsense(at, "a journal entry without a stem"));
    Ok(match kind {
        0 => Journal::Idle,
        1 => {
            let (in_new, info) = from_json(data).map_err(bad)?;
            Journal::Placing { stem: stem?, in_new, info }
        }
        2 => {
            let (uid_validity, uid_next, attempts, sent, run) = from_json(data).map_err(bad)?;
            Journal::Pushing { uid_validity, uid_next, attempts, sent, run }
        }
        PUSHED => {
            let (uid_validity, uid_next, twins) = from_json(data).map_err(bad)?;
            Journal::Pushed { uid_validity, uid_next, twins }
        }
        4 => {
            // As versions wrote it that did not say whether the file left.
            let (from, words): (i64, Vec<String>) = from_json(data).map_err(bad)?;
            Journal::Moving { from: RowId(from), leaves: false, keywords: keyword_set(&words) }
        }
        MOVING => {
            let (from, words, leaves): (i64, Vec<String>, bool) = from_json(data).map_err(bad)?;
            Journal::Moving { from: RowId(from), leaves, keywords: keyword_set(&words) }
        }
        5 => {
            // Versions that did not say where the copy is wrote nothing.
            let place: Option<(String, u32, u32)> = from_json(data).map_err(bad)?;
            let copy = place.map(|(mailbox, uid_validity, uid)| Place {
                mailbox: MailboxName::new(&mailbox),
                uid_validity,
                uid: Uid(uid),
            });
            Journal::Moved { copy }
        }
        6 => {
            let (to, uid_validity, uid_next): (String, _, _) = from_json(data).map_err(bad)?;
            Journal::Trashing { to: MailboxName::new(&to), uid_validity, uid_next }
        }
        7 => Journal::Replaced { by: RowId(from_json(data).map_err(bad)?) },
        _ => return Err(nonsense(at, "a journal entry of an unknown kind")),
    })
}

fn set_aside(from: &mut Fields<'_, '_>) -> rusqlite::Result<Option<SetAside>> {
    let Some(number) = from.take::<Option<u8>>()? else {
        from.at += 2;
        return Ok(None);
    };
    let kind = aside_kind(number).ok_or_else(|| nonsense(from.at, "set aside for no reason"))?;
    Ok(Some(SetAside { kind, words: from.take()?, times: from.take()? }))
}

fn aside_number(kind: SetAsideKind) -> u8 {
    match kind {
        SetAsideKind::Push => 0,
        SetAsideKind::Fetch => 1,
        SetAsideKind::Remove => REMOVE,
        SetAsideKind::Read => 3,
        SetAsideKind::Undecided => 4,
        SetAsideKind::Kept => KEPT,
    }
}

fn aside_kind(number: u8) -> Option<SetAsideKind> {
    use SetAsideKind as Kind;
    let kinds = [Kind::Push, Kind::Fetch, Kind::Remove, Kind::Read, Kind::Undecided, Kind::Kept];
    kinds.into_iter().find(|kind| aside_number(*kind) == number)
}

fn header_bytes(keys: &HeaderKeys) -> [u8; 33] {
    let mut bytes = [0; 33];
    bytes[..16].copy_from_slice(&keys.hash);
    bytes[16..32].copy_from_slice(&keys.loose);
    bytes[32] = u8::from(keys.has_message_id);
    bytes
}

fn header_keys(bytes: [u8; 33]) -> HeaderKeys {
    let (mut hash, mut loose) = ([0; 16], [0; 16]);
    hash.copy_from_slice(&bytes[..16]);
    loose.copy_from_slice(&bytes[16..32]);
    HeaderKeys { hash, loose, has_message_id: bytes[32] != 0 }
}
