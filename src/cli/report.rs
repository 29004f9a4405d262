//! What a command found and did: plain data for `--json`, and the same in words.

use std::fmt::Write as _;
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::exit::Exit;
use super::output::{Style, ago, bytes, counted, grouped, took};
use super::problem::{Named, write_named, write_note};
use super::verified::VerifiedView;
use crate::account::sample::Sample;
use crate::daemon::state::View;
use crate::reconcile::types::printable;

/// Why something as a whole could not be done, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// How grave it is.
    pub exit: Exit,
    /// What could not be done, where, and what was said. May hold foreign text as it came.
    pub text: String,
    /// What the user can do, if anything.
    pub advice: Option<String>,
}

impl Failure {
    /// A failure that nothing is advised for.
    #[must_use]
    pub fn new(exit: Exit, text: impl Into<String>) -> Self {
        Self { exit, text: text.into(), advice: None }
    }

    /// With what the user can do.
    #[must_use]
    pub fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }
}

/// A change that waits for a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HoldView {
    /// What `approve` and `reject` take.
    pub id: String,
    /// Name of the account.
    pub account: String,
    /// Path of the mailbox; none when it concerns the whole account.
    pub mailbox: Option<String>,
    /// `removal`, `flags` or `copies`.
    pub kind: &'static str,
    /// The side that would be changed: `server` or `disk`.
    pub side: &'static str,
    /// `too_many`, `emptied`, `flags_removed` or `surplus_copies`.
    pub reason: &'static str,
    /// What would be done, as in "remove from the server".
    pub what: String,
    /// How many messages it concerns.
    pub messages: u64,
    /// Why it is held.
    pub why: String,
    /// Since when, in seconds since 1970.
    pub since: i64,
    /// Whether it was approved or rejected and waits for the next run only.
    pub decided: Option<Decision>,
    /// Some of the messages.
    pub samples: Vec<Sample>,
}

/// What a person said to a hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// Do it.
    Approved,
    /// Do not, and bring the messages back.
    Rejected,
}

/// How much was done in a run, or would be, in messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Work {
    /// Bodies that came down.
    pub pulled: u64,
    /// Bodies that went up.
    pub pushed: u64,
    /// Messages that changed their mailbox, on either side.
    pub moved: u64,
    /// Messages that were on both sides already and are known to be the same now.
    pub paired: u64,
    /// Flag changes made to files.
    pub flags_local: u64,
    /// Flag changes made on the server.
    pub flags_remote: u64,
    /// Files put into the local trash.
    pub removed_local: u64,
    /// Messages trashed or expunged on the server.
    pub removed_remote: u64,
}

impl Work {
    /// `pulled 3, removed 1 here`, or as what would be done; empty when nothing was.
    #[must_use]
    pub fn words(&self, would: bool) -> String {
        let table = [
            (self.pulled, "pulled", "pull", ""),
            (self.pushed, "pushed", "push", ""),
            (self.moved, "moved", "move", ""),
            (self.paired, "paired", "pair", ""),
            (self.flags_local, "re-flagged", "re-flag", " here"),
            (self.flags_remote, "re-flagged", "re-flag", " on the server"),
            (self.removed_local, "removed", "remove", " here"),
            (self.removed_remote, "removed", "remove", " on the server"),
        ];
        let parts =
            table.iter().filter(|(count, ..)| *count > 0).map(|(count, done, to_do, place)| {
                format!("{} {}{place}", if would { to_do } else { done }, grouped(*count))
            });
        parts.collect::<Vec<_>>().join(", ")
    }
}

/// What a run did for one account.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct AccountOutcome {
    /// Its name.
    pub account: String,
    /// Whether nothing was changed, only planned.
    pub dry_run: bool,
    /// Whether both sides agree now, but for what is set aside and held.
    pub agreed: bool,
    /// What stopped the account as a whole.
    pub failure: Option<Failure>,
    /// What was done.
    #[serde(flatten)]
    pub work: Work,
    /// Steps that were skipped and that another run may mend.
    pub skipped: u64,
    /// Changes of the disk that are not sent, since `direction` is `"pull"`.
    pub unsent: u64,
    /// Messages that stay on one side, until they or the server change.
    pub set_aside: Vec<Named>,
    /// Mailboxes that cannot be kept in step.
    pub problems: Vec<Named>,
    /// What waits for a person.
    pub holds: Vec<HoldView>,
    /// What a dry run would do, line by line.
    pub plan: Vec<String>,
    /// What a verification found; none of a run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verified: Option<VerifiedView>,
    /// How long it took; in JSON in seconds.
    #[serde(rename = "seconds", serialize_with = "seconds")]
    pub duration: Duration,
    /// Bytes received.
    pub bytes_down: u64,
    /// Bytes sent.
    pub bytes_up: u64,
}

/// A span of time as seconds with fractions.
fn seconds<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.as_secs_f64())
}

