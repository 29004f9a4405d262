//! Two messages of which the server says the same (Message-ID and all of the header, size, time),
//! and whose texts differ.

use kit::world::World;

use super::{agreed_on, files, here, rungs, settle, there, uid};

const ONE: &str = "Message-ID: <twin>\r\nSubject: twin\r\n\r\nthe text of ONE\r\n";
const TWO: &str = "Message-ID: <twin>\r\nSubject: twin\r\n\r\nthe text of TWO\r\n";

fn arrive(world: &World, mailbox: &str, text: &str) {
    world.server.append(mailbox, text.as_bytes(), &["\\Seen"], Some(77));
}

fn move_there(world: &World, from: &str, text: &str, to: &str) {
    world.server.mv(from, uid(world, from, text), to);
}

/// A reader files a message elsewhere; its time stays.
fn move_here(world: &World, from: &str, text: &str, to: &str) {
    let is_it = |file: &std::path::Path| {
        let bytes = world.fs.read_file(file).unwrap_or_default();
        String::from_utf8_lossy(&bytes).contains(text)
    };
    let file = files(world, from).into_iter().find(|file| is_it(file)).expect("it is here");
    let name = file.file_name().expect("a name").to_owned();
    world.fs.move_file(&file, world.dir_of(to).join("cur").join(name));
}

/// Both sides hold each text where it should be, and nowhere else.
fn hold(world: &World, one: Option<&str>, two: Option<&str>) {
    settle(world);
    for (text, place) in [("text of ONE", one), ("text of TWO", two)] {
        for mailbox in ["INBOX", "Work"] {
            let wanted = usize::from(place == Some(mailbox));
            let counts = (there(world, mailbox, text), here(world, mailbox, text));
            assert_eq!(counts, (wanted, wanted), "{text} in {mailbox}");
        }
    }
}

#[test]
fn hazard_97_one_that_moves_and_one_that_comes_are_told_apart() {
    for profile in rungs() {
        for (moved, new) in [("INBOX", "Work"), ("Work", "INBOX")] {
            let world = agreed_on(&profile);
            world.server.create("Old");
            arrive(&world, "Old", ONE);
            settle(&world);
            move_there(&world, "Old", "ONE", moved);
            arrive(&world, new, TWO);
            hold(&world, Some(moved), Some(new));
        }
    }
}

#[test]
fn hazard_97_each_moved_to_one_mailbox_on_its_side_are_two() {
    for profile in rungs() {
        let world = agreed_on(&profile);
        world.server.create("Old");
        world.server.create("Other");
        arrive(&world, "Old", ONE);
        arrive(&world, "Other", TWO);
        settle(&world);
        move_there(&world, "Old", "ONE", "Work");
        move_here(&world, "Other", "TWO", "Work");
        hold(&world, Some("Work"), Some("Work"));
    }
}

#[test]
fn hazard_97_after_a_lost_store_each_keeps_its_text() {
    for profile in rungs() {
        for deleted in [false, true] {
            let world = agreed_on(&profile);
            world.server.create("Old");
            arrive(&world, "Old", ONE);
            arrive(&world, "INBOX", TWO);
            settle(&world);
            match deleted {
                true => {
                    let file = files(&world, "INBOX").into_iter().find(|file| {
                        let bytes = world.fs.read_file(file).unwrap_or_default();
                        String::from_utf8_lossy(&bytes).contains("TWO")
                    });
                    world.fs.delete_file(file.expect("it is here"));
                }
                false => move_here(&world, "INBOX", "TWO", "Work"),
            }
            world.lose_store();
            move_here(&world, "Old", "ONE", "INBOX");
            settle(&world);
            for text in ["text of ONE", "text of TWO"] {
                let all = ["INBOX", "Work", "Old"].map(|mailbox| {
                    assert_eq!(there(&world, mailbox, text), here(&world, mailbox, text));
                    there(&world, mailbox, text)
                });
                assert!(all.iter().sum::<usize>() > 0, "{text}: {deleted}");
            }
        }
    }
}

#[test]
fn hazard_97_a_lost_upload_is_not_found_in_another_message_of_its_words() {
    use kit::imap::{Fault, When};
    for profile in rungs() {
        let world = agreed_on(&profile);
        world.server.create("Old");
        arrive(&world, "Old", ONE);
        settle(&world);
        let file = world.dir_of("Work").join("cur").join("new.one:2,S");
        world.fs.write_file(&file, TWO.replace('\r', "").as_bytes());
        world.wait();
        world.server.inject(Fault::CutBefore, When::verb("APPEND").nth(1));
        let _ = world.sync();
        world.server.heal();
        move_there(&world, "Old", "ONE", "Work");
        hold(&world, Some("Work"), Some("Work"));
    }
}

