//! What a server sends that is not what it announced, or not all of it.

use kit::imap::{Fault, Profile, When};
use kit::pop3;
use kit::world::World;
use mailtide::account::{Depth, Skip};
use mailtide::config::Keep;

use super::{agreed_on, here, rungs, settle, sync};
use crate::scenarios::files;

/// A message whose text looks like answers of a server.
const ANSWERS: &str = "Message-ID: <answers@x>\r\n\r\nbait\r\n)\r\n* VANISHED 1:*\r\n\
    * 1 FETCH (UID 1 FLAGS (\\Deleted))\r\n* 0 EXISTS\r\n* BYE no\r\n";

fn text(n: u32) -> String {
    format!("Message-ID: <new-{n}@x>\r\n\r\nfresh {n}\r\n{}", "a line of text\r\n".repeat(20))
}

/// INBOX with new messages, the second of which is `second`; gives its UID.
fn with_news(profile: &Profile, second: &str) -> (World, u32) {
    let world = agreed_on(profile);
    world.server.append("INBOX", text(1).as_bytes(), &[], Some(1));
    let uid = world.server.append("INBOX", second.as_bytes(), &[], Some(1));
    world.server.append("INBOX", text(3).as_bytes(), &[], Some(1));
    world.server.append("Work", text(4).as_bytes(), &[], Some(1));
    (world, uid)
}

fn aside(world: &World) -> Vec<String> {
    let rows = world.asked(|store| store.set_aside_rows(100));
    rows.into_iter().filter_map(|row| Some(row.set_aside?.words)).collect()
}

#[test]
fn hazard_67_a_literal_of_another_length_is_not_stored_and_stops_nothing_else() {
    for profile in rungs() {
        for by in [-12, -1, -40, -60] {
            for second in [text(2), ANSWERS.to_owned()] {
                let (world, uid) = with_news(&profile, &second);
                let lie = Fault::LiteralLie(vec![uid], by);
                let lies = world.server.inject(lie, When::verb("FETCH"));
                for run in 1..=4 {
                    world.wait();
                    world.sync().1.unwrap();
                    let found: Vec<usize> = (1..=4)
                        .map(|n| {
                            here(
                                &world,
                                if n == 4 { "Work" } else { "INBOX" },
                                &format!("fresh {n}\n"),
                            )
                        })
                        .collect();
                    assert_eq!(found, [1, 0, 1, 1], "run {run}, {by}");
                    assert_eq!(here(&world, "INBOX", "bait"), 0);
                    assert_eq!(here(&world, "INBOX", "text 1"), 1, "{by}");
                }
                assert!(lies.hits() > 1, "it is asked for once more");
                let words = aside(&world);
                assert!(words[0].contains("does not have the announced length"), "{words:?}");
                world.server.heal();
                world.fs.set_clock(world.fs.clock() + 2 * 86_400_000_000_000);
                settle(&world);
            }
        }
    }
}

#[test]
fn hazard_67_a_body_shorter_than_announced_is_asked_for_twice_and_named() {
    for profile in rungs() {
        let (world, uid) = with_news(&profile, &text(2));
        let once = Fault::CutOctets(vec![uid], 60);
        let once = world.server.inject(once, When::verb("FETCH").mailbox("INBOX").nth(2));
        world.wait();
        world.sync().1.unwrap();
        if once.hits() > 0 {
            assert_eq!(here(&world, "INBOX", "fresh 2"), 1);
        }
        settle(&world);
        let (world, uid) = with_news(&profile, &text(2));
        world.server.inject(Fault::CutOctets(vec![uid], 60), When::verb("FETCH"));
        world.wait();
        let before = world.server.counters().bodies_sent;
        world.sync().1.unwrap();
        assert_eq!((here(&world, "INBOX", "fresh 2"), here(&world, "INBOX", "fresh 3")), (0, 1));
        assert_eq!(world.server.counters().bodies_sent, before + 5, "it is asked for twice");
        assert_eq!(aside(&world).len(), 1);
        let reports: Vec<_> = (0..8).map(|_| sync(&world)).collect();
        let skipped: Vec<_> = reports.iter().flat_map(|report| &report.skipped).collect();
        assert!(skipped.iter().all(|skip| skip.what.contains(&format!("UID {uid}"))));
        let kept = |skip: &&&Skip| skip.why.contains("kept as it came");
        assert_eq!(skipped.iter().filter(kept).count(), 1, "{skipped:?}");
        assert_eq!((here(&world, "INBOX", "fresh 2"), here(&world, "INBOX", "fresh 3")), (1, 1));
        let again = sync(&world);
        assert_eq!((again.done(), again.skipped.len()), (0, 0));
    }
}

