//! The user's programs: `on_change`, run after a run that changed files, `new_mail`, run after
//! one that brought mail that nobody has read, and `on_hold`, run for each hold that is new.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use tokio::process::Command;

use crate::account::Report;
use crate::config::Account;
use crate::config::child::{self, Ended};
use crate::reconcile::types::{MailboxName, printable};

/// How long a program may take before it is stopped.
const LIMIT: Duration = Duration::from_secs(600);

/// How long a variable may be, in bytes: the system allows 128 KiB.
const VARIABLE_MAX: usize = 48 << 10;

/// Which program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    /// Files changed.
    Change,
    /// Mail came that nobody has read.
    NewMail,
    /// Something waits for a person.
    Hold,
}

/// What a program is told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Batch {
    mailboxes: BTreeSet<MailboxName>,
    new: u64,
    files: Vec<PathBuf>,
    holds: Vec<Held>,
}

/// What a program is told of a hold.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Held {
    id: String,
    kind: &'static str,
    side: &'static str,
    count: u64,
    mailbox: String,
}

impl Batch {
    /// What a run has to tell, if anything.
    fn of(when: When, report: &Report) -> Option<Self> {
        let batch = match when {
            When::Change => {
                Self { mailboxes: report.touched.clone(), new: report.pulled, ..Self::default() }
            }
            When::NewMail => Self {
                mailboxes: report.arrivals.mailboxes.clone(),
                new: report.arrivals.count,
                files: report.arrivals.files.clone(),
                ..Self::default()
            },
            When::Hold => {
                let holds = report.holds.iter().map(|hold| Held {
                    id: hold.id.clone(),
                    kind: hold.reason.kind().word(),
                    side: hold.direction.side(),
                    count: hold.rows.len() as u64,
                    mailbox: printable(&hold.mailbox_name),
                });
                Self { holds: holds.collect(), ..Self::default() }
            }
        };
        (!batch.mailboxes.is_empty() || !batch.holds.is_empty()).then_some(batch)
    }

    fn join(&mut self, other: Self) {
        self.mailboxes.extend(other.mailboxes);
        self.new += other.new;
        self.files.extend(other.files);
        self.holds.extend(other.holds);
    }
}

impl When {
    const ALL: [Self; 3] = [Self::Change, Self::NewMail, Self::Hold];

    /// As the config calls it.
    fn key(self) -> &'static str {
        match self {
            Self::Change => "on_change",
            Self::NewMail => "new_mail",
            Self::Hold => "on_hold",
        }
    }

    fn program(self, account: &Account) -> &[String] {
        match self {
            Self::Change => &account.on_change,
            Self::NewMail => &account.new_mail,
            Self::Hold => &account.on_hold,
        }
    }
}

/// The programs of an account. None runs twice at a time: what happens while it runs is told to
/// its next one. They hold up no run.
#[derive(Debug)]
pub struct Hooks([Hook; 3]);

impl Hooks {
    /// The programs of this account.
    #[must_use]
    pub fn new(account: &Account) -> Self {
        let account = Rc::new(account.clone());
        Self(When::ALL.map(|when| Hook {
            when,
            account: Rc::clone(&account),
            waiting: Rc::default(),
            running: Rc::default(),
        }))
    }

    /// Tells the programs of a run, on the local task set.
    pub fn tell(&self, report: &Report) {
        self.0.iter().for_each(|hook| hook.tell(report));
    }
}

#[derive(Debug, Clone)]
struct Hook {
    when: When,
    account: Rc<Account>,
    waiting: Rc<RefCell<Option<Batch>>>,
    running: Rc<Cell<bool>>,
}

impl Hook {
    fn tell(&self, report: &Report) {
        let Some(batch) = Batch::of(self.when, report) else { return };
        if self.when.program(&self.account).is_empty() {
            return;
        }
        self.waiting.borrow_mut().get_or_insert_default().join(batch);
        if !self.running.replace(true) {
            let this = self.clone();
            tokio::task::spawn_local(async move {
                while let Some(batch) = this.next() {
                    run(this.when, &this.account, &batch).await;
                }
            });
        }
    }

