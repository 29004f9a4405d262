//! Many messages that go up: MULTIAPPEND, several commands under way, refusals among them.

use kit::imap::{Fault, Profile, When};
use kit::world::World;
use mailtide::local::fs::Fs as _;

use crate::scenarios::{Mail, recover, write};

const MANY: usize = 130;

fn text(n: usize) -> String {
    format!("Message-ID: <{n}@up>\nDate: Mon, 23 Nov 2026 10:00:00 +0000\nSubject: {n}\n\n{n}\n")
}

fn profile(multiappend: bool, uidplus: bool) -> Profile {
    Profile { multiappend, uidplus, ..Profile::qresync() }
}

/// An agreed account, and then new files.
fn world(profile: Profile) -> World {
    let world = World::new(profile);
    world.server.append("INBOX", b"Message-ID: <old>\r\nSubject: old\r\n\r\nold\r\n", &[], Some(7));
    world.sync().1.expect("the first run");
    for n in 0..MANY {
        let flags = if n % 3 == 0 { "S" } else { "" };
        write(&world, &format!("INBOX/cur/{n}.new:2,{flags}"), &text(n));
    }
    world.fs.settle();
    world.wait();
    world.server.reset_counters();
    world
}

fn expected() -> Mail {
    let world = world(profile(false, true));
    world.sync().1.expect("a run");
    assert_eq!(world.remote()["INBOX"].len(), MANY + 1);
    world.remote()
}

#[test]
fn what_is_small_goes_up_many_in_a_command() {
    for (multiappend, most) in [(true, MANY / 50 + 1), (false, MANY)] {
        let world = world(profile(multiappend, true));
        let (report, result) = world.sync();
        result.expect("a run");
        assert_eq!((report.pushed, report.skipped), (MANY as u64, Vec::new()));
        assert_eq!(world.server.counters().verb("APPEND"), most as u64);
        assert_eq!((world.remote(), world.local()), (expected(), expected()));
    }
}

/// UIDs that are stated save the look: nothing comes down and nothing is matched by header.
#[test]
fn each_message_of_a_command_gets_its_own_uid() {
    let world = world(profile(true, true));
    world.sync().1.expect("a run");
    let counters = world.server.counters();
    assert_eq!((counters.bodies_sent, counters.header_octets_sent), (0, 0));
    // The file and the message of the same name change together, or the UIDs were mixed up.
    for n in [0, 49, 50, MANY - 1] {
        let all = world.server.list("INBOX");
        let holds = format!("<{n}@up>");
        let uid = all.iter().find(|m| String::from_utf8_lossy(&m.body).contains(&holds));
        world.server.set_flags("INBOX", uid.expect("it went up").uid, &["\\Flagged"], &[]);
    }
    world.wait();
    world.sync().1.expect("a second run");
    assert_eq!(world.remote(), world.local());
}

#[test]
fn a_refused_command_costs_its_messages_a_second_try_and_nothing_else() {
    for multiappend in [true, false] {
        for nth in [1, 2, 3] {
            let world = world(profile(multiappend, true));
            let no = Fault::No("too odd for us".to_owned());
            let refused = world.server.inject(no, When::verb("APPEND").nth(nth));
            let (_, result) = world.sync();
            result.expect("a run");
            assert_eq!(refused.hits(), 1);
            recover(&world, &expected(), &format!("refused at {nth}, {multiappend}"));
        }
    }
}

/// The RFC has a refused command add nothing. A server that added some of it all the same does
/// not make us add it again.
#[test]
fn a_refused_command_that_added_something_is_not_repeated_before_a_look() {
    let world = world(profile(true, true));
    let server = world.server.clone();
    let mut done = false;
    world.on_command(move |line| {
        if line.contains("APPEND") && !std::mem::replace(&mut done, true) {
            for n in [0, 1] {
                let flags: &[&str] = if n % 3 == 0 { &["\\Seen"] } else { &[] };
                let body = text(n).replace('\n', "\r\n");
                server.append("INBOX", body.as_bytes(), flags, None);
            }
        }
    });
    let no = Fault::No("half of it".to_owned());
    world.server.inject(no, When::verb("APPEND").nth(1));
    world.sync().1.expect("a run");
    world.wait();
    world.sync().1.expect("a second run");
    let subjects = |mail: Mail| mail["INBOX"].len();
    assert_eq!((subjects(world.remote()), subjects(world.local())), (MANY + 1, MANY + 1));
}

