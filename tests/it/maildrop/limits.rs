//! What cannot be had, and what must not be.

use std::io;

use kit::pop3::{Fault, Profile, Server, When};
use kit::world::World;
use mailtide::account::AccountError;
use mailtide::config::Keep;
use mailtide::remote::RemoteError;

use super::{brings, drop_of, inbox, message, messages, of, pull};

fn left(world: &World) -> Vec<String> {
    let left = world.asked(|store| store.drop_left(100));
    left.into_iter().map(|row| format!("{:?}", row.pull)).collect()
}

#[test]
fn what_is_too_large_stays_and_is_shown() {
    let large = format!("{}{}\r\n", message(2), "x".repeat(5_000));
    let server = Server::new([message(1), large.clone(), message(3)]);
    let mut world = World::of_maildrop(&server, Keep::UntilPulled);
    world.also(|settings| settings.max_message_size = 4_000);
    let report = pull(&world);
    assert_eq!((report.pulled, report.removed_remote, report.skipped.len()), (2, 2, 0));
    assert_eq!(server.bodies(), [large.clone().into_bytes()]);
    assert!(left(&world)[0].contains("larger than max_message_size (4000 bytes)"));
    server.reset_counters();
    brings(&world, 0);
    assert_eq!(server.counters().verb("RETR"), 0, "it is not fetched to be measured");
    world.also(|settings| settings.max_message_size = 40_000);
    brings(&world, 1);
    assert_eq!(inbox(&world), of([message(1), large, message(3)]));
    assert!(left(&world).is_empty());
}

/// Announced as small, and then it does not end: what is too much is not kept, and the others
/// come all the same.
#[test]
fn a_size_that_is_a_lie_fills_no_disk() {
    for size in [20_000, 12_000_000] {
        let large = format!("{}{}\r\n", message(2), "x".repeat(size));
        let server = Server::new([message(1), large, message(3)]);
        server.inject(Fault::SizeLie(-12_000_001), When::verb("LIST"));
        let mut world = World::of_maildrop(&server, Keep::Forever);
        world.also(|settings| settings.max_message_size = 4_000);
        assert_eq!(pull(&world).pulled, 2);
        assert_eq!(inbox(&world), of(messages([1, 3])));
        assert_eq!(left(&world).len(), 1);
        brings(&world, 0);
    }
}

#[test]
fn a_message_that_is_refused_holds_up_no_other() {
    let (server, world) = drop_of(Profile::default(), 3, Keep::Forever);
    let injected = server.inject(Fault::RefuseMessage(2), When::verb("RETR"));
    for attempt in 1..=3 {
        let report = pull(&world);
        let expected = if attempt == 1 { 2 } else { 0 };
        assert_eq!((report.pulled, report.skipped.len()), (expected, 1));
    }
    // It is known by now, and no trouble any more.
    brings(&world, 0);
    assert_eq!(left(&world).len(), 1);
    server.withdraw(&injected);
    let mut world = world;
    world.also(|settings| settings.max_message_size += 1);
    brings(&world, 1);
    assert_eq!(inbox(&world), of(messages(1..=3)));
}

#[test]
fn trouble_of_the_moment_is_not_counted() {
    let (server, world) = drop_of(Profile::default(), 2, Keep::Forever);
    let later = Fault::Refuse("[SYS/TEMP] later".to_owned());
    let injected = server.inject(later, When::verb("RETR"));
    for _ in 0..5 {
        let report = pull(&world);
        assert_eq!((report.pulled, report.skipped.is_empty()), (0, false));
    }
    assert!(left(&world).is_empty());
    server.withdraw(&injected);
    brings(&world, 2);
}

#[test]
fn a_body_that_is_none_is_no_file() {
    let (server, world) = drop_of(Profile::default(), 2, Keep::Forever);
    let injected = server.inject(Fault::Say(b"+OK\r\n.\r\n".to_vec()), When::verb("RETR").nth(1));
    let report = pull(&world);
    assert_eq!((report.pulled, report.skipped.len()), (1, 1));
    server.withdraw(&injected);
    brings(&world, 1);
    assert_eq!(inbox(&world), of(messages(1..=2)));
}

#[test]
fn a_locked_maildrop_is_somebody_elses_for_now() {
    let (server, world) = drop_of(Profile::default(), 2, Keep::Forever);
    server.configure(|profile| profile.locked = true);
    let (_, result) = world.sync();
    assert!(matches!(result, Err(AccountError::Remote(RemoteError::Busy { .. }))), "{result:?}");
    server.configure(|profile| (profile.locked, profile.too_soon) = (false, true));
    let (_, result) = world.sync();
    assert!(matches!(result, Err(AccountError::Remote(RemoteError::Busy { .. }))), "{result:?}");
    server.configure(|profile| profile.too_soon = false);
    brings(&world, 2);
}

/// Any call to the file system fails once: nothing is lost or doubled, nor deleted unsaved.
#[test]
fn a_disk_that_fails_at_any_call() {
    for keep in [Keep::Forever, Keep::UntilPulled] {
        let calls = drop_of(Profile::default(), 3, keep).1.run_failing(0, full).1;
        for n in 1..=calls {
            let (server, world) = drop_of(Profile::default(), 3, keep);
            let _ = world.run_failing(n, full);
            world.wait();
            let here = inbox(&world);
            let there = of(server.bodies());
            for wanted in of(messages(1..=3)) {
                assert!(here.contains(&wanted) || there.contains(&wanted), "{keep:?}, call {n}");
            }
            pull(&world);
            pull(&world);
            assert_eq!(inbox(&world), of(messages(1..=3)), "{keep:?}, call {n} of {calls}");
        }
    }
}

fn full() -> io::Error {
    io::ErrorKind::StorageFull.into()
}

/// 100,000 messages: work and commands are by what is new.
#[test]
fn a_hundred_thousand_messages() {
    let small = |n: u32| format!("Message-ID: <{n}@x>\r\n\r\n{n}\r\n");
    let server = Server::new((0..100_000).map(small));
    let world = World::of_maildrop(&server, Keep::Forever);
    brings(&world, 100_000);
    server.reset_counters();
    server.deliver(small(100_000).as_bytes());
    brings(&world, 1);
    assert_eq!(server.counters().verb("RETR"), 1);
    server.renew_uidls();
    brings(&world, 0);
}
