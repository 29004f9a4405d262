//! Mailboxes that are numbered anew, made anew or renamed while something is under way, cut off
//! at any point: what is alike is compared, and what was sent or moved is found again.

use kit::imap::{Fault, Profile, When};
use kit::world::{ROOT, World};

use super::{agreed_on, here, make_mailbox, rungs, sent, settle, there, uid};
use crate::scenarios::{files, rename, stem, with_text, write};

/// A message of the scenarios with another text of the same length.
fn alike(n: u8) -> Vec<u8> {
    format!("Message-ID: <{n}>\r\nSubject: {n}\r\n\r\nTEXT {n}\r\n").into_bytes()
}

/// How many messages there, and how many files here, hold this text in any mailbox.
fn everywhere(world: &World, text: &str) -> (usize, usize) {
    let names = world.server.mailboxes();
    let remote = names.iter().map(|name| there(world, name, text)).sum();
    (remote, names.iter().map(|name| here(world, name, text)).sum())
}

/// Of so many points, one is tried; `MAILTIDE_FULL=1` tries all.
fn stride() -> usize {
    if std::env::var_os("MAILTIDE_FULL").is_some() { 1 } else { 5 }
}

/// For every n-th point at which a run may be cut: a world on the barest server in which `before`
/// happened, cut there, in which `after` happened then, at rest again.
fn cut_anywhere(before: fn(&World), after: fn(&World), judge: fn(&World, u64)) {
    let begun = || {
        let world = agreed_on(&Profile::plain());
        before(&world);
        world.fs.settle();
        world.wait();
        world
    };
    let (_, points) = begun().run_until(0);
    for end in (1..=points).step_by(stride()) {
        let world = begun();
        let _ = world.run_until(end);
        world.fs.restart();
        after(&world);
        world.fs.settle();
        settle(&world);
        judge(&world, end);
    }
}

#[test]
fn hazard_80_a_mailbox_made_anew_with_a_message_alike_gets_its_text() {
    for profile in rungs() {
        for (mailbox, n, date) in [("Work", 8, 8000), ("Trash", 7, 7000)] {
            for file_left in [false, true] {
                let world = agreed_on(&profile);
                let file = with_text(&world, mailbox, &format!("text {n}"));
                if file_left {
                    rename(&world, &file, &format!("INBOX/cur/{}:2,S", stem(&file)));
                    world.fs.settle();
                }
                world.server.delete_mailbox(mailbox);
                world.server.append(mailbox, &alike(n), &[], Some(date));
                settle(&world);
                let counts = |text: &str| everywhere(&world, &format!("{text} {n}"));
                assert_eq!(counts("TEXT"), (1, 1), "{mailbox}, file left: {file_left}");
                assert_eq!(counts("text"), (1, 1), "{mailbox}, file left: {file_left}");
            }
        }
    }
}

#[test]
fn hazard_80_a_message_alone_in_a_renumbered_mailbox_is_compared_once() {
    for profile in rungs() {
        let world = agreed_on(&profile);
        let before = world.remote();
        world.server.renumber("Trash");
        settle(&world);
        let bodies = sent(&world, "UID FETCH").into_iter();
        assert_eq!(bodies.filter(|c| c.line.contains("BODY.PEEK[]")).count(), 1);
        assert_eq!(world.remote(), before);
    }
}

#[test]
fn hazard_81_a_file_that_leaves_as_soon_as_it_is_paired_was_moved() {
    cut_anywhere(
        |world| write(world, "INBOX/cur/new:2,S", "Message-ID: <new>\n\nfreshly written\n"),
        |world| {
            let file = with_text(world, "INBOX", "freshly");
            rename(world, &file, "Work/cur/new:2,S");
        },
        |world, end| {
            let counts =
                ["INBOX", "Work"].map(|m| (there(world, m, "freshly"), here(world, m, "freshly")));
            assert_eq!(counts, [(0, 0), (1, 1)], "cut at {end}");
        },
    );
}

#[test]
fn hazard_81_a_message_that_leaves_as_soon_as_it_is_paired_was_moved() {
    cut_anywhere(
        |world| write(world, "INBOX/cur/new:2,S", "Message-ID: <new>\n\nfreshly written\n"),
        |world| {
            if there(world, "INBOX", "freshly") > 0 {
                world.server.mv("INBOX", uid(world, "INBOX", "freshly"), "Work");
            }
        },
        |world, end| assert_eq!(everywhere(world, "freshly"), (1, 1), "cut at {end}"),
    );
}

