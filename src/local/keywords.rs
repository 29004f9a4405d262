//! The keyword table of a mailbox (`dovecot-keywords`): which letter means which keyword.
//!
//! Lines `N name`, N = 0 for the letter `a` to 25 for `z`. The table is shared with other
//! programs: entries are only ever added, under the lock file that Dovecot uses, and what we
//! do not understand stays in it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::reconcile::types::{Flags, Keyword, KeywordMask, MailboxName, Stem, System};

use super::error::{At, LocalError, Scope, if_there};
use super::name::keyword_letters;
use super::reserved::KEYWORDS_FILE;
use super::root::Root;

const LOCK: &str = "dovecot-keywords.lock";
/// Letters a to z.
const LETTERS: usize = 26;
/// A table that is larger than this is not one (octets).
const TABLE_MAX: u64 = 1 << 20;
/// A lock file older than this belongs to a process that died (seconds, as Dovecot has it).
const LOCK_STALE_S: i64 = 120;
/// A program that lives holds the lock for less than this (seconds).
const LOCK_HELD_S: i64 = 2;

/// The letters of one mailbox.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeywordTable {
    /// Position n is the letter `a` + n; at most 26.
    slots: Vec<Option<Keyword>>,
    /// Lines beyond the 26 letters or not understood, kept when the file is written.
    foreign: Vec<Vec<u8>>,
}

/// What letters for new keywords are chosen by.
pub struct Choice<'a> {
    /// The letter (0 = `a`) that a keyword has elsewhere in the account.
    pub hint: &'a dyn Fn(&Keyword) -> Option<u8>,
    /// Keywords of the files whose names are about to get the letters of this mailbox.
    pub relabelled: BTreeMap<Stem, BTreeSet<Keyword>>,
}

/// Letters in the names of files, each with the keywords that all files with it are to bear
/// anyway: only those can be given the letter and change the meaning of no name.
type Borne = BTreeMap<usize, BTreeSet<Keyword>>;

impl KeywordTable {
    /// A table from its stored form; positions beyond `z` are dropped.
    #[must_use]
    pub fn from_slots(mut slots: Vec<Option<Keyword>>) -> Self {
        slots.truncate(LETTERS);
        Self { slots, foreign: Vec::new() }
    }

    /// Position n is the letter `a` + n.
    #[must_use]
    pub fn slots(&self) -> &[Option<Keyword>] {
        &self.slots
    }

    /// The letters of the keywords of `flags`, and the keywords that have none here.
    ///
    /// `$Forwarded` is the flag P; where the table gives it a letter as well, it gets both.
    #[must_use]
    pub fn letters_for(&self, flags: &Flags) -> (String, BTreeSet<Keyword>) {
        let mut letters = BTreeSet::new();
        let mut without = BTreeSet::new();
        for keyword in &flags.keywords {
            match self.letter(keyword) {
                Some(letter) => {
                    letters.insert(letter);
                }
                None => {
                    without.insert(keyword.clone());
                }
            }
        }
        if flags.system.contains(System::PASSED) {
            letters.extend(self.letter(&Keyword::new("$Forwarded")));
        }
        (letters.into_iter().collect(), without)
    }

    /// The flags of an info part, and its keyword letters that mean nothing here.
    #[must_use]
    pub fn flags_of(&self, info: &str) -> (Flags, String) {
        let mut flags = Flags::system(super::name::system_flags(info));
        let mut unknown = String::new();
        for letter in keyword_letters(info) {
            let at = usize::from(letter as u8 - b'a');
            match self.slots.get(at).and_then(Option::as_ref) {
                // `$Forwarded` is one flag, whichever letter says so.
                Some(keyword) => flags.insert_imap(keyword.as_str()),
                None => unknown.push(letter),
            }
        }
        (flags, unknown)
    }

    /// What names in this mailbox can hold: anything while a letter is free.
    #[must_use]
    pub fn mask(&self) -> KeywordMask {
        let set: BTreeSet<Keyword> = self.slots.iter().flatten().cloned().collect();
        let full = self.free().next().is_none();
        if full { KeywordMask::Only(set) } else { KeywordMask::Any }
    }

    /// Whether a keyword has a letter here.
    #[must_use]
    pub fn contains(&self, keyword: &Keyword) -> bool {
        self.letter(keyword).is_some()
    }

