//! The shipped binary against a real Dovecot.

mod daemon;
mod days;
mod kills;
mod maildrop;
mod names;
mod poison;
mod sign_in;
mod tools;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use kit::compare::{self, differences};
use kit::corpus::{MAILBOXES, corpus};
use kit::dovecot::{Dovecot, Options, PASSWORD};

/// An account on a private server, and where mailtide mirrors it.
struct Account {
    server: Dovecot,
    dir: tempfile::TempDir,
}

impl Account {
    fn new(options: &Options) -> Self {
        let server = Dovecot::start(options);
        let dir = tempfile::Builder::new().prefix("mailtide-it-").tempdir().unwrap();
        let account = Self { server, dir };
        account.configure("");
        account
    }

    /// Writes the config, with more keys for the account.
    fn configure(&self, more: &str) {
        self.configure_at(self.server.port, more);
    }

    /// The same, with the server reached at another port.
    fn configure_at(&self, port: u16, more: &str) {
        let text = format!(
            "state_dir = {:?}\n[accounts.me]\nprotocol = \"imap\"\nhost = \"127.0.0.1\"\n\
             port = {}\ntls = \"none\"\nuser = \"me\"\npassword_env = \"MAIL_PASSWORD\"\n\
             maildir = {:?}\n{more}",
            self.dir.path().join("state"),
            port,
            self.root(),
        );
        std::fs::write(self.config(), text).unwrap();
    }

    fn config(&self) -> PathBuf {
        self.dir.path().join("config.toml")
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("Mail")
    }

    /// Fills the server with the corpus.
    fn fill(&self, seed: u64, count: usize) {
        let mut client = self.server.client("me");
        for mailbox in &MAILBOXES[1..] {
            client.command(&format!("CREATE \"{mailbox}\""));
        }
        for mail in corpus(seed, count) {
            client.append(mail.mailbox, &mail.flags, &mail.date, &mail.bytes);
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mailtide"));
        self.arm(&mut command);
        command
    }

    /// Gives a command that runs mailtide its surroundings.
    fn arm(&self, command: &mut Command) {
        command.env("MAIL_PASSWORD", PASSWORD).env_remove("RUST_LOG");
        command.env("MAILTIDE_CONFIG", self.config());
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command().args(arguments).output().unwrap()
    }

    /// Runs `sync` and gives its exit code and what it printed.
    fn sync(&self) -> (i32, String) {
        let output = self.run(&["sync"]);
        let text =
            String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        (output.status.code().unwrap_or(-1), text.into_owned())
    }

    /// A run that ends in agreement.
    #[track_caller]
    fn agree(&self) -> String {
        let (code, text) = self.sync();
        assert_eq!(code, 0, "{text}\n{}", self.server.log());
        text
    }

    fn both(&self) -> (compare::Mail, compare::Mail) {
        (compare::remote(&mut self.server.client("me")), compare::maildir(&self.root()))
    }

    #[track_caller]
    fn assert_equal(&self) {
        let (remote, local) = self.both();
        let differences = differences(&remote, &local);
        assert!(differences.is_empty(), "{differences:#?}");
    }

    fn mailbox(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }

    /// Files of a mailbox, by name.
    fn files(&self, name: &str) -> Vec<PathBuf> {
        files(&self.mailbox(name))
    }
}

fn files(mailbox: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for sub in ["cur", "new"] {
        let entries = std::fs::read_dir(mailbox.join(sub)).unwrap();
        files.extend(entries.map(|entry| entry.unwrap().path()));
    }
    files.sort();
    files
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

/// The name of a file with these flags instead of its own.
fn with_flags(path: &Path, flags: &str) -> String {
    let name = file_name(path);
    let stem = name.split(":2,").next().unwrap_or_default().to_owned();
    format!("{stem}:2,{flags}")
}
