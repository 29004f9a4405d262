//! What is absent was looked at, wholly, where it was: directories that are others, disks that are
//! not mounted, looks that saw a part (hazards 51, 53, 54, 63 and 64).

use std::path::{Path, PathBuf};

use kit::world::{ROOT, World};
use mailtide::account::AccountError;

use super::{agreed, agreed_on, filled, here, make_mailbox, rungs, settle, sync, there, uid};
use crate::scenarios::{files, rename, stem, with_text, write};

fn mv(world: &World, from: &str, to: &str) {
    world.fs.move_file(format!("{ROOT}/{from}"), format!("{ROOT}/{to}"));
}

/// Removes a directory and what is in it.
fn rm_r(world: &World, path: &str) {
    let path = Path::new(ROOT).join(path);
    let tree: Vec<_> = world.fs.tree().into_iter().filter(|(p, _)| p.starts_with(&path)).collect();
    for (path, file) in tree.into_iter().rev() {
        match file {
            Some(_) => world.fs.delete_file(path),
            None => world.fs.delete_dir(path),
        }
    }
}

fn deliver(world: &World, mailbox: &str, text: &str) {
    let mail = format!("Message-ID: <{text}>\r\n\r\n{text}\r\n");
    world.server.append(mailbox, mail.as_bytes(), &[], Some(5));
}

/// Each message is on both sides, in some mailbox and once.
#[track_caller]
fn once(world: &World, texts: &[&str]) {
    let all = world.server.mailboxes();
    for text in texts {
        let count = |on: fn(&World, &str, &str) -> usize| -> usize {
            all.iter().map(|mailbox| on(world, mailbox, text)).sum()
        };
        assert_eq!((count(there), count(here)), (1, 1), "{text}: {:?}", world.remote());
    }
}

const ALL: [&str; 7] = ["text 0", "text 1", "text 2", "plain", "text 8", "text 9", "text 7"];

#[test]
fn hazard_51_a_mailbox_renamed_while_mail_is_placed_in_it_loses_none() {
    for profile in rungs() {
        let mut points = 1;
        let mut point = 1;
        while point <= points {
            for anew in [false, true] {
                let world = agreed_on(&profile);
                deliver(&world, "Work", "fresh");
                world.wait();
                points = world.run_until(point).1;
                world.fs.restart();
                mv(&world, "Work", "Elsewhere");
                if anew {
                    make_mailbox(&world, "Work");
                }
                settle(&world);
                once(&world, &ALL);
                once(&world, &["fresh"]);
            }
            point += 1;
        }
    }
}

#[test]
fn hazard_51_a_mailbox_renamed_during_the_run_loses_no_mail() {
    let mut world = agreed();
    deliver(&world, "Work", "fresh");
    let fs = world.fs.clone();
    let done = std::sync::atomic::AtomicBool::new(false);
    world.on_call(move |call, path| {
        let placing = call == "rename" && path.to_string_lossy().contains("/Work/tmp/");
        if placing && !done.swap(true, std::sync::atomic::Ordering::SeqCst) {
            fs.move_file(format!("{ROOT}/Work"), format!("{ROOT}/Elsewhere"));
        }
    });
    world.wait();
    let _ = world.sync();
    world.quiet();
    settle(&world);
    once(&world, &ALL);
    once(&world, &["fresh"]);
}

/// Files that are on their way into Work.
fn in_tmp(world: &World) -> Vec<PathBuf> {
    let tmp = Path::new(ROOT).join("Work/tmp");
    let tree = world.fs.tree().into_iter().filter(|(_, file)| file.is_some());
    tree.map(|(path, _)| path).filter(|path| path.starts_with(&tmp)).collect()
}

#[test]
fn hazard_51_a_cleaned_tmp_is_no_deletion() {
    let world = agreed();
    deliver(&world, "Work", "fresh");
    world.wait();
    let mut point = 1;
    // Until the file lies in tmp, and is noted.
    while in_tmp(&world).is_empty() {
        let _ = world.run_until(point);
        world.fs.restart();
        point += 1;
    }
    world.fs.set_clock(world.fs.clock() + 40 * 3600 * 1_000_000_000);
    in_tmp(&world).iter().for_each(|path| world.fs.delete_file(path));
    settle(&world);
    once(&world, &["fresh"]);
}

#[test]
fn hazard_53_a_reader_that_opens_mail_while_it_is_read_doubles_none() {
    for profile in rungs() {
        for lost in [true, false] {
            let mut world = agreed_on(&profile);
            for n in 0..8 {
                deliver(&world, "INBOX", &format!("unread {n}"));
            }
            settle(&world);
            if lost {
                world.lose_store();
            } else {
                // As after the restore of an older backup.
                world.fs.delete_file(format!("{ROOT}/.mailtide/marker"));
            }
            let fs = world.fs.clone();
            world.on_call(move |call, path| {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                if call == "open" && path.parent().is_some_and(|dir| dir.ends_with("INBOX/new")) {
                    let cur = path.parent().and_then(Path::parent).expect("a mailbox").join("cur");
                    fs.move_file(path, cur.join(format!("{name}:2,S")));
                }
            });
            world.wait();
            let _ = world.sync();
            world.quiet();
            settle(&world);
            once(&world, &ALL);
            let unread: Vec<String> = (0..8).map(|n| format!("unread {n}")).collect();
            once(&world, &unread.iter().map(String::as_str).collect::<Vec<_>>());
        }
    }
}

