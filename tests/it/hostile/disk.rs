//! Disks that fail.

use std::io;

use kit::imap::Profile;

use super::{undisturbed, world};
use crate::scenarios::recover;

/// EIO, ENOSPC and EACCES at each call to the file system in turn, once.
fn at_every_call(error: fn() -> io::Error) {
    let profile = Profile::qresync();
    let expected = undisturbed(&profile);
    let (_, calls) = world(&profile).run_failing(0, error);
    assert!(calls > 100, "{calls} calls only");
    for n in 1..=calls {
        let world = world(&profile);
        let ((report, result), _) = world.run_failing(n, error);
        let what =
            format!("{} at call {n} of {calls}, then {result:?} {:?}", error(), report.skipped);
        recover(&world, &expected, &what);
    }
}

#[test]
fn any_call_may_fail_with_an_io_error() {
    at_every_call(|| io::Error::from_raw_os_error(5));
}

#[test]
fn any_call_may_find_the_disk_full() {
    at_every_call(|| io::Error::from_raw_os_error(28));
}

#[test]
fn any_call_may_be_forbidden() {
    at_every_call(|| io::Error::from_raw_os_error(13));
}