#[test]
fn hazard_100_moved_to_a_place_on_each_side_it_stays_one() {
    const PLAIN: &str = "Subject: no id\r\n\r\nthe text of ONE\r\n";
    for profile in rungs() {
        for text in [ONE, PLAIN] {
            let world = agreed_on(&profile);
            world.server.create("Old");
            arrive(&world, "Old", text);
            if text == ONE {
                arrive(&world, "Old", TWO);
            }
            settle(&world);
            move_there(&world, "Old", "ONE", "Work");
            move_here(&world, "Old", "ONE", "INBOX");
            hold(&world, Some("Work"), None);
        }
    }
}

/// TWO is removed in the INBOX here, and, when it goes to the trash, ONE in Work gives way to a
/// longer version.
fn trash_two_while_one_is_edited(world: &World) {
    world.fs.delete_file(crate::scenarios::with_text(world, "INBOX", "text of TWO"));
    let server = world.server.clone();
    world.on_command(move |line| {
        let one = server.list("Work").into_iter().find(|m| m.body.ends_with(b"ONE\r\n"));
        if let Some(one) =
            one.filter(|_| line.starts_with("UID MOVE") || line.starts_with("UID COPY"))
        {
            let text = ONE.replace("text of ONE", "text of ONE, longer");
            server.expunge("Work", &[one.uid]);
            server.append("Work", text.as_bytes(), &["\\Seen"], Some(78));
        }
    });
    settle(world);
    let count = |mailbox, text| (there(world, mailbox, text), here(world, mailbox, text));
    assert_eq!(count("Trash", "text of TWO"), (1, 1));
    assert_eq!(count("Trash", "text of ONE"), (0, 0));
    assert_eq!(count("Work", "ONE, longer"), (1, 1));
}

#[test]
fn hazard_169_a_copy_in_the_trash_is_not_another_that_is_edited_meanwhile() {
    for profile in rungs() {
        let world = agreed_on(&profile);
        arrive(&world, "Work", ONE);
        arrive(&world, "INBOX", TWO);
        settle(&world);
        trash_two_while_one_is_edited(&world);
    }
}

#[test]
fn hazard_181_a_copy_in_a_trash_that_is_made_for_it_is_not_another_one() {
    for profile in rungs() {
        for is_dir_here in [false, true] {
            let world = agreed_on(&profile);
            world.server.delete_mailbox("Trash");
            arrive(&world, "Work", ONE);
            arrive(&world, "INBOX", TWO);
            settle(&world);
            assert!(!world.server.mailboxes().contains(&"Trash".to_owned()));
            if is_dir_here {
                let make = |sub: &str| world.fs.mkdir_all(world.dir_of("Trash").join(sub));
                ["new", "cur", "tmp"].into_iter().for_each(make);
            }
            trash_two_while_one_is_edited(&world);
        }
    }
}

const OTHER: &str = "Message-ID: <other>\r\nSubject: other\r\n\r\nto be edited\r\n";

/// In `mailbox`, OTHER becomes TWO.
fn edit_other(world: &World, mailbox: &str) {
    let other = uid(world, mailbox, "to be edited");
    arrive(world, mailbox, TWO);
    world.server.expunge(mailbox, &[other]);
}

#[test]
fn hazard_182_a_new_version_is_not_the_message_that_left_another_mailbox() {
    for profile in rungs() {
        for is_moved_here in [false, true] {
            let world = agreed_on(&profile);
            arrive(&world, "Work", ONE);
            arrive(&world, "INBOX", OTHER);
            settle(&world);
            world.server.expunge("Work", &[uid(&world, "Work", "text of ONE")]);
            edit_other(&world, "INBOX");
            if is_moved_here {
                move_here(&world, "Work", "ONE", "INBOX");
            }
            hold(&world, is_moved_here.then_some("INBOX"), Some("INBOX"));
        }
    }
}

#[test]
fn hazard_182_a_new_version_of_what_was_removed_here_is_told_after_a_cut() {
    use kit::imap::{Fault, When};
    for profile in rungs() {
        let world = agreed_on(&profile);
        arrive(&world, "Work", ONE);
        arrive(&world, "INBOX", OTHER);
        settle(&world);
        world.server.expunge("Work", &[uid(&world, "Work", "text of ONE")]);
        edit_other(&world, "INBOX");
        world.fs.delete_file(crate::scenarios::with_text(&world, "INBOX", "to be edited"));
        world.wait();
        world.server.inject(Fault::CutBefore, When::verb("UID FETCH").says("BODY.PEEK[])"));
        let _ = world.sync();
        world.server.heal();
        hold(&world, None, Some("INBOX"));
    }
}

#[test]
fn hazard_182_a_new_version_is_not_our_upload_that_was_lost() {
    use kit::imap::{Fault, When};
    for profile in rungs() {
        let world = agreed_on(&profile);
        arrive(&world, "Work", OTHER);
        settle(&world);
        let file = world.dir_of("Work").join("cur").join("new.one:2,S");
        world.fs.write_file(&file, ONE.replace('\r', "").as_bytes());
        world.wait();
        world.server.inject(Fault::CutBefore, When::verb("APPEND").nth(1));
        let _ = world.sync();
        world.server.heal();
        edit_other(&world, "Work");
        hold(&world, Some("Work"), Some("Work"));
    }
}
