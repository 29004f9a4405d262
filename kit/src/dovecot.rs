//! A real Dovecot, private to one test: its own ports, its own directory, stopped by its pid.
//!
//! Works as root (mail belongs to an unprivileged user then) and as an ordinary user. If
//! Dovecot is not installed, starting it fails and names `tests/run`, which installs it.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::certificate::Issued;

/// Where Debian puts it; not in an ordinary user's PATH.
const PROGRAM: &str = "/usr/sbin/dovecot";
/// Every account has this password.
pub const PASSWORD: &str = "pass";
/// How long a start or a stop may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a server is started with.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Capabilities that it does not announce, such as `QRESYNC`.
    pub without: Vec<&'static str>,
    /// A Maildir++ that the account `me` has a copy of, read by Dovecot's own driver for it.
    pub maildir: Option<PathBuf>,
    /// The INBOX of each account is a maildrop as well (POP3).
    pub pop3: bool,
    /// Where and in which format mail lies (`mdbox:~/mdbox`); none for sdbox.
    pub location: Option<&'static str>,
    /// SASL mechanisms, such as `plain scram-sha-256`; none for `plain` alone.
    pub mechanisms: Option<&'static str>,
    /// More of its configuration.
    pub more: &'static str,
}

/// A running server; dropped, it is stopped and its directory removed.
#[derive(Debug)]
pub struct Dovecot {
    dir: tempfile::TempDir,
    /// IMAP on the loopback interface, without TLS or with STARTTLS.
    pub port: u16,
    /// IMAP with TLS from the start; 0 on a server without TLS.
    pub tls_port: u16,
    /// POP3 on the loopback interface, without TLS or with STLS; 0 where it is not served.
    pub pop3_port: u16,
}

impl Dovecot {
    /// Starts a server with no account but any name: the first sign-in makes it.
    ///
    /// # Panics
    /// If Dovecot is not installed or does not start.
    #[must_use]
    pub fn start(options: &Options) -> Self {
        Self::launch(options, None)
    }

    /// The same with TLS, from the start on one port and by STARTTLS on the other.
    ///
    /// # Panics
    /// If Dovecot is not installed or does not start.
    #[must_use]
    pub fn start_tls(options: &Options, identity: &Issued) -> Self {
        Self::launch(options, Some(identity))
    }

    fn launch(options: &Options, identity: Option<&Issued>) -> Self {
        assert!(Path::new(PROGRAM).exists(), "Dovecot is not installed: run tests/run once");
        let dir = tempfile::Builder::new().prefix("mailtide-dovecot-").tempdir().expect("temp dir");
        let (port, tls_port) = (free_port(), identity.map_or(0, |_| free_port()));
        let pop3_port = if options.pop3 { free_port() } else { 0 };
        let server = Self { dir, port, tls_port, pop3_port };
        server.write_config(options, identity);
        server.begin();
        server
    }

