//! A real Cyrus, with as many users as are asked for, private to one test.
//!
//! Where it was not unpacked yet, starting it fails and names `tests/run`, which does that.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::dovecot::free_port;

/// Unpacks and serves; it says how.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/cyrus");
/// Time limit for a start and for each answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running server; dropped, it is stopped and its directory removed.
#[derive(Debug)]
pub struct Cyrus {
    dir: tempfile::TempDir,
    family: Mutex<Child>,
    /// IMAP on the loopback interface, without TLS. Any password is right.
    pub port: u16,
}

impl Cyrus {
    /// Returns true for root: the server switches to another user. Prints why not for others.
    #[must_use]
    pub fn can_start() -> bool {
        crate::dovecot::is_root_for("Cyrus")
    }

    /// Starts a server without users.
    ///
    /// # Panics
    /// If Cyrus was not unpacked or does not start.
    #[must_use]
    pub fn start() -> Self {
        let dir = tempfile::Builder::new().prefix("mailtide-cyrus-").tempdir().expect("temp dir");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("our own");
        let port = free_port();
        let family = Mutex::new(family(&dir, port));
        let server = Self { dir, family, port };
        server.wait();
        server
    }

    /// Ends it without a word and starts it again.
    ///
    /// # Panics
    /// If it does not start.
    pub fn restart(&self) {
        let mut child = self.family.lock().unwrap_or_else(PoisonError::into_inner);
        end(&mut child);
        *child = family(&self.dir, self.port);
        drop(child);
        self.wait();
    }

    fn wait(&self) {
        let until = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let mut child = self.family.lock().unwrap_or_else(PoisonError::into_inner);
            let ended = child.try_wait().expect("a child").is_some();
            assert!(
                !ended && Instant::now() < until,
                "Cyrus did not start (tests/run unpacks it):\n{}",
                fs::read_to_string(self.dir.path().join("start.log")).unwrap_or_default()
            );
            drop(child);
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Makes a user whose only mailbox is an empty INBOX.
    ///
    /// # Panics
    /// If the server refuses.
    pub fn add_user(&self, user: &str) {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).expect("a server");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time");
        let mut lines = BufReader::new(stream.try_clone().expect("a socket")).lines();
        let mut stream = stream;
        for (tag, command) in
            [("a", "LOGIN admin any".to_owned()), ("b", format!("CREATE user/{user}"))]
        {
            stream.write_all(format!("{tag} {command}\r\n").as_bytes()).expect("a server");
            let answer = lines.by_ref().map(|line| line.expect("an answer"));
            let answer = answer.into_iter().find(|line| line.starts_with(&format!("{tag} ")));
            assert!(answer.as_ref().is_some_and(|line| line[2..].starts_with("OK")), "{answer:?}");
        }
    }
}

fn family(dir: &tempfile::TempDir, port: u16) -> Child {
    let log = fs::File::create(dir.path().join("start.log")).expect("a file");
    let mut command = Command::new(SCRIPT);
    command.arg("serve").arg(dir.path()).arg(port.to_string());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    command.spawn().expect("bash")
}

fn end(family: &mut Child) {
    // The others of its family end with it.
    let _ = family.kill();
    let _ = family.wait();
}

impl Drop for Cyrus {
    fn drop(&mut self) {
        end(&mut self.family.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
