//! `mailtide check`: what the config means, without connecting to anything.

use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;

use crate::cli::exit::Exit;
use crate::cli::output::{Style, bytes, took};
use crate::config::{Account, Config, Direction, Keep, Maildrop};
use crate::reconcile::types::{GuardLimits, OnLocalDelete, OnRemoteDelete, Tls, printable};

/// What `check` found.
#[derive(Debug, Serialize)]
pub(super) struct Checked {
    /// The file that was read.
    config: String,
    /// Where state is kept.
    state_dir: String,
    accounts: Vec<CheckedAccount>,
}

/// What `check` found for one account.
#[derive(Debug, Serialize)]
struct CheckedAccount {
    account: String,
    /// What a run would do, one sentence each.
    means: Vec<String>,
    /// What would make a run fail.
    problems: Vec<String>,
}

impl Checked {
    /// Looks at the config and at the files it names.
    pub(super) fn of(config: &Config) -> Self {
        let accounts = config.accounts.iter().map(|account| CheckedAccount {
            account: account.name.clone(),
            means: means(config, account),
            problems: problems(account),
        });
        Self {
            config: config.path.to_string_lossy().into_owned(),
            state_dir: config.state_dir.to_string_lossy().into_owned(),
            accounts: accounts.collect(),
        }
    }

    /// 2 when a run would surely fail.
    pub(super) fn exit(&self) -> Exit {
        let well = self.accounts.iter().all(|account| account.problems.is_empty());
        if well { Exit::InSync } else { Exit::Usage }
    }

    /// In words; with `quiet` only what is wrong.
    pub(super) fn words(&self, quiet: bool, style: Style) -> String {
        let mut out = String::new();
        if !quiet {
            let _ = writeln!(out, "config  {}", printable(&self.config));
            let _ = writeln!(out, "state   {}", printable(&self.state_dir));
        }
        for account in self.accounts.iter().filter(|a| !quiet || !a.problems.is_empty()) {
            let _ = writeln!(out, "{}", style.bold(&account.account));
            for line in account.means.iter().filter(|_| !quiet) {
                let _ = writeln!(out, "  {}", printable(line));
            }
            for line in &account.problems {
                let _ = writeln!(out, "  {} {}", style.red("problem:"), printable(line));
            }
        }
        out
    }
}

fn means(config: &Config, account: &Account) -> Vec<String> {
    let tls = match account.tls {
        Tls::Implicit => "over TLS",
        Tls::StartTls if account.maildrop.is_some() => "with STLS",
        Tls::StartTls => "with STARTTLS",
        Tls::None => "in the clear",
    };
    let trust = match (account.tls, &account.tls_pin, &account.tls_ca) {
        (Tls::None, ..) | (_, None, None) => "",
        (_, Some(_), _) => ", trusting one key only",
        (_, None, Some(_)) => ", trusting tls_ca too",
    };
    let Account { host, port, user, .. } = account;
    let secret = match &account.maildrop {
        Some(drop) if drop.token => "access token",
        _ => "password",
    };
    let mut lines = vec![
        format!("signs in to {host}, port {port}, {tls}{trust}, as {user}"),
        format!("gets the {secret} from {}", account.secret.describe()),
    ];
    lines.extend(match &account.maildrop {
        Some(drop) => of_maildrop(config, account, drop),
        None => of_mirror(account),
    });
    lines.push(format!(
        "sets messages above {} aside, keeps {} of the disk free, gives up after {} of silence",
        bytes(account.max_message_size),
        bytes(account.min_free),
        took(account.timeout)
    ));
    if let Some(program) = account.on_change.first() {
        lines.push(format!("runs {program} after local changes"));
    }
    if let Some(program) = account.new_mail.first() {
        lines.push(format!("runs {program} after new mail came"));
    }
    if let Some(program) = account.on_hold.first() {
        lines.push(format!("runs {program} when something is held"));
    }
    lines
}

fn of_mirror(account: &Account) -> Vec<String> {
    let maildir = account.maildir.display();
    let mut lines = vec![match account.direction {
        Direction::Both => format!("keeps {maildir} and the server the same"),
        Direction::Pull => format!("copies the server to {maildir} and never changes the server"),
    }];
    if account.direction == Direction::Both {
        lines.push(match account.on_local_delete {
            OnLocalDelete::Trash => "deleted here: moved to the trash of the server".to_owned(),
            OnLocalDelete::Expunge => "deleted here: expunged on the server, for good".to_owned(),
            OnLocalDelete::Keep => "deleted here: kept on the server".to_owned(),
        });
    }
    lines.push(match account.on_remote_delete {
        OnRemoteDelete::Remove => "deleted on the server: moved to .mailtide/trash here".to_owned(),
        OnRemoteDelete::Keep => "deleted on the server: kept here".to_owned(),
    });
    lines.push(format!(
        "{} may leave a mailbox within 24 hours without your yes",
        most(account.guard)
    ));
    lines
}

/// Describes the limit of messages that may leave a mailbox within 24 hours.
fn most(GuardLimits { percent, messages, always }: GuardLimits) -> String {
    let always = always.min(messages);
    let count = |n: u64| format!("{n} message{}", if n == 1 { "" } else { "s" });
    match (messages, percent) {
        (0, _) => "no message".to_owned(),
        (_, 0) if always == 0 => "no message".to_owned(),
        (_, 0) => format!("at most {}", count(always)),
        (_, 100) => format!("at most {}", count(messages)),
        _ if always == messages => format!("at most {}", count(messages)),
        _ if always == 0 => {
            format!("at most {percent} % of its messages, and at most {messages} in all,")
        }
        _ => format!(
            "at most {percent} % of its messages (or {always}, if that is more), and at most \
             {messages} in all,"
        ),
    }
}