impl AccountOutcome {
    /// How grave it is. What is set aside for good is no failure for ever.
    #[must_use]
    pub fn exit(&self) -> Exit {
        let failure = self.failure.as_ref().map(|failure| failure.exit);
        let held = self.holds.iter().any(|h| h.decided.is_none()).then_some(Exit::Held);
        // A dry run agrees to nothing, and that is no failure.
        let unsettled = self.skipped > 0 || !(self.agreed || self.dry_run) || self.differs();
        let skipped = unsettled.then_some(Exit::Incomplete);
        Exit::gravest([failure, held, skipped].into_iter().flatten())
    }

    /// Whether a verification found that something is not as it should be.
    fn differs(&self) -> bool {
        self.verified.as_ref().is_some_and(|found| found.differing > 0 || !self.plan.is_empty())
    }

    /// The line that says how it went, without the account's name.
    fn summary(&self, style: Style) -> String {
        if let Some(failure) = &self.failure {
            let mut text = style.red("failed") + ": " + &printable(&failure.text);
            let done = self.work.words(false);
            if !done.is_empty() {
                let _ = write!(text, " (before that: {done})");
            }
            return text;
        }
        let exit = self.exit();
        if let Some(found) = &self.verified {
            let head = match exit {
                Exit::InSync => style.green("verified"),
                _ => style.yellow("differs"),
            };
            let mut text = format!("{head}: {}", found.words());
            if !self.plan.is_empty() {
                text += "; a sync would do this";
            }
            return text + &not_sent(self.unsent) + &self.costs();
        }
        let mut text = match exit {
            _ if self.dry_run => style.bold("dry run"),
            Exit::InSync => style.green("agreed"),
            Exit::Held => style.yellow("held"),
            _ => style.yellow("not yet agreed"),
        };
        let work = self.work.words(self.dry_run);
        text += match (self.dry_run, work.is_empty()) {
            (true, true) if !self.plan.is_empty() => ": would do this",
            (true, true) => ": would do nothing",
            (true, false) => ": would ",
            (false, true) => ": nothing to do",
            (false, false) => ": ",
        };
        text += &work;
        if self.skipped > 0 {
            let _ = write!(text, ", skipped {}", grouped(self.skipped));
        }
        text + &not_sent(self.unsent) + &self.costs()
    }

    fn costs(&self) -> String {
        let mut cost = Vec::new();
        if self.bytes_down > 0 {
            cost.push(format!("{} down", bytes(self.bytes_down)));
        }
        if self.bytes_up > 0 {
            cost.push(format!("{} up", bytes(self.bytes_up)));
        }
        cost.push(took(self.duration));
        format!("  ({})", cost.join(", "))
    }
}

/// What is said of local changes while nothing is sent.
fn not_sent(count: u64) -> String {
    match count {
        0 => String::new(),
        1 => "; 1 local change is not sent (direction = \"pull\")".to_owned(),
        _ => format!("; {} local changes are not sent (direction = \"pull\")", grouped(count)),
    }
}

/// The last run of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LastRun {
    /// When it ended, in seconds since 1970.
    pub at: i64,
    /// How it ended.
    pub exit: Exit,
    /// What stopped it, in words.
    pub failure: Option<String>,
}

/// How an account stands, from the store alone.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct StatusView {
    /// Its name.
    pub account: String,
    /// Whom it signs in as and where: `me@example.org at imap.example.org`.
    pub remote: String,
    /// The root of its Maildir.
    pub maildir: String,
    /// The last run; none if there never was one.
    pub last_run: Option<LastRun>,
    /// Mailboxes that are mirrored.
    pub mailboxes: u64,
    /// Messages that both sides have.
    pub messages: u64,
    /// Messages with something left to do.
    pub waiting: u64,
    /// Changes of the disk that are not sent, since `direction` is `"pull"`.
    pub unsent: u64,
    /// Messages that stay on one side.
    pub set_aside: Vec<Named>,
    /// Mailboxes that cannot be kept in step, and what the last run skipped.
    pub problems: Vec<Named>,
    /// What waits for a person.
    pub holds: Vec<HoldView>,
    /// What else a person should know, as a capability that is not used any more.
    pub notes: Vec<String>,
    /// How it stands in a running `mailtide run`; none where none runs.
    pub now: Option<View>,
}

impl StatusView {
    /// Held if something is; else well, whatever else `status` has to say.
    #[must_use]
    pub fn exit(&self) -> Exit {
        let held = self.holds.iter().any(|h| h.decided.is_none());
        if held { Exit::Held } else { Exit::InSync }
    }
}

/// The result of a run in words; with `quiet` only of accounts that are not well.
#[must_use]
pub fn outcomes(list: &[AccountOutcome], quiet: bool, style: Style) -> String {
    let wide = list.iter().map(|o| printable(&o.account).chars().count()).max().unwrap_or(0);
    let mut out = String::new();
    for outcome in list.iter().filter(|o| !quiet || o.exit() != Exit::InSync) {
        let name = format!("{:wide$}", printable(&outcome.account));
        let _ = writeln!(out, "{}  {}", style.bold(&name), outcome.summary(style));
        if let Some(advice) = outcome.failure.as_ref().and_then(|f| f.advice.as_ref()) {
            let _ = writeln!(out, "  {}", printable(advice));
        }
        outcome.plan.iter().for_each(|line| {
            let _ = writeln!(out, "  {}", printable(line));
        });
        outcome.verified.iter().for_each(|found| found.write(&mut out));
        let answers = !outcome.dry_run;
        outcome.holds.iter().for_each(|hold| write_hold(&mut out, hold, None, answers, style));
        outcome.problems.iter().for_each(|named| write_named(&mut out, "problem", named));
        outcome.set_aside.iter().for_each(|named| write_named(&mut out, "set aside", named));
    }
    out
}

