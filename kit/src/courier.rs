//! A real Courier, POP3 or IMAP, with one user, private to one test.
//!
//! Where it was not unpacked yet, starting it fails and names `tests/run`, which does that.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::dovecot::free_port;

/// Unpacks and serves; it says how.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/courier");
/// How long a start may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// The one user.
pub const USER: &str = "old";

/// A running server; dropped, it is stopped and its directory removed.
#[derive(Debug)]
pub struct Courier {
    dir: tempfile::TempDir,
    family: Child,
    /// POP3 or IMAP on the loopback interface, without TLS.
    pub port: u16,
}

impl Courier {
    /// Returns true for root: the server switches to another user. Prints why not for others.
    #[must_use]
    pub fn can_start() -> bool {
        crate::dovecot::is_root_for("Courier")
    }

    /// Starts a server with an empty maildrop. The password is that of
    /// [Dovecot's](crate::dovecot::PASSWORD).
    ///
    /// # Panics
    /// If Courier was not unpacked or does not start.
    #[must_use]
    pub fn start() -> Self {
        Self::serve("serve")
    }

    /// The same by IMAP.
    ///
    /// # Panics
    /// If Courier was not unpacked or does not start.
    #[must_use]
    pub fn start_imap() -> Self {
        Self::serve("serve_imap")
    }

    fn serve(how: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("mailtide-courier-").tempdir().expect("temp dir");
        let port = free_port();
        let log = fs::File::create(dir.path().join("start.log")).expect("a file");
        let mut command = Command::new(SCRIPT);
        command.arg(how).arg(dir.path()).arg(port.to_string());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let family = command.spawn().expect("bash");
        let mut server = Self { dir, family, port };
        let until = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = server.family.try_wait().expect("a child").is_some();
            assert!(
                !ended && Instant::now() < until,
                "Courier did not start (tests/run unpacks it):\n{}",
                server.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }

    /// All mail goes, as for a new user.
    ///
    /// # Panics
    /// Where it cannot be removed.
    pub fn clear(&self) {
        fs::remove_dir_all(self.maildir()).expect("a Maildir");
        for sub in ["", "cur", "new", "tmp"] {
            fs::create_dir(self.maildir().join(sub)).expect("room");
        }
    }

    fn maildir(&self) -> PathBuf {
        self.dir.path().join("Maildir")
    }

    /// A message arrives; its lines end in LF, as its system's do.
    ///
    /// # Panics
    /// Where it cannot be written.
    pub fn deliver(&self, name: &str, body: &[u8]) {
        let tmp = self.maildir().join("tmp").join(name);
        fs::write(&tmp, body).expect("room");
        fs::rename(tmp, self.maildir().join("new").join(name)).expect("a Maildir");
    }

    /// The bodies that are in the maildrop, as its system has them.
    ///
    /// # Panics
    /// Where they cannot be read.
    #[must_use]
    pub fn bodies(&self) -> Vec<Vec<u8>> {
        let list = |sub: &str| fs::read_dir(self.maildir().join(sub)).expect("a Maildir");
        let entries = list("new").chain(list("cur"));
        entries.map(|entry| fs::read(entry.expect("an entry").path()).expect("a file")).collect()
    }

    /// What it logged, for the message of a failed test.
    #[must_use]
    pub fn log(&self) -> String {
        let read = |name: &str| fs::read_to_string(self.dir.path().join(name)).unwrap_or_default();
        ["start.log", "auth.log", "log"].map(read).concat()
    }

    /// Its directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.dir.path()
    }
}

impl Drop for Courier {
    fn drop(&mut self) {
        // The others of its family end with it.
        let _ = self.family.kill();
        let _ = self.family.wait();
    }
}
