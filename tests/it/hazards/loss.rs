//! Ways to lose a message.

use kit::imap::{Fault, Profile, When};
use kit::world::{ROOT, World};
use mailtide::account::AccountError;
use mailtide::reconcile::OnLocalDelete;

use super::{agreed, agreed_on, filled, here, make_mailbox, rungs, sent, settle, sync, there, uid};
use crate::scenarios::{files, rename, stem, with_text, write};

const DAY_NS: i64 = 24 * 3600 * 1_000_000_000;

#[test]
fn hazard_01_what_was_skipped_is_done_by_the_next_run() {
    for profile in rungs() {
        let world = agreed_on(&profile);
        world.server.append("INBOX", b"Message-ID: <n>\r\n\r\nfresh\r\n", &[], Some(1));
        let refusal = "[UNAVAILABLE] busy".to_owned();
        let refused = world.server.inject(Fault::FetchNo(vec![], refusal), When::verb("FETCH"));
        let report = sync(&world);
        assert!(refused.hits() > 0 && !report.skipped.is_empty());
        assert_eq!(here(&world, "INBOX", "fresh"), 0);
        world.server.heal();
        sync(&world);
        assert_eq!(here(&world, "INBOX", "fresh"), 1);
    }
}

#[test]
fn hazard_01_a_cursor_never_covers_more_than_its_rows() {
    let change = |world: &World| {
        world.server.append("INBOX", b"Message-ID: <n>\r\n\r\nfresh\r\n", &[], Some(1));
        world.server.set_flags("INBOX", uid(world, "INBOX", "text 1"), &["\\Flagged"], &[]);
        world.server.expunge("INBOX", &[uid(world, "INBOX", "text 2")]);
        world.wait();
    };
    let world = agreed();
    change(&world);
    let (_, points) = world.run_until(0);
    let expected = settle(&world);
    for point in 1..=points {
        let world = agreed();
        change(&world);
        let _ = world.run_until(point);
        world.fs.restart();
        assert_eq!(settle(&world), expected, "ended at {point} of {points}");
    }
}

#[test]
fn hazard_02_a_move_that_is_refused_leaves_the_message_where_it_was() {
    for profile in rungs() {
        let world = agreed_on(&profile);
        let file = with_text(&world, "INBOX", "text 1");
        rename(&world, &file, "Work/cur/filed:2,S");
        let full = || Fault::No("[OVERQUOTA] full".to_owned());
        world.server.inject(full(), When::verb("COPY"));
        world.server.inject(full(), When::verb("MOVE"));
        let report = sync(&world);
        assert!(!report.skipped.is_empty(), "{report:?}");
        assert_eq!((there(&world, "INBOX", "text 1"), there(&world, "Work", "text 1")), (1, 0));
        world.server.heal();
        settle(&world);
        assert_eq!((there(&world, "INBOX", "text 1"), there(&world, "Work", "text 1")), (0, 1));
    }
}

#[test]
fn hazard_02_a_mailbox_that_cannot_be_made_costs_no_message() {
    let world = agreed();
    make_mailbox(&world, "New");
    rename(&world, &with_text(&world, "INBOX", "text 1"), "New/cur/filed:2,S");
    world.server.inject(Fault::No("no more mailboxes".into()), When::verb("CREATE"));
    for _ in 0..3 {
        assert!(!sync(&world).skipped.is_empty());
        assert_eq!(there(&world, "INBOX", "text 1"), 1);
    }
    world.server.heal();
    settle(&world);
    assert_eq!((there(&world, "INBOX", "text 1"), there(&world, "New", "text 1")), (0, 1));
}

#[test]
fn hazard_03_an_ok_that_copied_nothing_is_no_copy() {
    for profile in rungs() {
        let world = agreed_on(&profile);
        rename(&world, &with_text(&world, "INBOX", "text 1"), "Work/cur/filed:2,S");
        world.server.inject(Fault::OkUndone, When::verb("COPY"));
        world.server.inject(Fault::OkUndone, When::verb("MOVE"));
        let report = sync(&world);
        assert_eq!(there(&world, "INBOX", "text 1"), 1);
        assert!(!report.skipped.is_empty(), "it is said: {report:?}");
        assert!(sent(&world, "UID COPY").len() + sent(&world, "UID MOVE").len() <= 1);
        world.server.heal();
        settle(&world);
        assert_eq!((there(&world, "INBOX", "text 1"), there(&world, "Work", "text 1")), (0, 1));
    }
}

