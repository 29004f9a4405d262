//! SIGKILL inside each phase of a run, placed by a trace of its system calls: afterwards at
//! most two runs, nothing lost, nothing doubled, both sides equal.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};

use kit::compare::Mail;
use kit::dovecot::Options;
use kit::proxy::Moment;

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
    account.configure("");
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

/// Runs are killed so often inside each phase.
const KILLS: u32 = 20;

/// Kills runs inside one phase, `KILLS` times. `work` makes something to do; `kill` places
/// the n-th kill and gives whether the run came that far. Whatever was killed, the same mail
/// is there afterwards, once, and both sides are equal.
fn kill_in(
    phase: &str,
    without: &[&'static str],
    work: impl Fn(&Account, u32),
    kill: impl Fn(&Account, u32) -> bool,
) {
    let account = Account::new(&Options { without: without.to_vec(), ..Options::default() });
    account.fill(7, 120);
    account.agree();
    let (mut hits, mut n) = (0, 0);
    while hits < KILLS {
        n += 1;
        assert!(n <= 4 * KILLS, "{phase}: only {hits} of {KILLS} kills were placed");
        work(&account, n);
        let before = account.both();
        hits += u32::from(kill(&account, n));
        recover(&account);
        account.assert_equal();
        let after = census(&account.both().0);
        let expected = expected(&before);
        for (content, count) in &expected {
            let now = after.get(content).copied().unwrap_or(0);
            assert_eq!(now, *count, "{phase} {n}: {content} is lost or doubled");
        }
        assert_eq!(after.len(), expected.len(), "{phase} {n}: mail out of nowhere");
    }
}

/// Kills by the words of the conversation.
fn by_word(moment: impl Fn(u32) -> Moment) -> impl Fn(&Account, u32) -> bool {
    move |account, n| {
        kit::proxy::killed_at(account.server.port, moment(n), |port| {
            account.configure_at(port, "");
            let mut command = account.command();
            command.arg("sync");
            command
        })
    }
}

/// Every content as often as on the side that has more of it.
fn expected((remote, local): &(Mail, Mail)) -> BTreeMap<String, usize> {
    let (mut all, local) = (census(remote), census(local));
    for (content, count) in local {
        let entry = all.entry(content).or_default();
        *entry = (*entry).max(count);
    }
    all
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
    // There and back again, so that there is always something to move.
    let (from, to) = if n.is_multiple_of(2) { ("Drafts", "Junk") } else { ("Junk", "Drafts") };
    for file in account.files(from).iter().take(2) {
        let to = account.mailbox(to).join("cur").join(with_flags(file, "S"));
        fs::rename(file, to).unwrap();
    }
}

fn moment(word: &'static str, after: Option<u64>, from_server: bool) -> Moment {
    Moment { word, after, from_server, skip: 0 }
}

#[test]
fn killed_while_listing() {
    let at = |n: u32| moment("LIST", Some(u64::from(n) * 60), true);
    kill_in("listing", &[], busy, by_word(at));
}

#[test]
fn killed_inside_a_body() {
    let at = |n: u32| moment("BODY.PEEK[]", Some(u64::from(n % 10) * 37), true);
    kill_in("body", &[], busy, by_word(at));
}

#[test]
fn killed_between_tmp_and_rename_and_between_rename_and_record() {
    // The signal meets the call before it is carried out, or right after: both sides of it.
    let at = |account: &Account, n: u32| killed_at(account, "renameat2", 1 + n % 3);
    kill_in("rename", &[], busy, at);
    let at = |account: &Account, n: u32| killed_at(account, "fsync,fdatasync", 1 + n % 24);
    kill_in("what is made durable", &[], busy, at);
}

#[test]
fn killed_inside_a_literal_that_goes_up() {
    let at = |n: u32| moment("APPEND", Some(u64::from(n % 20) * 9), false);
    kill_in("literal", &[], busy, by_word(at));
    // The message has arrived whole and its answer is never read, without UIDPLUS.
    let at = |n: u32| moment("APPEND", Some(u64::from(n % 4)), true);
    kill_in("answer to a literal", &["UIDPLUS"], busy, by_word(at));
}

#[test]
fn killed_around_a_move() {
    let at = |n: u32| moment("UID MOVE", n.is_multiple_of(2).then_some(u64::from(n)), true);
    kill_in("MOVE", &[], busy, by_word(at));
    let at = |n: u32| moment("UID COPY", n.is_multiple_of(2).then_some(u64::from(n)), true);
    kill_in("COPY", &["MOVE"], busy, by_word(at));
}

#[test]
fn killed_around_an_expunge() {
    let at = |n: u32| moment("EXPUNGE", n.is_multiple_of(2).then_some(u64::from(n)), true);
    kill_in("EXPUNGE", &["MOVE"], busy, by_word(at));
    let at = |n: u32| moment("STORE", n.is_multiple_of(2).then_some(u64::from(n)), true);
    kill_in("STORE", &["MOVE", "UIDPLUS"], busy, by_word(at));
}
