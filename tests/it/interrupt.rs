//! Real signals, sent to a process of its own: this test binary, called again.

use std::io::{BufRead, BufReader, Write as _};
use std::process::{Command, Stdio};

use mailtide::cli::interrupt::Interrupt;
use rustix::process::{Pid, Signal, kill_process};

const CHILD: &str = "MAILTIDE_TEST_INTERRUPT_CHILD";

/// What the called process does: nothing, unless it was called for this.
#[test]
fn child() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let interrupt = Interrupt::install().unwrap();
    let say = |text: &str| writeln!(std::io::stderr(), "{text}").unwrap();
    say("ready");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(interrupt.requested());
    assert!(interrupt.is_set());
    say("asked");
    loop {
        std::thread::park();
    }
}

#[test]
fn the_first_signal_asks_and_the_second_ends() {
    for pair in [[Signal::INT, Signal::INT], [Signal::TERM, Signal::INT]] {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "interrupt::child", "--nocapture"]).env(CHILD, "1");
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let pid = Pid::from_child(&child);
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        for (signal, word) in pair.into_iter().zip(["ready", "asked"]) {
            assert!(lines.any(|line| line == word), "{word}");
            kill_process(pid, signal).unwrap();
        }
        assert_eq!(child.wait().unwrap().code(), Some(130));
    }
}
