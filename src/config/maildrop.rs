//! The keys of an account with `protocol = "pop3"`, and which of the others mean nothing there.

use std::path::Path;

use super::document::{At, Complaints, Section, argv, quoted};
use super::paths::Env;
use super::settings::{Account, Keep, Maildrop};
use super::units::duration;
use crate::reconcile::types::MailboxName;

/// Keys that only a maildrop has.
const ITS_OWN: [&str; 3] = ["keep", "deliver_to", "deliver_command"];
/// Keys that speak of keeping two sides the same.
const OF_A_MIRROR: [&str; 8] = [
    "direction",
    "mailboxes",
    "on_local_delete",
    "on_remote_delete",
    "connections",
    "special_use",
    "guard",
    "on_hold",
];

const SECONDS_OF_A_DAY: u64 = 86_400;

/// Complains of keys of the account itself that its protocol has no use for.
pub(super) fn only_of(pop3: bool, s: Section<'_>, c: &mut Complaints<'_>) {
    let (keys, protocol): (&[&str], _) =
        if pop3 { (&OF_A_MIRROR, "pop3") } else { (&ITS_OWN, "imap") };
    for key in keys.iter().filter(|key| s.own.contains_key(**key)) {
        let text = format!("\"{key}\" cannot be used with protocol = \"{protocol}\"");
        c.at(s.place(key), text);
    }
    if pop3 && s.own.contains_key("deliver_command") {
        for key in ["deliver_to", "maildir"].iter().filter(|key| s.own.contains_key(**key)) {
            let text = format!("\"{key}\" cannot be used with \"deliver_command\": keep one");
            c.at(s.place(key), text);
        }
    }
}

/// What is said of the maildrop.
pub(super) fn read(s: Section<'_>, env: &Env, token: bool, c: &mut Complaints<'_>) -> Maildrop {
    let inbox = MailboxName::new(MailboxName::INBOX);
    let deliver_command = argv(s, "deliver_command", env, c).unwrap_or_default();
    if deliver_command.is_empty() && s.own.contains_key("deliver_command") {
        c.at(s.place("deliver_command"), "\"deliver_command\" is empty".to_owned());
    }
    let (mut mailbox, mut owner) = (inbox, None);
    // [defaults] may say where mail of the others goes.
    let place = if deliver_command.is_empty() { s.table("deliver_to", c) } else { None };
    if let Some(table) = place {
        table.only(&["account", "mailbox"], &[], c);
        owner = table.string("account", c).map(|item| item.value.to_owned());
        if let Some(item) = table.string("mailbox", c) {
            if is_name(item.value) {
                mailbox = MailboxName::new(item.value);
            } else {
                let text = format!("{} cannot be the name of a mailbox", quoted(item.value));
                c.at(item.at, text);
            }
        }
        if owner.is_some() && s.own.contains_key("maildir") {
            let text = "\"maildir\" cannot be used here: \"deliver_to\" names another account";
            c.at(s.place("maildir"), text.to_owned());
        }
    }
    Maildrop { mailbox, owner, keep: keep(s, c), deliver_command, token }
}

fn is_name(text: &str) -> bool {
    let fits = |level: &str| !level.is_empty() && level != "." && level != "..";
    text.split('/').all(fits) && !text.chars().any(char::is_control)
}

fn keep(s: Section<'_>, c: &mut Complaints<'_>) -> Keep {
    let Some(item) = s.string("keep", c) else { return Keep::Forever };
    let days = |text: &str| {
        let seconds = duration(text)?.as_secs();
        let days = u32::try_from(seconds / SECONDS_OF_A_DAY).ok()?;
        (seconds % SECONDS_OF_A_DAY == 0 && (1..=36_500).contains(&days)).then_some(days)
    };
    match (item.value, days(item.value)) {
        ("forever", _) => Keep::Forever,
        ("until_pulled", _) => Keep::UntilPulled,
        (_, Some(days)) => Keep::Days(days),
        (other, None) => {
            let form = "\"forever\", \"until_pulled\" or a number of days, like \"30d\"";
            c.at(item.at, format!("\"keep\" must be {form}, not {}", quoted(other)));
            Keep::Forever
        }
    }
}

/// Gives a Maildir to those that have none of their own: a guest has that of its owner, and sees
/// it as that one does; what a program is to take lies beside the state until it did.
pub(super) fn lodge(
    accounts: &mut [(At<Account>, usize)],
    state_dir: Option<&Path>,
    c: &mut Complaints<'_>,
) {
    let all: Vec<Account> = accounts.iter().map(|(account, _)| account.value.clone()).collect();
    for (lodger, at) in accounts {
        let lodger = &mut lodger.value;
        let Some(drop) = lodger.maildrop.as_ref().filter(|drop| drop.lodges()) else { continue };
        let Some(wanted) = drop.owner.as_deref() else {
            let spool = format!("{}.spool", lodger.name);
            lodger.maildir = state_dir.map(|dir| dir.join(spool)).unwrap_or_default();
            continue;
        };
        let owns = |account: &&Account| {
            let lodges = account.maildrop.as_ref().is_some_and(Maildrop::lodges);
            account.name == wanted && !lodges
        };
        if let Some(owner) = all.iter().find(owns) {
            lodger.maildir.clone_from(&owner.maildir);
            (lodger.layout, lodger.info_separator) = (owner.layout, owner.info_separator);
        } else {
            let wanted = quoted(wanted);
            let text =
                format!("{wanted} in \"deliver_to\" is no account with a Maildir of its own");
            c.at(*at, text);
        }
    }
}
