//! What stays on the server, for how long, and what never comes again.

use kit::pop3::{Fault, Profile, When};
use kit::world::{ROOT, World};
use mailtide::account::AccountError;
use mailtide::config::Keep;

use super::{
    DAY, brings, drop_of, inbox, message, messages, of, pull, restored, server, unmounted,
};
use mailtide::local::fs::Fs as _;

#[test]
fn what_is_new_comes_once_and_as_it_is() {
    let (server, world) = drop_of(Profile::default(), 5, Keep::Forever);
    brings(&world, 5);
    assert_eq!(inbox(&world), of(messages(1..=5)));
    server.reset_counters();
    brings(&world, 0);
    assert_eq!(server.counters().verb("RETR"), 0);
    server.deliver(message(6).as_bytes());
    brings(&world, 1);
    assert_eq!(inbox(&world), of(messages(1..=6)));
    assert_eq!(server.messages().len(), 6, "nothing is deleted");
    assert_eq!(server.counters().verb("DELE"), 0);
}

/// By the date that the last server wrote into the header.
#[test]
fn files_have_the_date_of_their_message() {
    let (_, world) = drop_of(Profile::default(), 3, Keep::Forever);
    brings(&world, 3);
    let tree = world.fs.tree();
    let mut dates: Vec<i64> = tree
        .keys()
        .filter(|path| path.parent().is_some_and(|dir| dir.ends_with("INBOX/new")))
        .map(|path| world.fs.stat(path).unwrap().stamp.mtime_ns / 1_000_000_000)
        .collect();
    dates.sort_unstable();
    assert_eq!(dates, [60, 120, 180]);
}

#[test]
fn what_the_server_deletes_stays_here_and_what_is_deleted_here_does_not_come_again() {
    let (server, world) = drop_of(Profile::default(), 4, Keep::Forever);
    brings(&world, 4);
    server.remove(0);
    brings(&world, 0);
    assert_eq!(inbox(&world).len(), 4);
    let files = world.fs.tree().into_keys();
    let read = files.filter(|path| path.parent().is_some_and(|dir| dir.ends_with("INBOX/new")));
    read.for_each(|path| world.fs.delete_file(path));
    brings(&world, 0);
    assert_eq!(inbox(&world).len(), 0);
    // Not even when the server gives all of them other names.
    server.renew_uidls();
    brings(&world, 0);
    brings(&world, 0);
    assert_eq!(inbox(&world).len(), 0);
}

#[test]
fn what_is_safe_here_may_leave_the_server() {
    let (server, world) = drop_of(Profile::default(), 4, Keep::UntilPulled);
    let report = pull(&world);
    assert_eq!((report.pulled, report.removed_remote), (4, 4));
    assert!(server.messages().is_empty());
    assert_eq!(inbox(&world), of(messages(1..=4)));
    server.deliver(message(5).as_bytes());
    let report = pull(&world);
    assert_eq!((report.pulled, report.removed_remote), (1, 1));
    // The same once more is a new message: its name was never seen.
    server.deliver(message(5).as_bytes());
    assert_eq!(pull(&world).pulled, 1);
    assert_eq!(inbox(&world).len(), 6);
}

#[test]
fn days_are_days_on_which_it_was_seen() {
    let (server, world) = drop_of(Profile::default(), 2, Keep::Days(3));
    brings(&world, 2);
    let next_day = |days: i64| world.fs.set_clock(world.fs.clock() + days * DAY);
    for day in 1..=2 {
        next_day(1);
        assert_eq!(pull(&world).removed_remote, 0, "day {day}");
        assert_eq!(pull(&world).removed_remote, 0, "day {day}, once more");
    }
    server.deliver(message(3).as_bytes());
    brings(&world, 1);
    next_day(1);
    assert_eq!(pull(&world).removed_remote, 2);
    assert_eq!(server.bodies(), [message(3).into_bytes()]);
}

/// A clock that is wrong for a while: a year ahead is one day, and back is none.
#[test]
fn a_clock_that_jumps_deletes_nothing() {
    let (server, world) = drop_of(Profile::default(), 2, Keep::Days(30));
    brings(&world, 2);
    for days in [365, -365, 4_000, -4_000] {
        world.fs.set_clock(world.fs.clock() + days * DAY);
        assert_eq!(pull(&world).removed_remote, 0);
    }
    assert_eq!(server.messages().len(), 2);
}

/// Hazard 15: the last copy is never deleted for a Maildir that is not there.
#[test]
fn nothing_is_deleted_while_the_maildir_is_another() {
    let (server, mut world) = drop_of(Profile::default(), 3, Keep::Forever);
    brings(&world, 3);
    world.pull(Keep::UntilPulled);
    let mounted = world.fs.clone();
    world.fs = unmounted(mounted.clock());
    for _ in 0..2 {
        let (report, result) = world.sync();
        assert!(matches!(result, Err(AccountError::Gone { .. })), "{result:?}");
        assert_eq!((report.pulled, report.removed_remote), (0, 0));
        world.fs.mkdir_all(ROOT);
    }
    assert_eq!(server.messages().len(), 3);
    world.fs = mounted;
    assert_eq!(pull(&world).removed_remote, 3);
}