/// How the accounts stand, in words.
#[must_use]
pub fn status(list: &[StatusView], now: i64, style: Style) -> String {
    let mut out = String::new();
    for view in list {
        let name = style.bold(&printable(&view.account));
        let _ =
            writeln!(out, "{name}  {}  →  {}", printable(&view.remote), printable(&view.maildir));
        let last = match &view.last_run {
            None => "never synced: mailtide sync ".to_owned() + &printable(&view.account),
            Some(LastRun { at, failure: Some(words), .. }) => {
                format!("last run {}: {} {}", ago(*at, now), style.red("failed:"), printable(words))
            }
            Some(LastRun { at, exit, .. }) => {
                let how = match exit {
                    Exit::InSync => style.green("agreed"),
                    Exit::Held => style.yellow("something is held"),
                    Exit::Interrupted => style.yellow("interrupted"),
                    _ => style.yellow("not yet agreed"),
                };
                format!("last run {}: {how}{}", ago(*at, now), not_sent(view.unsent))
            }
        };
        if let Some(live) = &view.now {
            let why =
                live.why.as_ref().map_or(String::new(), |why| format!(": {}", printable(why)));
            let (words, since, push) = (live.state.words(), ago(live.since, now), &live.push);
            let _ = writeln!(out, "  now {words}{why} (since {since}; server changes by {push})");
        }
        let _ = writeln!(out, "  {last}");
        let (boxes, messages) =
            (counted(view.mailboxes, "mailbox"), counted(view.messages, "message"));
        let _ = write!(out, "  {boxes}, {messages}");
        if view.waiting > 0 {
            let _ = write!(out, ", {} waiting for the next run", grouped(view.waiting));
        }
        out.push('\n');
        view.notes.iter().for_each(|note| write_note(&mut out, note));
        view.holds.iter().for_each(|hold| write_hold(&mut out, hold, Some(now), true, style));
        view.problems.iter().for_each(|named| write_named(&mut out, "problem", named));
        view.set_aside.iter().for_each(|named| write_named(&mut out, "set aside", named));
    }
    out
}

/// What is held, in words, with some of the messages.
#[must_use]
pub fn holds(list: &[HoldView], now: i64, style: Style) -> String {
    if list.is_empty() {
        return "nothing is held\n".to_owned();
    }
    let mut out = String::new();
    for hold in list {
        write_hold(&mut out, hold, Some(now), true, style);
        write_samples(&mut out, hold);
    }
    out
}

fn write_samples(out: &mut String, hold: &HoldView) {
    for sample in &hold.samples {
        let fields = [&sample.date, &sample.from, &sample.subject];
        let fields: Vec<String> =
            fields.iter().filter(|field| !field.is_empty()).map(|f| printable(f)).collect();
        let line = if fields.is_empty() { "(no header)".to_owned() } else { fields.join("  ") };
        let _ = writeln!(out, "               {line}");
    }
    let more = hold.messages.saturating_sub(hold.samples.len() as u64);
    if more > 0 && !hold.samples.is_empty() {
        let _ = writeln!(out, "               and {} more", grouped(more));
    }
}

fn write_hold(out: &mut String, hold: &HoldView, now: Option<i64>, answers: bool, style: Style) {
    let id = printable(&hold.id);
    let place = match &hold.mailbox {
        Some(mailbox) => format!("{}/{}", hold.account, mailbox),
        None => hold.account.clone(),
    };
    let since = now.map(|now| format!(" ({})", ago(hold.since, now))).unwrap_or_default();
    let messages = counted(hold.messages, "message");
    let (what, place) = (printable(&hold.what), printable(&place));
    let held = style.yellow("held");
    let _ = writeln!(out, "  {held}       {id}  {place}: {what}, {messages}{since}");
    let _ = writeln!(out, "             {}", printable(&hold.why));
    let (undo, undone) = match hold.kind {
        "flags" => ("bring the flags back", "brings the flags back"),
        "copies" => ("keep them here only", "keeps them here only"),
        _ => ("bring them back", "brings them back"),
    };
    let _ = match hold.decided {
        None if !answers => Ok(()),
        None => writeln!(
            out,
            "             let it pass: mailtide approve {id}\n             \
             {undo}: mailtide reject {id}"
        ),
        Some(Decision::Approved) => writeln!(out, "             approved: the next sync does it"),
        Some(Decision::Rejected) => {
            writeln!(out, "             rejected: the next sync {undone}")
        }
    };
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
