//! How an account stands, from its store alone: nothing is connected to or changed.

use super::exit::Exit;
use super::failure::exit_of;
use super::hold_view;
use super::problem::{Named, skipped};
use super::report::{Failure, LastRun, StatusView};
use super::store::{store_failure, store_path};
use crate::account::outcome::Outcome;
use crate::account::suspects;
use crate::config::{Account, Config, Direction};
use crate::mail::scope;
use crate::reconcile::types::{MailboxId, Row, SetAsideKind};
use crate::state::{Pull, StateError, Store};

/// Messages that one account's report names; the rest are counted.
const NAMED_MAX: usize = 1000;

/// How every account stands, from its store; nothing is connected to or changed.
pub(super) fn standing(config: &Config) -> Result<Vec<StatusView>, Failure> {
    let mut views = Vec::new();
    for account in &config.accounts {
        let view = status_of(config, account).map_err(|e| store_failure(&e))?;
        views.push(view.unwrap_or_else(|| empty_view(account)));
    }
    Ok(views)
}

fn empty_view(account: &Account) -> StatusView {
    StatusView {
        account: account.name.clone(),
        remote: {
            let protocol = if account.maildrop.is_some() { " by POP3" } else { "" };
            format!("{} at {}{protocol}", account.user, account.host)
        },
        maildir: account.maildir.display().to_string(),
        ..StatusView::default()
    }
}

/// How one account stands; none where it has no store yet.
pub(super) fn status_of(
    config: &Config,
    account: &Account,
) -> Result<Option<StatusView>, StateError> {
    let Some(store) = Store::open_existing_readonly(&store_path(config, account))? else {
        return Ok(None);
    };
    store.snapshot(|_| view(account, &store)).map(Some)
}

/// How an account that pulls stands.
fn drop_view(account: &Account, store: &Store) -> Result<StatusView, StateError> {
    let counts = store.drop_counts()?;
    let left = store.drop_left(NAMED_MAX)?.into_iter().filter_map(|row| {
        let Pull::Left(words, _) = row.pull else { return None };
        let size = row.size.map_or_else(String::new, |size| format!(", {size} bytes"));
        let message = row.uidl.map(|uidl| format!("UIDL {uidl}{size}"));
        let what = "stays on the server: it is not pulled".to_owned();
        Some(Named { mailbox: account.host.clone(), message, what, words })
    });
    let short = store.drop_short(NAMED_MAX)?.into_iter().map(|row| {
        let size = row.size.map_or_else(String::new, |size| format!(", {size} bytes"));
        Named {
            mailbox: account.host.clone(),
            message: row.uidl.map(|uidl| format!("UIDL {uidl}{size}")),
            what: "stays on the server: it is never deleted there".to_owned(),
            words: "the server sent fewer bytes than it announced".to_owned(),
        }
    });
    let mut set_aside: Vec<Named> = left.chain(short).collect();
    let kept = format!("{} of them are still on the server", counts.kept);
    let alike = format!(
        "{} of these {} from a pulled message only in headers that servers add: not deleted there",
        counts.alike,
        if counts.alike == 1 { "differs" } else { "differ" }
    );
    let undeletable = format!(
        "{} of these were deleted again and again, and the server has kept them",
        counts.undeletable
    );
    let notes = [(counts.kept, kept), (counts.alike, alike), (counts.undeletable, undeletable)];
    let (last_run, skipped) = last_run(store)?.unzip();
    let skipped: Vec<Named> = skipped.unwrap_or_default();
    let lost = lost(store, &skipped)?;
    let problems = named_once(&mut set_aside, skipped.into_iter().chain(lost), |aside| {
        // One without an id is known by what happened to it.
        let Some(message) = &aside.message else { return Some("UIDL ".to_owned()) };
        Some(message.split(", ").next().unwrap_or(message).to_owned())
    });
    Ok(StatusView {
        last_run,
        mailboxes: 1,
        messages: counts.pulled,
        set_aside,
        problems,
        notes: notes.into_iter().filter(|(n, _)| *n > 0).map(|(_, note)| note).collect(),
        ..empty_view(account)
    })
}

