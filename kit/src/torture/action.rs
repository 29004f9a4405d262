//! The actions of a round, and how a list of them is written to a file and read back.
//!
//! Messages are called by their token, mailboxes by their name. An action that finds nothing to
//! act on does nothing, so every part of a list is a list again: what the minimiser needs.

use std::fmt;
use std::str::FromStr;

/// One of the two sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// The Maildir.
    Here,
    /// The server.
    There,
}

/// Something that a person, a mail reader or another device does on one side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deed {
    /// Puts a message into a mailbox.
    Add(u32, String),
    /// Removes the first copy of a message.
    Remove(u32),
    /// Files the first copy of a message elsewhere.
    Move(u32, String),
    /// Copies the first copy of a message.
    Copy(u32, String),
    /// Sets a flag or keyword.
    Set(u32, String),
    /// Clears a flag or keyword.
    Clear(u32, String),
    /// Puts a new text (the second token) in the place of the first.
    Edit(u32, u32),
    /// Makes a mailbox.
    Make(String),
    /// Removes a mailbox with its messages.
    Drop(String),
    /// Renames a mailbox and what lies below it.
    Rename(String, String),
    /// Moves all messages of a mailbox to another, deletes it and makes it anew.
    Remake(String, String),
    /// Gives a mailbox of the server a new UIDVALIDITY, or all messages of a maildrop new names.
    Renumber(String),
    /// Gives two messages of a maildrop one name.
    Twin(u32, u32),
    /// Takes the name of a message of a maildrop away.
    Unname(u32),
}

impl Deed {
    /// The same with each mailbox called differently.
    #[must_use]
    pub fn with_names(&self, name: impl Fn(&str) -> String) -> Self {
        match self {
            Self::Add(token, to) => Self::Add(*token, name(to)),
            Self::Move(token, to) => Self::Move(*token, name(to)),
            Self::Copy(token, to) => Self::Copy(*token, name(to)),
            Self::Make(mailbox) => Self::Make(name(mailbox)),
            Self::Drop(mailbox) => Self::Drop(name(mailbox)),
            Self::Rename(from, to) => Self::Rename(name(from), name(to)),
            Self::Remake(mailbox, to) => Self::Remake(name(mailbox), name(to)),
            Self::Renumber(mailbox) => Self::Renumber(name(mailbox)),
            Self::Remove(_) | Self::Set(..) | Self::Clear(..) | Self::Edit(..) => self.clone(),
            Self::Twin(..) | Self::Unname(_) => self.clone(),
        }
    }
}

/// The moment of a run at which something happens, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// Before the n-th command to the server.
    Command(u64),
    /// Before the n-th call to the file system.
    Call(u64),
}

/// What goes wrong in a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// The process dies at its n-th effect.
    Kill(u64),
    /// The power fails at the n-th effect; the seed says what of the unsynced is kept.
    PowerCut(u64, u64),
    /// The n-th call to the file system finds the disk full.
    Full(u64),
    /// The n-th call to the file system fails.
    Broken(u64),
    /// The connection is cut after the server sent so many octets.
    Cut(u64),
    /// The connection is cut around the n-th command of this verb.
    Around(String, u64, Cut),
    /// This mailbox cannot be read.
    Unreadable(String),
    /// An empty directory is in the place of the Maildir.
    Unmounted,
    /// There is no Maildir.
    Away,
    /// The process is stopped, others act, it goes on (real servers alone).
    Stopped(u64),
    /// The server is killed and started again (real servers alone).
    Restart(u64),
}

impl Trouble {
    /// Whether the process dies of it.
    #[must_use]
    pub fn kills(&self) -> bool {
        matches!(self, Self::Kill(_) | Self::PowerCut(..))
    }
}

/// How a command is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// It never arrives.
    Before,
    /// It is carried out and not answered.
    After,
    /// Its last answer is missing.
    Tagged,
    /// `NO`, nothing done.
    No,
    /// No answer, the connection stays.
    Silent,
}

/// One step of a round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Between runs, one side is changed.
    Act(Side, Deed),
    /// The same message lies on both sides before they ever met.
    Filled(u32, String),
    /// A run, with what others do meanwhile and what goes wrong.
    Run(Vec<(Point, Side, Deed)>, Option<Trouble>),
    /// A run over one mailbox alone.
    Part(String),
    /// The state is lost.
    LoseState,
    /// The state is copied.
    SaveState,
    /// The copy takes the place of the state.
    RestoreState,
    /// Octets of the state change, by seed.
    TearState(u64),
    /// The Maildir is copied.
    SaveMail,
    /// The copy takes the place of the Maildir.
    RestoreMail,
    /// A key of the configuration changes that puts what is known in doubt.
    Reconfigure,
    /// A day goes by.
    Day,
    /// Nobody disturbs: both sides must become equal, and nothing be lost.
    Quiet,
}