#[test]
fn hazard_67_a_size_that_is_a_little_off_costs_nothing() {
    for by in [-3, 3, 60, -60] {
        let (world, _) = with_news(&Profile::exchange(), &text(2));
        world.server.inject(Fault::SizeLie(by), When::verb("FETCH"));
        world.server.reset_counters();
        let report = sync(&world);
        assert_eq!((report.pulled, report.skipped.len()), (4, 0), "{by}");
        assert_eq!(world.server.counters().bodies_sent, 4, "{by}");
    }
}

#[test]
fn hazard_67_two_bodies_of_one_message_are_believed_by_none() {
    let (world, uid) = with_news(&Profile::qresync(), &text(2));
    let second = Fault::SecondBody(vec![uid], "Message-ID: <other@x>\r\n\r\nother\r\n".to_owned());
    world.server.inject(second, When::verb("FETCH"));
    world.wait();
    world.sync().1.unwrap();
    assert_eq!((here(&world, "INBOX", "fresh 2"), here(&world, "INBOX", "other")), (0, 0));
    assert_eq!((here(&world, "INBOX", "fresh 1"), here(&world, "INBOX", "fresh 3")), (1, 1));
    assert_eq!(aside(&world).len(), 1);
    world.server.heal();
    settle(&world);
}

/// A maildrop of three messages, the second of which is cut at so many octets each time.
fn cut_drop(octets: usize, keep: Keep) -> (pop3::Server, World) {
    let server = pop3::Server::new((1..=3).map(text));
    let world = World::of_maildrop(&server, keep);
    server.inject(pop3::Fault::CutBody(2, octets), When::verb("RETR"));
    (server, world)
}

#[test]
fn hazard_67_a_message_cut_off_by_a_maildrop_is_never_deleted_there() {
    for octets in [1, 40, 130, 200, 290] {
        let (server, world) = cut_drop(octets, Keep::UntilPulled);
        world.wait();
        let (report, result) = world.sync();
        result.unwrap();
        assert_eq!((report.pulled, report.skipped.len()), (2, 1), "{octets}: {:?}", report.skipped);
        assert_eq!(server.messages().len(), 1, "{octets}");
        // It comes so in several pulls, and is kept as it came.
        server.heal();
        server.inject(pop3::Fault::CutBody(1, octets), When::verb("RETR"));
        for _ in 0..12 {
            world.wait();
            world.sync().1.unwrap();
        }
        assert_eq!(here(&world, "INBOX", ""), 3, "{octets}");
        assert_eq!(server.messages().len(), 1, "{octets}");
        let named = world.asked(|store| store.drop_short(10));
        assert_eq!(named.len(), 1);
        let kept = |world: &World, why: &str| {
            for _ in 0..3 {
                world.wait();
                world.sync().1.unwrap();
            }
            assert_eq!(server.bodies(), [text(2).into_bytes()], "{octets}, {why}");
            assert_eq!(world.asked(|store| store.drop_short(10)).len(), 1, "{octets}, {why}");
        };
        if octets >= 40 {
            kept(&world, "later");
            server.set_uidl(1, Some("another"));
            kept(&world, "another name");
        }
    }
}