#[test]
fn a_full_quota_stops_the_mailbox_and_is_named() {
    let world = world(profile(true, true));
    let no = Fault::No("[OVERQUOTA] full".to_owned());
    let full = world.server.inject(no, When::verb("APPEND"));
    let (report, result) = world.sync();
    result.expect("a run");
    assert_eq!((report.pushed, report.skipped.len()), (0, 1), "{:?}", report.skipped);
    assert!(report.skipped[0].why.contains("OVERQUOTA") || report.skipped[0].why.contains("full"));
    assert!(full.hits() < 10, "{} attempts", full.hits());
    world.server.withdraw(&full);
    recover(&world, &expected(), "there is room again");
}

/// What is larger than APPENDLIMIT is set aside before it is sent, with its reason, and the
/// mailbox goes on.
#[test]
fn what_is_larger_than_the_server_takes_is_not_sent() {
    let world = world(Profile { append_limit: Some(500), ..Profile::qresync() });
    let large = text(900) + &"a line of text\n".repeat(100);
    write(&world, "INBOX/cur/large:2,", &large);
    world.fs.settle();
    world.wait();
    let (report, result) = world.sync();
    result.expect("a run");
    assert_eq!((report.pushed, report.skipped), (MANY as u64, Vec::new()));
    assert_eq!(world.set_aside(), ["larger than the server takes (500 bytes)"]);
    assert!(world.server.counters().append_octets_received < (MANY * 150) as u64);
}

#[test]
fn answers_that_are_lost_are_looked_for() {
    for uidplus in [true, false] {
        for fault in [Fault::CutAfter, Fault::LoseTagged, Fault::CutBefore, Fault::LateAppend(None)]
        {
            for nth in [1, 2] {
                let world = world(profile(true, uidplus));
                let lost = world.server.inject(fault.clone(), When::verb("APPEND").nth(nth));
                // And no other one can be opened.
                world.server.inject(Fault::CutBefore, When::connect().nth(2));
                world.sync().1.expect_err("the connection is lost");
                assert_eq!(lost.hits(), 1);
                world.server.finish_late();
                recover(&world, &expected(), &format!("{fault:?} at {nth}, {uidplus}"));
            }
        }
    }
}

#[test]
fn a_crash_at_any_point_loses_and_doubles_nothing() {
    let expected = expected();
    for multiappend in [true, false] {
        let (_, points) = world(profile(multiappend, true)).run_until(0);
        let step = usize::try_from(points / 30).expect("few").max(1);
        for end in (1..=points).step_by(step) {
            let world = world(profile(multiappend, true));
            let _ = world.run_until(end);
            recover(&world, &expected, &format!("crash at {end} of {points}, {multiappend}"));
        }
    }
}

/// A program gave it the date of its message, and that one lies: it goes up all the same.
#[test]
fn a_file_from_the_future_is_not_taken_for_one_that_is_being_written() {
    let world = World::new(Profile::qresync());
    world.sync().1.expect("the first run");
    write(&world, "INBOX/new/1.future", &text(1));
    let mut file = world.fs.open(&world.dir_of("INBOX").join("new/1.future")).expect("the file");
    file.set_mtime(world.fs.clock() / 1_000_000_000 + 86_400).expect("a date");
    world.fs.settle();
    world.wait();
    let (report, result) = world.sync();
    result.expect("a run");
    assert_eq!((report.pushed, report.skipped), (1, Vec::new()));
}