impl Action {
    /// Whether this makes mailtide forget what was agreed on: its state changes, or it meets
    /// another Maildir and then the former one again.
    #[must_use]
    pub fn forgets(&self) -> bool {
        match self {
            Self::LoseState | Self::RestoreState | Self::TearState(_) => true,
            Self::Run(_, trouble) => {
                matches!(trouble, Some(Trouble::Away | Trouble::Unmounted))
            }
            _ => false,
        }
    }

    /// The deeds in this action: its own, or those done during its run.
    pub fn deeds(&self) -> impl Iterator<Item = &Deed> {
        let (alone, meanwhile) = match self {
            Self::Act(_, deed) => (Some(deed), &[][..]),
            Self::Run(meanwhile, _) => (None, &meanwhile[..]),
            _ => (None, &[][..]),
        };
        alone.into_iter().chain(meanwhile.iter().map(|(_, _, deed)| deed))
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Here { "here" } else { "there" })
    }
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Add(token, to) => write!(f, "add {token} {to}"),
            Self::Remove(token) => write!(f, "remove {token}"),
            Self::Move(token, to) => write!(f, "move {token} {to}"),
            Self::Copy(token, to) => write!(f, "copy {token} {to}"),
            Self::Set(token, flag) => write!(f, "set {token} {flag}"),
            Self::Clear(token, flag) => write!(f, "clear {token} {flag}"),
            Self::Edit(token, new) => write!(f, "edit {token} {new}"),
            Self::Make(mailbox) => write!(f, "make {mailbox}"),
            Self::Drop(mailbox) => write!(f, "drop {mailbox}"),
            Self::Rename(from, to) => write!(f, "rename {from} {to}"),
            Self::Remake(mailbox, to) => write!(f, "remake {mailbox} {to}"),
            Self::Renumber(mailbox) => write!(f, "renumber {mailbox}"),
            Self::Twin(one, other) => write!(f, "twin {one} {other}"),
            Self::Unname(token) => write!(f, "unname {token}"),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill(n) => write!(f, "kill {n}"),
            Self::PowerCut(n, seed) => write!(f, "power {n} {seed}"),
            Self::Full(n) => write!(f, "full {n}"),
            Self::Broken(n) => write!(f, "broken {n}"),
            Self::Cut(n) => write!(f, "cut {n}"),
            Self::Around(verb, n, cut) => {
                let cut = CUTS.iter().find(|(known, _)| known == cut).map_or("", |(_, name)| name);
                write!(f, "around {} {n} {cut}", verb.replace(' ', "_"))
            }
            Self::Unreadable(mailbox) => write!(f, "unreadable {mailbox}"),
            Self::Unmounted => f.write_str("unmounted"),
            Self::Away => f.write_str("away"),
            Self::Stopped(n) => write!(f, "stopped {n}"),
            Self::Restart(n) => write!(f, "restart {n}"),
        }
    }
}

const CUTS: [(Cut, &str); 5] = [
    (Cut::Before, "before"),
    (Cut::After, "after"),
    (Cut::Tagged, "tagged"),
    (Cut::No, "no"),
    (Cut::Silent, "silent"),
];

/// Actions that are one word.
const WORDS: [(Action, &str); 8] = [
    (Action::LoseState, "lose-state"),
    (Action::SaveState, "save-state"),
    (Action::RestoreState, "restore-state"),
    (Action::SaveMail, "save-mail"),
    (Action::RestoreMail, "restore-mail"),
    (Action::Reconfigure, "reconfigure"),
    (Action::Day, "day"),
    (Action::Quiet, "quiet"),
];

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((_, word)) = WORDS.iter().find(|(action, _)| action == self) {
            return f.write_str(word);
        }
        match self {
            Self::Act(side, deed) => write!(f, "{side} {deed}"),
            Self::Filled(token, mailbox) => write!(f, "filled {token} {mailbox}"),
            Self::Run(meanwhile, trouble) => {
                f.write_str("run")?;
                for (point, side, deed) in meanwhile {
                    let (what, n) = match point {
                        Point::Command(n) => ("command", n),
                        Point::Call(n) => ("call", n),
                    };
                    write!(f, " ; at {what} {n} {side} {deed}")?;
                }
                trouble.as_ref().map_or(Ok(()), |trouble| write!(f, " ; {trouble}"))
            }
            Self::Part(mailbox) => write!(f, "part {mailbox}"),
            Self::TearState(seed) => write!(f, "tear-state {seed}"),
            _ => Ok(()),
        }
    }
}

