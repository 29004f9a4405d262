//! Ways to double a message.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use kit::imap::{Fault, Profile, When};
use kit::world::{ROOT, World};
use mailtide::account::RunRequest;
use mailtide::reconcile::types::MailboxName;

use super::{agreed, agreed_on, cut_off, here, rungs, sent, settle, sync, there, uid};
use crate::scenarios::{files, rename, stem, with_text, write};

const NEW: &str = "Message-ID: <new>\nSubject: new\n\nfreshly written\n";

#[test]
fn hazard_17_an_append_whose_answer_was_lost_is_found_whatever_the_server_made_of_it() {
    for fault in [
        Fault::RewriteOctets,
        Fault::AddHeader("Received: by the server\r\n".into()),
        Fault::LoseDate,
        Fault::LoseFlags,
    ] {
        for profile in rungs() {
            let world = agreed_on(&profile);
            write(&world, "INBOX/cur/new:2,S", &NEW.replace("written", "written\r\r"));
            world.server.inject(fault.clone(), When::verb("APPEND"));
            world.server.inject(Fault::LoseTagged, When::verb("APPEND").nth(1));
            world.wait();
            cut_off(&world);
            assert_eq!(there(&world, "INBOX", "freshly"), 1);
            for _ in 0..3 {
                sync(&world);
            }
            assert_eq!(sent(&world, "APPEND").len(), 1, "{fault:?}: sent once");
            assert_eq!(
                (there(&world, "INBOX", "freshly"), here(&world, "INBOX", "freshly")),
                (1, 1)
            );
        }
    }
}

#[test]
fn hazard_18_an_append_that_lands_late_is_no_second_message() {
    for profile in rungs() {
        let world = agreed_on(&profile);
        write(&world, "INBOX/cur/new:2,S", NEW);
        world.server.inject(Fault::LateAppend(None), When::verb("APPEND").nth(1));
        world.wait();
        cut_off(&world);
        assert_eq!(there(&world, "INBOX", "freshly"), 0, "it is still on its way");
        sync(&world);
        assert_eq!(sent(&world, "APPEND").len(), 2, "a later run did not find it");
        assert_eq!(world.server.finish_late(), 1);
        assert_eq!(there(&world, "INBOX", "freshly"), 2);
        settle(&world);
        assert_eq!((there(&world, "INBOX", "freshly"), here(&world, "INBOX", "freshly")), (1, 1));
    }
}

#[test]
fn hazard_19_delivered_then_filed_by_a_reader_then_a_crash() {
    each_end_of_a_delivery(|world, file| {
        world.fs.move_file(file, format!("{ROOT}/Work/cur/filed:2,S"));
    });
}

#[test]
fn hazard_19_delivered_then_deleted_by_a_reader_then_a_crash() {
    let deleted = each_end_of_a_delivery(|world, file| world.fs.delete_file(file));
    assert!(deleted > 0);
}

/// Ends a run at each point of bringing one message down; what lies in INBOX then is acted
/// upon. Afterwards it is where the reader left it, once. Gives how often there was something.
fn each_end_of_a_delivery(act: fn(&World, &std::path::Path)) -> u32 {
    let start = || {
        let world = agreed();
        world.server.append("INBOX", NEW.replace('\n', "\r\n").as_bytes(), &[], Some(5));
        world.wait();
        world
    };
    let (_, points) = start().run_until(0);
    let mut acted = 0;
    for point in 1..=points {
        let world = start();
        let _ = world.run_until(point);
        world.fs.restart();
        let delivered = here(&world, "INBOX", "freshly");
        if delivered > 0 {
            act(&world, &with_text(&world, "INBOX", "freshly"));
            acted += 1;
        }
        let mail = settle(&world);
        let count = ["INBOX", "Work", "Trash"].map(|mailbox| there(&world, mailbox, "freshly"));
        assert_eq!(count.iter().sum::<usize>(), 1, "ended at {point}: {mail:?}");
        assert_eq!(count[0], usize::from(delivered == 0), "ended at {point}: it came back");
    }
    acted
}

#[test]
fn hazard_23_one_message_under_two_names() {
    let world = agreed();
    // As rsync leaves them when flags changed between two passes.
    let bytes = NEW.as_bytes();
    world.fs.write_file(format!("{ROOT}/INBOX/cur/twice:2,"), bytes);
    world.fs.write_file(format!("{ROOT}/INBOX/cur/twice:2,S"), bytes);
    for _ in 0..2 {
        sync(&world);
        assert_eq!(there(&world, "INBOX", "freshly"), 1);
    }
    assert_eq!(super::flags(&world, "INBOX", "freshly"), ["\\Seen"]);
}