/// What a dry run says of a Maildir that lacks something is what a run does.
#[test]
fn a_dry_run_of_a_maildir_that_was_restored() {
    let (server, mut world) = drop_of(Profile::default(), 3, Keep::Forever);
    brings(&world, 3);
    let backup = world.fs.tree();
    server.deliver(message(4).as_bytes());
    brings(&world, 1);
    world.fs = restored(&backup, world.fs.clock());
    assert_eq!(world.dry_run(), ["      1  fetch into INBOX, 1 MB"]);
    assert_eq!(inbox(&world).len(), 3);
    brings(&world, 1);
}

/// A backup of the Maildir is brought back: what it lacks is pulled once more.
#[test]
fn what_a_restored_maildir_lacks_is_pulled_again() {
    let (server, mut world) = drop_of(Profile::default(), 3, Keep::Forever);
    brings(&world, 3);
    let backup = world.fs.tree();
    server.deliver(message(4).as_bytes());
    server.deliver(message(4).as_bytes());
    brings(&world, 2);
    world.fs = restored(&backup, world.fs.clock());
    brings(&world, 2);
    assert_eq!(inbox(&world), of(messages([1, 2, 3, 4, 4])));
    brings(&world, 0);
}

/// A lost store: what is here already is known by its content, each as often as it is here.
#[test]
fn a_lost_store_doubles_nothing() {
    let (server, world) = drop_of(Profile::default(), 3, Keep::Forever);
    server.deliver(message(3).as_bytes());
    brings(&world, 4);
    world.lose_store();
    server.deliver(message(3).as_bytes());
    server.deliver(message(9).as_bytes());
    brings(&world, 2);
    assert_eq!(inbox(&world), of(messages([1, 2, 3, 3, 3, 9])));
    brings(&world, 0);
}

/// Another program's Maildir, full of what it pulled.
#[test]
fn a_maildir_that_was_filled_by_others_is_taken_over() {
    let (_, world) = drop_of(Profile::default(), 3, Keep::Forever);
    for sub in ["tmp", "new", "cur"] {
        world.fs.mkdir_all(format!("{ROOT}/INBOX/{sub}"));
    }
    let lf = message(2).replace("\r\n", "\n");
    world.fs.write_file(format!("{ROOT}/INBOX/cur/1.other.host:2,S"), lf.as_bytes());
    world.wait();
    brings(&world, 2);
    assert_eq!(inbox(&world), of(messages(1..=3)));
}

#[test]
fn a_server_that_does_not_delete_gives_nothing_twice() {
    let (server, world) = drop_of(Profile::default(), 2, Keep::UntilPulled);
    server.inject(Fault::KeepDeleted, When::verb("QUIT"));
    for expected in [2, 0, 0] {
        assert_eq!(pull(&world).pulled, expected);
    }
    assert_eq!(inbox(&world).len(), 2);
    server.heal();
    assert_eq!(pull(&world).removed_remote, 2);
    assert!(server.messages().is_empty());
}

#[test]
fn a_refused_deletion_is_told_and_asked_for_again() {
    let (server, world) = drop_of(Profile::default(), 3, Keep::UntilPulled);
    let injected = server.inject(Fault::RefuseMessage(2), When::verb("DELE"));
    let report = pull(&world);
    assert_eq!((report.pulled, report.removed_remote, report.skipped.len()), (3, 2, 1));
    server.withdraw(&injected);
    assert_eq!(pull(&world).removed_remote, 1);
    server.deliver(message(4).as_bytes());
    server.inject(Fault::Refuse("[SYS/PERM] not deleted".to_owned()), When::verb("QUIT"));
    let report = pull(&world);
    assert_eq!((report.pulled, report.removed_remote, report.skipped.len()), (1, 0, 1));
    assert_eq!(server.messages().len(), 1);
}

/// A dry run says what would be done, and does none of it.
#[test]
fn a_dry_run_changes_nothing() {
    let server = server(3);
    let mut world = World::of_maildrop(&server, Keep::Forever);
    let plan = world.dry_run();
    assert_eq!(plan, ["      3  fetch into INBOX, 1 MB"]);
    assert!(world.local().is_empty());
    assert_eq!(server.counters().verb("RETR"), 0);
    brings(&world, 3);
    world.pull(Keep::UntilPulled);
    server.deliver(message(4).as_bytes());
    let plan = world.dry_run();
    assert_eq!(plan, ["      1  fetch into INBOX, 1 MB", "      3  delete from the server"]);
    assert_eq!(server.messages().len(), 4);
}