    /// Starts it, again after it was [killed](Self::kill).
    ///
    /// # Panics
    /// If it does not start.
    pub fn begin(&self) {
        let config = self.path("dovecot.conf");
        let until = Instant::now() + PATIENCE;
        let start = || Command::new(PROGRAM).arg("-c").arg(&config).status().expect("it runs");
        // A child of one that was killed may still be on its way out.
        while !start().success() {
            assert!(Instant::now() < until, "dovecot did not start:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(Instant::now() < until, "dovecot does not listen:\n{}", self.log());
            std::thread::yield_now();
        }
    }

    /// Ends all of its processes without a word, as a crash of the machine does.
    pub fn kill(&self) {
        // The master first, else it would start the others anew.
        self.signal("-KILL");
        let _ = std::fs::remove_file(self.path("run/master.pid"));
    }

    /// Its processes do nothing any more, but hold their connections.
    pub fn freeze(&self) {
        self.signal("-STOP");
    }

    /// They go on.
    pub fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let Some(master) = self.pid() else { return };
        let mut family = vec![master];
        let mut at = 0;
        while let Some(parent) = family.get(at) {
            let children = output("pgrep", &format!("-P{parent}"));
            family.extend(children.lines().map(str::to_owned));
            at += 1;
        }
        // One may have ended by itself meanwhile.
        let _ = Command::new("kill").arg(signal).args(&family).stderr(Stdio::null()).status();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// What the server wrote into its log.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    fn write_config(&self, options: &Options, identity: Option<&Issued>) {
        let base = self.dir.path();
        for name in ["run", "state", "mail"] {
            std::fs::create_dir(base.join(name)).expect("a directory");
        }
        let root = is_root();
        let users = if root { "nobody".to_owned() } else { user_name() };
        let group = if root { "nogroup".to_owned() } else { group_name() };
        if root {
            // The mail's owner walks through here.
            run(Command::new("chmod").arg("755").arg(base));
        }
        if let Some(maildir) = &options.maildir {
            let home = base.join("mail/me");
            std::fs::create_dir(&home).expect("a directory");
            run(Command::new("cp").arg("-r").arg(maildir).arg(home.join("Maildir")));
        }
        if root {
            let owner = format!("{users}:{group}");
            run(Command::new("chown").arg("-R").arg(owner).arg(base.join("mail")));
        }
        let location = match options.maildir {
            Some(_) => "maildir:~/Maildir",
            None => options.location.unwrap_or("sdbox:~/sdbox"),
        };
        let mut text = format!(
            "base_dir = {base}/run\nstate_dir = {base}/state\nlog_path = {base}/log\n\
             protocols = {protocols}\nlisten = 127.0.0.1\ndisable_plaintext_auth = no\n\
             auth_mechanisms = {mechanisms}\nfirst_valid_uid = 1\nmail_location = {location}\n\
             mail_fsync = never\nmail_max_userip_connections = 100\n\
             passdb {{\n  driver = static\n  args = password={PASSWORD}\n}}\n\
             userdb {{\n  driver = static\n  args = uid={users} gid={group} \
             home={base}/mail/%u\n}}\n",
            base = base.display(),
            mechanisms = options.mechanisms.unwrap_or("plain"),
            protocols = if options.pop3 { "imap pop3" } else { "imap" },
        );
        if !root {
            let _ = write!(
                text,
                "default_internal_user = {users}\ndefault_internal_group = {group}\n\
                 default_login_user = {users}\n\
                 service anvil {{\n  chroot =\n}}\nservice imap-login {{\n  chroot =\n}}\n\
                 service pop3-login {{\n  chroot =\n}}\n"
            );
        }
        let _ = write!(
            text,
            "service imap-login {{\n  inet_listener imap {{\n    port = {}\n  }}\n\
             \n  inet_listener imaps {{\n    port = {}\n    ssl = yes\n  }}\n}}\n",
            self.port, self.tls_port
        );
        if options.pop3 {
            let _ = write!(
                text,
                "service pop3-login {{\n  inet_listener pop3 {{\n    port = {}\n  }}\n\
                 \n  inet_listener pop3s {{\n    port = 0\n  }}\n}}\n",
                self.pop3_port
            );
        }
        text += &self.tls_config(identity);
        text.push_str("namespace inbox {\n  inbox = yes\n  separator = /\n");
        for name in ["Drafts", "Sent", "Trash", "Junk", "Archive"] {
            let _ = write!(text, "  mailbox {name} {{\n    special_use = \\{name}\n  }}\n");
        }
        text.push_str("}\n");
        if !options.without.is_empty() {
            let words = capabilities(&options.without);
            let _ = write!(text, "protocol imap {{\n  imap_capability = {words}\n}}\n");
        }
        text.push_str(options.more);
        std::fs::write(self.path("dovecot.conf"), text).expect("config");
    }

