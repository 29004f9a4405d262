//! One view of the disk: links, mounts and what is no directory; changes that are cut anywhere.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kit::imap::Profile;
use kit::memfs::{EACCES, MemFs};
use kit::world::{ROOT, World};
use mailtide::local::fs::{Fs, Kind};
use mailtide::local::{Changed, Layout, Marker, Root, RootOptions};
use mailtide::reconcile::types::{Local, MailboxName, Stem};

use super::{agreed, settle, sync, there, uid};
use crate::scenarios::{rename, with_text, write};

/// Names in `cur` and `new` of a directory, links followed.
fn names(fs: &MemFs, dir: &str) -> Vec<String> {
    let mut names = Vec::new();
    for sub in ["cur", "new"] {
        let path = Path::new(dir).join(sub);
        let _ = fs.read_dir(&path, &mut |name, _, _| {
            names.push(String::from_utf8_lossy(name).into_owned());
        });
    }
    names
}

fn maildir(fs: &MemFs, dir: &str) {
    ["cur", "new", "tmp"].iter().for_each(|sub| fs.mkdir_all(format!("{dir}/{sub}")));
}

/// A mailbox `Far` on the server with three messages.
fn with_far(world: &World) {
    for n in 0..3 {
        let text = format!("Message-ID: <far.{n}>\r\n\r\nfar {n}\r\n");
        world.server.append("Far", text.as_bytes(), &["\\Seen"], Some(500 + n));
    }
}

#[test]
fn hazard_62_a_linked_mailbox_is_read_where_it_is_written() {
    for layout in [Layout::Nested, Layout::MaildirPlusPlus] {
        let mut world = World::new(Profile::qresync());
        world.configure(move |settings| settings.layout = layout);
        with_far(&world);
        maildir(&world.fs, "/disk/far");
        world.fs.mkdir_all(ROOT);
        let name = if layout == Layout::Nested { "Far" } else { ".Far" };
        world.fs.symlink("../disk/far", format!("{ROOT}/{name}"));
        for round in 0..3 {
            let report = sync(&world);
            assert!(report.skipped.is_empty(), "{layout:?}: {report:?}");
            assert!(round == 0 || report.done() == 0, "{layout:?}: {report:?}");
            assert_eq!(world.server.list("Far").len(), 3, "{layout:?}");
            assert_eq!(names(&world.fs, "/disk/far").len(), 3, "{layout:?}");
        }
        world.fs.write_file("/disk/far/cur/mine:2,S", b"Message-ID: <m>\n\nmine\n");
        sync(&world);
        sync(&world);
        assert_eq!(there(&world, "Far", "mine"), 1, "{layout:?}");
        world.fs.delete_file("/disk/far/cur/mine:2,S");
        sync(&world);
        sync(&world);
        assert_eq!(there(&world, "Far", "mine"), 0, "{layout:?}");
        // The disk of the target is gone: unknown.
        world.fs.move_file("/disk/far", "/disk/away");
        for _ in 0..3 {
            let report = sync(&world);
            assert!(!report.skipped.is_empty(), "{layout:?}");
            assert_eq!(world.server.list("Far").len(), 3, "{layout:?}");
        }
        world.fs.move_file("/disk/away", "/disk/far");
        sync(&world);
        assert_eq!(sync(&world).done(), 0, "{layout:?}");
        assert_eq!(names(&world.fs, "/disk/far").len(), 3, "{layout:?}");
    }
}

#[test]
fn hazard_62_what_is_not_what_it_was_is_never_gone() {
    let work = format!("{ROOT}/Work");
    for odd in ["dangling", "loop", "pipe", "file", "cur pipe", "cur link", "new pipe", "new file"]
    {
        let world = agreed();
        let before = (world.server.list("Work").len(), world.server.list("Trash").len());
        let (path, kind) = match odd.split_once(' ') {
            Some((sub, kind)) => (format!("{work}/{sub}"), kind),
            None => (work.clone(), odd),
        };
        world.fs.move_file(&path, "/away");
        match kind {
            "dangling" => world.fs.symlink("/nowhere", &path),
            "loop" => world.fs.symlink("Work", &path),
            "link" => world.fs.symlink("/away", &path),
            "pipe" => world.fs.mkfifo(&path),
            _ => world.fs.write_file(&path, b"a note\n"),
        }
        for _ in 0..3 {
            let report = sync(&world);
            let named = report.skipped.iter().any(|skip| skip.what.contains("Work"));
            assert!(named, "{odd}: {report:?}");
            let now = (world.server.list("Work").len(), world.server.list("Trash").len());
            assert_eq!(now, before, "{odd}");
        }
        world.fs.delete_file(&path);
        world.fs.move_file("/away", &path);
        settle(&world);
        assert_eq!(world.server.list("Work").len(), before.0, "{odd}");
    }
}