    fn letter(&self, keyword: &Keyword) -> Option<char> {
        let at = self.slots.iter().position(|slot| slot.as_ref() == Some(keyword))?;
        u8::try_from(at).ok().map(|n| char::from(b'a' + n))
    }

    pub(super) fn parse(text: &[u8]) -> Self {
        let mut table = Self::default();
        for line in text.split(|b| *b == b'\n').filter(|l| !l.is_empty()) {
            if table.take_line(line).is_none() {
                table.foreign.push(line.to_vec());
            }
        }
        table
    }

    fn take_line(&mut self, line: &[u8]) -> Option<()> {
        let (n, name) = std::str::from_utf8(line).ok()?.split_once(' ')?;
        let n = n.parse::<usize>().ok().filter(|n| *n < LETTERS)?;
        let keyword = Keyword::new(name);
        if !fits(&keyword) {
            return None;
        }
        if self.slots.len() <= n {
            self.slots.resize(n + 1, None);
        }
        self.slots[n].is_none().then(|| self.slots[n] = Some(keyword))
    }

    pub(super) fn print(&self) -> Vec<u8> {
        let mut text = Vec::new();
        for (n, keyword) in self.slots.iter().enumerate() {
            if let Some(keyword) = keyword {
                text.extend_from_slice(format!("{n} {}\n", keyword.as_str()).as_bytes());
            }
        }
        for line in &self.foreign {
            text.extend_from_slice(line);
            text.push(b'\n');
        }
        text
    }

    /// The letters that mean nothing yet, as positions.
    fn free(&self) -> impl Iterator<Item = usize> {
        // A line that we do not understand may still give its letter a meaning.
        let named = |at: usize| {
            let start = format!("{at} ");
            self.foreign.iter().any(|line| line.starts_with(start.as_bytes()))
        };
        let empty = |at: usize| self.slots.get(at).is_none_or(Option::is_none);
        (0..LETTERS).filter(move |at| empty(*at) && !named(*at))
    }

    /// Gives `keyword` the hinted letter if that is free, else the first that is. One that names
    /// of files bear without a meaning is the last choice: it would give them one (hazard 177).
    pub(super) fn add(&mut self, keyword: &Keyword, hint: Option<u8>, borne: &Borne) -> bool {
        let fits = |at: &usize| borne.get(at).is_none_or(|all| all.contains(keyword));
        let hinted = hint.and_then(|hint| self.free().find(|at| *at == usize::from(hint)));
        let hinted = hinted.filter(fits);
        let first = || self.free().find(fits).or_else(|| self.free().next());
        let Some(at) = hinted.or_else(first) else { return false };
        if self.slots.len() <= at {
            self.slots.resize(at + 1, None);
        }
        self.slots[at] = Some(keyword.clone());
        true
    }
}

/// Whether a keyword can stand in a line of the table. A `\` begins what is no keyword: were
/// `\Deleted` one, a letter in a file name would mark its message for deletion (hazard 118).
fn fits(keyword: &Keyword) -> bool {
    let text = keyword.as_str();
    let bad = |c: char| c.is_whitespace() || c.is_control() || c == '\\';
    !text.is_empty() && text.len() <= 255 && !text.contains(bad)
}

impl Root {
    /// The keyword table of a mailbox; empty where there is none.
    ///
    /// # Errors
    /// A table that cannot be read is an error, not an empty one.
    pub fn keyword_table(&self, mailbox: &MailboxName) -> Result<KeywordTable, LocalError> {
        let path = self.dir_of(mailbox).join(KEYWORDS_FILE);
        let text = self.read_small(&path, TABLE_MAX, Scope::Mailbox)?;
        Ok(text.map(|t| KeywordTable::parse(&t)).unwrap_or_default())
    }

    /// The keyword table of a mailbox, durable where it is not the one that is `known`: names whose
    /// letters are recorded by it would lose their meaning with a power cut (hazard 140).
    ///
    /// # Errors
    /// The table cannot be read, or its directory cannot be made durable.
    pub fn keyword_table_after(
        &self,
        mailbox: &MailboxName,
        known: &[Option<Keyword>],
    ) -> Result<KeywordTable, LocalError> {
        let table = self.keyword_table(mailbox)?;
        if table.slots() != known {
            let dir = self.dir_of(mailbox);
            self.fs.sync_dir(&dir).at(Scope::Mailbox, "sync", &dir)?;
        }
        Ok(table)
    }