#[test]
fn hazard_03_a_source_that_another_client_expunged_meanwhile() {
    for profile in rungs() {
        let world = agreed_on(&profile);
        rename(&world, &with_text(&world, "INBOX", "text 1"), "Work/cur/filed:2,S");
        let (server, gone) = (world.server.clone(), uid(&world, "INBOX", "text 1"));
        world.on_command(move |line| {
            if line.starts_with("UID MOVE") || line.starts_with("UID COPY") {
                server.expunge("INBOX", &[gone]);
            }
        });
        sync(&world);
        settle(&world);
        assert_eq!((there(&world, "Work", "text 1"), here(&world, "Work", "text 1")), (1, 1));
    }
}

#[test]
fn hazard_04_a_reader_moves_behind_the_scan() {
    let mut world = agreed();
    let from = with_text(&world, "Work", "text 8");
    let fs = world.fs.clone();
    // INBOX was listed already when Work's turn comes.
    world.on_call(move |call, path| {
        if call == "readdir" && path.ends_with("Work/new") && fs.read_file(&from).is_some() {
            fs.move_file(&from, format!("{ROOT}/INBOX/cur/moved:2,S"));
        }
    });
    write(&world, "Work/cur/new:2,S", "Message-ID: <w>\n\nbeside\n");
    sync(&world);
    world.quiet();
    settle(&world);
    assert_eq!((there(&world, "INBOX", "text 8"), there(&world, "Work", "text 8")), (1, 0));
    assert_eq!(there(&world, "Trash", "text 8"), 0);
    assert_eq!(sent(&world, "APPEND \"INBOX\"").len(), 0, "no body goes up for a move");
}

#[test]
fn hazard_04_another_device_moves_behind_the_look() {
    for profile in rungs() {
        let mut world = agreed_on(&profile);
        world.server.append("Work", b"Message-ID: <w>\r\n\r\nbeside\r\n", &[], Some(1));
        let file = with_text(&world, "Work", "text 8");
        let (server, moved) = (world.server.clone(), uid(&world, "Work", "text 8"));
        // The look at INBOX is over when Work is selected.
        world.on_command(move |line| {
            if line.starts_with("SELECT \"Work\"") {
                server.mv("Work", moved, "INBOX");
            }
        });
        sync(&world);
        world.quiet();
        settle(&world);
        assert_eq!((here(&world, "INBOX", "text 8"), here(&world, "Work", "text 8")), (1, 0));
        let bodies =
            sent(&world, "UID FETCH").into_iter().filter(|c| c.line.contains("BODY.PEEK[]"));
        assert_eq!(bodies.count(), 1, "only the new message came down");
        assert_eq!(stem(&with_text(&world, "INBOX", "text 8")), stem(&file), "by a rename");
    }
}

#[test]
fn hazard_04_a_directory_that_cannot_be_read_suspends_removals() {
    let world = agreed();
    world.fs.delete_file(with_text(&world, "INBOX", "text 1"));
    world.fs.deny(format!("{ROOT}/Work"));
    let report = sync(&world);
    assert!(!report.skipped.is_empty());
    assert_eq!((there(&world, "INBOX", "text 1"), there(&world, "Work", "text 8")), (1, 1));
    world.fs.allow(format!("{ROOT}/Work"));
    settle(&world);
    assert_eq!((there(&world, "INBOX", "text 1"), there(&world, "Work", "text 8")), (0, 1));
}

#[test]
fn hazard_05_uids_handed_out_twice() {
    for profile in rungs() {
        for more in 1..3 {
            let world = agreed_on(&profile);
            let backup = world.server.snapshot();
            world.server.append("INBOX", b"Message-ID: <x>\r\n\r\nfirst\r\n", &[], Some(1));
            settle(&world);
            // Restored: the same UIDs are other messages now, and there may be more of them.
            world.server.restore_backup("INBOX", &backup);
            for n in 0..more {
                let text = format!("Message-ID: <y{n}>\r\n\r\nother {n}\r\n");
                world.server.append("INBOX", text.as_bytes(), &[], Some(2));
            }
            world.fs.delete_file(with_text(&world, "INBOX", "first"));
            settle(&world);
            assert_eq!(there(&world, "INBOX", "other"), more, "nobody deleted these");
            assert_eq!(here(&world, "INBOX", "other"), more, "and they came down");
        }
    }
}

