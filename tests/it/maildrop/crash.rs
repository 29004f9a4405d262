//! A crash at every point, a cut at every octet, with each policy: every message is here exactly
//! once in the end, and none left the server before it was safe here.

use kit::pop3::{Fault, Profile, Server, When};
use kit::world::World;
use mailtide::config::Keep;

use super::{DAY, drop_of, inbox, message, messages, of};

const KEEPS: [Keep; 3] = [Keep::Forever, Keep::UntilPulled, Keep::Days(1)];
const COUNT: u32 = 4;

/// Some were pulled yesterday, the others came since; or all is to be pulled.
fn prepared(profile: &Profile, keep: Keep, pulled: u32) -> (Server, World) {
    let (server, world) = drop_of(profile.clone(), pulled, keep);
    if pulled > 0 {
        world.sync().1.unwrap();
    }
    (pulled + 1..=COUNT).for_each(|n| server.deliver(message(n).as_bytes()));
    world.fs.set_clock(world.fs.clock() + DAY);
    (server, world)
}

/// Nothing is lost now, and all is well after one more pull.
fn check(server: &Server, world: &World, what: &str) {
    let (here, there) = (inbox(world), of(server.bodies()));
    for wanted in of(messages(1..=COUNT)) {
        assert!(here.contains(&wanted) || there.contains(&wanted), "lost: {what}");
    }
    server.heal();
    world.wait();
    world.sync().1.unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(inbox(world), of(messages(1..=COUNT)), "{what}");
    world.wait();
    let (report, result) = world.sync();
    result.unwrap();
    assert_eq!((report.pulled, report.done()), (0, report.removed_remote), "{what}");
}

fn crash_everywhere(after: &dyn Fn(&World)) {
    for (keep, pulled) in KEEPS.into_iter().flat_map(|keep| [(keep, 0), (keep, 2)]) {
        let points = prepared(&Profile::default(), keep, pulled).1.run_until(0).1;
        assert!(points > 15, "{points}");
        for point in 1..=points {
            let (server, world) = prepared(&Profile::default(), keep, pulled);
            let _ = world.run_until(point);
            after(&world);
            check(&server, &world, &format!("{keep:?}, point {point} of {points}"));
        }
    }
}

#[test]
fn a_crash_at_every_point() {
    crash_everywhere(&|world| world.fs.restart());
}

#[test]
fn a_power_cut_at_every_point() {
    for seed in 0..3 {
        crash_everywhere(&|world| world.fs.power_loss(seed));
    }
}

#[test]
fn a_cut_at_every_octet() {
    for profile in [Profile::default(), Profile { pipelining: false, ..Profile::default() }] {
        for keep in KEEPS {
            let (server, world) = prepared(&profile, keep, 2);
            server.reset_counters();
            world.sync().1.unwrap();
            let counters = server.counters();
            let sent = (0..=counters.octets_sent).map(Fault::CutAfterSent);
            let received = (0..=counters.octets_received).map(Fault::CutAfterReceived);
            for fault in sent.chain(received) {
                let (server, world) = prepared(&profile, keep, 2);
                server.inject(fault.clone(), When::connect().nth(1));
                let _ = world.sync();
                check(&server, &world, &format!("{keep:?}, {fault:?}"));
            }
        }
    }
}

#[test]
fn a_session_that_hangs_or_answers_nonsense() {
    let faults = [
        Fault::Hang,
        Fault::CutBefore,
        Fault::CutAfter,
        Fault::Refuse("no".to_owned()),
        Fault::Refuse("[SYS/TEMP] later".to_owned()),
        Fault::Say(b"what?\r\n".to_vec()),
        Fault::Say(b"+OK\r\nhalf a".to_vec()),
        Fault::Say(Vec::new()),
    ];
    for verb in ["CONNECT", "CAPA", "AUTH", "UIDL", "LIST", "RETR", "DELE", "QUIT"] {
        for fault in &faults {
            for keep in KEEPS {
                let (server, world) = prepared(&Profile::default(), keep, 2);
                server.inject(fault.clone(), When::verb(verb));
                let _ = world.sync();
                check(&server, &world, &format!("{keep:?}, {verb}: {fault:?}"));
            }
        }
    }
}
