//! Mailboxes and their cursors.

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ValueRef};
use rusqlite::{Row as Columns, params};

use super::error::Result;
use super::row::{from_json, json, keyword_set};
use super::store::{Tx, View};
use crate::reconcile::types::{
    DirStamps, FileStamp, FlagMask, Home, Keyword, KeywordMask, Mailbox, MailboxId, MailboxName,
    MailboxStatus, SpecialUse, System,
};

const SELECT: &str = "
    SELECT id, name, remote, local, base, uid_validity, uid_next, messages, highest_modseq,
        stamps, special_use, mask_system, mask_keywords, keyword_table, restated, problem,
        object_id, local_id, renaming, home
    FROM mailbox";

const INSERT: &str = "
    INSERT INTO mailbox (name, remote, local, base, uid_validity, uid_next, messages,
        highest_modseq, stamps, special_use, mask_system, mask_keywords, keyword_table, restated,
        problem, object_id, local_id, renaming, home)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18,
        ?19)";

const UPDATE: &str = "
    UPDATE mailbox SET name = ?1, remote = ?2, local = ?3, base = ?4, uid_validity = ?5,
        uid_next = ?6, messages = ?7, highest_modseq = ?8, stamps = ?9, special_use = ?10,
        mask_system = ?11, mask_keywords = ?12, keyword_table = ?13, restated = ?14, problem = ?15,
        object_id = ?16, local_id = ?17, renaming = ?18, home = ?19
    WHERE id = ?20";

impl View {
    /// All mailboxes, by name.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn mailboxes(&self) -> Result<Vec<Mailbox>> {
        self.all("read mailboxes", &format!("{SELECT} ORDER BY name"), (), decode)
    }

    /// A mailbox.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn mailbox(&self, id: MailboxId) -> Result<Option<Mailbox>> {
        self.one("read a mailbox", &format!("{SELECT} WHERE id = ?1"), [id.0], decode)
    }

    /// The mailbox of a name; case and normalisation count, except for INBOX.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn mailbox_by_name(&self, name: &MailboxName) -> Result<Option<Mailbox>> {
        let sql = format!("{SELECT} WHERE name = ?1");
        self.one("read a mailbox", &sql, [name.as_str()], decode)
    }
}

impl Tx<'_> {
    /// Stores a mailbox, a new one when its id is 0, and gives its id.
    ///
    /// # Errors
    /// `Missing` when there is none with that id, `Conflict` when another has its name.
    pub fn put_mailbox(&self, mailbox: &Mailbox) -> Result<MailboxId> {
        const DOING: &str = "store a mailbox";
        let sql = if mailbox.id.0 == 0 { INSERT } else { UPDATE };
        let mut statement = self.db.prepare_cached(sql).map_err(self.sql(DOING))?;
        let gate = mailbox.cursor;
        let mask = mailbox.mask.as_ref();
        let (stamps, keywords, table) = encode(mailbox).map_err(self.sql(DOING))?;
        let home = mailbox.home.map(|home| json(&(home.new, home.cur, home.other_disk, home.root)));
        let home = home.transpose().map_err(self.sql(DOING))?;
        let special_use = mailbox.special_use.map(attribute);
        let values = params![
            mailbox.name.as_str(),
            mailbox.remote,
            mailbox.local,
            mailbox.base,
            gate.map(|gate| gate.uid_validity),
            gate.map(|gate| gate.uid_next),
            gate.map(|gate| gate.messages),
            gate.and_then(|gate| gate.highest_modseq).map(u64::cast_signed),
            stamps,
            special_use,
            mask.map(|mask| mask.system.0),
            keywords,
            table,
            mailbox.restated,
            mailbox.problem,
            mailbox.object_id,
            mailbox.local_id,
            mailbox.renaming.as_ref().map(MailboxName::as_str),
            home,
        ];
        if mailbox.id.0 == 0 {
            statement.execute(values).map_err(self.sql(DOING))?;
            return Ok(MailboxId(self.db.last_insert_rowid()));
        }
        let id: &dyn rusqlite::ToSql = &mailbox.id.0;
        let values: Vec<_> = values.iter().copied().chain([id]).collect();
        let rows = statement.execute(values.as_slice()).map_err(self.sql(DOING))?;
        self.touched(DOING, mailbox.id.0, rows)?;
        Ok(mailbox.id)
    }

    /// Forgets a mailbox and every row in it; whether there was one. What left it still counts
    /// for the account, and its id is never given again.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn delete_mailbox(&self, id: MailboxId) -> Result<bool> {
        let sql = "DELETE FROM mailbox WHERE id = ?1";
        Ok(self.execute("forget a mailbox", sql, [id.0])? > 0)
    }
}

