//! A real Dovecot with one thing that it cannot read: everything else is in sync within four runs,
//! the bad thing is named, and once it is mended it is in sync, too (hazard 90).

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use kit::dovecot::Options;

use super::Account;

/// Runs within which everything else is in sync, and within which what was mended is.
const RUNS: usize = 4;
const MENDED: usize = 10;

fn filled(mailboxes: &[&str], each: usize) -> Account {
    let account = Account::new(&Options::default());
    let mut client = account.server.client("me");
    for mailbox in mailboxes {
        if *mailbox != "INBOX" {
            client.command(&format!("CREATE \"{mailbox}\""));
        }
        for n in 0..each {
            let text = format!(
                "Message-ID: <{mailbox}.{n}@x>\r\nSubject: {mailbox} {n}\r\n\r\ntext {n}\r\n"
            );
            client.append(mailbox, "\\Seen", "01-Jan-2024 00:00:00 +0000", text.as_bytes());
        }
    }
    account
}

fn mails(account: &Account, mailbox: &str) -> PathBuf {
    account.server.home("me").join("sdbox/mailboxes").join(mailbox).join("dbox-Mails")
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Runs; gives what was said in all, and by `status` in the end.
fn said_in(account: &Account, runs: usize, is_done: &dyn Fn() -> bool) -> String {
    let mut said = String::new();
    for _ in 0..runs {
        let (code, text) = account.sync();
        said += &format!("exit {code}\n{text}");
        if is_done() {
            break;
        }
    }
    let status = account.run(&["status"]);
    said + "status:\n" + &String::from_utf8_lossy(&status.stdout)
}

#[test]
fn one_message_that_dovecot_cannot_read_is_named_and_stops_nothing_else() {
    for how in ["no right", "a directory", "cut off"] {
        let account = filled(&["INBOX", "Work"], 12);
        let bad = mails(&account, "INBOX").join("u.3");
        let away = bad.with_extension("away");
        let whole = fs::read(&bad).unwrap();
        match how {
            "no right" => mode(&bad, 0),
            "a directory" => {
                fs::rename(&bad, &away).unwrap();
                fs::create_dir(&bad).unwrap();
            }
            _ => fs::write(&bad, &whole[..whole.len() / 2]).unwrap(),
        }
        let said = said_in(&account, RUNS, &|| false);
        assert_eq!(account.files("Work").len(), 12, "{how}: {said}");
        assert_eq!(account.files("INBOX").len(), 11, "{how}: {said}");
        let named = |line: &str| line.contains("INBOX") && line.contains("UID 3");
        assert!(said.lines().any(named), "{how}: not named\n{said}");
        match how {
            "no right" => mode(&bad, 0o600),
            "a directory" => {
                fs::remove_dir(&bad).unwrap();
                fs::rename(&away, &bad).unwrap();
            }
            _ => {
                // Dovecot has taken a file that it found broken for what it is: it stays so.
                continue;
            }
        }
        let said = said_in(&account, MENDED, &|| account.files("INBOX").len() == 12);
        assert_eq!(account.files("INBOX").len(), 12, "{how}, mended: {said}");
        account.assert_equal();
    }
}

#[test]
fn one_mailbox_without_rights_is_named_and_stops_nothing_else() {
    let account = filled(&["INBOX", "Shut", "Work"], 6);
    let shut = mails(&account, "Shut");
    mode(&shut, 0);
    let _ = account.sync();
    // What is deleted on the server goes here, too, though nobody can look into the other one.
    let mut client = account.server.client("me");
    client.command("SELECT Work");
    client.command("UID STORE 2 +FLAGS (\\Deleted)");
    client.command("EXPUNGE");
    let said = said_in(&account, RUNS, &|| false);
    assert_eq!((account.files("INBOX").len(), account.files("Work").len()), (6, 5), "{said}");
    assert!(said.contains("Shut"), "not named\n{said}");
    mode(&shut, 0o700);
    let said = said_in(&account, MENDED, &|| account.files("Shut").len() == 6);
    assert_eq!(account.files("Shut").len(), 6, "{said}");
    account.assert_equal();
}

#[test]
fn a_broken_index_stops_nothing_else() {
    let account = filled(&["INBOX", "Bad", "Work"], 6);
    for entry in fs::read_dir(mails(&account, "Bad")).unwrap().flatten() {
        if entry.file_name().to_string_lossy().starts_with("dovecot.index") {
            fs::write(entry.path(), b"this is no index of anything at all").unwrap();
        }
    }
    let said = said_in(&account, RUNS, &|| false);
    assert_eq!((account.files("INBOX").len(), account.files("Work").len()), (6, 6), "{said}");
    // Dovecot makes an index anew that it cannot read, and shows what it then finds there.
    let shown = account.server.client("me").messages("Bad").len();
    assert!(account.files("Bad").len() == shown || said.contains("Bad"), "{said}");
}