#[test]
fn hazard_62_a_directory_with_two_names_is_mirrored_once() {
    for by in ["link", "older link", "bind", "loop"] {
        let world = agreed();
        let texts = || world.remote();
        let before = texts();
        let work = format!("{ROOT}/Work");
        match by {
            "link" => world.fs.symlink("Work", format!("{ROOT}/Alias")),
            "bind" => world.fs.bind(&work, format!("{ROOT}/Zebra")),
            "loop" => world.fs.symlink("..", format!("{work}/up")),
            _ => {
                world.fs.symlink("/disk/a", format!("{ROOT}/B"));
                world.fs.symlink("/disk/a", format!("{ROOT}/A"));
                maildir(&world.fs, "/disk/a");
            }
        }
        for _ in 0..3 {
            let report = sync(&world);
            assert!(!report.skipped.is_empty(), "{by}: {report:?}");
        }
        let mailboxes = world.server.mailboxes();
        for alias in ["Alias", "A", "Zebra", "Work/up"] {
            assert!(!mailboxes.contains(&alias.to_owned()), "{by}: {mailboxes:?}");
        }
        assert_eq!(mailboxes.contains(&"B".to_owned()), by == "older link");
        let now = texts();
        before.iter().for_each(|(name, mail)| assert_eq!(now.get(name), Some(mail), "{by}"));
    }
}

#[test]
fn hazard_62_nothing_is_written_through_another_name_of_a_mailbox() {
    let world = agreed();
    world.server.append("Alias", b"Message-ID: <a>\r\n\r\nof alias\r\n", &[], Some(5));
    world.fs.symlink("Work", format!("{ROOT}/Alias"));
    let before = names(&world.fs, &format!("{ROOT}/Work"));
    for _ in 0..3 {
        sync(&world);
        assert_eq!(names(&world.fs, &format!("{ROOT}/Work")), before);
        assert_eq!(world.server.list("Alias").len(), 1);
    }
    world.fs.delete_file(format!("{ROOT}/Alias"));
    settle(&world);
}

#[test]
fn hazard_62_a_foreign_directory_that_cannot_be_read_stops_nothing() {
    let world = agreed();
    world.fs.mkdir_all(format!("{ROOT}/lost+found"));
    world.fs.chown(format!("{ROOT}/lost+found"), 4_000_000);
    world.fs.set_fault(Some(Arc::new(|call, path| {
        let refused = call == "readdir" && path.ends_with("lost+found");
        refused.then(|| std::io::Error::from_raw_os_error(EACCES))
    })));
    world.fs.delete_file(with_text(&world, "INBOX", "text 1"));
    let report = sync(&world);
    assert!(report.skipped.is_empty(), "{report:?}");
    assert_eq!(there(&world, "INBOX", "text 1"), 0);
}

#[test]
fn hazard_62_a_mailbox_on_another_disk_has_its_trash_there() {
    let world = agreed();
    world.fs.mount(format!("{ROOT}/Far"), 2);
    with_far(&world);
    settle(&world);
    world.server.expunge("Far", &[uid(&world, "Far", "far 1")]);
    let report = sync(&world);
    assert!(report.skipped.is_empty(), "{report:?}");
    let trash = PathBuf::from(format!("{ROOT}/Far/.mailtide/trash"));
    let tree = world.fs.tree();
    let kept = |(path, bytes): (&PathBuf, &Option<Vec<u8>>)| {
        let text = bytes.as_deref().map(String::from_utf8_lossy);
        path.starts_with(&trash) && text.is_some_and(|text| text.contains("far 1"))
    };
    assert_eq!(tree.iter().filter(|entry| kept(*entry)).count(), 1);
    settle(&world);
    // Moved there to a mailbox on another disk, and back.
    for (from, to) in [("Far", "INBOX"), ("INBOX", "Far")] {
        let moved = world.server.get(from, uid(&world, from, "far 2")).expect("it is there");
        world.server.append(to, &moved.body, &["\\Seen"], Some(502));
        world.server.expunge(from, &[moved.uid]);
        settle(&world);
        let dir = |name: &str| format!("{ROOT}/{name}");
        let has = |name: &str| {
            let here = names(&world.fs, &dir(name)).into_iter();
            let text =
                |name_of: &String| world.fs.read_file(format!("{}/cur/{name_of}", dir(name)));
            here.filter(|n| String::from_utf8_lossy(&text(n).unwrap_or_default()).contains("far 2"))
                .count()
        };
        assert_eq!((has(from), has(to)), (0, 1), "{from} to {to}");
    }
    // And here.
    rename_across(&world, "far 0");
    settle(&world);
    assert_eq!((there(&world, "Far", "far 0"), there(&world, "INBOX", "far 0")), (0, 1));
}

