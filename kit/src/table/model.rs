//! A server, a disk and a store, small enough to read in one go.
//!
//! Everything that changes the world passes [`Model::tick`] first: a crash can be put before
//! and after every effect and every record. What is volatile dies with the crash; the server,
//! the disk and the store stay.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use mailtide::reconcile::hold::Direction;
use mailtide::reconcile::row_state::{RowState, state_of};
use mailtide::reconcile::types::{
    ContentId, Coverage, FlagMask, Flags, HeaderKeys, Mailbox, MailboxId, MailboxName, Row, RowId,
    ServerFacts, SpecialUse,
};
use mailtide::reconcile::{self, BringsBack, Hold, OnLocalDelete, Policy, Step};

use super::act::Act;

/// A message as it lies on one side.
///
/// The body is a letter: `A` and `a` differ in their bytes and agree in header, size and date
/// (a draft saved twice in a second); `X`, `Y` and `Z` have no Message-ID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// Stands for the bytes.
    pub body: char,
    /// Its flags.
    pub flags: Flags,
    /// The server changed a header when it took the message.
    pub rewritten: bool,
    /// The server's object id; 0 where it has none. COPY and MOVE keep it.
    pub object: u32,
}

impl Mail {
    /// A message with these bytes and flags.
    #[must_use]
    pub fn new(body: char, flags: Flags) -> Self {
        Self { body, flags, rewritten: false, object: 0 }
    }

    /// Content id of its bytes.
    #[must_use]
    pub fn content(&self) -> ContentId {
        let mut id = [0; 32];
        id[0] = u8::try_from(self.body).unwrap_or(0);
        id[1] = u8::from(self.rewritten);
        ContentId(id)
    }

    /// Keys of its header.
    #[must_use]
    pub fn header(&self) -> HeaderKeys {
        let key = u8::try_from(self.body.to_ascii_uppercase()).unwrap_or(0);
        let mut hash = [key; 16];
        hash[0] = u8::from(self.rewritten);
        HeaderKeys { hash, loose: [key; 16], has_message_id: !('X'..='Z').contains(&self.body) }
    }

    /// When it was written, in seconds since 1970: long before any file name was made.
    #[must_use]
    pub fn date(&self) -> i64 {
        1_000_000 + i64::from(u32::from(self.body.to_ascii_uppercase()))
    }

    /// What a server says of it.
    #[must_use]
    pub fn words(&self) -> ServerFacts {
        let key = u64::from(u32::from(self.body.to_ascii_uppercase()));
        let object_id = (self.object != 0).then(|| format!("M{}", self.object));
        let size = 1000 + key + u64::from(self.rewritten);
        ServerFacts { size, date: self.date(), object_id }
    }
}

/// A mailbox on the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    /// Changes when the server numbers anew.
    pub uid_validity: u32,
    /// The next UID.
    pub uid_next: u32,
    /// Messages by UID.
    pub mail: BTreeMap<u32, Mail>,
}

impl Default for Folder {
    fn default() -> Self {
        Self { uid_validity: 1, uid_next: 1, mail: BTreeMap::new() }
    }
}

impl Folder {
    /// Adds a message and gives its UID.
    pub fn add(&mut self, mail: Mail) -> u32 {
        let uid = self.uid_next;
        self.uid_next += 1;
        self.mail.insert(uid, mail);
        uid
    }
}

/// What the server can do and does to mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ladder {
    /// MOVE (RFC 6851).
    pub can_move: bool,
    /// UIDPLUS (RFC 4315): COPYUID and APPENDUID.
    pub uidplus: bool,
    /// Object ids (RFC 8474).
    pub object_ids: bool,
    /// It changes a header of what is appended.
    pub rewrites: bool,
}

impl Default for Ladder {
    fn default() -> Self {
        Self { can_move: true, uidplus: true, object_ids: false, rewrites: false }
    }
}

/// What may happen to a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Nothing at all is done.
    Skipped,
    /// The intent is noted, the answer is OK, and nothing is done.
    Void,
    /// It is done, and the answer names no fact.
    Mute,
}

impl Outcome {
    /// Every way in which a step can fail.
    pub const ALL: [Self; 3] = [Self::Skipped, Self::Void, Self::Mute];
}

/// Rounds after which the engine gives up.
pub const ROUNDS_MAX: u32 = 8;

/// The process was killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crash;

/// Which side of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// The disk.
    Local,
    /// The server.
    Remote,
}

