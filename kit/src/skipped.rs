//! Tests that cannot run on a machine say so, and the gate lists them at its end.

use std::io::Write as _;

/// Says why the test of this thread does not run: on stderr, and in the file that
/// `MAILTIDE_SKIPPED` names.
///
/// # Panics
/// If that file cannot be written.
pub fn skipped(why: &str) {
    eprintln!("skipped: {why}");
    let Some(list) = std::env::var_os("MAILTIDE_SKIPPED") else { return };
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    let list = std::fs::OpenOptions::new().create(true).append(true).open(list);
    list.and_then(|mut list| writeln!(list, "{test}: {why}")).expect("the list of skipped tests");
}
