//! `mailtide run` with a real server, which tells of all mailboxes (NOTIFY) or, without that,
//! of one (IDLE).

use std::fs;
use std::path::PathBuf;

use kit::dovecot::{Client, Options};
use rustix::process::Signal;

use super::{Account, file_name, with_flags};
use crate::running::{Running, until};

const DATE: &str = "23-Nov-2026 10:00:00 +0000";
const RUNGS: [&[&str]; 2] = [&[], &["NOTIFY"]];

/// An account with one message, in step and watched.
fn running(options: &Options) -> (Account, Client, Running) {
    let account = Account::new(options);
    let mut client = account.server.client("me");
    client.command("CREATE Work");
    client.append("INBOX", "\\Seen", DATE, &mail("first"));
    // Every message that is there may go: this is no test of the guard.
    account.configure("[accounts.me.guard]\npercent = 100\nmessages = 1000\n");
    let running = Running::start(account.command());
    running.says("info: me: start:", 1);
    until("the first message comes down", || account.files("INBOX").len() == 1);
    let push = if options.without.contains(&"NOTIFY") { "idle" } else { "notify" };
    until("it listens", || status(&account).contains(&format!("server changes by {push}")));
    (account, client, running)
}

fn status(account: &Account) -> String {
    String::from_utf8_lossy(&account.run(&["status"]).stdout).into_owned()
}

fn mail(subject: &str) -> Vec<u8> {
    format!("Message-ID: <{subject}@run>\r\nSubject: {subject}\r\n\r\n{subject}\r\n").into_bytes()
}

/// Files a message as programs do: whole, by a rename.
fn deliver(account: &Account, mailbox: &str, subject: &str) -> PathBuf {
    let dir = account.mailbox(mailbox);
    let (tmp, new) = (dir.join("tmp").join(subject), dir.join("new").join(subject));
    fs::write(&tmp, String::from_utf8(mail(subject)).unwrap().replace('\r', "")).unwrap();
    fs::rename(tmp, &new).unwrap();
    new
}

fn flags(client: &mut Client, mailbox: &str) -> Vec<String> {
    client.messages(mailbox).into_iter().map(|m| m.flags.into_iter().collect()).collect()
}

#[test]
fn what_happens_on_either_side_shows_on_the_other() {
    for without in RUNGS {
        let options = Options { without: without.to_vec(), ..Options::default() };
        let (account, mut client, running) = running(&options);
        // There: new, flagged, moved, deleted.
        client.append("INBOX", "", DATE, &mail("down"));
        until("it comes down", || account.files("INBOX").len() == 2);
        client.command("SELECT INBOX");
        client.command("STORE 2 +FLAGS (\\Flagged)");
        let flagged = |f: &PathBuf| file_name(f).ends_with(":2,F");
        until("its flag shows", || account.files("INBOX").iter().any(flagged));
        client.command("MOVE 2 Work");
        until("it moves", || account.files("Work").len() == 1 && account.files("INBOX").len() == 1);
        // Here: new, flagged, moved, deleted.
        let up = deliver(&account, "INBOX", "up");
        until("it goes up", || client.messages("INBOX").len() == 2);
        // A run goes on while something changes, but not for ever: half of it is for another one.
        running.says(" up", 1);
        let answered = account.mailbox("INBOX").join("cur").join("up:2,R");
        fs::rename(&up, &answered).unwrap();
        let is = |flags: &[String], flag: &str| flags.iter().any(|f| f.contains(flag));
        until("its flag shows there", || is(&flags(&mut client, "INBOX"), "Answered"));
        fs::rename(&answered, account.mailbox("Work").join("cur/up:2,R")).unwrap();
        until("it moves there", || client.messages("Work").len() == 2);
        fs::remove_file(account.mailbox("Work").join("cur/up:2,R")).unwrap();
        until("it is gone there", || client.messages("Work").len() == 1);
        running.says("removed there", 1);
        // A directory that is made is a mailbox, and watched at once.
        for sub in ["tmp", "new", "cur"] {
            fs::create_dir_all(account.mailbox("Made/here").join(sub)).unwrap();
        }
        deliver(&account, "Made/here", "deep");
        until("it is made there", || client.mailboxes().contains(&"Made/here".to_owned()));
        until("with its mail", || client.messages("Made/here").len() == 1);
        let (ended, log) = running.end();
        assert_eq!(ended.code(), Some(0), "{log}");
        assert!(!log.contains("warn") && !log.contains("error"), "{log}");
        account.assert_equal();
    }
}

#[test]
fn our_own_writes_are_no_news() {
    let (account, mut client, running) = running(&Options::default());
    for n in 0..20 {
        client.append("INBOX", "", DATE, &mail(&format!("down {n}")));
        until("it comes down", || account.files("INBOX").len() == n + 2);
    }
    // Each message is a run, and what the server says of our own looks is another at most.
    let runs = running.log().matches("info:").count();
    assert!(runs <= 20 * 2 + 6, "{runs} runs:\n{}", running.log());
    running.end();
}