/// What survives the process: rows, mailboxes and what the guard counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Store {
    /// Rows by their id.
    pub rows: BTreeMap<RowId, Row>,
    /// Mailboxes by their id.
    pub mailboxes: BTreeMap<MailboxId, Mailbox>,
    /// Removals of the last 24 hours.
    pub departures: BTreeMap<(MailboxId, Direction), u64>,
    /// Rows that a person let pass.
    pub approved: BTreeSet<RowId>,
    /// What was held and nobody answered.
    pub pending: Vec<Hold>,
    /// The last row that was known before messages of a mailbox began to leave.
    pub waves: BTreeMap<MailboxId, RowId>,
    /// Messages came and left again before a look showed them.
    pub passed: bool,
    next_row: i64,
    next_mailbox: i64,
}

impl Store {
    /// Stores a new row and gives its id.
    pub fn insert(&mut self, row: Row) -> RowId {
        self.next_row += 1;
        let id = RowId(self.next_row);
        self.update(Row { id, ..row });
        id
    }

    /// Stores a row anew. A UID and a stem belong to one row of their mailbox.
    ///
    /// # Panics
    /// Where they do not: the real store refuses that.
    pub fn update(&mut self, row: Row) {
        let stem = row.local.as_ref().map(|local| &local.stem);
        let uid = row.remote.as_ref().map(|remote| remote.uid);
        for other in self.rows.values().filter(|o| o.id != row.id && o.mailbox == row.mailbox) {
            let same_uid = uid.is_some() && other.remote.as_ref().map(|r| r.uid) == uid;
            let same_stem = stem.is_some() && other.local.as_ref().map(|l| &l.stem) == stem;
            assert!(!same_uid && !same_stem, "one message in two rows: {row:?} and {other:?}");
        }
        self.rows.insert(row.id, row);
    }

    /// The mailbox of a name, made if it is new.
    pub fn mailbox(&mut self, name: &MailboxName) -> MailboxId {
        if let Some(known) = self.mailboxes.values().find(|m| m.name == *name) {
            return known.id;
        }
        self.next_mailbox += 1;
        let id = MailboxId(self.next_mailbox);
        // What fills a new mailbox may have been filed by another program.
        let mailbox = Mailbox { id, restated: true, ..Mailbox::new(name.clone()) };
        self.mailboxes.insert(id, mailbox);
        id
    }

    /// Gives rows the ids that a first run gives them: by mailbox, then by file.
    pub fn number_rows(&mut self) {
        let mut rows: Vec<Row> = std::mem::take(&mut self.rows).into_values().collect();
        let name = |row: &Row| self.mailboxes.get(&row.mailbox).map(|mailbox| &mailbox.name);
        let stem = |row: &Row| row.local.as_ref().map(|local| local.stem.clone());
        rows.sort_by(|a, b| (name(a), stem(a)).cmp(&(name(b), stem(b))));
        self.next_row = 0;
        for row in rows {
            self.insert(row);
        }
    }

    /// Forgets a mailbox and its rows.
    pub fn delete_mailbox(&mut self, id: MailboxId) {
        self.mailboxes.remove(&id);
        self.rows.retain(|_, row| row.mailbox != id);
    }
}

/// What happens to this process and no other.
#[derive(Debug, Clone, Default)]
pub struct Fate {
    /// The tick that kills it.
    pub crash_at: Option<u32>,
    /// Ticks so far.
    pub ticks: u32,
    /// Steps so far.
    pub steps: u32,
    /// What becomes of the step of this number (from 0).
    pub outcomes: BTreeMap<u32, Outcome>,
    /// What others do just before a tick.
    pub acts: Vec<(u32, Act)>,
    /// Messages in \\Trash that answered for a row already: each answers for one.
    pub answered: BTreeSet<(MailboxName, u32)>,
    /// Mailboxes that cannot be looked at.
    pub blind: BTreeSet<(Side, MailboxName)>,
}