#[test]
fn hazard_07_the_guard_counts_over_a_day() {
    let world = agreed();
    filled(&world, "Lists", 200);
    let mut left = files(&world, "Lists");
    let mut delete = |count: usize| left.drain(..count).for_each(|file| world.fs.delete_file(file));
    delete(40);
    sync(&world);
    assert_eq!(there(&world, "Lists", "number"), 160, "so many pass");
    delete(40);
    sync(&world);
    assert_eq!(there(&world, "Lists", "number"), 160, "not as many again on the same day");
    assert_eq!(world.asked(|store| store.holds()).len(), 1);
    world.fs.set_clock(world.fs.clock() + DAY_NS + 1);
    sync(&world);
    assert_eq!(there(&world, "Lists", "number"), 160, "time is no answer");
    let held = world.asked(|store| store.holds()).remove(0).id;
    world.asked(|store| {
        store.transaction(|tx| tx.set_hold_state(&held, mailtide::state::HoldState::Approved))
    });
    delete(40);
    sync(&world);
    assert_eq!(there(&world, "Lists", "number"), 80, "a day later as many pass again");
    assert!(world.asked(|store| store.holds()).is_empty());
}

#[test]
fn hazard_08_a_deleted_mailbox_takes_no_unseen_mail_along() {
    for profile in rungs() {
        let world = agreed_on(&profile);
        filled(&world, "Old", 2);
        for file in files(&world, "Old") {
            world.fs.delete_file(file);
        }
        for sub in ["cur", "new", "tmp"] {
            let fs: &dyn mailtide::local::fs::Fs = &world.fs;
            fs.remove_dir(format!("{ROOT}/Old/{sub}").as_ref()).unwrap();
        }
        world.fs.delete_file(format!("{ROOT}/Old/.mailtide-id"));
        let fs: &dyn mailtide::local::fs::Fs = &world.fs;
        fs.remove_dir(format!("{ROOT}/Old").as_ref()).unwrap();
        arrives_before(&world, "EXAMINE \"Old\"");
        for _ in 0..3 {
            sync(&world);
        }
        assert_eq!((there(&world, "Old", "late"), here(&world, "Old", "late")), (1, 1));
    }
}

/// Another device files a message there just before this command is answered.
fn arrives_before(world: &World, command: &'static str) {
    let server = world.server.clone();
    let mut late = Some(());
    world.on_command(move |line| {
        if line.starts_with(command) && late.take().is_some() {
            server.append("Old", b"Message-ID: <late>\r\n\r\nlate\r\n", &[], Some(1));
        }
    });
}

#[test]
fn hazard_08_a_mailbox_deleted_there_goes_to_the_local_trash() {
    let world = agreed();
    filled(&world, "Old", 2);
    write(&world, "Old/cur/.index", "what a reader keeps beside the mail");
    world.server.delete_mailbox("Old");
    settle(&world);
    assert!(files(&world, "Old").is_empty());
    let kept = world.fs.tree().into_iter().filter(|(path, bytes)| {
        path.starts_with(format!("{ROOT}/.mailtide/trash")) && bytes.is_some()
    });
    assert_eq!(kept.count(), 3);
}

#[test]
fn hazard_09_the_same_header_size_and_date_is_not_the_same_body() {
    // Without a Message-ID, and with one that two messages bear.
    for header in ["Subject: status\r\n", "Message-ID: <7>\r\nSubject: status\r\n"] {
        for (profile, left) in rungs().into_iter().flat_map(|p| [(p.clone(), false), (p, true)]) {
            let world = agreed_on(&profile);
            let mail = |word: &str| format!("{header}\r\nall {word}\r\n").into_bytes();
            let uid = world.server.append("Work", &mail("fine"), &[], Some(99));
            if header.starts_with("Message-ID") {
                world.server.append("Work", &mail("mine"), &[], Some(99));
            }
            settle(&world);
            // As if it had been moved, where the old one leaves.
            if left {
                world.server.expunge("Work", &[uid]);
            }
            world.server.append("INBOX", &mail("nice"), &[], Some(99));
            settle(&world);
            assert_eq!(here(&world, "INBOX", "all nice"), 1, "{header:?}, {left}");
        }
    }
}

