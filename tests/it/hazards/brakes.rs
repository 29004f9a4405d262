//! What waits for a mailbox that cannot be looked at: it is named with what ends the wait, and it
//! ends (hazard 116).

use super::{agreed_on, here, rungs, settle, uid};
use kit::world::World;
use mailtide::account::Report;

const DAY_NS: i64 = 24 * 60 * 60 * 1_000_000_000;

/// A run while the directory of Work cannot be read.
fn sync_without_work(world: &World) -> Report {
    world.wait();
    let dir = world.dir_of("Work");
    world.fs.deny(&dir);
    let (report, result) = world.sync();
    world.fs.allow(&dir);
    result.expect("a run");
    report
}

/// Whether what waits for Work is named with what ends that.
fn is_named(report: &Report) -> bool {
    let is = |what: &str, why: &str| {
        what == "Work" && why.contains("stays here until the directory can be read")
    };
    report.skipped.iter().any(|skip| is(&skip.what, &skip.why))
}

#[test]
fn hazard_116_what_cannot_have_gone_there_is_removed_at_once() {
    for profile in rungs() {
        let world = agreed_on(&profile);
        let other = b"Message-ID: <other>\r\n\r\na text of quite another length\r\n";
        world.server.append("Work", other, &[], Some(5));
        world.server.expunge("INBOX", &[uid(&world, "INBOX", "text 0")]);
        let report = sync_without_work(&world);
        assert_eq!(here(&world, "INBOX", "text 0"), 0, "{:?}", report.skipped);
        settle(&world);
    }
}

#[test]
fn hazard_116_what_may_have_gone_there_waits_by_name_and_not_for_ever() {
    for profile in rungs() {
        let world = agreed_on(&profile);
        let list = world.server.list("INBOX");
        let text = |m: &&kit::imap::Msg| String::from_utf8_lossy(&m.body).contains("text 0");
        let gone = list.iter().find(text).unwrap();
        // Another message of the same length, so that only its body could tell.
        let mut twin = gone.body.to_vec();
        let at = twin.iter().rposition(|b| *b == b'0').unwrap();
        twin[at] = b'x';
        world.server.append("Work", &twin, &[], Some(5));
        world.server.expunge("INBOX", &[gone.uid]);
        for _ in 0..3 {
            let report = sync_without_work(&world);
            assert_eq!(here(&world, "INBOX", "text 0"), 1);
            assert!(is_named(&report), "{:?}", report.skipped);
        }
        world.fs.set_clock(world.fs.clock() + DAY_NS);
        let report = sync_without_work(&world);
        assert_eq!(here(&world, "INBOX", "text 0"), 0, "{:?}", report.skipped);
        assert!(!is_named(&report), "{:?}", report.skipped);
        settle(&world);
    }
}