fn view(account: &Account, store: &Store) -> Result<StatusView, StateError> {
    if account.maildrop.is_some() {
        return drop_view(account, store);
    }
    let counts = store.counts()?;
    let mailboxes = store.mailboxes()?;
    let name = |id: MailboxId| {
        let found = mailboxes.iter().find(|mailbox| mailbox.id == id);
        found.map_or_else(String::new, |mailbox| mailbox.name.as_str().to_owned())
    };
    let rows = store.set_aside_rows(NAMED_MAX)?;
    let mut set_aside: Vec<Named> =
        rows.iter().filter_map(|row| named(row, &name(row.mailbox))).collect();
    let problems = mailboxes.iter().filter_map(|mailbox| {
        mailbox.problem.as_ref().map(|words| Named {
            mailbox: mailbox.name.as_str().to_owned(),
            message: None,
            what: "cannot be kept in sync".to_owned(),
            words: words.clone(),
        })
    });
    let (last_run, skipped) = last_run(store)?.unzip();
    let skipped: Vec<Named> = skipped.unwrap_or_default();
    let lost = lost(store, &skipped)?;
    let skipped = named_once(&mut set_aside, skipped.into_iter().chain(lost), |aside| {
        Some(format!("{}: {}", aside.mailbox, aside.message.as_ref()?))
    });
    Ok(StatusView {
        last_run,
        mailboxes: counts.mailboxes,
        messages: counts.messages.saturating_sub(counts.unsettled + counts.new_remotes),
        waiting: counts.unsettled + counts.new_remotes,
        unsent: match account.direction {
            Direction::Pull => scope::unsent(store)?,
            Direction::Both => 0,
        },
        set_aside,
        problems: problems.chain(skipped).collect(),
        holds: store.holds()?.iter().map(|hold| hold_view::view(account, hold)).collect(),
        ..empty_view(account)
    })
}

/// Returns the problems that are no set-aside messages: a message is named once, with all that is
/// known of it. `key` returns how a problem begins that is that of such a message.
fn named_once(
    set_aside: &mut [Named],
    problems: impl Iterator<Item = Named>,
    key: impl Fn(&Named) -> Option<String>,
) -> Vec<Named> {
    let is_same = |aside: &mut Named, problem: &Named| -> bool {
        let Some(key) = key(aside) else { return false };
        let Some(rest) = problem.mailbox.strip_prefix(&key) else { return false };
        let goes_on =
            key.ends_with(char::is_alphanumeric) && rest.starts_with(|c: char| c.is_alphanumeric());
        if goes_on || !problem.words.contains(&aside.words) {
            return false;
        }
        aside.words.clone_from(&problem.words);
        match &mut aside.message {
            Some(message) if !message.contains('"') => {
                let title = rest.find('"').map(|at| &rest[at..]).unwrap_or_default();
                *message += if title.is_empty() { "" } else { ", " };
                *message += title;
            }
            Some(_) => {}
            none => *none = Some(problem.mailbox.clone()),
        }
        true
    };
    let mut left = Vec::new();
    for problem in problems {
        if !set_aside.iter_mut().any(|aside| is_same(aside, &problem)) {
            left.push(problem);
        }
    }
    left
}

/// What connections were lost at, also where the last run did not ask for it.
fn lost(store: &Store, known: &[Named]) -> Result<Vec<Named>, StateError> {
    let lost = suspects::named(store)?.into_iter();
    let lost = lost.map(|(_, what, why)| skipped(&what, &why));
    Ok(lost.filter(|named| !known.contains(named)).collect())
}

/// The last run, and what it skipped.
fn last_run(store: &Store) -> Result<Option<(LastRun, Vec<Named>)>, StateError> {
    let ended = store.last_runs(8)?.into_iter().find(|run| run.ended.is_some());
    Ok(ended.map(|run| {
        let outcome = run.outcome.as_deref().and_then(Outcome::parse);
        let exit = exit_of_run(outcome.as_ref());
        let Outcome { failure, skipped: skips, .. } = outcome.unwrap_or_default();
        let skips = skips.iter().map(|(what, why)| skipped(what, why)).collect();
        (LastRun { at: run.ended.unwrap_or(run.started), exit, failure }, skips)
    }))
}

