//! Ways to lose or double what is pulled from a maildrop. More of them, and sequences of them,
//! are in `maildrop`.

use std::path::{Path, PathBuf};

use kit::imap::Profile as Imap;
use kit::pop3::{Fault, Profile, Server, When};
use kit::world::World;
use mailtide::config::Keep;

use crate::maildrop::{
    DAY, brings, drop_of, inbox, message, messages, of, pull, restored, unmounted,
};

/// The Maildir is brought back from a backup, or its disk is not there: what it lacks is on the
/// server alone.
#[test]
fn hazard_15_nothing_leaves_the_server_while_the_maildir_is_another() {
    for is_restored in [true, false] {
        let (server, mut world) = drop_of(Profile::default(), 3, Keep::Days(1));
        brings(&world, 3);
        let backup = world.fs.tree();
        server.deliver(message(4).as_bytes());
        brings(&world, 1);
        let later = world.fs.clock() + 2 * DAY;
        world.fs = if is_restored { restored(&backup, later) } else { unmounted(later) };
        let _ = world.sync();
        let (here, there) = (inbox(&world), of(server.bodies()));
        for wanted in of(messages(1..=4)) {
            assert!(here.contains(&wanted) || there.contains(&wanted), "{is_restored}: {wanted}");
        }
    }
}

/// It vanishes in the middle of a pull, behind what was looked at first.
#[test]
fn hazard_15_nothing_leaves_the_server_when_the_maildir_goes_meanwhile() {
    let (server, mut world) = drop_of(Profile::default(), 3, Keep::UntilPulled);
    let (fs, gone) = (world.fs.clone(), std::sync::atomic::AtomicBool::new(false));
    world.on_call(move |call, _| {
        // Its names are given, and nothing is deleted yet.
        let placed = fs.tree().keys().filter(|path| is_new(path)).count() == 3;
        if call == "fsync" && placed && !gone.swap(true, std::sync::atomic::Ordering::SeqCst) {
            let marker = "/mail/.mailtide/marker";
            fs.write_file(marker, b"that of somebody else");
        }
    });
    let _ = world.sync();
    assert_eq!(server.messages().len(), 3);
}

fn is_new(path: &Path) -> bool {
    path.parent().is_some_and(|dir| dir.ends_with("INBOX/new"))
}

/// A clock that jumps a year ahead has not seen a message for a year.
#[test]
fn hazard_15_a_clock_that_jumps_is_a_day() {
    let (server, world) = drop_of(Profile::default(), 3, Keep::Days(30));
    brings(&world, 3);
    world.fs.set_clock(world.fs.clock() + 365 * DAY);
    assert_eq!(pull(&world).removed_remote, 0);
    for _ in 0..28 {
        world.fs.set_clock(world.fs.clock() + DAY);
        assert_eq!(pull(&world).removed_remote, 0);
    }
    world.fs.set_clock(world.fs.clock() + DAY);
    assert_eq!(pull(&world).removed_remote, 3);
    assert!(server.messages().is_empty());
}

/// All names change after mail was deleted and filed here: years do not come back.
#[test]
fn hazard_25_what_was_deleted_here_does_not_come_back_under_other_names() {
    let (server, world) = drop_of(Profile::default(), 6, Keep::Forever);
    brings(&world, 6);
    let files: Vec<PathBuf> = world.fs.tree().into_keys().filter(|path| is_new(path)).collect();
    world.fs.delete_file(&files[0]);
    world.fs.mkdir_all("/mail/Filed/cur");
    world.fs.move_file(&files[1], "/mail/Filed/cur/filed:2,S");
    server.renew_uidls();
    server.deliver(message(7).as_bytes());
    brings(&world, 1);
    brings(&world, 0);
    assert_eq!(inbox(&world).len(), 5);
}

/// Two equal messages are two: also the one that comes when its twin was pulled long ago.
#[test]
fn hazard_25_an_equal_message_is_another_one() {
    let server = Server::new(messages([1, 1, 2]));
    let world = World::of_maildrop(&server, Keep::UntilPulled);
    assert_eq!(pull(&world).pulled, 3);
    server.deliver(message(1).as_bytes());
    assert_eq!(pull(&world).pulled, 1);
    assert_eq!(inbox(&world), of(messages([1, 1, 1, 2])));
}

/// Of as many equal ones as were pulled before a reset, as many are known, and no more.
#[test]
fn hazard_25_a_reset_is_matched_one_by_one() {
    let server = Server::new(messages([1, 1, 2, 3]));
    let world = World::of_maildrop(&server, Keep::Forever);
    brings(&world, 4);
    server.renew_uidls();
    server.deliver(message(1).as_bytes());
    brings(&world, 1);
    assert_eq!(inbox(&world), of(messages([1, 1, 1, 2, 3])));
}

/// A server that writes a line into the header whenever it gives a message.
#[test]
fn hazard_25_a_header_that_is_written_anew_each_time() {
    let (server, world) = drop_of(Profile::default(), 4, Keep::Forever);
    server.inject(Fault::AddHeader, When::verb("RETR"));
    brings(&world, 4);
    server.renew_uidls();
    brings(&world, 0);
    assert_eq!(inbox(&world).len(), 4);
}

/// The owner of the Maildir was killed with a body in `tmp/` that is to get its name; a guest
/// pulls before it is back. Taken for a leftover, the message would be missing at the owner's
/// next look, and a missing file is a wish to delete.
#[test]
fn hazard_46_a_guest_touches_nothing_of_its_owner() {
    let start = || {
        let owner = World::new(Imap::qresync());
        owner.sync().1.unwrap();
        owner.wait();
        owner.server.append("INBOX", message(1).as_bytes(), &[], Some(5));
        let drop = Server::new(messages([7]));
        let guest = World::guest_of(&owner, &drop, Keep::UntilPulled, "INBOX");
        (owner, guest)
    };
    let points = start().0.run_until(0).1;
    for point in 1..=points {
        let (owner, guest) = start();
        let _ = owner.run_until(point);
        owner.fs.restart();
        owner.wait();
        assert_eq!(pull(&guest).pulled, 1);
        for _ in 0..3 {
            owner.sync().1.unwrap();
            owner.wait();
        }
        assert_eq!(inbox(&owner), of(messages([1, 7])), "ended at {point} of {points}");
        let there = owner.server.list("INBOX");
        assert_eq!(of(there.iter().map(|one| &one.body)), of(messages([1, 7])), "{point}");
    }
}