    fn tls_config(&self, identity: Option<&Issued>) -> String {
        let Some(identity) = identity else { return "ssl = no\n".to_owned() };
        let (certificate, key) = (self.path("certificate.pem"), self.path("key.pem"));
        std::fs::write(&certificate, &identity.certificate_pem).expect("the certificate");
        std::fs::write(&key, &identity.key_pem).expect("the key");
        let (certificate, key) = (certificate.display(), key.display());
        format!("ssl = yes\nssl_cert = <{certificate}\nssl_key = <{key}\n")
    }

    fn pid(&self) -> Option<String> {
        let text = std::fs::read_to_string(self.path("run/master.pid")).ok()?;
        Some(text.trim().to_owned())
    }

    /// Where the mail of a user lies.
    #[must_use]
    pub fn home(&self, user: &str) -> PathBuf {
        self.dir.path().join("mail").join(user)
    }

    /// Signs in as a user: another device of theirs.
    #[must_use]
    pub fn client(&self, user: &str) -> Client {
        Client::connect(self.port, user)
    }
}

impl Drop for Dovecot {
    fn drop(&mut self) {
        let Some(pid) = self.pid() else { return };
        let _ = Command::new("kill").arg(&pid).status();
        let until = Instant::now() + PATIENCE;
        // It takes its pid away last. Its entry in /proc may outlive it by seconds, until
        // whoever adopted it takes notice.
        while self.pid().is_some() && Instant::now() < until {
            // It pauses a second itself; yielding would keep a core from the other tests.
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// What Dovecot 2.3 announces after the sign-in, less some.
fn capabilities(without: &[&str]) -> String {
    let all = "IMAP4rev1 SASL-IR LOGIN-REFERRALS ID ENABLE IDLE SORT THREAD=REFERENCES \
               MULTIAPPEND URL-PARTIAL CATENATE UNSELECT CHILDREN NAMESPACE UIDPLUS LIST-EXTENDED \
               I18NLEVEL=1 CONDSTORE QRESYNC ESEARCH ESORT SEARCHRES WITHIN CONTEXT=SEARCH \
               LIST-STATUS BINARY MOVE SNIPPET=FUZZY PREVIEW=FUZZY LITERAL+ NOTIFY SPECIAL-USE";
    let kept = all.split(' ').filter(|word| !word.is_empty() && !without.contains(word));
    kept.collect::<Vec<_>>().join(" ")
}

/// A port that nobody listens on; whoever asks next gets another one.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    listener.local_addr().expect("its address").port()
}

fn run(command: &mut Command) {
    assert!(command.status().expect("it runs").success(), "{command:?}");
}

fn output(program: &str, argument: &str) -> String {
    let output = Command::new(program).arg(argument).output().expect("it runs");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Whether the tests run as root.
#[must_use]
pub fn is_root() -> bool {
    static ROOT: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    *ROOT.get_or_init(|| output("id", "-u") == "0")
}

/// Whether the tests run as root, which this server needs. Prints that it is left out if not.
pub(crate) fn is_root_for(server: &str) -> bool {
    if !is_root() {
        crate::skipped(&format!("a {server} can be started only by root"));
    }
    is_root()
}

fn user_name() -> String {
    output("id", "-un")
}

fn group_name() -> String {
    output("id", "-gn")
}

/// A message as another client sees it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seen {
    /// Its UID.
    pub uid: u32,
    /// Flags and keywords as the server spells them, sorted, without `\Recent`.
    pub flags: Vec<String>,
    /// INTERNALDATE as the server spells it.
    pub date: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// A plain IMAP client for tests: it shares no code with what it checks.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<TcpStream>,
    tag: u32,
}

impl Client {
    /// Signs in with [`PASSWORD`] at a port on loopback, without TLS.
    ///
    /// # Panics
    /// If nobody listens there.
    #[must_use]
    pub fn connect(port: u16, user: &str) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("the server listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let mut client = Self { stream: BufReader::new(stream), tag: 0 };
        client.line();
        client.command(&format!("LOGIN \"{user}\" \"{PASSWORD}\""));
        client
    }

    fn line(&mut self) -> Vec<u8> {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line).expect("the server answers");
        assert!(!line.is_empty(), "the server hung up");
        line
    }

    /// Sends a command and gives its untagged lines, literals included in them.
    ///
    /// # Panics
    /// If the server says anything but OK.
    pub fn command(&mut self, text: &str) -> Vec<Vec<u8>> {
        self.send(text.as_bytes())
    }

    fn send(&mut self, text: &[u8]) -> Vec<Vec<u8>> {
        self.tag += 1;
        let tag = format!("k{} ", self.tag);
        let mut out = tag.clone().into_bytes();
        out.extend_from_slice(text);
        out.extend_from_slice(b"\r\n");
        self.stream.get_mut().write_all(&out).expect("the server reads");
        let mut lines = Vec::new();
        loop {
            let mut line = self.line();
            while let Some(length) = literal(&line) {
                let mut bytes = vec![0; length];
                self.stream.read_exact(&mut bytes).expect("the literal");
                line.extend_from_slice(&bytes);
                line.extend_from_slice(&self.line());
            }
            if line.starts_with(tag.as_bytes()) {
                let said = String::from_utf8_lossy(&line[tag.len()..]).into_owned();
                assert!(said.starts_with("OK"), "{}: {said}", String::from_utf8_lossy(text));
                return lines;
            }
            lines.push(line);
        }
    }

    /// Adds a message; the mailbox must be there (names as on the wire).
    pub fn append(&mut self, mailbox: &str, flags: &str, date: &str, bytes: &[u8]) {
        let mut command =
            format!("APPEND \"{mailbox}\" ({flags}) \"{date}\" {{{}+}}\r\n", bytes.len())
                .into_bytes();
        command.extend_from_slice(bytes);
        self.send(&command);
    }

    /// Every message of a mailbox.
    pub fn messages(&mut self, mailbox: &str) -> Vec<Seen> {
        self.command(&format!("EXAMINE \"{mailbox}\""));
        let lines = self.command("UID FETCH 1:* (UID FLAGS INTERNALDATE BODY.PEEK[])");
        lines.iter().filter_map(|line| seen(line)).collect()
    }

    /// Names of all selectable mailboxes, as on the wire.
    pub fn mailboxes(&mut self) -> Vec<String> {
        let lines = self.command("LIST \"\" \"*\"");
        let text = lines.iter().map(|line| String::from_utf8_lossy(line).trim_end().to_owned());
        let real = text.filter(|line| line.starts_with("* LIST"));
        let real = real.filter(|line| !line.contains("\\Noselect"));
        let name =
            |line: String| line.split("\"/\" ").nth(1).unwrap_or("").trim_matches('"').into();
        real.map(name).collect()
    }
}

fn literal(line: &[u8]) -> Option<usize> {
    let line = line.strip_suffix(b"}\r\n")?;
    let open = line.iter().rposition(|b| *b == b'{')?;
    std::str::from_utf8(&line[open + 1..]).ok()?.parse().ok()
}

fn seen(line: &[u8]) -> Option<Seen> {
    let head_end = line.windows(2).position(|w| w == b"\r\n")?;
    let head = std::str::from_utf8(&line[..head_end]).ok()?;
    let between = |open: &str, close: char| {
        let rest = &head[head.find(open)? + open.len()..];
        Some(rest[..rest.find(close)?].to_owned())
    };
    let length = literal(&line[..head_end + 2])?;
    let bytes = line[head_end + 2..head_end + 2 + length].to_vec();
    let mut flags: Vec<String> = between("FLAGS (", ')')?
        .split(' ')
        .filter(|flag| !flag.is_empty() && *flag != "\\Recent")
        .map(str::to_owned)
        .collect();
    flags.sort();
    let uid = between("UID ", ' ')?.parse().ok()?;
    Some(Seen { uid, flags, date: between("INTERNALDATE \"", '"')?, bytes })
}