    /// Gives a letter to each wanted keyword that has none, as long as letters are free; the
    /// hinted one where free, so that one keyword has one letter in the whole account. `table`
    /// becomes what the file then holds.
    ///
    /// # Errors
    /// [`LocalError::KeywordsBusy`] while another program writes the table.
    pub fn add_keywords(
        &self,
        mailbox: &MailboxName,
        table: &mut KeywordTable,
        wanted: &BTreeSet<Keyword>,
        choice: &Choice<'_>,
    ) -> Result<(), LocalError> {
        let missing = |t: &KeywordTable| {
            let new = wanted.iter().filter(|k| fits(k) && !t.contains(k));
            new.cloned().collect::<Vec<Keyword>>()
        };
        if missing(table).is_empty() || table.mask() != KeywordMask::Any {
            return Ok(());
        }
        let dir = self.dir_of(mailbox);
        let lock = dir.join(LOCK);
        let mut file = self.keywords_lock(&lock)?;
        // Read again under the lock: another program may have added its own since.
        let added = self.keyword_table(mailbox).and_then(|mut fresh| {
            let (new, borne) = (missing(&fresh), self.borne(mailbox, choice)?);
            let added = new.iter().filter(|k| fresh.add(k, (choice.hint)(k), &borne)).count();
            *table = fresh;
            if added == 0 {
                return Ok(false);
            }
            file.write_at(&table.print(), 0)
                .and_then(|()| file.sync())
                .and_then(|()| self.fs.rename(&lock, &dir.join(KEYWORDS_FILE)))
                .at(Scope::Mailbox, "write", &lock)?;
            Ok(true)
        });
        match added {
            Ok(true) => self.fs.sync_dir(&dir).at(Scope::Mailbox, "sync", &dir),
            other => {
                let removed = self.fs.remove_file(&lock).at(Scope::Mailbox, "remove", &lock);
                other.and(removed)
            }
        }
    }

    /// The letters that names of a mailbox have now.
    fn borne(&self, mailbox: &MailboxName, choice: &Choice<'_>) -> Result<Borne, LocalError> {
        let mut borne = Borne::new();
        self.each_name(mailbox, &mut |entry| {
            let info = String::from_utf8_lossy(entry.info);
            let mut letters = keyword_letters(&info).peekable();
            if letters.peek().is_none() {
                return;
            }
            let keywords = choice.relabelled.get(&Stem(entry.stem.to_vec()));
            let keywords = keywords.cloned().unwrap_or_default();
            for letter in letters {
                let all = borne.entry(usize::from(letter as u8 - b'a'));
                all.and_modify(|all| all.retain(|keyword| keywords.contains(keyword)))
                    .or_insert_with(|| keywords.clone());
            }
        })?;
        Ok(borne)
    }

    /// Removes the lock file of a table, wherever the directory with this id is by now. Only for
    /// who knows that it is a dead process's, as the one that it left itself; one of this very
    /// moment may be another program's, and stays. False where neither the lock nor the directory
    /// with this id is in this root.
    ///
    /// # Errors
    /// The lock cannot be removed, or is of this moment.
    pub fn drop_keywords_lock(
        &self,
        mailbox: &MailboxName,
        id: Option<&str>,
    ) -> Result<bool, LocalError> {
        let mut dir = self.dir_of(mailbox);
        if let Some(id) = id
            && self.id_in(&dir)?.as_deref() != Some(id)
        {
            // Renamed since; what is in its place now is not ours.
            let Some(renamed) = self.with_id(id, &BTreeSet::new())? else { return Ok(false) };
            dir = renamed;
        }
        let lock = dir.join(LOCK);
        let Some(meta) = if_there(self.fs.lstat(&lock)).at(Scope::Mailbox, "look at", &lock)?
        else {
            return Ok(id.is_some());
        };
        if self.fs.now_s() - meta.stamp.mtime_ns / 1_000_000_000 <= LOCK_HELD_S {
            return Err(LocalError::KeywordsBusy { path: lock });
        }
        if_there(self.fs.remove_file(&lock)).at(Scope::Mailbox, "remove", &lock).map(|_| true)
    }

