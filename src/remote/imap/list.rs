//! Which mailboxes there are and how they stand: one round trip where the server can.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::name::{self, Names};
use super::parse::Response;
use super::parse::list::{list, mailbox_status};
use super::session::{Session, WINDOW};
use super::talk::{Tag, require_ok};
use crate::reconcile::types::{MailboxName, MailboxStatus, SpecialUse, printable};
use crate::remote::budget::Budget;
use crate::remote::code::Code;
use crate::remote::error::RemoteError;
use crate::remote::suspects::{Command, Thing};

/// A mailbox as LIST shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedMailbox {
    /// Our name of it; only fit for showing when there is a `problem`.
    pub name: MailboxName,
    /// The server's name of it.
    pub raw: Vec<u8>,
    /// Whether it can be selected: `\Noselect` and `\NonExistent` cannot.
    pub selectable: bool,
    /// What it is for (RFC 6154).
    pub special_use: Option<SpecialUse>,
    /// How it stands; none when the server did not say, which proves nothing.
    pub gate: Option<MailboxStatus>,
    /// MAILBOXID (RFC 8474).
    pub object_id: Option<String>,
    /// Why it cannot be mirrored: its name has no exact counterpart.
    pub problem: Option<String>,
}

/// Whether a mailbox is there, by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Existence {
    /// It is, and stands so.
    Exists(MailboxStatus),
    /// The server says that there is none (NONEXISTENT).
    Gone,
    /// The server says no and not why: gone only if it does so again later.
    Refused(String),
}

/// A mailbox that surely does not exist: selecting it fails, and leaves none selected.
const NOWHERE: &str = "EXAMINE \"mailtide nowhere d41d8cd98f00b204\"";

/// What the names and attributes of all mailboxes of an account may take together, in octets: some
/// 100,000 mailboxes.
const WEIGHT: usize = 32 << 20;
/// What each counts beside its name.
const ENTRY: usize = 256;
/// The longest name that is taken, as the server spells it; its first octets name a longer one.
const NAME: usize = 1 << 10;

impl Session {
    /// Asks for all mailboxes and how each of them stands, with none selected (a selected
    /// mailbox would be shown as it was when it was last looked at).
    ///
    /// # Errors
    /// A refusal of LIST, or what ends the session. A refused STATUS is a missing `gate`.
    pub async fn list_status(&mut self) -> Result<Vec<ListedMailbox>, RemoteError> {
        self.list_status_of(&|_| true).await
    }

    /// The same; where each mailbox is asked by itself, only those that `asks` names are.
    ///
    /// # Errors
    /// As for [`Self::list_status`].
    pub async fn list_status_of(
        &mut self,
        asks: &dyn Fn(&MailboxName) -> bool,
    ) -> Result<Vec<ListedMailbox>, RemoteError> {
        let mut listed = self.list_once(asks).await?;
        if listed.distrusts_ids() {
            // What stands around such an id may have been misread as well.
            tracing::warn!("MAILBOXID in STATUS is none: it is not asked for any more");
            self.distrust_mailbox_ids();
            listed = self.list_once(asks).await?;
        }
        Ok(listed.mailboxes)
    }

    /// Does not believe what STATUS says of MAILBOXID any more (hazard 98).
    pub fn distrust_mailbox_ids(&mut self) {
        self.talk.capabilities.withdraw_mailbox_ids();
    }

    async fn list_once(
        &mut self,
        asks: &dyn Fn(&MailboxName) -> bool,
    ) -> Result<Listing, RemoteError> {
        let whole = self.caution.suspects.lock().why_not(Command::ListStatus, None).is_none();
        if whole && self.talk.capabilities.list_status() {
            match self.list_with_status().await {
                Err(RemoteError::Bad { words, .. }) => {
                    let words = printable(&words);
                    tracing::warn!("LIST-STATUS is announced and refused: {words}");
                    self.talk.capabilities.withdraw("LIST-STATUS");
                }
                listed => return listed,
            }
        }
        self.unselect().await?;
        let mut found = Found::default();
        self.caution.under_way = Some(Thing::whole(Command::List, None));
        let each = &mut |response: &Response<'_>| found.take(response);
        self.run("LIST", "LIST \"\" \"*\"", Budget::LIST, each).await?;
        self.passed();
        let mut listing = self.learn(found.whole()?);
        listing.has_bad_id |= self.ask_status(&mut listing.mailboxes, asks).await?;
        Ok(listing)
    }

