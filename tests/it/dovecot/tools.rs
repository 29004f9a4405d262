//! Maildirs that mbsync, OfflineIMAP and getmail filled, with mailboxes whose names are not
//! ASCII, and neomutt open on them meanwhile. Only with `MAILTIDE_FULL=1`, and with isync,
//! offlineimap3, getmail6, neomutt and tmux installed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use kit::dovecot::{Options, PASSWORD};
use kit::imap::name::encode;

use super::Account;
use crate::names::foreign::MAILBOXES;

/// Messages in each of them.
const EACH: usize = 12;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tool {
    Mbsync(&'static str),
    Offlineimap(&'static str),
    Getmail,
}

fn mail(id: &str) -> String {
    format!("Message-ID: <{id}@tools>\r\nFrom: a@b\r\nSubject: {id}\r\n\r\ntext {id}\r\n")
}

fn filled_server() -> Account {
    let account = Account::new(&Options::default());
    let mut client = account.server.client("me");
    for (m, mailbox) in MAILBOXES.iter().enumerate() {
        if m > 0 {
            client.command(&format!("CREATE \"{}\"", encode(mailbox)));
        }
        for n in 0..EACH {
            append(&account, mailbox, &format!("{m}-{n}"));
        }
    }
    account
}

fn append(account: &Account, mailbox: &str, id: &str) {
    let date = "01-Jan-2024 00:00:00 +0000";
    let mut client = account.server.client("me");
    client.append(&encode(mailbox), "\\Seen", date, mail(id).as_bytes());
}

#[track_caller]
fn succeed(command: &mut Command) {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{command:?}: {text}");
}

impl Tool {
    fn fill(self, account: &Account) {
        let (root, port) = (account.root(), account.server.port);
        let dir = account.dir.path();
        fs::create_dir_all(&root).unwrap();
        match self {
            Self::Mbsync(sub) => {
                fs::create_dir_all(dir.join("mbsync")).unwrap();
                let (path, inbox, but) = match sub {
                    // It has no spelling for a dot there.
                    "Maildir++" => (String::new(), root.clone(), "!v1.2"),
                    _ => (format!("Path {}/\n", root.display()), root.join("INBOX"), ""),
                };
                let text = format!(
                    "IMAPAccount a\nHost 127.0.0.1\nPort {port}\nUser me\nPass {PASSWORD}\n\
                     SSLType None\nAuthMechs *\n\nIMAPStore r\nAccount a\n\nMaildirStore l\n{path}\
                     Inbox {}\nSubFolders {sub}\n\nChannel c\nFar :r:\nNear :l:\n\
                     Patterns * {but}\nCreate Near\nSync Pull\nSyncState {}/mbsync/\n",
                    inbox.display(),
                    dir.display(),
                );
                fs::write(dir.join("mbsyncrc"), text).unwrap();
                succeed(Command::new("mbsync").arg("-c").arg(dir.join("mbsyncrc")).arg("c"));
            }
            Self::Offlineimap(separator) => {
                let text = format!(
                    "[general]\naccounts = a\nmetadata = {}/offlineimap\n\n[Account a]\n\
                     localrepository = l\nremoterepository = r\n\n[Repository l]\n\
                     type = Maildir\nlocalfolders = {}\nsep = {separator}\n\n[Repository r]\n\
                     type = IMAP\nremotehost = 127.0.0.1\nremoteport = {port}\n\
                     remoteuser = me\nremotepass = {PASSWORD}\nssl = no\nstarttls = no\n",
                    dir.display(),
                    root.display(),
                );
                fs::write(dir.join("offlineimaprc"), text).unwrap();
                let rc = dir.join("offlineimaprc");
                succeed(Command::new("offlineimap").arg("-c").arg(rc).args(["-o", "-u", "quiet"]));
            }
            Self::Getmail => getmail(account),
        }
    }

    /// The layout that the Maildir has for mailtide.
    fn layout(self) -> &'static str {
        if self == Self::Mbsync("Maildir++") { "maildir++" } else { "nested" }
    }

    /// Messages of the server that it did not fetch.
    fn left(self) -> usize {
        // Neither can tell a dot in a name from one between levels.
        let without_dots = [Self::Mbsync("Maildir++"), Self::Offlineimap(".")];
        if without_dots.contains(&self) { EACH } else { 0 }
    }
}

/// One run for each mailbox, into a directory that a person made, of the server's own spelling
/// or of that on the screen.
fn getmail(account: &Account) {
    let dir = account.dir.path();
    for (n, mailbox) in MAILBOXES.iter().enumerate() {
        let typed = if n % 2 == 0 { (*mailbox).to_owned() } else { encode(mailbox) };
        let path = account.root().join(typed);
        for sub in ["tmp", "new", "cur"] {
            fs::create_dir_all(path.join(sub)).unwrap();
        }
        let text = format!(
            "[retriever]\ntype = SimpleIMAPRetriever\nserver = 127.0.0.1\nport = {}\n\
             username = me\npassword = {PASSWORD}\nmailboxes = (\"{}\",)\n\n[destination]\n\
             type = Maildir\npath = {}/\n\n[options]\nread_all = true\ndelete = false\n\
             delivered_to = false\nreceived = false\nverbose = 0\n",
            account.server.port,
            encode(mailbox).replace('%', "%%"),
            path.display().to_string().replace('%', "%%"),
        );
        let rc = format!("getmail-{n}");
        fs::write(dir.join(&rc), text).unwrap();
        let mut command = Command::new("getmail");
        succeed(command.arg("--getmaildir").arg(dir).arg("--rcfile").arg(rc));
    }
}

/// Files of messages by directory.
fn local(root: &Path) -> BTreeMap<PathBuf, usize> {
    let mut out = BTreeMap::new();
    let mut todo = vec![root.to_owned()];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap()) {
            let name = entry.file_name();
            if !entry.file_type().unwrap().is_dir() || name == ".mailtide" {
                continue;
            }
            if name == "cur" || name == "new" {
                let files = fs::read_dir(entry.path()).unwrap().count();
                *out.entry(dir.clone()).or_default() += files;
            } else {
                todo.push(entry.path());
            }
        }
    }
    out
}

