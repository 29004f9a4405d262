//! SIGKILL inside each phase of a run, placed by a trace of its system calls: afterwards at
//! most two runs, nothing lost, nothing doubled, both sides equal.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};

use kit::compare::Mail;
use kit::dovecot::Options;

use super::{Account, with_flags};

/// Kills a run at the n-th of a system call, by strace. Gives whether it came that far.
fn killed_at(account: &Account, call: &str, n: u32) -> bool {
    let mut command = Command::new("strace");
    account.arm(&mut command);
    command.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}")]);
    command.args(["-e", &format!("inject={call}:signal=SIGKILL:when={n}")]);
    command.arg(env!("CARGO_BIN_EXE_mailtide")).arg("sync");
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    status.signal() == Some(9) || status.code() == Some(137)
}

/// Runs until agreement, twice at most.
#[track_caller]
fn recover(account: &Account) {
    let (first, text) = account.sync();
    if first != 0 {
        let (second, more) = account.sync();
        assert_eq!(second, 0, "{text}\n{more}");
    }
}

/// How often each content is there, in all mailboxes together.
fn census(mail: &Mail) -> BTreeMap<String, usize> {
    let mut census = BTreeMap::new();
    for message in mail.values().flatten() {
        *census.entry(message.content.clone()).or_default() += 1;
    }
    census
}

/// Kills runs at many moments of one phase. `work` makes something to do and `expected` is
/// the census once it is done: whatever was killed, the same mail is there, once.
fn kill_in(call: &str, moments: impl Iterator<Item = u32>, work: impl Fn(&Account, u32)) -> u32 {
    let account = Account::new(&Options::default());
    account.fill(7, 120);
    account.agree();
    let mut hits = 0;
    for n in moments {
        work(&account, n);
        let before = account.both();
        let known: BTreeMap<String, usize> =
            census(&before.0).into_iter().chain(census(&before.1)).collect();
        hits += u32::from(killed_at(&account, call, n));
        recover(&account);
        account.assert_equal();
        let (after, _) = account.both();
        let after = census(&after);
        for (content, count) in &known {
            let now = after.get(content).copied().unwrap_or(0);
            assert!(now > 0, "{call} {n}: {content} is lost ({count} before)");
        }
        let total: usize = after.values().sum();
        let expected = expected_total(&before);
        assert_eq!(total, expected, "{call} {n}: doubled or lost");
    }
    hits
}

/// Every content as often as on the side that has more of it.
fn expected_total((remote, local): &(Mail, Mail)) -> usize {
    let (remote, local) = (census(remote), census(local));
    let mut all = remote.clone();
    for (content, count) in local {
        let entry = all.entry(content).or_default();
        *entry = (*entry).max(count);
    }
    all.values().sum()
}

/// New mail on both sides, moves on both sides, flags.
fn busy(account: &Account, n: u32) {
    let mut phone = account.server.client("me");
    for k in 0..3 {
        let text = format!("Message-ID: <r{n}.{k}@x>\r\nSubject: r\r\n\r\nremote {n} {k}\r\n");
        phone.append("INBOX", "\\Seen", "05-Feb-2021 10:00:00 +0000", text.as_bytes());
        let text = format!("Message-ID: <l{n}.{k}@x>\nSubject: l\n\nlocal {n} {k}\n");
        let tmp = account.mailbox("Sent").join(format!("tmp/l{n}.{k}"));
        fs::write(&tmp, text).unwrap();
        fs::rename(&tmp, account.mailbox("Sent").join(format!("cur/l{n}.{k}:2,S"))).unwrap();
    }
    phone.command("SELECT INBOX");
    phone.command("MOVE 1:2 Archive");
    phone.command("STORE 1 +FLAGS (\\Flagged)");
    let inbox = account.files("Junk");
    for file in inbox.iter().take(2) {
        let to = account.mailbox("Drafts").join("cur").join(with_flags(file, "S"));
        fs::rename(file, to).unwrap();
    }
    // Back again, so that there is something to move the next time.
    for file in account.files("Drafts").iter().rev().take(2) {
        let to = account.mailbox("Junk").join("cur").join(with_flags(file, "S"));
        fs::rename(file, to).unwrap();
    }
}

#[test]
fn killed_while_it_talks_to_the_server() {
    // Listing, bodies, literals, MOVE and EXPUNGE are all reads and writes of the socket.
    let hits = kill_in("sendto", 1..=20, busy) + kill_in("recvfrom", 1..=20, busy);
    assert!(hits >= 20, "only {hits} kills were placed");
}

#[test]
fn killed_around_the_rename_into_place() {
    let hits = kill_in("renameat2", 1..=9, busy) + kill_in("renameat2", 1..=9, busy);
    assert!(hits >= 6, "only {hits} kills were placed");
}

#[test]
fn killed_around_what_is_made_durable() {
    // Before and after each commit of the store and each sync of the Maildir.
    let hits = kill_in("fsync,fdatasync,syncfs", (1..=40).step_by(2), busy);
    assert!(hits >= 15, "only {hits} kills were placed");
}

#[test]
fn killed_while_it_removes() {
    let hits = kill_in("sendto", 3..=18, |account, n| {
        busy(account, n);
        // In \Trash a deletion is final: one that nobody else has.
        let trash = account.files("Trash");
        if trash.len() > 6 {
            fs::rename(&trash[0], account.mailbox("INBOX/cur").join(with_flags(&trash[0], "S")))
                .unwrap();
        }
    });
    assert!(hits >= 10, "only {hits} kills were placed");
}