#[test]
fn hazard_67_a_maildrop_that_counts_in_its_own_way_is_not_suspected() {
    let server =
        pop3::Server::new((1..=8_u32).map(|n| text(n) + &"more\r\n".repeat(n as usize * 40)));
    let world = World::of_maildrop(&server, Keep::UntilPulled);
    server.inject(pop3::Fault::SizeLie(212), When::verb("LIST"));
    world.wait();
    let (report, result) = world.sync();
    result.unwrap();
    assert_eq!((report.pulled, report.skipped.len()), (8, 0), "{:?}", report.skipped);
    assert_eq!(server.messages().len(), 0);
    // One alone is judged by what was learnt.
    server.deliver(text(9).as_bytes());
    world.wait();
    let (report, result) = world.sync();
    result.unwrap();
    assert_eq!((report.pulled, report.skipped.len()), (1, 0), "{:?}", report.skipped);
    assert_eq!(server.messages().len(), 0);
}

#[test]
fn hazard_68_a_message_that_is_left_out_once_comes_by_the_next_run() {
    for profile in rungs() {
        let (world, uid) = with_news(&profile, &text(2));
        let silent = Fault::FetchSilent(vec![uid]);
        let left_out = world.server.inject(silent, When::verb("FETCH"));
        for _ in 0..3 {
            world.wait();
            let (report, result) = world.sync();
            result.unwrap();
            assert!(!report.skipped.is_empty(), "it is named");
            assert_eq!(here(&world, "INBOX", "fresh 1") + here(&world, "INBOX", "fresh 3"), 2);
            assert_eq!(here(&world, "INBOX", "fresh 2"), 0);
            assert_eq!(world.set_aside().len(), 1);
        }
        assert!(left_out.hits() >= 4, "{}", left_out.hits());
        world.server.set_flags("INBOX", uid, &["\\Flagged"], &[]);
        world.server.heal();
        sync(&world);
        assert_eq!(here(&world, "INBOX", "fresh 2"), 1, "{:?}", world.set_aside());
        settle(&world);
        assert!(world.set_aside().is_empty());
    }
}

#[test]
fn hazard_68_a_message_that_is_never_shown_is_asked_for_ever_more_rarely() {
    const HOUR_NS: i64 = 3_600_000_000_000;
    let (world, uid) = with_news(&Profile::qresync(), &text(2));
    let silent = || Fault::FetchSilent(vec![uid]);
    let left_out = world.server.inject(silent(), When::verb("FETCH"));
    let mut asked = Vec::new();
    for _ in 0..8 {
        let before = left_out.hits();
        world.wait();
        world.sync().1.unwrap();
        asked.push(left_out.hits() > before);
    }
    assert_eq!(asked, [true, true, true, false, false, false, false, false]);
    assert_eq!(world.set_aside().len(), 1, "it is named all the while");
    let mut hours = Vec::new();
    for hour in 0..80 {
        world.fs.set_clock(world.fs.clock() + HOUR_NS);
        let before = left_out.hits();
        world.sync().1.unwrap();
        hours.extend((left_out.hits() > before).then_some(hour));
    }
    assert!((4..8).contains(&hours.len()), "{hours:?}");
    world.server.heal();
    world.fs.set_clock(world.fs.clock() + 24 * HOUR_NS);
    sync(&world);
    assert_eq!(here(&world, "INBOX", "fresh 2"), 1);
    settle(&world);
}

#[test]
fn hazard_68_what_lacks_its_size_or_flags_once_is_asked_for_again() {
    for profile in rungs() {
        for fault in [Fault::FetchNoSize, Fault::FetchNoFlags] {
            let (world, _) = with_news(&profile, &text(2));
            let when = When::verb("FETCH").times(1);
            let odd = world.server.inject(fault.clone(), when);
            world.wait();
            let _ = world.sync();
            assert_eq!(odd.hits(), 1, "{fault:?}");
            settle(&world);
            assert_eq!(here(&world, "INBOX", "fresh"), 3);
            let rows = world.asked(|store| {
                let inbox = store.mailboxes()?.into_iter().find(|m| m.name.as_str() == "INBOX");
                store.rows_in(inbox.unwrap().id, None, 100)
            });
            assert!(rows.iter().all(|row| row.words.is_some()), "{fault:?}");
        }
    }
}