    fn status_items(&self) -> String {
        let can = &self.talk.capabilities;
        let modseq = if can.condstore() { " HIGHESTMODSEQ" } else { "" };
        let object_id = if can.mailbox_ids() { " MAILBOXID" } else { "" };
        format!("(UIDVALIDITY UIDNEXT MESSAGES{modseq}{object_id})")
    }

    async fn list_with_status(&mut self) -> Result<Listing, RemoteError> {
        let uses = if self.talk.capabilities.special_use() { "SPECIAL-USE " } else { "" };
        let command = format!("LIST \"\" \"*\" RETURN ({uses}STATUS {})", self.status_items());
        loop {
            let leaving = self.start_leaving().await?;
            let tag = self.send("LIST", &command, Budget::LIST).await?;
            let left = match leaving {
                Some(leaving) => self.finish_leaving(&leaving).await?,
                None => true,
            };
            let mut found = Found::default();
            self.caution.under_way = Some(Thing::whole(Command::ListStatus, None));
            let status = self.answer("LIST", &tag, &mut |response| found.take(response)).await?;
            require_ok("LIST", status)?;
            self.passed();
            if left {
                return Ok(self.learn(found.whole()?));
            }
        }
    }

    /// Asks STATUS of each mailbox that can have one, many at a time. Gives whether an id was none.
    async fn ask_status(
        &mut self,
        listed: &mut [ListedMailbox],
        asks: &dyn Fn(&MailboxName) -> bool,
    ) -> Result<bool, RemoteError> {
        let items = self.status_items();
        let mut asked: Vec<&MailboxName> = listed
            .iter()
            .filter(|m| m.selectable && m.problem.is_none() && asks(&m.name))
            .map(|m| &m.name)
            .collect();
        let suspect = |session: &Self, name: &MailboxName| {
            session.caution.suspects.lock().has(Command::Status, Some(name))
        };
        // One at which a connection was lost may cost the next one, too.
        asked.sort_by_key(|name| suspect(self, name));
        let mut commands = VecDeque::new();
        for name in asked {
            let rests = self.caution.suspects.lock().why_not(Command::Status, Some(name));
            if rests.is_none() {
                let spelled = self.spelled(name).await?;
                commands.push_back((name.clone(), format!("STATUS {spelled} {items}")));
            }
        }
        let (mut found, mut under_way) = (Found::default(), VecDeque::new());
        loop {
            while under_way.len() < WINDOW
                && let Some((name, command)) = commands.pop_front()
            {
                // A suspect is sent when all others were answered.
                if !under_way.is_empty() && suspect(self, &name) {
                    commands.push_front((name, command));
                    break;
                }
                let tag = match under_way.is_empty() {
                    true => self.start("STATUS", &command, Budget::SHORT).await?,
                    false => self.send("STATUS", &command, Budget::SHORT).await?,
                };
                under_way.push_back((name, tag));
            }
            let Some((name, tag)) = under_way.pop_front() else { break };
            let doing = format!("STATUS of {name}");
            self.caution.under_way = Some(Thing::whole(Command::Status, Some(&name)));
            let status = self.answer(&doing, &tag, &mut |response| found.take(response)).await?;
            // One mailbox that does not answer says nothing of the others.
            if require_ok(&doing, status).is_ok() {
                self.passed();
            }
        }
        Ok(found.apply(listed))
    }

    /// Builds the list, and remembers the spellings.
    fn learn(&mut self, found: Found) -> Listing {
        let mut names = Names::default();
        names.delimiter = found.delimiter.or(self.names.delimiter);
        let mut taken: BTreeMap<MailboxName, (usize, bool)> = BTreeMap::new();
        let mut listed: Vec<ListedMailbox> = Vec::new();
        for (raw, entry) in &found.listed {
            let unread = || MailboxName::new(&String::from_utf8_lossy(raw));
            let (name, problem) = match name::decode_loosely(raw, entry.delimiter) {
                _ if entry.too_long => {
                    (unread(), Some(format!("its name is longer than {NAME} bytes")))
                }
                Ok((name, is_exact)) => match taken.get(&name) {
                    None => {
                        taken.insert(name.clone(), (listed.len(), is_exact));
                        names.raw.insert(name.clone(), String::from_utf8_lossy(raw).into_owned());
                        (name, None)
                    }
                    Some((other, other_is_exact)) => {
                        let why = "another mailbox has the same name".to_owned();
                        // Which of them it was before cannot be told.
                        if !(is_exact && *other_is_exact) {
                            listed[*other].problem = Some(why.clone());
                            names.raw.remove(&name);
                        }
                        (name, Some(why))
                    }
                },
                Err(why) => (unread(), Some(why)),
            };
            listed.push(ListedMailbox {
                name,
                raw: raw.clone(),
                selectable: entry.selectable,
                special_use: entry.special_use,
                gate: None,
                object_id: None,
                problem,
            });
        }
        self.names = Arc::new(names);
        let has_bad_id = found.apply(&mut listed);
        Listing { mailboxes: listed, has_bad_id }
    }