fn remote(account: &Account) -> BTreeMap<String, usize> {
    let mut client = account.server.client("me");
    let count = |name: String| {
        let messages = client.messages(&name).len();
        (name, messages)
    };
    account.server.client("me").mailboxes().into_iter().map(count).collect()
}

/// How many the lines of a dry run speak of.
fn told(plan: &str, what: &str) -> usize {
    let lines = plan.lines().filter(|line| line.trim_end().ends_with(what));
    let number = |line: &str| line.split_whitespace().find_map(|word| word.parse::<usize>().ok());
    lines.filter_map(number).sum()
}

/// A reader that is open on the INBOX, flags messages, and writes that back.
struct Reader(String);

impl Reader {
    fn open(inbox: &Path) -> Self {
        let name = format!("mailtide-{}-{:x}", std::process::id(), inbox.as_os_str().len());
        let neomutt = format!("neomutt -n -F /dev/null -m Maildir -f '{}'", inbox.display());
        succeed(Command::new("tmux").args(["-L", &name, "new-session", "-d", &neomutt]));
        Self(name)
    }

    fn type_keys(&self, keys: &[&str]) {
        let sent = Command::new("tmux").args(["-L", &self.0, "send-keys"]).args(keys).output();
        assert!(sent.unwrap().status.success(), "the reader is open");
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let _ = Command::new("tmux").args(["-L", &self.0, "kill-server"]).output();
    }
}

#[track_caller]
fn taken_over(tool: Tool) {
    let account = filled_server();
    account.configure(&format!("layout = {:?}\n", tool.layout()));
    tool.fill(&account);
    // Since then some mail came on each side.
    for (n, mailbox) in MAILBOXES[..3].iter().enumerate() {
        append(&account, mailbox, &format!("there-{n}"));
    }
    let dirs: Vec<PathBuf> = local(&account.root()).into_keys().collect();
    for (n, dir) in dirs.iter().enumerate() {
        let text = mail(&format!("here-{n}")).replace("\r\n", "\n");
        fs::write(dir.join(format!("tmp/{n}.here")), text).unwrap();
        fs::rename(dir.join(format!("tmp/{n}.here")), dir.join(format!("cur/{n}.here:2,S")))
            .unwrap();
    }
    let before: (usize, usize) =
        (local(&account.root()).values().sum(), remote(&account).values().sum());
    let mailboxes: Vec<String> = remote(&account).into_keys().collect();
    let plan = account.run(&["sync", "-n"]);
    let plan = String::from_utf8_lossy(&plan.stdout).into_owned();
    let (up, down) = (told(&plan, ": upload"), told(&plan, ": download"));
    assert_eq!((up, down), (dirs.len(), 3 + tool.left()), "{tool:?}\n{plan}\n{dirs:?}");

    let inbox = if tool.layout() == "nested" { account.mailbox("INBOX") } else { account.root() };
    let reader = Reader::open(&inbox);
    let mut command = account.command();
    let mut run = command.arg("sync").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let ended = loop {
        reader.type_keys(&["N", "F", "$", "y"]);
        if let Some(ended) = run.try_wait().unwrap() {
            break ended;
        }
    };
    drop(reader);
    assert!(ended.success(), "{tool:?}: {}", account.sync().1);
    account.agree();
    let after: (usize, usize) =
        (local(&account.root()).values().sum(), remote(&account).values().sum());
    assert_eq!(after, (before.0 + down, before.1 + up), "{tool:?}\n{plan}");
    assert_eq!(remote(&account).into_keys().collect::<Vec<_>>(), mailboxes, "{tool:?}");
    account.agree();
    let idle = account.run(&["sync", "-n"]);
    let idle = String::from_utf8_lossy(&idle.stdout).into_owned();
    assert_eq!((told(&idle, ": upload"), told(&idle, ": download")), (0, 0), "{idle}");
}

#[test]
fn maildirs_of_other_programs_are_taken_over_beside_an_open_reader() {
    if std::env::var_os("MAILTIDE_FULL").is_none() {
        kit::skipped("it takes long: MAILTIDE_FULL=1");
        return;
    }
    for tool in [
        Tool::Mbsync("Verbatim"),
        Tool::Mbsync("Legacy"),
        Tool::Mbsync("Maildir++"),
        Tool::Offlineimap("."),
        Tool::Offlineimap("/"),
        Tool::Getmail,
    ] {
        // It refuses to deliver as root.
        if tool != Tool::Getmail || !kit::dovecot::is_root() {
            taken_over(tool);
        }
    }
}