/// How a run ended. Of one whose outcome cannot be read nobody can say that all was well.
fn exit_of_run(outcome: Option<&Outcome>) -> Exit {
    let Some(Outcome { failure, kind, skipped, interrupted, held }) = outcome else {
        return Exit::Incomplete;
    };
    match (failure, kind) {
        _ if *interrupted => Exit::Interrupted,
        (_, Some(kind)) => exit_of(*kind),
        (Some(_), None) => Exit::Incomplete,
        _ if *held => Exit::Held,
        _ if skipped.is_empty() => Exit::InSync,
        _ => Exit::Incomplete,
    }
}

fn named(row: &Row, mailbox: &str) -> Option<Named> {
    let aside = row.set_aside.as_ref()?;
    let what = match aside.kind {
        SetAsideKind::Push => "stays here: the server does not take it",
        SetAsideKind::Fetch => "stays on the server: it does not give it",
        SetAsideKind::Remove => "stays on the server: it does not remove it",
        SetAsideKind::Read => "stays here: it cannot be read as a message",
        SetAsideKind::Undecided => "stays here: the server may have it already",
        SetAsideKind::Kept => return None,
    };
    let file = row.local.as_ref().map(|local| format!("{:?}", local.stem));
    let message =
        file.or_else(|| row.remote.as_ref().map(|remote| format!("UID {}", remote.uid.0)));
    Some(Named {
        mailbox: mailbox.to_owned(),
        message,
        what: what.to_owned(),
        words: aside.words.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_no_better_than_what_is_known_of_it() {
        let exit = |text: &str| exit_of_run(Outcome::parse(text).as_ref());
        assert_eq!(exit("{}"), Exit::InSync);
        assert_eq!(exit(r#"{"held":true,"skipped":[["a","b"]]}"#), Exit::Held);
        assert_eq!(exit(r#"{"failure":"x","kind":"locked"}"#), Exit::Locked);
        // As an older version wrote it, as a newer one might, and what is no outcome at all.
        assert_eq!(exit(r#"{"failure":"x"}"#), Exit::Incomplete);
        assert_eq!(exit(r#"{"failure":"x","kind":"quota"}"#), Exit::Incomplete);
        assert_eq!(exit(""), Exit::Incomplete);
    }

    #[test]
    fn a_message_is_named_once() {
        let aside = |mailbox: &str, message: Option<&str>| Named {
            mailbox: mailbox.to_owned(),
            message: message.map(str::to_owned),
            what: "stays on the server".to_owned(),
            words: "no answer".to_owned(),
        };
        let key = |aside: &Named| match &aside.message {
            Some(message) => Some(format!("{}: {message}", aside.mailbox)),
            None => Some("UIDL ".to_owned()),
        };
        let problems = |list: &[&str]| -> Vec<Named> {
            list.iter().map(|what| skipped(what, "no answer (twice)")).collect()
        };
        let listed = problems(&["Bad: UID 8, \"x\"", "Bad: UID 81", "Bad", "UIDL a, \"y\""]);
        let mut set_aside = [aside("Bad", Some("UID 8")), aside("host", None)];
        let left = named_once(&mut set_aside, listed.into_iter(), key);
        assert_eq!(left, problems(&["Bad: UID 81", "Bad"]));
        assert_eq!(set_aside[0].message.as_deref(), Some("UID 8, \"x\""));
        assert_eq!(set_aside[1].message.as_deref(), Some("UIDL a, \"y\""));
        assert_eq!(set_aside[0].words, "no answer (twice)");
        // Another trouble with the same message is another thing.
        let other = vec![skipped("Bad: UID 8", "UID STORE: refused")];
        assert_eq!(named_once(&mut set_aside, other.clone().into_iter(), key), other);
    }
}
