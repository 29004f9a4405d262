//! Other users of the machine, and the programs that mailtide starts.

use std::fs;
use std::path::Path;

use kit::unprivileged;

use super::{Mirror, mail, set_mode};
use crate::running::until;

/// A program of the account's, in a file of its own.
fn script(mirror: &Mirror, text: &str) -> std::path::PathBuf {
    let path = mirror.dir.path().join("program");
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    unprivileged::give(&path);
    set_mode(&path, 0o755);
    path
}

#[test]
fn hazard_110_what_others_may_change_is_refused() {
    let mirror = Mirror::in_step();
    let program = script(&mirror, "echo ran >\"$HOME/ran\"");
    mirror.configure(&format!("on_change = [{program:?}]\n"));
    let (config, state, root) = (mirror.config(), mirror.state(), mirror.root());
    for (path, wrong, right) in [
        (config.as_path(), 0o666, 0o644),
        (&config, 0o664, 0o644),
        (&state, 0o777, 0o700),
        (&state, 0o770, 0o700),
        (&root, 0o777, 0o700),
        (&program, 0o777, 0o755),
        (mirror.dir.path(), 0o777, 0o755),
    ] {
        set_mode(path, wrong);
        for command in [&["sync"][..], &["run"], &["check"]] {
            let shown = path.display().to_string();
            mirror.run(command).expect(2, &["others may write to", &shown, "chmod"]);
        }
        set_mode(path, right);
    }
    mirror.server.append("INBOX", &mail("fresh"), &[], Some(9));
    mirror.agree();
    until("it ran", || mirror.dir.path().join("ran").exists());
}

#[test]
fn a_config_or_password_that_is_a_pipe_or_of_another_user_is_refused() {
    let mirror = Mirror::in_step();
    let pipe = mirror.dir.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    unprivileged::give(&pipe);
    set_mode(&pipe, 0o600);
    let more = "password_file = ";
    let text = fs::read_to_string(mirror.config()).unwrap();
    let text = text.replace("password_env = \"MAIL_PASSWORD\"", &format!("{more}{pipe:?}"));
    fs::write(mirror.config(), text).unwrap();
    let said = mirror.sync();
    assert!(said.text.contains("not a regular file"), "{}", said.text);
    fs::remove_file(mirror.config()).unwrap();
    fs::rename(&pipe, mirror.config()).unwrap();
    mirror.sync().expect(2, &["not a regular file"]);
}

/// What a hook saw.
fn seen(mirror: &Mirror, name: &str) -> String {
    fs::read_to_string(mirror.dir.path().join(name)).unwrap_or_default()
}

#[test]
fn a_hook_sees_no_password_and_no_forged_line() {
    let mirror = Mirror::in_step();
    let program = script(
        &mirror,
        "cat >\"$HOME/input\"; env >\"$HOME/env\"; echo noise; echo trouble >&2; exit 3",
    );
    let other = "\n[accounts.other]\nhost = \"127.0.0.1\"\nport = 1\ntls = \"none\"\nuser = \"u\"\n\
                 password_env = \"OTHER_PASSWORD\"\nmaildir = \"OTHER\"\n";
    let other =
        other.replace("OTHER\"\n", &format!("{}\"\n", mirror.dir.path().join("O").display()));
    mirror.configure(&format!("on_change = [{program:?}]\n{other}"));
    let forged = "a\nINBOX";
    mirror.server.create(forged);
    mirror.server.append(forged, &mail("in an odd mailbox"), &[], Some(9));
    mirror.server.append("Work", &mail("fresh"), &[], Some(9));
    let output = mirror
        .command()
        .env("OTHER_PASSWORD", "hunter2")
        .args(["sync", "me", "--json"])
        .output()
        .unwrap();
    let (stdout, stderr) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(!stdout.contains("noise") && stderr.contains("trouble"), "{stdout}\n{stderr}");
    let env = seen(&mirror, "env");
    assert!(env.contains("MAILTIDE_ACCOUNT=me"), "{env}");
    assert!(!env.contains("PASSWORD"), "{env}");
    let names: Vec<&str> = env.lines().filter(|line| *line == "INBOX").collect();
    assert!(names.is_empty(), "{env}");
    assert!(seen(&mirror, "input").split_terminator('\0').any(|name| name == "Work"));
}

#[test]
fn what_a_program_started_ends_with_it() {
    let mirror = Mirror::in_step();
    let program =
        script(&mirror, "trap '' TERM; sleep 300 & echo $! >\"$HOME/pid\"; wait; sleep 300");
    mirror.configure(&format!("on_change = [{program:?}]\n"));
    let running = crate::running::Running::start(mirror.command());
    running.says("start:", 1);
    mirror.server.append("INBOX", &mail("fresh"), &["\\Seen"], Some(9));
    until("it has started", || seen(&mirror, "pid").ends_with('\n'));
    let pid = seen(&mirror, "pid").trim().to_owned();
    let alive = || Path::new(&format!("/proc/{pid}")).exists();
    assert!(alive());
    assert_eq!(running.end().0.code(), Some(0));
    until("what it started has ended, too", || !alive());
}
