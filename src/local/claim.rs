//! Directories of other programs are recognised by the mailboxes that the server has.
//!
//! One directory is one mailbox. A directory whose own name no side knows, and which by the
//! rules of another program ([`super::foreign`]) is that of a mailbox without a directory, is
//! that mailbox's from then on. Where more than one answer is possible, none is taken: the
//! directory is named and neither it nor those mailboxes are touched (hazard 66).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::error::LocalError;
use super::foreign::{Reading, read_alike, readings};
use super::given::Given;
use super::layout::Layout;
use super::root::Root;
use super::walk::Mailboxes;
use crate::reconcile::types::MailboxName;

const DOUBTFUL: &str = "its name, perhaps in another program's spelling, could stand for more than \
                        one mailbox; rename it: until then it and they are left alone";
const SECOND: &str = "its name may be another program's spelling of a mailbox that already has a \
                      directory; move its messages there or rename it";

/// The mailboxes that are known when directories are read.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Names that the server lists.
    pub listed: BTreeSet<MailboxName>,
    /// Names that the store has, of mailboxes that the server had.
    pub kept: BTreeSet<MailboxName>,
    /// Ids of directories that were seen by the last run ([`Root::mailbox_id`]), and the mailboxes
    /// that they were those of.
    pub ids: BTreeMap<String, MailboxName>,
    /// Names of directories that are not mirrored.
    pub excluded: BTreeSet<MailboxName>,
}

impl Known {
    fn has(&self, name: &MailboxName) -> bool {
        self.listed.contains(name) || self.kept.contains(name)
    }

    /// Whether all mailboxes of the server lie below its INBOX.
    fn below_inbox(&self) -> bool {
        let inbox = MailboxName::new(MailboxName::INBOX);
        let mut others = self.listed.iter().filter(|name| **name != inbox).peekable();
        others.peek().is_some() && others.all(|name| name.is_inferior_of(&inbox))
    }
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Claimed {
    /// Directories were recognised: the walk has to be repeated.
    pub any: bool,
    /// Mailboxes that more than one directory may be that of, or the other way round.
    pub doubtful: BTreeSet<MailboxName>,
}

/// What a directory is.
enum Verdict {
    /// The one that its name says, or none.
    Own,
    /// That of another mailbox.
    Of(Reading),
    /// One of several mailboxes', these and that of its own name.
    Doubtful(Vec<MailboxName>),
    /// One of several of a mailbox.
    Second,
}

impl Root {
    /// Recognises the directories of other programs in a walk, and records them, durably
    /// unless only a plan is made. What is doubtful is taken out of the walk and named in it.
    ///
    /// # Errors
    /// As the system says, where they cannot be recorded.
    pub fn claim(
        &self,
        walk: &mut Mailboxes,
        known: &Known,
        durable: bool,
    ) -> Result<Claimed, LocalError> {
        let own: BTreeSet<MailboxName> = walk.found.iter().map(|m| m.name.clone()).collect();
        let below_inbox = known.below_inbox();
        let there: BTreeSet<PathBuf> = walk.found.iter().map(|m| self.relative(&m.dir)).collect();
        let found = walk.found.iter().map(|m| (Some(&m.name), self.relative(&m.dir)));
        let foreign = walk.foreign.iter().map(|dir| (None, dir.clone()));
        let mut claims: BTreeMap<MailboxName, Vec<(PathBuf, Reading)>> = BTreeMap::new();
        let mut doubtful: BTreeMap<PathBuf, &'static str> = BTreeMap::new();
        let mut out = Claimed::default();
        for (name, dir) in found.chain(foreign) {
            let flat = self.options.layout == Layout::MaildirPlusPlus;
            if self.is_given(&dir) || !(flat || below_inbox || could_be_foreign(&dir)) {
                continue;
            }
            let sets = (&there, &own);
            let verdict = self.verdict(name, &dir, known, sets, below_inbox)?;
            match verdict {
                Verdict::Own => {}
                // Whatever it is, a person said that it is left alone.
                Verdict::Doubtful(_) | Verdict::Second
                    if name.is_some_and(|name| known.excluded.contains(name)) => {}
                Verdict::Of(reading) => {
                    claims.entry(reading.name.clone()).or_default().push((dir, reading));
                }
                Verdict::Doubtful(names) => {
                    out.doubtful.extend(name.cloned());
                    out.doubtful.extend(names);
                    doubtful.insert(dir, DOUBTFUL);
                }
                Verdict::Second => {
                    out.doubtful.extend(name.cloned());
                    doubtful.insert(dir, SECOND);
                }
            }
        }
        let mut given = Given::default();
        for (name, claims) in claims {
            let one = claims.len() == 1 && !out.doubtful.contains(&name);
            for (dir, reading) in claims {
                if one {
                    self.assign(dir, reading, &mut given);
                } else {
                    out.doubtful.insert(name.clone());
                    doubtful.insert(dir, DOUBTFUL);
                }
            }
        }
        out.any = !given.is_empty();
        if out.any {
            self.give(given, durable)?;
        }
        walk.found.retain(|m| !doubtful.contains_key(&self.relative(&m.dir)));
        for (dir, why) in doubtful {
            let path = self.path.join(dir);
            walk.unmirrored.insert(path.clone());
            walk.problem(LocalError::Unmirrored { path, why });
        }
        Ok(out)
    }

