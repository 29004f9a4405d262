//! Disks that take different names for one: `Work` and `work`, an accent in two spellings.

use kit::imap::Profile;
use kit::world::{ROOT, World};
use mailtide::local::Layout;

use super::{LAYOUTS, agree, empty, here, there, top};

const ALIKE: [&str; 8] =
    ["Work", "work", "WORK", "Work/Alpha", "work/alpha", "work/Alpha", "caf\u{e9}", "cafe\u{301}"];

fn folding(layout: Layout) -> World {
    let world = empty(&Profile { lax_names: true, ..Profile::qresync() }, layout);
    world.fs.fold_names();
    world
}

#[test]
fn names_that_the_disk_takes_for_one_come_down_apart() {
    for layout in LAYOUTS {
        let world = folding(layout);
        ALIKE.iter().for_each(|name| there(&world, name, name));
        agree(&world);
        for name in ALIKE {
            assert_eq!(world.local()[name].len(), 1, "{name} {layout:?}");
        }
        // New mail, on either side, goes to its own.
        ALIKE.iter().for_each(|name| there(&world, name, &format!("more {name}")));
        agree(&world);
        for name in ALIKE {
            assert_eq!(world.local()[name].len(), 2, "{name} {layout:?}");
        }
    }
}

#[test]
fn one_that_comes_later_leaves_the_first_where_it_is() {
    for layout in LAYOUTS {
        let world = folding(layout);
        there(&world, "work", "first");
        agree(&world);
        let before = top(&world);
        there(&world, "Work", "second");
        there(&world, "WORK/Sub", "third");
        agree(&world);
        assert!(before.iter().all(|name| top(&world).contains(name)), "{:?}", top(&world));
        for name in ["work", "Work", "WORK/Sub"] {
            assert_eq!(world.local()[name].len(), 1, "{name} {layout:?}");
        }
    }
}

/// The small file of ours is a convenience: the root itself tells how names are spelled.
#[test]
fn what_was_escaped_is_known_without_our_notes_and_without_the_store() {
    for layout in LAYOUTS {
        let world = folding(layout);
        ALIKE.iter().for_each(|name| there(&world, name, name));
        agree(&world);
        world.fs.delete_file(format!("{ROOT}/.mailtide/escaped"));
        agree(&world);
        world.lose_store();
        let before = world.remote();
        agree(&world);
        assert_eq!(world.remote(), before, "{layout:?}");
        assert_eq!(world.server.counters().verb("DELETE"), 0);
    }
}

#[test]
fn renames_to_a_name_that_is_taken_by_another_case_stay_renames() {
    for layout in LAYOUTS {
        let world = folding(layout);
        for name in ["Work", "play", "play/below"] {
            there(&world, name, name);
        }
        agree(&world);
        assert!(world.server.rename_mailbox("play", "work"));
        agree(&world);
        assert_eq!(world.local()["work"].len(), 1, "{layout:?}");
        assert_eq!(world.local()["work/below"].len(), 1, "{layout:?}");
        // To another case of itself.
        assert!(world.server.rename_mailbox("Work", "WORK"));
        agree(&world);
        assert_eq!(world.local()["WORK"].len(), 1, "{layout:?}");
        assert!(!world.local().contains_key("Work") && world.local().contains_key("work"));
    }
}

#[test]
fn a_directory_of_another_case_is_a_mailbox_of_its_own() {
    for layout in LAYOUTS {
        let world = folding(layout);
        there(&world, "Work", "there");
        here(&world, "work", "here");
        agree(&world);
        assert_eq!(world.remote()["work"].len(), 1, "{layout:?}");
        assert_eq!(world.remote()["Work"].len(), 1, "{layout:?}");
    }
}

#[test]
fn a_crash_at_any_point_mixes_nothing() {
    let made = || {
        let world = folding(Layout::Nested);
        ALIKE.iter().for_each(|name| there(&world, name, name));
        world
    };
    let (_, points) = made().run_until(0);
    let expected = made().remote();
    for end in (1..=points).step_by(7) {
        for power in [false, true] {
            let world = made();
            let _ = world.run_until(end);
            if power {
                world.fs.power_loss(end);
            }
            crate::scenarios::recover(&world, &expected, &format!("crash at {end}, {power}"));
        }
    }
}
