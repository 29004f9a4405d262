//! What a look at the disk sees: names that are not durable yet, files that are not whole yet,
//! directories that are exchanged.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kit::world::{ROOT, World};

use crate::scenarios::write;

use super::{agreed, agreed_on, flags, here, make_mailbox, rungs, sent, settle, sync, there, uid};

/// The names that were given before a crash are seen by the next run, and are gone after a power
/// cut: they were not durable.
#[test]
fn hazard_140_names_that_only_the_memory_holds_are_no_agreement() {
    let world = agreed();
    let told = uid(&world, "INBOX", "text 0");
    assert!(world.server.set_flags("INBOX", told, &["$label1", "\\Answered"], &[]));
    let before = flags(&world, "INBOX", "text 0");
    let (_, points) = world.fork().run_until(u64::MAX);
    for end in points / 2..=points {
        let world = world.fork();
        world.wait();
        let _ = world.run_until(end);
        world.fs.restart();
        let cut = world.fork();
        cut.fs.power_loss(0);
        if cut.fs.tree() == world.fs.tree() {
            continue;
        }
        sync(&world);
        world.fs.power_loss(0);
        settle(&world);
        assert_eq!(flags(&world, "INBOX", "text 0"), before, "killed at {end} of {points}");
    }
}

/// A program opens `new/x`, writes one half, pauses for longer than a run, and writes the rest.
#[test]
fn hazard_141_a_file_that_is_written_with_pauses_is_sent_whole() {
    for profile in rungs() {
        let world = agreed_on(&profile);
        let path = format!("{ROOT}/INBOX/new/slow");
        let (first, whole) = ("Message-ID: <slow>\n\nfirst half", "first half and the rest\n");
        let whole = first.replace("first half", whole);
        world.fs.write_file(&path, first.as_bytes());
        settle(&world);
        assert_eq!(there(&world, "INBOX", "first half"), 1);
        world.fs.write_file(&path, whole.as_bytes());
        settle(&world);
        assert_eq!(there(&world, "INBOX", "first half and the rest"), 1, "{profile:?}");
        assert_eq!(there(&world, "INBOX", "first half"), 1, "what was sent cut is replaced");
        assert_eq!(here(&world, "INBOX", "first half"), 1);
    }
}

/// A disk is mounted on `cur` itself, or was there and is not mounted any more.
#[test]
fn hazard_142_another_disk_in_the_place_of_cur_is_no_deletion() {
    for profile in rungs() {
        for was_there in [false, true] {
            let world = World::new(profile.clone());
            make_mailbox(&world, "INBOX");
            let cur = format!("{ROOT}/INBOX/cur");
            if was_there {
                world.fs.mount(&cur, 7);
            }
            for n in 0..3 {
                let text = format!("Message-ID: <c{n}>\n\nnumber {n}.\n");
                world.fs.write_file(format!("{cur}/c{n}:2,S"), text.as_bytes());
            }
            settle(&world);
            // One is left beside it.
            world.server.append("INBOX", b"Message-ID: <unread>\r\n\r\nunread\r\n", &[], Some(3));
            settle(&world);
            let before = world.remote();
            match was_there {
                true => world.fs.unmount(&cur),
                false => world.fs.mount(&cur, 7),
            }
            for _ in 0..3 {
                let _ = sync(&world);
                assert_eq!(world.remote(), before, "{was_there} {profile:?}");
            }
            match was_there {
                true => world.fs.mount(&cur, 7),
                false => world.fs.unmount(&cur),
            }
            assert_eq!(settle(&world), before);
        }
    }
}

/// A directory is renamed while its table of keywords is being written, under its lock; the lock is
/// that of other programs, too.
#[test]
fn hazard_145_our_lock_of_a_table_is_not_left_in_a_directory_that_is_renamed() {
    for killed in [false, true] {
        let mut world = agreed();
        let told = uid(&world, "Work", "text 8");
        assert!(world.server.set_flags("Work", told, &["$label1"], &[]));
        let (fs, done) = (world.fs.clone(), Arc::new(AtomicBool::new(false)));
        let was_done = Arc::clone(&done);
        world.on_call(move |_, path| {
            let lock = Path::new(ROOT).join("Work/dovecot-keywords.lock");
            // Whatever comes after it was made.
            if path.starts_with(format!("{ROOT}/Work"))
                && fs.tree().contains_key(&lock)
                && !done.swap(true, Ordering::SeqCst)
            {
                fs.move_file(format!("{ROOT}/Work"), format!("{ROOT}/Moved"));
                if killed {
                    fs.crash_after(0);
                }
            }
        });
        world.wait();
        let _ = world.sync();
        assert!(was_done.load(Ordering::SeqCst), "the lock was made");
        world.quiet();
        world.fs.restart();
        settle(&world);
        let tree = world.fs.tree();
        let locks: Vec<_> =
            tree.keys().filter(|path| path.ends_with("dovecot-keywords.lock")).collect();
        assert!(locks.is_empty(), "{locks:?}, killed: {killed}");
        assert_eq!(flags(&world, "Moved", "text 8"), ["$label1"]);
    }
}