    /// The quoted spelling of a mailbox for a command. Asks for the delimiter if nothing has
    /// told it yet and the name needs it.
    pub(crate) async fn spelled(&mut self, name: &MailboxName) -> Result<String, RemoteError> {
        if let Some(raw) = self.names.raw.get(name) {
            return Ok(quoted(raw));
        }
        if self.names.delimiter.is_none() && !name.is_inbox() {
            let mut found = Found::default();
            let each = &mut |response: &Response<'_>| found.take(response);
            self.run("LIST", "LIST \"\" \"\"", Budget::SHORT, each).await?;
            let delimiter = found.listed.values().next().map(|entry| entry.delimiter);
            Arc::make_mut(&mut self.names).delimiter = Some(delimiter.flatten());
        }
        let raw = self
            .names
            .spell(name)
            .map_err(|why| RemoteError::Name { name: name.as_str().to_owned(), why })?;
        Ok(quoted(&raw))
    }

    /// Leaves no mailbox selected, without expunging (never CLOSE).
    ///
    /// # Errors
    /// What ends the session.
    pub async fn unselect(&mut self) -> Result<(), RemoteError> {
        while let Some(leaving) = self.start_leaving().await? {
            if self.finish_leaving(&leaving).await? {
                break;
            }
        }
        Ok(())
    }

    /// Sends what unselects, if anything is selected.
    pub(crate) async fn start_leaving(&mut self) -> Result<Option<Leaving>, RemoteError> {
        if self.selected.is_none() {
            return Ok(None);
        }
        let rests = self.caution.suspects.lock().why_not(Command::Unselect, None);
        let by_command = self.talk.capabilities.unselect() && rests.is_none();
        let command = if by_command { "UNSELECT" } else { NOWHERE };
        let tag = self.start("UNSELECT", command, Budget::SHORT).await?;
        Ok(Some(Leaving { tag, by_command }))
    }

    /// Waits for its answer; false if it did not work and another way is to be tried.
    pub(crate) async fn finish_leaving(&mut self, leaving: &Leaving) -> Result<bool, RemoteError> {
        self.caution.under_way = Some(Thing::whole(Command::Unselect, None));
        let status = self.answer("UNSELECT", &leaving.tag, &mut |_| false).await?;
        let ok = require_ok("UNSELECT", status).is_ok();
        if leaving.by_command && !ok {
            self.talk.capabilities.withdraw("UNSELECT");
            return Ok(false);
        }
        if leaving.by_command {
            self.passed();
        }
        self.selected = None;
        self.talk.exists = 0;
        Ok(true)
    }

    /// Asks for one mailbox by its name, without selecting it.
    ///
    /// # Errors
    /// A refusal for another reason than that it is not there, or what ends the session.
    pub async fn exists(&mut self, name: &MailboxName) -> Result<Existence, RemoteError> {
        self.begin(Command::Status, name)?;
        let spelled = self.spelled(name).await?;
        let doing = format!("STATUS of {name}");
        let mut gate = MailboxStatus::default();
        let command = format!("STATUS {spelled} {}", self.status_items());
        let answer = self
            .run(&doing, &command, Budget::SHORT, &mut |response| {
                let Response::MailboxStatus(rest) = response else { return false };
                if let Some(status) = mailbox_status(rest) {
                    gate = status.gate;
                }
                true
            })
            .await;
        match self.passing(answer) {
            Ok(_) => Ok(Existence::Exists(gate)),
            Err(RemoteError::No { code: Some(Code::NonExistent), .. }) => Ok(Existence::Gone),
            Err(RemoteError::No { code: None | Some(Code::TryCreate), words, .. }) => {
                Ok(Existence::Refused(words))
            }
            Err(error) => Err(error),
        }
    }
}

