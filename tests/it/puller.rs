//! The shipped binary with an account that pulls from a real server, as user "old".

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use kit::compare::content;
use kit::dovecot::PASSWORD;

/// An account that pulls, and its surroundings.
pub(crate) struct Puller {
    pub(crate) dir: tempfile::TempDir,
    port: u16,
}

impl Puller {
    pub(crate) fn new(port: u16) -> Self {
        Self { dir: tempfile::Builder::new().prefix("mailtide-it-").tempdir().unwrap(), port }
    }

    /// Writes the config: `more` of the account that pulls, and whole accounts behind it.
    pub(crate) fn configure(&self, more: &str, accounts: &str) {
        let text = format!(
            "state_dir = {:?}\n[defaults]\nhost = \"127.0.0.1\"\ntls = \"none\"\n\
             password_env = \"MAIL_PASSWORD\"\n[accounts.old]\nprotocol = \"pop3\"\nport = {}\n\
             user = \"old\"\n{more}\n{accounts}",
            self.dir.path().join("state"),
            self.port,
        );
        fs::write(self.dir.path().join("config.toml"), text).unwrap();
    }

    /// The account has a Maildir of its own.
    pub(crate) fn own(&self, more: &str) {
        self.configure(&format!("maildir = {:?}\n{more}", self.root()), "");
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.dir.path().join("Mail")
    }

    pub(crate) fn arm(&self, command: &mut Command) {
        command.env("MAIL_PASSWORD", PASSWORD).env_remove("RUST_LOG");
        command.env("MAILTIDE_CONFIG", self.dir.path().join("config.toml"));
    }

    /// A command that ends with 0; gives what it said. `log` is what the server has to say.
    #[track_caller]
    pub(crate) fn run(&self, arguments: &[&str], log: &dyn Fn() -> String) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mailtide"));
        self.arm(&mut command);
        let output = command.args(arguments).output().unwrap();
        let text =
            String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{text}\n{}", log());
        text.into_owned()
    }

    /// What lies in the INBOX on disk, by content.
    pub(crate) fn here(&self) -> BTreeMap<String, usize> {
        census(files(&self.root().join("INBOX")).iter().map(|file| fs::read(file).unwrap()))
    }
}

fn files(mailbox: &Path) -> Vec<PathBuf> {
    let entries = ["cur", "new"].map(|sub| fs::read_dir(mailbox.join(sub)));
    entries.into_iter().flatten().flatten().map(|entry| entry.unwrap().path()).collect()
}

/// How often each content is there. POP3 gives every message an end of its last line.
pub(crate) fn census(bodies: impl IntoIterator<Item = Vec<u8>>) -> BTreeMap<String, usize> {
    let mut census = BTreeMap::new();
    for mut body in bodies {
        if !body.ends_with(b"\n") {
            body.extend_from_slice(b"\r\n");
        }
        *census.entry(content(&body)).or_default() += 1;
    }
    census
}
