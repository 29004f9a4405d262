//! Days of use: what people do to their mail, on each rung of the ladder.

use std::fs;

use kit::dovecot::Options;

use super::{Account, file_name, with_flags};

/// What each rung lacks.
const RUNGS: [&[&str]; 5] = [
    &[],
    &["QRESYNC"],
    &["QRESYNC", "CONDSTORE"],
    &["QRESYNC", "MOVE", "LIST-STATUS"],
    &["QRESYNC", "CONDSTORE", "UIDPLUS", "MOVE", "LIST-STATUS", "LITERAL+", "SPECIAL-USE"],
];

fn on_each_rung(test: impl Fn(&Account)) {
    for without in RUNGS {
        let account = Account::new(&Options { without: without.to_vec(), ..Options::default() });
        test(&account);
    }
}

/// Nothing changed: no command that changes, no SELECT, nothing written in the Maildir.
#[track_caller]
fn assert_idle(account: &Account) {
    let before = tree(account);
    let output = account.command().args(["sync", "-vv"]).env("RUST_LOG", "trace").output().unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{log}");
    let busy = ["SELECT", "EXAMINE", "STORE", "APPEND", "COPY", "MOVE", "EXPUNGE", "CREATE"];
    let sent = log.lines().filter(|line| line.contains("C: "));
    for line in sent {
        assert!(!busy.iter().any(|word| line.contains(word)), "{line}");
    }
    assert_eq!(tree(account), before);
}

fn tree(account: &Account) -> Vec<(String, std::time::SystemTime)> {
    let mut out = Vec::new();
    let mut todo = vec![account.root()];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if entry.file_name() == ".mailtide" {
                continue;
            }
            let modified = entry.metadata().unwrap().modified().unwrap();
            out.push((path.display().to_string(), modified));
            if path.is_dir() {
                todo.push(path);
            }
        }
    }
    out.sort();
    out
}

#[test]
fn awkward_mail_comes_down_as_it_is_and_a_second_run_does_nothing() {
    let account = Account::new(&Options::default());
    account.fill(1, 600);
    let text = account.agree();
    assert!(text.contains("pulled 600"), "{text}");
    account.assert_equal();
    assert_idle(&account);
}

#[test]
fn what_readers_and_other_devices_do_is_mirrored() {
    on_each_rung(|account| {
        account.fill(2, 150);
        account.agree();
        account.assert_equal();
        local_day(account);
        account.agree();
        account.assert_equal();
        account.agree();
        remote_day(account);
        account.agree();
        account.assert_equal();
        local_day(account);
        remote_day(account);
        account.agree();
        account.assert_equal();
        let text = account.agree();
        assert!(text.contains("nothing to do"), "{text}");
    });
}

/// Reads, flags, files by rename and by copy, deletes, writes, makes a mailbox.
fn local_day(account: &Account) {
    let inbox = account.files("INBOX");
    let rename = |from: &std::path::Path, to: std::path::PathBuf| fs::rename(from, to).unwrap();
    let cur = |mailbox: &str| account.mailbox(mailbox).join("cur");
    rename(&inbox[0], cur("INBOX").join(with_flags(&inbox[0], "FS")));
    rename(&inbox[1], cur("INBOX").join(with_flags(&inbox[1], "RS")));
    rename(&inbox[2], cur("Archive").join(with_flags(&inbox[2], "S")));
    rename(&inbox[3], cur("Sent").join(format!("other-{}", with_flags(&inbox[3], "S"))));
    let copy = account.mailbox("Lists/rust users").join("tmp/copy");
    fs::copy(&inbox[4], &copy).unwrap();
    let date = fs::metadata(&inbox[4]).unwrap().modified().unwrap();
    fs::File::options().write(true).open(&copy).unwrap().set_modified(date).unwrap();
    rename(&copy, cur("Lists/rust users").join(format!("copy-{}", with_flags(&inbox[4], "S"))));
    fs::remove_file(&inbox[4]).unwrap();
    fs::remove_file(&inbox[5]).unwrap();
    for sub in ["tmp", "new", "cur"] {
        fs::create_dir_all(account.mailbox("Neu/Übersicht").join(sub)).unwrap();
    }
    let draft = account.mailbox("Neu/Übersicht").join("tmp/draft");
    let count = account.files("Neu/Übersicht").len();
    let text = format!("From: me\nSubject: new\nMessage-ID: <new{count}@here>\n\nhello\n");
    fs::write(&draft, text).unwrap();
    rename(&draft, account.mailbox("Neu/Übersicht").join(format!("new/written-{count}")));
    let junk = account.files("Junk");
    if let Some(junk) = junk.first() {
        rename(
            junk,
            cur("Neu/Übersicht").join(file_name(&cur("Junk").join(with_flags(junk, "S")))),
        );
    }
}