#[test]
fn hazard_09_a_draft_that_was_saved_again() {
    let world = agreed();
    let mail = |word: &str| format!("Message-ID: <d>\r\n\r\ndraft {word}\r\n").into_bytes();
    let old = world.server.append("Drafts", &mail("one"), &[], Some(99));
    settle(&world);
    world.server.append("Drafts", &mail("two"), &[], Some(99));
    world.server.expunge("Drafts", &[old]);
    settle(&world);
    assert_eq!((here(&world, "Drafts", "draft two"), here(&world, "Drafts", "draft one")), (1, 0));
}

#[test]
fn hazard_11_a_file_still_being_written_waits() {
    let world = agreed();
    write(&world, "INBOX/cur/slow:2,S", "Message-ID: <s>\n\nhalf of");
    world.sync().1.unwrap();
    assert_eq!(there(&world, "INBOX", "half of"), 0, "written just now");
    write(&world, "INBOX/cur/slow:2,S", "Message-ID: <s>\n\nhalf of it, and the rest\n");
    settle(&world);
    assert_eq!((there(&world, "INBOX", "half of"), there(&world, "INBOX", "the rest")), (1, 1));
}

#[test]
fn hazard_11_what_is_no_message_does_not_go_up() {
    let world = agreed();
    write(&world, "INBOX/cur/empty:2,", "");
    write(&world, "INBOX/cur/.hidden", "Message-ID: <h>\n\nhidden\n");
    world.fs.mkdir_all(format!("{ROOT}/INBOX/cur/directory"));
    sync(&world);
    assert_eq!(world.server.list("INBOX").len(), 4);
    assert_eq!(world.set_aside(), ["the file is empty"]);
    assert_eq!(sync(&world).done(), 0);
}

#[test]
fn hazard_12_an_edited_file_is_found_and_goes_up_before_the_old_text_goes() {
    for profile in rungs() {
        let world = agreed_on(&profile);
        let file = with_text(&world, "INBOX", "text 1");
        world.fs.write_file(&file, b"Message-ID: <1>\nSubject: 1\n\nedited\n");
        sync(&world);
        assert_eq!(there(&world, "INBOX", "edited"), 0, "the name is the same");
        world.fs.set_clock(world.fs.clock() + DAY_NS);
        let full = Fault::No("[OVERQUOTA] full".into());
        world.server.inject(full, When::verb("APPEND"));
        sync(&world);
        assert_eq!(there(&world, "INBOX", "text 1"), 1, "the new text is refused for now");
        world.server.heal();
        settle(&world);
        assert_eq!((there(&world, "INBOX", "edited"), there(&world, "INBOX", "text 1")), (1, 0));
    }
}

#[test]
fn hazard_12_a_draft_that_is_saved_in_place_is_found_at_once() {
    let world = agreed_on(&Profile { special: drafts(), ..Profile::qresync() });
    let draft = "Message-ID: <d>\r\nSubject: d\r\n\r\nfirst\r\n";
    world.server.append("Drafts", draft.as_bytes(), &[], Some(5));
    settle(&world);
    let file = with_text(&world, "Drafts", "first");
    world.fs.write_file(&file, b"Message-ID: <d>\nSubject: d\n\nsecond\n");
    settle(&world);
    assert_eq!((there(&world, "Drafts", "first"), there(&world, "Drafts", "second")), (0, 1));
}

fn drafts() -> Vec<(String, String)> {
    vec![("Drafts".to_owned(), "\\Drafts".to_owned())]
}

#[test]
fn hazard_12_the_old_text_stays_while_the_new_one_is_refused() {
    let world = agreed();
    let file = with_text(&world, "INBOX", "text 1");
    world.fs.write_file(&file, b"Message-ID: <1>\nSubject: 1\n\nedited\n");
    world.fs.set_clock(world.fs.clock() + DAY_NS);
    world.server.inject(Fault::No("not such a message".into()), When::verb("APPEND"));
    for _ in 0..3 {
        sync(&world);
        assert_eq!((there(&world, "INBOX", "text 1"), here(&world, "INBOX", "edited")), (1, 1));
    }
    assert_eq!(world.set_aside().len(), 1);
}