#[test]
fn hazard_23_a_reader_that_renames_hides_no_message() {
    let mut world = agreed();
    write(&world, "INBOX/cur/beside:2,", NEW);
    let (fs, file) = (world.fs.clone(), with_text(&world, "INBOX", "text 1"));
    let (elsewhere, first) = (format!("{ROOT}/elsewhere"), AtomicBool::new(true));
    // While cur/ is listed it has no name; afterwards it has its old one again.
    world.on_call(move |call, path| {
        if fs.read_file(&elsewhere).is_some() {
            fs.move_file(&elsewhere, &file);
        } else if call == "readdir" && path.ends_with("INBOX/cur") && first.swap(false, Relaxed) {
            fs.move_file(&file, &elsewhere);
        }
    });
    sync(&world);
    world.quiet();
    settle(&world);
    assert_eq!((there(&world, "INBOX", "text 1"), there(&world, "Trash", "text 1")), (1, 0));
}

#[test]
fn hazard_24_what_the_server_swallows_stays_here_and_is_not_sent_for_ever() {
    let world = agreed();
    write(&world, "INBOX/cur/new:2,S", NEW);
    let swallow = world.server.inject(Fault::SwallowAddition, When::verb("APPEND"));
    for _ in 0..4 {
        let report = sync(&world);
        assert_eq!((there(&world, "INBOX", "freshly"), here(&world, "INBOX", "freshly")), (0, 1));
        let named = |skip: &mailtide::account::Skip| skip.why.contains("the server accepted ");
        assert!(report.skipped.iter().any(named), "{:?}", report.skipped);
    }
    assert_eq!(swallow.hits(), 1, "not repeated");
    world.server.heal();
    // Its content changes: that is another message.
    let file = with_text(&world, "INBOX", "freshly");
    world
        .fs
        .write_file(file.with_file_name("rewritten:2,S"), b"Message-ID: <r>\n\nfreshly, anew\n");
    world.fs.delete_file(file);
    settle(&world);
    assert_eq!(there(&world, "INBOX", "freshly, anew"), 1);
}

#[test]
fn hazard_24_what_is_moved_to_a_mailbox_that_holds_it_is_there_once() {
    for profile in rungs() {
        let world = agreed_on(&profile);
        // All Mail of Gmail: what is in INBOX is there, too.
        for message in world.server.list("INBOX") {
            world.server.append("All", &message.body, &["\\Seen"], Some(message.date));
        }
        settle(&world);
        let all = world.server.list("All").len();
        world.server.inject(Fault::IsSet, When::always());
        for text in ["text 0", "text 1"] {
            let file = with_text(&world, "INBOX", text);
            rename(&world, &file, &format!("All/cur/{}a:2,S", stem(&file)));
        }
        settle(&world);
        assert_eq!(world.server.list("All").len(), all);
        assert_eq!(world.local(), world.remote());
        assert_eq!(world.server.list("INBOX").len(), all - 2);
        assert_eq!(sync(&world).done(), 0);
    }
}

#[test]
fn hazard_120_what_the_server_said_it_took_is_not_sent_again_by_itself() {
    for profile in rungs() {
        let world = agreed_on(&profile);
        write(&world, "INBOX/cur/new:2,S", NEW);
        let slow = world.server.inject(Fault::SlowAppend, When::verb("APPEND"));
        for _ in 0..8 {
            let report = sync(&world);
            let named = |skip: &mailtide::account::Skip| skip.why.contains("the server accepted ");
            assert!(report.skipped.iter().any(named), "{:?}", report.skipped);
        }
        assert_eq!(slow.hits(), 1, "sent once");
        assert_eq!(world.server.finish_late(), 1);
        settle(&world);
        assert_eq!((there(&world, "INBOX", "freshly"), here(&world, "INBOX", "freshly")), (1, 1));
    }
}

#[test]
fn hazard_120_a_person_may_have_it_sent_again() {
    for profile in rungs() {
        let world = agreed_on(&profile);
        write(&world, "INBOX/cur/new:2,S", NEW);
        world.server.inject(Fault::SlowAppend, When::verb("APPEND").nth(1));
        sync(&world);
        sync(&world);
        world.wait();
        let focus = Some([MailboxName::new("INBOX")].into());
        world.run(RunRequest { focus, ..RunRequest::default() }).1.unwrap();
        settle(&world);
        assert_eq!((there(&world, "INBOX", "freshly"), here(&world, "INBOX", "freshly")), (1, 1));
        // Should it turn up all the same, it is a twin of ours.
        world.server.finish_late();
        settle(&world);
        assert_eq!((there(&world, "INBOX", "freshly"), here(&world, "INBOX", "freshly")), (1, 1));
    }
}