/// As `mv` does between disks: a copy, then the original away.
fn rename_across(world: &World, text: &str) {
    let file = with_text(world, "Far", text);
    let bytes = world.fs.read_file(&file).expect("it is there");
    write(world, "tmp-of-mv", &String::from_utf8_lossy(&bytes));
    rename(world, Path::new(&format!("{ROOT}/tmp-of-mv")), "INBOX/cur/filed:2,S");
    world.fs.delete_file(file);
}

fn open(fs: &MemFs, store: &str) -> Root {
    let options = RootOptions { create: true, random: 1, ..RootOptions::new(store, "h") };
    Root::open(Arc::new(fs.clone()), Path::new(ROOT), options).expect("a root")
}

fn restart(fs: &MemFs, root: Root, power: Option<u64>) {
    drop(root);
    power.map_or_else(|| fs.restart(), |seed| fs.power_loss(seed));
}

#[test]
fn hazard_59_a_mailbox_on_its_way_to_the_trash_is_gone_or_whole_after_any_cut() {
    let (mut finished, mut undone) = (0, 0);
    for arrives in [false, true] {
        for cut in 1..60 {
            for power in [None, Some(0), Some(3), Some(4)] {
                let fs = MemFs::new();
                let (root, name) = (open(&fs, "a1"), MailboxName::new("A"));
                root.create_mailbox(&name).expect("made");
                fs.settle();
                fs.crash_after(cut);
                let _ = root.remove_mailbox(&name, 0);
                restart(&fs, root, power);
                if arrives && fs.lstat(Path::new("/mail/A/cur")).is_ok() {
                    fs.write_file("/mail/A/cur/new mail:2,", b"kept\n");
                }
                let case = format!("{arrives}, cut {cut}, {power:?}: {:?}", fs.trace());
                let root = open(&fs, "a1");
                let walk = root.mailboxes().expect("the root can be read");
                assert!(walk.problems.is_empty(), "{:?} after {case}", walk.problems);
                let left = fs.tree().into_keys().filter(|path| path.starts_with("/mail/A"));
                let left = left.filter(|path| path != Path::new("/mail/A")).count();
                match walk.found.len() {
                    0 => {
                        assert_eq!(left, 0, "{case}");
                        finished += 1;
                    }
                    _ => undone += 1,
                }
                assert!(fs.lstat(Path::new("/mail/.mailtide/removing")).is_err(), "{case}");
            }
        }
    }
    assert!(finished > 0 && undone > 0, "{finished}, {undone}");
}

#[test]
fn hazard_59_a_mailbox_that_is_made_named_or_marked_is_so_after_any_cut() {
    for cut in 1..60 {
        for power in [None, Some(0), Some(3), Some(4)] {
            let fs = MemFs::new();
            let root = open(&fs, "a1");
            let (name, new) = (MailboxName::new("A"), MailboxName::new("Deep/B"));
            let change = |root: &Root| {
                if !root.has_dir(&new)? {
                    root.create_mailbox(&name)?;
                    root.set_mailbox_id(&name, &"0a".repeat(16))?;
                    root.rename_mailbox(&name, &new)?;
                }
                root.set_mailbox_id(&new, &"0b".repeat(16))
            };
            fs.crash_after(cut);
            let _ = change(&root);
            restart(&fs, root, power);
            let root = open(&fs, "a1");
            let case = format!("cut {cut}, {power:?}: {:?}", fs.trace());
            change(&root).unwrap_or_else(|error| panic!("{error} after {case}"));
            let walk = root.mailboxes().expect("the root can be read");
            assert!(walk.problems.is_empty() && walk.found.len() == 1, "{walk:?} after {case}");
            assert_eq!(root.mailbox_id(&new).expect("read"), Some("0b".repeat(16)), "{case}");
            let next = |path: &PathBuf| path.extension().is_some_and(|end| end == "next");
            assert!(!fs.tree().keys().any(next), "{case}");
        }
    }
}