#[test]
fn hazard_13_a_restored_maildir_deletes_nothing() {
    for profile in rungs() {
        let world = agreed_on(&profile);
        let backup: Vec<_> = world.fs.tree().into_iter().collect();
        world.server.append("INBOX", b"Message-ID: <n>\r\n\r\nthis week\r\n", &[], Some(1));
        write(&world, "Work/cur/mine:2,S", "Message-ID: <m>\n\nmine of this week\n");
        settle(&world);
        restore(&world, &backup);
        let mail = settle(&world);
        assert_eq!((here(&world, "INBOX", "this week"), there(&world, "Work", "mine of")), (1, 1));
        assert_eq!(mail.values().map(Vec::len).sum::<usize>(), 9);
    }
}

/// Puts the files back as they were, and takes later ones away.
fn restore(world: &World, backup: &[(std::path::PathBuf, Option<Vec<u8>>)]) {
    for (path, bytes) in world.fs.tree() {
        if bytes.is_some() {
            world.fs.delete_file(path);
        }
    }
    for (path, bytes) in backup {
        if let Some(bytes) = bytes {
            world.fs.write_file(path, bytes);
        }
    }
    world.wait();
}

#[test]
fn hazard_13_another_server_under_the_old_name_loses_nothing() {
    let mut world = agreed();
    let server = kit::imap::Server::new(Profile::qresync());
    for n in 0..4 {
        let text = format!("Message-ID: <o{n}>\r\n\r\nthe other's {n}\r\n");
        server.append("INBOX", text.as_bytes(), &[], Some(1));
    }
    world.server = server;
    world.configure(|settings| settings.endpoint.host = "127.0.0.1".to_owned());
    settle(&world);
    for text in ["the other's 0", "the other's 3", "text 0", "text 2", "plain"] {
        assert_eq!((there(&world, "INBOX", text), here(&world, "INBOX", text)), (1, 1), "{text}");
    }
}

#[test]
fn hazard_13_the_maildir_of_another_store_is_refused() {
    let world = agreed();
    let other = World::new(Profile::qresync());
    for (path, bytes) in world.fs.tree() {
        match bytes {
            Some(bytes) => other.fs.write_file(path, &bytes),
            None => other.fs.mkdir_all(path),
        }
    }
    let (_, result) = other.sync();
    assert!(matches!(result, Err(AccountError::Foreign { .. })), "{result:?}");
    assert_eq!(other.server.counters().mutating, 0);
}

#[test]
fn hazard_14_marks_of_others_are_not_expunged() {
    let world = agreed_on(&Profile::plain());
    let mark = uid(&world, "INBOX", "text 0");
    world.server.set_flags("INBOX", mark, &["\\Deleted"], &[]);
    world.fs.delete_file(with_text(&world, "INBOX", "text 1"));
    let report = sync(&world);
    assert_eq!(there(&world, "INBOX", "text 0"), 1, "marked by another client, not deleted");
    assert!(!report.skipped.is_empty(), "and that is said");
    assert!(sent(&world, "CLOSE").is_empty());
    world.server.set_flags("INBOX", mark, &[], &["\\Deleted"]);
    settle(&world);
    assert_eq!((there(&world, "INBOX", "text 0"), there(&world, "INBOX", "text 1")), (1, 0));
}

#[test]
fn hazard_14_trashed_in_the_trash_is_no_mark() {
    let world = agreed();
    let file = with_text(&world, "INBOX", "text 1");
    rename(&world, &file, &format!("Trash/cur/{}:2,ST", stem(&file)));
    sync(&world);
    assert_eq!(super::flags(&world, "Trash", "text 1"), ["\\Seen"]);
}

#[test]
fn hazard_16_what_was_deleted_here_has_a_way_back() {
    for profile in rungs() {
        let mut world = agreed_on(&profile);
        world.fs.delete_file(with_text(&world, "INBOX", "text 1"));
        settle(&world);
        assert_eq!((there(&world, "INBOX", "text 1"), there(&world, "Trash", "text 1")), (0, 1));
        world.fs.delete_file(with_text(&world, "Trash", "text 1"));
        settle(&world);
        assert_eq!(there(&world, "Trash", "text 1"), 0, "deleted in the trash, it goes");
        world.configure(|settings| settings.on_local_delete = OnLocalDelete::Keep);
        world.fs.delete_file(with_text(&world, "INBOX", "text 2"));
        sync(&world);
        assert_eq!(there(&world, "INBOX", "text 2"), 1);
    }
}
