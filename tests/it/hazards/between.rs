//! What others do between two commands of ours, and between two of our calls to the disk.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use kit::imap::Profile;
use kit::world::{ROOT, World};

use super::{agreed_on, flags, here, make_mailbox, rungs, settle, sync, there};
use crate::scenarios::{rename, stem, with_text, write};

/// Files of a message in all mailboxes, and messages of the server.
fn count(world: &World, text: &str) -> (usize, usize) {
    let mailboxes = world.server.mailboxes();
    let sum = |count: fn(&World, &str, &str) -> usize| {
        mailboxes.iter().map(|mailbox| count(world, mailbox, text)).sum()
    };
    (sum(here), sum(there))
}

/// Another device flags the old message before the n-th command of the run, or the n-th after the
/// COPY, if it is there still and not marked for the EXPUNGE. Gives whether it did.
fn flag_before(world: &World, n: u64, after_copy: bool) -> Arc<AtomicBool> {
    let (server, done) = (world.server.clone(), Arc::new(AtomicBool::new(false)));
    let (acted, commands) = (Arc::clone(&done), AtomicU64::new(0));
    let copied = AtomicBool::new(!after_copy);
    world.on_command(move |line| {
        if line.starts_with("UID COPY") {
            copied.store(true, Ordering::SeqCst);
            return;
        }
        if !copied.load(Ordering::SeqCst) {
            return;
        }
        let list = server.list("INBOX");
        let old = list.iter().find(|m| String::from_utf8_lossy(&m.body).contains("text 1"));
        let old = old.filter(|m| !m.flags.contains("\\Deleted"));
        if let Some(old) = old.filter(|_| commands.fetch_add(1, Ordering::SeqCst) + 1 == n) {
            server.set_flags("INBOX", old.uid, &["\\Flagged", "Later"], &[]);
            acted.store(true, Ordering::SeqCst);
        }
    });
    done
}

#[test]
fn hazard_92_flags_set_between_copy_and_expunge_go_to_the_copy() {
    let without_move = |profile| Profile { move_: false, ..profile };
    for profile in [without_move(Profile::condstore()), Profile::plain()] {
        for (place, deletes) in [("Work", false), ("Trash", true)] {
            for n in 1.. {
                let world = agreed_on(&profile);
                let file = with_text(&world, "INBOX", "text 1");
                match deletes {
                    true => world.fs.delete_file(&file),
                    false => rename(&world, &file, "Work/cur/filed:2,S"),
                }
                let acted = flag_before(&world, n, true);
                sync(&world);
                world.on_command(|_| {});
                settle(&world);
                if !acted.load(Ordering::SeqCst) {
                    assert!(n > 2, "it is there for a while");
                    break;
                }
                // A deleted message that was flagged elsewhere may stay as well.
                let at = if there(&world, place, "text 1") == 1 { place } else { "INBOX" };
                assert!(deletes || at == place, "before command {n}");
                assert_eq!(count(&world, "text 1"), (1, 1), "before command {n}");
                assert_eq!(
                    flags(&world, at, "text 1"),
                    ["Later", "\\Flagged", "\\Seen"],
                    "{place} {n}"
                );
            }
        }
    }
}

#[test]
fn hazard_92_flags_set_on_the_old_message_after_a_crash_go_to_the_copy() {
    for (profile, first) in [(Profile::condstore(), 2), (Profile::plain(), 1)] {
        let mut points = first;
        let mut point = first;
        while point <= points {
            let world = agreed_on(&profile);
            rename(&world, &with_text(&world, "INBOX", "text 1"), "Work/cur/filed:2,S");
            world.wait();
            points = world.run_until(point).1;
            world.fs.restart();
            let acted = flag_before(&world, 1, false);
            sync(&world);
            world.on_command(|_| {});
            settle(&world);
            assert_eq!(count(&world, "text 1"), (1, 1), "cut off at {point}");
            if acted.load(Ordering::SeqCst) {
                let now = flags(&world, "Work", "text 1");
                assert_eq!(now, ["Later", "\\Flagged", "\\Seen"], "cut off at {point}");
            }
            point += 3;
        }
    }
}