/// The whole world of one account.
#[derive(Debug, Clone)]
pub struct Model {
    /// The server.
    pub server: BTreeMap<MailboxName, Folder>,
    /// The Maildirs: messages by stem.
    pub disk: BTreeMap<MailboxName, BTreeMap<String, Mail>>,
    /// Durable files that have no place yet.
    pub tmp: BTreeMap<(MailboxName, String), Mail>,
    /// The local trash.
    pub trash: Vec<Mail>,
    /// What is known.
    pub store: Store,
    /// What the user configured.
    pub policy: Policy,
    /// What the server can do.
    pub ladder: Ladder,
    /// What its mailboxes are for.
    pub uses: BTreeMap<MailboxName, SpecialUse>,
    /// Flags that the server keeps.
    pub mask: FlagMask,
    /// Mailboxes that are not mirrored.
    pub excluded: BTreeSet<MailboxName>,
    /// How far the last look at each mailbox reached.
    pub coverage: BTreeMap<(MailboxId, Side), Coverage>,
    /// What happens to this process.
    pub fate: Fate,
    /// The number of this run.
    pub run: i64,
    /// Bodies that went over the wire, down and up.
    pub transfers: (u32, u32),
    next_name: u32,
}

impl Default for Model {
    fn default() -> Self {
        let policy = Policy { on_local_delete: OnLocalDelete::Trash, ..Policy::default() };
        Self {
            server: BTreeMap::new(),
            disk: BTreeMap::new(),
            tmp: BTreeMap::new(),
            trash: Vec::new(),
            store: Store::default(),
            policy,
            ladder: Ladder::default(),
            uses: BTreeMap::new(),
            mask: FlagMask::all(),
            excluded: BTreeSet::new(),
            coverage: BTreeMap::new(),
            fate: Fate::default(),
            run: 1,
            transfers: (0, 0),
            next_name: 0,
        }
    }
}

impl Model {
    /// Stands before every effect and every record.
    ///
    /// # Errors
    /// The crash, where it was meant for here.
    pub fn tick(&mut self) -> Result<(), Crash> {
        let now = self.fate.ticks;
        self.fate.ticks += 1;
        if !self.fate.acts.is_empty() {
            let (due, later) = std::mem::take(&mut self.fate.acts)
                .into_iter()
                .partition::<Vec<_>, _>(|(at, _)| *at == now);
            self.fate.acts = later;
            due.into_iter().for_each(|(_, act)| self.act(&act));
        }
        if self.fate.crash_at == Some(now) { Err(Crash) } else { Ok(()) }
    }

    /// A file name that was never used.
    pub fn new_stem(&mut self) -> String {
        self.next_name += 1;
        format!("{:03}.new", self.next_name)
    }

    /// An object id that was never used, where the server has any.
    pub fn new_object(&mut self) -> u32 {
        self.next_name += 1;
        if self.ladder.object_ids { self.next_name } else { 0 }
    }

    /// The name of a mailbox of the store.
    #[must_use]
    pub fn name(&self, id: MailboxId) -> MailboxName {
        self.store.mailboxes.get(&id).map_or_else(|| MailboxName::new("?"), |m| m.name.clone())
    }

    /// The process ends, of itself or not; the next one begins: what hangs is settled.
    pub fn restart(&mut self, fate: Fate) -> Result<(), Crash> {
        self.fate = fate;
        self.run += 1;
        self.coverage.clear();
        self.recover()
    }

    /// Rounds until nothing is done any more. Gives their number, the idle one included.
    ///
    /// # Errors
    /// The crash.
    pub fn settle(&mut self) -> Result<u32, Crash> {
        for round in 1..=ROUNDS_MAX {
            self.observe()?;
            if !self.apply_all()? {
                self.finish_change();
                self.finish_restated();
                return Ok(round);
            }
        }
        Ok(ROUNDS_MAX + 1)
    }

    /// Plans and applies until nothing is left that was not tried since the last look.
    fn apply_all(&mut self) -> Result<bool, Crash> {
        let mut tried: BTreeSet<RowId> = BTreeSet::new();
        let mut worked = false;
        loop {
            self.note_waves();
            let mut plan = self.plan();
            assert_eq!(plan, reconcile::plan(&self.load_all()), "a page hides a match\n{self}");
            let held = |hold: &Hold| Hold { added: 0, replaces: None, ..hold.clone() };
            self.store.pending = plan.holds.iter().map(held).collect();
            plan.steps.retain(|step| !step.rows().iter().any(|row| tried.contains(row)));
            if worked {
                plan.mailboxes.clear();
            }
            if plan.is_idle() {
                return Ok(worked);
            }
            tried.extend(plan.steps.iter().flat_map(|step| match step {
                Step::LocalCopy { to, .. } | Step::RemoteCopy { to, .. } => vec![*to],
                step => step.rows(),
            }));
            worked = true;
            self.apply(&plan)?;
        }
    }