    fn keywords_lock(&self, lock: &Path) -> Result<Box<dyn super::fs::FsFile>, LocalError> {
        for _ in 0..2 {
            match self.fs.create_new(lock) {
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
                other => return other.at(Scope::Mailbox, "create", lock),
            }
            let meta = if_there(self.fs.lstat(lock)).at(Scope::Mailbox, "look at", lock)?;
            let age = |m: super::fs::Meta| self.fs.now_s() - m.stamp.mtime_ns / 1_000_000_000;
            if meta.is_none_or(|m| age(m) > LOCK_STALE_S) {
                if_there(self.fs.remove_file(lock)).at(Scope::Mailbox, "remove", lock)?;
            } else {
                break;
            }
        }
        Err(LocalError::KeywordsBusy { path: lock.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(names: &[&str]) -> Flags {
        let mut flags = Flags::default();
        names.iter().for_each(|n| flags.insert_imap(n));
        flags
    }

    #[test]
    fn tables_are_read_tolerantly_and_written_without_loss() {
        let text = b"0 Work\n2 Junk\nrubbish\n30 Late\n2 Twin\n3 work\n\xff\n";
        let table = KeywordTable::parse(text);
        assert_eq!(table.slots.len(), 4);
        assert_eq!(table.slots[1], None);
        assert_eq!(table.letters_for(&flags(&["work"])).0, "a");
        assert_eq!(table.flags_of("2,d").0, flags(&["Work"]));
        let again = KeywordTable::parse(&table.print());
        assert_eq!(again, table);
        assert_eq!(table.foreign.len(), 4);
    }

    #[test]
    fn hazard_118_no_letter_means_a_system_flag() {
        for name in ["\\Deleted", "\\deleted", "\\Seen", "\\Anything", "a\\Deleted", "\\"] {
            let mut table = KeywordTable::parse(format!("0 {name}\n1 Work\n").as_bytes());
            assert_eq!(table.flags_of("2,ab"), (flags(&["Work"]), "a".to_owned()), "{name}");
            // The line stays, and its letter is given to nothing else.
            assert!(table.add(&Keyword::new("x"), Some(0), &Borne::new()));
            assert_eq!(table.letters_for(&flags(&["x"])).0, "c");
            assert!(table.print().starts_with(b"1 Work\n"), "{name}");
            assert!(String::from_utf8(table.print()).unwrap().contains(&format!("0 {name}\n")));
        }
    }

    #[test]
    fn letters_and_keywords_in_any_case() {
        let table = KeywordTable::parse(b"0 Work\n1 $Forwarded\n");
        let (letters, without) = table.letters_for(&flags(&["WORK", "other", "\\Seen"]));
        assert_eq!(letters, "a");
        assert_eq!(without.len(), 1);
        assert_eq!(table.letters_for(&flags(&["$forwarded"])).0, "b");
        let (read, unknown) = table.flags_of("2,Sabz");
        assert_eq!(read, flags(&["\\Seen", "work", "$Forwarded"]));
        assert_eq!(unknown, "z");
    }

    #[test]
    fn hints_are_taken_where_free_and_the_27th_has_no_letter() {
        let (mut table, none) = (KeywordTable::default(), Borne::new());
        assert!(table.add(&Keyword::new("x"), Some(3), &none));
        assert!(table.add(&Keyword::new("y"), Some(3), &none));
        assert!(table.add(&Keyword::new("w"), Some(200), &none));
        assert_eq!(table.letters_for(&flags(&["x", "y", "w"])).0, "abd");
        for n in 0..23 {
            assert!(table.add(&Keyword::new(&format!("k{n}")), None, &none));
        }
        assert!(!table.add(&Keyword::new("late"), None, &none));
        assert!(matches!(table.mask(), KeywordMask::Only(set) if set.len() == 26));
    }

    #[test]
    fn hazard_177_a_letter_of_names_is_given_to_none_but_their_keyword() {
        let (x, y) = (Keyword::new("x"), Keyword::new("y"));
        let borne = Borne::from([(0, BTreeSet::new()), (2, BTreeSet::from([x.clone()]))]);
        let letter = |keyword, hint, borne: &Borne| {
            let mut table = KeywordTable::default();
            assert!(table.add(keyword, hint, borne));
            table.letter(keyword).unwrap()
        };
        assert_eq!(letter(&x, Some(0), &borne), 'b');
        assert_eq!(letter(&x, Some(2), &borne), 'c');
        assert_eq!(letter(&y, Some(2), &borne), 'b');
        assert_eq!(letter(&y, None, &borne), 'b');
        // A keyword is not lost for want of another letter.
        let all: Borne = (0..LETTERS).map(|at| (at, BTreeSet::new())).collect();
        assert_eq!(letter(&y, Some(2), &all), 'a');
    }
}
