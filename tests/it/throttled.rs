//! A server that refuses everything for a while, because it was asked for too much or has trouble
//! of its own: few commands, nothing set aside, and all is here soon after it gives again.

use kit::imap::{Fault, Profile, When};
use kit::world::World;
use mailtide::account::AccountError;
use mailtide::remote::RemoteError;

/// Messages that come at a time.
const MANY: usize = 300;

fn come(world: &World, from: usize) {
    for n in from..from + MANY {
        let text = format!("Message-ID: <{n}@x>\r\nSubject: {n}\r\n\r\ntext {n}\r\n");
        world.server.append("INBOX", text.as_bytes(), &[], Some(5));
    }
    world.wait();
}

fn bodies() -> When {
    When::verb("UID FETCH").says("BODY.PEEK[]")
}

/// Whether all is here, after one more run that asks for large sets.
#[track_caller]
fn comes_at_once(world: &World, what: &str) {
    world.server.heal();
    world.wait();
    world.server.reset_counters();
    let (report, result) = world.sync();
    assert!(result.is_ok(), "{what}: {result:?}");
    assert_eq!(report.pulled, MANY as u64, "{what}: {:?}", report.skipped);
    let commands = world.server.counters().verbs.values().sum::<u64>();
    assert!(commands <= 25, "{what}: {commands} commands");
    assert_eq!(world.local(), world.remote(), "{what}");
    assert!(world.set_aside().is_empty(), "{what}");
}

#[test]
fn hazard_122_refusals_of_everything_say_nothing_of_one_message() {
    for words in ["not now", "[UNAVAILABLE] try again", "[SERVERBUG] oh", "[X-NEW] no"] {
        for known in [false, true] {
            let what = format!("{words}, {}", if known { "some known" } else { "none known" });
            let world = World::new(Profile::qresync());
            if known {
                come(&world, 0);
                world.sync().1.unwrap();
            }
            come(&world, MANY);
            let refused = world.server.inject(Fault::No(words.to_owned()), bodies());
            for run in 1..=6 {
                let before = refused.hits();
                let (report, _) = world.sync();
                let asked = refused.hits() - before;
                assert!(asked <= 50, "{what}: {asked} commands in run {run}");
                let said = format!("{:?}", report.skipped);
                assert!(said.contains("INBOX"), "{what}: {said}");
                assert!(world.set_aside().is_empty(), "{what}: run {run}: {said}");
                world.wait();
            }
            comes_at_once(&world, &what);
        }
    }
}

#[test]
fn hazard_122_a_server_that_limits_how_much_it_is_asked_for_is_left_alone() {
    let words = "Request is throttled. Suggested Backoff Time: 299610 milliseconds";
    for verb in ["UID FETCH", "SELECT", "UID SEARCH", "LIST"] {
        for fault in [Fault::No(words.to_owned()), Fault::Bad(words.to_owned())] {
            let what = format!("{verb} {fault:?}");
            let world = World::new(Profile::qresync());
            come(&world, 0);
            let refused = world.server.inject(fault, When::verb(verb));
            for run in 1..=6 {
                let before = refused.hits();
                let (_, result) = world.sync();
                let throttled =
                    matches!(result, Err(AccountError::Remote(RemoteError::Throttled { .. })));
                assert!(throttled || refused.hits() == 0, "{what}: {result:?}");
                let asked = refused.hits() - before;
                assert!(asked <= 2, "{what}: {asked} commands in run {run}");
                assert!(world.set_aside().is_empty(), "{what}");
                world.wait();
            }
            if refused.hits() > 0 {
                comes_at_once(&world, &what);
            }
        }
    }
}

#[test]
fn hazard_122_messages_that_are_refused_for_their_own_sake_hold_up_no_other() {
    let world = World::new(Profile::qresync());
    come(&world, 0);
    let bad = [1, 2, 3, 4, 150, 151, 300];
    for uid in bad {
        world.server.inject(Fault::No("[SERVERBUG] no".to_owned()), bodies().uid(uid));
    }
    let (report, _) = world.sync();
    assert_eq!(report.pulled, (MANY - bad.len()) as u64, "{:?}", report.skipped);
}

