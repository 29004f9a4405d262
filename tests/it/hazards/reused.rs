//! UIDs handed out twice under one UIDVALIDITY, and numbers that tell nothing of it any more.

use kit::imap::Profile;
use kit::world::World;

use super::{agreed_on, here, rungs, settle, sync, there};
use crate::scenarios::{rename, stem, with_text};

fn append(world: &World, n: u32, what: &str) {
    let text = format!("Message-ID: <{what}{n}>\r\nSubject: {n}\r\n\r\n{what} {n}.\r\n");
    world.server.append("INBOX", text.as_bytes(), &[], Some(5000 + i64::from(n)));
}

/// Three messages came since the backup; `others` come after it was put back.
fn restored(profile: &Profile, others: u32) -> World {
    let world = agreed_on(profile);
    let backup = world.server.snapshot();
    (0..3).for_each(|n| append(&world, n, "former"));
    settle(&world);
    world.server.restore_backup("INBOX", &backup);
    (0..others).for_each(|n| append(&world, 10 + n, "another"));
    world
}

fn each_is_there_once(world: &World, what: &str, gone: &[u32], others: u32) {
    settle(world);
    for n in 0..3 {
        let text = format!("former {n}.");
        let count = (there(world, "INBOX", &text), here(world, "INBOX", &text));
        let elsewhere = there(world, "Trash", &text) + there(world, "Work", &text);
        let expected = if gone.contains(&n) { (0, 0) } else { (1, 1) };
        assert_eq!(count, expected, "{what}: {text}, {elsewhere} elsewhere");
    }
    for n in 0..others {
        let text = format!("another {}.", 10 + n);
        let count = (there(world, "INBOX", &text), here(world, "INBOX", &text));
        assert_eq!(count, (1, 1), "{what}: {text}");
    }
}

#[test]
fn hazard_136_after_a_restored_backup_new_messages_under_known_uids_come_down() {
    for profile in rungs() {
        for others in [1, 3, 4, 6] {
            let world = restored(&profile, others);
            sync(&world);
            // Where all numbers are what they were, the next message shows it.
            append(&world, 10 + others, "another");
            each_is_there_once(&world, &format!("{others}"), &[], others + 1);
        }
    }
}

#[test]
fn hazard_136_what_is_done_here_meanwhile_touches_no_other_message() {
    for profile in rungs() {
        for others in [3, 5] {
            for act in ["delete", "flag", "move"] {
                let world = restored(&profile, others);
                let file = with_text(&world, "INBOX", "former 1.");
                match act {
                    "delete" => world.fs.delete_file(file),
                    "flag" => {
                        rename(&world, &file, &format!("INBOX/cur/{}:2,FS", stem(&file)));
                    }
                    _ => {
                        rename(&world, &file, &format!("Work/cur/{}:2,S", stem(&file)));
                    }
                }
                sync(&world);
                append(&world, 10 + others, "another");
                let gone: &[u32] = if act == "flag" { &[] } else { &[1] };
                each_is_there_once(&world, &format!("{act} {others}"), gone, others + 1);
                let moved = there(&world, "Work", "former 1.");
                assert_eq!(moved, usize::from(act == "move"), "{act} {others}");
            }
        }
    }
}

/// Mail in mailboxes that the backup of the server, or another server, does not have.
#[test]
fn hazard_175_what_a_server_lacks_that_is_not_as_it_was_left_stays() {
    for profile in rungs() {
        for renumbered in [false, true] {
            let world = agreed_on(&profile);
            let backup = world.server.snapshot();
            append(&world, 0, "former");
            world.server.create("New");
            let text = "Message-ID: <new>\r\nSubject: new\r\n\r\nmade later\r\n";
            world.server.append("New", text.as_bytes(), &["\\Seen"], Some(6000));
            settle(&world);
            world.server.restore(&backup);
            if renumbered {
                ["INBOX", "Work", "Trash"].iter().for_each(|name| world.server.renumber(name));
            }
            settle(&world);
            assert_eq!(
                (there(&world, "New", "made later"), here(&world, "New", "made later")),
                (1, 1)
            );
            let count = (there(&world, "INBOX", "former 0."), here(&world, "INBOX", "former 0."));
            assert_eq!(count, (1, 1), "{profile:?}");
            assert_eq!(world.local(), world.remote());
        }
    }
}