#[test]
fn hazard_82_what_may_come_from_an_unreadable_directory_waits_with_its_message() {
    let world = agreed_on(&Profile::plain());
    let file = with_text(&world, "INBOX", "text 1");
    rename(&world, &file, &format!("Work/cur/{}:2,S", stem(&file)));
    world.fs.settle();
    world.wait();
    let (_, points) = world.fork().run_until(0);
    for end in (1..=points).step_by(stride()) {
        let world = world.fork();
        let _ = world.run_until(end);
        world.fs.restart();
        world.fs.deny(format!("{ROOT}/INBOX"));
        world.wait();
        let _ = world.sync();
        world.fs.allow(format!("{ROOT}/INBOX"));
        settle(&world);
        assert_eq!(everywhere(&world, "text 1"), (1, 1), "cut at {end}");
    }
}

#[test]
fn hazard_83_a_file_that_is_moved_back_leaves_nothing_in_the_trash() {
    cut_anywhere(
        |world| {
            let file = with_text(world, "INBOX", "text 1");
            rename(world, &file, &format!("Work/cur/{}:2,S", stem(&file)));
        },
        |world| {
            let file = with_text(world, "Work", "text 1");
            rename(world, &file, &format!("INBOX/cur/{}:2,S", stem(&file)));
        },
        |world, end| {
            assert_eq!(everywhere(world, "text 1"), (1, 1), "cut at {end}");
            assert_eq!(here(world, "INBOX", "text 1"), 1, "cut at {end}");
        },
    );
}

#[test]
fn hazard_83_a_copy_put_where_a_file_was_moved_away_stays() {
    cut_anywhere(
        |world| {
            let file = with_text(world, "INBOX", "text 1");
            rename(world, &file, &format!("Work/cur/{}:2,S", stem(&file)));
        },
        |world| {
            let file = &files(world, "Work").into_iter().find(|file| {
                let bytes = world.fs.read_file(file).unwrap_or_default();
                String::from_utf8_lossy(&bytes).contains("text 1")
            });
            let bytes = world.fs.read_file(file.as_ref().unwrap()).unwrap();
            write(world, "INBOX/cur/copy:2,", &String::from_utf8(bytes).unwrap());
        },
        |world, end| assert_eq!(everywhere(world, "text 1"), (2, 2), "cut at {end}"),
    );
}

#[test]
fn hazard_84_what_was_sent_is_found_though_its_mailbox_was_made_anew_or_renamed() {
    let before: fn(&World) =
        |world| write(world, "Work/cur/new:2,S", "Message-ID: <new>\n\nfreshly written\n");
    let made_anew: fn(&World) = |world| {
        if there(world, "Work", "freshly") > 0 {
            world.server.mv("Work", uid(world, "Work", "freshly"), "INBOX");
        }
        world.server.delete_mailbox("Work");
        world.server.create("Work");
    };
    let renamed: fn(&World) = |world| {
        world.server.rename_mailbox("Work", "Renamed");
    };
    for after in [made_anew, renamed] {
        cut_anywhere(before, after, |world, end| {
            assert_eq!(everywhere(world, "freshly"), (1, 1), "cut at {end}");
        });
    }
}

#[test]
fn hazard_84_the_rest_of_a_move_is_removed_though_it_was_numbered_anew() {
    cut_anywhere(
        |world| {
            let file = with_text(world, "Trash", "text 7");
            rename(world, &file, &format!("INBOX/cur/{}:2,S", stem(&file)));
        },
        |world| world.server.renumber("Trash"),
        |world, end| assert_eq!(everywhere(world, "text 7"), (1, 1), "cut at {end}"),
    );
}

#[test]
fn hazard_85_what_was_moved_to_the_trash_is_found_though_the_trash_was_renamed() {
    cut_anywhere(
        |world| world.fs.delete_file(with_text(world, "INBOX", "text 1")),
        |world| {
            world.server.rename_mailbox("Trash", "Renamed");
        },
        |world, end| assert_eq!(everywhere(world, "text 1"), (1, 1), "cut at {end}"),
    );
}

/// A message is removed here, and its server has no MOVE and names no copies.
fn removed_here(world: &World) {
    world.fs.delete_file(with_text(world, "INBOX", "text 1"));
}