#[test]
fn hazard_90_a_message_that_breaks_its_session_holds_up_no_other() {
    let cases: [(&[u32], bool, &str, u8); 6] = [
        (&[7], false, "[UNAVAILABLE] Server error - Please try again later", 1),
        (&[1], false, "[UNAVAILABLE] later", 4),
        (&[300], false, "no", 1),
        (&[3, 160], false, "[SERVERBUG] no", 1),
        (&[307], true, "[UNAVAILABLE] later", 1),
        (&[400, 401], true, "no", 4),
    ];
    for (bad, known, words, connections) in cases {
        let mut world = World::new(Profile::qresync());
        world.configure(move |settings| settings.connections = connections);
        if known {
            come(&world, 0);
            world.sync().1.unwrap();
        }
        come(&world, MANY);
        let breaks = Fault::FetchBreaks(bad.to_vec(), words.to_owned());
        let broken = world.server.inject(breaks, bodies());
        world.server.reset_counters();
        let reports: Vec<_> = (0..4)
            .map(|_| {
                let (report, result) = world.sync();
                assert!(result.is_ok(), "{bad:?}: {result:?}");
                world.wait();
                report
            })
            .collect();
        let pulled: u64 = reports.iter().map(|report| report.pulled).sum();
        let said: Vec<_> = reports.iter().map(|report| &report.skipped).collect();
        assert_eq!(pulled, (MANY - bad.len()) as u64, "{bad:?}: {said:?}");
        assert_eq!(world.set_aside().len(), bad.len(), "{bad:?}: {:?}", world.set_aside());
        let opened = world.server.counters().connections;
        assert!(opened <= 60, "{bad:?}: {opened} connections");
        assert!(broken.hits() <= 120, "{bad:?}: {} refusals", broken.hits());
    }
}

#[test]
fn hazard_90_a_header_that_breaks_its_session_holds_up_no_other() {
    for bad in [&[7][..], &[1], &[300], &[3, 160]] {
        let world = World::new(Profile::qresync());
        come(&world, 0);
        world.sync().1.unwrap();
        world.lose_store();
        let breaks = Fault::FetchBreaks(bad.to_vec(), "[UNAVAILABLE] later".to_owned());
        let headers = When::verb("FETCH").says("BODY.PEEK[HEADER]");
        let broken = world.server.inject(breaks, headers);
        world.server.reset_counters();
        let mut pulled = 0;
        for _ in 0..3 {
            world.wait();
            let (report, result) = world.sync();
            assert!(result.is_ok(), "{bad:?}: {result:?}");
            pulled += report.pulled;
        }
        assert!(broken.hits() > 0);
        assert_eq!(world.local(), world.remote(), "{bad:?}");
        assert_eq!(world.remote()["INBOX"].len(), MANY, "{bad:?}");
        assert_eq!(pulled, 0, "{bad:?}: only those without a header are compared");
        let opened = world.server.counters().connections;
        assert!(opened <= 40, "{bad:?}: {opened} connections");
        assert!(broken.hits() <= 120, "{bad:?}: {} refusals", broken.hits());
    }
}

/// What the server says of a mailbox may repeat its name.
#[test]
fn hazard_122_a_mailbox_with_such_a_name_stops_no_other() {
    for refusal in [Fault::No("Throttle valves: no such mailbox".into()), Fault::No("gone".into())]
    {
        let world = World::new(Profile::qresync());
        come(&world, 0);
        world.server.append("Throttle valves", b"Subject: v\r\n\r\nv\r\n", &[], Some(5));
        world.server.inject(refusal, When::verb("SELECT").mailbox("Throttle valves"));
        world.wait();
        let (report, result) = world.sync();
        assert!(result.is_ok(), "{result:?}");
        assert_eq!(report.pulled, MANY as u64, "{:?}", report.skipped);
        let named = report.skipped.iter().any(|skip| skip.what.contains("Throttle valves"));
        assert!(named, "{:?}", report.skipped);
    }
}