#[test]
fn what_happened_while_nobody_ran_is_found_at_the_start() {
    let (account, mut client, running) = running(&Options::default());
    running.end();
    let file = account.files("INBOX").remove(0);
    fs::rename(&file, account.mailbox("INBOX/cur").join(with_flags(&file, "FS"))).unwrap();
    deliver(&account, "Work", "meanwhile");
    client.append("Work", "", DATE, &mail("there"));
    let running = Running::start(account.command());
    until("both sides show it", || {
        account.files("Work").len() == 2
            && client.messages("Work").len() == 2
            && flags(&mut client, "INBOX").iter().any(|f| f.contains("Flagged"))
    });
    running.end();
    account.assert_equal();
}

/// A reader that marks a whole mailbox, and a server where another client did.
#[test]
fn a_storm_on_either_side_is_few_runs() {
    const MANY: usize = 2_000;
    let (account, mut client, running) = running(&Options::default());
    for n in 0..MANY {
        client.append("Work", "", DATE, &mail(&format!("many {n}")));
    }
    until("they come down", || account.files("Work").len() == MANY);
    client.command("NOOP");
    running.says("info:", 2);
    let before = running.log().matches("info:").count();
    for file in account.files("Work") {
        fs::rename(&file, account.mailbox("Work/cur").join(with_flags(&file, "S"))).unwrap();
    }
    client.command("SELECT Work");
    let seen = |client: &mut Client, flag: &str| {
        client.command("NOOP");
        let found = client.command(&format!("UID SEARCH {flag}"));
        let line = found.iter().find(|l| l.starts_with(b"* SEARCH")).cloned().unwrap_or_default();
        line.split(|b| *b == b' ').count().saturating_sub(2)
    };
    until("all are read there", || seen(&mut client, "SEEN") == MANY);
    client.command("UID STORE 1:* +FLAGS.SILENT (\\Flagged)");
    until("all are flagged here", || {
        account.files("Work").iter().filter(|f| file_name(f).ends_with(":2,FS")).count() == MANY
    });
    let runs = running.log().matches("info:").count() - before;
    assert!(runs < 60, "{runs} runs:\n{}", running.log());
    running.end();
    account.assert_equal();
}

#[test]
fn another_config_is_taken_over_without_an_end() {
    let (account, _client, running) = running(&Options::default());
    let whole = fs::read_to_string(account.config()).unwrap();
    fs::write(account.config(), "nonsense = [").unwrap();
    running.signal(Signal::HUP);
    running.says("the config is kept as it was", 1);
    // What did not change goes on; what is new begins.
    let other = whole.replace("accounts.me", "accounts.you").replace("\"me\"", "\"you\"");
    let other = other.replace("Mail\"", "Other\"");
    let other = other.split_once("[accounts").unwrap().1;
    fs::write(account.config(), format!("{whole}\n[accounts{other}")).unwrap();
    running.signal(Signal::HUP);
    running.says(": start:", 2);
    fs::write(account.config(), whole).unwrap();
    running.signal(Signal::HUP);
    until("the other is gone", || !running.log().is_empty() && !status(&account).contains("you"));
    running.signal(Signal::USR1);
    running.says("info: me: asked:", 1);
    let (ended, log) = running.end();
    assert_eq!((ended.code(), log.matches(": start:").count()), (Some(0), 2), "{log}");
}

/// The machine of the server goes down, comes back, and once only holds its breath.
#[test]
fn a_server_that_dies_or_freezes_is_met_again() {
    let (account, mut client, running) = running(&Options::default());
    let mut count = 1;
    for n in 0..3 {
        account.server.kill();
        deliver(&account, "INBOX", &format!("while it is dead {n}"));
        account.server.begin();
        client = account.server.client("me");
        client.append("INBOX", "", DATE, &mail(&format!("after it died {n}")));
        count += 2;
        until("both have come through", || {
            account.files("INBOX").len() == count && client.messages("INBOX").len() == count
        });
    }
    for n in 0..3 {
        account.server.freeze();
        deliver(&account, "INBOX", &format!("while it is frozen {n}"));
        std::thread::yield_now();
        account.server.thaw();
        client.append("INBOX", "", DATE, &mail(&format!("after it froze {n}")));
        count += 2;
        until("both have come through", || {
            account.files("INBOX").len() == count && client.messages("INBOX").len() == count
        });
    }
    let (ended, log) = running.end();
    assert_eq!(ended.code(), Some(0), "{log}");
    // No busy loop: a line for each attempt.
    assert!(log.lines().count() < 80, "{log}");
    drop(client);
    account.assert_equal();
}