#[test]
fn hazard_93_what_left_is_remembered_while_its_new_place_cannot_be_looked_at() {
    for profile in rungs() {
        for shut in [true, false] {
            let world = agreed_on(&profile);
            // Moved to the same place on both sides, read here as unread.
            let file = with_text(&world, "INBOX", "text 1");
            let uid = super::uid(&world, "INBOX", "text 1");
            rename(&world, &file, &format!("Work/cur/{}:2,F", stem(&file)));
            world.server.mv("INBOX", uid, "Work");
            let work = Path::new(ROOT).join("Work");
            if shut {
                world.fs.deny(&work);
            }
            sync(&world);
            sync(&world);
            world.fs.allow(&work);
            settle(&world);
            assert_eq!(count(&world, "text 1"), (1, 1));
            assert_eq!(flags(&world, "Work", "text 1"), ["\\Flagged"], "shut: {shut}");
        }
    }
}

#[test]
fn hazard_51_another_directory_in_the_place_of_a_new_mailbox_proves_nothing() {
    let mut points = 1;
    let mut point = 1;
    while point <= points {
        let world = agreed_on(&Profile::qresync());
        let text = b"Message-ID: <f>\r\n\r\nfresh\r\n";
        world.server.append("Fresh", text, &["\\Seen"], Some(1000));
        world.wait();
        points = world.run_until(point).1;
        world.fs.restart();
        point += 1;
        let tree = world.fs.tree();
        if !tree.keys().any(|path| path.parent() == Some(Path::new("/mail/Fresh/tmp"))) {
            continue;
        }
        world.fs.move_file(format!("{ROOT}/Fresh"), format!("{ROOT}/Elsewhere"));
        make_mailbox(&world, "Fresh");
        world.fs.settle();
        settle(&world);
        assert_eq!(count(&world, "fresh"), (1, 1), "cut off at {}", point - 1);
    }
}

#[test]
fn hazard_64_a_root_that_is_unmounted_while_its_marker_is_read_is_waited_for() {
    let mut at = 0;
    loop {
        at += 1;
        let mut world = World::new(Profile::qresync());
        world.fs.mount(ROOT, 9);
        world.server.append("INBOX", b"Message-ID: <a>\r\n\r\nold\r\n", &["\\Seen"], Some(7));
        settle(&world);
        // Files are compared with what is known of them once a day.
        let file = with_text(&world, "INBOX", "old");
        let name = file.file_name().expect("a file").to_string_lossy().into_owned();
        write(&world, &format!("INBOX/cur/{name}"), "Message-ID: <a>\n\nedited\n");
        world.fs.set_clock(world.fs.clock() + 25 * 3600 * 1_000_000_000);
        let (fs, calls) = (world.fs.clone(), AtomicU64::new(0));
        let acted = Arc::new(AtomicBool::new(false));
        let did = Arc::clone(&acted);
        world.on_call(move |_, path| {
            let marker = path.ends_with(".mailtide/marker");
            if marker && calls.fetch_add(1, Ordering::SeqCst) + 1 == at {
                fs.unmount(ROOT);
                did.store(true, Ordering::SeqCst);
            }
        });
        world.wait();
        let _ = world.sync();
        world.quiet();
        world.fs.mount(ROOT, 9);
        world.fs.settle();
        settle(&world);
        settle(&world);
        let both = |text| (here(&world, "INBOX", text), there(&world, "INBOX", text));
        assert_eq!((both("edited"), both("old")), ((1, 1), (0, 0)), "at its look {at}");
        if !acted.load(Ordering::SeqCst) {
            assert!(at > 2, "it is read");
            return;
        }
    }
}
