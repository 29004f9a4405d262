//! Things at which connections were lost, from run to run.

use super::error::Result;
use super::store::{Tx, View};

/// A thing at which a connection was lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuspectRow {
    /// The command.
    pub command: String,
    /// The mailbox; empty where it concerns the account.
    pub mailbox: String,
    /// UIDVALIDITY of the UIDs; 0 where there are none.
    pub uid_validity: u32,
    /// UIDs as a sequence set; empty where it concerns the whole mailbox.
    pub uids: String,
    /// The message of a maildrop; empty in IMAP, and where it concerns the whole maildrop.
    pub message: String,
    /// How often.
    pub losses: u32,
    /// When it is asked for again, in seconds since 1970.
    pub next: i64,
    /// From which run on, where a person asks for it.
    pub next_run: i64,
    /// What happened.
    pub words: String,
    /// The subject of the message, where it is known.
    pub title: Option<String>,
}

impl View {
    /// All of them, in the order in which they were noted.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn suspects(&self) -> Result<Vec<SuspectRow>> {
        const SQL: &str = "
            SELECT command, mailbox, uid_validity, uids, losses, next, next_run, words, title,
                message
            FROM suspect ORDER BY id";
        self.all("read what connections were lost at", SQL, (), |row| {
            Ok(SuspectRow {
                command: row.get(0)?,
                mailbox: row.get(1)?,
                uid_validity: row.get(2)?,
                uids: row.get(3)?,
                losses: row.get(4)?,
                next: row.get(5)?,
                next_run: row.get(6)?,
                words: row.get(7)?,
                title: row.get(8)?,
                message: row.get(9)?,
            })
        })
    }
}

/// A row that one side lost while a mailbox could not be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// Which.
    pub row: i64,
    /// The run that saw it first.
    pub run: i64,
    /// When that was, in seconds since 1970.
    pub at: i64,
}

impl View {
    /// All of them, by row.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn waiting(&self) -> Result<Vec<Waiting>> {
        const SQL: &str = "SELECT row, run, at FROM waiting ORDER BY row";
        self.all("read what waits", SQL, (), |row| {
            Ok(Waiting { row: row.get(0)?, run: row.get(1)?, at: row.get(2)? })
        })
    }
}

impl Tx<'_> {
    /// Replaces all of them.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn set_waiting(&self, waiting: &[Waiting]) -> Result<()> {
        const DOING: &str = "note what waits";
        const SQL: &str = "INSERT INTO waiting (row, run, at) VALUES (?1, ?2, ?3)";
        self.execute(DOING, "DELETE FROM waiting", ())?;
        for one in waiting {
            self.execute(DOING, SQL, (one.row, one.run, one.at))?;
        }
        Ok(())
    }

    /// Replaces all of them.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn set_suspects(&self, suspects: &[SuspectRow]) -> Result<()> {
        const DOING: &str = "note what connections were lost at";
        const SQL: &str = "
            INSERT INTO suspect
                (command, mailbox, uid_validity, uids, losses, next, next_run, words, title, message)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
        self.execute(DOING, "DELETE FROM suspect", ())?;
        for s in suspects {
            let values = rusqlite::params![
                s.command,
                s.mailbox,
                s.uid_validity,
                s.uids,
                s.losses,
                s.next,
                s.next_run,
                s.words,
                s.title,
                s.message
            ];
            self.execute(DOING, SQL, values)?;
        }
        Ok(())
    }
}
