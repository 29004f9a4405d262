//! The control socket: who may ask, how many at a time, and what a second daemon is told.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;

use kit::imap::{Fault, When};
use kit::unprivileged;

use super::{Mirror, mail};
use crate::running::{Running, until};

fn running() -> (Mirror, Running) {
    let mirror = Mirror::in_step();
    let running = Running::start(mirror.command());
    until("it is in sync", || now(&mirror).contains("in sync"));
    (mirror, running)
}

/// What `status` says of now.
fn now(mirror: &Mirror) -> String {
    let said = mirror.run(&["status"]).text;
    said.lines().find(|line| line.trim_start().starts_with("now ")).unwrap_or_default().to_owned()
}

fn socket(mirror: &Mirror) -> PathBuf {
    mirror.state().join("control.sock")
}

fn connect(mirror: &Mirror, say: &[u8]) -> UnixStream {
    let mut stream = UnixStream::connect(socket(mirror)).unwrap();
    stream.write_all(say).unwrap();
    stream
}

/// Status, pause and resume are answered.
#[track_caller]
fn assert_serves(mirror: &Mirror) {
    mirror.run(&["status"]).expect(0, &["now"]);
    mirror.run(&["pause"]).expect(0, &["paused"]);
    assert!(mirror.run(&["resume"]).text.starts_with("me  "));
}

#[test]
fn hazard_107_clients_that_left_or_never_ask_shut_nobody_out() {
    let (mirror, running) = running();
    let hangs = mirror.server.inject(Fault::Hang, When::verb("LIST"));
    mirror.server.append("INBOX", &mail("never"), &[], Some(7));
    until("a run hangs", || hangs.hits() > 0);
    // Twice as many as there is room for, of each kind.
    for _ in 0..64 {
        drop(connect(&mirror, b"{\"do\":\"sync\"}\n"));
    }
    let silent: Vec<UnixStream> = (0..64).map(|_| connect(&mirror, b"{\"do\":")).collect();
    mirror.run(&["status"]).expect(0, &["now"]);
    drop(silent);
    let waiting: Vec<UnixStream> =
        (0..64).map(|_| connect(&mirror, b"{\"do\":\"sync\"}\n")).collect();
    // Those for whom there is no room are told so.
    let mut told = String::new();
    BufReader::new(waiting.last().unwrap()).read_line(&mut told).unwrap();
    assert!(told.contains("clients are waiting already"), "{told}");
    mirror.run(&["status"]).expect(0, &["now"]);
    mirror.server.heal();
    mirror.server.drop_connections();
    drop(waiting);
    until("it is in sync", || now(&mirror).contains("in sync"));
    // Those that left have freed their places.
    until("there is room", || mirror.run(&["sync"]).text.contains("in sync"));
    assert_serves(&mirror);
    running.end();
}

#[test]
fn a_second_daemon_of_the_same_state_ends_with_5() {
    let (mirror, running) = running();
    mirror.run(&["run"]).expect(5, &["a mailtide runs already with this state_dir"]);
    let other = mirror.dir.path().join("other.toml");
    fs::copy(mirror.config(), &other).unwrap();
    unprivileged::give(&other);
    let mut command = mirror.command();
    let said: super::Said =
        command.arg("--config").arg(&other).arg("sync").output().unwrap().into();
    said.expect(2, &["a mailtide with another config", "state_dir of its own"]);
    running.end();
    assert!(!socket(&mirror).exists());
    mirror.agree();
}

#[test]
fn hazard_109_what_is_no_socket_is_left_alone() {
    let mirror = Mirror::in_step();
    fs::write(socket(&mirror), "mine").unwrap();
    unprivileged::give(&socket(&mirror));
    let running = Running::start(mirror.command());
    running.says("something that is no socket is in its place", 1);
    running.says("start:", 1);
    running.end();
    assert_eq!(fs::read_to_string(socket(&mirror)).unwrap(), "mine");
    fs::remove_file(socket(&mirror)).unwrap();
    // A directory that others may write to gets no socket.
    fs::set_permissions(mirror.state(), fs::Permissions::from_mode(0o777)).unwrap();
    let said = mirror.run(&["run"]);
    assert_ne!(said.code, 0);
    assert!(said.text.contains("chmod"), "{}", said.text);
}

#[test]
fn something_that_answers_nothing_is_not_taken_for_nobody() {
    let mirror = Mirror::in_step();
    let listener = UnixListener::bind(socket(&mirror)).unwrap();
    unprivileged::give(&socket(&mirror));
    std::thread::spawn(move || listener.incoming().for_each(drop));
    mirror.run(&["pause"]).expect(1, &["does not answer"]);
}

/// A state directory with a path that is too long for the address of a socket.
#[test]
fn hazard_149_a_deep_state_directory_has_a_socket_as_any_other() {
    let mirror = Mirror::new();
    let deep = mirror.dir.path().join("d".repeat(100)).join("e".repeat(100));
    let text = fs::read_to_string(mirror.config()).unwrap();
    let (was, is) = (format!("{:?}", mirror.state()), format!("{deep:?}"));
    fs::write(mirror.config(), text.replacen(&was, &is, 1)).unwrap();
    // Nobody runs, and nobody is found.
    mirror.sync().expect(0, &["agreed"]);
    let running = Running::start(mirror.command());
    until("it is in sync", || now(&mirror).contains("in sync"));
    assert_serves(&mirror);
    assert!(deep.join("control.sock").exists());
    mirror.server.append("INBOX", &mail("more"), &[], Some(7));
    mirror.sync().expect(0, &[]);
    assert_eq!(mirror.files("INBOX").len(), 4);
    mirror.run(&["run"]).expect(5, &["runs already"]);
    running.end();
    assert!(!deep.join("control.sock").exists());
    mirror.sync().expect(0, &["agreed"]);
}
