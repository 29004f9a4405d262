//! What people type.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand};

use crate::config::{Config, nearest};
use crate::daemon::volume::Level;
use crate::reconcile::types::{MailboxName, printable};

/// Mirrors mailboxes to local Maildirs and keeps both sides the same.
#[derive(Debug, Parser)]
#[command(
    name = "mailtide",
    version,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "Start here:\n  mailtide check           is the config right, and what would it do?\n  \
                  mailtide sync --dry-run  what would change, on both sides?\n  \
                  mailtide sync            do it\n\n\
                  The config is ~/.config/mailtide/config.toml; config.example.toml explains it.\n\
                  Exit codes: 0 in sync, 1 incomplete, 2 usage or config, 3 no connection or \
                  sign-in,\n4 changes await approval, 5 another mailtide is active, 130 \
                  interrupted."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// What every command takes.
    #[command(flatten)]
    pub global: Global,
}

/// Options of every command.
#[derive(Debug, Args)]
pub struct Global {
    /// The config file [default: $MAILTIDE_CONFIG, or ~/.config/mailtide/config.toml].
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print JSON for programs instead of text for people.
    #[arg(long, global = true)]
    pub json: bool,
    /// Print only what went wrong.
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Log actions on stderr; -vv also logs reasons. RUST_LOG overrides it.
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Sync both sides, once.
    ///
    /// Nothing is lost if it is interrupted: the next run goes on where it stopped. While
    /// `mailtide run` is active, that does the work, and always for whole accounts.
    #[command(after_help = "Examples:\n  mailtide sync                  all accounts\n  \
                            mailtide sync work             one account\n  \
                            mailtide sync work/Lists/rust  one mailbox\n  \
                            mailtide sync --dry-run        only say what would be done")]
    Sync {
        /// Accounts or single mailboxes; all accounts if none is given.
        #[arg(value_name = "ACCOUNT[/MAILBOX]")]
        targets: Vec<Target>,
        /// Look at both sides and say what would be done; change nothing.
        #[arg(long, short = 'n')]
        dry_run: bool,
    },
    /// Check that everything is as it should be; change nothing.
    ///
    /// Rereads every file, lists all messages on the server, and reports what differs: files whose
    /// content is no longer what was transferred, and what a sync would fix.
    #[command(after_help = "Examples:\n  mailtide verify                all accounts\n  \
                            mailtide verify work/Archive   one mailbox\n  \
                            mailtide verify --bodies work  also fetch and compare each message")]
    Verify {
        /// Accounts or single mailboxes; all accounts if none is given.
        #[arg(value_name = "ACCOUNT[/MAILBOX]")]
        targets: Vec<Target>,
        /// Also fetch and compare the messages on the server.
        #[arg(long)]
        bodies: bool,
    },
    /// Keep all accounts in sync until stopped: changes on one side appear on the other.
    ///
    /// Stays in the foreground and logs to stderr, as service managers want it. SIGTERM or
    /// Ctrl-C ends it (a second one at once), SIGHUP reads the config again, SIGUSR1 syncs now.
    #[command(
        after_help = "Examples:\n  mailtide run                 in a terminal, to see it work\n  \
                            mailtide run --quiet         only what goes wrong\n  \
                            mailtide status              meanwhile, elsewhere"
    )]
    Run,
    /// Leave an account, or all, alone until `resume`. Needs `mailtide run`.
    #[command(after_help = "Example:\n  mailtide pause work")]
    Pause {
        /// The account; all if none is given.
        account: Option<String>,
    },
    /// Undo `pause`.
    #[command(after_help = "Example:\n  mailtide resume work")]
    Resume {
        /// The account; all if none is given.
        account: Option<String>,
    },
    /// Show each account: last run, what is pending, what was skipped and why.
    #[command(
        after_help = "Examples:\n  mailtide status --watch    as it happens, until Ctrl-C\n  \
                            mailtide status --json | jq '.accounts[].set_aside'"
    )]
    Status {
        /// Show what `mailtide run` is doing, again after each change.
        #[arg(long, short)]
        watch: bool,
    },
    /// Set how much `mailtide run` logs, for one account or for all, until it is restarted.
    ///
    /// `trace` shows every line to and from the server, without passwords and bodies.
    #[command(after_help = "Examples:\n  mailtide log trace work\n  \
                            mailtide log default    as it was started")]
    Log {
        /// How much.
        #[arg(value_enum)]
        level: Level,
        /// The account; all if none is given.
        account: Option<String>,
    },
    /// List what waits for your yes or no, with some of the messages.
    ///
    /// When unusually many messages would be deleted, copied or lose flags, mailtide asks before
    /// doing so. Everything else continues.
    #[command(after_help = "Examples:\n  mailtide holds\n  mailtide holds work   one account")]
    Holds {
        /// The account; all if none is given.
        account: Option<String>,
    },
    /// Approve one held change; the next sync applies it.
    #[command(after_help = "Example:\n  mailtide holds           # shows the IDs\n  \
                            mailtide approve 7f3a21  # exactly those messages, no others")]
    Approve {
        /// The ID that `mailtide holds` shows, or a unique prefix of it.
        id: String,
    },
    /// Reject one held change; the next sync undoes it.
    #[command(after_help = "Example:\n  mailtide reject 7f3a21")]
    Reject {
        /// The ID that `mailtide holds` shows, or a unique prefix of it.
        id: String,
    },
    /// Read the config and say what it means; connect to nothing, change nothing.
    #[command(after_help = "Example:\n  mailtide check --config ./config.toml")]
    Check,
    /// Take over a Maildir that another program or another mailtide has filled.
    ///
    /// Messages on both sides are matched without a transfer; those on one side only are kept,
    /// and the next sync adds them to the other. Nothing is deleted.
    #[command(after_help = "Example:\n  mailtide adopt work   # then: mailtide sync work")]
    Adopt {
        /// The account whose Maildir is taken over.
        account: String,
    },
    /// Run `mailtide run` as a systemd or launchd service.
    #[command(
        subcommand_required = true,
        arg_required_else_help = true,
        after_help = "Examples:\n  mailtide service install --now  from now on, after each sign-in\n  \
                      mailtide service status         is it there, does it run?\n  \
                      mailtide service uninstall --now"
    )]
    Service {
        /// What to do with the service.
        #[command(subcommand)]
        action: ServiceAction,
    },
}

