//! Names and renames on a real Dovecot, and its own Maildir++ driver on what we wrote.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use kit::dovecot::Options;
use kit::imap::name::encode as encode_name;
use mailtide::local::Layout;
use mailtide::reconcile::types::MailboxName;

use super::Account;

/// Names that Dovecot takes; with its delimiter `/` a dot is a character like others.
const NAMES: [&str; 22] = [
    "v1.2/x.y",
    "100%",
    "%41",
    "R&D",
    "&AOk-",
    "Sent Items",
    "at the end ",
    " at the beginning",
    ".hidden",
    "Work/.hidden",
    "日本語/東京",
    "📧 mail",
    "caf\u{e9}",
    "cafe\u{301}",
    "Case",
    "case",
    "cur",
    "Work/cur",
    "NIL",
    "a\\b",
    "say \"hello\"",
    "x:2,S",
];

const LAYOUTS: [(&str, Layout); 2] =
    [("nested", Layout::Nested), ("maildir++", Layout::MaildirPlusPlus)];

fn mail(id: &str) -> String {
    format!("Message-ID: <{id}@names>\r\nSubject: names\r\n\r\ntext {id}\r\n")
}

/// As it stands between quotes in a command.
fn wire(name: &str) -> String {
    encode_name(name).replace('\\', "\\\\").replace('"', "\\\"")
}

fn account(layout: &str) -> Account {
    let account = Account::new(&Options::default());
    account.configure(&format!("layout = {layout:?}\n"));
    account
}

fn dir(account: &Account, layout: Layout, name: &str) -> std::path::PathBuf {
    account.root().join(layout.path_of(&MailboxName::new(name)))
}

fn file_into(dir: &Path, id: &str) {
    for sub in ["tmp", "new", "cur"] {
        fs::create_dir_all(dir.join(sub)).unwrap();
    }
    let text = mail(id).replace("\r\n", "\n");
    fs::write(dir.join("tmp").join(id), text).unwrap();
    fs::rename(dir.join("tmp").join(id), dir.join("cur").join(format!("{id}:2,S"))).unwrap();
}

fn count(dir: &Path) -> usize {
    let subs = ["cur", "new"].map(|sub| fs::read_dir(dir.join(sub)).map_or(0, Iterator::count));
    subs.iter().sum()
}

#[test]
fn every_name_comes_down_and_goes_up() {
    for (key, layout) in LAYOUTS {
        let account = account(key);
        let mut client = account.server.client("me");
        let (theirs, ours) = NAMES.split_at(NAMES.len() / 2);
        for name in theirs {
            client.command(&format!("CREATE \"{}\"", wire(name)));
            let (date, text) = ("01-Jan-2024 00:00:00 +0000", mail("down"));
            client.append(&wire(name), "", date, text.as_bytes());
        }
        account.agree();
        for name in ours {
            file_into(&dir(&account, layout, name), "up");
        }
        for name in theirs {
            assert_eq!(count(&dir(&account, layout, name)), 1, "{name:?}");
            file_into(&dir(&account, layout, name), "up");
        }
        account.agree();
        for (name, expected) in theirs.iter().map(|n| (n, 2)).chain(ours.iter().map(|n| (n, 1))) {
            assert_eq!(client.messages(&wire(name)).len(), expected, "{name:?} {key}");
        }
    }
}

#[test]
fn a_rename_on_either_side_is_one_on_the_other() {
    for (key, layout) in LAYOUTS {
        let account = account(key);
        let mut client = account.server.client("me");
        for name in ["Work", "Work/Alpha", "Home"] {
            client.command(&format!("CREATE \"{name}\""));
            let (date, text) = ("01-Jan-2024 00:00:00 +0000", mail(name));
            client.append(name, "", date, text.as_bytes());
        }
        account.agree();
        let uids = |account: &Account, name: &str| {
            let lines =
                account.server.client("me").command(&format!("STATUS \"{name}\" (UIDVALIDITY)"));
            let text = String::from_utf8_lossy(&lines[0]).into_owned();
            text.split("UIDVALIDITY").nth(1).unwrap().to_owned()
        };
        let files = |name: &str| -> BTreeSet<_> {
            let entries =
                ["cur", "new"].map(|sub| fs::read_dir(dir(&account, layout, name).join(sub)));
            entries.into_iter().flat_map(|e| e.unwrap()).map(|e| e.unwrap().file_name()).collect()
        };
        let (home, work, alpha) = (uids(&account, "Home"), files("Work"), files("Work/Alpha"));
        fs::rename(dir(&account, layout, "Home"), dir(&account, layout, "Haus & Hof")).unwrap();
        client.command("RENAME \"Work\" \"Job\"");
        account.agree();
        assert_eq!(uids(&account, "Haus &- Hof"), home, "the same mailbox, not a new one");
        assert_eq!((files("Job"), files("Job/Alpha")), (work, alpha), "the same files");
        assert!(!dir(&account, layout, "Work").exists());
        let names: BTreeSet<String> = client.mailboxes().into_iter().collect();
        assert!(!names.contains("Home") && !names.contains("Work"), "{names:?}");
    }
}

#[test]
fn dovecot_reads_a_maildirpp_that_we_wrote() {
    let account = account("maildir++");
    let mut client = account.server.client("me");
    let names = ["Work", "Work/Alpha", "Entwürfe/日本語", "R&D", "Sent Items", "INBOX/In"];
    for name in names.iter().chain(&["INBOX"]) {
        if *name != "INBOX" {
            client.command(&format!("CREATE \"{}\"", wire(name)));
        }
        let (date, text) = ("01-Jan-2024 00:00:00 +0000", mail(name));
        client.append(&wire(name), "\\Seen", date, text.replace("Entwürfe/日本語", "e").as_bytes());
    }
    account.agree();
    // Another Dovecot, whose mail that directory is.
    let options = Options { maildir: Some(account.root()), ..Options::default() };
    let reader = kit::dovecot::Dovecot::start(&options);
    let mut other = reader.client("me");
    let listed: BTreeSet<String> = other.mailboxes().into_iter().collect();
    for name in names {
        assert!(listed.contains(&encode_name(name)), "{name}: {listed:?}");
        let messages = other.messages(&wire(name));
        assert_eq!(messages.len(), 1, "{name}");
        assert_eq!(messages[0].flags, ["\\Seen"]);
    }
    assert_eq!(other.messages("INBOX").len(), 1);
}