/// Mail that servers alter on its way up is what they made of it, and damage is told from that.
#[test]
fn hazard_70_what_the_server_made_of_a_message_is_no_damage() {
    for odd in ["nul\0here", "bare\rcr", "line\r\r\nend", "cr at the end\r"] {
        let world = agreed_on(&Profile::qresync());
        world.server.inject(Fault::RewriteOctets, When::verb("APPEND"));
        let text = format!("Message-ID: <odd@x>\n\nodd {odd}\nand more of it\n{odd}");
        let file = world.dir_of("INBOX").join("cur/odd:2,S");
        world.fs.write_file(&file, text.as_bytes());
        world.wait();
        sync(&world);
        sync(&world);
        let verified = world.verify(Depth::Bodies).verified.unwrap();
        assert_eq!(verified.differing, 0, "{}: {:?}", odd.escape_debug(), verified.differs);
        let uid = super::uid(&world, "INBOX", "odd ");
        let body = world.server.get("INBOX", uid).unwrap().body;
        let altered = String::from_utf8_lossy(&body).replace("and more", "and less");
        world.server.alter("INBOX", uid, altered.as_bytes());
        assert_eq!(world.verify(Depth::Bodies).verified.unwrap().differing, 1);
        world.server.alter("INBOX", uid, &body);
        world.fs.rot(&file);
        assert!(world.verify(Depth::Bodies).verified.unwrap().differing > 0);
    }
}

/// A file that was cut off before it was adopted has the header of its message, not its text.
#[test]
fn hazard_67_a_file_that_was_cut_off_is_named_by_its_path() {
    let world = World::new(Profile::qresync());
    let whole = format!(
        "Message-ID: <long@x>\r\nDate: Thu, 01 Jan 1970 00:00:00 +0000\r\nFrom: a@x\r\n\
         Subject: long\r\n\r\n{}",
        "a line of text\r\n".repeat(300)
    );
    world.server.append("INBOX", whole.as_bytes(), &[], Some(1));
    let file = world.dir_of("INBOX").join("cur/cut:2,S");
    for dir in ["cur", "new", "tmp"] {
        world.fs.mkdir_all(world.dir_of("INBOX").join(dir));
    }
    world.fs.write_file(&file, &whole.replace("\r\n", "\n").as_bytes()[..120]);
    world.wait();
    sync(&world);
    sync(&world);
    if files(&world, "INBOX").len() == 1 {
        for depth in [Depth::Files, Depth::Bodies] {
            let verified = world.verify(depth).verified.unwrap();
            assert_eq!(verified.differing, 1, "{depth:?}");
            assert!(verified.differs[0].why.contains("/cur/cut:2,S"), "{:?}", verified.differs);
        }
    }
}

#[test]
fn hazard_108_vanished_that_nobody_enabled_or_against_exists_is_no_deletion() {
    for profile in rungs() {
        for claim in ["* VANISHED 1:4294967295\r\n", "* VANISHED 1:2\r\n"] {
            let (world, _) = with_news(&profile, &text(2));
            let before = files(&world, "INBOX").len();
            for verb in ["SELECT", "NOOP", "UID FETCH"] {
                world.server.inject(Fault::Inject(claim.into()), When::verb(verb));
            }
            for _ in 0..3 {
                world.wait();
                let (_, result) = world.sync();
                let now = files(&world, "INBOX").len();
                assert!(now >= before, "{now} of {before} files, {claim:?}, {result:?}");
            }
        }
    }
}