#[test]
fn hazard_155_what_was_taken_into_a_mailbox_that_is_there_no_more_is_not_waited_for() {
    for profile in rungs() {
        for remade in [false, true] {
            let world = agreed_on(&profile);
            write(&world, "Work/cur/new:2,S", NEW);
            world.server.inject(Fault::SwallowAddition, When::verb("APPEND").nth(1));
            sync(&world);
            world.server.delete_mailbox("Work");
            if remade {
                world.server.create("Work");
            }
            for _ in 0..4 {
                sync(&world);
            }
            let report = sync(&world);
            assert_eq!((report.done(), report.skipped.len()), (0, 0), "{report:?}");
            assert_eq!((there(&world, "Work", "freshly"), here(&world, "Work", "freshly")), (1, 1));
        }
    }
}

#[test]
fn hazard_26_equal_bodies_keep_their_own_flags() {
    for profile in rungs() {
        let world = agreed_on(&profile);
        let mail = NEW.replace('\n', "\r\n");
        world.server.append("INBOX", mail.as_bytes(), &["\\Seen"], Some(5));
        world.server.append("INBOX", mail.as_bytes(), &["\\Flagged"], Some(5));
        settle(&world);
        world.lose_store();
        world.server.renumber("INBOX");
        settle(&world);
        let list = world.server.list("INBOX");
        let mut flags: Vec<Vec<String>> = list
            .iter()
            .filter(|m| m.body.ends_with(b"freshly written\r\n"))
            .map(|m| m.flags.iter().cloned().collect())
            .collect();
        flags.sort();
        assert_eq!(flags, [["\\Flagged"], ["\\Seen"]]);
    }
}

#[test]
fn hazard_26_one_of_two_equals_is_moved() {
    for profile in rungs() {
        let world = agreed_on(&profile);
        let [_, flagged] = two_equals(&world);
        let name = flagged.file_name().unwrap().to_string_lossy().into_owned();
        rename(&world, &flagged, &format!("Work/cur/{name}"));
        settle(&world);
        assert_eq!(super::flags(&world, "Work", "freshly"), ["\\Flagged"]);
        assert_eq!(super::flags(&world, "INBOX", "freshly"), ["\\Seen"]);
    }
}

/// Both are filed as a reader does across file systems: other files under other names.
#[test]
fn hazard_26_two_equals_are_filed_apart() {
    for profile in rungs() {
        let world = agreed_on(&profile);
        for file in two_equals(&world) {
            world.fs.delete_file(file);
        }
        super::make_mailbox(&world, "Drafts");
        write(&world, "Drafts/cur/first:2,F", NEW);
        write(&world, "Work/cur/second:2,S", NEW);
        world.server.reset_counters();
        settle(&world);
        assert_eq!(super::flags(&world, "Drafts", "freshly"), ["\\Flagged"]);
        assert_eq!(super::flags(&world, "Work", "freshly"), ["\\Seen"]);
        assert!(sent(&world, "UID STORE").iter().all(|c| c.line.contains("Deleted")), "its own");
    }
}

/// The seen one, and the flagged one.
fn two_equals(world: &World) -> [PathBuf; 2] {
    let mail = NEW.replace('\n', "\r\n");
    world.server.append("INBOX", mail.as_bytes(), &["\\Seen"], Some(5));
    world.server.append("INBOX", mail.as_bytes(), &["\\Flagged"], Some(5));
    settle(world);
    ["S", "F"].map(|info| {
        let mut files = files(world, "INBOX").into_iter();
        let wanted = |file: &PathBuf| {
            file.to_string_lossy().ends_with(&format!(":2,{info}"))
                && world.fs.read_file(file).unwrap() == NEW.as_bytes()
        };
        files.find(wanted).unwrap()
    })
}

/// Copies are counted one by one.
#[test]
fn hazard_26_a_copy_beside_the_original_is_one_more() {
    let world = agreed();
    let bytes = world.fs.read_file(with_text(&world, "INBOX", "text 1")).unwrap();
    world.fs.write_file(format!("{ROOT}/INBOX/cur/copy:2,S"), &bytes);
    settle(&world);
    assert_eq!((there(&world, "INBOX", "text 1"), here(&world, "INBOX", "text 1")), (2, 2));
    let _ = uid(&world, "INBOX", "text 1");
    assert_eq!(sent(&world, "APPEND").len(), 0, "the server copies it");
}

/// Profiles are compared by what they promise, so that no rung is left out unseen.
#[test]
fn the_rungs_differ() {
    let [qresync, condstore, plain] = rungs();
    let _: [&Profile; 3] = [&qresync, &condstore, &plain];
    assert!(qresync.has_modseq() && condstore.has_modseq() && !plain.has_modseq());
    assert!(!plain.uidplus && !plain.move_);
}