#[test]
fn hazard_54_a_sync_of_one_mailbox_after_a_change_doubles_nothing() {
    for profile in rungs() {
        for change in ["settings", "marker", "adopt", "store"] {
            let mut world = agreed_on(&profile);
            filled(&world, "Work", 30);
            match change {
                "settings" => world.configure(|settings| settings.scope = "other".to_owned()),
                "marker" => world.fs.delete_file(format!("{ROOT}/.mailtide/marker")),
                "adopt" => world.adopt(),
                _ => world.lose_store(),
            }
            for mailbox in ["INBOX", "Work", "Trash"] {
                world.wait();
                world.sync_only(&[mailbox]).1.expect("a partial run");
            }
            let mail = settle(&world);
            assert_eq!(mail["Work"].len(), 32, "{change}");
            once(&world, &ALL);
        }
    }
}

#[test]
fn hazard_54_a_directory_that_cannot_be_read_is_not_filled_beside_its_mail() {
    for profile in rungs() {
        for sub in ["cur", "new", ""] {
            let world = agreed_on(&profile);
            deliver(&world, "Work", "unread");
            settle(&world);
            world.lose_store();
            world.fs.deny(format!("{ROOT}/Work/{sub}"));
            deliver(&world, "INBOX", "later");
            for _ in 0..3 {
                world.wait();
                let (report, result) = world.sync();
                assert!(result.is_ok(), "others go on: {result:?}");
                assert!(!report.skipped.is_empty(), "it is named");
            }
            assert_eq!(here(&world, "INBOX", "later"), 1);
            world.fs.allow(format!("{ROOT}/Work/{sub}"));
            settle(&world);
            once(&world, &ALL);
            once(&world, &["unread", "later"]);
        }
    }
}

#[test]
fn hazard_54_the_settings_may_change_and_nothing_is_read_or_removed_for_that() {
    let mut world = agreed();
    world.configure(|settings| settings.scope = "other".to_owned());
    // Deleted on both sides before anybody saw it: it comes back.
    world.fs.delete_file(with_text(&world, "INBOX", "text 1"));
    let uid = super::uid(&world, "Work", "text 8");
    world.server.expunge("Work", &[uid]);
    // Filed is filed.
    rename(&world, &with_text(&world, "INBOX", "text 2"), "Work/cur/filed:2,S");
    world.server.reset_counters();
    settle(&world);
    once(&world, &ALL);
    assert_eq!((here(&world, "Work", "text 2"), there(&world, "INBOX", "text 2")), (1, 0));
    let bodies = super::sent(&world, "UID FETCH");
    let bodies = bodies.iter().filter(|command| command.line.contains("BODY.PEEK[]")).count();
    assert_eq!(bodies, 1, "the one that was deleted here");
    // And what is deleted from now on is deleted.
    world.fs.delete_file(with_text(&world, "INBOX", "text 0"));
    settle(&world);
    assert_eq!(there(&world, "INBOX", "text 0"), 0);
}

#[test]
fn hazard_63_an_empty_directory_where_mail_was_removes_nothing() {
    for (made, profile) in ["bare", "whole"].into_iter().zip(rungs()) {
        let world = agreed_on(&profile);
        settle(&world);
        mv(&world, "Work", "../kept");
        match made {
            "bare" => world.fs.mkdir_all(format!("{ROOT}/Work")),
            _ => make_mailbox(&world, "Work"),
        }
        deliver(&world, "Work", "later");
        for _ in 0..3 {
            let report = sync(&world);
            assert!(report.skipped.iter().any(|skip| skip.what == "Work"), "{report:?}");
        }
        assert_eq!(there(&world, "Work", "text 8"), 1);
        assert_eq!((here(&world, "Work", "later"), files(&world, "Work").len()), (0, 0));
        rm_r(&world, "Work");
        world.fs.move_file("/kept", format!("{ROOT}/Work"));
        settle(&world);
        once(&world, &ALL);
        once(&world, &["later"]);
    }
}