/// An UNSELECT under way.
#[derive(Debug)]
pub(crate) struct Leaving {
    tag: Tag,
    by_command: bool,
}

/// A name as a quoted string (RFC 9051 §4.3); line breaks never get this far.
pub(crate) fn quoted(raw: &str) -> String {
    format!("\"{}\"", raw.replace('\\', "\\\\").replace('"', "\\\""))
}

/// All mailboxes, as LIST and STATUS showed them once.
struct Listing {
    mailboxes: Vec<ListedMailbox>,
    has_bad_id: bool,
}

impl Listing {
    /// Whether ids were told that are none, or of which two mailboxes have one: none of them means
    /// anything then.
    fn distrusts_ids(&self) -> bool {
        let mut ids = BTreeSet::new();
        let mut all = self.mailboxes.iter().filter_map(|mailbox| mailbox.object_id.as_ref());
        self.has_bad_id || !all.all(|id| ids.insert(id))
    }
}

#[derive(Debug, Default)]
struct Entry {
    selectable: bool,
    special_use: Option<SpecialUse>,
    delimiter: Option<char>,
    too_long: bool,
}

/// What LIST and STATUS responses said, by the server's spelling.
#[derive(Debug, Default)]
struct Found {
    listed: BTreeMap<Vec<u8>, Entry>,
    status: BTreeMap<Vec<u8>, (MailboxStatus, Option<String>)>,
    delimiter: Option<Option<char>>,
    weight: usize,
    has_bad_id: bool,
}

impl Found {
    /// A list that is not taken whole is no list: what is missing in it is not gone.
    fn whole(self) -> Result<Self, RemoteError> {
        if self.weight > WEIGHT {
            let what = "the list of all mailboxes".to_owned();
            let (doing, limit) = ("LIST".to_owned(), WEIGHT as u64);
            return Err(RemoteError::Limit { doing, what, limit, uid: None });
        }
        Ok(self)
    }

    fn take(&mut self, response: &Response<'_>) -> bool {
        match response {
            Response::List(rest) => {
                let Some(row) = list(rest) else { return true };
                let (raw, too_long) = short(&row.raw);
                self.weight += ENTRY + raw.len();
                if self.weight > WEIGHT {
                    return true;
                }
                if self.delimiter.flatten().is_none() {
                    self.delimiter = Some(row.delimiter);
                }
                // Twice the same: by hierarchy and by subscription, or a forgetful server.
                let new = Entry { selectable: true, too_long, ..Entry::default() };
                let entry = self.listed.entry(raw).or_insert(new);
                entry.selectable &= row.selectable;
                entry.special_use = entry.special_use.or(row.special_use);
                entry.delimiter = row.delimiter;
                true
            }
            Response::MailboxStatus(rest) => {
                if let Some(row) = mailbox_status(rest) {
                    self.has_bad_id |= row.has_bad_id;
                    let id = row.object_id.as_ref().map_or(0, String::len);
                    self.weight += ENTRY / 2 + row.raw.len().min(NAME) + id;
                    if self.weight <= WEIGHT {
                        self.status.insert(short(&row.raw).0, (row.gate, row.object_id));
                    }
                }
                true
            }
            _ => false,
        }
    }

    /// Sets what was said by STATUS. Gives whether what it said for an id was none.
    fn apply(self, listed: &mut [ListedMailbox]) -> bool {
        for mailbox in listed {
            if let Some((gate, object_id)) = self.status.get(&mailbox.raw) {
                mailbox.gate = Some(*gate);
                mailbox.object_id = object_id.clone();
            }
        }
        self.has_bad_id
    }
}

/// As much of a name as is kept, and whether it was longer.
fn short(raw: &[u8]) -> (Vec<u8>, bool) {
    (fold(&raw[..raw.len().min(NAME)]), raw.len() > NAME)
}

/// INBOX is the same in any case (RFC 9051 §5.1).
fn fold(raw: &[u8]) -> Vec<u8> {
    if raw.eq_ignore_ascii_case(b"INBOX") { b"INBOX".to_vec() } else { raw.to_vec() }
}