/// What is done with the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub enum ServiceAction {
    /// Write the file that your service manager reads, for this program and config.
    ///
    /// systemd: ~/.config/systemd/user/mailtide.service. macOS: an agent below
    /// ~/Library/LaunchAgents. A file that you changed is left alone.
    #[command(after_help = "Examples:\n  \
                            mailtide service install        # says what is left to do\n  \
                            mailtide service install --now  # does that, too\n  \
                            mailtide service install --config ~/mail.toml")]
    Install {
        /// Start it now, and after each sign-in.
        #[arg(long)]
        now: bool,
        /// Write it even over a file that was changed or that mailtide did not write.
        #[arg(long)]
        force: bool,
    },
    /// Remove the file that `install` wrote, and no other.
    #[command(after_help = "Example:\n  mailtide service uninstall --now")]
    Uninstall {
        /// Stop the service first.
        #[arg(long)]
        now: bool,
    },
    /// Show whether the service is installed, up to date and running.
    #[command(after_help = "Example:\n  mailtide service status --json | jq .service.active")]
    Status,
}

/// An account, or one mailbox of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Name of the account.
    pub account: String,
    /// The mailbox; all of them if none.
    pub mailbox: Option<MailboxName>,
}

impl FromStr for Target {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (account, mailbox) = match text.split_once('/') {
            Some((account, mailbox)) => (account, Some(mailbox)),
            None => (text, None),
        };
        if account.is_empty() || mailbox.is_some_and(|path| path.split('/').any(str::is_empty)) {
            return Err("write ACCOUNT or ACCOUNT/MAILBOX, like work or work/Lists/rust");
        }
        Ok(Self { account: account.to_owned(), mailbox: mailbox.map(MailboxName::new) })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&printable(&self.account))?;
        self.mailbox.iter().try_for_each(|mailbox| write!(f, "/{mailbox}"))
    }
}

impl Target {
    /// Refuses, in words, what the config does not have or does not mirror.
    ///
    /// # Errors
    /// An unknown account; a mailbox that `mailboxes` leaves out.
    pub fn check(&self, config: &Config) -> Result<(), String> {
        let Some(account) = config.account(&self.account) else {
            return Err(unknown_account(&self.account, config));
        };
        match &self.mailbox {
            Some(mailbox) if !account.mailboxes.mirror(mailbox) => Err(format!(
                "{self} is not mirrored: \"mailboxes\" of [accounts.{}] leaves it out",
                account.name
            )),
            _ => Ok(()),
        }
    }
}

/// What to say of an account that is not in the config.
pub(super) fn unknown_account(name: &str, config: &Config) -> String {
    let names = || config.accounts.iter().map(|account| account.name.as_str());
    let hint = match nearest(name, names()) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => format!("the config has {}", names().collect::<Vec<_>>().join(", ")),
    };
    format!("no account \"{}\"; {hint}", printable(name))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::CommandFactory;

    use super::*;
    use crate::config::Env;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_an_example() {
        for command in Cli::command().get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.starts_with("Example"), "{}", command.get_name());
            assert!(help.contains(&format!("mailtide {}", command.get_name())), "{help}");
            for inner in command.get_subcommands() {
                let help = inner.get_after_help().map(ToString::to_string).unwrap_or_default();
                let line = format!("mailtide {} {}", command.get_name(), inner.get_name());
                assert!(help.starts_with("Example") && help.contains(&line), "{line}");
            }
        }
    }

    #[test]
    fn command_lines() {
        let parse = |line: &str| Cli::try_parse_from(line.split(' '));
        let Command::Sync { targets, dry_run } =
            parse("mailtide sync work/inbox/x me -n -vv --json").unwrap().command
        else {
            panic!("sync");
        };
        assert!(dry_run);
        assert_eq!(targets[0].to_string(), "work/INBOX/x");
        assert_eq!(targets[1], Target { account: "me".to_owned(), mailbox: None });
        for bad in ["mailtide", "mailtide sync /x", "mailtide sync a//b", "mailtide -q -v status"] {
            assert_eq!(parse(bad).unwrap_err().exit_code(), 2, "{bad}");
        }
        assert_eq!(parse("mailtide --help").unwrap_err().exit_code(), 0);
    }

    #[test]
    fn targets_are_checked_against_the_config() {
        let text = "[accounts.work]\nhost = \"h\"\nuser = \"u\"\npassword_env = \"P\"\n\
                    maildir = \"/m\"\nmailboxes = { exclude = [\"Spam\"] }\n";
        let env = Env::of(Path::new("/home/me"), &[]);
        let config = Config::parse(text, Path::new("c"), 0o600, &env).unwrap();
        let check = |text: &str| text.parse::<Target>().unwrap().check(&config);
        assert_eq!(check("work/Lists"), Ok(()));
        assert_eq!(
            check("work/Spam").unwrap_err(),
            "work/Spam is not mirrored: \"mailboxes\" of [accounts.work] leaves it out"
        );
        assert_eq!(check("wrok").unwrap_err(), "no account \"wrok\"; did you mean \"work\"?");
        assert_eq!(check("home").unwrap_err(), "no account \"home\"; the config has work");
    }
}