#[test]
fn hazard_165_a_copy_in_a_trash_that_was_numbered_anew_is_found_under_any_number() {
    cut_anywhere(
        removed_here,
        |world| {
            let first = uid(world, "Trash", "text 7");
            world.server.mv("Trash", first, "INBOX").expect("it is there");
            world.server.renumber("Trash");
        },
        |world, end| assert_eq!(everywhere(world, "text 1"), (1, 1), "cut at {end}"),
    );
}

#[test]
fn hazard_165_a_file_is_that_of_the_copy_and_not_of_what_was_copied() {
    cut_anywhere(
        removed_here,
        |world| {
            if here(world, "Trash", "text 1") == 0 {
                return;
            }
            let copy = with_text(world, "Trash", "text 1");
            let name = copy.file_name().expect("a name");
            world.fs.move_file(world.dir_of("Trash"), world.dir_of("Moved"));
            let trash = world.dir_of("Trash");
            ["cur", "new", "tmp"].iter().for_each(|sub| world.fs.mkdir_all(trash.join(sub)));
            world.fs.move_file(
                world.dir_of("Moved").join("cur").join(name),
                trash.join("cur").join(name),
            );
        },
        |world, end| assert_eq!(everywhere(world, "text 1"), (1, 1), "cut at {end}"),
    );
}

#[test]
fn hazard_87_what_moved_on_to_an_unreadable_mailbox_after_a_cut_is_not_sent_again() {
    fn moves(world: &World, from: &str, to: &str) {
        world.server.mv(from, uid(world, from, "text 1"), to).expect("it is there");
    }
    cut_anywhere(
        |world| moves(world, "INBOX", "Work"),
        |world| {
            moves(world, "Work", "Trash");
            let dir = world.dir_of("Trash");
            world.fs.deny(&dir);
            super::sync(world);
            world.fs.allow(&dir);
        },
        |world, end| assert_eq!(everywhere(world, "text 1"), (1, 1), "cut at {end}"),
    );
}

#[test]
fn hazard_167_a_rename_of_ours_is_done_though_the_question_for_the_former_name_is_lost() {
    for profile in rungs() {
        for fault in [Fault::CutBefore, Fault::CutAfter, Fault::Hang] {
            let world = agreed_on(&profile);
            let all = world.remote();
            world.fs.move_file(world.dir_of("Work"), world.dir_of("Filed"));
            let server = world.server.clone();
            world.on_command(move |line| {
                // Not before: at that time nothing is asked for any other reason.
                if line.starts_with("RENAME") {
                    server.inject(fault.clone(), When::verb("STATUS").says("Work").nth(1));
                }
            });
            let file = with_text(&world, "Filed", "text 8");
            make_mailbox(&world, "New");
            rename(&world, &file, &format!("New/cur/{}:2,S", stem(&file)));
            settle(&world);
            assert_eq!(everywhere(&world, "text 8"), (1, 1), "{profile:?}");
            assert_eq!(there(&world, "New", "text 8"), 1, "{profile:?}");
            assert_eq!(world.remote().len(), all.len() + 1, "{profile:?}");
        }
    }
}

/// The trash holds another text of the same header, length and second, and is numbered anew when
/// the connection is lost before the COPY.
#[test]
fn hazard_165_an_older_message_that_is_alike_is_no_copy() {
    let world = agreed_on(&Profile::plain());
    for (mailbox, what) in [("Trash", "ONE"), ("INBOX", "TWO")] {
        let text = format!("Message-ID: <twin>\r\n\r\nthe text of {what}\r\n");
        world.server.append(mailbox, text.as_bytes(), &["\\Seen"], Some(77));
    }
    settle(&world);
    world.fs.delete_file(with_text(&world, "INBOX", "text of TWO"));
    let lost = world.server.inject(Fault::CutBefore, When::verb("UID COPY").nth(1));
    let server = world.server.clone();
    let mut first = true;
    world.on_command(move |line| {
        if line.starts_with("UID COPY") && std::mem::take(&mut first) {
            server.renumber("Trash");
        }
    });
    settle(&world);
    assert_eq!(lost.hits(), 1);
    for what in ["text of ONE", "text of TWO"] {
        assert_eq!(everywhere(&world, what), (1, 1), "{what}");
    }
}
