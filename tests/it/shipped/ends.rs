//! How runs end: Ctrl-C in their midst, and the exit codes that need a server.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpListener;
use std::process::Stdio;
use std::sync::mpsc;
use std::time::Duration;

use kit::imap::{Action, Fault, When};
use rustix::process::{Pid, Signal, kill_process};

use super::{Mirror, Said, mail};

/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs `sync` and sends SIGINT when the server has received a command with this word; the
/// server answers only after mailtide has said that it was asked to stop.
fn interrupted_at(mirror: &Mirror, word: &'static str) -> Said {
    let (tell_pid, pid) = mpsc::channel::<Pid>();
    let (tell_heard, heard) = mpsc::channel::<()>();
    let mut sent = false;
    mirror.server.on_command(Some(Box::new(move |command| {
        if !sent && command.contains(word) {
            sent = true;
            kill_process(pid.recv_timeout(PATIENCE).unwrap(), Signal::INT).unwrap();
            heard.recv_timeout(PATIENCE).unwrap();
        }
        Action::Continue
    })));
    let mut command = mirror.command();
    command.arg("sync").stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    tell_pid.send(Pid::from_child(&child)).unwrap();
    let mut text = String::new();
    for line in BufReader::new(child.stderr.take().unwrap()).lines() {
        let line = line.unwrap() + "\n";
        if line.contains("finishing the step in hand") {
            tell_heard.send(()).unwrap();
        }
        text += &line;
    }
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    let code = child.wait().unwrap().code().unwrap_or(-1);
    mirror.server.on_command(None);
    Said { code, text }
}

#[test]
fn ctrl_c_finishes_the_step_and_the_next_run_goes_on() {
    let mirror = Mirror::new();
    for mailbox in 1..=5 {
        for n in 1..=4 {
            let subject = format!("{mailbox} {n}");
            mirror.server.append(&format!("Box {mailbox}"), &mail(&subject), &[], Some(n));
        }
    }
    let said = interrupted_at(&mirror, "BODY.PEEK[]");
    said.expect(130, &["interrupted", "run it again"]);
    let here = |mailbox: &str| mirror.files(mailbox).len();
    let boxes = ["Box 1", "Box 2", "Box 3", "Box 4", "Box 5", "INBOX", "Work"];
    let whole = boxes.iter().filter(|mailbox| here(mailbox) > 0).count();
    assert_eq!(whole, 1, "the batch in hand, and no other: {}", said.text);
    mirror.agree();
}

#[test]
fn ctrl_c_during_an_upload_sends_nothing_twice() {
    let mirror = Mirror::in_step();
    // One by one, and no more than a few unanswered.
    mirror.server.configure(|p| p.multiappend = false);
    (1..=40).for_each(|n| _ = mirror.deliver("INBOX", &format!("up {n}")));
    interrupted_at(&mirror, "APPEND").expect(130, &[]);
    let sent = mirror.subjects("INBOX").len();
    assert!((4..43).contains(&sent), "{sent}");
    mirror.agree();
    assert_eq!(mirror.subjects("INBOX").len(), 43);
}

#[test]
fn no_server_and_no_way_in_end_with_3() {
    let mirror = Mirror::new();
    // Bound and not listened to by anyone any more: nobody else gets it meanwhile.
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let dead = listener.local_addr().unwrap().port();
    drop(listener);
    mirror.configure_at(dead, "");
    mirror.sync().expect(3, &[&format!("127.0.0.1:{dead}"), "check host, port and tls"]);
    mirror.configure("");
    mirror.server.configure(|p| p.credentials = Some(("me".to_owned(), "other".to_owned())));
    mirror.sync().expect(3, &["refused", "check user and password"]);
    mirror.server.configure(|p| p.credentials = None);
    mirror.server.inject(Fault::Bye("too many connections".to_owned()), When::connect());
    mirror.sync().expect(3, &["too many connections"]);
    mirror.server.heal();
    mirror.agree();
}

#[test]
fn status_tells_of_a_sign_in_that_was_refused() {
    let mirror = Mirror::in_step();
    mirror.server.configure(|p| p.credentials = Some(("me".to_owned(), "other".to_owned())));
    for _ in 0..9 {
        mirror.sync().expect(3, &["refused"]);
        mirror.run(&["status"]).expect(0, &["last run just now: failed", "refused the sign-in"]);
    }
}

#[test]
fn a_second_run_leaves_the_first_alone_and_ends_with_5() {
    let mirror = Mirror::new();
    let (tell, ended) = mpsc::channel();
    let mut second = Some(mirror.command());
    mirror.server.on_command(Some(Box::new(move |command| {
        if command.contains("BODY.PEEK[]")
            && let Some(mut second) = second.take()
        {
            tell.send(Said::from(second.arg("sync").output().unwrap())).unwrap();
        }
        Action::Continue
    })));
    mirror.agree();
    ended.try_recv().unwrap().expect(5, &["in use by"]);
}

#[test]
fn an_account_that_cannot_be_reached_keeps_no_other_from_its_mail() {
    let mirror = Mirror::new();
    let text = fs::read_to_string(mirror.config()).unwrap();
    let table = text.split_once("[accounts.me]").unwrap().1;
    let port = format!("port = {}", mirror.port);
    let other = table.replace(&port, "port = 1").replace("/Mail\"", "/Other\"");
    mirror.configure(&format!("[accounts.away]{other}"));
    let said = mirror.sync();
    said.expect(3, &["me    agreed: pulled 6", "away  failed", "127.0.0.1:1"]);
    assert_eq!((mirror.files("INBOX").len(), mirror.files("Work").len()), (3, 3));
    // Named alone, it is well.
    mirror.run(&["sync", "me"]).expect(0, &["nothing to do"]);
}

#[test]
fn a_dry_run_of_accounts_without_a_maildir_needs_none() {
    let (first, second) = (Mirror::new(), Mirror::new());
    let text = fs::read_to_string(second.config()).unwrap();
    let table = text.split_once("[accounts.me]").unwrap().1;
    first.configure(&format!("[accounts.second]{table}"));
    // The second signs in when the first is through.
    let (tell, through) = mpsc::channel();
    first.server.on_command(Some(Box::new(move |command| {
        if command == "LOGOUT" {
            tell.send(()).unwrap();
        }
        Action::Continue
    })));
    second.server.on_command(Some(Box::new(move |command| {
        if command.starts_with("AUTHENTICATE") {
            through.recv_timeout(PATIENCE).unwrap();
        }
        Action::Continue
    })));
    let said = first.run(&["sync", "--dry-run"]);
    said.expect(0, &["me      dry run: would do this", "second  dry run: would do this"]);
}
