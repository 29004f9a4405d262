//! Bodies that come down: over several connections (`connections`), and those that do not
//! (`max_message_size`).

use kit::imap::{Fault, Profile, When};
use kit::world::World;

const MAILBOXES: [&str; 4] = ["INBOX", "Work", "Lists", "Other"];
const EACH: usize = 120;

/// More mail than one connection should fetch alone.
fn world(connections: u8) -> World {
    let mut world = World::new(Profile::qresync());
    world.configure(move |settings| settings.connections = connections);
    for name in MAILBOXES {
        if name != "INBOX" {
            world.server.create(name);
        }
        for n in 0..EACH {
            let mail = format!("Message-ID: <{n}@{name}>\r\nSubject: {n}\r\n\r\n{name} {n}\r\n");
            world.server.append(name, mail.as_bytes(), &["\\Seen"], Some(n as i64));
        }
    }
    world
}

/// Brings it down and checks that each message is there once. Gives the connections used.
fn bring_down(world: &World, what: &str) -> u64 {
    let (report, result) = world.sync();
    result.unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(report.skipped, [], "{what}");
    assert_eq!(report.pulled, (MAILBOXES.len() * EACH) as u64, "{what}");
    assert_eq!(world.remote(), world.local(), "{what}");
    let tree = world.fs.tree();
    let files = tree.iter().filter(|(_, bytes)| bytes.is_some()).map(|(path, _)| path);
    let in_tmp = |path: &&std::path::PathBuf| path.parent().is_some_and(|p| p.ends_with("tmp"));
    assert_eq!(files.filter(in_tmp).count(), 0, "{what}: something lies in tmp");
    let counters = world.server.counters();
    assert_eq!(counters.connections, counters.verb("LOGOUT"), "{what}: each says goodbye");
    counters.connections
}

#[test]
fn bodies_come_down_over_as_many_connections_as_configured() {
    assert_eq!(bring_down(&world(1), "one"), 1);
    assert_eq!(bring_down(&world(2), "two"), 2);
    let all = bring_down(&world(4), "four");
    assert!((3..=4).contains(&all), "{all}");
}

#[test]
fn a_few_messages_are_not_worth_another_sign_in() {
    let mut world = World::new(Profile::qresync());
    world.configure(|settings| settings.connections = 4);
    for n in 0..20 {
        world.server.append("INBOX", format!("Subject: {n}\r\n\r\n").as_bytes(), &[], Some(n));
    }
    world.sync().1.expect("a run");
    assert_eq!(world.server.counters().connections, 1);
    assert_eq!(world.remote(), world.local());
}

#[test]
fn a_server_that_wants_no_more_connections_is_no_trouble() {
    for fault in [
        Fault::CutAfterSent(0),
        Fault::Bye("[LIMIT] too many connections".to_owned()),
        Fault::CutAfterSent(90),
    ] {
        let world = world(4);
        let refused = world.server.inject(fault.clone(), When::connect().nth(2));
        let (report, result) = world.sync();
        result.expect("the first connection does it");
        assert_eq!((refused.hits(), report.skipped), (1, Vec::new()), "{fault:?}");
        assert_eq!(world.remote(), world.local(), "{fault:?}");
    }
}

/// Whichever connection ends, and wherever in its bodies: at most one more run is needed, and
/// nothing is there twice.
#[test]
fn a_connection_that_is_lost_among_bodies_loses_and_doubles_nothing() {
    for connection in 1..=4 {
        for octets in [0, 1, 700, 5_000, 20_000] {
            let what = format!("connection {connection}, {octets} octets");
            let world = world(4);
            let cut = Fault::CutAfterSent(octets);
            let cut = world.server.inject(cut, When::verb("UID FETCH").nth(4 + connection));
            let (_, first) = world.sync();
            if first.is_err() {
                world.wait();
                world.sync().1.unwrap_or_else(|error| panic!("{what}: {error}"));
            }
            assert_eq!(cut.hits(), 1, "{what}");
            assert_eq!(world.remote(), world.local(), "{what}");
        }
    }
}

#[test]
fn a_crash_at_any_point_loses_and_doubles_nothing() {
    let expected = world(4).remote();
    let mut end = 1;
    loop {
        let world = world(4);
        let (_, points) = world.run_until(end);
        if points < end {
            break;
        }
        crate::scenarios::recover(&world, &expected, &format!("crash at {end}"));
        end += 97;
    }
    assert!(end > 1_000, "there are {end} points");
}

#[test]
fn a_full_disk_among_several_connections_is_a_skip_of_each_mailbox() {
    let (_, calls) = world(4).run_failing(0, full);
    let expected = world(4).remote();
    for n in (1..calls).step_by(211) {
        let world = world(4);
        let ((report, result), _) = world.run_failing(n, full);
        let told = result.is_err() || !report.skipped.is_empty();
        let told = told || world.local() == world.remote();
        assert!(told, "call {n} failed in silence");
        crate::scenarios::recover(&world, &expected, &format!("call {n} failed"));
    }
}

fn full() -> std::io::Error {
    std::io::ErrorKind::StorageFull.into()
}

/// What is over the limit is not even begun: it is named, and the mailbox goes on. A higher
/// limit brings it.
#[test]
fn what_is_over_the_limit_stays_on_the_server_and_is_named() {
    let mut world = World::new(Profile::qresync());
    let large = format!("Subject: large\r\n\r\n{}", "a line of text\r\n".repeat(1000));
    for n in 0..20 {
        let small = format!("Subject: {n}\r\n\r\n{n}\r\n");
        let body = if n % 7 == 3 { large.as_bytes() } else { small.as_bytes() };
        world.server.append("INBOX", body, &["\\Seen"], Some(n));
    }
    world.configure(|settings| settings.max_message_size = 10_000);
    for _ in 0..2 {
        world.sync().1.expect("a run");
        assert_eq!(world.local()["INBOX"].len(), 17);
        assert_eq!(world.set_aside(), ["larger than max_message_size (10000 bytes)"; 3]);
        assert!(world.server.counters().body_octets_sent < 1_000, "not even begun");
        world.wait();
    }
    assert_eq!(world.remote()["INBOX"].len(), 20, "and it stays there");
    world.configure(|_| {});
    world.sync().1.expect("a run");
    assert_eq!(world.local(), world.remote());
}