    /// Notes mailboxes whose messages begin to leave, and the last row known there before.
    fn note_waves(&mut self) {
        let gone = [RowState::LocalGone, RowState::RemoteGone, RowState::BothGone];
        let leaves = |row: &&Row| gone.contains(&state_of(row)) && !row.is_set_aside();
        let leaving: BTreeSet<MailboxId> =
            self.store.rows.values().filter(leaves).map(|row| row.mailbox).collect();
        self.store.waves.retain(|mailbox, _| leaving.contains(mailbox));
        for mailbox in leaving {
            let agreed = self.store.rows.values();
            let agreed = agreed.filter(|row| row.mailbox == mailbox && row.base.is_some());
            let newest = agreed.map(|row| row.id).max().unwrap_or(RowId(0));
            self.store.waves.entry(mailbox).or_insert(newest);
        }
    }

    /// A person lets everything pass that waits.
    pub fn approve(&mut self) {
        let held = std::mem::take(&mut self.store.pending);
        self.store.approved.extend(held.into_iter().flat_map(|hold| hold.rows));
    }

    /// After a look at everything it is known what was removed under other settings.
    fn finish_change(&mut self) {
        if self.store.mailboxes.keys().all(|mailbox| self.has_seen(*mailbox)) {
            self.policy.brings_back = BringsBack::default();
            self.store.passed = false;
        }
    }

    /// Whether both sides of a mailbox were looked at, wholly.
    fn has_seen(&self, mailbox: MailboxId) -> bool {
        let coverage = |side| self.coverage.get(&(mailbox, side)) == Some(&Coverage::Complete);
        coverage(Side::Local) && coverage(Side::Remote)
    }

    /// A run that identified everything in its restated mailboxes ends their state.
    fn finish_restated(&mut self) {
        let seen: Vec<MailboxId> = self.store.mailboxes.keys().copied().collect();
        let seen: Vec<MailboxId> = seen.into_iter().filter(|id| self.has_seen(*id)).collect();
        let restated = |m: &&mut Mailbox| m.restated && seen.contains(&m.id);
        for mailbox in self.store.mailboxes.values_mut().filter(restated) {
            let mut rows = self.store.rows.values().filter(|row| row.mailbox == mailbox.id);
            let open = |row: &Row| row.set_aside.is_none() && (row.restated || is_new_remote(row));
            mailbox.restated = rows.any(open);
        }
    }

    /// What lies on a side: a sorted line for each message, `INBOX A SF`.
    #[must_use]
    pub fn shown(&self, side: Side) -> Vec<String> {
        let line =
            |name: &MailboxName, mail: &Mail| format!("{name} {} {:?}", mail.body, mail.flags);
        let mut lines: Vec<String> = match side {
            Side::Local => self
                .disk
                .iter()
                .flat_map(|(name, mail)| mail.values().map(move |mail| line(name, mail)))
                .collect(),
            Side::Remote => self
                .server
                .iter()
                .flat_map(|(name, folder)| folder.mail.values().map(move |mail| line(name, mail)))
                .collect(),
        };
        lines.sort();
        lines
    }

    /// How many copies of each body a side holds.
    #[must_use]
    pub fn counted(&self, side: Side) -> BTreeMap<char, u32> {
        let mut out = BTreeMap::new();
        let mut count = |mail: &Mail| *out.entry(mail.body).or_default() += 1;
        match side {
            Side::Local => self.disk.values().flat_map(BTreeMap::values).for_each(&mut count),
            Side::Remote => self.server.values().flat_map(|f| f.mail.values()).for_each(&mut count),
        }
        out
    }
}

fn is_new_remote(row: &Row) -> bool {
    state_of(row) == RowState::RemoteNew && row.base.is_none()
}

impl fmt::Display for Model {
    /// Both sides and the rows, for the report of a failure.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (title, side) in [("local", Side::Local), ("remote", Side::Remote)] {
            writeln!(f, "{title}: {}", self.shown(side).join(", "))?;
        }
        for row in self.store.rows.values() {
            writeln!(
                f,
                "  {} {} content {} local {:?} remote {:?} base {:?} {:?} {:?}",
                row.id.0,
                self.name(row.mailbox),
                row.content.map_or('-', |c| char::from(c.0[0])),
                row.local.as_ref().map(|l| (&l.stem, &l.flags)),
                row.remote.as_ref().map(|r| (r.uid.0, &r.flags, r.confirmed)),
                row.base.as_ref().map(|b| &b.flags),
                row.journal,
                row.set_aside.as_ref().map(|s| s.kind),
            )?;
        }
        Ok(())
    }
}