/// The same from a phone.
fn remote_day(account: &Account) {
    let mut phone = account.server.client("me");
    phone.command("SELECT INBOX");
    phone.command("STORE 1 +FLAGS (\\Flagged Work)");
    phone.command("STORE 2 -FLAGS (\\Seen)");
    phone.command("COPY 3 \"Familie &- Freunde\"");
    phone.command("COPY 4 Archive");
    phone.command("STORE 4 +FLAGS (\\Deleted)");
    phone.command("EXPUNGE");
    phone.command("COPY 5 Trash");
    phone.command("STORE 5 +FLAGS (\\Deleted)");
    phone.command("EXPUNGE");
    let date = "05-Feb-2021 10:00:00 +0000";
    phone.append("INBOX", "", date, b"From: you\r\nMessage-ID: <a@you>\r\n\r\nhi\r\n");
    let fresh = format!("Neue &ANw-bersicht {}", phone.mailboxes().len());
    phone.command(&format!("CREATE \"{fresh}\""));
    phone.append(&fresh, "\\Seen", date, b"Subject: there\r\n\r\nno id\r\n");
}

#[test]
fn mailboxes_go_on_both_sides_when_one_side_removes_them() {
    on_each_rung(|account| {
        account.fill(3, 40);
        account.agree();
        fs::remove_dir_all(account.mailbox("Work/Projects/Alpha")).unwrap();
        let mut phone = account.server.client("me");
        phone.command("DELETE Archive/2019");
        // Dovecot's NO has no code: it is believed when it is said twice, a run apart.
        let (code, text) = account.sync();
        assert_eq!(code, 1, "{text}");
        assert!(account.mailbox("Archive/2019").exists(), "{text}");
        account.agree();
        account.assert_equal();
        let (remote, local) = account.both();
        for mail in [remote, local] {
            assert!(!mail.contains_key("Work/Projects/Alpha"), "{:?}", mail.keys());
            assert!(!mail.contains_key("Archive/2019"), "{:?}", mail.keys());
        }
    });
}

#[test]
fn a_lost_store_and_a_renumbered_mailbox_cost_no_body() {
    let account = Account::new(&Options::default());
    account.fill(4, 100);
    account.agree();
    fs::remove_dir_all(account.dir.path().join("state")).unwrap();
    let text = account.agree();
    assert!(text.contains("paired 100") && !text.contains("pulled"), "{text}");
    account.assert_equal();
}

#[test]
fn an_emptied_mailbox_is_held_until_a_person_answers() {
    let account = Account::new(&Options::default());
    account.fill(5, 400);
    account.agree();
    let files = account.files("INBOX");
    assert!(files.len() >= 20);
    files.iter().for_each(|file| fs::remove_file(file).unwrap());
    let (code, text) = account.sync();
    assert_eq!(code, 4, "{text}");
    let holds = account.run(&["holds", "--json"]);
    let holds = String::from_utf8_lossy(&holds.stdout).into_owned();
    let id = holds.split("\"id\": \"").nth(1).unwrap().split('"').next().unwrap();
    assert_eq!(account.run(&["reject", id]).status.code(), Some(0));
    account.agree();
    account.assert_equal();
    assert_eq!(account.files("INBOX").len(), files.len());
}

#[test]
fn an_edited_file_goes_up_before_its_old_text_goes_and_the_hook_hears_of_changes() {
    let account = Account::new(&Options::default());
    account.fill(8, 40);
    let heard = account.dir.path().join("heard");
    let hook = format!("echo $MAILTIDE_ACCOUNT $MAILTIDE_NEW >> {}", heard.display());
    account.configure(&format!("on_change = [\"sh\", \"-c\", {hook:?}]\n"));
    account.agree();
    assert_eq!(fs::read_to_string(&heard).unwrap(), "me 40\n");
    let inbox = account.files("INBOX");
    fs::write(&inbox[0], "Subject: edited\nMessage-ID: <edited@here>\n\nother words\n").unwrap();
    fs::rename(&inbox[0], account.mailbox("INBOX/cur").join(with_flags(&inbox[0], "FS"))).unwrap();
    let text = account.agree();
    assert!(text.contains("pushed 1"), "{text}");
    account.assert_equal();
}

#[test]
fn a_disk_that_is_too_full_gets_no_mail_and_says_so() {
    let account = Account::new(&Options::default());
    account.fill(9, 12);
    account.configure("min_free = \"900TB\"\n");
    let (code, text) = account.sync();
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("min_free"), "{text}");
    account.configure("");
    account.agree();
    account.assert_equal();
}

#[test]
fn pull_only_changes_nothing_on_the_server() {
    let account = Account::new(&Options::default());
    account.fill(6, 60);
    account.configure("direction = \"pull\"\n");
    account.agree();
    let before = kit::compare::remote(&mut account.server.client("me"));
    let inbox = account.files("INBOX");
    fs::remove_file(&inbox[0]).unwrap();
    fs::rename(&inbox[1], account.mailbox("INBOX/cur").join(with_flags(&inbox[1], "FRS"))).unwrap();
    fs::write(account.mailbox("Sent/new/mine"), "Subject: mine\n\nx\n").unwrap();
    account.agree();
    assert_eq!(kit::compare::remote(&mut account.server.client("me")), before);
}
