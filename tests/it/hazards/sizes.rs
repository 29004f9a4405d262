//! Bodies that are not as long as announced: a server that is ill for a while, one message of
//! which the size is wrong for good, and servers that only estimate. An INBOX that is not listed.

use kit::imap::{Fault, Profile, When};
use kit::world::World;
use mailtide::account::Skip;

use super::{here, make_mailbox, rungs, settle, sync};

const LINES: usize = 20;

fn text(n: u32) -> String {
    format!(
        "Message-ID: <{n}@x>\r\nSubject: {n}\r\n\r\nfresh {n}\r\n{}",
        "a line\r\n".repeat(LINES)
    )
}

/// A server with six messages in INBOX, none of which came yet.
fn with_six(profile: Profile) -> World {
    let world = World::new(profile);
    (1..=6).for_each(|n| {
        world.server.append("INBOX", text(n).as_bytes(), &[], Some(1));
    });
    world
}

fn come(world: &World) -> Vec<u32> {
    (1..=6).filter(|n| here(world, "INBOX", &format!("fresh {n}\n")) == 1).collect()
}

/// Octets of a body that come: none, and so many that header or text ends within a line.
const CUTS: [usize; 3] = [0, 20, 100];

#[test]
fn hazard_130_what_a_server_cuts_off_for_a_while_comes_whole() {
    for profile in rungs() {
        for cut in CUTS {
            for runs in [1, 3] {
                let world = with_six(profile.clone());
                world.server.inject(Fault::CutOctets(vec![2, 5], cut), When::verb("FETCH"));
                for run in 1..=runs {
                    sync(&world);
                    let what = format!("{cut} octets, run {run}");
                    assert_eq!(come(&world), [1, 3, 4, 6], "{what}");
                    assert_eq!(world.set_aside().len(), 2, "{what}: each is named");
                }
                world.server.heal();
                (0..6).for_each(|_| drop(sync(&world)));
                assert_eq!(world.remote(), world.local(), "{cut} octets in {runs} runs");
                assert!(world.set_aside().is_empty());
            }
        }
    }
}

#[test]
fn hazard_130_an_empty_body_is_never_a_message_and_a_short_one_is_after_several_runs() {
    for cut in CUTS {
        let world = with_six(Profile::condstore());
        world.server.inject(Fault::CutOctets(vec![2], cut), When::verb("FETCH"));
        let reports: Vec<_> = (0..12).map(|_| sync(&world)).collect();
        let pulled: u64 = reports.iter().map(|report| report.pulled).sum();
        let is_empty = cut == 0;
        assert_eq!(pulled, if is_empty { 5 } else { 6 }, "{cut}");
        assert_eq!(world.set_aside().len(), usize::from(is_empty), "{cut}");
        let said = reports.iter().flat_map(|report| &report.skipped);
        let kept = said.filter(|skip| skip.why.contains("kept as it came")).count();
        assert_eq!(kept, usize::from(!is_empty), "{cut}: it is named");
    }
}

#[test]
fn hazard_130_a_server_that_estimates_costs_nothing() {
    for by in [500, 90, -150] {
        let world = with_six(Profile::exchange());
        world.server.inject(Fault::SizeLie(by), When::verb("FETCH"));
        let report = sync(&world);
        assert_eq!((report.pulled, report.skipped.len()), (6, 0), "{by}: {:?}", report.skipped);
        assert_eq!(world.server.counters().bodies_sent, 6, "{by}: none is asked for twice");
        world.server.append("INBOX", text(7).as_bytes(), &[], Some(1));
        let report = sync(&world);
        assert_eq!((report.pulled, report.skipped.len()), (1, 0), "{by}: {:?}", report.skipped);
        assert_eq!(world.server.counters().bodies_sent, 7, "{by}: it is remembered");
        if by < 0 {
            continue;
        }
        // What is cut off is found out, all the same.
        let uid = world.server.append("INBOX", text(8).as_bytes(), &[], Some(1));
        world.server.inject(Fault::CutOctets(vec![uid], 99), When::verb("FETCH"));
        assert_eq!(sync(&world).pulled, 0, "{by}");
        assert_eq!(world.set_aside().len(), 1, "{by}");
    }
}

#[test]
fn hazard_131_an_inbox_that_is_not_listed_is_asked_for_by_its_name() {
    for mut profile in rungs() {
        for list_status in [true, false] {
            profile.list_status = list_status;
            let world = with_six(profile.clone());
            world.server.create("Work");
            world.server.inject(Fault::OmitFromList("INBOX".to_owned()), When::verb("LIST"));
            assert_eq!(sync(&world).pulled, 6);
            world.server.append("INBOX", text(7).as_bytes(), &[], Some(1));
            let report = sync(&world);
            assert_eq!((report.pulled, report.skipped.len()), (1, 0), "{:?}", report.skipped);
            assert_eq!(sync(&world).done(), 0);
            assert_eq!(world.remote(), world.local());
            world.server.heal();
            assert_eq!(sync(&world).done(), 0);
        }
    }
}

/// Names that a server spells in its own way are known to it by that spelling only; a level
/// without messages that has no name here is nothing to be told of.
#[test]
fn hazard_150_a_mailbox_is_called_by_the_spelling_that_the_server_listed() {
    for mut profile in rungs() {
        profile.list_status = false;
        let world = with_six(profile);
        settle(&world);
        let rows = "* LIST (\\Noselect) \"/\" \"mail/\"\r\n* LIST () \"/\" \"&AEE-bc\"\r\n";
        world.server.inject(Fault::Inject(rows.into()), When::verb("LIST").says("*"));
        make_mailbox(&world, "Abc");
        make_mailbox(&world, "Abc/below");
        world.server.reset_counters();
        let report = sync(&world);
        assert!(report.skipped.iter().all(|skip| !skip.what.contains("mail/")), "{report:?}");
        let named = |name: &str| {
            let commands = world.server.commands().into_iter();
            commands.filter(|command| command.line.contains(name)).count()
        };
        assert!(named("\"&AEE-bc\"") > 0 && named("\"Abc\"") == 0);
        assert!(named("\"&AEE-bc/below\"") > 0 && named("\"Abc/below\"") == 0);
        // Two of one name: neither is touched.
        world.server.heal();
        world.server.create("Abc");
        let row = "* LIST () \"/\" \"&AEE-bc\"\r\n";
        world.server.inject(Fault::Inject(row.into()), When::verb("LIST").says("*"));
        world.server.reset_counters();
        let report = sync(&world);
        let said = |skip: &Skip| skip.why.contains("another mailbox has the same name");
        assert!(report.skipped.iter().any(said), "{report:?}");
        assert_eq!((named("\"&AEE-bc"), named("SELECT \"Abc\"")), (0, 0));
    }
}