/// Words of a line, taken one by one.
struct Words<'a>(std::str::SplitWhitespace<'a>);

impl Words<'_> {
    fn word(&mut self) -> Result<String, String> {
        self.0.next().map(str::to_owned).ok_or_else(|| "a word is missing".to_owned())
    }

    fn number<T: FromStr>(&mut self) -> Result<T, String> {
        let word = self.word()?;
        word.parse().map_err(|_| format!("not a number: {word}"))
    }

    fn side(&mut self) -> Result<Side, String> {
        match self.word()?.as_str() {
            "here" => Ok(Side::Here),
            "there" => Ok(Side::There),
            other => Err(format!("neither here nor there: {other}")),
        }
    }

    fn deed(&mut self) -> Result<Deed, String> {
        Ok(match self.word()?.as_str() {
            "add" => Deed::Add(self.number()?, self.word()?),
            "remove" => Deed::Remove(self.number()?),
            "move" => Deed::Move(self.number()?, self.word()?),
            "copy" => Deed::Copy(self.number()?, self.word()?),
            "set" => Deed::Set(self.number()?, self.word()?),
            "clear" => Deed::Clear(self.number()?, self.word()?),
            "edit" => Deed::Edit(self.number()?, self.number()?),
            "make" => Deed::Make(self.word()?),
            "drop" => Deed::Drop(self.word()?),
            "rename" => Deed::Rename(self.word()?, self.word()?),
            "remake" => Deed::Remake(self.word()?, self.word()?),
            "renumber" => Deed::Renumber(self.word()?),
            "twin" => Deed::Twin(self.number()?, self.number()?),
            "unname" => Deed::Unname(self.number()?),
            other => return Err(format!("unknown: {other}")),
        })
    }

    fn trouble(&mut self, kind: &str) -> Result<Trouble, String> {
        Ok(match kind {
            "kill" => Trouble::Kill(self.number()?),
            "power" => Trouble::PowerCut(self.number()?, self.number()?),
            "full" => Trouble::Full(self.number()?),
            "broken" => Trouble::Broken(self.number()?),
            "cut" => Trouble::Cut(self.number()?),
            "around" => {
                let (verb, n, how) = (self.word()?, self.number()?, self.word()?);
                let cut = CUTS.iter().find(|(_, name)| *name == how);
                let (cut, _) = cut.ok_or_else(|| format!("unknown: {how}"))?;
                Trouble::Around(verb.replace('_', " "), n, *cut)
            }
            "unreadable" => Trouble::Unreadable(self.word()?),
            "unmounted" => Trouble::Unmounted,
            "away" => Trouble::Away,
            "stopped" => Trouble::Stopped(self.number()?),
            "restart" => Trouble::Restart(self.number()?),
            other => return Err(format!("unknown: {other}")),
        })
    }
}

impl FromStr for Action {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        if let Some((action, _)) = WORDS.iter().find(|(_, word)| *word == line.trim()) {
            return Ok(action.clone());
        }
        let mut clauses = line.split(" ; ");
        let mut words = Words(clauses.next().unwrap_or_default().split_whitespace());
        match words.word()?.as_str() {
            "here" => Ok(Self::Act(Side::Here, words.deed()?)),
            "there" => Ok(Self::Act(Side::There, words.deed()?)),
            "filled" => Ok(Self::Filled(words.number()?, words.word()?)),
            "part" => Ok(Self::Part(words.word()?)),
            "tear-state" => Ok(Self::TearState(words.number()?)),
            "run" => {
                let (mut meanwhile, mut trouble) = (Vec::new(), None);
                for clause in clauses {
                    let mut words = Words(clause.split_whitespace());
                    match words.word()?.as_str() {
                        "at" => {
                            let point = match words.word()?.as_str() {
                                "command" => Point::Command(words.number()?),
                                _ => Point::Call(words.number()?),
                            };
                            meanwhile.push((point, words.side()?, words.deed()?));
                        }
                        kind => trouble = Some(words.trouble(kind)?),
                    }
                }
                Ok(Self::Run(meanwhile, trouble))
            }
            other => Err(format!("unknown: {other}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::torture::simulated_actions;

    #[test]
    fn a_list_is_read_back_as_it_was_written() {
        for action in (0..500).flat_map(simulated_actions) {
            assert_eq!(action.to_string().parse(), Ok(action));
        }
    }
}
