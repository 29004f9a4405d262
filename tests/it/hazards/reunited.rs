//! Mailboxes that were renamed on one side before the state was lost.

use kit::imap::Profile;
use kit::world::{ROOT, World};

use super::{agreed_on, here, rungs, settle, sync, there};

/// Four messages in Work and a copy of one of them; both sides agree.
fn with_copies(profile: &Profile) -> World {
    let world = agreed_on(profile);
    let uid = super::uid(&world, "Work", "text 8");
    world.server.copy("Work", uid, "Work");
    for text in ["one more", "and another one"] {
        let body = format!("Message-ID: <{text}>\r\n\r\n{text}\r\n");
        world.server.append("Work", body.as_bytes(), &[], Some(6));
    }
    settle(&world);
    world
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Renamed {
    Here,
    There,
    Otherwise,
}

const ALL: [Renamed; 3] = [Renamed::Here, Renamed::There, Renamed::Otherwise];

fn rename(world: &World, renamed: Renamed) {
    if renamed != Renamed::There {
        world.fs.move_file(world.dir_of("Work"), format!("{ROOT}/Job"));
    }
    if renamed != Renamed::Here {
        assert!(world.server.rename_mailbox("Work", "Old"));
    }
}

/// Each message is there as often as it was, in one mailbox.
fn hold(world: &World, renamed: Renamed, what: &str) {
    settle(world);
    let names = world.server.mailboxes();
    let has = |name: &str| names.contains(&name.to_owned());
    let name = if renamed == Renamed::Here { "Work" } else { "Old" };
    let others = ["Work", "Old", "Job"].into_iter().filter(|other| *other != name);
    assert!(has(name) && !others.clone().any(has), "{renamed:?} {names:?} {what}");
    for (text, count) in [("text 8", 2), ("text 9", 1)] {
        let counts = (there(world, name, text), here(world, name, text));
        assert_eq!(counts, (count, count), "{renamed:?} {text} {what}");
    }
}

#[test]
fn hazard_183_a_mailbox_that_was_renamed_before_the_state_was_lost_is_one() {
    for profile in rungs() {
        for renamed in ALL {
            let world = with_copies(&profile);
            rename(&world, renamed);
            world.lose_store();
            hold(&world, renamed, "at once");
            // A run over one mailbox comes first.
            let world = with_copies(&profile);
            rename(&world, renamed);
            world.lose_store();
            let _ = world.sync_only(&["Old"]);
            hold(&world, renamed, "after a part");
            // New mail came meanwhile.
            let world = with_copies(&profile);
            rename(&world, renamed);
            let name = if renamed == Renamed::Here { "Work" } else { "Old" };
            world.server.append(name, b"Message-ID: <new>\r\n\r\nlater\r\n", &[], Some(5));
            world.lose_store();
            hold(&world, renamed, "with new mail");
        }
    }
}

#[test]
fn hazard_183_killed_anywhere_it_is_still_one() {
    for renamed in ALL {
        let prepared = || {
            let world = with_copies(&Profile::qresync());
            rename(&world, renamed);
            world.lose_store();
            world.wait();
            world
        };
        let ((_, result), points) = prepared().run_until(0);
        result.expect("a run");
        for point in (1..=points).step_by(5) {
            let world = prepared();
            let _ = world.run_until(point);
            hold(&world, renamed, &format!("killed at {point} of {points}"));
        }
    }
}

#[test]
fn hazard_183_mailboxes_with_other_messages_are_two() {
    for profile in rungs() {
        let world = agreed_on(&profile);
        world.server.create("Job");
        world.server.append("Job", b"Message-ID: <job>\r\n\r\na job\r\n", &[], Some(5));
        settle(&world);
        world.server.delete_mailbox("Job");
        world.server.create("Other");
        world.server.append("Other", b"Message-ID: <other>\r\n\r\nother\r\n", &[], Some(6));
        world.lose_store();
        settle(&world);
        for (mailbox, text) in [("Job", "a job"), ("Other", "other")] {
            let counts = (there(&world, mailbox, text), here(&world, mailbox, text));
            assert_eq!(counts, (1, 1), "{mailbox}");
        }
    }
}

#[test]
fn hazard_183_a_copy_that_is_made_while_all_is_known_keeps_its_name() {
    let world = with_copies(&Profile::qresync());
    world.server.create("There");
    for sub in ["new", "cur", "tmp"] {
        world.fs.mkdir_all(world.dir_of("Here").join(sub));
    }
    for message in world.server.list("Work") {
        world.server.copy("Work", message.uid, "There");
        let file = world.dir_of("Here").join("cur").join(format!("{}.copy:2,", message.uid));
        world.fs.write_file(file, &message.body);
    }
    sync(&world);
    settle(&world);
    for mailbox in ["Work", "Here", "There"] {
        assert_eq!((there(&world, mailbox, "text 8"), here(&world, mailbox, "text 8")), (2, 2));
    }
}
