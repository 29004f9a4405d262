//! Mail that arrives in a mailbox at the moment in which it is removed.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use kit::imap::{Fault, Profile, When};
use kit::world::{ROOT, World};

use super::{agreed_on, here, rungs, settle, sync, there};
use crate::scenarios::with_text;

const SUB: &[u8] = b"Message-ID: <below>\r\n\r\nlies below\r\n";
const NEW: &[u8] = b"Message-ID: <late>\r\n\r\ncame late\r\n";

/// Both sides have an empty mailbox `Old`, beside what [`agreed_on`] makes.
fn with_old(profile: &Profile) -> World {
    let world = agreed_on(profile);
    assert!(world.server.create("Old"));
    settle(&world);
    world
}

/// Nothing is left of the removal, and the message is where `found` says, on both sides.
fn check(world: &World, mailbox: &str, text: &str, case: &str) {
    settle(world);
    let found = (there(world, mailbox, text), here(world, mailbox, text));
    assert_eq!(found, (1, 1), "{case}: {:?}", world.remote());
    let ours = world.server.mailboxes().into_iter().filter(|name| name.contains("removed"));
    assert_eq!(ours.collect::<Vec<_>>(), Vec::<String>::new(), "{case}");
}

#[test]
fn hazard_185_a_message_moved_into_a_mailbox_that_is_being_removed_here_stays() {
    let mut stayed = 0;
    for at in 1.. {
        let mut world = with_old(&Profile::qresync());
        world.fs.write_file(format!("{ROOT}/Old/cur/.editor"), b"left behind");
        world.server.delete_mailbox("Old");
        sync(&world);
        let (fs, file) = (world.fs.clone(), with_text(&world, "INBOX", "text 1"));
        let (calls, acted) = (AtomicU64::new(0), Arc::new(AtomicBool::new(false)));
        let did = Arc::clone(&acted);
        world.on_call(move |_, path| {
            let meant = path.starts_with(format!("{ROOT}/Old"));
            if meant && calls.fetch_add(1, Ordering::SeqCst) + 1 == at {
                did.store(true, Ordering::SeqCst);
                if fs.tree().keys().any(|path| path.ends_with("Old/cur")) {
                    fs.move_file(&file, format!("{ROOT}/Old/cur/moved:2,S"));
                }
            }
        });
        sync(&world);
        world.quiet();
        if !acted.load(Ordering::SeqCst) {
            assert!(at > 10 && stayed > 5, "{at}, {stayed}");
            return;
        }
        let moved = world.fs.tree().keys().any(|path| path.ends_with("Old/cur/moved:2,S"));
        stayed += u32::from(moved);
        let left = world.fs.tree().into_keys().filter(|path| path.ends_with("Old/cur/.editor"));
        left.for_each(|path| world.fs.delete_file(path));
        check(&world, if moved { "Old" } else { "INBOX" }, "text 1", &format!("call {at}"));
    }
}

/// The directory of `Old` is removed here.
fn drop_old(world: &World) {
    world.fs.move_file(format!("{ROOT}/Old"), "/dropped");
    world.fs.settle();
}

#[test]
fn hazard_186_a_message_that_arrives_while_its_mailbox_is_removed_there_stays() {
    for (profile, verb) in
        rungs().iter().flat_map(|p| ["EXAMINE", "RENAME", "DELETE"].map(|v| (p, v)))
    {
        for at in 1.. {
            let mut world = with_old(profile);
            drop_old(&world);
            let (server, mut calls) = (world.server.clone(), 0);
            let acted = Arc::new(AtomicBool::new(false));
            let did = Arc::clone(&acted);
            world.on_command(move |line| {
                if line.starts_with(verb) && line.contains("Old") {
                    calls += 1;
                    if calls == at && server.mailboxes().iter().any(|name| name == "Old") {
                        server.append("Old", NEW, &["\\Seen"], Some(7));
                        did.store(true, Ordering::SeqCst);
                    }
                }
            });
            sync(&world);
            world.quiet();
            if !acted.load(Ordering::SeqCst) {
                // At DELETE it has another name by then.
                assert!(at > 1 || verb == "DELETE", "{verb}");
                break;
            }
            check(&world, "Old", "came late", &format!("at {verb} {at}"));
        }
    }
}

#[test]
fn hazard_186_a_mailbox_that_may_not_be_deleted_keeps_its_name() {
    let world = with_old(&Profile::qresync());
    drop_old(&world);
    world.server.inject(Fault::No("[NOPERM] not you".to_owned()), When::verb("DELETE"));
    sync(&world);
    assert!(world.server.mailboxes().contains(&"Old".to_owned()), "{:?}", world.remote());
    world.server.heal();
    check(&world, "INBOX", "text 1", "deleted later");
    assert!(!world.server.mailboxes().contains(&"Old".to_owned()));
}

