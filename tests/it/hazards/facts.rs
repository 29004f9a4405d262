//! What a server says of itself that its own answers contradict.

use kit::imap::{Fault, Profile, When};
use kit::world::World;

use super::{agreed_on, filled, here, rungs, sent, settle, sync, there, uid};

/// Work: the first ten of its messages were deleted long ago, so that no UID is a sequence number.
fn far_from_one(profile: &Profile) -> World {
    let world = agreed_on(profile);
    filled(&world, "Work", 30);
    let old: Vec<u32> = world.server.list("Work").iter().take(10).map(|m| m.uid).collect();
    world.server.expunge("Work", &old);
    settle(&world);
    world
}

fn without_vanished() -> [Profile; 2] {
    [Profile::condstore(), Profile::plain()]
}

#[test]
fn hazard_127_a_search_of_sequence_numbers_removes_only_what_is_gone() {
    for profile in without_vanished() {
        let world = far_from_one(&profile);
        let all = if profile.esearch { ") ALL" } else { "ALL" };
        let lies = world.server.inject(Fault::SearchNumbers, When::verb("UID SEARCH").says(all));
        world.server.expunge("Work", &[uid(&world, "Work", "number 20.")]);
        world.server.append("Work", b"Message-ID: <new>\r\n\r\narrived\r\n", &[], Some(5));
        let mail = settle(&world);
        assert!(lies.hits() > 0, "it was asked");
        assert_eq!(mail["Work"].len(), 22);
        assert_eq!((here(&world, "Work", "number 20."), here(&world, "Work", "arrived")), (0, 1));
    }
}

#[test]
fn hazard_127_a_search_that_always_contradicts_fetch_removes_nothing() {
    for profile in without_vanished() {
        let world = far_from_one(&profile);
        world.server.inject(Fault::SearchNumbers, When::verb("UID SEARCH"));
        world.server.expunge("Work", &[uid(&world, "Work", "number 20.")]);
        world.server.append("Work", b"Message-ID: <new>\r\n\r\narrived\r\n", &[], Some(5));
        for _ in 0..3 {
            let report = sync(&world);
            let named = report.skipped.iter().filter(|skip| skip.what == "Work");
            assert_eq!(named.count(), 1, "said once: {report:?}");
        }
        assert_eq!((here(&world, "Work", "number 20."), here(&world, "Work", "arrived")), (1, 1));
        assert!(world.set_aside().is_empty(), "a number that is no UID is no message");
        world.server.heal();
        settle(&world);
        assert_eq!((there(&world, "Work", "number"), here(&world, "Work", "number 20.")), (21, 0));
    }
}

#[test]
fn hazard_128_a_uidnext_that_is_too_low_pushes_nothing_and_hides_no_mail() {
    for profile in rungs() {
        for by in [4, 100] {
            let world = agreed_on(&profile);
            filled(&world, "Work", 10);
            world.server.reset_counters();
            world.server.inject(Fault::LowUidNext(by), When::always());
            sync(&world);
            let body = b"Message-ID: <new>\r\n\r\narrived\r\n";
            world.server.append("Work", body, &[], Some(5));
            world.server.set_flags("Work", uid(&world, "Work", "number 9."), &["\\Flagged"], &[]);
            sync(&world);
            world.server.append("Work", b"Message-ID: <b>\r\n\r\nafter\r\n", &[], Some(6));
            let mail = settle(&world);
            assert_eq!(mail["Work"].len(), 14, "{by} too low");
            assert_eq!(sent(&world, "APPEND").len(), 0, "{by} too low");
        }
    }
}

#[test]
fn hazard_128_mail_comes_from_a_server_whose_uidnext_is_always_1() {
    for profile in rungs() {
        let world = World::new(profile);
        world.server.inject(Fault::LowUidNext(1000), When::always());
        filled(&world, "Work", 6);
        assert_eq!(here(&world, "Work", "number"), 6);
        filled(&world, "Work", 2);
        assert_eq!(here(&world, "Work", "number"), 8);
    }
}
