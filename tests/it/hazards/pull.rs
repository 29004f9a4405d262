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

/// What a message of a server holds that does not double dots: everything behind the lone dot is
/// read as answers.
const TORN: [&str; 7] = [
    "after the dot",
    "+OK\r\nFrom: boss@x\r\nSubject: pay\r\n\r\nevil\r\n.\r\n+OK x",
    "+OK\r\na: b\r\n\r\nc",
    "-ERR no\r\n-ERR no\r\n+OK\r\na: b\r\n\r\nc",
    "+OK\r\nFrom: boss@x\r\n\r\nevil\r\n.\r\nand more",
    "+OK 1 a\r\n+OK 2 200\r\n+OK\r\na: b\r\n\r\nc",
    "+OK",
];

#[test]
fn hazard_147_answers_that_stand_in_a_message_are_none() {
    for (pipelining, keep, odd) in [
        (true, Keep::UntilPulled, false),
        (false, Keep::UntilPulled, false),
        (true, Keep::Forever, false),
        (true, Keep::UntilPulled, true),
        (false, Keep::Forever, true),
    ] {
        for torn in TORN {
            let what = format!("{torn:?}, {pipelining}, {keep:?}, {odd}");
            // All are equally long, so that sizes tell nothing.
            let text = |n: u32| format!("Message-ID: <{n}@x>\r\nSubject: {n}\r\n\r\nbody {n}\r\n");
            let mut texts: Vec<String> = (1..=8).map(text).collect();
            texts[2] += &format!(".\r\n{torn}\r\n");
            let profile = Profile { pipelining, ..Profile::default() };
            let server = Server::with(profile, &texts);
            let world = World::of_maildrop(&server, keep);
            server.inject(Fault::Unstuffed, When::always());
            if odd {
                // It lists all when it is asked about one.
                server.inject(
                    Fault::Say(b"+OK\r\n1 a\r\n.\r\n".to_vec()),
                    When::verb("UIDL").says("1"),
                );
            }
            let mut said = String::new();
            for _ in 0..4 {
                let (report, result) = world.sync();
                said += &format!("{result:?} {:?}\n", report.skipped);
                world.wait();
            }
            let bad = texts.remove(2);
            assert_eq!(inbox(&world), of(&texts), "{what}\n{said}");
            assert!(of(server.bodies()).contains(&of([&bad])[0]), "{what}: deleted\n{said}");
            let named = "UIDL 000100000003";
            assert!(said.contains(named), "{what}: not named\n{said}");
            server.heal();
            for _ in 0..40 {
                let _ = world.sync();
                world.wait();
            }
            texts.push(bad);
            assert_eq!(inbox(&world), of(&texts), "{what}, healed");
        }
    }
}

/// A server that answers questions about one message in a way of its own is pulled from as before.
#[test]
fn hazard_147_a_server_that_cannot_be_asked_about_one_message_gives_all_of_them() {
    for answer in ["+OK\r\n", "+OK 9 other\r\n", "-ERR what?\r\n", "+OK\r\n1 a\r\n2 b\r\n.\r\n"] {
        let (server, world) = drop_of(Profile::default(), 5, Keep::UntilPulled);
        for verb in ["UIDL", "LIST"] {
            server.inject(Fault::Say(answer.into()), When::verb(verb).says("1"));
        }
        let (report, result) = world.sync();
        result.unwrap();
        assert_eq!((report.pulled, report.skipped.len()), (5, 0), "{answer:?}");
        assert_eq!(server.messages().len(), 0, "{answer:?}");
        world.wait();
        server.deliver(message(6).as_bytes());
        let before = server.counters().connections;
        brings(&world, 1);
        assert_eq!(server.counters().connections, before + 1, "{answer:?}: it is remembered");
    }
}

/// A server that is ill for a while cuts messages off: they come once it is well again.
#[test]
fn hazard_130_a_maildrop_that_cuts_messages_off_for_a_while_is_asked_again() {
    for keep in [Keep::UntilPulled, Keep::Forever] {
        let (server, world) = drop_of(Profile::default(), 3, keep);
        server.inject(Fault::CutBody(2, 130), When::verb("RETR"));
        for pull in 0..2 {
            let (report, result) = world.sync();
            result.unwrap();
            assert!(pull > 0 || report.skipped.len() == 1, "{:?}", report.skipped);
            assert_eq!(inbox(&world).len(), 2, "{pull}");
            world.wait();
            server.heal();
            let number = if keep == Keep::Forever { 2 } else { 1 };
            server.inject(Fault::CutBody(number, 130), When::verb("RETR"));
        }
        server.heal();
        for _ in 0..4 {
            world.sync().1.unwrap();
            world.wait();
        }
        assert_eq!(inbox(&world), of(messages(1..=3)), "{keep:?}");
        let left = if keep == Keep::Forever { 3 } else { 0 };
        assert_eq!(server.messages().len(), left, "{keep:?}");
    }
}