#[test]
fn hazard_186_messages_of_an_interrupted_removal_go_to_the_mailbox_made_again() {
    for profile in [Profile::qresync(), Profile::condstore()] {
        for is_known in [true, false] {
            let world = with_old(&profile);
            assert!(world.server.rename_mailbox("Old", "Old-removed-by-mailtide"));
            world.server.append("Old-removed-by-mailtide", NEW, &["\\Seen"], Some(7));
            if is_known {
                drop_old(&world);
            }
            assert!(world.server.create("Old"));
            check(&world, "Old", "came late", "made again");
            // With one below it.
            assert!(world.server.rename_mailbox("Old", "Old-removed-by-mailtide"));
            assert!(world.server.create("Old-removed-by-mailtide/Sub"));
            world.server.append("Old-removed-by-mailtide/Sub", SUB, &["\\Seen"], Some(7));
            assert!(world.server.create("Old") && world.server.create("Old/Sub"));
            check(&world, "Old", "came late", "made again, with one below");
            check(&world, "Old/Sub", "lies below", "made again, with one below");
        }
    }
}

#[test]
fn hazard_186_a_device_that_only_pulls_settles_nothing() {
    let mut world = with_old(&Profile::qresync());
    assert!(world.server.rename_mailbox("Old", "Old-removed-by-mailtide"));
    world.configure(|settings| settings.pull_only = true);
    sync(&world);
    let names = world.server.mailboxes();
    assert!(names.contains(&"Old-removed-by-mailtide".to_owned()), "{names:?}");
}

#[test]
fn hazard_186_a_removal_that_lost_its_connection_is_finished_or_undone() {
    let faults = [Fault::CutBefore, Fault::CutAfter, Fault::No("not now".to_owned())];
    for (verb, fault) in
        ["EXAMINE", "RENAME", "DELETE"].into_iter().flat_map(|v| faults.clone().map(|f| (v, f)))
    {
        for (at, arrives) in [(1, false), (2, false), (1, true), (2, true)] {
            let mut world = with_old(&Profile::qresync());
            drop_old(&world);
            let (server, came) = (world.server.clone(), Arc::new(AtomicBool::new(!arrives)));
            let comes = Arc::clone(&came);
            world.on_command(move |line| {
                if line.starts_with("RENAME") && !comes.swap(true, Ordering::SeqCst) {
                    server.append("Old", NEW, &["\\Seen"], Some(7));
                }
            });
            world.server.inject(fault.clone(), When::verb(verb).says("Old").nth(at));
            world.server.inject(Fault::CutBefore, When::connect().nth(2));
            world.wait();
            let _ = world.sync();
            world.quiet();
            world.server.heal();
            let case = format!("{fault:?} at {verb} {at}, {arrives}");
            if arrives && came.load(Ordering::SeqCst) {
                check(&world, "Old", "came late", &case);
            } else {
                check(&world, "INBOX", "text 1", &case);
                assert!(!world.server.mailboxes().contains(&"Old".to_owned()), "{case}");
                assert!(
                    !world
                        .fs
                        .tree()
                        .keys()
                        .any(|path| path.starts_with(Path::new(ROOT).join("Old")))
                );
            }
        }
    }
}

#[test]
fn hazard_186_what_lies_below_a_removed_mailbox_keeps_its_name() {
    for (profile, at) in rungs().iter().flat_map(|profile| (0..4).map(move |at| (profile, at))) {
        let mut world = with_old(profile);
        // Its directory gets another name, below its own; or another device makes one there.
        world.fs.move_file(format!("{ROOT}/Old"), "/dropped");
        if at == 0 {
            for sub in ["cur", "new", "tmp"] {
                world.fs.mkdir_all(format!("{ROOT}/Old/Deep/{sub}"));
            }
            world.fs.write_file(format!("{ROOT}/Old/Deep/cur/late:2,S"), NEW);
        }
        world.fs.settle();
        let (server, mut renames) = (world.server.clone(), 0);
        world.on_command(move |line| {
            renames += u64::from(line.contains("Old"));
            if renames == at && at > 0 && server.create("Old/Deep") {
                server.append("Old/Deep", NEW, &["\\Seen"], Some(7));
            }
        });
        sync(&world);
        world.quiet();
        for _ in 0..3 {
            sync(&world);
        }
        let (mut there, here) = (world.remote(), world.local());
        // It may stay for what lies below it.
        there.retain(|name, messages| name != "Old" || !messages.is_empty());
        assert_eq!(there, here, "{at}");
        let deep = here.get("Old/Deep").map_or(0, Vec::len);
        assert_eq!(deep, usize::from(at < 4), "{at}: {here:?}");
    }
}
