//! Two files with one unique name in a mailbox.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use kit::imap::Profile;
use kit::world::{ROOT, World};
use mailtide::account::Depth;

use super::sync;

const ONE: &[u8] = b"Message-ID: <one>\nSubject: one\n\nthe first text\n";
const TWO: &[u8] = b"Message-ID: <two>\nSubject: two\n\nthe second text\n";

fn path(name: &str) -> PathBuf {
    Path::new(ROOT).join("INBOX").join(name)
}

/// A mailbox in sync with one message, `cur/x:2,S`, or an empty one.
fn world(in_sync: bool) -> World {
    let world = World::new(Profile::qresync());
    for sub in ["tmp", "new", "cur"] {
        world.fs.mkdir_all(path(sub));
    }
    if in_sync {
        world.fs.write_file(path("cur/x:2,S"), ONE);
        world.wait();
        sync(&world);
        sync(&world);
    }
    world
}

/// Texts and flags on the server.
fn there(world: &World) -> BTreeMap<String, Vec<String>> {
    world.remote().remove("INBOX").unwrap().into_iter().collect()
}

fn here(world: &World) -> Vec<String> {
    let tree = world.fs.tree();
    let files = tree.iter().filter(|(path, bytes)| bytes.is_some() && is_message(path));
    files.map(|(path, _)| path.file_name().unwrap().to_string_lossy().into_owned()).collect()
}

fn is_message(path: &Path) -> bool {
    ["cur", "new"].iter().any(|sub| path.parent() == Some(&self::path(sub)))
}

#[track_caller]
fn settled(world: &World) {
    for _ in 0..3 {
        world.wait();
        sync(world);
    }
    world.wait();
    let (report, result) = world.sync();
    result.unwrap();
    assert_eq!((report.done(), report.skipped.as_slice()), (0, &[][..]));
    assert_eq!(world.remote(), world.local());
    let report = world.verify(Depth::Files);
    assert_eq!(report.plan, Vec::<String>::new());
}

#[test]
fn hazard_65_equal_files_of_one_unique_name_are_one_message_with_the_flags_of_both() {
    for in_sync in [true, false] {
        for (first, second, left) in [
            ("cur/x:2,S", "cur/x:2,FS", "x:2,FS"),
            ("cur/x:2,S", "cur/x:2,F", "x:2,FS"),
            ("cur/x:2,S", "new/x", "x:2,S"),
            ("cur/x:2,S", "cur/x", "x:2,S"),
            ("cur/x:2,S", "cur/x:2,RT", "x:2,RST"),
        ] {
            let world = world(in_sync);
            world.fs.write_file(path(first), ONE);
            world.fs.write_file(path(second), ONE);
            world.wait();
            // A dry run and a verification tell, and touch nothing.
            let before = world.fs.tree();
            let plan = world.dry_run().join("\n");
            assert!(plan.contains("unite two files of one message"), "{second}: {plan}");
            assert!(world.verify(Depth::Files).plan.join("\n").contains("unite"), "{second}");
            assert_eq!(world.fs.tree(), before);
            settled(&world);
            assert_eq!(here(&world), [left], "{second}, {in_sync}");
            assert_eq!(there(&world).len(), 1);
            let trash = world.fs.tree().into_iter().filter(|(path, bytes)| {
                path.starts_with(Path::new(ROOT).join(".mailtide/trash")) && bytes.is_some()
            });
            let trash: Vec<_> = trash.map(|(_, bytes)| bytes.unwrap()).collect();
            assert_eq!(trash, [ONE], "{second}, {in_sync}");
        }
    }
}

#[test]
fn hazard_65_other_bytes_under_one_unique_name_are_another_message() {
    for in_sync in [true, false] {
        for (first, second) in
            [("cur/x:2,S", "cur/x:2,FS"), ("cur/x:2,S", "new/x"), ("cur/x:2,S", "cur/x:2,T")]
        {
            let world = world(in_sync);
            world.fs.write_file(path(first), ONE);
            world.fs.write_file(path(second), TWO);
            world.wait();
            let before = world.fs.tree();
            let plan = world.dry_run().join("\n");
            assert!(plan.contains("a unique name of its own"), "{second}: {plan}");
            let uploads = if in_sync { 1 } else { 2 };
            assert!(plan.contains(&format!("{uploads}  INBOX: upload")), "{second}: {plan}");
            assert_eq!(world.fs.tree(), before);
            settled(&world);
            let there = there(&world);
            assert_eq!((there.len(), here(&world).len()), (2, 2), "{second}: {there:?}");
            // The one that the row knows keeps its name.
            let kept = world.fs.read_file(path("cur/x:2,S"));
            assert!(!in_sync || kept.as_deref() == Some(ONE), "{second}");
        }
    }
}

#[test]
fn hazard_65_a_file_put_under_the_name_of_another_is_another_message() {
    let world = world(true);
    world.fs.delete_file(path("cur/x:2,S"));
    world.fs.write_file(path("cur/x:2,S"), TWO);
    settled(&world);
    let has = |mailbox: &str, text: &str| {
        let messages = world.server.list(mailbox);
        messages.iter().any(|message| String::from_utf8_lossy(&message.body).contains(text))
    };
    // What the file held before went where deleted messages go.
    assert!(has("INBOX", "the second text") && has("Trash", "the first text"));
}

#[test]
fn hazard_65_a_crash_at_any_point_leaves_both_texts_and_no_second_copy() {
    for (second, text, count) in [("cur/x:2,F", ONE, 1), ("cur/x:2,FS", TWO, 2)] {
        let mut end = 1;
        loop {
            let world = world(true);
            world.fs.write_file(path(second), text);
            world.wait();
            let (outcome, passed) = world.run_until(end);
            if outcome.1.is_ok() && passed < end {
                break;
            }
            settled(&world);
            let there = there(&world);
            assert_eq!((there.len(), here(&world).len()), (count, count), "at {end}: {there:?}");
            if count == 1 {
                assert_eq!(there.values().next().unwrap(), &["\\flagged", "\\seen"], "at {end}");
            }
            end += 1;
        }
        assert!(end > 5, "{end} points");
    }
}

#[test]
fn hazard_65_a_reader_at_the_same_moment_loses_nothing() {
    // At each call of the run, a reader changes the flags of one of the two files once, or
    // takes one away.
    for (text, count) in [(ONE, 1), (TWO, 2)] {
        for from in ["cur/x:2,S", "cur/x:2,F"] {
            for at in 1..60 {
                let mut world = world(true);
                world.fs.write_file(path("cur/x:2,F"), text);
                world.wait();
                let (fs, calls) = (world.fs.clone(), std::sync::atomic::AtomicU64::new(0));
                world.on_call(move |_, _| {
                    let n = calls.fetch_add(1, std::sync::atomic::Ordering::SeqCst) + 1;
                    if n == at && fs.tree().contains_key(&path(from)) {
                        fs.move_file(path(from), path("cur/x:2,R"));
                    }
                });
                world.sync().1.unwrap();
                world.quiet();
                settled(&world);
                let there = there(&world);
                let found = (there.len(), here(&world).len());
                assert_eq!(found, (count, count), "{from} at {at}: {there:?}");
            }
        }
    }
}
