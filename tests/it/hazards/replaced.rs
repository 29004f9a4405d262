//! A mailbox that another one takes the place of: deleted, and a second one renamed to its name.

use kit::imap::Profile;
use kit::world::World;

use super::{agreed_on, here, settle, there};

fn servers() -> [Profile; 3] {
    let ids = Profile { objectid: true, ..Profile::qresync() };
    [Profile::qresync(), Profile::plain(), ids]
}

/// How many messages A and B hold; whether their UIDVALIDITY is the same; whether their messages
/// have the same sizes and times. (Nothing tells an empty mailbox of the same UIDVALIDITY from one
/// that lost all its messages: what is here is kept then.)
const CASES: [((u32, u32), bool, bool); 5] = [
    ((4, 4), false, true),
    ((0, 3), false, false),
    ((4, 4), true, false),
    ((1, 3), true, true),
    ((4, 1), true, false),
];

fn filled(world: &World, mailbox: &str, count: u32, (first, filler): (i64, &str)) {
    for n in 0..count {
        let text = format!("Message-ID: <{mailbox}.{n}>\r\n\r\n{filler} {n}.\r\n");
        world.server.append(mailbox, text.as_bytes(), &["\\Seen"], Some(first + i64::from(n)));
    }
    if count == 0 {
        world.server.create(mailbox);
    }
    settle(world);
}

/// A holds `a` messages, B holds `b`; B is deleted and A takes its name.
fn replaced(profile: &Profile, (a, b): (u32, u32), same_number: bool, alike: bool) -> World {
    let world = agreed_on(profile);
    filled(&world, "A", a, (1000, "text"));
    filled(&world, "B", b, if alike { (1000, "text") } else { (2000, "another text") });
    if same_number {
        let number = world.server.uid_validity("B").unwrap();
        world.server.set_uid_validity("A", number);
        settle(&world);
    }
    assert!(world.server.delete_mailbox("B"));
    assert!(world.server.rename_mailbox("A", "B"));
    world
}

#[test]
fn hazard_137_mail_of_a_deleted_mailbox_does_not_come_back_when_another_takes_its_name() {
    for profile in servers() {
        for (counts, same_number, alike) in CASES {
            let world = replaced(&profile, counts, same_number, alike);
            let what = format!("{counts:?} {same_number} {alike} {}", profile.objectid);
            settle(&world);
            for n in 0..counts.0 {
                let text = format!("<A.{n}>");
                let count = (there(&world, "B", &text), here(&world, "B", &text));
                assert_eq!(count, (1, 1), "{what}: {text} {:?}", world.remote());
            }
            let sides = (world.remote(), world.local());
            assert_eq!(sides.0["B"].len(), counts.0 as usize, "{what}: {sides:?}");
            assert!(!sides.0.contains_key("A") && !sides.1.contains_key("A"), "{what}");
        }
    }
}

#[test]
fn hazard_137_a_run_over_the_mailbox_that_was_replaced_alone_takes_no_message_for_another() {
    for same_number in [false, true] {
        let world = replaced(&Profile::qresync(), (4, 4), same_number, false);
        world.wait();
        world.sync_only(&["B"]).1.unwrap();
        for n in 0..4 {
            let text = format!("<A.{n}>");
            let count = here(&world, "A", &text) + here(&world, "B", &text);
            assert_eq!(count, 1, "{same_number}: {text}");
        }
        settle(&world);
        assert_eq!(world.remote()["B"].len(), 4, "{same_number}");
    }
}