#[test]
fn hazard_59_a_move_to_another_disk_is_never_of_none() {
    let text = b"Message-ID: <m>\n\nmoved\n";
    for cut in 1..60 {
        for power in [None, Some(0), Some(3), Some(4)] {
            let fs = MemFs::new();
            let root = open(&fs, "a1");
            fs.mount("/mail/B", 2);
            let (from, to) = (MailboxName::new("A"), MailboxName::new("B"));
            [&from, &to].iter().for_each(|name| root.create_mailbox(name).expect("made"));
            fs.write_file("/mail/A/cur/m:2,S", text);
            fs.settle();
            let listed = root.list(&from).expect("listed").get(&Stem(b"m".to_vec()));
            let listed = listed.expect("it is there");
            let stamp = root.stat(&from, &listed.name).expect("looked").expect("there");
            let table = root.keyword_table(&from).expect("a table");
            let local: Local = root.local_of(&listed, &table, stamp);
            fs.crash_after(cut);
            let moved = root.move_to(&from, &local, &to, &Stem(b"m".to_vec()), false, "2,S");
            let done = matches!(moved, Ok(Changed::Changed(_)));
            restart(&fs, root, power);
            let tree = fs.tree();
            let at = |dir: &str| {
                let whole = |(path, bytes): &(&PathBuf, &Option<Vec<u8>>)| {
                    path.starts_with(dir) && bytes.as_deref() == Some(&text[..])
                };
                tree.iter().filter(whole).count()
            };
            let case = format!("cut {cut}, {power:?}: {:?}", fs.trace());
            let (here, there) = (at("/mail/A/cur"), at("/mail/B/cur"));
            assert!(here + there > 0, "{case}");
            assert!(!done || there == 1, "{case}");
        }
    }
}

#[test]
fn hazard_59_a_lost_store_leaves_nothing_in_tmp() {
    let fs = MemFs::new();
    let name = MailboxName::new("INBOX");
    let marker = |store: &str| Marker {
        store_id: store.to_owned(),
        counter: 1,
        account: "h u".to_owned(),
        machine: "desk".to_owned(),
        state_dir: "/s".to_owned(),
        layout: Layout::Nested,
        separator: b':',
    };
    let root = open(&fs, "a1");
    root.create_mailbox(&name).expect("made");
    root.write_marker(&marker("a1")).expect("marked");
    let mut body = root.begin(&name, &Stem(b"m".to_vec())).expect("begun");
    body.write(b"Subject: x\r\n\r\nbody\r\n").expect("written");
    body.finish(5).expect("finished");
    fs.write_file("/mail/INBOX/tmp/mailtide-c3-guest", b"of a guest\n");
    drop(root);
    let root = open(&fs, "b2");
    root.write_marker(&marker("b2")).expect("marked");
    drop(root);
    let root = open(&fs, "b2");
    assert_eq!(root.clean_tmp(&name, &BTreeSet::new()).expect("cleaned"), 1);
    let mut left = Vec::new();
    fs.read_dir(Path::new("/mail/INBOX/tmp"), &mut |name, kind, _| {
        assert_eq!(kind, Kind::File);
        left.push(String::from_utf8_lossy(name).into_owned());
    })
    .expect("read");
    assert_eq!(left, ["mailtide-c3-guest"]);
}

#[test]
fn hazard_172_the_marker_of_each_run_has_another_length() {
    let world = agreed();
    let marker = || world.fs.read_file("/mail/.mailtide/marker").expect("a marker").len();
    let mut lengths = BTreeSet::from([marker()]);
    for n in 0..5 {
        write(&world, &format!("INBOX/cur/n{n}:2,S"), &format!("Message-ID: <n{n}>\n\nn{n}\n"));
        settle(&world);
        assert!(lengths.insert(marker()), "a copy by sizes alone would leave it");
    }
}

#[test]
fn hazard_173_with_another_separator_nothing_is_done() {
    let mut world = agreed();
    let before = world.remote();
    world.configure(|settings| settings.info_separator = b';');
    world.wait();
    let error = world.sync().1.expect_err("it is refused").to_string();
    assert!(error.contains("info_separator = \":\""), "{error}");
    world.configure(|settings| settings.info_separator = b':');
    settle(&world);
    assert_eq!(world.remote(), before);
}
