//! What others do between two commands of ours, and between two of our calls to the disk.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use kit::imap::Profile;
use kit::world::{ROOT, World};

use super::{agreed_on, flags, here, make_mailbox, rungs, settle, sync, there};
use crate::scenarios::{SCENARIOS, files, prepared, rename, stem, with_text, write};

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

/// A message was filed in Work here, and its server has no MOVE.
fn filed() -> World {
    let world = agreed_on(&Profile::plain());
    rename(&world, &with_text(&world, "INBOX", "text 1"), "Work/cur/filed:2,S");
    world.wait();
    world
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
    for point in 1..=filed().run_until(0).1 {
        let world = filed();
        let _ = world.run_until(point);
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
    let new = || prepared(&Profile::qresync(), &SCENARIOS[0]);
    for point in 1..=new().run_until(0).1 {
        let world = new();
        let _ = world.run_until(point);
        world.fs.restart();
        let tree = world.fs.tree();
        if !tree.keys().any(|path| path.parent() == Some(Path::new("/mail/Trash/tmp"))) {
            continue;
        }
        world.fs.move_file(format!("{ROOT}/Trash"), format!("{ROOT}/Moved"));
        make_mailbox(&world, "Trash");
        world.fs.settle();
        settle(&world);
        for text in ["text 0", "text 7", "text 8"] {
            assert_eq!(count(&world, text), (1, 1), "{text}, cut off at {point}");
        }
    }
}

#[test]
fn hazard_64_a_root_that_is_unmounted_while_its_marker_is_read_is_waited_for() {
    let mut at = 0;
    loop {
        at += 1;
        let mut world = on_a_disk();
        // Files are compared with what is known of them once a day.
        let file = with_text(&world, "INBOX", "old");
        let name = file.file_name().expect("a file").to_string_lossy().into_owned();
        write(&world, &format!("INBOX/cur/{name}"), "Message-ID: <INBOX>\n\nedited\n");
        world.fs.set_clock(world.fs.clock() + 25 * 3600 * 1_000_000_000);
        let is_marker = |_: &str, path: &Path| path.ends_with(".mailtide/marker");
        let acted = unmounted_at(&mut world, at, is_marker);
        settle(&world);
        settle(&world);
        let both = |text| (here(&world, "INBOX", text), there(&world, "INBOX", text));
        assert_eq!((both("edited"), both("old")), ((1, 1), (0, 0)), "at its look {at}");
        if !acted {
            assert!(at > 2, "it is read");
            return;
        }
    }
}

/// A run in which the disk of the root is unmounted at the `at`-th call of a kind, counted from 1,
/// and mounted again after it. Gives whether there were so many calls.
fn unmounted_at(
    world: &mut World,
    at: u64,
    is_meant: impl Fn(&str, &Path) -> bool + Send + Sync + 'static,
) -> bool {
    let (fs, calls) = (world.fs.clone(), AtomicU64::new(0));
    let acted = Arc::new(AtomicBool::new(false));
    let did = Arc::clone(&acted);
    world.on_call(move |call, path| {
        if is_meant(call, path) && calls.fetch_add(1, Ordering::SeqCst) + 1 == at {
            fs.unmount(ROOT);
            did.store(true, Ordering::SeqCst);
        }
    });
    world.wait();
    let _ = world.sync();
    world.quiet();
    world.fs.mount(ROOT, 9);
    world.fs.settle();
    acted.load(Ordering::SeqCst)
}

/// An agreed account whose Maildir lies on a disk of its own.
fn on_a_disk() -> World {
    let world = World::new(Profile::qresync());
    world.fs.mount(ROOT, 9);
    for (mailbox, text) in [("INBOX", "old"), ("Work", "filed")] {
        let body = format!("Message-ID: <{mailbox}>\r\n\r\n{text}\r\n");
        world.server.append(mailbox, body.as_bytes(), &["\\Seen"], Some(7));
    }
    settle(&world);
    world
}

#[test]
fn hazard_64_what_was_put_into_the_place_of_an_unmounted_root_is_not_in_the_root() {
    for at in 0.. {
        let mut world = on_a_disk();
        world.server.append("New", b"Message-ID: <n>\r\n\r\nfresh\r\n", &["\\Seen"], Some(9));
        let makes = |call: &str, path: &Path| path.starts_with("/mail/New") && call != "write";
        let acted = unmounted_at(&mut world, at + 1, makes);
        settle(&world);
        for (mailbox, text) in [("INBOX", "old"), ("Work", "filed"), ("New", "fresh")] {
            let found = (here(&world, mailbox, text), there(&world, mailbox, text));
            assert_eq!(found, (1, 1), "{text}, unmounted at call {at}");
        }
        if !acted {
            assert!(at > 10, "it is made");
            return;
        }
    }
}

#[test]
fn hazard_63_a_table_that_we_wrote_makes_no_mailbox_of_an_empty_directory() {
    let mut world = agreed_on(&Profile::qresync());
    // Moved there with a keyword that the mailbox has no letter for yet.
    let uid = super::uid(&world, "INBOX", "text 1");
    world.server.set_flags("INBOX", uid, &["Later"], &[]);
    settle(&world);
    world.server.mv("INBOX", uid, "Trash");
    let (fs, done) = (world.fs.clone(), AtomicBool::new(false));
    let trash = format!("{ROOT}/Trash");
    world.on_call(move |call, path| {
        let table = call == "open" && path.ends_with("Trash/dovecot-keywords");
        if table && !done.swap(true, Ordering::SeqCst) {
            fs.move_file(&trash, "/hidden");
            fs.mkdir_all(&trash);
        }
    });
    world.wait();
    let _ = world.sync();
    world.quiet();
    sync(&world);
    let kept = world.server.list("Trash");
    assert!(kept.iter().any(|m| String::from_utf8_lossy(&m.body).contains("text 7")));
    world.fs.move_file(format!("{ROOT}/Trash"), "/removed");
    world.fs.move_file("/hidden", format!("{ROOT}/Trash"));
    world.fs.settle();
    settle(&world);
    for text in ["text 7", "text 1"] {
        assert_eq!((here(&world, "Trash", text), there(&world, "Trash", text)), (1, 1), "{text}");
    }
}

#[test]
fn hazard_58_letters_that_were_changed_already_are_read_by_the_table_they_were_changed_for() {
    let (_, points) = moved_twice(Profile::qresync()).run_until(0);
    for (point, back) in (1..=points).step_by(3).flat_map(|point| [(point, false), (point, true)]) {
        let world = moved_twice(Profile::qresync());
        let _ = world.run_until(point);
        world.fs.restart();
        let file = files(&world, "Work").into_iter().find(|file| {
            String::from_utf8_lossy(&world.fs.read_file(file).expect("a file")).contains("text 1")
        });
        if back {
            let Some(file) = file else { continue };
            let name = file.file_name().expect("a file").to_string_lossy().into_owned();
            rename(&world, &file, &format!("INBOX/cur/{name}"));
        } else {
            world.fs.move_file(format!("{ROOT}/Work"), format!("{ROOT}/Moved"));
            make_mailbox(&world, "Work");
        }
        world.fs.settle();
        settle(&world);
        assert_eq!(count(&world, "text 1"), (1, 1), "cut off at {point}");
        for mailbox in world.server.mailboxes() {
            if there(&world, &mailbox, "text 1") == 1 {
                let now = flags(&world, &mailbox, "text 1");
                assert_eq!(now, ["Later", "\\Seen"], "in {mailbox}, cut off at {point}");
            }
        }
    }
}

/// A message with a keyword that was moved to Work here and to the trash there, where Work has
/// another letter for it.
fn moved_twice(profile: Profile) -> World {
    let world = agreed_on(&profile);
    write(&world, "INBOX/dovecot-keywords", "0 Later\n1 Junk\n");
    write(&world, "Work/dovecot-keywords", "0 Junk\n1 Later\n");
    let uid = super::uid(&world, "INBOX", "text 1");
    world.server.set_flags("INBOX", uid, &["Later"], &[]);
    settle(&world);
    world.wait();
    let file = with_text(&world, "INBOX", "text 1");
    let name = file.file_name().expect("a file").to_string_lossy().into_owned();
    rename(&world, &file, &format!("Work/cur/{name}"));
    world.server.mv("INBOX", uid, "Trash");
    world.fs.settle();
    world.wait();
    world
}

#[test]
fn hazard_63_an_empty_directory_gets_no_id_in_the_place_of_a_new_one() {
    for at in 0.. {
        let mut world = agreed_on(&Profile::condstore());
        make_mailbox(&world, "Pre");
        write(&world, "Pre/cur/mine:2,S", "Message-ID: <m>\n\nmine\n");
        let (fs, calls) = (world.fs.clone(), AtomicU64::new(0));
        let acted = Arc::new(AtomicBool::new(false));
        let did = Arc::clone(&acted);
        world.on_call(move |call, path| {
            let looks = path.starts_with("/mail/Pre") && call != "write";
            if looks && calls.fetch_add(1, Ordering::SeqCst) == at {
                fs.move_file(format!("{ROOT}/Pre"), "/hidden");
                fs.mkdir_all(format!("{ROOT}/Pre"));
                did.store(true, Ordering::SeqCst);
            }
        });
        world.wait();
        let _ = world.run_until(0);
        world.quiet();
        if !acted.load(Ordering::SeqCst) {
            assert!(at > 10, "it is looked at");
            return;
        }
        let sent = world.server.list("Pre").len();
        sync(&world);
        assert!(world.server.list("Pre").len() >= sent, "hidden at call {at}");
        world.fs.move_file(format!("{ROOT}/Pre"), "/removed");
        world.fs.move_file("/hidden", format!("{ROOT}/Pre"));
        world.fs.settle();
        settle(&world);
        assert_eq!(count(&world, "mine"), (1, 1), "hidden at call {at}");
    }
}

#[test]
fn hazard_80_what_we_copied_ourselves_proves_nothing_of_other_messages() {
    let world = agreed_on(&Profile::plain());
    rename(&world, &with_text(&world, "INBOX", "text 1"), "Work/cur/filed:2,S");
    let first = world.server.list("Work").into_iter().next().expect("a message");
    let alike = String::from_utf8(first.body.to_vec()).expect("a text").replace("text 8", "book 8");
    let (server, done) = (world.server.clone(), AtomicBool::new(false));
    world.on_command(move |line| {
        if line.starts_with("UID COPY") && !done.swap(true, Ordering::SeqCst) {
            server.delete_mailbox("Work");
            server.append("Work", alike.as_bytes(), &[], Some(first.date));
        }
    });
    world.wait();
    let _ = world.run_until(0);
    world.on_command(|_| {});
    settle(&world);
    for text in ["book 8", "text 1"] {
        assert_eq!(count(&world, text), (1, 1), "{text}: {:?}", world.remote());
    }
}

#[test]
fn hazard_84_a_message_that_was_copied_leaves_a_mailbox_that_is_numbered_anew() {
    for point in (1..=filed().run_until(0).1).step_by(2) {
        let world = filed();
        let _ = world.run_until(point);
        world.fs.restart();
        world.server.renumber("INBOX");
        settle(&world);
        assert_eq!(count(&world, "text 1"), (1, 1), "cut off at {point}");
        assert_eq!(there(&world, "Work", "text 1"), 1, "cut off at {point}");
    }
}

#[test]
fn hazard_84_a_message_whose_mailbox_is_numbered_anew_before_it_is_moved_is_moved() {
    for profile in rungs() {
        let world = agreed_on(&profile);
        rename(&world, &with_text(&world, "INBOX", "text 1"), "Work/cur/filed:2,S");
        let (server, done) = (world.server.clone(), AtomicBool::new(false));
        world.on_command(move |line| {
            let moves = line.starts_with("UID MOVE") || line.starts_with("UID COPY");
            if moves && !done.swap(true, Ordering::SeqCst) {
                server.renumber("INBOX");
            }
        });
        sync(&world);
        world.on_command(|_| {});
        settle(&world);
        assert_eq!(count(&world, "text 1"), (1, 1));
        assert_eq!(there(&world, "Work", "text 1"), 1);
    }
}

#[test]
fn hazard_26_copies_stay_when_their_mailbox_is_numbered_anew() {
    for profile in rungs() {
        let world = agreed_on(&profile);
        let text = world.fs.read_file(with_text(&world, "INBOX", "text 1")).expect("a file");
        let text = String::from_utf8(text).expect("plain text");
        write(&world, "INBOX/cur/twin:2,S", &text);
        write(&world, "Work/cur/copy:2,", &text);
        world.server.renumber("INBOX");
        settle(&world);
        assert_eq!(count(&world, "text 1"), (3, 3));
    }
}

#[test]
fn hazard_79_a_copy_that_is_filed_in_the_middle_of_the_run_stays_one() {
    for at in 0.. {
        let mut world = agreed_on(&Profile::plain());
        let text = world.fs.read_file(with_text(&world, "INBOX", "text 1")).expect("a file");
        world.fs.write_file(format!("{ROOT}/Work/cur/copy:2,"), &text);
        let (fs, calls) = (world.fs.clone(), AtomicU64::new(0));
        let acted = Arc::new(AtomicBool::new(false));
        let did = Arc::clone(&acted);
        world.on_call(move |call, path| {
            let looks = path.starts_with("/mail/Work") && call == "lstat";
            if looks && calls.fetch_add(1, Ordering::SeqCst) == at {
                let (from, to) = (format!("{ROOT}/Work/cur/copy:2,"), "INBOX/cur/copy:2,");
                fs.move_file(from, format!("{ROOT}/{to}"));
                did.store(true, Ordering::SeqCst);
            }
        });
        world.wait();
        let _ = world.run_until(0);
        world.quiet();
        settle(&world);
        assert_eq!(count(&world, "text 1"), (2, 2), "filed at look {at}");
        if !acted.load(Ordering::SeqCst) {
            assert!(at > 5, "it is looked at");
            return;
        }
    }
}