#[test]
fn hazard_63_a_disk_that_is_not_mounted_below_the_root_removes_nothing() {
    for at in ["Work", "Disk"] {
        let world = agreed();
        let mailbox = if at == "Disk" { "Disk/Old" } else { "Work" };
        if at == "Disk" {
            world.fs.mkdir_all(format!("{ROOT}/Disk"));
            world.fs.mount(format!("{ROOT}/Disk"), 7);
            deliver(&world, "Disk/Old", "old");
            settle(&world);
        } else {
            mv(&world, "Work", "../kept");
            world.fs.mkdir_all(format!("{ROOT}/Work"));
            world.fs.mount(format!("{ROOT}/Work"), 7);
            make_mailbox(&world, "Work");
            for file in ["cur", "new"] {
                for (path, text) in world.fs.tree() {
                    if let (Ok(name), Some(text)) =
                        (path.strip_prefix(format!("/kept/{file}")), text)
                    {
                        let name = name.display();
                        world.fs.write_file(format!("{ROOT}/Work/{file}/{name}"), &text);
                    }
                }
            }
            settle(&world);
        }
        let texts = if at == "Disk" { ["old", "text 9"] } else { ["text 8", "text 9"] };
        world.fs.unmount(format!("{ROOT}/{at}"));
        for _ in 0..3 {
            let report = sync(&world);
            assert!(report.skipped.iter().any(|skip| skip.what == mailbox), "{report:?}");
        }
        for text in texts {
            let count: usize =
                world.server.mailboxes().iter().map(|m| there(&world, m, text)).sum();
            assert_eq!(count, 1, "{text}");
        }
        assert!(world.server.mailboxes().iter().any(|name| name == mailbox));
        world.fs.mount(format!("{ROOT}/{at}"), 7);
        settle(&world);
        once(&world, &texts);
    }
}

#[test]
fn hazard_63_another_directory_with_mail_is_united() {
    for profile in rungs() {
        let world = agreed_on(&profile);
        settle(&world);
        rm_r(&world, "Work");
        make_mailbox(&world, "Work");
        write(&world, "Work/cur/new:2,S", "Message-ID: <n>\n\nbrought along\n");
        settle(&world);
        once(&world, &ALL);
        once(&world, &["brought along"]);
    }
}

#[test]
fn hazard_63_a_removed_mailbox_is_removed() {
    for profile in rungs() {
        let world = agreed_on(&profile);
        settle(&world);
        rm_r(&world, "Work");
        settle(&world);
        assert!(!world.server.mailboxes().contains(&"Work".to_owned()));
        assert_eq!(there(&world, "Trash", "text 8"), 1);
    }
}

#[test]
fn hazard_64_a_root_whose_disk_is_not_mounted_is_waited_for() {
    let world = super::agreed();
    // The root goes to a disk of its own.
    let tree: Vec<_> = world.fs.tree().into_iter().filter(|(p, _)| p.starts_with(ROOT)).collect();
    rm_r(&world, "");
    world.fs.mkdir_all(ROOT);
    world.fs.mount(ROOT, 9);
    for (path, text) in &tree {
        match text {
            Some(text) => world.fs.write_file(path, text),
            None => world.fs.mkdir_all(path),
        }
    }
    settle(&world);
    world.fs.unmount(ROOT);
    for _ in 0..2 {
        world.wait();
        let (report, result) = world.sync();
        assert!(matches!(result, Err(AccountError::Gone { .. })), "{result:?}");
        assert_eq!(report.done(), 0);
    }
    assert!(files(&world, "INBOX").is_empty());
    world.fs.mount(ROOT, 9);
    settle(&world);
    once(&world, &ALL);
}

#[test]
fn hazard_64_a_root_that_was_removed_is_filled_anew() {
    let world = agreed();
    rm_r(&world, "");
    settle(&world);
    once(&world, &ALL);
}

/// Runs once while the directory of a mailbox cannot be read.
fn sync_without(world: &World, mailbox: &str) {
    let dir = world.dir_of(mailbox);
    world.fs.deny(&dir);
    sync(world);
    world.fs.allow(&dir);
}

#[test]
fn hazard_87_what_was_moved_there_to_an_unreadable_mailbox_keeps_its_file() {
    for profile in rungs() {
        let world = agreed_on(&profile);
        let file = with_text(&world, "INBOX", "text 0");
        rename(&world, &file, &format!("INBOX/cur/{}:2,FS", stem(&file)));
        world.server.mv("INBOX", uid(&world, "INBOX", "text 0"), "Work");
        sync_without(&world, "Work");
        assert_eq!(here(&world, "INBOX", "text 0"), 1, "its file stays until Work is read");
        let mail = settle(&world);
        once(&world, &ALL);
        let work = &mail["Work"];
        assert!(work.iter().any(|(_, flags)| flags == &["\\flagged", "\\seen"]), "{work:?}");
    }
}

#[test]
fn hazard_168_what_was_filed_where_nothing_can_be_read_is_not_put_back() {
    for profile in rungs() {
        let world = agreed_on(&profile);
        make_mailbox(&world, "Filed");
        let file = with_text(&world, "Trash", "text 7");
        rename(&world, &file, &format!("Filed/cur/{}:2,S", stem(&file)));
        world.server.renumber("Trash");
        sync_without(&world, "Filed");
        settle(&world);
        assert_eq!((there(&world, "Filed", "text 7"), here(&world, "Filed", "text 7")), (1, 1));
        assert_eq!((there(&world, "Trash", "text 7"), here(&world, "Trash", "text 7")), (0, 0));
    }
}