/// What has no columns of its own: stamps, keywords of the mask, the keyword table.
fn encode(mailbox: &Mailbox) -> rusqlite::Result<(Option<String>, Option<String>, String)> {
    let three = |stamp: &FileStamp| (stamp.ino, stamp.size, stamp.mtime_ns);
    let stamps = mailbox.stamps.as_ref().map(|s| json(&[three(&s.new), three(&s.cur)]));
    let keywords = match mailbox.mask.as_ref().map(|mask| &mask.keywords) {
        None | Some(KeywordMask::Any) => None,
        Some(KeywordMask::Only(set)) => {
            Some(json(&set.iter().map(Keyword::as_str).collect::<Vec<_>>())?)
        }
    };
    let table: Vec<_> =
        mailbox.keyword_table.iter().map(|slot| slot.as_ref().map(Keyword::as_str)).collect();
    Ok((stamps.transpose()?, keywords, json(&table)?))
}

fn decode(row: &Columns<'_>) -> rusqlite::Result<Mailbox> {
    let uid_validity: Option<u32> = row.get(5)?;
    let cursor = match uid_validity {
        None => None,
        Some(uid_validity) => Some(MailboxStatus {
            uid_validity,
            uid_next: row.get(6)?,
            messages: row.get(7)?,
            highest_modseq: row.get::<_, Option<i64>>(8)?.map(i64::cast_unsigned),
        }),
    };
    let system: Option<u8> = row.get(11)?;
    let mask = match system {
        None => None,
        Some(bits) => {
            let keywords = match row.get::<_, Option<Json<Vec<String>>>>(12)? {
                None => KeywordMask::Any,
                Some(Json(words)) => KeywordMask::Only(keyword_set(&words)),
            };
            Some(FlagMask { system: System(bits), keywords })
        }
    };
    let stamps: Option<Json<[(u64, u64, i64); 2]>> = row.get(9)?;
    let stamps = stamps.map(|Json(two)| {
        let [new, cur] = two.map(|(ino, size, mtime_ns)| FileStamp { ino, size, mtime_ns });
        DirStamps { new, cur }
    });
    let home: Option<Json<(u64, u64, bool, u64)>> = row.get(19)?;
    let Json(table): Json<Vec<Option<String>>> = row.get(13)?;
    Ok(Mailbox {
        id: MailboxId(row.get(0)?),
        name: MailboxName::new(row.get_ref(1)?.as_str()?),
        remote: row.get(2)?,
        local: row.get(3)?,
        base: row.get(4)?,
        cursor,
        stamps,
        home: home.map(|Json((new, cur, other_disk, root))| Home { new, cur, other_disk, root }),
        special_use: row.get::<_, Option<Attribute>>(10)?.map(|Attribute(use_)| use_),
        mask,
        keyword_table: table.into_iter().map(|slot| slot.map(|w| Keyword::new(&w))).collect(),
        restated: row.get(14)?,
        problem: row.get(15)?,
        object_id: row.get(16)?,
        local_id: row.get(17)?,
        renaming: row.get::<_, Option<String>>(18)?.map(|name| MailboxName::new(&name)),
    })
}

fn attribute(special_use: SpecialUse) -> &'static str {
    let entry = SpecialUse::TABLE.iter().find(|(known, _)| *known == special_use);
    entry.map_or("", |(_, attribute)| attribute)
}

/// A special use by its attribute.
struct Attribute(SpecialUse);

impl FromSql for Attribute {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        SpecialUse::from_imap(value.as_str()?).map(Self).ok_or(FromSqlError::InvalidType)
    }
}

/// A column that holds JSON.
struct Json<T>(T);

impl<T: serde::de::DeserializeOwned> FromSql for Json<T> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        from_json(value.as_str()?).map(Self)
    }
}
