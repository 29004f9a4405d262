//! The shipped binary as an ordinary user runs it, against the simulated server over TCP.

mod besieged;
mod daemon;
mod ends;
mod full;
mod holds;
mod limits;
mod linked;
mod maildrop;
mod modes;
mod planted;
mod scale;
mod socket;
mod strict;
mod told;
mod verify;
mod words;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use kit::compare::{self, differences};
use kit::dovecot::{Client, PASSWORD};
use kit::imap::{Profile, Server};
use kit::unprivileged;
use tempfile::TempDir;

/// An account on a simulated server, and the place where mailtide mirrors it.
struct Mirror {
    server: Server,
    port: u16,
    dir: TempDir,
}

/// How a run ended and what it said, on stdout and stderr.
struct Said {
    code: i32,
    text: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text =
            String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        Self { code: output.status.code().unwrap_or(-1), text: text.into_owned() }
    }
}

impl Said {
    /// It ended with this code and said all of these.
    #[track_caller]
    fn expect(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, code, "{}", self.text);
        for part in parts {
            assert!(self.text.contains(part), "nothing of {part:?}:\n{}", self.text);
        }
    }
}

impl Mirror {
    /// Three messages in INBOX and three in Work, nothing of it mirrored yet.
    fn new() -> Self {
        let server = Server::new(Profile::qresync());
        for mailbox in ["INBOX", "Work"] {
            for n in 1..=3 {
                server.append(mailbox, &mail(&format!("{mailbox} {n}")), &["\\Seen"], Some(n));
            }
        }
        let port = server.listen_on_thread(false).unwrap();
        let mirror = Self { server, port, dir: unprivileged::directory() };
        mirror.configure("");
        mirror
    }

    /// The same, in step.
    fn in_step() -> Self {
        let mirror = Self::new();
        mirror.agree();
        mirror
    }

    /// Writes the config, with more keys for the account.
    fn configure(&self, more: &str) {
        self.configure_at(self.port, more);
    }

    /// The same, with the server looked for at another port.
    fn configure_at(&self, port: u16, more: &str) {
        let text = format!(
            "state_dir = {:?}\n[accounts.me]\nhost = \"127.0.0.1\"\nport = {}\ntls = \"none\"\n\
             user = \"me\"\npassword_env = \"MAIL_PASSWORD\"\nmaildir = {:?}\n{more}",
            self.state(),
            port,
            self.root(),
        );
        fs::write(self.config(), text).unwrap();
        unprivileged::give(&self.config());
    }

    fn config(&self) -> PathBuf {
        self.dir.path().join("config.toml")
    }

    fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("Mail")
    }

    fn command(&self) -> Command {
        let program = Path::new(env!("CARGO_BIN_EXE_mailtide"));
        let mut command = unprivileged::command(program, self.dir.path());
        self.arm(&mut command);
        command
    }

    /// Gives a command that runs mailtide its surroundings.
    fn arm(&self, command: &mut Command) {
        command.env_clear().env("HOME", self.dir.path()).env("MAIL_PASSWORD", PASSWORD);
        command.env("MAILTIDE_CONFIG", self.config());
    }

    fn run(&self, arguments: &[&str]) -> Said {
        self.command().args(arguments).output().unwrap().into()
    }

    fn sync(&self) -> Said {
        self.run(&["sync"])
    }

    /// A run that ends in agreement, and both sides are equal.
    #[track_caller]
    fn agree(&self) -> String {
        let said = self.sync();
        said.expect(0, &[]);
        let remote = compare::remote(&mut Client::connect(self.port, "me"));
        let differences = differences(&remote, &compare::maildir(&self.root()));
        assert!(differences.is_empty(), "{}\n{differences:#?}", said.text);
        said.text
    }

    /// What `--json` prints, and it ends with this code.
    #[track_caller]
    fn json(&self, code: i32, arguments: &[&str]) -> serde_json::Value {
        let output = self.command().args(arguments).arg("--json").output().unwrap();
        // `sync` tells how it goes on before; the last line is the whole report.
        let last = output.stdout.trim_ascii_end().rsplit(|&b| b == b'\n').next().unwrap();
        let document = if arguments[0] == "sync" { last } else { &output.stdout };
        let value: serde_json::Value = serde_json::from_slice(document).unwrap();
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        assert_eq!(value["exit"], code);
        value
    }

    /// Files of a mailbox, by name.
    fn files(&self, mailbox: &str) -> Vec<PathBuf> {
        let mut files = Vec::new();
        for sub in ["cur", "new"] {
            let entries = fs::read_dir(self.root().join(mailbox).join(sub)).unwrap();
            files.extend(entries.map(|entry| entry.unwrap().path()));
        }
        files.sort();
        files
    }

    /// The file of a message, by its subject.
    fn file(&self, mailbox: &str, subject: &str) -> PathBuf {
        let line = format!("Subject: {subject}\n");
        let has =
            |path: &PathBuf| String::from_utf8_lossy(&fs::read(path).unwrap()).contains(&line);
        self.files(mailbox).into_iter().find(has).unwrap()
    }

    /// Puts a message into `cur` of a mailbox as a mail reader does: whole, by a rename.
    fn deliver(&self, mailbox: &str, subject: &str) -> PathBuf {
        let dir = self.root().join(mailbox);
        let (tmp, cur) = (dir.join("tmp/written"), dir.join(format!("cur/{subject}:2,S")));
        fs::write(&tmp, String::from_utf8(mail(subject)).unwrap().replace('\r', "")).unwrap();
        unprivileged::give(&tmp);
        fs::rename(&tmp, &cur).unwrap();
        cur
    }

    /// Subjects of what the server has in a mailbox, in its order.
    fn subjects(&self, mailbox: &str) -> Vec<String> {
        let subject = |body: &[u8]| {
            let text = String::from_utf8_lossy(body).into_owned();
            text.lines().find_map(|l| l.strip_prefix("Subject: ")).unwrap_or_default().to_owned()
        };
        self.server.list(mailbox).iter().map(|message| subject(&message.body)).collect()
    }
}

/// A message by its subject.
fn mail(subject: &str) -> Vec<u8> {
    let id = subject.replace(' ', ".");
    format!("From: a@example.org\r\nSubject: {subject}\r\nMessage-ID: <{id}@x>\r\n\r\nbody\r\n")
        .into_bytes()
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

/// Sets a directory's time back, which is a change: it is looked into again.
fn touch(dir: &Path) {
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    fs::File::open(dir).unwrap().set_modified(time).unwrap();
}