/// Killed while the table is locked; in the next run another root is in the place of this one.
#[test]
fn hazard_180_our_lock_is_not_left_in_a_root_that_was_away() {
    let mut away = 0;
    for point in 1.. {
        let world = agreed();
        let told = uid(&world, "Work", "text 8");
        assert!(world.server.set_flags("Work", told, &["$label1"], &[]));
        let ended = world.run_until(point).0.1.is_ok();
        world.fs.restart();
        let lock = Path::new(ROOT).join("Work/dovecot-keywords.lock");
        if world.fs.tree().contains_key(&lock) {
            away += 1;
            world.fs.move_file(ROOT, "/aside");
            world.wait();
            let _ = world.sync();
            world.fs.move_file(ROOT, "/gone");
            world.fs.move_file("/aside", ROOT);
            settle(&world);
            assert!(!world.fs.tree().contains_key(&lock), "killed at {point}");
        }
        if ended {
            break;
        }
    }
    assert!(away > 0, "the lock was left");
}

/// The directory of a mailbox gets another name, and an empty one is made in its place.
#[test]
fn hazard_146_a_mailbox_that_moves_away_from_an_empty_one_is_renamed() {
    for profile in rungs() {
        let world = agreed_on(&profile);
        let before = world.remote();
        world.fs.move_file(format!("{ROOT}/Work"), format!("{ROOT}/Moved"));
        make_mailbox(&world, "Work");
        world.fs.settle();
        let now = settle(&world);
        assert_eq!((&now["Moved"], now["Work"].len()), (&before["Work"], 0));
        assert_eq!(sent(&world, "RENAME").len(), 1, "{profile:?}");
        for verb in ["UID COPY", "UID MOVE", "APPEND"] {
            assert_eq!(sent(&world, verb).len(), 0, "{verb} {profile:?}");
        }
    }
}

/// Another directory took its place and was in step; then the former one comes back, in which the
/// mail that came meanwhile is not.
#[test]
fn hazard_160_a_directory_that_comes_back_is_another_again() {
    for (name, filled) in [("Work", true), ("INBOX", true), ("INBOX", false)] {
        let world = agreed();
        sync(&world);
        let dir = format!("{ROOT}/{name}");
        world.fs.move_file(&dir, "/former");
        if filled {
            make_mailbox(&world, name);
            write(&world, &format!("{name}/cur/other:2,S"), "Message-ID: <o>\n\nother\n");
        }
        for _ in 0..3 {
            sync(&world);
        }
        world.server.append(name, b"Message-ID: <t>\r\n\r\ntoken\r\n", &["\\Seen"], Some(5));
        settle(&world);
        assert_eq!(here(&world, name, "token"), 1, "{name}");
        world.fs.move_file(&dir, "/other");
        world.fs.move_file("/former", &dir);
        settle(&world);
        let places = (there(&world, name, "token"), here(&world, name, "token"));
        assert_eq!((places, there(&world, "Trash", "token")), ((1, 1), 0), "{name} {filled}");
    }
}

/// A copy of a mailbox directory, mark and all, is put in its place: it lacks what came later.
#[test]
fn hazard_161_a_copy_of_a_directory_is_another() {
    for name in ["Work", "INBOX"] {
        let world = agreed();
        sync(&world);
        let (dir, copy) = (format!("{ROOT}/{name}"), Path::new("/copy"));
        for (path, body) in world.fs.tree() {
            let Ok(below) = path.strip_prefix(&dir) else { continue };
            match body {
                Some(body) => world.fs.write_file(copy.join(below), &body),
                None => world.fs.mkdir_all(copy.join(below)),
            }
        }
        world.server.append(name, b"Message-ID: <t>\r\n\r\ntoken\r\n", &["\\Seen"], Some(5));
        settle(&world);
        assert_eq!(here(&world, name, "token"), 1, "{name}");
        world.fs.move_file(&dir, "/former");
        world.fs.move_file(copy, &dir);
        for back in [None, Some("/former")] {
            if let Some(back) = back {
                world.fs.move_file(&dir, "/restored");
                world.fs.move_file(back, &dir);
            }
            settle(&world);
            let places = (there(&world, name, "token"), here(&world, name, "token"));
            assert_eq!((places, there(&world, "Trash", "token")), ((1, 1), 0), "{name} {back:?}");
        }
    }
}

/// While a body is on its way its directory is moved, and an empty one made in its place.
#[test]
fn hazard_162_a_file_in_a_directory_that_took_the_place_of_another_is_seen_there() {
    for profile in rungs() {
        let world = agreed_on(&profile);
        sync(&world);
        world.server.append("Work", b"Message-ID: <t>\r\n\r\ntoken\r\n", &["\\Seen"], Some(5));
        let fs = world.fs.clone();
        let is_done = AtomicBool::new(false);
        world.on_command(move |line| {
            if line.contains("BODY.PEEK[]") && !is_done.swap(true, Ordering::SeqCst) {
                fs.move_file(format!("{ROOT}/Work"), format!("{ROOT}/Moved"));
                for sub in ["tmp", "new", "cur"] {
                    fs.mkdir_all(format!("{ROOT}/Work/{sub}"));
                }
            }
        });
        settle(&world);
        assert_eq!(world.local(), world.remote(), "{profile:?}");
        assert!(here(&world, "Work", "token") + here(&world, "Moved", "token") > 0);
    }
}
