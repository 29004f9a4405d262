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
    filled_on(&Options::default(), mailboxes, each)
}

fn filled_on(options: &Options, mailboxes: &[&str], each: usize) -> Account {
    let account = Account::new(options);
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

const QUOTA: &str = "mail_plugins = quota\nprotocol imap {\n  mail_plugins = quota imap_quota\n}\n\
                     plugin {\n  quota = count:User quota\n  quota_vsizes = yes\n  \
                     quota_rule = *:messages=14\n  quota_grace = 0\n}\n";

#[test]
fn a_full_quota_is_named_and_stops_nothing_else() {
    let account = filled_on(&Options { more: QUOTA, ..Options::default() }, &["INBOX", "Work"], 6);
    account.agree();
    for n in 0..5 {
        let text = format!("Message-ID: <up.{n}@x>\nSubject: up {n}\n\nup {n}\n");
        let name = format!("{n}.up:2,S");
        fs::write(account.root().join("Work/cur").join(name), text).unwrap();
    }
    // Flags go up and mail is removed meanwhile.
    let mut client = account.server.client("me");
    let flagged = account.files("INBOX")[0].clone();
    fs::rename(&flagged, flagged.with_file_name(super::with_flags(&flagged, "FS"))).unwrap();
    let said = said_in(&account, RUNS, &|| false);
    let flags: Vec<_> = client.messages("INBOX").into_iter().map(|seen| seen.flags).collect();
    assert!(flags.iter().any(|flags| flags.contains(&"\\Flagged".to_owned())), "{said}");
    assert_eq!(client.messages("Work").len(), 8, "two more fit\n{said}");
    assert!(said.contains("Work") && said.to_lowercase().contains("quota"), "not named\n{said}");
    // Somebody makes room.
    client.command("SELECT INBOX");
    client.command("UID STORE 3:6 +FLAGS (\\Deleted)");
    client.command("EXPUNGE");
    let said =
        said_in(&account, MENDED, &|| account.server.client("me").messages("Work").len() == 11);
    assert_eq!(client.messages("Work").len(), 11, "{said}");
    account.assert_equal();
}

const ACL: &str = "mail_plugins = acl\nprotocol imap {\n  mail_plugins = acl\n}\n\
                   plugin {\n  acl = vfile\n}\n";

/// Leaves its owner these rights to a mailbox (RFC 4314).
fn rights(account: &Account, mailbox: &str, rights: &str) {
    let path = mails(account, mailbox).join("dovecot-acl");
    fs::write(&path, format!("owner {rights}\n")).unwrap();
    mode(&path, 0o644);
}

#[test]
fn mailboxes_without_rights_are_named_and_stop_nothing_else() {
    let options = Options { more: ACL, ..Options::default() };
    let account = filled_on(&options, &["INBOX", "Shut", "Look", "Work"], 4);
    rights(&account, "Shut", "l");
    rights(&account, "Look", "lr");
    let _ = account.sync();
    let fill = |mailbox: &str| {
        let text = format!("Message-ID: <up.{mailbox}@x>\nSubject: up\n\nup {mailbox}\n");
        fs::write(account.root().join(mailbox).join("cur/1.up:2,S"), text).unwrap();
    };
    ["Look", "Work"].iter().for_each(|mailbox| fill(mailbox));
    let said = said_in(&account, RUNS, &|| false);
    let there = |mailbox: &str| account.server.client("me").messages(mailbox).len();
    assert_eq!((account.files("INBOX").len(), account.files("Look").len()), (4, 5), "{said}");
    assert_eq!((there("Work"), there("Look")), (5, 4), "{said}");
    for mailbox in ["Shut", "Look"] {
        assert!(said.contains(mailbox), "{mailbox} is not named\n{said}");
    }
    for mailbox in ["Shut", "Look"] {
        fs::remove_file(mails(&account, mailbox).join("dovecot-acl")).unwrap();
    }
    let is_done = || account.mailbox("Shut/cur").exists() && there("Look") == 5;
    let said = said_in(&account, MENDED, &is_done);
    assert_eq!((account.files("Shut").len(), there("Look")), (4, 5), "{said}");
    account.assert_equal();
}

/// A cut file of an mdbox, and a cut message that is stored compressed.
#[test]
fn one_cut_file_stops_nothing_else() {
    const GZ: &str = "mail_plugins = zlib\nmdbox_rotate_size = 1k\n\
                      plugin {\n  zlib_save = gz\n}\n";
    for location in ["mdbox:~/mdbox", "maildir:~/Maildir"] {
        let options = Options { location: Some(location), more: GZ, ..Options::default() };
        let account = filled_on(&options, &["INBOX", "Work"], 6);
        let home = account.server.home("me");
        let dir = if location.starts_with("mdbox") { "mdbox/storage" } else { "Maildir/cur" };
        let mut files: Vec<PathBuf> =
            fs::read_dir(home.join(dir)).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.retain(|path| !path.to_string_lossy().contains("index"));
        files.sort();
        let bad = &files[1];
        let whole = fs::read(bad).unwrap();
        fs::write(bad, &whole[..whole.len() / 2]).unwrap();
        let said = said_in(&account, RUNS, &|| false);
        // Dovecot may find out what is broken, and show it no more. All else is here.
        let mut whole = 0;
        for mailbox in ["INBOX", "Work"] {
            let status = format!("STATUS {mailbox} (MESSAGES)");
            let shown = account.server.client("me").command(&status).concat();
            let shown = String::from_utf8_lossy(&shown).into_owned();
            let here = account.files(mailbox).len();
            let agrees = shown.contains(&format!("MESSAGES {here}"));
            let named = said.contains(&format!("{mailbox}: UID"));
            assert!(agrees || named, "{location}: {shown}, {here}\n{said}");
            whole += here;
        }
        assert!(whole >= 8, "{location}: {whole}\n{said}");
    }
}