    fn next(&self) -> Option<Batch> {
        let batch = self.waiting.borrow_mut().take();
        self.running.set(batch.is_some());
        batch
    }
}

/// Runs the programs of an account for what a run has to tell, and waits for them.
pub async fn run_all(account: &Account, report: &Report) {
    for when in When::ALL {
        if let Some(batch) = Batch::of(when, report) {
            run(when, account, &batch).await;
        }
    }
}

/// Runs a program with `MAILTIDE_ACCOUNT` and, for `on_hold`, once for each hold with
/// `MAILTIDE_HOLD` (its id), `MAILTIDE_KIND`, `MAILTIDE_SIDE`, `MAILTIDE_COUNT` (messages) and
/// `MAILTIDE_MAILBOX` (empty for the whole account); for the others with `MAILTIDE_MAILBOXES`
/// (one path per line), `MAILTIDE_NEW` (messages that came down) and, for `new_mail`,
/// `MAILTIDE_FILES` (their files, one per line). On standard input are all files (`new_mail`) or
/// mailboxes, each with a NUL behind it; where a variable does not hold all of them,
/// `MAILTIDE_CUT` is set. What it does wrong is said, and changes nothing.
async fn run(when: When, account: &Account, batch: &Batch) {
    for hold in &batch.holds {
        run_with(when, account, &[], |command| {
            command.env("MAILTIDE_HOLD", &hold.id).env("MAILTIDE_KIND", hold.kind);
            command.env("MAILTIDE_SIDE", hold.side).env("MAILTIDE_MAILBOX", &hold.mailbox);
            command.env("MAILTIDE_COUNT", hold.count.to_string());
        })
        .await;
    }
    if when == When::Hold {
        return;
    }
    let mailboxes: Vec<&[u8]> =
        batch.mailboxes.iter().map(|name| name.as_str().as_bytes()).collect();
    let files: Vec<&[u8]> = batch.files.iter().map(|file| file.as_os_str().as_bytes()).collect();
    let all = if when == When::NewMail { &files } else { &mailboxes };
    let input = all.iter().flat_map(|item| [item, &b"\0"[..]].concat()).collect::<Vec<u8>>();
    run_with(when, account, &input, |command| {
        let (names, cut) = lines(&mailboxes);
        command.env("MAILTIDE_MAILBOXES", names);
        command.env("MAILTIDE_NEW", batch.new.to_string());
        let mut is_cut = cut;
        if when == When::NewMail {
            let (names, cut) = lines(&files);
            command.env("MAILTIDE_FILES", names);
            is_cut |= cut;
        }
        if is_cut {
            command.env("MAILTIDE_CUT", "1");
        }
    })
    .await;
}

/// Items as lines of a variable, and whether some are left out: those that hold control
/// characters, which could pass for others, and what would make the environment too large.
fn lines(items: &[&[u8]]) -> (OsString, bool) {
    let (mut text, mut cut) = (Vec::new(), false);
    for item in items {
        if text.len() + item.len() > VARIABLE_MAX || item.iter().any(u8::is_ascii_control) {
            cut = true;
            continue;
        }
        if !text.is_empty() {
            text.push(b'\n');
        }
        text.extend_from_slice(item);
    }
    (OsString::from_vec(text), cut)
}

async fn run_with(when: When, account: &Account, input: &[u8], tell: impl FnOnce(&mut Command)) {
    let [program, arguments @ ..] = when.program(account) else { return };
    let mut command = child::command(program, arguments);
    command.env("MAILTIDE_ACCOUNT", &account.name);
    tell(&mut command);
    let (key, shown) = (when.key(), printable(program));
    match child::run(command, input, LIMIT).await {
        Ok(Ended { status: Some(status), printed }) => {
            let printed = printable(&printed);
            let colon = if printed.is_empty() { "" } else { ": " };
            match status.success() {
                true => tracing::debug!("{key}: {shown}{colon}{printed}"),
                false => tracing::warn!("{key}: {shown} ended with {status}{colon}{printed}"),
            }
        }
        Ok(Ended { status: None, .. }) => {
            tracing::warn!("{key}: {shown} took over {} s", LIMIT.as_secs());
        }
        Err(error) => tracing::warn!("{key}: cannot run {shown}: {error}"),
    }
}