fn of_maildrop(config: &Config, account: &Account, drop: &Maildrop) -> Vec<String> {
    let (mailbox, maildir) = (&drop.mailbox, account.maildir.display());
    let owner = drop.owner.as_deref().and_then(|owner| config.account(owner));
    let place = match (drop.deliver_command.first(), owner) {
        (Some(program), _) => format!("gives each new message to {program}, and never two at once"),
        (None, Some(Account { name, mailboxes, .. })) if mailboxes.mirror(mailbox) => {
            format!("pulls new mail into {mailbox} of {name}, which takes it to its own server")
        }
        (None, Some(Account { name, .. })) => {
            format!("pulls new mail into {mailbox} of {name}, which does not mirror that mailbox")
        }
        (None, None) => format!("pulls new mail into {mailbox} of {maildir}"),
    };
    let kept = match drop.keep {
        Keep::Forever => "what was pulled: kept on the server".to_owned(),
        Keep::UntilPulled => "what was pulled: deleted from the server once it is safe".to_owned(),
        Keep::Days(days) => {
            format!(
                "what was pulled: deleted from the server after {days} days of being seen there"
            )
        }
    };
    vec![place, kept]
}

fn problems(account: &Account) -> Vec<String> {
    let mut lines = Vec::new();
    if let Err(error) = account.secret.probe() {
        lines.push(error.to_string());
    }
    if let Some(ca) = &account.tls_ca
        && let Err(error) = std::fs::File::open(ca)
    {
        lines.push(format!("tls_ca {}: {error}", ca.display()));
    }
    if let Some(reason) = no_directory(&account.maildir) {
        lines.push(format!("maildir {}: {reason}", account.maildir.display()));
    }
    lines
}

/// Why a directory could not be used or made.
fn no_directory(path: &Path) -> Option<String> {
    for place in path.ancestors() {
        match std::fs::metadata(place) {
            Ok(meta) if meta.is_dir() => return None,
            Ok(_) => return Some(format!("{} is not a directory", place.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Some(error.to_string()),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Env;

    #[test]
    fn a_config_in_words() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("file"), "").unwrap();
        let text = r#"
[accounts.good]
host = "imap.example.org"
user = "me"
password_command = ["pass", "show", "hunter2"]
maildir = "DIR/new/mail"
[accounts.bad]
host = "localhost"
user = "me"
tls = "none"
direction = "pull"
on_remote_delete = "keep"
password_env = "MAILTIDE_TEST_UNSET"
tls_ca = "DIR/ca.pem"
maildir = "DIR/file/mail"
on_change = ["notmuch", "new"]
[accounts.old]
protocol = "pop3"
host = "pop.example.org"
user = "me"
auth = "xoauth2"
password_command = ["token"]
deliver_to = { account = "good", mailbox = "Old" }
keep = "30d"
[accounts.handed]
protocol = "pop3"
host = "localhost"
user = "me"
tls = "starttls"
password_command = ["pass"]
deliver_command = ["/usr/bin/maildrop", "-d"]
keep = "until_pulled"
"#;
        let place = dir.path().to_string_lossy();
        let env = Env::of(Path::new("/home/me"), &[]);
        let config = Config::parse(&text.replace("DIR", &place), Path::new("c.toml"), 0o600, &env);
        let checked = Checked::of(&config.unwrap());
        assert_eq!(checked.exit(), Exit::Usage);
        let shown = checked.words(false, Style::PLAIN).replace(&*place, "DIR");
        let expected = "\
config  c.toml
state   /home/me/.local/state/mailtide
good
  signs in to imap.example.org, port 993, over TLS, as me
  gets the password from password_command \"pass\"
  keeps DIR/new/mail and the server the same
  deleted here: moved to the trash of the server
  deleted on the server: moved to .mailtide/trash here
  at most 20 % of its messages (or 50, if that is more), and at most 1000 in all, may leave a mailbox within 24 hours without your yes
  sets messages above 1.0 GB aside, keeps 100 MB of the disk free, gives up after 1 min 0 s of silence
bad
  signs in to localhost, port 143, in the clear, as me
  gets the password from password_env MAILTIDE_TEST_UNSET
  copies the server to DIR/file/mail and never changes the server
  deleted on the server: kept here
  at most 20 % of its messages (or 50, if that is more), and at most 1000 in all, may leave a mailbox within 24 hours without your yes
  sets messages above 1.0 GB aside, keeps 100 MB of the disk free, gives up after 1 min 0 s of silence
  runs notmuch after local changes
  problem: password_env: the variable MAILTIDE_TEST_UNSET is not set
  problem: tls_ca DIR/ca.pem: No such file or directory (os error 2)
  problem: maildir DIR/file/mail: Not a directory (os error 20)
old
  signs in to pop.example.org, port 995, over TLS, as me
  gets the access token from password_command \"token\"
  pulls new mail into Old of good, which takes it to its own server
  what was pulled: deleted from the server after 30 days of being seen there
  sets messages above 1.0 GB aside, keeps 100 MB of the disk free, gives up after 1 min 0 s of silence
handed
  signs in to localhost, port 110, with STLS, as me
  gets the password from password_command \"pass\"
  gives each new message to /usr/bin/maildrop, and never two at once
  what was pulled: deleted from the server once it is safe
  sets messages above 1.0 GB aside, keeps 100 MB of the disk free, gives up after 1 min 0 s of silence
";
        assert_eq!(shown, expected);
        let quiet = checked.words(true, Style::PLAIN);
        assert!(quiet.starts_with("bad\n  problem: "), "{quiet}");
    }
}