    /// What a directory is; `sets`: the directories and the names that the walk found.
    fn verdict(
        &self,
        name: Option<&MailboxName>,
        dir: &Path,
        known: &Known,
        sets: (&BTreeSet<PathBuf>, &BTreeSet<MailboxName>),
        below_inbox: bool,
    ) -> Result<Verdict, LocalError> {
        let (there, own) = sets;
        if let Some(reading) = self.carried(dir, known, there, own)? {
            return Ok(Verdict::Of(reading));
        }
        match self.judge(name, dir, known, own, below_inbox)? {
            Verdict::Own if name.is_none() => {
                let relabelled = self.relabelled(dir, known, own, below_inbox)?;
                Ok(relabelled.map_or(Verdict::Own, Verdict::Of))
            }
            verdict => Ok(verdict),
        }
    }

    /// Records a directory, and those above it that are of the same program.
    fn assign(&self, dir: PathBuf, reading: Reading, given: &mut Given) {
        tracing::info!(directory = %dir.display(), mailbox = %reading.name, "recognised");
        for (name, dir) in reading.above {
            let spelled = self.dir_of(&name);
            if spelled != self.path.join(&dir) {
                given.insert(name, dir);
            }
        }
        given.insert(reading.name, dir);
    }

    /// A directory that was recognised before and went along when one above it was renamed
    /// keeps its level of the name.
    fn carried(
        &self,
        dir: &Path,
        known: &Known,
        there: &BTreeSet<PathBuf>,
        own: &BTreeSet<MailboxName>,
    ) -> Result<Option<Reading>, LocalError> {
        let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
        let (Some(parent), Some(last)) = (parent, dir.file_name()) else { return Ok(None) };
        let level = self.spelling.with_given(|g| g.level_of(last, there).map(str::to_owned));
        let above = self.read_path(parent).map(|(name, _)| name);
        let (Some(level), Some(above)) = (level, above) else { return Ok(None) };
        let name = MailboxName::new(&format!("{}/{level}", above.as_str()));
        let id = self.id_in(&self.path.join(dir))?;
        let is_ours = id.is_some_and(|id| known.ids.contains_key(&id)) && !own.contains(&name);
        Ok(is_ours.then(|| Reading { name, decoded: true, above: Vec::new() }))
    }

    /// A directory that was recognised before and has another name now, which no mailbox has: it
    /// is read as the former one was (hazard 123).
    fn relabelled(
        &self,
        dir: &Path,
        known: &Known,
        own: &BTreeSet<MailboxName>,
        below_inbox: bool,
    ) -> Result<Option<Reading>, LocalError> {
        let id = self.id_in(&self.path.join(dir))?;
        let Some(was) = id.and_then(|id| known.ids.get(&id)) else { return Ok(None) };
        if own.contains(was) {
            // A copy, or the former one is back.
            return Ok(None);
        }
        let before = self.relative(&self.dir_of(was));
        let now = read_alike(dir, &before, was, below_inbox);
        Ok(now.filter(|now| !known.has(&now.name) && !own.contains(&now.name)))
    }

    fn judge(
        &self,
        name: Option<&MailboxName>,
        dir: &Path,
        known: &Known,
        own: &BTreeSet<MailboxName>,
        below_inbox: bool,
    ) -> Result<Verdict, LocalError> {
        if name.is_some_and(|name| known.kept.contains(name)) {
            return Ok(Verdict::Own);
        }
        let mut others = readings(dir, below_inbox);
        others.retain(|reading| Some(&reading.name) != name && known.has(&reading.name));
        if others.is_empty() {
            return Ok(Verdict::Own);
        }
        let (taken, free): (Vec<Reading>, Vec<Reading>) =
            others.into_iter().partition(|reading| own.contains(&reading.name));
        if name.is_some_and(|name| known.listed.contains(name)) {
            // It is there as it is written; only an encoding makes that doubtful.
            let names = free.into_iter().filter(|reading| reading.decoded).map(|r| r.name);
            let names: Vec<MailboxName> = names.collect();
            return Ok(if names.is_empty() { Verdict::Own } else { Verdict::Doubtful(names) });
        }
        if free.is_empty() {
            // `v1.2` beside `v1/2` is a new mailbox; `Entw&APw-rfe` beside `Entwürfe` is not.
            let second = taken.iter().any(|reading| reading.decoded);
            return Ok(if second { Verdict::Second } else { Verdict::Own });
        }
        let by_dots = name.is_some() && !free.iter().any(|reading| reading.decoded);
        if by_dots
            && self.id_in(&self.path.join(dir))?.is_some_and(|id| known.ids.contains_key(&id))
        {
            // Renamed by a person: a dot is no sign of another program.
            return Ok(Verdict::Own);
        }
        let mut free = free.into_iter();
        Ok(match (free.next(), free.len()) {
            (Some(reading), 0) => Verdict::Of(reading),
            (first, _) => {
                Verdict::Doubtful(first.into_iter().chain(free).map(|r| r.name).collect())
            }
        })
    }

    /// Whether a directory, relative to the root, is recorded as that of a mailbox.
    pub(super) fn is_given(&self, dir: &Path) -> bool {
        self.spelling.with_given(|given| given.name_of(dir).is_some())
    }

    fn relative(&self, dir: &Path) -> PathBuf {
        dir.strip_prefix(&self.path).unwrap_or(dir).to_owned()
    }
}

/// Most names read alike by everybody's rules.
fn could_be_foreign(dir: &Path) -> bool {
    let bytes = dir.as_os_str().as_encoded_bytes();
    !bytes.is_ascii() || bytes.iter().any(|byte| matches!(byte, b'&' | b'%' | b'.'))
}
